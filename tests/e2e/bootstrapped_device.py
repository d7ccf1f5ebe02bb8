"""A device of which the test plays the bootstrap, and what it was given."""

from __future__ import annotations

import time

from coapraw import (
    ACCEPT,
    ACK,
    BLOCK1,
    CON,
    CONTENT_FORMAT,
    DELETE,
    EMPTY,
    GET,
    POST,
    PUT,
    RST,
    SIZE1,
    URI_PATH,
    URI_QUERY,
    Coap,
    Peer,
    block,
    code,
    uint,
)
from lwm2mraw import TLV, decode
from played_device import LINK, path_of

# What resources of the account objects are.
TYPES = {
    "/0/0": "string", "/0/1": "boolean", "/0/2": "integer", "/0/3": "opaque", "/0/4": "opaque", "/0/5": "opaque",
    "/0/10": "integer", "/0/11": "integer", "/0/12": "integer", "/0/14": "string", "/0/15": "unsigned", "/0/16": "unsigned",
    "/0/17": "objlnk", "/0/25": "string",
    "/1/0": "integer", "/1/1": "integer", "/1/2": "integer", "/1/6": "boolean", "/1/7": "string",
    "/2/0": "integer", "/2/1": "integer", "/2/2": "integer", "/2/3": "integer",
    "/3/13": "time", "/3/14": "string", "/3/15": "string",
    "/21/0": "opaque", "/21/1": "opaque", "/21/2": "opaque", "/21/3": "integer", "/21/5": "opaque", "/21/6": "opaque",
}  # fmt: skip


class Types:
    """By the path of a resource, whatever its instance."""

    def __getitem__(self, path: str) -> str:
        object_id, _, resource = path.strip("/").split("/")
        return TYPES[f"/{object_id}/{resource}"]


def values_of(format: int, path: str, payload: bytes) -> dict[str, object]:
    return decode(format, path, payload, Types())


class Command:
    """What the server asked, its body whole."""

    def __init__(self, message: Coap, body: bytes):
        self.message = message
        self.method = message.code
        self.path = path_of(message)
        self.format = message.number(CONTENT_FORMAT)
        self.body = body

    @property
    def name(self) -> str:
        return f"{ {GET: 'GET', POST: 'POST', PUT: 'PUT', DELETE: 'DELETE'}[self.method] } {self.path}"

    @property
    def values(self) -> dict[str, object]:
        return values_of(self.format, self.path, self.body)


class BootstrapDevice:
    """Its peer is a Peer or DtlsPeer. `links` is what it answers a Discover; None refuses them."""

    def __init__(self, peer: Peer, endpoint: str | None = "dev1", links: bytes | None = b"</0/0>", szx: int = 6):
        self.peer = peer
        self.endpoint = endpoint
        self.links = links
        self.szx = szx
        self.commands: list[Command] = []
        self.reads: dict[str, tuple[int, bytes]] = {}

    def ask(self, *more: str) -> Coap:
        query = ([] if self.endpoint is None else [f"ep={self.endpoint}"]) + list(more)
        return self.peer.request(POST, "/bs", query)

    def begin(self, *more: str) -> None:
        answer = self.ask(*more)
        assert answer.code_text == "2.04", f"{answer.code_text} {answer.payload!r}"

    def next(self, timeout: float = 10) -> Command:
        """The next command; blocks before its last one are answered with 2.31."""
        body = b""
        while True:
            message = self.peer.receive(timeout)
            assert message is not None, f"no command after {[c.name for c in self.commands]}"
            assert message.type == CON and message.code in (GET, POST, PUT, DELETE), message
            assert not message.all(URI_QUERY)
            value = message.number(BLOCK1)
            if value is None:
                return Command(message, message.payload)
            number, more, szx = value >> 4, bool(value & 8), value & 7
            assert number * 16 << szx == len(body)
            if number == 0 and szx > self.szx:  # smaller ones, please
                answer = Coap(ACK, code("4.13"), message.mid, message.token, [(BLOCK1, block(0, True, self.szx))])
                self.peer.send(answer)
                continue
            body += message.payload
            if not more:
                return Command(message, body)
            self.peer.send(Coap(ACK, code("2.31"), message.mid, message.token, [(BLOCK1, value.to_bytes(3, "big").lstrip(b"\0"))]))

    def answer(self, command: Command, text: str | None = None, payload: bytes = b"", format: int | None = None) -> None:
        text = text or {GET: "2.05", POST: "2.04", PUT: "2.04", DELETE: "2.02"}[command.method]
        options = [] if format is None else [(CONTENT_FORMAT, uint(format))]
        value = command.message.number(BLOCK1)
        if value is not None:
            options.append((BLOCK1, uint(value)))
        self.peer.send(Coap(ACK, code(text), command.message.mid, command.message.token, options, payload))

    def accept(self, command: Command) -> None:
        if command.method != GET:
            self.answer(command)
        elif command.message.number(ACCEPT) == LINK:
            if self.links is None:
                self.answer(command, "4.05")
            else:
                self.answer(command, "2.05", self.links, LINK)
        else:
            format, payload = self.reads[command.path]
            self.answer(command, "2.05", payload, format)

    def take(self, name: str | None = None) -> Command:
        """The next command, which is accepted; it must be this one."""
        command = self.next()
        self.commands.append(command)
        assert name is None or command.name == name, command.name
        self.accept(command)
        return command

    def until(self, name: str) -> Command:
        """Commands before this one are accepted; it is not answered."""
        while True:
            command = self.next()
            if command.name == name:
                return command
            self.commands.append(command)
            self.accept(command)

    def run(self, *more: str) -> BootstrapDevice:
        """A whole bootstrap that goes well."""
        self.begin(*more)
        while self.take().name != "POST /bs":
            pass
        return self

    @property
    def names(self) -> list[str]:
        return [command.name for command in self.commands]

    @property
    def given(self) -> dict[str, object]:
        """Every value that was written: {"/0/1/0": uri …}."""
        found: dict[str, object] = {}
        for command in self.commands:
            if command.method == PUT:
                found |= command.values
        return found

    def account(self, short_id: int = 1) -> dict[str, object]:
        """The Security instance with this short id: {"0": uri …}."""
        given = self.given
        (path,) = (path for path, value in given.items() if path.startswith("/0/") and path.endswith("/10") and value == short_id)
        base = path[: -len("10")]
        return {name[len(base) :]: value for name, value in given.items() if name.startswith(base)}

    def reset(self, command: Command) -> None:
        self.peer.send(Coap(RST, EMPTY, command.message.mid))

    def separately(self, command: Command, text: str, timeout: float = 5) -> None:
        """An empty ACK, then a CON of its own that must be acknowledged."""
        self.peer.send(Coap(ACK, EMPTY, command.message.mid))
        mid = self.peer.next_mid()
        self.peer.send(Coap(CON, code(text), mid, command.message.token))
        deadline = time.monotonic() + timeout
        ack = self.peer.receive(max(0.0, deadline - time.monotonic()))
        assert ack is not None and (ack.type, ack.code, ack.mid) == (ACK, EMPTY, mid), ack


__all__ = ["BootstrapDevice", "Command", "SIZE1", "TLV", "URI_PATH", "values_of"]
