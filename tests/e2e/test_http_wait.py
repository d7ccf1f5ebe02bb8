"""POST /v1/wait: for one event, several, all, a sequence, or none."""

import time

import pytest

from test_http_devices import Later


def wait(berth, **body):
    return berth.http("POST", "/v1/wait", body)


def wait_later(berth, **body) -> Later:
    return Later(berth, "POST", "/v1/wait", body)


def test_event_that_was_there_answers_at_once(berth):
    berth.register("dev1")
    answer = wait(berth, after=0, type="registered", endpoint="dev1", timeout="20s")
    assert (answer.status, answer.json["type"], answer.json["endpoint"]) == (200, "registered", "dev1")


def test_without_after_only_the_future_counts(berth):
    berth.register("dev1")
    assert wait(berth, type="registered", timeout="50ms").problem == "timeout"


def test_event_that_comes_answers_then(berth):
    later = wait_later(berth, type="updated", endpoint="dev1", timeout="20s")
    berth.register("dev2").update()
    berth.register("dev1").update()
    assert later.answer().json["endpoint"] == "dev1"


def test_no_condition_is_any_event(berth):
    later = wait_later(berth, timeout="20s")
    berth.register("dev1")
    assert later.answer().json["type"] == "registered"


def test_types_are_alternatives(berth):
    device = berth.register("dev1")
    later = wait_later(berth, types=["expired", "deregistered"], timeout="20s")
    device.update()
    device.deregister()
    assert later.answer().json["type"] == "deregistered"


def test_match_tests_fields(berth):
    berth.register("dev1", lifetime=60)
    berth.register("dev2", lifetime=600)
    found = wait(berth, after=0, match={"lifetime_s": {"gte": 100, "lt": 1000}}).json
    assert found["endpoint"] == "dev2"
    found = wait(berth, after=0, match={"endpoint": {"regex": "[2-9]$"}, "type": {"in": ["registered"]}}).json
    assert found["endpoint"] == "dev2"


def test_match_on_a_field_of_later_stages_never_passes(berth):
    berth.register("dev1")
    answer = wait(berth, after=0, match={"path": "/3/0/9", "value": {"gte": 10}}, timeout="20ms")
    assert answer.problem == "timeout"


def test_timeout_is_408_with_near_misses(berth):
    berth.register("dev1", lifetime=60)
    berth.register("dev2")
    answer = wait(berth, after=0, type="updated", endpoint="dev1", timeout="100ms")
    assert answer.status == 408
    assert answer.problem == "timeout"
    near = answer.json["near_misses"]
    assert [(miss["event"]["type"], miss["event"]["endpoint"]) for miss in near] == [("registered", "dev1")]
    assert near[0]["differs"] == [{"member": "type", "expected": ["updated"], "actual": "registered"}]
    assert (answer.json["events"], answer.json["last"]) == ([], 2)
    assert "0 of 1" in answer.json["detail"]


def test_near_misses_are_at_most_20(berth):
    device = berth.register("dev1")
    for _ in range(30):
        device.update()
    assert len(wait(berth, after=0, type="expired", endpoint="dev1", timeout=0).json["near_misses"]) == 20


def test_timeout_may_be_a_number_of_seconds(berth):
    started = time.monotonic()
    assert wait(berth, type="updated", timeout=0.3).problem == "timeout"
    assert 0.25 < time.monotonic() - started < 15


# ---- several ----


def test_count_gathers_events(berth):
    device = berth.register("dev1")
    later = wait_later(berth, type="updated", count=3, timeout="20s")
    for _ in range(3):
        device.update()
    assert [event["type"] for event in later.answer().json["events"]] == ["updated"] * 3


def test_count_of_one_is_the_event_itself(berth):
    berth.register("dev1")
    assert wait(berth, after=0, count=1).json["type"] == "registered"


def test_count_that_is_not_reached_shows_what_came(berth):
    berth.register("dev1").update()
    answer = wait(berth, after=0, type="updated", count=2, timeout="20ms")
    assert answer.problem == "timeout"
    assert [event["type"] for event in answer.json["events"]] == ["updated"]
    assert "1 of 2" in answer.json["detail"]


def test_all_in_any_order(berth):
    later = wait_later(berth, all=[{"type": "updated", "endpoint": "dev1"}, {"endpoint": "dev2"}], timeout="20s")
    berth.register("dev2")
    berth.register("dev1").update()
    assert [(event["type"], event["endpoint"]) for event in later.answer().json["events"]] == [
        ("updated", "dev1"),
        ("registered", "dev2"),
    ]


def test_all_takes_an_event_for_each_of_equal_conditions(berth):
    berth.register("dev1")
    assert wait(berth, after=0, all=["registered", "registered"], timeout="20ms").problem == "timeout"
    berth.register("dev2")
    events = wait(berth, after=0, all=["registered", "registered"], timeout="20ms").json["events"]
    assert [event["endpoint"] for event in events] == ["dev1", "dev2"]


def test_sequence_in_this_order_with_others_between(berth):
    later = wait_later(berth, endpoint="dev1", sequence=["registered", "updated", "deregistered"], timeout="20s")
    device = berth.register("dev1")
    berth.register("dev2").deregister()
    device.update()
    device.update()
    device.deregister()
    assert [(event["type"], event["endpoint"]) for event in later.answer().json["events"]] == [
        ("registered", "dev1"),
        ("updated", "dev1"),
        ("deregistered", "dev1"),
    ]


def test_sequence_out_of_order_is_none(berth):
    device = berth.register("dev1")
    device.deregister()
    answer = wait(berth, after=0, sequence=["deregistered", "registered"], timeout="20ms")
    assert [event["type"] for event in answer.json["events"]] == ["deregistered"]
    assert [(miss["event"]["type"], miss["condition"]) for miss in answer.json["near_misses"]] == [("registered", 1)]
    assert "before its turn" in answer.json["near_misses"][0]["note"]


# ---- none ----


def test_absent_succeeds_when_nothing_comes(berth):
    berth.register("dev1")
    answer = wait(berth, type="updated", absent=True, timeout="100ms")
    assert (answer.status, answer.json) == (200, {"absent": True})


def test_absent_fails_with_the_event(berth):
    device = berth.register("dev1")
    later = wait_later(berth, type="updated", endpoint="dev1", absent=True, timeout="20s")
    device.update()
    answer = later.answer()
    assert answer.status == 409
    assert answer.problem == "unexpected-event"
    assert (answer.json["event"]["type"], answer.json["event"]["endpoint"]) == ("updated", "dev1")


def test_absent_is_over_at_once_when_the_clock_leaps(berth):
    later = wait_later(berth, type="updated", absent=True, timeout="30d")
    berth.leap("31d")
    assert later.answer().json == {"absent": True}


def test_absent_does_not_see_what_comes_after_its_time_in_the_same_leap(berth):
    berth.register("dev1", lifetime=600)
    later = wait_later(berth, type="expired", absent=True, timeout="500s")
    berth.leap("1d")
    assert later.answer().json == {"absent": True}


def test_absent_sees_what_comes_within_its_time_in_a_leap(berth):
    berth.register("dev1", lifetime=60)
    later = wait_later(berth, type="expired", absent=True, timeout="500s")
    berth.leap("1d")
    assert later.answer().problem == "unexpected-event"


def test_event_of_a_leap_past_the_timeout_is_still_seen(berth):
    berth.register("dev1", lifetime=3600)
    later = wait_later(berth, type="expired", timeout="10s")
    berth.leap("1d")
    assert later.answer().json["endpoint"] == "dev1"


# ---- what cannot be waited for ----


@pytest.mark.parametrize(
    "body, pointer, word",
    [
        ({"type": "nope"}, "/type", "nope"),
        ({"tpye": "updated"}, "/tpye", "there are after, type"),
        ({"after": "1"}, "/after", "number"),
        ({"timeout": "11m"}, "/timeout", "10 minutes"),
        ({"timeout": None}, "/timeout", "duration"),
        ({"count": 1001}, "/count", "1000"),
        ({"endpoint": 1}, "/endpoint", "string"),
        ({"match": {"lifetme_s": 1}}, "/match/lifetme_s", "none"),
        ({"match": {"detail": {"regex": "["}}}, "/match/detail/regex", "missing"),
        ({"match": {"value": {"gte": []}}}, "/match/value/gte", "a number or a string"),
        ({"all": ["updated"] * 33}, "/all", "32"),
        ({"sequence": ["updated", 7]}, "/sequence/1", "object"),
        ({"sequence": {}}, "/sequence", "list"),
    ],
)
def test_what_means_nothing_is_422_with_its_place(berth, body, pointer, word):
    answer = berth.http("POST", "/v1/wait", body)
    assert answer.status == 422
    assert answer.problem == "invalid-document"
    assert answer.json["pointer"] == pointer
    assert word in answer.json["expected"] and answer.json["expected"] in answer.json["detail"]


def test_what_is_no_json_object_is_400(berth):
    assert berth.http("POST", "/v1/wait", b"[]").problem == "bad-body"
    assert berth.http("POST", "/v1/wait", b"{").problem == "bad-body"
