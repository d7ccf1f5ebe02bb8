"""The database of a cluster is slow, and then says nothing, while a swarm registers and updates: devices wait or are told to come
again, what waits for it is bounded, and all goes on by itself."""

import signal
import threading
import time

import pytest
from cluster_nodes import PATIENCE, start_node, start_wire  # noqa: F401
from coapraw import CONTENT_FORMAT, LINK_FORMAT, MAX_AGE, POST, uint
from test_cluster import nodes
from test_cluster_relay import UDP, port_of, until_it_relays
from test_swarm import KEY, provide, start_swarm  # noqa: F401

LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")
DTLS = 1
SECURE = 10
STUBBORN = ("--ack-timeout", "1s", "--max-retransmit", "9", "--lifetime", "86400", "--swarm-stay")
QUEUE_MAX = 32 << 20  # "writes waiting for the database" of docs/limits.md
LATE_S = 0.2


class Watch:
    """The most that has ever waited for the database at this node."""

    def __init__(self, node):
        self.node, self.most, self.stopping = node, {"writes": 0.0, "bytes": 0.0}, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(0.1):
            for what, most in self.most.items():
                try:
                    self.most[what] = max(most, self.node.get_metric(f"berth_store_queue_{what}"))
                except (OSError, StopIteration):  # it does not serve any more
                    pass

    def end(self):
        self.stopping.set()
        self.thread.join(PATIENCE)
        return self.most


def register(peer, endpoint):
    query = ["lwm2m=1.1", "b=U", f"ep={endpoint}", "lt=86400"]
    return peer.request(POST, "/rd", query, b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))], timeout=PATIENCE)


def get(node, path, **query):
    """Once it answers: whoever takes the turn, or passes on, needs a moment."""
    deadline = time.monotonic() + PATIENCE
    while (answer := node.http("GET", path, **query)).status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer.status == 200, answer.body
    return answer.json


def count_of(node, name):
    return len(get(node, "/v1/devices", limit=1000, endpoint=f"{name}-*")["items"])


def until_registered(node, name, count):
    deadline = time.monotonic() + PATIENCE
    while count_of(node, name) < count:
        assert time.monotonic() < deadline, node.log()
        time.sleep(0.1)


def until_all_updated(node):
    missing, deadline = {f"swarm-{number:06d}" for number in range(SECURE)}, time.monotonic() + PATIENCE
    after = get(node, "/v1/events/last")["last"]
    while missing:
        assert time.monotonic() < deadline, missing
        events = get(node, "/v1/events", poll=1, after=after, types="updated", timeout="1s", limit=1000)["items"]
        missing -= {event["endpoint"] for event in events}
        after = events[-1]["id"] if events else after


@pytest.mark.timeout(300)  # on a machine that has other things to do
def test_a_slow_or_silent_database_makes_devices_wait_and_bounded_memory(start_node, start_wire, start_swarm):
    wire = start_wire()
    a = start_node("a", wire=wire, listen=LISTEN).await_turn()
    b = start_node("b", wire=wire, listen=LISTEN)  # whichever comes to serve, devices knock here
    until_it_relays(b)
    provide(a, SECURE, "psk")
    load = ("--swarm-update", "1s", "--cid", "--psk", f"%:{KEY}")
    secure = start_swarm("--swarm", str(SECURE), "--server", f"coaps://127.0.0.1:{port_of(b, DTLS)}", *load, *STUBBORN)
    until_registered(b, "swarm", SECURE)
    load = ("--endpoint", "new", "--swarm-rate", "20", "--swarm-update", "10s")
    new = start_swarm("--swarm", "900", "--server", f"coap://127.0.0.1:{port_of(b, UDP)}", *load, *STUBBORN)

    # Slow: what is acknowledged comes late, and the turn stays where it is.
    watch = Watch(a)
    with wire.slow(LATE_S):
        begun = time.monotonic()
        assert register(a.peer(port=port_of(b, UDP)), "patient").code_text == "2.01"
        assert time.monotonic() - begun >= LATE_S
        until_registered(a, "new", 40)
        until_all_updated(a)
        assert nodes(b) == [(0, "serves", False), (1, "stands_by", True)]

    # Silent: devices and clients are told to come again.
    wire.cut()
    answer = register(a.peer(), "patient")
    assert (answer.code_text, answer.number(MAX_AGE)) == ("5.03", 30)
    assert a.http("GET", "/readyz").status == 503
    most = watch.end()
    assert 0 < most["bytes"] < QUEUE_MAX and most["writes"] > 0

    # And back.
    wire.mend()
    until_registered(b, "new", count_of(b, "new") + 20)
    until_all_updated(b)

    kinds = secure.end(signal.SIGTERM)["kinds"]
    assert set(kinds["update"]["outcomes"]) <= {"2.04", "5.03"}, kinds
    for kind in ("handshake", "register"):  # once and never again
        assert (kinds[kind]["begun"], kinds[kind]["good"]) == (SECURE, SECURE), kinds
    kinds = new.end(signal.SIGTERM)["kinds"]
    assert set(kinds["register"]["outcomes"]) <= {"2.01", "5.03"} and set(kinds["update"]["outcomes"]) <= {"2.04", "5.03"}, kinds
    assert kinds["register"]["good"] <= b.get_metric("berth_registered_devices") - SECURE - 1 <= kinds["register"]["begun"]
