"""Update campaigns of the Device Management API: against object 5, object 10252, and nothing at all."""

import time

import pytest
from coapraw import ACK, CONTENT_FORMAT, GET, POST
from device_process import start_device  # noqa: F401
from observed_device import ObservedDevice
from pelion_client import PelionClient
from played_device import OPAQUE, TEXT, PlayedDevice
from test_pelion_api import DATE
from test_pelion_firmware import put
from test_pelion_observe import VendorDevice


@pytest.fixture
def berth(start_berth):
    return start_berth(data="campaigns")


@pytest.fixture
def pelion(berth):
    return PelionClient(berth.http_port)


def restarted(start_berth, berth, *options: str) -> tuple:
    berth.stop()
    berth = start_berth(*options, data="campaigns", listen=berth.listeners)
    return berth, PelionClient(berth.http_port)


def draft(pelion: PelionClient, device_filter: str, manifest: bytes = b"manifest", **more: object) -> dict:
    body = {"name": "campaign", "device_filter": device_filter, **more}
    if manifest is not None:
        body["root_manifest_id"] = put(pelion, "firmware-manifests", manifest)["id"]
    status, made = pelion.call("POST", "/v3/update-campaigns", body)
    assert status == 201, made
    assert (made["object"], made["phase"], made["state"]) == ("update-campaign", "draft", "draft")
    return made


def started(pelion: PelionClient, device_filter: str, manifest: bytes = b"manifest", **more: object) -> str:
    """Its id."""
    made = draft(pelion, device_filter, manifest, **more)
    assert pelion.call("POST", f"/v3/update-campaigns/{made['id']}/start") == (202, "")
    return made["id"]


def campaign(pelion: PelionClient, id: str) -> dict:
    status, found = pelion.call("GET", f"/v3/update-campaigns/{id}")
    assert status == 200, found
    return found


def devices(pelion: PelionClient, id: str) -> list[dict]:
    return pelion.call("GET", f"/v3/update-campaigns/{id}/campaign-device-metadata")[1]["data"]


def until(condition, what: str, timeout: float = 60):
    """Ask until it is so."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(what)


def over(pelion: PelionClient, id: str) -> dict:
    def stopped():
        found = campaign(pelion, id)
        return found if found["phase"] == "stopped" else None

    return until(stopped, f"the campaign goes on: {campaign(pelion, id)}, {devices(pelion, id)}")


def counts(pelion: PelionClient, id: str) -> dict:
    """By statistics, and by metrics, which say the same."""
    page = pelion.call("GET", f"/v3/update-campaigns/{id}/statistics")[1]
    found = {entry["id"]: entry["count"] for entry in page["data"]}
    metrics = pelion.call("GET", f"/v3/update-campaigns/{id}/metrics")[1]
    assert found == {
        "success": metrics["success_count"],
        "fail": metrics["failed_count"],
        "info": metrics["pending_count"],
        "skipped": metrics["skipped_count"],
    }
    assert sum(found.values()) == metrics["total_count"]
    return found


# ---- without devices ----


def test_a_fake_update_needs_no_device(start_berth):
    berth = start_berth("--pelion-fake-update", "1h")
    pelion = PelionClient(berth.http_port)
    made = pelion.call("POST", "/v3/devices", {"endpoint_name": "lamp-1"})[1]
    id = started(pelion, f"id__eq={made['id']}")
    assert campaign(pelion, id)["phase"] == "active"
    [device] = devices(pelion, id)
    assert (device["device_id"], device["deployment_state"]) == (made["id"], "pending")
    assert counts(pelion, id) == {"success": 0, "fail": 0, "info": 1, "skipped": 0}
    berth.leap("1h")
    found = over(pelion, id)
    assert found["state"] == "autostopped" and DATE.fullmatch(found["finished"])
    [device] = devices(pelion, id)
    assert device["deployment_state"] == "deployed"
    assert counts(pelion, id) == {"success": 1, "fail": 0, "info": 0, "skipped": 0}
    shown = pelion.call("GET", f"/v3/update-campaigns/{id}/campaign-device-metadata/{device['id']}")
    assert shown == (200, device)
    assert DATE.fullmatch(pelion.call("GET", f"/v3/devices/{made['id']}")[1]["manifest_timestamp"])


def test_a_campaign_is_active_until_that_is_seen(start_berth):
    berth = start_berth("--pelion-fake-update", "1ms")
    pelion = PelionClient(berth.http_port)
    pelion.call("POST", "/v3/devices", {"endpoint_name": "lamp-1"})
    id = started(pelion, "endpoint_name__eq=lamp-1")
    until(lambda: devices(pelion, id)[0]["deployment_state"] == "deployed", "it is not deployed")
    listed = pelion.call("GET", "/v3/update-campaigns")[1]["data"]
    assert [entry["phase"] for entry in listed] == ["active"]
    assert campaign(pelion, id)["phase"] == "active"
    over(pelion, id)
    second = started(pelion, "endpoint_name__eq=lamp-1")
    until(lambda: devices(pelion, second)[0]["deployment_state"] == "deployed", "it is not deployed")
    berth.leap("4s")
    assert campaign(pelion, second)["phase"] == "stopped"


def test_no_device_fulfils_the_filter(pelion):
    id = started(pelion, "endpoint_name__eq=nobody")
    found = campaign(pelion, id)
    assert (found["phase"], found["state"]) == ("stopped", "autostopped")
    assert found["autostop_reason"] and devices(pelion, id) == []


def test_phases_and_what_may_be_done_in_them(start_berth, berth, pelion):
    pelion.call("POST", "/v3/devices", {"endpoint_name": "lamp-1"})
    made = draft(pelion, "endpoint_name__eq=lamp-1")
    path = f"/v3/update-campaigns/{made['id']}"
    assert pelion.call("POST", path + "/stop")[0] == 409
    assert pelion.call("POST", path + "/archive")[0] == 409
    status, changed = pelion.call("PUT", path, {"description": "x", "device_filter": "state__eq=unenrolled"})
    assert (status, changed["device_filter"], changed["name"]) == (200, "state__eq=unenrolled", "campaign")
    assert pelion.call("POST", path + "/start") == (202, "")
    assert pelion.call("POST", path + "/start")[0] == 409
    assert pelion.call("DELETE", path)[0] == 409
    status, changed = pelion.call("PUT", path, {"name": "other", "device_filter": "id__eq=1"})
    assert (changed["name"], changed["device_filter"]) == ("other", "state__eq=unenrolled")
    berth, pelion = restarted(start_berth, berth)
    assert campaign(pelion, made["id"])["phase"] == "active"
    assert pelion.call("POST", path + "/stop") == (202, "")
    found = campaign(pelion, made["id"])
    assert (found["phase"], found["state"]) == ("stopped", "userstopped")
    assert devices(pelion, made["id"])[0]["deployment_state"] == "manifestremoved"
    assert pelion.call("POST", path + "/archive") == (202, "")
    assert campaign(pelion, made["id"])["phase"] == "archived"
    assert pelion.call("DELETE", path) == (204, "")
    assert pelion.call("GET", path + "/campaign-device-metadata")[0] == 404


def test_a_campaign_starts_by_its_state(pelion):
    pelion.call("POST", "/v3/devices", {"endpoint_name": "lamp-1"})
    made = draft(pelion, "endpoint_name__eq=lamp-1")
    path = f"/v3/update-campaigns/{made['id']}"
    status, changed = pelion.call("PUT", path, {"state": "scheduled"})
    assert (status, changed["phase"]) == (200, "active")


def test_a_campaign_starts_at_its_time(start_berth, berth, pelion):
    pelion.call("POST", "/v3/devices", {"endpoint_name": "lamp-1"})
    now = berth.get("/v1/clock")["now"]
    when = f"{int(now[:4]) + 1}{now[4:10]}T00:00:00.0Z".replace("-02-29", "-03-01")
    id = started(pelion, "endpoint_name__eq=lamp-1", when=when)
    found = campaign(pelion, id)
    assert (found["phase"], found["state"], found["started_at"]) == ("timed", "scheduled", None)
    assert found["when"].startswith(when[:10])
    berth, pelion = restarted(start_berth, berth)
    assert campaign(pelion, id)["phase"] == "timed"
    berth.leap("367d")
    assert campaign(pelion, id)["phase"] == "active"


@pytest.mark.parametrize(
    "change, field",
    [
        ({"device_filter": "colour__eq=red"}, "device_filter"),
        ({"device_filter": None}, "device_filter"),
        ({"device_filter": {}}, "device_filter"),
        ({"root_manifest_id": "0" * 32}, "root_manifest_id"),
        ({"when": "tomorrow"}, "when"),
        ({"name": 5}, "name"),
        ({"name": ""}, "name"),
    ],
)
def test_what_is_wrong_with_a_campaign(pelion, change, field):
    body = {"name": "x", "device_filter": "id__eq=1", **change}
    status, error = pelion.call("POST", "/v3/update-campaigns", body)
    assert (status, error["type"]) == (400, "validation_error")
    assert error["fields"][0]["name"] == field


def test_a_campaign_without_a_manifest_does_not_start(pelion):
    made = draft(pelion, "state__eq=registered", manifest=None)
    assert pelion.call("POST", f"/v3/update-campaigns/{made['id']}/start")[0] == 409


# ---- object 5 ----


def with_image(pelion: PelionClient, data: bytes = bytes(5000)) -> bytes:
    """A manifest with the URL of a new image."""
    return b"\x30\x82" + put(pelion, "firmware-images", data)["datafile"].encode() + b"\0"


def test_devices_with_object_5_are_updated(berth, pelion, start_device):  # noqa: F811
    pelion.call("GET", "/v3/devices")
    for name in ("dev1", "dev2"):
        start_device("--server", berth.listeners[0], "--endpoint", name).line("Device ID: ", partly=True)
    id = started(pelion, "state__eq=registered", with_image(pelion))
    assert campaign(pelion, id)["phase"] == "active"
    assert over(pelion, id)["state"] == "autostopped"
    assert counts(pelion, id) == {"success": 2, "fail": 0, "info": 0, "skipped": 0}
    assert {device["deployment_state"] for device in devices(pelion, id)} == {"deployed"}


def test_a_device_that_fails_says_why(berth, pelion, start_device):  # noqa: F811
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--firmware-fault", "integrity")
    device.line("Device ID: ", partly=True)
    id = started(pelion, "state__eq=registered", with_image(pelion))
    over(pelion, id)
    assert counts(pelion, id) == {"success": 0, "fail": 1, "info": 0, "skipped": 0}
    [reason] = pelion.call("GET", f"/v3/update-campaigns/{id}/statistics/fail/event_types")[1]["data"]
    assert reason["count"] == 1 and "ntegrity" in reason["description"]
    assert pelion.call("GET", f"/v3/update-campaigns/{id}/statistics/success/event_types")[1]["data"] == []
    assert pelion.call("GET", f"/v3/update-campaigns/{id}/statistics/fail")[1]["count"] == 1
    assert pelion.call("GET", f"/v3/update-campaigns/{id}/statistics/none")[0] == 404


def test_a_manifest_without_an_image_of_this_server(berth, pelion):
    berth.register("dev1", links="</5/0>")
    id = started(pelion, "endpoint_name__eq=dev1", b"http://elsewhere/x")
    over(pelion, id)
    assert counts(pelion, id) == {"success": 0, "fail": 1, "info": 0, "skipped": 0}


def test_a_device_that_can_t_be_updated_is_skipped(berth, pelion):
    berth.register("dev1", links="</3/0>")
    id = started(pelion, "endpoint_name__eq=dev1", with_image(pelion))
    over(pelion, id)
    assert counts(pelion, id) == {"success": 0, "fail": 0, "info": 0, "skipped": 1}


def test_a_device_is_in_one_campaign_at_a_time(pelion):
    pelion.call("POST", "/v3/devices", {"endpoint_name": "lamp-1"})
    first = started(pelion, "endpoint_name__eq=lamp-1")
    second = started(pelion, "endpoint_name__eq=lamp-1")
    assert counts(pelion, first)["info"] == 1
    assert counts(pelion, second)["skipped"] == 1
    assert pelion.call("POST", f"/v3/update-campaigns/{first}/stop") == (202, "")
    assert counts(pelion, started(pelion, "endpoint_name__eq=lamp-1"))["info"] == 1


def test_a_campaign_goes_on_after_a_restart(start_berth, berth, pelion, start_device):  # noqa: F811
    """One device has not come yet, the other has been told to update when the server goes."""
    pelion.call("POST", "/v3/devices", {"endpoint_name": "dev1"})
    device = PlayedDevice(berth, "dev2", links="</5/0>")
    id = started(pelion, "endpoint_name__in=dev1,dev2", with_image(pelion))
    device.expect(GET, "/5/0")
    until(lambda: "updated_connector_channel" in str(devices(pelion, id)), "nothing was begun")
    berth, pelion = restarted(start_berth, berth)
    assert campaign(pelion, id)["phase"] == "active"
    assert counts(pelion, id) == {"success": 0, "fail": 0, "info": 2, "skipped": 0}
    for name in ("dev1", "dev2"):
        start_device("--server", berth.listeners[0], "--endpoint", name).line("Device ID: ", partly=True)
    over(pelion, id)
    assert counts(pelion, id) == {"success": 2, "fail": 0, "info": 0, "skipped": 0}


def test_stopping_a_campaign_cancels_updates(berth, pelion):
    device = PlayedDevice(berth, "dev1", links="</5/0>")
    id = started(pelion, "endpoint_name__eq=dev1", with_image(pelion))
    device.expect(GET, "/5/0")
    assert pelion.call("POST", f"/v3/update-campaigns/{id}/stop") == (202, "")
    assert berth.get("/v1/devices/dev1/firmware")["state"] in ("cancelling", "cancelled")
    assert counts(pelion, id) == {"success": 0, "fail": 0, "info": 0, "skipped": 1}


# ---- object 10252 ----

STATE, RESULT = 4, 5  # the tokens of what a vendor's client observes by itself
SPOKEN = b'</1/0>,</10252/0/1>,</10252/0/2>;v="1";aobs="4";obs,</10252/0/3>;v="18";aobs="5";obs'
MANIFEST = b"0\x82\0\xff manifest"


def delivered(device: PlayedDevice, code: str = "2.04") -> None:
    """As the vendor's client takes it: an empty ACK, and the answer by itself."""
    request = device.expect(POST, "/10252/0/1")
    assert (request.payload, request.number(CONTENT_FORMAT)) == (MANIFEST, TEXT)
    device.acknowledge(request)
    device.answer_separately(request, code)


def deployment(pelion: PelionClient, id: str) -> str:
    [device] = devices(pelion, id)
    return device["deployment_state"]


def has_manifest(pelion: PelionClient, id: str) -> None:
    until(lambda: deployment(pelion, id) == "updated_connector_channel", "it was not delivered")


@pytest.mark.transports("pelion")
def test_the_manifest_goes_to_object_10252(berth, pelion):
    pelion.call("GET", "/v3/devices")
    device = VendorDevice(berth, "meter", SPOKEN)
    id = started(pelion, "endpoint_name__eq=meter", MANIFEST)
    delivered(device)
    has_manifest(pelion, id)
    assert device.tell(STATE, 2, b"4") == ACK
    assert device.tell(RESULT, 2, b"-1") == ACK
    assert device.tell(RESULT, 3, b"255") == ACK
    assert deployment(pelion, id) == "updated_connector_channel"
    assert device.tell(RESULT, 4, b"18") == ACK
    over(pelion, id)
    assert counts(pelion, id) == {"success": 1, "fail": 0, "info": 0, "skipped": 0}


@pytest.mark.transports("pelion")
def test_a_negative_result_is_a_failure(berth, pelion):
    pelion.call("GET", "/v3/devices")
    device = VendorDevice(berth, "meter", SPOKEN)
    id = started(pelion, "endpoint_name__eq=meter", MANIFEST)
    delivered(device)
    has_manifest(pelion, id)
    assert device.tell(RESULT, 2, b"-23") == ACK
    over(pelion, id)
    assert deployment(pelion, id) == "failed_connector_channel_update"
    [reason] = pelion.call("GET", f"/v3/update-campaigns/{id}/statistics/fail/event_types")[1]["data"]
    assert "-23" in reason["description"]


@pytest.mark.transports("pelion")
def test_a_result_from_before_the_manifest_says_nothing(berth, pelion):
    pelion.call("GET", "/v3/devices")
    device = VendorDevice(berth, "meter", SPOKEN)
    id = started(pelion, "endpoint_name__eq=meter", MANIFEST)
    request = device.expect(POST, "/10252/0/1")
    device.acknowledge(request)
    assert device.tell(RESULT, 2, b"18") == ACK
    device.answer_separately(request, "2.04")
    has_manifest(pelion, id)
    assert device.tell(STATE, 2, b"4") == ACK
    assert deployment(pelion, id) == "updated_connector_channel"


@pytest.mark.transports("pelion")
def test_a_manifest_that_is_refused(berth, pelion):
    pelion.call("GET", "/v3/devices")
    device = VendorDevice(berth, "meter", SPOKEN)
    id = started(pelion, "endpoint_name__eq=meter", MANIFEST)
    delivered(device, "4.00")
    over(pelion, id)
    assert deployment(pelion, id) == "failed_connector_channel_update"


@pytest.mark.transports("pelion")
def test_a_vendors_device_that_comes_back_tells_its_result(start_berth, berth, pelion):
    """The server was away while the device installed; it has registered anew since."""
    pelion.call("GET", "/v3/devices")
    device = VendorDevice(berth, "meter", SPOKEN)
    id = started(pelion, "endpoint_name__eq=meter", MANIFEST)
    delivered(device)
    has_manifest(pelion, id)
    device.register_with(SPOKEN)
    device.answer(device.expect(GET, "/10252/0/3"), "2.05", TEXT, b"255")
    berth, pelion = restarted(start_berth, berth)
    device = VendorDevice(berth, "meter", SPOKEN)
    device.answer(device.expect(GET, "/10252/0/3"), "2.05", TEXT, b"18")
    over(pelion, id)
    assert counts(pelion, id) == {"success": 1, "fail": 0, "info": 0, "skipped": 0}


def test_object_10252_is_observed_where_the_device_does_not_do_so_itself(berth, pelion):
    pelion.call("GET", "/v3/devices")
    device = ObservedDevice(berth, "meter", links="</10252/0>")
    id = started(pelion, "endpoint_name__eq=meter", MANIFEST)
    device.answer_observe(device.expect_observe("/10252/0/2"), 1, TEXT, b"1")
    request = device.expect_observe("/10252/0/3")
    device.answer_observe(request, 1, TEXT, b"18")
    delivered(device)
    has_manifest(pelion, id)
    assert device.send_and_see(device.notification(request.token, 2, b"18")) == ACK
    over(pelion, id)
    assert deployment(pelion, id) == "deployed"


def test_a_device_that_is_not_there_gets_the_manifest_when_it_comes(berth, pelion):
    pelion.call("POST", "/v3/devices", {"endpoint_name": "meter"})
    id = started(pelion, "endpoint_name__eq=meter", MANIFEST)
    assert campaign(pelion, id)["phase"] == "active"
    device = ObservedDevice(berth, "meter", links="</10252/0>")
    device.answer_observe(device.expect_observe("/10252/0/2"), 1, TEXT, b"1")
    device.answer(device.expect(GET, "/10252/0/3"), "4.05")
    delivered(device)
    has_manifest(pelion, id)


# ---- object 10255 ----


def test_vendor_and_class_come_from_the_device(start_berth, berth, pelion):
    pelion.call("GET", "/v3/devices")
    device = PlayedDevice(berth, "meter", links="</10255/0>")
    vendor, its_class = bytes(range(16)), bytes(range(16, 32))
    device.answer(device.expect(GET, "/10255/0/3"), "2.05", OPAQUE, vendor)
    device.answer(device.expect(GET, "/10255/0/4"), "2.05", OPAQUE, its_class)

    def found():
        query = f"device_class__eq={its_class.hex()}&vendor_id__eq={vendor.hex()}"
        return pelion.call("GET", f"/v3/devices?{query}")[1]["data"]

    assert until(found, "vendor and class are not known")[0]["endpoint_name"] == "meter"
    berth, pelion = restarted(start_berth, berth)
    assert len(found()) == 1


def test_a_device_without_vendor_and_class_is_asked_once(berth, pelion):
    pelion.call("GET", "/v3/devices")
    device = PlayedDevice(berth, "meter", links="</10255/0>")
    for path in ("/10255/0/3", "/10255/0/4"):
        device.answer(device.expect(GET, path), "4.04")
    device.registered.update()
    device.peer.expect_silence()
