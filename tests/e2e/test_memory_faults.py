"""Memory runs out at every point: nothing crashes, who asks hears of it, nothing is lost or leaked, and it goes on.

The program is the release; allocations fail one by one, by tests/e2e/fail_malloc.c. In each test the same thing is done
again and again, and each time the next allocation of those that it makes fails."""

import mmap
import os
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from coapraw import ACK, CONTENT_FORMAT, DELETE, LINK_FORMAT, POST, Coap, code, uint
from dtls_peer import DtlsPeer, HandshakeFailed
from played_device import Asked

# Of each thing at most so many points; $BERTH_MEMORY_POINTS=10000 is all of them.
POINTS = int(os.environ.get("BERTH_MEMORY_POINTS", "12"))
COUNTDOWN, COUNTED, LIVE, FAILED, RUN = range(5)
OVERLOADED = {429, 500, 502, 503, 504, 507}  # 429: no room for one more request

pytestmark = pytest.mark.not_with_postgresql("an allocation of libpq that fails costs the connection, and that more than one request")


class Allocations:
    """What fail_malloc.c has mapped."""

    def __init__(self, path: Path):
        path.write_bytes(bytes(4096))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 4096)

    def __getitem__(self, number: int) -> int:
        return struct.unpack_from("=q", self.memory, 8 * number)[0]

    def fail(self, countdown: int, run: int = 1) -> None:
        struct.pack_into("=q", self.memory, 8 * RUN, run)
        struct.pack_into("=q", self.memory, 8 * COUNTDOWN, countdown)

    def stop(self) -> None:
        self.fail(0)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    made = tmp_path_factory.mktemp("library") / "fail_malloc.so"
    source = Path(__file__).with_name("fail_malloc.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", made, source], check=True, timeout=60)
    return made


@pytest.fixture
def allocations(tmp_path):
    return Allocations(tmp_path / "allocations")


@pytest.fixture
def berth(start_berth, library, allocations, tmp_path):
    berth = start_berth(
        release=True,
        listen=("coap://127.0.0.1:0", "coaps://127.0.0.1:0"),
        env={"LD_PRELOAD": str(library), "FAIL_MALLOC": str(tmp_path / "allocations")},
    )
    if "asan" in subprocess.run(["ldd", berth.command()[0]], capture_output=True, text=True, timeout=30).stdout:
        pytest.skip("the sanitizers allocate for themselves: $BERTH_RELEASE is to be without")
    berth.allocations = allocations
    return berth


def at_every_point(berth, act, check, settle=lambda: None):
    """act() until it makes no more allocations than were tried; check(what act gave, whether one failed) each time. After
    settle() nothing lives on that only time ends."""
    allocations = berth.allocations
    for _ in range(10):
        check(act(), False)
    before, lived = allocations[COUNTED], allocations[LIVE]
    for _ in range(4):
        check(act(), False)
    total = (allocations[COUNTED] - before) // 4
    growth = max(0, allocations[LIVE] - lived) / 4  # what is kept of each: sessions, messages
    assert total > 0
    step, rounds = max(1, total // POINTS), 0
    settle()
    lived = allocations[LIVE]
    for point in range(1, total + step + 1, step):
        failed = allocations[FAILED]
        allocations.fail(point)
        result = act()
        allocations.stop()
        assert berth.is_running, f"it died at allocation {point} of {total}\n{berth.log()[-3000:]}"
        check(result, allocations[FAILED] > failed)
        rounds += 1
    check(act(), False)
    settle()
    leaked = allocations[LIVE] - lived - growth * (rounds + 1)
    assert leaked < 20 + rounds / 2, f"{leaked} allocations more live on, after {rounds} rounds"


def heard(peer, message, patience=6):
    """The answer to a request that is sent until there is one, as a device does."""
    for _ in range(patience):
        peer.send(message)
        with suppress(TimeoutError):
            while (answer := peer.receive(timeout=0.4)) is not None:
                if answer.token == message.token and answer.mid == message.mid:
                    return answer
    return None


REGISTER = ["lt=300", "lwm2m=1.1", "b=U"]


def request(peer, method, path, query=(), payload=b"", options=()):
    return heard(peer, peer.message(method, path, list(query), payload, list(options)))


def test_register_and_deregister(berth):
    peer = berth.peer()

    def act():
        answer = request(peer, POST, "/rd", ["ep=dev1", *REGISTER], b"</3/0>,</4/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])
        gone = None
        if answer is not None and answer.code_text == "2.01":
            berth.allocations.stop()
            assert berth.device("dev1")["location"] == answer.location  # what was acknowledged is so
            gone = request(peer, DELETE, answer.location)
        return answer, gone

    def check(result, failed):
        answer, gone = result
        assert answer is not None or failed
        codes = {"2.01", "5.03", "5.00"} if failed else {"2.01"}
        assert answer is None or answer.code_text in codes, answer
        assert gone is None or gone.code_text == "2.02"

    at_every_point(berth, act, check)


def test_updates(berth):
    device = berth.register("dev1")
    toggle = [0]

    def act():
        toggle[0] += 1
        return request(device.peer, POST, device.location, [f"lt={300 + toggle[0] % 7}"], b"</3/0>,</%d/0>" % (toggle[0] % 9 + 20),
                       [(CONTENT_FORMAT, uint(LINK_FORMAT))])

    def check(answer, failed):
        assert answer is not None or failed
        assert answer is None or answer.code_text in ({"2.04", "5.03", "5.00"} if failed else {"2.04"})

    at_every_point(berth, act, check)
    assert berth.device("dev1")["location"] == device.location


def answer_one(device, payload=b"99"):
    """Answer what the server asks, if it asks."""
    question = device.peer.receive(timeout=2)
    if question is not None:
        device.peer.send(Coap(ACK, code("2.05"), question.mid, question.token, [(CONTENT_FORMAT, b"")], payload))


def ask(berth, *args, **query):
    """The status; None when the connection was closed without one."""
    try:
        return berth.http(*args, **query).status
    except OSError:
        return None
    except Exception as error:  # http.client's own, of an answer that is cut off
        assert type(error).__module__ == "http.client"
        return None


def good_or_overloaded(status, failed):
    assert status in (200, 201, 204) or (failed and (status is None or status in OVERLOADED)), status


@pytest.mark.parametrize("path", ["/v1/devices", "/v1/devices/dev1", "/v1/events?poll=1&after=0&timeout=0s", "/metrics",
                                  "/v1/openapi.json", "/v1/devices/dev1/messages", "/v1/objects/3", "/api/clients"])
def test_looking_at_things(berth, path):
    berth.register("dev1")
    at_every_point(berth, lambda: ask(berth, "GET", path), good_or_overloaded)


def test_reading_from_a_device(berth):
    device = berth.register("dev1")

    def act():
        try:
            asked = Asked(berth, "GET", "/v1/devices/dev1/3/0/9", response_timeout="1s")
            answer_one(device)
            return asked.answer().status
        except Exception:
            assert berth.is_running, berth.log()[-3000:]
            return None

    at_every_point(berth, act, good_or_overloaded)


def test_credentials(berth):
    body = {"mode": "psk", "identity": "me", "key_hex": "0b" * 16}

    def act():
        return ask(berth, "PUT", "/v1/credentials/dev1", body)

    at_every_point(berth, act, good_or_overloaded)
    with DtlsPeer(int(berth.listeners[1].rpartition(":")[2]), psk=("me", b"\x0b" * 16)):
        pass


def test_images(berth):
    at_every_point(berth, lambda: ask(berth, "PUT", "/v1/firmware/image", b"x" * 70000), good_or_overloaded)
    assert berth.http("GET", "/v1/firmware/image").body == b"x" * 70000


def test_handshakes(berth):
    berth.http("PUT", "/v1/credentials/dev1", {"mode": "psk", "identity": "me", "key_hex": "0b" * 16})
    port = int(berth.listeners[1].rpartition(":")[2])

    def act():
        try:
            with DtlsPeer(port, psk=("me", b"\x0b" * 16), timeout_ms=1500):
                return True
        except HandshakeFailed:
            return False

    def check(connected, failed):
        assert connected or failed

    at_every_point(berth, act, check, lambda: berth.leap("2m"))  # handshakes that were given up


def test_with_no_memory_for_long_it_comes_back(berth):
    device = berth.register("dev1", lifetime=3600)
    berth.allocations.fail(1, run=20000)
    for _ in range(5):
        ask(berth, "GET", "/v1/devices")
        device.peer.send(device.peer.message(POST, device.location))
    berth.allocations.stop()
    assert berth.is_running, berth.log()[-3000:]
    assert berth.http("GET", "/v1/devices/dev1").status == 200
    assert request(device.peer, POST, device.location).code_text == "2.04"
    berth.register("dev2")
