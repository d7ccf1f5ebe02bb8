"""CoAP messages over UDP, RFC 7252 sections 3 to 5: format errors, deduplication, separate responses."""

import socket
import struct

import pytest

from coapraw import (
    ACK,
    CON,
    CONTENT_FORMAT,
    DELETE,
    EMPTY,
    FETCH,
    GET,
    LINK_FORMAT,
    NON,
    POST,
    PUT,
    RST,
    Coap,
    Peer,
    code,
    uint,
)
from vectors import vector, with_mid

OBJECTS = b"</1/0>,</3/0>"


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def peer(berth):
    return berth.peer()


def register_message(peer, endpoint, **kwargs):
    query = [f"ep={endpoint}", "lt=300", "lwm2m=1.1", "b=U"]
    return peer.message(POST, "/rd", query, OBJECTS, [(CONTENT_FORMAT, uint(LINK_FORMAT))], **kwargs)


def reset_of(mid):
    return struct.pack("!BBH", 0x70, 0, mid)


# ---- what is no message at all ----


@pytest.mark.parametrize("data", [b"", b"\x40", vector("N-11"), b"\x40\x01\x7d"], ids=["0", "1", "2", "3"])
def test_MSG_01_datagram_shorter_than_a_header_is_dropped(peer, data):
    peer.send_raw(data)
    peer.expect_silence()


@pytest.mark.parametrize("type", [CON, NON, ACK, RST])
@pytest.mark.parametrize("version", [0, 2, 3])
def test_MSG_02_other_versions_are_dropped(peer, version, type):
    peer.send_raw(bytes([version << 6 | type << 4]) + vector("N-08")[1:])
    peer.expect_silence()


# ---- empty messages ----


def test_MSG_03_ping_is_answered_with_a_reset(peer):
    peer.send_raw(vector("M-01"))
    assert peer.receive_raw() == vector("M-02")


@pytest.mark.parametrize(
    "data",
    [vector("N-01"), vector("N-02"), bytes.fromhex("48007d340102030405060708"), bytes.fromhex("40007d34ff61")],
    ids=["token", "option", "long-token", "payload"],
)
def test_MSG_04_empty_con_with_more_than_a_header_is_reset(peer, data):
    peer.send_raw(data)
    assert peer.receive_raw() == vector("M-02")


@pytest.mark.parametrize("first", [0x60, 0x70])
def test_MSG_05_stray_empty_ack_with_trailing_bytes_is_tolerated(berth, peer, first):
    mark = berth.last_event()
    peer.send_raw(bytes([first]) + bytes.fromhex("007d34c0"))
    peer.expect_silence()
    assert [event["type"] for event in berth.events_after(mark)] == ["oddity"]


def test_MSG_06_empty_non_is_dropped(peer):
    peer.send_raw(bytes.fromhex("50007d34"))
    peer.expect_silence()


# ---- format errors ----

FORMAT_ERRORS = {
    "MSG_07": {
        **{f"token-length-{n}": bytes([n]) + bytes.fromhex("017d34") + bytes(n) for n in range(9, 16)},
        "token-cut-off": bytes.fromhex("04017d340102"),
    },
    "MSG_08": {
        "delta-15": vector("N-06"),
        "length-15": vector("N-07"),
        "both-15-late": bytes.fromhex("40017d34b27264f0"),
    },
    "MSG_09": {
        "value": vector("N-04"),
        "8-bit-length": bytes.fromhex("40017d34bd"),
        "16-bit-length": bytes.fromhex("40017d34be01"),
        "8-bit-delta": bytes.fromhex("40017d34d0"),
        "16-bit-delta": bytes.fromhex("40017d34e001"),
        "value-of-65804": bytes.fromhex("40017d34beffff61"),
    },
    "MSG_10": {"after-options": vector("N-05"), "after-the-header": bytes.fromhex("40017d34ff")},
    "MSG_11": {"sum-65536": bytes.fromhex("40017d34e0fef210"), "delta-65804": bytes.fromhex("40017d34e0ffff")},
}


def cases(row):
    return pytest.mark.parametrize("data", FORMAT_ERRORS[row].values(), ids=FORMAT_ERRORS[row].keys())


def check_format_error(peer, data, type):
    """RFC 7252 sections 4.2 and 4.3: a CON is reset, everything else is dropped."""
    peer.send_raw(bytes([1 << 6 | type << 4 | data[0] & 15]) + data[1:])
    if type == CON:
        assert peer.receive_raw() == reset_of(0x7D34)
    else:
        peer.expect_silence()


EVERY_TYPE = pytest.mark.parametrize("type", [CON, NON, ACK, RST], ids=["CON", "NON", "ACK", "RST"])


@EVERY_TYPE
@cases("MSG_07")
def test_MSG_07_MSG_50_bad_token_length_is_a_format_error(peer, data, type):
    check_format_error(peer, data, type)


@EVERY_TYPE
@cases("MSG_08")
def test_MSG_08_reserved_nibble_is_a_format_error(peer, data, type):
    check_format_error(peer, data, type)


@EVERY_TYPE
@cases("MSG_09")
def test_MSG_09_option_past_the_end_is_a_format_error(peer, data, type):
    check_format_error(peer, data, type)


@EVERY_TYPE
@cases("MSG_10")
def test_MSG_10_payload_marker_without_payload_is_a_format_error(peer, data, type):
    check_format_error(peer, data, type)


@EVERY_TYPE
@cases("MSG_11")
def test_MSG_11_option_number_above_65535_is_a_format_error(peer, data, type):
    check_format_error(peer, data, type)


RESERVED_CODES = pytest.mark.parametrize(
    "message_code", [0x20, 0x21, 0x3F, 0x60, 0x61, 0xC0, 0xE1, 0xE2, 0xFF], ids=hex
)


@RESERVED_CODES
def test_MSG_12_con_of_a_reserved_class_is_reset(peer, message_code):
    mid = peer.next_mid()
    peer.send(Coap(CON, message_code, mid))
    assert peer.receive_raw() == reset_of(mid)


@RESERVED_CODES
def test_MSG_12_non_of_a_reserved_class_is_dropped(peer, message_code):
    peer.send(Coap(NON, message_code, peer.next_mid(), b"\x01"))
    peer.expect_silence()


@pytest.mark.parametrize("message_code", [GET, POST, PUT, DELETE, FETCH, 0x1F, 0x20, 0xE1, 0xFF], ids=hex)
@pytest.mark.parametrize("type", [ACK, RST], ids=["ACK", "RST"])
def test_MSG_13_ack_or_reset_with_a_request_or_reserved_code_is_dropped(peer, type, message_code):
    peer.send(Coap(type, message_code, peer.next_mid(), b"\x01\x02", [(11, b"rd")]))
    peer.expect_silence()


@pytest.mark.parametrize("message_code", [0x41, 0x45, 0x84, 0xA0], ids=hex)
def test_MSG_13_reset_that_is_not_empty_is_dropped(peer, message_code):
    peer.send(Coap(RST, message_code, peer.next_mid(), b"\x01\x02"))
    peer.expect_silence()


# ---- methods and paths ----


@pytest.mark.parametrize("method", range(8, 32))
def test_MSG_14_unknown_method_is_4_05(peer, method):
    answer = peer.request(method, "/rd")
    assert (answer.type, answer.code_text) == (ACK, "4.05")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (GET, "/rd"),
        (PUT, "/rd"),
        (DELETE, "/rd"),
        (FETCH, "/rd"),
        (PUT, "/dp"),
        (GET, "/dp"),
        (GET, "/bs"),
        (PUT, "/bs"),
        (POST, "/.well-known/core"),
        (PUT, "/.well-known/core"),
        (DELETE, "/.well-known/core"),
    ],
)
def test_MSG_15_known_method_that_the_resource_does_not_have_is_4_05(peer, method, path):
    assert peer.request(method, path).code_text == "4.05"


@pytest.mark.parametrize("method", [GET, FETCH, 6, 7])
def test_MSG_15_location_has_neither_get_nor_fetch_nor_patch(berth, method):
    device = berth.register("msg-15")
    assert device.peer.request(method, device.location).code_text == "4.05"


@pytest.mark.parametrize("method", [GET, POST, PUT, DELETE])
@pytest.mark.parametrize(
    "path", ["/nothing", "/", "/rdx", "/RD", "/.well-known", "/.well-known/other", "/dp/1", "/bs/1"]
)
def test_MSG_16_unknown_path_is_4_04(peer, method, path):
    assert peer.request(method, path).code_text == "4.04"


def test_MSG_16_path_of_200_segments_is_refused_and_harms_nobody(peer):
    answer = peer.request(GET, "/a" * 200)
    assert answer.code_text in ("4.04", "4.02")


# ---- responses and acknowledgements that nobody waits for ----

RESPONSE_CODES = pytest.mark.parametrize(
    "text", ["2.01", "2.04", "2.05", "2.31", "2.10", "4.00", "4.04", "4.13", "4.31", "5.00", "5.03", "5.31"]
)


@RESPONSE_CODES
@pytest.mark.parametrize("type", [CON, NON], ids=["CON", "NON"])
def test_MSG_17_response_with_an_unknown_token_is_reset(peer, type, text):
    mid = peer.next_mid()
    peer.send(Coap(type, code(text), mid, b"\x01\x02\x03\x04", payload=b"95"))
    assert peer.receive_raw() == reset_of(mid)


@pytest.mark.parametrize("data", ["60007d34", "70007d34", "60847d34", "64457d34a1b2c3d4ff3935", "608d7d34", "605f7d34"])
def test_MSG_18_ack_or_reset_with_an_unknown_message_id_is_dropped(peer, data):
    peer.send_raw(bytes.fromhex(data))
    peer.expect_silence()


# ---- deduplication ----


def test_MSG_22_repeated_con_gets_the_same_bytes(berth, peer):
    register = with_mid(vector("M-04"), 0x2222).replace(b"ep=dev1", b"ep=m-22")
    mark = berth.last_event()
    peer.send_raw(register)
    first = peer.receive_raw()
    assert Coap.decode(first).code_text == "2.01"
    for _ in range(3):
        peer.send_raw(register)
        assert peer.receive_raw() == first
    assert [event["type"] for event in berth.events_after(mark, endpoint="m-22")] == ["registered"]


@pytest.mark.parametrize(("after", "types"), [("240s", ["registered"]), ("250s", ["registered", "replaced"])])
def test_MSG_22_con_is_remembered_for_247_seconds(berth, peer, after, types):
    endpoint = f"msg-22-{after}"
    mark = berth.last_event()
    register = register_message(peer, endpoint)
    peer.send(register)
    first = peer.response(register)
    berth.leap(after)
    peer.send(register)
    again = peer.response(register)
    assert [event["type"] for event in berth.events_after(mark, endpoint=endpoint)] == types
    assert (again == first) == (len(types) == 1)


def test_MSG_22_error_answers_are_repeated_too(peer):
    message = peer.message(GET, "/nothing")
    peer.send(message)
    first = peer.receive_raw()
    peer.send(message)
    assert peer.receive_raw() == first


def test_MSG_22_the_last_8_messages_of_a_peer_are_remembered(peer):
    messages = [peer.message(GET, f"/nothing/{i}") for i in range(8)]
    for message in messages:
        peer.send(message)
    answers = [peer.receive_raw() for _ in messages]
    for message, answer in zip(messages, answers, strict=True):
        peer.send(message)
        assert peer.receive_raw() == answer


def test_MSG_23_repeated_non_is_ignored(berth, peer):
    register = register_message(peer, "msg-23", type=NON)
    mark = berth.last_event()
    peer.send(register)
    assert peer.response(register).code_text == "2.01"
    peer.send(register)
    peer.expect_silence()
    assert len(berth.events_after(mark, endpoint="msg-23", types="registered,replaced")) == 1


@pytest.mark.parametrize(("after", "times"), [("140s", 1), ("150s", 2)])
def test_MSG_23_non_is_remembered_for_145_seconds(berth, peer, after, times):
    endpoint = f"msg-23-{after}"
    register = register_message(peer, endpoint, type=NON)
    mark = berth.last_event()
    peer.send(register)
    peer.response(register)
    berth.leap(after)
    peer.send(register)
    if times == 1:
        peer.expect_silence()
    else:
        peer.response(register)
    assert len(berth.events_after(mark, endpoint=endpoint, types="registered,replaced")) == times


def test_MSG_24_same_message_id_from_another_port_is_another_message(berth, peer):
    other = berth.peer()
    one, two = (register_message(who, f"msg-24-{i}", mid=0x4242) for i, who in enumerate((peer, other)))
    peer.send(one)
    other.send(two)
    assert peer.response(one).code_text == other.response(two).code_text == "2.01"


def test_MSG_25_message_id_used_again_gets_the_old_answer_and_a_warning(berth, peer):
    first = peer.message(GET, "/nothing", mid=0x2525, token=b"old")
    peer.send(first)
    answer = peer.receive_raw()
    mark = berth.last_event()
    peer.send(peer.message(GET, "/.well-known/core", mid=0x2525, token=b"new"))
    assert peer.receive_raw() == answer
    oddities = berth.events_after(mark, types="oddity")
    assert len(oddities) == 1 and "Message ID" in oddities[0]["detail"]


# ---- piggybacked and separate responses ----


def test_MSG_26_answer_rides_on_the_acknowledgement(peer):
    register = register_message(peer, "msg-26")
    peer.send(register)
    answer = peer.receive()
    assert (answer.type, answer.mid, answer.token) == (ACK, register.mid, register.token)


@pytest.fixture
def delayed(berth, peer):
    """A Register whose answer has been announced with an empty ACK, and the separate response to it."""
    register = register_message(peer, "delayed")
    with berth.no_commit():
        peer.send(register)
        peer.ping()
        berth.leap("2s")
        ack = peer.receive()
        peer.send(register)
        ack_again = peer.receive()
    return register, ack, ack_again, peer.receive()


def test_MSG_27_answer_that_takes_long_comes_separately(delayed):
    register, ack, _, response = delayed
    assert ack == Coap(ACK, EMPTY, register.mid)
    assert (response.type, response.code_text, response.token) == (CON, "2.01", register.token)


def test_MSG_27_separate_response_is_sent_again_until_it_is_acknowledged(berth, peer, delayed):
    response = delayed[-1]
    berth.leap("3s")
    assert peer.receive() == response
    berth.leap("6s")
    assert peer.receive() == response
    peer.send(Coap(ACK, EMPTY, response.mid))
    peer.ping()
    berth.leap("100s")
    peer.expect_silence()


def test_MSG_27_separate_response_is_given_up_after_4_retransmissions(berth, peer, delayed):
    for wait in ("3s", "6s", "12s", "24s"):
        berth.leap(wait)
        assert peer.receive() == delayed[-1]
    berth.leap("48s")
    peer.expect_silence()


def test_MSG_28_repeated_request_gets_the_empty_ack_again(peer, delayed):
    register, ack, ack_again, response = delayed
    assert ack_again == ack
    peer.send(Coap(ACK, EMPTY, response.mid))
    peer.send(register)
    assert peer.receive() == ack, "after the response, too"


def test_MSG_05_empty_ack_with_trailing_c0_acknowledges(berth, peer, delayed):
    response = delayed[-1]
    peer.send_raw(Coap(ACK, EMPTY, response.mid).encode() + b"\xc0")
    peer.ping()
    berth.leap("100s")
    peer.expect_silence()


def test_MSG_18_ack_of_another_message_id_acknowledges_nothing(berth, peer, delayed):
    response = delayed[-1]
    peer.send(Coap(ACK, EMPTY, response.mid ^ 1))
    peer.ping()
    berth.leap("3s")
    assert peer.receive() == response
    peer.send(Coap(ACK, EMPTY, response.mid))


def test_MSG_47_device_that_has_closed_its_port_stays_registered(berth):
    with Peer(berth.coap_port) as gone:
        device = berth.register("msg-47", peer=gone)
        gone.send(gone.message(POST, device.location))
    berth.peer().ping()
    assert berth.device("msg-47")["state"] == "registered"


# ---- tokens, payloads, diagnostics ----


@pytest.mark.parametrize("length", range(9))
def test_MSG_41_token_is_echoed_unchanged(peer, length):
    token = bytes(range(0xF0, 0xF0 + length))
    assert peer.request(GET, "/.well-known/core", token=token).token == token


def test_MSG_44_payload_of_a_get_is_ignored(peer):
    assert peer.request(GET, "/.well-known/core", payload=b"what for?").code_text == "2.05"


def test_MSG_44_payload_of_a_delete_is_ignored(berth):
    device = berth.register("msg-44")
    assert device.deregister(payload=b"</1/0>").code_text == "2.02"


@pytest.mark.parametrize(
    ("method", "path", "query", "options"),
    [
        (GET, "/rd", [], []),
        (GET, "/nothing", [], []),
        (POST, "/rd", ["lwm2m=1.1"], []),
        (POST, "/rd", ["ep=x", "lt=abc", "lwm2m=1.1"], []),
        (POST, "/rd", ["ep=x", "lwm2m=9.9"], []),
        (POST, "/rd/none", [], []),
        (DELETE, "/rd/none", [], []),
        (POST, "/dp", [], []),
        (GET, "/.well-known/core", [], [(17, b"\x3c")]),
        (GET, "/.well-known/core", [], [(65001, b"")]),
        (GET, "/..", [], []),
        (POST, "/rd", [], [(27, b"\x16")]),
        (GET, "/x", [], [(35, b"coap://elsewhere/x")]),
    ],
)
def test_MSG_45_errors_carry_a_short_diagnostic_text(peer, method, path, query, options):
    answer = peer.request(method, path, query, b"x" * 8 if method == POST else b"", options)
    assert answer.code >> 5 in (4, 5)
    assert answer.one(CONTENT_FORMAT) is None
    assert len(answer.payload.decode("utf-8")) == len(answer.payload) <= 64


# ---- confirmability, pings, groups, addresses ----


def test_MSG_46_non_register_update_and_deregister_are_answered_with_non(berth, peer):
    mark = berth.last_event()
    register = register_message(peer, "msg-46", type=NON)
    peer.send(register)
    created = peer.response(register)
    update = peer.request(POST, created.location, type=NON)
    gone = peer.request(DELETE, created.location, type=NON)
    assert [(m.type, m.code_text) for m in (created, update, gone)] == [(NON, "2.01"), (NON, "2.04"), (NON, "2.02")]
    assert len(berth.events_after(mark, endpoint="msg-46", types="oddity")) == 3


def test_MSG_48_device_is_never_pinged_unasked(berth):
    device = berth.register("msg-48", lifetime=86400)
    for _ in range(24):
        berth.leap("1h")
    device.peer.expect_silence()


GROUP = "224.0.1.187"  # All CoAP Nodes (RFC 7252 section 12.8)


@pytest.fixture
def group(start_berth):
    """A socket that sends to the group, and the port of a server on all addresses."""
    server = start_berth(listen=("coap://0.0.0.0:0",))
    membership = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as member,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock, server.coap_port


def fence(sock, port):
    sock.sendto(vector("M-01"), ("127.0.0.1", port))
    assert sock.recv(1500) == vector("M-02"), "something came before the answer to a ping"


@pytest.mark.parametrize(("method", "path"), [(GET, b"nothing"), (POST, b"rd"), (DELETE, b"rd")])
def test_MSG_49_errors_are_not_told_to_who_asked_a_group(group, method, path):
    sock, port = group
    sock.sendto(Coap(NON, method, 1, b"\x01", [(11, path)]).encode(), (GROUP, port))
    fence(sock, port)


def test_MSG_49_discovery_of_a_group_is_answered(group):
    sock, port = group
    sock.sendto(Coap(NON, GET, 1, b"\x01", [(11, b".well-known"), (11, b"core")]).encode(), (GROUP, port))
    assert Coap.decode(sock.recv(1500)).code_text == "2.05"
    fence(sock, port)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "127.1.2.3", "::1"])
def test_MSG_51_answer_leaves_from_the_address_that_was_asked(start_berth, host):
    server = start_berth(listen=("coap://[::]:0",))
    server.peer(host=host).ping()  # its socket is connected: it receives from that address only


def test_MSG_51_answer_leaves_from_the_address_that_was_asked_with_ipv4_alone(start_berth):
    server = start_berth(listen=("coap://0.0.0.0:0",))
    server.peer(host="127.0.0.2").ping()
