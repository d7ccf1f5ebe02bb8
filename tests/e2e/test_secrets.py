"""No key that somebody gave, and none that was made, is in anything the server says or keeps in the open."""

import base64
import json
from urllib.parse import quote

import pytest
from bootstrapped_device import BootstrapDevice
from coapraw import CONTENT_FORMAT, LINK_FORMAT, POST, uint
from dtls_peer import DtlsPeer, HandshakeFailed
from oscore_peer import CREDENTIAL, OscorePeer
from test_bootstrap import configure
from test_bootstrap_secure import account_over
from test_dtls import add_psk, connect, coaps_port, register

API_KEY = "canary-of-the-api-7d1f"
AUTHORIZED = {"Authorization": f"Bearer {API_KEY}"}
REGISTER = ["lt=300", "lwm2m=1.1", "b=U"]


def canary(number: int) -> bytes:
    """A key that nothing has by chance."""
    return bytes((number * 37 + i * 59 + 11) % 256 for i in range(16))


def forms(secret: bytes) -> list[bytes]:
    """How it might be written."""
    hexadecimal = secret.hex().encode()
    return [secret, hexadecimal, hexadecimal.upper(), base64.b64encode(secret), base64.urlsafe_b64encode(secret).rstrip(b"=")]


@pytest.fixture
def berth(start_berth, monkeypatch):
    """A server that knows keys of every kind; `secrets` are theirs by what they are for."""
    listen = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")
    berth = start_berth(
        *("--api-key", API_KEY, "--log-level", "debug", "--trace-secrets", "off"),
        *("--psk", f"given:{canary(1).hex()}"),
        listen=listen,
    )
    plain = berth.http
    monkeypatch.setattr(berth, "http", lambda method, path, body=None, headers=None, **query: plain(
        method, path, body, {**AUTHORIZED, **(headers or {})}, **query))
    add_psk(berth, "stored", key=canary(2))
    assert berth.http("PUT", "/v1/credentials/oscore", {**CREDENTIAL, "master_secret_hex": canary(3).hex()}).status == 201
    configure(
        berth,
        "configured",
        servers=[
            {"security": {"mode": "psk", "identity": "me", "key_hex": canary(4).hex()}},
            {"uri": "coap://o", "security": {"mode": "oscore", "master_secret_hex": canary(5).hex(), "sender_id_hex": "01"}},
        ],
        write={"/0/9/5": base64.b64encode(canary(6)).decode()},
    )
    configure(berth, "default", write={"/0/9/5": base64.b64encode(canary(7)).decode()})
    leshan = {"endpoint": "demo", "tls": {"mode": "psk", "details": {"identity": "demo", "key": canary(8).hex()}}}
    assert berth.http("PUT", "/api/security/clients/", leshan).status in (200, 201, 204)
    berth.secrets = {number: canary(number) for number in range(1, 9)}
    berth.secrets["API key"] = API_KEY.encode()
    berth.secrets["key file"] = (berth.data / "berth.key").read_bytes()
    return berth


def use_all(berth):
    """Devices come with the right keys and with wrong ones."""
    for identity, number in (("given", 1), ("stored", 2), ("demo", 8)):
        peer = connect(berth, identity, canary(number))
        register(berth, peer, identity)
    with pytest.raises(HandshakeFailed):
        DtlsPeer(coaps_port(berth), psk=("stored", bytes(16)), timeout_ms=500)
    device = OscorePeer(berth.coap_port, secret=canary(3))
    try:
        options = [(CONTENT_FORMAT, uint(LINK_FORMAT))]
        assert device.request(POST, "rd", ["ep=oscore", *REGISTER], b"</3/0>", options).code_text == "2.01"
    finally:
        device.close()
    assert berth.http("GET", "/v1/devices", headers={"Authorization": f"Bearer {API_KEY[:-1]}x"}).status == 401
    refused = [
        ("PUT", "/v1/credentials/x", {"mode": "psk", "key_hex": canary(2).hex(), "surprise": 1}),
        ("PUT", "/v1/credentials/x", {"mode": "psk", "identity": "stored", "key_hex": canary(2).hex()}),
        ("PUT", "/v1/credentials/x", json.dumps({"mode": "psk", "key_hex": canary(2).hex()})[:-1]),
        ("PUT", "/v1/credentials/x", {"mode": "psk", "key_hex": canary(2).hex() + "0g"}),
        ("PUT", "/v1/bootstrap/x", {"servers": [{"uri": "coap://h", "security": {"mode": "psk", "key_hex": canary(4).hex()}}]}),
        ("POST", "/v1/devices", {"key": canary(2).hex()}),
        ("PUT", "/api/security/clients/", {"endpoint": "x", "psk": {"identity": "stored", "key": canary(8).hex()}}),
    ]
    for method, path, body in refused:
        assert berth.http(method, path, body).status >= 400, path


def everything_it_says(berth):
    """What every GET of the API answers, by its path, and what was written to files and descriptors."""
    names = {"endpoint": ["given", "stored", "oscore", "configured", "default", "demo"], "id": ["1", "2"], "object": ["3"],
             "instance": ["0"], "resource": ["0"], "resource_instance": ["0"], "name": ["x"], "version": ["1.0"],
             "address": [quote(event["address"], safe="") for event in berth.events_after(0, types="dtls_failed")]}
    slow = ("/api/event", "/v2/notification/", "/v1/devices/{endpoint}/{object}", "/api/clients/{endpoint}/{object}", "observe", "composite")
    for path, item in berth.get("/v1/openapi.json")["paths"].items():
        if "get" not in item or any(word in path for word in slow):
            continue  # it waits, for a device or for news
        paths = [path]
        for name, values in names.items():
            paths = [one.replace("{%s}" % name, value) for one in paths for value in (values if "{%s}" % name in one else [""])]
        for one in paths:
            yield one, berth.http("GET", one, **({"timeout": "0s", "poll": 1, "after": 0} if one == "/v1/events" else {})).body
    for path in ("/v1/messages", *(f"/v1/devices/{name}/messages" for name in ("given", "stored", "oscore", "demo"))):
        yield path + ", a capture", berth.http("GET", path, headers={"Accept": "application/x-pcapng"}).body
    yield "events", json.dumps(berth.events_after()).encode()
    yield "log", berth.log_path.read_bytes()
    yield "standard output", "\n".join(berth.said).encode()


def found(berth, places):
    return [(what, where) for where, text in places for what, secret in berth.secrets.items()
            if any(form in text for form in forms(secret))]


def test_nothing_that_is_said_has_a_key(berth):
    use_all(berth)
    places = list(everything_it_says(berth))
    assert len(places) > 40 and sum(len(text) for _, text in places) > 100_000
    assert {e["endpoint"] for e in berth.events_after(0, types="registered")} == {"given", "stored", "oscore", "demo"}
    assert found(berth, places) == []
    berth.stop()
    assert found(berth, [("log", berth.log_path.read_bytes())]) == []


@pytest.mark.not_with_postgresql("looks into the file of SQLite")
def test_nothing_that_is_kept_has_a_key_in_the_open(berth):
    use_all(berth)
    berth.kill()
    del berth.secrets["key file"]
    files = [(path.name, path.read_bytes()) for path in berth.data.rglob("*") if path.is_file()]
    assert {"berth.db", "ca.key", "server.key"} <= {name for name, _ in files}
    assert found(berth, files) == []
    assert all(b"PRIVATE KEY" not in text for _, text in files)


def test_a_key_that_was_made_is_only_in_what_brings_it_to_the_device(berth):
    """A bootstrap hands out keys; the decoded messages, which are the device's, have them, and nothing else."""
    add_psk(berth, "factory", key=canary(9), service="bootstrap")
    configure(berth, "factory", servers=[{"security": {"mode": "psk"}}])
    account = account_over(connect(berth, "factory", canary(9)), "factory")
    berth.secrets = {"made": account["5"]}
    assert len(account["5"]) >= 16
    places = [(where, text) for where, text in everything_it_says(berth) if "messages" not in where]
    assert len(places) > 40 and found(berth, places) == []
    files = [(path.name, path.read_bytes()) for path in berth.data.rglob("*") if path.is_file()]
    assert found(berth, files) == []
    register(berth, connect(berth, account["3"], account["5"]), "factory")
