"""Messages of RFC 7252 over plain TCP, each with its length in four bytes before it, as one vendor's clients send them:
Message IDs, acknowledgements, retransmission and copies are as over UDP, and no message may be larger than 1152 bytes."""

import time
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from coapraw import ACK, BLOCK1, CON, CONTENT_FORMAT, EMPTY, GET, NON, POST, RST, Coap, block, code
from coapstream import TCP, PrefixedPeer, StreamPeer, tcp_port
from played_device import OPAQUE, TEXT, PlayedDevice

REGISTER = ["ep=pelion", "et=default", "lt=7200", "lwm2m=1.0", "d=acct", "b=U", "aid=acct", "iep=iep1", "mccv=4.13.2"]
LINKS = '</1/0/1>,</3/0/0>;rt="",</3/0/13>,</5/0/3>'


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=TCP)


@pytest.fixture
def peer(berth):
    new = PrefixedPeer(tcp_port(berth))
    berth.peers.append(new)
    return new


@pytest.fixture
def device(berth, peer):
    answer = peer.request(POST, "/rd", REGISTER, LINKS.encode(), [(CONTENT_FORMAT, b"\x28"), (14, b"")])
    assert answer.code_text == "2.01"
    played = PlayedDevice.__new__(PlayedDevice)
    played.berth, played.endpoint, played.peer, played.location = berth, "pelion", peer, answer.location
    return played


def test_TCP_28_T2_a_register_and_its_answer(berth, device):
    shown = berth.device("pelion")
    assert (shown["transport"], shown["framing"], shown["reachable"]) == ("tcp", "pelion", True)
    assert device.location == f"/rd/acct/{shown['id']}"
    details = [event["detail"] for event in berth.events_after(types="oddity")]
    assert "messages come with a length before each" in details


def test_TCP_28_the_same_listener_serves_rfc_8323(berth, device):
    other = StreamPeer(tcp_port(berth))
    other.ping()
    device.peer.ping()
    other.close()


def test_TCP_28_there_is_no_csm(berth, peer):
    peer.send_message(bytes.fromhex("40001234"))
    assert peer.receive_raw() == bytes.fromhex("70001234")
    assert peer.receive_raw(0.1) is None


def test_T10_an_empty_con_is_answered_with_a_reset_at_once(berth, device):
    mark = berth.last_event()
    device.peer.ping()
    event = berth.await_event("ping", after=mark)
    assert event["endpoint"] == "pelion"


def test_TCP_28_T2_one_write_for_each_message(berth, device):
    """The client reads once and takes one message: what comes behind the first is lost to it. So each has 50 ms for itself,
    as the server counts time; what this process reads at once depends on how busy the machine is."""
    peer = device.peer
    for _ in range(10):
        peer.send(peer.message(GET, "/.well-known/core"))
    for _ in range(10):
        berth.leap("50ms")
        assert Coap.decode(peer.receive_raw(30)).code_text == "2.05"
    sent = berth.get("/v1/devices/pelion/messages?kind=request&direction=out&limit=100")["items"]
    times = [datetime.fromisoformat(message["ts"].replace("Z", "+00:00")) for message in sent]
    assert len(times) == 10
    assert all(after - before >= timedelta(milliseconds=45) for before, after in pairwise(times)), times


def test_T13_no_message_is_larger_than_the_clients_buffer(berth, device):
    peer = device.peer
    asked = device.ask("PUT", "/5/0/0", b"x" * 5000, {"Content-Type": "application/octet-stream"})
    got = b""
    while True:
        data = peer.receive_raw()
        assert len(data) + 4 <= 1152
        part = Coap.decode(data)
        got += part.payload
        number = part.number(BLOCK1)
        last = not number & 8
        peer.send(Coap(ACK, code("2.04" if last else "2.31"), part.mid, part.token, [(BLOCK1, part.one(BLOCK1))]))
        if last:
            break
    assert got == b"x" * 5000
    asked.answer(204)


def test_T13_what_is_not_acknowledged_is_sent_again(berth, device):
    asked = device.ask("GET", "/3/0/0")
    first = device.expect(GET, "/3/0/0")
    berth.leap("3s")
    again = device.expect(GET, "/3/0/0")
    assert again.mid == first.mid
    device.answer(again, "2.05", TEXT, b"ACME")
    assert asked.answer(200).json["value"] == "ACME"


def test_T13_copies_get_the_same_answer_and_no_second_execution(berth, device):
    mark = berth.last_event()
    update = device.peer.message(POST, device.location)
    device.peer.send(update)
    first = device.peer.receive_raw()
    device.peer.send(update)
    berth.leap("50ms")
    assert device.peer.receive_raw() == first
    assert [event["type"] for event in berth.events_after(mark)] == ["updated"]


def test_T11_an_empty_acknowledgement_of_five_bytes(berth, device):
    """Then the separate answer of an Execute, which every POST gets."""
    asked = device.ask("POST", "/3/0/4")
    request = device.expect(POST, "/3/0/4")
    device.peer.send_message(bytes([0x60, 0]) + request.mid.to_bytes(2, "big") + b"\xc0")
    device.peer.ping()
    berth.leap("30s")
    device.peer.send(Coap(CON, code("2.04"), 0x7777, request.token))
    answer = device.peer.receive()
    assert (answer.type, answer.code, answer.mid) == (ACK, EMPTY, 0x7777)
    asked.answer(204)


def test_T12_a_separate_answer_under_our_own_message_id(berth, device):
    """It is not a copy of anything, and an answer to nothing is ignored."""
    device.peer.send(Coap(ACK, code("4.04"), 0x4444))
    asked = device.ask("POST", "/1/0/8")
    request = device.expect(POST, "/1/0/8")
    update = device.peer.message(POST, device.location, mid=request.mid)
    device.peer.send(update)
    assert device.peer.receive().code_text == "2.04"
    device.peer.send_message(bytes([0x60, 0]) + request.mid.to_bytes(2, "big") + b"\xc0")
    berth.leap("1s")
    device.peer.send(Coap(CON, code("2.04"), request.mid, request.token))
    assert device.peer.receive().mid == request.mid
    asked.answer(204)


def test_NON_gets_NON(berth, device):
    answer = device.peer.request(GET, "/.well-known/core", type=NON)
    assert answer.type == NON


def test_a_register_in_blocks(berth, peer):
    links = ",".join(f"</3200/{n}>" for n in range(100)).encode()
    token = peer.next_token()
    for number in range(0, (len(links) + 511) // 512):
        part = links[number * 512 : number * 512 + 512]
        more = number * 512 + 512 < len(links)
        options = [(CONTENT_FORMAT, b"\x28"), (BLOCK1, block(number, more, 5))]
        peer.send(peer.message(POST, "/rd", REGISTER, part, options, token=token))
        berth.leap("50ms")
        answer = peer.receive()
        assert answer.code_text == ("2.31" if more else "2.01")
    assert len(berth.device("pelion")["objects"]) == 100


def test_TCP_22_reconnect_with_an_update(berth, device):
    """12 s after its connection went the client comes back with an Update."""
    device.peer.close()
    berth.await_event("connection_closed", "pelion")
    asked = device.ask("GET", "/3/0/0")
    while berth.waiting() < 1:
        time.sleep(0)
    berth.leap("12s")
    device.peer = PrefixedPeer(tcp_port(berth))
    berth.peers.append(device.peer)
    assert device.peer.request(POST, device.location, ["et=default"]).code_text == "2.04"
    berth.leap("50ms")
    request = device.expect(GET, "/3/0/0")
    device.answer(request, "2.05", TEXT, b"ACME")
    asked.answer(200)


def test_TCP_16_one_byte_at_a_time_and_several_at_once(berth, peer):
    for byte in bytes.fromhex("0000000440001234"):
        peer.send_raw(bytes([byte]))
    assert peer.receive_raw() == bytes.fromhex("70001234")
    peer.send_raw(bytes.fromhex("0000000440001235" * 3))
    for _ in range(3):
        berth.leap("50ms")
        assert peer.receive_raw() == bytes.fromhex("70001235")


@pytest.mark.parametrize(
    ("begin", "why"),
    [
        ("0000ffff", "a message is larger than is taken"),
        ("00000004400012340100ffff", "a length is larger than is possible"),
    ],
)
def test_TCP_14_lengths_that_cannot_be_close_the_connection(berth, peer, begin, why):
    peer.send_raw(bytes.fromhex(begin))
    peer.await_close()
    assert berth.await_event("rejected")["detail"] == why
    assert berth.await_event("connection_closed")["detail"] == why


@pytest.mark.parametrize("message", ["", "40", "400012", "80001234", "ff"])
def test_what_is_no_message_is_told_and_passed_over(berth, peer, message):
    peer.send_message(bytes.fromhex(message))
    peer.send_message(bytes.fromhex("40001234"))
    assert peer.receive_raw() == bytes.fromhex("70001234")
    assert berth.await_event("rejected")


def test_observed_values_come_with_message_ids(berth, device):
    """An answer that nobody waits for is reset, as over UDP."""
    device.peer.send(Coap(CON, code("2.05"), 0x5555, b"\x33\x33\x33", [(6, b"\x02"), (CONTENT_FORMAT, b"")], b"1"))
    answer = device.peer.receive()
    assert (answer.type, answer.mid) == (RST, 0x5555)


def test_opaque_values(berth, device):
    asked = device.ask("GET", "/10252/0/1?format=opaque")
    request = device.expect(GET, "/10252/0/1")
    device.answer(request, "2.05", OPAQUE, b"\x00\x01")
    assert asked.answer(200).status == 200
