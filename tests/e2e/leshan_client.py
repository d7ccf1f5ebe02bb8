"""A client of the Leshan demo servers' HTTP API, as test scripts have one: it knows nothing of Berth."""

from __future__ import annotations

import http.client
import json
import socket
import time
from urllib.parse import quote, urlencode


class LeshanClient:
    def __init__(self, port: int):
        self.port = port

    def call(self, method: str, path: str, body: object = None, type: str | None = None, **query: object):
        """(status, JSON or text). A body of text goes as `type`, anything else as JSON. A parameter that is True has no
        value, as in ?active."""
        flags = [name for name, value in query.items() if value is True]
        pairs = {name: value for name, value in query.items() if value is not True}
        tail = "&".join([*flags, *([urlencode(pairs, safe="/,")] if pairs else [])])
        if body is not None and type is None:
            body, type = json.dumps(body), "application/json"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path + ("?" + tail if tail else ""), body, {"Content-Type": type} if type else {})
            answer = connection.getresponse()
            content = answer.read()
            is_json = answer.headers.get("Content-Type", "").startswith("application/json")
            return answer.status, json.loads(content) if is_json else content.decode()
        finally:
            connection.close()

    def good(self, method: str, path: str, *args: object, **kwargs: object):
        status, answer = self.call(method, path, *args, **kwargs)
        assert status == 200, f"{method} {path}: {status} {answer}"
        return answer

    # ---- clients ----

    def clients(self) -> list[dict]:
        return self.good("GET", "/api/clients")

    def client(self, endpoint: str) -> dict:
        return self.good("GET", f"/api/clients/{quote(endpoint, safe='')}")

    def device(self, method: str, endpoint: str, path: str, *args: object, **kwargs: object) -> dict:
        """What the device has said."""
        return self.good(method, f"/api/clients/{quote(endpoint, safe='')}{path}", *args, **kwargs)

    def read(self, endpoint: str, path: str, **query: object) -> dict:
        """The node at a path."""
        answer = self.device("GET", endpoint, path, **query)
        assert (answer["status"], answer["valid"], answer["success"], answer["failure"]) == (
            "CONTENT(205)",
            True,
            True,
            False,
        ), answer
        return answer["content"]

    # ---- events ----

    def events(self, endpoint: str | None = None) -> Events:
        return Events(self.port, endpoint)


class Events:
    """A stream of Server-Sent Events, open when this returns."""

    def __init__(self, port: int, endpoint: str | None):
        target = "/api/event" + (f"?ep={quote(endpoint, safe='')}" if endpoint is not None else "")
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n"
        self.socket.sendall(request.encode())
        self.input = self.socket.makefile("rb")
        head = []
        while (line := self.input.readline().strip()) != b"":
            head.append(line.decode())
        assert head[0].startswith("HTTP/1.1 200") and "Content-Type: text/event-stream" in head, head
        self.seen: list[tuple[str, dict]] = []

    def next(self) -> tuple[str, dict]:
        """The next event: its name and data."""
        name = None
        while line := self.input.readline():
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                event = name, json.loads(value)
                self.seen.append(event)
                return event
        raise AssertionError(f"the stream has ended after {self.seen}")

    def await_event(self, name: str, timeout: float = 20) -> dict:
        """The data of the next event of that name; others before it are passed over."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found, data = self.next()
            if found == name:
                return data
        raise AssertionError(f"no {name} in {self.seen}")

    def close(self) -> None:
        self.input.close()
        self.socket.close()

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
