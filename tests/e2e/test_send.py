"""Send (Core 1.2 §6.4.6): values that a device tells of itself. Payloads are the vectors of tests/data where there are any."""

import pytest
from coapraw import ACK, EMPTY, NON, POST
from vectors import vector

pytestmark = pytest.mark.transports

SENML_JSON, SENML_CBOR, LWM2M_CBOR = 110, 112, 11544
BLOCK1, NO_RESPONSE = 27, 258
LINKS = "</1/0>,</3/0>,</3303/0>"


def content_format(number):
    return (12, number.to_bytes((number.bit_length() + 7) // 8, "big"))


def send(peer, payload, number=SENML_CBOR, **how):
    options = [] if number is None else [content_format(number)]
    return peer.request(POST, "/dp", payload=payload, options=options + how.pop("options", []), **how)


@pytest.fixture
def device(berth):
    return berth.register("dev1", links=LINKS)


def sent(berth):
    items = berth.http("GET", "/v1/events", poll=1, after=0, types="send", timeout="10ms").json["items"]
    return [(item["path"], item["value"]) for item in items]


def rejection(berth):
    return berth.http("GET", "/v1/events", poll=1, after=0, types="rejected", timeout="10ms").json["items"][-1]


def test_SND_01_a_send_is_2_04_and_an_event_for_each_value(berth, device):
    answer = send(device.peer, vector("SC-05"))
    assert answer.code_text == "2.04" and answer.payload == b""
    assert sent(berth) == [("/3/0/9", 95), ("/3303/0/5700", 22.5)]
    event = berth.http("POST", "/v1/wait", {"after": 0, "type": "send", "match": {"path": "/3/0/9", "value": {"gte": 95}}}).json
    assert event["endpoint"] == "dev1" and event["value_type"] == "integer"


@pytest.mark.parametrize(
    "number, payload",
    [
        (SENML_JSON, b'[{"n":"/3/0/9","v":95}]'),
        (SENML_CBOR, bytes.fromhex("81a200662f332f302f3902185f")),
        (LWM2M_CBOR, bytes.fromhex("a183030009185f")),
    ],
)
def test_SND_02_formats(berth, device, number, payload):
    assert send(device.peer, payload, number).code_text == "2.04"
    assert sent(berth) == [("/3/0/9", 95)]


@pytest.mark.parametrize("number", [0, 40, 42, 60, 320, 322, 11542, 11543, 50, 65000, None])
def test_SND_02_SND_03_other_formats_are_4_00(berth, device, number):
    answer = send(device.peer, b"95", number)
    assert answer.code_text == "4.00"
    assert rejection(berth)["coap_code"] == "4.00"


def test_SND_04_a_sender_without_registration_is_4_04(berth):
    assert send(berth.peer(), vector("SC-05")).code_text == "4.04"
    assert rejection(berth)["endpoint"] is None


def test_SND_04_a_sender_that_has_deregistered_is_4_04(berth, device):
    assert berth.http("DELETE", "/v1/devices/dev1").status == 204
    assert send(device.peer, vector("SC-05")).code_text == "4.04"


def test_SND_05_an_object_that_is_not_registered_delivers_nothing(berth, device):
    payload = b'[{"n":"/3/0/9","v":95},{"n":"/9999/0/1","v":1}]'
    assert send(device.peer, payload, SENML_JSON).code_text == "4.04"
    assert sent(berth) == []


def test_SND_06_SND_07_unlisted_instances_and_resources_are_taken(berth, device):
    assert send(device.peer, b'[{"n":"/3303/7/5700","v":1.5},{"n":"/3/0/9999","vs":"x"}]', SENML_JSON).code_text == "2.04"
    assert sent(berth) == [("/3303/7/5700", 1.5), ("/3/0/9999", "x")]


@pytest.mark.parametrize(
    "number, payload",
    [
        (SENML_JSON, b""),
        (SENML_JSON, b"[]"),
        (SENML_JSON, b"[{"),
        (SENML_JSON, b'[{"n":"/3/0/9"}]'),
        (SENML_JSON, b'[{"n":"3/0/9","v":1}]'),
        (SENML_JSON, b'[{"n":"/3/0/9","v":"1"}]'),
        (SENML_CBOR, bytes.fromhex("81a200662f332f302f39")),
        (SENML_CBOR, bytes.fromhex("9fffff")),
        (LWM2M_CBOR, bytes.fromhex("ff")),
    ],
)
def test_SND_08_what_does_not_decode_is_4_00_with_a_reason(berth, device, number, payload):
    answer = send(device.peer, payload, number)
    assert answer.code_text == "4.00" and answer.payload
    assert sent(berth) == []


def test_SND_09_non_confirmable_without_token_and_in_blocks(berth, device):
    assert send(device.peer, vector("SC-05"), type=NON).code_text == "2.04"
    assert send(device.peer, vector("SC-05"), token=b"").code_text == "2.04"
    payload = b'[{"n":"/3/0/9","v":7}]'
    assert send(device.peer, payload[:16], SENML_JSON, options=[(BLOCK1, b"\x08")]).code_text == "2.31"
    assert send(device.peer, payload[16:], SENML_JSON, options=[(BLOCK1, b"\x10")]).code_text == "2.04"
    assert sent(berth)[-1] == ("/3/0/9", 7)


def test_SND_10_two_devices_behind_one_server_are_told_apart(berth, device):
    other = berth.register("dev2", links=LINKS)
    send(other.peer, b'[{"n":"/3/0/9","v":1}]', SENML_JSON)
    send(device.peer, b'[{"n":"/3/0/9","v":2}]', SENML_JSON)
    items = berth.http("GET", "/v1/events", poll=1, after=0, types="send", timeout="10ms").json["items"]
    assert [(item["endpoint"], item["value"]) for item in items] == [("dev2", 1), ("dev1", 2)]


def test_SND_11_a_client_of_1_0_is_taken_with_an_oddity(berth):
    old = berth.register("old", links=LINKS, version="1.0")
    assert send(old.peer, vector("SC-05")).code_text == "2.04"
    oddities = berth.http("GET", "/v1/events", poll=1, after=0, types="oddity", timeout="10ms").json["items"]
    assert any("1.0" in item["detail"] for item in oddities)


def test_SND_12_time_series_are_told_whole_and_in_order(berth, device):
    payload = b'[{"bn":"/3303/0/5700","bt":1700000000,"v":1},{"t":5,"v":2},{"bn":"/3/0/9","t":10,"v":3}]'
    assert send(device.peer, payload, SENML_JSON).code_text == "2.04"
    items = berth.http("GET", "/v1/events", poll=1, after=0, types="send", timeout="10ms").json["items"]
    assert [(item["path"], item["value"], item["time"][17:19]) for item in items] == [
        ("/3303/0/5700", 1, "20"),
        ("/3303/0/5700", 2, "25"),
        ("/3/0/9", 3, "30"),
    ]


def test_SND_14_names_with_and_without_the_alternate_path(berth):
    links = '</lwm2m>;rt="oma.lwm2m",</lwm2m/1/0>,</lwm2m/3/0>'
    alternate = berth.register("alt", links=links)
    assert send(alternate.peer, b'[{"n":"/lwm2m/3/0/9","v":1}]', SENML_JSON).code_text == "2.04"
    assert send(alternate.peer, b'[{"n":"/3/0/9","v":2}]', SENML_JSON).code_text == "2.04"
    assert sent(berth) == [("/3/0/9", 1), ("/3/0/9", 2)]


def test_values_of_every_type(berth, device):
    payload = (
        b'[{"bn":"/3303/0/","n":"1","vs":"\xc5\xbc"},{"n":"2","vb":true},{"n":"3","vd":"AAE"},{"n":"4","vlo":"66:613"},'
        b'{"n":"5","v":-9223372036854775808},{"n":"6","v":18446744073709551615},{"n":"7","v":0.1}]'
    )
    assert send(device.peer, payload, SENML_JSON).code_text == "2.04"
    assert [value for _, value in sent(berth)] == ["ż", True, "AAE=", "66:613", -(2**63), str(2**64 - 1), 0.1]


@pytest.mark.transports("pelion")  # RFC 8323 has no acknowledgements to tell silence by
def test_OPT_28_no_response_to_a_send(berth, device):
    peer = device.peer
    options = [content_format(SENML_CBOR), (NO_RESPONSE, b"\x1a")]
    peer.send(peer.message(POST, "/dp", payload=vector("SC-05"), options=options))
    answer = peer.receive()
    assert (answer.type, answer.code) == (ACK, EMPTY)  # acknowledged, and nothing more
    assert len(sent(berth)) == 2
