"""What a device was seen to take and to refuse is remembered for as long as it is registered."""

import pytest
from coapraw import FETCH, GET, IPATCH, POST, PUT
from played_device import LWM2M_CBOR, SENML_CBOR, SENML_JSON, TEXT, TLV, accept_of, format_of, play

pytestmark = pytest.mark.transports

LINKS = '</>;rt="oma.lwm2m";ct="110 112",</1/0>,</3/0>,</2>'
PATHS = {"paths": ["/3/0/0"]}


@pytest.fixture
def device(play):
    return play("dev1", version="1.1", links=LINKS)


def read(device, *answers, path="/3/0/9", **query):
    """The Accepts of one Read whose answers are these codes; 2.05 comes with TLV."""
    asked, accepts = device.ask("GET", path, **query), []
    for code in answers:
        request = device.expect(GET, path)
        accepts.append(accept_of(request))
        device.answer(request, code, TLV if code == "2.05" else None, b"\xc1\x09\x5f" if code == "2.05" else b"")
    asked.answer()
    return accepts


def write(device, *answers, method="PUT", path="/1/0/1", body=300, **query):
    asked, formats = device.ask(method, path, {"value": body}, **query), []
    for code in answers:
        request = device.expect(PUT, path)
        formats.append(format_of(request))
        device.answer(request, code)
    asked.answer()
    return formats


def register_again(device):
    device.berth.register("dev1", version="1.1", links=LINKS, peer=device.peer)


def test_DM_08_DM_09_format_that_was_taken_after_a_refusal_comes_first_the_next_time(device):
    assert read(device, "4.06", "4.06", "2.05") == [SENML_CBOR, SENML_JSON, TLV]
    assert read(device, "2.05") == [TLV]
    assert read(device, "2.05", path="/3/0") == [TLV]


def test_DM_08_what_was_learned_may_be_refused_later(device):
    assert read(device, "4.06", "4.06", "2.05") == [SENML_CBOR, SENML_JSON, TLV]
    assert read(device, "4.15", "2.05") == [TLV, SENML_CBOR]
    assert read(device, "2.05") == [SENML_CBOR]


def test_DM_08_what_was_refused_to_the_end_teaches_nothing(device):
    assert read(device, "4.06", "4.06", "4.06", "4.06") == [SENML_CBOR, SENML_JSON, TLV, None]
    assert read(device, "4.06", "4.04") == [SENML_CBOR, SENML_JSON]
    assert read(device, "2.05") == [SENML_CBOR]


def test_DM_08_no_format_at_all_is_learned_too(device):
    read(device, "4.06", "4.06", "4.06", "2.05")
    assert read(device, "2.05") == [None]


def test_DM_09_format_that_was_forced_teaches_nothing(device):
    assert read(device, "2.05", format="tlv") == [TLV]
    assert read(device, "2.05") == [SENML_CBOR]


def test_DM_09_a_new_registration_begins_anew(device):
    read(device, "4.06", "2.05")
    write(device, "4.15", "2.04")
    device.registered.update()
    assert read(device, "2.05") == [SENML_JSON]
    register_again(device)
    assert read(device, "2.05") == [SENML_CBOR]
    assert write(device, "2.04") == [SENML_CBOR]


def test_DM_08_DM_09_writes_learn_by_themselves(device):
    assert write(device, "4.15", "4.06", "2.04") == [SENML_CBOR, SENML_JSON, TLV]
    assert write(device, "2.04") == [TLV]
    assert read(device, "2.05") == [SENML_CBOR]


def test_DM_09_what_was_learned_goes_where_it_can_go(play):
    device = play("dev1", version="1.0")
    assert read(device, "4.06", "2.05") == [TEXT, TLV]
    assert read(device, "2.05") == [TLV]
    asked = device.ask("GET", "/5/0/0")
    request = device.expect(GET, "/5/0/0")
    assert accept_of(request) == TLV
    device.answer(request, "4.04")
    asked.answer(404)


def test_DM_25_DM_26_instance_without_an_id_goes_in_TLV_whatever_was_learned(play):
    device = play("dev1", version="1.2", links='</>;rt="oma.lwm2m";ct="110 11544",</1/0>,</3/0>,</33333>')
    assert write(device, "4.15", "4.15", "2.04") == [LWM2M_CBOR, SENML_JSON, TLV]
    assert write(device, "4.15", "2.04") == [TLV, LWM2M_CBOR]
    asked = device.ask("POST", "/33333", {"resources": {"1": {"type": "string", "value": "x"}}})
    request = device.expect(POST, "/33333")
    assert (format_of(request), request.payload) == (TLV, bytes.fromhex("c10178"))
    device.answer(request, "2.01")
    asked.answer(201)


def test_DM_26_instance_with_an_id_goes_in_LwM2M_CBOR_and_without_one_only_when_TLV_is_refused(play):
    device = play("dev1", version="1.2", links='</>;rt="oma.lwm2m";ct="11544",</1/0>,</3/0>,</33333>')
    resources = {"1": {"type": "string", "value": "x"}}
    asked = device.ask("POST", "/33333", {"instance": 5, "resources": resources})
    request = device.expect(POST, "/33333")
    assert (format_of(request), request.payload) == (LWM2M_CBOR, bytes.fromhex("a1198235a105a1016178"))
    device.answer(request, "2.01")
    asked.answer(201)
    asked = device.ask("POST", "/33333", {"resources": resources})
    device.answer(device.expect(POST, "/33333"), "4.15")
    request = device.expect(POST, "/33333")
    assert (format_of(request), request.payload) == (LWM2M_CBOR, bytes.fromhex("a18219823519ffffa1016178"))
    device.answer(request, "2.01")
    asked.answer(201)


# ---- composite operations ----


def fetch(device, *answers, **query):
    asked, formats = device.ask("POST", "/composite/read", PATHS, **query), []
    for code in answers:
        request = device.expect(FETCH, "/")
        formats.append(format_of(request))
        device.answer(request, code, SENML_JSON if code == "2.05" else None, b"[]" if code == "2.05" else b"")
    asked.answer()
    return formats


def leave_unanswered(device, berth, method=FETCH, **query):
    asked = (
        device.ask("POST", "/composite/read", PATHS, **query)
        if method == FETCH
        else device.ask("POST", "/composite/write", {"/3/0/14": "x"}, **query)
    )
    device.acknowledge(device.expect(method, "/"))
    device.peer.ping()
    berth.leap("247s")
    assert asked.answer(504).json["outcome"] == "no-response"


def test_DM_08_DM_33_composite_format_is_learned(device):
    assert fetch(device, "4.15", "2.05") == [SENML_CBOR, SENML_JSON]
    assert fetch(device, "2.05") == [SENML_JSON]
    assert fetch(device, "4.15", "2.05") == [SENML_JSON, SENML_CBOR]
    assert fetch(device, "2.05") == [SENML_CBOR]


@pytest.mark.parametrize("method", [FETCH, IPATCH])
def test_DM_38_device_that_only_acknowledged_is_not_asked_again(device, berth, method):
    leave_unanswered(device, berth, method)
    for call, body in (("read", PATHS), ("write", {"/3/0/14": "x"})):
        answer = device.http("POST", f"/composite/{call}", body)
        assert (answer.status, answer.problem) == (422, "not-sent")
        assert "did not answer" in answer.json["detail"] and "force=1" in answer.json["detail"]


@pytest.mark.transports("pelion")  # RFC 8323 has neither Message IDs nor Reset
def test_DM_38_silence_is_remembered_too(start_berth, play):
    berth = start_berth("--max-retransmit", "0")
    device = type(play("other"))(berth, "dev1")
    asked = device.ask("POST", "/composite/read", PATHS)
    device.expect(FETCH, "/")
    berth.leap("10s")
    assert asked.answer(504).json["outcome"] == "no-ack"
    assert device.http("POST", "/composite/read", PATHS).problem == "not-sent"


def test_DM_38_answer_to_a_forced_one_lifts_it(device, berth):
    leave_unanswered(device, berth)
    assert fetch(device, "2.05", force=1) == [SENML_CBOR]
    assert fetch(device, "2.05") == [SENML_CBOR]


def test_DM_38_a_new_registration_lifts_it_and_an_update_does_not(device, berth):
    leave_unanswered(device, berth)
    device.registered.update()
    assert device.http("POST", "/composite/read", PATHS).problem == "not-sent"
    register_again(device)
    assert fetch(device, "2.05") == [SENML_CBOR]


@pytest.mark.transports("pelion")  # RFC 8323 has neither Message IDs nor Reset
def test_DM_38_reset_teaches_nothing(device):
    asked = device.ask("POST", "/composite/read", PATHS)
    device.reset(device.expect(FETCH, "/"))
    assert asked.answer(504).json["outcome"] == "reset"
    assert fetch(device, "2.05") == [SENML_CBOR]


def test_DM_38_other_operations_are_not_refused(device, berth):
    leave_unanswered(device, berth)
    assert read(device, "2.05") == [SENML_CBOR]
