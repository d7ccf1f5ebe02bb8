"""Whatever is sent to the calls of /v3, what comes back is never a failure of the server, and errors have one shape."""

import http.client
import json
import re
from urllib.parse import quote

import pytest
from pelion_client import PelionClient
from test_pelion_firmware import form, put

IDS = ["0" * 32, "x", "x" * 300, "%00", "..%2f", "ü", "-1", "a b"]
DEEP = "[" * 100 + "]" * 100
BODIES = [
    b"", b"{", b"null", b"[]", b'"x"', b"7", b"{}", b"\xff\xfe", DEEP.encode(), b'{"a":1,"a":2}',
    *(json.dumps({name: value}).encode()
      for value in (None, 5, -1, 1.5, True, "", "x", "x" * 5000, [], ["x"], [[]], {}, {"x": {}}, "\0", "\ud800")
      for name in ("name",)),
]  # fmt: skip
FIELDS = [
    "name", "description", "custom_attributes", "endpoint_name", "certificate", "service", "status", "groups", "device_filter",
    "root_manifest_id", "when", "state", "enrollment_identity", "auto_update", "device_execution_mode", "secret_hex",
]  # fmt: skip
VALUES = [None, 5, "", "x" * 5000, ["x", 1], {"x": 1}]
QUERIES = [
    "limit=-1", "limit=99999999999999999999", "order=x", "after=x", "filter=%25", "filter=%ff__eq=x", "include=x&include=y",
    "&".join(f"a{i}=1" for i in range(20)), "filter=" + "a=1%26" * 20, "id__in=", "id=", "=", "&&", "x__eq=1", "name__eq",
    "%", "created_at__gte=x", "custom_attributes__=1", "custom_attributes__x__y__eq=1", "manifest_timestamp__like=", "continuation_marker=x",
]  # fmt: skip


class Line:
    """One connection after the other, each for many calls."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body: bytes | None = None, type: str = "application/json"):
        headers = {"Authorization": "Bearer ak_test", "Content-Type": type}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        where = f"{method} {path[:200]} {(body or b'')[:100]!r}: {answer.status} {content[:300]!r}"
        assert answer.status < 500, where
        if answer.status >= 400 and path.startswith("/v3"):
            error = json.loads(content)
            assert (error["object"], error["code"]) == ("error", answer.status), where
            assert re.fullmatch("[0-9a-f]{32}", error["request_id"]) and isinstance(error["fields"], list), where
            assert error["message"] and error["type"], where
        return answer.status


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from berth_process import Berth

    listen = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")
    berth = Berth(tmp_path_factory.mktemp("wrong") / "data", listen=listen).start()
    yield berth
    berth.close()


@pytest.fixture(scope="module")
def routes(served) -> list[tuple[str, set]]:
    paths = served.get("/v1/openapi.json")["paths"]
    ours = {
        path: {method.upper() for method in operations if method in ("get", "put", "post", "delete")}
        for path, operations in paths.items()
        if path.startswith(("/v3/", "/v2/device-shared-keys"))
    }
    assert len(ours) > 40
    return sorted(ours.items())


@pytest.fixture(scope="module")
def things(served) -> dict[str, str]:
    """An id of everything that there is, by the beginning of its path."""
    pelion = PelionClient(served.http_port)
    made = {}
    for path, body in (
        ("/v3/devices", {"endpoint_name": "lamp-1"}),
        ("/v3/api-keys", {"name": "x"}),
        ("/v3/policy-groups", {"name": "x"}),
        ("/v3/accounts/me/applications", {"name": "x"}),
        ("/v3/device-enrollments", {"enrollment_identity": "A-" + ":".join(["00"] * 32)}),
        ("/v3/developer-certificates", {"name": "x"}),
        ("/v3/update-campaigns", {"name": "x", "device_filter": "endpoint_name__eq=lamp-1"}),
    ):
        status, thing = pelion.call("POST", path, body)
        assert status in (200, 201), thing
        made[path] = thing["id"]
    made["/v3/trusted-certificates"] = made["/v3/developer-certificates"]
    made["/v3/device-events"] = pelion.call("GET", "/v3/device-events")[1]["data"][0]["id"]
    made["/v3/devicelog"] = made["/v3/device-events"]
    for kind in ("firmware-images", "firmware-manifests"):
        made[f"/v3/{kind}"] = put(pelion, kind, b"data")["id"]
    return made


def filled(path: str, id: str) -> str:
    path = re.sub(r"\{account\}", "me", path)
    return re.sub(r"\{\w+\}", quote(id, safe="%"), path)


def real(path: str, things: dict[str, str]) -> str:
    """With the id of something that is there."""
    path = path.replace("{account}", "me")
    head = path.partition("/{")[0]
    return re.sub(r"\{\w+\}", things.get(head, "0" * 32), path)


def test_unknown_and_strange_ids(served, routes):
    line = Line(served.http_port)
    for path, methods in routes:
        for id in IDS if "{" in path else []:
            for method in methods:
                assert line.call(method, filled(path, id), b"{}") in (400, 404, 405, 409, 200, 202, 204)


def test_methods_that_do_not_go_with_a_path(served, routes):
    line = Line(served.http_port)
    for path, methods in routes:
        for method in {"GET", "PUT", "POST", "DELETE", "PATCH"} - methods:
            assert line.call(method, filled(path, "0" * 32), b"{}") == 405, (method, path)


def test_queries(served, routes, things):
    line = Line(served.http_port)
    for path, methods in routes:
        for query in QUERIES if "GET" in methods else []:
            assert line.call("GET", f"{real(path, things)}?{query}") in (200, 400, 404)


def test_bodies(served, routes, things):
    line = Line(served.http_port)
    for path, methods in routes:
        for method in methods & {"PUT", "POST"}:
            if not path.endswith(("/start", "/stop", "/archive")):
                for body in BODIES:
                    assert line.call(method, real(path, things), body) in (200, 201, 400, 404, 405, 409)


def test_fields_of_a_wrong_type(served, routes, things):
    line = Line(served.http_port)
    for path, methods in routes:
        if not methods & {"PUT", "POST"} or path.endswith(("/start", "/stop", "/archive")):
            continue
        for field in FIELDS:
            for value in VALUES:
                whole = {"name": f"{field}-{value}"[:90], "endpoint_name": "meter-0123456789", field: value}
                for method in methods & {"PUT", "POST"}:
                    line.call(method, real(path, things), json.dumps(whole).encode())


def test_forms_of_every_kind_everywhere(served, routes, things):
    line = Line(served.http_port)
    body, headers = form(name="x", datafile=b"x")
    for path, methods in routes:
        for method in methods & {"PUT", "POST"}:
            if not path.endswith(("/start", "/stop", "/archive")):
                line.call(method, real(path, things), body, headers["Content-Type"])
                line.call(method, real(path, things), body[:20], headers["Content-Type"])
                line.call(method, real(path, things), b"", headers["Content-Type"])


def test_no_key(served, routes):
    pelion = PelionClient(served.http_port)
    for path, methods in routes:
        for method in methods:
            status, error = pelion.call(method, filled(path, "0" * 32), headers={"Authorization": None})
            assert status == (404 if path.endswith("/datafile") else 401) and error["object"] == "error", path
