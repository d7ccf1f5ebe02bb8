"""CoAP (RFC 7252) written for these tests alone, so that a fault in Berth's own codec cannot hide itself.

Coap is one message; Peer is one UDP socket that talks to one server. Nothing here is tolerant and nothing is sent that
the test did not ask for: no retransmission, no answers to what the server sends, except where a method says so.
"""

from __future__ import annotations

import itertools
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field

CON, NON, ACK, RST = range(4)

EMPTY = 0x00
GET, POST, PUT, DELETE, FETCH, PATCH, IPATCH = range(1, 8)

IF_MATCH, URI_HOST, ETAG, IF_NONE_MATCH, OBSERVE, URI_PORT = 1, 3, 4, 5, 6, 7
LOCATION_PATH, URI_PATH, CONTENT_FORMAT, MAX_AGE, URI_QUERY = 8, 11, 12, 14, 15
ACCEPT, LOCATION_QUERY, BLOCK2, BLOCK1, SIZE2 = 17, 20, 23, 27, 28
PROXY_URI, PROXY_SCHEME, SIZE1, ECHO, NO_RESPONSE, REQUEST_TAG = 35, 39, 60, 252, 258, 292

LINK_FORMAT = 40  # content format application/link-format


class Malformed(ValueError):
    """The bytes are not a CoAP message."""


def code(text: str) -> int:
    """The code written as "2.05"."""
    group, detail = text.split(".")
    return int(group) << 5 | int(detail)


def uint(value: int) -> bytes:
    """An option value of format uint: as few bytes as possible, none for 0 (RFC 7252 section 3.2)."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def block(number: int, more: bool, szx: int) -> bytes:
    """The value of a Block1 or Block2 option (RFC 7959 section 2.2)."""
    return uint(number << 4 | more << 3 | szx)


@dataclass
class Coap:
    type: int = CON
    code: int = EMPTY
    mid: int = 0
    token: bytes = b""
    options: list[tuple[int, bytes]] = field(default_factory=list)  # in the order of the wire when decoded
    payload: bytes = b""

    @property
    def code_text(self) -> str:
        return f"{self.code >> 5}.{self.code & 31:02}"

    def all(self, number: int) -> list[bytes]:
        """The values of every option of this number."""
        return [value for option, value in self.options if option == number]

    def one(self, number: int) -> bytes | None:
        """The value of the only option of this number; None when there is none."""
        values = self.all(number)
        assert len(values) <= 1, f"option {number} is there {len(values)} times"
        return values[0] if values else None

    def number(self, option: int) -> int | None:
        """The same for an option of format uint."""
        value = self.one(option)
        return None if value is None else int.from_bytes(value, "big")

    @property
    def location(self) -> str:
        """Location-Path as text: /rd/xyz."""
        return "".join("/" + value.decode() for value in self.all(LOCATION_PATH))

    def encode(self) -> bytes:
        out = bytearray(struct.pack("!BBH", 1 << 6 | self.type << 4 | len(self.token), self.code, self.mid))
        out += self.token
        last = 0
        for option, value in sorted(self.options, key=lambda pair: pair[0]):
            delta, delta_more = _nibble(option - last)
            length, length_more = _nibble(len(value))
            out.append(delta << 4 | length)
            out += delta_more + length_more + value
            last = option
        if self.payload:
            out += b"\xff" + self.payload
        return bytes(out)

    @classmethod
    def decode(cls, data: bytes) -> Coap:
        if len(data) < 4:
            raise Malformed(f"{len(data)} bytes are no header")
        first, message_code, mid = struct.unpack("!BBH", data[:4])
        if first >> 6 != 1:
            raise Malformed(f"version {first >> 6}")
        token_len = first & 15
        if token_len > 8 or 4 + token_len > len(data):
            raise Malformed(f"token length {token_len}")
        message = cls(first >> 4 & 3, message_code, mid, data[4 : 4 + token_len])
        at, option = 4 + token_len, 0
        while at < len(data):
            if data[at] == 0xFF:
                message.payload = data[at + 1 :]
                if not message.payload:
                    raise Malformed("payload marker without payload")
                break
            head, at = data[at], at + 1
            delta, at = _extended(head >> 4, data, at)
            length, at = _extended(head & 15, data, at)
            if at + length > len(data):
                raise Malformed("option runs past the end")
            option += delta
            message.options.append((option, data[at : at + length]))
            at += length
        return message


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes([value - 13])
    return 14, struct.pack("!H", value - 269)


def _extended(nibble: int, data: bytes, at: int) -> tuple[int, int]:
    size = {13: 1, 14: 2}.get(nibble, 0)
    if nibble == 15 or at + size > len(data):
        raise Malformed("bad option header")
    if size == 0:
        return nibble, at
    return int.from_bytes(data[at : at + size], "big") + (13 if size == 1 else 269), at + size


def exchange(sock: socket.socket, message: Coap, timeout: float = 5) -> Coap:
    """Send over a connected socket and take the next datagram that comes as the answer."""
    sock.settimeout(timeout)
    sock.send(message.encode())
    return Coap.decode(sock.recv(65536))


class Peer:
    """One UDP socket with message ids and tokens of its own."""

    def __init__(self, port: int, host: str = "127.0.0.1", bind: tuple[str, int] | None = None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        if bind is not None:
            self.sock.bind(bind)
        self.sock.connect((host, port))
        self._mids = itertools.count(secrets.randbelow(0x8000))
        self._tokens = itertools.count(secrets.randbelow(0x10000))

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.sock.close()

    @property
    def address(self) -> str:
        """As the server sees it: 127.0.0.1:40000 or [::1]:40000."""
        host, port = self.sock.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def next_mid(self) -> int:
        return next(self._mids) & 0xFFFF

    def next_token(self) -> bytes:
        return struct.pack("!I", next(self._tokens))

    def message(
        self,
        method: int,
        path: str = "",
        query: list[str | bytes] | None = None,
        payload: bytes = b"",
        options: list[tuple[int, bytes]] | None = None,
        type: int = CON,
        token: bytes | None = None,
        mid: int | None = None,
    ) -> Coap:
        """A request, not yet sent. The path is cut at '/'; other options are added as they are given."""
        segments = [(URI_PATH, segment.encode()) for segment in path.strip("/").split("/") if path.strip("/")]
        items = [(URI_QUERY, item if isinstance(item, bytes) else item.encode()) for item in query or []]
        return Coap(
            type,
            method,
            self.next_mid() if mid is None else mid,
            self.next_token() if token is None else token,
            segments + items + (options or []),
            payload,
        )

    def request(self, method: int, path: str = "", *args: object, timeout: float = 5, **kwargs: object) -> Coap:
        """Send a request and return its response. A separate CON response is acknowledged. Arguments as for message.

        Fails when anything else comes first, or nothing within the timeout.
        """
        request = self.message(method, path, *args, **kwargs)
        self.send(request)
        return self.response(request, timeout)

    def response(self, request: Coap, timeout: float = 5) -> Coap:
        """Await the response to a request that was sent."""
        deadline = time.monotonic() + timeout
        while True:
            answer = self.receive(max(0, deadline - time.monotonic()))
            assert answer is not None, f"no response within {timeout} s"
            assert answer.type != RST, "reset instead of a response"
            if answer.type == ACK:
                assert answer.mid == request.mid, f"ACK for message id {answer.mid}, not {request.mid}"
                if answer.code == EMPTY:
                    continue  # the response comes separately (RFC 7252 section 5.2.2)
            assert answer.token == request.token, f"token {answer.token.hex()}, not {request.token.hex()}"
            if answer.type == CON:
                self.send(Coap(ACK, EMPTY, answer.mid))
            return answer

    def send(self, message: Coap) -> None:
        self.send_raw(message.encode())

    def send_raw(self, data: bytes) -> None:
        self.sock.send(data)

    def receive_raw(self, timeout: float = 5) -> bytes | None:
        """The next datagram, or None when none comes in time or nobody listens there."""
        self.sock.settimeout(max(timeout, 0.001))
        try:
            return self.sock.recv(65536)
        except (TimeoutError, ConnectionRefusedError):
            return None

    def receive(self, timeout: float = 5) -> Coap | None:
        """The next message, decoded; None when none comes in time."""
        data = self.receive_raw(timeout)
        return None if data is None else Coap.decode(data)

    def ping(self, timeout: float = 5) -> None:
        """CoAP ping (RFC 7252 section 4.3): the next thing that comes must be its Reset."""
        mid = self.next_mid()
        self.send(Coap(CON, EMPTY, mid))
        answer = self.receive(timeout)
        assert answer is not None, f"ping not answered within {timeout} s"
        assert (answer.type, answer.code, answer.mid) == (RST, EMPTY, mid), f"{answer} came before the answer to a ping"

    def expect_silence(self) -> None:
        """Assert that nothing was sent in answer to what this peer has sent so far.

        The server works datagrams off in order, so a ping is a fence: had there been an answer, it would come first.
        """
        self.ping()
