"""The device directory of the Device Management API: devices made, changed and deleted; conditions; device events."""

import pytest
from pelion_client import PelionClient
from test_pelion_api import DATE


@pytest.fixture
def berth(start_berth):
    return start_berth(data="directory")


@pytest.fixture
def pelion(berth):
    return PelionClient(berth.http_port)


def made(pelion: PelionClient, endpoint: str, **fields: object) -> dict:
    status, device = pelion.call(
        "POST", "/v3/devices", {"endpoint_name": endpoint, **fields}
    )
    assert status == 201, device
    return device


def names(pelion: PelionClient, query: str) -> list[str]:
    status, page = pelion.call("GET", f"/v3/devices?{query}")
    assert status == 200, page
    return [entry["endpoint_name"] for entry in page["data"]]


def restarted(start_berth, berth) -> PelionClient:
    berth.stop()
    return PelionClient(start_berth(data="directory").http_port)


def test_a_device_is_made_changed_and_deleted(start_berth, berth, pelion):
    device = made(pelion, "lamp-1", serial_number="17", custom_attributes={"room": "4"})
    assert device["state"] == "unenrolled"
    assert device["bootstrapped_timestamp"] is None and DATE.fullmatch(device["etag"])
    path = f"/v3/devices/{device['id']}"
    assert pelion.call("POST", "/v3/devices", {"endpoint_name": "lamp-1"})[0] == 409
    status, changed = pelion.call(
        "PUT", path, {"name": "Lamp", "custom_attributes": {"a_b": "x"}, "id": "no"}
    )
    assert (status, changed["name"], changed["custom_attributes"]) == (
        200,
        "Lamp",
        {"a_b": "x"},
    )
    assert (changed["serial_number"], changed["id"]) == ("17", device["id"])
    pelion = restarted(start_berth, berth)
    assert pelion.call("GET", path + "/") == (200, changed)
    assert pelion.call("DELETE", path) == (204, "")
    assert pelion.call("GET", path)[0] == 404
    assert pelion.call("DELETE", path)[0] == 404


def test_what_is_wrong_with_a_body_is_told_by_its_field(pelion):
    device = made(pelion, "lamp-1")
    for body, field in (
        ({"name": 5}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"description": ["x"]}, "description"),
        ({"auto_update": "yes"}, "auto_update"),
        ({"custom_attributes": {"a": 1}}, "custom_attributes"),
        ({"custom_attributes": {str(i): "" for i in range(6)}}, "custom_attributes"),
    ):
        status, error = pelion.call("PUT", f"/v3/devices/{device['id']}", body)
        assert (status, error["type"]) == (400, "validation_error"), body
        assert [entry["name"] for entry in error["fields"]] == [field]
    status, error = pelion.call("PUT", f"/v3/devices/{device['id']}", "{]")
    assert (status, error["object"]) == (400, "error")


def test_deleting_a_device_ends_its_registration(berth, pelion):
    pelion.call("GET", "/v3/devices")
    berth.register("dev1")
    [device] = pelion.call("GET", "/v3/devices")[1]["data"]
    assert pelion.call("DELETE", f"/v3/devices/{device['id']}") == (204, "")
    assert berth.http("GET", "/v1/devices/dev1").status == 404
    assert pelion.call("GET", "/v3/devices")[1]["data"] == []
    berth.register("dev1")
    [again] = pelion.call("GET", "/v3/devices")[1]["data"]
    assert again["id"] == device["id"]


def test_a_device_that_has_gone_is_known_after_a_restart(start_berth, berth, pelion):
    pelion.call("GET", "/v3/devices")
    berth.register("dev1", lifetime=60)
    [before] = pelion.call("GET", "/v3/devices")[1]["data"]
    berth.leap("1h")
    [after] = pelion.call("GET", "/v3/devices")[1]["data"]
    assert (before["state"], after["state"]) == ("registered", "deregistered")
    pelion = restarted(start_berth, berth)
    [found] = pelion.call("GET", "/v3/devices")[1]["data"]
    assert found == after
    for name in ("created_at", "bootstrapped_timestamp", "id"):
        assert found[name] == before[name]


def test_a_production_device_is_not_deleted(pelion):
    device = made(pelion, "meter", device_execution_mode=5)
    assert device["deployed_state"] == "production"
    assert pelion.call("DELETE", f"/v3/devices/{device['id']}")[0] == 400


def test_conditions_in_both_spellings(pelion):
    for i in range(5):
        made(
            pelion,
            f"lamp{i}",
            device_class=f"class{i % 2}",
            vendor_id="Osram",
            custom_attributes={"room": str(i), "my__floor": "1"},
            auto_update=i == 3,
        )
    for one, expected in (
        ("device_class__eq=class1", ["lamp1", "lamp3"]),
        ("device_class=class1", ["lamp1", "lamp3"]),
        ("device_class__neq=class1", ["lamp0", "lamp2", "lamp4"]),
        ("endpoint_name__in=lamp4,lamp0", ["lamp0", "lamp4"]),
        ("endpoint_name__nin=lamp4,lamp0", ["lamp1", "lamp2", "lamp3"]),
        ("vendor_id__like=sra", [f"lamp{i}" for i in range(5)]),
        ("vendor_id__like=srb", []),
        ("custom_attributes__room=2", ["lamp2"]),
        ("custom_attributes__room__eq=2", ["lamp2"]),
        ("custom_attributes__room__in=2,3", ["lamp2", "lamp3"]),
        ("custom_attributes__room__neq=2", ["lamp0", "lamp1", "lamp3", "lamp4"]),
        ("custom_attributes__my__floor__eq=1", [f"lamp{i}" for i in range(5)]),
        ("custom_attributes__wall__eq=1", []),
        ("auto_update__eq=true", ["lamp3"]),
        ("device_execution_mode__eq=0", [f"lamp{i}" for i in range(5)]),
        ("bootstrapped_timestamp__gte=2016-11-30T16:25:12.1234Z", []),
        ("created_at__gte=2016-11-30T16:25:12.1234Z", [f"lamp{i}" for i in range(5)]),
        ("created_at__gte=2016-11-30", [f"lamp{i}" for i in range(5)]),
        ("created_at__lte=2016-11-30T16:25:12Z", []),
        ("device_class=class1&custom_attributes__room__eq=3", ["lamp3"]),
    ):
        quoted = one.replace("&", "%26").replace("=", "%3D").replace(":", "%3A")
        assert names(pelion, one) == expected, one
        assert names(pelion, "filter=" + quoted) == expected, one
        partly = "filter=" + one.partition("&")[0]
        assert set(expected) <= set(names(pelion, partly)), one


def test_a_condition_on_the_id(pelion):
    devices = [made(pelion, f"lamp{i}") for i in range(3)]
    wanted = devices[1]["id"]
    assert names(pelion, f"id__eq={wanted}") == ["lamp1"]
    assert names(pelion, f"filter=id__eq={wanted}&limit=1000") == ["lamp1"]
    assert names(pelion, f"id__eq={wanted}&endpoint_name__eq=lamp2") == []
    assert names(pelion, f"id__in={wanted},{devices[2]['id']}") == ["lamp1", "lamp2"]
    page = pelion.call("GET", f"/v3/devices?id__eq={wanted}&include=total_count")[1]
    assert (page["total_count"], page["has_more"]) == (1, False)


@pytest.mark.parametrize(
    "query",
    [
        "filter=colour__eq=red",
        "filter=colour=red",
        "filter=state__is=registered",
        "state__is=registered",
        "colour__eq=red",
        "filter=custom_attributes=x",
        "limit=many",
        "order=UP",
        "filter=" + "x" * 2000,
        "filter=%25zz",
    ],
)
def test_a_condition_that_nothing_can_meet_is_refused(pelion, query):
    status, error = pelion.call("GET", f"/v3/devices?{query}")
    assert (status, error["object"], error["type"]) == (
        400,
        "error",
        "validation_error",
    )
    assert error["fields"]


def test_limits_are_clamped_and_strange_parameters_passed_over(pelion):
    for query, limit in (("limit=0", 2), ("limit=5000", 1000), ("", 50), ("x=1", 50)):
        status, page = pelion.call("GET", f"/v3/devices?{query}")
        assert (status, page["limit"], page["after"]) == (200, limit, None)


def test_events_of_devices(start_berth, berth, pelion):
    pelion.call("GET", "/v3/devices")
    berth.register("dev1", lifetime=60)
    device = made(pelion, "lamp-1")
    pelion.call("PUT", f"/v3/devices/{device['id']}", {"description": "A lamp."})
    berth.leap("1h")
    status, page = pelion.call("GET", "/v3/device-events?include=total_count")
    assert (status, page["total_count"]) == (200, 5)
    told = [
        (entry["event_type"].rpartition("-")[2], entry["state_change"])
        for entry in page["data"]
    ]
    assert told == [
        ("created", False),
        ("registered", True),
        ("created", False),
        ("updated", False),
        ("deregistered", True),
    ]
    updated, gone = page["data"][3:]
    assert updated["changes"] == {"description": "A lamp."}
    assert (gone["object"], gone["changes"]) == (
        "device-event",
        {"state": "deregistered"},
    )
    for name in ("date_time", "created_at", "etag"):
        assert DATE.fullmatch(gone[name])
    query = f"filter=device_id__eq={device['id']}&order=DESC"
    of_lamp = pelion.call("GET", f"/v3/devicelog/?{query}")[1]["data"]
    assert [entry["id"] for entry in of_lamp] == [
        entry["id"] for entry in page["data"][3:1:-1]
    ]
    assert pelion.call("GET", "/v3/device-events?state_change=true&limit=2")[1]["data"]
    pelion = restarted(start_berth, berth)
    assert pelion.call("GET", "/v3/device-events")[1]["data"] == page["data"]
    assert pelion.call("GET", f"/v3/device-events/{gone['id']}") == (200, gone)
    assert pelion.call("GET", f"/v3/devicelog/{gone['id']}") == (200, gone)
    assert pelion.call("GET", "/v3/device-events/nothing")[0] == 404
