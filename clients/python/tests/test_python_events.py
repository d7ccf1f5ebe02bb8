"""Expectations: what came, what comes, what must not; and what a failure tells."""

import berth_testing
import pytest
from berth_testing import ExpectationFailed, Problem


@pytest.fixture
def device(berth):
    device = berth.device("dev1", "--lifetime", 120)
    berth.wait_registered("dev1")
    return device


def test_expect_finds_what_came_since_the_mark(berth, device):
    first = berth.expect("registered", endpoint="dev1", lifetime_s=120)
    assert berth.expect("registered", timeout=0) == first
    berth.mark()
    with pytest.raises(ExpectationFailed):
        berth.expect("registered", timeout=0)
    assert berth.expect("registered", after=0, timeout=0)["id"] <= first["id"]


def test_expect_after_an_event_finds_the_next(berth, device):
    device.update()
    first = berth.expect("updated")
    device.update()
    assert berth.expect("updated", after=first)["id"] > first["id"]


def test_expect_takes_tests_and_several_types(berth, device):
    assert berth.expect(["registered", "updated"], lifetime_s={"gte": 100, "lt": 121})["type"] == "registered"
    with pytest.raises(ExpectationFailed):
        berth.expect("registered", match={"lifetime_s": {"gt": 120}}, timeout=0)


def test_expecting_looks_only_at_the_block(berth, device):
    device.update()
    berth.expect("updated")
    with pytest.raises(ExpectationFailed):
        with berth.expecting("updated", endpoint="dev1", timeout=0):
            pass
    with berth.expecting("updated", endpoint="dev1") as event:
        device.update()
    assert event["endpoint"] == "dev1" and "address" in event and event.event["lifetime_s"] == 120


def test_expected_is_not_there_inside_of_its_block(berth, device):
    with berth.expecting("updated") as event:
        with pytest.raises(RuntimeError, match="after that"):
            event["id"]
        device.update()


def test_error_in_the_block_is_the_error(berth):
    with pytest.raises(ZeroDivisionError):
        with berth.expecting("updated", timeout=60):
            raise ZeroDivisionError


def test_count_all_and_sequence(berth, device):
    for _ in range(2):
        device.update()
    assert len(berth.expect_count(2, "updated", endpoint="dev1")) == 2
    assert len(berth.expect_count(1, "updated", endpoint="dev1")) == 1
    kinds = [event["type"] for event in berth.expect_all("updated", "registered", endpoint="dev1")]
    assert kinds == ["updated", "registered"]
    berth.expect_sequence({"type": "registered", "match": {"lifetime_s": 120}}, "updated", "updated")
    with pytest.raises(ExpectationFailed) as caught:
        berth.expect_sequence("updated", "registered", timeout=0)
    assert [event["type"] for event in caught.value.events] == ["updated"]
    with berth.expecting_all("deregistered", "registered", endpoint="dev1") as events:
        device.deregister()
        device.register()
    assert {event["type"] for event in events.events} == {"deregistered", "registered"}


def test_expect_none_fails_when_there_was_one(berth, device):
    berth.expect_none("expired")
    with pytest.raises(ExpectationFailed, match="should not have") as caught:
        berth.expect_none("registered", endpoint="dev1")
    assert caught.value.events[0]["endpoint"] == "dev1"


def test_expecting_none_judges_the_time_that_the_block_leaps(berth, device):
    with berth.expecting_none("expired", endpoint="dev1"):
        berth.leap(120)
    device.kill()
    with pytest.raises(ExpectationFailed):
        with berth.expecting_none("expired", endpoint="dev1"):
            berth.leap(120)


def test_expect_none_waits_in_time_of_the_protocol(berth):
    before = berth.clock()["now_s"]
    berth.expect_none("registered", within="50ms")
    assert berth.clock()["now_s"] - before < 60


def test_failure_shows_what_came_close(berth, device):
    with pytest.raises(AssertionError) as caught:
        berth.expect("registered", endpoint="dev1", lifetime_s=300, timeout=0)
    text = str(caught.value)
    assert 'expected: {"type": "registered", "endpoint": "dev1", "match": {"lifetime_s": 300}}' in text
    close = text.partition("what came close:")[2]
    assert "registered dev1" in close and "lifetime_s=120" in close


def test_wait_for_a_device_that_is_refused_shows_why(berth):
    berth.device("dev2", "--psk", "dev2:00112233445566778899aabbccddeeff")
    berth.expect("dtls_failed")
    with pytest.raises(ExpectationFailed, match="did not register within(.|\n)*dtls_failed(.|\n)*unknown_identity"):
        berth.wait_registered("dev2", timeout=0)


def test_waits_for_states(berth, device):
    since = berth.cursor()
    device.update()
    assert berth.wait_updated("dev1", after=since)["endpoint"] == "dev1"
    assert berth.wait_awake("dev1")["awake"] is True
    device.deregister()
    berth.wait_deregistered("dev1")


def test_events_are_all_there_are(berth, device):
    for _ in range(3):
        device.update()
    berth.expect_count(3, "updated")
    assert [event["type"] for event in berth.events(endpoint="dev1")] == ["registered"] + 3 * ["updated"]
    assert len(berth.events("updated")) == 3
    assert len(berth.events(["updated", "registered"], after=berth.events()[0])) == 3


def test_condition_that_means_nothing_is_an_error_and_no_failure(berth):
    with pytest.raises(Problem, match="nonsense") as caught:
        berth.expect("nonsense", timeout=0)
    assert not isinstance(caught.value, AssertionError)


def test_near_misses_of_the_server_are_in_the_failure(stub):
    event = {"id": 43, "type": "updated", "endpoint": "dev1", "lifetime_s": 30}
    miss = {"event": event, "differs": [{"member": "lifetime_s", "expected": {"gte": 60}, "actual": 30}]}
    stub.problem("POST", "/v1/wait", 408, "timeout", events=[], near_misses=[miss])
    with pytest.raises(ExpectationFailed) as caught:
        berth_testing.attach(stub.url).expect("updated", lifetime_s={"gte": 60})
    assert 'lifetime_s is 30, not {"gte": 60}' in str(caught.value)
    assert caught.value.near_misses == [miss]
