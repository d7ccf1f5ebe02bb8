"""Objects of the registry that servers use with the plain operations: what they are, and that values have their types."""

import pytest
from coapraw import GET, OBSERVE
from device_process import start_device  # noqa: F401
from played_device import TEXT, TLV, PlayedDevice


@pytest.fixture
def device(berth, start_device):  # noqa: F811
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    return device


def value(berth, path):
    return berth.get(f"/v1/devices/dev1{path}")["value"]


def execute(berth, path):
    return berth.http("POST", f"/v1/devices/dev1{path}").status


def test_OBJ_01_device_object_reboot_reset_error_codes_and_time(berth, device):
    assert execute(berth, "/3/0/12") == 204
    assert berth.http("PUT", "/v1/devices/dev1/3/0/14", {"value": "+02:00"}).status == 204
    assert value(berth, "/3/0/14") == "+02:00"
    assert isinstance(value(berth, "/3/0/13"), int)
    after = berth.last_event()
    for path, told in [("/3/0/4", "Rebooting"), ("/3/0/5", "Factory reset")]:
        assert execute(berth, path) == 204
        device.line(told)
        berth.await_event("replaced", "dev1", after=after)
        after = berth.last_event()
        device.line("Client registered")


def test_OBJ_02_connectivity_location_and_statistics_have_typed_values(berth, device):
    assert isinstance(value(berth, "/6/0/0"), float)
    assert isinstance(value(berth, "/6/0/5"), int)
    assert isinstance(value(berth, "/4/0/2"), int)
    assert berth.get("/v1/devices/dev1/4/0/2")["type"] == "integer"
    assert berth.get("/v1/devices/dev1/6/0/5")["type"] == "time"
    assert execute(berth, "/7/0/6") == 204
    assert berth.http("PUT", "/v1/devices/dev1/7/0/8", {"value": 60}).status == 204
    assert execute(berth, "/7/0/7") == 204
    assert isinstance(value(berth, "/7/0/2"), int)
    assert berth.http("PUT", "/v1/devices/dev1/6/0/0/observe").status == 200


@pytest.mark.parametrize("object_id", [10, 11, 12, 13, 16, 19, 20])
def test_OBJ_03_definitions_are_there(berth, object_id):
    definition = berth.get(f"/v1/objects/{object_id}")
    assert definition["name"] and definition["resources"]


def test_OBJ_04_a_disabled_device_deregisters_and_comes_back(berth, device):
    assert berth.http("PUT", "/v1/devices/dev1/1/0/5", {"value": 60}).status == 204
    after = berth.last_event()
    assert execute(berth, "/1/0/4") == 204
    berth.await_event("deregistered", "dev1", after=after)
    device.line("Disabled: for 60 s", partly=True)
    device.command("clock +60")
    berth.await_event("registered", "dev1", after=after)


def test_OBJ_05_the_version_that_a_client_announces_is_its_definition(berth):
    """Resource 5/0/10, Cancel, came with version 1.1 of object 5; an unknown object is told as it comes."""
    old = PlayedDevice(berth, "old", links="</5/0>,</31000/0>", version="1.0")
    new = PlayedDevice(berth, "new", links="</5>;ver=1.1,</5/0>", version="1.1")
    for device, name in [(old, None), (new, "Cancel")]:
        items = berth.get(f"/v1/devices/{device.endpoint}")["objects"]
        assert [item.get("version") for item in items if item["path"] == "/5/0"] == ["1.1" if name else "1.0"]
    answer = old.read("/31000/0", TLV, bytes([0xC2, 1, 0x12, 0x34]))
    assert "EjQ=" in answer.body.decode()  # bytes as Base64, since nobody knows the type


def test_FW_10_a_device_that_comes_back_with_other_objects_is_listed_with_these_and_observed_anew(berth):
    device = PlayedDevice(berth, "dev1", links="</3/0>,</5/0>")
    asked = device.ask("PUT", "/3/0/0/observe")
    device.answer(device.expect(GET, "/3/0/0"), "2.05", TEXT, b"old", (OBSERVE, b"\1"))
    assert asked.answer(200).status == 200
    berth.register("dev1", links="</3/0>,</3303/0>", peer=device.peer)
    again = device.expect(GET, "/3/0/0")
    assert again.one(OBSERVE) == b""
    device.answer(again, "2.05", TEXT, b"new", (OBSERVE, b"\1"))
    assert berth.await_event("notification", "dev1", after=0)["value"] == "old"
    assert {item["path"] for item in berth.device("dev1")["objects"]} == {"/3/0", "/3303/0"}
