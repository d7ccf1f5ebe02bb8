"""What a test orders to go wrong, over UDP: each fault does what it says, as often as it says, and to whom."""

import base64
import json
import re
from pathlib import Path

import pytest
from berth_process import Device
from coapraw import (
    ACK,
    BLOCK1,
    CON,
    CONTENT_FORMAT,
    EMPTY,
    GET,
    LINK_FORMAT,
    MAX_AGE,
    POST,
    RST,
    Coap,
    block,
    uint,
)
from device_process import start_device  # noqa: F401
from observed_device import ObservedDevice
from ordered_faults import faults_path, order  # noqa: F401
from oscore_peer import OSCORE, OscorePeer
from played_device import TEXT, PlayedDevice
from test_dtls import COAPS, KEY, add_psk
from test_oscore import put
from test_oscore import register as oscore_register

LINKS = b"</1/0>,</3/0>"
CRITICAL = 65001  # no option has this number, and it is odd


def register_message(peer, endpoint="dev1", **kwargs):
    query = [f"ep={endpoint}", "lt=300", "lwm2m=1.1", "b=U"]
    return peer.message(POST, "/rd", query, LINKS, [(CONTENT_FORMAT, uint(LINK_FORMAT))], **kwargs)


def exchange(peer, message):
    peer.send(message)
    return peer.receive()


# ---- messages that are lost, late, double, changed ----


def test_a_register_is_dropped_and_its_copy_is_answered(berth, order):
    fault = order({"drop": True, "on": "register"}, "dev1")
    peer = berth.peer()
    message = register_message(peer)
    peer.send(message)
    peer.expect_silence()
    event = fault.await_event()
    assert (event["endpoint"], event["action"], event["message"], event["direction"]) == ("dev1", "drop", "register", "in")
    assert event["address"] == peer.address and event["detail"] == "drop: register in"
    assert berth.http("GET", "/v1/devices/dev1").status == 404
    assert exchange(peer, message).code_text == "2.01"
    assert fault.counts() == (1, 1, False)
    assert len(fault.events()) == 1


def test_the_answer_to_a_register_is_dropped_and_given_again_to_its_copy(berth, order):
    fault = order({"drop": True, "on": "register", "direction": "out"}, "dev1")
    peer = berth.peer()
    message = register_message(peer)
    peer.send(message)
    assert fault.await_event()["direction"] == "out"
    peer.expect_silence()
    assert berth.device("dev1")["state"] == "registered"
    assert exchange(peer, message).code_text == "2.01"
    assert [event["type"] for event in berth.events_after(fault.mark, endpoint="dev1")].count("registered") == 1


def test_a_read_is_dropped_and_sent_again(berth, order):
    device = PlayedDevice(berth, "dev1")
    fault = order({"drop": True, "on": "read"}, "dev1")
    asked = device.ask("GET", "/3/0/9")
    assert fault.await_event()["message"] == "read"
    device.peer.expect_silence()
    berth.leap("3s")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95


def test_the_answer_to_a_read_is_dropped(berth, order):
    device = PlayedDevice(berth, "dev1")
    fault = order({"drop": True, "on": "read", "direction": "in"}, "dev1")
    asked = device.ask("GET", "/3/0/9")
    request = device.expect(GET, "/3/0/9")
    device.answer(request, "2.05", TEXT, b"95")
    assert fault.await_event()["direction"] == "in"
    berth.leap("3s")
    again = device.expect(GET, "/3/0/9")
    assert again.mid == request.mid
    device.answer(again, "2.05", TEXT, b"96")
    assert asked.answer(200).json["value"] == 96


def test_a_register_is_delayed_by_protocol_time(berth, order):
    order({"delay": "5s", "on": "register"}, "dev1")
    peer = berth.peer()
    peer.send(register_message(peer))
    peer.expect_silence()
    berth.leap("4s")
    peer.expect_silence()
    berth.leap("1s")
    assert peer.receive().code_text == "2.01"


def test_an_answer_is_delayed(berth, order):
    device = berth.register("dev1")
    order({"delay": "5s", "on": "update", "direction": "out"}, "dev1")
    device.peer.send(device.peer.message(POST, device.location))
    device.peer.expect_silence()
    berth.leap("5s")
    assert device.peer.receive().code_text == "2.04"


def test_what_is_held_back_goes_when_its_fault_is_deleted(berth, order):
    fault = order({"delay": "1h", "on": "register"}, "dev1")
    peer = berth.peer()
    peer.send(register_message(peer))
    peer.expect_silence()
    assert fault.counts() == (1, 1, False)
    fault.delete()
    assert peer.receive().code_text == "2.01"


def test_a_request_is_sent_three_times(berth, order):
    device = PlayedDevice(berth, "dev1")
    order({"duplicate": 2, "on": "read"}, "dev1")
    asked = device.ask("GET", "/3/0/9")
    copies = [device.expect(GET, "/3/0/9") for _ in range(3)]
    assert len({(copy.mid, copy.token) for copy in copies}) == 1
    device.answer(copies[0], "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95
    device.peer.expect_silence()


def test_an_update_comes_twice_and_is_done_once(berth, order):
    device = berth.register("dev1")
    fault = order({"duplicate": 1, "on": "update"}, "dev1")
    answers = [exchange(device.peer, device.peer.message(POST, device.location)), device.peer.receive()]
    assert [answer.code_text for answer in answers] == ["2.04", "2.04"] and answers[0].mid == answers[1].mid
    assert len(berth.events_after(fault.mark, types="updated")) == 1


def test_a_byte_of_a_message_is_corrupted(berth, order):
    """The last one of the Message ID: the answer is to a message that nobody has sent."""
    order({"corrupt": 3, "on": "register"}, "dev1")
    peer = berth.peer()
    message = register_message(peer)
    answer = exchange(peer, message)
    assert answer.code_text == "2.01" and answer.mid != message.mid and answer.mid >> 8 == message.mid >> 8


def test_corruption_is_the_same_with_the_same_seed(berth, order):
    device = berth.register("dev1")
    seen = []
    for _ in range(2):
        order({"corrupt": True, "seed": 7, "on": "update", "direction": "out"}, "dev1")
        device.peer.send(device.peer.message(POST, device.location, token=b"abcd", mid=0x1234))
        seen.append(device.peer.receive_raw())
        berth.leap("300s")  # the Message ID is free again
        device.peer.send(device.peer.message(POST, device.location))
        assert device.peer.receive().code_text == "2.04"
    assert seen[0] == seen[1] != bytes.fromhex("64441234") + b"abcd"


def test_a_request_is_truncated(berth, order):
    device = PlayedDevice(berth, "dev1")
    order({"truncate": 5, "on": "read"}, "dev1")
    asked = device.ask("GET", "/3/0/9")
    short = device.peer.receive_raw(10)
    assert len(short) == 5
    berth.leap("3s")
    request = device.expect(GET, "/3/0/9")
    assert request.encode()[:5] == short
    device.answer(request, "2.05", TEXT, b"95")
    asked.answer(200)


def test_a_register_is_overtaken(berth, order):
    order({"reorder": True, "on": "register"}, "dev1")
    peer = berth.peer()
    peer.send(register_message(peer))
    peer.send(Coap(CON, EMPTY, 0x7777))
    first, second = peer.receive(), peer.receive()
    assert (first.type, first.mid) == (RST, 0x7777) and second.code_text == "2.01"


def test_what_nothing_overtakes_goes_after_two_seconds(berth, order):
    order({"reorder": True, "on": "update", "direction": "out"}, "dev1")
    device = berth.register("dev1")
    device.peer.send(device.peer.message(POST, device.location))
    berth.await_event("fault", "dev1")
    berth.leap("2s")
    assert device.peer.receive().code_text == "2.04"


# ---- messages of the server that are wrong ----


def test_a_wrong_token(berth, order):
    order({"wrong": "token", "on": "register"}, "dev1")
    peer = berth.peer()
    message = register_message(peer)
    answer = exchange(peer, message)
    assert answer.code_text == "2.01" and answer.mid == message.mid
    assert answer.token != message.token and len(answer.token) == len(message.token)


def test_a_wrong_message_id(berth, order):
    order({"wrong": "mid", "on": "register"}, "dev1")
    peer = berth.peer()
    message = register_message(peer)
    answer = exchange(peer, message)
    assert answer.code_text == "2.01" and answer.token == message.token and answer.mid != message.mid


def test_a_wrong_message_id_in_the_ack_of_a_notification(berth, order):
    device = ObservedDevice(berth, "dev1")
    observed = device.observe("/3/0/9")
    order({"wrong": "mid", "on": "notify", "direction": "out"}, "dev1")
    message = device.notification(observed.token, 13, b"96")
    answer = exchange(device.peer, message)
    assert (answer.type, answer.code) == (ACK, EMPTY) and answer.mid != message.mid


def test_an_unknown_critical_option_in_an_answer(berth, order):
    order({"option": CRITICAL, "on": "register"}, "dev1")
    peer = berth.peer()
    answer = exchange(peer, register_message(peer))
    assert answer.code_text == "2.01" and answer.one(CRITICAL) == b"" and answer.location.startswith("/rd/")


def test_an_unknown_critical_option_in_a_request(berth, order):
    device = PlayedDevice(berth, "dev1")
    order({"option": CRITICAL, "on": "read"}, "dev1")
    asked = device.ask("GET", "/3/0/9")
    request = device.expect(GET, "/3/0/9")
    assert request.one(CRITICAL) == b""
    device.answer(request, "4.02")
    asked.answer(400)


def test_a_register_is_reset(berth, order):
    order({"reset": True, "on": "register"}, "dev1")
    peer = berth.peer()
    message = register_message(peer)
    answer = exchange(peer, message)
    assert (answer.type, answer.code, answer.mid) == (RST, EMPTY, message.mid)
    assert berth.http("GET", "/v1/devices/dev1").status == 404
    assert exchange(peer, register_message(peer)).code_text == "2.01"


def test_a_notification_is_reset_and_nothing_is_told(berth, order):
    device = ObservedDevice(berth, "dev1")
    observed = device.observe("/3/0/9")
    fault = order({"reset": True, "on": "notify"}, "dev1")
    assert observed.send(b"96") == RST
    assert berth.events_after(fault.mark, types="notification") == []
    assert observed.send(b"97") == ACK


# ---- answers ----


def ask(berth, what):
    """The peer and a request of that kind by dev1."""
    if what in ("register", "bootstrap"):
        peer = berth.peer()
        return peer, register_message(peer) if what == "register" else peer.message(POST, "/bs", ["ep=dev1"])
    device = berth.register("dev1")
    peer = device.peer
    if what == "send":
        pack = b'[{"bn":"/3/0/","n":"9","v":95}]'
        return peer, peer.message(POST, "/dp", None, pack, [(CONTENT_FORMAT, uint(110))])
    return peer, peer.message(POST if what == "update" else 4, device.location)


EVERY = ["register", "update", "deregister", "bootstrap", "send"]


@pytest.mark.parametrize("what", EVERY)
@pytest.mark.parametrize(("answer", "max_age"), [("5.03", 60), ("4.04", None), ("2.05", None)])
def test_the_next_request_is_answered_with_any_code(berth, order, what, answer, max_age):
    peer, message = ask(berth, what)
    body = {"answer": answer, "on": what} if max_age is None else {"answer": answer, "on": what, "max_age": max_age}
    fault = order(body, "dev1")
    got = exchange(peer, message)
    assert (got.code_text, got.number(MAX_AGE), got.payload) == (answer, max_age, b"")
    event = fault.await_event()
    assert (event["message"], event["coap_code"]) == (what, answer)
    assert berth.events_after(fault.mark, types="registered,updated,deregistered,send,bootstrap_started") == []
    assert fault.counts() == (1, 1, False)


@pytest.mark.parametrize("what", EVERY)
def test_a_request_is_never_answered_nor_are_its_copies(berth, order, what):
    peer, message = ask(berth, what)
    order({"silence": True, "on": what}, "dev1")
    peer.send(message)
    peer.expect_silence()
    peer.send(message)
    peer.expect_silence()
    again = Coap(message.type, message.code, peer.next_mid(), message.token, message.options, message.payload)
    assert exchange(peer, again).code_text in ("2.01", "2.02", "2.04")


@pytest.mark.parametrize("on", [{}, {"on": "any"}])
def test_an_answer_is_for_whatever_comes_next(berth, order, on):
    fault = order({"answer": "4.03", **on}, "dev1")
    assert "on" not in fault.shown()
    device, message = ask(berth, "register")
    assert exchange(device, message).code_text == "4.03"


def test_silence_about_anything_is_about_pings_too(berth, order):
    order({"silence": True, "on": "any"})
    peer = berth.peer()
    peer.send(Coap(CON, EMPTY, 0x1111))
    peer.ping()
    order({"silence": True, "on": "any"})
    message = register_message(peer)
    peer.send(message)
    peer.expect_silence()


def register_in_blocks(peer, endpoint="dev1"):
    """The answers to a Register of two blocks."""
    for number, part in enumerate([b"</1/0>,</3/0>,</", b"4/0>"]):
        more = number == 0
        query = [f"ep={endpoint}", "lt=300", "lwm2m=1.1", "b=U"]
        options = [(CONTENT_FORMAT, uint(LINK_FORMAT)), (BLOCK1, block(number, more, 0))]
        peer.send(peer.message(POST, "/rd", query, part, options))
        yield peer


def test_no_2_31_comes(berth, order):
    fault = order({"drop": True, "on": "continue"}, "dev1")
    blocks = register_in_blocks(berth.peer())
    next(blocks).expect_silence()
    assert fault.counts() == (1, 1, False)
    assert next(blocks).receive().code_text == "2.01"


def test_another_code_comes_in_the_place_of_2_31(berth, order):
    order({"answer": "4.08", "on": "continue"}, "dev1")
    answer = next(register_in_blocks(berth.peer())).receive()
    assert answer.code_text == "4.08" and answer.one(BLOCK1) is not None


# ---- what the server has of a device ----


def test_a_registration_is_forgotten_now(berth, order):
    device = berth.register("dev1")
    fault = order({"forget": "registration"}, "dev1")
    assert berth.await_event("deregistered", "dev1")["location"] == device.location
    assert device.update().code_text == "4.04"
    assert fault.counts() == (1, 1, False)
    assert fault.events()[0]["action"] == "forget registration"


def test_a_registration_is_forgotten_when_its_update_comes(berth, order):
    device = berth.register("dev1")
    order({"forget": "registration", "on": "update"}, "dev1")
    assert device.update().code_text == "4.04"
    assert device.update().code_text == "4.04"


def test_a_registration_expires_now(berth, order):
    device = berth.register("dev1", lifetime=86400)
    order({"expire": True}, "dev1")
    assert berth.await_event("expired", "dev1")["lifetime_s"] == 86400
    assert device.update().code_text == "4.04"


def test_what_was_forgotten_stays_forgotten_after_a_restart(berth, order):
    berth.register("dev1")
    berth.register("dev2")
    order({"expire": True}, "dev1")
    berth.restart()
    assert [item["endpoint"] for item in berth.get("/v1/devices")["items"]] == ["dev2"]


def test_every_registration_is_forgotten(berth, order):
    devices = [berth.register(f"dev{number}") for number in range(3)]
    fault = order({"forget": "registration"})
    assert [device.update().code_text for device in devices] == ["4.04"] * 3
    assert fault.counts() == (3, 3, False)


def test_observations_are_forgotten(berth, order):
    device = ObservedDevice(berth, "dev1")
    observed = [device.observe("/3/0/9"), device.observe("/3/0/7")]
    order({"forget": "observations"}, "dev1")
    assert device.observations() == []
    assert [one.send(b"96") for one in observed] == [RST, RST]


def test_pings_are_not_answered(berth, order):
    peer = berth.peer()
    fault = order({"silence": True, "on": "ping", "times": None})
    for mid in range(3):
        peer.send(Coap(CON, EMPTY, mid))
    answer = exchange(peer, register_message(peer))
    assert answer.code_text == "2.01"
    assert fault.counts() == (3, 3, True)
    fault.delete()
    peer.ping()


def test_half_open_everything_is_swallowed_until_it_ends(berth, order):
    device = PlayedDevice(berth, "dev1")
    fault = order({"half_open": True, "duration": "60s"}, "dev1")
    device.peer.send(device.peer.message(POST, device.registered.location))
    event = fault.await_event()
    assert (event["action"], event["direction"]) == ("half_open", "in")
    asked = device.ask("POST", "/ping")
    assert berth.await_event("fault", after=event["id"])["direction"] == "out"
    berth.leap("60s")
    assert fault.shown()["active"] is False
    assert device.registered.update().code_text == "2.04"
    berth.leap("200s")
    asked.answer()


def test_the_queue_is_full(berth, order):
    berth.register("dev1", extra=["Q"])
    fault = order({"fill": "queue", "times": 1}, "dev1")
    put = lambda: berth.http("PUT", "/v1/devices/dev1/3/0/14", "+01", {"Prefer": "respond-async"})  # noqa: E731
    assert put().status == 429
    assert fault.await_event()["action"] == "fill queue"
    assert put().status == 202


# ---- when, how often, to whom ----


def updates(device, count):
    """Which of so many Updates are answered: + or -."""
    answered = ""
    for _ in range(count):
        message = device.peer.message(POST, device.location)
        fence = Coap(CON, EMPTY, device.peer.next_mid())
        device.peer.send(message)
        device.peer.send(fence)
        mids = [device.peer.receive().mid]
        while mids[-1] != fence.mid:
            mids.append(device.peer.receive().mid)
        answered += "+" if message.mid in mids else "-"
    return answered


def test_times_and_after(berth, order):
    device = berth.register("dev1")
    fault = order({"drop": True, "on": "update", "after": 2, "times": 3}, "dev1")
    assert updates(device, 8) == "++---+++"
    assert fault.counts() == (5, 3, False)


def test_probability_is_the_same_with_the_same_seed_and_about_what_is_asked_for(berth, order):
    device = berth.register("dev1")
    seen = []
    for seed in (7, 7, 8):
        fault = order({"drop": True, "on": "update", "probability": 0.3, "seed": seed, "times": None}, "dev1")
        seen.append(updates(device, 60))
        assert fault.shown()["fired"] == seen[-1].count("-")
        fault.delete()
    assert seen[0] == seen[1] != seen[2]
    assert 6 <= seen[0].count("-") <= 32


def test_a_fault_ends_after_its_duration_of_protocol_time(berth, order):
    device = berth.register("dev1", lifetime=86400)
    fault = order({"drop": True, "on": "update", "duration": "60s"}, "dev1")
    assert updates(device, 3) == "---"
    berth.leap("59s")
    assert updates(device, 1) == "-"
    berth.leap("1s")
    assert fault.counts() == (4, 4, False)
    assert updates(device, 2) == "++"


def test_a_fault_is_for_its_device_alone(berth, order):
    first, second = berth.register("dev1"), berth.register("dev2")
    order({"drop": True, "on": "update"}, "dev2")
    assert (updates(first, 1), updates(second, 1)) == ("+", "-")


def test_a_fault_for_all_is_for_whoever_comes(berth, order):
    first, second = berth.register("dev1"), berth.register("dev2")
    order({"drop": True, "on": "update", "times": 2})
    assert (updates(first, 1), updates(second, 2)) == ("-", "-+")


def test_a_device_that_comes_from_elsewhere_is_known_by_its_location(berth, order):
    device = berth.register("dev1")
    order({"answer": "4.00", "on": "update"}, "dev1")
    moved = Device(berth.peer(), "dev1", device.location)
    assert moved.update().code_text == "4.00"


@pytest.mark.parametrize("kind", ["any", "con", "request", "register"])
def test_a_message_is_of_several_kinds(berth, order, kind):
    fault = order({"drop": True, "on": kind, "direction": "in"})
    peer = berth.peer()
    peer.send(register_message(peer))
    assert fault.await_event()["message"] == ("register" if kind == "any" else kind)
    peer.expect_silence()


def test_one_fault_acts_on_a_message_the_oldest_first(berth, order):
    device = berth.register("dev1")
    first = order({"drop": True, "on": "update"}, "dev1")
    second = order({"answer": "4.00", "on": "update"}, "dev1")
    assert updates(device, 1) == "-"
    assert (first.counts(), second.counts()) == ((1, 1, False), (0, 0, True))
    assert device.update().code_text == "4.00"


# ---- the list ----


def test_faults_are_listed_with_their_counts_and_cleared(berth, order):
    order({"delay": "1500ms", "on": "notify", "times": 3, "after": 1, "probability": 0.5, "seed": 9}, "dev 1")
    order({"answer": "5.03", "max_age": 60}, "dev 1")
    other = order({"drop": True, "on": "ack", "duration": "1h"})
    items = berth.get("/v1/faults")["items"]
    assert [item["endpoint"] for item in items] == ["dev 1", "dev 1", None]
    assert items[0] | {"id": 0, "ordered_at": ""} == {
        "id": 0,
        "endpoint": "dev 1",
        "delay": "1500ms",
        "on": "notify",
        "direction": "in",
        "times": 3,
        "after": 1,
        "probability": 0.5,
        "seed": 9,
        "ordered_at": "",
        "active": True,
        "seen": 0,
        "fired": 0,
    }
    assert (items[2]["duration"], items[2]["times"]) == ("3600s", None)
    assert berth.get(faults_path("dev 1"))["items"] == items[:2]
    assert berth.http("DELETE", faults_path("dev 1")).status == 204
    assert [item["id"] for item in berth.get("/v1/faults")["items"]] == [other.shown()["id"]]
    assert berth.http("DELETE", "/v1/faults").status == 204
    assert berth.get("/v1/faults") == {"items": []}
    assert berth.http("DELETE", other.path).status == 404
    assert berth.http("GET", other.path).status == 404


@pytest.mark.parametrize("scope", ["faults", "all", "events"])
def test_a_clean_slate(berth, order, scope):
    order({"drop": True, "on": "register"})
    assert berth.http("POST", "/v1/reset", scope=scope).status == 204
    assert len(berth.get("/v1/faults")["items"]) == (scope == "events")


def test_faults_are_bounded(berth, order):
    for _ in range(64):
        order({"drop": True}, "dev1")
    assert berth.http("PUT", faults_path("dev1"), {"drop": True}).status == 503
    for number in range(960):
        assert berth.http("PUT", faults_path(f"dev{number + 2}"), {"drop": True}).status == 204
    assert berth.http("PUT", "/v1/faults", {"drop": True}).status == 503


def test_those_that_have_ended_are_shown_until_there_are_too_many(berth, order):
    berth.register("dev1")
    for _ in range(260):
        assert berth.http("PUT", faults_path("dev1"), {"forget": "observations"}).status == 204
    items = berth.get("/v1/faults")["items"]
    assert len(items) == 256 and items[-1]["id"] == 260 and not any(item["active"] for item in items)


@pytest.mark.parametrize(
    ("body", "pointer", "expected"),
    [
        ({}, "", "a member that says what is done"),
        ({"drop": True, "delay": "2s"}, "/delay", "there is drop already"),
        ({"drop": False}, "/drop", "true is expected"),
        ({"drop": True, "max_age": 5}, "/max_age", "with answer only"),
        ({"answer": "5.03", "max_age": -1}, "/max_age", "a number of seconds"),
        ({"drop": True, "alert": 40}, "/alert", "dtls-session"),
        ({"forget": "dtls-session", "alert": 256}, "/alert", "true, or a number from 0 to 255"),
        ({"drop": True, "on": "registration"}, "/on", "expected is any, con"),
        ({"drop": True, "direction": "both"}, "/direction", '"in" or "out"'),
        ({"drop": True, "times": 0}, "/times", "a number from 1 to 1000000"),
        ({"drop": True, "after": -1}, "/after", "a number from 0"),
        ({"drop": True, "probability": 0}, "/probability", "above 0"),
        ({"drop": True, "seed": 7}, "/seed", "with probability"),
        ({"drop": True, "probability": 1, "seed": -1}, "/seed", "a number from 0"),
        ({"drop": True, "duration": "0s"}, "/duration", "a duration"),
        ({"drop": True, "unknown": 1}, "/unknown", ""),
        ({"delay": "never"}, "/delay", "a duration"),
        ({"duplicate": 17}, "/duplicate", "a number from 1 to 16"),
        ({"corrupt": False}, "/corrupt", "true, or a number"),
        ({"wrong": "code"}, "/wrong", '"token" or "mid" is expected'),
        ({"wrong": "token", "direction": "in"}, "/direction", '"out" is expected'),
        ({"answer": "1.01"}, "/answer", "the code of an answer"),
        ({"answer": "4.4"}, "/answer", "the code of an answer"),
        ({"answer": "4.04", "on": "read"}, "/on", "register, update"),
        ({"answer": "4.04", "direction": "out"}, "/direction", '"in" is expected'),
        ({"silence": True, "on": "handshake"}, "/on", "register, update"),
        ({"reset": True, "on": "handshake"}, "/on", "datagrams"),
        ({"forget": "everything"}, "/forget", '"dtls-session", "cid"'),
        ({"forget": "registration", "times": 2}, "/times", "done at once"),
        ({"forget": "registration", "on": "update", "direction": "out"}, "/direction", '"in" is expected'),
        ({"close": "rst", "direction": "in"}, "/direction", "with on"),
        ({"half_open": True, "on": "update"}, "/on", "lasts"),
        ({"time_offset_s": 5}, "/time_offset_s", "for all devices"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(berth, body, pointer, expected):
    answer = berth.http("PUT", faults_path("dev1"), body)
    assert (answer.status, answer.problem) == (422, "invalid-document"), answer.body
    assert answer.json["pointer"] == pointer and expected in answer.json["expected"]
    assert berth.get("/v1/faults") == {"items": []}


def test_an_offset_of_the_time_has_no_times(berth):
    answer = berth.http("PUT", "/v1/faults", {"time_offset_s": 5, "times": 1})
    assert answer.json["pointer"] == "/times"
    assert berth.http("PUT", "/v1/faults", "{").status == 400


def test_what_is_done_at_once_needs_a_registered_device(berth):
    answer = berth.http("PUT", faults_path("dev1"), {"expire": True})
    assert (answer.status, answer.problem) == (404, "not-registered")


@pytest.mark.parametrize("fault", [{"forget": "dtls-session"}, {"forget": "cid"}, {"close": "rst"}, {"close": "close-notify"}])
def test_what_a_device_does_not_have_cannot_be_taken_from_it(berth, fault):
    berth.register("dev1")
    answer = berth.http("PUT", faults_path("dev1"), fault)
    assert (answer.status, answer.problem) == (409, "conflict")


def examples():
    text = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
    return re.findall(r"/v1/(devices/dev1/)?faults -d '(.*)'", text)


@pytest.mark.parametrize(("of_device", "body"), examples())
def test_examples_of_the_documentation_are_understood(berth, of_device, body):
    """Those that are done at once find no device, or nothing to be done."""
    at_once = "on" not in json.loads(body) and ("forget" in body or "close" in body or "expire" in body)
    answer = berth.http("PUT", faults_path("dev1" if of_device else None), json.loads(body))
    assert answer.status == (404 if at_once else 204), answer.body


def test_a_message_that_waits_does_not_keep_the_server_from_ending(berth, order):
    order({"delay": "1h", "on": "register"}, "dev1")
    peer = berth.peer()
    peer.send(register_message(peer))
    peer.expect_silence()
    berth.stop()


# ---- protected end to end ----


@pytest.fixture
def protected(berth):
    put(berth)
    device = OscorePeer(berth.coap_port)
    yield device
    device.close()


def test_answers_are_ordered_for_what_is_protected_too(berth, order, protected):
    order({"answer": "4.03", "on": "register"}, "dev1")
    oscore_register(protected, code="4.03")
    location = oscore_register(protected)
    fault = order({"answer": "4.00", "max_age": 7, "on": "update"}, "dev1")
    assert protected.once(POST, location).code_text == "4.00"
    assert all(message.one(OSCORE) is not None for message in protected.wire)
    assert fault.await_event()["endpoint"] == "dev1"
    assert protected.once(POST, location).code_text == "2.04"


def test_of_protected_messages_the_outside_is_seen(berth, order, protected):
    location = oscore_register(protected)
    inner, outer = order({"drop": True, "on": "update"}, "dev1"), order({"duplicate": 1, "on": "request"}, "dev1")
    assert protected.once(POST, location).code_text == "2.04"
    assert (inner.counts(), outer.counts()) == ((0, 0, True), (1, 1, False))


# ---- a bad network ----


@pytest.mark.parametrize("secure", [False, True])
def test_over_a_bad_network_everything_is_done_once_and_rightly(start_berth, start_device, secure):
    """Of both sides' messages or records some are lost, late, double and overtaken; both send again, quickly."""
    berth = start_berth("--ack-timeout", "100ms", "--max-retransmit", "8", listen=COAPS)
    if secure:
        add_psk(berth, "dev1")
    on = "record" if secure else "any"
    for number, fault in enumerate(({"drop": True}, {"delay": "30ms"}, {"duplicate": 2}, {"reorder": True})):
        body = {**fault, "on": on, "probability": 0.1, "seed": number, "times": None}
        assert berth.http("PUT", "/v1/faults", body).status == 204
    options = ("--psk", f"dev1:{KEY.hex()}", "--cid") if secure else ()
    device = start_device("--server", berth.listen[int(secure)], "--endpoint", "dev1", "--ack-timeout", "100ms", "--max-retransmit", "8", *options)
    device.line("Device ID:", partly=True, timeout=30)
    for value in range(20):
        answer = berth.http("PUT", "/v1/devices/dev1/3/0/15", f"Etc/{value}")
        assert answer.status == 204, answer.body
        assert berth.http("GET", "/v1/devices/dev1/3/0/15").json["value"] == f"Etc/{value}"
    value = base64.b64decode(berth.get("/v1/devices/dev1/5000/0/0")["value"])
    assert value == bytes(number % 251 for number in range(131072))
    fired = [item["fired"] for item in berth.get("/v1/faults")["items"]]
    assert all(count > 3 for count in fired), fired
    assert berth.http("DELETE", "/v1/faults").status == 204
    device.terminate()
    requests = [line for line in device.end() if line.startswith("Request: PUT")]
    assert len(requests) == 20
