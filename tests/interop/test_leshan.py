"""A device on Leshan's client library, registered, then asked everything over HTTP."""

import pytest
from berth_process import Berth
from java_device import JavaDevice

FORMATS = ["tlv", "senml-json", "senml-cbor"]
AT = "/v1/devices/leshan"


@pytest.fixture(scope="module")
def met(leshan, tmp_path_factory):
    """A server and a device that has registered with it, for all tests here."""
    berth = Berth(tmp_path_factory.mktemp("berth") / "data").start()
    device = JavaDevice(leshan, "LeshanDevice", berth.listen[0], "leshan")
    device.line("registered")
    yield berth, device
    after = berth.last_event()
    device.quit()
    berth.await_event("deregistered", "leshan", after)
    berth.close()


@pytest.fixture
def berth(met):
    return met[0]


@pytest.fixture
def device(met):
    return met[1]


def test_REG_01_registered_as_it_says(berth):
    device = berth.device("leshan")
    assert (device["version"], device["lifetime_s"], device["binding"]) == ("1.1", 300, "U")
    assert {"/1/0", "/3/0", "/3442/0"} <= {item["path"] for item in device["objects"]}
    assert {110, 112, 11542} <= set(device["content_formats"])


def test_UPD_01_update_on_command_and_by_trigger(berth, device):
    after = berth.last_event()
    device.command("update")
    berth.await_event("updated", "leshan", after)
    assert berth.http("POST", f"{AT}/update", wait=1).json["endpoint"] == "leshan"


# ---- reads ----


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("path", ["/3", "/3/0", "/3/0/0", "/1", "/1/0/1", "/3442/0"])
def test_DM_01_read_on_every_level_in_every_format(berth, path, format):
    answer = berth.http("GET", AT + path, format=format)
    assert answer.status == 200, answer.body
    assert not {"error", "oddity"} & answer.json.keys(), answer.json


@pytest.mark.parametrize("format", [None, *FORMATS])
def test_FMT_01_values_of_every_type_are_the_same_in_every_format(berth, format):
    berth.http("POST", f"{AT}/3442/0/0")
    query = {} if format is None else {"format": format}
    resources = berth.http("GET", f"{AT}/3442/0", **query).json["resources"]
    assert resources["110"]["value"] == "initial value"
    assert resources["120"]["value"] == 1024
    assert resources["125"]["value"] == 9223372036854775808
    assert resources["130"]["value"] == pytest.approx(3.14159)
    assert resources["140"]["value"] is True
    assert resources["150"]["value"] == "ASNFZ4mrze8="
    assert resources["160"]["value"] == 946684800
    assert resources["170"]["value"] == "3:0"


def test_DM_03_text_and_cbor_of_one_value(berth):
    assert berth.http("GET", f"{AT}/3/0/0", format="text").json["value"] == "Leshan"
    assert berth.http("GET", f"{AT}/3/0/0", format="cbor").json["value"] == "Leshan"


@pytest.mark.parametrize(("path", "status", "code"), [("/3/9", 404, "4.04"), ("/3/0/999", 404, "4.04"), ("/3/0/4", 405, "4.05"), ("/99", 404, "4.04")])
def test_DM_45_errors_arrive_as_themselves(berth, path, status, code):
    answer = berth.http("GET", AT + path)
    assert (answer.status, answer.json["coap_code"]) == (status, code)


# ---- writes ----

VALUES = {
    "110": "another",
    "120": -5000000000,
    "125": 18446744073709551615,
    "130": 2.5,
    "140": False,
    "150": "AP8=",
    "160": 1700000000,
    "170": "66:613",
}


@pytest.mark.parametrize("format", [None, *FORMATS])
@pytest.mark.parametrize("resource", VALUES)
def test_DM_10_TYP_07_value_of_every_type_is_written_and_read(berth, format, resource):
    query = {} if format is None else {"format": format}
    berth.http("POST", f"{AT}/3442/0/0")
    answer = berth.http("PUT", f"{AT}/3442/0/{resource}", {"value": VALUES[resource]}, **query)
    assert answer.status == 204, answer.body
    assert berth.get(f"{AT}/3442/0/{resource}")["value"] == VALUES[resource]


@pytest.mark.parametrize("format", [None, *FORMATS])
def test_DM_11_DM_14_instance_and_multiple_resource(berth, format):
    query = {} if format is None else {"format": format}
    berth.http("PUT", f"{AT}/3442/0/1120", {"values": {}})
    body = {"resources": {"110": "x", "1120": {"values": {"0": 1, "5": 2}}}}
    answer = berth.http("PATCH", f"{AT}/3442/0", body, **query)
    assert answer.status == 204, answer.body
    assert berth.get(f"{AT}/3442/0/1120")["values"] == {"0": 1, "5": 2}
    assert berth.http("PUT", f"{AT}/3442/0/1120", {"values": {"7": 3}}, **query).status == 204
    assert berth.get(f"{AT}/3442/0/1120")["values"] == {"7": 3}


@pytest.mark.parametrize("format", [None, *FORMATS])
def test_DM_24_DM_28_create_and_delete(berth, format):
    query = {} if format is None else {"format": format}
    answer = berth.http("POST", f"{AT}/3442", {"instance": 5, "resources": {"110": "five"}}, **query)
    assert (answer.status, answer.headers["Location"]) == (201, f"{AT}/3442/5"), answer.body
    assert berth.get(f"{AT}/3442/5/110")["value"] == "five"
    assert berth.http("DELETE", f"{AT}/3442/5").status == 204
    assert berth.http("GET", f"{AT}/3442/5").status == 404
    assert "/3442/5" not in {item["path"] for item in berth.device("leshan")["objects"]}


def test_DM_25_create_without_an_id(berth):
    answer = berth.http("POST", f"{AT}/3442", {"resources": {"110": "its own"}})
    assert answer.status == 201, answer.body
    location = answer.headers["Location"]
    assert berth.get(f"{location}/110")["value"] == "its own"
    assert berth.http("DELETE", location).status == 204


# ---- the rest ----


def test_DM_20_DM_21_execute(berth):
    assert berth.http("POST", f"{AT}/3442/0/0").status == 204
    assert berth.http("POST", f"{AT}/3442/0/2", {"args": "0='x',1"}).headers["CoAP-Code"] in ("2.04", "4.00")


def test_DM_30_discover_shows_attributes_that_were_written(berth):
    assert berth.http("PUT", f"{AT}/3442/0/130/attributes", {"pmin": 5, "gt": 7.5}).status == 204
    links = {link["path"]: link["attributes"] for link in berth.get(f"{AT}/3442/0/130/discover")["links"]}
    assert links["/3442/0/130"].get("pmin") == "5"
    assert "/3/0/0" in {link["path"] for link in berth.get(f"{AT}/3/discover")["links"]}


@pytest.mark.parametrize("format", [None, "senml-json", "senml-cbor"])
def test_DM_32_DM_36_composite_operations(berth, format):
    query = {} if format is None else {"format": format}
    answer = berth.http("POST", f"{AT}/composite/write", {"/3442/0/110": "both", "/3442/0/120": 7}, **query)
    assert answer.status == 204, answer.body
    answer = berth.http("POST", f"{AT}/composite/read", {"paths": ["/3442/0/110", "/3442/0/120", "/3/0/0"]}, **query)
    assert answer.status == 200, answer.body
    resources = answer.json["resources"]
    assert [resources[path]["value"] for path in ("/3442/0/110", "/3442/0/120", "/3/0/0")] == ["both", 7, "Leshan"]


@pytest.mark.parametrize("format", ["SENML_JSON", "SENML_CBOR"])
def test_SND_01_SND_02_send(berth, device, format):
    after = berth.last_event()
    device.command(f"send {format} /3/0/0 /3442/0/120")
    assert device.line("sent") == "sent CHANGED(204)"
    values = {event["path"]: event["value"] for event in berth.events_after(after, types="send")}
    assert values["/3/0/0"] == "Leshan" and "/3442/0/120" in values
