"""The reference device sleeps, ticks, reboots, is reset and disabled: with a server that the test plays."""

import pytest
from coapraw import ACK, CON, CONTENT_FORMAT, DELETE, EMPTY, GET, POST, PUT, Coap, uint
from device_process import meet, played_server, queries_of, start_device  # noqa: F401
from observing import SENML_JSON, TEXT, attach, change, leap, notification, observe, records

FOREVER = ("--lifetime", "0")
TEMPERATURE = "/3303/0/5700"


def content(number: int) -> list[tuple[int, bytes]]:
    return [(CONTENT_FORMAT, uint(number))]


def read(server, path: str) -> str:
    answer = server.request(GET, path)
    return answer.payload.decode() if answer.code_text == "2.05" else answer.code_text


def unheard(server, device) -> None:
    """What the server sends does not reach the device."""
    ping = Coap(CON, EMPTY, 0x7000)
    server.send(ping)
    device.settle()
    device.command("observations")
    device.settle()
    server.sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        server.sock.recv(2048)


# ---- queue mode ----


@pytest.mark.parametrize(
    ("version", "binding", "queries"),
    [
        ("1.0", "U", ["ep=dev1", "lt=300", "lwm2m=1.0", "b=UQ"]),
        ("1.0", "UQ", ["ep=dev1", "lt=300", "lwm2m=1.0", "b=UQ"]),
        ("1.1", "U", ["ep=dev1", "lt=300", "lwm2m=1.1", "b=U", "Q"]),
        ("1.2", "UT", ["ep=dev1", "lt=300", "lwm2m=1.2", "b=UT", "Q"]),
    ],
)
def test_queue_mode_is_announced_as_the_release_has_it(played_server, start_device, version, binding, queries):
    options = ["--lwm2m", version, "--binding", binding, "--queue"]
    device = start_device("--server", played_server.uri, "--endpoint", "dev1", *options)
    assert queries_of(played_server.accept()) == queries
    played_server.let_go(device)


def test_awake_for_93_s_after_the_last_message(meet):
    server, device = meet("--queue", *FOREVER)
    leap(device, 92)
    assert read(server, "/3/0/9") == "95"
    leap(device, 92)
    assert read(server, "/3/0/9") == "95"
    device.command("clock +93")
    device.line("Asleep")
    unheard(server, device)
    device.command("update")
    device.line("Awake")
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    device.line("Registration updated")
    assert read(server, "/3/0/9") == "95"


def test_awake_window_is_an_option(meet):
    server, device = meet("--queue", "--awake", "10s", *FOREVER)
    leap(device, 9)
    server.expect_silence()
    device.command("clock +10")
    device.line("Asleep")


def test_without_queue_mode_nobody_falls_asleep(meet):
    server, device = meet(*FOREVER)
    leap(device, 100000)
    assert read(server, "/3/0/9") == "95"


def test_update_in_time_wakes(meet):
    server, device = meet("--queue", "--lifetime", "300")
    device.command("clock +100")
    device.line("Asleep")
    device.command("clock +110")  # 300 - 93 s have passed
    device.line("Awake")
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    device.line("Registration updated")


def test_send_wakes(meet):
    server, device = meet("--queue", "--awake", "10s", *FOREVER)
    device.command("clock +10")
    device.line("Asleep")
    device.command("send 3/0/9")
    device.line("Awake")
    server.answer(server.expect(POST, "/dp"), "2.04")
    device.line("Sent: 3/0/9 -> 2.04 Changed")


def test_notification_wakes(meet):
    server, device = meet("--queue", "--awake", "10s", *FOREVER)
    observe(server, "/3/0/9")
    device.command("clock +10")
    device.line("Asleep")
    device.command("set 3/0/9 80")
    device.line("Awake")
    assert records(notification(server)) == [("/3/0/9", 80, None)]
    assert read(server, "/3/0/9") == "80"


def test_awake_while_an_answer_is_awaited(meet):
    server, device = meet("--queue", "--awake", "1s", "--ack-timeout", "30s", *FOREVER)
    device.command("update")
    update = server.expect(POST, "/rd/4Kx9")
    leap(device, 5)
    server.answer(update, "2.04")
    device.line("Registration updated")
    device.command("clock +1")
    device.line("Asleep")


def test_awake_while_an_acknowledgement_is_awaited(meet):
    server, device = meet("--queue", "--notify-con", "--awake", "1s", "--ack-timeout", "30s", *FOREVER)
    observe(server, "/3/0/9")
    device.command("set 3/0/9 80")
    message = server.receive()
    leap(device, 5)
    server.send(Coap(ACK, EMPTY, message.mid))
    server.expect_silence()
    device.command("clock +1")
    device.line("Asleep")


@pytest.mark.parametrize("options", [(), ("--queue",)])
def test_sleep_and_wake(meet, options):
    server, device = meet(*options, *FOREVER)
    device.command("sleep")
    device.line("Asleep")
    unheard(server, device)
    device.command("wake")
    device.line("Awake")
    assert read(server, "/3/0/9") == "95"


@pytest.mark.parametrize(("command", "path"), [("update", "/rd/4Kx9"), ("send 3/0/0", "/dp")])
def test_update_and_send_wake_and_what_was_kept_follows(meet, command, path):
    server, device = meet(*FOREVER)
    observe(server, "/3/0/9")
    device.command("sleep")
    change(device, "3/0/9", 80)
    device.command(command)
    server.answer(server.expect(POST, path), "2.04")
    ((told, level, time),) = records(notification(server))
    assert (told, level) == ("/3/0/9", 80) and time is not None


# ---- values that change on their own ----


def course(meet_again, *options: str) -> list[float]:
    server, device = meet_again("--tick", "10s", *options, *FOREVER)
    observe(server, TEMPERATURE)
    degrees = []
    for _ in range(30):
        leap(device, 10)
        device.command(f"read {TEMPERATURE[1:]}")
        degrees.append(float(device.line(f"{TEMPERATURE[1:]} = ", partly=True).split()[-1]))
    server.let_go(device)
    return degrees


def test_temperature_walks_in_small_steps_and_the_same_way_from_the_same_seed(meet):
    first, again, other = course(meet), course(meet, "--seed", "1"), course(meet, "--seed", "2")
    assert first == again != other
    assert len(set(first)) > 3
    assert all(abs(later - earlier) <= 0.6 for earlier, later in zip(first, first[1:]))
    assert all(-40 <= degrees <= 85 for degrees in first)


def test_tick_is_told_to_observers(meet):
    server, device = meet("--tick", "10s", *FOREVER)
    paths = ["/3/0/9", "/3/0/13", "/6/0", "/3200/0/5500"]
    for number, path in enumerate(paths):
        observe(server, path, token=bytes([number]))
    for level in [94, 93]:
        device.command("clock +10")
        told = {}
        for _ in paths:
            message = server.receive()
            told[paths[message.token[0]]] = records(message)
        assert set(told) == set(paths)
        assert told["/3/0/9"][0][1] == level


def test_a_leap_ticks_as_often_as_the_time_would_have(meet):
    server, device = meet("--tick", "10s", *FOREVER)
    leap(device, 305)
    assert read(server, "/3/0/9") == "65"
    assert read(server, "/3200/0/5501") == "15"
    leap(device, 610)
    assert read(server, "/3/0/9") == "100"


def test_nothing_changes_without_tick(meet):
    server, device = meet(*FOREVER)
    for number, path in enumerate(["/3", "/6", "/3303", "/3200"]):
        observe(server, path, token=bytes([number]))
    leap(device, 1000)
    server.expect_silence()


# ---- reboot and factory reset ----


def spoil(server, device) -> None:
    """Change what can be changed."""
    assert server.request(PUT, "/3/0/14", content(TEXT), b"+02:00").code_text == "2.04"
    assert server.request(PUT, "/1/0/7", content(TEXT), b"UT").code_text == "2.04"
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    assert server.request(POST, "/16", content(SENML_JSON), b'[{"n":"/16/1/0/0","vs":"x"}]').code_text == "2.01"
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    assert attach(server, "/3/0/9", "pmin=10") == "2.04"
    observe(server, TEMPERATURE)
    device.line("Observation of 3303/0/5700 began")


def test_reboot_forgets_observations_and_attributes_and_keeps_values(meet):
    server, device = meet(*FOREVER)
    spoil(server, device)
    assert server.request(POST, "/3/0/4").code_text == "2.04"
    device.line("Rebooting")
    assert "b=UT" in queries_of(server.accept())
    change(device, TEMPERATURE, 25)
    server.expect_silence()
    assert (read(server, "/3/0/14"), read(server, "/16/1/0/0")) == ("+02:00", "x")
    assert server.request(GET, "/3/0/9", [(17, b"\x28")]).payload == b"</3/0/9>"


def test_factory_reset_makes_everything_as_it_was(meet):
    server, device = meet(*FOREVER)
    spoil(server, device)
    change(device, TEMPERATURE, 25)
    notification(server)
    assert server.request(POST, "/3/0/5").code_text == "2.04"
    device.line("Factory reset")
    register = server.accept()
    assert "b=U" in queries_of(register) and b"/16/1" not in register.payload
    change(device, TEMPERATURE, 26)
    server.expect_silence()
    assert (read(server, "/3/0/14"), read(server, "/16/1/0/0"), read(server, "/3303/0/5601")) == ("+00:00", "4.04", "20")
    assert server.request(GET, "/3/0/9", [(17, b"\x28")]).payload == b"</3/0/9>"


def test_factory_reset_takes_back_the_lifetime(meet):
    server, device = meet("--lifetime", "100")
    assert server.request(PUT, "/1/0/1", content(TEXT), b"1000").code_text == "2.04"
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    server.request(POST, "/3/0/5")
    assert "lt=100" in queries_of(server.accept())


def test_reboot_forgets_a_send_that_is_under_way(meet):
    server, device = meet(*FOREVER)
    device.command("send 3/0/9")
    send = server.expect(POST, "/dp")
    assert server.request(POST, "/3/0/4").code_text == "2.04"
    device.line("Rebooting")
    device.line("Send of 3/0/9 failed: cancelled")
    server.accept("/rd/after")
    server.answer(send, "2.04")
    assert read(server, "/3/0/9") == "95"


def test_reboot_while_an_update_is_under_way(meet):
    server, device = meet(*FOREVER)
    device.command("update")
    update = server.expect(POST, "/rd/4Kx9")
    assert server.request(POST, "/3/0/4").code_text == "2.04"
    server.accept("/rd/after")
    server.answer(update, "4.04")
    device.line("Device ID: after")
    assert read(server, "/3/0/9") == "95"


# ---- what the server object starts ----


def test_update_trigger_with_a_binding(meet):
    server, device = meet(*FOREVER)
    assert server.request(POST, "/1/0/8", content(TEXT), b"0='U'").code_text == "2.04"
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    device.line("Registration updated")


def test_disable_is_answered_and_then_the_device_is_away_for_its_timeout(meet):
    server, device = meet(*FOREVER)
    assert server.request(PUT, "/1/0/5", content(TEXT), b"600").code_text == "2.04"
    observe(server, "/3/0/9")
    assert server.request(POST, "/1/0/4").code_text == "2.04"
    server.answer(server.expect(DELETE, "/rd/4Kx9"), "2.02")
    device.line("Client deregistered")
    device.line("Disabled: for 600 s")
    change(device, "3/0/9", 80)
    leap(device, 599)
    server.expect_silence()
    device.command("clock +1")
    server.accept("/rd/back")
    device.line("Device ID: back")


def test_disable_without_a_timeout_is_for_a_day(meet):
    server, device = meet(*FOREVER)
    server.request(POST, "/1/0/4")
    server.answer(server.expect(DELETE, "/rd/4Kx9"), "2.02")
    device.line("Client deregistered")
    device.line("Disabled: for 86400 s")
    device.command("register")
    server.accept("/rd/back")
    device.line("Device ID: back")


def test_bootstrap_trigger_without_a_bootstrap_server_is_4_05(meet):
    server, device = meet(*FOREVER)
    assert server.request(POST, "/1/0/9").code_text == "4.05"
    server.expect_silence()


@pytest.mark.parametrize("path", ["/1/0/4", "/3/0/4", "/3/0/5", "/5/0/2", "/3303/0/5605"])
def test_DM_21_bad_arguments_start_nothing(meet, path):
    server, device = meet(*FOREVER)
    assert server.request(POST, path, content(TEXT), b"1=x").code_text == "4.00"
    device.settle()
    server.expect_silence()


# ---- Mute Send ----


def test_SND_13_muted_as_devices_are_shipped(meet):
    server, device = meet("--muted", *FOREVER)
    device.command("send 3/0/9")
    device.line("3/0/9: it is muted: 1/0/23 is true or not there")
    assert read(server, "/1/0/23") == "1"
    assert server.request(PUT, "/1/0/23", content(TEXT), b"0").code_text == "2.04"
    device.command("send 3/0/9")
    server.answer(server.expect(POST, "/dp"), "2.04")
    device.line("Sent: 3/0/9 -> 2.04 Changed")


# ---- with Berth ----


def test_created_instance_is_known_to_berth(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    answer = berth.http("POST", "/v1/devices/dev1/3201", b'{"resources":{"5550":true}}', {"Content-Type": "application/json"})
    assert answer.status in (200, 201), answer.body
    device.line("Registration updated")
    assert "/3201/1" in {item["path"] for item in berth.device("dev1")["objects"]}
    assert berth.http("DELETE", "/v1/devices/dev1/3201/1").status in (200, 204)
    device.line("Registration updated")
    assert "/3201/1" not in {item["path"] for item in berth.device("dev1")["objects"]}


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_berth_knows_that_it_is_in_queue_mode(berth, start_device, version):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--queue", "--lwm2m", version)
    device.line("Client registered")
    assert berth.device("dev1")["queue_mode"] is True
