"""CoAP over TCP connections, written for these tests alone: frames of RFC 8323, and messages with a length before each
as one vendor's clients send them. Both speak Coap and look like the Peer of coapraw, so that what plays a device over
UDP plays it over TCP."""

from __future__ import annotations

import itertools
import secrets
import socket
import struct
import time
from urllib.parse import urlsplit

from coapraw import ACK, CON, EMPTY, RST, Coap, Malformed, Peer, code

CSM, PING, PONG, RELEASE, ABORT = (code(text) for text in ("7.01", "7.02", "7.03", "7.04", "7.05"))
MAX_MESSAGE_SIZE, BLOCK_WISE_TRANSFER = 2, 4  # of a CSM
CUSTODY = 2  # of a Ping and a Pong
ALTERNATIVE_ADDRESS, HOLD_OFF = 2, 4  # of a Release
BAD_CSM_OPTION = 2  # of an Abort
TCP_REPAIR = 19  # of Linux: a socket is closed silently

TCP = ("coap://127.0.0.1:0", "coap+tcp://127.0.0.1:0")  # what to listen on


def tcp_port(berth) -> int:
    return next(urlsplit(uri).port for uri in berth.listeners if uri.startswith("coap+tcp:"))


def encode_frame(message: Coap) -> bytes:
    rest = Coap(token=b"", options=message.options, payload=message.payload).encode()[4:]
    size = len(rest)
    if size < 13:
        nibble, more = size, b""
    elif size < 269:
        nibble, more = 13, bytes([size - 13])
    elif size < 65805:
        nibble, more = 14, struct.pack("!H", size - 269)
    else:
        nibble, more = 15, struct.pack("!I", size - 65805)
    return bytes([nibble << 4 | len(message.token)]) + more + bytes([message.code]) + message.token + rest


def frame_size(data: bytes) -> int | None:
    """How long the frame at the beginning is; None when that is not to be seen yet."""
    if not data:
        return None
    nibble, token = data[0] >> 4, data[0] & 15
    extension = {13: 1, 14: 2, 15: 4}.get(nibble, 0)
    if len(data) < 1 + extension:
        return None
    offset = {13: 13, 14: 269, 15: 65805}.get(nibble, nibble)
    return 1 + extension + 1 + token + offset + int.from_bytes(data[1 : 1 + extension], "big")


def decode_frame(frame: bytes) -> Coap:
    assert frame_size(frame) == len(frame)
    extension = {13: 1, 14: 2, 15: 4}.get(frame[0] >> 4, 0)
    token_len = frame[0] & 15
    if token_len > 8:
        raise Malformed(f"token length {token_len}")
    at = 1 + extension
    message = Coap.decode(b"\x40\x01\x00\x00" + frame[at + 1 + token_len :])
    return Coap(CON, frame[at], 0, frame[at + 1 : at + 1 + token_len], message.options, message.payload)


class Connection(Peer):
    """What both have in common: a TCP connection and bytes that have come."""

    def __init__(self, port: int, host: str = "127.0.0.1"):
        self.sock = socket.create_connection((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bytes = b""
        self.sent = self.received = 0  # bytes
        self.is_closed = False
        self._mids = itertools.count(secrets.randbelow(0x8000))
        self._tokens = itertools.count(secrets.randbelow(0x10000))

    def send_raw(self, data: bytes) -> None:
        self.sock.sendall(data)
        self.sent += len(data)

    def _more(self, deadline: float) -> bool:
        """Wait for more bytes. False when none came."""
        left = deadline - time.monotonic()
        if left <= 0 or self.is_closed:
            return False
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return False
        except ConnectionResetError:
            data = b""
        self.is_closed = not data
        self.bytes += data
        self.received += len(data)
        return bool(data)

    def await_close(self, timeout: float = 5) -> bytes:
        """It must be closed by the server; returns what came before that."""
        deadline = time.monotonic() + timeout
        while self._more(deadline):
            pass
        assert self.is_closed, "the connection is still open"
        return self.bytes

    def abandon(self) -> None:
        """End it with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def vanish(self) -> None:
        """Go without a word, as by a power failure: the other side's connection is half-open. PermissionError when this
        may not be done here."""
        self.sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.sock.close()


class StreamPeer(Connection):
    """RFC 8323. It greets with a CSM and takes the server's, unless the test does that."""

    def __init__(self, port: int, host: str = "127.0.0.1", csm: tuple | list = (), greet: bool = True):
        super().__init__(port, host)
        self.csm: Coap | None = None
        if greet:
            self.greet(list(csm))

    def greet(self, options: list[tuple[int, bytes]]) -> None:
        self.send(Coap(CON, CSM, 0, b"", options))
        self.csm = self.receive()
        assert self.csm is not None and self.csm.code == CSM, self.csm

    def send(self, message: Coap) -> None:
        self.send_raw(encode_frame(message))

    def receive_raw(self, timeout: float = 5) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            size = frame_size(self.bytes)
            if size is not None and len(self.bytes) >= size:
                frame, self.bytes = self.bytes[:size], self.bytes[size:]
                return frame
            if not self._more(deadline):
                return None

    def receive(self, timeout: float = 5) -> Coap | None:
        frame = self.receive_raw(timeout)
        return None if frame is None else decode_frame(frame)

    def response(self, request: Coap, timeout: float = 5) -> Coap:
        answer = self.receive(timeout)
        assert answer is not None, f"no response within {timeout} s"
        assert answer.token == request.token, f"{answer} does not answer {request}"
        return answer

    def ping(self, timeout: float = 5) -> None:
        token = self.next_token()
        self.send(Coap(CON, PING, 0, token))
        answer = self.receive(timeout)
        assert answer is not None and (answer.code, answer.token) == (PONG, token), f"{answer} came before the Pong"

    def await_abort(self, timeout: float = 5) -> Coap:
        """The next message must be an Abort, and then nothing but the end."""
        message = self.receive(timeout)
        assert message is not None and message.code == ABORT, message
        assert self.await_close(timeout) == b""
        return message


class PrefixedPeer(Connection):
    """Messages of RFC 7252, each with its length in four bytes before it (pelion)."""

    def send(self, message: Coap) -> None:
        self.send_message(message.encode())

    def send_message(self, data: bytes) -> None:
        self.send_raw(struct.pack("!I", len(data)) + data)

    def receive_raw(self, timeout: float = 5) -> bytes | None:
        deadline = time.monotonic() + timeout
        while True:
            size = 4 + int.from_bytes(self.bytes[:4], "big") if len(self.bytes) >= 4 else None
            if size is not None and len(self.bytes) >= size:
                message, self.bytes = self.bytes[4:size], self.bytes[size:]
                return message
            if not self._more(deadline):
                return None


class TranslatedPeer(StreamPeer):
    """An RFC 8323 connection for tests that are written for datagrams: it makes up the Message IDs, acknowledgements and
    pings that such a test expects, and sends none of them. What cannot be said without them (Reset) it refuses."""

    def __init__(self, *args: object, **kwargs: object):
        self._made_up: list[Coap] = []  # what comes next, before anything from the connection
        self._asked: dict[bytes, int] = {}  # token: Message ID of our requests
        super().__init__(*args, **kwargs)

    def send(self, message: Coap) -> None:
        if message.type == CON and message.code == EMPTY:
            token = b"\xff" + struct.pack("!H", message.mid)
            self._asked[token] = message.mid
            super().send(Coap(CON, PING, 0, token))
            return
        assert message.type != RST, "there is no Reset over RFC 8323"
        if message.code == EMPTY:
            return
        if 1 <= message.code < 32:
            self._asked[message.token] = message.mid
        elif message.type == CON and message.code < CSM:
            self._made_up.append(Coap(ACK, EMPTY, message.mid))
        super().send(message)

    def receive(self, timeout: float = 5) -> Coap | None:
        if self._made_up:
            return self._made_up.pop(0)
        message = super().receive(timeout)
        if message is None or message.code == CSM:
            return message
        if message.code == PONG:
            return Coap(RST, EMPTY, self._asked.pop(message.token))
        if message.code >= 64:
            return Coap(ACK, message.code, self._asked.get(message.token, 0), message.token, message.options, message.payload)
        message.mid = self.next_mid()
        return message

    response = Peer.response
    ping = Peer.ping


OVER = {"rfc8323": TranslatedPeer, "pelion": PrefixedPeer}
