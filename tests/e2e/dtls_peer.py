"""CoAP over DTLS: a Peer whose datagrams go through tests/tools/dtls_client, an mbedtls client, or another that is
spoken to in the same way."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import time
from pathlib import Path

from berth_process import program
from coapraw import Peer


class HandshakeFailed(Exception):
    pass


class DtlsPeer(Peer):
    """Handshakes at once, unless connect=False. `cid` is its own connection ID as bytes; None offers none."""

    def __init__(
        self,
        port: int,
        psk: tuple[bytes | str, bytes] | None = None,
        cert: Path | None = None,
        ca: Path | None = None,
        name: str | None = None,
        suite: str | None = None,
        cid: bytes | None = None,
        small: bool = False,
        timeout_ms: int = 8000,
        connect: bool = True,
        client: Path | None = None,
    ):
        command = [str(client or program("tests/tools/dtls_client")), "--port", str(port), "--timeout", str(timeout_ms)]
        if psk is not None:
            identity, key = psk
            identity = identity.encode() if isinstance(identity, str) else identity
            command += ["--psk", f"{identity.hex()}:{key.hex()}"]
        if cert is not None:
            command += ["--cert", f"{cert}.pem", "--key", f"{cert}.key"]
        for option, value in (("--ca", ca), ("--name", name), ("--suite", suite)):
            command += [] if value is None else [option, str(value)]
        command += ["--small", "yes"] if small else []
        command += ["--cid", "none" if cid is None else cid.hex()]
        super().__init__(port)  # for its message ids; the socket stays unused
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._input = b""
        self.is_closed_by_server = False
        self.port: int | None = None
        if connect:
            self.handshake()

    def close(self) -> None:
        super().close()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)

    # ---- frames ----

    def _command(self, kind: str, payload: bytes = b"") -> None:
        self.process.stdin.write(kind.encode() + struct.pack("!H", len(payload)) + payload)
        self.process.stdin.flush()

    def _frame(self, timeout: float) -> tuple[str, bytes] | None:
        deadline = time.monotonic() + timeout
        while True:
            if len(self._input) >= 3:
                length = struct.unpack("!H", self._input[1:3])[0]
                if len(self._input) >= 3 + length:
                    frame = self._input[:1].decode(), self._input[3 : 3 + length]
                    self._input = self._input[3 + length :]
                    return frame
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                return None
            chunk = os.read(self.process.stdout.fileno(), 65536)
            assert chunk, "dtls_client has ended"
            self._input += chunk

    def _await(self, kinds: str) -> tuple[str, bytes]:
        while True:
            frame = self._frame(30)
            assert frame is not None, f"dtls_client says none of {kinds}"
            if frame[0] in kinds:
                return frame

    # ---- sessions ----

    def _session(self, command: str) -> DtlsPeer:
        self._command(command)
        kind, text = self._await("HF")
        if kind == "F":
            raise HandshakeFailed(text.decode())
        self.suite, cid, resumed, port = text.decode().split(" ")
        self.server_cid = None if cid == "-" else cid
        self.is_resumed = resumed == "1"
        self.port = int(port)
        return self

    def handshake(self) -> DtlsPeer:
        return self._session("H")

    def resume(self) -> DtlsPeer:
        return self._session("R")

    def renegotiate(self) -> DtlsPeer:
        return self._session("N")

    def rebind(self) -> None:
        """Go on from another port."""
        self._command("B")
        self.port = int(self._await("P")[1])

    def hang_up(self) -> None:
        """Send close_notify."""
        self._command("C")

    # ---- what a Peer does ----

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def send_raw(self, data: bytes) -> None:
        self._command("D", data)

    def receive_raw(self, timeout: float = 5) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            frame = self._frame(max(0.0, deadline - time.monotonic()))
            if frame is None:
                return None
            if frame[0] == "D":
                return frame[1]
            if frame[0] == "C":
                self.is_closed_by_server = True
