"""A berth-device process: a device that does what a test tells it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Optional, Union

from .durations import Duration, seconds
from .errors import BerthError, ExpectationFailed, ProgramEnded
from .output import Lines, Log
from .programs import Program, environment

__tracebackhide__ = True  # by pytest: a failure is that of the line in the test

Event = dict[str, Any]
After = Union[int, Mapping[str, Any], None]

_END_S = 20.0
_RECENT = 20
_FENCE = "settled"
_REGISTERED_S = 10.0
_OUTCOMES = ("registered", "registration_failed", "handshake_failed")


class Device:
    """Started with `Berth.device`. What it does is told as events (docs/device.md), each with its `number`. As a
    context manager it is killed at the end of the block, unless it was ended before."""

    def __init__(self, program: Program, endpoint: str, *options: str, env: Optional[Mapping[str, str]] = None):
        self.endpoint = endpoint
        self._log = Log()
        self._mark = 0
        self._process = subprocess.Popen(
            [program, "--endpoint", endpoint, "--json", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log.fileno(),
            env=environment(env),
            start_new_session=True,  # Ctrl-C is for the tests, which then end it
        )
        self._lines = Lines(self._process)

    def __repr__(self) -> str:
        return f"<Device {self.endpoint}>"

    # ---- what it tells ----

    @property
    def events(self) -> list[Event]:
        """All since its start."""
        return [event for place, line in enumerate(self._lines.all()) if (event := _event(place, line))]

    def mark(self) -> int:
        """From now on `expect` looks only at what comes after this moment."""
        self.settle()
        self._mark = len(self._lines.all())
        return self._mark

    def expect(self, event: str, *, after: After = None, timeout: Duration = 10, **members: Any) -> Event:
        """Its first event of this name and with these members, since its start, the mark, or after an event."""
        start = self._mark if after is None else after if isinstance(after, int) else int(after["number"])

        def meets(line: str) -> bool:
            told = _event(0, line)
            return told is not None and told.get("event") == event and members.items() <= told.items()

        place = self._lines.first(meets, start, seconds(timeout))
        if place is None:
            said = f"{self.endpoint} told no such event within {seconds(timeout):g} s"
            if self._lines.ended:
                said = f"{self.endpoint} ended with exit code {self._process.wait(_END_S)}"
            said += f"\n{self.log()}".rstrip()
            told = [{"id": one.pop("number"), "type": one.pop("event"), **one} for one in self.events[-_RECENT:]]
            raise ExpectationFailed(said, {"event": event, **members}, (), told, "what it told instead")
        return _event(place, self._lines.all()[place]) or {}

    def log(self) -> str:
        """What it has written to standard error."""
        return self._log.text()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    # ---- what it is told ----

    def command(self, line: str) -> None:
        """A command of its shell (docs/device.md). It is done some time after this returns: see `settle`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise ProgramEnded(f"{self.endpoint} takes no commands any more\n{self.log()}") from error

    def settle(self, timeout: Duration = 10) -> None:
        """Every command given so far has been done when this returns."""
        start = len(self._lines.all())
        self.command(_FENCE)  # there is no such command: it complains when it comes to that
        if self._lines.first(_is_fence, start, seconds(timeout)) is None:
            raise ProgramEnded(f"{self.endpoint} does not do what it is told, or has ended\n{self.log()}")

    def _do_registered(self, line: str) -> None:
        """The same once it has registered, of which the server knows before the device does."""
        self._await_first("registered")
        self._do(line)

    def _await_first(self, *events: str) -> None:
        self._lines.first(lambda line: (_event(0, line) or {}).get("event") in events, 0, _REGISTERED_S)

    def _do(self, line: str) -> list[Event]:
        """Do it now; what the device told meanwhile. Raises BerthError with its complaint if it has one."""
        start = len(self._lines.all())
        self.command(line)
        self.settle()
        told = [event for event in self.events if event["number"] > start]
        for event in told:
            if event["event"] == "complaint":
                raise BerthError(f"{self.endpoint}: {line}: {event.get('text')}")
        return told

    def set(self, path: str, value: Any) -> None:
        """Change a value, also one that a server may not write; observers are told."""
        text = str(int(value)) if isinstance(value, bool) else str(value)
        self._do(f"set {path.strip('/')} {text}")

    def read(self, path: str) -> Any:
        """The value of a resource, also one that a server may not read."""
        wanted = "/" + path.strip("/")
        for event in self._do(f"read {path.strip('/')}"):
            if event["event"] == "value" and event["path"] == wanted:
                return event["value"]
        raise BerthError(f"{self.endpoint}: {wanted} is no single value")

    def send(self, *paths: str) -> None:
        """LwM2M's Send of these values."""
        self._do_registered("send " + " ".join(path.strip("/") for path in paths))

    def update(self) -> None:
        """Send an Update."""
        self._do_registered("update")

    def register(self) -> None:
        """Register anew."""
        self._do("register")

    def deregister(self) -> None:
        """De-register, and stay so."""
        self._do_registered("deregister")

    def sleep(self) -> None:
        """Hear and tell nothing, until `wake`, an Update or a Send."""
        self._do("sleep")

    def wake(self) -> None:
        self._do("wake")

    def leap(self, duration: Duration) -> None:
        """Leap forward in the device's time; what is due on the way happens. The server has a time of its own."""
        self._await_first(*_OUTCOMES)  # what it counts from
        self._do(f"clock +{max(1, round(seconds(duration)))}s")

    # ---- its end ----

    def stop(self, timeout: float = _END_S) -> int:
        """It de-registers and ends; its exit code."""
        if self.is_running:
            self._await_first(*_OUTCOMES)  # else it would leave while its Register is on the way, and not de-register
            self.command("quit")
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProgramEnded(f"{self.endpoint} did not end within {timeout} s\n{self.log()}") from None
        self._ended()
        return code

    def kill(self) -> None:
        """It dies, and nobody is told."""
        self._process.kill()
        self._process.wait(_END_S)
        self._ended()

    def _ended(self) -> None:
        self._lines.join(_END_S)
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:  # a command that it did not take
                pass

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.kill()


def _is_fence(line: str) -> bool:
    return '"complaint"' in line and f'"{_FENCE}"' in line


def _event(place: int, line: str) -> Optional[Event]:
    """A line as an event, numbered from 1; None when it is none, such as a warning of the run-time library, or ours."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    if not isinstance(told, dict) or "event" not in told or _is_fence(line):
        return None
    return {"number": place + 1, **told}
