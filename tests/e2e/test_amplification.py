"""Who has not shown that it receives at its address gets no more than three times what it sends (RFC 7252 §11.3)."""

import struct

import pytest
from coapraw import ACK, CON, CONTENT_FORMAT, GET, LINK_FORMAT, NON, POST, PUT, URI_PATH, URI_QUERY, Coap, code, uint
from played_device import Asked
from own_network import HERE, may_have_one, own_network

pytestmark = pytest.mark.skipif(not may_have_one(), reason="it needs a network of its own")

IMAGE = bytes(range(250)) * 20
BLOCK2, BLOCK1, ECHO = 23, 27, 252
FETCH = 5


@pytest.fixture
def berth(start_berth):
    with own_network():
        berth = start_berth(listen=("coap://0.0.0.0:0", "coaps://0.0.0.0:0"))
        assert berth.http("PUT", "/v1/firmware/image", IMAGE).status in (200, 201)
        yield berth
        berth.close()


def stranger(berth, **kwargs):
    return berth.peer(port=berth.coap_port, host=HERE, **kwargs)


def request(method, path="", query=(), options=(), payload=b"", kind=CON, mid=1, token=b""):
    named = [(URI_PATH, part.encode()) for part in path.split("/") if part] + [(URI_QUERY, one.encode()) for one in query]
    return Coap(kind, method, mid, token, sorted([*named, *options], key=lambda option: option[0]), payload).encode()


def hello():
    body = b"\x01\0\0\x2f\0\0\0\0\0\0\0\x2f\xfe\xfd" + bytes(32) + b"\0\0\0\4\xc0\xa8\0\xff\1\0\0\0"
    return b"\x16\xfe\xfd" + bytes(8) + struct.pack(">H", len(body)) + body


STIMULI = {
    "a ping": struct.pack(">BBH", 0x40, 0, 5),
    "what there is": request(GET, ".well-known/core"),
    "what there is, with a token": request(GET, ".well-known/core", token=b"12345678"),
    "an unknown path": request(GET, "x"),
    "no path": request(GET),
    "an unknown path, NON": request(GET, "x", kind=NON),
    "a Register": request(POST, "rd", ["ep=a", "lwm2m=1.1"], [(CONTENT_FORMAT, uint(LINK_FORMAT))], b"</3/0>"),
    "a Register without a name": request(POST, "rd"),
    "an Update of nothing": request(POST, "rd/abcd"),
    "a wrong method": request(GET, "rd"),
    "a Bootstrap-Request": request(POST, "bs", ["ep=urn:imei:1"]),
    "one without a name": request(POST, "bs"),
    "a Bootstrap-Pack-Request": request(GET, "bspack", ["ep=c"]),
    "the same with FETCH": request(FETCH, "bspack", ["ep=c"]),
    "a Send": request(POST, "dp", payload=b"x"),
    "an image": request(GET, "fw/image"),
    "an image in large blocks": request(GET, "fw/image", options=[(BLOCK2, b"\x06")]),
    "the middle of an image": request(GET, "fw/image", options=[(BLOCK2, b"\x16")]),
    "a critical option": request(GET, "x", options=[(3001, b"")]),
    "OSCORE": request(POST, options=[(9, b"\x09\x01\x01")], payload=b"x" * 9),
    "a proxy": request(GET, options=[(35, b"coap://a/")]),
    "a block": request(PUT, "rd", options=[(BLOCK1, b"\x0e")], payload=b"x" * 1024),
    "a block out of order": request(POST, "rd", ["ep=a"], options=[(BLOCK1, b"\x56")], payload=b"x"),
    "a malformed message": b"\x40\x01\x00\x05\xff",
    "a code that is reserved": b"\x40\x21\x00\x05",
    "too many options": request(GET, "/".join("a" * 65)),
}


def test_nothing_that_anybody_sends_is_answered_with_more_than_three_times_as_much(berth):
    peers = {}
    for name, datagram in STIMULI.items():
        peers[name] = stranger(berth)
        peers[name].send_raw(datagram)
    secured = int(berth.listeners[1].rpartition(":")[2])
    peers["a ClientHello"] = berth.peer(port=secured, host=HERE)
    peers["a ClientHello"].send_raw(hello())
    caused_by = {name: 0 for name in peers}
    for leap in (None, "3s", "10s", "30s", "100s"):
        if leap is not None:
            berth.leap(leap)
        for name, peer in peers.items():
            while (datagram := peer.receive_raw(timeout=0.02)) is not None:
                caused_by[name] += len(datagram)
    # Four bytes are all that a request needs; an error without text and a challenge have four and thirteen.
    room = {name: max(13, 3 * len(STIMULI.get(name, hello()))) for name in peers}
    assert {name: (size, room[name]) for name, size in caused_by.items() if size > room[name]} == {}
    silent = {name for name, size in caused_by.items() if size == 0}
    assert silent <= {"a malformed message", "a code that is reserved", "a Send", "a ClientHello"}, silent


def fetch(peer, size):
    """The image, by requests for blocks of `size`, and how large the blocks were."""
    body, sizes, exponent = b"", [], size.bit_length() - 5
    for mid in range(1, 1000):
        number = len(body) // (16 << exponent)
        answer = peer.request(GET, "/fw/image", options=[(BLOCK2, uint(number << 4 | exponent))])
        assert answer.code_text == "2.05", answer
        granted = answer.number(BLOCK2)
        exponent = granted & 7
        assert granted >> 4 == len(body) // (16 << exponent)
        body += answer.payload
        sizes.append(len(answer.payload))
        if not granted & 8:
            return body, sizes
    raise AssertionError("it does not end")


def test_an_image_comes_in_small_blocks_until_the_device_has_answered(berth):
    peer = stranger(berth)
    body, sizes = fetch(peer, 1024)
    assert body == IMAGE and max(sizes) <= 64
    device = berth.register("known", peer=peer)
    asked = Asked(berth, "GET", "/v1/devices/known/3/0/9")
    question = device.peer.receive()
    device.peer.send(Coap(ACK, code("2.05"), question.mid, question.token, [(CONTENT_FORMAT, b"")], b"1"))
    asked.answer()
    body, sizes = fetch(peer, 1024)
    assert body == IMAGE and max(sizes) == 1024


def test_an_echo_proves_the_address(berth):
    peer = stranger(berth)
    assert berth.http("PUT", "/v1/firmware/a", IMAGE).status == 201
    peer.send_raw(request(GET, "fw/a"))  # no block is small enough
    answer = peer.receive()
    assert answer.code_text == "4.01" and len(answer.one(ECHO)) == 8 and answer.payload == b""
    peer.send_raw(request(GET, "fw/a", options=[(ECHO, answer.one(ECHO))], mid=2))
    answer = peer.receive()
    assert answer.code_text == "2.05" and len(answer.payload) == 1024


def test_on_loopback_which_nobody_forges_errors_say_what_is_wrong(start_berth):
    peer = start_berth().peer()
    assert peer.request(POST, "/rd").payload != b""
