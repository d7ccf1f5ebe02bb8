"""A registered device of which the test plays every move, and HTTP requests that wait for it."""

from __future__ import annotations

import threading
from http.client import HTTPException

import pytest
from berth_process import Berth, Response, segment
from coapraw import (
    ACCEPT,
    ACK,
    CON,
    CONTENT_FORMAT,
    EMPTY,
    RST,
    URI_PATH,
    URI_QUERY,
    Coap,
    code,
    uint,
)

TEXT, LINK, OPAQUE, CBOR, SENML_JSON, SENML_CBOR = 0, 40, 42, 60, 110, 112
ETCH_JSON, ETCH_CBOR, TLV, OMA_JSON, LWM2M_CBOR = 320, 322, 11542, 11543, 11544


class Asked:
    """An HTTP request under way."""

    def __init__(self, berth: Berth, *args: object, **kwargs: object):
        self.response: Response | None = None
        self.thread = threading.Thread(target=self._run, args=(berth, args, kwargs), daemon=True)
        self.thread.start()

    def _run(self, berth: Berth, args: tuple, kwargs: dict) -> None:
        try:
            self.response = berth.http(*args, **kwargs)
        except (OSError, HTTPException):  # answer() says that there was none
            pass

    def answer(self, status: int | None = None) -> Response:
        self.thread.join(30)
        assert self.response is not None, "no answer over HTTP"
        assert status is None or self.response.status == status, f"{self.response.status} {self.response.body!r}"
        return self.response


class PlayedDevice:
    def __init__(self, berth: Berth, endpoint: str, **kwargs: object):
        self.berth = berth
        self.endpoint = endpoint
        self.registered = berth.register(endpoint, **kwargs)
        self.peer = self.registered.peer

    # ---- what a test asks over HTTP ----

    def ask(self, method: str, path: str, *args: object, **kwargs: object) -> Asked:
        """ask("GET", "/3/0/9"): below the device's URL."""
        return Asked(self.berth, method, f"/v1/devices/{segment(self.endpoint)}{path}", *args, **kwargs)

    def http(self, method: str, path: str, *args: object, **kwargs: object) -> Response:
        """What is answered without the device."""
        answer = self.ask(method, path, *args, **kwargs).answer()
        self.peer.expect_silence()
        return answer

    # ---- what the server asks ----

    def expect(self, method: int, path: str) -> Coap:
        """The next message must be this request, confirmable."""
        message = self.peer.receive(10)
        assert message is not None, f"no request {method} {path}"
        assert (message.type, message.code, path_of(message)) == (CON, method, path), message
        return message

    def answer(self, request: Coap, text: str, format: int | None = None, payload: bytes = b"", *options: tuple[int, bytes]):
        """A piggybacked answer: answer(request, "2.05", TEXT, b"95")."""
        formats = [] if format is None else [(CONTENT_FORMAT, uint(format))]
        self.peer.send(Coap(ACK, code(text), request.mid, request.token, formats + list(options), payload))

    def acknowledge(self, request: Coap) -> None:
        self.peer.send(Coap(ACK, EMPTY, request.mid))

    def reset(self, request: Coap) -> None:
        self.peer.send(Coap(RST, EMPTY, request.mid))

    def answer_separately(self, request: Coap, text: str, format: int | None = None, payload: bytes = b"") -> Coap:
        """A CON of its own, whose ACK is awaited."""
        formats = [] if format is None else [(CONTENT_FORMAT, uint(format))]
        mid = self.peer.next_mid()
        self.peer.send(Coap(CON, code(text), mid, request.token, formats, payload))
        ack = self.peer.receive()
        assert (ack.type, ack.code, ack.mid) == (ACK, EMPTY, mid), ack
        return ack

    # ---- both in one ----

    def read(self, path: str, format: int | None, payload: bytes, status: int | None = 200, **kwargs: object) -> Response:
        """The HTTP answer to a Read that the device answers with 2.05 and this."""
        asked = self.ask("GET", path, **kwargs)
        self.answer(self.expect(1, path), "2.05", format, payload)
        return asked.answer(status)

    def write(self, method: str, path: str, body: object, expected: int, text: str = "2.04", **kwargs: object) -> Coap:
        """The CoAP request that a call makes; it is answered with success."""
        asked = self.ask(method, path, body, **kwargs)
        request = self.expect(expected, path)
        self.answer(request, text)
        asked.answer(201 if text == "2.01" else 204)
        return request


def path_of(message: Coap) -> str:
    return "".join("/" + value.decode() for value in message.all(URI_PATH)) or "/"


def query_of(message: Coap) -> list[str]:
    return [value.decode() for value in message.all(URI_QUERY)]


def format_of(message: Coap) -> int | None:
    return message.number(CONTENT_FORMAT)


def accept_of(message: Coap) -> int | None:
    return message.number(ACCEPT)


@pytest.fixture
def play(berth):
    """play("dev1", version="1.0") -> a PlayedDevice that has registered."""

    def start(endpoint: str = "dev1", **kwargs: object) -> PlayedDevice:
        return PlayedDevice(berth, endpoint, **kwargs)

    return start
