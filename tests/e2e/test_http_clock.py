"""/v1/clock and /v1/reset."""

import re
from datetime import datetime

import pytest


def test_clock_is_the_wall_clock_at_first(berth):
    clock = berth.get("/v1/clock")
    assert clock["leapt_s"] == 0
    shown = datetime.fromisoformat(clock["now"].replace("Z", "+00:00")).timestamp()
    assert abs(shown - clock["now_s"]) < 0.01
    assert abs(shown - datetime.now().timestamp()) < 60


@pytest.mark.parametrize(
    "advance, seconds",
    [
        ("86400s", 86400),
        ("500ms", 0.5),
        ("2m", 120),
        ("1h", 3600),
        ("1d", 86400),
        ("30", 30),
        (30, 30),
        (1.5, 1.5),
        (0, 0),
    ],
)
def test_clock_leaps_by_a_duration(berth, advance, seconds):
    before = berth.get("/v1/clock")
    leap = berth.leap(advance)
    assert leap["advanced_s"] == seconds
    assert seconds <= leap["now_s"] - before["now_s"] < seconds + 20
    assert berth.get("/v1/clock")["leapt_s"] == seconds


def test_seconds_are_written_with_milliseconds_and_no_more(berth):
    berth.leap("1500ms")
    for answer in (berth.http("GET", "/v1/clock"), berth.http("POST", "/v1/clock", {"advance": "1ms"})):
        numbers = re.findall(rb'_s":([0-9.]+)', answer.body)
        assert len(numbers) == 2
        assert all(re.fullmatch(rb"[0-9]+([.][0-9]{1,3})?", number) for number in numbers), answer.body


def test_timers_have_run_when_the_leap_is_answered(berth):
    berth.register("dev1", lifetime=60)
    berth.register("dev2", lifetime=86400)
    assert berth.leap("1h")["fired"] >= 1
    assert [device["endpoint"] for device in berth.get("/v1/devices")["items"]] == ["dev2"]
    assert berth.events_after(0, types="expired")[0]["endpoint"] == "dev1"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"advance": "-1s"},
        {"advance": -1},
        {"advance": "101y"},
        {"advance": "36526d"},
        {"advance": 1e300},
        {"advance": None},
        {"advance": True},
        {"advance": [1]},
        {"advance": ""},
        {"advance": "1s", "by": 1},
    ],
)
def test_bad_leap_is_400_and_leaps_nothing(berth, body):
    assert berth.http("POST", "/v1/clock", body).problem == "bad-body"
    assert berth.get("/v1/clock")["leapt_s"] == 0


# ---- reset ----


@pytest.fixture
def used(berth):
    """A server with a device and two events."""
    berth.register("dev1").update()
    return berth


def left(berth) -> tuple[int, int]:
    return len(berth.get("/v1/devices")["items"]), len(berth.events_after(0))


@pytest.mark.parametrize(
    "query, devices, events",
    [("?scope=devices", 0, 2), ("?scope=events", 1, 0), ("?scope=faults", 1, 2), ("?scope=all", 0, 0), ("", 0, 0)],
)
def test_reset_forgets_its_scope(used, query, devices, events):
    answer = used.http("POST", f"/v1/reset{query}")
    assert (answer.status, answer.body) == (204, b"")
    assert left(used) == (devices, events)


def test_devices_that_were_reset_stay_away_after_a_crash(used):
    used.http("POST", "/v1/reset", scope="devices")
    used.kill()
    used.start()
    assert used.get("/v1/devices")["items"] == []


def test_device_may_register_again_after_a_reset(used):
    used.http("POST", "/v1/reset")
    used.register("dev1")
    assert used.device("dev1")["endpoint"] == "dev1"


def test_unknown_scope_is_400(used):
    assert used.http("POST", "/v1/reset", scope="some").problem == "bad-parameter"
    assert left(used) == (1, 2)
