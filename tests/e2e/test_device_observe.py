"""The reference device is observed by a server that the test plays: what begins, what is told, what ends it."""

import pytest
from coapraw import ACK, BLOCK2, CON, CONTENT_FORMAT, DELETE, EMPTY, ETAG, GET, NON, OBSERVE, POST, PUT, SIZE2, Coap, block, uint
from device_process import format_of, meet, played_server, start_device  # noqa: F401
from observing import (
    SENML_JSON,
    TEXT,
    TLV,
    attach,
    cancel,
    change,
    leap,
    notification,
    observe,
    observe_composite,
    records,
    reset,
    sequence,
    value,
    values,
)
from vectors import vector

FOREVER = ("--lifetime", "0")
TEMPERATURE = "/3303/0/5700"


# ---- one path ----


def test_observe_is_answered_byte_for_byte(meet):
    server, device = meet(*FOREVER)
    first = vector("M-21").replace(b"\x61\x0c", b"\x61\x01")  # the sequence is the device's to choose
    assert server.exchange_raw(vector("M-20")) == first
    device.line("Observation of 3/0/9 began")


def test_confirmable_notification_is_acknowledged(meet):
    server, device = meet("--notify-con", *FOREVER)
    server.exchange_raw(vector("M-20"))
    device.command("set 3/0/9 94")
    message = server.receive()
    expected = Coap.decode(vector("M-22"))
    assert (message.type, message.token, message.payload) == (CON, expected.token, expected.payload)
    assert (format_of(message), sequence(message)) == (SENML_JSON, 2)
    server.send(Coap(ACK, EMPTY, message.mid))
    device.line("Notified: 3/0/9 (CON, 1 value)")
    server.expect_silence()
    leap(device, 300)
    server.expect_silence()


def test_notifications_are_non_confirmable_with_rising_sequence(meet):
    server, device = meet(*FOREVER)
    last = sequence(observe(server, "/3/0/9", accept=TEXT))
    for level in [80, 70, 60]:
        change(device, "3/0/9", level)
        message = notification(server)
        assert (message.type, message.payload, format_of(message)) == (NON, str(level).encode(), TEXT)
        assert sequence(message) == last + 1
        last += 1


@pytest.mark.parametrize(
    ("path", "setting", "told"),
    [
        ("/3/0/9", "3/0/9 80", {"/3/0/9": 80}),
        ("/3/0/7", "3/0/7/1 5000", {"/3/0/7/0": 3800, "/3/0/7/1": 5000}),
        ("/3/0/7/0", "3/0/7/0 3700", {"/3/0/7/0": 3700}),
        ("/3303/0", "3303/0/5700 21.5", {"/3303/0/5601": 20, "/3303/0/5602": 21.5, "/3303/0/5700": 21.5, "/3303/0/5701": "Cel"}),
        ("/3303", "3303/0/5701 K", {"/3303/0/5601": 20, "/3303/0/5602": 20, "/3303/0/5700": 20, "/3303/0/5701": "K"}),
    ],
)
def test_NTF_04_notification_has_everything_at_and_below_the_path(meet, path, setting, told):
    server, device = meet(*FOREVER)
    assert sequence(observe(server, path)) == 1
    device.command(f"set {setting}")
    assert values(notification(server)) == told


def test_change_elsewhere_is_not_told(meet):
    server, device = meet(*FOREVER)
    observe(server, "/3/0/9")
    observe(server, "/3/0/7/0", token=b"\x02")
    change(device, "3/0/7/1", 5000)
    change(device, TEMPERATURE, 21)
    change(device, "3/0/9", 95)  # what it was
    server.expect_silence()


@pytest.mark.parametrize(("accept", "number"), [(None, TEXT), (TEXT, TEXT), (TLV, TLV), (SENML_JSON, SENML_JSON)])
def test_notifications_have_the_format_of_the_answer(meet, accept, number):
    server, device = meet(*FOREVER)
    assert format_of(observe(server, "/3/0/9", accept=accept)) == number
    change(device, "3/0/9", 80)
    assert format_of(notification(server)) == number


def test_what_a_server_writes_is_told_after_the_answer(meet):
    server, _ = meet(*FOREVER)
    observe(server, "/3/0/14")
    assert server.request(PUT, "/3/0/14", [(CONTENT_FORMAT, b"")], b"+02:00").code_text == "2.04"
    assert value(notification(server)) == "+02:00"


def test_instance_that_is_created_or_deleted_is_told_to_who_observes_the_object(meet):
    server, _ = meet("--lwm2m", "1.0", *FOREVER)
    one = observe(server, "/3303", accept=TLV).payload
    assert server.request(POST, "/3303", [(CONTENT_FORMAT, uint(TLV))]).code_text == "2.01"
    two = notification(server).payload
    assert two.startswith(one) and len(two) == 2 * len(one)
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    assert server.request(DELETE, "/3303/1").code_text == "2.02"
    assert notification(server).payload == one
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")


@pytest.mark.parametrize(("path", "code"), [("/3/0/4", "4.05"), ("/3/0/99", "4.04"), ("/3/1", "4.04"), ("/8", "4.04")])
def test_error_begins_nothing(meet, path, code):
    server, device = meet(*FOREVER)
    answer = observe(server, path)
    assert (answer.code_text, sequence(answer)) == (code, None)
    device.command("observations")
    device.settle()
    assert b"Observation of" not in device.output


def test_observe_with_another_value_is_a_read(meet):
    server, device = meet(*FOREVER)
    assert sequence(observe(server, "/3/0/9", value=2)) is None
    change(device, "3/0/9", 80)
    server.expect_silence()


def test_second_request_replaces_with_the_same_token_and_else_stands_beside(meet):
    server, device = meet(*FOREVER)
    observe(server, "/3/0/9")
    observe(server, TEMPERATURE)
    observe(server, TEMPERATURE, token=b"\x02")
    change(device, "3/0/9", 80)
    server.expect_silence()
    change(device, TEMPERATURE, 21)
    assert {notification(server, token).token for token in [b"\x01", b"\x02"]} == {b"\x01", b"\x02"}
    server.expect_silence()


def test_257th_observation_is_answered_as_a_read(meet):
    server, _ = meet(*FOREVER)
    for i in range(256):
        assert sequence(observe(server, "/3/0/9", token=i.to_bytes(2, "big"))) == 1
    answer = observe(server, "/3/0/9", token=b"last")
    assert (answer.code_text, sequence(answer)) == ("2.05", None)


def test_release_1_0_observes_in_its_formats_and_has_no_composite(meet):
    server, device = meet("--lwm2m", "1.0", *FOREVER)
    assert sequence(observe(server, "/3/0/7", accept=TLV)) == 1
    assert observe(server, "/3/0/7/0", token=b"\x02", accept=TEXT).code_text == "4.04"
    assert observe_composite(server, "/3/0/9", token=b"\x03").code_text == "4.05"
    change(device, "3/0/7/1", 5000)
    assert notification(server).payload == vector("TLV-07")


# ---- the end ----


def test_cancel_is_answered_byte_for_byte_and_ends_it(meet):
    server, device = meet(*FOREVER)
    server.exchange_raw(vector("M-20"))
    answer = Coap.decode(server.exchange_raw(vector("M-25").replace(b"\x7d\x34", b"\x7d\x35")))
    assert (answer.code_text, sequence(answer), answer.payload) == ("2.05", None, b"95")
    device.line("Observation of 3/0/9 ended: the server has cancelled it")
    change(device, "3/0/9", 80)
    server.expect_silence()


def test_cancel_with_another_token_ends_nothing(meet):
    server, device = meet(*FOREVER)
    observe(server, "/3/0/9")
    assert cancel(server, "/3/0/9", token=b"\x02").code_text == "2.05"
    change(device, "3/0/9", 80)
    notification(server)


@pytest.mark.parametrize("options", [(), ("--notify-con",)])
def test_reset_ends_it(meet, options):
    server, device = meet(*options, *FOREVER)
    observe(server, "/3/0/9")
    device.command("set 3/0/9 80")
    reset(server, server.receive())
    device.line("Observation of 3/0/9 ended: the server has reset it")
    change(device, "3/0/9", 70)
    server.expect_silence()


def test_reset_of_one_leaves_the_others(meet):
    server, device = meet(*FOREVER)
    observe(server, "/3/0/9", token=b"\x01")
    observe(server, "/3/0/9", token=b"\x02")
    device.command("set 3/0/9 80")
    reset(server, notification(server, b"\x01"))
    notification(server, b"\x02")
    device.line("Observation of 3/0/9 ended: the server has reset it")
    change(device, "3/0/9", 70)
    notification(server, b"\x02")
    server.expect_silence()


def test_notification_without_acknowledgement_ends_it(meet):
    server, device = meet("--notify-con", "--ack-timeout", "300ms", "--max-retransmit", "1", *FOREVER)
    observe(server, "/3/0/9")
    device.command("set 3/0/9 80")
    first, again = server.receive(), server.receive()
    assert (first.type, again) == (CON, first)
    device.line("Observation of 3/0/9 ended: no acknowledgement")


def test_while_an_acknowledgement_is_awaited_changes_wait_and_the_last_is_told(meet):
    server, device = meet("--notify-con", *FOREVER)
    observe(server, "/3/0/9")
    change(device, "3/0/9", 80)
    first = server.receive()
    assert value(first) == 80
    change(device, "3/0/9", 70)
    change(device, "3/0/9", 60)
    server.expect_silence()
    server.send(Coap(ACK, EMPTY, first.mid))
    assert value(notification(server)) == 60


@pytest.mark.parametrize("path", ["/3303/1", "/3303/1/5700"])
def test_deletion_of_what_is_observed_is_the_last_word(meet, path):
    server, device = meet(*FOREVER)
    server.request(POST, "/3303", [(CONTENT_FORMAT, uint(TLV))])
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    observe(server, path)
    assert server.request(DELETE, "/3303/1").code_text == "2.02"
    last = notification(server, code="4.04")
    assert (last.type, sequence(last)) == (CON, None)
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    server.request(POST, "/3303", [(CONTENT_FORMAT, uint(TLV))])
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    change(device, "3303/1/5700", 25)
    server.expect_silence()


def test_deletion_of_an_observed_resource_instance(meet):
    server, _ = meet(*FOREVER)
    observe(server, "/16/0/0/1")
    assert server.request(DELETE, "/16/0/0/2").code_text == "2.02"
    server.expect_silence()
    assert server.request(DELETE, "/16/0/0/1").code_text == "2.02"
    notification(server, code="4.04")


@pytest.mark.parametrize("command", ["register", "deregister"])
def test_observations_end_with_the_registration(meet, command):
    server, device = meet(*FOREVER)
    observe(server, "/3/0/9")
    device.command(command)
    if command == "register":
        server.accept()
    else:
        server.answer(server.expect(DELETE, "/rd/4Kx9"), "2.02")
        server.registered = False
    change(device, "3/0/9", 80)
    server.expect_silence()


# ---- several paths ----


def test_NTF_03_composite_notification_has_every_path(meet):
    server, device = meet(*FOREVER)
    first = observe_composite(server, "/3/0/9", TEMPERATURE, "/1/0/1", "/9/9/9")
    everything = {"/3/0/9": 95, TEMPERATURE: 20, "/1/0/1": 0}
    assert (sequence(first), values(first)) == (1, everything)
    change(device, TEMPERATURE, 21)
    assert values(notification(server)) == everything | {TEMPERATURE: 21}
    change(device, "3303/0/5701", "K")
    server.expect_silence()
    change(device, "3/0/9", 80)
    assert values(notification(server)) == everything | {TEMPERATURE: 21, "/3/0/9": 80}


def test_composite_observation_tells_of_instances_that_come_and_go(meet):
    server, _ = meet(*FOREVER)
    assert values(observe_composite(server, "/3303/1/5700", "/3/0/9")) == {"/3/0/9": 95}
    server.request(POST, "/3303", [(CONTENT_FORMAT, uint(TLV))])
    assert values(notification(server)) == {"/3/0/9": 95, "/3303/1/5700": 20}
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    server.request(DELETE, "/3303/1")
    assert values(notification(server)) == {"/3/0/9": 95}
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")


def test_composite_observation_of_the_root(meet):
    server, device = meet("--large", "10", *FOREVER)
    first = observe_composite(server, "/")
    assert first.code_text == "2.05" and sequence(first) == 1
    change(device, "3/0/9", 80)
    assert notification(server).number(BLOCK2) == 0b1110


def test_composite_observation_is_cancelled(meet):
    server, device = meet(*FOREVER)
    observe_composite(server, "/3/0/9", TEMPERATURE)
    assert sequence(observe_composite(server, "/3/0/9", TEMPERATURE, value=1)) is None
    device.line(f"Observation of 3/0/9 {TEMPERATURE[1:]} ended: the server has cancelled it")
    change(device, "3/0/9", 80)
    server.expect_silence()


def test_composite_observation_is_reset(meet):
    server, device = meet(*FOREVER)
    observe_composite(server, "/3/0/9", TEMPERATURE)
    device.command("set 3/0/9 80")
    reset(server, server.receive())
    device.line(f"Observation of 3/0/9 {TEMPERATURE[1:]} ended: the server has reset it")


def test_composite_with_the_periods_that_fit_all_paths(meet):
    server, device = meet(*FOREVER)
    attach(server, "/3/0/9", "pmin=10", "pmax=100")
    attach(server, TEMPERATURE, "pmin=20", "pmax=60")
    observe_composite(server, "/3/0/9", TEMPERATURE)
    change(device, "3/0/9", 80)
    leap(device, 19)
    server.expect_silence()
    leap(device, 1)
    notification(server)
    leap(device, 59)
    server.expect_silence()
    leap(device, 1)
    notification(server)


# ---- large ----


def test_large_notification_is_fetched_in_blocks(meet):
    server, device = meet(*FOREVER)
    first = observe(server, "/5000/0/0", accept=42)
    assert (first.number(BLOCK2), first.number(SIZE2), sequence(first)) == (0b1110, 131072, 1)
    later = server.request(GET, "/5000/0/0", [(BLOCK2, block(1, False, 6))])
    assert later.one(OBSERVE) is None and later.one(ETAG) == first.one(ETAG)
    change(device, "5000/0/1", 2500)
    message = notification(server)
    assert (message.number(BLOCK2), message.number(SIZE2), sequence(message)) == (0b1110, 2500, 2)
    body = message.payload
    for number in [1, 2]:
        part = server.request(GET, "/5000/0/0", [(BLOCK2, block(number, False, 6))])
        assert part.one(OBSERVE) is None and part.one(ETAG) == message.one(ETAG) != first.one(ETAG)
        body += part.payload
    assert body == bytes(i % 251 for i in range(2500))


def test_blocks_of_notifications_are_no_larger_than_the_server_asked_for(meet):
    server, device = meet("--large", "100", *FOREVER)
    first = observe(server, "/5000/0/0", accept=42, options=[(BLOCK2, block(0, False, 1))])
    assert (len(first.payload), first.number(BLOCK2)) == (32, 0b1001)
    change(device, "5000/0/1", 90)
    message = notification(server)
    assert (len(message.payload), message.number(BLOCK2)) == (32, 0b1001)


# ---- while the device is out of reach ----


def test_NTF_05_what_was_kept_is_told_in_order_with_its_times(meet):
    server, device = meet(*FOREVER)
    observe(server, "/3/0/9")
    device.command("sleep")
    device.line("Asleep")
    for level in [80, 70, 60]:
        leap(device, 10)
        change(device, "3/0/9", level)
    leap(device, 30)
    device.command("wake")
    device.line("Awake")
    kept = records(notification(server))
    assert [(path, level) for path, level, _ in kept] == [("/3/0/9", 80), ("/3/0/9", 70), ("/3/0/9", 60)]
    times = [time for _, _, time in kept]
    assert [round(later - times[0]) for later in times] == [0, 10, 20]
    device.settle()
    server.expect_silence()
    change(device, "3/0/9", 50)
    assert records(notification(server)) == [("/3/0/9", 50, None)]


def test_NTF_05_formats_without_times_tell_one_after_the_other(meet):
    server, device = meet(*FOREVER)
    observe(server, "/3/0/9", accept=TEXT)
    device.command("sleep")
    for level in [80, 70]:
        change(device, "3/0/9", level)
    device.command("wake")
    first, second = notification(server), notification(server)
    assert (first.payload, second.payload) == (b"80", b"70")
    assert sequence(second) == sequence(first) + 1


def test_NTF_05_confirmable_ones_wait_for_each_other(meet):
    server, device = meet("--notify-con", *FOREVER)
    observe(server, "/3/0/9", accept=TEXT)
    device.command("sleep")
    for level in [80, 70]:
        change(device, "3/0/9", level)
    device.command("wake")
    first = server.receive()
    device.settle()
    server.expect_silence()
    server.send(Coap(ACK, EMPTY, first.mid))
    assert (first.payload, notification(server).payload) == (b"80", b"70")


def test_NTF_05_composite_is_kept_as_a_whole(meet):
    server, device = meet(*FOREVER)
    observe_composite(server, "/3/0/9", TEMPERATURE)
    device.command("sleep")
    change(device, "3/0/9", 80)
    leap(device, 5)
    change(device, TEMPERATURE, 21)
    device.command("wake")
    kept = {(path, level) for path, level, _ in records(notification(server))}
    assert kept == {("/3/0/9", 80), (TEMPERATURE, 20), (TEMPERATURE, 21)}


def test_without_notification_storing_only_what_is_so_now_is_told(meet):
    server, device = meet(*FOREVER)
    assert server.request(PUT, "/1/0/6", [(CONTENT_FORMAT, b"")], b"0").code_text == "2.04"
    observe(server, "/3/0/9")
    device.command("sleep")
    for level in [80, 70, 60]:
        change(device, "3/0/9", level)
    device.command("wake")
    assert records(notification(server)) == [("/3/0/9", 60, None)]
    device.settle()
    server.expect_silence()


@pytest.mark.parametrize(("hqmax", "told"), [(2, [70, 60]), (1, [60])])
def test_hqmax_is_how_many_are_kept(meet, hqmax, told):
    server, device = meet("--lwm2m", "1.2", *FOREVER)
    assert attach(server, "/3/0/9", f"hqmax={hqmax}") == "2.04"
    observe(server, "/3/0/9")
    device.command("sleep")
    for level in [80, 70, 60]:
        change(device, "3/0/9", level)
    device.command("wake")
    assert [level for _, level, _ in records(notification(server))] == told


def test_pmax_goes_on_while_asleep(meet):
    server, device = meet(*FOREVER)
    attach(server, "/3/0/9", "pmax=60")
    observe(server, "/3/0/9")
    device.command("sleep")
    for _ in range(3):
        leap(device, 60)
    device.command("wake")
    assert [level for _, level, _ in records(notification(server))] == [95, 95, 95]
