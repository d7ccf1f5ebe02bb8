"""What can go wrong. The text of an exception says what was asked, and what the server said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .telling import tell_condition, tell_event, tell_near_miss

_PROBLEM_URI = "https://berth.dev/problems/"


class BerthError(Exception):
    """The base of all."""


class ProgramNotFound(BerthError):
    """There is no berth-server, berth-device, docker or podman where it is looked for."""


class ProgramEnded(BerthError):
    """A program ended, or did not become ready; the text has what it said."""


class NotReachable(BerthError):
    """There is no answer over HTTP at all."""


class Problem(BerthError):
    """An answer of the server that is an error, RFC 9457."""

    def __init__(self, asked: str, status: int, document: Mapping[str, Any]):
        self.asked = asked
        self.status = status
        self.document = dict(document)
        """All members, also those that have no attribute here."""
        self.kind: str = str(document.get("type", "")).rpartition("/")[2]
        """The last segment of `type`: "not-registered"."""
        self.title: str = str(document.get("title", ""))
        self.detail: str = str(document.get("detail", ""))
        super().__init__(self._text())

    def _text(self) -> str:
        said = ": ".join(part for part in (self.title, self.detail) if part) or "no reason given"
        return f"{self.asked}: {self.status} {said}"


class DeviceError(Problem):
    """The device has answered with an error."""

    @property
    def coap_code(self) -> str:
        """Like "4.04"."""
        return str(self.document.get("coap_code", ""))

    @property
    def diagnostic(self) -> Optional[str]:
        """What the device said about it."""
        return self.document.get("diagnostic")

    def _text(self) -> str:
        return super()._text() + (f" ({self.diagnostic})" if self.diagnostic else "")


class NotRegistered(Problem):
    """There is no such device now."""


class NotSent(Problem):
    """Nothing was sent to the device: the standard, or its version, does not allow it. See `force=True`."""


class NoAnswer(Problem):
    """The device did not answer."""

    @property
    def outcome(self) -> str:
        """`no-ack`, `no-response` (acknowledged, but not answered) or `reset`."""
        return str(self.document.get("outcome", ""))


class DeviceAsleep(Problem):
    """The device is in queue mode and sleeps. See `Berth.queue` and `Berth.wait_awake`."""


class TimedOut(Problem):
    """What was waited for did not happen in time."""


class UnexpectedEvent(Problem):
    """What should be absent has come."""

    @property
    def event(self) -> dict[str, Any]:
        return dict(self.document.get("event", {}))


_BY_KIND: dict[str, type[Problem]] = {
    "device-error": DeviceError,
    "not-registered": NotRegistered,
    "not-sent": NotSent,
    "no-answer": NoAnswer,
    "asleep": DeviceAsleep,
    "timeout": TimedOut,
    "unexpected-event": UnexpectedEvent,
}


def problem(asked: str, status: int, document: Mapping[str, Any]) -> Problem:
    """The exception for an answer; a problem of a kind that is not known here is a Problem."""
    kind = str(document.get("type", ""))
    known = _BY_KIND.get(kind[len(_PROBLEM_URI) :]) if kind.startswith(_PROBLEM_URI) else None
    return (known or Problem)(asked, status, document)


class ExpectationFailed(BerthError, AssertionError):
    """What was expected did not come, or what was not expected did."""

    def __init__(
        self,
        said: str,
        condition: Mapping[str, Any],
        events: Sequence[Mapping[str, Any]] = (),
        near_misses: Sequence[Mapping[str, Any]] = (),
        heading: str = "what came close",
    ):
        self.condition = dict(condition)
        self.events = [dict(event) for event in events]
        """What came of what was expected."""
        self.near_misses = [dict(miss) for miss in near_misses]
        lines = [said, "expected: " + tell_condition(condition)]
        if self.events:
            lines += ["what came:", *("  " + tell_event(event) for event in self.events)]
        if self.near_misses:
            lines += [heading + ":", *("  " + tell_near_miss(miss) for miss in self.near_misses)]
        elif not self.events:
            lines.append("nothing came close")
        super().__init__("\n".join(lines))
