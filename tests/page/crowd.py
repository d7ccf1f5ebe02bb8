"""Thousands of devices that register over plain UDP and then say nothing more."""

import selectors
import socket

from coapraw import CON, CONTENT_FORMAT, LINK_FORMAT, POST, URI_PATH, URI_QUERY, Coap, code, uint

WINDOW = 8  # Registers of one socket under way
SOCKETS = 50
LINKS = b'</>;rt="oma.lwm2m",</1/0>,</3/0>'


def message(number: int, endpoint: str, lifetime: int) -> bytes:
    queries = [f"ep={endpoint}", f"lt={lifetime}", "lwm2m=1.1", "b=U"]
    options = [(URI_PATH, b"rd"), (CONTENT_FORMAT, uint(LINK_FORMAT)), *((URI_QUERY, q.encode()) for q in queries)]
    return Coap(CON, POST, number & 0xFFFF, number.to_bytes(4, "big"), options, LINKS).encode()


def register(port: int, count: int, lifetime: int = 86400, prefix: str = "sim-") -> None:
    """Register sim-00000 and so on; every one is acknowledged when this returns."""
    waiting = {f"{prefix}{n:05}": n for n in range(count)}
    todo = iter(list(waiting.items()))
    with selectors.DefaultSelector() as selector:
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOCKETS)]
        sent: dict[tuple[int, int], str] = {}

        def send_next(sock: socket.socket) -> None:
            endpoint, number = next(todo, (None, 0))
            if endpoint is not None:
                sent[sock.fileno(), number & 0xFFFF] = endpoint
                sock.send(message(number, endpoint, lifetime))

        for sock in sockets:
            sock.connect(("127.0.0.1", port))
            selector.register(sock, selectors.EVENT_READ)
            for _ in range(WINDOW):
                send_next(sock)
        while waiting:
            ready = selector.select(20)
            assert ready, f"{len(waiting)} Registers of {count} are not answered"
            for key, _ in ready:
                answer = Coap.decode(key.fileobj.recv(65536))
                endpoint = sent.pop((key.fd, answer.mid), None)
                if endpoint is not None:
                    assert answer.code == code("2.01"), answer
                    del waiting[endpoint]
                    send_next(key.fileobj)
        for sock in sockets:
            sock.close()
