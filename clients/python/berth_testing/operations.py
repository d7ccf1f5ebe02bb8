"""What a server may ask of a device: the operations of LwM2M, their data as values of Python."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Optional

from .durations import Duration, seconds, text
from .errors import BerthError
from .events import After, Event, Events, Expected
from .http_api import MARGIN_S, Answer, segment
from .values import decode, encode

__tracebackhide__ = True  # by pytest: a failure is that of the line in the test

# A device may take so long: retransmissions (93 s), then a response that comes apart from its ACK (RFC 7252 §4.8.2).
_DEVICE_S = 350.0


def _depth(path: str) -> int:
    return len(path.strip("/").split("/"))


def _value(value: Any, path: str) -> str:
    """A body that writes it. Text is a value in JSON, too."""
    return json.dumps(encode(value, _depth(path)), allow_nan=False)


class Operations(Events):
    """Every call waits for the device's answer. Its keywords go to the API's parameters of the same name: `format`,
    `force`, `response_timeout` (docs/http-api.md). Raises DeviceError, NotRegistered, NoAnswer, DeviceAsleep,
    NotSent."""

    def _ask(
        self,
        method: str,
        endpoint: str,
        path: str,
        body: Any = None,
        parameters: Optional[Mapping[str, Any]] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Answer:
        query = dict(parameters or {})
        if "response_timeout" in query:
            query["response_timeout"] = text(query["response_timeout"])
        target = f"/v1/devices/{segment(endpoint)}/{path.strip('/')}"
        return self.call(method, target, body, headers=headers, query=query, timeout=_DEVICE_S)

    # ---- data ----

    def read(self, endpoint: str, path: str, **parameters: Any) -> Any:
        """Read: the value of a resource, or a dict of what is below an instance or object, by numbers."""
        return decode(self.read_data(endpoint, path, **parameters))

    def read_data(self, endpoint: str, path: str, **parameters: Any) -> dict[str, Any]:
        """Read, as the API tells it: with types, and with names when `names=True`."""
        data: dict[str, Any] = self._ask("GET", endpoint, path, parameters=parameters).json
        return data

    def write(self, endpoint: str, path: str, value: Any, **parameters: Any) -> None:
        """Write (replace): a value to a resource, a dict to one with instances or to an instance."""
        self._ask("PUT", endpoint, path, _value(value, path), parameters, headers=_JSON)

    def write_partial(self, endpoint: str, path: str, value: Mapping[int, Any], **parameters: Any) -> None:
        """Write (partial update) of an instance, or of the instances of a resource."""
        self._ask("PATCH", endpoint, path, _value(value, path), parameters, headers=_JSON)

    def execute(self, endpoint: str, path: str, arguments: str = "", **parameters: Any) -> None:
        """Execute; arguments as the standard writes them: "0='abc',1"."""
        self._ask("POST", endpoint, path, arguments, parameters, headers={"Content-Type": "text/plain"})

    def create(
        self, endpoint: str, path: str, resources: Mapping[int, Any], instance: Optional[int] = None, **parameters: Any
    ) -> str:
        """Create an instance of the object `path`; the path that it has. The device numbers it when it has no
        number."""
        body = encode(resources, 2)
        if instance is not None:
            body["instance"] = instance
        answer = self._ask("POST", endpoint, path, body, parameters)
        return "/" + "/".join(answer.headers.get("Location", "").split("/")[4:])  # behind /v1/devices/{ep}

    def delete(self, endpoint: str, path: str, **parameters: Any) -> None:
        """Delete an instance, or an instance of a resource."""
        self._ask("DELETE", endpoint, path, parameters=parameters)

    def discover(
        self, endpoint: str, path: str, depth: Optional[int] = None, **parameters: Any
    ) -> dict[str, dict[str, Any]]:
        """Discover: the attributes of everything below, by path."""
        query = {"depth": depth, **parameters}
        links = self._ask("GET", endpoint, path.rstrip("/") + "/discover", parameters=query).json
        return {link["path"]: link["attributes"] for link in links["links"]}

    def write_attributes(self, endpoint: str, path: str, **attributes: Any) -> None:
        """Write-Attributes: pmin, pmax, gt, lt, st, epmin, epmax, edge, con, hqmax; None unsets one."""
        self._ask("PUT", endpoint, path.rstrip("/") + "/attributes", attributes)

    # ---- several paths at once ----

    def read_composite(self, endpoint: str, paths: Sequence[str], **parameters: Any) -> dict[str, Any]:
        """Read-Composite: values by the paths of their resources."""
        data = self._ask("POST", endpoint, "composite/read", {"paths": list(paths)}, parameters).json
        return {path: decode(value) for path, value in data["resources"].items()}

    def write_composite(self, endpoint: str, values: Mapping[str, Any], **parameters: Any) -> None:
        """Write-Composite: all of these or none."""
        body = {path: encode(value, _depth(path)) for path, value in values.items()}
        self._ask("POST", endpoint, "composite/write", body, parameters)

    # ---- observations ----

    def observe(self, endpoint: str, path: str, **attributes: Any) -> Observation:
        """Observe. Attributes are for this observation alone, which LwM2M 1.2 allows."""
        after = self.cursor()
        answer = self._ask("PUT", endpoint, path.rstrip("/") + "/observe", attributes or None)
        return Observation(self, endpoint, answer, after, decode(answer.json))

    def observe_composite(self, endpoint: str, paths: Sequence[str], **attributes: Any) -> Observation:
        """Observe-Composite; its `value` is a dict by path."""
        after = self.cursor()
        body = {"paths": list(paths), **({"attributes": attributes} if attributes else {})}
        answer = self._ask("POST", endpoint, "composite/observe", body)
        first = {path: decode(value) for path, value in answer.json["resources"].items()}
        return Observation(self, endpoint, answer, after, first)

    def observations(self, endpoint: str) -> list[dict[str, Any]]:
        return self.pages(f"/v1/devices/{segment(endpoint)}/observations")

    # ---- what is not data ----

    def request(self, endpoint: str, method: str, path: str, **members: Any) -> dict[str, Any]:
        """Any CoAP request: `query`, `payload`, `payload_b64`, `content_format`, `accept`, `confirmable`, `options`.
        The answer is returned also when it is an error: `code`, `payload_b64`, `options`, `rtt_ms`."""
        body = {"method": method, "path": path, **members}
        answer: dict[str, Any] = self._ask("POST", endpoint, "requests", body).json
        return answer

    def ping(self, endpoint: str) -> dict[str, Any]:
        """A CoAP ping: `rtt_ms`, `retransmissions`."""
        answer: dict[str, Any] = self._ask("POST", endpoint, "ping").json
        return answer

    def trigger_update(self, endpoint: str, timeout: Duration = 30) -> dict[str, Any]:
        """Registration Update Trigger (1/x/8); the device as it is when its Update has come."""
        query = {"wait": 1, "timeout": text(timeout)}
        answer: dict[str, Any] = self._ask("POST", endpoint, "update", parameters=query).json
        return answer

    def trigger_bootstrap(self, endpoint: str) -> None:
        """Bootstrap-Request Trigger (1/x/9)."""
        self._ask("POST", endpoint, "bootstrap")

    def disable(self, endpoint: str, duration: Optional[Duration] = None) -> None:
        """Disable (1/x/4): the device leaves, and comes back after `duration` or what 1/x/5 says."""
        self._ask("POST", endpoint, "disable", None if duration is None else {"timeout": text(duration)})

    def queue(
        self,
        method: str,
        endpoint: str,
        path: str,
        value: Any = None,
        expires: Optional[Duration] = None,
        **parameters: Any,
    ) -> QueuedRequest:
        """Leave a call in the device's queue, to be done when it is awake (`Prefer: respond-async`). `method` is that
        of the HTTP API: GET reads, PUT writes, POST executes or creates, DELETE deletes."""
        prefer = "respond-async" + ("" if expires is None else f"; expires={text(expires)}")
        headers = {"Prefer": prefer, **(_JSON if value is not None else {})}
        body = None if value is None else _value(value, path)
        answer = self._ask(method, endpoint, path, body, parameters, headers=headers)
        return QueuedRequest(self, int(answer.json["id"]))


_JSON = {"Content-Type": "application/json"}


class Observation:
    """One that the device has accepted, or with `number` None one that it did not, but told the value. As a context
    manager it is cancelled at the end."""

    def __init__(self, api: Operations, endpoint: str, answer: Answer, after: int, value: Any):
        number = answer.headers.get("Observation", "none")
        self._api = api
        self.endpoint = endpoint
        self.number: Optional[int] = None if number == "none" else int(number)
        self.value = value
        """The first value."""
        self.after = after
        """The last event before it began."""

    def _condition(self, value: Any, tests: Mapping[str, Any], path: Optional[str]) -> dict[str, Any]:
        match: dict[str, Any] = {"observation": self.number}
        if value is not None or tests:
            match["value"] = {**({} if value is None else {"eq": value}), **tests}
        if path is not None:
            match["path"] = path
        return match

    def expect(
        self,
        value: Any = None,
        *,
        path: Optional[str] = None,
        after: After = None,
        timeout: Duration = 10,
        **tests: Any,
    ) -> Event:
        """Await the notification of this value, or of one that passes the tests (gt, gte, lt, lte, ne, in, regex):
        `expect(25.0)`, `expect(gte=25)`. The first value counts, too."""
        return self._api.expect(
            "notification",
            endpoint=self.endpoint,
            match=self._condition(value, tests, path),
            after=self.after if after is None else after,
            timeout=timeout,
        )

    def expecting(
        self, value: Any = None, *, path: Optional[str] = None, timeout: Duration = 10, **tests: Any
    ) -> Expected:
        """The same of what the block makes happen: `with observation.expecting(gte=25): …`."""
        match = self._condition(value, tests, path)
        return self._api.expecting("notification", endpoint=self.endpoint, match=match, timeout=timeout)

    def cancel(self, mode: str = "active") -> None:
        """Tell the device (`active`), or reset its next notification (`reset`)."""
        if self.number is not None:
            path = f"observations/{self.number}"
            self._api._ask("DELETE", self.endpoint, path, parameters={"mode": mode})

    def __enter__(self) -> Observation:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            self.cancel("reset")
        except BerthError:  # it is over already, or the device is gone: nothing is left to be cancelled
            pass


class QueuedRequest:
    """A call in a device's queue."""

    def __init__(self, api: Operations, number: int):
        self._api = api
        self.number = number

    @property
    def state(self) -> str:
        """`queued`, `running`, `completed`, `failed`, `expired` or `cancelled`."""
        return str(self._api.call("GET", f"/v1/requests/{self.number}").json["state"])

    def wait(self, timeout: Duration = 30) -> Answer:
        """What the call is answered, when it has been done; raises as the call itself would."""
        path = f"/v1/requests/{self.number}/response"
        return self._api.call("GET", path, query={"timeout": text(timeout)}, timeout=seconds(timeout) + MARGIN_S)

    def value(self, timeout: Duration = 30) -> Any:
        """Of a Read: what was read."""
        return decode(self.wait(timeout).json)

    def cancel(self) -> None:
        self._api.call("DELETE", f"/v1/requests/{self.number}")
