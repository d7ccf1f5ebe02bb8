"""What Leshan's integration tests of the registration interface ask of a server, its lockstep tests included.

Each test is named after the class there. Where Berth decides otherwise on purpose the test says what it does.
"""

import pytest
from coapraw import CONTENT_FORMAT, DELETE, GET, LINK_FORMAT, POST, uint
from played_device import PlayedDevice, play  # noqa: F401

LINKS = '</1/0>,</3/0>;pmin=5,</3303>;ver="1.1",</3303/0>;title="a,b"'


def register(peer, *query: str, links: str | None = "</1/0>,</3/0>"):
    options = [] if links is None else [(CONTENT_FORMAT, uint(LINK_FORMAT))]
    return peer.request(POST, "/rd", list(query), (links or "").encode(), options)


# ---- RegistrationTest ----


def test_leshan_Registration_links_keep_their_attributes(berth):
    berth.register("dev1", links=LINKS)
    objects = {item["path"]: item["attributes"] for item in berth.device("dev1")["objects"]}
    assert objects == {"/1/0": {}, "/3/0": {"pmin": "5"}, "/3303": {"ver": "1.1"}, "/3303/0": {"title": "a,b"}}


def test_leshan_Registration_update_within_the_lifetime_keeps_it(berth):
    device = berth.register("dev1", lifetime=60)
    for _ in range(3):
        berth.leap("50s")
        assert device.update().code_text == "2.04"
    assert berth.device("dev1")["location"] == device.location


def test_leshan_Registration_deregister_drops_it(berth):
    device = berth.register("dev1")
    assert device.deregister().code_text == "2.02"
    assert berth.get("/v1/devices")["items"] == []


@pytest.mark.parametrize("deregisters", [True, False])
def test_leshan_Registration_again_is_one_entry(berth, deregisters):
    first = berth.register("dev1")
    if deregisters:
        first.deregister()
    second = berth.register("dev1", peer=first.peer)
    assert [device["location"] for device in berth.get("/v1/devices")["items"]] == [second.location]


def test_leshan_Registration_again_cancels_all_pending_requests(play, berth):
    device = play("dev1")
    asked = [device.ask("GET", f"/3/0/{number}") for number in range(3)]
    while berth.waiting() < 3:
        pass
    berth.register("dev1", peer=berth.peer())
    assert {call.answer(410).problem for call in asked} == {"registration-gone"}


def test_leshan_Registration_additional_attributes_are_kept(berth):
    berth.register("dev1", extra=["imei=2136872368", "x"])
    assert berth.device("dev1")["parameters"] == {"imei": "2136872368", "x": True}


def test_leshan_Registration_without_an_endpoint_name_is_refused(berth):
    # Leshan says 4.03. Without an identity that could be named nothing is forbidden: the request lacks a part (4.00).
    assert register(berth.peer(), "lwm2m=1.1").code_text == "4.00"


# ---- LockStepTest ----


@pytest.mark.parametrize(("version", "code"), [("1.0", "4.00"), ("1.1", "4.00"), ("1.2", "4.09")])
def test_leshan_LockStep_register_without_object_list(berth, version, code):
    assert register(berth.peer(), "ep=dev1", f"lwm2m={version}", links=None).code_text == code
    assert berth.get("/v1/devices")["items"] == []


@pytest.mark.parametrize(("version", "binding", "letters", "queue", "odd"), [("1.0", "UQ", "U", True, 0), ("1.1", "UT", "UT", False, 0), ("1.1", "UQ", "U", True, 1)])
def test_leshan_LockStep_binding_of_the_version(berth, version, binding, letters, queue, odd):
    # What Leshan refuses with 4.00 is accepted with an oddity, as some clients do it; a strict listener refuses it.
    assert register(berth.peer(), "ep=dev1", f"lwm2m={version}", f"b={binding}").code_text == "2.01"
    device = berth.device("dev1")
    assert (device["binding"], device["queue_mode"]) == (letters, queue)
    assert len(berth.events_after(0, types="oddity")) == odd


@pytest.mark.parametrize(("version", "binding", "code"), [("1.0", "UQ", "2.01"), ("1.1", "UT", "2.01"), ("1.1", "UQ", "4.00")])
def test_leshan_LockStep_binding_of_another_version_on_a_strict_listener(start_berth, version, binding, code):
    berth = start_berth(listen=("coap://127.0.0.1:0?strict=1",))
    port = int(berth.listeners[0].partition("?")[0].rpartition(":")[2])
    assert register(berth.peer(port=port), "ep=dev1", f"lwm2m={version}", f"b={binding}").code_text == code


@pytest.mark.parametrize(("version", "binding", "code"), [("1.0", "UQ", "2.04"), ("1.1", "UT", "2.04"), ("1.1", "X", "4.00")])
def test_leshan_LockStep_binding_in_an_update(berth, version, binding, code):
    device = berth.register("dev1", version=version)
    assert device.update([f"b={binding}"]).code_text == code


def test_leshan_LockStep_request_without_an_acknowledgement_is_given_up_after_the_retransmissions(play, berth):
    device = play("dev1")
    asked = device.ask("GET", "/3/0/9")
    first = device.expect(GET, "/3/0/9")
    for _ in range(4):
        berth.leap("50s")
        assert device.peer.receive() == first
    berth.leap("50s")
    answer = asked.answer(504)
    assert (answer.problem, answer.json["outcome"], answer.json["retransmissions"]) == ("no-answer", "no-ack", 4)


def test_leshan_LockStep_acknowledged_and_unanswered_is_another_error(play, berth):
    device = play("dev1")
    asked = device.ask("GET", "/3/0/9")
    device.acknowledge(device.expect(GET, "/3/0/9"))
    device.peer.ping()
    berth.leap("247s")
    answer = asked.answer(504)
    assert (answer.problem, answer.json["outcome"], answer.json["retransmissions"]) == ("no-answer", "no-response", 0)


@pytest.mark.parametrize("format", [110, 112])
def test_leshan_LockStep_timestamped_values_in_a_read(play, format):
    device = play("dev1")
    payload = {110: b'[{"bn":"/3/0/9","bt":1700000000,"v":1},{"t":60,"v":2}]', 112: bytes.fromhex("82a321662f332f302f39221a6553f1000201a206183c0202")}
    answer = device.read("/3/0/9", format, payload[format]).json
    assert (answer["value"], answer["ts"]) == (2, "2023-11-14T22:14:20.000Z")
    assert [entry["value"] for entry in answer["history"]] == [1, 2]


def test_leshan_LockStep_timestamped_values_in_a_composite_read(play):
    device = play("dev1")
    asked = device.ask("POST", "/composite/read", {"paths": ["/3/0/9"]})
    payload = b'[{"bn":"/3/0/9","bt":1700000000,"v":1},{"t":60,"v":2}]'
    device.answer(device.expect(5, "/"), "2.05", 110, payload)
    answer = asked.answer(200).json["resources"]["/3/0/9"]
    assert (answer["value"], [entry["value"] for entry in answer["history"]]) == (2, [1, 2])


# ---- MultiEndpointsTest ----


def test_leshan_MultiEndpoints_other_listener(start_berth):
    # Leshan refuses an Update that comes through another endpoint. Devices do move between networks: Berth goes with
    # them (UPD-13). A Send, which nothing but its address tells the sender of, is refused (test_leshan_send.py).
    berth = start_berth(listen=("coap://127.0.0.1:0", "coap://127.0.0.1:0"))
    device = berth.register("dev1")
    other = berth.peer(port=int(berth.listeners[1].rpartition(":")[2]))
    assert other.request(POST, device.location).code_text == "2.04"
    assert berth.device("dev1")["address"] == other.address
    assert device.peer.request(DELETE, device.location).code_text == "2.02"
