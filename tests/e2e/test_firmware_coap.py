"""Firmware images over CoAP: GET /fw/NAME in blocks, over every transport, and by Proxy-Uri as the vendor's clients do."""

import hashlib
import os

import pytest
from coapraw import BLOCK2, ETAG, GET, MAX_AGE, POST, PROXY_URI, SIZE2, block, uint
from coapstream import BLOCK_WISE_TRANSFER, MAX_MESSAGE_SIZE, StreamPeer, tcp_port
from test_firmware_images import put

IMAGE = b"sensor 2.1\n" + os.urandom(10_000)
DIGEST = hashlib.sha256(IMAGE).digest()
URL = "http://firmware.example.com/images/fw.bin?x=1"


@pytest.fixture
def peer(berth):
    assert put(berth, "fw", IMAGE, url=URL).status == 201
    return berth.peer()


def get(peer, number=0, szx=6, path="/fw/fw", extra=()):
    return peer.request(GET, path, options=[(BLOCK2, block(number, False, szx)), *extra])


def whole(peer, szx=6, **kwargs):
    body, number = b"", 0
    while True:
        answer = get(peer, number, szx, **kwargs)
        assert answer.code_text == "2.05", answer
        assert answer.all(ETAG) == [DIGEST[:8]]
        value = answer.number(BLOCK2)
        assert (value >> 4, value & 7) == (number, szx)
        body, number = body + answer.payload, number + 1
        if not value & 8:
            return body


@pytest.mark.parametrize("szx", range(7))
def test_FW_05_blocks_of_every_size(peer, szx):
    assert whole(peer, szx) == IMAGE


def test_FW_05_blocks_in_any_order_and_the_size_with_the_first(peer):
    assert get(peer, 7).payload == IMAGE[7 * 1024 : 8 * 1024]
    assert get(peer, 3, 5).payload == IMAGE[3 * 512 : 4 * 512]
    assert get(peer).number(SIZE2) == len(IMAGE)
    assert get(peer, 3).number(SIZE2) is None
    assert get(peer, 3, extra=[(SIZE2, uint(0))]).number(SIZE2) == len(IMAGE)
    assert get(peer, 9).number(BLOCK2) & 8 == 0
    assert get(peer, 10).code_text == "4.00"


def test_FW_05_who_does_not_ask_for_blocks_gets_the_first(peer):
    answer = peer.request(GET, "/fw/fw")
    assert (answer.number(BLOCK2), answer.payload) == (8 | 6, IMAGE[:1024])


def test_small_image_comes_whole(berth):
    put(berth, "small", b"small")
    answer = berth.peer().request(GET, "/fw/small")
    assert (answer.code_text, answer.payload, answer.number(BLOCK2)) == ("2.05", b"small", None)


def test_FW_05_unknown_image_and_method(peer):
    assert get(peer, path="/fw/other").code_text == "4.04"
    assert get(peer, path="/fw").code_text == "4.04"
    assert get(peer, path="/fw/fw/x").code_text == "4.04"
    assert peer.request(POST, "/fw/fw").code_text == "4.05"


def test_image_that_the_peer_has_is_valid(peer):
    assert peer.request(GET, "/fw/fw", options=[(ETAG, DIGEST[:8])]).code_text == "2.03"
    assert peer.request(GET, "/fw/fw", options=[(ETAG, b"12345678")]).code_text == "2.05"


def test_download_goes_on_after_a_restart_and_from_another_address(berth, peer):
    assert get(peer, 4).payload == IMAGE[4096:5120]
    berth.kill()
    berth.start()
    other = berth.peer()
    answer = get(other, 5)
    assert (answer.payload, answer.all(ETAG)) == (IMAGE[5120:6144], [DIGEST[:8]])


def test_image_that_changes_has_another_etag(berth, peer):
    before = get(peer).all(ETAG)
    put(berth, "fw", IMAGE[::-1])
    assert get(peer, 1).all(ETAG) != before


def test_nobody_without_security_fetches_where_nobody_may_register_without(start_berth):
    berth = start_berth("--nosec", "off")
    put(berth, "fw", IMAGE)
    assert get(berth.peer()).code_text == "4.03"


def test_bootstrap_listener_has_no_images(start_berth):
    berth = start_berth(listen=("coap://127.0.0.1:0?role=bootstrap",))
    put(berth, "fw", IMAGE, url=URL)
    peer = berth.peer()
    assert get(peer).code_text == "4.04"
    assert get(peer, path="/fw", extra=[(PROXY_URI, URL.encode())]).code_text == "5.05"


def test_image_below_the_path_of_the_listener(start_berth):
    berth = start_berth(listen=("coap://127.0.0.1:0/lwm2m",))
    put(berth, "fw", IMAGE)
    assert get(berth.peer(), path="/lwm2m/fw/fw").code_text == "2.05"


def test_BERT_over_tcp(start_berth):
    berth = start_berth(listen=("coap+tcp://127.0.0.1:0",))
    put(berth, "fw", IMAGE * 3)
    peer = StreamPeer(tcp_port(berth), csm=[(MAX_MESSAGE_SIZE, uint(16384)), (BLOCK_WISE_TRANSFER, b"")])
    berth.peers.append(peer)
    answer = peer.request(GET, "/fw/fw")
    value = answer.number(BLOCK2)
    assert (value >> 4, value & 7) == (0, 7)
    assert len(answer.payload) % 1024 == 0 and len(answer.payload) > 1024
    number = len(answer.payload) // 1024
    following = peer.request(GET, "/fw/fw", options=[(BLOCK2, block(number, False, 7))])
    assert following.payload == (IMAGE * 3)[number * 1024 :][: len(following.payload)]


# ---- by Proxy-Uri ----


@pytest.mark.parametrize("szx", [5, 6])
@pytest.mark.parametrize("path", ["/fw", "/download"])
def test_OPT_14_image_by_its_url(peer, path, szx):
    assert whole(peer, szx, path=path, extra=[(PROXY_URI, URL.encode())]) == IMAGE


@pytest.mark.parametrize("uri", ["http://127.0.0.1:8080/v1/firmware/fw", "https://any.example/v1/firmware/fw"])
def test_OPT_14_image_by_the_url_of_the_api(peer, uri):
    answer = get(peer, 0, 5, "/fw", [(PROXY_URI, uri.encode())])
    assert (answer.payload, answer.number(SIZE2)) == (IMAGE[:512], len(IMAGE))


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("http://127.0.0.1/v1/firmware/other", "4.04"),
        ("http://firmware.example.com/images/other.bin", "5.05"),
        ("http://127.0.0.1/v1/devices", "5.05"),
        ("coap://192.0.2.1/fw/fw", "5.05"),
        ("http:", "5.05"),
    ],
)
def test_OPT_14_what_is_no_image_is_not_fetched(peer, uri, code):
    assert get(peer, path="/fw", extra=[(PROXY_URI, uri.encode())]).code_text == code


# ---- faults ----


def faults(berth, **members):
    assert berth.http("PUT", "/v1/firmware/fw/faults", members).status == 200


def test_FW_05_unavailable_for_a_while(berth, peer):
    faults(berth, unavailable=2, retry_after_s=7)
    for _ in range(2):
        answer = get(peer)
        assert (answer.code_text, answer.number(MAX_AGE)) == ("5.03", 7)
    assert get(peer).code_text == "2.05"


def test_FW_05_silent_after_some_blocks(berth, peer):
    faults(berth, silent_after=2048)
    assert get(peer, 1).code_text == "2.05"
    peer.send(peer.message(GET, "/fw/fw", options=[(BLOCK2, block(2, False, 6))]))
    peer.expect_silence()
    faults(berth)
    assert get(peer, 3).code_text == "2.05"


def test_FW_05_truncated(berth, peer):
    faults(berth, truncate_to=1500)
    assert get(peer).number(SIZE2) == 1500
    assert len(get(peer, 1).payload) == 476


def test_FW_05_another_etag_with_each_block(berth, peer):
    faults(berth, changing_etag=True)
    assert len({get(peer, number).all(ETAG)[0] for number in range(5)}) == 5
