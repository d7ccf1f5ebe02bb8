"""What a test that plays the server needs to observe a device: Observe, notifications, attributes."""

from __future__ import annotations

import json

from coapraw import ACCEPT, ACK, CON, CONTENT_FORMAT, EMPTY, FETCH, GET, NON, OBSERVE, PUT, RST, URI_PATH, URI_QUERY, Coap, uint
from device_process import PlayedServer, format_of

TEXT, SENML_JSON, SENML_CBOR, TLV = 0, 110, 112, 11542


def _ask(server: PlayedServer, method: int, path: str, token: bytes, options, payload: bytes = b"") -> Coap:
    server.mid += 1
    segments = [(URI_PATH, part.encode()) for part in path.strip("/").split("/") if part]
    server.send(Coap(CON, method, server.mid, token, segments + options, payload))
    answer = server.receive()
    assert (answer.type, answer.mid, answer.token) == (ACK, server.mid, token), answer
    return answer


def _options(observe: int, accept: int | None, query: tuple[str, ...]) -> list[tuple[int, bytes]]:
    options = [(OBSERVE, uint(observe))] + [(URI_QUERY, item.encode()) for item in query]
    return options + ([] if accept is None else [(ACCEPT, uint(accept))])


def observe(server, path, *query, token=b"\x01", accept=SENML_JSON, value=0, options=()) -> Coap:
    return _ask(server, GET, path, token, _options(value, accept, query) + list(options))


def observe_composite(server, *paths, token=b"\x01", query=(), value=0) -> Coap:
    body = json.dumps([{"n": path} for path in paths]).encode()
    return _ask(server, FETCH, "/", token, [*_options(value, SENML_JSON, query), (CONTENT_FORMAT, uint(SENML_JSON))], body)


def cancel(server, path, token=b"\x01") -> Coap:
    return observe(server, path, token=token, value=1)


def notification(server, token=b"\x01", code="2.05") -> Coap:
    """The next message must be a notification of that observation; a CON is acknowledged. Before time is leapt, expect_silence()
    makes sure that this has arrived."""
    message = server.receive()
    assert message.type in (CON, NON) and (message.token, message.code_text) == (token, code), message
    if message.type == CON:
        server.send(Coap(ACK, EMPTY, message.mid))
    return message


def reset(server, message: Coap) -> None:
    server.send(Coap(RST, EMPTY, message.mid))


def sequence(message: Coap) -> int | None:
    return message.number(OBSERVE)


def records(message: Coap) -> list[tuple[str, object, float | None]]:
    """(path, value, time) of each record of SenML JSON."""
    assert format_of(message) == SENML_JSON, message
    base, base_time, out = "", None, []
    for record in json.loads(message.payload):
        base, base_time = record.get("bn", base), record.get("bt", base_time)
        value = next((record[kind] for kind in ("v", "vs", "vb", "vd", "vlo") if kind in record), None)
        time = None if base_time is None and "t" not in record else (base_time or 0) + record.get("t", 0)
        out.append((base + record.get("n", ""), value, time))
    return out


def values(message: Coap) -> dict[str, object]:
    return {path: value for path, value, _ in records(message)}


def value(message: Coap) -> object:
    """The one value of a message."""
    (only,) = values(message).values()
    return only


def attach(server, path: str, *items: str) -> str:
    """Write-Attributes; gives the code of the answer."""
    return server.request(PUT, path, [(URI_QUERY, item.encode()) for item in items]).code_text


def change(device, path: str, new) -> None:
    device.command(f"set {path} {new}")
    device.settle()


def leap(device, seconds: float) -> None:
    device.command(f"clock +{seconds}")
    device.settle()
