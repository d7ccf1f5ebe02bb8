"""The Leshan demo server's HTTP API, called as test scripts call it (docs/leshan-api.md)."""

import http.client
import json
import re
import time

import pytest
from berth_process import Berth
from coapraw import CON, CONTENT_FORMAT, GET, OBSERVE, Coap, code, uint
from conftest import close_all
from device_process import DeviceProcess, start_device  # noqa: F401
from leshan_client import LeshanClient
from played_device import TEXT, Asked, PlayedDevice

SINGLE = ("TEXT", "CBOR")
MANY = ("TLV", "SENML_JSON", "SENML_CBOR")

# Of the test object 3442: type, the first value, and another one.
VALUES = {
    110: ("STRING", "initial value", 'zażółć "x"'),
    120: ("INTEGER", "1024", "-9007199254740993"),
    125: ("UNSIGNED_INTEGER", "18446744073709551615", "9223372036854775808"),
    130: ("FLOAT", "3.14159", "-0.5"),
    140: ("BOOLEAN", True, False),
    150: ("OPAQUE", "0123456789abcdef", "00ff"),
    160: ("TIME", 946684800000, 1367491215000),
    170: ("OBJLNK", {"objectId": 3, "objectInstanceId": 0}, {"objectId": 66, "objectInstanceId": 613}),
}
REGISTRATION = {
    "endpoint": str,
    "registrationId": str,
    "registrationDate": int,
    "lastUpdate": int,
    "address": str,
    "lwM2mVersion": str,
    "lifetime": int,
    "bindingMode": str,
    "rootPath": str,
    "objectLinks": list,
    "secure": bool,
    "additionalRegistrationAttributes": dict,
    "queuemode": bool,
    "availableInstances": dict,
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("leshan")
    berth = Berth(directory / "data").start()
    device = DeviceProcess(
        directory / "device.log", "--server", berth.listeners[0], "--endpoint", "dev1", "--lwm2m", "1.1"
    )
    device.line("Device ID: ", partly=True)
    yield berth, device
    device.close()
    close_all([berth])


@pytest.fixture
def leshan(served):
    client = LeshanClient(served[0].http_port)
    yield client
    client.device("POST", "dev1", "/3442/0/0")  # the first values again


def single(id: int, type: str, value: object) -> dict:
    return {"kind": "singleResource", "id": id, "type": type, "value": value}


def done(answer: dict, status: str) -> None:
    assert answer == {"status": status, "valid": True, "success": True, "failure": False}


def failed(answer: dict, status: str) -> None:
    assert {**answer, "errormessage": ""} == {
        "status": status,
        "valid": True,
        "success": False,
        "failure": True,
        "errormessage": "",
    }
    assert isinstance(answer["errormessage"], str)


# ---- clients ----


def test_clients(leshan):
    (client,) = leshan.clients()
    assert {name: type(value) for name, value in client.items()} == REGISTRATION
    assert (client["endpoint"], client["lwM2mVersion"], client["lifetime"]) == ("dev1", "1.1", 300)
    assert (client["bindingMode"], client["rootPath"], client["secure"], client["queuemode"]) == ("U", "/", False, False)
    assert re.fullmatch(r"127\.0\.0\.1:\d+", client["address"])
    assert client["lastUpdate"] >= client["registrationDate"] > 1_700_000_000_000
    assert {"url": "/3/0", "attributes": {}} in client["objectLinks"]
    assert client["availableInstances"]["3"] == [0] and client["availableInstances"]["3442"] == [0]
    assert leshan.client("dev1") == client


def test_client_that_is_not_there(leshan):
    for path in ("", "/3/0", "/3/0/discover", "/composite?paths=/3"):
        status, text = leshan.call("GET", f"/api/clients/nobody{path}")
        assert (status, text) == (400, "no registered client with id 'nobody'"), path
    assert leshan.call("PUT", "/api/clients/nobody/3/0/14", "+01", "text/plain")[0] == 400
    assert leshan.call("GET", "/api/objectspecs/nobody")[0] == 400


# ---- reading ----


@pytest.mark.parametrize("format", [None, *SINGLE, *MANY])
@pytest.mark.parametrize("id", VALUES)
def test_read_of_every_type_in_every_format(leshan, id, format):
    type, value, _ = VALUES[id]
    if (id, format) in ((150, "TEXT"), (150, "CBOR")):
        pytest.skip("Opaque is asked for as OPAQUE")
    query = {"format": format} if format else {}
    assert leshan.read("dev1", f"/3442/0/{id}", **query) == single(id, type, value)


def test_read_of_opaque(leshan):
    assert leshan.read("dev1", "/3442/0/150", format="OPAQUE") == single(150, "OPAQUE", "0123456789abcdef")


@pytest.mark.parametrize("format", MANY)
def test_read_of_larger_things(leshan, format):
    cells = leshan.read("dev1", "/3/0/7", format=format)
    assert cells == {"kind": "multiResource", "id": 7, "type": "INTEGER", "values": {"0": "3800"}}
    cell = {"kind": "resourceInstance", "id": 0, "type": "INTEGER", "value": "3800"}
    assert leshan.read("dev1", "/3/0/7/0", format=format) == cell
    instance = leshan.read("dev1", "/3/0", format=format)
    assert (instance["kind"], instance["id"]) == ("instance", 0)
    assert single(0, "STRING", "Berth") in instance["resources"] and cells in instance["resources"]
    device = leshan.read("dev1", "/3", format=format)
    assert (device["kind"], device["id"], [one["id"] for one in device["instances"]]) == ("obj", 3, [0])
    assert {one["id"] for one in device["instances"][0]["resources"]} == {one["id"] for one in instance["resources"]}


def test_read_that_fails(leshan):
    failed(leshan.device("GET", "dev1", "/3/0/99"), "NOT_FOUND(404)")
    failed(leshan.device("GET", "dev1", "/3/0/4"), "METHOD_NOT_ALLOWED(405)")
    failed(leshan.device("GET", "dev1", "/3/0", format="OPAQUE"), "NOT_ACCEPTABLE(406)")


def test_discover(leshan):
    answer = leshan.device("GET", "dev1", "/3/discover")
    assert (answer["status"], answer["success"]) == ("CONTENT(205)", True)
    assert {"url": "/3/0/0", "attributes": {}} in answer["objectLinks"]
    assert leshan.device("GET", "dev1", "/3/0/7/discover")["objectLinks"][0]["url"] == "/3/0/7"


# ---- writing ----


@pytest.mark.parametrize("format", [None, *SINGLE, *MANY])
@pytest.mark.parametrize("id", VALUES)
def test_write_of_every_type_in_every_format(leshan, id, format):
    type, _, value = VALUES[id]
    if id == 150 and format in SINGLE:
        pytest.skip("Opaque is written as OPAQUE")
    query = {"format": format} if format else {}
    done(leshan.device("PUT", "dev1", f"/3442/0/{id}", single(id, type, value), **query), "CHANGED(204)")
    assert leshan.read("dev1", f"/3442/0/{id}") == single(id, type, value)


def test_write_as_scripts_do_it(leshan):
    done(leshan.device("PUT", "dev1", "/3442/0/110", "plain text", "text/plain"), "CHANGED(204)")
    assert leshan.read("dev1", "/3442/0/110")["value"] == "plain text"
    done(leshan.device("PUT", "dev1", "/3442/0/120", single(120, "integer", 7)), "CHANGED(204)")
    assert leshan.read("dev1", "/3442/0/120")["value"] == "7"
    done(leshan.device("PUT", "dev1", "/3442/0/140", single(140, "BOOLEAN", "false")), "CHANGED(204)")
    assert leshan.read("dev1", "/3442/0/140")["value"] is False


def test_write_of_instances(leshan):
    body = {"kind": "instance", "id": 0, "resources": [single(110, "STRING", "updated"), single(120, "INTEGER", "5")]}
    done(leshan.device("PUT", "dev1", "/3442/0", body, replace="false"), "CHANGED(204)")
    after = {one["id"]: one.get("value") for one in leshan.read("dev1", "/3442/0")["resources"]}
    assert (after[110], after[120], after[130]) == ("updated", "5", "3.14159")
    multiple = {"kind": "multiResource", "id": 1110, "type": "STRING", "values": {"0": "a", "4": "b"}}
    done(leshan.device("PUT", "dev1", "/3442/0/1110", multiple), "CHANGED(204)")
    assert leshan.read("dev1", "/3442/0/1110") == multiple
    one = {"kind": "resourceInstance", "id": 4, "type": "STRING", "value": "c"}
    done(leshan.device("PUT", "dev1", "/3442/0/1110/4", one), "CHANGED(204)")
    assert leshan.read("dev1", "/3442/0/1110")["values"] == {"0": "a", "4": "c"}


def test_write_that_the_device_refuses(leshan):
    answer = leshan.device("PUT", "dev1", "/9999/0/1", single(1, "STRING", "x"))
    failed(answer, "NOT_FOUND(404)")


def test_write_attributes(leshan):
    done(leshan.device("PUT", "dev1", "/3442/0/120/attributes", pmin=5, pmax=60, gt="10.5"), "CHANGED(204)")
    (link, *_) = leshan.device("GET", "dev1", "/3442/0/120/discover")["objectLinks"]
    assert (link["attributes"]["pmin"], link["attributes"]["pmax"], link["attributes"]["gt"]) == ("5", "60", "10.5")
    done(leshan.device("PUT", "dev1", "/3442/0/120/attributes", pmin="", pmax="", gt=""), "CHANGED(204)")
    (link, *_) = leshan.device("GET", "dev1", "/3442/0/120/discover")["objectLinks"]
    assert not link["attributes"].keys() & {"pmin", "pmax", "gt"}


# ---- create, execute, delete ----


@pytest.mark.parametrize("format", MANY)
def test_create_and_delete(leshan, format):
    body = {"kind": "instance", "id": 7, "resources": [single(120, "INTEGER", "5")]}
    created = leshan.device("POST", "dev1", "/3442", body, format=format)
    assert (created["status"], created["success"], created["location"]) == ("CREATED(201)", True, "3442/7")
    assert leshan.read("dev1", "/3442/7/120")["value"] == "5"
    done(leshan.device("DELETE", "dev1", "/3442/7"), "DELETED(202)")
    failed(leshan.device("DELETE", "dev1", "/3442/7"), "NOT_FOUND(404)")


def test_create_where_the_path_or_the_device_says_which_instance(leshan):
    body = {"kind": "instance", "resources": [single(120, "INTEGER", "6")]}
    assert leshan.device("POST", "dev1", "/3442/9", body)["location"] == "3442/9"
    location = leshan.device("POST", "dev1", "/3442", body)["location"]
    assert re.fullmatch(r"3442/\d+", location)
    for path in ("/3442/9", f"/{location}"):
        done(leshan.device("DELETE", "dev1", path), "DELETED(202)")


def test_execute(leshan):
    done(leshan.device("POST", "dev1", "/1/0/8", "2='10.3'", "text/plain"), "CHANGED(204)")
    done(leshan.device("POST", "dev1", "/3442/0/0"), "CHANGED(204)")
    failed(leshan.device("POST", "dev1", "/3/0/0"), "METHOD_NOT_ALLOWED(405)")


# ---- observing ----


def test_observe_and_cancel(leshan):
    with leshan.events("dev1") as events:
        first = leshan.device("POST", "dev1", "/3442/0/120/observe")
        assert (first["status"], first["content"]) == ("CONTENT(205)", single(120, "INTEGER", "1024"))
        again = leshan.device("POST", "dev1", "/3442/0/120/observe", format="SENML_JSON")
        assert again["content"] == first["content"]
        leshan.device("PUT", "dev1", "/3442/0/120", single(120, "INTEGER", "77"))
        assert events.await_event("NOTIFICATION") == {
            "ep": "dev1",
            "kind": "single",
            "res": "/3442/0/120",
            "val": single(120, "INTEGER", "77"),
        }
        cancelled = leshan.device("DELETE", "dev1", "/3442/0/120/observe", active=True)
        assert (cancelled["status"], cancelled["content"]) == ("CONTENT(205)", single(120, "INTEGER", "77"))
    assert leshan.call("DELETE", "/api/clients/dev1/3442/0/120/observe")[0] == 404


def test_a_notification_right_behind_the_answer_is_told(leshan, served):
    device = PlayedDevice(served[0], "quick")
    with leshan.events("quick") as events:
        asked = Asked(served[0], "POST", "/api/clients/quick/3/0/9/observe")
        request = device.expect(GET, "/3/0/9")
        device.answer(request, "2.05", TEXT, b"1", (OBSERVE, b"\x01"))
        options = [(OBSERVE, b"\x02"), (CONTENT_FORMAT, uint(TEXT))]
        device.peer.send(Coap(CON, code("2.05"), device.peer.next_mid(), request.token, options, b"2"))
        assert asked.answer(200).json["content"] == single(9, "INTEGER", "1")
        assert events.await_event("NOTIFICATION")["val"] == single(9, "INTEGER", "2")
    assert served[0].http("DELETE", "/v1/devices/quick").status == 204


def test_passive_cancel(leshan, served):
    leshan.device("POST", "dev1", "/3442/0/120/observe")
    assert leshan.call("DELETE", "/api/clients/dev1/3442/0/120/observe") == (200, "")
    assert leshan.call("DELETE", "/api/clients/dev1/3442/0/120/observe")[0] == 404
    assert served[0].get("/v1/devices/dev1/observations")["items"] == []


def test_observe_of_an_instance_is_one_notification(leshan):
    with leshan.events() as events:
        first = leshan.device("POST", "dev1", "/3442/0/observe")["content"]
        assert first["kind"] == "instance" and len(first["resources"]) > 5
        leshan.device("PUT", "dev1", "/3442/0/120", single(120, "INTEGER", "78"))
        name, data = events.next()
        assert (name, data["kind"], data["res"], data["val"]["kind"]) == ("NOTIFICATION", "single", "/3442/0", "instance")
        assert single(120, "INTEGER", "78") in data["val"]["resources"]
        assert len(data["val"]["resources"]) == len(first["resources"])
    assert leshan.device("DELETE", "dev1", "/3442/0/observe", active=True)["content"]["kind"] == "instance"


# ---- composite operations ----


@pytest.mark.parametrize("format", ["SENML_JSON", "SENML_CBOR"])
def test_composite(leshan, format):
    paths = "/3/0/0,/1/0/1,/3442/0,/3/0/7/0,/3"
    answer = leshan.device("GET", "dev1", "/composite", paths=paths, pathformat=format, nodeformat=format)
    content = answer["content"]
    assert (answer["status"], list(content)) == ("CONTENT(205)", paths.split(","))
    assert content["/3/0/0"] == single(0, "STRING", "Berth")
    assert content["/3/0/7/0"] == {"kind": "resourceInstance", "id": 0, "type": "INTEGER", "value": "3800"}
    assert content["/3442/0"]["kind"] == "instance"
    assert (content["/3"]["kind"], [one["id"] for one in content["/3"]["instances"]]) == ("obj", [0])
    body = {"/3442/0/120": single(120, "INTEGER", "9"), "/3442/0/110": single(110, "STRING", "nine")}
    done(leshan.device("PUT", "dev1", "/composite", body, nodeformat=format), "CHANGED(204)")
    content = leshan.device("GET", "dev1", "/composite", paths="/3442/0/120,/3442/0/110")["content"]
    assert (content["/3442/0/120"]["value"], content["/3442/0/110"]["value"]) == ("9", "nine")


def test_composite_observe(leshan):
    query = {"paths": "/3442/0/120,/3442/0/110"}
    with leshan.events() as events:
        first = leshan.device("POST", "dev1", "/composite/observe", pathformat="SENML_CBOR", **query)
        assert first["content"]["/3442/0/120"] == single(120, "INTEGER", "1024")
        leshan.device("PUT", "dev1", "/3442/0/120", single(120, "INTEGER", "79"))
        name, data = events.next()
        assert (name, data["ep"], data["kind"], data["paths"]) == (
            "NOTIFICATION",
            "dev1",
            "composite",
            ["/3442/0/120", "/3442/0/110"],
        )
        assert data["val"]["/3442/0/120"] == single(120, "INTEGER", "79")
    last = leshan.device("DELETE", "dev1", "/composite/observe", active=True, **query)["content"]
    assert last["/3442/0/120"] == single(120, "INTEGER", "79")
    assert leshan.call("DELETE", "/api/clients/dev1/composite/observe", **query)[0] == 404


# ---- what is wrong ----

BAD_BODIES = [
    "",
    "{",
    "[]",
    "null",
    "7",
    '"text"',
    "{}",
    '{"kind":7}',
    '{"kind":"nonsense"}',
    '{"kind":"singleResource"}',
    '{"kind":"singleResource","id":120}',
    '{"kind":"singleResource","id":120,"type":"NONSENSE","value":"5"}',
    '{"kind":"singleResource","id":120,"type":7,"value":"5"}',
    '{"kind":"singleResource","id":120,"type":"INTEGER"}',
    '{"kind":"singleResource","id":120,"type":"INTEGER","value":null}',
    '{"kind":"singleResource","id":120,"type":"INTEGER","value":[]}',
    '{"kind":"singleResource","id":120,"type":"INTEGER","value":"x"}',
    '{"kind":"singleResource","id":120,"type":"OPAQUE","value":"0"}',
    '{"kind":"singleResource","id":120,"type":"OPAQUE","value":7}',
    '{"kind":"singleResource","id":120,"type":"TIME","value":"x"}',
    '{"kind":"singleResource","id":120,"type":"TIME","value":{}}',
    '{"kind":"singleResource","id":120,"type":"OBJLNK","value":"3:0"}',
    '{"kind":"singleResource","id":120,"type":"OBJLNK","value":{"objectId":-1,"objectInstanceId":99999999}}',
    '{"kind":"singleResource","id":120,"type":"BOOLEAN","value":"maybe"}',
    '{"kind":"multiResource","id":120,"type":"INTEGER"}',
    '{"kind":"multiResource","id":120,"type":"INTEGER","values":[]}',
    '{"kind":"multiResource","id":120,"type":"INTEGER","values":{"x":"1"}}',
    '{"kind":"multiResource","id":120,"type":"INTEGER","values":{"0":{}}}',
    '{"kind":"instance","id":0}',
    '{"kind":"instance","id":0,"resources":{}}',
    '{"kind":"instance","id":0,"resources":[7]}',
    '{"kind":"instance","id":0,"resources":[{}]}',
    '{"kind":"instance","id":0,"resources":[{"id":-1}]}',
    '{"kind":"instance","id":-1,"resources":[]}',
    '{"kind":"instance","id":"0","resources":[{"kind":"instance","id":0}]}',
    '{"/3/0/14":7}',
    '{"nonsense":{"kind":"singleResource","id":14,"type":"STRING","value":"x"}}',
    '{"/3":{"kind":"obj","id":3,"instances":[]}}',
    '{"endpoint":7}',
    '{"endpoint":""}',
    '{"endpoint":"x"}',
    '{"endpoint":"x","tls":7}',
    '{"endpoint":"x","tls":{}}',
    '{"endpoint":"x","tls":{"mode":"psk"}}',
    '{"endpoint":"x","tls":{"mode":"psk","details":{"identity":7,"key":7}}}',
    '{"endpoint":"x","tls":{"mode":"psk","details":{"identity":"x","key":"zz"}}}',
    '{"endpoint":"x","oscore":{"sid":"00"}}',
    '{"endpoint":"x","oscore":{"sid":"zz","rid":"00","msec":"00"}}',
    "[" * 100,
]
BODY_TARGETS = [
    ("PUT", "/api/clients/dev1/3442/0"),
    ("PUT", "/api/clients/dev1/3442/0/120"),
    ("PUT", "/api/clients/dev1/3442/0/120/0"),
    ("POST", "/api/clients/dev1/3442"),
    ("POST", "/api/clients/dev1/3442/5"),
    ("PUT", "/api/clients/dev1/composite"),
    ("PUT", "/api/security/clients/"),
]


def test_empty_segments_of_a_path_do_not_count(leshan):
    assert leshan.call("GET", "/api/security/clients/") == leshan.call("GET", "/api/security/clients")
    for target in ("/api/clients/", "//api/clients", "/api//clients"):
        assert [one["endpoint"] for one in leshan.good("GET", target)] == ["dev1"]
    for target in ("/api/clients/dev1/3/0/0/", "/api/clients/dev1//3/0//0"):
        assert leshan.good("GET", target)["content"] == single(0, "STRING", "Berth")
    assert leshan.call("GET", "/api/")[0] == 404


def test_names_of_formats_are_upper_or_lower_case(leshan):
    assert leshan.read("dev1", "/3/0/0", format="tlv") == leshan.read("dev1", "/3/0/0", format="Senml_Json")
    assert leshan.call("GET", "/api/clients/dev1/3/0/0", format="tlvs")[0] == 400


@pytest.mark.parametrize(("method", "target"), BODY_TARGETS)
def test_bad_bodies_are_refused_in_words(leshan, method, target):
    """An instance may be empty, and the device may say what it thinks of that: then it is 200."""
    for body in BAD_BODIES:
        status, answer = leshan.call(method, target, body, "application/json")
        told = status == 200 and isinstance(answer, dict) and ("STRING" not in body)
        assert told or (status == 400 and answer and "\n" not in answer), (body, status, answer)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/api/clients/dev1/x"),
        ("GET", "/api/clients/dev1/65535"),
        ("GET", "/api/clients/dev1/-1/0"),
        ("GET", "/api/clients/dev1/3/0/9?format=NONSENSE"),
        ("GET", "/api/clients/dev1/3/0/9?timeout=0"),
        ("GET", "/api/clients/dev1/3/0/9?timeout=x"),
        ("GET", "/api/clients/dev1/composite"),
        ("GET", "/api/clients/dev1/composite?paths="),
        ("GET", "/api/clients/dev1/composite?paths=nonsense"),
        ("GET", "/api/clients/dev1/composite?paths=/3/0/0,,"),
        ("GET", "/api/clients/dev1/composite?paths=/3/0/0&nodeformat=x"),
        ("POST", "/api/clients/dev1/composite/observe?paths=/x"),
        ("DELETE", "/api/clients/dev1/composite/observe"),
        ("PUT", "/api/clients/dev1/3"),
        ("PUT", "/api/clients/dev1/3/0/attributes"),
        ("PUT", "/api/clients/dev1/3/0/attributes?pmin=x"),
        ("PUT", "/api/clients/dev1/3442/0?replace=perhaps"),
        ("GET", "/api/clients/%zz"),
    ],
)
def test_bad_targets_are_400(leshan, method, target):
    status, answer = leshan.call(method, target)
    assert status == 400 and answer, (status, answer)


def test_wrong_methods_and_paths(leshan):
    for method, target, expected in (
        ("POST", "/api/clients", 405),
        ("DELETE", "/api/clients/dev1", 405),
        ("PATCH", "/api/clients/dev1/3/0", 405),
        ("GET", "/api/clients/dev1/3/0/9/observe", 405),
        ("GET", "/api/nonsense", 404),
        ("GET", "/api", 404),
        ("GET", "/api/clients/dev1/3/0/9/0/1", 404),
    ):
        assert leshan.call(method, target)[0] == expected, (method, target)


def test_parameters_that_nobody_knows_are_passed_over(leshan):
    assert leshan.read("dev1", "/3/0/9", _=123456, format="TLV")["id"] == 9


# ---- a device that is slow or asleep ----


def test_device_that_does_not_answer(berth):
    berth.register("silent")
    status, answer = LeshanClient(berth.http_port).call("GET", "/api/clients/silent/3/0/9", timeout=1)
    assert (status, answer) == (504, "Request timeout")


def ask_and_leave_open(berth, endpoint: str) -> http.client.HTTPConnection:
    """A read that is on its way to the device when this returns."""
    before = berth.waiting()
    connection = http.client.HTTPConnection("127.0.0.1", berth.http_port, timeout=30)
    connection.request("GET", f"/api/clients/{endpoint}/3/0/9?timeout=60")
    deadline = time.monotonic() + 20
    while berth.waiting() == before:
        assert time.monotonic() < deadline
    return connection


def test_client_that_hangs_up_cancels(berth):
    berth.register("silent")
    ask_and_leave_open(berth, "silent").close()
    deadline = time.monotonic() + 20
    while berth.waiting() > 0:
        assert time.monotonic() < deadline


def test_server_stops_while_it_is_asked(berth):
    berth.register("silent")
    with LeshanClient(berth.http_port).events("silent"):
        connection = ask_and_leave_open(berth, "silent")
        berth.stop()
        connection.close()


def test_device_that_sleeps_is_asked_later(start_berth, start_device):
    berth = start_berth()
    leshan = LeshanClient(berth.http_port)
    with leshan.events("dev1") as events:
        device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--queue")
        registration = events.await_event("REGISTRATION")
        assert (registration["queuemode"], events.await_event("AWAKE")) == (True, {"ep": "dev1"})
        assert leshan.client("dev1")["sleeping"] is False
        berth.leap("100s")
        assert events.await_event("SLEEPING") == {"ep": "dev1"}
        assert leshan.client("dev1")["sleeping"] is True
        asked = [
            leshan.device("GET", "dev1", "/3/0/0"),
            leshan.device("GET", "dev1", "/3/0/discover"),
            leshan.device("PUT", "dev1", "/3/0/14", "+01:00", "text/plain"),
            leshan.device("GET", "dev1", "/3/0/99"),
            leshan.device("GET", "dev1", "/composite", paths="/3/0/0,/1/0"),
        ]
        for answer in asked:
            assert {name: answer[name] for name in ("ep", "delayed")} == {"ep": "dev1", "delayed": True}
            assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", answer["requestId"])
        assert [answer["path"] for answer in asked] == ["/3/0/0", "/3/0", "/3/0/14", "/3/0/99", "/"]
        device.command("update")
        told = [events.await_event("REQUEST_RESPONSE") for _ in asked]
        assert [one["requestId"] for one in told] == [one["requestId"] for one in asked]
        assert [one["path"] for one in told] == [one["path"] for one in asked]
        read, discovered, written, missing, composite = told
        assert (read["status"], read["content"]) == ("CONTENT(205)", single(0, "STRING", "Berth"))
        assert discovered["objectLinks"] and written["status"] == "CHANGED(204)"
        assert (missing["status"], missing["success"]) == ("NOT_FOUND(404)", False)
        assert list(composite["content"]) == ["/3/0/0", "/1/0"]


# ---- events ----


def test_events_of_a_life(start_berth, start_device):
    berth = start_berth()
    leshan = LeshanClient(berth.http_port)
    with leshan.events() as events, leshan.events("another") as others:
        device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
        registration = events.await_event("REGISTRATION")
        assert registration == leshan.client("dev1")
        device.command("update")
        updated = events.await_event("UPDATED")
        assert updated["registration"]["endpoint"] == "dev1"
        assert updated["registration"]["lastUpdate"] >= registration["lastUpdate"]
        assert updated["update"]["registrationId"] == registration["registrationId"]
        device.command("deregister")
        gone = events.await_event("DEREGISTRATION")
        assert (gone["endpoint"], gone["registrationId"]) == ("dev1", registration["registrationId"])
        second = start_device("--server", berth.listeners[0], "--endpoint", "another")
        second.line("Device ID: ", partly=True)
        assert others.next()[1]["endpoint"] == "another"


def test_expiry_is_a_deregistration(start_berth, start_device):
    berth = start_berth()
    leshan = LeshanClient(berth.http_port)
    with leshan.events() as events:
        device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
        events.await_event("REGISTRATION")
        device.process.kill()
        device.process.wait()
        berth.leap("1000s")
        assert events.await_event("DEREGISTRATION")["endpoint"] == "dev1"


def test_send(leshan, served):
    with leshan.events("dev1") as events:
        leshan.device("PUT", "dev1", "/1/0/23", single(23, "BOOLEAN", False))
        served[1].command("send /3/0/9 /3442/0/120")
        data = events.await_event("SEND")
        assert data["ep"] == "dev1"
        assert data["val"]["/3442/0/120"] == single(120, "INTEGER", "1024")
        assert data["val"]["/3/0/9"]["kind"] == "singleResource"


def test_coap_log(start_berth, start_device):
    berth = start_berth()
    leshan = LeshanClient(berth.http_port)
    with leshan.events("dev1") as events, leshan.events() as all_events:
        device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
        register = events.await_event("COAPLOG")
        assert (register["incoming"], register["type"], register["code"], register["ep"]) == (True, "CON", "POST", "dev1")
        assert json.loads(register["options"])["Uri-Path"] == "rd" and "ep=dev1" in register["options"]
        assert "</3/0>" in register["payload"] and register["timestamp"] > 1_700_000_000_000
        created = events.await_event("COAPLOG")
        assert (created["incoming"], created["type"], created["code"]) == (False, "ACK", "2.01")
        assert (created["mId"], created["token"]) == (register["mId"], register["token"])
        assert "payload" not in created
        leshan.read("dev1", "/3/0/0", format="TEXT")
        get, content = events.await_event("COAPLOG"), events.await_event("COAPLOG")
        assert (get["code"], json.loads(get["options"])) == ("GET", {"Uri-Path": ["3", "0", "0"], "Accept": 0})
        assert (content["code"], content["payload"]) == ("2.05", "Berth")
        leshan.read("dev1", "/3/0", format="TLV")
        assert events.await_event("COAPLOG")["code"] == "GET"
        assert re.fullmatch(r"Hex:([0-9a-f]{2})+", events.await_event("COAPLOG")["payload"])
        device.command("deregister")
        all_events.await_event("DEREGISTRATION")
        assert "COAPLOG" not in {name for name, _ in all_events.seen}


def test_sessions_of_bootstrap(start_berth, start_device):
    berth = start_berth(
        "--http",
        "http://127.0.0.1:0?role=bootstrap",
        listen=("coap://127.0.0.1:0?role=management", "coap://127.0.0.1:0?role=bootstrap"),
    )
    with LeshanClient(other_port(berth)).events() as events:
        device = start_device("--bootstrap", berth.listeners[1].split("?")[0], "--endpoint", "dev1")
        device.line("Device ID: ", partly=True)
        while events.next()[1]["name"] != "finished":
            pass
        assert {name for name, _ in events.seen} == {"BSSESSION"}
        names = [data["name"] for _, data in events.seen]
        assert names[:4] == ["new session", "authorized", "send discover", "receive success response"]
        assert {"send delete", "send write"} <= set(names) and names[-3:] == ["send request", "receive success response", "finished"]
        assert all(data["endpoint"] == "dev1" and data["time"] > 0 for _, data in events.seen)


def test_stream_is_no_other_method(leshan, served):
    connection = http.client.HTTPConnection("127.0.0.1", served[0].http_port, timeout=10)
    connection.request("HEAD", "/api/event")
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    connection.close()
    assert leshan.call("POST", "/api/event")[0] == 405


# ---- definitions, credentials, the server ----


def test_objectspecs(leshan):
    specs = {one["id"]: one for one in leshan.good("GET", "/api/objectspecs/dev1")}
    assert set(specs) >= {1, 3, 3303, 3442}
    device = specs[3]
    assert set(device) == {
        "id",
        "name",
        "instancetype",
        "mandatory",
        "urn",
        "version",
        "lwm2mversion",
        "description",
        "resourcedefs",
    }
    assert (device["name"], device["instancetype"], device["mandatory"]) == ("Device", "single", True)
    battery = next(one for one in device["resourcedefs"] if one["id"] == 9)
    assert battery == {
        "id": 9,
        "name": "Battery Level",
        "operations": "R",
        "instancetype": "single",
        "mandatory": False,
        "type": "INTEGER",
        "range": "0..100",
        "units": "%",
        "description": "",
    }


def psk(endpoint: str, identity: str, key: str = "00112233445566778899aabbccddeeff") -> dict:
    return {"endpoint": endpoint, "tls": {"mode": "psk", "details": {"identity": identity, "key": key}}}


def test_credentials(leshan, served):
    assert leshan.good("GET", "/api/security/clients") == []
    assert leshan.call("PUT", "/api/security/clients/", psk("psk1", "psk1")) == (200, "")
    assert leshan.call("PUT", "/api/security/clients", psk("psk2", "psk2")) == (200, "")
    status, text = leshan.call("PUT", "/api/security/clients/", psk("psk3", "psk1"))
    assert status == 400 and "identity" in text
    oscore = {"endpoint": "os1", "oscore": {"sid": "aa", "rid": "bb", "msec": "0102030405060708"}}
    assert leshan.call("PUT", "/api/security/clients/", oscore) == (200, "")
    assert leshan.call("PUT", "/api/security/clients/", {"endpoint": "cert1", "tls": {"mode": "x509"}}) == (200, "")
    listed = {one["endpoint"]: one for one in leshan.good("GET", "/api/security/clients")}
    assert listed == {
        "psk1": {"endpoint": "psk1", "tls": {"mode": "psk", "details": {"identity": "psk1"}}},
        "psk2": {"endpoint": "psk2", "tls": {"mode": "psk", "details": {"identity": "psk2"}}},
        "os1": {"endpoint": "os1", "oscore": {"sid": "aa", "rid": "bb"}},
        "cert1": {"endpoint": "cert1", "tls": {"mode": "x509"}},
    }
    assert served[0].get("/v1/credentials/psk1")["items"][0]["service"] == "both"
    # Another one takes the place of what the endpoint had.
    assert leshan.call("PUT", "/api/security/clients/", {"endpoint": "psk1", "tls": {"mode": "x509"}}) == (200, "")
    assert [one["mode"] for one in served[0].get("/v1/credentials/psk1")["items"]] == ["x509"]
    status, text = leshan.call("PUT", "/api/security/clients/", {"endpoint": "r", "tls": {"mode": "rpk", "details": {}}})
    assert status == 400 and "raw public keys are not supported" in text
    for endpoint in listed:
        assert leshan.call("DELETE", f"/api/security/clients/{endpoint}") == (204, "")
        assert leshan.call("DELETE", f"/api/security/clients/{endpoint}")[0] == 404
    assert leshan.good("GET", "/api/security/clients") == []


def other_port(berth) -> int:
    """That of the second --http."""
    return int(next(line for line in reversed(berth.said) if "http://" in line).split("?")[0].rpartition(":")[2])


def test_credentials_by_the_role_of_the_port(start_berth):
    berth = start_berth("--http", "http://127.0.0.1:0?role=bootstrap")
    management, bootstrap = LeshanClient(berth.http_port), LeshanClient(other_port(berth))
    assert management.call("PUT", "/api/security/clients/", psk("dev1", "dev1", "aa" * 16))[0] == 200
    assert bootstrap.call("PUT", "/api/security/clients/", psk("dev1", "dev1", "bb" * 16))[0] == 200
    items = berth.get("/v1/credentials/dev1")["items"]
    assert sorted(one["service"] for one in items) == ["bootstrap", "management"]
    assert bootstrap.call("DELETE", "/api/security/clients/dev1") == (204, "")
    assert len(management.good("GET", "/api/security/clients")) == 1
    assert bootstrap.good("GET", "/api/security/clients") == []


def test_secured_device(start_berth, start_device):
    berth = start_berth(listen=("coaps://127.0.0.1:0",))
    leshan = LeshanClient(berth.http_port)
    key = "0123456789abcdef0123456789abcdef"
    assert leshan.call("PUT", "/api/security/clients/", psk("dev1", "identity1", key))[0] == 200
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--psk", f"identity1:{key}")
    device.line("Device ID: ", partly=True)
    assert leshan.client("dev1")["secure"] is True
    for path in ("/api/server/security", "/api/security/server"):
        assert leshan.good("GET", path)["certificate"]["b64Der"]


def test_server_endpoints(leshan, served):
    (endpoint,) = leshan.good("GET", "/api/server/endpoint")
    port = served[0].coap_port
    assert endpoint["uri"] == {"full": f"coap://127.0.0.1:{port}", "scheme": "coap", "host": "127.0.0.1", "port": port}
    assert endpoint["description"]


def test_api_key(start_berth):
    berth = start_berth("--api-key", "sesame")
    status, _ = LeshanClient(berth.http_port).call("GET", "/api/clients")
    assert status == 401
    answer = berth.http("GET", "/api/clients", headers={"Authorization": "Bearer sesame"})
    assert (answer.status, json.loads(answer.body)) == (200, [])
