"""What the system may do to the server: no descriptors left, a clock that is set, a disk that is
slow or read-only, a network that takes nothing."""

import errno
import mmap
import os
import resource
import socket
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from coapraw import CONTENT_FORMAT, LINK_FORMAT, MAX_AGE, POST, uint
from coapstream import tcp_port

LISTEN = ("coap://127.0.0.1:0", "coap+tcp://127.0.0.1:0", "coaps://127.0.0.1:0")


def descriptors(berth):
    return len(os.listdir(f"/proc/{berth.process.pid}/fd"))


def test_without_descriptors_devices_go_on_and_connections_come_when_there_are_some(start_berth):
    berth = start_berth(listen=LISTEN)
    device = berth.register("dev1")
    kept = descriptors(berth)
    _, hard = resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE, (kept, hard))
    clients = [socket.create_connection(("127.0.0.1", port), 30) for port in (berth.http_port, tcp_port(berth)) for _ in range(20)]
    for number in range(50):
        assert device.update([f"lt={300 + number}"]).code_text == "2.04"
    berth.register("dev2")
    resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    for client in clients:
        client.close()
    assert berth.device("dev1")["lifetime_s"] == 349
    with socket.create_connection(("127.0.0.1", tcp_port(berth)), 30) as client:
        client.sendall(bytes([0x00, 0xE1]))  # a CSM
        assert client.recv(100)
    assert berth.http("PUT", "/v1/firmware/image", b"x" * 1000).status == 201


def test_an_image_that_finds_no_descriptor_is_refused(start_berth):
    berth = start_berth()
    connection = None
    with suppress(OSError):
        connection = socket.create_connection(("127.0.0.1", berth.http_port), 30)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    _, hard = resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE, (descriptors(berth), hard))
    connection.sendall(b"PUT /v1/firmware/image HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nabcd")
    assert connection.recv(4096).startswith(b"HTTP/1.1 503")
    connection.close()
    resource.prlimit(berth.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert berth.http("PUT", "/v1/firmware/image", b"abcd").status == 201


@pytest.fixture
def clock(start_berth, tmp_path):
    """A server, and how to set its clock wrong by so many seconds."""
    library, shift = tmp_path / "shift_clock.so", tmp_path / "shift"
    source = Path(__file__).with_name("shift_clock.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    shift.write_bytes(struct.pack("=q", 0))
    environment = {"SHIFT_CLOCK": str(shift), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}
    berth = start_berth(release=True, env={**environment, "LD_PRELOAD": str(library)})

    def set_wrong(seconds):
        with open(shift, "r+b") as file:
            file.write(struct.pack("=q", seconds))

    berth.set_wrong = set_wrong
    return berth


@pytest.mark.parametrize("seconds", [3600, 86400 * 400, -3600, -86400 * 400])
def test_a_clock_that_is_set_moves_nothing(clock, seconds):
    device = clock.register("dev1", lifetime=300)
    before, last = clock.get("/v1/clock")["now_s"], clock.last_event()
    clock.set_wrong(seconds)
    assert device.update().code_text == "2.04"
    assert 0 <= clock.get("/v1/clock")["now_s"] - before < 60
    assert [event["type"] for event in clock.events_after(last)] == ["updated"]
    clock.leap("200s")
    assert device.update().code_text == "2.04"
    clock.leap("400s")
    assert clock.await_event("expired", "dev1")


@pytest.mark.parametrize("seconds", [86400, -86400])
def test_a_clock_that_is_wrong_at_the_start_expires_nobody_too_early(clock, seconds):
    device = clock.register("dev1", lifetime=86400 * 3)
    clock.kill()
    clock.set_wrong(seconds)
    clock.start()
    assert device.update().code_text == "2.04"
    clock.kill()
    clock.set_wrong(0)
    clock.start()
    assert device.update().code_text == "2.04"


def test_while_the_database_stands_still_devices_are_served(start_berth):
    """Who needs a commit waits for it; others don't notice."""
    berth = start_berth()
    device = berth.register("dev1")
    waiting = berth.peer()
    message = waiting.message(POST, "/rd", ["ep=dev2", "lwm2m=1.1"], b"</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    with berth.no_commit():
        waiting.send(message)
        for _ in range(20):
            assert device.update().code_text == "2.04"
        assert berth.http("GET", "/healthz").status == 200
        assert berth.http("GET", "/v1/devices/dev2").status == 404
    answer = waiting.response(message, 20)
    if answer.code_text == "5.03":  # it took too long
        answer = berth.register("dev2", peer=waiting)
    assert berth.device("dev2")["state"] == "registered"


class BadDisk:
    """A server, and how to make its disk slow or read-only (tests/e2e/bad_disk.c)."""

    def __init__(self, path):
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)

    def set(self, sync_ms=0, refusal=0):
        struct.pack_into("=qq", self.memory, 0, sync_ms, refusal)

    @property
    def slow(self):
        return struct.unpack_from("=q", self.memory, 16)[0]

    @property
    def refused(self):
        return struct.unpack_from("=q", self.memory, 24)[0]


@pytest.fixture
def bad_disk(start_berth, tmp_path):
    if os.environ.get("BERTH_TEST_DATABASE") == "postgresql":
        pytest.skip("the disk is another program's")
    library, path = tmp_path / "bad_disk.so", tmp_path / "bad_disk"
    source = Path(__file__).with_name("bad_disk.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    disk = BadDisk(path)
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    environment = {"BAD_DISK": str(path), "ASAN_OPTIONS": asan, "LD_PRELOAD": str(library)}
    disk.server = start_berth("--durability", "full", release=True, env=environment)
    yield disk
    disk.set()


def test_commits_of_five_seconds_lose_nothing_and_hold_up_nobody_else(bad_disk):
    berth = bad_disk.server
    device = berth.register("dev1")
    bad_disk.set(sync_ms=5000)
    peer = berth.peer()
    message = peer.message(POST, "/rd", ["ep=dev2", "lwm2m=1.1"], b"</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    peer.send(message)
    for _ in range(20):
        assert device.update().code_text == "2.04"
        assert berth.http("GET", "/healthz").status == 200
    answer = peer.response(message, 60)
    assert answer.code_text == "2.01" and bad_disk.slow > 0
    berth.kill()
    bad_disk.set()
    berth.start()
    assert berth.device("dev2")["location"] == answer.location


def test_a_disk_that_becomes_read_only_is_told_and_nothing_is_promised(bad_disk):
    berth = bad_disk.server
    device = berth.register("dev1", lifetime=3600)
    bad_disk.set(refusal=errno.EROFS)
    peer = berth.peer()
    message = peer.message(POST, "/rd", ["ep=dev2", "lwm2m=1.1"], b"</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    peer.send(message)
    answer = peer.response(message, 60)
    assert answer.code_text == "5.03" and answer.number(MAX_AGE) > 0 and bad_disk.refused > 0
    assert berth.http("GET", "/readyz").status == 503 and berth.http("GET", "/healthz").status == 200
    assert berth.http("GET", "/v1/devices/dev2").status == 404
    assert berth.http("PUT", "/v1/credentials/dev3", {"mode": "psk", "identity": "me", "key_hex": "0b" * 16}).status == 503
    assert device.update().code_text == "2.04"
    bad_disk.set()
    location = berth.register("dev2").location
    assert berth.http("GET", "/readyz").status == 200
    berth.kill()
    berth.start()
    assert berth.device("dev2")["location"] == location and berth.device("dev1")["location"] == device.location


@pytest.mark.parametrize("refusal", [errno.ENETUNREACH, errno.EPERM, errno.ENOBUFS])
def test_datagrams_that_the_network_refuses_are_lost_and_nothing_else(start_berth, tmp_path, refusal):
    library, path = tmp_path / "bad_network.so", tmp_path / "bad_network"
    source = Path(__file__).with_name("bad_network.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source], check=True, timeout=60)
    path.write_bytes(bytes(4096))
    asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
    environment = {"BAD_NETWORK": str(path), "ASAN_OPTIONS": asan, "LD_PRELOAD": str(library)}
    berth = start_berth(release=True, env=environment)
    device = berth.register("dev1")
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 4096) as control:
        struct.pack_into("=q", control, 0, refusal)
        message = device.peer.message(POST, device.location, ["lt=7200"])
        device.peer.send(message)
        while struct.unpack_from("=q", control, 8)[0] == 0:
            assert berth.http("GET", "/healthz").status == 200
        struct.pack_into("=q", control, 0, 0)
    device.peer.send(message)
    assert device.peer.response(message, 60).code_text == "2.04"
    assert berth.device("dev1")["lifetime_s"] == 7200
    assert b"\nberth_udp_send_failures_total 0\n" not in berth.http("GET", "/metrics").body
