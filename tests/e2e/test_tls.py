"""CoAP over TLS: who may come in, both versions, resumption, and what slow, silent and wrong peers get."""

import hashlib
import os
import select
import socket
import ssl
import subprocess
import time

import pytest
from berth_process import segment
from coapraw import (
    ACK,
    CON,
    CONTENT_FORMAT,
    GET,
    LINK_FORMAT,
    POST,
    RST,
    Coap,
    code,
    uint,
)
from coapstream import CSM, encode_frame
from coaptls import TLS, PskPeer, RecordPeer, TlsPeer, context, tls_port
from played_device import TEXT, Asked
from test_pki import openssl
from test_pki import pki as run_pki

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
VERSIONS = ["1.2", "1.3"]
LINKS = b"</1/0>,</3/0>"


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=TLS)


@pytest.fixture
def connect(berth):
    def new(kind=TlsPeer, *args, **kwargs):
        peer = kind(tls_port(berth), *args, **kwargs)
        berth.peers.append(peer)
        return peer

    return new


def pki(berth, tmp_path, endpoint="dev1"):
    """A certificate of the server's own authority: a path without .pem and .key."""
    run_pki(
        "device",
        "--data",
        berth.data,
        "--endpoint",
        endpoint,
        "--out",
        tmp_path / endpoint,
        cwd=tmp_path,
    )
    return tmp_path / endpoint


def tls(berth, cert=None, version=None, **kwargs):
    return context(ca=berth.data / "ca.pem", cert=cert, version=version, **kwargs)


def add_psk(berth, endpoint="dev1", key=KEY):
    answer = berth.http(
        "PUT",
        f"/v1/credentials/{segment(endpoint)}",
        {"mode": "psk", "identity": endpoint, "key_hex": key.hex()},
    )
    assert answer.status in (201, 204), answer.body


def register(peer, endpoint="dev1", expected="2.01"):
    query = [f"ep={endpoint}", "lt=300", "lwm2m=1.1"]
    answer = peer.request(POST, "/rd", query, LINKS, [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    assert answer.code_text == expected, f"{answer.code_text} {answer.payload!r}"
    return answer


def failure(berth, after=0):
    return berth.await_event("dtls_failed", after=after)


# ---- who may come in ----


@pytest.mark.parametrize("version", VERSIONS)
def test_SEC_26_SEC_27_a_device_registers_with_its_certificate(berth, connect, tmp_path, version):
    peer = connect(TlsPeer, tls(berth, pki(berth, tmp_path), version))
    handshake = berth.await_event("dtls_handshake", "dev1")
    assert (handshake["security"], handshake["tls_version"]) == (
        "x509",
        f"TLS {version}",
    )
    assert handshake["bytes_in"] > 500 and handshake["bytes_out"] > 500
    register(peer)
    device = berth.device("dev1")
    assert (device["transport"], device["framing"]) == ("tls", "rfc8323")
    assert device["security"] == {
        "mode": "x509",
        "identity": "dev1",
        "cipher_suite": handshake["cipher_suite"],
        "tls_version": f"TLS {version}",
        "resumed": False,
    }
    traffic = berth.http("GET", "/v1/devices/dev1/traffic").json["session"]
    assert traffic["messages"]["bytes_in"] > 20 and traffic["overhead"]["bytes_out"] > 0
    asked = Asked(berth, "GET", "/v1/devices/dev1/3/0/9")
    request = peer.receive(10)
    peer.send(Coap(CON, code("2.05"), 0, request.token, [(CONTENT_FORMAT, uint(TEXT))], b"95"))
    assert asked.answer(200).json["value"] == 95


@pytest.mark.parametrize("version", VERSIONS)
def test_SEC_26_SEC_27_a_device_registers_with_its_key(berth, connect, version):
    add_psk(berth)
    peer = connect(PskPeer, "dev1", KEY, version)
    register(peer)
    security = berth.device("dev1")["security"]
    assert (security["mode"], security["identity"], security["tls_version"]) == (
        "psk",
        "dev1",
        f"TLS {version}",
    )


def test_T3_one_suite_and_no_server_name_are_enough(berth, connect, tmp_path):
    peer = connect(
        TlsPeer,
        tls(
            berth,
            pki(berth, tmp_path),
            "1.2",
            ciphers="ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0",
        ),
    )
    register(peer)
    assert berth.device("dev1")["security"]["cipher_suite"] == "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"


@pytest.mark.parametrize("version", VERSIONS)
def test_an_identity_speaks_for_its_endpoint_only(berth, connect, tmp_path, version):
    peer = connect(TlsPeer, tls(berth, pki(berth, tmp_path), version))
    register(peer, "dev2", "4.00")
    assert berth.await_event("rejected", "dev2")


@pytest.mark.parametrize("version", VERSIONS)
def test_no_certificate_and_a_strange_one_are_refused_with_an_alert(berth, tmp_path, version):
    for cert, reason in (
        (None, "no_certificate"),
        (tmp_path / "dev9", "certificate_refused"),
    ):
        if cert is not None:
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9",
                    "-subj", "/CN=dev9", "-keyout", f"{cert}.key", "-out", f"{cert}.pem", cwd=tmp_path)  # fmt: skip
        after = berth.last_event()
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            peer = TlsPeer(tls_port(berth), tls(berth, cert, version))
            peer.close()
        assert failure(berth, after)["reason"] == reason


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pinned_certificate_is_its_endpoints(berth, connect, tmp_path, version):
    cert = tmp_path / "own"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9",
            "-subj", "/CN=whoever", "-keyout", f"{cert}.key", "-out", f"{cert}.pem", cwd=tmp_path)  # fmt: skip
    der = ssl.PEM_cert_to_DER_cert(cert.with_suffix(".pem").read_text())
    body = {"mode": "x509", "fingerprint_sha256": hashlib.sha256(der).hexdigest()}
    assert berth.http("PUT", "/v1/credentials/dev3", body).status == 201
    made = tls(berth, cert, version)
    peer = connect(TlsPeer, made)
    register(peer, "dev3")
    session = peer.sock.session
    assert berth.http("DELETE", "/v1/credentials/dev3").status == 204
    peer.await_close(10)
    assert "credential" in berth.await_event("connection_closed", "dev3")["detail"]
    after = berth.last_event()
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):  # nor is it resumed
        TlsPeer(tls_port(berth), made, session=session)
    assert failure(berth, after)["reason"] == "certificate_refused"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "identity, key, reason",
    [("dev1", bytes(16), "wrong_key"), ("dev7", KEY, "unknown_identity")],
)
def test_wrong_keys_and_unknown_identities(berth, version, identity, key, reason):
    add_psk(berth)
    peer = PskPeer(tls_port(berth), identity, key, version, greet=False)
    failed = failure(berth)
    assert (failed["reason"], failed["security"], failed["identity"]) == (
        reason,
        "psk",
        identity,
    )
    assert version == "1.3" or failed["alert_sent"] > 0
    peer.close()


def test_removing_a_credential_closes_its_connections_and_no_others(berth, connect):
    add_psk(berth)
    add_psk(berth, "dev2", bytes(16))
    first, second = (
        connect(PskPeer, "dev1", KEY, "1.2"),
        connect(PskPeer, "dev2", bytes(16), "1.3"),
    )
    register(first)
    register(second, "dev2")
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    first.await_close(10)
    assert berth.device("dev1")["reachable"] is False
    second.ping()
    with pytest.raises(AssertionError):
        connect(PskPeer, "dev1", KEY, "1.2")


# ---- ALPN, and what the server shows ----


def test_TCP_26_alpn_coap_is_taken_and_another_is_refused(berth, connect, tmp_path):
    cert = pki(berth, tmp_path)
    assert connect(TlsPeer, tls(berth, cert, alpn=["http/1.1", "coap"])).sock.selected_alpn_protocol() == "coap"
    assert connect(TlsPeer, tls(berth, cert)).sock.selected_alpn_protocol() is None
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        TlsPeer(tls_port(berth), tls(berth, cert, alpn=["h2"]))


def test_s_client_shows_the_issuer_and_only_the_leaf(berth):
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{tls_port(berth)}",
        "-showcerts",
    ]
    shown = subprocess.run(command, check=False, input=b"", capture_output=True, timeout=30).stdout.decode()
    assert "issuer=CN = Berth Bootstrap CA" in shown and shown.count("BEGIN CERTIFICATE") == 1


# ---- resumption ----


@pytest.mark.parametrize("unclean", [False, True])
@pytest.mark.parametrize("version", VERSIONS)
def test_T9_a_session_is_resumed_with_its_identity_also_after_a_restart(start_berth, tmp_path, version, unclean):
    berth = start_berth(listen=TLS)
    made = tls(berth, pki(berth, tmp_path), version)
    peer = TlsPeer(tls_port(berth), made)
    register(peer)
    session = peer.sock.session
    assert session.has_ticket == (version == "1.3")  # TLS 1.2: by session ID, which vendors' clients need
    peer.abandon() if unclean else peer.close()
    berth.await_event("connection_closed", "dev1")
    for restarted in (False, True):
        if restarted:
            berth.kill() if unclean else berth.stop()
            berth.start()
            assert berth.device("dev1")["reachable"] is False
        after = berth.last_event()
        peer = TlsPeer(tls_port(berth), made, session=session)
        assert peer.sock.session_reused
        session = peer.sock.session
        assert berth.await_event("dtls_resumed", "dev1", after)["identity"] == "dev1"
        register(peer)
        device = berth.device("dev1")
        assert device["reachable"] is True and device["security"]["resumed"] is True
        peer.close()


# ---- slow, silent and wrong peers ----


def test_a_handshake_that_is_not_finished_runs_out(berth):
    silent = socket.create_connection(("127.0.0.1", tls_port(berth)))
    begun = socket.create_connection(("127.0.0.1", tls_port(berth)))
    begun.sendall(bytes.fromhex("1603010200010001fc0303"))
    deadline = time.monotonic() + 15
    while berth.get_metric("berth_tcp_connections") < 2 and time.monotonic() < deadline:
        pass
    berth.leap("61s")
    assert failure(berth)["reason"] == "timeout"
    for sock in (silent, begun):
        sock.settimeout(15)
        assert sock.recv(100) == b""
        sock.close()


def test_garbage_and_plain_coap_are_refused_and_others_are_unharmed(berth, connect, tmp_path):
    good = connect(TlsPeer, tls(berth, pki(berth, tmp_path)))
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", encode_frame(Coap(CON, CSM, 0, b"")), os.urandom(300), b"\x16\x03\x01\xff\xff", b"\x17\x03\x03\x00\x04abcd"):  # fmt: skip
        after = berth.last_event()
        sock = socket.create_connection(("127.0.0.1", tls_port(berth)))
        sock.settimeout(15)
        sock.sendall(garbage)
        assert failure(berth, after)["reason"] in ("protocol", "no_common_parameters")
        sock.close()
    good.ping()


@pytest.mark.parametrize("version", VERSIONS)
def test_one_byte_at_a_time(berth, tmp_path, version):
    """Both the handshake's bytes and those of the frames."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = tls(berth, pki(berth, tmp_path), version).wrap_bio(incoming, outgoing)
    sock = socket.create_connection(("127.0.0.1", tls_port(berth)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(15)

    def flush():
        for byte in outgoing.read():
            sock.send(bytes([byte]))

    def until(done):
        while True:
            try:
                return done()
            except ssl.SSLWantReadError:
                flush()
                incoming.write(sock.recv(65536))

    until(client.do_handshake)
    for frame in (Coap(CON, CSM, 0, b""), Coap(CON, code("7.02"), 0, b"ping")):
        for byte in encode_frame(frame):
            client.write(bytes([byte]))
            flush()
    answer = b""
    while encode_frame(Coap(CON, code("7.03"), 0, b"ping")) not in answer:
        answer += until(lambda: client.read(100))
    sock.close()


def test_the_client_may_end_with_or_without_close_notify(berth, connect, tmp_path):
    made = tls(berth, pki(berth, tmp_path))
    peer = connect(TlsPeer, made)
    register(peer)
    peer.sock.unwrap()  # waits for the server's
    assert berth.await_event("connection_closed", "dev1")["detail"] == "closed by the peer"
    assert berth.device("dev1")["reachable"] is False
    register(connect(TlsPeer, made))
    assert berth.device("dev1")["reachable"] is True


# ---- one vendor's clients: a message in each record ----


def record_register(peer, endpoint="dev1"):
    answer = register(peer, endpoint)
    assert answer.type == ACK
    return answer


@pytest.fixture
def pelion(berth, connect, tmp_path):
    peer = connect(
        RecordPeer,
        tls(
            berth,
            pki(berth, tmp_path),
            "1.2",
            ciphers="ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0",
        ),
    )
    record_register(peer)
    return peer


def test_TCP_28_T1_a_message_in_each_record_both_ways_without_csm(berth, pelion):
    device = berth.device("dev1")
    assert (device["transport"], device["framing"]) == ("tls", "pelion")
    assert "record" in berth.await_event("oddity")["detail"]
    asked = [Asked(berth, "GET", "/v1/devices/dev1/3/0/9") for _ in range(2)]
    for one in range(2):
        request = Coap.decode(pelion.receive_raw(10))
        assert (request.type, request.code) == (CON, GET)
        pelion.send(
            Coap(
                ACK,
                code("2.05"),
                request.mid,
                request.token,
                [(CONTENT_FORMAT, uint(TEXT))],
                b"%d" % one,
            )
        )
    assert {one.answer(200).json["value"] for one in asked} == {0, 1}


def test_T10_an_empty_con_is_answered_with_reset(pelion):
    pelion.sock.sendall(b"\x40\x00\xbf\x49")
    answer = Coap.decode(pelion.receive_raw(10))
    assert (answer.type, answer.code, answer.mid) == (RST, 0, 0xBF49)


def test_T11_T12_an_ack_with_an_option_and_a_separate_response_of_the_same_mid(berth, pelion):
    asked = Asked(berth, "POST", "/v1/devices/dev1/3/0/4")
    request = Coap.decode(pelion.receive_raw(10))
    mid = request.mid.to_bytes(2, "big")
    pelion.sock.sendall(b"\x60\x00" + mid + b"\xc0")
    pelion.send(Coap(CON, code("2.04"), request.mid, request.token))
    assert asked.answer(204).status == 204
    acknowledged = Coap.decode(pelion.receive_raw(10))
    assert (acknowledged.type, acknowledged.code, acknowledged.mid) == (
        ACK,
        0,
        request.mid,
    )


def test_T13_messages_are_short_and_come_again_when_they_are_not_acknowledged(berth, pelion):
    asked = Asked(berth, "PUT", "/v1/devices/dev1/3/0/15", {"value": "x" * 3000})
    first = pelion.receive_raw(10)
    assert len(first) <= 1152 and Coap.decode(first).code == code("0.03")
    berth.leap("5s")
    assert pelion.receive_raw(10) == first
    message = Coap.decode(first)
    pelion.send(Coap(ACK, code("4.05"), message.mid, message.token))
    asked.answer()


def test_a_strict_listener_refuses_messages_in_records(start_berth, tmp_path):
    berth = start_berth(listen=("coaps+tcp://127.0.0.1:0?strict=1",))
    peer = RecordPeer(tls_port(berth), tls(berth, pki(berth, tmp_path), "1.2"))
    peer.send(Coap(CON, POST, 1, b"t", []))
    peer.await_close(10)
    assert "RFC 8323" in berth.await_event("rejected")["detail"]


# ---- renegotiation (RFC 5746) ----


class Renegotiating:
    """`openssl s_client`, which begins anew when it reads an R, and tells every handshake message."""

    def __init__(self, berth, cert):
        files = ["-CAfile", berth.data / "ca.pem", "-cert", f"{cert}.pem", "-key", f"{cert}.key"]
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{tls_port(berth)}", "-tls1_2", "-msg", *files]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        self.said = b""

    def write(self, data):
        self.process.stdin.write(data)

    def until(self, text, times=1, timeout=15):
        deadline = time.monotonic() + timeout
        while self.said.count(text) < times:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.process.stdout], [], [], left)[0], self.said
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, self.said
            self.said += data

    def close(self):
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture
def renegotiating(berth, tmp_path):
    client = Renegotiating(berth, pki(berth, tmp_path))
    yield client
    client.close()


ANEW = b"RENEGOTIATING"
DONE = b"<<< TLS 1.2, Handshake [length 0010], Finished"
REFUSED = b", warning no_renegotiation"


def test_T5_a_client_renegotiates_once_before_its_first_message(berth, renegotiating):
    renegotiating.until(DONE)
    berth.await_event("dtls_handshake", "dev1")
    renegotiating.write(b"R\n")
    renegotiating.until(ANEW)
    renegotiating.until(DONE, 2)
    renegotiating.write(encode_frame(Coap(CON, CSM, 0, b"")))
    renegotiating.until(b"\xe1")  # the server's CSM
    renegotiating.write(b"R\n")
    renegotiating.until(REFUSED)


def test_no_renegotiation_after_the_first_message(berth, renegotiating):
    renegotiating.until(DONE)
    renegotiating.write(encode_frame(Coap(CON, CSM, 0, b"")))
    handshake = berth.await_event("connection_opened")
    assert handshake["address"]
    renegotiating.until(b"\xe1")  # the server's CSM
    renegotiating.write(b"R\n")
    renegotiating.until(REFUSED)
