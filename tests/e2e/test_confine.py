"""What the server gives up: root, new privileges, core files, system calls; and a file system that it may write."""

import ctypes
import http.client
import os
import shutil
import signal
import ssl
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from berth_process import Berth
from coapstream import OVER, tcp_port
from dtls_peer import DtlsPeer

NOBODY = 65534
STARTED: list[Berth] = []
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
# The leak checker makes a process and traces it.
ENVIRONMENT = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
LISTEN = ("coap://127.0.0.1:0", "coap+tcp://127.0.0.1:0", "coaps://127.0.0.1:0")


@pytest.fixture
def place():
    """A directory that others may enter, unlike those of pytest."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o777)
    yield made
    while STARTED:  # what a test that failed has left
        server = STARTED.pop()
        if server.is_running:
            server.close_peers()
            server.kill()
    shutil.rmtree(made)


def start(place: Path, *options: str, **kwargs: object) -> Berth:
    server = Berth(place / "data", *options, listen=LISTEN, env=ENVIRONMENT, **kwargs)
    STARTED.append(server)
    return server.start()


def status(server: Berth) -> dict[str, str]:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def live_a_life(server: Berth) -> None:
    """What needs files, sockets and threads of most kinds, over a restart."""
    device = server.register("plain")
    over_tcp = OVER["rfc8323"](tcp_port(server))
    server.peers.append(over_tcp)
    server.register("connected", peer=over_tcp)
    credential = {"mode": "psk", "identity": "me", "key_hex": "0b" * 16}
    assert server.http("PUT", "/v1/credentials/secured", credential).status == 201
    secured = DtlsPeer(urlsplit(server.listeners[2]).port, ("me", b"\x0b" * 16))
    server.peers.append(secured)
    server.register("secured", peer=secured)
    assert server.http("PUT", "/v1/firmware/image", b"x" * 100000).status in (200, 201)
    trusting = ssl.create_default_context(cafile=str(server.data / "ca.pem"))
    https = http.client.HTTPSConnection("127.0.0.1", server.http_port, timeout=30, context=trusting)
    https.request("GET", "/v1/devices")
    assert https.getresponse().status == 200
    https.close()
    assert device.update().code_text == "2.04"
    server.close_peers()
    server.restart()
    assert {item["endpoint"] for item in server.get("/v1/devices")["items"]} == {"plain", "connected", "secured"}
    server.stop()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_life_without_the_system_calls_it_has_no_use_for(place, workers):
    server = start(place, "--seccomp", "on", "--workers", workers)
    assert status(server)["Seccomp"] == "2"
    rings = Path(f"/proc/{server.process.pid}/fd").iterdir()
    assert [ring for ring in rings if "io_uring" in os.readlink(ring)] == []  # no filter sees what is asked of one
    live_a_life(server)


@root_only
@pytest.mark.not_with_postgresql("the cluster's socket is not that user's")
def test_a_life_as_a_user(place):
    server = start(place, "--user", f"{NOBODY}:{NOBODY}", "--seccomp", "on")
    shown = status(server)
    assert shown["Uid"].split() == shown["Gid"].split() == [str(NOBODY)] * 4
    assert {shown[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16} and shown["Groups"] == ""
    assert {path.stat().st_uid for path in [server.data, *server.data.iterdir()]} == {NOBODY}
    live_a_life(server)


@root_only
@pytest.mark.not_with_postgresql("the cluster's socket is not that user's")
def test_a_user_binds_ports_that_are_roots(place):
    def in_a_network_of_its_own():
        ctypes.CDLL(None).unshare(0x40000000)  # CLONE_NEWNET: there every port is free
        os.system("ip link set lo up")

    server = Berth(place / "data", "--user", str(NOBODY), listen=("coap://127.0.0.1:443",), web="off", env=ENVIRONMENT,
                   preexec_fn=in_a_network_of_its_own)
    server.start()
    assert server.listeners == ("coap://127.0.0.1:443",) and int(status(server)["CapEff"], 16) == 0
    server.stop()


@root_only
def test_a_file_system_that_is_read_only_but_for_the_data(place):
    (place / "data").mkdir()

    def read_only():
        libc = ctypes.CDLL(None, use_errno=True)
        private, bind, remount_bind_read_only = 0x44000, 0x1000, 0x1021
        data = str(place / "data").encode()
        mounts = [line.split()[4].encode() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        done = [libc.unshare(0x20000), libc.mount(b"none", b"/", None, private, None), libc.mount(data, data, None, bind, None)]
        for mount in mounts:
            if not mount.startswith((b"/proc", b"/dev", b"/sys")):
                libc.mount(b"none", mount, None, remount_bind_read_only, None)
        if any(done) or os.access(place, os.W_OK):
            os._exit(99)

    server = start(place, preexec_fn=read_only)
    live_a_life(server)


def test_nothing_is_gained_and_no_core_is_written(start_berth):
    server = start_berth()
    assert status(server)["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    assert next(line.split()[4] for line in limits.splitlines() if line.startswith("Max core file size")) == "0"


@pytest.mark.parametrize("user", ["no-such-user-here", "0"])
def test_a_user_that_is_none_ends_the_start(place, user):
    with pytest.raises(AssertionError, match="--user: "):
        start(place, "--user", user)


def test_it_ends_on_sigint_too_when_it_is_confined(place):
    server = start(place, "--seccomp", "on")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    server.process.stdout.close()
