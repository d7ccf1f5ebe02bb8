"""What Leshan's integration tests of Delete, Execute, Discover and Write-Attributes ask of a server.

Each test is named after the class there. They test the client mostly; here the server carries requests, codes and
payloads faithfully, for devices of every version.
"""

import pytest
from coapraw import DELETE, GET, POST, PUT
from device_process import start_device  # noqa: F401
from played_device import LINK, PlayedDevice, accept_of, format_of, query_of

pytestmark = pytest.mark.transports

VERSIONS = ["1.0", "1.1", "1.2"]
ERRORS = [("4.00", 400), ("4.01", 401), ("4.04", 404), ("4.05", 405)]


@pytest.fixture(scope="module")
def devices(module_berth):
    known: dict[str, PlayedDevice] = {}

    def device_of(version: str) -> PlayedDevice:
        if version not in known:
            links = "</1/0>,</2/0>,</3/0>,</3442/0>"
            known[version] = PlayedDevice(module_berth, f"leshan-{version}", version=version, links=links)
        return known[version]

    return device_of


def listed(device: PlayedDevice) -> set[str]:
    return {item["path"] for item in device.berth.device(device.endpoint)["objects"]}


def failed(device: PlayedDevice, method: str, path: str, expected: tuple[int, str], code: str, status: int, body: object = None, **query: object):
    asked = device.ask(method, path, body, **query)
    request = device.expect(*expected)
    device.answer(request, code, None, b"because")
    problem = asked.answer(status).json
    assert (problem["coap_code"], problem["diagnostic"], problem["endpoint"]) == (code, "because", device.endpoint)
    return request


# ---- Delete ----


@pytest.mark.parametrize("version", VERSIONS)
def test_leshan_Delete_instance(devices, version):
    device = devices(version)
    device.registered.update(links="</1/0>,</2/0>,</3/0>,</3442/0>")
    request = device.write("DELETE", "/2/0", None, DELETE, "2.02")
    assert (request.payload, format_of(request), query_of(request)) == (b"", None, [])
    assert "/2/0" not in listed(device)


@pytest.mark.parametrize(("code", "status"), ERRORS)
@pytest.mark.parametrize("version", VERSIONS)
def test_leshan_Delete_that_fails_changes_nothing(devices, version, code, status):
    device = devices(version)
    failed(device, "DELETE", "/3/0", (DELETE, "/3/0"), code, status)
    assert "/3/0" in listed(device)


@pytest.mark.parametrize("path", ["/3", "/3/0/9", ""])
def test_leshan_Delete_of_an_object_resource_or_device_is_no_operation(devices, path):
    device = devices("1.1")
    if path:
        assert device.http("DELETE", path).status == 405
    else:
        assert device.http("DELETE", "/").status == 404


@pytest.mark.parametrize("path", ["/0/0", "/21/0"])
def test_leshan_DeleteClientOnly_security_is_the_bootstrap_servers(devices, path):
    device = devices("1.1")
    assert device.http("DELETE", path).problem == "not-sent"
    failed(device, "DELETE", path, (DELETE, path), "4.01", 401, force=1)


# ---- Execute ----


@pytest.mark.parametrize("version", VERSIONS)
def test_leshan_Execute_without_arguments(devices, version):
    request = devices(version).write("POST", "/3/0/4", None, POST)
    assert (request.payload, format_of(request)) == (b"", None)


@pytest.mark.parametrize("arguments", ["0", "0,1", "0='hello'", "3='x',0,9='http://h/p?q=1'"])
@pytest.mark.parametrize("version", VERSIONS)
def test_leshan_Execute_with_arguments(devices, version, arguments):
    request = devices(version).write("POST", "/3/0/4", {"args": arguments}, POST)
    assert (request.payload, format_of(request)) == (arguments.encode(), 0)


@pytest.mark.parametrize(("code", "status"), ERRORS)
@pytest.mark.parametrize("path", ["/3/0/0", "/3/9/4", "/9999/0/0"])
def test_leshan_Execute_that_fails(devices, path, code, status):
    failed(devices("1.1"), "POST", path, (POST, path), code, status)


def test_leshan_Execute_of_the_security_object(devices):
    assert devices("1.1").http("POST", "/0/0/0").problem == "not-sent"


# ---- Discover ----


@pytest.mark.parametrize(
    ("path", "payload", "links"),
    [
        ("/3", b"</3>;ver=1.1,</3/0>,</3/0/0>,</3/0/7>", {"/3": {"ver": "1.1"}, "/3/0": {}, "/3/0/0": {}, "/3/0/7": {}}),
        ("/3", b"</3>,</3/0>;pmin=10", {"/3": {}, "/3/0": {"pmin": "10"}}),
        ("/3/0", b"</3/0>;pmin=10,</3/0/7>;dim=2;gt=50;lt=42.2,</3/0/9>", {"/3/0": {"pmin": "10"}, "/3/0/7": {"dim": "2", "gt": "50", "lt": "42.2"}, "/3/0/9": {}}),
        ("/3/0/7", b"</3/0/7>;dim=2;pmin=10;pmax=60;gt=50;lt=42.2,</3/0/7/0>,</3/0/7/1>", {"/3/0/7": {"dim": "2", "pmin": "10", "pmax": "60", "gt": "50", "lt": "42.2"}, "/3/0/7/0": {}, "/3/0/7/1": {}}),
        ("/3442", b"</3442>", {"/3442": {}}),
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
def test_leshan_Discover(devices, version, path, payload, links):
    device = devices(version)
    asked = device.ask("GET", f"{path}/discover")
    request = device.expect(GET, path)
    assert (accept_of(request), query_of(request)) == (LINK, [])
    device.answer(request, "2.05", LINK, payload)
    assert {link["path"]: link["attributes"] for link in asked.answer(200).json["links"]} == links


@pytest.mark.parametrize(("code", "status"), ERRORS)
@pytest.mark.parametrize("path", ["/9999", "/3/9", "/3/0/9999"])
def test_leshan_Discover_that_fails(devices, path, code, status):
    failed(devices("1.1"), "GET", f"{path}/discover", (GET, path), code, status)


# ---- Write-Attributes ----


@pytest.mark.parametrize("path", ["/3", "/3/0", "/3/0/9", "/3/0/7"])
def test_leshan_WriteAttributeDiscover_what_is_written_at_every_level_comes_back(berth, start_device, path):
    start_device("--server", berth.listen[0], "--endpoint", "ref").line("Device ID:", partly=True)
    attributes = {"pmin": 5, "pmax": 60} | ({"gt": 7.5, "lt": 1.5, "st": 0.5} if path.count("/") > 2 else {})
    assert berth.http("PUT", f"/v1/devices/ref{path}/attributes", attributes).status == 204
    assert discovered(berth, path).items() >= {name: str(value) for name, value in attributes.items()}.items()
    assert berth.http("PUT", f"/v1/devices/ref{path}/attributes", dict.fromkeys(attributes)).status == 204
    assert discovered(berth, path).keys().isdisjoint(attributes)


def discovered(berth, path: str) -> dict[str, str]:
    links = berth.get(f"/v1/devices/ref{path}/discover")["links"]
    return next(link["attributes"] for link in links if link["path"] == path)


CONTRADICTIONS = [{"epmin": 10, "epmax": 9}, {"gt": 5, "lt": 5}, {"gt": 5, "lt": 6}, {"lt": 10, "gt": 12, "st": 2}]


@pytest.mark.parametrize("attributes", CONTRADICTIONS)
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_leshan_WriteAttributeFailed_contradictions(devices, version, attributes):
    device = devices(version)
    assert device.http("PUT", "/3/0/9/attributes", attributes).problem == "bad-body"
    request = failed(device, "PUT", "/3/0/9/attributes", (PUT, "/3/0/9"), "4.00", 400, attributes, force=1)
    assert query_of(request) == [f"{name}={value}" for name, value in attributes.items()]


@pytest.mark.parametrize("version", VERSIONS)
def test_leshan_WriteAttributeFailed_pmin_above_pmax_is_the_devices_to_judge(devices, version):
    request = failed(devices(version), "PUT", "/3/0/9/attributes", (PUT, "/3/0/9"), "4.00", 400, {"pmin": 50, "pmax": 49})
    assert query_of(request) == ["pmin=50", "pmax=49"]
