"""What a test does to the server: its time, faults, credentials, bootstrap configurations, captures, a clean slate."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, Union

from .durations import Duration, text
from .errors import BerthError, Problem
from .events import Event
from .http_api import segment
from .operations import Operations

__tracebackhide__ = True  # by pytest: a failure is that of the line in the test

_PCAPNG = "application/vnd.tcpdump.pcap"


class Psk:
    """A pre-shared key that the server knows; as text what `berth-device --psk` takes."""

    def __init__(self, identity: str, key: bytes):
        self.identity = identity
        self.key = key

    def __str__(self) -> str:
        return f"{self.identity}:{self.key.hex()}"

    def __repr__(self) -> str:
        return f"<Psk of {self.identity}>"


class Fault:
    """One that was ordered. As a context manager it ends with the block."""

    def __init__(self, api: Control, number: int, after: int):
        self._api = api
        self._path = f"/v1/faults/{number}"
        self._after = after
        self.number = number

    def show(self) -> dict[str, Any]:
        """As the server tells it: what was ordered, whether it is `active`, how often it has `fired`."""
        shown: dict[str, Any] = self._api.call("GET", self._path).json
        return shown

    def expect_fired(self, timeout: Duration = 10) -> Event:
        """Await its next action, or its first if it has acted already."""
        return self._api.expect("fault", match={"fault": self.number}, after=self._after, timeout=timeout)

    def clear(self) -> None:
        """Take it back; when it is over and gone already, that is all the same."""
        try:
            self._api.call("DELETE", self._path)
        except Problem as error:
            if error.status != 404:
                raise

    def __enter__(self) -> Fault:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.clear()


class Control(Operations):
    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._undo: list[Callable[[], object]] = []

    # ---- time ----

    def clock(self, advance: Optional[Duration] = None) -> dict[str, Any]:
        """Protocol time: `now_s`, `now`. With a duration it leaps first: `clock(+3600)`."""
        if advance is not None:
            return self.leap(advance)
        now: dict[str, Any] = self.call("GET", "/v1/clock").json
        return now

    def leap(self, duration: Duration) -> dict[str, Any]:
        """Leap forward; everything due on the way has happened when this returns."""
        leapt: dict[str, Any] = self.call("POST", "/v1/clock", {"advance": text(duration)}, timeout=300.0).json
        return leapt

    # ---- what goes wrong ----

    def fault(self, endpoint: Optional[str] = None, *, count: Optional[int] = None, **what: Any) -> Fault:
        """Order a fault, of one device or of all: `fault("dev1", drop=True, on="register", count=2)`. The members are
        those of docs/faults.md; `count` is `times`. It is taken back when the test is over."""
        path = "/v1/faults" if endpoint is None else f"/v1/devices/{segment(endpoint)}/faults"
        after = self.cursor()
        ordered = self.call("PUT", path, what if count is None else {**what, "times": count})
        fault = Fault(self, int(ordered.headers["Location"].rpartition("/")[2]), after)
        self._undo.append(fault.clear)
        return fault

    def faults(self, endpoint: Optional[str] = None) -> list[dict[str, Any]]:
        """Those that are ordered, with what they have done."""
        return self.pages("/v1/faults" if endpoint is None else f"/v1/devices/{segment(endpoint)}/faults")

    def clear_faults(self, endpoint: Optional[str] = None) -> None:
        self.call("DELETE", "/v1/faults" if endpoint is None else f"/v1/devices/{segment(endpoint)}/faults")

    # ---- who may come, and what bootstrap gives ----

    def psk(self, endpoint: str, key: Optional[bytes] = None, identity: Optional[str] = None) -> Psk:
        """Give the endpoint a pre-shared key: this one, or a new one; and an identity, or its name."""
        psk = Psk(endpoint if identity is None else identity, secrets.token_bytes(16) if key is None else key)
        self.put_credential(endpoint, mode="psk", identity=psk.identity, key_hex=psk.key.hex())
        return psk

    def put_credential(self, endpoint: str, **credential: Any) -> None:
        """Any credential: `mode="oscore", recipient_id_hex="01", …` (docs/http-api.md). One that was not there before
        is deleted when the test is over."""
        if self.call("PUT", f"/v1/credentials/{segment(endpoint)}", credential).status == 201:
            query = {name: credential.get(name) for name in ("mode", "service")}
            self._undo.append(lambda: self.delete_credential(endpoint, **query))

    def credentials(self, endpoint: Optional[str] = None) -> list[dict[str, Any]]:
        """All of them, or an endpoint's; without their keys."""
        return self.pages("/v1/credentials" + ("" if endpoint is None else "/" + segment(endpoint)))

    def delete_credential(self, endpoint: str, mode: Optional[str] = None, service: Optional[str] = None) -> None:
        self.call("DELETE", f"/v1/credentials/{segment(endpoint)}", query={"mode": mode, "service": service})

    def put_bootstrap(self, endpoint: str, configuration: Mapping[str, Any]) -> None:
        """What bootstrap gives this endpoint, or every other one: "default". One that was not there before is deleted
        when the test is over."""
        if self.call("PUT", f"/v1/bootstrap/{segment(endpoint)}", dict(configuration)).status == 201:
            self._undo.append(lambda: self.delete_bootstrap(endpoint))

    def bootstrap(self, endpoint: str) -> dict[str, Any]:
        configuration: dict[str, Any] = self.call("GET", f"/v1/bootstrap/{segment(endpoint)}").json
        return configuration

    def delete_bootstrap(self, endpoint: str) -> None:
        self.call("DELETE", f"/v1/bootstrap/{segment(endpoint)}")

    def put_object(self, number: int, xml: Union[str, bytes]) -> None:
        """Load the definition of an object, OMA's XML, so that its values have types. One that was not there before is
        deleted when the test is over."""
        if self.call("PUT", f"/v1/objects/{number}", xml, headers={"Content-Type": "application/xml"}).status == 201:
            self._undo.append(lambda: self.call("DELETE", f"/v1/objects/{number}"))

    # ---- what is known ----

    def devices(self, endpoint: Optional[str] = None, state: Optional[str] = None) -> list[dict[str, Any]]:
        """Those that are registered; `endpoint` is a pattern with * and ?."""
        return self.pages("/v1/devices", endpoint=endpoint, state=state)

    def registration(self, endpoint: str) -> dict[str, Any]:
        """One device: its address, transport, security, lifetime, objects …"""
        device: dict[str, Any] = self.call("GET", f"/v1/devices/{segment(endpoint)}").json
        return device

    def forget(self, endpoint: str) -> None:
        """Forget the registration: the device's next Update is answered with 4.04."""
        self.call("DELETE", f"/v1/devices/{segment(endpoint)}")

    def traffic(self, endpoint: str) -> dict[str, Any]:
        """What the device costs on the wire, in bytes and messages."""
        traffic: dict[str, Any] = self.call("GET", f"/v1/devices/{segment(endpoint)}/traffic").json
        return traffic

    def messages(self, endpoint: Optional[str] = None, after: int = 0, **filters: Any) -> list[dict[str, Any]]:
        """The messages to and from a device, or everybody, as far as they are kept: decoded, oldest first. `after` is
        the `id` of one; filters are `kind`, `direction` and `raw`."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", _messages_of(endpoint), query={**filters, "after": after}).json
            if not page["items"]:
                return found
            found += page["items"]
            after = page["items"][-1]["id"]

    def capture(self, path: Union[str, os.PathLike[str]], endpoint: Optional[str] = None, clear: bool = False) -> Path:
        """Write what went over the wire, of one device or all, to a pcapng file. It has the secrets of DTLS and TLS
        in it, so that Wireshark shows everything; with `clear` it has the messages alone, as if they had come
        without. Keep it to yourself."""
        accept, query = {"Accept": _PCAPNG}, {"clear": 1 if clear else None}
        data = self.call("GET", _messages_of(endpoint), query=query, headers=accept, timeout=120.0).body
        file = Path(path)
        file.touch(mode=0o600)
        file.write_bytes(data)
        return file

    # ---- a clean slate ----

    def reset(self, scope: str = "all") -> None:
        """Forget `devices`, `events`, `faults` or `all`; and the mark is set."""
        self.call("POST", "/v1/reset", query={"scope": scope})
        self.mark()

    def tidy(self) -> None:
        """Take back what was ordered, configured and started through this object."""
        while self._undo:
            try:
                self._undo.pop()()
            except BerthError:  # it is gone already, or the whole server is
                pass


def _messages_of(endpoint: Optional[str]) -> str:
    return "/v1/messages" if endpoint is None else f"/v1/devices/{segment(endpoint)}/messages"
