"""Waiting for what devices do. Nothing here sleeps or polls: the server answers when it has happened.

`expect` looks at everything that happened since the *mark*: the moment at which the test began, the last `reset()`,
or `mark()`. So it does not matter whether the event came before or after the call. Of two expectations of the same
kind, give the second `after=` the first event. `expecting` is for what a block makes happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Optional, Union

from .durations import Duration, seconds, text
from .errors import ExpectationFailed, TimedOut, UnexpectedEvent
from .http_api import MARGIN_S, HttpApi, segment

__tracebackhide__ = True  # by pytest: a failure is that of the line in the test

Event = dict[str, Any]
Condition = Union[str, Mapping[str, Any]]
After = Union[int, Mapping[str, Any], None]

_PAGE = 1000
_NEAR_MISSES = 10


class Events(HttpApi):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._mark: Optional[int] = None

    # ---- the log ----

    def cursor(self) -> int:
        """The number of the last event."""
        return int(self.call("GET", "/v1/events/last").json["last"])

    def mark(self) -> int:
        """From now on expectations look only at what comes after this moment."""
        self._mark = self.cursor()
        return self._mark

    def events(
        self, type: Union[str, Sequence[str], None] = None, *, endpoint: Optional[str] = None, after: After = None
    ) -> list[Event]:
        """All that there are now, since the mark or after an event."""
        number = self._number(after)
        types = type if type is None or isinstance(type, str) else ",".join(type)
        query = {"poll": 1, "timeout": "0s", "limit": _PAGE, "types": types, "endpoint": endpoint}
        found: list[Event] = []
        while True:
            items = self.call("GET", "/v1/events", query={**query, "after": number}).json["items"]
            found += items
            if not items:
                return found
            number = items[-1]["id"]

    def _number(self, after: After) -> int:
        if after is None:
            return self._mark if self._mark is not None else 0
        return after if isinstance(after, int) else int(after["id"])

    # ---- expectations ----

    def expect(
        self,
        type: Union[str, Sequence[str], None] = None,
        *,
        endpoint: Optional[str] = None,
        match: Optional[Mapping[str, Any]] = None,
        after: After = None,
        timeout: Duration = 10,
        **members: Any,
    ) -> Event:
        """Await an event: the first of this type, endpoint, and members. A member is a value or a test:
        `expect("registered", endpoint="dev1", lifetime_s={"gte": 60})`; `match` is for members with other names.
        Raises ExpectationFailed, with what came close."""
        condition = _condition(type, endpoint, match, members)
        event: Event = self._wait(condition, after, timeout)
        return event

    def expect_count(
        self,
        count: int,
        type: Union[str, Sequence[str], None] = None,
        *,
        endpoint: Optional[str] = None,
        match: Optional[Mapping[str, Any]] = None,
        after: After = None,
        timeout: Duration = 10,
        **members: Any,
    ) -> list[Event]:
        """Await so many events of one kind."""
        condition = {**_condition(type, endpoint, match, members), "count": count}
        return _list(self._wait(condition, after, timeout))

    def expect_all(
        self, *conditions: Condition, endpoint: Optional[str] = None, after: After = None, timeout: Duration = 10
    ) -> list[Event]:
        """Await an event for each condition, in any order. A condition is a type, or a dict of `type`, `endpoint` and
        `match`; `endpoint` is for those that have none."""
        return _list(self._wait(_several("all", conditions, endpoint), after, timeout))

    def expect_sequence(
        self, *conditions: Condition, endpoint: Optional[str] = None, after: After = None, timeout: Duration = 10
    ) -> list[Event]:
        """The same in this order, whatever comes between."""
        return _list(self._wait(_several("sequence", conditions, endpoint), after, timeout))

    def expect_none(
        self,
        type: Union[str, Sequence[str], None] = None,
        *,
        endpoint: Optional[str] = None,
        match: Optional[Mapping[str, Any]] = None,
        after: After = None,
        within: Duration = 0,
        **members: Any,
    ) -> None:
        """There is no such event, nor does one come `within` this time: of the protocol, so a leap of another thread
        shortens it. With nothing to wait for, leap first: see `expecting_none`."""
        condition = {**_condition(type, endpoint, match, members), "absent": True}
        self._wait(condition, after, within)

    def expecting(
        self,
        type: Union[str, Sequence[str], None] = None,
        *,
        endpoint: Optional[str] = None,
        match: Optional[Mapping[str, Any]] = None,
        timeout: Duration = 10,
        **members: Any,
    ) -> Expected:
        """What the block makes happen; at its end the event is awaited, and `event` is it:

        with berth.expecting("updated", endpoint="dev1") as event:
            device.update()
        assert event["lifetime_s"] == 300
        """
        condition = _condition(type, endpoint, match, members)
        return Expected(self, lambda after: [self._wait(condition, after, timeout)])

    def expecting_all(self, *conditions: Condition, endpoint: Optional[str] = None, timeout: Duration = 10) -> Expected:
        """`expect_all` of what the block makes happen."""
        return Expected(
            self, lambda after: self.expect_all(*conditions, endpoint=endpoint, after=after, timeout=timeout)
        )

    def expecting_sequence(
        self, *conditions: Condition, endpoint: Optional[str] = None, timeout: Duration = 10
    ) -> Expected:
        """`expect_sequence` of what the block makes happen."""
        return Expected(
            self, lambda after: self.expect_sequence(*conditions, endpoint=endpoint, after=after, timeout=timeout)
        )

    def expecting_none(
        self,
        type: Union[str, Sequence[str], None] = None,
        *,
        endpoint: Optional[str] = None,
        match: Optional[Mapping[str, Any]] = None,
        within: Duration = 0,
        **members: Any,
    ) -> Expected:
        """What must not happen in the block, nor `within` this time of the protocol after it:

        with berth.expecting_none("updated", endpoint="dev1"):
            berth.leap("1h")
        """
        condition = {**_condition(type, endpoint, match, members), "absent": True}

        def absent(after: After) -> list[Event]:
            self._wait(condition, after, within)
            return []

        return Expected(self, absent)

    def _wait(self, condition: Mapping[str, Any], after: After, timeout: Duration) -> Any:
        body = {**condition, "after": self._number(after), "timeout": text(timeout)}
        try:
            return self.call("POST", "/v1/wait", body, timeout=seconds(timeout) + MARGIN_S).json
        except TimedOut as failure:
            came = [event for event in failure.document.get("events", ()) if event is not None]
            close = failure.document.get("near_misses", ())
            said = f"it did not happen within {text(timeout)}: {failure.detail}"
            raise ExpectationFailed(said, condition, came, close) from None
        except UnexpectedEvent as failure:
            raise ExpectationFailed("it happened, and should not have", condition, [failure.event]) from None

    # ---- the state of a device ----

    def wait_registered(self, endpoint: str, timeout: Duration = 30) -> dict[str, Any]:
        """The device, when it is registered, which it may be already."""
        return self._wait_state(endpoint, "registered", timeout)

    def wait_updated(self, endpoint: str, after: After = None, timeout: Duration = 30) -> dict[str, Any]:
        """The device, after its next Update, or its first after an event."""
        return self._wait_state(endpoint, "updated", timeout, None if after is None else self._number(after))

    def wait_deregistered(self, endpoint: str, timeout: Duration = 30) -> None:
        """When it has left or expired, or is not there at all."""
        self._wait_state(endpoint, "deregistered", timeout)

    def wait_awake(self, endpoint: str, timeout: Duration = 30) -> dict[str, Any]:
        """The device, when it listens: one in queue mode does not always."""
        return self._wait_state(endpoint, "awake", timeout)

    def _wait_state(self, endpoint: str, state: str, timeout: Duration, after: Optional[int] = None) -> dict[str, Any]:
        query = {"wait": state, "timeout": text(timeout), "after": after}
        path = f"/v1/devices/{segment(endpoint)}"
        try:
            device: dict[str, Any] = self.call("GET", path, query=query, timeout=seconds(timeout) + MARGIN_S).json
            return device
        except TimedOut as failure:
            # What else happened is why: a handshake that failed, a Register that was rejected.
            recent = [event for event in self.events() if event.get("endpoint") in (endpoint, None)][-_NEAR_MISSES:]
            condition = {"state": state, "endpoint": endpoint}
            raise ExpectationFailed(failure.detail, condition, (), recent, "what happened instead") from None


class Expected:
    """What a block is to make happen. After the block it is the event that came: `expected["lifetime_s"]`."""

    def __init__(self, api: Events, await_events: Callable[[After], list[Event]]):
        self._api = api
        self._await = await_events
        self._after = 0
        self._events: Optional[list[Event]] = None

    @property
    def events(self) -> list[Event]:
        """All that came, for expectations of several."""
        if self._events is None:
            raise RuntimeError("what is expected is awaited at the end of the block: look at it after that")
        return self._events

    @property
    def event(self) -> Event:
        return self.events[0]

    def __getitem__(self, member: str) -> Any:
        return self.event[member]

    def __contains__(self, member: object) -> bool:
        return member in self.event

    def __iter__(self) -> Iterator[str]:
        return iter(self.event)

    def __repr__(self) -> str:
        return "<Expected, not awaited yet>" if self._events is None else f"<Expected {self._events}>"

    def __enter__(self) -> Expected:
        self._after = self._api.cursor()
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if kind is None:  # else the block's own error says more
            self._events = self._await(self._after)


def _condition(
    type: Union[str, Sequence[str], None],
    endpoint: Optional[str],
    match: Optional[Mapping[str, Any]],
    members: Mapping[str, Any],
) -> dict[str, Any]:
    condition: dict[str, Any] = {}
    if isinstance(type, str):
        condition["type"] = type
    elif type is not None:
        condition["types"] = list(type)
    if endpoint is not None:
        condition["endpoint"] = endpoint
    if match or members:
        condition["match"] = {**(match or {}), **members}
    return condition


def _several(how: str, conditions: Sequence[Condition], endpoint: Optional[str]) -> dict[str, Any]:
    return {how: list(conditions), **({} if endpoint is None else {"endpoint": endpoint})}


def _list(answer: Any) -> list[Event]:
    """Several events come in a list, one (count 1) by itself."""
    events: list[Event] = answer["events"] if "events" in answer else [answer]
    return events
