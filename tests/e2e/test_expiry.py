"""Registrations that run out (LwM2M Core 1.2 sections 6.2.1 and 6.2.2), in leaps of the protocol's clock."""

import time
from datetime import datetime

import pytest

from coapraw import GET, NON, POST


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def is_there(berth, endpoint):
    return berth.http("GET", f"/v1/devices/{endpoint}").status == 200


def leap_to(berth, moment):
    """Leap so that protocol time is `moment`, in Unix seconds, or a little more."""
    berth.leap(f"{max(0, round((moment - berth.get('/v1/clock')['now_s']) * 1000))}ms")


def expiry_event(berth, endpoint):
    return berth.await_event("expired", endpoint, timeout="5s")


@pytest.mark.parametrize("grace", [0, 1, 93])
def test_EXP_01_registration_goes_after_lifetime_and_grace(start_berth, grace):
    server = start_berth("--grace", f"{grace}s")
    device = server.register("mortal", lifetime=100)
    leap_to(server, seconds(server.device("mortal")["expires_at"]) + grace - 5)
    assert is_there(server, "mortal")
    server.leap("6s")
    assert not is_there(server, "mortal")
    assert device.update().code_text == "4.04"


def test_EXP_01_grace_is_93_seconds_by_default(start_berth):
    server = start_berth()
    server.register("mortal", lifetime=10)
    server.leap("100s")
    assert is_there(server, "mortal")
    server.leap("5s")
    assert not is_there(server, "mortal")


def test_EXP_01_expired_is_an_event_of_its_own(start_berth):
    server = start_berth("--grace", "0")
    device = server.register("mortal", lifetime=10)
    mark = server.last_event()
    server.leap("11s")
    (event,) = server.events_after(mark)
    assert (event["type"], event["endpoint"], event["location"]) == ("expired", "mortal", device.location)


def test_EXP_01_update_in_the_grace_period_saves_the_registration(start_berth):
    server = start_berth()
    device = server.register("late", lifetime=10)
    server.leap("60s")
    assert device.update().code_text == "2.04"
    server.leap("60s")
    assert is_there(server, "late")


def test_EXP_01_expired_registration_is_gone_after_a_restart_too(start_berth):
    server = start_berth("--grace", "0")
    server.register("mortal", lifetime=10)
    server.leap("11s")
    server.restart()
    assert not is_there(server, "mortal")


def test_EXP_01_expired_registration_is_gone_after_a_crash_too(start_berth):
    server = start_berth("--grace", "0", "--durability", "full")
    server.register("mortal", lifetime=10)
    server.leap("100d")
    server.register("after")  # its commit comes after that of the expiry
    server.kill()
    server.start()
    assert not is_there(server, "mortal") and is_there(server, "after")


def test_EXP_02_expiry_is_at_most_a_second_late_and_never_early(start_berth):
    server = start_berth("--grace", "0")
    ends = {}
    for lifetime in (20, 61, 3600, 86400, 31536000):
        server.register(f"for-{lifetime}", lifetime=lifetime)
        ends[f"for-{lifetime}"] = seconds(server.device(f"for-{lifetime}")["expires_at"])
    for endpoint, end in ends.items():
        leap_to(server, end - 0.2)
        assert is_there(server, endpoint)
        assert end <= seconds(expiry_event(server, endpoint)["ts"]) <= end + 1  # soon, by the real clock


def test_EXP_02_a_leap_over_many_lifetimes_expires_them_in_order(start_berth):
    server = start_berth("--grace", "0")
    for lifetime in (50, 10, 40, 20, 30):
        server.register(f"for-{lifetime}", lifetime=lifetime)
    mark = server.last_event()
    server.leap("1h")
    assert [e["endpoint"] for e in server.events_after(mark)] == [f"for-{n}" for n in (10, 20, 30, 40, 50)]


@pytest.mark.parametrize("kind", ["ping", "get", "non", "failed update", "other method"])
def test_EXP_03_other_messages_do_not_extend_the_lifetime(start_berth, kind):
    server = start_berth("--grace", "0")
    device = server.register("mortal", lifetime=100)
    before = server.device("mortal")["expires_at"]
    server.leap("50s")
    if kind == "ping":
        device.peer.ping()
    elif kind == "get":
        device.peer.request(GET, "/.well-known/core")
    elif kind == "non":
        device.peer.request(POST, "/dp", type=NON)
    elif kind == "failed update":
        assert device.update(["lt=abc"]).code_text == "4.00"
    else:
        assert device.peer.request(GET, device.location).code_text == "4.05"
    assert server.device("mortal")["expires_at"] == before
    server.leap("51s")
    assert not is_there(server, "mortal")


def end_and_wait_until(server, moment):
    """The server is down while this moment of the real clock passes."""
    server.stop()
    time.sleep(max(0, moment - time.time()) + 0.01)


def test_EXP_04_what_ran_out_while_the_server_was_down_expires_at_start(start_berth):
    server = start_berth("--grace", "0")
    device = server.register("mortal", lifetime=1)
    server.register("lasting", lifetime=300)
    end_and_wait_until(server, seconds(server.device("mortal")["expires_at"]))
    server.start()
    assert not is_there(server, "mortal") and is_there(server, "lasting")
    assert expiry_event(server, "mortal")["location"] == device.location
    assert device.update().code_text == "4.04"


def test_EXP_04_one_more_lifetime_can_be_granted_at_start(start_berth):
    server = start_berth("--grace", "0", "--grant-lifetime-on-start")
    device = server.register("mortal", lifetime=1)
    end_and_wait_until(server, seconds(server.device("mortal")["expires_at"]))
    server.start()
    assert device.update(["lt=300"]).code_text == "2.04"
    assert is_there(server, "mortal")


def test_REG_44_lifetime_goes_on_over_a_restart(start_berth):
    server = start_berth("--grace", "0")
    server.register("mortal", lifetime=1000)
    server.leap("500s")
    before = server.device("mortal")["expires_at"]
    server.restart()
    assert server.device("mortal")["expires_at"] == before
    server.leap("505s")
    assert not is_there(server, "mortal")


def test_REG_44_protocol_time_goes_on_over_a_restart(start_berth):
    server = start_berth()
    now = server.leap("1000d")["now_s"]
    server.restart()
    assert now <= server.get("/v1/clock")["now_s"] < now + 60


def test_REG_44_an_acknowledged_update_counts_after_a_crash(start_berth):
    server = start_berth("--grace", "0")
    device = server.register("refreshed", lifetime=1000)
    server.leap("900s")
    assert device.update().code_text == "2.04"
    promised = server.device("refreshed")["expires_at"]
    server.kill()
    server.start()
    assert seconds(server.device("refreshed")["expires_at"]) >= seconds(promised)
    server.leap("990s")
    assert is_there(server, "refreshed")


def test_UPD_02_shortened_lifetime_counts(start_berth):
    server = start_berth("--grace", "0")
    device = server.register("shortened", lifetime=86400)
    device.update(["lt=20"])
    server.leap("21s")
    assert not is_there(server, "shortened")


def test_REG_33_replaced_registration_leaves_no_timer_behind(start_berth):
    server = start_berth("--grace", "0")
    server.register("again", lifetime=10)
    server.register("again", lifetime=1000)
    mark = server.last_event()
    server.leap("500s")
    assert is_there(server, "again") and server.events_after(mark) == []
