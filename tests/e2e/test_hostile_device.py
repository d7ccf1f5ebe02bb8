"""Devices that answer as no device should: the caller hears the truth, in bounded time, and the next request works."""

import pytest
from berth_process import Response
from coapraw import ACK, BLOCK1, BLOCK2, CON, CONTENT_FORMAT, ECHO, EMPTY, ETAG, MAX_AGE, GET, NON, PUT, RST, Coap, block, code, uint
from played_device import CBOR, LINK, LWM2M_CBOR, OMA_JSON, OPAQUE, SENML_CBOR, SENML_JSON, TEXT, TLV, Asked, PlayedDevice

PATH = "/3/0/9"


@pytest.fixture
def hostile(start_berth):
    """A device of a server that sends everything once and takes bodies of 64 KiB."""
    berth = start_berth("--max-retransmit", "0", "--max-body", "65536")
    return PlayedDevice(berth, "dev1", version="1.1")


def works(device: PlayedDevice) -> None:
    """The next request is answered as if nothing had been."""
    asked = device.ask("GET", PATH)
    device.answer(device.expect(GET, PATH), "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95


def separate(device: PlayedDevice, type: int, text: str, token: bytes, payload: bytes = b"", *options: tuple[int, bytes]) -> int:
    """A message of the device's own; its Message ID."""
    mid = device.peer.next_mid()
    device.peer.send(Coap(type, code(text), mid, token, list(options), payload))
    return mid


def expect_reset(device: PlayedDevice, mid: int) -> None:
    reset = device.peer.receive()
    assert (reset.type, reset.code, reset.mid) == (RST, EMPTY, mid), reset


# ---- answers that are none ----


@pytest.mark.parametrize("token", [b"", b"\x00\x01\x02\x03\x04\x05\x06\x07", "other"])
def test_piggybacked_answer_with_a_wrong_token_is_not_taken(hostile, token):
    asked = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    wrong = bytes([request.token[0] ^ 0xFF]) if token == "other" else token
    hostile.peer.send(Coap(ACK, code("2.05"), request.mid, wrong, [], b"1"))
    hostile.answer(request, "2.05", TEXT, b"2")
    assert asked.answer(200).json["value"] == 2
    works(hostile)


@pytest.mark.parametrize("type", [CON, NON])
def test_separate_answer_with_a_wrong_token_is_reset(hostile, type):
    asked = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    hostile.acknowledge(request)
    expect_reset(hostile, separate(hostile, type, "2.05", b"\xde\xad\xbe\xef", b"1"))
    hostile.answer_separately(request, "2.05", TEXT, b"2")
    assert asked.answer(200).json["value"] == 2
    works(hostile)


def test_answer_with_the_token_of_the_request_before_is_not_taken(hostile):
    first = hostile.ask("GET", PATH)
    old = hostile.expect(GET, PATH)
    hostile.answer(old, "2.05", TEXT, b"1")
    first.answer(200)
    second = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    hostile.peer.send(Coap(ACK, code("2.05"), old.mid, old.token, [], b"1"))
    expect_reset(hostile, separate(hostile, CON, "2.05", old.token, b"1"))
    hostile.answer(request, "2.05", TEXT, b"2")
    assert second.answer(200).json["value"] == 2


def test_repeated_answers_are_taken_once(hostile):
    asked = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    for _ in range(3):
        hostile.answer(request, "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95
    asked = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    hostile.acknowledge(request)
    answer = Coap(CON, code("2.05"), hostile.peer.next_mid(), request.token, [(CONTENT_FORMAT, b"")], b"96")
    for _ in range(3):
        hostile.peer.send(answer)
        ack = hostile.peer.receive()
        assert (ack.type, ack.code, ack.mid) == (ACK, EMPTY, answer.mid)
    assert asked.answer(200).json["value"] == 96
    works(hostile)


def test_answer_that_comes_too_late_is_reset(hostile):
    asked = hostile.ask("GET", PATH, response_timeout="10s")
    request = hostile.expect(GET, PATH)
    hostile.acknowledge(request)
    hostile.peer.ping()
    hostile.berth.leap("11s")
    assert asked.answer(504).json["outcome"] == "no-response"
    expect_reset(hostile, separate(hostile, CON, "2.05", request.token, b"95"))
    works(hostile)


def test_answer_without_an_acknowledgement_is_taken(hostile):
    asked = hostile.ask("GET", PATH)
    hostile.answer_separately(hostile.expect(GET, PATH), "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95
    works(hostile)


@pytest.mark.parametrize("answer", ["1.00", "7.00", "7.31", "3.03", "6.01"])
def test_codes_that_answer_nothing_are_not_taken(hostile, answer):
    asked = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    hostile.peer.send(Coap(ACK, code(answer), request.mid, request.token, [], b"1"))
    hostile.answer(request, "2.05", TEXT, b"2")
    assert asked.answer(200).json["value"] == 2


@pytest.mark.parametrize(
    "data",
    [b"", b"\x60", b"\x00" * 4, b"\xff" * 64, b"\x6f\x45", "no payload behind its marker", "option past the end", "token cut off"],
)
def test_datagrams_that_are_no_message_are_not_taken(hostile, data):
    asked = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    head = bytes([0x61, 0x45]) + request.mid.to_bytes(2, "big")
    broken = {
        "no payload behind its marker": head + request.token + b"\xff",
        "option past the end": head + request.token + b"\xcf\x01",
        "token cut off": bytes([0x68]) + head[1:] + request.token,
    }
    hostile.peer.send_raw(broken.get(data, data))
    hostile.peer.ping()
    hostile.answer(request, "2.05", TEXT, b"2")
    assert asked.answer(200).json["value"] == 2


def test_critical_option_that_nobody_knows_makes_an_answer_none(hostile):
    asked = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    hostile.answer(request, "2.05", TEXT, b"1", (65001, b""))
    hostile.peer.ping()
    hostile.berth.leap("10s")
    assert asked.answer(504).json["outcome"] == "no-ack"
    works(hostile)


def test_reset_after_an_acknowledgement_changes_nothing(hostile):
    asked = hostile.ask("GET", PATH)
    request = hostile.expect(GET, PATH)
    hostile.acknowledge(request)
    hostile.reset(request)
    hostile.answer_separately(request, "2.05", TEXT, b"2")
    assert asked.answer(200).json["value"] == 2


# ---- payloads ----

GARBAGE = {
    "nothing": b"",
    "zeros": b"\x00" * 40,
    "ones": b"\xff" * 40,
    "text": b"}{][\"\\u12",
    "deep": b"\x81" * 3000,
    "deeper": b"[" * 3000,
    "long": b"\xc8\xff" + b"x" * 3000,
    "huge number": b"\x9b" + b"\xff" * 8,
}
ANSWERS = {200, 502}


@pytest.mark.parametrize("format", [None, TEXT, LINK, OPAQUE, CBOR, SENML_JSON, SENML_CBOR, TLV, OMA_JSON, LWM2M_CBOR, 9999, 65535])
@pytest.mark.parametrize("path", ["/3", "/3/0", "/3/0/9", "/3/0/7", "/3/0/7/0"])
def test_garbage_in_any_format_is_told_with_its_bytes(device_of_module, path, format):
    device = device_of_module
    for name, payload in GARBAGE.items():
        answer = device.read(path, format, payload, None)
        assert answer.status in ANSWERS, f"{name}: {answer.status} {answer.body!r}"
        if answer.status == 502:
            assert answer.problem == "undecodable-answer" and answer.json["detail"], name
            assert "payload_b64" in answer.json
    works(device)


@pytest.fixture(scope="module")
def device_of_module(module_berth):
    return PlayedDevice(module_berth, "garbage", version="1.2")


@pytest.mark.parametrize("format", [TEXT, OPAQUE, CBOR, SENML_JSON, SENML_CBOR, TLV, OMA_JSON, LWM2M_CBOR])
def test_garbage_that_answers_a_composite_read_or_discover(device_of_module, format):
    device = device_of_module
    for payload in GARBAGE.values():
        asked = device.ask("POST", "/composite/read", {"paths": ["/3/0/9"]})
        device.answer(device.expect(5, "/"), "2.05", format, payload)
        assert asked.answer().status in ANSWERS
        asked = device.ask("GET", "/3/0/discover")
        device.answer(device.expect(GET, "/3/0"), "2.05", format, payload)
        assert asked.answer().status == 502
    works(device)


def test_datagram_of_60_KB_is_an_answer(hostile):
    text = b"x" * 60000
    asked = hostile.ask("GET", "/3/0/0")
    hostile.answer(hostile.expect(GET, "/3/0/0"), "2.05", TEXT, text)
    assert asked.answer(200).json["value"] == text.decode()
    works(hostile)


@pytest.mark.parametrize(("answer", "status"), [("2.01", 502), ("2.02", 502), ("2.03", 502), ("2.04", 502), ("2.31", 502), ("4.31", 400), ("5.31", 502)])
def test_codes_that_make_no_sense_are_told(hostile, answer, status):
    asked = hostile.ask("GET", PATH)
    hostile.answer(hostile.expect(GET, PATH), answer, TEXT, b"95")
    response = asked.answer(status)
    assert response.json["coap_code"] == answer
    works(hostile)


def test_retry_after_of_any_length_is_a_number(hostile):
    asked = hostile.ask("GET", PATH)
    hostile.answer(hostile.expect(GET, PATH), "5.03", None, b"", (MAX_AGE, b"\xff" * 4))
    assert asked.answer(503).headers["Retry-After"] == "4294967295"


# ---- blocks ----


def requests_until(asked: Asked, device: PlayedDevice):
    """Every request that comes before the call is answered; at most 300."""
    for _ in range(300):
        while (request := device.peer.receive(0.01)) is None:
            if not asked.thread.is_alive():
                return
        yield request
    raise AssertionError("there is no end to the requests")


def fetch(device: PlayedDevice, answer_of) -> int:
    """A Read whose every request answer_of(number, request) answers; how many there were until the end."""
    asked, count = device.ask("GET", "/3/0/0"), 0
    for request in requests_until(asked, device):
        options, payload = answer_of(count, request)
        device.answer(request, "2.05", TEXT, payload, *options)
        count += 1
    assert asked.answer(502).problem == "unfinished-answer"
    works(device)
    return count


def asked_block(request: Coap) -> int:
    return int.from_bytes(request.one(BLOCK2) or b"", "big") >> 4


def test_first_block_again_and_again_ends(hostile):
    assert fetch(hostile, lambda number, request: ([(BLOCK2, block(0, True, 6))], b"x" * 1024)) <= 10


def test_blocks_that_skip_one_end(hostile):
    assert fetch(hostile, lambda number, request: ([(BLOCK2, block(asked_block(request) + (asked_block(request) > 0), True, 6))], b"x" * 1024)) <= 10


@pytest.mark.parametrize("size", [0, 1, 1023, 1025])
def test_block_of_another_size_than_it_says_ends(hostile, size):
    assert fetch(hostile, lambda number, request: ([(BLOCK2, block(asked_block(request), True, 6))], b"x" * size)) <= 10


def test_body_that_changes_with_every_block_ends(hostile):
    assert fetch(hostile, lambda number, request: ([(BLOCK2, block(asked_block(request), True, 6)), (ETAG, uint(number + 1))], b"x" * 1024)) <= 10


def test_body_without_an_end_ends_at_the_limit(hostile):
    assert fetch(hostile, lambda number, request: ([(BLOCK2, block(asked_block(request), True, 6))], b"x" * 1024)) == 65


def test_blocks_that_grow_and_shrink_end(hostile):
    sizes = [6, 2, 5, 0, 6, 3]

    def answer(number, request):
        exponent = sizes[number % len(sizes)]
        return [(BLOCK2, block(asked_block(request), True, exponent))], b"x" * (16 << exponent)

    assert fetch(hostile, answer) <= 300


def test_reserved_block_size_is_no_block(hostile):
    asked = hostile.ask("GET", "/3/0/0")
    hostile.answer(hostile.expect(GET, "/3/0/0"), "2.05", TEXT, b"abc", (BLOCK2, block(0, True, 7)))
    assert asked.answer(200).json["value"] == "abc"
    works(hostile)


def write(device: PlayedDevice, answer_of) -> tuple[int, Response]:
    """A Write in three blocks whose every request answer_of(request) answers; how many there were, and the HTTP answer."""
    asked, count = device.ask("PUT", "/3/0/14", {"value": "x" * 2500}, format="text"), 0
    for request in requests_until(asked, device):
        assert request.code == PUT
        text, options = answer_of(request)
        device.answer(request, text, None, b"", *options)
        count += 1
    response = asked.answer()
    works(device)
    return count, response


def echo_block(request: Coap) -> list[tuple[int, bytes]]:
    return [(BLOCK1, request.one(BLOCK1))]


def test_2_31_for_the_last_block_is_no_success(hostile):
    number, response = write(hostile, lambda request: ("2.31", echo_block(request)))
    assert (number, response.status, response.problem) == (3, 502, "unfinished-answer")


def test_2_31_without_a_block_option_goes_on_to_the_end(hostile):
    number, response = write(hostile, lambda request: ("2.31", []))
    assert (number, response.status) == (3, 502)


@pytest.mark.parametrize("answer", ["4.08", "4.13"])
def test_write_that_is_told_to_begin_anew_for_ever_ends(hostile, answer):
    def smaller(request):
        exponent = (request.one(BLOCK1) or b"\x06")[-1] & 7
        return answer, [(BLOCK1, block(0, True, max(exponent - 1, 0)))]

    number, response = write(hostile, smaller)
    assert number <= 8 and response.json["coap_code"] == answer


def test_challenge_for_ever_ends(hostile):
    number, response = write(hostile, lambda request: ("4.01", [(ECHO, b"again")]))
    assert number <= 3 and response.json["coap_code"] == "4.01"


def test_success_before_the_last_block_is_an_answer(hostile):
    number, response = write(hostile, lambda request: ("2.04", []))
    assert (number, response.status) == (1, 204)
