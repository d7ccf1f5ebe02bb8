"""The Leshan bootstrap demo server's HTTP API (docs/leshan-api.md)."""

import pytest
from device_process import start_device  # noqa: F401
from leshan_client import LeshanClient

NO_BYTES = {"publicKeyOrId": [], "serverPublicKey": [], "secretKey": []}
KEY = bytes(range(1, 17))


def server(short_id: int = 1, **members: object) -> dict:
    return {"shortId": short_id, "lifetime": 600, "notifIfDisabled": True, "binding": "U", **members}


def security(server_id: int = 1, **members: object) -> dict:
    return {"uri": None, "bootstrapServer": False, "securityMode": "NO_SEC", "serverId": server_id, **NO_BYTES, **members}


def config(**members: object) -> dict:
    return {
        "autoIdForSecurityObject": False,
        "toDelete": ["/0", "/1"],
        "servers": {"0": server()},
        "security": {"1": security()},
        "acls": {},
        "oscore": {},
        **members,
    }


def post(leshan: LeshanClient, body: object, endpoint: str = "dev1") -> None:
    assert leshan.call("POST", f"/api/bootstrap/{endpoint}", body) == (200, "")


@pytest.fixture
def leshan(berth):
    return LeshanClient(berth.http_port)


def test_configurations(leshan):
    assert leshan.good("GET", "/api/bootstrap") == {}
    post(leshan, config())
    post(leshan, config(), "urn:imei:1%2F2")
    assert leshan.good("GET", "/api/bootstrap") == {"dev1": config(), "urn:imei:1/2": config()}
    assert leshan.call("GET", "/api/bootstrap/dev1") == (404, "bad URL")
    post(leshan, config(toDelete=["/"], servers={"3": server(7)}, security={"5": security(7)}))
    assert leshan.good("GET", "/api/bootstrap")["dev1"]["servers"] == {"3": server(7)}
    for endpoint in ("dev1", "urn:imei:1%2F2"):
        assert leshan.call("DELETE", f"/api/bootstrap/{endpoint}") == (204, "")
        assert leshan.call("DELETE", f"/api/bootstrap/{endpoint}")[0] == 404
    assert leshan.good("GET", "/api/bootstrap") == {}


def test_keys_go_in_and_never_come_back(leshan, berth):
    """Bytes may be signed, as Java has them."""
    key = [byte - 256 if byte > 127 else byte for byte in bytes(range(120, 136))]
    psk = security(
        uri="coaps://other.example.com:5684", securityMode="PSK", publicKeyOrId=list(b"identity"), secretKey=key
    )
    post(leshan, config(security={"0": psk}))
    (account,) = berth.get("/v1/bootstrap/dev1")["servers"]
    assert account["security"] == {"mode": "psk", "identity": "identity", "key": "set"}
    assert (account["uri"], account["short_id"], account["lifetime_s"]) == ("coaps://other.example.com:5684", 1, 600)
    told = leshan.good("GET", "/api/bootstrap")["dev1"]["security"]["0"]
    assert told == {**psk, "secretKey": []}


def test_device_gets_what_was_posted(start_berth, start_device):
    berth = start_berth(listen=("coap://127.0.0.1:0?role=management", "coap://127.0.0.1:0?role=bootstrap"))
    leshan = LeshanClient(berth.http_port)
    management, bootstrap = (uri.split("?")[0] for uri in berth.listeners)
    body = config(
        toDelete=["/1"],
        servers={"4": server(9, lifetime=777, defaultMinPeriod=3, disableTimeout=55)},
        security={"1": security(9, uri=management)},
    )
    post(leshan, body)
    device = start_device("--bootstrap", bootstrap, "--endpoint", "dev1")
    device.line("Device ID: ", partly=True)
    assert leshan.client("dev1")["lifetime"] == 777
    instance = {one["id"]: one.get("value") for one in leshan.read("dev1", "/1/4")["resources"]}
    assert (instance[0], instance[1], instance[2], instance[5]) == ("9", "777", "3", "55")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        {"servers": []},
        {"security": {"0": 7}},
        {"security": {"x": security()}, "servers": {"0": server()}},
        {"security": {"0": security()}},
        {"security": {"0": security(2)}, "servers": {"0": server(1)}},
        {"security": {"0": security(securityMode="NONSENSE")}, "servers": {"0": server()}},
        {"security": {"0": security(securityMode=None)}, "servers": {"0": server()}},
        {"security": {"0": security(securityMode="PSK", secretKey="text")}, "servers": {"0": server()}},
        {"security": {"0": security(securityMode="PSK", secretKey=[256])}, "servers": {"0": server()}},
        {"security": {"0": security(securityMode="PSK", secretKey=["1"])}, "servers": {"0": server()}},
        {"security": {"0": security(securityMode="PSK", publicKeyOrId=[255])}, "servers": {"0": server()}},
        {"security": {"0": security(securityMode="X509", publicKeyOrId=[1] * 9000)}, "servers": {"0": server()}},
        {"security": {"0": security(uri=7)}, "servers": {"0": server()}},
        {"security": {"0": security(oscoreSecurityMode=3)}, "servers": {"0": server()}},
        {"servers": {"0": server(lifetime="long")}, "security": {"0": security()}},
        {"servers": {"0": 7}, "security": {"0": security()}},
        {"toDelete": 7},
        {"toDelete": ["nonsense"]},
        {"contentFormat": "NONSENSE"},
        {"acls": {"0": 7}},
        {"acls": {"0": {"acls": 7}}},
    ],
)
def test_bad_configurations_are_400(leshan, body):
    status, text = leshan.call("POST", "/api/bootstrap/dev1", body, "application/json" if isinstance(body, str) else None)
    assert status == 400 and text.startswith("Invalid request: ") and len(text) > 25, (status, text)
    assert leshan.good("GET", "/api/bootstrap") == {}
