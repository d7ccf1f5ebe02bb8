"""The reference device with OSCORE (--oscore): over every transport, with and without Appendix B.2, and over restarts."""

import json
import re
import stat

import pytest
from coapraw import CON, GET, Coap
from counting_path import CountingPath
from device_process import meet, played_server, start_device  # noqa: F401
from oscore_peer import CREDENTIAL
from test_device_account import account, total
from test_device_command_line import run

KEY = "00112233445566778899aabbccddeeff"
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0", "coap+tcp://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")
OUTER = ("--psk", f"outer:{KEY}")
OVER = {
    "udp": (0, ()),
    "dtls": (1, (*OUTER, "--cid")),
    "tcp": (2, ()),
    "pelion": (2, ("--framing", "pelion")),
    "tls": (3, OUTER),
}
CONTEXT = "sender=01,recipient=,secret={master_secret_hex},salt={master_salt_hex}".format(**CREDENTIAL)


@pytest.fixture
def berth(start_berth):
    berth = start_berth(*OUTER, listen=LISTEN)
    assert berth.http("PUT", "/v1/credentials/dev1", CREDENTIAL).status == 201
    return berth


@pytest.fixture
def path(berth):
    """In the clear. A test names it before its device, which is to end first."""
    counting = CountingPath(berth, 0)
    yield counting
    counting.close()


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def start(berth, start_device, state):
    """start("udp", "--oscore-b2") -> a device that keeps its numbers and has registered."""

    def begin(over="udp", *options, context=CONTEXT, endpoint="dev1"):
        place, security = OVER[over]
        device = start_device("--server", berth.listeners[place], "--endpoint", endpoint, "--oscore", context,
                              "--state", str(state), *security, *options)
        device.line("Client registered", timeout=30)
        device.line("Device ID: ", partly=True)
        return device

    return begin


def security_of(berth):
    return berth.device("dev1")["security"]


def read(berth, path="/3/0/9"):
    answer = berth.http("GET", f"/v1/devices/dev1{path}")
    assert answer.status == 200, answer.body
    return answer.json["value"]


def update(device):
    device.command("update")
    device.line("Registration updated")


def try_everything(berth, device):
    """An operation of each kind, notifications and a Send."""
    after = berth.last_event()
    assert read(berth) == 95
    assert berth.http("PUT", "/v1/devices/dev1/3/0/15", {"value": "Europe/Oslo"}).status == 204
    assert berth.http("POST", "/v1/devices/dev1/3/0/12").status == 204
    assert len(read(berth, "/5000/0/0")) > 5000  # in blocks
    assert berth.http("PUT", "/v1/devices/dev1/3/0/9/observe").status in (200, 201)
    device.command("set 3/0/9 94")
    device.line("Notified: 3/0/9", partly=True)
    device.command("set 3/0/9 93")
    device.line("Notified: 3/0/9", partly=True)
    device.command("send 3/0/9")
    device.line("Sent: 3/0/9 -> 2.04 Changed")
    update(device)
    told = [event["value"] for event in berth.events_after(after, types="notification") if event["path"] == "/3/0/9"]
    assert told == [95, 94, 93]
    assert [event["type"] for event in berth.events_after(after, types="send,updated")] == ["send", "updated"]


# ---- transports ----


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("b2", [(), ("--oscore-b2",)], ids=["as configured", "B.2"])
def test_OSC_10_OSC_13_OSC_15_everything_over_every_transport(berth, start, over, b2):
    device = start(over, *b2)
    shown = security_of(berth)
    assert (shown["mode"], shown["identity"]) == ("oscore", "01")
    assert len(shown["id_context"] or "") == (32 if b2 else 0)
    try_everything(berth, device)


def test_composites_are_protected_too(berth, start):
    device = start("udp", "--lwm2m", "1.2")
    composite = "/v1/devices/dev1/composite/"
    paths = {"paths": ["/3/0/9", "/3/0/15"]}
    answer = berth.http("POST", composite + "read", paths)
    assert (answer.status, set(answer.json["resources"])) == (200, set(paths["paths"])), answer.body
    assert berth.http("POST", composite + "write", {"/3/0/15": "Europe/Rome"}).status == 204
    assert read(berth, "/3/0/15") == "Europe/Rome"
    assert berth.http("POST", composite + "observe", paths).status in (200, 201)
    after = berth.last_event()
    device.command("set 3/0/9 94")
    event = berth.await_event("notification", "dev1", after=after)
    assert (event["path"], event["value"]) == ("/3/0/9", 94)


def test_the_algorithms_of_the_command_line(berth, start):
    changed = {**CREDENTIAL, "aead": "A256GCM", "hkdf": "SHA-512", "sender_id_hex": "02", "id_context_hex": "37cbf321"}
    assert berth.http("PUT", "/v1/credentials/dev1", changed).status == 204
    device = start(context=CONTEXT.replace("recipient=", "recipient=02") + ",aead=A256GCM,hkdf=SHA-512,id-context=37cbf321")
    try_everything(berth, device)


def test_queue_mode(berth, start):
    device = start("udp", "--queue", "--awake", "5s")
    device.command("clock +6")
    device.line("Asleep")
    berth.leap("2m")
    asked = berth.http("GET", "/v1/devices/dev1/3/0/9", headers={"Prefer": "respond-async"})
    assert asked.status == 202, asked.body
    update(device)
    event = berth.await_event("request_completed", "dev1")
    assert (event["state"], event["status"]) == ("completed", 200)


# ---- who may speak ----


def test_OSC_11_without_oscore_an_endpoint_that_has_it_is_refused(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Registration failed: 4.03", partly=True)
    assert berth.get("/v1/devices")["items"] == []


def test_OSC_16_the_device_answers_nothing_without_protection(played_server, start_device, state):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1", "--oscore", CONTEXT, "--state", str(state))
    register = played_server.receive()
    assert register.one(9) is not None and b"dev1" not in played_server.raw
    played_server.send(Coap(CON, GET, 0x1234, b"\x07", [(11, b"3"), (11, b"0"), (11, b"9")]))
    while (answer := played_server.receive()).mid != 0x1234:
        pass  # the Register again
    assert (answer.code_text, answer.payload) == ("4.01", b"OSCORE is needed")
    device.kill()


# ---- Appendix B.2 ----


def test_OSC_13_at_will_of_the_device(berth, start):
    device = start()
    after = berth.last_event()
    for _ in range(3):
        before = security_of(berth)["id_context"]
        device.command("rederive")
        update(device)
        assert security_of(berth)["id_context"] not in (None, before)
    assert len(berth.events_after(after, types="oscore_derived")) == 3
    try_everything(berth, device)


def test_OSC_13_at_will_of_the_server(berth, start):
    device = start()
    route = "/v1/devices/dev1/oscore/rederive"
    for _ in range(3):
        before, after = security_of(berth)["id_context"], berth.last_event()
        assert berth.http("POST", route).status == 204
        assert security_of(berth)["id_context"] == before  # not yet
        update(device)
        assert berth.await_event("oscore_derived", "dev1", after=after)["identity"] == "01"
        assert security_of(berth)["id_context"] not in (None, before)
    try_everything(berth, device)


def test_only_what_speaks_oscore_derives_anew(berth):
    berth.register("plain")
    plain, nobody = (berth.http("POST", f"/v1/devices/{name}/oscore/rederive") for name in ("plain", "nobody"))
    assert (plain.status, plain.problem) == (409, "conflict")
    assert (nobody.status, nobody.problem) == (404, "not-registered")


def test_OSC_13_the_device_derives_again_when_the_server_has_lost_it(berth, start):
    device = start("udp", "--oscore-b2")
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    assert berth.http("PUT", "/v1/credentials/dev1", CREDENTIAL).status == 201
    device.command("update")
    device.line("Client registered", timeout=30)
    device.line("Device ID: ", partly=True)
    try_everything(berth, device)


def test_rederive_without_oscore_is_a_complaint(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "plain")
    device.line("Client registered")
    device.command("rederive")
    device.line("rederive: there is no OSCORE context")


# ---- restarts ----


@pytest.mark.parametrize("over", ["udp", "dtls", "tls"])
@pytest.mark.parametrize("b2", [(), ("--oscore-b2",)], ids=["as configured", "B.2"])
def test_OSC_12_the_device_goes_on_after_a_crash(berth, start, state, over, b2):
    before = None
    for _ in range(3):
        device = start(over, *b2)
        shown = security_of(berth)["id_context"]
        assert before is None or shown == before  # what was derived stays
        before = shown
        assert read(berth) == 95  # the device, whose window is lost, challenges the server
        update(device)
        device.kill()
    (file,) = [file for file in state.iterdir() if re.fullmatch("oscore-[0-9a-f]{32}", file.name)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert bytes.fromhex(CREDENTIAL["master_secret_hex"]) not in file.read_bytes()


def test_OSC_12_no_number_is_used_twice(berth, path, start_device, state):
    """Seen on the wire over three lives of the device."""
    credential = ("--oscore", CONTEXT, "--state", str(state))
    for _ in range(3):
        device = start_device("--server", path.uri, "--endpoint", "dev1", *credential)
        device.line("Client registered", timeout=30)
        update(device)
        device.kill()
    numbers = [number for datagram in path.datagrams_up if (number := number_of(datagram)) is not None]
    assert len(numbers) >= 7 and len(set(numbers)) == len(numbers)


def number_of(datagram):
    message = Coap.decode(datagram)
    value = message.one(9)
    return value[1 : 1 + (value[0] & 7)] if value and value[0] & 8 else None


def test_OSC_12_both_restart(berth, start):
    device = start("udp", "--oscore-b2")
    device.kill()
    berth.kill()
    berth.start()
    device = start("udp", "--oscore-b2")
    try_everything(berth, device)


@pytest.mark.parametrize("over", ["tcp", "pelion", "tls"])
@pytest.mark.parametrize("b2", [(), ("--oscore-b2",)], ids=["as configured", "B.2"])
def test_OSC_12_the_context_outlives_connections_and_the_server(berth, start, over, b2):
    device = start(over, *b2)
    before = security_of(berth)["id_context"]
    berth.kill()
    berth.start()
    device.line("Disconnected", timeout=20, partly=True)
    device.line("Registration updated", timeout=30)  # over a new connection, and challenged
    assert security_of(berth)["id_context"] == before
    try_everything(berth, device)


def test_other_keys_have_other_numbers(berth, start, state):
    """Keys that come back go on where their numbers ended, though others were used in between."""
    other = {**CREDENTIAL, "master_secret_hex": "ff" * 16}
    for credential in (CREDENTIAL, other, CREDENTIAL):
        berth.http("PUT", "/v1/credentials/dev1", credential)
        device = start(context=CONTEXT.replace(CREDENTIAL["master_secret_hex"], credential["master_secret_hex"]))
        assert read(berth) == 95
        device.kill()
    assert len([file for file in state.iterdir() if file.name.startswith("oscore-")]) == 2


def test_a_second_device_is_kept_out(berth, start, state):
    start()
    done = run("--server", berth.listeners[0], "--endpoint", "dev1", "--oscore", CONTEXT, "--state", str(state))
    assert done.returncode == 1 and "another device uses it" in done.stderr


def test_what_is_no_state_file_is_not_gone_on_with(berth, start, state):
    device = start()
    device.kill()
    (file,) = [file for file in state.iterdir() if re.fullmatch("oscore-[0-9a-f]{32}", file.name)]
    file.write_bytes(b"something else")
    done = run("--server", berth.listeners[0], "--endpoint", "dev1", "--oscore", CONTEXT, "--state", str(state))
    assert done.returncode == 1 and "it is not what a device has written" in done.stderr


# ---- what it costs ----


def test_OSC_13_bytes_of_establishing_and_of_an_update(berth, path):
    """Four messages and two, of a device with all its objects."""
    figures = account(path.uri, "--endpoint", "dev1", "--oscore", CONTEXT, "--oscore-b2")
    (way,) = path.ways.values()
    registration, update = figures["OSCORE", "registration"], figures["OSCORE", "update"]
    assert (registration["sent"], registration["received"]) == (sum(way.up[:2]), sum(way.down[:2]))
    assert (update["sent"], update["received"]) == (way.up[2], way.down[2])
    assert total(registration) <= 359
    assert update["sent"] <= 48 and update["received"] <= 17


# ---- the command line ----


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--oscore", CONTEXT], "--oscore needs --state DIR, where it keeps the numbers it has used, or --oscore-b2"),
        (["--oscore-b2"], "--oscore-b2 needs --oscore"),
        (["--oscore", "sender=01,secret=00"], None),
        (["--oscore", "sender=01,recipient=01,secret=00"], "two different ids"),
        (["--oscore", "sender=0102030405060708,secret=00"], "sender is none of"),
        (["--oscore", "sender=01,secret="], "needs secret"),
        (["--oscore", "secret=0g"], "secret is none of"),
        (["--oscore", "secret=00,aead=AES"], "aead is none of"),
        (["--oscore", "sender=01,secret=00,hkdf=MD5"], "hkdf is none of"),
        (["--oscore", "sender=01,secret=00,colour=red"], "colour is none of"),
        (["--oscore", "@/nowhere"], "/nowhere: No such file"),
        (["--oscore", CONTEXT, "--oscore-b2", "--state", "x", "--account"], "--account counts over UDP"),
    ],
)
def test_what_is_wrong_with_the_options(options, complaint):
    done = run(*options, "--server", "coap://127.0.0.1:1")
    if complaint is None:
        assert "--oscore needs --state" in done.stderr  # what it says of the context is good
    assert done.returncode == 2 and (complaint or "") in done.stderr


def test_the_context_in_a_file(berth, start, tmp_path):
    file = tmp_path / "context"
    file.write_text(CONTEXT + "\nsomething else\n")
    device = start(context=f"@{file}")
    assert read(berth) == 95
    device.close()


def test_the_derived_context_is_told(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--json", "--oscore", CONTEXT, "--oscore-b2")
    told = device.event("oscore_derived")
    device.event("registered")
    assert security_of(berth)["id_context"] in json.dumps(told)
