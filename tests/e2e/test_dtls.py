"""DTLS as the server runs it: identities and endpoints, events, sessions that follow the device and survive."""

import hashlib

import pytest
from berth_process import Device, segment
from coapraw import ACK, CONTENT_FORMAT, DELETE, LINK_FORMAT, POST, Coap, code, uint
from dtls_peer import DtlsPeer, HandshakeFailed
from played_device import Asked
from test_pki import openssl
from test_pki import pki as run_pki

KEY = bytes.fromhex("00112233445566778899aabbccddeeff")
COAPS = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")
LINKS = b"</1/0>,</3/0>"


@pytest.fixture
def secure(start_berth):
    """secure(*options) -> a server with a coaps listener."""

    def start(*options, **kwargs):
        return start_berth(*options, **{"listen": COAPS, **kwargs})

    return start


@pytest.fixture
def berth(secure):
    return secure()


def coaps_port(berth):
    return int(berth.listeners[1].rpartition(":")[2])


def add_psk(berth, endpoint, identity=None, key=KEY, **more):
    body = {"mode": "psk", "identity": identity or endpoint, "key_hex": key.hex(), **more}
    answer = berth.http("PUT", f"/v1/credentials/{segment(endpoint)}", body)
    assert answer.status in (201, 204), answer.body


def connect(berth, identity="dev1", key=KEY, **kwargs):
    return connect_with(berth, psk=(identity, key), **kwargs)


def connect_certificate(berth, cert, **kwargs):
    return connect_with(berth, cert=cert, **kwargs)


def connect_with(berth, **kwargs):
    peer = DtlsPeer(coaps_port(berth), connect=False, **kwargs)
    berth.peers.append(peer)
    return peer.handshake()


def register(berth, peer, endpoint="dev1", expected="2.01", lifetime=300):
    query = [f"lt={lifetime}", "lwm2m=1.1", "b=U"] + ([] if endpoint is None else [f"ep={endpoint}"])
    answer = peer.request(POST, "/rd", query, LINKS, [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    assert answer.code_text == expected, f"{answer.code_text} {answer.payload!r}"
    return Device(peer, endpoint, answer.location) if expected == "2.01" else answer


def read_from(berth, peer, endpoint="dev1", value=b"95"):
    """A Read over HTTP that the device answers."""
    asked = Asked(berth, "GET", f"/v1/devices/{segment(endpoint)}/3/0/9")
    request = peer.receive(10)
    assert request is not None
    peer.send(Coap(ACK, code("2.05"), request.mid, request.token, [(CONTENT_FORMAT, uint(0))], value))
    return asked.answer(200).json["value"]


# ---- identities ----


def test_a_device_registers_over_psk_and_is_shown_with_its_security(berth):
    add_psk(berth, "dev1")
    register(berth, connect(berth, cid=b""))
    device = berth.device("dev1")
    assert device["transport"] == "dtls"
    security = device["security"]
    assert (security["mode"], security["identity"]) == ("psk", "dev1")
    assert security["cipher_suite"].startswith("TLS_") and "PSK" in security["cipher_suite"]
    assert len(security["cid"]) == 16 and security["cid_draft"] is False


@pytest.mark.parametrize("suite", ["TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-CBC-SHA256"])
def test_suites_of_devices(berth, suite):
    add_psk(berth, "dev1")
    peer = connect(berth, suite=suite)
    assert peer.suite == suite
    register(berth, peer)
    assert berth.device("dev1")["security"]["cipher_suite"] == suite.replace("-", "_")
    assert read_from(berth, peer) == 95


def test_SEC_04_an_identity_of_128_arbitrary_bytes_and_a_key_of_64(berth):
    identity, key = bytes(range(128, 256)), bytes(range(64))
    answer = berth.http("PUT", "/v1/credentials/dev1", {"mode": "psk", "identity_hex": identity.hex(), "key_hex": key.hex()})
    assert answer.status == 201
    register(berth, connect(berth, identity, key))


def test_REG_11_a_device_without_a_name_has_that_of_its_identity(berth):
    add_psk(berth, "urn:imei:123", identity="id-123")
    register(berth, connect(berth, "id-123"), None)
    assert berth.device("urn:imei:123")["security"]["identity"] == "id-123"


def test_SEC_05_REG_16_an_identity_speaks_for_its_endpoint_only(berth):
    add_psk(berth, "dev1")
    add_psk(berth, "dev2")
    peer = connect(berth)
    register(berth, peer, "dev2", "4.00")
    event = berth.await_event("rejected")
    assert (event["endpoint"], event["coap_code"]) == ("dev2", "4.00")
    assert berth.get("/v1/devices")["items"] == []
    register(berth, peer, "dev1")


def test_SEC_05_a_mapping_goes_before_equality(berth):
    add_psk(berth, "dev1", identity="dev2")
    register(berth, connect(berth, "dev2"), "dev2", "4.00")
    register(berth, connect(berth, "dev2"), "dev1")


def test_REG_17_an_identity_for_bootstrap_alone_may_not_register(berth):
    add_psk(berth, "dev1", service="bootstrap")
    register(berth, connect(berth), "dev1", "4.03")
    assert berth.await_event("rejected")["coap_code"] == "4.03"


def test_REG_34_another_identity_does_not_take_a_registration(berth):
    add_psk(berth, "dev1")
    add_psk(berth, "dev2")
    register(berth, connect(berth), "dev1")
    before = berth.device("dev1")
    register(berth, connect(berth, "dev2"), "dev1", "4.00")
    plain = berth.peer().request(POST, "/rd", ["ep=dev1", "lwm2m=1.1"], LINKS)
    assert plain.code_text == "4.03"
    assert berth.device("dev1") == before


def test_REG_34_without_security_nobody_takes_the_registration_of_a_certificate(berth, pki):
    register(berth, connect_certificate(berth, pki("dev1")))
    assert berth.peer().request(POST, "/rd", ["ep=dev1", "lwm2m=1.1"], LINKS).code_text == "4.00"
    assert berth.device("dev1")["security"]["mode"] == "x509"


def test_UPD_12_another_identity_does_not_touch_a_registration(berth):
    add_psk(berth, "dev1")
    add_psk(berth, "dev2")
    device = register(berth, connect(berth), "dev1")
    before = berth.device("dev1")
    for other in (connect(berth, "dev2"), berth.peer()):
        assert other.request(POST, device.location, ["lt=60"]).code_text == "4.00"
        assert other.request(DELETE, device.location).code_text == "4.00"
    assert berth.device("dev1") == before
    assert device.update().code_text == "2.04"


def test_UPD_11_SEC_18_an_update_in_a_new_session_moves_the_registration(berth):
    add_psk(berth, "dev1")
    register_peer = connect(berth)
    device = register(berth, register_peer)
    newer = connect(berth)
    assert newer.request(POST, device.location).code_text == "2.04"
    assert berth.device("dev1")["address"] == newer.address
    assert read_from(berth, newer) == 95


def test_a_deregister_in_a_new_session_is_its_devices_also_where_addresses_must_be_the_same(secure):
    berth = secure("--deregister-same-address")
    add_psk(berth, "dev1")
    device = register(berth, connect(berth))
    assert connect(berth).request(DELETE, device.location).code_text == "2.02"
    assert berth.get("/v1/devices")["items"] == []


def test_SEC_06_SEC_21_SEC_23_an_unknown_identity_is_refused_and_told(berth):
    with pytest.raises(HandshakeFailed):
        connect(berth, "stranger")
    event = berth.await_event("dtls_failed")
    assert (event["reason"], event["identity"], event["alert_sent"]) == ("unknown_identity", "stranger", 115)


def test_SEC_07_a_wrong_key_never_makes_a_session(berth):
    add_psk(berth, "dev1")
    with pytest.raises(HandshakeFailed):
        connect(berth, key=b"wrong", timeout_ms=400)
    berth.leap("61s")
    event = berth.await_event("dtls_failed")
    assert (event["endpoint"], event["identity"]) == ("dev1", "dev1")


def test_events_tell_of_handshakes(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"\xaa\xbb")
    event = berth.await_event("dtls_handshake", endpoint="dev1")
    assert (event["security"], event["identity"], event["address"]) == ("psk", "dev1", peer.address)
    assert event["cipher_suite"] == "TLS_" + peer.suite.removeprefix("TLS-").replace("-", "_")
    assert (event["cid"], event["cid_draft"]) == (peer.server_cid, False)
    assert 0 < event["bytes_in"] < 2000 and 0 < event["bytes_out"] < 2000


def test_metrics_count_sessions_and_handshakes(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    register(berth, peer)
    peer.rebind()
    peer.ping()
    for name, expected in (("sessions", 1), ("handshakes_total", 1), ("moves_total", 1), ("resumable_sessions", 1)):
        assert berth.get_metric(f"berth_dtls_{name}") == expected
    assert berth.get_metric("berth_credentials") == 1


# ---- certificates ----


@pytest.fixture
def pki(berth, tmp_path):
    """pki("dev1") -> the path, without its suffix, of a certificate that the server's own authority has signed."""
    def make(name, *options, authority=("--data", str(berth.data))):
        path = tmp_path / name
        run_pki("device", "--endpoint", name, "--out", str(path), *authority, *options, cwd=tmp_path)
        return path

    return make


@pytest.fixture
def self_signed(tmp_path):
    def make(name):
        path = tmp_path / name
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        files = ("-keyout", f"{path}.key", "-out", f"{path}.pem")
        extensions = ("-addext", "keyUsage=digitalSignature", "-addext", "basicConstraints=critical,CA:FALSE")
        openssl("req", "-x509", *curve, *files, "-subj", f"/CN={name}", *extensions, cwd=tmp_path)
        openssl("x509", "-in", f"{path}.pem", "-outform", "DER", "-out", f"{path}.der", cwd=tmp_path)
        return path

    return make


def fingerprint(path):
    return hashlib.sha256(path.with_suffix(".der").read_bytes()).hexdigest()


def test_SEC_13_SEC_14_a_certificate_of_the_authority_is_the_endpoint_of_its_name(berth, pki):
    peer = connect_certificate(berth, pki("urn:imei:1"), cid=b"")
    register(berth, peer, "urn:imei:1")
    security = berth.device("urn:imei:1")["security"]
    assert (security["mode"], security["identity"]) == ("x509", "urn:imei:1")
    assert "ECDHE_ECDSA" in security["cipher_suite"]
    register(berth, connect_certificate(berth, pki("dev2")), None)
    register(berth, connect_certificate(berth, pki("dev3")), "dev4", "4.00")
    assert {d["endpoint"] for d in berth.get("/v1/devices")["items"]} == {"urn:imei:1", "dev2"}


def test_SEC_02_the_vendors_suite(berth, pki):
    peer = connect_certificate(berth, pki("dev1"), suite="TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8", cid=b"")
    register(berth, peer)
    assert read_from(berth, peer) == 95


def test_SEC_13_SEC_21_a_certificate_of_nobody_is_refused(berth, self_signed):
    with pytest.raises(HandshakeFailed):
        connect_certificate(berth, self_signed("dev1"))
    event = berth.await_event("dtls_failed")
    assert (event["reason"], event["alert_sent"]) == ("certificate_refused", 48)


def test_SEC_13_no_certificate_is_refused(berth):
    with pytest.raises(HandshakeFailed):
        connect_certificate(berth, None, suite="TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8")
    assert berth.await_event("dtls_failed")["reason"] == "no_certificate"


def test_SEC_13_SEC_21_an_expired_certificate_is_refused_unless_dates_are_ignored(berth, secure, pki):
    old = pki("dev1", "--not-before", "2001-01-01", "--not-after", "2002-01-01")
    with pytest.raises(HandshakeFailed):
        connect_certificate(berth, old)
    assert berth.await_event("dtls_failed")["alert_sent"] == 45
    berth.options = ("--ignore-certificate-dates",)
    berth.restart()
    register(berth, connect_certificate(berth, old))


def test_SEC_13_a_pinned_certificate_is_good_whoever_signed_it(berth, self_signed):
    path = self_signed("whoever")
    body = {"mode": "x509", "fingerprint_sha256": fingerprint(path)}
    assert berth.http("PUT", "/v1/credentials/dev1", body).status == 201
    device = register(berth, connect_certificate(berth, path))
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    with pytest.raises(HandshakeFailed):
        connect_certificate(berth, path)
    with pytest.raises(HandshakeFailed):
        device.peer.resume()


def test_SEC_13_an_endpoint_with_a_pinned_certificate_takes_no_other(berth, pki):
    good, other = pki("dev1"), None
    assert berth.http("PUT", "/v1/credentials/dev1", {"mode": "x509", "fingerprint_sha256": fingerprint(good)}).status == 201
    (good.parent / "dev1.kept").mkdir()
    kept = good.parent / "dev1.kept" / "dev1"
    for suffix in (".pem", ".key"):
        (good.parent / f"dev1{suffix}").rename(f"{kept}{suffix}")
    other = pki("dev1")
    register(berth, connect_certificate(berth, other), "dev1", "4.03")
    register(berth, connect_certificate(berth, kept), "dev1")


def test_SEC_14_a_subject_is_mapped_to_an_endpoint(berth, pki):
    assert berth.http("PUT", "/v1/credentials/dev1", {"mode": "x509", "subject": "CN=factory-7"}).status == 201
    register(berth, connect_certificate(berth, pki("factory-7")), "dev1")


def test_SEC_15_the_servers_certificate_has_the_host(secure, tmp_path):
    berth = secure("--hostname", "server.example.com", "--psk", "dev1:aa")
    run_pki("device", "--endpoint", "dev1", "--data", str(berth.data), "--out", "dev1", cwd=tmp_path)
    connect_certificate(berth, tmp_path / "dev1", ca=berth.data / "ca.pem", name="server.example.com")
    with pytest.raises(HandshakeFailed):
        connect_certificate(berth, tmp_path / "dev1", ca=berth.data / "ca.pem", name="other.example.com")


def test_the_servers_own_certificates_stay_and_follow_the_host_name(secure):
    berth = secure("--hostname", "a.example.com")
    first = [(berth.data / name).read_bytes() for name in ("ca.pem", "server.pem", "ca.key")]
    berth.restart()
    assert [(berth.data / name).read_bytes() for name in ("ca.pem", "server.pem", "ca.key")] == first
    berth.options = ("--hostname", "b.example.com")
    berth.restart()
    assert (berth.data / "ca.pem").read_bytes() == first[0]
    assert (berth.data / "server.pem").read_bytes() != first[1]
    assert b"PRIVATE KEY" not in first[2]


# ---- credentials that go ----


def test_removing_a_credential_drops_its_sessions(berth):
    add_psk(berth, "dev1")
    peer = connect(berth)
    device = register(berth, peer)
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    peer.send(peer.message(POST, device.location))
    fence = berth.peer()
    fence.ping()
    assert peer.receive(0.3) is None
    assert berth.device("dev1")["address"] == peer.address  # the registration stays until it expires
    assert berth.device("dev1")["security"] == {"mode": "psk", "identity": "dev1"}
    assert berth.get("/v1/devices/dev1/traffic")["session"] is None
    with pytest.raises(HandshakeFailed):
        peer.resume()


def test_SEC_25_a_session_outlives_the_replacement_of_its_credential(berth):
    add_psk(berth, "dev1")
    peer = connect(berth)
    device = register(berth, peer)
    add_psk(berth, "dev1", key=b"another key")
    assert device.update().code_text == "2.04"
    with pytest.raises(HandshakeFailed):
        connect(berth, timeout_ms=400)
    register(berth, connect(berth, key=b"another key"))


def test_SEC_25_unless_replaced_credentials_close_sessions(secure):
    berth = secure("--close-replaced")
    add_psk(berth, "dev1")
    peer = connect(berth)
    device = register(berth, peer)
    add_psk(berth, "dev1", key=b"another key")
    peer.send(peer.message(POST, device.location))
    berth.peer().ping()
    assert peer.receive(0.3) is None


# ---- sessions that follow the device ----


def test_CID_08_a_device_goes_on_from_another_port(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    device = register(berth, peer)
    before = peer.address
    peer.rebind()
    assert device.update().code_text == "2.04"
    event = berth.await_event("address_changed", endpoint="dev1")
    assert (event["previous"], event["address"]) == (before, peer.address)
    assert berth.device("dev1")["address"] == peer.address
    assert read_from(berth, peer) == 95
    assert [e["type"] for e in berth.events_after(types="dtls_handshake")] == ["dtls_handshake"]


def test_CID_06_sessions_with_cbc_have_connection_ids_too(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"ab", suite="TLS-PSK-WITH-AES-128-CBC-SHA256")
    device = register(berth, peer)
    assert berth.device("dev1")["security"]["cid"] == peer.server_cid
    peer.rebind()
    assert device.update().code_text == "2.04"
    assert berth.device("dev1")["address"] == peer.address
    assert read_from(berth, peer) == 95


def test_CID_08_any_message_moves_the_registration(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"1234")
    register(berth, peer)
    peer.rebind()
    peer.ping()
    assert berth.device("dev1")["address"] == peer.address
    assert read_from(berth, peer) == 95


def test_SEC_11_a_new_session_from_the_same_address_takes_over(berth):
    add_psk(berth, "dev1")
    peer = connect(berth)
    register(berth, peer)
    peer.handshake()
    peer.ping()
    assert read_from(berth, peer) == 95


def test_SEC_19_a_session_that_the_device_closed_leaves_its_registration(berth):
    add_psk(berth, "dev1")
    peer = connect(berth)
    device = register(berth, peer)
    peer.hang_up()
    asked = Asked(berth, "GET", "/v1/devices/dev1/3/0/9")
    while berth.waiting() == 0:
        pass
    for _ in range(6):
        berth.leap("60s")
    assert asked.answer().status == 504
    peer.handshake()
    assert device.update().code_text in ("2.04", "4.04")


def test_SEC_17_a_session_is_resumed_with_its_identity(berth):
    add_psk(berth, "dev1")
    peer = connect(berth)
    device = register(berth, peer)
    peer.resume()
    assert peer.is_resumed
    event = berth.await_event("dtls_resumed", endpoint="dev1")
    assert event["identity"] == "dev1"
    assert device.update().code_text == "2.04"
    assert berth.device("dev1")["security"]["resumed"] is True


def test_traffic_is_counted_by_kind(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"", suite="TLS-PSK-WITH-AES-128-CCM-8")
    device = register(berth, peer)
    before = berth.get("/v1/devices/dev1/traffic")
    assert before["transport"] == "dtls"
    assert 100 < before["session"]["handshake"]["bytes_in"] < 500
    assert device.update().code_text == "2.04"
    after = berth.get("/v1/devices/dev1/traffic")["session"]
    messages_in = after["messages"]["bytes_in"] - before["session"]["messages"]["bytes_in"]
    records_in = after["records"]["bytes_in"] - before["session"]["records"]["bytes_in"]
    assert 10 < messages_in < 40 and messages_in + 20 < records_in < messages_in + 60
    assert after["overhead"]["bytes_in"] == after["records"]["bytes_in"] - after["messages"]["bytes_in"]
    plain = berth.register("dev2")
    assert plain.update().code_text == "2.04"
    other = berth.get("/v1/devices/dev2/traffic")
    assert (other["endpoint"], other["transport"], other["session"]) == ("dev2", "udp", None)
    assert berth.http("GET", "/v1/devices/nobody/traffic").problem == "not-registered"


def test_CID_14_a_resumed_session_has_another_cid(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    first = peer.server_cid
    register(berth, peer)
    assert peer.resume().is_resumed
    assert peer.server_cid not in (None, first)


def test_CID_18_without_a_cid_records_from_another_port_are_dropped(berth):
    add_psk(berth, "dev1")
    peer = connect(berth)
    device = register(berth, peer)
    before = peer.address
    peer.rebind()
    peer.send(peer.message(POST, device.location))
    berth.peer().ping()
    assert peer.receive(0.3) is None
    assert berth.device("dev1")["address"] == before
    peer.handshake()
    assert device.update().code_text == "2.04"


@pytest.mark.parametrize("other", ["another device", "another session of the same", "no security"])
def test_SEC_24_an_answer_counts_from_where_the_request_went_only(berth, other):
    add_psk(berth, "dev1")
    add_psk(berth, "dev2")
    peer = connect(berth)
    register(berth, peer)
    liar = berth.peer() if other == "no security" else connect(berth, "dev2" if other == "another device" else "dev1")
    asked = Asked(berth, "GET", "/v1/devices/dev1/3/0/9")
    request = peer.receive(10)
    answer = Coap(ACK, code("2.05"), request.mid, request.token, [(CONTENT_FORMAT, uint(0))], b"66")
    liar.send(answer)
    liar.ping()
    assert asked.response is None
    peer.send(Coap(ACK, code("2.05"), request.mid, request.token, [(CONTENT_FORMAT, uint(0))], b"95"))
    assert asked.answer(200).json["value"] == 95


def test_a_new_session_may_send_before_it_updates(berth):
    add_psk(berth, "dev1")
    add_psk(berth, "dev2")
    register(berth, connect(berth))
    body = b'[{"n":"/3/0/9","v":42}]'
    assert connect(berth).request(POST, "/dp", None, body, [(CONTENT_FORMAT, uint(110))]).code_text == "2.04"
    assert berth.await_event("send")["value"] == 42
    assert connect(berth, "dev2").request(POST, "/dp", None, body, [(CONTENT_FORMAT, uint(110))]).code_text == "4.04"


# ---- sessions that survive ----


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_CID_15_after_a_restart_a_device_just_goes_on(berth, end):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    device = register(berth, peer)
    for _ in range(3):
        assert device.update().code_text == "2.04"
    getattr(berth, end)()
    berth.start()
    assert berth.device("dev1")["security"]["cid"] == peer.server_cid
    assert device.update().code_text == "2.04"
    assert read_from(berth, peer) == 95
    peer.rebind()
    assert device.update().code_text == "2.04"
    assert berth.device("dev1")["address"] == peer.address
    assert berth.events_after(types="dtls_handshake,dtls_failed") == []


def test_CID_15_the_server_can_ask_first_after_a_restart(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    register(berth, peer)
    berth.kill()
    berth.start()
    assert read_from(berth, peer) == 95


def test_CID_15_without_a_cid_too(berth):
    add_psk(berth, "dev1")
    peer = connect(berth)
    device = register(berth, peer)
    berth.kill()
    berth.start()
    assert device.update().code_text == "2.04"
    assert read_from(berth, peer) == 95


def test_CID_15_a_session_stays_where_listeners_come_and_go(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    device = register(berth, peer)
    berth.stop()
    berth.listen = berth.listen[::-1]
    berth.start()
    assert device.update().code_text == "2.04"
    both = berth.listen
    berth.stop()
    berth.listen = both[1:]  # without DTLS for a while
    berth.start()
    assert berth.device("dev1")["security"] == {"mode": "psk", "identity": "dev1"}
    berth.stop()
    berth.listen = both
    berth.start()
    assert device.update().code_text == "2.04"
    assert read_from(berth, peer) == 95


def test_CID_15_many_crashes_one_session(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    device = register(berth, peer)
    for turn in range(6):
        berth.kill()
        berth.start()
        assert device.update([f"lt={300 + turn}"]).code_text == "2.04"
    assert berth.device("dev1")["lifetime_s"] == 305
    assert berth.events_after(types="dtls_handshake,dtls_failed,dtls_resumed") == []


def test_SEC_17_a_session_is_resumed_after_kill_9(berth):
    add_psk(berth, "dev1")
    peer = connect(berth)
    device = register(berth, peer)
    berth.kill()
    berth.start()
    assert peer.resume().is_resumed
    assert device.update().code_text == "2.04"


@pytest.mark.parametrize("restart", [False, True])
def test_SEC_17_after_a_day_a_session_cannot_be_resumed(berth, restart):
    add_psk(berth, "dev1")
    peer = connect(berth)
    register(berth, peer)
    berth.leap("23h")
    assert peer.resume().is_resumed
    berth.leap("25h")
    if restart:
        berth.restart()
    assert not peer.resume().is_resumed


def test_a_session_of_a_removed_credential_does_not_come_back(berth):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    device = register(berth, peer)
    assert berth.http("DELETE", "/v1/credentials/dev1").status == 204
    berth.kill()
    berth.start()
    peer.send(peer.message(POST, device.location))
    berth.peer().ping()
    assert peer.receive(0.3) is None
    assert berth.device("dev1")["security"] == {"mode": "psk", "identity": "dev1"}


@pytest.mark.parametrize("deleted", [True, False])
def test_sessions_come_back_after_a_start_without_coaps_unless_their_credential_was_deleted(
    berth, start_berth, deleted
):
    add_psk(berth, "dev1")
    peer = connect(berth, cid=b"")
    device = register(berth, peer)
    berth.stop()
    without = start_berth(data=berth.data.name, listen=("coap://127.0.0.1:0",))
    if deleted:
        assert without.http("DELETE", "/v1/credentials/dev1").status == 204
    add_psk(without, "dev1")  # what is put is another credential, or takes the place of the old one
    without.stop()
    berth.start()
    peer.send(peer.message(POST, device.location))
    berth.peer().ping()
    answer = peer.receive(0.3 if deleted else 5)
    assert (answer and answer.code_text) == (None if deleted else "2.04")
    assert peer.resume().is_resumed is not deleted


def test_REG_44_a_registration_survives_a_session_that_does_not(berth):
    """CBC sessions are not kept; the device makes a new one and goes on with its registration."""
    add_psk(berth, "dev1")
    peer = connect(berth, suite="TLS-PSK-WITH-AES-128-CBC-SHA256")
    device = register(berth, peer)
    berth.kill()
    berth.start()
    assert berth.device("dev1")["security"] == {"mode": "psk", "identity": "dev1"}
    peer.handshake()
    assert device.update().code_text == "2.04"
    assert read_from(berth, peer) == 95


def test_no_session_key_lies_open_in_the_database(berth, tmp_path):
    log = tmp_path / "keys.log"
    berth.options = ("--tls-key-log", str(log))
    berth.restart()
    add_psk(berth, "dev1")
    register(berth, connect(berth, cid=b""))
    berth.stop()
    secrets = [bytes.fromhex(line.split()[2]) for line in log.read_text().splitlines()]
    content = b"".join(path.read_bytes() for path in berth.data.iterdir())
    assert secrets and all(secret not in content for secret in secrets)


def test_SEC_29_a_key_log_for_wireshark(secure, tmp_path):
    log = tmp_path / "keys.log"
    berth = secure("--tls-key-log", str(log), "--psk", "dev1:" + KEY.hex())
    connect(berth)
    label, random, secret = log.read_text().splitlines()[0].split(" ")
    assert label == "CLIENT_RANDOM" and len(random) == 64 and len(secret) == 96
    assert log.stat().st_mode & 0o777 == 0o600


def test_options_of_dtls_that_make_no_sense(start_berth):
    for option in (("--cert", "/nowhere.pem", "--key", "/nowhere.key"), ("--ca", "/nowhere.pem")):
        with pytest.raises(AssertionError, match="nowhere"):
            start_berth(*option, listen=COAPS)
