"""POST /v1/devices/{ep}/requests: any CoAP request to a device, and what becomes of it."""

import base64
import http.client

import pytest
from coapraw import ACCEPT, ACK, BLOCK1, BLOCK2, CON, DELETE, FETCH, GET, IPATCH, MAX_AGE, NON, POST, PUT, URI_PATH, Coap, block, code, uint
from device_process import start_device  # noqa: F401
from played_device import TEXT, TLV, PlayedDevice, accept_of, format_of, path_of, play, query_of  # noqa: F401
from vectors import vector, with_mid

pytestmark = pytest.mark.transports


@pytest.fixture
def device(play):
    return play("dev1")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_answer_is_told_as_it_came(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3/0/9", "accept": 0})
    request = device.expect(GET, "/3/0/9")
    assert (accept_of(request), format_of(request), request.payload) == (TEXT, None, b"")
    device.answer(request, "2.05", TEXT, b"95")
    answer = asked.answer(200)
    assert answer.headers["CoAP-Code"] == "2.05"
    assert answer.json["rtt_ms"] >= 0
    assert answer.json == {
        "code": "2.05",
        "name": "Content",
        "options": [
            {"number": 12, "name": "Content-Format", "value_b64": ""},
        ],
        "content_format": 0,
        "payload_b64": b64(b"95"),
        "rtt_ms": answer.json["rtt_ms"],
        "retransmissions": 0,
    }


def test_DM_01_request_of_the_list_is_sent_byte_for_byte(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3/0", "accept": "lwm2m-cbor"})
    request = device.expect(GET, "/3/0")
    expected = Coap.decode(vector("M-16"))
    assert (request.options, request.payload) == (expected.options, expected.payload)
    device.answer(request, "4.06")
    assert asked.answer(200).json["code"] == "4.06"


@pytest.mark.parametrize(
    ("method", "expected"),
    [("GET", 1), ("post", 2), ("PUT", 3), ("DELETE", 4), ("FETCH", 5), ("PATCH", 6), ("iPATCH", 7), ("IPATCH", 7), ("0.05", 5), ("0.31", 31)],
)
def test_every_method_can_be_sent(device, method, expected):
    asked = device.ask("POST", "/requests", {"method": method, "path": "/3/0"})
    device.answer(device.expect(expected, "/3/0"), "4.05")
    assert asked.answer(200).json["code"] == "4.05"


def test_query_payload_and_formats_are_sent(device):
    asked = device.ask(
        "POST",
        "/requests",
        {"method": "PUT", "path": "1/0/1", "query": "pmin=1&x", "content_format": "tlv", "payload_b64": b64(b"\xff\x00"), "accept": 60},
    )
    request = device.expect(PUT, "/1/0/1")
    assert query_of(request) == ["pmin=1", "x"]
    assert (format_of(request), accept_of(request), request.payload) == (TLV, 60, b"\xff\x00")
    device.answer(request, "2.04")
    assert asked.answer(200).json["content_format"] is None


def test_query_in_a_list_may_have_any_bytes_in_it(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3", "query": ["a&b=c", "ü"]})
    request = device.expect(GET, "/3")
    assert query_of(request) == ["a&b=c", "ü"]
    device.answer(request, "2.05")
    asked.answer(200)


def test_payload_may_be_text(device):
    asked = device.ask("POST", "/requests", {"method": "PUT", "path": "/3/0/14", "content_format": 0, "payload": "+01:00 ü"})
    request = device.expect(PUT, "/3/0/14")
    assert request.payload == "+01:00 ü".encode()
    device.answer(request, "2.04")
    asked.answer(200)


def test_options_of_any_number_are_sent(device):
    options = [{"number": 2049, "value_b64": "AQI="}, {"number": 4}]
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3", "options": options})
    request = device.expect(GET, "/3")
    assert request.one(2049) == b"\x01\x02" and request.one(4) == b""
    device.answer(request, "4.02")
    asked.answer(200)


def test_OPT_04_unknown_elective_options_of_the_answer_are_told(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    device.answer(device.expect(GET, "/3"), "2.05", 0, b"x", (65000, b"\x01"), (65000, b""), (2048, b"y"))
    assert asked.answer(200).json["options"] == [
        {"number": 12, "name": "Content-Format", "value_b64": ""},
        {"number": 2048, "name": "", "value_b64": b64(b"y")},
        {"number": 65000, "name": "", "value_b64": b64(b"\x01")},
        {"number": 65000, "name": "", "value_b64": ""},
    ]


@pytest.mark.transports("pelion")  # RFC 8323 has neither Message IDs nor Reset
def test_request_that_is_not_confirmable_is_sent_as_NON(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3", "confirmable": False})
    request = device.peer.receive()
    assert (request.type, request.code, path_of(request)) == (NON, GET, "/3")
    device.peer.send(Coap(NON, code("2.05"), device.peer.next_mid(), request.token))
    assert asked.answer(200).json["code"] == "2.05"


def test_path_is_sent_as_it_is_given_below_no_alternate_path(play):
    device = play("dev1", links='</lwm2m>;rt="oma.lwm2m",</lwm2m/3/0>')
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/.well-known/core"})
    device.answer(device.expect(GET, "/.well-known/core"), "2.05")
    asked.answer(200)
    asked = device.ask("POST", "/requests", {"method": "GET"})
    device.answer(device.expect(GET, "/"), "2.05")
    asked.answer(200)


def test_errors_of_the_device_are_answers(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/9"})
    device.answer(device.expect(GET, "/9"), "5.03", None, b"later", (MAX_AGE, b"\x07"))
    answer = asked.answer(200).json
    assert (answer["code"], answer["name"]) == ("5.03", "Service Unavailable")
    assert answer["payload_b64"] == b64(b"later")
    assert {"number": 14, "name": "Max-Age", "value_b64": b64(b"\x07")} in answer["options"]


def test_BLK_29_body_in_blocks_is_sent_and_answered(device):
    body = bytes(range(256)) * 6
    asked = device.ask("POST", "/requests", {"method": "POST", "path": "/x", "payload_b64": b64(body)})
    first = device.expect(POST, "/x")
    assert (first.one(BLOCK1), first.payload) == (block(0, True, 6), body[:1024])
    device.answer(first, "2.31", None, b"", (BLOCK1, block(0, True, 6)))
    second = device.expect(POST, "/x")
    assert (second.one(BLOCK1), second.payload) == (block(1, False, 6), body[1024:])
    device.answer(second, "2.04", TEXT, b"0123456789abcdef", (BLOCK1, block(1, False, 6)), (BLOCK2, block(0, True, 0)))
    third = device.expect(POST, "/x")
    assert third.one(BLOCK2) == block(1, False, 0)
    device.answer(third, "2.04", TEXT, b"gh", (BLOCK2, block(1, False, 0)))
    assert asked.answer(200).json["payload_b64"] == b64(b"0123456789abcdefgh")


def test_separate_answer_is_an_answer(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    request = device.expect(GET, "/3")
    device.acknowledge(request)
    device.answer_separately(request, "2.05", TEXT, b"x")
    assert asked.answer(200).json["payload_b64"] == b64(b"x")


@pytest.mark.transports("pelion")  # RFC 8323 has neither Message IDs nor Reset
def test_retransmissions_are_counted(start_berth):
    berth = start_berth("--ack-timeout", "50ms", "--ack-random-factor", "1")
    device = PlayedDevice(berth, "dev1")
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    first = device.expect(GET, "/3")
    again = device.expect(GET, "/3")
    assert again == first
    device.answer(again, "2.05")
    assert asked.answer(200).json["retransmissions"] >= 1


# ---- no answer ----


@pytest.mark.transports("pelion")  # RFC 8323 has neither Message IDs nor Reset
def test_MSG_37_DM_43_silence_is_504_no_ack(start_berth):
    berth = start_berth("--ack-timeout", "20ms", "--max-retransmit", "1")
    device = PlayedDevice(berth, "dev1")
    answer = device.ask("POST", "/requests", {"method": "GET", "path": "/3"}).answer(504)
    assert answer.problem == "no-answer"
    assert (answer.json["outcome"], answer.json["retransmissions"]) == ("no-ack", 1)
    assert (answer.json["endpoint"], answer.json["path"]) == ("dev1", "/3")
    assert answer.json["detail"] == "GET /3 on dev1: nothing came back, after all retransmissions."


def test_MSG_37_DM_43_acknowledged_without_a_response_is_504_no_response(device, berth):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    device.acknowledge(device.expect(GET, "/3"))
    device.peer.ping()
    berth.leap("247s")
    answer = asked.answer(504)
    assert (answer.problem, answer.json["outcome"]) == ("no-answer", "no-response")
    assert "acknowledged, but no response" in answer.json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/3/0", None, (GET, "/3/0")),
        ("PUT", "/3/0/14", "x", (PUT, "/3/0/14")),
        ("POST", "/3/0/4", None, (POST, "/3/0/4")),
        ("GET", "/3/discover", None, (GET, "/3")),
        ("PUT", "/3/attributes", {"pmin": 1}, (PUT, "/3")),
        ("POST", "/composite/read", {"paths": ["/3/0"]}, (FETCH, "/")),
        ("POST", "/requests", {"method": "GET", "path": "/3"}, (GET, "/3")),
    ],
)
def test_DM_43_time_for_the_response_is_settable_for_each_call(device, berth, method, path, body, expected):
    asked = device.ask(method, path, body, response_timeout="10s")
    device.acknowledge(device.expect(*expected))
    device.peer.ping()
    berth.leap("9s")
    assert asked.thread.is_alive()
    berth.leap("2s")
    assert asked.answer(504).json["outcome"] == "no-response"


@pytest.mark.transports("pelion")  # RFC 8323 has neither Message IDs nor Reset
def test_DM_43_time_for_the_response_to_a_NON(device, berth):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3", "confirmable": False}, response_timeout="10s")
    assert device.peer.receive().type == NON
    berth.leap("11s")
    assert asked.answer(504).json["outcome"] == "no-response"


def test_DM_43_separate_answer_within_its_time_is_taken(device, berth):
    asked = device.ask("GET", "/3/0/9", response_timeout="10s")
    request = device.expect(GET, "/3/0/9")
    device.acknowledge(request)
    device.peer.ping()
    berth.leap("9s")
    device.answer_separately(request, "2.05", 0, b"95")
    assert asked.answer(200).json["value"] == 95


@pytest.mark.parametrize("text", ["0s", "", "-1", "61m", "soon"])
def test_DM_43_time_that_is_none_is_400(device, text):
    assert device.http("GET", "/3/0/9", response_timeout=text).problem == "bad-parameter"


@pytest.mark.transports("pelion")  # RFC 8323 has neither Message IDs nor Reset
def test_MSG_37_reset_is_504_reset(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    device.reset(device.expect(GET, "/3"))
    answer = asked.answer(504)
    assert (answer.problem, answer.json["outcome"]) == ("no-answer", "reset")


def test_DM_44_registration_that_ends_ends_the_request(device):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    device.expect(GET, "/3")
    device.registered.deregister()
    assert asked.answer(410).problem == "registration-gone"


@pytest.mark.parametrize("end", ["forgotten", "expired", "registered elsewhere"])
def test_DM_44_end_of_a_device_does_not_touch_another_that_has_come_to_its_address(berth, play, end):
    older = play("older", lifetime=60)
    device = PlayedDevice(berth, "dev1", peer=older.peer, lifetime=86400)
    asked = device.ask("GET", "/3/0/9")
    request = device.expect(GET, "/3/0/9")
    device.acknowledge(request)
    device.peer.expect_silence()
    if end == "forgotten":
        assert berth.http("DELETE", "/v1/devices/older").status == 204
    elif end == "expired":
        berth.leap("160s")
    else:
        berth.register("older")
    device.answer_separately(request, "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95


def test_DM_44_request_is_not_repeated_after_a_new_register(device, berth):
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    device.expect(GET, "/3")
    berth.register("dev1", peer=device.peer)
    assert asked.answer(410).problem == "registration-gone"
    device.peer.expect_silence()


def test_client_that_hangs_up_cancels(device, berth):
    connection = http.client.HTTPConnection("127.0.0.1", berth.http_port)
    connection.request("POST", "/v1/devices/dev1/requests", '{"method":"GET","path":"/3"}')
    first = device.expect(GET, "/3")
    assert berth.waiting() == 1
    connection.close()
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/1"})  # one at a time: the first has ended
    second = device.expect(GET, "/1")
    device.answer(second, "2.05")
    asked.answer(200)
    device.answer(first, "2.05")  # too late; nobody waits
    assert berth.waiting() == 0


def test_server_that_ends_meanwhile_ends_well(device, berth):
    device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    device.expect(GET, "/3")
    berth.stop()


def test_DM_42_requests_to_one_device_go_one_after_the_other(device):
    first = device.ask("POST", "/requests", {"method": "GET", "path": "/1"})
    request = device.expect(GET, "/1")
    second = device.ask("POST", "/requests", {"method": "GET", "path": "/2"})
    device.peer.expect_silence()
    device.answer(request, "2.05", TEXT, b"1")
    device.answer(device.expect(GET, "/2"), "2.05", TEXT, b"2")
    assert [asked.answer(200).json["payload_b64"] for asked in (first, second)] == [b64(b"1"), b64(b"2")]


def test_more_requests_than_may_wait_are_429(device, berth):
    for _ in range(64):
        device.ask("POST", "/requests", {"method": "GET", "path": "/3"})
    device.expect(GET, "/3")
    while berth.waiting() < 64:
        pass
    answer = device.ask("POST", "/requests", {"method": "GET", "path": "/3"}).answer(429)
    assert answer.problem == "queue-full"
    device.registered.deregister()


def test_device_that_is_not_registered_is_404(berth):
    answer = berth.http("POST", "/v1/devices/nobody/requests", {"method": "GET"})
    assert (answer.status, answer.problem, answer.json["endpoint"]) == (404, "not-registered", "nobody")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "method"),
        ({"method": "GTE"}, "method"),
        ({"method": "0.32"}, "method"),
        ({"method": "0.00"}, "method"),
        ({"method": "1.01"}, "method"),
        ({"method": 1}, "method"),
        ({"method": "GET", "path": 3}, "path"),
        ({"method": "GET", "query": 3}, "query"),
        ({"method": "GET", "query": [3]}, "query"),
        ({"method": "GET", "accept": "xml"}, "accept"),
        ({"method": "GET", "accept": 65536}, "accept"),
        ({"method": "GET", "accept": -1}, "accept"),
        ({"method": "GET", "content_format": 1.5}, "content_format"),
        ({"method": "PUT", "payload": 1}, "payload"),
        ({"method": "PUT", "payload_b64": "?"}, "payload_b64"),
        ({"method": "PUT", "payload": "", "payload_b64": ""}, "payload"),
        ({"method": "GET", "confirmable": 1}, "confirmable"),
        ({"method": "GET", "options": {}}, "options"),
        ({"method": "GET", "options": [{"value_b64": ""}]}, "options"),
        ({"method": "GET", "options": [{"number": 65536}]}, "options"),
        ({"method": "GET", "options": [{"number": 1, "value_b64": "?"}]}, "option"),
        ({"method": "GET", "options": [{"number": 27}]}, "Block1"),
        ({"method": "GET", "options": [{"number": 1}] * 33}, "32"),
        ({"method": "GET", "url": "/3"}, "url"),
    ],
)
def test_malformed_request_is_400_and_nothing_is_sent(device, body, says):
    answer = device.http("POST", "/requests", body)
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert says in answer.json["detail"]


def test_request_that_fits_in_no_message_is_400(device):
    assert device.http("POST", "/requests", {"method": "GET", "path": "/" + "x" * 256}).problem == "bad-request"
    assert device.http("POST", "/requests", {"method": "GET", "path": "/x" * 2000}).problem == "bad-request"
