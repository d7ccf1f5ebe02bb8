"""Three nodes, their database and their devices on machines of their own: nodes die, lose their network and stand still while a
swarm registers and updates through all of them."""

import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from http.client import HTTPException

import pytest
from cluster_nodes import PATIENCE, Node, next_to_serve
from coapraw import CONTENT_FORMAT, LINK_FORMAT, MAX_AGE, POST, uint
from http_wire import EventStream, SentEvent
from machines import ip, machines, may_have_machines
from played_device import PlayedDevice
from test_cluster_relay import until_it_relays
from test_swarm import KEY, start_swarm  # noqa: F401

PLAIN, SECURE, API, RELAY = 5683, 5684, 8080, 7683
LISTEN = (f"coap://0.0.0.0:{PLAIN}", f"coaps://0.0.0.0:{SECURE}")
WAYS = {"secure": (f"coaps://%s:{SECURE}", 10, ("--cid", "--psk", f"%:{KEY}")), "plain": (f"coap://%s:{PLAIN}", 5, ())}
NEW = ("--swarm", "1000", "--swarm-rate", "5", "--endpoint", "new", "--swarm-update", "5s")
LOAD = ("--swarm-update", "1s")
STUBBORN = ("--ack-timeout", "1s", "--max-retransmit", "9", "--lifetime", "86400", "--swarm-stay")


class MachineNode(Node):
    def __init__(self, machine, *args, **kwargs):
        super().__init__(*args, listen=LISTEN, web=f"http://{machine.address}:{API}", **kwargs)
        self.machine, self.host = machine, machine.address

    def start(self, timeout=PATIENCE):
        with self.machine.inside():
            return super().start(timeout)

    def is_ready(self):
        try:
            return self.process is not None and self.http("GET", "/readyz", within=1).status == 200
        except (OSError, HTTPException):
            return False


def service(number):
    """The address by which the devices know this node, or whichever has it just now."""
    return f"172.31.1.{number + 1}"


class Routes:
    """What keeps the nodes' services where someone answers, as a balancer does: it asks each whether it is ready."""

    def __init__(self, nodes, devices):
        self.nodes, self.devices = nodes, devices
        self.way: dict[int, str] = {}
        self.stopping = threading.Event()
        for number, node in enumerate(nodes):
            self._set(number, node)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _set(self, number, node):
        if self.way.get(number) != node.host:
            with self.devices.inside():
                ip(f"route replace {service(number)} via {node.host}")
            self.way[number] = node.host

    def _run(self):
        while not self.stopping.wait(0.5):
            ready = [node for node in self.nodes if node.is_ready()]
            for number, node in enumerate(self.nodes):
                if ready:
                    self._set(number, node if node in ready else ready[number % len(ready)])

    def close(self):
        self.stopping.set()
        self.thread.join(PATIENCE)


class Told:
    """Every event that any node has told, by its number."""

    def __init__(self):
        self.events: dict[int, dict] = {}
        self.twice: list[tuple[dict, dict]] = []

    def add(self, event):
        before = self.events.setdefault(event["id"], event)
        if before != event:
            self.twice.append((before, event))

    def listen_to(self, node):
        """Until it ends."""
        stream = EventStream(node.http_port, "", f"Last-Event-ID: {max(self.events, default=0)}", host=node.host, timeout=600)
        threading.Thread(target=self._listen, args=(stream,), daemon=True).start()

    def _listen(self, stream):
        try:
            for item in stream:
                if isinstance(item, SentEvent):
                    self.add(item.data)
        except (OSError, AssertionError):  # it died, perhaps in the midst of one
            stream.close()


@pytest.fixture
def three(tmp_path, postgresql):
    """Nodes, of which the first serves, and the machine for devices."""
    if not may_have_machines():
        pytest.skip("needs root, and networks with bridges")
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    with ExitStack() as stack:
        *of_nodes, of_database, devices = stack.enter_context(machines("a", "b", "c", "database", "devices"))
        with of_database.inside():
            database = type(postgresql)(of_database.address)
        stack.callback(database.close)
        nodes = []
        for machine in of_nodes:
            with machine.inside():
                ip(*(f"address add {service(number)}/32 dev lo" for number in range(len(of_nodes))))
            options = ("--database", database.uri(), "--key-file", str(key), "--node-listen", f"{machine.address}:{RELAY}")
            nodes.append(MachineNode(machine, tmp_path / machine.name, "--cluster", *options))
            stack.callback(nodes[-1].close)
            nodes[-1].start()
            if machine is of_nodes[0]:
                nodes[0].await_turn()
        for node in nodes[1:]:
            until_it_relays(node)
        yield nodes, devices


@pytest.fixture
def routes(three):
    routes = Routes(*three)
    yield routes
    routes.close()


def send_register(peer, endpoint):
    query = ["lwm2m=1.1", "b=U", f"ep={endpoint}", "lt=86400"]
    request = peer.message(POST, "/rd", query, b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    peer.send(request)
    return request


class Story:
    """What must be true whatever becomes of the nodes."""

    def __init__(self, nodes, devices, start_swarm):
        self.nodes, self.devices, self.told = nodes, devices, Told()
        self.serving = nodes[0]
        self.registrations: dict[str, tuple[str, str]] = {}
        self.told.listen_to(self.serving)
        self.swarms = {}
        for number in range(len(nodes)):
            for kind, (uri, count, options) in WAYS.items():
                name = f"{kind}{number}"
                for device in range(count if kind == "secure" else 0):
                    identity = f"{name}-{device:06d}"
                    key = {"mode": "psk", "identity": identity, "key_hex": KEY}
                    assert self.serving.http("PUT", f"/v1/credentials/{identity}", key).status == 201
                options = ("--swarm", str(count), "--endpoint", name, "--server", uri % service(number), *LOAD, *options)
                with devices.inside():
                    self.swarms[name] = count, start_swarm(*options, *STUBBORN)
        self.await_updates(0)
        with devices.inside():
            self.newcomers = start_swarm(*NEW, "--server", WAYS["plain"][0] % service(1), *STUBBORN)

    def peer(self, number):
        """A device's, to this node's service."""
        with self.devices.inside():
            return self.serving.peer(host=service(number), port=PLAIN)

    def await_updates(self, after):
        """Of every device."""
        missing = {f"{name}-{device:06d}" for name, (count, _) in self.swarms.items() for device in range(count)}
        deadline = time.monotonic() + PATIENCE
        while missing:
            assert time.monotonic() < deadline, missing
            events = self.serving.get("/v1/events", poll=1, after=after, types="updated", timeout="1s", limit=1000)["items"]
            missing -= {event["endpoint"] for event in events}
            after = events[-1]["id"] if events else after

    def goes_on(self):
        """Every device with the registration that it had, and the same is told everywhere."""
        self.await_updates(self.serving.last_event())
        with self.standing_still():
            devices, events = self.same_at_all_nodes()
        numbers = [event["id"] for event in events]
        assert numbers == sorted(set(numbers))
        for event in events:
            self.told.add(event)
        assert self.told.twice == []
        now = {item["endpoint"]: (item["location"], item["registered_at"]) for item in devices}
        assert self.registrations.keys() <= now.keys()
        # A newcomer that was not answered has asked again.
        changed = {endpoint for endpoint, kept in self.registrations.items() if now[endpoint] != kept}
        assert {endpoint for endpoint in changed if not endpoint.startswith("new-")} == set()
        self.registrations = now

    def same_at_all_nodes(self):
        """Once what was on its way has come."""
        deadline = time.monotonic() + PATIENCE
        while True:
            told = [(devices_at(node), node.events_after()) for node in self.nodes]
            if told[0] == told[1] == told[2]:
                return told[0]
            assert time.monotonic() < deadline

    def next_turn(self, among):
        """One of these serves now."""
        self.serving = next_to_serve(among)
        self.told.listen_to(self.serving)
        return self.serving

    def no_handshakes(self):
        for kind in ("hellos", "handshakes", "resumptions"):
            assert self.serving.get_metric(f"berth_dtls_{kind}_total") == 0

    @contextmanager
    def standing_still(self):
        """No device sends anything."""
        running = [*(swarm for _, swarm in self.swarms.values()), self.newcomers]
        for swarm in running:
            swarm.process.send_signal(signal.SIGSTOP)
        yield
        for swarm in running:
            swarm.process.send_signal(signal.SIGCONT)

    def ends(self):
        for count, swarm in self.swarms.values():
            kinds = swarm.end(signal.SIGTERM)["kinds"]
            assert set(kinds["update"]["outcomes"]) <= {"2.04", "5.03"}, kinds
            for kind in {"register", "handshake"} & kinds.keys():  # once and never again
                assert (kinds[kind]["begun"], kinds[kind]["good"]) == (count, count), kinds
        report = self.newcomers.end(signal.SIGTERM)
        kinds = report["kinds"]
        assert set(kinds["register"]["outcomes"]) <= {"2.01", "5.03"} and set(kinds["update"]["outcomes"]) <= {"2.04", "5.03"}, kinds
        there = [item for item in devices_at(self.serving) if item["endpoint"].startswith("new-")]
        assert kinds["register"]["good"] <= len(there) <= kinds["register"]["begun"]


def devices_at(node):
    items, query = [], {}
    while True:
        page = node.get("/v1/devices", limit=1000, **query)
        items += page["items"]
        if page["next"] is None:
            return items
        query = {"cursor": page["next"]}


def queue_execute(device, node):
    device.berth = node
    return device.ask("POST", "/3/0/4", headers={"Prefer": "respond-async"}).answer(202).json["id"]


def is_told_once(device, request, node):
    """It comes when the device does, and never again."""
    device.berth = node
    assert device.peer.request(POST, device.registered.location, timeout=PATIENCE).code_text == "2.04"
    device.answer(device.expect(POST, "/3/0/4"), "2.04")
    assert node.get(f"/v1/requests/{request}", timeout="30s")["state"] == "completed"
    device.peer.expect_silence()


def state_of(node, other):
    """As the first one knows the other."""
    return {item["api"]: item["state"] for item in node.get("/v1/nodes")["items"]}.get(other.web)


def until_state(node, other, state):
    deadline = time.monotonic() + PATIENCE
    while state_of(node, other) != state:
        assert time.monotonic() < deadline, node.get("/v1/nodes")
        time.sleep(0.1)


def is_told_to_come_again(peer, request):
    answer = peer.response(request, PATIENCE)
    assert (answer.code_text, answer.number(MAX_AGE)) == ("5.03", 30), answer


def stands_by_again(node, serving):
    until_it_relays(node)
    until_state(serving, node, "stands_by")


def without(nodes, node):
    return [other for other in nodes if other is not node]


@pytest.mark.timeout(400)  # turns of six seconds, on a machine that has other things to do
def test_nodes_that_die_are_cut_off_and_stand_still_lose_nothing_under_load(three, routes, start_swarm):
    nodes, devices = three
    story = Story(nodes, devices, start_swarm)
    sleepers = [PlayedDevice(nodes[0], f"sleeper{n}", lifetime=86400, extra=["Q"], peer=story.peer(n)) for n in range(3)]
    nodes[0].leap("94s")
    story.goes_on()

    # It dies.
    first = story.serving
    request = queue_execute(sleepers[0], first)
    first.kill()
    second = story.next_turn(without(nodes, first))
    first.start()
    stands_by_again(first, second)
    story.goes_on()
    story.no_handshakes()
    is_told_once(sleepers[0], request, second)

    # It is cut off from the database and everybody else.
    request = queue_execute(sleepers[1], second)
    with second.machine.inside():
        near = second.peer(host=second.host, port=PLAIN)
    second.machine.cut()
    lost = send_register(near, "lost")
    third = story.next_turn(without(nodes, second))
    is_told_to_come_again(near, lost)
    with second.machine.inside():
        assert second.http("GET", "/v1/devices").status == 503
    second.machine.mend()
    second.await_standing_by()
    stands_by_again(second, third)
    story.goes_on()
    story.no_handshakes()
    is_told_once(sleepers[1], request, third)

    # It stands still, and wakes up with work to do.
    request = queue_execute(sleepers[2], third)
    third.pause()
    late = third.peer(host=third.host, port=PLAIN)
    too_late = send_register(late, "late")
    fourth = story.next_turn(without(nodes, third))
    third.go_on()
    is_told_to_come_again(late, too_late)
    third.await_standing_by()
    stands_by_again(third, fourth)
    story.goes_on()
    story.no_handshakes()
    is_told_once(sleepers[2], request, fourth)

    # One that only stands by is cut off: who came through it comes through another one.
    cut = without(nodes, fourth)[0]
    cut.machine.cut()
    until_state(fourth, cut, "gone")
    story.await_updates(fourth.last_event())
    assert state_of(fourth, fourth) == "serves"
    cut.machine.mend()
    stands_by_again(cut, fourth)
    story.goes_on()
    story.no_handshakes()

    assert {"lost", "late"}.isdisjoint(story.registrations)
    story.ends()
