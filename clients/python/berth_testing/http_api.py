"""One call of Berth's HTTP API."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any, Optional
from urllib.parse import quote, urlencode, urlsplit

from .errors import NotReachable, problem

__tracebackhide__ = True  # by pytest: a failure is that of the line in the test

# Beyond what the server was told to wait: until its answer is here on a machine that is busy with tests.
MARGIN_S = 20.0


def segment(endpoint: str) -> str:
    """An endpoint name as the one path segment that the API takes."""
    return quote(endpoint, safe="")


class Answer:
    """An answer that is no error."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        """What it says in JSON; None when it says nothing."""
        return json.loads(self.body) if self.body else None


class HttpApi:
    """Calls, each on a connection of its own, so that they may come from several threads."""

    def __init__(
        self,
        url: str,
        api_key: Optional[str] = None,
        timeout: float = 30.0,
        tls: Optional[ssl.SSLContext] = None,
    ):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http:// or https:// URL")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self.host: str = parts.hostname
        self.timeout = timeout
        self._port = parts.port
        self._api_key = api_key
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Optional[Mapping[str, str]] = None,
        query: Optional[Mapping[str, Any]] = None,
        timeout: Optional[float] = None,
    ) -> Answer:
        """Any call of the API. A body of bytes or text is sent as it is, anything else but None as JSON.

        `timeout` is how many seconds the answer may take at most. Raises Problem, or what it is more precisely, when
        the answer is an error, and NotReachable when there is none.
        """
        fields = {"Connection": "close", **(headers or {})}
        if self._api_key is not None:
            fields["Authorization"] = f"Bearer {self._api_key}"
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body, allow_nan=False)
            fields.setdefault("Content-Type", "application/json")
        given = {name: _query_text(value) for name, value in (query or {}).items() if value is not None}
        target = path + ("?" + urlencode(given) if given else "")
        answer = self._exchange(method, target, body, fields, self.timeout if timeout is None else timeout)
        if answer.status >= 400:
            raise problem(f"{method} {target}", answer.status, _document(answer))
        return answer

    def pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a list that comes in pages."""
        items: list[dict[str, Any]] = []
        cursor: Optional[str] = None
        while True:
            page = self.call("GET", path, query={**query, "cursor": cursor}).json
            items += page["items"]
            cursor = page.get("next")
            if cursor is None:
                return items

    def _exchange(self, method: str, target: str, body: Any, headers: Mapping[str, str], timeout: float) -> Answer:
        connection: http.client.HTTPConnection
        if self._tls is not None:
            connection = http.client.HTTPSConnection(self.host, self._port, timeout=timeout, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self.host, self._port, timeout=timeout)
        data = body.encode() if isinstance(body, str) else body
        try:
            connection.request(method, target, data, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.msg, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise NotReachable(f"{method} {self.url}{target}: {error or type(error).__name__}") from error
        finally:
            connection.close()


def _query_text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _document(answer: Answer) -> dict[str, Any]:
    """Of an error; whatever stands between us and the server may answer, too."""
    try:
        document = answer.json
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    return {"title": answer.body[:200].decode(errors="replace")}
