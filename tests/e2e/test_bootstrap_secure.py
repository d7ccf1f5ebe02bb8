"""Bootstrap over DTLS: fresh keys and certificates, with which the device then registers."""

import hashlib
import subprocess
import threading
import time

import pytest
from bootstrapped_device import BootstrapDevice
from coapraw import CONTENT_FORMAT, GET, LINK_FORMAT, POST, uint
from dtls_peer import DtlsPeer, HandshakeFailed
from lwm2mraw import SENML_CBOR
from oscore_peer import CREDENTIAL, OSCORE, OscorePeer, ProtectedPeer
from test_bootstrap import configure
from test_dtls import COAPS, KEY, LINKS, add_psk, coaps_port, connect, connect_certificate, connect_with, read_from, register
from test_pki import openssl
from test_pki import pki as run_pki

VERSIONS = {"1.0": [], "1.1": ["pct=11542"], "1.2": ["pct=112"]}


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=COAPS)


def account_over(peer, endpoint="dev1", *more):
    return BootstrapDevice(peer, endpoint).run(*more).account()


def files_of(account, tmp_path, name="given"):
    """The certificate and key of an account, as a DtlsPeer takes them."""
    for kind, number, command in (("pem", "3", ["x509"]), ("key", "5", ["pkey"])):
        der = tmp_path / f"{name}.{kind}.der"
        der.write_bytes(account[number])
        openssl(*command, "-inform", "DER", "-in", str(der), "-out", f"{name}.{kind}", cwd=tmp_path)
    return tmp_path / name


# ---- PSK ----


@pytest.mark.parametrize("version", VERSIONS)
def test_BSC_02_a_psk_device_gets_a_fresh_key_registers_and_is_read(berth, version):
    add_psk(berth, "dev1", identity="factory-dev1", service="bootstrap")
    account = account_over(connect(berth, "factory-dev1"), "dev1", *VERSIONS[version])
    assert account["0"] == f"coaps://127.0.0.1:{coaps_port(berth)}" and account["2"] == 0
    assert account["3"] == b"dev1" and len(account["5"]) == 16 and account["5"] != KEY
    assert account.get("4", b"") == b""
    peer = connect(berth, "dev1", account["5"])
    register(berth, peer)
    assert read_from(berth, peer) == 95


def test_BSC_02_each_bootstrap_makes_another_key_and_the_old_one_is_void(berth):
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    first = account_over(connect(berth, "factory"))["5"]
    second = account_over(connect(berth, "factory"))["5"]
    assert first != second
    register(berth, connect(berth, "dev1", second))
    with pytest.raises(HandshakeFailed):
        connect(berth, "dev1", first, timeout_ms=1500)


def test_an_identity_for_both_stays_good_for_bootstrap(berth):
    add_psk(berth, "dev1")
    account = account_over(connect(berth))
    assert account["3"].startswith(b"dev1.") and account["5"] != KEY
    register(berth, connect(berth, account["3"], account["5"]))
    again = account_over(connect(berth))
    register(berth, connect(berth, again["3"], again["5"]))


def test_what_option_psk_gave_and_what_bootstrap_made_live_side_by_side(start_berth):
    berth = start_berth("--psk", f"dev1:{KEY.hex()}", listen=COAPS, data="same")
    account = account_over(connect(berth))
    berth.restart()
    register(berth, connect(berth, account["3"], account["5"]))
    account_over(connect(berth))


def test_BS_05_SEC_05_leshan_the_endpoint_is_the_identitys(berth):
    add_psk(berth, "dev1", service="bootstrap")
    assert account_over(connect(berth), None)["10"] == 1
    berth.await_event("bootstrap_finished", "dev1")


def test_BS_06_SEC_05_another_ep_than_the_identitys_is_4_00(berth):
    add_psk(berth, "dev1", service="bootstrap")
    for path, method in (("/bs", POST), ("/bspack", GET)):
        assert connect(berth).request(method, path, ["ep=dev2"]).code_text == "4.00"


def test_an_identity_for_management_alone_is_not_bootstrapped(berth):
    add_psk(berth, "dev1", service="management")
    assert BootstrapDevice(connect(berth)).ask().code_text == "4.00"


def test_without_security_an_endpoint_with_credentials_for_bootstrap_is_refused(berth):
    add_psk(berth, "dev1", service="bootstrap")
    assert BootstrapDevice(berth.peer()).ask().code_text == "4.00"


def test_an_endpoint_that_must_be_secure_is_not_sent_to_register_without(berth):
    add_psk(berth, "dev1", service="management")
    refused = BootstrapDevice(berth.peer()).ask()
    assert refused.code_text == "4.00" and b"has credentials" in refused.payload


def test_leshan_a_wrong_key_never_starts_a_session(berth):
    add_psk(berth, "dev1", service="bootstrap")
    with pytest.raises(HandshakeFailed):
        connect(berth, key=bytes(16), timeout_ms=1500)
    assert berth.events_after(types="bootstrap_started") == []


def test_BS_28_credentials_of_a_service_are_good_on_its_listeners_only(start_berth):
    berth = start_berth(listen=("coap://127.0.0.1:0", "coaps://127.0.0.1:0?role=management", "coaps://127.0.0.1:0?role=bootstrap"))
    management, bootstrap = (int(uri.split("?")[0].rpartition(":")[2]) for uri in berth.listeners[1:])
    add_psk(berth, "dev1", identity="factory", service="bootstrap")

    def peer(port, identity, key):
        peer = DtlsPeer(port, psk=(identity, key), connect=False, timeout_ms=1500)
        berth.peers.append(peer)
        return peer.handshake()

    with pytest.raises(HandshakeFailed):
        peer(management, "factory", KEY)
    account = account_over(peer(bootstrap, "factory", KEY))
    assert account["0"] == f"coaps://127.0.0.1:{management}"
    register(berth, peer(management, "dev1", account["5"]))
    with pytest.raises(HandshakeFailed):
        peer(bootstrap, "dev1", account["5"])


# ---- keys over links that are not as strong ----


@pytest.mark.parametrize(
    "config",
    [
        {"servers": [{"security": {"mode": "psk"}}]},
        {"servers": [{"security": {"mode": "x509"}}]},
        {"servers": [{"security": {"mode": "oscore"}}]},
        {"servers": [{"uri": "coaps://h", "security": {"mode": "rpk", "public_key": "MAA=", "private_key": "MAA=", "server_public_key": "MAA="}}]},
        {"write": {"/21/5": {"resources": {"0": "AAAA"}}}},
    ],
)
def test_keys_are_given_over_secure_links_only(start_berth, config):
    berth = start_berth(listen=COAPS)
    configure(berth, **config)
    refused = BootstrapDevice(berth.peer()).ask()
    assert refused.code_text == "4.00" and b"keys" in refused.payload
    assert berth.peer().request(GET, "/bspack", ["ep=dev1"]).code_text == "4.00"
    insecure = start_berth("--bootstrap-insecure", listen=COAPS)
    configure(insecure, **config)
    BootstrapDevice(insecure.peer()).run()


def test_leshan_without_security_a_psk_for_the_server_is_given_when_it_is_allowed(start_berth):
    berth = start_berth("--bootstrap-insecure", listen=COAPS)
    configure(berth, servers=[{"security": {"mode": "psk", "identity": "me-{endpoint}", "key_hex": KEY.hex()}}])
    account = account_over(berth.peer())
    assert (account["3"], account["5"]) == (b"me-dev1", KEY)
    register(berth, connect(berth, "me-dev1"))


def test_BSC_03_leshan_without_security_a_raw_public_key_is_given_when_it_is_allowed(start_berth):
    berth = start_berth("--bootstrap-insecure")
    mode = {"mode": "rpk", "public_key": "MAE=", "private_key": "MAI=", "server_public_key": "MAM="}
    configure(berth, servers=[{"uri": "coaps://other:5684", "security": mode}])
    account = account_over(berth.peer())
    assert (account["2"], account["3"], account["4"], account["5"]) == (1, b"0\1", b"0\3", b"0\2")


# ---- certificates ----


@pytest.fixture
def factory(berth, tmp_path):
    """A certificate of the server's own authority for dev1."""
    run_pki("device", "--data", str(berth.data), "--endpoint", "dev1", "--out", "factory", cwd=tmp_path)
    return tmp_path / "factory"


@pytest.mark.parametrize("version", VERSIONS)
def test_BSC_04_a_device_with_a_certificate_gets_another_registers_and_is_read(berth, factory, tmp_path, version):
    account = account_over(connect_certificate(berth, factory), "dev1", *VERSIONS[version])
    assert account["2"] == 2 and account["0"] == f"coaps://127.0.0.1:{coaps_port(berth)}"
    server = subprocess.run(
        ["openssl", "x509", "-in", berth.data / "server.pem", "-outform", "DER"], capture_output=True, check=True
    ).stdout
    assert account["4"] == server
    (tmp_path / "key.der").write_bytes(account["5"])
    assert "PRIVATE KEY" in openssl("pkey", "-inform", "DER", "-in", "key.der", cwd=tmp_path)
    given = files_of(account, tmp_path)
    assert "CN = dev1" in openssl("x509", "-in", f"{given}.pem", "-noout", "-subject", cwd=tmp_path).replace("CN=", "CN = ")
    peer = connect_certificate(berth, given)
    register(berth, peer)
    assert read_from(berth, peer) == 95
    (credential,) = berth.get("/v1/credentials/dev1")["items"]
    assert credential["service"] == "management"
    assert credential["fingerprint_sha256"] == hashlib.sha256(account["3"]).hexdigest()


def test_BS_05_leshan_a_certificate_names_the_endpoint(berth, factory):
    account_over(connect_certificate(berth, factory), None)
    berth.await_event("bootstrap_finished", "dev1")


def test_BSC_10_the_authority_is_given_where_the_usage_asks_for_it(berth, factory):
    configure(berth, servers=[{"security": {"mode": "x509", "certificate_usage": 2, "sni": "{endpoint}.example"}}])
    account = account_over(connect_certificate(berth, factory))
    authority = subprocess.run(
        ["openssl", "x509", "-in", berth.data / "ca.pem", "-outform", "DER"], capture_output=True, check=True
    ).stdout
    assert (account["4"], account["15"], account["14"]) == (authority, 2, "dev1.example")


def test_the_factory_certificate_stays_good_for_bootstrap(berth, factory):
    for _ in range(3):
        account_over(connect_certificate(berth, factory))
    refused = BootstrapDevice(connect_certificate(berth, factory)).peer
    assert register(berth, refused, expected="4.03").code_text == "4.03"


# ---- OSCORE ----


def test_BSC_07_OSCORE_is_written_as_the_device_sees_it(berth):
    add_psk(berth, "dev1", service="bootstrap")
    configure(
        berth,
        servers=[
            {
                "uri": "coap://h",
                "security": {
                    "mode": "oscore",
                    "master_secret_hex": "aabb",
                    "sender_id_hex": "01",
                    "recipient_id_hex": "0203",
                    "master_salt_hex": "cc",
                    "id_context_hex": "dd",
                },
            }
        ],
    )
    played = BootstrapDevice(connect(berth), links=b"</0/0>,</21/0>").run()
    assert "PUT /21/1" in played.names and played.account()["17"] == "21:1" and played.account()["2"] == 3
    given = {path: value for path, value in played.given.items() if path.startswith("/21/")}
    assert given == {
        "/21/1/0": b"\xaa\xbb",
        "/21/1/1": b"\x02\x03",
        "/21/1/2": b"\x01",
        "/21/1/3": 10,
        "/21/1/5": b"\xcc",
        "/21/1/6": b"\xdd",
    }
    assert berth.http("GET", "/v1/credentials/dev1?mode=oscore").status == 404  # another server's


def test_BSC_07_OSCORE_over_DTLS_with_everything_made(berth):
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    configure(berth, servers=[{"security": {"mode": "psk"}, "oscore": {}}])
    played = BootstrapDevice(connect(berth, "factory")).run("pct=112")
    account, given = played.account(), played.given
    assert account["2"] == 0 and account["17"] == "21:0"
    stored = {c["mode"]: c for c in berth.get("/v1/credentials/dev1", service="management")["items"]}
    assert stored["oscore"]["recipient_id_hex"] == given["/21/0/1"].hex()
    assert stored["oscore"]["sender_id_hex"] == given["/21/0/2"].hex()
    assert stored["psk"]["identity"] == "dev1"


def test_OSC_10_OSC_15_bootstrap_itself_over_OSCORE(berth):
    """Challenged with its first request, and every command of the server's is protected."""
    factory = {**CREDENTIAL, "service": "bootstrap"}
    assert berth.http("PUT", "/v1/credentials/dev1", factory).status == 201
    configure(berth, servers=[{"uri": "coaps://other:5684", "security": {"mode": "psk", "identity": "i", "key_hex": "aa" * 16}}])
    device = OscorePeer(berth.coap_port)
    played = BootstrapDevice(ProtectedPeer(device)).run("pct=112")
    assert played.account()["5"] == b"\xaa" * 16
    assert played.names[-1] == "POST /bs"
    assert all(message.one(OSCORE) is not None and b"other" not in message.encode() for message in device.wire)
    refused = BootstrapDevice(berth.peer()).ask()
    assert refused.code_text == "4.00"  # without OSCORE it is nobody who is known
    device.close()


@pytest.mark.parametrize("pct", [(), ("pct=112",)], ids=["TLV", "SenML CBOR"])
@pytest.mark.parametrize("salt", [{}, {"master_salt_hex": "9e7ca92223786340", "id_context_hex": "37cbf321"}])
def test_OSC_01_BSC_07_what_bootstrap_gives_is_registered_with(berth, pct, salt):
    """From the factory key over object 21 to a registration, an operation and a derived context."""
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    security = {"mode": "oscore", **({"master_secret_hex": "ab" * 16, "sender_id_hex": "02", "recipient_id_hex": "01", **salt} if salt else {})}
    configure(berth, servers=[{"security": security}])
    played = BootstrapDevice(connect(berth, "factory"), links=b"</0/0>,</21/0>").run(*pct)
    path = "/" + played.account()["17"].replace(":", "/")
    secret, sender, recipient, aead = (played.given[f"{path}/{number}"] for number in range(4))
    assert aead == 10
    device = OscorePeer(berth.coap_port, secret, sender, recipient, played.given.get(f"{path}/5", b""),
                        played.given.get(f"{path}/6"))
    query = ["ep=dev1", "lt=300", "lwm2m=1.1", "b=U"]
    answer = device.request(POST, "rd", query, b"</1/0>,</3/0>", [(12, b"\x28")])
    assert answer.code_text == "2.01", f"{answer.code_text} {answer.payload!r}"
    assert berth.device("dev1")["security"]["mode"] == "oscore"
    assert device.rederive(POST, "rd", query, b"</1/0>,</3/0>", [(12, b"\x28")]).code_text == "2.01"
    refused = berth.peer().request(POST, "rd", query, b"</1/0>,</3/0>", [(12, b"\x28")])
    assert refused.code_text == "4.03"  # without OSCORE it is not that endpoint
    device.close()


def test_BSC_11_P12_11_any_resource_of_the_account_can_be_written(berth):
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    more = {"/0/1/11": 5, "/0/1/12": 60, "/0/1/16": {"values": {"0": 0xC0A8}}, "/0/1/25": {"values": {"0": "coaps://b"}}}
    configure(berth, servers=[{"security_instance": 1}], write=more)
    played = BootstrapDevice(connect(berth, "factory")).run()
    assert played.names == ["DELETE /0", "DELETE /1", "PUT /0/1", *(f"PUT {path}" for path in more), "PUT /1/0", "POST /bs"]
    given = played.given
    assert (given["/0/1/11"], given["/0/1/12"], given["/0/1/16/0"], given["/0/1/25/0"]) == (5, 60, 0xC0A8, "coaps://b")


# ---- packs ----


def test_BS_30_a_pack_has_the_fresh_key(berth):
    from bootstrapped_device import values_of

    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    answer = connect(berth, "factory").request(GET, "/bspack", ["ep=dev1"])
    values = values_of(SENML_CBOR, "/", answer.payload)
    register(berth, connect(berth, values["/0/1/3"], values["/0/1/5"]))


def test_BS_30_a_pack_has_the_fresh_certificate(berth, factory, tmp_path):
    from bootstrapped_device import values_of

    peer = connect_certificate(berth, factory)
    body, number = b"", 0
    while True:
        answer = peer.request(GET, "/bspack", ["ep=dev1"], options=[] if number == 0 else [(23, uint(number << 4 | 6))])
        body += answer.payload
        number += 1
        block2 = answer.number(23)
        if block2 is None or not block2 & 8:
            break
    values = values_of(SENML_CBOR, "/", body)
    account = {"3": values["/0/1/3"], "5": values["/0/1/5"]}
    register(berth, connect_certificate(berth, files_of(account, tmp_path)))


def test_a_bootstrap_account_can_be_renewed_by_bootstrap(berth):
    add_psk(berth, "dev1", identity="factory")
    configure(berth, servers=[{"short_id": 1}, {"bootstrap": True}])
    played = BootstrapDevice(connect(berth, "factory"), links=b"</0/4>").run()
    given = played.given
    assert given["/0/4/1"] is True and "/0/4/10" not in given
    assert given["/0/0/1"] is False
    register(berth, connect(berth, given["/0/0/3"], given["/0/0/5"]))
    BootstrapDevice(connect(berth, given["/0/4/3"], given["/0/4/5"]), links=b"</0/4>").run()
    with pytest.raises(HandshakeFailed):
        connect(berth, "factory", timeout_ms=1500)


# ---- a crowd ----


def test_a_hundred_factory_fresh_devices_at_once(start_berth):
    """All of them are registered soon; how soon on one core is measured with the release."""
    berth = start_berth(listen=COAPS)
    count = 100
    for number in range(count):
        add_psk(berth, f"dev{number}", identity=f"factory{number}", service="bootstrap")
    failures, durations = [], []
    barrier = threading.Barrier(count)

    def live(number):
        try:
            factory = DtlsPeer(coaps_port(berth), psk=(f"factory{number}", KEY), connect=False, timeout_ms=30000)
            barrier.wait(60)
            began = time.monotonic()
            account = account_over(factory.handshake(), f"dev{number}")
            peer = DtlsPeer(coaps_port(berth), psk=(account["3"], account["5"]), timeout_ms=30000)
            query = [f"ep=dev{number}", "lwm2m=1.1", "lt=300"]
            answer = peer.request(POST, "/rd", query, LINKS, [(CONTENT_FORMAT, uint(LINK_FORMAT))], timeout=30)
            durations.append(time.monotonic() - began)
            if answer.code_text != "2.01":
                failures.append((number, answer.code_text))
            factory.close()
            peer.close()
        except BaseException as error:
            failures.append((number, repr(error)))
            raise

    threads = [threading.Thread(target=live, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(110)
    assert failures == [] and len(durations) == count
    assert len(berth.events_after(types="registered")) == count
    assert max(durations) < 20


def test_a_key_that_was_made_is_nowhere_in_the_log_or_in_the_open(berth):
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    key = account_over(connect_with(berth, psk=("factory", KEY)))["5"]
    everything = b"".join(path.read_bytes() for path in berth.data.iterdir() if path.is_file()) + berth.log().encode()
    assert key not in everything and key.hex().encode() not in everything
    text = str(berth.events_after()) + str(berth.get("/v1/bootstrap/dev1/session"))
    assert key.hex() not in text
