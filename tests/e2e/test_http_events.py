"""/v1/events: the stream with its replay, the long poll, the cursor."""

import threading
import time

import pytest

from coapraw import POST
from http_wire import EventStream, SentEvent, Wire


def flood(device, count: int) -> None:
    """So many `updated` events."""
    for sent in range(0, count, 16):
        batch = min(16, count - sent)
        for _ in range(batch):
            device.peer.send(device.peer.message(POST, device.location))
        for _ in range(batch):
            assert device.peer.receive() is not None


# ---- the stream ----


def test_stream_without_a_cursor_starts_now(berth):
    berth.register("before")
    with EventStream(berth.http_port) as stream:
        berth.register("dev1", lifetime=77)
        event = stream.event()
        assert (event.type, event.data["endpoint"], event.data["lifetime_s"]) == ("registered", "dev1", 77)
        assert event.id == event.data["id"] == berth.last_event()


def test_event_is_what_the_poll_gives(berth):
    berth.register("dev1")
    with EventStream(berth.http_port, "?after=0") as stream:
        assert [stream.event().data] == berth.events_after(0)


def test_replay_goes_live_without_gap_or_duplicate(berth):
    device = berth.register("dev1")
    flood(device, 1000)
    with EventStream(berth.http_port, "?after=0") as stream:
        live = threading.Thread(target=flood, args=(device, 1000))
        live.start()
        assert [stream.event().id for _ in range(2001)] == list(range(1, 2002))
        live.join()


def test_last_event_id_is_the_cursor_and_goes_before_after(berth):
    device = berth.register("dev1")
    flood(device, 5)
    with EventStream(berth.http_port, "?after=0", "Last-Event-ID: 4") as stream:
        assert [stream.event().id for _ in range(2)] == [5, 6]


def test_types_choose(berth):
    with EventStream(berth.http_port, "?after=0&types=deregistered,updated") as stream:
        device = berth.register("dev1")
        device.update()
        device.deregister()
        assert [stream.event().type for _ in range(2)] == ["updated", "deregistered"]


def test_type_registered_includes_replaced(berth):
    with EventStream(berth.http_port, "?types=registered") as stream:
        first = berth.register("dev1")
        berth.register("dev1")
        assert stream.event().type == "registered"
        replaced = stream.event()
        assert (replaced.type, replaced.data["previous"]) == ("replaced", first.location)


def test_endpoint_chooses(berth):
    with EventStream(berth.http_port, "?endpoint=dev%2F2") as stream:
        for name in ("dev1", "dev/2", "dev3"):
            berth.register(name)
        berth.register("dev/2")
        assert [stream.event().data["endpoint"] for _ in range(2)] == ["dev/2", "dev/2"]


def test_rejected_message_is_an_event_with_its_code(berth):
    peer = berth.peer()
    with EventStream(berth.http_port, "?types=rejected") as stream:
        assert peer.request(POST, "/rd").code_text.startswith("4.")
        event = stream.event().data
        assert event["coap_code"].startswith("4.") and event["detail"] and event["address"] == peer.address


def test_events_that_are_no_longer_kept_are_told_in_a_comment(start_berth):
    berth = start_berth("--event-memory", "64k")
    flood(berth.register("dev1"), 2000)
    oldest = berth.get("/v1/events/last")["oldest"]
    assert oldest > 10
    with EventStream(berth.http_port, "?after=3") as stream:
        assert next(stream) == f"events 4 to {oldest - 1} are no longer kept"
        assert stream.event().id == oldest


def test_heartbeat_comes_every_15_seconds(berth):
    with EventStream(berth.http_port) as stream:
        started = time.monotonic()
        assert next(stream) == ""
        assert 14 < time.monotonic() - started < 25


def test_slow_reader_gets_everything_and_delays_nobody(berth):
    device = berth.register("dev1")
    flood(device, 4000)
    with EventStream(berth.http_port, "?after=0", receive_buffer=4096) as slow:
        with EventStream(berth.http_port) as quick:
            flood(device, 4000)
            assert quick.event().id == 4002
        assert berth.get_metric("berth_http_connections") == 2
        assert [slow.event().id for _ in range(8001)] == list(range(1, 8002))


def test_reader_that_the_log_overtakes_is_dropped(start_berth):
    berth = start_berth("--event-memory", "64k")
    device = berth.register("dev1")
    with EventStream(berth.http_port, "?after=0", receive_buffer=4096) as stuck:
        for _ in range(20):
            flood(device, 2000)
            if berth.get("/v1/events/last")["oldest"] > 20000:
                break
        ids = []
        try:
            for item in stuck:
                if isinstance(item, SentEvent):
                    ids.append(item.id)
        except (AssertionError, ConnectionResetError):
            pass  # the last event was cut off
        assert ids == list(range(1, len(ids) + 1))
        assert len(ids) < berth.last_event()


def test_stream_goes_on_after_the_events_were_reset(berth):
    berth.register("dev1")
    with EventStream(berth.http_port) as stream:
        assert berth.http("POST", "/v1/reset", scope="events").status == 204
        berth.register("dev2")
        assert stream.event().data["endpoint"] == "dev2"


def test_head_of_the_stream_ends(berth):
    with Wire(berth.http_port) as wire:
        assert wire.get("/v1/events", method="HEAD").answer(to="HEAD").headers["content-type"] == "text/event-stream"


@pytest.mark.parametrize(
    "query", ["types=nope", "types=", "types=updated,", "after=x", "after=-1", "timeout=1s", "limit=3"]
)
def test_bad_stream_parameter_is_400(berth, query):
    assert berth.http("GET", f"/v1/events?{query}").problem == "bad-parameter"


def test_bad_last_event_id_is_400(berth):
    assert berth.http("GET", "/v1/events", headers={"Last-Event-ID": "x"}).problem == "bad-request"


# ---- the long poll ----


def test_poll_answers_at_once_when_something_is_there(berth):
    device = berth.register("dev1")
    device.update()
    page = berth.get("/v1/events", poll=1, after=1, timeout="30s")
    assert [item["type"] for item in page["items"]] == ["updated"]
    assert (page["last"], page["oldest"]) == (2, 1)


def test_poll_answers_with_the_next_event(berth):
    answers = []
    poll = {"poll": 1, "endpoint": "dev1", "timeout": "20s"}
    thread = threading.Thread(target=lambda: answers.append(berth.get("/v1/events", **poll)))
    thread.start()
    while berth.waiting() == 0:
        assert thread.is_alive()
    berth.register("other")
    berth.register("dev1")
    thread.join(30)
    assert [item["endpoint"] for item in answers[0]["items"]] == ["dev1"]
    assert answers[0]["last"] == 2


def test_poll_without_an_event_is_empty_at_its_timeout(berth):
    berth.register("dev1")
    started = time.monotonic()
    page = berth.get("/v1/events", poll=1, after=1, timeout="300ms")
    assert page == {"items": [], "last": 1, "oldest": 1}
    assert 0.25 < time.monotonic() - started < 15


def test_poll_is_cut_at_the_limit_and_goes_on_at_last(berth):
    flood(berth.register("dev1"), 9)
    page = berth.get("/v1/events", poll=1, after=0, limit=4)
    assert [item["id"] for item in page["items"]] == [1, 2, 3, 4] and page["last"] == 4
    page = berth.get("/v1/events", poll=1, after=4, limit=100)
    assert [item["id"] for item in page["items"]] == list(range(5, 11)) and page["last"] == 10


def test_newest_gives_the_last_of_those_that_match(berth):
    peer = berth.peer()
    for n in range(6):
        berth.register(f"dev{n}", peer=peer).update()
    page = berth.get("/v1/events", poll=1, newest=2, types="registered", timeout="0s")
    assert [event["endpoint"] for event in page["items"]] == ["dev4", "dev5"]
    assert len(berth.get("/v1/events", poll=1, newest=1000, timeout="0s")["items"]) == 12
    after = page["items"][1]["id"]
    [event] = berth.get("/v1/events", poll=1, newest=5, after=after, timeout="0s")["items"]
    assert (event["type"], event["endpoint"]) == ("updated", "dev5")
    assert berth.get("/v1/events", poll=1, newest=5, types="expired", timeout="0s")["items"] == []


def test_last_passes_over_what_the_filter_leaves_out(berth):
    device = berth.register("dev1")
    device.update()
    device.deregister()
    page = berth.get("/v1/events", poll=1, after=0, types="updated", timeout="0s")
    assert [item["id"] for item in page["items"]] == [2] and page["last"] == 3


@pytest.mark.parametrize("query", ["timeout=x", "timeout=601s", "limit=0", "limit=1001", "types=nope"])
def test_bad_poll_parameter_is_400(berth, query):
    assert berth.http("GET", f"/v1/events?poll=1&{query}").problem == "bad-parameter"


# ---- the cursor ----


def test_last_of_a_fresh_log(berth):
    assert berth.get("/v1/events/last") == {"last": 0, "oldest": 1}


def test_numbers_go_on_after_a_reset(berth):
    berth.register("dev1")
    berth.http("POST", "/v1/reset", scope="events")
    assert berth.get("/v1/events/last") == {"last": 1, "oldest": 2}
    berth.register("dev2")
    assert [event["id"] for event in berth.events_after(0)] == [2]


def test_numbers_go_on_after_a_crash(berth):
    berth.register("dev1")
    last = berth.last_event()
    berth.kill()
    berth.start()
    berth.register("dev2")
    assert berth.events_after(0)[0]["id"] > last
