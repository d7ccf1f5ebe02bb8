"""The reference device over DTLS: credentials, connection IDs, sessions that last, and the ways in which they end."""

import re

import pytest
from counting_path import path  # noqa: F401
from device_process import start_device  # noqa: F401
from played_device import Asked
from test_device_command_line import run
from test_pki import pki as run_pki

KEY = "00112233445566778899aabbccddeeff"
COAPS = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")


@pytest.fixture
def berth(start_berth):
    return start_berth("--psk", f"dev1:{KEY}", listen=COAPS)


@pytest.fixture
def secure(berth, start_device):
    """secure("--cid") -> a device with a key of the server's that has registered."""

    def start(*options, psk=f"dev1:{KEY}", endpoint="dev1", **kwargs):
        credential = ("--psk", psk) if psk is not None else ()
        device = start_device("--server", berth.listeners[1], "--endpoint", endpoint, *credential, *options, **kwargs)
        device.line("Client registered")
        device.line("Device ID: ", partly=True)
        return device

    return start


def session_of(berth, endpoint="dev1"):
    return berth.device(endpoint)["security"]


def handshakes(berth):
    """Every handshake that has begun: full, resumed or failed."""
    return [event["type"] for event in berth.events_after(types="dtls_handshake,dtls_resumed,dtls_failed")]


def read(berth, endpoint="dev1"):
    return berth.get(f"/v1/devices/{endpoint}/3/0/9")["value"]


def update(device):
    device.command("update")
    device.line("Registration updated")


# ---- credentials and suites ----


@pytest.mark.parametrize(
    ("cipher", "suite"),
    [
        ("CCM_8", "TLS_PSK_WITH_AES_128_CCM_8"),
        ("CCM", "TLS_PSK_WITH_AES_128_CCM"),
        ("GCM", "TLS_PSK_WITH_AES_128_GCM_SHA256"),
        ("CBC", "TLS_PSK_WITH_AES_128_CBC_SHA256"),
        ("ECDHE-CBC", "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256"),
        ("TLS_PSK_WITH_AES_256_GCM_SHA384", "TLS_PSK_WITH_AES_256_GCM_SHA384"),
    ],
)
@pytest.mark.parametrize("cid", [(), ("--cid",)], ids=["no CID", "CID"])
def test_suites_with_a_key(berth, secure, cipher, suite, cid):
    device = secure("--cipher", cipher, *cid)
    assert session_of(berth)["cipher_suite"] == suite
    assert berth.device("dev1")["transport"] == "dtls"
    assert read(berth) == 95
    update(device)


@pytest.mark.parametrize(
    ("cipher", "suite"),
    [
        ("CCM_8", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
        ("CCM", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
        ("GCM", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-CBC", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    ],
)
def test_suites_with_a_certificate(berth, secure, certificate, cipher, suite):
    device = secure("--cipher", cipher, *certificate("urn:imei:7"), psk=None, endpoint="urn:imei:7")
    security = session_of(berth, "urn:imei:7")
    assert (security["mode"], security["identity"], security["cipher_suite"]) == ("x509", "urn:imei:7", suite)
    assert read(berth, "urn:imei:7") == 95
    update(device)


def test_a_certificate_and_the_drafts_connection_id(berth, secure, certificate):
    """Of a server that has no name: what stands for that in Mbed TLS, each copy of it keeps for itself."""
    device = secure("--cid-draft", *certificate("urn:imei:7"), psk=None, endpoint="urn:imei:7")
    assert session_of(berth, "urn:imei:7")["cid"] is not None
    device.command("handshake full")
    device.line("Handshake: full", partly=True)
    assert read(berth, "urn:imei:7") == 95


@pytest.fixture
def certificate(berth, tmp_path):
    """certificate("dev2") -> the options that make a device of that name."""

    def make(name):
        path = tmp_path / "certificate"
        run_pki("device", "--endpoint", name, "--out", str(path), "--data", str(berth.data), cwd=tmp_path)
        return ("--cert", f"{path}.pem", "--key", f"{path}.key", "--ca", str(berth.data / "ca.pem"))

    return make


def test_the_name_in_the_servers_certificate(berth, start_device, secure, certificate):
    options = certificate("dev2")
    secure("--server-name", "localhost", *options, psk=None, endpoint="dev2")
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev2", "--server-name", "elsewhere.example", *options)
    device.line("Handshake failed: certificate_refused")
    device.line("Registration failed: cancelled; trying again in ", partly=True)


def test_a_key_that_is_not_seen_among_the_processes(berth, secure, tmp_path):
    path = tmp_path / "psk"
    path.write_text(f"dev1:{KEY}\nthis is not read\n")
    device = secure(psk=f"@{path}")
    assert read(berth) == 95
    device.close()
    device = secure(psk=None, env={"BERTH_PSK": f"dev1:{KEY}"})
    assert read(berth) == 95


def test_an_identity_with_colons(berth, secure):
    body = {"mode": "psk", "identity": "urn:imei:1", "key_hex": KEY}
    assert berth.http("PUT", "/v1/credentials/urn:imei:1", body).status == 201
    secure(psk=f"urn:imei:1:{KEY}", endpoint="urn:imei:1")
    assert session_of(berth, "urn:imei:1")["identity"] == "urn:imei:1"


def test_an_identity_that_the_server_does_not_know(berth, start_device):
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev9", "--psk", f"dev9:{KEY}", "--json")
    failed = device.event("handshake_failed")
    assert (failed["reason"], failed["alert_received"]) == ("alert", 115)
    assert device.event("registration_failed")["retry_in_s"] < 2


def test_a_wrong_key(berth, start_device):
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev1", "--psk", f"dev1:{KEY[::-1]}")
    device.settle()
    device.command("clock +60s")
    device.line("Handshake failed: timeout")
    device.line("Registration failed: ", partly=True)


def test_records_of_the_length_that_is_asked_for(berth, path, start_device):
    options = ("--endpoint", "dev1", "--psk", f"dev1:{KEY}", "--max-fragment", "512", "--large", "3000")
    start_device("--server", path.uri, *options).line("Client registered")
    assert berth.get("/v1/devices/dev1/5000/0/1")["value"] == 3000
    body = berth.http("GET", "/v1/devices/dev1/5000/0/0", headers={"Accept": "application/octet-stream"}).body
    assert bytes(i % 251 for i in range(3000)) in body
    (way,) = path.ways.values()
    assert max(way.up) <= 512 + 29 and max(way.down) <= 512 + 29


WRONG = [
    (["--server", "coaps://127.0.0.1"], "coaps:// needs --psk, or --cert, --key and --ca"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1"], "--psk: must be IDENTITY:HEX or @FILE"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:"], "--psk: must be IDENTITY:HEX or @FILE"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:xy"], "--psk: must be IDENTITY:HEX or @FILE"),
    (["--server", "coaps://127.0.0.1", "--psk", ":aa"], "--psk: must be IDENTITY:HEX or @FILE"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:" + "aa" * 65], "--psk: must be IDENTITY:HEX or @FILE"),
    (["--server", "coaps://127.0.0.1", "--psk", "d" * 129 + ":aa"], "--psk: must be IDENTITY:HEX or @FILE"),
    (["--server", "coaps://127.0.0.1", "--psk", "@/nowhere"], "--psk: /nowhere: No such file or directory"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:aa", "--cert", "x"], "coaps:// needs --psk, or --cert, --key and --ca"),
    (["--server", "coaps://127.0.0.1", "--cert", "x", "--key", "x"], "coaps:// needs --psk, or --cert, --key and --ca"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:aa", "--cid=33"], "--cid: must be a number of bytes from 0 to 32"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:aa", "--cid=x"], "--cid: must be a number of bytes from 0 to 32"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:aa", "--cipher", "DES"], "--cipher: DES is no suite for --psk"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:aa", "--cipher", "ECDHE-GCM"], "--cipher: ECDHE-GCM is no suite for --psk"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:aa", "--max-fragment", "600"], "--max-fragment: must be 512, 1024,"),
    (["--server", "coaps://127.0.0.1", "--psk", "dev1:aa", "--state", ""], "--state: must not be empty"),
    (["--server", "coap://127.0.0.1", "--psk", "dev1:aa"], "options of security need --server coaps://"),
    (["--server", "coap://127.0.0.1", "--cid"], "options of security need --server coaps://"),
    (["--server", "coap://127.0.0.1", "--state", "x"], "options of security need --server coaps://"),
]


@pytest.mark.parametrize(("options", "problem"), WRONG, ids=[" ".join(options)[:60] for options, _ in WRONG])
def test_options_that_do_not_fit(options, problem):
    refused = run(*options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1 and refused.stderr.startswith(f"berth-device: {problem}")


@pytest.mark.parametrize("content", [None, b"", b"no certificate", b"x" * 70000])
def test_files_that_are_no_certificates(tmp_path, content):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    options = [word for name in ("--cert", "--key", "--ca") for word in (name, str(path))]
    refused = run("--server", "coaps://127.0.0.1:1", *options)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert len(refused.stderr.splitlines()) == 1 and refused.stderr.startswith("berth-device: ")


# ---- connection IDs ----


@pytest.mark.parametrize("draft", [False, True], ids=["RFC 9146", "draft"])
@pytest.mark.parametrize("length", [0, 1, 8, 32])
def test_connection_ids(berth, start_device, length, draft):
    options = ["--cid" if length == 0 else f"--cid={length}"] + (["--cid-draft"] if draft else [])
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev1", "--psk", f"dev1:{KEY}", "--json", *options)
    told = device.event("handshake")
    assert (len(told["cid"]), len(told["server_cid"]), told["cid_draft"]) == (2 * length, 16, draft)
    device.event("registered")
    security = session_of(berth)
    assert (security["cid"], security["cid_draft"]) == (told["server_cid"], draft)
    event = berth.await_event("dtls_handshake")
    assert (event["bytes_in"], event["bytes_out"]) == (told["sent"], told["received"])
    assert read(berth) == 95


def test_without_connection_ids(berth, start_device):
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev1", "--psk", f"dev1:{KEY}", "--json")
    told = device.event("handshake")
    assert (told["kind"], told["cid"], told["server_cid"]) == ("full", "", "")
    device.event("registered")
    assert session_of(berth)["cid"] is None


def port_of(line):
    return int(re.fullmatch(r"Sending from: port (\d+)", line)[1])


def rebind(device):
    device.command("rebind")
    return port_of(device.line("Sending from: port ", partly=True))


def test_an_update_from_another_port(berth, secure):
    device = secure("--cid")
    before = berth.device("dev1")["address"]
    for _ in range(3):
        address = f"127.0.0.1:{rebind(device)}"
        assert address != before
        after = berth.last_event()
        update(device)
        moved = berth.await_event("address_changed", "dev1", after=after)
        assert (moved["address"], moved["previous"]) == (address, before)
        assert berth.device("dev1")["address"] == address
        assert read(berth) == 95
        before = address
    assert handshakes(berth) == ["dtls_handshake"]


def test_a_notification_from_another_port(berth, secure):
    device = secure("--cid")
    assert berth.http("PUT", "/v1/devices/dev1/3/0/9/observe").status in (200, 201)
    device.line("Observation of 3/0/9 began")
    before = berth.device("dev1")["address"]
    address = f"127.0.0.1:{rebind(device)}"
    after = berth.last_event()
    device.command("set 3/0/9 80")
    assert berth.await_event("notification", "dev1", after=after)["value"] == 80
    moved = berth.await_event("address_changed", "dev1")
    assert (moved["address"], moved["previous"]) == (address, before)
    assert read(berth) == 80
    assert handshakes(berth) == ["dtls_handshake"]


def test_without_a_connection_id_another_port_needs_a_handshake(berth, secure):
    """The server drops what comes; after the last retransmission the device handshakes, and updates."""
    device = secure()
    rebind(device)
    device.command("update")
    device.settle()
    device.command("clock +100s")
    device.line("Update failed: no acknowledgement")
    device.line("Handshake: full, ", partly=True)
    device.line("Registration updated")
    assert read(berth) == 95
    assert handshakes(berth) == ["dtls_handshake", "dtls_handshake"]


# ---- asleep ----


@pytest.mark.parametrize("cid", ["--cid", "--cid-draft"])
def test_queue_mode_from_another_port_each_time(berth, secure, cid):
    device = secure("--queue", cid)
    assert berth.http("PUT", "/v1/devices/dev1/3/0/9/observe").status == 200
    for turn in range(3):
        device.command("sleep")
        device.line("Asleep")
        berth.leap("94s")
        assert berth.device("dev1")["awake"] is False
        queued = berth.http("GET", "/v1/devices/dev1/3/0/0", headers={"Prefer": "respond-async"})
        assert queued.status == 202
        address = f"127.0.0.1:{rebind(device)}"
        after = berth.last_event()
        device.command(f"set 3/0/9 {70 + turn}")
        device.command("wake")
        assert berth.await_event("notification", "dev1", after=after)["value"] == 70 + turn
        device.line("Request: GET /3/0/0 -> 2.05")
        assert berth.device("dev1")["address"] == address
        update(device)
    assert handshakes(berth) == ["dtls_handshake"]


def test_what_is_sent_to_a_sleeping_device_is_lost(berth, secure):
    device = secure("--cid")
    device.command("sleep")
    device.line("Asleep")
    asked = Asked(berth, "GET", "/v1/devices/dev1/3/0/9")
    device.settle()
    device.command("wake")
    device.line("Awake")
    berth.leap("3s")  # it is sent once more
    assert asked.answer(200).json["value"] == 95


# ---- sessions that last ----


def test_a_session_goes_on_after_kill_9_of_the_device(berth, secure, tmp_path):
    options = ("--cid", "--state", str(tmp_path / "state"))
    device = secure(*options)
    cid = session_of(berth)["cid"]
    for _ in range(5):
        update(device)
        assert read(berth) == 95
        device.kill()
        device = secure(*options)
        assert device.output.startswith(f"Session restored: TLS_PSK_WITH_AES_128_CCM_8, CID {cid}\n".encode())
        assert session_of(berth)["cid"] == cid
    update(device)
    assert handshakes(berth) == ["dtls_handshake"]


def test_a_session_goes_on_after_a_good_end(berth, secure, tmp_path):
    options = ("--cid-draft", "--cid=4", "--state", str(tmp_path / "state"), "--cipher", "GCM")
    for _ in range(3):
        secure(*options).close()
    assert handshakes(berth) == ["dtls_handshake"]


def test_no_number_is_used_twice_over_many_kills(berth, path, start_device, tmp_path):
    """Every record that the device sends is seen on its way, whatever it was doing when it died."""
    options = ("--endpoint", "dev1", "--psk", f"dev1:{KEY}", "--cid", "--state", str(tmp_path / "state"))
    for turn in range(12):
        device = start_device("--server", path.uri, *options)
        device.line("Client registered")
        for _ in range(40 * (turn % 3)):
            device.command("update")
        if turn % 2 == 0 and turn % 3 > 0:
            device.line("Registration updated")
        device.kill()
    numbers = [(record[:11], record[11:19]) for record in path.records_up if record[0] == 25 and record[3:5] == b"\x00\x01"]
    assert len(numbers) > 12 and len(set(numbers)) == len(numbers)
    assert handshakes(berth) == ["dtls_handshake"]


@pytest.mark.not_with_live_dtls("live contexts are not kept over a restart")
def test_both_die(berth, secure, tmp_path):
    options = ("--cid", "--state", str(tmp_path / "state"))
    device = secure(*options)
    for _ in range(3):
        device.kill()
        berth.kill()
        berth.start()
        device = secure(*options)
        assert read(berth) == 95
    assert handshakes(berth) == []  # events are of one life of the server


def test_what_is_kept_is_for_the_owner_only(berth, secure, tmp_path):
    state = tmp_path / "state"
    device = secure("--cid", "--state", str(state))
    assert state.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in state.iterdir())
    assert sorted(path.name for path in state.iterdir()) == ["lock", "session"]
    device.close()
    (state / "session").chmod(0o640)
    refused = run("--server", berth.listeners[1], "--psk", f"dev1:{KEY}", "--cid", "--state", str(state))
    assert refused.returncode == 1
    assert refused.stderr == f"berth-device: --state: {state}/session: others than its owner can read it; chmod 600 it\n"


def test_two_devices_do_not_share_a_session(berth, secure, tmp_path):
    state = tmp_path / "state"
    secure("--cid", "--state", str(state))
    refused = run("--server", berth.listeners[1], "--psk", f"dev1:{KEY}", "--cid", "--state", str(state))
    assert (refused.returncode, refused.stderr) == (1, f"berth-device: --state: {state}: another device uses it\n")


def test_a_directory_that_cannot_be_made(berth):
    refused = run("--server", berth.listeners[1], "--psk", f"dev1:{KEY}", "--cid", "--state", "/nowhere/at/all")
    assert (refused.returncode, refused.stderr) == (1, "berth-device: --state: /nowhere/at/all: No such file or directory\n")


@pytest.mark.parametrize("other", ["cipher", "key", "length", "garbage", "cut"])
def test_what_was_kept_for_something_else_is_not_used(berth, secure, tmp_path, other):
    state = tmp_path / "state"
    secure("--cid", "--state", str(state)).close()
    options, psk = ["--cid", "--state", str(state)], f"dev1:{KEY}"
    kept = (state / "session").read_bytes()
    if other == "cipher":
        options += ["--cipher", "GCM"]
    elif other == "length":
        options += ["--cid=3"]
    elif other == "key":
        assert berth.http("PUT", "/v1/credentials/dev2", {"mode": "psk", "key_hex": "aa"}).status == 201
        psk = "dev2:aa"
    elif other == "garbage":
        (state / "session").write_bytes(bytes(range(256)) * 3)
    else:
        (state / "session").write_bytes(kept[:-9])
    device = secure(*options, psk=psk, endpoint=psk.split(":")[0])
    assert b"Session restored" not in device.output
    assert len(handshakes(berth)) == 2


def test_without_a_connection_id_a_restart_resumes(berth, secure, tmp_path):
    options = ("--resume", "--state", str(tmp_path / "state"))
    secure(*options).kill()
    device = secure(*options)
    assert b"Handshake: resumed, " in device.output
    update(device)
    assert handshakes(berth) == ["dtls_handshake", "dtls_resumed"]


# ---- sessions that end ----


def test_commands_that_make_sessions(berth, secure):
    device = secure("--cid")
    for command, kind in (("handshake", "full"), ("handshake resume", "resumed"), ("handshake full", "full")):
        device.command(command)
        device.line(f"Handshake: {kind}, TLS_PSK_WITH_AES_128_CCM_8, CID ", partly=True)
        update(device)
        assert session_of(berth)["resumed"] is (kind == "resumed")
    device.command("forget-session")
    device.line("Session forgotten")
    device.command("handshake resume")
    device.line("Handshake: full, ", partly=True)
    update(device)
    assert handshakes(berth) == ["dtls_handshake", "dtls_handshake", "dtls_resumed", "dtls_handshake", "dtls_handshake"]


def test_after_a_goodbye_the_next_message_makes_a_session(berth, secure):
    device = secure("--cid", "--resume")
    device.command("close-notify")
    device.line("Session closed: ", partly=True)
    device.command("close-notify")
    device.line("close-notify: there is no session")
    update(device)
    assert handshakes(berth) == ["dtls_handshake", "dtls_resumed"]


def test_a_server_that_has_lost_the_session(berth, secure, tmp_path):
    """Nobody answers until all retransmissions are over; then the device handshakes, and its registration stands."""
    device = secure("--cid", "--resume", "--state", str(tmp_path / "state"))
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    assert berth.http("PUT", "/v1/credentials/dev1", {"mode": "psk", "key_hex": KEY}).status == 201
    location = berth.device("dev1")["id"]
    device.command("update")
    device.settle()
    device.command("clock +100s")
    device.line("Update failed: no acknowledgement")
    device.line("Handshake: full, ", partly=True)
    device.line("Registration updated")
    assert berth.device("dev1")["id"] == location
    assert read(berth) == 95


def test_a_restored_session_that_the_server_has_lost(berth, secure, start_device, tmp_path):
    state = ("--state", str(tmp_path / "state"))
    secure("--cid", *state).kill()
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    assert berth.http("PUT", "/v1/credentials/dev1", {"mode": "psk", "key_hex": KEY}).status == 201
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev1", "--psk", f"dev1:{KEY}", "--cid", *state)
    device.line("Session restored: ", partly=True)
    device.command("clock +100s")
    device.line("Registration failed: no acknowledgement; trying again in ", partly=True)
    device.command("clock +2s")
    device.line("Handshake: full, ", partly=True)
    device.line("Client registered")


def test_while_no_handshake_succeeds_the_registration_stands(berth, secure):
    device = secure("--cid")
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    device.command("handshake")
    device.line("Handshake failed: alert 115 came")
    device.command("update")
    device.line("Handshake failed: alert 115 came")
    device.line("Update failed: cancelled; trying again in ", partly=True)
    assert berth.http("PUT", "/v1/credentials/dev1", {"mode": "psk", "key_hex": KEY}).status == 201
    device.command("clock +2s")
    device.line("Registration updated")


@pytest.mark.parametrize("command", ["handshake", "handshake resume", "close-notify", "forget-session"])
def test_commands_of_dtls_without_it(berth, start_device, command):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev2")
    device.line("Client registered")
    device.command(command)
    device.line(f"{command.split()[0]}: the server is not coaps://")
    device.command("handshake soon")
    device.line("handshake: resume or full is expected, or nothing")


def test_another_port_without_dtls(start_berth, start_device):
    berth = start_berth()
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    address = f"127.0.0.1:{rebind(device)}"
    update(device)
    assert berth.device("dev1")["address"] == address
    assert read(berth) == 95
