"""The WebSocket channel of the Device Management API, frame by frame (RFC 6455)."""

import json
import struct
import time

import pytest
from http_wire import Wire
from pelion_client import PelionClient

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
CHANNEL = "/v2/notification/websocket"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Socket:
    """A client's end of a WebSocket."""

    def __init__(self, port: int, *headers: str, key: str | None = "ak_test", host: str = "127.0.0.1"):
        self.wire = Wire(port, host=host)
        authorization = [] if key is None else [f"Authorization: Bearer {key}"]
        upgrade = [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {KEY}",
        ]
        self.wire.get(f"{CHANNEL}-connect", *upgrade, *authorization, *headers)
        self.opening = self.wire.head()

    def send(
        self, opcode: int, payload: bytes = b"", first: int = 0x80, mask: bool = True
    ) -> None:
        key = b"\x01\x02\x03\x04"
        size = len(payload)
        length = (
            bytes([size])
            if size < 126
            else b"\x7e" + struct.pack(">H", size)
            if size < 65536
            else b"\x7f" + struct.pack(">Q", size)
        )
        head = bytes([first | opcode, length[0] | (0x80 if mask else 0)]) + length[1:]
        hidden = (
            bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))
            if mask
            else payload
        )
        self.wire.send(head + (key if mask else b"") + hidden)

    def frame(self) -> tuple[int, bytes]:
        first, size = self.wire.input.read(2)
        if size == 126:
            size = struct.unpack(">H", self.wire.input.read(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.wire.input.read(8))[0]
        assert first & 0x80 and size < 1 << 20
        return first & 0xF, self.wire.input.read(size)

    def message(self, kind: str) -> list:
        opcode, payload = self.frame()
        assert opcode == TEXT, (opcode, payload)
        document = json.loads(payload)
        assert list(document) == [kind], document
        return document[kind]

    def closed(self) -> int:
        opcode, payload = self.frame()
        assert opcode == CLOSE, payload
        assert self.wire.input.read() == b""
        return struct.unpack(">H", payload)[0]

    def close(self) -> None:
        self.wire.close()


@pytest.fixture
def pelion(berth):
    return PelionClient(berth.http_port)


@pytest.fixture
def connect(pelion):
    opened = []

    def start(*args, **kwargs) -> Socket:
        opened.append(Socket(pelion.port, *args, **kwargs))
        return opened[-1]

    yield start
    for socket in opened:
        socket.close()


def ready(pelion: PelionClient, connect, *headers: str, **kwargs: object) -> Socket:
    assert pelion.call("PUT", CHANNEL)[0] in (200, 201)
    socket = connect(*headers, **kwargs)
    assert socket.opening.status == 101
    return socket


def test_the_channel(pelion):
    assert pelion.call("GET", CHANNEL)[0] == 404
    assert pelion.call("DELETE", CHANNEL)[0] == 404
    new = {"status": "disconnected", "queue_size": 0, "queueSize": 0}
    assert pelion.call("PUT", CHANNEL) == (201, new)
    assert pelion.call("PUT", CHANNEL, "") == (200, new)
    assert pelion.call("GET", CHANNEL) == (200, new)
    assert pelion.call("GET", "/v2/notification/channel") == (
        200,
        {"delivery_mechanism": "WEB_SOCKET"},
    )
    assert pelion.call("GET", "/v2/notification/pull")[0] == 400
    assert pelion.call("DELETE", CHANNEL)[0] == 204
    assert pelion.call("GET", CHANNEL)[0] == 404


def test_sockets_are_told_that_the_server_ends(berth, pelion, connect):
    socket = ready(pelion, connect)
    berth.stop()
    assert socket.closed() == 1012


def test_handshake(pelion, connect):
    socket = ready(pelion, connect)
    assert socket.opening.headers["upgrade"] == "websocket"
    assert socket.opening.headers["connection"] == "Upgrade"
    assert (
        socket.opening.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    )
    assert socket.opening.headers.get("sec-websocket-protocol") is None
    assert pelion.call("GET", CHANNEL)[1]["status"] == "connected"


@pytest.mark.parametrize("separator", [",", ", "])
def test_the_key_may_be_in_the_subprotocols(pelion, connect, separator):
    socket = ready(
        pelion,
        connect,
        f"Sec-WebSocket-Protocol: wss{separator}pelion_ak_test",
        key=None,
    )
    assert socket.opening.headers["sec-websocket-protocol"] == "wss"


def test_refused_handshakes(pelion, connect):
    assert connect(key=None).opening.status == 401
    with Wire(pelion.port) as wire:
        wire.get(f"{CHANNEL}-connect", "Authorization: Bearer ak_test")
        head = wire.head()
        assert (head.status, head.headers["upgrade"]) == (426, "websocket")
    with Wire(pelion.port) as wire:
        wire.get(
            f"{CHANNEL}-connect",
            "Authorization: Bearer ak_test",
            "Connection: Upgrade",
            "Upgrade: websocket",
        )
        assert wire.head().status == 400


def test_messages_come_after_a_pause_and_a_kind_at_a_time(berth, pelion, connect):
    assert pelion.call("PUT", CHANNEL)[0] == 201
    berth.register("one")
    berth.register("two")
    assert pelion.call("GET", CHANNEL)[1]["queue_size"] == 2
    socket = connect()
    assert socket.opening.status == 101
    assert [entry["original-ep"] for entry in socket.message("registrations")] == [
        "one",
        "two",
    ]
    berth.register("three")
    assert [entry["original-ep"] for entry in socket.message("registrations")] == [
        "three"
    ]


def test_nothing_comes_within_a_tenth_of_a_second(berth, pelion, connect):
    pelion.call("PUT", CHANNEL)
    berth.register("early")
    socket = connect()
    before = time.monotonic()
    assert socket.message("registrations")
    assert time.monotonic() - before > 0.08


def test_serialization(berth, pelion, connect):
    cfg = {
        "include_uid": "true",
        "include_timestamp": True,
        "deregistrations_as_object": "true",
    }
    wanted = {"serialization": {"type": "v2", "max_chunk_size": "100", "cfg": cfg}}
    status, channel = pelion.call(
        "PUT", CHANNEL, wanted, {"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (status, channel["serialization"]) == (201, wanted["serialization"])
    berth.register("styled")
    socket = connect()
    [entry] = socket.message("registrations")
    assert len(entry["uid"]) == 32 and entry["timestamp"] > 1_500_000_000_000
    berth.http("DELETE", "/v1/devices/styled")
    [gone] = socket.message("de-registrations")
    assert gone["ep"] == entry["ep"] and len(gone["uid"]) == 32


def test_a_ping_is_answered(pelion, connect):
    socket = ready(pelion, connect)
    socket.send(TEXT, b"of no interest " * 100)
    socket.send(TEXT, b"begun", first=0)
    socket.send(PING, b"between")
    socket.send(0, b"ended")
    assert socket.frame() == (PONG, b"between")
    socket.send(PING)
    assert socket.frame() == (PONG, b"")


def test_an_idle_socket_is_pinged(berth, pelion, connect):
    socket = ready(pelion, connect)
    berth.register("a", lifetime=0)
    socket.message("registrations")  # the pause at the beginning is over
    for by in ("31s", "2h"):  # however long a leap is: once
        berth.leap(by)
        assert socket.frame() == (PING, b"")
        socket.send(PONG)
        socket.send(PING, b"fence")
        assert socket.frame() == (PONG, b"fence")


def test_a_close_is_answered_with_its_status(pelion, connect):
    socket = ready(pelion, connect)
    socket.send(CLOSE, struct.pack(">H", 4001) + b"why")
    assert socket.closed() == 4001
    socket = ready(pelion, connect)
    socket.send(CLOSE)
    assert socket.closed() == 1000


def test_a_socket_without_a_channel_is_closed_after_the_pause(pelion, connect):
    began = time.monotonic()
    socket = connect()
    assert socket.opening.status == 101 and socket.closed() == 1011
    assert time.monotonic() - began >= 0.1


def test_ends(pelion, connect):
    socket = connect()
    assert socket.opening.status == 101
    assert socket.closed() == 1011  # there is no channel
    first, second = ready(pelion, connect), ready(pelion, connect)
    assert first.closed() == 1001
    second.send(CLOSE, struct.pack(">H", 1000))
    assert second.closed() == 1000
    third = ready(pelion, connect)
    assert pelion.call("DELETE", CHANNEL)[0] == 204
    assert third.closed() == 1000


def test_the_socket_of_a_deleted_key_is_closed(pelion, connect):
    key = pelion.call("POST", "/v3/api-keys", {"name": "x"})[1]
    socket = ready(PelionClient(pelion.port, key["key"]), connect, key=key["key"])
    assert pelion.call("DELETE", f"/v3/api-keys/{key['id']}")[0] == 204
    assert socket.closed() == 1008


@pytest.mark.parametrize(
    ("opcode", "payload", "how", "code"),
    [
        (TEXT, b"bare", {"mask": False}, 1002),
        (TEXT, b"", {"first": 0xC0}, 1002),
        (PING, b"", {"first": 0}, 1002),
        (PING, b"x" * 126, {}, 1002),
    ],
)
def test_frames_that_are_none(pelion, connect, opcode, payload, how, code):
    socket = ready(pelion, connect)
    socket.send(opcode, payload, **how)
    opcode, payload = socket.frame()
    assert (opcode, struct.unpack(">H", payload)[0]) == (CLOSE, code)
    assert pelion.call("GET", CHANNEL)[1]["status"] == "disconnected"


def test_a_frame_that_is_too_long(pelion, connect):
    socket = ready(pelion, connect)
    socket.wire.send(struct.pack(">BBQ4s", 0x80 | TEXT, 0xFF, 65537, b"mask"))
    assert socket.closed() == 1009


def test_a_socket_that_is_just_gone_leaves_the_queue(berth, pelion, connect):
    socket = ready(pelion, connect)
    socket.close()
    while pelion.call("GET", CHANNEL)[1]["status"] != "disconnected":
        pass
    berth.register("kept")
    assert pelion.call("GET", CHANNEL)[1]["queue_size"] == 1
    assert [entry["original-ep"] for entry in connect().message("registrations")] == [
        "kept"
    ]


def test_a_frame_may_come_in_pieces(pelion, connect):
    socket = ready(pelion, connect)
    for byte in bytes(
        [0x89, 0x83, 1, 2, 3, 4, ord("a") ^ 1, ord("b") ^ 2, ord("c") ^ 3]
    ):
        socket.wire.send(bytes([byte]))
    assert socket.frame() == (PONG, b"abc")


@pytest.mark.parametrize("offered", ["pelion_", "wss,pelion_", "wss, pelion_ ", "wss,pelion_,x"])
def test_a_key_that_is_offered_as_a_protocol_may_be_missing(berth, offered):
    connection = Socket(berth.http_port, f"Sec-WebSocket-Protocol: {offered}", key=None)
    assert connection.opening.status == 401
    connection.close()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("ws://evil.example", 403),
        ("null", 403),
        ("http://localhost", 101),
        ("ws://localhost", 101),
        ("wss://localhost", 101),
    ],
)
def test_only_pages_of_this_server_connect(berth, origin, status):
    connection = Socket(berth.http_port, f"Origin: {origin}")
    assert connection.opening.status == status
    connection.close()
