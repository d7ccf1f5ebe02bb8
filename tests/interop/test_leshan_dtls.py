"""A device on Leshan's client library over DTLS (Scandium): keys, certificates, connection IDs, resumption."""

import subprocess

import pytest
from berth_process import program
from datagram_wire import Wire
from java_device import JavaDevice

KEY = "00112233445566778899aabbccddeeff"
AT = "/v1/devices/leshan"


@pytest.fixture
def berth(start_berth):
    return start_berth("--psk", f"leshan:{KEY}", listen=("coaps://127.0.0.1:0",))


@pytest.fixture
def start_leshan(leshan):
    """start_leshan(port, **options) -> a device that has registered."""
    started = []

    def start(port, **options):
        words = [f"{name}={value}" for name, value in options.items()]
        device = JavaDevice(leshan, "LeshanDevice", f"coaps://127.0.0.1:{port}", "leshan", *words)
        started.append(device)
        device.line("registered")
        return device

    yield start
    for device in started:
        device.kill()


@pytest.fixture
def wire(berth):
    wire = Wire(berth.coap_port)
    yield wire
    wire.close()


def read_name(berth):
    return berth.http("GET", f"{AT}/3/0/0").json["value"]


def observe(berth):
    assert berth.http("PUT", f"{AT}/3442/0/110/observe").status in (200, 201, 204)


def test_SEC_01_SEC_05_psk_register_read_update_deregister(berth, start_leshan):
    device = start_leshan(berth.coap_port, psk=f"leshan:{KEY}")
    security = berth.device("leshan")["security"]
    assert (security["mode"], security["identity"]) == ("psk", "leshan")
    assert read_name(berth) == "Leshan"
    after = berth.last_event()
    device.command("update")
    berth.await_event("updated", "leshan", after)
    device.quit()
    berth.await_event("deregistered", "leshan", after)


def test_SEC_02_certificate_of_the_servers_authority(start_berth, start_leshan, tmp_path):
    berth = start_berth(listen=("coaps://127.0.0.1:0",))
    device = ("pki", "device", "--data", str(berth.data), "--endpoint", "leshan", "--out", "leshan")
    subprocess.run([program("berth-server"), *device], cwd=tmp_path, check=True, timeout=60)
    openssl = ["openssl", "x509", "-in", str(berth.data / "server.pem"), "-outform", "DER", "-out", "server.der"]
    subprocess.run(openssl, cwd=tmp_path, check=True, timeout=60)
    pkcs8 = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", "leshan.key", "-outform", "DER", "-out", "leshan.p8"]
    subprocess.run(pkcs8, cwd=tmp_path, check=True, timeout=60)
    files = {"cert": "leshan.der", "key": "leshan.p8", "server": "server.der"}
    start_leshan(berth.coap_port, **{name: str(tmp_path / file) for name, file in files.items()})
    security = berth.device("leshan")["security"]
    assert (security["mode"], security["identity"]) == ("x509", "leshan")
    assert read_name(berth) == "Leshan"


@pytest.mark.parametrize("how", ["resume", "full"])
def test_SEC_17_SEC_18_a_new_handshake_with_every_update(berth, start_leshan, how):
    device = start_leshan(berth.coap_port, psk=f"leshan:{KEY}")
    for _ in range(3):
        after = berth.last_event()
        device.command(f"reconnect {how}")
        berth.await_event("dtls_resumed" if how == "resume" else "dtls_handshake", "leshan", after)
        berth.await_event("updated", "leshan", after)
        assert read_name(berth) == "Leshan"


@pytest.mark.parametrize("length", ["0", "6"])
def test_CID_02_CID_03_CID_08_the_mapping_is_forgotten_and_the_device_followed(berth, wire, start_leshan, length):
    device = start_leshan(wire.port, psk=f"leshan:{KEY}", cid=length)
    assert berth.device("leshan")["address"] == wire.address
    assert berth.device("leshan")["security"]["cid"] is not None
    after = berth.last_event()
    wire.rebind()
    device.command("update")
    berth.await_event("address_changed", "leshan", after)
    berth.await_event("updated", "leshan", after)
    assert berth.device("leshan")["address"] == wire.address
    assert read_name(berth) == "Leshan"
    assert not [event for event in berth.events_after(after) if event["type"].startswith("dtls_")]


def test_CID_08_a_notification_from_a_new_address_is_enough(berth, wire, start_leshan):
    device = start_leshan(wire.port, psk=f"leshan:{KEY}", cid="4")
    observe(berth)
    after = berth.last_event()
    wire.rebind()
    device.command("set elsewhere")
    berth.await_event("address_changed", "leshan", after)
    assert berth.await_event("notification", "leshan", after)["value"] == "elsewhere"
    assert read_name(berth) == "Leshan"
    assert berth.device("leshan")["address"] == wire.address


@pytest.mark.parametrize("length", ["0", "6"])
def test_CID_15_a_killed_server_goes_on_without_a_handshake(berth, start_leshan, length):
    device = start_leshan(berth.coap_port, psk=f"leshan:{KEY}", cid=length)
    assert read_name(berth) == "Leshan"
    observe(berth)
    before = berth.last_event()
    berth.kill()
    berth.start()
    device.command("set afterwards")
    assert berth.await_event("notification", "leshan", before)["value"] == "afterwards"
    assert read_name(berth) == "Leshan"
    device.command("update")
    berth.await_event("updated", "leshan", before)
    assert not [event for event in berth.events_after(before) if event["type"].startswith("dtls_")]
