"""/v1/devices: the list, one device, waiting for one, forgetting one."""

import json
import re
import threading
import time

import pytest

from berth_process import segment
from coapraw import POST

TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


def endpoints(berth, **query) -> list[str]:
    """Walk the list to its end."""
    found = []
    while True:
        page = berth.get("/v1/devices", **query)
        assert len(page["items"]) <= query.get("limit", 100)
        found += [device["endpoint"] for device in page["items"]]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


class Later:
    """An HTTP request that is answered while the test goes on."""

    def __init__(self, berth, *args, **kwargs):
        self.thread = threading.Thread(target=self._ask, args=(berth, args, kwargs))
        waiting = berth.waiting()
        self.thread.start()
        deadline = time.monotonic() + 10
        while berth.waiting() <= waiting:
            assert time.monotonic() < deadline and self.thread.is_alive(), "it does not wait"

    def _ask(self, berth, args, kwargs):
        self.result = berth.http(*args, **kwargs)

    def answer(self):
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.result


# ---- what a device looks like ----


def test_device_has_what_it_registered_with(berth):
    device = berth.register(
        "dev1",
        lifetime=86400,
        links='</>;rt="oma.lwm2m";ct=11543,</1>;ver=1.1,</1/0>,</3/0>;if="a b"',
        version="1.1",
        binding="U",
        extra=["x=1", "mccv=27.04"],
    )
    shown = berth.device("dev1")
    assert shown["endpoint"] == "dev1"
    assert re.fullmatch("[0-9a-f]{32}", shown["id"])
    assert shown["state"] == "registered"
    assert shown["address"] == device.peer.address
    assert shown["transport"] == "udp"
    assert shown["security"] == {"mode": "none", "identity": None}
    assert shown["lifetime_s"] == 86400 and "lifetime" not in shown
    assert (shown["version"], shown["binding"], shown["queue_mode"], shown["awake"]) == ("1.1", "U", False, True)
    assert shown["location"] == device.location
    assert shown["root_path"] == "/"
    assert shown["sms"] is None
    assert shown["parameters"]["x"] == "1"
    assert {"path": "/3/0", "attributes": {"if": "a b"}, "version": "1.1"} in shown["objects"]
    assert {"path": "/1", "attributes": {"ver": "1.1"}, "version": "1.1"} in shown["objects"]
    assert shown["content_formats"] == [11543]


def test_times_are_rfc_3339_and_follow_from_each_other(berth):
    device = berth.register("dev1", lifetime=3600)
    shown = berth.device("dev1")
    assert all(TIME.match(shown[name]) for name in ("registered_at", "updated_at", "expires_at"))
    assert shown["registered_at"] == shown["updated_at"] < shown["expires_at"]
    berth.leap("10m")
    device.update()
    updated = berth.device("dev1")
    assert updated["registered_at"] == shown["registered_at"]
    assert updated["updated_at"] > shown["updated_at"]
    assert updated["expires_at"] > shown["expires_at"]


def test_lifetime_for_ever_has_no_end(berth):
    berth.register("dev1", lifetime=0)
    shown = berth.device("dev1")
    assert (shown["lifetime_s"], shown["lifetime"], shown["expires_at"]) == (0, "infinite", None)


def test_queue_mode_device_is_awake_for_a_while_after_it_was_heard(berth):
    device = berth.register("dev1", lifetime=3600, extra=["Q"])
    shown = berth.device("dev1")
    assert (shown["queue_mode"], shown["awake"]) == (True, True)
    berth.leap("2m")
    assert berth.device("dev1")["awake"] is False
    device.update()
    assert berth.device("dev1")["awake"] is True


@pytest.mark.parametrize("endpoint", ["a/b", "urn:dev:mac:0024befffe804ff1", "ü € 🚢", "%41", "a+b", "..", "?#&=", " "])
def test_endpoint_name_is_one_percent_encoded_segment(berth, endpoint):
    berth.register(endpoint)
    assert berth.device(endpoint)["endpoint"] == endpoint


def test_bytes_that_are_no_utf8_still_give_json(berth):
    peer = berth.peer()
    query = [b"ep=dev1", b"lwm2m=1.1", b"lt=60", b"b=U", b"x=\xff\xfe"]
    answer = peer.request(POST, "/rd", query, b'</1/0>;t="\xc3\x28",</3/0>', [(12, b"\x28")])
    if answer.code_text == "2.01":  # it may be refused; what is taken must be shown
        shown = berth.device("dev1")
        assert shown["endpoint"] == "dev1"
        assert "\ufffd" in shown["parameters"]["x"]


def once_each(pairs: list[tuple[str, object]]) -> dict:
    assert len({name for name, _ in pairs}) == len(pairs), f"a name is there twice: {pairs}"
    return dict(pairs)


def test_names_that_come_twice_are_there_once(berth):
    berth.register("dev1", links='</3/0>;a="x\\"y";a=2;b,</4/0>;b;b', extra=["p=1", "p=2", 'q="\\\n'])
    body = berth.http("GET", "/v1/devices/dev1").body
    device = json.loads(body, object_pairs_hook=once_each)
    assert [entry["attributes"] for entry in device["objects"]] == [{"a": 'x"y', "b": True}, {"b": True}]
    assert device["parameters"] == {"p": "2", "q": '"\\\n'}
    page = berth.http("GET", "/v1/devices", traffic=1).body
    shown = json.loads(page, object_pairs_hook=once_each)["items"][0]
    assert shown.pop("traffic")["bytes_in"] > 0
    assert shown == device


def test_device_that_is_not_registered_is_404(berth):
    answer = berth.http("GET", "/v1/devices/dev%201")
    assert answer.status == 404
    assert answer.problem == "not-registered"
    assert answer.json["endpoint"] == "dev 1"
    assert "dev 1" in answer.json["detail"]


# ---- the list ----


def test_list_of_nothing_is_empty(berth):
    assert berth.get("/v1/devices") == {"items": [], "next": None}


def test_pages_show_every_device_once(berth):
    peer = berth.peer()
    names = {f"dev{n}" for n in range(25)}
    for name in names:
        berth.register(name, peer=peer)
    assert sorted(endpoints(berth, limit=10)) == sorted(names)
    assert sorted(endpoints(berth, limit=1)) == sorted(names)
    assert sorted(endpoints(berth)) == sorted(names)


def test_device_registered_all_the_while_is_listed_once_whatever_comes_and_goes(berth):
    peer = berth.peer()
    devices = [berth.register(f"dev{n}", peer=peer) for n in range(20)]
    first = berth.get("/v1/devices", limit=7)
    for device in devices[:3] + devices[10:12]:
        device.deregister()
    for n in range(5):
        berth.register(f"new{n}", peer=peer)
    rest = endpoints(berth, limit=7, cursor=first["next"])
    listed = [device["endpoint"] for device in first["items"]] + rest
    stayed = {f"dev{n}" for n in range(20)} - {f"dev{n}" for n in (0, 1, 2, 10, 11)}
    assert all(listed.count(name) == 1 for name in stayed)


def test_glob_chooses_endpoint_names(berth):
    peer = berth.peer()
    for name in ("dev1", "dev2", "dev10", "other", "düv"):
        berth.register(name, peer=peer)
    assert sorted(endpoints(berth, endpoint="dev?")) == ["dev1", "dev2"]
    assert sorted(endpoints(berth, endpoint="d?v*")) == ["dev1", "dev10", "dev2", "düv"]
    assert endpoints(berth, endpoint="other") == ["other"]
    assert endpoints(berth, endpoint="") == []


def test_filters_choose_by_transport_security_address_and_state(berth):
    peer, other = berth.peer(), berth.peer()
    berth.register("dev1", peer=peer)
    berth.register("sleeper", peer=other, binding="UQ", version="1.0")
    port = other.sock.getsockname()[1]
    assert endpoints(berth, address=f"*:{port}") == ["sleeper"]
    assert endpoints(berth, queue_mode=1) == ["sleeper"]
    assert endpoints(berth, queue_mode=0) == ["dev1"]
    assert sorted(endpoints(berth, awake=1)) == ["dev1", "sleeper"]
    berth.leap("100s")
    assert endpoints(berth, awake=0) == ["sleeper"]
    assert endpoints(berth, awake=0, endpoint="dev*") == []
    assert sorted(endpoints(berth, transport="udp", security="none", reachable=1)) == ["dev1", "sleeper"]
    assert endpoints(berth, transport="dtls") == endpoints(berth, security="psk") == endpoints(berth, reachable=0) == []


def test_list_tells_traffic_when_asked(berth):
    berth.register("dev1")
    [device] = berth.get("/v1/devices", traffic=1)["items"]
    assert device["traffic"] == berth.get("/v1/devices/dev1/traffic")["total"]
    assert device["traffic"]["bytes_in"] > 0
    assert "traffic" not in berth.device("dev1")


def test_state_registered_is_the_only_one(berth):
    berth.register("dev1")
    assert endpoints(berth, state="registered") == ["dev1"]
    assert berth.http("GET", "/v1/devices", state="sleeping").problem == "bad-parameter"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=",
        "limit=-1",
        "cursor=x",
        "cursor=99999999999",
        "endpoint=" + "a" * 257,
        "address=" + "a" * 257,
        "transport=sctp",
        "security=",
        "awake=2",
    ],
)
def test_bad_list_parameter_is_400(berth, query):
    assert berth.http("GET", f"/v1/devices?{query}").problem == "bad-parameter"


# ---- waiting ----


def test_wait_registered_answers_at_once_when_it_is(berth):
    berth.register("dev1")
    assert berth.get("/v1/devices/dev1", wait="registered", timeout="0s")["endpoint"] == "dev1"


def test_wait_registered_answers_when_it_registers(berth):
    later = Later(berth, "GET", "/v1/devices/dev1?wait=registered&timeout=20s")
    berth.register("other")
    device = berth.register("dev1")
    assert later.answer().json["location"] == device.location


def test_wait_updated_is_for_the_next_update(berth):
    device = berth.register("dev1", lifetime=100)
    device.update()
    later = Later(berth, "GET", "/v1/devices/dev1?wait=updated&timeout=20s")
    device.update(["lt=200"])
    assert later.answer().json["lifetime_s"] == 200


def test_wait_updated_after_an_event_sees_the_past(berth):
    device = berth.register("dev1")
    registered = berth.last_event()
    device.update()
    assert berth.get("/v1/devices/dev1", wait="updated", after=registered, timeout="0s")["endpoint"] == "dev1"
    late = berth.http("GET", "/v1/devices/dev1", wait="updated", after=berth.last_event(), timeout="50ms")
    assert late.problem == "timeout"


def test_wait_deregistered_answers_at_once_when_it_is_not_there(berth):
    shown = berth.get("/v1/devices/dev%2F1", wait="deregistered", timeout="0s")
    assert shown == {"endpoint": "dev/1", "state": "deregistered"}


def test_wait_deregistered_answers_when_it_deregisters(berth):
    device = berth.register("dev1")
    later = Later(berth, "GET", "/v1/devices/dev1?wait=deregistered&timeout=20s")
    device.deregister()
    assert later.answer().json == {"endpoint": "dev1", "state": "deregistered"}


def test_wait_deregistered_answers_when_it_expires(berth):
    berth.register("dev1", lifetime=86400)
    later = Later(berth, "GET", "/v1/devices/dev1?wait=deregistered&timeout=20s")
    berth.leap("2d")  # over the lifetime, and over the time-out as well
    assert later.answer().json["state"] == "deregistered"


def test_wait_awake_answers_at_once_without_queue_mode(berth):
    berth.register("dev1")
    assert berth.get("/v1/devices/dev1", wait="awake", timeout="0s")["awake"] is True


def test_wait_awake_answers_with_the_next_sign_of_a_queue_mode_device(berth):
    device = berth.register("dev1", lifetime=3600, extra=["Q"])
    assert berth.get("/v1/devices/dev1", wait="awake", timeout="0s")["awake"] is True
    berth.leap("2m")
    later = Later(berth, "GET", "/v1/devices/dev1?wait=awake&timeout=20s")
    device.update()
    assert later.answer().json["endpoint"] == "dev1"


@pytest.mark.parametrize("state", ["registered", "updated", "awake"])
def test_wait_that_is_over_is_408(berth, state):
    answer = berth.http("GET", f"/v1/devices/dev1?wait={state}&timeout=50ms")
    assert answer.status == 408
    assert answer.problem == "timeout"
    assert (answer.json["endpoint"], answer.json["last"]) == ("dev1", 0)
    assert "dev1" in answer.json["detail"] and "50 ms" in answer.json["detail"]


def test_wait_ends_when_the_clock_leaps_past_its_timeout(berth):
    later = Later(berth, "GET", "/v1/devices/dev1?wait=registered&timeout=10m")
    berth.leap("11m")
    assert later.answer().problem == "timeout"


@pytest.mark.parametrize(
    "query",
    [
        "wait=sleeping",
        "wait=",
        "wait=registered&timeout=x",
        "wait=registered&timeout=601s",
        "wait=registered&after=1",
        "wait=updated&after=x",
        "timeout=3s",
        "after=3",
    ],
)
def test_bad_wait_parameter_is_400(berth, query):
    assert berth.http("GET", f"/v1/devices/dev1?{query}").problem == "bad-parameter"


# ---- forgetting ----


def test_forgotten_device_is_gone_as_if_it_had_deregistered(berth):
    device = berth.register("dev/1")
    assert berth.http("DELETE", f"/v1/devices/{segment('dev/1')}").status == 204
    assert berth.http("GET", f"/v1/devices/{segment('dev/1')}").status == 404
    assert [event["type"] for event in berth.events_after(0)] == ["registered", "deregistered"]
    assert device.update().code_text == "4.04"


def test_forgotten_device_stays_forgotten_after_a_crash(berth):
    berth.register("dev1")
    berth.register("dev2")
    assert berth.http("DELETE", "/v1/devices/dev1").status == 204
    berth.kill()
    berth.start()
    assert endpoints(berth) == ["dev2"]


def test_forgetting_what_is_not_registered_is_404(berth):
    assert berth.http("DELETE", "/v1/devices/dev1").problem == "not-registered"
