"""The reference device over TLS: keys and certificates, both framings, and connections that break."""

import pytest
from coaptls import TLS
from device_process import start_device  # noqa: F401
from played_device import Asked
from test_device_command_line import run
from test_pki import pki as run_pki

KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture
def berth(start_berth):
    return start_berth("--psk", f"dev1:{KEY}", listen=TLS)


def uri(berth):
    """By name, as it stands in the server's certificate."""
    return berth.listeners[1].replace("127.0.0.1", "localhost")


@pytest.fixture
def credentials(berth, tmp_path):
    run_pki("device", "--endpoint", "dev1", "--out", str(tmp_path / "dev1"), "--data", str(berth.data), cwd=tmp_path)
    files = ("--cert", f"{tmp_path}/dev1.pem", "--key", f"{tmp_path}/dev1.key", "--ca", f"{berth.data}/ca.pem")
    return {"psk": ("--psk", f"dev1:{KEY}"), "x509": files}


def secure(berth, start_device, *options):  # noqa: F811
    device = start_device("--server", uri(berth), "--endpoint", "dev1", *options)
    device.line("Client registered")
    return device


@pytest.mark.parametrize("framing", ["rfc8323", "pelion"])
@pytest.mark.parametrize("mode", ["psk", "x509"])
def test_the_device_registers_and_answers(berth, start_device, credentials, mode, framing):  # noqa: F811
    secure(berth, start_device, *credentials[mode], "--framing", framing)
    device = berth.device("dev1")
    assert (device["transport"], device["framing"]) == ("tls", framing)
    assert (device["security"]["mode"], device["security"]["tls_version"]) == (mode, "TLS 1.3")
    assert berth.get("/v1/devices/dev1/3/0/9")["value"] == 95
    session = berth.get("/v1/devices/dev1/traffic")["session"]
    for way in ("bytes_in", "bytes_out"):
        assert session["records"][way] == session["messages"][way] + session["overhead"][way]
        assert 20 < session["overhead"][way] < session["records"][way]


@pytest.mark.parametrize("mode", ["psk", "x509"])
def test_a_broken_connection_is_made_anew_and_resumed(berth, start_device, credentials, mode):  # noqa: F811
    device = secure(berth, start_device, *credentials[mode], "--resume")
    assert berth.get("/v1/devices/dev1/3/0/9")["value"] == 95
    berth.restart()
    device.line("Disconnected", partly=True)
    device.line("Connected", timeout=30)
    if mode == "x509":
        device.line("Handshake: resumed", partly=True)
    device.line("Registration updated")
    resumed = berth.await_event("dtls_resumed", "dev1")
    assert resumed["tls_version"] == "TLS 1.3"
    asked = Asked(berth, "GET", "/v1/devices/dev1/3/0/9")
    assert asked.answer(200).json["value"] == 95


def test_a_large_resource_comes_in_blocks(berth, start_device, credentials):  # noqa: F811
    secure(berth, start_device, *credentials["psk"], "--large", "100000")
    assert berth.http("GET", "/v1/devices/dev1/5000/0/0", headers={"Accept": "application/octet-stream"}).status == 200


def test_a_wrong_key_and_another_name_are_told(berth, start_device, credentials):  # noqa: F811
    device = start_device("--server", uri(berth), "--endpoint", "dev1", "--psk", f"dev1:{'00' * 16}")
    device.line("Handshake failed", partly=True)
    device = start_device("--server", uri(berth), "--server-name", "elsewhere.example", *credentials["x509"])
    device.line("Handshake failed: certificate_refused")


@pytest.mark.parametrize("option", [["--cid"], ["--state", "x"]])
def test_what_is_for_dtls_alone(option):
    device = run("--server", "coaps+tcp://127.0.0.1", "--psk", "dev1:aa", *option)
    assert device.returncode == 2 and "coaps://" in device.stderr
