"""The Device Management API, called as client code of that service calls it (docs/pelion-api.md)."""

import base64
import re
import threading

import pytest
from berth_process import Berth
from conftest import close_all
from device_process import DeviceProcess, start_device  # noqa: F401
from pelion_client import PelionClient, decoded

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
UNKNOWN = "0" * 32


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pelion")
    berth = Berth(directory / "data").start()
    device = DeviceProcess(
        directory / "device.log",
        "--server",
        berth.listeners[0],
        "--endpoint",
        "dev1",
        "--lwm2m",
        "1.1",
    )
    device.line("Device ID: ", partly=True)
    yield berth, device
    device.close()
    close_all([berth])


@pytest.fixture
def pelion(served):
    client = PelionClient(served[0].http_port)
    client.call("DELETE", "/v2/notification/pull")
    client.call("DELETE", "/v2/subscriptions")
    yield client


@pytest.fixture
def device(pelion) -> str:
    status, page = pelion.call("GET", "/v3/devices?filter=endpoint_name%3Ddev1")
    assert status == 200 and len(page["data"]) == 1, page
    return page["data"][0]["id"]


# ---- what every call has ----


def test_every_call_needs_a_key(pelion, device):
    for path in (
        "/v3/devices",
        f"/v3/devices/{device}",
        "/v2/subscriptions",
        "/v2/notification/pull",
        "/v3/nothing",
    ):
        for header in (None, "Basic eDp5", "Bearer ", "Bearer"):
            status, answer = pelion.call("GET", path, headers={"Authorization": header})
            assert (status, answer["object"], answer["code"], answer["type"]) == (
                401,
                "error",
                401,
                "invalid_auth",
            )
            assert (
                re.fullmatch("[0-9a-f]{32}", answer["request_id"])
                and answer["fields"] == []
            )
            assert pelion.headers["X-Request-ID"] == answer["request_id"]
    assert (
        pelion.call("GET", "/v3/devices", headers={"Authorization": "bearer ak_x"})[0]
        == 200
    )


def test_the_key_that_the_server_was_started_with_is_the_only_one(start_berth):
    berth = start_berth("--api-key", "ak_right")
    assert (
        PelionClient(berth.http_port, "ak_right").call("GET", "/v3/devices")[0] == 200
    )
    assert (
        PelionClient(berth.http_port, "ak_wrong").call("GET", "/v3/devices")[0] == 401
    )


def made(pelion: PelionClient, name: str) -> tuple[str, PelionClient]:
    status, key = pelion.call("POST", "/v3/api-keys", {"name": name})
    assert (status, key["object"], key["name"], key["status"]) == (
        201,
        "api-key",
        name,
        "ACTIVE",
    )
    return key["id"], PelionClient(pelion.port, key["key"])


def test_keys_are_made_and_deleted(start_berth):
    berth = start_berth("--api-key", "ak_first", data="keys")
    pelion = PelionClient(berth.http_port, "ak_first")
    first, second = made(pelion, "one"), made(pelion, "two")
    assert first[1].key != second[1].key
    status, shown = second[1].call("GET", f"/v3/api-keys/{first[0]}")
    assert (status, shown["name"]) == (200, "one") and "key" not in shown
    assert [entry["id"] for entry in pelion.call("GET", "/v3/api-keys")[1]["data"]] == [
        first[0],
        second[0],
    ]
    assert second[1].call("DELETE", f"/v3/api-keys/{first[0]}") == (204, "")
    assert first[1].call("GET", "/v3/devices")[0] == 401
    assert pelion.call("DELETE", f"/v3/api-keys/{first[0]}")[0] == 404
    berth.stop()
    berth = start_berth("--api-key", "ak_first", data="keys")
    assert (
        PelionClient(berth.http_port, second[1].key).call("GET", "/v3/devices")[0]
        == 200
    )
    assert (
        PelionClient(berth.http_port, first[1].key).call("GET", "/v3/devices")[0] == 401
    )


def test_a_deleted_key_is_refused_by_a_server_that_takes_any(pelion):
    id, client = made(pelion, "short-lived")
    client.open()
    assert pelion.call("DELETE", f"/v3/api-keys/{id}")[0] == 204
    assert client.call("GET", "/v3/devices")[0] == 401
    for body in ({}, {"name": ""}, {"name": "x" * 101}, {"name": 5}, "x"):
        assert pelion.call("POST", "/v3/api-keys", body)[0] == 400


def test_slashes_may_be_too_many(pelion, device):
    for path in (
        f"/v3/devices/{device}/",
        f"//v3//devices/{device}",
        f"/v3/devices//{device}//",
    ):
        assert pelion.call("GET", path)[1]["id"] == device


def test_unknown_paths_and_methods_are_errors_in_json(pelion):
    status, answer = pelion.call("GET", "/v3/groups")
    assert (status, answer["type"]) == (404, "not_found")
    for method, path in (
        ("POST", f"/v3/devices/{UNKNOWN}/suspend"),
        ("POST", f"/v3/devices/{UNKNOWN}/resume"),
        ("POST", f"/v3/firmware-images/upload-jobs/{UNKNOWN}/chunks"),
        ("GET", f"/v3/firmware-images/upload-jobs/{UNKNOWN}"),
        ("GET", "/v3/certificate-enrollments"),
        ("POST", f"/v3/devices/{UNKNOWN}/certificates/LWM2M/renew"),
    ):
        status, answer = pelion.call(method, path, {})
        assert (status, answer["object"], answer["type"], answer["fields"]) == (404, "error", "not_found", [])
    for method, path in (("PATCH", "/v3/devices"), ("POST", "/v3/firmware-images/upload-jobs")):  # as if it were an image
        status, answer = pelion.call(method, path, {})
        assert (status, answer["object"], answer["code"]) == (405, "error", 405)


def test_the_bootstrap_server_has_none_of_it(start_berth):
    berth = start_berth(web="http://127.0.0.1:0?role=bootstrap")
    assert PelionClient(berth.http_port).call("GET", "/v3/devices")[0] == 404


# ---- devices ----


def test_a_device(pelion, device, served):
    status, shown = pelion.call("GET", f"/v3/devices/{device}")
    assert status == 200
    assert re.fullmatch("[0-9a-f]{32}", device)
    assert (shown["id"], shown["endpoint_name"], shown["state"]) == (
        device,
        "dev1",
        "registered",
    )
    for name in ("created_at", "updated_at", "etag", "bootstrapped_timestamp"):
        assert DATE.fullmatch(shown[name]), name
    assert "" not in (
        value
        for name, value in shown.items()
        if name.endswith(("_at", "_date", "_timestamp"))
    )
    assert pelion.call("GET", f"/v3/devices/{UNKNOWN}")[0] == 404


def test_pages_filters_and_order(start_berth):
    berth = start_berth()
    names = [f"page{i}" for i in range(7)]
    for name in names:
        berth.register(name)
    pelion = PelionClient(berth.http_port)

    def listed(query: str) -> dict:
        status, page = pelion.call("GET", f"/v3/devices?{query}")
        assert status == 200, page
        return page

    def walk(order: str) -> list[str]:
        found, after = [], ""
        while True:
            page = listed(f"limit=3&order={order}{after}")
            assert len(page["data"]) <= 3
            found += [entry["endpoint_name"] for entry in page["data"]]
            if not page["has_more"]:
                return found
            after = f"&after={page['data'][-1]['id']}"

    assert walk("ASC") == names
    assert walk("DESC") == names[::-1]
    page = listed("limit=1&include=total_count")
    assert (page["object"], page["limit"], page["total_count"], page["has_more"]) == (
        "list",
        2,
        7,
        True,
    )
    assert "total_count" not in listed("limit=2")
    for query, expected in (
        ("endpoint_name__in=page1,page3", ["page1", "page3"]),
        ("filter=endpoint_name%3Dpage5%26state%3Dregistered", ["page5"]),
        ("filter=state__eq=deregistered", []),
        ("endpoint_name__nin=page0,page1,page2,page3,page4", ["page5", "page6"]),
        ("created_at__gte=2100-01-01T00%3A00%3A00.0Z", []),
    ):
        page = listed(query + "&include=total_count")
        assert [entry["endpoint_name"] for entry in page["data"]] == expected, query
        assert page["total_count"] == len(expected)


def test_endpoints_and_their_resources(pelion, device):
    status, listed = pelion.call("GET", "/v2/endpoints")
    assert status == 200
    assert {"name": device, "type": "default", "status": "ACTIVE", "q": False} in listed
    assert pelion.call("GET", "/v2/endpoints?type=lamp") == (200, [])
    status, resources = pelion.call("GET", f"/v2/endpoints/{device}")
    assert status == 200 and any(entry["uri"].startswith("/3/0") for entry in resources)
    assert pelion.call("GET", f"/v2/endpoints/{UNKNOWN}")[0] == 404


# ---- requests ----


def test_read_write_and_execute(pelion, device, served):
    pelion.open()
    assert pelion.read(device, "/3442/0/110") == "initial value"
    assert pelion.read(device, "/3442/0/120") == "1024"
    written = pelion.request(device, "PUT", "/3442/0/120", b"77")
    assert (written["status"], written["payload"]) == (200, "")
    assert pelion.read(device, "/3442/0/120") == "77"
    executed = pelion.request(device, "POST", "/3442/0/0")
    assert (executed["status"], executed["payload"]) == (200, "")
    assert pelion.read(device, "/3442/0/120") == "1024"


def test_opaque_is_bytes_and_an_instance_is_tlv(pelion, device, served):
    pelion.open()
    opaque = pelion.request(device, "GET", "/3442/0/150")
    assert (opaque["ct"], base64.b64decode(opaque["payload"])) == (
        "application/octet-stream",
        bytes.fromhex("0123456789abcdef"),
    )
    instance = pelion.request(device, "GET", "/3442/0")
    assert instance["ct"] == "application/vnd.oma.lwm2m+tlv"
    assert b"initial value" in base64.b64decode(instance["payload"])


def test_what_a_device_refuses(pelion, device, served):
    pelion.open()
    missing = pelion.request(device, "GET", "/3442/0/9999")
    assert (missing["status"], missing["payload"]) == (404, "")
    assert (
        pelion.request(device, "GET", "/3442/0/0")["status"] == 400
    )  # it is for executing


def test_words_for_what_is_wrong_with_a_request(pelion, device):
    def refused(id: str, query: str, body: object) -> tuple:
        return pelion.call("POST", f"/v2/device-requests/{id}{query}", body)

    good = {"method": "GET", "uri": "/3/0/0"}
    assert refused(device, "", good) == (400, "MALFORMED_ASYNC_ID")
    assert refused(device, "?async-id=a%20b", good) == (400, "MALFORMED_ASYNC_ID")
    assert refused(device, f"?async-id={'x' * 41}", good) == (400, "MALFORMED_ASYNC_ID")
    assert refused(device, "?async-id=a", {"method": "GET"}) == (
        400,
        "MALFORMED_JSON_CONTENT",
    )
    assert refused(device, "?async-id=a", {"method": "GOT", "uri": "/3/0/0"}) == (
        400,
        "MALFORMED_JSON_CONTENT",
    )
    assert refused(device, "?async-id=a", {**good, "payload-b64": "*"}) == (
        400,
        "MALFORMED_JSON_CONTENT",
    )
    assert refused(device, "?async-id=a", "no json") == (400, "MALFORMED_JSON_CONTENT")
    assert refused(device, "?async-id=a", {"method": "GET", "uri": "/4711/0"}) == (
        400,
        "RESOURCE_NOT_FOUND",
    )
    assert refused(UNKNOWN, "?async-id=a", good) == (404, "DEVICE_NOT_FOUND")


def test_attributes_are_written_by_a_query(pelion, device, served):
    pelion.open()
    assert pelion.request(device, "PUT", "/3442/0/125?pmin=5&pmax=60")["status"] == 200
    links = served[0].http("GET", "/v1/devices/dev1/3442/0/125/discover").json["links"]
    assert any(link["attributes"].get("pmax") == "60" for link in links), links


# ---- the channel ----


def poll(port: int, answers: list) -> threading.Thread:
    def run():
        answers.append(PelionClient(port).call("GET", "/v2/notification/pull"))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_poll_ends_after_thirty_seconds(pelion, served):
    answers = []
    reader = poll(pelion.port, answers)
    while pelion.call("GET", "/v2/notification/channel")[0] != 200:
        assert reader.is_alive()
    served[0].leap("29s")
    assert pelion.call("GET", "/v2/notification/channel") == (
        200,
        {"delivery_mechanism": "LONG_POLLING"},
    )
    assert answers == []
    served[0].leap("1s")
    reader.join(20)
    assert answers == [(204, "")]


def test_a_newer_poll_takes_the_place_of_an_older_one_and_ends_with_the_channel(pelion):
    answers = []
    readers = [poll(pelion.port, answers), poll(pelion.port, answers)]
    while not answers:
        assert all(reader.is_alive() for reader in readers) or answers
    assert answers == [(409, "")]
    assert pelion.call("DELETE", "/v2/notification/pull") == (200, "REMOVED")
    for reader in readers:
        reader.join(20)
    assert answers[1:] == [(410, "CHANNEL_DELETED")]
    assert pelion.call("DELETE", "/v2/notification/pull") == (200, "ALREADY_DELETED")
    assert pelion.call("GET", "/v2/notification/channel")[0] == 404


def test_registrations_are_told(pelion, served, start_device):  # noqa: F811
    pelion.open()
    device = start_device(
        "--server", served[0].listeners[0], "--endpoint", "dev2", "--lwm2m", "1.1"
    )
    told = pelion.message("registrations", **{"original-ep": "dev2"})
    assert (told["ept"], told["q"]) == ("default", False)
    assert any(entry["path"].startswith("/3/0") for entry in told["resources"])
    device.line("Device ID: ", partly=True)  # it knows that it is registered
    device.close()
    assert pelion.message("de-registrations") == told["ep"]
    assert pelion.call("GET", f"/v3/devices/{told['ep']}")[1]["state"] == "deregistered"
    body = {"method": "GET", "uri": "/3/0/0"}
    answer = pelion.call("POST", f"/v2/device-requests/{told['ep']}?async-id=a", body)
    assert answer == (400, "DEVICE_NOT_CONNECTED")


# ---- subscriptions ----


def test_a_subscription(pelion, device, served):
    pelion.open()
    path = f"/v2/subscriptions/{device}//3442/0/120"
    status, answer = pelion.call("PUT", path)
    assert status == 202
    first = pelion.response(answer["async-response-id"])
    assert (first["status"], decoded(first)) == (200, "1024")
    assert pelion.call("GET", path)[0] == 200
    assert pelion.call("GET", f"/v2/subscriptions/{device}") == (200, "/3442/0/120")
    pelion.request(device, "PUT", "/3442/0/120", b"31")
    told = pelion.message("notifications", ep=device)
    assert (told["path"], told["ct"], decoded(told)) == (
        "/3442/0/120",
        "text/plain",
        "31",
    )
    assert pelion.call("DELETE", path)[0] == 204
    assert pelion.call("GET", path)[0] == 404
    assert pelion.call("GET", f"/v2/subscriptions/{device}")[0] == 404
    assert pelion.call("PUT", f"/v2/subscriptions/{device}/4711/0")[0] == 404
    assert pelion.call("PUT", f"/v2/subscriptions/{UNKNOWN}/3/0/0")[0] == 404
    pelion.request(device, "POST", "/3442/0/0")


def test_presubscriptions_begin_now_and_later(pelion, device, served, start_device):  # noqa: F811
    pelion.open()
    wanted = [
        {"endpoint-name": device, "resource-path": ["/3442/0/110"]},
        {"endpoint-name": "pre*", "resource-path": ["/3442/0/130"]},
    ]
    assert pelion.call("PUT", "/v2/subscriptions", wanted)[0] == 204
    assert pelion.call("GET", "/v2/subscriptions") == (200, wanted)
    assert (
        decoded(pelion.message("notifications", ep=device, path="/3442/0/110"))
        == "initial value"
    )
    late = start_device(
        "--server", served[0].listeners[0], "--endpoint", "pre1", "--lwm2m", "1.1"
    )
    id = pelion.message("registrations", **{"original-ep": "pre1"})["ep"]
    assert (
        decoded(pelion.message("notifications", ep=id, path="/3442/0/130")) == "3.14159"
    )
    pelion.request(device, "PUT", "/3442/0/110", b"another")
    assert (
        decoded(pelion.message("notifications", ep=device, path="/3442/0/110"))
        == "another"
    )
    late.line("Device ID: ", partly=True)
    late.close()
    assert pelion.call("PUT", "/v2/subscriptions", [])[0] == 204
    assert pelion.call("GET", "/v2/subscriptions") == (200, [])
    assert pelion.call("GET", f"/v2/subscriptions/{device}")[0] == 404
    pelion.request(device, "POST", "/3442/0/0")


@pytest.mark.parametrize(
    "body", ["{}", "[1]", "", '[{"endpoint-name":5}]', '[{"resource-path":"/3"}]']
)
def test_a_list_of_presubscriptions_that_is_none(pelion, body):
    assert pelion.call("PUT", "/v2/subscriptions", body)[0] == 400


def test_presubscriptions_outlive_the_server(start_berth, start_device):  # noqa: F811
    berth = start_berth(data="kept")
    pelion = PelionClient(berth.http_port)
    wanted = [{"resource-path": ["/3442/0/120"]}]
    assert pelion.call("PUT", "/v2/subscriptions", wanted)[0] == 204
    berth.stop()
    berth = start_berth(data="kept")
    pelion = PelionClient(berth.http_port)
    pelion.open()
    start_device("--server", berth.listeners[0], "--endpoint", "kept", "--lwm2m", "1.1")
    assert decoded(pelion.message("notifications", path="/3442/0/120")) == "1024"
    assert PelionClient(berth.http_port, "another").call(
        "GET", "/v2/subscriptions"
    ) == (200, [])


def test_a_subscription_can_be_answered_with_200(start_berth, start_device):
    berth = start_berth("--pelion-subscribe-reply", "200")
    start_device("--server", berth.listeners[0], "--endpoint", "dev1").line("Device ID: ", partly=True)
    pelion = PelionClient(berth.http_port)
    pelion.open()
    [device] = [entry["name"] for entry in pelion.call("GET", "/v2/endpoints")[1]]
    assert pelion.call("PUT", f"/v2/subscriptions/{device}/3442/0/120") == (200, "")
    first = pelion.message("notifications", path="/3442/0/120")
    assert first["ep"] == device and "async-responses" not in pelion.messages
    assert pelion.call("GET", f"/v2/subscriptions/{device}/3442/0/120")[0] == 200
