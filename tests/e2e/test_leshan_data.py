"""What Leshan's integration tests of reading, writing and creating ask of a server, in every format of every version.

Each test is named after the class there. Devices are played, and tests/e2e/lwm2mraw.py is their codec.
"""

import pytest
from coapraw import FETCH, GET, IPATCH, LOCATION_PATH, POST, PUT
from lwm2mraw import CBOR, LWM2M_CBOR, OMA_JSON, OPAQUE, SENML_CBOR, SENML_JSON, TEXT, TLV, Value, decode, encode, read_cbor
from played_device import PlayedDevice, format_of, path_of

pytestmark = pytest.mark.transports

NAMES = {TEXT: "text", OPAQUE: "opaque", CBOR: "cbor", SENML_JSON: "senml-json", SENML_CBOR: "senml-cbor", TLV: "tlv", OMA_JSON: "json", LWM2M_CBOR: "lwm2m-cbor"}
SINGLE = {"1.0": [TEXT, TLV, OMA_JSON], "1.1": [TEXT, CBOR, TLV, SENML_JSON, SENML_CBOR], "1.2": [TEXT, CBOR, TLV, SENML_JSON, SENML_CBOR, LWM2M_CBOR]}
MANY = {version: [format for format in formats if format not in (TEXT, CBOR)] for version, formats in SINGLE.items()}
COMPOSITE = {"1.1": [SENML_JSON, SENML_CBOR], "1.2": [SENML_JSON, SENML_CBOR]}

VALUES = {
    "110": Value("string", "zażółć \"x\""),
    "120": Value("integer", -9007199254740993),
    "125": Value("unsigned", 18446744073709551615),
    "130": Value("float", 3.14159),
    "140": Value("boolean", True),
    "150": Value("opaque", bytes(range(0, 256, 5))),
    "160": Value("time", 1367491215),
    "170": Value("objlnk", "66:613"),
    "180": Value("corelnk", "</3/0>"),
}
TYPES = {f"/3442/0/{id}": value.type for id, value in VALUES.items()}
TYPES |= {f"/3442/{instance}/{int(id) + 1000}": value.type for id, value in VALUES.items() for instance in (0, 5, 6)}
TYPES |= {f"/3442/{instance}/{id}": value.type for id, value in VALUES.items() for instance in (0, 5, 6, 65535)}
TYPES |= {"/3/0/0": "string", "/3/0/9": "integer", "/3/0/14": "string", "/1/0/1": "integer"}


def cases(formats: dict[str, list[int]]) -> list:
    return [pytest.param(version, format, id=f"{version}-{NAMES[format]}") for version, all in formats.items() for format in all]


@pytest.fixture(scope="module")
def devices(module_berth):
    """devices("1.1") -> a device of that version that announces every format."""
    known: dict[str, PlayedDevice] = {}

    def device_of(version: str) -> PlayedDevice:
        if version not in known:
            links = "</1/0>,</3/0>,</3442/0>"
            known[version] = PlayedDevice(module_berth, f"leshan-{version}", version=version, links=links)
        return known[version]

    return device_of


def value_of(answer: dict, path: str) -> object:
    """Of a resource, or of an instance of one, in what the API tells."""
    for id in path.split("/"):
        answer = (answer.get("resources") or answer.get("values") or answer.get("instances") or {})[id]
    return answer["value"] if isinstance(answer, dict) else answer


def read_payload(device: PlayedDevice, path: str, format: int, payload: bytes) -> dict:
    asked = device.ask("GET", path, format=NAMES[format])
    device.answer(device.expect(GET, path), "2.05", format, payload)
    return asked.answer(200).json


def read(device: PlayedDevice, path: str, format: int, values: dict[str, Value]) -> dict:
    """What the API tells of these values, which a device tells in this format when it is asked for it."""
    answer = read_payload(device, path, format, encode(format, path, values))
    assert "error" not in answer and "oddity" not in answer, answer
    return answer


def written(device: PlayedDevice, method: str, path: str, body: object, format: int, code: int) -> dict[str, object]:
    """What the device is told in this format."""
    request = device.write(method, path, body, code, format=NAMES[format])
    assert format_of(request) == format
    return decode(format, path, request.payload, TYPES)


# ---- reads ----


@pytest.mark.parametrize("id", VALUES)
@pytest.mark.parametrize(("version", "format"), cases(SINGLE))
def test_leshan_ReadSingleValue_resource(devices, version, format, id):
    if (format, VALUES[id].type) == (OMA_JSON, "corelnk"):
        return  # LwM2M 1.0 has no core links
    path = f"/3442/0/{id}"
    answer = read(devices(version), path, format, {path: VALUES[id]})
    assert (answer["type"], answer["value"]) == (VALUES[id].type, VALUES[id].api)


@pytest.mark.parametrize("id", VALUES)
@pytest.mark.parametrize(("version", "format"), [case for case in cases(SINGLE) if case.values[0] != "1.0"])
def test_leshan_ReadSingleValue_resource_instance(devices, version, format, id):
    path = f"/3442/0/{int(id) + 1000}/65534"
    answer = read(devices(version), path, format, {path: VALUES[id]})
    assert (answer["type"], answer["value"]) == (VALUES[id].type, VALUES[id].api)


@pytest.mark.parametrize(("version", "format"), [case for case in cases(SINGLE) if case.values[0] != "1.0"])
def test_leshan_ReadSingleValue_instance_of_a_single_resource(devices, version, format):
    device = devices(version)
    asked = device.ask("GET", "/3442/0/110/0", format=NAMES[format])
    device.answer(device.expect(GET, "/3442/0/110/0"), "4.04")
    assert asked.answer(404).json["coap_code"] == "4.04"


def instance(number: int = 0) -> dict[str, Value]:
    """Every resource, single and multiple."""
    values = {f"/3442/{number}/{id}": value for id, value in VALUES.items()}
    return values | {f"/3442/{number}/{int(id) + 1000}/{index}": value for id, value in VALUES.items() for index in (0, 7)}


@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_ReadMultiValue_instance(devices, version, format):
    answer = read(devices(version), "/3442/0", format, instance())
    assert answer["path"] == "/3442/0"
    for path, value in instance().items():
        assert value_of(answer, path.removeprefix("/3442/0/")) == value.api


@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_ReadMultiValue_object(devices, version, format):
    answer = read(devices(version), "/3442", format, instance(0) | instance(5))
    assert list(answer["instances"]) == ["0", "5"]
    for path, value in (instance(0) | instance(5)).items():
        assert value_of(answer, path.removeprefix("/3442/")) == value.api


EMPTY = {TLV: b"", SENML_JSON: b"[]", SENML_CBOR: b"\x80", LWM2M_CBOR: b"\xa0", OMA_JSON: b'{"bn":"/3442/","e":[]}'}


@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_ReadMultiValue_empty_object(devices, version, format):
    assert read_payload(devices(version), "/3442", format, EMPTY[format])["instances"] == {}


@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_ReadMultiValue_multiple_resource(devices, version, format):
    values = {"/3442/0/1120/0": Value("integer", 1), "/3442/0/1120/65534": Value("integer", -1)}
    assert read(devices(version), "/3442/0/1120", format, values)["values"] == {"0": 1, "65534": -1}


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 300])
@pytest.mark.parametrize(("version", "format"), [*cases(SINGLE), *[pytest.param(version, OPAQUE, id=f"{version}-opaque") for version in SINGLE]])
def test_leshan_ReadOpaqueValue(devices, version, format, content):
    value = Value("opaque", content)
    assert read(devices(version), "/3442/0/150", format, {"/3442/0/150": value})["value"] == value.api


# ---- composite reads ----


def read_composite(device: PlayedDevice, paths: list[str], format: int, values: dict[str, Value]) -> dict:
    asked = device.ask("POST", "/composite/read", {"paths": paths}, format=NAMES[format])
    request = device.expect(FETCH, "/")
    assert format_of(request) in (SENML_JSON, SENML_CBOR)
    device.answer(request, "2.05", format, encode(format, "/", values))
    return asked.answer(200).json["resources"]


PARTS = {"/3/0/0": Value("string", "ACME"), "/3442/0/1120/7": Value("integer", 5), "/1/0/1": Value("integer", 300)}


@pytest.mark.parametrize("paths", [["/3/0/0", "/1/0/1"], ["/3/0/0", "/3442/0/1120/7", "/1/0/1"], ["/3/0", "/1/0/1", "/3442"]])
@pytest.mark.parametrize(("version", "format"), [*cases(COMPOSITE), pytest.param("1.2", LWM2M_CBOR, id="1.2-lwm2m-cbor")])
def test_leshan_ReadComposite_resources_instances_and_resource_instance(devices, version, format, paths):
    resources = read_composite(devices(version), paths, format, PARTS)
    assert (resources["/3/0/0"]["value"], resources["/1/0/1"]["value"]) == ("ACME", 300)
    assert resources["/3442/0/1120/7"]["value"] == 5 if "/3442/0/1120/7" in resources else resources["/3442/0/1120"]["values"] == {"7": 5}


@pytest.mark.parametrize(("version", "format"), cases(COMPOSITE))
def test_leshan_ReadComposite_root(devices, version, format):
    resources = read_composite(devices(version), ["/"], format, PARTS)
    assert (resources["/3/0/0"]["value"], resources["/1/0/1"]["value"]) == ("ACME", 300)


# ---- failures that are the device's ----


@pytest.mark.parametrize(("path", "code", "status"), [("/3/0/4", "4.05", 405), ("/9999", "4.04", 404), ("/3/9", "4.04", 404), ("/3/0/9999", "4.04", 404)])
@pytest.mark.parametrize("version", SINGLE)
def test_leshan_ReadFailed(devices, version, path, code, status):
    device = devices(version)
    asked = device.ask("GET", path)
    device.answer(device.expect(GET, path), code)
    answer = asked.answer(status)
    assert (answer.json["coap_code"], answer.json["path"]) == (code, path)


@pytest.mark.parametrize("version", SINGLE)
def test_leshan_ReadFailed_security_object_is_not_readable(devices, version):
    device = devices(version)
    assert device.http("GET", "/0/0/0").problem == "not-sent"
    asked = device.ask("GET", "/0/0/0", force=1)
    device.answer(device.expect(GET, "/0/0/0"), "4.01")
    assert asked.answer(401).json["coap_code"] == "4.01"


@pytest.mark.parametrize(("path", "code", "status"), [("/3/0/0", "4.05", 405), ("/9999/0/0", "4.04", 404), ("/3442/0/120", "4.00", 400)])
@pytest.mark.parametrize("version", SINGLE)
def test_leshan_WriteFailed(devices, version, path, code, status):
    device = devices(version)
    asked = device.ask("PUT", path, {"value": 5 if "120" in path else "x"})
    device.answer(device.expect(PUT, path), code)
    assert asked.answer(status).json["coap_code"] == code


# ---- writes ----


@pytest.mark.parametrize("id", VALUES)
@pytest.mark.parametrize(("version", "format"), cases(SINGLE))
def test_leshan_WriteSingleValue_resource(devices, version, format, id):
    if (format, VALUES[id].type) == (OMA_JSON, "corelnk"):
        return  # LwM2M 1.0 has no core links
    path = f"/3442/0/{id}"
    assert written(devices(version), "PUT", path, {"value": VALUES[id].api}, format, PUT) == {path: VALUES[id].raw}


@pytest.mark.parametrize("id", VALUES)
@pytest.mark.parametrize(("version", "format"), [case for case in cases(SINGLE) if case.values[0] != "1.0"])
def test_leshan_WriteSingleValue_resource_instance(devices, version, format, id):
    path = f"/3442/0/{int(id) + 1000}/3"
    assert written(devices(version), "PUT", path, {"value": VALUES[id].api}, format, PUT) == {path: VALUES[id].raw}


WRONG = {"110": 5, "120": 1.5, "125": -1, "130": "x", "140": 7, "150": "no Base64!", "160": 1.5, "170": "3-0"}


@pytest.mark.parametrize("id", WRONG)
@pytest.mark.parametrize(("version", "format"), cases(SINGLE))
def test_leshan_WriteSingleValue_that_does_not_fit_the_model_is_refused_before_sending(devices, version, format, id):
    answer = devices(version).http("PUT", f"/3442/0/{id}", {"value": WRONG[id]}, format=NAMES[format])
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert f"/3442/0/{id}" in answer.json["detail"]


@pytest.mark.parametrize(("method", "code"), [("PUT", PUT), ("PATCH", POST)])
@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_WriteMultiValue_instance_replaced_or_updated(devices, version, format, method, code):
    values = {path: value for path, value in instance().items() if path[-2:] != "/7" or "1120" in path}  # in one block
    values = {path: value for path, value in values.items() if format != OMA_JSON or value.type != "corelnk"}
    resources: dict = {}
    for path, value in values.items():
        id, *index = path.removeprefix("/3442/0/").split("/")
        if index:
            resources.setdefault(id, {"values": {}})["values"][index[0]] = value.api
        else:
            resources[id] = {"value": value.api}
    told = written(devices(version), method, "/3442/0", {"resources": resources}, format, code)
    assert told == {path: value.raw for path, value in values.items()}


@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_WriteMultiValue_multiple_object_links(devices, version, format):
    body = {"values": {"0": "3:0", "1": "65535:65535"}}
    told = written(devices(version), "PUT", "/3442/0/1170", body, format, PUT)
    assert told == {"/3442/0/1170/0": "3:0", "/3442/0/1170/1": "65535:65535"}


@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_WriteMultiValue_empty_multiple_resource(devices, version, format):
    request = devices(version).write("PUT", "/3442/0/1120", {"values": {}}, PUT, format=NAMES[format])
    empty = {TLV: bytes.fromhex("a00460"), SENML_JSON: b"[]", SENML_CBOR: b"\x80", LWM2M_CBOR: b"\xa0"}
    assert request.payload == empty.get(format, b'{"bn":"/3442/0/","e":[]}')


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 300])
@pytest.mark.parametrize(("version", "format"), [*cases(SINGLE), *[pytest.param(version, OPAQUE, id=f"{version}-opaque") for version in SINGLE]])
def test_leshan_WriteOpaqueValue(devices, version, format, content):
    told = written(devices(version), "PUT", "/3442/0/150", {"value": Value("opaque", content).api}, format, PUT)
    assert told == {"/3442/0/150": content}


@pytest.mark.parametrize(
    "values",
    [
        {"/3/0/14": Value("string", "+02"), "/1/0/1": Value("integer", 60)},
        {"/3/0/14": Value("string", "+02"), "/3442/0/1120/5": Value("integer", 60)},
        {"/3442/0/1120/5": Value("integer", 60), "/3442/0/1120/6": Value("integer", 61)},
    ],
    ids=["resources", "resource and instance", "instances"],
)
@pytest.mark.parametrize(("version", "format"), [*cases(COMPOSITE), pytest.param("1.2", LWM2M_CBOR, id="1.2-lwm2m-cbor")])
def test_leshan_WriteComposite(devices, version, format, values):
    device = devices(version)
    asked = device.ask("POST", "/composite/write", {path: value.api for path, value in values.items()}, format=NAMES[format])
    request = device.expect(IPATCH, "/")
    device.answer(request, "2.04")
    asked.answer(204)
    assert decode(format, "/", request.payload, TYPES) == {path: value.raw for path, value in values.items()}


# ---- creates ----

NEW = {"110": {"value": "new"}, "1120": {"values": {"0": 5}}}


def created(device: PlayedDevice, body: dict, format: int, *location: str) -> tuple[object, str | None]:
    asked = device.ask("POST", "/3442", body, format=NAMES[format])
    request = device.expect(POST, "/3442")
    device.answer(request, "2.01", None, b"", *((LOCATION_PATH, part.encode()) for part in location))
    return request, asked.answer(201).headers["Location"]


@pytest.mark.parametrize(("version", "format"), [case for case in cases(MANY) if case.values[1] in (TLV, LWM2M_CBOR)])
def test_leshan_Create_without_an_id(devices, version, format):
    request, location = created(devices(version), {"resources": NEW}, format, "3442", "9")
    assert location == f"/v1/devices/leshan-{version}/3442/9"
    if format == TLV:
        assert decode(TLV, "/3442/0", request.payload, TYPES) == {"/3442/0/110": "new", "/3442/0/1120/0": 5}
    else:
        assert read_cbor(request.payload) == {(3442, 65535): {110: "new", 1120: {0: 5}}}


@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_Create_with_an_id(devices, version, format):
    request, location = created(devices(version), {"instance": 5, "resources": NEW}, format)
    assert location == f"/v1/devices/leshan-{version}/3442/5"
    assert decode(format, "/3442", request.payload, TYPES) == {"/3442/5/110": "new", "/3442/5/1120/0": 5}


@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_Create_two_instances_in_one_request(devices, version, format):
    body = {"instances": {"5": {"resources": {"110": "a"}}, "6": {"resources": {"110": "b"}}}}
    request, location = created(devices(version), body, format)
    assert location is None
    assert decode(format, "/3442", request.payload, TYPES) == {"/3442/5/110": "a", "/3442/6/110": "b"}
    listed = {item["path"] for item in devices(version).berth.device(f"leshan-{version}")["objects"]}
    assert {"/3442/5", "/3442/6"} <= listed


@pytest.mark.parametrize(("code", "status"), [("4.00", 400), ("4.04", 404), ("4.05", 405)])
@pytest.mark.parametrize(("version", "format"), cases(MANY))
def test_leshan_CreateFailed(devices, version, format, code, status):
    device = devices(version)
    asked = device.ask("POST", "/3442", {"instance": 7, "resources": {"110": "x"}}, format=NAMES[format])
    request = device.expect(POST, "/3442")
    assert path_of(request) == "/3442"
    device.answer(request, code)
    assert asked.answer(status).json["coap_code"] == code
    assert "/3442/7" not in {item["path"] for item in device.berth.device(f"leshan-{version}")["objects"]}
