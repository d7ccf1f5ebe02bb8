"""Devices that speak OSCORE (RFC 8613) with a server: challenges, operations, observations, Appendix B.2, restarts, and
what is refused."""

import threading

import pytest

from coapraw import ACK, CON, POST, Peer
from coapstream import PrefixedPeer, StreamPeer
from dtls_peer import DtlsPeer
from oscore_peer import CREDENTIAL, ECHO, OBSERVE, OSCORE, OscorePeer, read_option

CONTENT_FORMAT, MAX_AGE = 12, 14
LINKS = b"</1/0>,</3/0>"
REGISTER = ["ep=dev1", "lt=300", "lwm2m=1.1", "b=U"]
LINK_FORMAT = [(CONTENT_FORMAT, b"\x28")]


def put(berth, endpoint="dev1", expected=(201, 204), **changes):
    answer = berth.http("PUT", f"/v1/credentials/{endpoint}", {**CREDENTIAL, **changes})
    assert answer.status in expected, answer.body
    return answer


@pytest.fixture
def device(berth):
    put(berth)
    device = OscorePeer(berth.coap_port)
    yield device
    device.close()


def register(device, query=REGISTER, code="2.01", **kwargs):
    answer = device.request(POST, "rd", query, LINKS, LINK_FORMAT, **kwargs)
    assert answer.code_text == code, f"{answer.code_text} {answer.payload!r}"
    return answer.location


def ask(berth, *args, **kwargs):
    """An HTTP request in a thread: the device answers meanwhile."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(berth.http(*args, **kwargs)))
    thread.start()

    def result():
        thread.join(30)
        return answers[0]

    return result


def refused(answer, code, diagnostic):
    assert (answer.code_text, answer.payload.decode()) == (code, diagnostic)
    assert answer.one(OSCORE) is None and answer.one(MAX_AGE) == b""


def test_OSC_10_first_request_is_challenged_and_the_next_not(berth, device):
    answer = device.once(POST, "rd", REGISTER, LINKS, LINK_FORMAT)
    assert answer.code_text == "4.01" and len(answer.one(ECHO)) == 8
    assert read_option(device.wire[-1].one(OSCORE))[0] == b"\x00"  # a Partial IV of the challenge's own
    assert berth.http("GET", "/v1/devices/dev1").status == 404
    location = register(device)
    assert device.once(POST, location).code_text == "2.04"
    security = berth.device("dev1")["security"]
    assert (security["mode"], security["identity"]) == ("oscore", "01")


def test_OSC_18_OSC_08_every_message_is_protected_and_errors_are(berth, device):
    location = register(device)
    assert device.once(POST, "/rd/none").code_text == "4.04"
    assert device.once(4, location).code_text == "2.02"
    for message in device.wire:
        assert message.one(OSCORE) is not None
        assert message.code_text in ("0.02", "2.04")
        assert b"dev1" not in message.encode() and b"</1/0>" not in message.encode()


def test_OSC_15_operations_and_their_formats(berth, device):
    register(device)
    read = ask(berth, "GET", "/v1/devices/dev1/3/0/9")
    asked, request = device.take_request()
    assert asked.code == 1 and [value for _, value in asked.options if value in (b"3", b"0", b"9")] == [b"3", b"0", b"9"]
    device.respond(asked, request, "2.05", b"95", [(CONTENT_FORMAT, b"")])
    assert read().json["value"] == 95
    write = ask(berth, "PUT", "/v1/devices/dev1/3/0/15", {"value": "Europe/Helsinki"})
    asked, request = device.take_request()
    device.respond(asked, request, "2.04")
    assert write().status == 204


def test_OSC_17_a_long_value_goes_in_inner_blocks(berth, device):
    register(device)
    write = ask(berth, "PUT", "/v1/devices/dev1/3/0/15?format=text", {"value": "x" * 3000})
    body = b""
    while len(body) < 3000:
        asked, request = device.take_request()
        body += asked.payload
        block = asked.one(27)
        assert block is not None and all(message.one(27) is None for message in device.wire)
        device.respond(asked, request, "2.04" if len(body) == 3000 else "2.31", options=[(27, block)])
    assert write().status == 204
    assert body == b"x" * 3000


def test_OSC_09_notifications_and_their_order(berth, device):
    register(device)
    begun = ask(berth, "PUT", "/v1/devices/dev1/3/0/9/observe")
    asked, request = device.take_request()
    assert asked.one(OBSERVE) == b"" and device.wire[-1].code_text == "0.05"
    device.respond(asked, request, "2.05", b"1", [(OBSERVE, b""), (CONTENT_FORMAT, b"")])
    assert begun().status in (200, 201)

    def tell(value, mid, sequence):
        return device.respond(asked, request, "2.05", value, [(OBSERVE, sequence), (CONTENT_FORMAT, b"")], own=True,
                              type=CON, mid=mid)

    first = tell(b"2", 1000, b"\x05")
    assert device.peer.receive().type == ACK
    tell(b"3", 1001, b"\x01")  # what is said outside does not count
    assert device.peer.receive().type == ACK
    first.mid = 1002  # an old one again
    device.peer.send(first)
    assert device.peer.receive().type == ACK
    values = [event["value"] for event in berth.events_after(types="notification")]
    assert values == [1, 2, 3]


def test_OSC_05_OSC_07_OSC_04_what_is_refused_and_how(berth, device):
    peer = berth.peer()
    refused(peer.request(POST, options=[(OSCORE, b"\x09\x00\x7f")], payload=b"x" * 12), "4.01", "Security context not found")
    refused(peer.request(POST, options=[(OSCORE, b"\x09\x00\x01")], payload=b"x" * 12), "4.00", "Decryption failed")
    refused(peer.request(POST, options=[(OSCORE, b"\x29\x00\x01")], payload=b"x" * 12), "4.02", "Failed to decode COSE")
    refused(peer.request(POST, options=[(OSCORE, b"\x08\x01")], payload=b"x" * 12), "4.02", "Failed to decode COSE")
    register(device)  # nothing of it has done harm
    told = [event["detail"] for event in berth.events_after(types="rejected")]
    assert told[0] == "OSCORE: Security context not found"


def test_OSC_06_replay_and_copy(berth, device):
    register(device)
    outer, request = device.protect(device.peer.message(POST, "rd", REGISTER, LINKS, LINK_FORMAT))
    first = device.exchange(outer)
    assert device.exchange(outer).encode() == first.encode()
    outer.mid = device.peer.next_mid()
    refused(device.exchange(outer), "4.01", "Replay detected")
    assert len(berth.events_after(types="replaced,registered")) == 2


def test_OSC_11_another_endpoint_than_the_contexts(berth, device):
    register(device, ["ep=other", "lt=300", "lwm2m=1.1", "b=U"], code="4.00")
    register(device, ["lt=300", "lwm2m=1.1", "b=U"])  # the context tells
    assert berth.device("dev1")["state"] == "registered"


def test_OSC_16_without_oscore_the_registration_is_somebody_elses(berth, device):
    location = register(device)
    peer = berth.peer()
    assert peer.request(POST, location).code_text == "4.00"
    assert peer.request(POST, "rd", REGISTER, LINKS, LINK_FORMAT).code_text == "4.03"
    plain = berth.register("plain")
    assert device.once(POST, plain.location).code_text == "4.00"


def test_OSC_16_nothing_of_a_registration_is_changed_without_oscore(berth, device):
    location = register(device)
    before = berth.last_event()
    peer = berth.peer()
    for method, path, options, payload in (
        (POST, location, [], b""),
        (POST, location, LINK_FORMAT, LINKS),
        (4, location, [], b""),
        (POST, "dp", [(CONTENT_FORMAT, b"\x70")], bytes.fromhex("81a2006733302f302f3902185f")),
    ):
        answer = peer.request(method, path, payload=payload, options=options)
        assert answer.code_text[0] == "4", f"{method} {path}: {answer.code_text}"
    assert {event["type"] for event in berth.events_after(before)} <= {"rejected"}
    assert device.once(POST, location).code_text == "2.04"


def test_a_device_moves_with_its_context(berth, device):
    location = register(device)
    before = berth.device("dev1")["address"]
    device.peer = berth.peer()
    assert device.once(POST, location).code_text == "2.04"
    assert berth.device("dev1")["address"] != before
    assert berth.await_event("address_changed", "dev1")
    read = ask(berth, "GET", "/v1/devices/dev1/3/0/9")
    asked, request = device.take_request()
    device.respond(asked, request, "2.05", b"5", [(CONTENT_FORMAT, b"")])
    assert read().json["value"] == 5


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_OSC_12_after_a_restart_numbers_jump_and_the_device_is_challenged(berth, device, how):
    location = register(device)
    read = ask(berth, "GET", "/v1/devices/dev1/3/0/9")
    asked, request = device.take_request()
    device.respond(asked, request, "2.05", b"5", [(CONTENT_FORMAT, b"")])
    assert read().json["value"] == 5
    used = int.from_bytes(request[1], "big")
    if how == "kill":
        berth.kill()
        berth.start()
    else:
        berth.restart()
    device.peer = berth.peer()
    answer = device.once(POST, location)
    assert answer.code_text == "4.01" and len(answer.one(ECHO)) == 8
    number = int.from_bytes(read_option(device.wire[-1].one(OSCORE))[0], "big")
    assert number > used
    assert device.request(POST, location).code_text == "2.04"
    read = ask(berth, "GET", "/v1/devices/dev1/3/0/9")
    asked, request = device.take_request()
    assert int.from_bytes(request[1], "big") > number
    device.respond(asked, request, "2.05", b"6", [(CONTENT_FORMAT, b"")])
    assert read().json["value"] == 6


def test_a_device_is_asked_after_a_restart_before_it_is_heard(berth, device):
    register(device)
    berth.restart()
    read = ask(berth, "GET", "/v1/devices/dev1/3/0/9")
    asked, request = device.take_request(10)
    device.respond(asked, request, "2.05", b"7", [(CONTENT_FORMAT, b"")])
    assert read().json["value"] == 7


def test_OSC_13_registration_by_appendix_b2_and_its_bytes(berth, device):
    answer = device.rederive(POST, "rd", REGISTER, LINKS, LINK_FORMAT)
    assert answer.code_text == "2.01"
    assert len(device.context.id_context) == 16
    assert berth.device("dev1")["security"]["id_context"] == device.context.id_context.hex()
    assert device.once(POST, answer.location).code_text == "2.04"
    event = berth.await_event("oscore_derived", "dev1")
    assert event["identity"] == "01"
    read = ask(berth, "GET", "/v1/devices/dev1/3/0/9")
    asked, request = device.take_request()
    device.respond(asked, request, "2.05", b"7", [(CONTENT_FORMAT, b"")])
    assert read().json["value"] == 7


def test_OSC_13_derived_context_survives_a_restart(berth, device):
    location = device.rederive(POST, "rd", REGISTER, LINKS, LINK_FORMAT).location
    berth.kill()
    berth.start()
    device.peer = berth.peer()
    assert device.request(POST, location).code_text == "2.04"  # challenged, with the context that was derived
    answer = device.rederive(POST, "rd", REGISTER, LINKS, LINK_FORMAT)  # and again at will
    assert answer.code_text == "2.01"


def test_OSC_13_a_credential_put_again_begins_with_what_is_configured(berth, device):
    device.rederive(POST, "rd", REGISTER, LINKS, LINK_FORMAT)
    put(berth)
    device.derive(None)
    register(device)


def test_numbers_go_on_when_the_same_keys_come_back(berth, device):
    register(device)
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    refused(device.exchange(device.protect(device.peer.message(POST, "rd"))[0]), "4.01", "Security context not found")
    put(berth)
    answer = device.once(POST, "rd", REGISTER, LINKS, LINK_FORMAT)
    assert answer.code_text == "4.01"
    assert int.from_bytes(read_option(device.wire[-1].one(OSCORE))[0], "big") > 0


def test_other_algorithms_are_kept_and_shown(berth):
    put(berth, aead="A128GCM", hkdf="SHA-512", recipient_id_hex="010203040506")
    (credential,) = berth.get("/v1/credentials/dev1")["items"]
    assert (credential["aead"], credential["hkdf"]) == ("A128GCM", "SHA-512")
    put(berth, aead="A128GCM", recipient_id_hex="01020304050607", expected=(400,))
    berth.restart()
    assert berth.get("/v1/credentials/dev1")["items"] == [credential]


def test_a_recipient_id_belongs_to_one_endpoint(berth, device):
    put(berth, "dev2", expected=(409,))


def test_bytes_of_the_articles_example(berth):
    """Establishing by registration with Appendix B.2, and an Update: what goes over the wire, UDP payload."""
    put(berth)
    peer = Peer(berth.coap_port)
    peer.next_token = lambda: b"\x01"
    device = OscorePeer(berth.coap_port, peer=peer)
    links = b"</1/0>,</3/0>"
    answer = device.rederive(POST, "rd", ["ep=dev1", "lt=300", "lwm2m=1.1", "b=U"], links, LINK_FORMAT)
    established = device.sent + device.received
    print(f"established: {device.sent} + {device.received} = {established} bytes")
    assert established <= 359
    device.sent = device.received = 0
    assert device.once(POST, answer.location).code_text == "2.04"
    print(f"update: {device.sent} + {device.received}")
    assert device.sent <= 48 and device.received <= 17
    device.close()


LISTEN = ["coap://127.0.0.1:0", "coaps://127.0.0.1:0", "coap+tcp://127.0.0.1:0"]


def carrier(berth, kind):
    _, coaps, tcp = (int(uri.rpartition(":")[2]) for uri in berth.listeners)
    if kind == "dtls":
        berth.http("PUT", "/v1/credentials/outer", {"mode": "psk", "identity": "outer", "key_hex": "00" * 16})
        return DtlsPeer(coaps, psk=("outer", bytes(16)))
    return {"tcp": StreamPeer, "prefixed": PrefixedPeer}[kind](tcp)


@pytest.mark.parametrize("kind", ["dtls", "tcp", "prefixed"])
def test_OSC_10_OSC_13_OSC_15_over_other_transports(start_berth, kind):
    berth = start_berth(listen=LISTEN)
    put(berth)
    device = OscorePeer(0, peer=carrier(berth, kind))
    location = register(device)
    shown = berth.device("dev1")
    assert berth.get("/v1/devices/dev1/traffic")["total"]["bytes_in"] > 50
    assert ("cipher_suite" in shown["security"]) == (kind == "dtls")
    assert shown["transport"] == ("dtls" if kind == "dtls" else "tcp")
    assert (shown["security"]["mode"], shown["security"]["identity"]) == ("oscore", "01")
    read = ask(berth, "GET", "/v1/devices/dev1/3/0/9")
    asked, request = device.take_request()
    device.respond(asked, request, "2.05", b"95", [(CONTENT_FORMAT, b"")])
    assert read().json["value"] == 95
    device.close()
    device.peer = carrier(berth, kind)  # comes back with another session or connection, and derives anew
    location = device.rederive(POST, "rd", REGISTER, LINKS, LINK_FORMAT).location
    assert device.once(POST, location).code_text == "2.04"
    read = ask(berth, "GET", "/v1/devices/dev1/3/0/9")
    asked, request = device.take_request()
    device.respond(asked, request, "2.05", b"96", [(CONTENT_FORMAT, b"")])
    assert read().json["value"] == 96
    device.close()


def test_a_closed_connection_makes_the_device_unreachable(start_berth):
    berth = start_berth(listen=LISTEN)
    put(berth)
    device = OscorePeer(0, peer=carrier(berth, "tcp"))
    register(device)
    assert berth.device("dev1")["reachable"] is True
    device.close()
    berth.await_event("connection_closed")
    assert berth.device("dev1")["reachable"] is False
