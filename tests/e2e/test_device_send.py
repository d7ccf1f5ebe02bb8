"""Send of the reference device: what the shell sends, to a server that the test plays and to Berth."""

import json
import time

import pytest
from coapraw import BLOCK1, CONTENT_FORMAT, LOCATION_PATH, POST, PUT, Coap, uint
from device_process import format_of, meet, path_of, played_server, start_device  # noqa: F401
from vectors import vector

SENML_JSON, SENML_CBOR, TLV, LWM2M_CBOR = 110, 112, 11542, 11544


def anonymous(datagram: bytes) -> bytes:
    """Without Message ID and token, which are the device's to choose."""
    message = Coap.decode(datagram)
    message.mid, message.token = 0, b""
    return message.encode()


def take(server, text: str = "2.04", payload: bytes = b"") -> Coap:
    """The Send that comes, answered."""
    message = server.expect(POST, "/dp")
    server.answer(message, text, payload=payload)
    return message


def records(message: Coap) -> dict[str, object]:
    """What a Send in SenML JSON tells, without times."""
    assert format_of(message) == SENML_JSON
    base, values = "", {}
    for record in json.loads(message.payload):
        base = record.get("bn", base)
        values[base + record.get("n", "")] = next(record[kind] for kind in ("v", "vs", "vb") if kind in record)
    return values


def mute(server, truth: bool) -> None:
    content = [(CONTENT_FORMAT, b"")]
    assert server.request(PUT, "/1/0/23", content, b"1" if truth else b"0").code_text == "2.04"


def test_SND_01_send_is_M_42_byte_for_byte(meet):
    server, device = meet()
    device.command("set 3303/0/5700 22.5")
    device.command("send 3/0/9 3303/0/5700")
    sent = server.expect(POST, "/dp")
    assert anonymous(server.raw) == anonymous(vector("M-42"))
    server.answer(sent, "2.04")
    device.line("Sent: 3/0/9 3303/0/5700 -> 2.04 Changed")


@pytest.mark.parametrize(
    ("format", "number", "version", "data"),
    [
        ("senml-json", SENML_JSON, "1.1", b'[{"n":"/3/0/9","v":95}]'),
        ("senml-cbor", SENML_CBOR, "1.1", bytes.fromhex("81a200662f332f302f3902185f")),
        ("senml-cbor", SENML_CBOR, "1.2", bytes.fromhex("81a200662f332f302f3902185f")),
        ("lwm2m-cbor", LWM2M_CBOR, "1.2", bytes.fromhex("a183030009185f")),
    ],
)
def test_send_in_every_format(meet, format, number, version, data):
    server, device = meet("--send-format", format, "--lwm2m", version)
    device.command("send /3/0/9")
    message = take(server)
    assert (format_of(message), message.payload) == (number, data)
    device.line("Sent: 3/0/9 -> 2.04 Changed")


def test_send_of_instances_and_objects_is_all_that_can_be_read(meet):
    server, device = meet("--send-format", "senml-json", "--lifetime", "600")
    device.command("send 1/0 3/0/7")
    assert records(take(server)) == {
        "/1/0/0": 1,
        "/1/0/1": 600,
        "/1/0/6": True,
        "/1/0/7": "U",
        "/1/0/23": False,
        "/3/0/7/0": 3800,
    }
    device.command("send 3303")
    assert set(records(take(server))) == {f"/3303/0/{r}" for r in (5601, 5602, 5700, 5701)}
    device.line("Sent: 3303 -> 2.04 Changed")


def test_values_with_a_time(meet):
    server, device = meet("--send-format", "senml-json")
    device.command("send 3/0/9 3303/0/5701 @1600000000")
    first, *more = json.loads(take(server).payload)
    assert first["bt"] + first.get("t", 0) == 1600000000
    assert [record.get("t", 0) for record in more] == [0]
    before = time.time()
    device.command("send 3/0/9 @now")
    (record,) = json.loads(take(server).payload)
    assert -1 < record["bt"] + record.get("t", 0) - before < 30


def test_send_in_blocks(meet):
    server, device = meet("--send-format", "senml-json", "--block-size", "256")
    device.command("send 3/0")
    body, more = b"", True
    while more:
        message = server.expect(POST, "/dp")
        assert format_of(message) == SENML_JSON
        value = message.number(BLOCK1)
        more, body = bool(value & 8), body + message.payload
        server.answer(message, "2.31" if more else "2.04", (BLOCK1, uint(value)))
    assert len(body) > 256 and json.loads(body)
    device.line("Sent: 3/0 -> 2.04 Changed")


# ---- Mute Send ----


def test_SND_13_muted_by_the_server_and_not_any_more(meet):
    server, device = meet()
    mute(server, True)
    device.command("send 3/0/9")
    device.line("3/0/9: it is muted: 1/0/23 is true or not there")
    server.expect_silence()
    mute(server, False)
    device.command("send 3/0/9")
    take(server)
    device.line("Sent: 3/0/9 -> 2.04 Changed")


def test_SND_13_replaced_instance_without_the_resource_is_muted(meet):
    server, device = meet("--lifetime", "86400")
    assert server.request(PUT, "/1/0", [(CONTENT_FORMAT, uint(TLV))], vector("TLV-04")).code_text == "2.04"
    server.answer(server.receive(), "2.04")  # an Update: the lifetime was written
    device.line("Registration updated")
    device.command("send 3/0/9")
    device.line("3/0/9: it is muted: 1/0/23 is true or not there")
    server.expect_silence()


def test_LwM2M_1_0_has_no_send(meet):
    server, device = meet("--lwm2m", "1.0")
    device.command("send 3/0/9")
    device.line("3/0/9: LwM2M 1.0 has no Send")
    server.expect_silence()


# ---- what goes wrong ----


def test_send_that_is_refused(meet):
    server, device = meet()
    device.command("send 3/0/9")
    take(server, "4.04", b"who are you?")
    device.line("Send of 3/0/9 failed: 4.04 Not Found: who are you?")


def test_send_without_an_answer(meet):
    server, device = meet("--ack-timeout", "400ms", "--max-retransmit", "1")
    device.command("send 3/0/9")
    server.expect(POST, "/dp")
    device.line("Send of 3/0/9 failed: ", partly=True)


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("send 3/0/4", "3/0/4: there is nothing to read, or a path comes twice"),
        ("send 3/0/9 3/0/9", "3/0/9 3/0/9: there is nothing to read, or a path comes twice"),
        ("send 3/0/9 3/0/99", "3/0/99: there is no such thing"),
        ("send @5", "@5: a path like 3/0/9 is expected"),
        ("send 3/0/9 @soon", "@soon: a time is the last word: seconds since 1970, or @now"),
        ("send @5 3/0/9", "@5: a time is the last word: seconds since 1970, or @now"),
        ("send 3/0/9 @5", "3/0/9 @5: the format of --send-format cannot tell it"),  # it would be relative
        ("send" + 33 * " 3/0/9", "send: that is too many paths"),
    ],
)
def test_send_of_nothing_is_a_complaint(meet, command, complaint):
    server, device = meet()
    device.command(command)
    device.line(complaint)
    server.expect_silence()


def test_LwM2M_CBOR_tells_no_time(meet):
    server, device = meet("--lwm2m", "1.2", "--send-format", "lwm2m-cbor")
    device.command("send 3/0/9 @1600000000")
    device.line("3/0/9 @1600000000: the format of --send-format cannot tell it")
    server.expect_silence()


def test_send_without_a_registration(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1")
    played_server.receive()
    device.command("send 3/0/9")
    device.line("3/0/9: there is no registration")
    played_server.let_go(device)


def test_send_that_is_under_way_does_not_keep_a_device_that_quits_twice(meet):
    server, device = meet()
    device.command("send 3/0/9")
    server.expect(POST, "/dp")
    device.command("quit")
    device.command("quit")
    device.end()


def test_device_leaves_after_the_answer_to_its_send(meet):
    server, device = meet()
    device.command("send 3/0/9")
    message = server.expect(POST, "/dp")
    device.terminate()
    server.answer(message, "2.04")
    assert "Sent: 3/0/9 -> 2.04 Changed" in server.let_go(device)


def test_json_lines_of_send(played_server, start_device):
    device = start_device("--server", played_server.uri, "--json", "--ack-timeout", "300ms", "--max-retransmit", "1")
    played_server.accept()
    device.event("registered")
    device.command("send 3/0/9 3/0/13")
    take(played_server)
    sent = device.event("sent")
    assert (sent["paths"], sent["code"]) == (["/3/0/9", "/3/0/13"], "2.04")
    device.command("send 3/0/9")
    take(played_server, "4.00", b"no")
    failed = device.event("send_failed")
    assert (failed["paths"], failed["code"], failed["reason"], failed["diagnostic"]) == (["/3/0/9"], "4.00", "Bad Request", "no")
    device.command("send 3/0/9")
    failed = device.event("send_failed")
    assert "code" not in failed and failed["reason"]
    played_server.let_go(device)


def test_path_of_the_server_uri_comes_first(played_server, start_device):
    device = start_device("--server", played_server.uri + "/a", "--endpoint", "dev1")
    played_server.answer(played_server.receive(), "2.01", (LOCATION_PATH, b"rd"), (LOCATION_PATH, b"x"))
    device.line("Client registered")
    device.command("send 3/0/9")
    message = played_server.receive()
    assert path_of(message) == "/a/dp"
    played_server.answer(message, "2.04")
    device.line("Sent: 3/0/9 -> 2.04 Changed")
    played_server.registered = True
    played_server.let_go(device)


# ---- with Berth ----


def events_of(berth) -> list[dict]:
    return berth.http("GET", "/v1/events", poll=1, after=0, types="send", timeout="10ms").json["items"]


@pytest.mark.parametrize(
    ("format", "version"),
    [("senml-json", "1.1"), ("senml-cbor", "1.1"), ("senml-json", "1.2"), ("senml-cbor", "1.2"), ("lwm2m-cbor", "1.2")],
)
@pytest.mark.parametrize("block_size", ["1024", "16"])
def test_SND_02_SND_09_berth_takes_every_format_also_in_blocks(berth, start_device, format, version, block_size):
    options = ("--lwm2m", version, "--send-format", format, "--block-size", block_size)
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", *options)
    device.line("Client registered")
    device.command("send 3/0/9 3303/0/5700 3/0/0")
    device.line("Sent: 3/0/9 3303/0/5700 3/0/0 -> 2.04 Changed")
    told = {event["path"]: event["value"] for event in events_of(berth)}
    assert told == {"/3/0/9": 95, "/3303/0/5700": 20, "/3/0/0": "Berth"}


def test_SND_12_berth_takes_values_with_a_time(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    device.command("send 3/0/9 @1600000000")
    device.line("Sent: 3/0/9 -> 2.04 Changed")
    (event,) = events_of(berth)
    assert event["value"] == 95 and "2020-09-13T12:26:40" in json.dumps(event), event
