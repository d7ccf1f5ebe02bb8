"""A Berth that runs, wherever: everything that a test does with it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from . import programs
from .control import Control
from .device import Device
from .durations import Duration, seconds
from .errors import BerthError

__tracebackhide__ = True  # by pytest: a failure is that of the line in the test

_SECURED = ("--psk", "--cert")
_PORTS = {"coap": 5683, "coap+tcp": 5683, "coaps": 5684, "coaps+tcp": 5684}


class Berth(Control):
    """Made by `start` or `attach`. As a context manager it is closed at the end, with all that was started through
    it."""

    # The program berth-device; that of the same build as the server, if we have started one.
    _beside: Optional[Path] = None

    def __init__(
        self,
        url: str,
        uris: Optional[Mapping[str, str]] = None,
        api_key: Optional[str] = None,
        timeout: float = 30.0,
        tls: Optional[ssl.SSLContext] = None,
    ):
        super().__init__(url, api_key, timeout, tls)
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {scheme: f"{scheme}://{host}:{port}" for scheme, port in _PORTS.items()}
        self._uris = dict(default if uris is None else uris)
        self._devices: list[Device] = []

    # ---- devices ----

    def uri(self, scheme: str = "coap") -> str:
        """Where devices find it by coap, coaps, coap+tcp or coaps+tcp."""
        if scheme not in self._uris:
            raise ValueError(f"it does not listen for {scheme}, but for {', '.join(self._uris) or 'nothing'}")
        return self._uris[scheme]

    def device(
        self,
        endpoint: str,
        *options: Any,
        server: Optional[str] = None,
        program: Optional[programs.Program] = None,
        env: Optional[Mapping[str, str]] = None,
    ) -> Device:
        """Start a berth-device that registers here, with these options (docs/device.md): `device("dev1",
        "--lifetime", 60)`, `device("dev2", "--psk", berth.psk("dev2"))`. It comes by coap, or coaps if it has a key
        or certificate; `server` is another of the `uri`s. It is killed when the test is over."""
        found = programs.find("berth-device", program, "BERTH_DEVICE", self._beside)
        texts = [os.fspath(option) if isinstance(option, os.PathLike) else str(option) for option in options]
        secured = any(text.partition("=")[0] in _SECURED for text in texts)
        uri = server if server is not None else self.uri("coaps" if secured else "coap")
        device = Device(found, endpoint, "--server", uri, *texts, env=env)
        self._devices.append(device)
        self._undo.append(device.kill)
        return device

    @property
    def started_devices(self) -> list[Device]:
        """What `device` has started in this test."""
        return list(self._devices)

    def leap_with(self, duration: Duration, *devices: Device, step: Duration = 60) -> None:
        """Leap this far together with devices, so that their Updates come when they are due and nobody expires.
        `step` must be shorter than their lifetimes."""
        left, most = seconds(duration), seconds(step)
        if most <= 0:
            raise ValueError("step must be longer than nothing")
        while left > 0:
            part = min(left, most)
            for device in devices:
                device.leap(part)
            self.leap(part)
            # What they sent lies before the server by now: with the next request, at the latest, it has answered, and
            # then each device has heard it. Else it would leap on with an Update that seems lost.
            self.clock()
            for device in devices:
                device.settle()
            left -= part

    # ---- the end ----

    def tidy(self) -> None:
        super().tidy()
        self._devices.clear()

    @property
    def is_running(self) -> bool:
        """False when a server that we have started has ended."""
        return True

    def kill(self) -> None:
        """It dies without a chance to do anything about it. `restart` brings it back."""
        raise BerthError(f"{self.url} was not started here, and is not ended here")

    def stop(self) -> None:
        """End it properly. Raises ProgramEnded when it had ended before by itself, or ends with an error."""
        raise BerthError(f"{self.url} was not started here, and is not ended here")

    def restart(self) -> None:
        """End it, if it runs, and start it again with the same ports and data."""
        raise BerthError(f"{self.url} was not started here, and is not started again")

    def log(self) -> str:
        """What the server has logged; nothing, if it was not started here."""
        return ""

    def close(self) -> None:
        self.tidy()

    def __enter__(self) -> Berth:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def attach(
    url: str,
    uris: Optional[Mapping[str, str]] = None,
    api_key: Optional[str] = None,
    timeout: float = 30.0,
    tls: Optional[ssl.SSLContext] = None,
) -> Berth:
    """Use a Berth that runs already; expectations look at what happens from now on. `uris` says where devices find
    it, by scheme: the usual ports of its host, if it is left out."""
    berth = Berth(url, uris, api_key, timeout, tls)
    berth.mark()
    return berth
