"""A device on java-coap (Maven Central: coap-tcp), the CoAP library of the vendor's own tests, over UDP, TCP and TLS."""

import subprocess
from base64 import b64decode, b64encode

import pytest
from berth_process import Berth
from java_device import JavaDevice
from test_pki import pki

AT = "/v1/devices/java"
PATTERN = bytes(i % 256 for i in range(5000))
QUERY = "ep=java&lt=300&lwm2m=1.1"


def trust(berth, folder):
    """What the device needs for TLS: the CA of Berth, its own certificate and key."""
    pki("device", "--data", berth.data, "--endpoint", "java", "--out", folder / "java", cwd=folder)
    both = ["-in", folder / "java.pem", "-inkey", folder / "java.key", "-out", folder / "java.p12"]
    subprocess.run(["openssl", "pkcs12", "-export", *both, "-passout", "pass:berth"], check=True, timeout=30)
    return berth.data / "ca.pem", folder / "java.p12"


@pytest.fixture(scope="module", params=["coap", "coap+tcp", "coaps+tcp"])
def met(request, java_coap, tmp_path_factory):
    """A server and a device that has registered with it, for all tests here."""
    folder = tmp_path_factory.mktemp("berth")
    berth = Berth(folder / "data", listen=(f"{request.param}://127.0.0.1:0",)).start()
    files = trust(berth, folder) if request.param == "coaps+tcp" else ()
    device = JavaDevice(java_coap, "JavaCoapDevice", f"{berth.listen[0]}/rd?{QUERY}", *map(str, files))
    assert device.line("registered") == "registered true"
    yield berth, device
    after = berth.last_event()
    device.quit()
    berth.await_event("deregistered", "java", after)
    berth.close()


@pytest.fixture
def berth(met):
    return met[0]


@pytest.fixture
def device(met):
    return met[1]


def test_registered_over_its_transport(berth):
    shown = berth.device("java")
    over = berth.listen[0].partition(":")[0]
    carried = {"coap": ("udp", "datagram"), "coap+tcp": ("tcp", "rfc8323"), "coaps+tcp": ("tls", "rfc8323")}
    assert (shown["transport"], shown["framing"]) == carried[over]
    assert {"/1/0", "/3/0", "/42/0", "/3303/0"} == {item["path"] for item in shown["objects"]}


def test_read_and_execute(berth, device):
    assert berth.get(f"{AT}/3/0/0")["value"] == "java-coap"
    assert berth.http("POST", f"{AT}/3/0/4").status == 204
    device.line("reboot")
    assert berth.http("GET", f"{AT}/3/0/1").status == 404


def test_BLK_02_TCP_25_blocks_both_ways(berth, device):
    """5,000 bytes: blocks of 512 over UDP, of several kilobytes (BERT) over TCP and TLS."""
    read = {"method": "GET", "path": "/42/0/1"}
    raw = berth.http("POST", f"{AT}/requests", read).json
    assert b64decode(raw["payload_b64"]) == PATTERN
    written = {"method": "PUT", "path": "/42/0/1", "content_format": 42, "payload_b64": b64encode(PATTERN * 2).decode()}
    assert berth.http("POST", f"{AT}/requests", written).json["code"] == "2.04"
    assert device.line("written") == "written 10000"
    raw = berth.http("POST", f"{AT}/requests", read).json
    assert b64decode(raw["payload_b64"]) == PATTERN * 2


def test_observe_notify_cancel(berth, device):
    assert berth.http("PUT", f"{AT}/3303/0/5700/observe").status in (200, 201, 204)
    for value in (21.5, 22.25, 23.0):
        after = berth.last_event()
        device.command(f"set {value}")
        assert berth.await_event("notification", "java", after)["value"] == value
    assert berth.http("DELETE", f"{AT}/3303/0/5700/observe").status == 204


def test_send_becomes_an_event(berth, device):
    after = berth.last_event()
    device.command('send [{"n":"/3303/0/5700","v":30.5}]')
    assert device.line("sent") == "sent C204_CHANGED"
    assert berth.await_event("send", "java", after)["value"] == 30.5


def test_ping(berth, device):
    device.command("ping")
    assert device.line("pong") in ("pong C703_PONG", "pong null")
