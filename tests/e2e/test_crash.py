"""SIGKILL at any moment: what a device was told is still true when the server is back on the same data and port."""

import random
import selectors
import socket
import time
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from coapraw import (
    CON,
    CONTENT_FORMAT,
    DELETE,
    EMPTY,
    LINK_FORMAT,
    POST,
    RST,
    URI_PATH,
    URI_QUERY,
    Coap,
    uint,
)

DEVICES, KILLS, SOCKETS, RETRANSMIT_S = 2000, 20, 50, 0.05
OBJECTS = b"</1/0>,</3/0>,</4/0>,</3303/0>"


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


@dataclass
class Client:
    """One device: what it was told last."""

    endpoint: str
    socket: int
    location: str | None = None
    lifetime: int = 300
    promised: float = 0  # the earliest moment at which the server may let it expire
    deregistered: bool = False


@dataclass
class Exchange:
    client: Client
    message: Coap
    lifetime: int | None = None
    first_sent: float = field(default_factory=time.time)
    next_send: float = 0
    answered: bool = False


class Swarm:
    """Many devices over a few sockets. A request is repeated until it is answered, as CoAP has it, only faster."""

    def __init__(self, port):
        self.sockets = []
        self.selector = selectors.DefaultSelector()
        self.exchanges = {}
        self.waiting = set()
        self.mids = [0] * SOCKETS
        for number in range(SOCKETS):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.connect(("127.0.0.1", port))
            self.sockets.append(sock)
            self.selector.register(sock, selectors.EVENT_READ, number)

    def close(self):
        self.selector.close()
        for sock in self.sockets:
            sock.close()

    def request(self, client, method, path, query=(), payload=b"", lifetime=None):
        mid = self.mids[client.socket] = self.mids[client.socket] + 1
        options = [(URI_PATH, segment.encode()) for segment in path.strip("/").split("/")]
        options += [(URI_QUERY, item.encode()) for item in query]
        options += [(CONTENT_FORMAT, uint(LINK_FORMAT))] if payload else []
        message = Coap(CON, method, mid, mid.to_bytes(2, "big"), options, payload)
        self.exchanges[client.socket, mid] = Exchange(client, message, lifetime)
        self.waiting.add((client.socket, mid))

    def register(self, client):
        query = [f"ep={client.endpoint}", f"lt={client.lifetime}", "lwm2m=1.1", "b=U"]
        self.request(client, POST, "/rd", query, OBJECTS, client.lifetime)

    def update(self, client, lifetime):
        query = [] if lifetime is None else [f"lt={lifetime}"]
        self.request(client, POST, client.location, query, lifetime=lifetime or client.lifetime)

    def deregister(self, client):
        self.request(client, DELETE, client.location)

    def run(self, duration, answers=None):
        """Send, repeat and receive for so long, or until everything, or so much, is answered."""
        end = time.monotonic() + duration
        enough = 0 if answers is None else len(self.waiting) - answers
        while len(self.waiting) > enough and time.monotonic() < end:
            self._send_due()
            self._receive(min(0.005, max(0, end - time.monotonic())))

    def drain(self):
        """Take everything that a dead server has sent. A Register that it answered must not be sent to the next one, which
        would execute it again and make the location that the device goes by another's."""
        while self.selector.select(0):
            self._receive(0)

    def fence(self):
        """Everything that the server has sent is received."""
        for number in range(SOCKETS):
            self.mids[number] += 1
            self._send(number, Coap(CON, EMPTY, self.mids[number]).encode())
        pongs = set()
        while len(pongs) < SOCKETS:
            pongs |= self._receive(5)

    def _send(self, number, data):
        try:
            self.sockets[number].send(data)
        except (ConnectionRefusedError, BlockingIOError):
            pass  # nobody listens just now

    def _send_due(self):
        now = time.monotonic()
        for key in self.waiting:
            exchange = self.exchanges[key]
            if exchange.next_send <= now:
                exchange.next_send = now + RETRANSMIT_S
                self._send(key[0], exchange.message.encode())

    def _receive(self, timeout):
        """The sockets that a ping was answered on."""
        pongs = set()
        for key, _ in self.selector.select(timeout):
            while True:
                try:
                    message = Coap.decode(self.sockets[key.data].recv(2048))
                except BlockingIOError:
                    break
                except ConnectionRefusedError:
                    continue
                if message.type == RST:
                    pongs.add(key.data)
                elif message.code != EMPTY:
                    self._take(key.data, message)
        return pongs

    def _take(self, number, message):
        """The first answer is the one: of a request that was executed a process repeats its answer."""
        exchange = self.exchanges[number, message.mid]
        if exchange.answered:
            return
        client = exchange.client
        exchange.answered = True
        self.waiting.discard((number, message.mid))
        if exchange.message.code == DELETE:
            assert message.code_text == "2.02" or message.code_text == "4.04", message
            client.deregistered = True
            return
        if exchange.lifetime is not None:
            client.lifetime = exchange.lifetime
        client.promised = exchange.first_sent + client.lifetime
        if exchange.message.options[-1][0] == CONTENT_FORMAT:
            assert message.code_text == "2.01", message
            client.location = message.location
        else:
            assert message.code_text == "2.04", f"{client}: {message}"


def every_device(server):
    devices, cursor = {}, {}
    while True:
        page = server.get("/v1/devices", limit=1000, **cursor)
        devices |= {item["endpoint"]: item for item in page["items"]}
        if page["next"] is None:
            return devices
        cursor = {"cursor": page["next"]}


def test_REG_44_nothing_acknowledged_is_lost_in_20_kills(start_berth):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    server = start_berth(release=True)
    swarm = Swarm(server.coap_port)
    clients = [Client(f"device-{n}", n % SOCKETS, lifetime=chance.choice((300, 3600))) for n in range(DEVICES)]
    begun = interrupted = 0
    for _ in range(KILLS):
        for client in clients[begun : begun + DEVICES // KILLS]:
            swarm.register(client)
        done = [client for client in clients[:begun] if client.location and not client.deregistered]
        for client in chance.sample(done, len(done) // 10):
            if chance.random() < 0.2:
                swarm.deregister(client)
            else:
                swarm.update(client, chance.choice((None, 300, 7200)))
        begun += DEVICES // KILLS
        # Now and then after so many answers, now and then after so much time, also before the first answer.
        if chance.random() < 0.5:
            swarm.run(5, answers=chance.randrange(1, len(swarm.waiting)))
        else:
            swarm.run(chance.uniform(0, 0.005))
        interrupted += len(swarm.waiting)
        server.kill()
        swarm.drain()
        server.start()
        # A client has one request under way at a time.
        swarm.run(10)
        assert not swarm.waiting, "unanswered after ten seconds"
    print(f"{interrupted} requests were under way when the server was killed")
    assert interrupted > 0
    swarm.fence()
    there = every_device(server)
    for client in clients:
        if client.deregistered:
            assert client.endpoint not in there, f"{client} is back"
            continue
        device = there.pop(client.endpoint, None)
        assert device is not None, f"{client} is lost"
        assert device["location"] == client.location, client
        assert [item["path"] for item in device["objects"]] == ["/1/0", "/3/0", "/4/0", "/3303/0"]
        assert seconds(device["expires_at"]) >= client.promised, client
    assert there == {}
    swarm.close()


@pytest.fixture
def release(start_berth):
    return start_berth(release=True)


def crash(server):
    server.kill()
    server.start()


def test_REG_44_register_then_crash(release):
    device = release.register("one", lifetime=3600)
    before = release.device("one")
    crash(release)
    after = release.device("one")
    assert seconds(after.pop("expires_at")) >= seconds(before.pop("expires_at"))
    assert after == before
    assert device.update().code_text == "2.04"


@pytest.mark.parametrize("lifetime", [61, 3600, 31536000])
def test_UPD_02_update_with_a_longer_lifetime_then_crash(release, lifetime):
    device = release.register("longer", lifetime=60)
    sent = time.time()
    assert device.update([f"lt={lifetime}"]).code_text == "2.04"
    crash(release)
    assert seconds(release.device("longer")["expires_at"]) >= sent + lifetime


def test_UPD_02_update_to_an_infinite_lifetime_then_crash(release):
    device = release.register("endless", lifetime=60)
    assert device.update(["lt=0"]).code_text == "2.04"
    crash(release)
    assert release.device("endless")["expires_at"] is None


def test_UPD_01_update_then_crash(release):
    device = release.register("refreshed", lifetime=60)
    release.leap("50s")
    sent = release.get("/v1/clock")["now_s"]
    assert device.update().code_text == "2.04"
    crash(release)
    assert seconds(release.device("refreshed")["expires_at"]) >= sent + 60


@pytest.mark.parametrize(
    ("query", "links", "name", "value"),
    [
        (["b=UT"], None, "binding", "UT"),
        (["Q"], None, "queue_mode", True),
        (["sms=123"], None, "sms", "123"),
        ([], "</1/0>,</3/0>,</5/0>", "objects", ["/1/0", "/3/0", "/5/0"]),
    ],
)
def test_UPD_03_UPD_04_update_that_changes_something_then_crash(release, query, links, name, value):
    device = release.register("changed")
    assert device.update(query, links=links).code_text == "2.04"
    crash(release)
    shown = release.device("changed")[name]
    assert ([item["path"] for item in shown] if name == "objects" else shown) == value


def test_DER_01_deregister_then_crash(release):
    release.register("gone").deregister()
    crash(release)
    assert release.http("GET", "/v1/devices/gone").status == 404


def test_REG_33_register_again_then_crash(release):
    old = release.register("again")
    new = release.register("again")
    crash(release)
    assert old.update().code_text == "4.04" and new.update().code_text == "2.04"
    assert release.device("again")["location"] == new.location


def test_numbers_of_events_rise_over_a_crash(release):
    release.register("one")
    last = release.last_event()
    crash(release)
    assert release.last_event() >= last
    release.register("two")
    assert release.await_event("registered", "two")["id"] > last


def test_ids_of_registrations_are_never_used_twice_over_a_crash(release):
    """A location of a lost registration, kept by a device, must not lead to another device."""
    locations = set()
    for round in range(5):
        for number in range(20):
            locations.add(release.register(f"{round}-{number}").location)
        crash(release)
    assert len(locations) == 100
