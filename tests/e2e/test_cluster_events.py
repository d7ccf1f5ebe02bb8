"""Events of a cluster: whichever node comes to serve has those of the ones before, with their numbers."""

import time

import pytest
from cluster_nodes import PATIENCE, start_node, start_wire  # noqa: F401
from http_wire import EventStream
from test_cluster_relay import until_it_relays
from test_http_events import flood

LISTEN = ("coap://127.0.0.1:0",)


@pytest.fixture
def two_nodes(start_node):
    a = start_node("a", listen=LISTEN).await_turn()
    b = start_node("b", listen=LISTEN)
    until_it_relays(b)
    return a, b


def until_kept(node):
    """Every event so far is in the database."""
    last, deadline = node.last_event(), time.monotonic() + PATIENCE
    while node.get_metric("berth_events_kept") < last:
        assert time.monotonic() < deadline, node.log()
        time.sleep(0.01)
    return node.events_after()


def ids(events):
    return [event["id"] for event in events]


def test_after_kill_9_the_next_node_has_the_events_and_goes_on_above_them(two_nodes):
    a, b = two_nodes
    device = a.register("dev1", lifetime=77)
    flood(device, 100)
    a.register("dev2")
    before = until_kept(a)
    assert len(before) == 102 and ids(before) == list(range(1, before[-1]["id"] + 1))
    assert b.events_after() == before  # at every node the same

    a.kill()
    b.await_turn()
    assert b.events_after()[: len(before)] == before
    assert b.get("/v1/events/last")["oldest"] == 1 and b.last_event() >= before[-1]["id"]

    # Whoever was in the midst of them goes on, and sees each once: a stream, a poll, a wait.
    middle = before[50]["id"]
    with EventStream(b.http_port, "", f"Last-Event-ID: {middle}") as stream:
        again = b.register("dev3")
        after = b.await_event("registered", "dev3", timeout="60s")
        assert after["id"] > before[-1]["id"]
        expected = [*before[51:], *b.events_after(before[-1]["id"])]
        assert [stream.event().data for _ in expected] == expected
    page = b.get("/v1/events", poll=1, after=middle, limit=3)
    assert page["items"] == before[51:54]
    past = b.http("POST", "/v1/wait", {"after": 0, "type": "registered", "endpoint": "dev1", "timeout": "0s"})
    assert (past.status, past.json) == (200, before[0])
    flood(again, 10)
    coming = b.http("POST", "/v1/wait", {"after": before[-1]["id"], "type": "updated", "count": 10, "timeout": "30s"})
    assert {event["endpoint"] for event in coming.json["events"]} == {"dev3"}
    assert ids(coming.json["events"]) == list(range(after["id"] + 1, after["id"] + 11))


def test_a_node_that_ends_leaves_all_events_and_no_gap(two_nodes):
    a, b = two_nodes
    flood(a.register("dev1"), 20)
    a.register("dev2")
    before = a.events_after()  # which need not be written yet
    a.stop()
    b.await_turn()
    b.register("dev3")
    now = b.events_after()
    assert now[: len(before)] == before
    assert ids(now) == list(range(1, now[-1]["id"] + 1)) and now[-1]["endpoint"] == "dev3"

    assert b.http("POST", "/v1/reset", scope="events").status == 204
    a.start()
    b.register("dev4")
    b.stop()
    a.await_turn()
    assert [event["endpoint"] for event in a.events_after() if event["type"] == "registered"] == ["dev4"]
    assert a.get("/v1/events/last")["oldest"] > now[-1]["id"]


def test_the_database_has_no_more_events_than_the_log(start_node, postgresql, tmp_path):
    memory = 65536
    a = start_node("a", "--event-memory", str(memory), listen=LISTEN).await_turn()
    device = a.register("dev1")
    most = 0
    for _ in range(12):  # 80 KiB of events each
        flood(device, 1000)
        until_kept(a)
        rows, size = postgresql.sql(
            "SELECT count(*), COALESCE(sum(length(events)), 0) FROM event", postgresql._database(tmp_path)
        ).split("|")
        assert int(rows) <= 1000
        most = max(most, int(size))
    assert memory // 4 < most < 4 * memory  # of 15 that have come
    before = a.events_after()
    b = start_node("b", "--event-memory", str(memory), listen=LISTEN)
    a.stop()
    b.await_turn()
    kept = b.events_after()
    assert kept[-1]["id"] >= before[-1]["id"] and set(ids(before[20:])) <= set(ids(kept))
