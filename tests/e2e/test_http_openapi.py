"""The OpenAPI document against the server that serves it."""

import re

import pytest

from device_process import start_device  # noqa: F401
from http_wire import Wire

OBJECT_XML = "<LWM2M><Object><Name>x</Name><ObjectID>33000</ObjectID><Resources/></Object></LWM2M>"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document(berth):
    return berth.get("/v1/openapi.json")


def operations(document):
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def references(node):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def is_valid(value, schema, schemas) -> bool:
    """As much of JSON Schema as the document uses."""
    if "$ref" in schema:
        return is_valid(value, schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    if "oneOf" in schema:
        return sum(is_valid(value, choice, schemas) for choice in schema["oneOf"]) == 1
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(has_type(value, name) for name in types):
            return False
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        if any(name not in value for name in schema.get("required", [])):
            return False
        for name, member in value.items():
            rule = properties.get(name, schema.get("additionalProperties", True))
            if rule is False or (isinstance(rule, dict) and not is_valid(member, rule, schemas)):
                return False
    if isinstance(value, list) and not all(is_valid(item, schema.get("items", {}), schemas) for item in value):
        return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        return False
    return True


def has_type(value, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
    return isinstance(value, kinds.get(name, ()))


def test_document_is_openapi_3_1(document):
    assert document["openapi"] == "3.1.0"
    assert document["info"]["title"] == "Berth" and document["info"]["version"]
    assert document["paths"]


def test_every_reference_has_its_schema(document):
    names = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert names <= document["components"]["schemas"].keys()


def test_every_operation_is_described(document):
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations(document):
        assert method in METHODS
        assert operation["summary"]
        assert "400" in operation["responses"]
        in_path = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
        assert in_path == re.findall(r"\{([a-z_]+)\}", path)


def test_described_methods_are_those_that_are_routed(berth, document):
    for path, item in document["paths"].items():
        answer = berth.http("OPTIONS", re.sub(r"\{[a-z_]+\}", "x", path))
        assert answer.status == 204, path
        allowed = {method.lower() for method in answer.headers["Allow"].split(", ")} - {"head", "options"}
        assert allowed == item.keys(), path


def test_described_parameters_are_those_that_are_known(berth, document):
    for path, method, operation in operations(document):
        target = re.sub(r"\{[a-z_]+\}", "x", path)
        for parameter in operation["parameters"]:
            if parameter["in"] == "query":
                assert not is_unknown(berth, method.upper(), f"{target}?{parameter['name']}=%01"), parameter["name"]
        # Those under /api, /v2 and /v3 are other servers', whose scripts say what they like.
        is_strict = not path.startswith(("/api/", "/v2/", "/v3/"))
        assert is_unknown(berth, method.upper(), f"{target}?no_such_parameter=1") == is_strict, path


def is_unknown(berth, method: str, target: str) -> bool:
    """Whether a parameter is refused for its name. What is taken may be answered by a stream without an end."""
    with Wire(berth.http_port) as wire:
        wire.get(target, "Connection: close", method=method)
        return wire.head().status == 400 and b"There is no parameter" in wire.input.read()


def test_paths_that_are_not_described_are_404(berth):
    for path in ("/v1", "/v1/", "/v2", "/api", "/v1/wait/x", "/v1/devices/x/y/z", "/metrics/x", "/index.html"):
        assert berth.http("GET", path).status == 404, path


RESOURCE = "/v1/devices/{endpoint}/{object}/{instance}/{resource}"


def at(path: str) -> str:
    """The path of the OpenAPI document for a path below a device."""
    names = iter(["object", "instance", "resource", "resource_instance"])
    if path.startswith("/observations/"):
        names = iter(["id"])
    return "".join("/{" + next(names) + "}" if part.isdigit() else "/" + part for part in path[1:].split("/"))


OPERATIONS = [
    ("post", "/requests", {"method": "GET", "path": "/3/0"}),
    ("post", "/requests", {"method": "GTE"}),
    ("post", "/update", None),
    ("post", "/update?wait=1&timeout=20s", None),
    ("post", "/update", {"binding": "X"}),
    ("post", "/disable", {"timeout": "0s"}),
    ("post", "/bootstrap?instance=9", None),
    ("put", "/mute-send", {"muted": False}),
    ("post", "/ping", None),
    ("get", "/3", None),
    ("get", "/3/0?names=1", None),
    ("get", "/3/0/7", None),
    ("get", "/3/0/13", None),
    ("get", "/3/0/4", None),
    ("get", "/3/0/99", None),
    ("get", "/3/0/7/0", None),
    ("get", "/0/0", None),
    ("post", "/3", {"resources": {}}),
    ("put", "/1/0", {"resources": {"1": 300}}),
    ("put", "/1/0", {"resources": {"1": "x"}}),
    ("put", "/3/0/14", "+01:00"),
    ("put", "/3/0/7/0", "5"),
    ("patch", "/1/0", {"resources": {"1": 300}}),
    ("patch", "/3/0/7", {"values": {"0": 5}}),
    ("post", "/1/0/8", None),
    ("delete", "/3/0", None),
    ("delete", "/3/0/7/0", None),
    ("get", "/3/discover", None),
    ("get", "/3/0/discover", None),
    ("get", "/3/0/7/discover", None),
    ("put", "/3/attributes", {"pmin": 1}),
    ("put", "/3/0/attributes", {"pmin": None}),
    ("put", "/3/0/9/attributes", {"gt": 1.5}),
    ("put", "/3/0/7/0/attributes", {"con": 1}),
    ("put", "/3/observe", None),
    ("put", "/3/0/observe", None),
    ("put", "/3/0/9/observe", None),
    ("put", "/3/0/7/0/observe", None),
    ("put", "/3/0/99/observe", None),
    ("post", "/composite/observe", {"paths": ["/3/0/9", "/3/0/7"]}),
    ("get", "/observations", None),
    ("get", "/observations/0", None),
    ("delete", "/3/observe", None),
    ("delete", "/3/0/observe", None),
    ("delete", "/3/0/9/observe", None),
    ("delete", "/3/0/9/observe", None),
    ("delete", "/3/0/7/0/observe", None),
    ("delete", "/observations", None),
    ("delete", "/observations/0", None),
    ("post", "/composite/read", {"paths": ["/3/0/9", "/3/0/7"]}),
    ("post", "/composite/write", {"/3/0/14": "+02:00"}),
]


def test_answers_are_as_described(berth, document, start_device):
    schemas = document["components"]["schemas"]
    reference = start_device("--server", berth.listen[0], "--endpoint", "ref")
    reference.line("Device ID:", partly=True)
    device = berth.register("dev1", links='</>;rt="oma.lwm2m",</1/0>;x,</3/0>', extra=["y=1", "sms=123"])
    berth.register("ever", lifetime=0)
    berth.register("asleep", lifetime=3600, extra=["Q"])
    berth.leap("94s")
    device.update()
    calls = [
        (method, "/v1/devices/{endpoint}" + at(target.partition("?")[0]), "/v1/devices/ref" + target, body)
        for method, target, body in OPERATIONS
    ]
    calls += [
        ("get", "/v1/devices", "/v1/devices", None),
        ("get", "/v1/devices/{endpoint}", "/v1/devices/dev1", None),
        ("get", "/v1/devices/{endpoint}", "/v1/devices/ever", None),
        ("get", "/v1/devices/{endpoint}", "/v1/devices/x?wait=deregistered", None),
        ("get", "/v1/devices/{endpoint}", "/v1/devices/x", None),
        ("get", "/v1/devices/{endpoint}", "/v1/devices/x?wait=registered&timeout=0s", None),
        ("get", RESOURCE, "/v1/devices/ref/3/0/9", None, {"Prefer": "respond-async"}),
        ("get", RESOURCE, "/v1/devices/ref/3/0/99", None, {"Prefer": "respond-async"}),
        ("put", RESOURCE, "/v1/devices/ref/3/0/14", "+01:00", {"Prefer": "respond-async"}),
        ("get", RESOURCE, "/v1/devices/ref/3/0/9", None, {"Prefer": "respond-async; expires=x"}),
        ("get", "/v1/requests/{id}", "/v1/requests/1?timeout=10s", None),
        ("get", "/v1/requests/{id}", "/v1/requests/2?timeout=10s", None),
        ("get", "/v1/requests/{id}", "/v1/requests/9", None),
        ("get", "/v1/requests/{id}/response", "/v1/requests/1/response", None),
        ("get", "/v1/requests/{id}/response", "/v1/requests/2/response", None),
        ("get", "/v1/requests/{id}/response", "/v1/requests/3/response?timeout=10s", None),
        ("delete", "/v1/requests/{id}", "/v1/requests/1", None),
        ("delete", "/v1/requests/{id}", "/v1/requests/1", None),
        ("put", "/v1/devices/{endpoint}/queue", "/v1/devices/asleep/queue", {"limit": 3, "awake_window": "1500ms"}),
        ("put", "/v1/devices/{endpoint}/queue", "/v1/devices/asleep/queue", {"limit": 0}),
        ("get", RESOURCE, "/v1/devices/asleep/3/0/9", None),
        ("get", RESOURCE, "/v1/devices/asleep/3/0/9", None, {"Prefer": "respond-async"}),
        ("get", "/v1/requests/{id}", "/v1/requests/4", None),
        ("get", "/v1/requests/{id}", "/v1/requests/4?timeout=0s", None),
        ("get", "/v1/requests/{id}/response", "/v1/requests/4/response", None),
        ("get", "/v1/devices/{endpoint}/queue", "/v1/devices/asleep/queue", None),
        ("get", "/v1/devices/{endpoint}/queue", "/v1/devices/x/queue", None),
        ("delete", "/v1/devices/{endpoint}/queue", "/v1/devices/asleep/queue", None),
        ("delete", "/v1/devices/{endpoint}/queue", "/v1/devices/x/queue", None),
        ("get", "/v1/requests/{id}", "/v1/requests/4", None),
        ("get", "/v1/requests/{id}/response", "/v1/requests/4/response", None),
        ("get", "/v1/events", "/v1/events?poll=1&after=0", None),
        ("get", "/v1/events", "/v1/events?types=x", None),
        ("get", "/v1/events/last", "/v1/events/last", None),
        ("post", "/v1/wait", "/v1/wait", {"after": 0}),
        ("post", "/v1/wait", "/v1/wait", {"after": 0, "count": 2}),
        ("post", "/v1/wait", "/v1/wait", {"absent": True, "timeout": 0}),
        ("post", "/v1/wait", "/v1/wait", {"after": 0, "absent": True}),
        ("post", "/v1/wait", "/v1/wait", {"timeout": 0}),
        ("post", "/v1/wait", "/v1/wait", {"x": 0}),
        ("post", "/v1/scenarios", "/v1/scenarios", {"steps": [{"request": {"path": "/v1/clock"}}]}),
        ("post", "/v1/scenarios", "/v1/scenarios", {"steps": [{"request": {"path": "/v1/devices/none"}}]}),
        ("post", "/v1/scenarios", "/v1/scenarios", {"steps": [{"wait": {}}]}, {"Prefer": "respond-async"}),
        ("post", "/v1/scenarios", "/v1/scenarios", {"steps": [{"x": 0}]}),
        ("get", "/v1/scenarios", "/v1/scenarios", None),
        ("get", "/v1/scenarios/{id}", "/v1/scenarios/1", None),
        ("get", "/v1/scenarios/{id}", "/v1/scenarios/3?timeout=0s", None),
        ("get", "/v1/scenarios/{id}", "/v1/scenarios/9", None),
        ("delete", "/v1/scenarios/{id}", "/v1/scenarios/3", None),
        ("delete", "/v1/scenarios/{id}", "/v1/scenarios/9", None),
        ("get", "/v1/clock", "/v1/clock", None),
        ("post", "/v1/clock", "/v1/clock", {"advance": "1500ms"}),
        ("post", "/v1/clock", "/v1/clock", {"advance": "x"}),
        ("get", "/v1/objects", "/v1/objects?limit=1000", None),
        ("get", "/v1/objects", "/v1/objects?limit=x", None),
        ("put", "/v1/objects/{id}", "/v1/objects/33000", OBJECT_XML),
        ("put", "/v1/objects/{id}", "/v1/objects/33000", OBJECT_XML),
        ("put", "/v1/objects/{id}", "/v1/objects/33000", {"x": 0}),
        ("put", "/v1/objects/{id}/{version}", "/v1/objects/33000/1.0", OBJECT_XML),
        ("put", "/v1/objects/{id}/{version}", "/v1/objects/33000/1.1", OBJECT_XML),
        ("get", "/v1/objects/{id}", "/v1/objects/33000", None),
        ("get", "/v1/objects/{id}", "/v1/objects/33001", None),
        ("get", "/v1/objects/{id}/{version}", "/v1/objects/3303/1.1", None),
        ("delete", "/v1/objects/{id}", "/v1/objects/33000", None),
        ("delete", "/v1/objects/{id}", "/v1/objects/33000", None),
        ("delete", "/v1/objects/{id}/{version}", "/v1/objects/3/1.1", None),
        ("get", "/v1/devices/{endpoint}/messages", "/v1/devices/dev1/messages?raw=1", None),
        ("get", "/v1/devices/{endpoint}/messages", "/v1/devices/ref/messages?limit=1000", None),
        ("get", "/v1/devices/{endpoint}/messages", "/v1/devices/nobody/messages", None),
        ("get", "/v1/devices/{endpoint}/messages", "/v1/devices/dev1/messages?kind=x", None),
        ("get", "/v1/peers/{address}/messages", "/v1/peers/192.0.2.1%3A5/messages?poll=1&timeout=1ms", None),
        ("get", "/v1/peers/{address}/messages", "/v1/peers/x/messages", None),
        ("get", "/v1/messages", "/v1/messages", None, {"Accept": "application/x-pcapng"}),
        ("get", "/v1/messages", "/v1/messages", None, {"Accept": "text/html"}),
        ("get", "/v1/messages", "/v1/messages?limit=1000", None),
        ("delete", "/v1/devices/{endpoint}/messages", "/v1/devices/dev1/messages", None),
        ("delete", "/v1/peers/{address}/messages", "/v1/peers/192.0.2.1%3A5/messages", None),
        ("delete", "/v1/messages", "/v1/messages", None),
        ("get", "/v1/devices/{endpoint}/traffic", "/v1/devices/dev1/traffic", None),
        ("get", "/v1/devices/{endpoint}/traffic", "/v1/devices/nobody/traffic", None),
            ("post", "/v1/devices/{endpoint}/oscore/rederive", "/v1/devices/dev1/oscore/rederive", None),
            ("post", "/v1/devices/{endpoint}/oscore/rederive", "/v1/devices/nobody/oscore/rederive", None),
        ("get", "/v1/credentials", "/v1/credentials?mode=x", None),
        ("put", "/v1/credentials/{endpoint}", "/v1/credentials/dev1", {"mode": "psk", "key_hex": "aa"}),
        ("put", "/v1/credentials/{endpoint}", "/v1/credentials/dev1", {"mode": "psk", "key_hex": "bb"}),
        ("put", "/v1/credentials/{endpoint}", "/v1/credentials/dev2", {"mode": "psk", "identity": "dev1", "key_hex": "b0"}),
        ("put", "/v1/credentials/{endpoint}", "/v1/credentials/dev1", {"mode": "x509", "subject": "CN=x"}),
        ("put", "/v1/credentials/{endpoint}", "/v1/credentials/dev1", {"mode": "oscore", "sender_id_hex": "01", "master_secret_hex": "aa"}),
        ("put", "/v1/credentials/{endpoint}", "/v1/credentials/dev1", {"mode": "x"}),
        ("get", "/v1/credentials", "/v1/credentials?limit=1", None),
        ("get", "/v1/credentials/{endpoint}", "/v1/credentials/dev1", None),
        ("get", "/v1/credentials/{endpoint}", "/v1/credentials/nobody", None),
        ("delete", "/v1/credentials/{endpoint}", "/v1/credentials/dev1?mode=psk", None),
        ("delete", "/v1/credentials/{endpoint}", "/v1/credentials/dev1?mode=psk", None),
        ("post", "/v1/pki/developer", "/v1/pki/developer", {"endpoint": "dev1"}),
        ("post", "/v1/pki/developer", "/v1/pki/developer", {"account": "?"}),
        ("put", "/v1/bootstrap/{endpoint}", "/v1/bootstrap/dev1", {"servers": [{"security": {"mode": "psk"}}], "write": {"/3/0/14": "x"}}),
        ("put", "/v1/bootstrap/{endpoint}", "/v1/bootstrap/dev1", {"on_error": {"delete": "stop"}, "delete": ["/"]}),
        ("put", "/v1/bootstrap/{endpoint}", "/v1/bootstrap/default", {"servers": [{"short_id": 0}]}),
        ("get", "/v1/bootstrap", "/v1/bootstrap?limit=1", None),
        ("get", "/v1/bootstrap/{endpoint}", "/v1/bootstrap/default", None),
        ("get", "/v1/bootstrap/{endpoint}", "/v1/bootstrap/dev1", None),
        ("get", "/v1/bootstrap/{endpoint}", "/v1/bootstrap/nobody", None),
        ("get", "/v1/bootstrap/{endpoint}/session", "/v1/bootstrap/nobody/session", None),
        ("post", "/v1/bootstrap/{endpoint}/session", "/v1/bootstrap/nobody/session", None),
        ("delete", "/v1/bootstrap/{endpoint}", "/v1/bootstrap/dev1", None),
        ("delete", "/v1/bootstrap/{endpoint}", "/v1/bootstrap/dev1", None),
        ("put", "/v1/firmware/{name}", "/v1/firmware/fw", "bytes"),
        ("put", "/v1/firmware/{name}", "/v1/firmware/fw?url=x", "bytes"),
        ("put", "/v1/firmware/{name}", "/v1/firmware/fw?url=", "bytes"),
        ("put", "/v1/firmware/{name}/faults", "/v1/firmware/fw/faults", {"truncate_to": 3}),
        ("put", "/v1/firmware/{name}/faults", "/v1/firmware/fw/faults", {"truncate_to": -3}),
        ("get", "/v1/firmware", "/v1/firmware", None),
        ("get", "/v1/firmware/{name}", "/v1/firmware/fw", None),
        ("get", "/v1/firmware/{name}", "/v1/firmware/fw", None, {"Range": "bytes=1-2"}),
        ("get", "/v1/firmware/{name}", "/v1/firmware/fw", None, {"Range": "bytes=9-"}),
        ("get", "/v1/devices/{endpoint}/firmware", "/v1/devices/ref/firmware", None),
        ("post", "/v1/devices/{endpoint}/firmware", "/v1/devices/ref/firmware", {"image": "none"}),
        ("post", "/v1/devices/{endpoint}/firmware", "/v1/devices/ref/firmware", {"method": "push"}),
        ("post", "/v1/devices/{endpoint}/firmware", "/v1/devices/ref/firmware", {"image": "fw", "update": False}),
        ("post", "/v1/devices/{endpoint}/firmware", "/v1/devices/ref/firmware", {"image": "fw", "object": 3}),
        ("get", "/v1/devices/{endpoint}/firmware", "/v1/devices/ref/firmware?wait=over", None),
        ("delete", "/v1/devices/{endpoint}/firmware", "/v1/devices/ref/firmware", None),
        ("delete", "/v1/devices/{endpoint}/firmware", "/v1/devices/ref/firmware", None),
        ("post", "/v1/devices/{endpoint}/firmware", "/v1/devices/asleep/firmware", {"image": "fw", "timeout": "1h"}),
        ("get", "/v1/devices/{endpoint}/firmware", "/v1/devices/asleep/firmware?wait=over&timeout=0s", None),
        ("delete", "/v1/devices/{endpoint}/firmware", "/v1/devices/asleep/firmware", None),
        ("delete", "/v1/firmware/{name}", "/v1/firmware/fw", None),
        ("delete", "/v1/firmware/{name}", "/v1/firmware/none", None),
        ("get", "/v1/openapi.json", "/v1/openapi.json", None),
        ("get", "/healthz", "/healthz", None),
        ("get", "/readyz", "/readyz", None),
        ("get", "/metrics", "/metrics", None),
        ("get", "/", "/", None),
        ("get", "/page/{file}", "/page/page.css", None),
        ("get", "/page/{file}", "/page/none", None),
        ("get", "/v1/server", "/v1/server", None),
        ("get", "/v1/nodes", "/v1/nodes", None),
        ("get", "/v1/counts", "/v1/counts", None),
        ("get", "/v1/devices", "/v1/devices?traffic=1&transport=udp&security=none&awake=1", None),
        ("get", "/v1/devices", "/v1/devices?transport=x", None),
        ("get", "/favicon.ico", "/favicon.ico", None),
        ("delete", "/v1/devices/{endpoint}", "/v1/devices/dev1", None),
        ("delete", "/v1/devices/{endpoint}", "/v1/devices/dev1", None),
        ("put", "/v1/faults", "/v1/faults", {"delay": "2s", "on": "bootstrap", "probability": 0.5, "seed": 7}),
        ("put", "/v1/faults", "/v1/faults", {"delay": "x"}),
        ("put", "/v1/devices/{endpoint}/faults", "/v1/devices/x/faults", {"answer": "4.04", "max_age": 60}),
        ("put", "/v1/devices/{endpoint}/faults", "/v1/devices/x/faults", {"expire": True}),
        ("put", "/v1/devices/{endpoint}/faults", "/v1/devices/dev1/faults", {"close": "rst"}),
        ("get", "/v1/faults", "/v1/faults", None),
        ("get", "/v1/faults/{id}", "/v1/faults/1", None),
        ("get", "/v1/faults/{id}", "/v1/faults/99", None),
        ("get", "/v1/devices/{endpoint}/faults", "/v1/devices/x/faults", None),
        ("delete", "/v1/faults/{id}", "/v1/faults/1", None),
        ("delete", "/v1/faults/{id}", "/v1/faults/1", None),
        ("delete", "/v1/devices/{endpoint}/faults", "/v1/devices/x/faults", None),
        ("delete", "/v1/faults", "/v1/faults", None),
        ("post", "/v1/reset", "/v1/reset?scope=x", None),
        ("post", "/v1/reset", "/v1/reset", None),
    ]
    assert {(method, path) for method, path, *_ in calls} == {
        (m, p)
        for p, m, _ in operations(document)
        if not p.startswith(("/api/", "/v2/", "/v3/"))  # test_leshan_api.py and test_pelion_api.py call those
    }
    for method, path, target, body, *headers in calls:
        answer = berth.http(method.upper(), target, body, *headers)
        described = document["paths"][path][method]["responses"].get(str(answer.status))
        assert described is not None, f"{target} gave {answer.status}"
        content_type = answer.headers["Content-Type"]
        if content_type is None:
            assert "content" not in described and answer.body == b"", target
            continue
        schema = described["content"][content_type]["schema"]
        if content_type.endswith("json"):
            assert is_valid(answer.json, schema, schemas), f"{target}: {answer.json}"
