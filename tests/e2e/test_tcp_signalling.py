"""RFC 8323 connections (sections 3 and 5): the first message, keepalives, release, abort, and what is no message."""

import pytest
from berth_process import Berth
from coapraw import BLOCK1, BLOCK2, CON, GET, POST, URI_PATH, Coap, block, uint
from coapstream import (
    ABORT,
    ALTERNATIVE_ADDRESS,
    BAD_CSM_OPTION,
    BLOCK_WISE_TRANSFER,
    CSM,
    CUSTODY,
    HOLD_OFF,
    MAX_MESSAGE_SIZE,
    PING,
    PONG,
    RELEASE,
    TCP,
    StreamPeer,
    decode_frame,
    encode_frame,
    frame_size,
    tcp_port,
)
from played_device import Asked

WELL_KNOWN = Coap(CON, GET, 0, b"\x01", [(URI_PATH, b".well-known"), (URI_PATH, b"core")])
OUR_CSM = bytes.fromhex("40e122400020")  # Max-Message-Size 16384, Block-Wise-Transfer
LINKS = "</1/0>,</3/0>"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    berth = Berth(tmp_path_factory.mktemp("berth") / "data", listen=TCP).start()
    yield berth
    berth.close()


@pytest.fixture
def berth(server):
    assert server.is_running, server.log()
    yield server
    server.close_peers()
    assert server.is_running, server.log()


@pytest.fixture
def connect(berth):
    def new(**kwargs):
        peer = StreamPeer(tcp_port(berth), **kwargs)
        berth.peers.append(peer)
        return peer

    return new


@pytest.fixture
def peer(connect):
    return connect()


# ---- the beginning ----


def test_TCP_02_our_csm_is_the_first_message(connect):
    peer = connect(greet=False)
    peer.send_raw(bytes.fromhex("00e1"))
    assert peer.receive_raw() == OUR_CSM
    peer.ping()


def test_TCP_03_requests_right_behind_the_csm_are_processed(connect):
    peer = connect(greet=False)
    peer.send_raw(bytes.fromhex("00e1") + encode_frame(WELL_KNOWN) + encode_frame(WELL_KNOWN))
    assert peer.receive_raw() == OUR_CSM
    assert [peer.receive().code_text for _ in range(2)] == ["2.05", "2.05"]


def test_TCP_28_nothing_is_sent_before_the_peer_has_spoken(connect):
    peer = connect(greet=False)
    assert peer.receive_raw(0.2) is None and not peer.is_closed
    peer.greet([])


def test_TCP_04_a_first_message_that_is_no_csm_is_aborted(berth, connect):
    mark = berth.last_event()
    peer = connect(greet=False)
    peer.send(WELL_KNOWN)
    assert peer.receive_raw() == OUR_CSM
    assert peer.await_abort().payload == b"the first message must be a CSM"
    event = berth.await_event("rejected", after=mark)
    assert event["detail"] == "the first message must be a CSM" and event["address"]
    assert berth.await_event("connection_closed", after=mark)["detail"] == "the first message must be a CSM"


def test_TCP_04_such_connections_can_be_allowed(start_berth):
    berth = start_berth("--allow-missing-csm", listen=TCP)
    peer = StreamPeer(tcp_port(berth), greet=False)
    peer.send(WELL_KNOWN)
    assert peer.receive().code == CSM
    assert peer.receive().code_text == "2.05"
    assert berth.await_event("oddity")["detail"] == "the connection begins without CSM"
    peer.close()


# ---- keepalives ----


def test_TCP_05_a_ping_is_answered_with_its_token(berth, connect):
    peer = connect()
    mark = berth.last_event()
    for token in (b"", b"B", b"12345678"):
        peer.send(Coap(CON, PING, 0, token))
        answer = peer.receive()
        assert (answer.code, answer.token, answer.options) == (PONG, token, [])
    pings = [event for event in berth.events_after(mark) if event["type"] == "ping"]
    assert [event["address"] for event in pings] == [peer.address] * 3


def test_TCP_06_custody_comes_after_everything_before_it(berth, connect):
    peer = connect()
    query = ["ep=custody", "lwm2m=1.1", "b=T"]
    with berth.no_commit():
        register = peer.message(POST, "/rd", query, LINKS.encode())
        peer.send(register)
        peer.send(Coap(CON, PING, 0, b"C", [(CUSTODY, b"")]))
        peer.send(Coap(CON, PING, 0, b"P"))
        plain = peer.receive()
        assert (plain.code, plain.token, plain.options) == (PONG, b"P", [])
    assert peer.receive().token == register.token
    answer = peer.receive()
    assert (answer.code, answer.token, answer.options) == (PONG, b"C", [(CUSTODY, b"")])


def test_TCP_07_empty_messages_are_ignored(peer):
    peer.send_raw(bytes.fromhex("0000"))
    peer.ping()


# ---- the end ----


def test_TCP_08_release_answers_what_was_asked_and_closes(berth, connect):
    peer = connect()
    with berth.no_commit():
        register = peer.message(POST, "/rd", ["ep=releasing", "lwm2m=1.1"], LINKS.encode())
        peer.send(register)
        mark = berth.last_event()
        options = [(ALTERNATIVE_ADDRESS, b"coap+tcp://other"), (HOLD_OFF, uint(10))]
        peer.send(Coap(CON, RELEASE, 0, b"", options))
        assert peer.receive_raw(0.1) is None and not peer.is_closed
    answer = peer.receive()
    assert (answer.token, answer.code_text) == (register.token, "2.01")
    assert peer.await_close() == b""
    closed = berth.await_event("connection_closed", after=mark)
    assert closed["detail"] == "released by the peer for 10 s: coap+tcp://other"
    assert closed["endpoint"] == "releasing"


def test_TCP_09_abort_closes_at_once(berth, connect):
    peer = connect()
    mark = berth.last_event()
    peer.send(Coap(CON, ABORT, 0, b"", [], b"had enough"))
    assert peer.await_close() == b""
    assert berth.await_event("connection_closed", after=mark)["detail"] == "aborted by the peer: had enough"


# ---- options of signalling messages ----


def test_TCP_10_an_unknown_critical_option_of_a_csm(connect):
    peer = connect(greet=False)
    peer.send(Coap(CON, CSM, 0, b"", [(5, b"")]))
    assert peer.receive_raw() == OUR_CSM
    assert peer.await_abort().number(BAD_CSM_OPTION) == 5


@pytest.mark.parametrize("code", [PING, PONG, RELEASE])
def test_TCP_10_an_unknown_critical_option_of_others(peer, code):
    peer.send(Coap(CON, code, 0, b"", [(7, b"")]))
    abort = peer.await_abort()
    assert abort.all(BAD_CSM_OPTION) == [] and b"option 7" in abort.payload


def test_TCP_11_unknown_elective_options_are_ignored(connect):
    peer = connect(csm=[(6, b"x"), (8, b"y")])
    peer.send(Coap(CON, PING, 0, b"E", [(6, b"")]))
    assert peer.receive().code == PONG


def test_TCP_18_codes_without_a_meaning_are_ignored(berth, connect):
    peer = connect()
    mark = berth.last_event()
    peer.send(Coap(CON, 0xE6, 0, b""))
    peer.send(Coap(CON, 0xFF, 0, b"", [(1, b"")]))
    peer.ping()
    assert [event["type"] for event in berth.events_after(mark)] == ["oddity", "oddity", "ping"]


# ---- sizes ----


def long_list(size):
    """An object list of about so many bytes."""
    links, number = ["</1/0>"], 10000
    while sum(map(len, links)) + len(links) < size:
        links.append(f"</{number}/0>")
        number += 1
    return ",".join(links)


def test_TCP_12_a_later_csm_counts_from_then_on(connect):
    peer = connect(csm=[(MAX_MESSAGE_SIZE, uint(4096))])
    whole = peer.request(GET, "/.well-known/core")
    assert whole.one(BLOCK2) is None
    peer.send(Coap(CON, CSM, 0, b"", [(MAX_MESSAGE_SIZE, uint(64))]))
    peer.send(peer.message(GET, "/.well-known/core", options=[(BLOCK2, block(0, False, 0))]))
    assert len(peer.receive_raw()) <= 64


def test_TCP_13_TCP_20_requests_never_exceed_what_the_device_takes(berth, connect):
    peer = connect()  # 1152, since it has not said otherwise
    berth.register("small", peer=peer)
    asked = Asked(berth, "PUT", "/v1/devices/small/3442/0/150", b"x" * 5000, {"Content-Type": "application/octet-stream"})
    got, tokens = b"", set()
    while True:
        frame = peer.receive_raw()
        assert frame is not None and len(frame) <= 1152
        part = decode_frame(frame)
        got += part.payload
        tokens.add(part.token)
        more = int.from_bytes(part.one(BLOCK1), "big") >> 3 & 1
        peer.send(Coap(CON, 0x5F if more else 0x44, 0, part.token, [(BLOCK1, part.one(BLOCK1))]))
        if not more:
            break
    assert b"x" * 5000 in got
    assert len(tokens) == 1  # go-coap knows the blocks of a body by it
    asked.answer(204)


def read_of(peer, most):
    frame = peer.receive_raw(timeout=30)
    assert len(frame) <= most
    peer.send(Coap(CON, 0x45, 0, decode_frame(frame).token, [], b"Berth"))


@pytest.mark.parametrize("most", [34, 50, 100])
def test_TCP_13_a_device_that_takes_little_is_asked_and_written_to(berth, connect, most):
    peer = connect(csm=[(MAX_MESSAGE_SIZE, uint(most))])
    berth.register("little", peer=peer)
    asked = Asked(berth, "GET", "/v1/devices/little/3/0/0")
    read_of(peer, most)
    assert asked.answer(200).json["value"] == "Berth"
    zone, got, more = b"Europe/Zurich" * 9, b"", True
    asked = Asked(berth, "PUT", "/v1/devices/little/3/0/15", zone, {"Content-Type": "text/plain"})
    while more:
        frame = peer.receive_raw(timeout=30)
        assert len(frame) <= most
        part = decode_frame(frame)
        got += part.payload
        more = part.number(BLOCK1) >> 3 & 1
        peer.send(Coap(CON, 0x5F if more else 0x44, 0, part.token, [(BLOCK1, part.one(BLOCK1))]))
    asked.answer(204)
    assert got[3:] == zone  # behind the head of the TLV


def test_TCP_13_what_does_not_fit_even_in_blocks_is_said_to_whom_asks(berth, connect):
    peer = connect(csm=[(MAX_MESSAGE_SIZE, uint(24))])
    berth.register("least", peer=peer)
    refused = berth.http("PUT", "/v1/devices/least/3/0/15", b"Europe/Zurich" * 9, {"Content-Type": "text/plain"})
    assert (refused.status, refused.problem, refused.json["outcome"]) == (502, "no-room", "no-room")
    asked = Asked(berth, "GET", "/v1/devices/least/3/0/0")  # the first that it hears
    read_of(peer, 24)
    asked.answer(200)


def test_TCP_25_BLK_33_bert_in_both_directions(berth, connect):
    peer = connect(csm=[(MAX_MESSAGE_SIZE, uint(5000)), (BLOCK_WISE_TRANSFER, b"")])
    links = long_list(9000).encode()
    token = peer.next_token()
    options = [(12, uint(40))]
    query = [(15, b"ep=bert"), (15, b"lwm2m=1.1")]
    at = 0
    while True:
        part = links[at : at + 4096]
        more = at + 4096 < len(links)
        path = [(URI_PATH, b"rd")]
        peer.send(Coap(CON, POST, 0, token, path + options + query + [(BLOCK1, block(at // 1024, more, 7))], part))
        answer = peer.receive()
        assert answer.number(BLOCK1) & 7 == 7
        if not more:
            break
        assert answer.code_text == "2.31"
        at += 4096
    assert answer.code_text == "2.01"
    assert len(berth.device("bert")["objects"]) == links.count(b",") + 1


def test_TCP_25_bert_without_agreement_is_4_00(connect):
    peer = connect(csm=[(BLOCK_WISE_TRANSFER, b"")])  # 1152 bytes are not enough for it
    answer = peer.request(POST, "/rd", ["ep=x"], b"x" * 1024, [(BLOCK1, block(0, True, 7))])
    assert answer.code_text == "4.00"
    peer.ping()


# ---- what is no message ----


@pytest.mark.parametrize(
    ("announced", "header"),
    [(1 << 31, "f07ffffefc01"), ((1 << 32) + 65804, "f0ffffffff01"), (16385, "e03ef301"), (65807, "f00000000001")],
)
def test_TCP_14_an_announced_length_beyond_the_limit_is_aborted_unread(berth, connect, announced, header):
    peer = connect()
    partial = berth.get_metric("berth_tcp_partial_bytes")
    assert frame_size(bytes.fromhex(header)) > 16384
    peer.send_raw(bytes.fromhex(header))
    assert peer.await_abort().payload == b"a message is larger than is taken"
    assert berth.get_metric("berth_tcp_partial_bytes") == partial


def test_TCP_14_the_largest_message_is_taken(connect):
    peer = connect()
    request = peer.message(GET, "/.well-known/core", payload=b"x")
    fill = 16384 - len(encode_frame(peer.message(GET, "/.well-known/core", payload=b"x" * 1000, token=request.token)))
    request.payload = b"x" * (1000 + fill)
    assert len(encode_frame(request)) == 16384
    peer.send(request)
    assert peer.response(request).code_text == "2.05"


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        ("0901", "token length is reserved"),
        ("0f01", "token length is reserved"),
        ("1001f0", "malformed option"),
        ("10011f", "malformed option"),
        ("100111", "malformed option"),
        ("1001ff", "payload marker without a payload"),
        ("10e1ff", "payload marker without a payload"),
    ],
)
def test_TCP_15_format_errors_are_aborted(berth, connect, frame, why):
    peer = connect()
    mark = berth.last_event()
    peer.send_raw(bytes.fromhex(frame))
    assert peer.await_abort().payload.decode() == why
    assert berth.await_event("rejected", after=mark)["detail"] == why


def test_TCP_16_one_byte_at_a_time_and_many_in_one_segment(connect):
    peer = connect(greet=False)
    for byte in bytes.fromhex("40e122048020") + encode_frame(WELL_KNOWN):
        peer.send_raw(bytes([byte]))
    assert peer.receive().code == CSM
    assert peer.receive().code_text == "2.05"
    peer.send_raw(encode_frame(WELL_KNOWN) * 100)
    assert [peer.receive().code_text for _ in range(100)] == ["2.05"] * 100
    half = encode_frame(WELL_KNOWN)
    peer.send_raw(half + half[:5])
    assert peer.receive().code_text == "2.05"
    peer.send_raw(half[5:])
    assert peer.receive().code_text == "2.05"


def test_TCP_17_an_unknown_critical_option_is_4_02_and_the_connection_stays(peer):
    answer = peer.request(GET, "/.well-known/core", options=[(65001, b"")])
    assert answer.code_text == "4.02" and b"65001" in answer.payload
    peer.ping()


def test_TCP_17_too_many_options_are_4_02(peer):
    answer = peer.request(GET, "/x" * 65)
    assert answer.code_text == "4.02"
    peer.ping()


def test_TCP_19_answers_are_matched_by_token_and_in_any_order(berth, connect):
    peer = connect()
    with berth.no_commit():
        slow = peer.message(POST, "/rd", ["ep=slow", "lwm2m=1.1"], LINKS.encode())
        peer.send(slow)
        fast = peer.message(GET, "/.well-known/core")
        peer.send(fast)
        assert peer.receive().token == fast.token
    assert peer.receive().token == slow.token


def test_TCP_31_the_same_message_twice_is_two_messages(berth, connect):
    peer = connect()
    device = berth.register("twice", peer=peer)
    update = peer.message(POST, device.location)
    mark = berth.last_event()
    peer.send(update)
    peer.send(update)
    assert [peer.receive().code_text for _ in range(2)] == ["2.04", "2.04"]
    assert [event["type"] for event in berth.events_after(mark)] == ["updated", "updated"]
