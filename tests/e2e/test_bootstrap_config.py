"""/v1/bootstrap: what is taken, what contradicts itself, what is shown, what survives."""

import base64
import json

import pytest
from bootstrapped_device import BootstrapDevice
from test_bootstrap import configure

SECRET = "5ec7e75ec7e75ec7e75ec7e75ec7e75e"
DER = base64.b64encode(b"\x30\x03\x02\x01\x00").decode()


def refused(berth, config, endpoint="dev1"):
    answer = berth.http("PUT", f"/v1/bootstrap/{endpoint}", config)
    assert (answer.status, answer.problem) == (400, "bad-body"), answer.body
    return answer.json["detail"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"x": 1}, "x is unknown"),
        ({"servers": {}}, "servers must be a list"),
        ({"servers": [1]}, "servers[0] must be an object"),
        ({"servers": [{}] * 9}, "at most 8"),
        ({"servers": [{"port": 1}]}, "servers[0].port is unknown"),
        ({"servers": [{"short_id": 0}]}, "servers[0].short_id must be a number from 1 to 65534"),
        ({"servers": [{"short_id": 65535}]}, "short_id"),
        ({"servers": [{"short_id": 7}, {"short_id": 7, "uri": "coap://h"}]}, "the same short_id"),
        ({"servers": [{"lifetime_s": -1}]}, "lifetime_s"),
        ({"servers": [{"binding": "X"}]}, "binding"),
        ({"servers": [{"binding": "UUUUUUUUU"}]}, "binding"),
        ({"servers": [{"storing": 1}]}, "storing must be true or false"),
        ({"servers": [{"uri": "http://h"}]}, "must begin with coap://"),
        ({"servers": [{"uri": "coap://"}]}, "has no host"),
        ({"servers": [{"uri": "coap://h", "security": {"mode": "psk"}}]}, "the security psk, and a URI without"),
        ({"servers": [{"uri": "coaps://h", "security": {"mode": "none"}}]}, "a URI that asks for some"),
        ({"servers": [{"uri": "coap://h/" + "x" * 255}]}, "1 to 255 bytes"),
        ({"servers": [{"security": {"mode": "x"}}]}, "servers[0].security.mode must be"),
        ({"servers": [{"security": {"mode": "psk", "certificate": DER}}]}, "certificate is unknown"),
        ({"servers": [{"security": {"mode": "psk", "key_hex": "0"}}]}, "key_hex"),
        ({"servers": [{"security": {"mode": "psk", "identity": "x" * 129}}]}, "identity"),
        ({"servers": [{"security": {"mode": "x509", "certificate": DER}}]}, "come together"),
        ({"servers": [{"security": {"mode": "x509", "certificate": "?", "private_key": DER}}]}, "PEM, or DER in Base64"),
        ({"servers": [{"security": {"mode": "x509", "certificate_usage": 4}}]}, "certificate_usage"),
        ({"servers": [{"security": {"mode": "rpk"}, "uri": "coaps://h"}]}, "are not made"),
        (
            {"servers": [{"security": {"mode": "rpk", "public_key": DER, "private_key": DER, "server_public_key": DER}}]},
            "this server has no raw public keys",
        ),
        ({"servers": [{"security": {"mode": "oscore", "sender_id_hex": "01"}}]}, "made with the master secret"),
        (
            {"servers": [{"oscore": {"master_secret_hex": SECRET, "sender_id_hex": "01", "recipient_id_hex": "01"}}]},
            "must differ",
        ),
        ({"servers": [{"security": {"mode": "oscore"}, "oscore": {}}]}, "told twice"),
        ({"servers": [{"bootstrap": True}, {"bootstrap": True}]}, "both bootstrap servers"),
        ({"servers": [{"bootstrap": True, "short_id": 1}]}, "no short_id"),
        ({"servers": [{"security_instance": 1}, {"security_instance": 1, "uri": "coap://h"}]}, "same security_instance"),
        ({"servers": [{"server_instance": 1}, {"server_instance": 1, "uri": "coap://h"}]}, "same server_instance"),
        ({"servers": [{"security": {"mode": "psk"}}, {"security": {"mode": "psk"}}]}, "credentials of one kind"),
        ({"delete": ["/1/0/1"]}, "delete[0]"),
        ({"delete": ["x"]}, "delete[0] must be a path"),
        ({"delete": "/"}, "delete must be a list"),
        ({"discover": ["/0/1"]}, "discover[0]"),
        ({"read": ["/3"]}, "read[0]"),
        ({"read": ["/"]}, "read[0]"),
        ({"write": []}, "write must be an object"),
        ({"write": {"/x": 1}}, "/x is no path"),
        ({"write": {"/3/0/14": 7}}, "/3/0/14"),
        ({"write": {"/0": {"0": {}}}}, "write"),
        ({"servers": [{"server_instance": 3}], "write": {"/1/3": {"resources": {"1": 5}}}}, "is written by a server"),
        ({"write": {"/3/0": {"resources": {"14": "x"}}, "/3/0/15": "y"}}, "holds another thing"),
        ({"write": {"/2/0": {"resources": {"2": {"values": {"5": 1}}}}}}, "no server has it"),
        ({"write": {"/2/0": {"resources": {"3": 5}}}}, "no server has it"),
        ({"format": "text"}, "format"),
        ({"format": "cbor"}, "format"),
        ({"sequence": "pack", "format": "tlv"}, "a pack all but TLV"),
        ({"sequence": "pelion", "format": "senml-cbor"}, "TLV only"),
        ({"sequence": "pelion", "discover": ["/"]}, "do not answer"),
        ({"sequence": "pelion", "servers": [{"security": {"mode": "psk"}}]}, "certificates, or no security"),
        ({"sequence": "x"}, "sequence"),
        ({"on_error": {"write": "hope"}}, "on_error.write"),
        ({"on_error": {"finish": "continue"}}, "nothing comes after it"),
        ({"on_error": {"x": "stop"}}, "on_error.x is unknown"),
    ],
)
def test_BSC_01_a_configuration_that_contradicts_itself_is_refused_with_the_reason(berth, config, reason):
    assert reason in refused(berth, config)
    assert berth.http("GET", "/v1/bootstrap/dev1").status == 404


@pytest.mark.not_with_postgresql("looks into the file of SQLite")
def test_keys_never_come_back(berth):
    secrets = {
        "servers": [
            {"security": {"mode": "psk", "identity": "me", "key_hex": SECRET}},
            {"uri": "coaps://h", "security": {"mode": "x509", "certificate": DER, "private_key": "U0VDUkVU"}},
            {"uri": "coap://o", "security": {"mode": "oscore", "master_secret_hex": SECRET, "sender_id_hex": "01"}},
        ],
        "write": {"/0/9/5": "U0VDUkVU", "/3/0/14": "+01"},
    }
    configure(berth, **secrets)
    shown = berth.get("/v1/bootstrap/dev1")
    text = json.dumps(shown)
    assert SECRET not in text and "U0VDUkVU" not in text
    assert [s["security"].get("key") for s in shown["servers"]] == ["set", None, None]
    assert shown["servers"][1]["security"]["certificate"] == DER
    assert shown["servers"][2]["oscore"]["sender_id_hex"] == "01"
    assert shown["write"] == {"/0/9/5": "set", "/3/0/14": {"path": "/3/0/14", "type": "string", "value": "+01"}}
    assert SECRET.encode() not in (berth.data / "berth.db").read_bytes()


def test_what_is_shown_can_be_looked_up_in_pages_and_deleted(berth):
    assert berth.get("/v1/bootstrap/default")["source"] == "built-in"
    for number in range(5):
        configure(berth, f"dev{number}", status=(201,))
    configure(berth, "dev0", status=(204,), delete=["/"])
    configure(berth, "default", status=(201,), delete=[])
    names, cursor = [], None
    while True:
        page = berth.get("/v1/bootstrap", limit=2, **({} if cursor is None else {"cursor": cursor}))
        names += [item["endpoint"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(names, key=str) == sorted([None, "dev0", "dev1", "dev2", "dev3", "dev4"], key=str)
    assert berth.get("/v1/bootstrap/dev0")["delete"] == ["/"]
    assert berth.http("DELETE", "/v1/bootstrap/dev0").status == 204
    assert berth.http("DELETE", "/v1/bootstrap/dev0").status == 404
    assert berth.http("GET", "/v1/bootstrap/dev0").status == 404
    assert berth.http("DELETE", "/v1/bootstrap/default").status == 204
    assert berth.get("/v1/bootstrap/default")["source"] == "built-in"


def test_the_default_holds_for_whoever_has_no_own(berth):
    configure(berth, "default", servers=[{"short_id": 77, "lifetime_s": 60}])
    configure(berth, "dev1", servers=[{"short_id": 5}])
    assert BootstrapDevice(berth.peer(), "dev1").run().given["/1/0/0"] == 5
    given = BootstrapDevice(berth.peer(), "dev2").run().given
    assert (given["/1/0/0"], given["/1/0/1"]) == (77, 60)


def test_a_configuration_survives_kill_9(start_berth):
    berth = start_berth(data="same")
    configure(berth, servers=[{"short_id": 9}], write={"/3/0": {"resources": {"14": "+02", "13": 1700000000}}})
    before = berth.get("/v1/bootstrap/dev1")
    berth.kill()
    berth.start()
    assert berth.get("/v1/bootstrap/dev1") == before
    played = BootstrapDevice(berth.peer()).run()
    assert played.given["/1/0/0"] == 9 and played.given["/3/0/13"] == 1700000000


def test_a_change_is_answered_after_its_commit(berth):
    from played_device import Asked

    with berth.no_commit():
        asked = Asked(berth, "PUT", "/v1/bootstrap/dev1", {})
        while berth.get_metric("berth_store_queue_writes") == 0:
            pass
        assert berth.http("PUT", "/v1/bootstrap/dev1", {}).status == 409
        assert berth.http("GET", "/v1/bootstrap/dev1").status == 404
    asked.answer(201)
    assert berth.http("GET", "/v1/bootstrap/dev1").status == 200


def test_several_servers_and_templates(berth):
    configure(
        berth,
        "default",
        servers=[
            {"short_id": 1},
            {"short_id": 2, "uri": "coap://{endpoint}.example.com:5683/{unknown}?id={id}", "binding": "UQ", "storing": False},
        ],
        write={"/3/0": {"resources": {"14": "{endpoint}!", "15": "{"}}},
    )
    given = BootstrapDevice(berth.peer(), "box").run().given
    assert given["/0/2/0"].startswith("coap://box.example.com:5683/{unknown}?id=") and len(given["/0/2/0"].split("=")[1]) == 32
    assert (given["/1/1/0"], given["/1/1/6"], given["/1/1/7"]) == (2, False, "UQ")
    assert given["/3/0/14"] == "box!" and given["/3/0/15"] == "{"


def test_a_configuration_that_is_replaced_in_the_middle_changes_nothing_of_the_session(berth):
    played = BootstrapDevice(berth.peer())
    configure(berth, servers=[{"short_id": 3}])
    played.begin()
    first = played.next()
    configure(berth, servers=[{"short_id": 4}])
    played.accept(first)
    while played.take().name != "POST /bs":
        pass
    assert played.given["/1/0/0"] == 3


def test_a_name_too_long_for_its_template_fails_the_session(berth):
    configure(berth, "default", servers=[{"uri": "coap://{endpoint}.{endpoint}.example"}])
    played = BootstrapDevice(berth.peer(), "x" * 200)
    played.begin()
    played.take("GET /0")
    assert "too long" in berth.await_event("bootstrap_failed")["detail"]


def test_BSC_09_access_control_is_written(berth):
    configure(berth, servers=[{"short_id": 101}], write={"/2/0": {"resources": {"0": 3, "1": 0, "2": {"values": {"101": 31, "0": 1}}, "3": 65535}}})
    given = BootstrapDevice(berth.peer()).run().given
    assert given["/2/0/2/101"] == 31 and given["/2/0/2/0"] == 1 and given["/2/0/3"] == 65535
