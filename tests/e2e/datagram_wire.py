"""What is between a client and the server: datagrams that are passed on, kept and counted."""

from __future__ import annotations

import select
import socket
import threading


class Wire:
    """Passes datagrams on between whoever sends to `port` and a server, and keeps them."""

    def __init__(self, server_port: int, alter=lambda datagram: [datagram]):
        self.alter = alter  # a datagram of the client's, into those that go on
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.back = self._socket()
        self.server = ("127.0.0.1", server_port)
        self.port = self.front.getsockname()[1]
        self.to_server: list[bytes] = []
        self.to_client: list[bytes] = []
        self.client = None
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _socket() -> socket.socket:
        back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        back.bind(("127.0.0.1", 0))
        return back

    @property
    def address(self) -> str:
        """Of the client, as the server sees it."""
        return f"127.0.0.1:{self.back.getsockname()[1]}"

    def rebind(self) -> None:
        """From now on the client comes from another port, as it does behind a NAT that has forgotten it."""
        old, self.back = self.back, self._socket()
        old.close()

    def _run(self) -> None:
        while not self.stopping:
            back = self.back
            try:
                readable = select.select([self.front, back], [], [], 0.05)[0]
            except (OSError, ValueError):  # the back was closed meanwhile
                continue
            for ready in readable:
                try:
                    data, source = ready.recvfrom(65536)
                    if ready is self.front:
                        self.client = source
                        self.to_server.append(data)
                        for datagram in self.alter(data):
                            self.back.sendto(datagram, self.server)
                    else:
                        self.to_client.append(data)
                        self.front.sendto(data, self.client)
                except OSError:  # the server is down, or the back was closed
                    pass

    def send_again(self, datagram: bytes) -> None:
        self.back.sendto(datagram, self.server)

    def bytes(self) -> tuple[int, int]:
        """So far, to the server and to the client."""
        return sum(map(len, self.to_server)), sum(map(len, self.to_client))

    def close(self) -> None:
        self.stopping = True
        self.thread.join(5)
        self.front.close()
        self.back.close()
