"""The reference device registers, updates and deregisters: with Berth, and with a server that the test plays."""

import re
import signal

import pytest
from coapraw import ACK, BLOCK1, CON, DELETE, LOCATION_PATH, MAX_AGE, POST, SIZE1, Coap, block, code, uint
from device_process import format_of, meet, path_of, played_server, queries_of, start_device  # noqa: F401

LINKS_1_1 = (
    '</>;rt="oma.lwm2m";ct="0 42 60 110 112 11542",</1>;ver=1.1,</1/0>,</2/0>,</3>;ver=1.1,</3/0>,</4>;ver=1.2,</4/0>,'
    "</5/0>,</6/0>,</7/0>,</9/0>,</16/0>,</3200/0>,</3201/0>,</3303/0>,</3442/0>,</5000/0>"
)
OTHERS = "</6/0>,</7/0>,</9/0>,</16/0>,</3200/0>,</3201/0>,</3303/0>,</3442/0>,</5000/0>"
HASTY = ("--ack-timeout", "250ms", "--max-retransmit", "2")


# ---- with Berth ----


def test_registers_and_tells_so(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    device.line("Endpoint Name: dev1")
    device_id = device.line("Device ID: ", partly=True).removeprefix("Device ID: ")
    known = berth.device("dev1")
    assert known["location"] == f"/rd/{device_id}"
    assert (known["state"], known["lifetime_s"], known["version"], known["binding"]) == ("registered", 300, "1.1", "U")
    assert {"/1/0", "/3/0"} <= {item["path"] for item in known["objects"]}


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_speaks_every_version(berth, start_device, version):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--lwm2m", version)
    device.line("Client registered")
    assert berth.device("dev1")["version"] == version


def test_default_endpoint_name_is_the_same_in_every_run(berth, start_device):
    names = []
    for _ in range(2):
        device = start_device("--server", berth.listeners[0])
        names.append(device.line("Endpoint Name: urn:uuid:", partly=True))
        device.close()
    assert names[0] == names[1]
    assert re.fullmatch(r"Endpoint Name: urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", names[0])


def test_REG_14_endpoint_of_252_bytes(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "e" * 252)
    device.line("Client registered")
    assert berth.device("e" * 252)["state"] == "registered"


def test_registers_over_ipv6(start_berth, start_device):
    berth = start_berth(listen=("coap://[::1]:0",))
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    assert berth.device("dev1")["address"].startswith("[::1]:")


def test_registers_in_blocks(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--block-size", "16")
    device.line("Client registered")
    assert {"/1/0", "/3/0"} <= {item["path"] for item in berth.device("dev1")["objects"]}


def test_update_on_command(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    device.command("update")
    device.line("Registration updated")
    berth.await_event("updated", "dev1")


def test_UPD_07_registers_anew_when_the_server_has_forgotten_it(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    assert berth.http("DELETE", "/v1/devices/dev1").status == 204
    device.command("update")
    device.line("Update failed: 4.04 Not Found", partly=True)
    device.line("Client registered")
    assert berth.device("dev1")["state"] == "registered"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_DER_01_deregisters_on_a_signal(berth, start_device, how):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    device.terminate(how)
    assert device.end()[-1] == "Client deregistered"
    assert berth.http("GET", "/v1/devices/dev1").status == 404
    berth.await_event("deregistered", "dev1")


def test_DER_01_deregisters_on_quit(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    device.command("quit")
    assert device.end()[-1] == "Client deregistered"
    berth.await_event("deregistered", "dev1")


def test_deregister_and_register_on_command(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    device.command("deregister")
    device.line("Client deregistered")
    device.command("update")
    device.line("update: there is no registration")
    device.command("register")
    device.line("Client registered")
    assert berth.device("dev1")["state"] == "registered"


def test_REG_44_registration_outlives_a_killed_server(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    berth.kill()
    berth.start()
    device.command("update")
    device.line("Registration updated")


def test_waits_for_a_server_that_is_not_there(berth, start_device):
    uri = berth.listeners[0]
    berth.kill()
    device = start_device("--server", uri, "--endpoint", "dev1", *HASTY)
    device.line("Registration failed: no acknowledgement; trying again in ", partly=True)
    berth.start()
    device.command("clock +60")
    device.line("Client registered")
    assert berth.device("dev1")["state"] == "registered"


def test_registers_anew_when_the_server_is_silent(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", *HASTY)
    device.line("Client registered")
    berth.kill()
    device.command("update")
    device.line("Update failed: no acknowledgement")
    device.line("Registration failed: no acknowledgement", partly=True)
    berth.start()
    device.command("clock +60")
    device.line("Client registered")


# ---- what goes over the wire ----


def test_register_is_what_the_standard_says(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1", "--binding", "UT")
    register = played_server.accept()
    assert queries_of(register) == ["ep=dev1", "lt=300", "lwm2m=1.1", "b=UT"]
    assert format_of(register) == 40
    assert register.payload.decode() == LINKS_1_1
    played_server.let_go(device)


@pytest.mark.parametrize(
    ("version", "links"),
    [
        ("1.0", '</>;rt="oma.lwm2m";ct="0 42 11542 11543",</1/0>,</2/0>,</3/0>,</4/0>,</5/0>,'),
        (
            "1.2",
            '</>;rt="oma.lwm2m";ct="0 42 60 110 112 320 322 11542 11544",</1>;ver=1.2,</1/0>,</2>;ver=1.1,</2/0>,'
            "</3>;ver=1.2,</3/0>,</4>;ver=1.3,</4/0>,</5>;ver=1.1,</5/0>,",
        ),
    ],
)
def test_LNK_05_object_versions_are_those_of_the_release(played_server, start_device, version, links):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1", "--lwm2m", version)
    assert played_server.accept().payload.decode() == links + OTHERS
    played_server.let_go(device)


def test_REG_41_path_of_the_server_uri_comes_first(played_server, start_device):
    device = start_device("--server", played_server.uri + "/a/b/", "--endpoint", "dev1", *HASTY)
    assert path_of(played_server.receive()) == "/a/b/rd"
    device.close()


def test_update_and_its_answer_are_13_and_5_bytes(meet):
    server, device = meet()
    device.command("update")
    update = server.expect(POST, "/rd/4Kx9")
    assert len(server.raw) == 13 and len(update.token) == 1
    server.answer(update, "2.04")
    device.line("Registration updated")


def test_location_of_40_segments(played_server, start_device):
    location = "/rd" + "".join(f"/{i}" for i in range(39))
    device = start_device("--server", played_server.uri, "--endpoint", "dev1")
    played_server.accept(location)
    device.line("Device ID: 38")
    device.command("update")
    played_server.answer(played_server.expect(POST, location), "2.04")
    device.line("Registration updated")
    device.terminate()
    played_server.answer(played_server.expect(DELETE, location), "2.02")
    assert device.end()[-1] == "Client deregistered"


def test_answer_without_location_is_no_registration(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1")
    played_server.answer(played_server.expect(POST, "/rd"), "2.01")
    device.line("Registration failed: the answer has no usable Location-Path; trying again in ", partly=True)


def test_MSG_separate_answer_to_register(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1")
    register = played_server.expect(POST, "/rd")
    played_server.send(Coap(ACK, 0, register.mid))
    played_server.send(Coap(CON, code("2.01"), 77, register.token, [(LOCATION_PATH, b"rd"), (LOCATION_PATH, b"x")]))
    device.line("Device ID: x")
    ack = played_server.receive()
    assert (ack.type, ack.code, ack.mid) == (ACK, 0, 77)
    played_server.registered = True
    played_server.let_go(device)


def test_retransmits_and_gives_up(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1", "--ack-timeout", "20ms")
    played_server.receive()
    first = played_server.raw
    for _ in range(4):
        played_server.receive()
        assert played_server.raw == first
    device.line("Registration failed: no acknowledgement; trying again in 1.", partly=True)


def test_REG_40_server_demands_blocks_of_64_bytes(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1")
    register = played_server.expect(POST, "/rd")
    assert register.one(BLOCK1) is None
    played_server.answer(register, "4.13", (BLOCK1, block(0, False, 2)))
    body, number = b"", 0
    while True:
        part = played_server.expect(POST, "/rd")
        more = len(LINKS_1_1) > (number + 1) * 64
        assert part.one(BLOCK1) == block(number, more, 2)
        assert part.number(SIZE1) == (len(LINKS_1_1) if number == 0 else None)
        assert queries_of(part) == queries_of(register)
        body += part.payload
        if not more:
            break
        played_server.answer(part, "2.31", (BLOCK1, block(number, True, 2)))
        number += 1
    assert body.decode() == LINKS_1_1
    played_server.answer(
        part, "2.01", (LOCATION_PATH, b"rd"), (LOCATION_PATH, b"b"), (BLOCK1, block(number, False, 2))
    )
    device.line("Device ID: b")
    played_server.registered = True
    played_server.let_go(device)


# ---- what the server does not want ----


def test_refused_registration_is_told_and_tried_again(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1")
    played_server.answer(played_server.expect(POST, "/rd"), "4.03", payload=b"go away")
    device.line("Registration failed: 4.03 Forbidden: go away; trying again in 1.", partly=True)
    device.command("clock +2")
    played_server.answer(played_server.expect(POST, "/rd"), "4.00")
    line = device.line("Registration failed: 4.00 Bad Request; trying again in ", partly=True)
    assert 2 <= float(line.split()[-2]) <= 3
    device.command("clock +3")
    played_server.accept()
    device.line("Client registered")
    played_server.let_go(device)


def test_REG_45_unavailable_server_is_left_alone_for_max_age(played_server, start_device):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1")
    played_server.answer(played_server.expect(POST, "/rd"), "5.03", (MAX_AGE, uint(3600)))
    device.line("Registration failed: 5.03 Service Unavailable; trying again in 3600.000 s")
    device.command("clock +3590")
    device.settle()
    played_server.expect_silence()
    device.command("clock +10")
    played_server.accept()
    device.line("Client registered")
    played_server.let_go(device)


@pytest.mark.parametrize("answer", ["4.00", "4.01", "4.03", "4.04", "5.00"])
def test_refused_update_leads_to_a_register_at_once(meet, answer):
    server, device = meet()
    device.command("update")
    server.answer(server.expect(POST, "/rd/4Kx9"), answer)
    device.line(f"Update failed: {answer}", partly=True)
    server.accept("/rd/new")
    device.line("Device ID: new")


def test_update_refused_for_a_while_is_sent_again_after_it(meet):
    server, device = meet("--lifetime", "7200")
    device.command("update")
    server.answer(server.expect(POST, "/rd/4Kx9"), "5.03", (MAX_AGE, uint(60)))
    device.line("Update failed: 5.03 Service Unavailable; trying again in 60.000 s")
    device.command("clock +60")
    again = server.expect(POST, "/rd/4Kx9")
    server.answer(again, "2.04")
    device.line("Registration updated")


def test_deregister_that_is_not_answered_is_not_waited_for_long(meet):
    server, device = meet()
    device.terminate()
    server.expect(DELETE, "/rd/4Kx9")
    device.command("clock +5")
    assert device.end()[-1] == "Deregistration failed: no answer"


def test_second_signal_ends_at_once(meet):
    server, device = meet()
    device.terminate()
    server.expect(DELETE, "/rd/4Kx9")
    device.terminate()
    device.end(timeout=4)


# ---- lifetimes ----


@pytest.mark.parametrize(
    ("lifetime", "quiet_s", "due_s"),
    [
        (300, 205, 207),  # the lifetime less MAX_TRANSMIT_WAIT of 93 s
        (86400, 86305, 86307),
        (60, 28, 30),  # but not before half of it
    ],
)
def test_update_comes_in_time(meet, lifetime, quiet_s, due_s):
    server, device = meet("--lifetime", str(lifetime))
    device.command(f"clock +{quiet_s}")
    device.settle()
    server.expect_silence()
    device.command(f"clock +{due_s - quiet_s}")
    update = server.expect(POST, "/rd/4Kx9")
    assert queries_of(update) == []
    server.answer(update, "2.04")
    device.line("Registration updated")


def test_lifetime_of_1_s_is_updated_without_a_leap(meet):
    server, device = meet("--lifetime", "1")
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    device.line("Registration updated")


def test_REG_04_lifetime_0_is_never_updated(meet):
    server, device = meet("--lifetime", "0")
    device.command("clock +300d")
    device.settle()
    server.expect_silence()


def test_survives_leaps_of_the_server_over_its_lifetime(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--lifetime", "60")
    device.line("Client registered")
    berth.leap("1000s")
    berth.await_event("expired", "dev1")
    device.command("clock +1000")
    device.line("Client registered")
    assert berth.device("dev1")["state"] == "registered"
