"""What Leshan's tests of bootstrap ask of a server (its BootstrapTest, SecureBootstrapTest and OscoreBootstrapTest)."""

import pytest
from bootstrapped_device import BootstrapDevice
from coapraw import GET, POST, PUT
from lwm2mraw import SENML_CBOR, SENML_JSON, TLV
from oscore_peer import CREDENTIAL, OscorePeer
from played_device import PlayedDevice
from test_bootstrap import configure, session
from test_dtls import COAPS, add_psk, connect


def formats(played):
    return {c.format for c in played.commands if c.method == PUT}


def test_leshan_full_sequence_to_finish_and_registration(berth):
    played = BootstrapDevice(berth.peer()).run()
    berth.register("dev1", peer=played.peer)
    types = [e["type"] for e in berth.events_after(types="bootstrap_started,bootstrap_finished,registered")]
    assert types == ["bootstrap_started", "bootstrap_finished", "registered"]


@pytest.mark.parametrize(("pct", "format"), [(TLV, TLV), (SENML_CBOR, SENML_CBOR)])
def test_leshan_a_client_with_one_format_only(berth, pct, format):
    assert formats(BootstrapDevice(berth.peer()).run(f"pct={pct}")) == {format}


def test_leshan_the_format_is_forced_by_the_configuration(berth):
    configure(berth, format="senml-json")
    assert formats(BootstrapDevice(berth.peer()).run(f"pct={TLV}")) == {SENML_JSON}


def test_leshan_additional_attributes_are_visible_in_the_session(berth):
    BootstrapDevice(berth.peer()).run("attr1=value1", "attr2=value2")
    assert session(berth)["query"] == "attr1=value1&attr2=value2"


@pytest.mark.parametrize("path", ["/", "/3"])
def test_leshan_discover_before_writing(berth, path):
    configure(berth, discover=[path])
    links = b"</>;lwm2m=1.0,</0>,</0/0>,</1>,</3>;ver=1.1,</3/0>"
    played = BootstrapDevice(berth.peer(), links=links).run()
    assert played.names[0] == f"GET {path}"
    assert session(berth)["steps"][0]["links"] == links.decode()


def test_leshan_discover_on_a_bootstrap_that_was_triggered(berth):
    configure(berth, discover=["/"])
    played = PlayedDevice(berth, "dev1")
    asked = played.ask("POST", "/bootstrap")
    played.answer(played.expect(POST, "/1/0/9"), "2.04")
    asked.answer(204)
    links = b"</>;lwm2m=1.0,</0/0>;uri=\"coap://bs\",</0/1>;ssid=2222;uri=\"coap://dm\",</1/0>;ssid=2222,</3/0>"
    again = BootstrapDevice(played.peer, links=links).run()
    assert "PUT /0/1" in again.names
    assert session(berth)["steps"][0]["links"] == links.decode()


def test_leshan_two_bootstrap_accounts_the_device_refuses_to_finish(berth):
    configure(berth, delete=[], servers=[{}, {"bootstrap": True, "uri": "coap://other", "security_instance": 5}])
    played = BootstrapDevice(berth.peer())
    played.begin()
    played.answer(played.until("POST /bs"), "4.06", b"two bootstrap accounts")
    event = berth.await_event("bootstrap_failed", "dev1")
    assert (event["operation"], event["diagnostic"]) == ("finish", "two bootstrap accounts")
    assert session(berth)["state"] == "failed"


@pytest.mark.parametrize(("links", "instance"), [(b"</0/0>,</0/1>;ssid=7", 1), (b"</0/0>;ssid=7,</0/1>", 0)])
def test_leshan_automatic_id_for_the_security_object(berth, links, instance):
    assert f"PUT /0/{instance}" in BootstrapDevice(berth.peer(), links=links).run().names


@pytest.mark.parametrize("paths", [["/0"], ["/0", "/1"], ["/"], ["/1/0", "/3303"]])
def test_leshan_delete_of_chosen_objects(berth, paths):
    configure(berth, delete=paths)
    names = BootstrapDevice(berth.peer()).run().names
    assert [name for name in names if name.startswith("DELETE")] == [f"DELETE {path}" for path in paths]


def test_leshan_ACL_objects_are_written(berth):
    acl = {"resources": {"0": 3, "1": 0, "2": {"values": {"1": 1}}, "3": 1}}
    configure(berth, write={"/2/0": acl, "/2/1": {"resources": {**acl["resources"], "0": 4}}})
    given = BootstrapDevice(berth.peer()).run().given
    assert (given["/2/0/0"], given["/2/1/0"], given["/2/0/2/1"]) == (3, 4, 1)


def test_leshan_oscore_from_a_bootstrap_without_it(start_berth):
    berth = start_berth("--bootstrap-insecure")
    configure(berth, servers=[{"security": {"mode": "oscore"}}])
    played = BootstrapDevice(berth.peer()).run()
    given = played.given
    (stored,) = berth.get("/v1/credentials/dev1")["items"]
    assert stored["mode"] == "oscore" and stored["recipient_id_hex"] == given["/21/0/1"].hex()
    assert given["/0/1/17"] == "21:0" and given["/0/1/2"] == 3


def test_leshan_oscore_without_an_endpoint_name(berth):
    """The endpoint is that of the context; what follows is protected, too."""
    assert berth.http("PUT", "/v1/credentials/dev1", {**CREDENTIAL, "service": "bootstrap"}).status == 201
    device = OscorePeer(berth.coap_port)
    assert device.request(POST, "bs").code_text == "2.04"
    asked = device.take_request()
    assert (asked[0].code, asked[0].all(11)) == (GET, [b"0"])
    assert berth.await_event("bootstrap_started", "dev1")["security"] == "oscore"
    device.close()


def test_leshan_from_a_secure_bootstrap_to_a_server_without_security(start_berth):
    berth = start_berth(listen=COAPS)
    add_psk(berth, "dev1", service="bootstrap")
    configure(berth, servers=[{"security": {"mode": "none"}}])
    account = BootstrapDevice(connect(berth)).run().account()
    assert account["0"] == f"coap://127.0.0.1:{berth.coap_port}" and account["2"] == 3
    berth.register("dev1")
