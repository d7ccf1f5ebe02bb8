"""Leaps: a day of protocol time in a moment, on the server and on a device, and with ten thousand devices."""

import time

import pytest

from coapraw import ACK, CONTENT_FORMAT, LINK_FORMAT, POST, Coap, uint
from device_process import start_device  # noqa: F401
from test_http_devices import Later

DAY = 86400
MANY = 10000
AT_ONCE = 30  # messages of one peer that the server remembers


def register_many(berth, count: int, lifetime: int) -> None:
    """Devices d0, d1, … of one peer, several Registers under way at a time."""
    peer = berth.peer()
    for start in range(0, count, AT_ONCE):
        batch = range(start, min(start + AT_ONCE, count))
        for number in batch:
            query = [f"ep=d{number}", f"lt={lifetime}", "lwm2m=1.1", "b=U"]
            peer.send(peer.message(POST, "/rd", query, b"</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))]))
        for _ in batch:
            answer: Coap = peer.receive()
            assert (answer.type, answer.code_text) == (ACK, "2.01")


def test_day_with_ten_thousand_devices(start_berth):
    berth = start_berth("--event-memory", "16M", "--max-exchanges", "100000")
    register_many(berth, MANY, 2 * DAY)
    steadfast = berth.register("steadfast", lifetime=DAY // 2)
    later = Later(berth, "POST", "/v1/wait", {"type": "expired", "absent": True, "timeout": "11h"})
    before = time.monotonic()
    leap = berth.leap("1d")
    took = time.monotonic() - before
    assert later.answer().json == {"absent": True}
    assert [event["endpoint"] for event in berth.events_after(0, types="expired")] == ["steadfast"]
    assert steadfast.update().code_text == "4.04"
    assert leap["advanced_s"] == DAY
    assert took < 5, "a leap visits timers that are due, not time"
    last = berth.last_event()
    leap = berth.leap("1d")
    assert leap["fired"] < MANY // 10, "nobody's timer is due but the flushes'"
    assert berth.last_event() == last
    leap = berth.leap("94s")
    assert leap["fired"] >= MANY
    assert berth.get("/v1/devices")["items"] == []
    assert len(berth.events_after(last, types="expired")) == MANY


def test_wait_for_many_ends_within_the_leap_that_brings_them(start_berth):
    berth = start_berth("--event-memory", "16M")
    register_many(berth, 1000, 3600)
    later = Later(berth, "POST", "/v1/wait", {"type": "expired", "count": 1000, "timeout": "10s"})
    berth.leap("1d")
    events = later.answer().json["events"]
    assert sorted(event["endpoint"] for event in events) == sorted(f"d{number}" for number in range(1000))


@pytest.mark.parametrize("advance", ["-1s", "-1d", -1, -0.001])
def test_time_is_never_leapt_back(berth, advance):
    berth.leap("1h")
    assert berth.http("POST", "/v1/clock", {"advance": advance}).problem == "bad-body"
    assert berth.get("/v1/clock")["leapt_s"] == 3600


def test_both_sides_leap_a_day_at_once(berth, start_device):
    device = start_device("--server", berth.listen[0], "--endpoint", "dev1", "--lifetime", str(2 * DAY), "--json")
    registered = berth.await_event("registered", "dev1")
    device.event("registered")
    started = time.monotonic()
    device.command("clock +1d")
    berth.leap("1d")
    assert time.monotonic() - started < 15
    device.command("update")
    updated = berth.await_event("updated", "dev1", after=registered["id"])
    said = device.event("updated")
    assert updated["ts"][:10] > registered["ts"][:10]
    assert abs(seconds(updated["ts"]) - seconds(said["ts"])) < 60
    assert berth.events_after(0, types="expired") == []


def seconds(ts: str) -> int:
    clock = [int(part) for part in ts[11:19].split(":")]
    return clock[0] * 3600 + clock[1] * 60 + clock[2]


def test_day_of_updates_on_both_sides(berth, start_device):
    """An hour's lifetime, leapt hour by hour: the device first, which updates, then the server, which would expire it."""
    device = start_device("--server", berth.listen[0], "--endpoint", "dev1", "--lifetime", "3600")
    last = berth.await_event("registered", "dev1")["id"]
    location = berth.device("dev1")["location"]
    for _ in range(24):
        device.command("clock +1h")
        last = berth.await_event("updated", "dev1", after=last)["id"]
        device.line("Registration updated")
        berth.leap("1h")
    assert berth.device("dev1")["location"] == location
    assert len(berth.events_after(0, types="updated", endpoint="dev1")) == 24
    assert berth.events_after(0, types="expired,registered,deregistered") == berth.events_after(0, types="registered")
    assert berth.get("/v1/clock")["leapt_s"] == DAY
    berth.leap("3600s")
    berth.leap("94s")
    assert berth.await_event("expired", "dev1")["location"] == location
