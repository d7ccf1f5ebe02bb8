"""OpenSSL's s_client and libcoap's clients over DTLS."""

import os
import re
import select
import shutil
import subprocess

import pytest
from berth_process import program
from coapraw import ACK, CONTENT_FORMAT, LINK_FORMAT, POST, Coap, Peer, code, uint
from played_device import Asked

KEY = "00112233445566778899aabbccddeeff"
LINKS = b"</1/0>,</3/0>"


class OpensslPeer(Peer):
    """A session of `openssl s_client -dtls`: what is written to it is a record, what it prints came in records."""

    def __init__(self, port, *options):
        super().__init__(port)
        command = ["openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port}", "-quiet", *options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )

    def close(self):
        super().close()
        self.process.stdin.close()
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def send_raw(self, data):
        self.process.stdin.write(data)

    def receive_raw(self, timeout=5):
        ready = select.select([self.process.stdout], [], [], timeout)[0]
        return (os.read(self.process.stdout.fileno(), 65536) or None) if ready else None


@pytest.fixture
def berth(start_berth):
    return start_berth("--psk", f"dev1:{KEY}", listen=("coaps://127.0.0.1:0",))


def port_of(berth):
    return int(berth.listeners[0].rpartition(":")[2])


@pytest.fixture
def openssl(berth):
    peers = []

    def connect(*options):
        peers.append(OpensslPeer(port_of(berth), *options))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


def register(peer, endpoint="dev1"):
    query = ["lt=300", "lwm2m=1.1", "b=U", f"ep={endpoint}"]
    return peer.request(POST, "/rd", query, LINKS, [(CONTENT_FORMAT, uint(LINK_FORMAT))], timeout=20)


def work(berth, peer, endpoint="dev1"):
    answer = register(peer, endpoint)
    assert answer.code_text == "2.01", answer
    for _ in range(3):
        assert peer.request(POST, answer.location).code_text == "2.04"
    asked = Asked(berth, "GET", f"/v1/devices/{endpoint}/3/0/9")
    request = peer.receive(10)
    peer.send(Coap(ACK, code("2.05"), request.mid, request.token, [(CONTENT_FORMAT, uint(0))], b"95"))
    assert asked.answer(200).json["value"] == 95


@pytest.mark.parametrize(
    ("cipher", "suite"),
    [
        ("PSK-AES128-CCM8", "TLS_PSK_WITH_AES_128_CCM_8"),
        ("PSK-AES128-CCM", "TLS_PSK_WITH_AES_128_CCM"),
        ("PSK-AES128-GCM-SHA256", "TLS_PSK_WITH_AES_128_GCM_SHA256"),
        ("PSK-AES128-CBC-SHA256", "TLS_PSK_WITH_AES_128_CBC_SHA256"),
        ("ECDHE-PSK-AES128-CBC-SHA256", "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256"),
    ],
)
def test_SEC_01_openssl_with_a_key(berth, openssl, cipher, suite):
    peer = openssl("-psk_identity", "dev1", "-psk", KEY, "-cipher", f"{cipher}:@SECLEVEL=0")
    work(berth, peer)
    assert berth.device("dev1")["security"]["cipher_suite"] == suite


def test_SEC_04_openssl_with_a_key_of_64_bytes(berth, openssl):
    key, identity = "a5" * 64, "i" * 128
    body = {"mode": "psk", "identity": identity, "key_hex": key}
    assert berth.http("PUT", "/v1/credentials/dev2", body).status == 201
    work(berth, openssl("-psk_identity", identity, "-psk", key, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"), "dev2")


def make_certificate(berth, tmp_path, endpoint):
    command = [program("berth-server"), "pki", "device", "--data", berth.data, "--endpoint", endpoint, "--out", endpoint]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    return ("-cert", str(tmp_path / f"{endpoint}.pem"), "-key", str(tmp_path / f"{endpoint}.key"))


@pytest.mark.parametrize(
    ("cipher", "suite"),
    [
        ("ECDHE-ECDSA-AES128-CCM8", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"),
        ("ECDHE-ECDSA-AES128-CCM", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    ],
)
def test_SEC_02_openssl_with_a_certificate(berth, openssl, tmp_path, cipher, suite):
    peer = openssl(*make_certificate(berth, tmp_path, "dev2"), "-cipher", f"{cipher}:@SECLEVEL=0")
    work(berth, peer, "dev2")
    assert berth.device("dev2")["security"]["cipher_suite"] == suite


@pytest.mark.parametrize("with_certificate", [False, True], ids=["key", "certificate"])
@pytest.mark.parametrize("killed", [False, True], ids=["at once", "after kill -9"])
def test_SEC_17_openssl_resumes_its_session(berth, openssl, tmp_path, with_certificate, killed):
    session = str(tmp_path / "session.pem")
    options = make_certificate(berth, tmp_path, "dev1") if with_certificate else ("-psk_identity", "dev1", "-psk", KEY)
    cipher = "ECDHE-ECDSA-AES128-CCM8" if with_certificate else "PSK-AES128-CCM8"
    options = (*options, "-cipher", f"{cipher}:@SECLEVEL=0")
    answer = register(openssl(*options, "-sess_out", session))
    if killed:
        berth.kill()
        berth.start()
    again = openssl(*options, "-sess_in", session)
    assert again.request(POST, answer.location, timeout=20).code_text == "2.04"
    event = berth.await_event("dtls_resumed", endpoint="dev1")
    assert (event["security"], event["identity"]) == ("x509" if with_certificate else "psk", "dev1")
    assert berth.device("dev1")["security"]["resumed"] is True


def test_SEC_03_openssl_may_not_renegotiate_once_it_has_spoken(berth, openssl):
    """A line with R is a command to s_client, unless it is -quiet."""
    command = ["openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port_of(berth)}", "-psk_identity", "dev1"]
    command += ["-psk", KEY, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0)
    try:
        berth.await_event("dtls_handshake")
        process.stdin.write(bytes([0x40, 0, 0, 1]))  # a ping
        output = b""
        while b"\x70\x00\x00\x01" not in output:
            assert select.select([process.stdout], [], [], 20)[0]
            output += os.read(process.stdout.fileno(), 65536)
        process.stdin.write(b"R\n")
        while b"no renegotiation" not in output:
            assert select.select([process.stdout], [], [], 20)[0], output[-500:]
            chunk = os.read(process.stdout.fileno(), 65536)
            assert chunk, output[-500:]
            output += chunk
        assert len(berth.events_after(types="dtls_handshake")) == 1
    finally:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


def shown(berth, *options):
    """What s_client prints about a handshake."""
    command = ["openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port_of(berth)}", *options]
    output = subprocess.run(command, input="", capture_output=True, text=True, timeout=60).stdout
    return output.replace(" = ", "=")  # as later versions write names


def test_SEC_15_only_the_leaf_is_sent_and_its_issuer_is_recognisable(berth, tmp_path):
    certificate = make_certificate(berth, tmp_path, "dev2")
    output = shown(berth, *certificate, "-showcerts", "-CAfile", str(berth.data / "ca.pem"), "-verify_hostname", "localhost")
    assert "issuer=CN=Berth Bootstrap CA" in output
    assert output.count("BEGIN CERTIFICATE") == 1 + output.count("Server certificate\n-----BEGIN")
    assert "Verification: OK" in output or "Verify return code: 0 (ok)" in output


def test_SEC_16_a_certificate_is_chosen_by_the_name_of_the_server(start_berth, tmp_path):
    options = []
    for host in ("first.example.com", "second.example.com"):
        for command in (["ca", "--out", "ca"], ["server", "--host", host, "--out", host]):
            if command[0] == "server" or not (tmp_path / "ca.pem").exists():
                subprocess.run([program("berth-server"), "pki", *command], cwd=tmp_path, check=True, timeout=60)
        options += ["--cert", str(tmp_path / f"{host}.pem"), "--key", str(tmp_path / f"{host}.key")]
    berth = start_berth(*options, "--ca", str(tmp_path / "ca.pem"), listen=("coaps://127.0.0.1:0",))
    for name, expected in (("first", "first"), ("second", "second"), ("unknown", "first")):
        assert f"subject=CN={expected}.example.com" in shown(berth, "-servername", f"{name}.example.com")
    assert "subject=CN=first.example.com" in shown(berth, "-noservername")
    assert not (berth.data / "server.pem").exists()


# ---- libcoap ----


@pytest.mark.parametrize("name", ["coap-client-openssl", "coap-client-gnutls"])
def test_SEC_01_libcoap_with_a_key(berth, name):
    client = shutil.which(name)
    assert client, f"no {name}: script/bootstrap --test installs libcoap3-bin"
    uri = f"coaps://127.0.0.1:{port_of(berth)}/rd?ep=dev1&lt=300&lwm2m=1.1&b=U"
    command = [client, "-B", "20", "-u", "dev1", "-k", bytes.fromhex("61" * 16).decode(), "-m", "post", "-t", "40", "-f", "-", uri]
    assert berth.http("PUT", "/v1/credentials/dev1", {"mode": "psk", "key_hex": "61" * 16}).status == 204
    run = subprocess.run(command, input=LINKS.decode(), capture_output=True, text=True, timeout=60)
    device = berth.device("dev1")
    assert device["security"]["mode"] == "psk", run.stderr
    assert re.match(r"TLS_.*PSK", berth.await_event("dtls_handshake", "dev1")["cipher_suite"])


@pytest.mark.parametrize("name", ["coap-client-openssl", "coap-client-gnutls"])
def test_SEC_02_SEC_15_libcoap_with_a_certificate(berth, tmp_path, name):
    client = shutil.which(name)
    assert client, f"no {name}: script/bootstrap --test installs libcoap3-bin"
    _, certificate, _, key = make_certificate(berth, tmp_path, "dev2")
    uri = f"coaps://127.0.0.1:{port_of(berth)}/rd?ep=dev2&lt=300&lwm2m=1.1&b=U"
    files = ["-c", certificate, "-j", key, "-C", str(berth.data / "ca.pem")]
    command = [client, "-B", "20", *files, "-m", "post", "-t", "40", "-f", "-", uri]
    run = subprocess.run(command, input=LINKS.decode(), capture_output=True, text=True, timeout=60)
    security = berth.device("dev2")["security"]
    assert (security["mode"], security["identity"]) == ("x509", "dev2"), run.stderr
    assert berth.await_event("dtls_handshake", "dev2")["cipher_suite"].startswith("TLS_ECDHE_ECDSA_")
