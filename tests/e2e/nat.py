"""A NAT for one device: datagrams to its port go to a server from another, which changes when the mapping is forgotten."""

from __future__ import annotations

import contextlib
import select
import socket
import threading


class Nat:
    """Listens on `port`; what the server sees comes from `outside`."""

    def __init__(self, server_port: int):
        self._server = ("127.0.0.1", server_port)
        self._inner = self._socket()
        self._outer = self._socket()
        self._device: tuple[str, int] | None = None
        self._wake, self._woken = socket.socketpair()
        self.port: int = self._inner.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @staticmethod
    def _socket() -> socket.socket:
        new = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        new.bind(("127.0.0.1", 0))
        return new

    @property
    def outside(self) -> str:
        return f"127.0.0.1:{self._outer.getsockname()[1]}"

    def forget(self) -> None:
        """The mapping is gone: what comes to the old address is lost, what the device sends has a new one."""
        self._outer = self._socket()
        self._wake.send(b"x")

    def close(self) -> None:
        self._wake.close()
        self._thread.join(10)

    def _run(self) -> None:
        outer = self._outer
        while True:
            ready = select.select([self._inner, outer, self._woken], [], [])[0]
            if self._woken in ready and not self._woken.recv(16):
                break
            if outer is not self._outer:
                outer.close()
                outer = self._outer
                ready = [side for side in ready if side is self._inner]
            # A peer that is gone shows as an error of the next call.
            with contextlib.suppress(ConnectionError):
                if self._inner in ready:
                    datagram, self._device = self._inner.recvfrom(65536)
                    outer.sendto(datagram, self._server)
            with contextlib.suppress(ConnectionError):
                if outer in ready:
                    self._inner.sendto(outer.recv(65536), self._device)
        for used in (self._inner, outer, self._woken):
            used.close()
