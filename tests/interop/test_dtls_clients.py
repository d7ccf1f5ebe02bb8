"""Whole lives of devices on DTLS libraries that nobody here wrote, with connection IDs: pion/dtls (extension 54) and
Mbed TLS 2.28 (the draft's, extension 254).

script/test builds build/interop/pion where there is Go; script/bootstrap --test fetches the sources of Mbed TLS 2.28."""

import os
import subprocess
from pathlib import Path

import pytest
from berth_process import ROOT, Device, program, segment
from coapraw import ACK, CONTENT_FORMAT, DELETE, LINK_FORMAT, POST, Coap, code, uint
from dtls_peer import DtlsPeer
from played_device import Asked

KEY = bytes(range(16))
LINKS = b"</1/0>,</3/0>"
MBEDTLS_2 = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "berth" / "mbedtls-2.28"


@pytest.fixture(scope="session")
def pion():
    path = ROOT / "build" / "interop" / "pion"
    if not path.exists():
        pytest.skip("no pion/dtls: script/test builds it where there is Go")
    return path


@pytest.fixture(scope="session")
def mbedtls_2(tmp_path_factory):
    """tests/tools/dtls_client, compiled with the parts of Mbed TLS 2.28 that a small device has."""
    if not MBEDTLS_2.exists():
        pytest.skip("no Mbed TLS 2.28: script/bootstrap --test fetches its sources")
    folder = tmp_path_factory.mktemp("mbedtls-2")
    here = Path(__file__).parent / "mbedtls2"
    flags = ["-O1", f"-I{MBEDTLS_2}/include", f"-I{here}", f"-I{ROOT}", '-DMBEDTLS_CONFIG_FILE="small_device.h"']
    sources = [*sorted((MBEDTLS_2 / "library").glob("*.c")), ROOT / "tests/tools/dtls_client.c"]
    sources += [ROOT / "common/base/buffer.c", ROOT / "common/base/text.c"]
    halves = [subprocess.Popen(["cc", "-c", *flags, *map(str, sources[n::2])], cwd=folder) for n in range(2)]
    assert [half.wait(100) for half in halves] == [0, 0]
    objects = [str(path) for path in folder.glob("*.o")]
    subprocess.run(["cc", "-o", "dtls_client", *objects], cwd=folder, check=True, timeout=60)
    return folder / "dtls_client"


@pytest.fixture(params=["pion", "mbedtls_2"])
def library(request):
    """A client's path, and how it names suites."""
    names = {
        "pion": {"psk": "0xc0a8", "gcm": "0x00a8", "x509": "0xc0ae"},
        "mbedtls_2": {
            "psk": "TLS-PSK-WITH-AES-128-CCM-8",
            "gcm": "TLS-PSK-WITH-AES-128-GCM-SHA256",
            "x509": "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8",
        },
    }
    return request.param, request.getfixturevalue(request.param), names[request.param]


@pytest.fixture
def berth(start_berth):
    return start_berth("--psk", f"dev1:{KEY.hex()}", listen=("coaps://127.0.0.1:0",))


@pytest.fixture
def connect(berth, library):
    _, client, suites = library

    def connect(suite="psk", cid=b"", endpoint="dev1", **kwargs):
        if suite != "x509":
            kwargs["psk"] = (endpoint, KEY)
        peer = DtlsPeer(
            int(berth.listeners[0].rpartition(":")[2]), client=client, suite=suites[suite], cid=cid, connect=False, **kwargs
        )
        berth.peers.append(peer)
        return peer.handshake()

    return connect


def register(peer, endpoint="dev1"):
    query = ["lt=300", "lwm2m=1.1", "b=U", f"ep={endpoint}"]
    answer = peer.request(POST, "/rd", query, LINKS, [(CONTENT_FORMAT, uint(LINK_FORMAT))], timeout=20)
    assert answer.code_text == "2.01", answer
    return Device(peer, endpoint, answer.location)


def read_from(berth, peer, endpoint="dev1"):
    asked = Asked(berth, "GET", f"/v1/devices/{segment(endpoint)}/3/0/9")
    request = peer.receive(10)
    peer.send(Coap(ACK, code("2.05"), request.mid, request.token, [(CONTENT_FORMAT, uint(0))], b"95"))
    assert asked.answer(200).json["value"] == 95


def no_handshake_since(berth, number):
    return berth.events_after(number, types="dtls_handshake,dtls_resumed,dtls_failed") == []


@pytest.mark.parametrize("suite", ["psk", "gcm"])
@pytest.mark.parametrize("cid", [b"", b"dev", bytes(20)], ids=["empty", "3", "20"])
def test_CID_01_CID_02_CID_03_CID_08_CID_16_a_device_goes_on_from_another_port(berth, library, connect, suite, cid):
    peer = connect(suite, cid)
    device = register(peer)
    security = berth.device("dev1")["security"]
    assert len(security["cid"]) == 16
    assert security["cid_draft"] is (library[0] == "mbedtls_2")
    assert device.update().code_text == "2.04"
    read_from(berth, peer)
    number = berth.last_event()
    peer.rebind()
    assert device.update().code_text == "2.04"
    assert berth.device("dev1")["address"] == peer.address
    read_from(berth, peer)
    assert [e["address"] for e in berth.events_after(number, types="address_changed")] == [peer.address]
    assert no_handshake_since(berth, number)
    assert peer.request(DELETE, device.location).code_text == "2.02"


def test_SEC_01_without_a_connection_id(berth, connect):
    peer = connect(cid=None)
    register(peer)
    assert berth.device("dev1")["security"]["cid"] is None
    read_from(berth, peer)


def test_SEC_17_a_session_is_resumed_with_its_identity(berth, connect):
    peer = connect(cid=None)
    device = register(peer)
    peer.resume()
    assert peer.is_resumed
    assert device.update().code_text == "2.04"
    assert berth.device("dev1")["security"]["resumed"] is True
    read_from(berth, peer)


@pytest.mark.parametrize("library", ["mbedtls_2"], indirect=True)
def test_a_session_with_the_drafts_connection_id_is_not_resumed(berth, connect):
    """Some clients of the draft forget their connection ID when they resume, so they are given nothing to resume. (That
    pion/dtls can't either is its own doing: its Finished comes without the connection ID then.)"""
    peer = connect()
    device = register(peer)
    peer.resume()
    assert not peer.is_resumed
    assert device.update().code_text == "2.04"
    security = berth.device("dev1")["security"]
    assert (security["resumed"], security["cid_draft"]) == (False, True)


def test_CID_15_after_kill_9_a_device_just_goes_on(berth, connect):
    peer = connect()
    device = register(peer)
    berth.kill()
    berth.start()
    peer.rebind()
    assert device.update().code_text == "2.04"
    read_from(berth, peer)
    assert no_handshake_since(berth, 0)


def test_SEC_02_SEC_13_a_certificate(berth, connect, tmp_path):
    command = [program("berth-server"), "pki", "device", "--data", berth.data, "--endpoint", "dev2", "--out", "dev2"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    peer = connect("x509", cert=tmp_path / "dev2")
    device = register(peer, "dev2")
    security = berth.device("dev2")["security"]
    assert (security["mode"], security["cipher_suite"]) == ("x509", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8")
    peer.rebind()
    assert device.update().code_text == "2.04"
    read_from(berth, peer, "dev2")
