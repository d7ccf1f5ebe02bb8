"""SSLKEYLOGFILE: server and device write the secrets of their sessions there, as browsers do."""

import stat

import pytest
from device_process import start_device  # noqa: F401

KEY = "00112233445566778899aabbccddeeff"
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")
TLS_1_3 = {
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "SERVER_TRAFFIC_SECRET_0",
}


@pytest.mark.parametrize(
    ("number", "more", "labels"),
    [
        (1, ("--cid",), {"CLIENT_RANDOM"}),
        (1, ("--cipher", "CBC"), {"CLIENT_RANDOM"}),
        (2, (), TLS_1_3),
    ],
    ids=["DTLS", "DTLS with CBC", "TLS 1.3"],
)
def test_SEC_29_both_sides_write_the_same_secrets(start_berth, start_device, tmp_path, number, more, labels):  # noqa: F811
    ours, theirs = tmp_path / "server.keys", tmp_path / "device.keys"
    theirs.write_text("before\n")  # it is appended to
    berth = start_berth("--psk", f"dev1:{KEY}", listen=LISTEN, env={"SSLKEYLOGFILE": str(ours)})
    options = ("--server", berth.listeners[number], "--endpoint", "dev1", "--psk", f"dev1:{KEY}", *more)
    device = start_device(*options, env={"SSLKEYLOGFILE": str(theirs)})
    device.line("Client registered")
    first, *lines = theirs.read_text().splitlines()
    assert first == "before"
    assert {line.split(" ")[0] for line in lines} == labels
    assert sorted(ours.read_text().splitlines()) == sorted(lines)
    assert stat.S_IMODE(ours.stat().st_mode) == 0o600
    assert KEY not in berth.log() and all(line not in berth.log() for line in lines)


def test_the_option_goes_before_the_environment(start_berth, start_device, tmp_path):  # noqa: F811
    option, environment = tmp_path / "option.keys", tmp_path / "environment.keys"
    options = ("--psk", f"dev1:{KEY}", "--tls-key-log", str(option))
    berth = start_berth(*options, listen=LISTEN, env={"SSLKEYLOGFILE": str(environment)})
    start_device("--server", berth.listeners[1], "--endpoint", "dev1", "--psk", f"dev1:{KEY}").line("Client registered")
    assert option.read_text().startswith("CLIENT_RANDOM ") and not environment.exists()


def test_a_device_says_when_it_can_not_write_them(start_device, tmp_path):  # noqa: F811
    device = start_device(
        "--server", "coap://127.0.0.1:9", "--endpoint", "dev1", env={"SSLKEYLOGFILE": str(tmp_path / "no" / "file")}
    )
    assert device.process.wait(10) != 0
    assert "SSLKEYLOGFILE: " in device.log() and "No such file" in device.log()
