"""berth-device when it misbehaves: what it does, to a server that the test plays; and how berth-server bears it."""

import base64

import pytest
from coapraw import (
    ACK,
    BLOCK1,
    BLOCK2,
    CON,
    CONTENT_FORMAT,
    EMPTY,
    GET,
    OBSERVE,
    POST,
    RST,
    URI_PATH,
    Coap,
    block,
    uint,
)
from device_process import meet, path_of, played_server, start_device  # noqa: F401
from played_device import Asked
from test_dtls import COAPS, KEY, add_psk

CRITICAL, NO_FORMAT = 65001, 65001
TOKEN = b"\xa1\xb2\xc3\xd4"


def ask(server, path="/3/0/9", method=GET, options=()):
    """A request and the next thing that comes from the device."""
    server.mid += 1
    segments = [(URI_PATH, part.encode()) for part in path.strip("/").split("/")]
    server.send(Coap(CON, method, server.mid, TOKEN, sorted([*segments, *options], key=lambda option: option[0])))
    return server.receive()


def misbehaved(device, what):
    assert device.line("Misbehaved", partly=True) == f"Misbehaved: {what}"


# ---- what it does ----


def test_wrong_mid_twice_and_then_behaved(meet):
    server, device = meet("--misbehave", "wrong-mid:2")
    for _ in range(2):
        answer = ask(server)
        assert answer.type == ACK and answer.mid != server.mid and answer.token == TOKEN
        misbehaved(device, "wrong-mid")
    assert ask(server).mid == server.mid


def test_wrong_token(meet):
    server, _ = meet("--misbehave", "wrong-token:1")
    answer = ask(server)
    assert (answer.type, answer.mid) == (ACK, server.mid) and answer.token != TOKEN
    assert ask(server).token == TOKEN


def test_no_ack(meet):
    server, device = meet("--misbehave", "no-ack:1")
    server.mid += 1
    server.send(Coap(CON, GET, server.mid, TOKEN, [(URI_PATH, b"3"), (URI_PATH, b"0"), (URI_PATH, b"9")]))
    server.expect_silence()
    misbehaved(device, "no-ack")


def test_late_ack(meet):
    server, device = meet("--misbehave", "late-ack=7s:1")
    server.mid += 1
    asked = server.mid
    server.send(Coap(CON, GET, server.mid, TOKEN, [(URI_PATH, b"3"), (URI_PATH, b"0"), (URI_PATH, b"9")]))
    server.expect_silence()
    device.command("clock +6s")
    server.expect_silence()
    device.command("clock +1s")
    answer = server.receive()
    assert (answer.type, answer.mid, answer.code_text) == (ACK, asked, "2.05")


def test_duplicate(meet):
    server, device = meet()
    device.command("misbehave duplicate:1")
    device.command("update")
    first = server.receive()
    assert path_of(first) == "/rd/4Kx9" and server.receive() == first
    server.answer(first, "2.04")
    server.expect_silence()


def test_reset(meet):
    server, _ = meet("--misbehave", "reset:1")
    answer = ask(server)
    assert (answer.type, answer.code, answer.mid) == (RST, EMPTY, server.mid)
    assert ask(server).code_text == "2.05"


def test_garbage(meet):
    server, _ = meet("--misbehave", "garbage:1")
    good = ask(server, "/3/0/0")
    assert good.payload[:3] == b"\xff\xfe\xfd"[: len(good.payload)]
    assert ask(server, "/3/0/0").payload == b"Berth"


def test_critical_option_in_answers_and_requests(meet):
    server, device = meet()
    device.command("misbehave critical-option:2")
    device.command("objects")  # a fence: the command before it has been taken
    device.line("1/0:", partly=True)
    assert ask(server).one(CRITICAL) == b""
    device.command("update")
    update = server.expect(POST, "/rd/4Kx9")
    assert update.one(CRITICAL) == b""
    server.answer(update, "2.04")


def test_endless_blocks(meet):
    server, _ = meet("--misbehave", "endless-blocks")
    for number in (0, 1, 2, 1000):
        options = [] if number == 0 else [(BLOCK2, block(number, False, 6))]
        answer = ask(server, options=options)
        assert answer.one(BLOCK2) == block(number, True, 6) and len(answer.payload) == 1024


def test_wrong_block_size(meet):
    server, _ = meet("--misbehave", "wrong-block-size:1")
    answer = ask(server, "/5000/0/0")
    assert answer.one(BLOCK2) == block(0, True, 5) and len(answer.payload) == 1024
    assert ask(server, "/5000/0/0").one(BLOCK2) == block(0, True, 6)


def test_wrong_format(meet):
    server, _ = meet("--misbehave", "wrong-format:1")
    assert ask(server).number(CONTENT_FORMAT) == NO_FORMAT
    assert ask(server).number(CONTENT_FORMAT) != NO_FORMAT


def test_endless_register(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1", "--misbehave", "endless-register")
    token = None
    for number in range(5):
        part = played_server.expect(POST, "/rd")
        assert part.one(BLOCK1) == block(number, True, 6) and len(part.payload) == 1024
        assert token in (None, part.token)
        token = part.token
        played_server.answer(part, "2.31", (BLOCK1, part.one(BLOCK1)))
    misbehaved(device, "endless-register")
    device.kill()


def test_notify_after_cancel(meet):
    server, _ = meet("--misbehave", "notify-after-cancel:1")
    assert ask(server, options=[(OBSERVE, b"")]).one(OBSERVE) is not None
    assert ask(server, options=[(OBSERVE, b"\x01")]).one(OBSERVE) is None
    told = server.receive()
    assert (told.type, told.token, told.code_text) == (CON, TOKEN, "2.05") and told.one(OBSERVE) is not None
    server.send(Coap(RST, EMPTY, told.mid))
    server.expect_silence()


def test_notifications_out_of_order(meet):
    server, device = meet("--misbehave", "out-of-order:1")
    assert ask(server, options=[(OBSERVE, b"")]).one(OBSERVE) is not None
    for value in (80, 70, 60):
        device.command(f"set 3/0/9 {value}")
    told = [server.receive() for _ in range(3)]
    assert [one.payload for one in told] == [b"70", b"80", b"60"]
    assert told[1].number(OBSERVE) < told[0].number(OBSERVE) < told[2].number(OBSERVE)


def test_update_first(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1", "--misbehave", "update-first")
    early = played_server.expect(POST, "/rd/never-registered")
    played_server.answer(early, "4.04")
    played_server.accept()
    device.line("Device ID: 4Kx9")
    played_server.let_go(device)


def test_off(meet):
    server, device = meet("--misbehave", "wrong-mid,late-ack=1h:1")
    server.mid += 1
    asked = server.mid
    server.send(Coap(CON, GET, server.mid, TOKEN, [(URI_PATH, b"3"), (URI_PATH, b"0"), (URI_PATH, b"9")]))
    server.expect_silence()
    device.command("misbehave off")
    answer = server.receive()  # it was held back as it was
    assert (answer.type, answer.mid) == (ACK, asked)
    assert ask(server).mid == server.mid


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("kindly", "kindly: is no misbehaviour; --help lists them"),
        ("wrong-mid:0", "wrong-mid:0: how often is expected behind the colon, a number from 1"),
        ("wrong-mid,reset:x", "reset:x: how often is expected behind the colon, a number from 1"),
        ("reset=5s", "reset=5s: a duration is expected, of late-ack only, like late-ack=5s"),
        ("late-ack=soon", "late-ack=soon: a duration is expected, of late-ack only, like late-ack=5s"),
        ("", ": is no misbehaviour; --help lists them"),
    ],
)
def test_what_is_no_misbehaviour(start_device, meet, what, said):
    device = start_device("--misbehave", what)
    assert device.process.wait(10) == 2 and device.log().strip() == f"berth-device: --misbehave: {said}"
    _, device = meet()
    if what:
        device.command(f"misbehave {what}")
        assert device.line("misbehave: ", partly=True) == f"misbehave: {said}"


# ---- how the server bears it ----


@pytest.fixture
def together(start_berth, start_device):
    """together("wrong-mid:1") -> the server, and a device that has registered and misbehaves from then on."""

    def start(what, *options, listen=("coap://127.0.0.1:0",)):
        berth = start_berth(*options, listen=listen)
        device = start_device("--server", berth.listen[0], "--endpoint", "dev1", "--lifetime", "86400")
        device.line("Device ID:", partly=True)
        device.command(f"misbehave {what}")
        device.command("objects")  # a fence
        device.line("1/0:", partly=True)
        return berth, device

    return start


def read(berth, path="/3/0/9"):
    return Asked(berth, "GET", f"/v1/devices/dev1{path}")


@pytest.mark.parametrize("what", ["wrong-mid", "wrong-token", "no-ack", "critical-option"])
def test_an_answer_that_is_none_is_waited_for_and_asked_for_again(together, what):
    berth, device = together(f"{what}:1")
    asked = read(berth)
    misbehaved(device, what)
    berth.leap("3s")
    assert asked.answer(200).json["value"] == 95
    assert berth.get_metric("berth_coap_retransmissions_total") >= 1


@pytest.mark.parametrize("what", ["wrong-mid", "wrong-token", "no-ack"])
def test_a_device_that_never_answers_well_is_given_up(together, what):
    berth, device = together(what)
    asked = read(berth)
    for seconds in (3, 6, 12, 24, 48):
        misbehaved(device, what)
        berth.leap(f"{seconds}s")
    answer = asked.answer(504)
    assert answer.problem == "no-answer"
    assert berth.device("dev1")["state"] == "registered"


def test_a_late_answer_is_one(together):
    berth, device = together("late-ack=3s:1")
    asked = read(berth)
    misbehaved(device, "late-ack")
    device.command("clock +3s")
    assert asked.answer(200).json["value"] == 95


def test_a_reset_ends_the_call(together):
    berth, _ = together("reset:1")
    answer = read(berth).answer()
    assert (answer.status, answer.json["outcome"]) == (504, "reset")
    assert read(berth).answer(200).json["value"] == 95


def test_a_doubled_update_is_one(together):
    berth, device = together("duplicate:1")
    mark = berth.last_event()
    device.command("update")
    device.line("Registration updated")
    assert read(berth).answer(200).json["value"] == 95  # what the copy was answered has come before
    assert len(berth.events_after(mark, types="updated")) == 1
    assert berth.get_metric("berth_coap_duplicates_total") == 1


@pytest.mark.parametrize("what", ["garbage", "wrong-format"])
def test_what_cannot_be_understood_is_said_to_be_so(together, what):
    berth, _ = together(f"{what}:1")
    answer = read(berth, "/3").answer(502)
    assert answer.problem == "undecodable-answer", answer.body
    assert read(berth, "/3").answer(200)


def test_blocks_without_end_end_at_the_limit(together):
    berth, _ = together("endless-blocks", "--max-body", "20000")
    answer = read(berth).answer()
    assert answer.status in (502, 507), answer.body
    assert berth.get_metric("berth_coap_transfer_bytes") == 0


def test_a_block_that_is_larger_than_it_says_is_taken_as_it_is(together):
    berth, device = together("wrong-block-size:1")
    answer = read(berth, "/5000/0/0").answer(200)
    misbehaved(device, "wrong-block-size")
    assert base64.b64decode(answer.json["value"]) == bytes(number % 251 for number in range(131072))


def test_blocks_that_never_have_the_size_they_say_are_no_value(together):
    berth, _ = together("wrong-block-size")
    assert read(berth, "/5000/0/0").answer(502).problem == "unfinished-answer"
    assert berth.get_metric("berth_coap_transfer_bytes") == 0


def test_a_register_without_end_is_refused(start_berth, start_device):
    berth = start_berth("--max-body", "20000")
    mark = berth.last_event()
    start_device("--server", berth.listen[0], "--endpoint", "dev1", "--misbehave", "endless-register:1")
    assert "larger than is taken" in berth.await_event("rejected", after=mark)["detail"]
    assert berth.get("/v1/devices")["items"] == []
    assert berth.get_metric("berth_coap_transfer_bytes") == 0


def test_a_notification_after_the_end_is_reset(together):
    berth, device = together("notify-after-cancel:1")
    assert berth.http("PUT", "/v1/devices/dev1/3/0/9/observe").status == 200
    assert berth.http("DELETE", "/v1/devices/dev1/3/0/9/observe", mode="active").status == 204
    misbehaved(device, "notify-after-cancel")
    assert read(berth).answer(200).json["value"] == 95  # behind the notification
    assert berth.get_metric("berth_coap_resets_sent_total") == 1
    assert berth.events_after(0, types="notification")[1:] == []


def test_a_notification_that_was_overtaken_is_stale(together):
    berth, device = together("out-of-order:1")
    assert berth.http("PUT", "/v1/devices/dev1/3/0/9/observe").status == 200
    mark = berth.last_event()
    device.command("set 3/0/9 80")
    device.command("set 3/0/9 70")
    first = berth.await_event("notification", "dev1", mark)
    second = berth.await_event("notification", "dev1", first["id"])
    assert [(event["value"], event.get("stale")) for event in (first, second)] == [(70, None), (80, True)]


def test_an_update_before_the_register_is_4_04(start_berth, start_device):
    berth = start_berth()
    device = start_device("--server", berth.listen[0], "--endpoint", "dev1", "--misbehave", "update-first")
    device.line("Device ID:", partly=True)
    types = [(event["type"], event.get("coap_code")) for event in berth.events_after(0)]
    assert types == [("rejected", "4.04"), ("registered", None)]


@pytest.fixture
def secure(start_berth, start_device):
    def start(what):
        berth = start_berth(listen=COAPS)
        add_psk(berth, "dev1")
        device = start_device("--server", berth.listen[1], "--endpoint", "dev1", "--cid", "--psk", f"dev1:{KEY.hex()}", "--misbehave", what)
        misbehaved(device, what.partition(":")[0])
        device.line("Device ID:", partly=True)
        return berth, device

    return start


def test_a_device_that_forgets_its_session_comes_with_another(secure):
    berth, device = secure("forget-session:1")
    device.line("Session forgotten", partly=True)
    device.command("update")
    device.line("Registration updated")
    assert len(berth.events_after(0, types="dtls_handshake")) == 2
    assert read(berth).answer(200).json["value"] == 95


def test_a_stale_connection_id_is_nobodys(secure):
    berth, device = secure("stale-cid:1")
    assert berth.get_metric("berth_dtls_unknown_records_total") == 1
    assert berth.device("dev1")["state"] == "registered"
