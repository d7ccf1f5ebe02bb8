"""What is asked of devices over the Device Management API: order, limits, patience, and the older form of the calls. The
device is played."""

from urllib.parse import quote

import pytest
from coapraw import DELETE, GET, OBSERVE, POST, PUT
from pelion_client import PelionClient, decoded
from played_device import TEXT, TLV, PlayedDevice, format_of, query_of

LINKS = "</1/0>,</3/0>,</5/0>"


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def pelion(berth, request):
    return PelionClient(berth.http_port, f"ak_{request.node.name}")


@pytest.fixture
def play(berth, request):
    def start(name: str = "", **kwargs: object) -> PlayedDevice:
        return PlayedDevice(berth, f"{request.node.name[:40]}{name}", **{"links": LINKS, "lifetime": 86400, **kwargs})

    return start


def id_of(pelion: PelionClient, device: PlayedDevice) -> str:
    [found] = pelion.call("GET", f"/v3/devices?endpoint_name__eq={quote(device.endpoint)}")[1]["data"]
    return found["id"]


def post(pelion: PelionClient, id: str, async_id: str, query: str = "", method: str = "GET", uri: str = "/3/0/0"):
    return pelion.call(
        "POST", f"/v2/device-requests/{id}?async-id={async_id}{query}", {"method": method, "uri": uri}
    )


# ---- order, limits, patience ----


def test_one_request_at_a_time_in_the_order_in_which_they_came(pelion, play):
    device = play()
    pelion.open()
    id = id_of(pelion, device)
    for number in range(5):
        assert post(pelion, id, f"r{number}", uri=f"/3/0/{number}") == (202, "")
    for number in range(5):
        asked = device.expect(GET, f"/3/0/{number}")
        device.peer.expect_silence()
        device.answer(asked, "2.05", TEXT, b"v%d" % number)
        answer = pelion.response(f"r{number}")
        assert (answer["status"], decoded(answer), answer["ct"]) == (200, f"v{number}", "text/plain")


def test_devices_do_not_wait_for_each_other(pelion, play):
    first, second = play("1"), play("2")
    pelion.open()
    assert post(pelion, id_of(pelion, first), "a")[0] == 202
    assert post(pelion, id_of(pelion, second), "b")[0] == 202
    held = first.expect(GET, "/3/0/0")
    second.answer(second.expect(GET, "/3/0/0"), "2.05", TEXT, b"b")
    assert decoded(pelion.response("b")) == "b"
    first.answer(held, "2.05", TEXT, b"a")
    assert decoded(pelion.response("a")) == "a"


def test_twenty_requests_of_a_device(pelion, play):
    device, other = play("1"), play("2")
    pelion.open()
    id = id_of(pelion, device)
    for number in range(20):
        assert post(pelion, id, f"r{number}") == (202, "")
    assert post(pelion, id, "over") == (400, "QUEUE_IS_FULL")
    assert pelion.call("GET", f"/v2/endpoints/{id}/3/0/0") == (429, "QUEUE_IS_FULL")
    assert post(pelion, id_of(pelion, other), "other") == (202, "")
    device.answer(device.expect(GET, "/3/0/0"), "2.05", TEXT, b"")
    answer = pelion.response("r0")
    assert (answer["status"], answer["payload"]) == (200, "")
    assert post(pelion, id, "now") == (202, "")


def test_twenty_requests_of_a_device_that_sleeps(berth, pelion, play):
    device = play(binding="UQ")
    pelion.open()
    berth.leap("5m")
    id = id_of(pelion, device)
    for number in range(20):
        assert post(pelion, id, f"r{number}", uri=f"/3/0/{number}") == (202, "")
    assert post(pelion, id, "over") == (400, "QUEUE_IS_FULL")
    device.peer.expect_silence()
    device.registered.update()
    for number in range(20):
        device.answer(device.expect(GET, f"/3/0/{number}"), "2.05", TEXT, b"%d" % number)
        if number == 3:  # one that comes while others wait is the last
            assert post(pelion, id, "last", uri="/3/0/99") == (202, "")
    device.answer(device.expect(GET, "/3/0/99"), "2.05", TEXT, b"last")
    assert decoded(pelion.response("r19")) == "19" and decoded(pelion.response("last")) == "last"


def test_a_request_that_waits_expires(berth, pelion, play):
    device = play()
    pelion.open()
    id = id_of(pelion, device)
    assert post(pelion, id, "first")[0] == 202
    assert post(pelion, id, "second", "&expiry-seconds=60")[0] == 202
    assert post(pelion, id, "third", "&expiry-seconds=3600", uri="/3/0/3")[0] == 202
    asked = device.expect(GET, "/3/0/0")
    device.acknowledge(asked)
    berth.leap("61s")
    answer = pelion.response("second")
    assert (answer["status"], answer["error"], answer["payload"]) == (429, "REQUEST_EXPIRED", "")
    device.answer_separately(asked, "2.05", TEXT, b"late")
    device.answer(device.expect(GET, "/3/0/3"), "2.05", TEXT, b"third")
    assert decoded(pelion.response("first")) == "late"
    assert decoded(pelion.response("third")) == "third"


def test_a_request_to_a_device_that_sleeps_expires(berth, pelion, play):
    device = play(binding="UQ")
    pelion.open()
    berth.leap("5m")
    assert post(pelion, id_of(pelion, device), "a", "&expiry-seconds=60")[0] == 202
    berth.leap("61s")
    answer = pelion.response("a")
    assert (answer["status"], answer["error"]) == (429, "REQUEST_EXPIRED")


@pytest.mark.parametrize("retry, tries", [("", 1), ("&retry=0", 1), ("&retry=2", 3)])
def test_a_device_that_does_not_answer(berth, pelion, play, retry, tries):
    device = play()
    pelion.open()
    assert post(pelion, id_of(pelion, device), "a", retry)[0] == 202
    tokens = set()
    for _ in range(tries):
        message = device.peer.receive(10)
        while message.token in tokens:  # sent again
            message = device.peer.receive(10)
        tokens.add(message.token)
        berth.leap("100s")
    answer = pelion.response("a")
    assert (answer["status"], answer["error"], answer["payload"]) == (504, "TIMEOUT", "")
    assert len(tokens) == tries


def test_what_waits_for_a_device_that_leaves(berth, pelion, play):
    device = play()
    pelion.open()
    id = id_of(pelion, device)
    for name in ("a", "b"):
        assert post(pelion, id, name)[0] == 202
    device.expect(GET, "/3/0/0")
    device.registered.deregister()
    for name in ("a", "b"):
        answer = pelion.response(name)
        assert (answer["status"], answer["error"]) == (429, "DEVICE_REMOVED_REGISTRATION")
    assert post(pelion, id, "c") == (400, "DEVICE_NOT_CONNECTED")
    assert pelion.call("GET", f"/v2/endpoints/{id}/3/0/0")[0] == 410


@pytest.mark.parametrize(
    "code, status",
    [("4.00", 400), ("4.01", 400), ("4.04", 404), ("4.05", 400), ("4.06", 400), ("4.12", 412), ("4.13", 413)]
    + [("5.00", 500), ("5.01", 501), ("5.03", 503)],
)
def test_what_a_device_answers(pelion, play, code, status):
    device = play()
    pelion.open()
    assert post(pelion, id_of(pelion, device), "a", method="POST", uri="/3/0/4")[0] == 202
    device.answer(device.expect(POST, "/3/0/4"), code)
    answer = pelion.response("a")
    assert (answer["status"], answer["payload"]) == (status, "")


def test_an_answer_may_come_before_the_channel_is_there(berth, pelion, play):
    """A poll is begun by another thread than the one that asks."""
    device = play()
    id = id_of(pelion, device)
    for name, leap in (("late", "11s"), ("early", "1s")):
        assert post(pelion, id, name)[0] == 202
        device.answer(device.expect(GET, "/3/0/0"), "2.05", TEXT, name.encode())
        device.registered.update()  # the answer was taken
        berth.leap(leap)
    assert decoded(pelion.response("early")) == "early"
    assert pelion.messages == {"async-responses": []}


# ---- /v2/endpoints/{id}/{path} ----


def asked(pelion: PelionClient, method: str, path: str, body: str | None = None, **headers: str) -> str:
    status, answer = pelion.call(method, path, body, headers)
    assert status == 202 and list(answer) == ["async-response-id"], (status, answer)
    return answer["async-response-id"]


def test_endpoints_are_read_written_executed_and_deleted(pelion, play):
    device = play()
    pelion.open()
    base = f"/v2/endpoints/{id_of(pelion, device)}"
    read = asked(pelion, "GET", f"{base}/3/0/0")
    device.answer(device.expect(GET, "/3/0/0"), "2.05", TEXT, b"maker")
    assert decoded(pelion.response(read)) == "maker"
    written = asked(pelion, "PUT", f"{base}//3/0/14/", "+01", **{"Content-Type": None})
    request = device.expect(PUT, "/3/0/14")
    assert request.payload == b"+01" and format_of(request) == TEXT
    device.answer(request, "2.04")
    answer = pelion.response(written)
    assert (answer["status"], answer["payload"]) == (200, "")
    executed = asked(pelion, "POST", f"{base}/3/0/4")
    device.answer(device.expect(POST, "/3/0/4"), "2.04")
    assert pelion.response(executed)["status"] == 200
    tlv = "\x41\x0e\x41"
    created = asked(pelion, "POST", f"{base}/5", tlv, **{"Content-Type": "application/vnd.oma.lwm2m+tlv"})
    request = device.expect(POST, "/5")
    assert format_of(request) == TLV
    device.answer(request, "2.01")
    assert pelion.response(created)["status"] == 200
    deleted = asked(pelion, "DELETE", f"{base}/5/0")
    device.answer(device.expect(DELETE, "/5/0"), "2.02")
    assert pelion.response(deleted)["status"] == 200


def test_attributes_of_an_endpoint(pelion, play):
    device = play()
    pelion.open()
    id = asked(pelion, "PUT", f"/v2/endpoints/{id_of(pelion, device)}/5/0/1?pmin=1&gt=60&noResp=false")
    request = device.expect(PUT, "/5/0/1")
    assert request.payload == b""
    assert sorted(query_of(request)) == ["gt=60", "pmin=1"]
    device.answer(request, "2.04")
    assert pelion.response(id)["status"] == 200


def test_nobody_wants_to_know_the_answer(pelion, play):
    device = play()
    pelion.open()
    path = f"/v2/endpoints/{id_of(pelion, device)}/3/0/0"
    assert pelion.call("GET", f"{path}?noResp=true") == (204, "")
    device.answer(device.expect(GET, "/3/0/0"), "2.05", TEXT, b"x")
    read = asked(pelion, "GET", path)
    device.answer(device.expect(GET, "/3/0/0"), "2.05", TEXT, b"y")
    assert decoded(pelion.response(read)) == "y"
    assert pelion.messages["async-responses"] == []


def test_no_answer_cannot_be_asked_of_one_that_sleeps(pelion, play):
    device = play(binding="UQ")
    pelion.open()
    assert pelion.call("GET", f"/v2/endpoints/{id_of(pelion, device)}/3/0/0?noResp=true") == (409, "")
    device.peer.expect_silence()


def test_what_was_told_last(pelion, play):
    device = play(links='</3/0>,</10252/0/2>;obs;v="1",</5/0>')
    pelion.open()
    id = id_of(pelion, device)
    known = f"/v2/endpoints/{id}/3/0/9?cacheOnly=true"
    assert pelion.call("GET", known) == (205, "")
    assert pelion.call("GET", f"/v2/endpoints/{id}/10252/0/2?cacheOnly=true") == (200, "1")
    assert pelion.call("GET", f"/v2/endpoints/{id}/77/0/2?cacheOnly=true")[0] == 404
    device.peer.expect_silence()
    subscribed = asked(pelion, "PUT", f"/v2/subscriptions/{id}/3/0/9")
    request = device.expect(GET, "/3/0/9")
    device.answer(request, "2.05", TLV, bytes([0xC1, 9, 87]), (OBSERVE, b"\x01"))
    assert decoded(pelion.response(subscribed)) == "87"
    assert pelion.call("GET", known) == (200, "87")
    assert pelion.headers["Cache-Control"].startswith("max-age=")
    assert pelion.headers["Content-Type"] == "text/plain"


def test_endpoints_that_are_not_there(pelion, play):
    device = play()
    pelion.open()
    id = id_of(pelion, device)
    unknown = "0" * 32
    for method in ("GET", "PUT", "POST", "DELETE"):
        assert pelion.call(method, f"/v2/endpoints/{unknown}/3/0/0")[0] == 404
        assert pelion.call(method, f"/v2/endpoints/{id}/77/0/0")[0] == 404
        assert pelion.call(method, f"/v2/endpoints/{id}/3/0/x")[0] == 404
        assert pelion.call(method, f"/v2/endpoints/{id}/3/0/70000")[0] == 404
    device.peer.expect_silence()
