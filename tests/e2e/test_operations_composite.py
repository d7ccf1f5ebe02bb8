"""Read-Composite and Write-Composite."""

import pytest
from coapraw import FETCH, IPATCH, Coap
from played_device import ETCH_CBOR, ETCH_JSON, LWM2M_CBOR, SENML_CBOR, SENML_JSON, TLV, accept_of, format_of, play, query_of
from vectors import vector

pytestmark = pytest.mark.transports

PATHS = {"paths": ["/3/0/0", "/1/0/1"]}


@pytest.fixture
def device(play):
    return play("dev1", version="1.1")


@pytest.fixture
def device_1_2(play):
    return play("dev1", version="1.2")


def fetched(device, body=PATHS, payload=b"[]", format=SENML_JSON, status=200, **query):
    asked = device.ask("POST", "/composite/read", body, **query)
    request = device.expect(FETCH, "/")
    device.answer(request, "2.05", format, payload)
    return request, asked.answer(status)


def test_DM_32_read_composite_is_M_37(device):
    request, _ = fetched_as(device, "senml-json")
    expected = Coap.decode(vector("M-37"))
    assert (request.options, request.payload) == (expected.options, expected.payload)


def fetched_as(device, name, **kwargs):
    asked = device.ask("POST", "/composite/read", PATHS, format=name, **kwargs)
    request = device.expect(FETCH, "/")
    device.answer(request, "2.05", SENML_JSON, b"[]")
    return request, asked.answer(200)


@pytest.mark.parametrize(
    ("name", "content", "accept"),
    [("senml-cbor", SENML_CBOR, SENML_CBOR), ("senml-json", SENML_JSON, SENML_JSON), ("lwm2m-cbor", SENML_CBOR, LWM2M_CBOR), ("senml-etch-cbor", ETCH_CBOR, SENML_CBOR), ("senml-etch-json", ETCH_JSON, SENML_JSON)],
)
def test_DM_33_DM_34_formats_and_path(device_1_2, name, content, accept):
    request, _ = fetched_as(device_1_2, name)
    assert (format_of(request), accept_of(request), query_of(request)) == (content, accept, [])


def test_DM_33_json_is_used_when_only_it_was_announced(play):
    device = play("dev1", version="1.1", links='</>;rt="oma.lwm2m";ct="110",</3/0>')
    request, _ = fetched(device)
    assert (format_of(request), accept_of(request)) == (SENML_JSON, SENML_JSON)


def test_DM_34_alternate_path_is_the_only_path(play):
    device = play("dev1", version="1.1", links='</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>')
    asked = device.ask("POST", "/composite/read", PATHS, format="senml-json")
    request = device.expect(FETCH, "/lwm2m")
    device.answer(request, "2.05", SENML_JSON, b'[{"bn":"/lwm2m/3/0/0","vs":"x"}]')
    assert asked.answer(200).json == {"resources": {"/3/0/0": {"type": "string", "value": "x"}}}


def test_DM_32_SML_R20_answer_may_have_any_part_in_any_order(device):
    payload = b'[{"n":"/3/0/7/1","v":5000},{"n":"/1/0/1","v":300},{"n":"/3/0/7/0","v":3800}]'
    _, answer = fetched(device, {"paths": ["/1/0/1", "/3/0/0", "/3/0/7"]}, payload)
    assert answer.headers["CoAP-Code"] == "2.05"
    assert answer.json["resources"] == {
        "/1/0/1": {"type": "integer", "value": 300},
        "/3/0/7": {"type": "integer", "values": {"0": 3800, "1": 5000}},
    }


@pytest.mark.parametrize(("format", "payload"), [(SENML_JSON, b"[]"), (SENML_CBOR, b"\x80"), (LWM2M_CBOR, b"\xa0")])
def test_DM_32_empty_answer_is_success(device, format, payload):
    _, answer = fetched(device, PATHS, payload, format)
    assert answer.json["resources"] == {}


def test_names_and_forms(device):
    _, answer = fetched(device, PATHS, b'[{"n":"/3/0/9","v":1}]', names=1)
    assert answer.json["resources"]["/3/0/9"]["name"] == "Battery Level"


def test_DM_07_undecodable_answer_is_502(device):
    _, answer = fetched(device, PATHS, b"\xc1\x00", TLV, 502)
    assert answer.problem == "undecodable-answer"


def test_DM_08_refused_format_is_followed_by_the_next(device):
    asked = device.ask("POST", "/composite/read", PATHS)
    first = device.expect(FETCH, "/")
    assert format_of(first) == SENML_CBOR
    device.answer(first, "4.15")
    second = device.expect(FETCH, "/")
    assert format_of(second) == SENML_JSON
    device.answer(second, "4.05")
    assert asked.answer(405).json["coap_code"] == "4.05"


def test_DM_38_device_that_only_acknowledges_times_out(berth, device):
    asked = device.ask("POST", "/composite/read", PATHS)
    device.acknowledge(device.expect(FETCH, "/"))
    device.peer.ping()
    berth.leap("247s")
    assert asked.answer(504).json["outcome"] == "no-response"


def test_DM_36_write_composite_is_iPATCH_of_the_root(device):
    asked = device.ask("POST", "/composite/write", {"/1/0/2": 10}, format="senml-cbor", force=1)
    request = device.expect(IPATCH, "/")
    assert format_of(request) == SENML_CBOR
    assert request.payload == bytes.fromhex("81a200662f312f302f32020a")
    device.answer(request, "2.04")
    assert asked.answer(204).headers["CoAP-Code"] == "2.04"


def test_DM_36_values_of_several_objects(device):
    asked = device.ask("POST", "/composite/write", {"/3/0/14": "+01:00", "/1/0": {"resources": {"1": 60}}}, format="senml-json")
    request = device.expect(IPATCH, "/")
    assert request.payload == b'[{"n":"/3/0/14","vs":"+01:00"},{"n":"/1/0/1","v":60}]'
    assert accept_of(request) is None and query_of(request) == []
    device.answer(request, "4.00")
    assert asked.answer(400).json["coap_code"] == "4.00"


def test_DM_37_null_is_not_sent_before_1_2(device):
    assert device.http("POST", "/composite/write", {"/16/0/0/1": None}).problem == "not-sent"


@pytest.mark.parametrize("format", ["senml-json", "senml-cbor", "lwm2m-cbor"])
def test_DM_37_null_is_refused_in_a_format_that_cannot_tell_it(device_1_2, format):
    answer = device_1_2.http("POST", "/composite/write", {"/16/0/0/1": None}, format=format)
    assert (answer.status, answer.problem) == (400, "bad-body")


def test_DM_37_null_is_told_in_senml_etch(device_1_2):
    asked = device_1_2.ask("POST", "/composite/write", {"/16/0/0/1": None})
    request = device_1_2.expect(IPATCH, "/")
    assert (format_of(request), request.payload[-1:]) == (ETCH_CBOR, b"\xf6")
    device_1_2.answer(request, "2.04")
    asked.answer(204)


def test_raw_bodies_are_sent_as_they_are_when_forced(device):
    headers = {"Content-Type": "application/senml+cbor"}
    assert device.http("POST", "/composite/write", b"\x81\x00", headers=headers).problem == "bad-body"
    asked = device.ask("POST", "/composite/write", b"\x81\x00", headers=headers, force=1)
    request = device.expect(IPATCH, "/")
    assert (format_of(request), request.payload) == (SENML_CBOR, b"\x81\x00")
    device.answer(request, "4.00")
    asked.answer(400)


def test_DM_40_device_of_1_0_gets_no_composite_operations(play):
    device = play("dev1", version="1.0")
    assert device.http("POST", "/composite/read", PATHS).problem == "not-sent"
    assert device.http("POST", "/composite/write", {"/1/0/1": 5}).problem == "not-sent"
    asked = device.ask("POST", "/composite/read", PATHS, force=1)
    device.answer(device.expect(FETCH, "/"), "4.05")
    asked.answer(405)


@pytest.mark.parametrize("body", [{}, {"paths": []}, {"paths": "/3"}, {"paths": [3]}, {"paths": ["3x"]}, {"paths": [""]}, {"paths": ["/3/65535"]}, {"paths": ["/3"], "x": 1}])
def test_malformed_paths_are_400(device, body):
    answer = device.http("POST", "/composite/read", body)
    assert (answer.status, answer.problem) == (400, "bad-body")


@pytest.mark.parametrize("force", [0, 1])
@pytest.mark.parametrize(("call", "body", "formats"), [("read", PATHS, ["text", "cbor", "tlv", "json", "link"]), ("observe", PATHS, ["text", "opaque", "tlv"]), ("write", {"/1/0/1": 5}, ["text", "cbor", "tlv", "json", "link"])])
def test_format_without_a_place_in_a_composite_operation_is_refused(device, call, body, formats, force):
    for format in formats:
        answer = device.http("POST", f"/composite/{call}", body, format=format, force=force)
        assert (answer.status, answer.problem) == (422, "not-sent"), format


@pytest.mark.parametrize("body", ["[]", "{", '{"/3":1}', '{"x":1}', '{"/1/0/1":"x"}', '{"/1/0/1":1,"/1/0/1":2}', "5"])
def test_malformed_values_are_400(device, body):
    answer = device.http("POST", "/composite/write", body, headers={"Content-Type": "application/json"})
    assert (answer.status, answer.problem) == (400, "bad-body")


def test_DM_39_objects_of_the_bootstrap_server_are_not_among_them(device):
    assert device.http("POST", "/composite/read", {"paths": ["/3/0", "/0/0"]}).problem == "not-sent"
    assert device.http("POST", "/composite/write", {"/0/0/0": "coap://x"}).problem == "not-sent"


def test_device_that_is_not_registered_is_404(berth):
    assert berth.http("POST", "/v1/devices/x/composite/read", PATHS).problem == "not-registered"
    assert berth.http("POST", "/v1/devices/x/composite/write", {"/1/0/1": 5}).problem == "not-registered"
