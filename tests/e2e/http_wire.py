"""HTTP as bytes, for what a client library would not send, and Server-Sent Events as they come."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Wire:
    """One TCP connection to the HTTP port."""

    def __init__(self, port: int, timeout: float = 30, receive_buffer: int | None = None, host: str = "127.0.0.1"):
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect((host, port))
        self.input = self.sock.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.input.close()
        self.sock.close()

    def send(self, data: str | bytes) -> Wire:
        self.sock.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def get(self, target: str, *headers: str, method: str = "GET", version: str = "1.1") -> Wire:
        """Send a request without a body."""
        lines = [f"{method} {target} HTTP/{version}", "Host: localhost", *headers, "", ""]
        return self.send("\r\n".join(lines))

    def head(self) -> Answer:
        """Read a status line and header fields."""
        version, status, _ = self.input.readline().decode().split(" ", 2)
        assert version == "HTTP/1.1", version
        headers = {}
        while (line := self.input.readline()) not in (b"\r\n", b""):
            name, value = line.decode().split(":", 1)
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value.strip()
        assert line == b"\r\n", "the head of the answer is cut off"
        return Answer(int(status), headers, b"")

    def answer(self, to: str = "GET") -> Answer:
        """Read an answer with its body; the answer to HEAD has none."""
        answer = self.head()
        if to != "HEAD" and answer.status not in (100, 204):
            answer.body = self.input.read(int(answer.headers["content-length"]))
        return answer

    def at_end(self) -> bool:
        """Whether the server has closed; waits for it, or for further bytes."""
        try:
            return self.input.read(1) == b""
        except ConnectionResetError:
            return True


@dataclass
class SentEvent:
    id: int
    type: str
    data: dict


class EventStream(Wire):
    """GET /v1/events. Iterating gives events and, as str, comments; it ends when the server closes."""

    def __init__(self, port: int, query: str = "", *headers: str, **kwargs: object):
        super().__init__(port, **kwargs)
        self.get(f"/v1/events{query}", *headers)
        self.opening = self.head()
        assert self.opening.status == 200, self.input.read()
        assert self.opening.headers["content-type"] == "text/event-stream"

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> SentEvent | str:
        fields: dict[str, str] = {}
        while line := self.input.readline():
            assert line.endswith(b"\n"), f"cut off: {line!r}"
            text = line.decode().removesuffix("\n")
            if text.startswith(":"):
                assert self.input.readline() == b"\n"
                return text[1:].strip()
            if text == "":
                return SentEvent(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            name, value = text.split(": ", 1)
            assert name not in fields, f"{name} is there twice"
            fields[name] = value
        assert not fields, f"cut off in {fields}"
        raise StopIteration

    def event(self) -> SentEvent:
        """The next event; comments are passed over."""
        return next(item for item in self if isinstance(item, SentEvent))
