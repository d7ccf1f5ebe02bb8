"""A path between a device and a server on which every datagram is seen, as on the wire."""

from __future__ import annotations

import selectors
import socket
import threading

import pytest


class Way:
    """One port of a device's, and the one that stands for it towards the server."""

    def __init__(self, server: tuple[str, int]):
        self.up: list[int] = []  # bytes of each datagram to the server
        self.down: list[int] = []
        self.behind = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.behind.connect(server)


class CountingPath:
    """Devices use `uri`."""

    def __init__(self, berth, listener: int = 1):
        self.ways: dict[tuple[str, int], Way] = {}  # by the device's address, oldest first
        self.datagrams_up: list[bytes] = []
        self.records_up: list[bytes] = []  # each DTLS record with a CID of 8 bytes that the device has sent
        self._server = ("127.0.0.1", int(berth.listeners[listener].rpartition(":")[2]))
        self._scheme = berth.listeners[listener].partition(":")[0]
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._front.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._end = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ, self._from_device)
        self._selector.register(self._end[0], selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._front.getsockname()[1]}"

    def close(self) -> None:
        self._end[1].send(b"x")
        self._thread.join(10)
        for sock in (self._front, *(way.behind for way in self.ways.values()), *self._end):
            sock.close()
        self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                key.data()

    def _from_device(self) -> None:
        datagram, device = self._front.recvfrom(65536)
        if device not in self.ways:
            self.ways[device] = Way(self._server)
            self._selector.register(self.ways[device].behind, selectors.EVENT_READ, lambda: self._from_server(device))
        self.ways[device].up.append(len(datagram))
        self.datagrams_up.append(datagram)
        self.records_up += records(datagram)
        self.ways[device].behind.send(datagram)

    def _from_server(self, device: tuple[str, int]) -> None:
        datagram = self.ways[device].behind.recv(65536)
        self.ways[device].down.append(len(datagram))
        self._front.sendto(datagram, device)


@pytest.fixture
def path(berth):
    """To the server's second listener. A test names it before its device, which is to end first."""
    counting = CountingPath(berth)
    yield counting
    counting.close()


def records(datagram: bytes) -> list[bytes]:
    """The DTLS records of a datagram; those of type 25 have a CID of 8 bytes before their length."""
    found = []
    while len(datagram) >= 13:
        header = 21 if datagram[0] == 25 else 13
        end = header + int.from_bytes(datagram[header - 2 : header], "big")
        found.append(datagram[:end])
        datagram = datagram[end:]
    return found
