"""A client of the Device Management API, as integration tests have one: it knows nothing of Berth."""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import time

from http_wire import Wire


class PelionClient:
    def __init__(self, port: int, key: str = "ak_test"):
        self.port = port
        self.key = key
        self.numbers = itertools.count(1)
        self.messages: dict[str, list] = {}

    def call(
        self, method: str, path: str, body: object = None, headers: dict | None = None
    ):
        """(status, JSON or text). Every request says that it has JSON, also without a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        send = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        send = {name: value for name, value in send.items() if value is not None}
        is_text = body is None or isinstance(body, (str, bytes))
        text = body if is_text else json.dumps(body)
        try:
            connection.request(method, path, text, send)
            answer = connection.getresponse()
            content = answer.read()
            self.headers = answer.headers
            is_json = (answer.headers.get("Content-Type") or "").startswith(
                "application/json"
            )
            return answer.status, json.loads(content) if is_json else content.decode()
        finally:
            connection.close()

    # ---- the channel ----

    def open(self) -> None:
        """It exists: a poll has made it, which is given up."""
        with Wire(self.port) as wire:
            wire.get("/v2/notification/pull", f"Authorization: Bearer {self.key}")
            while self.call("GET", "/v2/notification/channel")[0] != 200:
                pass

    def pull(self) -> None:
        status, message = self.call("GET", "/v2/notification/pull")
        assert status in (200, 204), message
        for kind, entries in (message or {}).items():
            self.messages.setdefault(kind, []).extend(entries)

    def message(self, kind: str, timeout: float = 20, **members: object) -> dict | str:
        """The first message of that kind with these members; it is taken."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for entry in self.messages.get(kind, []):
                if isinstance(entry, str) or members.items() <= entry.items():
                    self.messages[kind].remove(entry)
                    return entry
            self.pull()
        raise AssertionError(f"no {kind} with {members} in {self.messages}")

    def response(self, id: str) -> dict:
        return self.message("async-responses", id=id)

    # ---- devices ----

    def request(
        self,
        device: str,
        method: str,
        uri: str,
        payload: bytes | None = None,
        **more: str,
    ) -> dict:
        """Ask a device, and await the answer."""
        id = f"id-{next(self.numbers)}"
        body = {"method": method, "uri": uri, **more}
        if payload is not None:
            body["payload-b64"] = base64.b64encode(payload).decode()
        status, answer = self.call(
            "POST", f"/v2/device-requests/{device}?async-id={id}", body
        )
        assert (status, answer) == (202, "")
        return self.response(id)

    def read(self, device: str, uri: str) -> str:
        answer = self.request(device, "GET", uri)
        assert (answer["status"], answer["ct"]) == (200, "text/plain"), answer
        return decoded(answer)


def decoded(answer: dict) -> str:
    return base64.b64decode(answer["payload"]).decode()
