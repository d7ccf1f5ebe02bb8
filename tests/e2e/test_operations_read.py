"""GET /v1/devices/{ep}/{o}[/{i}[/{r}[/{ri}]]]: Read, what is asked for and what becomes of the answer."""

import base64
import json

import pytest
from coapraw import BLOCK2, ETAG, FETCH, GET, MAX_AGE, Coap, block
from device_process import start_device  # noqa: F401
from played_device import (
    CBOR,
    ETCH_CBOR,
    LINK,
    LWM2M_CBOR,
    OMA_JSON,
    OPAQUE,
    SENML_CBOR,
    SENML_JSON,
    TEXT,
    TLV,
    PlayedDevice,
    accept_of,
    format_of,
    play,
    query_of,
)
from vectors import vector

pytestmark = pytest.mark.transports

UNKNOWN = "/33333"  # an object that has no definition


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def announce(*formats: int) -> str:
    return f'</>;rt="oma.lwm2m";ct="{" ".join(map(str, formats))}",</1/0>,</3/0>,</33333/0>'


@pytest.fixture
def device(play):
    return play("dev1", version="1.1")


def accepted(device: PlayedDevice, path: str, **query: object) -> int | None:
    """The Accept of the Read that a GET makes."""
    asked = device.ask("GET", path, **query)
    request = device.expect(GET, path)
    device.answer(request, "4.04")
    asked.answer(404)
    return accept_of(request)


# ---- what is asked for ----


@pytest.mark.parametrize(("vector_name", "format", "path"), [("M-12", "text", "/3/0/0"), ("M-14", "senml-cbor", "/3/0"), ("M-15", "tlv", "/3/0"), ("M-16", "lwm2m-cbor", "/3/0")])
def test_DM_01_read_is_sent_byte_for_byte(play, vector_name, format, path):
    device = play("dev1", version="1.2")
    asked = device.ask("GET", path, format=format)
    request = device.expect(GET, path)
    expected = Coap.decode(vector(vector_name))
    assert (request.options, request.payload) == (expected.options, b"")
    device.answer(request, "4.04")
    asked.answer(404)


@pytest.mark.parametrize(
    ("version", "formats", "path", "expected"),
    [
        ("1.0", (), "/3/0/0", TEXT),
        ("1.0", (), "/3/0", TLV),
        ("1.0", (), "/3", TLV),
        ("1.0", (), "/3/0/7", TLV),
        ("1.0", (), "/33333/0/1", None),
        ("1.0", (110, 112, 11543), "/3/0", TLV),
        ("1.1", (), "/3/0", TLV),
        ("1.1", (), "/3/0/0", TLV),
        ("1.1", (60, 110, 11542), "/3/0", SENML_JSON),
        ("1.1", (60, 110, 112, 11542), "/3/0", SENML_CBOR),
        ("1.1", (11544, 112), "/3/0/7/0", SENML_CBOR),
        ("1.2", (), "/3/0", SENML_CBOR),
        ("1.2", (112, 11544), "/3/0", LWM2M_CBOR),
        ("1.2", (112, 11544), "/3/0/0", LWM2M_CBOR),
        ("1.2", (110, 11542), "/3/0", SENML_JSON),
        ("1.2", (0, 11542), "/3/0", TLV),
    ],
)
def test_DM_09_format_is_chosen_by_version_and_announcement(play, version, formats, path, expected):
    device = play("dev1", version=version, links=announce(*formats) if formats else "</3/0>")
    assert accepted(device, path) == expected


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize("path", ["/3/0", "/3/0/9", "/3/0/7/0"])
def test_OJ_R03_old_json_is_not_asked_of_newer_clients_unless_forced(play, version, path):
    device = play("dev1", version=version, links=announce(11543))
    asked = device.ask("GET", path)
    for expected in (TLV, None):
        request = device.expect(GET, path)
        assert accept_of(request) == expected
        device.answer(request, "4.06")
    asked.answer(406)
    assert accepted(device, path, format="json") == OMA_JSON


def test_DM_09_opaque_of_a_1_0_device_is_asked_for_as_opaque(play):
    assert accepted(play("dev1", version="1.0", links="</5/0>"), "/5/0/0") == OPAQUE


@pytest.mark.parametrize(("name", "expected"), [("tlv", TLV), ("json", OMA_JSON), ("11543", OMA_JSON), ("none", None), ("cbor", CBOR), ("65000", 65000)])
def test_DM_09_format_can_be_forced(device, name, expected):
    assert accepted(device, "/3/0/0", format=name) == expected


@pytest.mark.parametrize(("path", "name", "expected"), [("/3/0/0", "opaque", OPAQUE), ("/3/0", "text", TEXT), ("/3", "cbor", CBOR), ("/3/0/7", "text", TEXT), ("/3/0/9", "link", LINK), ("/3/0/9", "senml-etch-cbor", ETCH_CBOR)])
def test_DM_09_format_without_a_place_there_is_asked_for_only_when_forced(play, path, name, expected):
    device = play("dev1", version="1.2")
    answer = device.http("GET", path, format=name)
    assert (answer.status, answer.problem) == (422, "not-sent") and f"{name} has no place at {path}" in answer.json["detail"]
    assert device.http("PUT", f"{path}/observe", format=name).problem == "not-sent"
    assert accepted(device, path, format=name, force=1) == expected


def test_DM_09_resource_that_nobody_knows_may_be_a_single_one(device):
    assert [accepted(device, "/33000/0/1", format=name) for name in ("text", "opaque", "cbor")] == [TEXT, OPAQUE, CBOR]


@pytest.mark.parametrize("code", ["4.06", "4.15"])
def test_DM_08_refused_format_is_followed_by_the_next(play, code):
    device = play("dev1", version="1.1", links=announce(110, 112))
    asked = device.ask("GET", "/3/0/9")
    for expected in (SENML_CBOR, SENML_JSON, TLV):
        request = device.expect(GET, "/3/0/9")
        assert accept_of(request) == expected
        device.answer(request, code)
    request = device.expect(GET, "/3/0/9")
    assert accept_of(request) is None
    device.answer(request, "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95


def test_DM_08_refused_format_that_was_forced_is_the_answer(device):
    asked = device.ask("GET", "/3/0/9", format="tlv")
    device.answer(device.expect(GET, "/3/0/9"), "4.06")
    assert asked.answer(406).problem == "device-error"
    device.peer.expect_silence()


def test_DM_08_device_that_refuses_every_format_is_406(device):
    asked = device.ask("GET", "/3/0/9")
    for _ in range(2):
        device.answer(device.expect(GET, "/3/0/9"), "4.06")
    assert asked.answer(406).json["coap_code"] == "4.06"


# ---- what comes back, by format ----

VALUES = {
    "/3/0/0": {"path": "/3/0/0", "type": "string", "value": "ACME"},
    "/3/0/9": {"path": "/3/0/9", "type": "integer", "value": 95},
}


@pytest.mark.parametrize(
    ("format", "payload"),
    [
        (TEXT, b"95"),
        (TLV, bytes.fromhex("c1095f")),
        (TLV, bytes.fromhex("c80908000000000000005f")),
        (CBOR, bytes.fromhex("185f")),
        (SENML_JSON, b'[{"bn":"/3/0/9","v":95}]'),
        (SENML_JSON, b'[{"bn":"/3/0/","n":"9","v":95.0}]'),
        (SENML_CBOR, bytes.fromhex("81a221662f332f302f3902185f")),
        (OMA_JSON, b'{"bn":"/3/0/9","e":[{"n":"","v":95}]}'),
        (LWM2M_CBOR, bytes.fromhex("a183030009185f")),
        (1541, b"95"),
        (1542, bytes.fromhex("c1095f")),
        (99, bytes.fromhex("c1095f")),
        (1543, b'{"bn":"/3/0/9","e":[{"v":95}]}'),
        (None, bytes.fromhex("c1095f")),
    ],
)
def test_DM_02_DM_04_FMT_01_value_is_decoded_from_any_format(device, format, payload):
    answer = device.read("/3/0/9", format, payload).json
    oddity = answer.pop("oddity", None)
    assert answer == VALUES["/3/0/9"]
    assert (oddity is not None) == (format in (99, 1541, 1542, 1543))


def test_DM_03_answer_without_format_is_text_when_none_was_asked_for(device):
    asked = device.ask("GET", "/3/0/9", format="none")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", None, b"95")
    assert asked.answer(200).json["value"] == 95


@pytest.mark.parametrize(("path", "payload", "value"), [("/3/0/9", b"95", 95), ("/3/0/0", b"Open Mobile", "Open Mobile"), ("/3/0/0", "zażółć".encode(), "zażółć")])
def test_DM_03_answer_without_format_may_be_text_though_another_was_asked_for(device, path, payload, value):
    asked = device.ask("GET", path, format="tlv")
    device.answer(device.expect(GET, path), "2.05", None, payload)
    answer = asked.answer(200).json
    assert answer["value"] == value and "error" not in answer


def test_DM_03_answer_without_format_that_is_neither_is_an_error_of_what_was_asked_for(device):
    asked = device.ask("GET", "/3/0/9", format="tlv")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", None, b"\xc8\x09\xff")
    answer = asked.answer(502)
    assert answer.problem == "undecodable-answer" and "TLV" in answer.json["detail"]


def test_DM_03_instance_without_format_is_an_error_with_its_bytes(device):
    answer = device.read("/3/0", None, b"\xc1\x09\x5f", 502)
    assert answer.problem == "undecodable-answer"
    assert answer.headers["CoAP-Code"] == "2.05"
    assert (answer.json["coap_code"], answer.json["content_format"], answer.json["payload_b64"]) == ("2.05", None, b64(b"\xc1\x09\x5f"))


INSTANCE = {
    "path": "/3/0",
    "resources": {
        "0": {"type": "string", "value": "ACME"},
        "9": {"type": "integer", "value": 95},
        "11": {"type": "integer", "values": {"0": 0, "2": 3}},
    },
}
INSTANCE_TLV = bytes.fromhex("c40041434d45") + bytes.fromhex("c1095f") + bytes.fromhex("860b410000410203")


def test_DM_01_instance(device):
    answer = device.read("/3/0", TLV, INSTANCE_TLV)
    assert answer.json == INSTANCE
    assert (answer.headers["CoAP-Code"], answer.headers["CoAP-Content-Format"]) == ("2.05", "11542")


def test_DM_01_object(device):
    payload = bytes([0x08, 0x00, len(INSTANCE_TLV)]) + INSTANCE_TLV
    assert device.read("/3", TLV, payload).json == {"path": "/3", "instances": {"0": {"resources": INSTANCE["resources"]}}}


def test_DM_01_multiple_resource_and_its_instance(device):
    assert device.read("/3/0/11", TLV, bytes.fromhex("860b410000410203")).json == {"path": "/3/0/11", "type": "integer", "values": {"0": 0, "2": 3}}
    assert device.read("/3/0/11/2", TLV, bytes.fromhex("410203")).json == {"path": "/3/0/11/2", "type": "integer", "value": 3}


@pytest.mark.parametrize(("format", "payload"), [(TLV, b""), (None, b""), (SENML_JSON, b"[]"), (SENML_CBOR, b"\x80"), (LWM2M_CBOR, b"\xa0"), (LWM2M_CBOR, b"\xbf\xff")])
def test_DM_05_empty_answer_is_an_object_without_instances(device, format, payload):
    answers = [device.read(path, format, payload).json for path in ("/3", "/3/0")]
    oddities = [answer.pop("oddity", None) for answer in answers]
    assert answers == [{"path": "/3", "instances": {}}, {"path": "/3/0", "resources": {}}]
    assert oddities == [("there is an empty map" if format == LWM2M_CBOR else None)] * 2


def test_DM_05_empty_answer_of_a_string_is_an_empty_string(device):
    assert device.read("/3/0/0", TEXT, b"").json["value"] == ""
    assert device.read("/3/0/0", TLV, b"\xc0\x00").json["value"] == ""


def test_DM_05_multiple_resource_without_instances(device):
    assert device.read("/3/0/7", TLV, bytes.fromhex("8007")).json == {"path": "/3/0/7", "values": {}}


def test_DM_06_unknown_resources_are_raw(device):
    answer = device.read("/33333/0", TLV, bytes.fromhex("c1015f") + bytes.fromhex("8602410001410102")).json
    assert answer["resources"] == {
        "1": {"type": "raw", "value_b64": b64(b"\x5f")},
        "2": {"values": {"0": {"type": "raw", "value_b64": b64(b"\x01")}, "1": {"type": "raw", "value_b64": b64(b"\x02")}}},
    }


def test_DM_06_unknown_resources_have_the_type_that_the_format_tells(device):
    payload = b'[{"bn":"/33333/0/","n":"1","v":1},{"n":"2","v":1.5},{"n":"3","vb":true},{"n":"4","vs":"x"},{"n":"5","vd":"AQI"},{"n":"6","vlo":"3:0"}]'
    assert device.read("/33333/0", SENML_JSON, payload).json["resources"] == {
        "1": {"type": "integer", "value": 1},
        "2": {"type": "float", "value": 1.5},
        "3": {"type": "boolean", "value": True},
        "4": {"type": "string", "value": "x"},
        "5": {"type": "opaque", "value": "AQI="},
        "6": {"type": "objlnk", "value": "3:0"},
    }


# ---- values ----


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1])
def test_TYP_02_integers_keep_every_digit(device, number):
    answer = device.read("/33333/0/1", SENML_JSON, b'[{"bn":"/33333/0/1","v":%d}]' % number)
    assert b'"value":%d' % number in answer.body
    assert answer.json["type"] == ("integer" if number < 2**63 else "unsigned")


def test_TYP_06_time_is_seconds_and_iso(device):
    answer = device.read("/3/0/13", TLV, bytes.fromhex("c40d5182428f")).json
    assert answer == {"path": "/3/0/13", "type": "time", "value": 1367491215, "iso": "2013-05-02T10:40:15.000Z"}


def test_float_has_a_point(device):
    assert b'"value":20.0' in device.read("/3303/0/5700", TEXT, b"20").body


def test_boolean_opaque_and_object_link(device):
    assert device.read("/1/0/6", TLV, bytes.fromhex("c10601")).json["value"] is True
    assert device.read("/5/0/0", OPAQUE, b"\x00\xff").json == {"path": "/5/0/0", "type": "opaque", "value": "AP8="}
    answer = device.read("/33333/0/9", SENML_JSON, b'[{"bn":"/33333/0/9","vlo":"66:1"}]').json
    assert (answer["type"], answer["value"]) == ("objlnk", "66:1")


def test_TYP_05_floats_that_JSON_does_not_have_are_texts(device):
    assert device.read("/3303/0/5700", TLV, bytes.fromhex("e416447fc00000")).json["value"] == "NaN"
    assert device.read("/3303/0/5700", TLV, bytes.fromhex("e41644ff800000")).json["value"] == "-Infinity"


def test_TYP_12_text_that_is_not_utf_8_is_base64(device):
    answer = device.read("/3/0/0", TEXT, b"a\xff").json
    assert (answer["type"], answer["value_b64"]) == ("string", b64(b"a\xff"))


def test_values_with_time_have_it_and_the_newest_is_the_value(device):
    payload = b'[{"bn":"/3303/0/5700","bt":1700000000,"v":1.0},{"t":10,"v":2.0}]'
    answer = device.read("/3303/0/5700", SENML_JSON, payload).json
    assert (answer["value"], answer["ts"]) == (2.0, "2023-11-14T22:13:30.000Z")
    assert [entry["value"] for entry in answer["history"]] == [1.0, 2.0]


def test_names_come_on_request(device):
    named = device.read("/3/0", TLV, INSTANCE_TLV, names=1).json
    assert (named["name"], named["resources"]["9"]["name"]) == ("Device", "Battery Level")
    assert device.read("/33333/0", TLV, b"\xc1\x01\x5f", names=1).json == device.read("/33333/0", TLV, b"\xc1\x01\x5f").json


# ---- what cannot be decoded ----


@pytest.mark.parametrize(
    ("path", "format", "payload"),
    [
        ("/3/0", TLV, b"\xc4\x00AC"),
        ("/3/0", TLV, b"garbage that is no TLV at all"),
        ("/3/0", SENML_JSON, b'[{"bn":"/1/0/","n":"1","v":5}]'),
        ("/3/0", SENML_JSON, b'[{"bn":'),
        ("/3/0", SENML_CBOR, b"\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f\x9f"),
        ("/3/0", TEXT, b"95"),
        ("/3/0", LINK, b"</3/0>"),
        ("/3/0", 50, b"{}"),
        ("/3/0/9", 65000, b"\x00"),
        ("/3/0/9", CBOR, b"\x18"),
    ],
)
def test_DM_07_FMT_02_undecodable_answer_is_502_with_its_bytes(device, path, format, payload):
    answer = device.read(path, format, payload, 502)
    assert answer.problem == "undecodable-answer"
    assert answer.headers["CoAP-Code"] == "2.05"
    assert (answer.json["coap_code"], answer.json["content_format"]) == ("2.05", format)
    assert (answer.json["payload_b64"], answer.json["endpoint"], answer.json["path"]) == (b64(payload), "dev1", path)
    assert len(answer.json["detail"]) > len(f"GET {path} on dev1: ")


def test_DM_07_TYP_01_value_of_another_type_is_told_as_it_is_with_its_bytes(device):
    answer = device.read("/3/0/9", SENML_JSON, b'[{"bn":"/3/0/9","vs":"full"}]').json
    assert (answer["type"], answer["value"]) == ("string", "full")
    assert answer["error"] == "/3/0/9: an integer of 64 bits is expected"
    assert (answer["content_format"], answer["payload_b64"]) == (SENML_JSON, b64(b'[{"bn":"/3/0/9","vs":"full"}]'))


def test_answer_with_success_that_is_not_2_05_is_502(device):
    asked = device.ask("GET", "/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "2.04")
    answer = asked.answer(502)
    assert (answer.problem, answer.json["coap_code"]) == ("undecodable-answer", "2.04")


def test_FMT_03_deep_and_large_payloads_end_well(device):
    assert device.read("/3/0", LWM2M_CBOR, b"\xa1\x03" * 400, 502).problem == "undecodable-answer"
    many = b'[{"bn":"/33333/0/"},' + b",".join(b'{"n":"%d","v":1}' % i for i in range(30)) + b"]"
    assert device.read("/33333/0", SENML_JSON, many.replace(b'{"bn":"/33333/0/"},{', b'{"bn":"/33333/0/",')).status == 200


# ---- forms of HTTP ----


def form(device, path, format, payload, accept, status=200, **query):
    return device.read(path, format, payload, status, headers={"Accept": accept}, **query)


def test_accept_octet_stream_is_the_payload_as_it_came(device):
    answer = form(device, "/3/0", 65000, b"\x00garbage", "application/octet-stream")
    assert (answer.body, answer.headers["CoAP-Content-Format"]) == (b"\x00garbage", "65000")
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_accept_text_is_one_value(device):
    answer = form(device, "/3/0/9", TLV, b"\xc1\x09\x5f", "text/plain")
    assert (answer.body, answer.headers["Content-Type"]) == (b"95", "text/plain")
    assert form(device, "/3/0", TLV, INSTANCE_TLV, "text/plain", 406).problem == "not-acceptable"
    assert form(device, "/33333/0/1", TLV, b"\xc1\x01\x5f", "text/plain", 406).headers["CoAP-Code"] == "2.05"


def test_accept_senml_json_and_cbor(device):
    answer = form(device, "/3/0", TLV, INSTANCE_TLV, "application/senml+json")
    assert json.loads(answer.body)[0] == {"bn": "/3/0/", "n": "0", "vs": "ACME"}
    assert form(device, "/3/0/9", TLV, b"\xc1\x09\x5f", "application/cbor").body == b"\x18\x5f"
    assert form(device, "/3/0", TLV, b"\xc1\x09\x5f", "application/cbor").body[0] & 0xE0 == 0xA0
    assert form(device, "/3/0/9", TLV, b"\xc1\x09\x5f", "application/senml+cbor").body.startswith(b"\x81")


def test_accept_is_weighed(device):
    assert form(device, "/3/0/9", TEXT, b"95", "text/html, text/*;q=0.9, application/json;q=0.5").body == b"95"
    assert form(device, "/3/0/9", TEXT, b"95", "*/*").json["value"] == 95
    assert device.http("GET", "/3/0/9", headers={"Accept": "text/html"}).problem == "not-acceptable"


# ---- errors of the device ----


@pytest.mark.parametrize(
    ("code", "name", "status"),
    [
        ("4.00", "Bad Request", 400),
        ("4.01", "Unauthorized", 401),
        ("4.02", "Bad Option", 400),
        ("4.03", "Forbidden", 403),
        ("4.04", "Not Found", 404),
        ("4.05", "Method Not Allowed", 405),
        ("4.08", "Request Entity Incomplete", 400),
        ("4.09", "Conflict", 409),
        ("4.12", "Precondition Failed", 412),
        ("4.13", "Request Entity Too Large", 413),
        ("5.00", "Internal Server Error", 502),
        ("5.01", "Not Implemented", 501),
        ("5.03", "Service Unavailable", 503),
        ("5.31", "", 502),
    ],
)
def test_DM_45_DM_46_error_of_the_device_arrives_as_itself(device, code, name, status):
    asked = device.ask("GET", "/3/0/99")
    device.answer(device.expect(GET, "/3/0/99"), code, None, b"why not")
    answer = asked.answer(status)
    assert answer.problem == "device-error"
    assert answer.headers["CoAP-Code"] == code
    document = answer.json
    assert document["title"] == f"Device answered {code} {name}".strip()
    assert document["detail"] == "GET /3/0/99 on dev1"
    assert (document["coap_code"], document["endpoint"], document["path"]) == (code, "dev1", "/3/0/99")
    assert document["diagnostic"] == "why not" and document["rtt_ms"] >= 0


def test_device_that_is_busy_says_when_to_come_again(device):
    asked = device.ask("GET", "/3/0")
    device.answer(device.expect(GET, "/3/0"), "5.03", None, b"", (MAX_AGE, b"\x1e"))
    assert asked.answer(503).headers["Retry-After"] == "30"


def test_diagnostic_of_any_bytes_is_text(device):
    asked = device.ask("GET", "/3/0/99")
    device.answer(device.expect(GET, "/3/0/99"), "4.04", None, b"\xff\x00x")
    assert asked.answer(404).json["diagnostic"] == "\ufffd\u0000x"


def test_DM_23_separate_answer_is_read(device):
    asked = device.ask("GET", "/3/0/9")
    request = device.expect(GET, "/3/0/9")
    device.acknowledge(request)
    device.answer_separately(request, "2.05", TEXT, b"7")
    assert asked.answer(200).json["value"] == 7


def test_BLK_25_large_answer_comes_in_blocks(device):
    text = b"0123456789abcdef" * 200
    asked = device.ask("GET", "/3/0/0")
    for number in range(0, 4):
        request = device.expect(GET, "/3/0/0")
        part = text[number * 1024 : number * 1024 + 1024]
        device.answer(request, "2.05", TEXT, part, (BLOCK2, block(number, number < 3, 6)), (ETAG, b"\x01"))
    assert asked.answer(200).json["value"] == text.decode()


def test_body_that_never_fits_together_is_502(device):
    asked = device.ask("GET", "/3/0/0")
    for _ in range(20):
        request = device.peer.receive(1)
        if request is None:
            break
        number = 0 if request.one(BLOCK2) is None else request.number(BLOCK2) >> 4
        device.answer(request, "2.05", TEXT, b"x" * 16, (BLOCK2, block(number + 5 if number else 0, True, 0)))
    assert asked.answer(502).problem == "unfinished-answer"


# ---- what is not asked ----


@pytest.mark.parametrize("path", ["/0/0", "/21", "/23/0/1", "/0/0/attributes", "/21/discover"])
def test_DM_39_objects_of_the_bootstrap_server_are_asked_for_only_when_forced(device, path):
    method = "PUT" if path.endswith("attributes") else "GET"
    answer = device.http(method, path, {"pmin": 1} if method == "PUT" else None)
    assert (answer.status, answer.problem) == (422, "not-sent")
    if path == "/21":
        asked = device.ask("GET", path, force=1)
        device.answer(device.expect(GET, path), "4.01")
        assert asked.answer(401).json["coap_code"] == "4.01"


@pytest.mark.parametrize(("path", "query"), [("/3/0/7/0", {}), ("/3/0", {"format": "senml-cbor"}), ("/3/0", {"format": "senml-json"}), ("/3/0/9", {"format": "cbor"}), ("/3/0", {"format": "lwm2m-cbor"})])
def test_DM_40_device_of_1_0_is_not_asked_what_1_0_does_not_have(play, path, query):
    device = play("dev1", version="1.0")
    answer = device.http("GET", path, **query)
    assert (answer.status, answer.problem) == (422, "not-sent")
    assert "1.0" in answer.json["detail"]
    asked = device.ask("GET", path, force=1, **query)
    device.answer(device.expect(GET, path), "4.04")
    asked.answer(404)


def test_DM_40_lwm2m_cbor_needs_1_2(device):
    assert device.http("GET", "/3/0", format="lwm2m-cbor").problem == "not-sent"


@pytest.mark.parametrize("path", ["/65535", "/3/65535", "/3/0/65536", "/03", "/3/00", "/99999999999999999999999"])
def test_DM_15_DM_41_path_with_ids_that_there_are_not_is_400(device, path):
    answer = device.http("GET", path)
    assert (answer.status, answer.problem) == (400, "bad-request")


@pytest.mark.parametrize("path", ["/x", "/3/x", "/3/0/-1", "/3/0/9/0/0", "/3/0/9/", "/3//0", "/3/0/discover/x"])
def test_DM_41_what_is_no_path_is_404(device, path):
    answer = device.http("GET", path)
    assert (answer.status, answer.problem) == (404, "not-found")


def test_unknown_parameters_are_400(device):
    assert device.http("GET", "/3/0", format="xml").problem == "bad-parameter"
    assert device.http("GET", "/3/0", names="yes").problem == "bad-parameter"
    assert device.http("GET", "/3/0", force="2").problem == "bad-parameter"


def test_device_that_is_not_registered_is_404(berth):
    answer = berth.http("GET", "/v1/devices/nobody/3/0")
    assert (answer.status, answer.problem, answer.json["endpoint"]) == (404, "not-registered", "nobody")


def test_alternate_path_comes_before_the_path(play):
    device = play("dev1", links='</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>')
    asked = device.ask("GET", "/3/0/9")
    request = device.expect(GET, "/lwm2m/3/0/9")
    device.answer(request, "2.05", SENML_JSON, b'[{"bn":"/lwm2m/3/0/9","v":95}]')
    assert asked.answer(200).json == VALUES["/3/0/9"]


# ---- against the reference device ----


def test_DM_01_reference_device_is_read_on_every_level(berth, start_device):
    device = start_device("--server", berth.listen[0], "--endpoint", "ref")
    device.line("Device ID:", partly=True)
    assert berth.get("/v1/devices/ref/3/0/0") == {"path": "/3/0/0", "type": "string", "value": "Berth"}
    instance = berth.get("/v1/devices/ref/3/0", names=1)
    assert instance["resources"]["9"] == {"name": "Battery Level", "type": "integer", "value": 95}
    assert instance["resources"]["13"]["type"] == "time"
    assert berth.get("/v1/devices/ref/3")["instances"]["0"]["resources"]["7"]["values"]
    assert berth.http("GET", "/v1/devices/ref/3/0/99").status == 404
    assert berth.http("GET", "/v1/devices/ref/3/0/4").status == 405
