"""What has crashed or confused servers in the field. After each of these the server must live, answer a ping and take a
registration; that there is no sanitizer report is checked when it ends."""

import random

import pytest

from coapraw import (
    ACK,
    ACCEPT,
    BLOCK1,
    BLOCK2,
    CON,
    CONTENT_FORMAT,
    EMPTY,
    GET,
    LINK_FORMAT,
    LOCATION_PATH,
    NON,
    OBSERVE,
    POST,
    PUT,
    RST,
    Coap,
    Peer,
    block,
    code,
    uint,
)
from vectors import datagrams, regressions, vector

LINKS = (CONTENT_FORMAT, uint(LINK_FORMAT))
CORE = "/.well-known/core"


@pytest.fixture
def berth(shared_berth):
    yield shared_berth
    shared_berth.peer().ping()
    shared_berth.register("survivor").deregister()


@pytest.fixture
def peer(berth):
    return berth.peer()


def parametrize(messages):
    return pytest.mark.parametrize("data", messages.values(), ids=messages.keys())


@parametrize(datagrams())
def test_datagram_of_a_client(peer, data):
    peer.send_raw(data)


@parametrize(regressions())
def test_datagram_that_harmed_a_server(peer, data):
    peer.send_raw(data)


@parametrize({**datagrams(), **regressions()})
def test_datagram_cut_off_anywhere(berth, data):
    """Every beginning of it, from one port."""
    with Peer(berth.coap_port) as peer:
        for length in range(len(data)):
            peer.send_raw(data[:length])


def test_everything_from_one_port(berth, peer):
    for data in [*datagrams().values(), *regressions().values()]:
        peer.send_raw(data)


def test_damaged_datagrams(berth):
    """Two thousand datagrams of clients with one to three bytes changed."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    originals = [data for data in datagrams().values() if data]
    for _ in range(20):
        with Peer(berth.coap_port) as peer:
            for _ in range(100):
                data = bytearray(chance.choice(originals))
                for _ in range(chance.randint(1, 3)):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                peer.send_raw(bytes(data))
            # The last one cannot have been heard before the others.
            fence = Coap(CON, EMPTY, chance.randrange(1 << 16))
            peer.send(fence)
            while (answer := peer.receive()) != Coap(RST, EMPTY, fence.mid):
                assert answer is not None


@pytest.mark.parametrize("type", [ACK, NON], ids=["ACK", "NON"])
@pytest.mark.parametrize(
    "text", ["2.01", "2.04", "2.05", "2.31", "4.00", "4.04", "4.08", "4.13", "5.00", "5.03", "5.05"]
)
def test_response_that_nobody_asked_for(peer, type, text):
    mid = peer.next_mid()
    peer.send(Coap(type, code(text), mid, b"", [(BLOCK1, b"\x0e"), (BLOCK2, b"\x0e"), (OBSERVE, b"\x01")], b"x" * 64))
    if type == NON:
        assert peer.receive() == Coap(RST, EMPTY, mid)
    else:
        peer.expect_silence()


@pytest.mark.parametrize("type", [CON, NON, ACK], ids=["CON", "NON", "ACK"])
def test_block2_response_with_more_unasked_then_block1_from_the_same_peer(peer, type):
    token = peer.next_token()
    peer.send(Coap(type, code("2.05"), peer.next_mid(), token, [(BLOCK2, block(0, True, 6))], b"x" * 1024))
    if type != ACK:
        assert peer.receive().type == RST
    request = peer.message(
        POST, "/rd", ["ep=b2b1", "lwm2m=1.1"], b"</1/0>,</3/0>,</", [LINKS, (BLOCK1, b"\x08")], token=token
    )
    peer.send(request)
    assert peer.response(request).code_text == "2.31"
    answer = peer.request(POST, "/rd", ["ep=b2b1", "lwm2m=1.1"], b"5/0>", [LINKS, (BLOCK1, b"\x10")], token=token)
    assert answer.code_text == "2.01"


def test_block1_from_a_peer_whose_block2_transfer_is_under_way(start_berth):
    server = start_berth("--block-size", "16")
    peer = server.peer()
    first = peer.request(GET, CORE)
    assert first.one(BLOCK2) == b"\x08"
    answer = peer.request(POST, "/rd", ["ep=b1", "lwm2m=1.1"], b"</1/0>,</3/0>,</", [LINKS, (BLOCK1, b"\x08")])
    assert answer.code_text == "2.31"
    rest = peer.request(GET, CORE, options=[(BLOCK2, b"\x10")])
    assert rest.code_text == "2.05" and first.payload + rest.payload == b'</rd>;rt="core.rd",</dp>,</bs>'
    answer = peer.request(POST, "/rd", ["ep=b1", "lwm2m=1.1"], b"5/0>", [LINKS, (BLOCK1, b"\x10")])
    assert answer.code_text == "2.01"


def test_block1_and_block2_in_one_request(peer):
    options = [LINKS, (BLOCK1, b"\x08"), (BLOCK2, b"\x06")]
    assert peer.request(POST, "/rd", ["ep=both", "lwm2m=1.1"], b"</1/0>,</3/0>,</", options).code_text == "2.31"
    options = [LINKS, (BLOCK1, b"\x10"), (BLOCK2, b"\x16")]
    assert peer.request(POST, "/rd", ["ep=both", "lwm2m=1.1"], b"5/0>", options).code >> 5 in (2, 4)


@pytest.mark.parametrize("number", [1, 2, 1000, 16000])
def test_BLK_03_first_block1_is_not_number_0(peer, number):
    options = [LINKS, (BLOCK1, block(number, True, 6))]
    assert peer.request(POST, "/rd", ["ep=late", "lwm2m=1.1"], b"x" * 1024, options).code_text == "4.08"


def test_BLK_10_interleaved_block1_on_two_paths(berth, peer):
    device = berth.register("interleaved", peer=peer)
    for number, part in enumerate((b"</1/0>,</3/0>,</", b"5/0>")):
        for path, query in (("/rd", ["ep=interleaving", "lwm2m=1.1"]), (device.location, [])):
            answer = peer.request(POST, path, query, part, [LINKS, (BLOCK1, block(number, number == 0, 0))])
            assert answer.code_text == ("2.31" if number == 0 else "2.01" if path == "/rd" else "2.04")
    for endpoint in ("interleaving", "interleaved"):
        assert [o["path"] for o in berth.device(endpoint)["objects"]] == ["/1/0", "/3/0", "/5/0"]


@pytest.mark.parametrize("segments", [0, 40])
def test_response_with_a_location_of_many_segments(peer, segments):
    mid = peer.next_mid()
    peer.send(Coap(CON, code("2.01"), mid, b"\x01", [(LOCATION_PATH, b"s")] * segments))
    assert peer.receive() == Coap(RST, EMPTY, mid)


@pytest.mark.parametrize("segments", [40, 63, 64, 65, 300])
def test_request_for_a_path_of_many_segments(peer, segments):
    assert peer.request(POST, "/rd" + "/s" * (segments - 1)).code_text in ("4.04", "4.02")


def test_MSG_07_four_bytes_of_garbage(peer):
    peer.send_raw(bytes.fromhex("5a0a5b5b"))
    peer.expect_silence()


def test_MSG_18_ack_4_13_with_an_unknown_message_id(peer):
    peer.send_raw(bytes.fromhex("608d7777"))
    peer.expect_silence()


@pytest.mark.parametrize("method", [POST, PUT])
def test_UPD_01_UPD_14_update_with_post_and_with_put(berth, method):
    device = berth.register("post-put")
    assert device.peer.request(method, device.location).code_text == "2.04"


def test_DER_04_registration_is_deleted_twice(berth):
    device = berth.register("twice")
    assert device.deregister().code_text == "2.02"
    assert device.deregister().code_text == "4.04"


def test_EXT_05_request_with_every_known_option(peer):
    options = [(number, b"\x01") for number in (1, 4, 6, 8, 14, 16, 20, 60, 252, 258, 292)]
    options += [LINKS, (ACCEPT, b"\x28"), (3, b"host"), (7, b"\x16\x33")]
    peer.send(peer.message(GET, CORE, options=options))
    assert peer.receive().code >> 5 in (0, 2, 4)


def test_largest_datagram(peer):
    request = peer.message(POST, "/rd", ["ep=large", "lwm2m=1.1"], b"", [LINKS])
    head = len(request.encode()) + 1
    links = ",".join(f"</5000/{n}>" for n in range(5000)).encode()[: 65507 - head]
    request.payload = links[: links.rindex(b",")]
    peer.send(request)
    assert peer.response(request).code_text in ("2.01", "4.13")


def test_MSG_22_flood_of_one_message(berth, peer):
    mark = berth.last_event()
    message = peer.message(POST, "/rd", ["ep=flood", "lwm2m=1.1"], b"</1/0>,</3/0>", [LINKS])
    for _ in range(500):
        peer.send(message)
    berth.await_event("registered", "flood")
    assert len(berth.events_after(mark, endpoint="flood")) == 1


def test_MSG_03_flood_of_pings(peer):
    for mid in range(300):
        peer.send(Coap(CON, EMPTY, mid))
        assert peer.receive() == Coap(RST, EMPTY, mid)


def test_vectors_of_other_directions_harm_nobody(berth):
    """Answers, notifications and requests that only a client could have to understand."""
    for number in range(1, 71):
        with Peer(berth.coap_port) as peer:
            peer.send_raw(vector(f"M-{number:02}"))
