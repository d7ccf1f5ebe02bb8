"""Subscriptions of the Device Management API: whose they are, what ends them, and what a restart leaves. The device is
played."""

import base64
from urllib.parse import quote

import pytest
from coapraw import CON, CONTENT_FORMAT, GET, OBSERVE, Coap, code, uint
from lwm2mraw import LWM2M_CBOR, OMA_JSON, SENML_CBOR, SENML_JSON, TLV, Value, decode, encode
from pelion_client import PelionClient, decoded
from played_device import TEXT, PlayedDevice

VENDOR = ["aid=account", "mccv=4.13.2", "et=default"]
LINKS = "</1/0>,</3/0>,</5/0>"


@pytest.fixture
def pelion(berth):
    client = PelionClient(berth.http_port)
    client.open()
    return client


@pytest.fixture
def device(berth):
    return PlayedDevice(berth, "dev1", links=LINKS, lifetime=86400)


def id_of(pelion: PelionClient, endpoint: str = "dev1") -> str:
    [found] = pelion.call("GET", f"/v3/devices?endpoint_name__eq={quote(endpoint)}")[1]["data"]
    return found["id"]


def answer(device: PlayedDevice, path: str, value: bytes, number: int = 1) -> Coap:
    """The device takes a request to observe; which is returned."""
    request = device.expect(GET, path)
    assert request.one(OBSERVE) == b""
    device.answer(request, "2.05", TEXT, value, (OBSERVE, bytes([number])))
    return request


def notify(device: PlayedDevice, token: bytes, value: bytes, number: int) -> Coap:
    """Send a notification; what the server says to it."""
    mid = device.peer.next_mid()
    options = [(OBSERVE, bytes([number])), (CONTENT_FORMAT, uint(TEXT))]
    device.peer.send(Coap(CON, code("2.05"), mid, token, options, value))
    reply = device.peer.receive(10)
    assert reply.mid == mid
    return reply


def subscribe(pelion: PelionClient, device: PlayedDevice, path: str, value: bytes = b"1") -> bytes:
    """The token of the observation."""
    status, made = pelion.call("PUT", f"/v2/subscriptions/{id_of(pelion)}{path}")
    assert status == 202
    request = answer(device, path, value)
    told = pelion.response(made["async-response-id"])
    assert (told["status"], decoded(told)) == (200, value.decode())
    return request.token


def paths(pelion: PelionClient) -> list[str]:
    status, text = pelion.call("GET", f"/v2/subscriptions/{id_of(pelion)}")
    return sorted(text.split("\n")) if status == 200 else []


def test_a_notification_has_the_path_that_was_asked_for(pelion, device):
    token = subscribe(pelion, device, "/3/0/9")
    notify(device, token, b"95", 2)
    told = pelion.message("notifications")
    assert told == {
        "ep": id_of(pelion),
        "path": "/3/0/9",
        "ct": "text/plain",
        "payload": "OTU=",
        "max-age": 0,
    }


def test_a_notification_right_behind_the_answer_is_told(pelion, device):
    status, made = pelion.call("PUT", f"/v2/subscriptions/{id_of(pelion)}/3/0/9")
    assert status == 202
    request = answer(device, "/3/0/9", b"1")
    options = [(OBSERVE, b"\x02"), (CONTENT_FORMAT, uint(TEXT))]
    device.peer.send(Coap(CON, code("2.05"), device.peer.next_mid(), request.token, options, b"2"))
    assert decoded(pelion.response(made["async-response-id"])) == "1"
    assert decoded(pelion.message("notifications")) == "2"


@pytest.mark.parametrize("format", [SENML_CBOR, SENML_JSON, OMA_JSON, LWM2M_CBOR, TLV, 1542])
def test_several_values_are_tlv_whatever_the_device_has_sent(berth, pelion, device, format):
    values = {"/5/0/3": Value("integer", 2), "/5/0/5": Value("integer", 1)}
    status, made = pelion.call("PUT", f"/v2/subscriptions/{id_of(pelion)}/5/0")
    assert status == 202
    request = device.expect(GET, "/5/0")
    body = encode(TLV if format == 1542 else format, "/5/0", values)
    device.answer(request, "2.05", format, body, (OBSERVE, b"\x01"))
    mid = device.peer.next_mid()
    options = [(OBSERVE, b"\x02"), (CONTENT_FORMAT, uint(format))]
    device.peer.send(Coap(CON, code("2.05"), mid, request.token, options, body))
    types = {"/5/0/3": "integer", "/5/0/5": "integer"}
    for told in (pelion.response(made["async-response-id"]), pelion.message("notifications")):
        assert told["ct"] == "application/vnd.oma.lwm2m+tlv"
        assert decode(TLV, "/5/0", base64.b64decode(told["payload"]), types) == {"/5/0/3": 2, "/5/0/5": 1}
    key = {"Authorization": f"Bearer {pelion.key}"}
    known = berth.http("GET", f"/v2/endpoints/{id_of(pelion)}/5/0?cacheOnly=true", headers=key)
    assert (known.status, known.headers["Content-Type"]) == (200, told["ct"])
    assert known.body == base64.b64decode(told["payload"])


def test_each_key_has_subscriptions_of_its_own(berth, pelion, device):
    other = PelionClient(berth.http_port, "ak_other")
    other.open()
    token = subscribe(pelion, device, "/3/0/9")
    assert paths(pelion) == ["/3/0/9"] and paths(other) == []
    notify(device, token, b"2", 2)
    assert decoded(pelion.message("notifications")) == "2"
    subscribe(other, device, "/3/0/13")
    assert paths(other) == ["/3/0/13"]
    assert other.call("DELETE", f"/v2/subscriptions/{id_of(pelion)}")[0] == 204
    device.expect(GET, "/3/0/13")  # its observation is cancelled
    assert paths(pelion) == ["/3/0/9"] and paths(other) == []
    assert "notifications" not in other.messages


def test_those_of_a_device(pelion, device):
    base = f"/v2/subscriptions/{id_of(pelion)}"
    assert pelion.call("GET", base)[0] == 404
    for path in ("/3/0/9", "/3/0/13", "/5/0"):
        subscribe(pelion, device, path)
    status, text = pelion.call("GET", base)
    assert (status, sorted(text.split("\n"))) == (200, ["/3/0/13", "/3/0/9", "/5/0"])
    assert pelion.headers["Content-Type"] == "text/uri-list"
    assert pelion.call("DELETE", base + "/3/0/9")[0] == 204
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"1")
    assert pelion.call("GET", base + "/3/0/9")[0] == 404
    assert pelion.call("GET", base + "/3/0/13")[0] == 200
    assert pelion.call("DELETE", base)[0] == 204
    for _ in range(2):
        request = device.peer.receive(10)
        assert request.one(OBSERVE) == b"\x01"
        device.answer(request, "2.05", TEXT, b"1")
    assert pelion.call("GET", base)[0] == 404
    assert pelion.call("DELETE", base)[0] == 204


def test_a_refused_observation_is_no_subscription(pelion, device):
    status, made = pelion.call("PUT", f"/v2/subscriptions/{id_of(pelion)}/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "4.05")
    assert pelion.response(made["async-response-id"])["status"] == 400
    assert paths(pelion) == []


def test_a_full_registration_ends_them_and_presubscriptions_begin_again(berth, pelion, device):
    assert pelion.call("PUT", "/v2/subscriptions", [{"resource-path": ["/5/0/3"]}])[0] == 204
    answer(device, "/5/0/3", b"0")
    subscribe(pelion, device, "/3/0/9")
    assert paths(pelion) == ["/3/0/9", "/5/0/3"]
    device.registered.update()
    pelion.message("reg-updates")
    device.peer.expect_silence()
    assert paths(pelion) == ["/3/0/9", "/5/0/3"]  # an Update ends nothing
    again = PlayedDevice(berth, "dev1", links=LINKS, lifetime=86400)
    request = again.peer.receive(10)
    seen = set()
    while request is not None and "/5/0/3" not in seen:
        path = "".join("/" + value.decode() for value in request.all(11))
        seen.add(path)
        again.answer(request, "2.05", TEXT, b"0", (OBSERVE, b"\x01"))
        request = None if path == "/5/0/3" else again.peer.receive(10)
    assert "/5/0/3" in seen and "/3/0/9" not in seen
    assert paths(pelion) == ["/5/0/3"]


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_subscriptions_go_on_over_a_restart(berth, pelion, device, how):
    token = subscribe(pelion, device, "/3/0/9")
    gone = subscribe(pelion, device, "/3/0/13")
    assert pelion.call("DELETE", f"/v2/subscriptions/{id_of(pelion)}/3/0/13")[0] == 204
    device.answer(device.expect(GET, "/3/0/13"), "2.05", TEXT, b"1")
    if how == "kill":
        berth.kill()
        berth.start()
    else:
        berth.restart()
    pelion.port = berth.http_port
    pelion.open()
    assert paths(pelion) == ["/3/0/9"]
    notify(device, token, b"77", 9)
    assert decoded(pelion.message("notifications", path="/3/0/9")) == "77"
    assert gone != token


def test_one_that_had_not_begun_is_begun_when_the_device_is_heard(berth, pelion, device):
    assert pelion.call("PUT", f"/v2/subscriptions/{id_of(pelion)}/3/0/9")[0] == 202
    device.expect(GET, "/3/0/9")  # which is not answered
    berth.kill()
    berth.start()
    pelion.port = berth.http_port
    pelion.open()
    assert paths(pelion) == ["/3/0/9"]
    device.registered.update()
    answer(device, "/3/0/9", b"5")
    assert decoded(pelion.message("notifications", path="/3/0/9")) == "5"


def test_what_a_device_observes_by_itself_reaches_its_subscribers(berth, pelion):
    """The vendor's clients notify with the token that they have registered (`aobs`)."""
    device = PlayedDevice(berth, "dev1", links='</3/0>,</10252/0/2>;obs;aobs="258";v="1"', version="1.0", extra=VENDOR)
    assert pelion.call("PUT", "/v2/subscriptions", [{"resource-path": ["/10252/0/2"]}])[0] == 204
    answer(device, "/10252/0/2", b"1")
    assert decoded(pelion.message("notifications")) == "1"
    reply = notify(device, b"\x01\x02", b"4", 2)
    assert reply.code == 0 and reply.type == 2  # acknowledged
    assert decoded(pelion.message("notifications", path="/10252/0/2")) == "4"
