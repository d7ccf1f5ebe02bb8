"""Credentials in the Device Management API: pre-shared keys, certificates, enrollments, keys of accounts."""

import re
import subprocess

import pytest
from bootstrapped_device import BootstrapDevice
from pelion_client import PelionClient
from test_dtls import COAPS, coaps_port, connect, connect_certificate, register
from test_pelion_api import DATE
from test_pki import openssl
from test_pki_developer import ARRAYS, NAMES

NAME = "meter-0123456789"
SECRET = "00112233445566778899aabbccddeeff"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One server for what leaves nothing that another test would find."""
    from berth_process import Berth

    berth = Berth(tmp_path_factory.mktemp("credentials") / "data", listen=COAPS).start()
    yield berth
    berth.close()


@pytest.fixture
def pelion(shared):
    return PelionClient(shared.http_port)


# ---- pre-shared keys ----


def test_a_shared_key_is_a_credential(start_berth):
    berth = start_berth(listen=COAPS, data="psk")
    pelion = PelionClient(berth.http_port)
    path = "/v2/device-shared-keys"
    body = {"endpoint_name": NAME, "secret_hex": "0x" + SECRET}
    assert pelion.call("POST", path, body) == (201, "")
    assert pelion.call("POST", path, body) == (409, "KEY_ALREADY_EXISTS_FOR_ENDPOINT")
    assert pelion.call("GET", f"{path}/{NAME}") == (200, {"endpoint_name": NAME})
    [credential] = berth.get(f"/v1/credentials/{NAME}")["items"]
    assert (credential["mode"], credential["identity"]) == ("psk", NAME)
    peer = connect(berth, NAME, bytes.fromhex(SECRET))
    register(berth, peer, endpoint=NAME)
    berth.stop()
    pelion = PelionClient(start_berth(listen=COAPS, data="psk").http_port)
    assert pelion.call("DELETE", f"{path}/{NAME}") == (204, "")
    assert pelion.call("DELETE", f"{path}/{NAME}") == (404, "KEY_NOT_FOUND")
    assert pelion.call("GET", f"{path}/{NAME}")[0] == 404


@pytest.mark.parametrize(
    "body, word",
    [
        ({"endpoint_name": "short", "secret_hex": SECRET}, "INVALID_ENDPOINT_NAME"),
        ({"endpoint_name": "x" * 65, "secret_hex": SECRET}, "INVALID_ENDPOINT_NAME"),
        ({"endpoint_name": NAME + "\n", "secret_hex": SECRET}, "INVALID_ENDPOINT_NAME"),
        ({"endpoint_name": 5, "secret_hex": SECRET}, "INVALID_ENDPOINT_NAME"),
        ({"endpoint_name": NAME, "secret_hex": SECRET[2:]}, "INVALID_SECRET_HEX"),
        ({"endpoint_name": NAME, "secret_hex": SECRET * 3}, "INVALID_SECRET_HEX"),
        ({"endpoint_name": NAME, "secret_hex": "x" * 32}, "INVALID_SECRET_HEX"),
        ({"endpoint_name": NAME}, "INVALID_SECRET_HEX"),
        ("[]", "MALFORMED_JSON_CONTENT"),
    ],
)
def test_what_is_wrong_with_a_shared_key_is_a_word(pelion, body, word):
    assert pelion.call("POST", "/v2/device-shared-keys", body) == (400, word)


def test_shared_keys_are_listed_by_pages(start_berth):
    pelion = PelionClient(start_berth().http_port)
    wanted = {f"{NAME}-{i}" for i in range(5)}
    for name in wanted:
        body = {"endpoint_name": name, "secret_hex": SECRET}
        assert pelion.call("POST", "/v2/device-shared-keys", body)[0] == 201
    found, marker = [], ""
    while marker is not None:
        query = f"limit=2&continuation_marker={marker}"
        page = pelion.call("GET", f"/v2/device-shared-keys?{query}")[1]
        found += [entry["endpoint_name"] for entry in page["data"]]
        assert page["has_more"] == (page["continuation_marker"] is not None)
        marker = page["continuation_marker"]
    assert sorted(found) == sorted(wanted)
    assert SECRET not in str(page)


# ---- developers' certificates ----


def developer(pelion: PelionClient, name: str = "mine") -> dict:
    status, made = pelion.call("POST", "/v3/developer-certificates", {"name": name})
    assert status == 201, made
    return made


def test_a_device_with_a_developers_certificate_is_bootstrapped(start_berth, tmp_path):
    berth = start_berth(listen=COAPS)
    pelion = PelionClient(berth.http_port)
    made = developer(pelion)
    server = pelion.call("GET", "/v3/server-credentials/bootstrap")[1]
    (tmp_path / "dev.pem").write_text(made["developer_certificate"])
    (tmp_path / "dev.key").write_text(made["developer_private_key"])
    (tmp_path / "ca.pem").write_text(server["server_certificate"])
    openssl("verify", "-CAfile", "ca.pem", "dev.pem", cwd=tmp_path)
    assert server["server_uri"].startswith(f"coaps://127.0.0.1:{coaps_port(berth)}?aid=")
    query = server["server_uri"].partition("?")[2]
    link = connect_certificate(berth, tmp_path / "dev", ca=tmp_path / "ca.pem", name="localhost")
    endpoint = re.search('BOOTSTRAP_ENDPOINT_NAME\\[\\] = "(.*)"', made["security_file_content"])[1]
    played = BootstrapDevice(link, endpoint=endpoint, szx=5)
    assert played.run(query, "mccv=4.13.2").names[:2] == ["DELETE /0", "PUT /0"]
    berth.await_event("bootstrap_finished", endpoint)
    query = f"endpoint_name__eq={endpoint}"
    [device] = pelion.call("GET", f"/v3/devices?{query}")[1]["data"]
    assert device["state"] == "bootstrapped"
    assert DATE.fullmatch(device["bootstrapped_timestamp"])


def test_the_source_of_a_developers_certificate_has_every_global(pelion, tmp_path):
    made = developer(pelion, "source")
    (tmp_path / "security.c").write_text(made["security_file_content"])
    for name in NAMES:
        assert f"const char MBED_CLOUD_DEV_{name}[]" in made["security_file_content"]
    for name in ARRAYS:
        assert f"const uint8_t MBED_CLOUD_DEV_{name}[]" in made["security_file_content"]
        assert f"const uint32_t MBED_CLOUD_DEV_{name}_SIZE" in made["security_file_content"]
    assert "const uint32_t MBED_CLOUD_DEV_MEMORY_TOTAL_KB" in made["security_file_content"]
    subprocess.run(["gcc", "-c", "-std=c99", "-Wall", "-Werror", "security.c"], cwd=tmp_path, check=True)


@pytest.mark.not_with_postgresql("looks into the file of SQLite")
def test_developers_certificates_are_kept_and_listed(start_berth):
    berth = start_berth(listen=COAPS, data="developer")
    pelion = PelionClient(berth.http_port)
    made = developer(pelion)
    key = made["developer_private_key"]
    assert made["object"] == "trusted-cert" and DATE.fullmatch(made["created_at"])
    assert pelion.call("POST", "/v3/developer-certificates", {"name": "mine"})[0] == 409
    berth.stop()
    assert key.splitlines()[1].encode() not in (berth.data / "berth.db").read_bytes()
    pelion = PelionClient(start_berth(listen=COAPS, data="developer").http_port)
    path = f"/v3/developer-certificates/{made['id']}"
    assert pelion.call("GET", path) == (200, made)
    status, page = pelion.call("GET", "/v3/trusted-certificates?device_execution_mode__eq=1")
    [listed] = page["data"]
    assert (listed["id"], listed["service"], listed["valid"]) == (made["id"], "bootstrap", True)
    assert "developer_private_key" not in listed
    assert pelion.call("DELETE", f"/v3/trusted-certificates/{made['id']}") == (204, "")
    assert pelion.call("GET", path)[0] == 404


def test_without_a_listener_for_it_there_is_no_developers_certificate(start_berth):
    pelion = PelionClient(start_berth().http_port)
    status, error = pelion.call("POST", "/v3/developer-certificates", {"name": "x"})
    assert (status, error["object"]) == (409, "error")
    assert pelion.call("GET", "/v3/server-credentials/lwm2m")[0] == 404
    assert pelion.call("GET", "/v3/server-credentials")[1]["lwm2m"] is None


def test_server_credentials(shared, pelion):
    status, both = pelion.call("GET", "/v3/server-credentials")
    one = pelion.call("GET", "/v3/server-credentials/lwm2m")[1]
    assert one["server_uri"] == f"coaps://127.0.0.1:{coaps_port(shared)}"
    assert both["lwm2m"] == {"url": one["server_uri"], "certificate": one["server_certificate"]}
    assert both["bootstrap"]["url"].startswith(one["server_uri"] + "?aid=")
    assert DATE.fullmatch(one["etag"])


# ---- trusted certificates ----


def test_a_trusted_certificate_signs_devices_from_the_next_start_on(start_berth, tmp_path):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key", cwd=tmp_path)
    openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=Factory", "-days", "10", "-out", "ca.pem", cwd=tmp_path)
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "dev.key", cwd=tmp_path)
    openssl("req", "-new", "-key", "dev.key", "-subj", "/CN=factory-1", "-out", "dev.csr", cwd=tmp_path)
    openssl("x509", "-req", "-in", "dev.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "5", "-out", "dev.pem", cwd=tmp_path)  # fmt: skip
    berth = start_berth(listen=COAPS, data="trust")
    pelion = PelionClient(berth.http_port)
    body = {"name": "Factory", "certificate": (tmp_path / "ca.pem").read_text(), "service": "lwm2m"}
    status, made = pelion.call("POST", "/v3/trusted-certificates", body)
    assert (status, made["subject"], made["issuer"]) == (201, "CN=Factory", "CN=Factory")
    printed = openssl("x509", "-in", "ca.pem", "-noout", "-fingerprint", "-sha256", cwd=tmp_path)
    fingerprint = printed.strip().rpartition("=")[2].replace(":", "").lower()
    assert made["certificate_fingerprint"] == fingerprint
    assert DATE.fullmatch(made["validity"]) and made["valid"] is True
    assert pelion.call("POST", "/v3/trusted-certificates", body)[0] == 409
    berth.stop()
    berth = start_berth(listen=COAPS, data="trust")
    pelion = PelionClient(berth.http_port)
    peer = connect_certificate(berth, tmp_path / "dev", ca=berth.data / "ca.pem", name="localhost")
    register(berth, peer, endpoint="factory-1")
    path = f"/v3/trusted-certificates/{made['id']}"
    status, changed = pelion.call("PUT", path, {"status": "INACTIVE", "name": "Old"})
    assert (status, changed["status"], changed["name"]) == (200, "INACTIVE", "Old")
    assert pelion.call("GET", path) == (200, changed)


@pytest.mark.parametrize(
    "change, field",
    [
        ({"certificate": "no certificate"}, "certificate"),
        ({"certificate": None}, "certificate"),
        ({"service": "http"}, "service"),
        ({"status": "MAYBE"}, "status"),
        ({"name": ""}, "name"),
        ({"enrollment_mode": "x"}, "enrollment_mode"),
    ],
)
def test_what_is_wrong_with_a_trusted_certificate(shared, pelion, change, field):
    pelion.call("GET", "/v3/server-credentials")
    pem = pelion.call("GET", "/v3/server-credentials/lwm2m")[1]["server_certificate"]
    body = {"name": "x", "certificate": pem, "service": "lwm2m", **change}
    status, error = pelion.call("POST", "/v3/trusted-certificates", body)
    assert (status, error["type"]) == (400, "validation_error")
    assert error["fields"][0]["name"] == field


# ---- enrollments ----


def test_enrollments(start_berth):
    berth = start_berth(data="enrollments")
    pelion, path = PelionClient(berth.http_port), "/v3/device-enrollments"
    identity = "A-" + ":".join(["4E"] * 32)
    status, made = pelion.call("POST", path, {"enrollment_identity": identity})
    assert (status, made["object"], made["enrolled_device_id"]) == (201, "enrollment", None)
    for name in ("created_at", "expires_at", "etag"):
        assert DATE.fullmatch(made[name])
    assert pelion.call("POST", path, {"enrollment_identity": identity})[0] == 409
    for wrong in ("A-4E", "B" + identity[1:], identity[:-1], identity + ":00", 5, None):
        status, error = pelion.call("POST", path, {"enrollment_identity": wrong})
        assert (status, error["fields"][0]["name"]) == (400, "enrollment_identity")
    berth.stop()
    pelion = PelionClient(start_berth(data="enrollments").http_port)
    assert pelion.call("GET", path)[1]["data"] == [made]
    assert pelion.call("GET", f"{path}/{made['id']}") == (200, made)
    assert pelion.call("DELETE", f"{path}/{made['id']}") == (204, "")
    assert pelion.call("GET", f"{path}/{made['id']}")[0] == 404


# ---- accounts ----


def test_the_account(pelion):
    status, account = pelion.call("GET", "/v3/accounts/me?include=limits,policies")
    assert (status, account["status"], account["limits"]) == (200, "ACTIVE", {})
    assert DATE.fullmatch(account["created_at"])
    assert "limits" not in pelion.call("GET", "/v3/accounts/me")[1]


def test_policy_groups(start_berth):
    berth = start_berth(data="groups")
    pelion = PelionClient(berth.http_port)
    names = [entry["name"] for entry in pelion.call("GET", "/v3/policy-groups")[1]["data"]]
    assert names == ["Administrators", "Developers"]
    [found] = pelion.call("GET", "/v3/policy-groups?name__eq=Developers")[1]["data"]
    assert pelion.call("GET", f"/v3/policy-groups/{found['id']}") == (200, found)
    status, made = pelion.call("POST", "/v3/policy-groups", {"name": "Testers"})
    assert (status, made["name"]) == (200, "Testers")
    assert pelion.call("POST", "/v3/policy-groups", {"name": "Testers"})[0] == 409
    berth.stop()
    pelion = PelionClient(start_berth(data="groups").http_port)
    assert pelion.call("GET", f"/v3/policy-groups/{made['id']}") == (200, made)


def test_keys_are_changed_and_a_key_knows_itself(start_berth):
    berth = start_berth("--api-key", "ak_first", data="keys")
    pelion = PelionClient(berth.http_port, "ak_first")
    body = {"name": "one", "groups": ["0" * 32]}
    status, made = pelion.call("POST", "/v3/api-keys", body)
    assert (status, made["groups"]) == (201, ["0" * 32])
    other, path = PelionClient(berth.http_port, made["key"]), f"/v3/api-keys/{made['id']}"
    assert other.call("GET", "/v3/api-keys/me")[1]["id"] == made["id"]
    assert re.fullmatch("[0-9a-f]{32}", pelion.call("GET", "/v3/api-keys/me")[1]["id"])
    status, changed = pelion.call("PUT", path, {"status": "INACTIVE", "name": "two"})
    assert (status, changed["name"], changed["groups"]) == (200, "two", ["0" * 32])
    assert "key" not in changed and other.call("GET", "/v3/devices")[0] == 401
    for wrong in ({"status": "x"}, {"name": 7}, {"groups": "x"}, {"groups": [1]}):
        assert pelion.call("PUT", path, wrong)[0] == 400
    berth.stop()
    berth = start_berth("--api-key", "ak_first", data="keys")
    pelion = PelionClient(berth.http_port, "ak_first")
    assert PelionClient(berth.http_port, made["key"]).call("GET", "/v3/devices")[0] == 401
    assert pelion.call("PUT", path, {"status": "ACTIVE"})[0] == 200
    assert PelionClient(berth.http_port, made["key"]).call("GET", "/v3/devices")[0] == 200


def test_access_keys_of_applications(start_berth):
    berth = start_berth("--api-key", "ak_first", data="applications")
    pelion = PelionClient(berth.http_port, "ak_first")
    account = pelion.call("GET", "/v3/accounts/me")[1]["id"]
    path = f"/v3/accounts/{account}/applications"
    status, made = pelion.call("POST", path, {"name": "app"})
    assert (status, made["object"]) == (201, "application")
    other = pelion.call("POST", path, {"name": "other"})[1]
    keys = f"{path}/{made['id']}/access-keys"
    status, key = pelion.call("POST", keys, {"name": "key"})
    assert (status, key["object"], key["status"]) == (201, "access-key", "ACTIVE")
    berth.stop()
    berth = start_berth("--api-key", "ak_first", data="applications")
    pelion, client = PelionClient(berth.http_port, "ak_first"), PelionClient(berth.http_port, key["key"])
    assert client.call("GET", "/v3/devices")[0] == 200
    assert [entry["id"] for entry in pelion.call("GET", keys)[1]["data"]] == [key["id"]]
    assert pelion.call("GET", f"{path}/{other['id']}/access-keys")[1]["data"] == []
    assert pelion.call("GET", f"{path}/{other['id']}/access-keys/{key['id']}")[0] == 404
    assert pelion.call("GET", f"{keys}/{key['id']}")[1]["name"] == "key"
    assert pelion.call("GET", f"{path}/{made['id']}") == (200, made)
    assert pelion.call("DELETE", f"{path}/{made['id']}") == (204, "")
    assert client.call("GET", "/v3/devices")[0] == 401
    assert pelion.call("GET", keys)[0] == 404
