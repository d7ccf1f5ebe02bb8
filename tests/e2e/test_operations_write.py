"""Write, Create, Delete, Execute, Discover, Write-Attributes: what is sent, and what is refused before it is sent."""

import pytest
from coapraw import BLOCK1, DELETE, FETCH, GET, IPATCH, LOCATION_PATH, POST, PUT, Coap, block
from device_process import start_device  # noqa: F401
from played_device import (
    CBOR,
    LINK,
    LWM2M_CBOR,
    OMA_JSON,
    OPAQUE,
    SENML_CBOR,
    SENML_JSON,
    TEXT,
    TLV,
    accept_of,
    format_of,
    play,
    query_of,
)
from vectors import vector

pytestmark = pytest.mark.transports

LINKS = "</1/0>,</2/0>,</3/0>,</5/0>,</16/0>,</3303/0>,</33333/0>"


def announce(*formats: int) -> str:
    return f'</>;rt="oma.lwm2m";ct="{" ".join(map(str, formats))}",{LINKS}'


@pytest.fixture
def device(play):
    return play("dev1", version="1.1", links=LINKS)


@pytest.fixture
def device_1_0(play):
    return play("dev1", version="1.0", links=LINKS)


@pytest.fixture
def device_1_2(play):
    return play("dev1", version="1.2", links=LINKS)


def is_vector(request: Coap, name: str) -> bool:
    """Options and payload are those of the vector."""
    expected = Coap.decode(vector(name))
    return (request.code, request.options, request.payload) == (expected.code, expected.options, expected.payload)


TEXT_PLAIN = {"Content-Type": "text/plain"}


# ---- Write (replace) of a resource ----


def test_DM_10_text_to_a_1_0_device_is_M_27(device_1_0):
    assert is_vector(device_1_0.write("PUT", "/3/0/14", "+02:00", PUT, headers=TEXT_PLAIN), "M-27")


@pytest.mark.parametrize(
    ("format", "number", "payload"),
    [
        ("text", TEXT, b"300"),
        ("cbor", CBOR, bytes.fromhex("19012c")),
        ("senml-json", SENML_JSON, b'[{"bn":"/1/0/1","v":300}]'),
        ("senml-cbor", SENML_CBOR, bytes.fromhex("81a221662f312f302f310219012c")),
        ("tlv", TLV, bytes.fromhex("c201012c")),
        ("lwm2m-cbor", LWM2M_CBOR, bytes.fromhex("a18301000119012c")),
        ("json", OMA_JSON, None),
    ],
)
def test_DM_10_value_in_any_format(device_1_2, format, number, payload):
    request = device_1_2.write("PUT", "/1/0/1", {"value": 300}, PUT, format=format)
    assert format_of(request) == number
    assert payload is None or request.payload == payload
    assert query_of(request) == [] and accept_of(request) is None


@pytest.mark.parametrize(
    ("path", "body", "payload"),
    [
        ("/3/0/14", '"+01"', b"+01"),
        ("/1/0/1", "300", b"300"),
        ("/1/0/1", '{"type":"integer","value":300}', b"300"),
        ("/1/0/1", '"300"', b"300"),
        ("/1/0/6", "true", b"1"),
        ("/3/0/13", "1367491215", b"1367491215"),
        ("/3303/0/5605", "[]", None),
        ("/33333/0/1", "9223372036854775807", b"9223372036854775807"),
        ("/33333/0/1", "18446744073709551615", b"18446744073709551615"),
        ("/33333/0/1", '{"type":"unsigned","value":18446744073709551615}', b"18446744073709551615"),
        ("/33333/0/1", '{"type":"time","value":5}', b"5"),
        ("/33333/0/1", '{"type":"objlnk","value":"3:0"}', b"3:0"),
        ("/33333/0/1", '{"type":"opaque","value":"AQI="}', b"\x01\x02"),
        ("/33333/0/1", '{"value_b64":"AQI="}', b"\x01\x02"),
        ("/33333/0/1", "1.5", b"1.5"),
        ("/33333/0/1", '{"type":"float","value":2}', b"2"),
    ],
)
def test_TYP_02_json_value_becomes_what_its_definition_says(device_1_0, path, body, payload):
    headers = {"Content-Type": "application/json"}
    if payload is None:
        assert device_1_0.http("PUT", path, body, headers=headers).problem == "bad-body"
    else:
        request = device_1_0.write("PUT", path, body, PUT, headers=headers)
        assert request.payload == payload
        assert format_of(request) == (OPAQUE if payload == b"\x01\x02" else TEXT)


def test_body_without_content_type_is_text_for_a_resource_and_JSON_else(device_1_0):
    assert device_1_0.write("PUT", "/3/0/14", b"+01", PUT).payload == b"+01"
    request = device_1_0.write("PATCH", "/1/0", b'{"resources":{"1":60}}', POST)
    assert (format_of(request), request.payload) == (TLV, bytes.fromhex("c1013c"))


def test_DM_09_format_is_chosen_by_version_and_announcement(play):
    for version, formats, expected in [("1.0", (), TEXT), ("1.1", (), TLV), ("1.1", (112,), SENML_CBOR), ("1.2", (11544,), LWM2M_CBOR)]:
        device = play(f"dev{version}{formats}", version=version, links=announce(*formats) if formats else LINKS)
        assert format_of(device.write("PUT", "/1/0/1", {"value": 300}, PUT)) == expected


def test_TYP_06_time_is_written_as_text(device):
    request = device.write("PUT", "/3/0/13", {"value": 1367491215}, PUT)
    assert (format_of(request), request.payload) == (TEXT, b"1367491215")


def test_TYP_07_time_that_is_refused_with_4_00_is_told_in_the_other_way(play):
    device = play("dev1", version="1.1", links=announce(112))
    asked = device.ask("PATCH", "/3/0", {"resources": {"13": 5}})
    first = device.expect(POST, "/3/0")
    assert first.payload == bytes.fromhex("81a3") + first.payload[2:] and first.payload.endswith(b"\x02\x05")
    device.answer(first, "4.00")
    second = device.expect(POST, "/3/0")
    assert second.payload.endswith(b"\x02\xc1\x05")
    device.answer(second, "2.04")
    asked.answer(204)


def test_DM_08_refused_format_is_followed_by_the_next(play):
    device = play("dev1", version="1.1", links=announce(110, 112))
    asked = device.ask("PUT", "/1/0/1", {"value": 300})
    for expected in (SENML_CBOR, SENML_JSON, TLV):
        request = device.expect(PUT, "/1/0/1")
        assert format_of(request) == expected
        device.answer(request, "4.15")
    assert asked.answer(415).problem == "device-error"


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_OJ_R03_old_json_is_not_written_to_newer_clients_unless_forced(play, version):
    device = play("dev1", version=version, links=announce(11543))
    asked = device.ask("PATCH", "/3/0", {"resources": {"14": "+01"}})
    request = device.expect(POST, "/3/0")
    assert format_of(request) == TLV
    device.answer(request, "4.15")
    asked.answer(415)
    request = device.write("PATCH", "/3/0", {"resources": {"14": "+01"}}, POST, format="json")
    assert (format_of(request), request.payload) == (OMA_JSON, b'{"bn":"/3/0/","e":[{"n":"14","sv":"+01"}]}')


def test_opaque_is_written_from_octet_stream(device):
    request = device.write("PUT", "/5/0/0", b"\x00\xff", PUT, headers={"Content-Type": "application/octet-stream"}, format="opaque")
    assert (format_of(request), request.payload) == (OPAQUE, b"\x00\xff")
    request = device.write("PUT", "/5/0/0", b"\x00\xff", PUT, headers={"Content-Type": "application/octet-stream"})
    assert (format_of(request), request.payload) == (TLV, b"\xc2\x00\x00\xff")


def test_senml_json_is_a_form_and_the_device_gets_its_own_format(device):
    request = device.write("PUT", "/1/0/1", '[{"bn":"/1/0/1","v":300}]', PUT, headers={"Content-Type": "application/senml+json"})
    assert (format_of(request), request.payload) == (TLV, bytes.fromhex("c201012c"))


@pytest.mark.parametrize(
    ("type", "number"),
    [("application/vnd.oma.lwm2m+tlv", TLV), ("application/vnd.oma.lwm2m+json", OMA_JSON), ("application/senml+cbor", SENML_CBOR), ("application/cbor", CBOR), ("application/vnd.oma.lwm2m+cbor", LWM2M_CBOR)],
)
def test_other_formats_are_sent_as_they_are_when_forced(device, type, number):
    assert device.http("PUT", "/1/0/1", b"anything \xff", headers={"Content-Type": type}).status in (400, 422)
    request = device.write("PUT", "/1/0/1", b"anything \xff", PUT, headers={"Content-Type": type}, force=1)
    assert (format_of(request), request.payload) == (number, b"anything \xff")


def test_other_formats_are_translated_when_another_is_forced(device):
    tlv = {"Content-Type": "application/vnd.oma.lwm2m+tlv"}
    request = device.write("PUT", "/1/0/1", bytes.fromhex("c201012c"), PUT, headers=tlv, format="senml-json")
    assert (format_of(request), request.payload) == (SENML_JSON, b'[{"bn":"/1/0/1","v":300}]')
    assert device.http("PUT", "/1/0/1", b"\xc2", headers=tlv, format="senml-json").problem == "bad-body"


def test_unknown_media_type_is_415(device):
    answer = device.http("PUT", "/1/0/1", "300", headers={"Content-Type": "text/csv"})
    assert (answer.status, answer.problem) == (415, "unsupported-media-type")


def test_DM_13_resource_instance(device):
    request = device.write("PUT", "/16/0/0/1", {"value": "x"}, PUT)
    assert (format_of(request), request.payload) == (TLV, bytes.fromhex("410178"))


def test_DM_14_multiple_resource_is_replaced_with_PUT_and_added_to_with_POST(device):
    body = {"values": {"0": "a", "3": "b"}}
    put = device.write("PUT", "/16/0/0", body, PUT)
    post = device.write("PATCH", "/16/0/0", body, POST)
    assert put.payload == post.payload == bytes.fromhex("8600410061410362")
    assert format_of(put) == format_of(post) == TLV
    assert device.write("PUT", "/16/0/0", {"values": {}}, PUT).payload == bytes.fromhex("8000")


def test_DM_16_BLK_16_large_write_goes_in_blocks_of_the_size_that_the_device_takes(device):
    text = "0123456789abcdef" * 100
    asked = device.ask("PUT", "/3/0/15", {"value": text}, format="text")
    first = device.expect(PUT, "/3/0/15")
    assert first.one(BLOCK1) == block(0, True, 6)
    device.answer(first, "4.13", None, b"", (BLOCK1, block(0, True, 5)))
    body = b""
    for number in range(4):
        request = device.expect(PUT, "/3/0/15")
        assert (request.one(BLOCK1), format_of(request)) == (block(number, number < 3, 5), TEXT)
        body += request.payload
        device.answer(request, "2.31" if number < 3 else "2.04", None, b"", (BLOCK1, block(number, number < 3, 5)))
    asked.answer(204)
    assert body.decode() == text


# ---- Write of an instance ----


def test_DM_11_instance_is_replaced_with_M_28(device):
    body = {"resources": {"0": 1, "1": 86400, "6": True, "7": "U"}}
    assert is_vector(device.write("PUT", "/1/0", body, PUT), "M-28")


def test_DM_11_partial_update_is_M_29(device):
    request = device.write("PATCH", "/1/0", {"path": "/1/0", "resources": {"1": {"type": "integer", "value": 3600}}}, POST)
    assert (request.code, request.options) == (POST, Coap.decode(vector("M-29")).options)
    assert request.payload == bytes.fromhex("c2010e10")


def test_what_was_read_can_be_written(device):
    read = device.read("/1/0", TLV, bytes.fromhex("c10065c40100015180c10601c10755")).json
    assert device.write("PUT", "/1/0", read, PUT).payload == bytes.fromhex("c10065c40100015180c10601c10755")


def test_instance_without_resources_is_written(device):
    request = device.write("PUT", "/1/0", {"resources": {}}, PUT)
    assert (format_of(request), request.payload) == (TLV, b"")


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type"),
    [
        ("PUT", "/1/0", "text", "text/plain"),
        ("PATCH", "/1/0", "text", "text/plain"),
        ("PATCH", "/16/0/0", "text", "text/plain"),
        ("PATCH", "/1/0/1", "300", "application/json"),
        ("PATCH", "/16/0/0", b"\x01", "application/octet-stream"),
        ("PUT", "/1/0", b"\x01", "application/octet-stream"),
        ("PUT", "/1/0", "300", "application/json"),
        ("PUT", "/1/0", "{}", "application/json"),
        ("PUT", "/1/0", "", "application/json"),
    ],
)
def test_DM_12_what_would_be_another_operation_is_not_sent(device, method, path, body, content_type):
    answer = device.http(method, path, body, headers={"Content-Type": content_type})
    assert (answer.status, answer.problem) == (400, "bad-body")


@pytest.mark.parametrize(("method", "path"), [("PUT", "/1"), ("PATCH", "/1"), ("DELETE", "/1"), ("DELETE", "/1/0/1"), ("POST", "/1/0"), ("POST", "/16/0/0/0"), ("PATCH", "/16/0/0/0")])
def test_DM_12_DM_29_operations_that_there_are_not_are_405(device, method, path):
    answer = device.http(method, path, b"{}")
    assert (answer.status, answer.problem) == (405, "method-not-allowed")


def test_DM_29_the_root_is_not_deleted(berth, device):
    assert device.http("DELETE", "/").status == 404


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/1/0/1", '"abc"', "/1/0/1"),
        ("/1/0/1", "1.5", "integer"),
        ("/1/0/1", "true", "integer"),
        ("/1/0/6", "1", "boolean"),
        ("/3/0/9", "101", "range"),
        ("/3/0/9", "-1", "range"),
        ("/3/0/14", "5", "text"),
        ("/5/0/0", '"?"', "Base64"),
        ("/16/0/0", '"x"', "instances"),
        ("/1/0/1", '{"values":{"0":1}}', "single"),
        ("/16/0/0", '{"values":{"65535":"x"}}', "65534"),
        ("/16/0/0", '{"values":{"x":"x"}}', "65534"),
        ("/1/0/1", '{"type":"int","value":1}', "type"),
        ("/1/0/1", '{"type":"integer"}', "value"),
        ("/1/0/1", '{"value":1,"values":{}}', "value"),
        ("/1/0/1", '{"value":1,"x":2}', "members"),
        ("/1/0/1", "null", "null"),
        ("/1/0/1", "{", ""),
        ("/1/0/1", "1 2", ""),
        ("/1/0/1", "99999999999999999999", ""),
        ("/1/0", '{"resources":{"1":"x"}}', "/1/0/1"),
        ("/1/0", '{"resources":{"99999":1}}', "65534"),
        ("/1/0", '{"resources":[]}', "object"),
        ("/1/0", '{"resources":{"1":1,"1":2}}', ""),
        ("/1/0", '{"resources":{},"x":1}', "resources"),
    ],
)
def test_DM_15_value_that_does_not_fit_is_refused_with_its_place(device, path, body, says):
    answer = device.http("PUT", path, body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert says in answer.json["detail"], answer.json


def test_DM_15_value_that_does_not_fit_is_sent_when_forced(device):
    request = device.write("PUT", "/3/0/9", {"value": 101}, PUT, force=1)
    assert request.payload == bytes.fromhex("c10965")
    assert device.write("PUT", "/1/0/1", "abc", PUT, headers=TEXT_PLAIN, force=1).payload == b"abc"


@pytest.mark.parametrize("format", ["text", "opaque", "cbor", "senml-etch-json", "link"])
def test_format_without_a_place_there_is_refused(device_1_2, format):
    answer = device_1_2.http("PUT", "/1/0", {"resources": {"1": 5}}, format=format)
    assert (answer.status, answer.problem) == (422, "not-sent")
    answer = device_1_2.http("PUT", "/1/0", {"resources": {"1": 5}}, format=format, force=1)  # it cannot even be told
    assert (answer.status, answer.problem) == (400, "bad-body")


def test_format_that_is_not_known_is_refused(device_1_2):
    assert device_1_2.http("PUT", "/1/0", {"resources": {"1": 5}}, format="65000").problem == "bad-body"


def test_DM_45_error_of_the_device_arrives_as_itself(device):
    asked = device.ask("PUT", "/3/0/0", {"value": "x"})
    device.answer(device.expect(PUT, "/3/0/0"), "4.05", None, b"read-only")
    answer = asked.answer(405)
    assert (answer.problem, answer.json["coap_code"], answer.json["diagnostic"]) == ("device-error", "4.05", "read-only")
    assert answer.json["detail"] == "PUT /3/0/0 on dev1"


def test_DM_40_device_of_1_0_is_not_written_what_1_0_does_not_have(device_1_0):
    assert device_1_0.http("PUT", "/16/0/0/1", {"value": "x"}).problem == "not-sent"
    assert device_1_0.http("PATCH", "/16/0/0", {"values": {"0": "x"}}).problem == "not-sent"
    assert device_1_0.http("PUT", "/1/0/1", {"value": 1}, format="cbor").problem == "not-sent"
    assert device_1_0.http("DELETE", "/16/0/0/1").problem == "not-sent"


# ---- Create ----


def test_DM_24_create_with_an_id_is_M_32_and_the_registration_has_it(berth, device):
    body = {"instance": 5, "resources": {"0": 5, "2": {"values": {"102": 15}}, "3": 101}}
    asked = device.ask("POST", "/2", {"path": "/2", **body}, headers={"X": "y"})
    request = device.expect(POST, "/2")
    assert (request.code, format_of(request)) == (POST, TLV)
    assert request.payload[:2] == b"\x08\x05"
    device.answer(request, "2.01", None, b"", (LOCATION_PATH, b"2"), (LOCATION_PATH, b"5"))
    answer = asked.answer(201)
    assert (answer.headers["Location"], answer.headers["CoAP-Code"]) == ("/v1/devices/dev1/2/5", "2.01")
    assert "/2/5" in [entry["path"] for entry in berth.device("dev1")["objects"]]


def test_DM_24_create_without_location_path_has_the_id_that_was_given(device):
    asked = device.ask("POST", "/2", {"instance": 7, "resources": {"0": 5}})
    device.answer(device.expect(POST, "/2"), "2.01")
    assert asked.answer(201).headers["Location"] == "/v1/devices/dev1/2/7"


def test_DM_25_create_without_id_is_TLV_without_the_instance(berth, device):
    asked = device.ask("POST", "/2", {"resources": {"0": 5, "3": 101}})
    request = device.expect(POST, "/2")
    assert (format_of(request), request.payload) == (TLV, bytes.fromhex("c10005c10365"))
    device.answer(request, "2.01", None, b"", (LOCATION_PATH, b"2"), (LOCATION_PATH, b"9"))
    assert asked.answer(201).headers["Location"] == "/v1/devices/dev1/2/9"
    assert "/2/9" in [entry["path"] for entry in berth.device("dev1")["objects"]]


def test_DM_25_create_without_id_and_location_path_has_no_location(device):
    asked = device.ask("POST", "/2", {"resources": {"0": 5}})
    device.answer(device.expect(POST, "/2"), "2.01")
    assert asked.answer(201).headers["Location"] is None


def test_DM_25_location_path_below_the_alternate_path(play):
    device = play("dev 1/ü", links='</lwm2m>;rt="oma.lwm2m",</lwm2m/2/0>')
    asked = device.ask("POST", "/2", {"resources": {"0": 5}})
    device.answer(device.expect(POST, "/lwm2m/2"), "2.01", None, b"", *((LOCATION_PATH, part) for part in (b"lwm2m", b"2", b"3")))
    assert asked.answer(201).headers["Location"] == "/v1/devices/dev%201%2F%C3%BC/2/3"
    shown = device.berth.device("dev 1/ü")
    assert "/2/3" in [entry["path"] for entry in shown["objects"]] and shown["root_path"] == "/lwm2m"


def test_DM_25_senml_cannot_tell_an_instance_without_id(device):
    assert device.http("POST", "/2", {"resources": {"0": 5}}, format="senml-json").problem == "bad-body"


def test_several_instances_are_created_in_one_request(berth, device):
    asked = device.ask("POST", "/2", {"instances": {"1": {"resources": {"0": 1}}, "2": {"resources": {"0": 2}}}})
    request = device.expect(POST, "/2")
    assert request.payload == bytes.fromhex("0301c100010302c10002")
    device.answer(request, "2.01")
    assert asked.answer(201).headers["Location"] is None
    paths = [entry["path"] for entry in berth.device("dev1")["objects"]]
    assert "/2/1" in paths and "/2/2" in paths


@pytest.mark.parametrize("body", [{"instance": 5, "resources": {}}, {"instances": {"5": {"resources": {}}, "6": {"resources": {"0": 1}}}}])
def test_DM_24_instance_without_resources_is_told_in_TLV_only(play, body):
    device = play("dev1", version="1.2", links='</>;ct="112 11544",</2/0>')
    for format in ("senml-cbor", "senml-json", "lwm2m-cbor"):
        assert device.http("POST", "/2", body, format=format).problem == "bad-body"
    asked = device.ask("POST", "/2", body)
    request = device.expect(POST, "/2")
    assert (format_of(request), request.payload) == (TLV, bytes.fromhex("0005" if "instance" in body else "00050306c10001"))
    device.answer(request, "2.01")
    asked.answer(201)
    assert "/2/5" in [entry["path"] for entry in device.berth.device("dev1")["objects"]]


def test_DM_27_object_with_one_instance_says_4_05(device):
    asked = device.ask("POST", "/3", {"resources": {"0": "x"}})
    device.answer(device.expect(POST, "/3"), "4.05")
    assert asked.answer(405).json["coap_code"] == "4.05"


@pytest.mark.parametrize("body", ["{}", "5", '{"instance":65535,"resources":{}}', '{"instance":1,"instances":{}}', '{"instances":{}}', '{"resources":{},"instances":{}}'])
def test_malformed_create_is_400(device, body):
    answer = device.http("POST", "/2", body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.problem) == (400, "bad-body")


# ---- Delete ----


def test_DM_28_delete_is_M_34_and_the_registration_loses_it(berth, play):
    device = play("dev1", links="</2/5>,</2/6>,</3/0>")
    request = device.write("DELETE", "/2/5", None, DELETE, "2.02")
    assert is_vector(request, "M-34")
    paths = [entry["path"] for entry in berth.device("dev1")["objects"]]
    assert "/2/5" not in paths and "/2/6" in paths


def test_DM_28_refused_delete_changes_nothing(berth, device):
    asked = device.ask("DELETE", "/3/0")
    device.answer(device.expect(DELETE, "/3/0"), "4.05")
    asked.answer(405)
    assert "/3/0" in [entry["path"] for entry in berth.device("dev1")["objects"]]


def test_resource_instance_is_deleted(device):
    request = device.write("DELETE", "/16/0/0/1", None, DELETE, "2.02")
    assert request.payload == b""


# ---- Execute ----


def test_DM_20_execute_without_arguments_is_M_30(device):
    assert is_vector(device.write("POST", "/3/0/4", None, POST), "M-30")


@pytest.mark.parametrize(("body", "headers"), [("0='abc',1,7='x'", TEXT_PLAIN), (b"0='abc',1,7='x'", None), ({"args": "0='abc',1,7='x'"}, None), (b'{"args":"0=\'abc\',1,7=\'x\'"}', None)])
def test_DM_21_execute_with_arguments_is_M_31(device, body, headers):
    assert is_vector(device.write("POST", "/13/0/5", body, POST, headers=headers), "M-31")


@pytest.mark.parametrize("args", ["5", "2='10.3'", "7,0='http://h'", "0,1,2,3,4"])
def test_DM_21_legal_arguments_are_sent(device, args):
    assert device.write("POST", "/3/0/4", args, POST, headers=TEXT_PLAIN).payload == args.encode()


@pytest.mark.parametrize("args", ["10", "1=a", "1='a", "1,1", "=", "0='a b'", "0='\\'", "ü", "0,"])
def test_DM_21_illegal_arguments_are_not_sent_unless_forced(device, args):
    answer = device.http("POST", "/3/0/4", args.encode(), headers=TEXT_PLAIN)
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert device.write("POST", "/3/0/4", args.encode(), POST, headers=TEXT_PLAIN, force=1).payload == args.encode()


def test_DM_21_bodies_that_are_no_arguments_are_refused(device):
    assert device.http("POST", "/3/0/4", {"arg": "1"}).problem == "bad-body"
    assert device.http("POST", "/3/0/4", {"args": 1}).problem == "bad-body"
    assert device.http("POST", "/3/0/4", b"\x01", headers={"Content-Type": "application/octet-stream"}).status == 415


def test_DM_23_execute_that_is_answered_separately(device):
    asked = device.ask("POST", "/3/0/4")
    request = device.expect(POST, "/3/0/4")
    device.acknowledge(request)
    device.answer_separately(request, "2.04", TEXT)
    assert asked.answer(204).headers["CoAP-Code"] == "2.04"


# ---- Discover ----


def test_DM_30_discover_is_M_17_and_its_answer_M_19(device):
    asked = device.ask("GET", "/3/discover")
    request = device.expect(GET, "/3")
    assert is_vector(request, "M-17")
    device.answer(request, "2.05", LINK, Coap.decode(vector("M-19")).payload)
    answer = asked.answer(200)
    assert answer.headers["CoAP-Code"] == "2.05"
    assert answer.json == {
        "path": "/3",
        "links": [
            {"path": "/3", "attributes": {"pmin": "10"}},
            {"path": "/3/0", "attributes": {}},
            {"path": "/3/0/0", "attributes": {}},
            {"path": "/3/0/6", "attributes": {"dim": "2"}},
        ],
    }


def test_DM_30_discover_with_depth_is_M_18(device_1_2):
    asked = device_1_2.ask("GET", "/3/discover", depth=0)
    request = device_1_2.expect(GET, "/3")
    assert is_vector(request, "M-18")
    device_1_2.answer(request, "2.05", LINK, b"</3>")
    asked.answer(200)


def test_DM_31_depth_is_sent_to_1_2_only_unless_forced(device):
    assert device.http("GET", "/3/discover", depth=1).problem == "not-sent"
    asked = device.ask("GET", "/3/discover", depth=1, force=1)
    request = device.expect(GET, "/3")
    assert query_of(request) == ["depth=1"]
    device.answer(request, "2.05", LINK, b"</3>")
    asked.answer(200)
    assert device.http("GET", "/3/discover", depth=4).problem == "bad-parameter"


def test_LNK_18_discover_below_an_alternate_path(play):
    device = play("dev1", links='</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>')
    asked = device.ask("GET", "/3/0/discover")
    device.answer(device.expect(GET, "/lwm2m/3/0"), "2.05", LINK, b"</lwm2m/3/0>,</lwm2m/3/0/1>")
    assert [link["path"] for link in asked.answer(200).json["links"]] == ["/3/0", "/3/0/1"]


def test_discover_as_link_format_is_the_payload_as_it_came(device):
    asked = device.ask("GET", "/3/0/discover", headers={"Accept": "application/link-format"})
    device.answer(device.expect(GET, "/3/0"), "2.05", LINK, b"</3/0>, garbage")
    answer = asked.answer(200)
    assert (answer.headers["Content-Type"], answer.body) == ("application/link-format", b"</3/0>, garbage")


@pytest.mark.parametrize(("format", "payload"), [(LINK, b"</3/0>,<<"), (TLV, b"</3/0>")])
def test_answer_that_is_no_list_of_links_is_502(device, format, payload):
    asked = device.ask("GET", "/3/0/discover")
    device.answer(device.expect(GET, "/3/0"), "2.05", format, payload)
    assert asked.answer(502).problem == "undecodable-answer"


# ---- Write-Attributes ----

JSON = {"Content-Type": "application/json"}


def attributes(device, path, body, **query):
    return attributes_and_warning(device, path, body, **query)[0]


def attributes_and_warning(device, path, body, **query):
    asked = device.ask("PUT", f"{path}/attributes", body, headers=JSON, **query)
    request = device.expect(PUT, path)
    device.answer(request, "2.04")
    return request, asked.answer(204).headers["Berth-Warning"]


def test_DM_17_attributes_are_sent_in_the_order_given_as_M_35(device):
    request = attributes(device, "/3/0/9", '{"pmin":10,"pmax":60,"gt":50.5,"lt":20,"st":1}')
    assert query_of(request) == ["pmin=10", "pmax=60", "gt=50.5", "lt=20", "st=1"]
    assert is_vector(request, "M-35")


def test_DM_18_null_unsets_as_M_36(device):
    assert is_vector(attributes(device, "/3/0/9", '{"pmin":null}'), "M-36")


def test_ATT_01_every_attribute_can_be_sent(device_1_2):
    request = attributes(device_1_2, "/33333/0/1", '{"pmin":1,"pmax":2,"epmin":3,"epmax":4,"hqmax":5,"gt":-6.5,"lt":-7e1,"st":0.5,"edge":true,"con":0}')
    assert query_of(request) == ["pmin=1", "pmax=2", "epmin=3", "epmax=4", "hqmax=5", "gt=-6.5", "lt=-70", "st=0.5", "edge=1", "con=0"]


@pytest.mark.parametrize("path", ["/3", "/3/0", "/3/0/7", "/3/0/7/0"])
def test_ATT_02_attributes_of_time_go_on_every_level(device, path):
    assert query_of(attributes(device, path, '{"pmin":1,"epmin":5}')) == ["pmin=1", "epmin=5"]


@pytest.mark.parametrize(("path", "body"), [("/3", '{"gt":1}'), ("/3/0", '{"lt":1}'), ("/3/0", '{"st":1}'), ("/3/0/0", '{"gt":1}'), ("/1/0", '{"edge":1}'), ("/3/0/9", '{"edge":1}')])
def test_ATT_02_attributes_on_a_level_or_type_that_does_not_have_them_are_refused(device_1_2, path, body):
    answer = device_1_2.http("PUT", f"{path}/attributes", body, headers=JSON)
    assert (answer.status, answer.problem) == (400, "bad-body")
    attributes(device_1_2, path, body, force=1)


@pytest.mark.parametrize("body", ['{"gt":5,"lt":5}', '{"lt":6,"gt":5}', '{"lt":1,"gt":5,"st":2}', '{"epmin":5,"epmax":5}'])
def test_ATT_03_contradictions_are_refused(device, body):
    assert device.http("PUT", "/3/0/9/attributes", body, headers=JSON).problem == "bad-body"
    attributes(device, "/3/0/9", body, force=1)


def test_ATT_04_pmax_less_than_pmin_is_sent_with_a_warning(device):
    request, warning = attributes_and_warning(device, "/3/0/9", '{"pmin":60,"pmax":10}')
    assert query_of(request) == ["pmin=60", "pmax=10"]
    assert warning == "pmax is less than pmin, and is ignored then"


@pytest.mark.parametrize(
    ("body", "query", "warning"),
    [
        ('{"gt":-6.5}', ["gt=-6.5"], "gt is negative, which the standard has no form for"),
        ('{"st":1e-3}', ["st=0.001"], "st was sent without its exponent, which the standard has no form for"),
        ('{"lt":-9,"gt":-8}', ["lt=-9", "gt=-8"], "lt is negative, which the standard has no form for; gt is negative, which the standard has no form for"),
    ],
)
def test_ATT_05_thresholds_that_the_grammar_does_not_have_are_sent_with_a_warning(device, body, query, warning):
    request, told = attributes_and_warning(device, "/33333/0/1", body)
    assert (query_of(request), told) == (query, warning)


@pytest.mark.parametrize("body", ['{"pmin":10,"pmax":10}', '{"pmin":10,"pmax":0}', '{"pmin":10,"pmax":null}', '{"pmax":1}', '{"gt":0,"st":0.5}'])
def test_ATT_04_ATT_05_what_is_not_doubtful_has_no_warning(device, body):
    assert attributes_and_warning(device, "/33333/0/1", body)[1] is None


@pytest.mark.parametrize("code", ["4.00", "4.02"])
@pytest.mark.parametrize(("version", "newer"), [("1.0", ["epmin", "edge"]), ("1.1", ["edge"]), ("1.2", None)])
def test_ATT_06_problem_tells_which_attributes_came_after_the_version_of_the_device(play, version, newer, code):
    device = play("dev1", version=version)
    asked = device.ask("PUT", "/33333/0/1/attributes", '{"pmin":1,"epmin":1,"edge":1}', headers=JSON, force=1)
    device.answer(device.expect(PUT, "/33333/0/1"), code)
    problem = asked.answer().json
    assert (problem["coap_code"], problem.get("newer_attributes")) == (code, newer)
    assert ("came after" in problem["detail"]) == (newer is not None)


def test_ATT_06_other_errors_say_nothing_of_attributes(play):
    device = play("dev1", version="1.0")
    asked = device.ask("PUT", "/33333/0/1/attributes", '{"edge":1}', headers=JSON, force=1)
    device.answer(device.expect(PUT, "/33333/0/1"), "4.04")
    assert "newer_attributes" not in asked.answer(404).json


def test_ATT_10_attributes_go_in_one_request_on_the_exact_path(device):
    request = attributes(device, "/3/0/7/0", '{"pmin":1,"pmax":9,"gt":5,"lt":2}')
    assert query_of(request) == ["pmin=1", "pmax=9", "gt=5", "lt=2"]
    device.peer.expect_silence()


@pytest.mark.parametrize(("version", "body"), [("1.0", '{"epmin":1}'), ("1.0", '{"con":1}'), ("1.1", '{"con":1}'), ("1.1", '{"hqmax":1}'), ("1.1", '{"edge":null}')])
def test_ATT_06_attributes_that_the_version_does_not_have_are_refused(play, version, body):
    device = play("dev1", version=version)
    assert device.http("PUT", "/33333/0/1/attributes", body, headers=JSON).problem == "not-sent"
    attributes(device, "/33333/0/1", body, force=1)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"pmin":-1}', '{"pmin":1.5}', '{"pmin":true}', '{"pmin":"x"}', '{"pmin":{}}', '{"gt":"x"}', '{"gt":true}', '{"con":2}', '{"dim":1}', '{"pmin":1,"pmin":2}', '{"pmin":1', '{"pmin":1} x', '{"pmin":4294967296}', '{"gt":""}'])
def test_DM_19_ATT_01_malformed_attributes_are_400(device, body):
    answer = device.http("PUT", "/33333/0/1/attributes", body, headers=JSON, force=1)
    assert (answer.status, answer.problem) == (400, "bad-body")


# ---- what came with LwM2M 1.2 ----


@pytest.mark.parametrize(
    ("path", "body", "payload"),
    [
        ("/1/0/22", {"value": "U"}, "c11655"),
        ("/1/0/25", {"values": {"0": "1.1", "1": "1.2"}}, "88190a4300312e314301312e32"),
        ("/1/0/26", {"value": 1}, "c11a01"),
        ("/1/0/27", {"value": 2}, "c11b02"),
    ],
)
def test_P12_10_new_resources_of_the_server_object_are_plain_resources(device_1_2, path, body, payload):
    request = device_1_2.write("PUT", path, body, PUT, format="tlv")
    assert (request.payload.hex(), format_of(request)) == (payload, TLV)
    shown = device_1_2.read(path, TLV, request.payload).json
    assert {name: shown[name] for name in body} == body, shown


def test_P12_10_value_that_does_not_fit_is_refused(device_1_2):
    for path, body in (("/1/0/22", 5), ("/1/0/25", {"value": "1.2"}), ("/1/0/26", 2), ("/1/0/27", 256)):
        assert device_1_2.http("PUT", path, {"value": body} if not isinstance(body, dict) else body).problem == "bad-body"


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "expected"),
    [
        ("GET", "/3/discover", None, {"depth": 3}, GET),
        ("GET", "/3/0", None, {"format": "lwm2m-cbor"}, GET),
        ("PUT", "/3/0/9/attributes", {"con": 1, "hqmax": 5}, {}, PUT),
        ("PUT", "/33333/0/1/attributes", {"edge": 0}, {}, PUT),
        ("POST", "/composite/read", {"paths": ["/3"]}, {"format": "senml-etch-json"}, FETCH),
        ("POST", "/composite/write", {"/16/0/0/1": None}, {"format": "senml-etch-cbor"}, IPATCH),
    ],
)
def test_P12_09_what_came_with_1_2_goes_to_1_2_and_to_others_when_forced(play, method, path, body, query, expected):
    for version, forced in (("1.2", {}), ("1.1", {"force": 1})):
        device = play("dev" + version, version=version, links=LINKS)
        if forced:
            assert device.http(method, path, body, **query).problem == "not-sent"
        asked = device.ask(method, path, body, **query, **forced)
        request = device.peer.receive()
        assert request.code == expected
        device.answer(request, "4.04")
        asked.answer(404)


# ---- against the reference device ----


def test_reference_device_is_written_executed_and_discovered(berth, start_device):
    device = start_device("--server", berth.listen[0], "--endpoint", "ref")
    device.line("Device ID:", partly=True)
    at = "/v1/devices/ref"
    assert berth.http("PUT", f"{at}/3/0/14", "+02:00", TEXT_PLAIN).status == 204
    assert berth.get(f"{at}/3/0/14")["value"] == "+02:00"
    assert berth.http("PATCH", f"{at}/1/0", {"resources": {"6": False}}).status == 204
    assert berth.get(f"{at}/1/0/6")["value"] is False
    assert berth.http("PUT", f"{at}/3/0/0", "x", TEXT_PLAIN).json["coap_code"] == "4.05"
    links = [link["path"] for link in berth.get(f"{at}/3/0/discover")["links"]]
    assert "/3/0/0" in links and "/3/0/4" in links
    after = berth.last_event()
    assert berth.http("POST", f"{at}/1/0/8").status == 204
    berth.await_event("updated", "ref", after)
    assert berth.http("DELETE", f"{at}/3/0").json["coap_code"] == "4.05"
