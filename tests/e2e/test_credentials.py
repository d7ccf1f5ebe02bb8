"""/v1/credentials: what is put, shown, refused and kept; and who may register without security."""

import json
import stat

import pytest
from berth_process import segment
from coapraw import CONTENT_FORMAT, LINK_FORMAT, POST, uint
from played_device import Asked

PSK = {"mode": "psk", "identity": "dev1", "key_hex": "00112233445566778899aabbccddeeff"}


def put(berth, endpoint, body, expected=201):
    answer = berth.http("PUT", f"/v1/credentials/{segment(endpoint)}", body)
    assert answer.status == expected, answer.body
    return answer


def get(berth, endpoint, **query):
    return berth.get(f"/v1/credentials/{segment(endpoint)}", **query)["items"]


def delete(berth, endpoint, expected=204, **query):
    answer = berth.http("DELETE", f"/v1/credentials/{segment(endpoint)}", **query)
    assert answer.status == expected, answer.body
    return answer


def try_register(berth, endpoint, peer=None):
    peer = peer or berth.peer()
    query = ["lt=300", "lwm2m=1.1", "b=U"] + ([] if endpoint is None else [f"ep={endpoint}"])
    return peer.request(POST, "/rd", query, b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])


# ---- the API ----


def test_a_key_never_comes_back(berth):
    put(berth, "dev1", PSK)
    shown = {"endpoint": "dev1", "mode": "psk", "service": "both", "source": "stored", "identity": "dev1", "key": "set"}
    assert get(berth, "dev1") == [shown]
    assert berth.get("/v1/credentials") == {"items": [shown], "next": None}
    assert PSK["key_hex"] not in berth.log()


def test_putting_again_replaces(berth):
    put(berth, "dev1", PSK)
    put(berth, "dev1", {**PSK, "identity": "other"}, 204)
    assert [c["identity"] for c in get(berth, "dev1")] == ["other"]


def test_the_identity_is_the_endpoint_unless_it_is_said(berth):
    put(berth, "urn:imei:1/2", {"mode": "psk", "key_hex": "aa"})
    assert get(berth, "urn:imei:1/2")[0]["identity"] == "urn:imei:1/2"


def test_SEC_04_an_identity_of_any_128_bytes_and_a_key_of_64_are_taken(berth):
    identity = bytes(range(128)).hex()
    put(berth, "dev1", {"mode": "psk", "identity_hex": identity, "key_hex": "ab" * 64})
    assert get(berth, "dev1")[0]["identity_hex"] == identity
    put(berth, "dev2", {"mode": "psk", "identity_hex": "ff" * 129, "key_hex": "ab"}, 400)
    put(berth, "dev2", {"mode": "psk", "key_hex": "ab" * 65}, 400)


def test_every_mode_and_service(berth):
    put(berth, "dev1", {"mode": "none"})
    put(berth, "dev1", {**PSK, "service": "management"})
    put(berth, "dev1", {**PSK, "service": "bootstrap", "key_hex": "bb"})
    put(berth, "dev1", {"mode": "x509", "subject": "CN=factory-7", "fingerprint_sha256": "AB" * 32})
    put(
        berth,
        "dev1",
        {
            "mode": "oscore",
            "sender_id_hex": "",
            "recipient_id_hex": "01",
            "master_secret_hex": "0102030405060708090a0b0c0d0e0f10",
            "master_salt_hex": "9e7ca92223786340",
            "aead": "AES-CCM-16-64-128",
            "hkdf": "SHA-256",
            "id_context_hex": "37cbf3210017a2d3",
        },
    )
    items = {(c["mode"], c["service"]): c for c in get(berth, "dev1")}
    assert set(items) == {
        ("none", "both"),
        ("psk", "management"),
        ("psk", "bootstrap"),
        ("x509", "both"),
        ("oscore", "both"),
    }
    assert items["x509", "both"]["subject"] == "CN=factory-7"
    assert items["x509", "both"]["fingerprint_sha256"] == "ab" * 32
    oscore = items["oscore", "both"]
    assert (oscore["sender_id_hex"], oscore["recipient_id_hex"]) == ("", "01")
    assert (oscore["master_secret"], oscore["master_salt"]) == ("set", "set")
    assert [c["service"] for c in get(berth, "dev1", mode="psk", service="bootstrap")] == ["bootstrap"]
    berth.restart()
    assert {(c["mode"], c["service"]): c for c in get(berth, "dev1")} == items


def test_deleting_what_mode_and_service_name(berth):
    put(berth, "dev1", PSK)
    put(berth, "dev1", {"mode": "none"})
    delete(berth, "dev1", mode="psk", service="bootstrap")
    assert {(c["mode"], c["service"]) for c in get(berth, "dev1")} == {("none", "both"), ("psk", "management")}
    delete(berth, "dev1", mode="psk")
    assert [c["mode"] for c in get(berth, "dev1")] == ["none"]
    delete(berth, "dev1")
    assert delete(berth, "dev1", 404).problem == "not-found"
    assert berth.http("GET", "/v1/credentials/dev1").problem == "not-found"


def test_an_identity_belongs_to_one_endpoint_and_is_free_when_it_is_replaced(berth):
    put(berth, "dev1", PSK)
    assert put(berth, "dev2", PSK, 409).problem == "conflict"
    put(berth, "dev1", {**PSK, "identity": "new"}, 204)
    put(berth, "dev2", PSK)


def test_the_list_comes_in_pages(berth):
    names = [f"dev{i:02}" for i in range(25)]
    for name in names:
        put(berth, name, {"mode": "psk", "key_hex": "aa"})
    put(berth, "dev00", {"mode": "none"})
    seen, cursor = [], None
    while True:
        page = berth.get("/v1/credentials", limit=10, mode="psk", **({} if cursor is None else {"cursor": cursor}))
        seen += [c["endpoint"] for c in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(seen) == names


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "mode"),
        ({"mode": "rpk"}, "mode"),
        ({"mode": 1}, "mode"),
        ({"mode": "none", "service": "all"}, "service"),
        ({"mode": "none", "key_hex": "aa"}, "key_hex"),
        ({"mode": "psk"}, "key_hex"),
        ({"mode": "psk", "key_hex": ""}, "key_hex"),
        ({"mode": "psk", "key_hex": "abc"}, "key_hex"),
        ({"mode": "psk", "key_hex": "zz"}, "key_hex"),
        ({"mode": "psk", "key_hex": 12}, "key_hex"),
        ({"mode": "psk", "identity": "", "key_hex": "aa"}, "identity"),
        ({"mode": "psk", "identity": 5, "key_hex": "aa"}, "identity"),
        ({"mode": "psk", "identity": "x", "identity_hex": "aa", "key_hex": "aa"}, "not both"),
        ({"mode": "psk", "identity": "x" * 129, "key_hex": "aa"}, "identity"),
        ({"mode": "x509", "subject": "dev1"}, "CN="),
        ({"mode": "x509", "subject": "CN="}, "CN="),
        ({"mode": "x509", "subject": "CN=a,OU=b"}, "CN="),
        ({"mode": "x509", "fingerprint_sha256": "aa"}, "fingerprint_sha256"),
        ({"mode": "oscore", "recipient_id_hex": "01"}, "master_secret_hex"),
        ({"mode": "oscore", "recipient_id_hex": "01", "sender_id_hex": "01", "master_secret_hex": "aa"}, "differ"),
        ({"mode": "oscore", "recipient_id_hex": "0102030405060708", "master_secret_hex": "aa"}, "recipient_id_hex"),
        ({"mode": "oscore", "recipient_id_hex": "01", "master_secret_hex": "aa", "aead": "AES-GCM"}, "aead"),
        ({"mode": "oscore", "recipient_id_hex": "01", "master_secret_hex": "aa", "hkdf": "MD5"}, "hkdf"),
        ([], ""),
    ],
)
def test_a_wrong_body_is_refused_in_words(berth, body, says):
    answer = put(berth, "dev1", json.dumps(body), 400)
    assert answer.problem == "bad-body"
    assert says in answer.json["detail"]
    assert berth.get("/v1/credentials")["items"] == []


def test_a_name_that_no_endpoint_can_have_is_refused(berth):
    assert put(berth, "a\nb", {"mode": "none"}, 400).problem == "bad-request"
    assert put(berth, "x" * 253, {"mode": "none"}, 400).problem == "bad-request"


def test_a_wrong_filter_is_refused(berth):
    for call in ("/v1/credentials?mode=x", "/v1/credentials/dev1?service=x", "/v1/credentials?limit=0"):
        assert berth.http("GET", call).problem == "bad-parameter"


def test_two_changes_of_one_endpoint_at_once(berth):
    put(berth, "dev1", PSK)
    with berth.no_commit():
        first = Asked(berth, "PUT", "/v1/credentials/dev1", {**PSK, "identity": "new"})
        while berth.get_metric("berth_store_queue_writes") == 0:
            pass
        assert delete(berth, "dev1", 409).problem == "conflict"
        assert put(berth, "dev2", {**PSK, "identity": "new"}, 409).problem == "conflict"
        assert get(berth, "dev1")[0]["identity"] == "dev1"
    first.answer(204)
    assert get(berth, "dev1")[0]["identity"] == "new"


# ---- where they lie ----


def test_credentials_survive_kill_9(berth):
    put(berth, "dev1", PSK)
    berth.kill()
    berth.start()
    assert get(berth, "dev1")[0]["identity"] == "dev1"


@pytest.mark.not_with_postgresql("looks into the file of SQLite")
def test_no_key_lies_open_in_the_data_directory(berth):
    put(berth, "dev1", {"mode": "psk", "identity": "looked-for", "key_hex": b"secret-of-dev1".hex()})
    content = b"".join(path.read_bytes() for path in berth.data.iterdir() if path.is_file())
    assert b"dev1" in content
    assert b"secret-of-dev1" not in content and b"looked-for" not in content


def test_the_key_file_is_its_owners_alone_and_needed(berth, start_berth):
    path = berth.data / "berth.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and path.stat().st_size == 32
    put(berth, "dev1", PSK)
    berth.stop()
    key = path.read_bytes()
    for spoil, says in (
        (lambda: path.chmod(0o644), "chmod 600"),
        (lambda: path.write_bytes(key[:31]), "32 bytes"),
        (lambda: path.write_bytes(bytes(32)), "--key-file"),
        (lambda: path.unlink(), "missing"),
    ):
        spoil()
        with pytest.raises(AssertionError, match=says):
            berth.start()
        path.write_bytes(key)
        path.chmod(0o600)
    berth.start()
    assert get(berth, "dev1")[0]["identity"] == "dev1"


def test_the_key_file_may_lie_elsewhere(start_berth, tmp_path):
    berth = start_berth("--key-file", str(tmp_path / "elsewhere.key"))
    assert (tmp_path / "elsewhere.key").stat().st_size == 32
    assert not (berth.data / "berth.key").exists()


def test_a_key_given_as_an_option(start_berth):
    berth = start_berth("--psk", "urn:imei:123:0a0b")
    shown = get(berth, "urn:imei:123")[0]
    assert (shown["identity"], shown["source"]) == ("urn:imei:123", "option")
    berth.options = ()
    berth.restart()
    assert berth.get("/v1/credentials")["items"] == []


# ---- who may register without security ----


def rejected(berth, code):
    event = berth.await_event("rejected")
    assert event["coap_code"] == code
    return event


def test_SEC_22_an_endpoint_with_credentials_must_use_them(berth):
    put(berth, "dev1", PSK)
    assert try_register(berth, "dev1").code_text == "4.03"
    assert rejected(berth, "4.03")["endpoint"] == "dev1"
    assert try_register(berth, "dev2").code_text == "2.01"


def test_SEC_22_an_update_of_an_endpoint_that_got_credentials_is_refused(berth):
    device = berth.register("dev1")
    assert device.update().code_text == "2.04"  # what it was allowed to is not remembered for long
    put(berth, "dev1", PSK)
    assert device.update().code_text == "4.00"
    assert device.deregister().code_text == "4.00"
    assert berth.device("dev1")["lifetime_s"] == 300


def test_an_endpoint_with_a_credential_of_mode_none_may_do_without(berth):
    put(berth, "dev1", PSK)
    put(berth, "dev1", {"mode": "none", "service": "management"})
    assert try_register(berth, "dev1").code_text == "2.01"


def test_a_credential_for_bootstrap_alone_does_not_bind_registrations(berth):
    put(berth, "dev1", {**PSK, "service": "bootstrap"})
    assert try_register(berth, "dev1").code_text == "2.01"


def test_REG_17_only_known_endpoints_under_nosec_known(start_berth):
    berth = start_berth("--nosec", "known")
    assert try_register(berth, "dev1").code_text == "4.03"
    rejected(berth, "4.03")
    put(berth, "dev1", {"mode": "none"})
    assert try_register(berth, "dev1").code_text == "2.01"


def test_REG_17_nobody_under_nosec_off(start_berth):
    berth = start_berth("--nosec", "off")
    put(berth, "dev1", {"mode": "none"})
    assert try_register(berth, "dev1").code_text == "4.03"


def test_a_device_loses_its_registration_when_nosec_becomes_off(start_berth):
    berth = start_berth()
    device = berth.register("dev1")
    berth.options = ("--nosec", "off")
    berth.restart()
    assert device.update().code_text == "4.00"
