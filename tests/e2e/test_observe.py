"""Observe over HTTP: what is asked, what notifications become, and how observations end."""

import threading

import pytest
from coapraw import ACCEPT, ACK, BLOCK2, CON, ETAG, GET, MAX_AGE, NON, OBSERVE, RST, Coap, block, uint
from observed_device import OBSERVE_NO_MORE, Observed, device, start  # noqa: F401
from played_device import SENML_CBOR, SENML_JSON, TEXT, TLV, accept_of, query_of
from test_http_openapi import is_valid
from vectors import vector

pytestmark = pytest.mark.transports("pelion")


@pytest.fixture
def berth(shared_berth):
    return shared_berth


def values(events: list[dict]) -> list:
    return [event["value"] for event in events]


# ---- beginning ----


def test_OB_01_observe_is_a_read_with_an_empty_observe_option(start):
    device = start(version="1.1")
    asked = device.ask("PUT", "/3/0/9/observe", format="senml-json")
    request = device.expect_observe("/3/0/9")
    assert request.options == Coap.decode(vector("M-20")).options
    assert (request.code, request.payload, len(request.token)) == (GET, b"", 1)
    device.answer(request, "4.04")
    asked.answer(404)


@pytest.mark.transports("udp")  # a message in 50 ms is too slow for so many
def test_OB_01_tokens_are_never_those_of_another_observation(start):
    device = start()
    observed = [device.observe("/3/0/9") for _ in range(140)]
    tokens = {one.token for one in observed}
    assert len(tokens) == 140
    for _ in range(140):
        asked = device.ask("GET", "/3/0/0")
        request = device.expect(GET, "/3/0/0")
        assert request.token not in tokens
        device.answer(request, "2.05", TEXT, b"x")
        asked.answer(200)


def test_OB_02_first_value_is_the_answer_and_the_first_notification(device):
    one = device.observe("/3/0/9", TEXT, b"95")
    assert one.response.json == {"path": "/3/0/9", "type": "integer", "value": 95}
    assert one.response.headers["CoAP-Code"] == "2.05" and one.response.headers["CoAP-Content-Format"] == "0"
    started, first = one.events()
    assert (started["type"], started["path"], started["observation"]) == ("observe_started", "/3/0/9", one.id)
    assert "value" not in started
    assert (first["type"], first["path"], first["value"], first["value_type"]) == ("notification", "/3/0/9", 95, "integer")
    assert (first["sequence"], first["confirmable"]) == (12, False)
    item = one.listed()
    assert (item["paths"], item["state"], item["token"], item["notifications"]) == (["/3/0/9"], "active", one.token.hex(), 1)
    assert item["last"] == {"path": "/3/0/9", "type": "integer", "value": 95}


def test_OB_02_forms_of_http_hold_for_the_first_value(device):
    one = device.observe("/3/0/9", headers={"Accept": "text/plain"})
    assert (one.response.body, one.response.headers["Content-Type"]) == (b"95", "text/plain")


def test_OB_03_answer_without_observe_is_a_read(device):
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect_observe("/3/0/9")
    device.answer(request, "2.05", TEXT, b"95")
    answer = asked.answer(200)
    assert (answer.json["value"], answer.headers["Observation"]) == (95, "none")
    assert device.observations() == []
    assert device.berth.events_after(0, endpoint=device.endpoint, types="observe_started,notification") == []
    assert device.send_and_see(device.notification(request.token, 13, b"94")) == RST


@pytest.mark.parametrize(("answered", "status"), [("4.00", 400), ("4.04", 404), ("4.05", 405), ("5.00", 502), ("5.03", 503)])
def test_OB_04_error_begins_no_observation(device, answered, status):
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect_observe("/3/0/9")
    device.answer(request, answered)
    assert asked.answer(status).problem == "device-error"
    assert device.observations() == []
    assert device.send_and_see(device.notification(request.token, 13, b"94")) == RST


def test_OB_04_refused_format_is_followed_by_the_next(device):
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect_observe("/3/0/9")
    assert accept_of(request) == TLV
    device.answer(request, "4.06")
    request = device.expect_observe("/3/0/9")
    assert accept_of(request) is None
    device.answer_observe(request, 5, TEXT, b"95")
    asked.answer(200)
    assert len(device.observations()) == 1


def test_no_answer_begins_no_observation(device):
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect_observe("/3/0/9")
    assert device.observations()[0]["state"] == "starting"
    device.berth.leap("100s")
    assert asked.answer(504).json["outcome"] == "no-ack"
    assert device.observations() == []
    while device.peer.receive(0.01) is not None:  # retransmissions
        pass
    assert device.send_and_see(device.notification(request.token, 13, b"94")) == RST


def test_undecodable_first_value_is_observed_all_the_same(device):
    asked = device.ask("PUT", "/3/0/9/observe")
    device.answer_observe(device.expect_observe("/3/0/9"), 12, TLV, b"\xc4\x00AC")
    answer = asked.answer(502)
    assert (answer.problem, answer.headers["CoAP-Code"]) == ("undecodable-answer", "2.05")
    (item,) = device.observations()
    assert (item["state"], item["last"], answer.headers["Observation"]) == ("active", None, str(item["id"]))


# ---- notifications ----


def test_OB_05_confirmable_notification_is_acknowledged_and_told(device):
    one = device.observe("/3/0/9")
    event = one.notify(b"94")
    assert (event["path"], event["value"], event["observation"]) == ("/3/0/9", 94, one.id)
    assert (event["sequence"], event["confirmable"], event.get("stale")) == (13, True, None)
    assert one.listed()["last"]["value"] == 94


def undecodable(device, format: int, payload: bytes) -> dict:
    one = device.observe("/3/0/9")
    after = device.berth.last_event()
    assert one.send(payload, format=format) == ACK
    event = device.berth.await_event("rejected", device.endpoint, after)
    assert (event["observation"], event["path"]) == (one.id, "/3/0/9")
    assert one.is_active() and one.listed()["last"]["value"] == 95
    assert one.notify(b"93")["value"] == 93
    return event


@pytest.mark.parametrize(("format", "payload"), [(TLV, b"\xc4\x00AC"), (SENML_JSON, b'[{"bn":'), (SENML_JSON, b'[{"bn":"/1/0/1","v":5}]'), (65000, b"\x00"), (50, b"{}")])
def test_OB_05_undecodable_notification_is_acknowledged_and_rejected(device, format, payload):
    assert undecodable(device, format, payload)["detail"].startswith("a notification of /3/0/9: ")


def test_leshan_ObserveServerOnly_undecodable_notification_keeps_the_observation(device):
    assert undecodable(device, 65535, b"1")["detail"] == "a notification of /3/0/9: the content format is not known"


def test_OB_06_unknown_token_is_reset_confirmable_or_not(device):
    device.observe("/3/0/9")
    assert device.send_and_see(device.notification(b"\xa1\xb2\xc3\xd4", 13, b"94")) == RST
    assert device.send_and_see(device.notification(b"\xa1\xb2\xc3\xd4", 13, b"94", type=NON)) == RST
    assert device.send_and_see(device.notification(b"\x00\xee", 13, b"94")) == RST


def test_OB_07_NTF_07_non_confirmable_notification_is_told_and_not_answered(device):
    one = device.observe("/3/0/9")
    assert one.send(b"94", type=NON) is None
    event = one.events("notification")[-1]
    assert (event["value"], event["confirmable"]) == (94, False)


def test_OB_08_OB_09_stale_notification_is_told_as_such_and_is_not_the_last_value(device):
    one = device.observe("/3/0/9", sequence=14)
    stale = one.notify(b"93", 13)
    assert (stale["value"], stale["stale"], stale["sequence"]) == (93, True, 13)
    assert one.listed()["last"]["value"] == 95
    assert one.notify(b"94", 15).get("stale") is None
    assert one.notify(b"91", 14)["stale"] is True  # 15 is what counts
    device.berth.leap("129s")
    assert one.notify(b"80", 13).get("stale") is None
    assert one.listed()["last"]["value"] == 80


def test_OB_10_repeated_notification_is_acknowledged_again_and_told_once(device):
    one = device.observe("/3/0/9")
    message = device.notification(one.token, 13, b"94")
    assert device.send_and_see(message) == ACK
    assert device.send_and_see(message) == ACK
    assert values(one.events("notification")) == [95, 94]


def test_OB_11_error_ends_the_observation(device):
    one = device.observe("/3/0/9")
    assert one.send(b"", None, format=None, text="4.04") == ACK
    (ended,) = one.events("observe_ended")
    assert (ended["coap_code"], ended["path"], ended["detail"]) == ("4.04", "/3/0/9", "the device has ended it")
    assert device.observations() == []
    assert one.send(b"94") == RST
    assert values(one.events("notification")) == [95]


def test_OB_12_content_without_observe_is_told_and_ends_the_observation(device):
    one = device.observe("/3/0/9")
    assert one.send(b"94", None) == ACK
    last = one.events("notification")[-1]
    assert (last["value"], "sequence" in last) == (94, False)
    (ended,) = one.events("observe_ended")
    assert (ended["coap_code"], ended["detail"]) == ("2.05", "a notification without Observe option")
    assert one.send(b"93") == RST


def test_OB_13_token_from_another_port_is_reset(device):
    one = device.observe("/3/0/9")
    assert one.send(b"94", peer=device.berth.peer()) == RST
    assert values(one.events("notification")) == [95]
    assert one.notify(b"93")["value"] == 93


def test_leshan_DynamicIPObserve_notification_from_a_changed_address_is_ignored(device):
    one = device.observe("/3/0/9")
    address = device.berth.device(device.endpoint)["address"]
    assert one.send(b"94", peer=device.berth.peer()) == RST
    assert one.is_active() and device.berth.device(device.endpoint)["address"] == address
    assert values(one.events("notification")) == [95]


def test_OB_17_format_may_change_from_message_to_message(device):
    one = device.observe("/3/0/9", TLV, b"\xc1\x09\x5f")
    assert one.notify(b"94", format=TEXT)["value"] == 94
    assert one.notify(b'[{"bn":"/3/0/9","v":93}]', format=SENML_JSON)["value"] == 93
    assert one.notify(bytes.fromhex("c80908000000000000005c"), format=TLV)["value"] == 92
    assert one.notify(b"91", format=1541)["value"] == 91


def test_DM_03_notification_without_format_is_what_was_asked_for(start):
    device = start(version="1.0")
    one = device.observe("/3/0/9", format="tlv", payload=b"95")
    assert one.notify(b"\xc1\x09\x5e", format=None)["value"] == 94
    other = device.observe("/3/0/0", payload=b"ACME", format="none")
    assert other.notify(b"Acme", format=None)["value"] == "Acme"


def test_DM_03_notification_without_format_may_be_text(start):
    one = start(version="1.0").observe("/3/0/9", format="tlv", payload=b"95")
    assert one.notify(b"96", format=None)["value"] == 96
    after = one.device.berth.last_event()
    assert one.send(b"9x", format=None) == ACK
    assert one.device.berth.await_event("rejected", one.device.endpoint, after)["path"] == "/3/0/9"


def test_OB_18_nothing_happens_when_max_age_passes(device):
    one = device.observe("/3/0/9")
    assert one.send(b"94", options=[(MAX_AGE, uint(10))]) == ACK
    device.registered.update()
    device.berth.leap("200s")
    device.peer.expect_silence()
    assert one.is_active()


def test_OB_19_observations_of_one_path_are_independent(device):
    first, second = device.observe("/3/0/9"), device.observe("/3/0/9")
    assert first.id < second.id and first.token != second.token
    assert first.notify(b"94")["observation"] == first.id
    assert second.notify(b"94")["observation"] == second.id
    asked = device.ask("DELETE", "/3/0/9/observe", id=first.id)
    request = device.expect(GET, "/3/0/9")
    assert request.token == first.token
    device.answer(request, "2.05", TEXT, b"94")
    asked.answer(204)
    assert first.send(b"93") == RST
    assert second.notify(b"93")["value"] == 93


def test_value_of_another_type_is_told_as_it_is(device):
    one = device.observe("/3/0/9")
    event = one.notify(b'[{"bn":"/3/0/9","vs":"full"}]', format=SENML_JSON)
    assert (event["value"], event["value_type"]) == ("full", "string")


# ---- blocks ----


def test_BLK_27_notification_in_blocks_is_fetched_and_told_once(start):
    device = start()
    text = b"x" * 30
    one = device.observe("/3/0/0", payload=b"ACME")
    after = device.berth.last_event()
    first = [(ETAG, b"a"), (BLOCK2, block(0, True, 0))]
    assert one.send(text[:16], 13, options=first) == ACK
    request = device.expect(GET, "/3/0/0")
    assert request.number(OBSERVE) is None and request.token != one.token
    assert request.one(BLOCK2) == block(1, False, 0)
    device.answer(request, "2.05", TEXT, text[16:], (ETAG, b"a"), (BLOCK2, block(1, False, 0)))
    event = device.berth.await_event("notification", device.endpoint, after)
    assert (event["value"], event["sequence"], event["confirmable"]) == (text.decode(), 13, True)
    assert values(one.events("notification")) == ["ACME", text.decode()]


def test_BLK_27_other_etag_begins_again_and_a_rest_that_is_gone_is_rejected(start):
    device = start()
    one = device.observe("/3/0/0", payload=b"ACME")
    after = device.berth.last_event()
    assert one.send(b"x" * 16, 13, options=[(ETAG, b"a"), (BLOCK2, block(0, True, 0))]) == ACK
    request = device.expect(GET, "/3/0/0")
    device.answer(request, "2.05", TEXT, b"yyy", (ETAG, b"b"), (BLOCK2, block(1, False, 0)))
    request = device.expect(GET, "/3/0/0")
    assert request.one(BLOCK2) is None and request.number(OBSERVE) is None
    device.answer(request, "2.05", TEXT, b"zzz")
    assert device.berth.await_event("notification", device.endpoint, after)["value"] == "zzz"
    after = device.berth.last_event()
    assert one.send(b"x" * 16, 14, options=[(ETAG, b"c"), (BLOCK2, block(0, True, 0))]) == ACK
    device.answer(device.expect(GET, "/3/0/0"), "4.04")
    event = device.berth.await_event("rejected", device.endpoint, after)
    assert event["detail"] == "a notification of /3/0/0: its rest could not be fetched"
    assert one.is_active()


def test_first_answer_in_blocks_begins_an_observation(start):
    device = start()
    asked = device.ask("PUT", "/3/0/0/observe")
    request = device.expect_observe("/3/0/0")
    device.answer_observe(request, 12, TEXT, b"x" * 16, (BLOCK2, block(0, True, 0)))
    rest = device.expect(GET, "/3/0/0")
    assert rest.number(OBSERVE) is None and rest.token != request.token
    device.answer(rest, "2.05", TEXT, b"yy", (BLOCK2, block(1, False, 0)))
    one = Observed(device, "/3/0/0", request, asked.answer(200))
    assert one.response.json["value"] == "x" * 16 + "yy"
    assert one.notify(b"z")["value"] == "z"


# ---- ending ----


def test_OB_14_active_cancel_is_the_same_request_with_observe_1(start):
    device = start(version="1.0")
    one = device.observe("/3/0/9", format="text")
    asked = device.ask("DELETE", "/3/0/9/observe")
    request = device.expect(GET, "/3/0/9")
    assert request.token == one.token and request.number(OBSERVE) == OBSERVE_NO_MORE
    assert [o for o in request.options if o[0] != OBSERVE] == [o for o in one.request.options if o[0] != OBSERVE]
    expected = Coap.decode(vector("M-25"))
    assert [o for o in request.options if o[0] != ACCEPT] == expected.options
    device.answer_observe(request, 13, TEXT, b"95")  # its Observe option means nothing
    assert asked.answer(204).headers["CoAP-Code"] == "2.05"
    assert device.observations() == []
    (ended,) = one.events("observe_ended")
    assert (ended["detail"], ended["path"]) == ("cancelled", "/3/0/9")
    assert one.send(b"94") == RST
    assert device.ask("DELETE", "/3/0/9/observe").answer(404).problem == "not-observed"


@pytest.mark.parametrize(("answered", "status"), [("4.04", 404), ("4.05", 405)])
def test_OB_14_active_cancel_that_is_refused_is_told_and_has_worked_here(device, answered, status):
    one = device.observe("/3/0/9")
    asked = device.ask("DELETE", "/3/0/9/observe")
    device.answer(device.expect(GET, "/3/0/9"), answered)
    asked.answer(status)
    assert device.observations() == [] and one.send(b"94") == RST


def test_OB_14_active_cancel_without_an_answer_is_504_and_has_worked_here(device):
    one, other = device.observe("/3/0/9"), device.observe("/3/0/9")
    asked = device.ask("DELETE", "/3/0/9/observe")
    device.expect(GET, "/3/0/9")
    assert one.listed() is None
    device.berth.leap("100s")
    assert asked.answer(504).json["outcome"] == "no-ack"
    assert device.observations() == []
    while device.peer.receive(0.01) is not None:
        pass
    assert one.send(b"94") == RST and other.send(b"94") == RST


def test_OB_15_OB_16_passive_cancel_resets_the_next_notification(device):
    one = device.observe("/3/0/9")
    assert device.http("DELETE", "/3/0/9/observe", mode="reset").status == 204
    assert device.observations() == []
    assert one.events("observe_ended")[0]["detail"] == "cancelled without a word to the device"
    assert one.send(b"94") == RST
    assert one.send(b"93", type=NON) == RST
    assert values(one.events("notification")) == [95]


def test_OB_16_both_cancels_hold_for_every_observation_of_exactly_this_path(device):
    instance = device.observe("/3/0", TLV, b"\xc1\x09\x5f")
    first, second = device.observe("/3/0/9"), device.observe("/3/0/9")
    asked = device.ask("DELETE", "/3/0/9/observe", mode="active")
    for one in (first, second):
        request = device.expect(GET, "/3/0/9")
        assert (request.token, request.number(OBSERVE)) == (one.token, OBSERVE_NO_MORE)
        device.answer(request, "2.05", TEXT, b"95")
    asked.answer(204)
    assert [item["id"] for item in device.observations()] == [instance.id]
    assert device.http("DELETE", "/3/0/observe", mode="reset").status == 204
    assert device.observations() == []


def test_cancel_of_what_is_not_observed_is_404(device):
    one = device.observe("/3/0/9")
    for path, query in (("/3/0/0/observe", {}), ("/3/0/9/observe", {"id": one.id + 1}), ("/observations/4711", {}), ("/observations/0", {}), ("/observations/x", {})):
        assert device.http("DELETE", path, **query).problem == "not-observed"
    assert device.http("GET", f"/observations/{one.id + 1}").problem == "not-observed"
    assert device.http("DELETE", "/3/0/9/observe", mode="x").problem == "bad-parameter"
    assert one.is_active()
    for path in ("/observations", "/3/0/9/observe"):
        assert device.berth.http("DELETE", f"/v1/devices/nobody{path}").problem == "not-registered"


def test_cancel_by_number_and_of_all(device):
    one, two, three = (device.observe(path) for path in ("/3/0/9", "/3/0/10", "/3/0/11"))
    assert device.http("DELETE", f"/observations/{two.id}", mode="reset").status == 204
    assert [item["id"] for item in device.observations()] == [one.id, three.id]
    asked = device.ask("DELETE", "/observations")
    for path in ("/3/0/9", "/3/0/11"):
        device.answer(device.expect(GET, path), "2.05", TEXT, b"1")
    asked.answer(204)
    assert device.observations() == []
    assert device.http("DELETE", "/observations").problem == "not-observed"


def test_client_that_hangs_up_before_the_first_answer_ends_it(device):
    with pytest.raises(TimeoutError):
        device.berth.http("PUT", f"/v1/devices/{device.endpoint}/3/0/9/observe", within=0.3)
    request = device.expect_observe("/3/0/9")
    assert device.berth.get(f"/v1/devices/{device.endpoint}/observations")["items"] == []
    device.answer_observe(request, 12, TEXT, b"95")
    assert device.send_and_see(device.notification(request.token, 13, b"94")) == RST


# ---- attributes, versions ----


def test_NTF_02_attributes_are_sent_in_the_request_of_a_1_2_device(start):
    device = start(version="1.2")
    asked = device.ask("PUT", "/3/0/9/observe", {"pmin": 5, "pmax": 10, "gt": 20.5})
    request = device.expect_observe("/3/0/9")
    assert query_of(request) == ["pmin=5", "pmax=10", "gt=20.5"]
    device.answer_observe(request, 12, TEXT, b"95")
    asked.answer(200)
    assert device.observations()[0]["query"] == "pmin=5&pmax=10&gt=20.5"
    asked = device.ask("DELETE", "/3/0/9/observe")
    request = device.expect(GET, "/3/0/9")
    assert query_of(request) == ["pmin=5", "pmax=10", "gt=20.5"]
    device.answer(request, "2.05", TEXT, b"95")
    asked.answer(204)


def test_NTF_02_attributes_are_not_sent_to_older_devices_unless_forced(start):
    device = start(version="1.1")
    answer = device.http("PUT", "/3/0/9/observe", {"pmin": 5})
    assert (answer.status, answer.problem) == (422, "not-sent")
    asked = device.ask("PUT", "/3/0/9/observe", {"pmin": 5}, force=1)
    request = device.expect_observe("/3/0/9")
    assert query_of(request) == ["pmin=5"]
    device.answer(request, "4.02")
    assert asked.answer(400).json["coap_code"] == "4.02"


@pytest.mark.parametrize("body", [{"pmin": -1}, {"nope": 1}, {"gt": 1, "lt": 2}, {"edge": 1}])
def test_NTF_02_attributes_that_make_no_sense_are_refused(start, body):
    assert start(version="1.2").http("PUT", "/3/0/9/observe", body).problem == "bad-body"


def test_paths_that_may_not_be_observed(start):
    assert start(version="1.0").http("PUT", "/3/0/7/0/observe").problem == "not-sent"
    assert start().http("PUT", "/0/0/observe").problem == "not-sent"


# ---- instances, times ----


def test_NTF_04_instance_is_told_value_by_value(device):
    one = device.observe("/3/0", TLV, b"\xc1\x09\x5f")
    payload = bytes.fromhex("c40041434d45") + bytes.fromhex("c1095e") + bytes.fromhex("860b410000410203")
    assert one.send(payload, format=TLV) == ACK
    told = [(event["path"], event["value"]) for event in one.events("notification")[1:]]
    assert told == [("/3/0/0", "ACME"), ("/3/0/9", 94), ("/3/0/11/0", 0), ("/3/0/11/2", 3)]
    assert one.listed()["last"]["resources"]["9"]["value"] == 94
    assert one.listed()["notifications"] == 2


def test_NTF_04_instance_without_values_is_told_too(device):
    one = device.observe("/3", TLV, b"\x08\x00\x03\xc1\x09\x5f")
    event = one.notify(b"", format=TLV)
    assert (event["path"], event["value"], event["value_type"]) == ("/3", None, "none")
    assert one.listed()["last"] == {"path": "/3", "instances": {}}


def test_NTF_05_stored_notifications_are_told_in_order_with_their_times(device):
    one = device.observe("/3303/0/5700", payload=b"20.0")
    base = 1700000000
    device.berth.leap("100s")
    for number in range(3):
        assert one.send(b'[{"bn":"/3303/0/5700","bt":%d,"v":%d.5}]' % (base + number, number), 13 + number, format=SENML_JSON, type=CON if number else NON) in (ACK, None)
    told = one.events("notification")[1:]
    assert [(e["value"], e["time"]) for e in told] == [(n + 0.5, f"2023-11-14T22:13:2{n}.000Z") for n in range(3)]
    assert not any(event.get("stale") for event in told)


def test_NTF_06_history_in_one_payload_is_n_values_and_the_newest_is_the_last(device):
    one = device.observe("/3303/0/5700", payload=b"20.0")
    payload = b'[{"bn":"/3303/0/5700","bt":1700000000,"v":1.0},{"t":20,"v":3.0},{"t":10,"v":2.0}]'
    assert one.send(payload, format=SENML_JSON) == ACK
    told = one.events("notification")[1:]
    assert sorted((e["time"], e["value"]) for e in told) == [
        ("2023-11-14T22:13:20.000Z", 1.0),
        ("2023-11-14T22:13:30.000Z", 2.0),
        ("2023-11-14T22:13:40.000Z", 3.0),
    ]
    last = one.listed()["last"]
    assert (last["value"], last["ts"], len(last["history"])) == (3.0, "2023-11-14T22:13:40.000Z", 3)


@pytest.mark.parametrize(("format", "payload"), [(SENML_JSON, b'[{"bn":"/3303/0/5700","bt":1700000000,"v":1.5},{"t":10,"v":2.5}]'), (SENML_CBOR, bytes.fromhex("82a3216c2f333330332f302f35373030221a6553f10002f93e00a2060a02f94100"))])
def test_leshan_ObserveTimeStamp_several_values_with_times_in_one_notification(device, format, payload):
    one = device.observe("/3303/0/5700", payload=b"20.0")
    assert one.send(payload, format=format) == ACK
    told = one.events("notification")[1:]
    assert [(e["value"], e["time"]) for e in told] == [(1.5, "2023-11-14T22:13:20.000Z"), (2.5, "2023-11-14T22:13:30.000Z")]


def test_leshan_ObserveTimeStamp_value_without_time(device):
    one = device.observe("/3303/0/5700", payload=b"20.0")
    event = one.notify(b'[{"bn":"/3303/0/5700","v":1.5}]', format=SENML_JSON)
    assert (event["value"], "time" in event) == (1.5, False)


# ---- Leshan's suite ----


@pytest.mark.parametrize(
    ("path", "first", "then", "told"),
    [
        ("/3/0/15", b"\xc8\x0f\x0cEurope/Paris", b"\xc8\x0f\x0dEurope/London", {"/3/0/15": "Europe/London"}),
        ("/3/0/7/0", b"\x42\x00\x0e\xd8", b"\x42\x00\x0e\xd9", {"/3/0/7/0": 3801}),
        ("/3/0", b"\xc1\x09\x5f", b"\xc1\x09\x5e", {"/3/0/9": 94}),
        ("/3", b"\x08\x00\x03\xc1\x09\x5f", b"\x08\x00\x03\xc1\x09\x5e", {"/3/0/9": 94}),
    ],
    ids=["resource", "resource instance", "instance", "object"],
)
def test_leshan_Observe_each_level_then_passive_and_active_cancel(start, path, first, then, told):
    device = start(version="1.1")
    one = device.observe(path, TLV, first)
    assert one.send(then, format=TLV) == ACK
    assert {e["path"]: e["value"] for e in one.events("notification")[1:]} == told
    assert device.http("DELETE", f"{path}/observe", mode="reset").status == 204
    assert one.send(then, format=TLV) == RST

    again = device.observe(path, TLV, first)
    asked = device.ask("DELETE", f"{path}/observe")
    device.answer(device.expect(GET, path), "2.05", TLV, first)
    asked.answer(204)
    assert again.send(then, format=TLV) == RST


def test_leshan_Observe_deletion_of_the_node_is_a_final_error(device):
    one = device.observe("/3303/1", TLV, b"")
    assert one.send(b"", None, format=None, text="4.04") == ACK
    assert one.events("observe_ended")[0]["coap_code"] == "4.04"
    assert device.observations() == []


@pytest.mark.parametrize("mode", ["active", "reset"])
def test_leshan_WriteAttributeHouseKeeping_nothing_is_left_after_a_cancel(device, mode):
    one = device.observe("/3/0/9")
    asked = device.ask("DELETE", "/3/0/9/observe", mode=mode)
    if mode == "active":
        device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    asked.answer(204)
    assert device.observations() == [] and one.send(b"94") == RST
    assert values(one.events("notification")) == [95]


@pytest.mark.parametrize(("version", "format", "payload"), [("1.1", SENML_JSON, b'[{"bn":"/3303/0/5700","bt":1700000000,"v":1.5}]')])
def test_leshan_LockStep_times_in_the_first_answer_and_in_the_answer_to_a_cancel(start, version, format, payload):
    device = start(version=version)
    one = device.observe("/3303/0/5700", format, payload)
    assert one.response.json["ts"] == "2023-11-14T22:13:20.000Z"
    assert one.events("notification")[0]["time"] == "2023-11-14T22:13:20.000Z"
    asked = device.ask("DELETE", "/3303/0/5700/observe")
    device.answer(device.expect(GET, "/3303/0/5700"), "2.05", format, payload)
    asked.answer(204)


def test_leshan_LockStep_observe_of_a_gone_registration_leaves_nothing_behind(device):
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect_observe("/3/0/9")
    device.registered.deregister()
    assert asked.answer(410).problem == "registration-gone"
    device.answer_observe(request, 12, TEXT, b"95")
    device.peer.expect_silence()
    assert device.berth.http("PUT", f"/v1/devices/{device.endpoint}/3/0/9/observe").problem == "not-registered"
    device.register_again()
    assert device.observations() == []
    assert device.send_and_see(device.notification(request.token, 13, b"94")) == RST


# ---- waiting, listing ----


def test_wait_matches_the_path_and_value_of_a_notification(device):
    one = device.observe("/3303/0/5700", payload=b"20.0")
    answers = []
    body = {"type": "notification", "endpoint": device.endpoint, "match": {"path": "/3303/0/5700", "value": {"gte": 30}}, "timeout": "20s", "after": device.berth.last_event()}
    waiting = threading.Thread(target=lambda: answers.append(device.berth.http("POST", "/v1/wait", body)))
    waiting.start()
    one.notify(b"25.0")
    one.notify(b"30.5")
    waiting.join(20)
    assert (answers[0].status, answers[0].json["value"], answers[0].json["observation"]) == (200, 30.5, one.id)


def test_wait_matches_the_fields_of_an_observation(device):
    one = device.observe("/3/0/9")
    one.notify(b"94")
    one.notify(b"93", 13)
    body = {"after": 0, "type": "notification", "endpoint": device.endpoint, "match": {"observation": one.id, "stale": True, "sequence": 13}}
    assert device.berth.http("POST", "/v1/wait", body).json["value"] == 93


def test_list_is_paged_and_as_described(device):
    document = device.berth.get("/v1/openapi.json")
    ids = [device.observe(path).id for path in ("/3/0/9", "/3/0/10", "/3/0/11")]
    url = f"/v1/devices/{device.endpoint}/observations"
    page = device.berth.get(url, limit=2)
    assert is_valid(page, document["components"]["schemas"]["ObservationPage"], document["components"]["schemas"])
    assert [item["id"] for item in page["items"]] == ids[:2] and page["next"] == str(ids[1])
    page = device.berth.get(url, limit=2, cursor=page["next"])
    assert [item["id"] for item in page["items"]] == ids[2:] and page["next"] is None
    one = device.berth.get(f"{url}/{ids[0]}")
    assert is_valid(one, document["components"]["schemas"]["Observation"], document["components"]["schemas"])
    assert device.berth.http("GET", "/v1/devices/nobody/observations").problem == "not-registered"
    for event in device.berth.events_after(0, endpoint=device.endpoint):
        assert is_valid(event, document["components"]["schemas"]["Event"], document["components"]["schemas"])


def test_large_last_value_is_not_kept_and_integers_keep_their_digits(device):
    one = device.observe("/3/0/0", payload=b"x" * 1000)
    other = device.observe("/33333/0/1", SENML_JSON, b'[{"bn":"/33333/0/1","v":18446744073709551615}]')
    assert b'"value":18446744073709551615' in device.berth.http("GET", f"/v1/devices/{device.endpoint}/observations/{other.id}").body
    assert one.listed()["last"]["value"] == "x" * 1000
    after = device.berth.last_event()
    assert one.send(b"y" * 1024, 13, options=[(BLOCK2, block(0, True, 6))]) == ACK
    for number in range(1, 5):
        device.answer(device.expect(GET, "/3/0/0"), "2.05", TEXT, b"y" * 1024, (BLOCK2, block(number, number < 4, 6)))
    assert len(device.berth.await_event("notification", device.endpoint, after)["value"]) == 5120
    assert one.listed()["last"] is None and one.listed()["notifications"] == 2


def test_metrics_count_observations_and_notifications(device):
    before = device.berth.get_metric("berth_observations"), device.berth.get_metric("berth_notifications_total")
    one = device.observe("/3/0/9")
    one.notify(b"94")
    now = device.berth.get_metric("berth_observations"), device.berth.get_metric("berth_notifications_total")
    assert (now[0] - before[0], now[1] - before[1]) == (1, 2)
    device.http("DELETE", "/3/0/9/observe", mode="reset")
    assert device.berth.get_metric("berth_observations") == before[0]


def test_alternate_path_is_before_the_observed_one_and_may_be_in_names(start):
    device = start(links='</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>')
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect_observe("/lwm2m/3/0/9")
    device.answer_observe(request, 12, TEXT, b"95")
    one = Observed(device, "/3/0/9", request, asked.answer(200))
    assert one.notify(b'[{"bn":"/lwm2m/3/0/9","v":94}]', format=SENML_JSON)["path"] == "/3/0/9"
    assert one.notify(b'[{"bn":"/3/0/9","v":93}]', format=SENML_JSON)["value"] == 93
