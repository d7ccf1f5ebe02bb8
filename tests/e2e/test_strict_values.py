"""What does not decode or fit is refused as a whole, with the place and what was expected: from devices and over HTTP."""

import pytest
from coapraw import CONTENT_FORMAT, POST, PUT, uint
from played_device import LWM2M_CBOR, OMA_JSON, SENML_CBOR, SENML_JSON, TLV, PlayedDevice, format_of, play  # noqa: F401

LINKS = "</1/0>,</3/0>,</3303/0>,</3442/0>"
JSON, TEXT_PLAIN = "application/json", "text/plain"
TYPES = {
    SENML_JSON: "application/senml+json",
    SENML_CBOR: "application/senml+cbor",
    TLV: "application/vnd.oma.lwm2m+tlv",
    OMA_JSON: "application/vnd.oma.lwm2m+json",
    LWM2M_CBOR: "application/vnd.oma.lwm2m+cbor",
}


@pytest.fixture(scope="module")
def device(module_berth):
    return PlayedDevice(module_berth, "dev1", version="1.2", links=LINKS)


# ---- Send ----

SENT = [
    # not decodable: how far it was read
    (SENML_JSON, b'[{"n":"/3/0/9","v":1},{"n":"/3/0/10","v":1,}]', "a name in quotes is expected, at byte 43"),
    (SENML_JSON, b'[{"n":"/3/0/9","v":1}', "a comma or an end is expected, at byte 21"),
    (SENML_CBOR, bytes.fromhex("82a200662f332f302f3902185f"), "the CBOR is cut off, at byte 13"),
    (LWM2M_CBOR, bytes.fromhex("a183030009"), "the CBOR is cut off, at byte 5"),
    # no path
    (SENML_JSON, b'[{"n":"/3/0/9","v":1},{"n":"/3/0/x","v":1}]', "a name is no path, at byte 42"),
    (SENML_JSON, b'[{"n":"/3/0/65535","v":1}]', "a name is no path, at byte 25"),
    (SENML_JSON, b'[{"n":"/3/0","v":1}]', "a value stands above resource level, at byte 19"),
    # no value of its definition
    (SENML_JSON, b'[{"n":"/3303/0/5700","v":1},{"n":"/3/0/9","vs":"x"}]', "/3/0/9: an integer of 64 bits is expected"),
    (SENML_CBOR, bytes.fromhex("82a200662f332f302f390201a200662f332f302f300205"), "/3/0/0: text is expected"),
    (LWM2M_CBOR, bytes.fromhex("a28303000901830300000 5".replace(" ", "")), "/3/0/0: text is expected"),
    (SENML_JSON, b'[{"n":"/3/0/9","v":1.5}]', "/3/0/9: an integer"),
    (SENML_JSON, b'[{"n":"/3442/0/140","v":1}]', "/3442/0/140: a boolean"),
    # the same twice
    (SENML_JSON, b'[{"n":"/3/0/9","v":1},{"n":"/3/0/9","v":2}]', "/3/0/9: a path comes twice"),
]


@pytest.mark.parametrize(("format", "payload", "says"), SENT)
def test_SND_08_send_is_refused_as_a_whole_with_its_place(device, format, payload, says):
    after = device.berth.last_event()
    answer = device.peer.request(POST, "/dp", payload=payload, options=[(CONTENT_FORMAT, uint(format))])
    assert answer.code_text == "4.00"
    assert answer.payload.decode().startswith(says)
    (event,) = device.berth.events_after(after)
    assert (event["type"], event["coap_code"], event["endpoint"]) == ("rejected", "4.00", "dev1")
    assert event["detail"].startswith(says)


def test_SND_08_what_fits_by_conversion_is_taken(device):
    after = device.berth.last_event()
    payload = b'[{"n":"/3/0/9","v":95.0},{"n":"/3/0/250","vs":"unknown"},{"n":"/3303/0/5700","v":22},{"n":"/3442/0/170","vs":"3:0"}]'
    assert device.peer.request(POST, "/dp", payload=payload, options=[(CONTENT_FORMAT, uint(SENML_JSON))]).code_text == "2.04"
    events = device.berth.events_after(after, types="send")
    assert [(event["value"], event["value_type"]) for event in events] == [(95, "integer"), ("unknown", "string"), (22, "float"), ("3:0", "objlnk")]


# ---- HTTP ----

WRITTEN = [
    # method, path, content type, body, what is said
    ("PUT", "/1/0/1", TEXT_PLAIN, b"12x", "/1/0/1: an integer of 64 bits is expected"),
    ("PUT", "/3442/0/140", TEXT_PLAIN, b"true", "/3442/0/140: a boolean is 0 or 1"),
    ("PUT", "/3442/0/150", TEXT_PLAIN, b"no Base64", "/3442/0/150: Base64 is expected"),
    ("PUT", "/3442/0/170", TEXT_PLAIN, b"3-0", "/3442/0/170: an object link has a colon"),
    ("PUT", "/3/0/14", TEXT_PLAIN, b"\xff\xfe", "/3/0/14: the text is not UTF-8"),
    ("PUT", "/1/0/1", JSON, b"{", "no JSON: a name in quotes is expected, at byte 1"),
    ("PATCH", "/3/0", JSON, b'{"resources":{"14":"a",}}', "no JSON: a name in quotes is expected, at byte 23"),
    ("PATCH", "/3/0", JSON, b'{"resources":{"14":"a"}} x', "no JSON: something follows the end, at byte 25"),
    ("PATCH", "/3/0", JSON, b'{"resources":{"14":"a","13":"x"}}', "/3/0/13: an integer"),
    ("PATCH", "/3/0", JSON, b'{"resources":{"14":"a","x":"x"}}', "/3/0: an id is a number"),
    ("PATCH", "/3/0", JSON, b'{"resources":{"14":"a","14":"b"}}', "/3/0/14: a path comes twice"),
    ("PATCH", "/3/0", JSON, b'{"resources":{"14":{"values":{"0":"b"}}}}', "/3/0/14/0: the resource has a single value"),
    ("PATCH", "/1/0", JSON, b'{"resources":{"26":2}}', "/1/0/26: the value is out of the range"),
    ("PUT", "/3/0/9/attributes", JSON, b'{"pmin":1,}', "no JSON: a name in quotes is expected, at byte 10"),
    ("PATCH", "/3/0", TYPES[SENML_JSON], b'[{"n":"/3/0/14","vs":"a"},{"n":"/3/0/x","v":1}]', "a name is no path, at byte 46"),
    ("PATCH", "/3/0", TYPES[SENML_JSON], b'[{"n":"/3/0/14","vs":"a"},{"n":"/1/0/1","v":1}]', "a name is outside the path of the request, at byte 46"),
    ("PATCH", "/3/0", TYPES[SENML_JSON], b'[{"n":"/3/0/14","v":5}]', "/3/0/14: text is expected"),
    ("PATCH", "/3/0", TYPES[SENML_JSON], b'[{"n":"/3/0/14","vs":"a","t":-5}]', "/3/0/14: what is written has no time"),
    ("PATCH", "/3/0", TYPES[SENML_CBOR], bytes.fromhex("82a2006733"), "the CBOR is cut off, at byte 2"),
    ("PATCH", "/3/0", TYPES[SENML_CBOR], bytes.fromhex("81a200672f332f302f31340205"), "/3/0/14: text is expected"),
    ("PUT", "/1/0/1", "application/cbor", bytes.fromhex("6161"), "/1/0/1: an integer of 64 bits is expected"),
    ("PUT", "/1/0/1", "application/cbor", bytes.fromhex("19"), "/1/0/1: the CBOR is cut off"),
    ("PATCH", "/3/0", TYPES[TLV], bytes.fromhex("c10e61c20e61"), "a TLV is longer than what is there, at byte 3"),
    ("PUT", "/1/0/1", TYPES[TLV], bytes.fromhex("c301010203"), "/1/0/1: an integer has 1, 2, 4 or 8 bytes"),
    ("PUT", "/1/0/1", TYPES[TLV], bytes.fromhex("c10205"), "there is something else than the resource of the path"),
    ("PATCH", "/3/0", TYPES[LWM2M_CBOR], bytes.fromhex("a18303000e05"), "/3/0/14: text is expected"),
    ("PATCH", "/3/0", TYPES[LWM2M_CBOR], bytes.fromhex("a1831a0001000000"), "an id is a number from 0 to 65534, at byte 7"),
    ("PUT", "/3442/0/150", "application/octet-stream", b"", None),
    ("PUT", "/1/0/1", "application/octet-stream", b"1", "/1/0/1: "),
    ("POST", "/3442", JSON, b'{"instance":65535,"resources":{}}', "/3442: "),
    ("POST", "/3442", TYPES[TLV], bytes.fromhex("c801"), "the header of a TLV is cut off"),
    ("POST", "/composite/write", JSON, b'{"/3/0/14":"a","/1/0/1":"x"}', "/1/0/1: an integer of 64 bits is expected"),
    ("POST", "/composite/write", TYPES[SENML_JSON], b'[{"n":"/3/0/14","vs":"a"},{"n":"/1/0/1","vs":"x"}]', "/1/0/1: an integer of 64 bits is expected"),
]


@pytest.mark.parametrize(("method", "path", "type", "body", "says"), WRITTEN)
def test_DM_15_body_is_refused_as_a_whole_with_its_place(device, method, path, type, body, says):
    if says is None:
        request = device.write(method, path, body, PUT, headers={"Content-Type": type})
        assert request.payload
        return
    answer = device.http(method, path, body, headers={"Content-Type": type})  # and the device hears nothing
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert says in answer.json["detail"], answer.json["detail"]


GOOD = [
    ("PUT", "/1/0/1", "application/cbor", bytes.fromhex("19012c"), 60, PUT),
    ("PUT", "/1/0/1", TYPES[TLV], bytes.fromhex("c201012c"), TLV, PUT),
    ("PUT", "/1/0/1", TYPES[TLV], bytes.fromhex("d001000 2012c".replace(" ", "")), TLV, PUT),
    ("PATCH", "/3/0", TYPES[SENML_CBOR], bytes.fromhex("9fbf00672f332f302f3134036161ffff"), SENML_CBOR, POST),
    ("PATCH", "/3/0", TYPES[LWM2M_CBOR], bytes.fromhex("a18303000e6161"), LWM2M_CBOR, POST),
    ("PUT", "/1/0/1", TYPES[OMA_JSON], b'{"e":[{"n":"","v":300}],"bn":"/1/0/1"}', OMA_JSON, PUT),
    ("POST", "/3442", TYPES[TLV], bytes.fromhex("c16e61"), TLV, POST),
    ("POST", "/3442", TYPES[TLV], bytes.fromhex("0305c16e61"), TLV, POST),
]


@pytest.mark.parametrize(("method", "path", "type", "body", "format", "code"), GOOD)
def test_raw_body_that_fits_is_sent_byte_for_byte(device, method, path, type, body, format, code):
    query = {"force": 1} if format == OMA_JSON else {}  # LwM2M 1.0 only
    request = device.write(method, path, body, code, "2.01" if path == "/3442" else "2.04", headers={"Content-Type": type}, **query)
    assert (format_of(request), request.payload) == (format, body)


@pytest.mark.parametrize(("version", "type"), [("1.0", "application/cbor"), ("1.0", TYPES[SENML_CBOR]), ("1.0", TYPES[LWM2M_CBOR]), ("1.1", TYPES[LWM2M_CBOR])])
def test_DM_40_raw_body_of_a_format_that_the_device_does_not_have_is_not_sent(play, version, type):
    device = play("dev1", version=version)
    assert device.http("PUT", "/1/0/1", b"\x01", headers={"Content-Type": type}).problem == "not-sent"
    assert device.write("PUT", "/1/0/1", b"\x01", PUT, headers={"Content-Type": type}, force=1).payload == b"\x01"


def test_DM_24_raw_body_of_a_create_names_its_instance(device):
    asked = device.ask("POST", "/3442", bytes.fromhex("0307c16e61"), headers={"Content-Type": TYPES[TLV]})
    device.answer(device.expect(POST, "/3442"), "2.01")
    assert asked.answer(201).headers["Location"] == "/v1/devices/dev1/3442/7"
