"""Every operation besides Read, Write and Create over HTTP against the reference device, in every release of LwM2M: what
the release has works, what it does not have is refused before it is sent, and by the device when it is forced."""

import base64

import pytest
from reference_pair import MANY, NUMBERS, SINGLE, VALUES, Pair, pair  # noqa: F401

# ---- Discover ----

TEST_RESOURCES = [0, 2, *VALUES, *(id + 1000 for id in VALUES)]


def links(pair: Pair, path: str, **query: object) -> list[str]:
    answer = pair.good("GET", f"{path}/discover", **query).json
    assert answer["path"] == path
    return [link["path"] for link in answer["links"]]


@pytest.mark.parametrize("path", ["/3442", "/3442/0", "/3442/0/1120", "/3442/0/120"])
def test_DM_30_discover(pair, path):
    below = [f"/3442/0/{id}" for id in TEST_RESOURCES]
    expected = {"/3442": ["/3442", "/3442/0", *below], "/3442/0": ["/3442/0", *below], "/3442/0/120": ["/3442/0/120"]}
    expected["/3442/0/1120"] = ["/3442/0/1120"] + (["/3442/0/1120/0"] if pair.version == "1.2" else [])
    assert links(pair, path) == expected[path]


def test_DM_30_discover_with_a_depth(pair):
    if pair.version < "1.2":
        assert pair.refused("GET", "/3442/discover", depth=1)["status"] == 422
        pair.denied("4.00", "GET", "/3442/discover", depth=1, force=1)
        return
    assert links(pair, "/3442", depth=0) == ["/3442"]
    assert links(pair, "/3442", depth=1) == ["/3442", "/3442/0"]
    assert "/3442/0/1120" in links(pair, "/3442", depth=2) and "/3442/0/1120/0" not in links(pair, "/3442", depth=2)
    assert "/3442/0/1120/0" in links(pair, "/3442", depth=3)
    assert pair.refused("GET", "/3442/discover", depth=4)["status"] == 400


def test_DM_30_discover_of_what_is_not_there(pair):
    for path in ("/33333", "/3442/9", "/3442/0/99"):
        pair.denied("4.04", "GET", f"{path}/discover")


# ---- Write-Attributes ----

EVERYWHERE = {
    "pmin": ("1.0", 5),
    "pmax": ("1.0", 60),
    "epmin": ("1.1", 2),
    "epmax": ("1.1", 4),
    "con": ("1.2", 1),
    "hqmax": ("1.2", 7),
}
PLACES = [
    pytest.param(name, path, id=f"{name}{path.replace('/', '-')}")
    for name in EVERYWHERE
    for path in ("/3442", "/3442/0", "/3442/0/1120", "/3442/0/1120/0")
]
PLACES += [
    pytest.param(name, path, id=f"{name}{path.replace('/', '-')}")
    for name in ("gt", "lt", "st")
    for path in ("/3442/0/120", "/3442/0/125", "/3442/0/130", "/3442/0/1130/0")
]
PLACES += [pytest.param("edge", path, id=f"edge{path.replace('/', '-')}") for path in ("/3442/0/140", "/3442/0/1140/0")]
DETAIL = {**EVERYWHERE, "gt": ("1.0", 50.5), "lt": ("1.0", 20), "st": ("1.0", 1.5), "edge": ("1.2", 1)}


@pytest.mark.parametrize(("name", "path"), PLACES)
def test_ATT_01_ATT_02_ATT_06_attribute_at_its_levels(pair, name, path):
    since, value = DETAIL[name]
    if path.count("/") == 4 and pair.version == "1.0":
        assert pair.refused("PUT", f"{path}/attributes", {name: value})["status"] == 422
        return
    if since > pair.version:
        assert pair.refused("PUT", f"{path}/attributes", {name: value})["status"] == 422
        pair.denied("4.00", "PUT", f"{path}/attributes", {name: value}, force=1)
        return
    pair.good("PUT", f"{path}/attributes", {name: value}, status=204)
    if path.count("/") < 4 or pair.version == "1.2":  # a Discover of an older release does not go so deep
        above = path if path.count("/") < 4 else path.rpartition("/")[0]
        attributes = {link["path"]: link["attributes"] for link in pair.good("GET", f"{above}/discover").json["links"]}
        assert float(attributes[path][name]) == value
    pair.good("PUT", f"{path}/attributes", {name: None}, status=204)
    told = pair.good("GET", f"{path if path.count('/') < 4 else path.rpartition('/')[0]}/discover").json["links"]
    assert all(name not in link["attributes"] for link in told)


WRONG_PLACES = [
    ("gt", "/3442"),
    ("lt", "/3442/0"),
    ("st", "/3442/0/110"),
    ("gt", "/3442/0/140"),
    ("edge", "/3442/0"),
    ("edge", "/3442/0/120"),
]


@pytest.mark.parametrize(("name", "path"), WRONG_PLACES)
def test_ATT_02_attribute_that_has_no_meaning_there(pair, name, path):
    assert pair.refused("PUT", f"{path}/attributes", {name: DETAIL[name][1]})["status"] in (400, 422)
    pair.denied("4.00", "PUT", f"{path}/attributes", {name: DETAIL[name][1]}, force=1)


@pytest.mark.parametrize("attributes", [{"lt": 5, "gt": 5}, {"lt": 1, "gt": 2, "st": 1}])
def test_ATT_03_contradictions(pair, attributes):
    assert pair.refused("PUT", "/3442/0/120/attributes", attributes)["status"] in (400, 422)
    pair.denied("4.00", "PUT", "/3442/0/120/attributes", attributes, force=1)


# ---- Execute ----


@pytest.mark.parametrize("arguments", ["", "5", "2='10.3'", "7,0='http://h'", "0,1,2,3,4"])
def test_DM_20_DM_21_execute(pair, arguments):
    pair.good("POST", "/3442/0/0", arguments, headers={"Content-Type": "text/plain"}, status=204)
    pair.good("POST", "/3442/0/0", {"args": arguments}, status=204)


@pytest.mark.parametrize("arguments", ["10", "1=a", "1='a", "1,1", "="])
def test_DM_21_arguments_that_are_none(pair, arguments):
    assert pair.refused("POST", "/3442/0/0", {"args": arguments})["status"] == 400
    pair.denied("4.00", "POST", "/3442/0/0", {"args": arguments}, force=1)


@pytest.mark.parametrize(
    ("path", "code"), [("/3442/0/120", "4.05"), ("/3442/0/99", "4.04"), ("/3442/9/0", "4.04"), ("/33333/0/1", "4.04")]
)
def test_DM_45_execute_that_the_device_refuses(pair, path, code):
    pair.denied(code, "POST", path, force=1)


# ---- Delete ----


def test_DM_28_delete_of_an_instance(pair):
    pair.good("POST", "/2", {"instance": 6, "resources": {"0": 3, "1": 0, "3": 1}}, status=201)
    pair.good("DELETE", "/2/6", status=204)
    pair.denied("4.04", "GET", "/2/6")
    pair.denied("4.04", "DELETE", "/2/6")
    pair.denied("4.05", "DELETE", "/3/0")


def test_delete_of_a_resource_instance_came_with_1_1(pair):
    if pair.version == "1.0":
        assert pair.refused("DELETE", "/3442/0/1120/0")["status"] == 422
        pair.denied("4.04", "DELETE", "/3442/0/1120/0", force=1)
        return
    pair.good("PUT", "/3442/0/1120", {"values": {"0": 1, "1": 2}}, status=204)
    pair.good("DELETE", "/3442/0/1120/1", status=204)
    assert pair.good("GET", "/3442/0/1120").json["values"] == {"0": 1}
    pair.restore()


@pytest.mark.parametrize("path", ["/3442", "/3442/0/120"])
def test_DM_29_delete_of_an_object_or_resource_is_no_operation(pair, path):
    assert pair.http("DELETE", path).status == 405
    assert pair.raw("DELETE", path)["code"] == "4.05"


# ---- composite operations ----

PATHS = ["/3442/0/110", "/3442/0/1120/0", "/3442/0/1130", "/1/0"]
COMPOSITE = ["senml-json", "senml-cbor", "lwm2m-cbor", "senml-etch-json", "senml-etch-cbor"]
ETCH = {"senml-etch-json": 110, "senml-etch-cbor": 112}


def has_composite(pair: Pair, format: str) -> bool:
    return pair.version == "1.2" or (pair.version == "1.1" and format in ("senml-json", "senml-cbor"))


@pytest.mark.parametrize("format", COMPOSITE)
def test_DM_33_FMT_01_read_composite(pair, format):
    if not has_composite(pair, format):
        assert pair.refused("POST", "/composite/read", {"paths": PATHS}, format=format)["status"] == 422
        number = {**NUMBERS, "senml-etch-json": 320, "senml-etch-cbor": 322}[format]
        expected = "4.05" if pair.version == "1.0" else "4.15"  # one has no FETCH, the other not the format
        assert pair.raw("FETCH", "/", content_format=number, payload="[]")["code"] == expected
        return
    answer = pair.good("POST", "/composite/read", {"paths": PATHS}, format=format)
    assert answer.headers["CoAP-Content-Format"] == str(ETCH.get(format) or NUMBERS[format])
    told = answer.json["resources"]
    assert told["/3442/0/110"] == {"type": "string", "value": "initial value"}
    assert (
        told["/3442/0/1120/0"]["value"] if "/3442/0/1120/0" in told else told["/3442/0/1120"]["values"]["0"]
    ) == 1024
    assert told["/3442/0/1130"]["values"] == {"0": 3.14159} and told["/1/0/0"]["value"] == 1
    assert set(told) >= {"/1/0/1", "/1/0/6", "/1/0/7"}


@pytest.mark.parametrize("format", COMPOSITE)
def test_DM_36_FMT_01_write_composite(pair, format):
    body = {"/3442/0/110": "composed", "/3442/0/1120": {"values": {"0": 7, "3": 8}}, "/3/0/14": "+03:00"}
    if not has_composite(pair, format):
        assert pair.refused("POST", "/composite/write", body, format=format)["status"] == 422
        return
    pair.good("POST", "/composite/write", body, format=format, status=204)
    assert pair.told("3442/0/110") == ["3442/0/110 = composed"]
    assert pair.told("3442/0/1120") == ["3442/0/1120/0 = 7", "3442/0/1120/3 = 8"]
    assert pair.told("3/0/14") == ["3/0/14 = +03:00"]
    body = {"/3442/0/110": "all or", "/3/0/9": 5}  # which cannot be written
    pair.denied("4.05", "POST", "/composite/write", body, format=format)
    assert pair.told("3442/0/110") == ["3442/0/110 = composed"]  # nothing
    pair.restore()


@pytest.mark.parametrize("format", COMPOSITE)
def test_DM_37_removal_is_told_by_etch_only(pair, format):
    body = {"/3442/0/1120": {"values": {"1": 5}}}
    if pair.version > "1.0":
        pair.good("POST", "/composite/write", body, status=204)
    body = {"/3442/0/1120/1": None}
    if not has_composite(pair, format) or format not in ETCH:
        assert pair.refused("POST", "/composite/write", body, format=format)
    else:
        pair.good("POST", "/composite/write", body, format=format, status=204)
        assert pair.told("3442/0/1120") == ["3442/0/1120/0 = 1024"]
    pair.restore()


# ---- Observe ----


def observe(pair: Pair, path: str, format: str) -> int:
    answer = pair.good("PUT", f"{path}/observe", format=format)
    assert answer.headers["CoAP-Content-Format"] == str(NUMBERS[format])
    return int(answer.headers["Observation"])


def next_value(pair: Pair, number: int, path: str, value: object, after: int) -> dict:
    """The notification event of this value."""
    condition = {
        "after": after,
        "type": "notification",
        "match": {"observation": number, "path": path, "value": value},
        "timeout": "10s",
    }
    answer = pair.berth.http("POST", "/v1/wait", condition)
    assert answer.status == 200, answer.body
    return answer.json


def end(pair: Pair, path: str, number: int, mode: str, level: str) -> None:
    after = pair.berth.last_event()
    pair.good("DELETE", f"{path}/observe", mode=mode, id=number, status=204)
    ended = pair.berth.await_event("observe_ended", Pair.endpoint, after)
    assert ended["observation"] == number
    if mode == "reset":  # the device hears of it with its next notification
        pair.device.command(f"set {level} 1024")
    pair.device.line(f"Observation of {path[1:]} ended", partly=True)
    assert pair.berth.get(f"/v1/devices/{Pair.endpoint}/observations")["items"] == []


CHANGED = {
    "/3442": "3442/0/120",
    "/3442/0": "3442/0/120",
    "/3442/0/120": "3442/0/120",
    "/3442/0/1120": "3442/0/1120/0",
    "/3442/0/1120/0": "3442/0/1120/0",
}


@pytest.mark.parametrize("mode", ["active", "reset"])
@pytest.mark.parametrize("format", [*MANY, *SINGLE])
@pytest.mark.parametrize("path", CHANGED)
def test_NTF_04_OB_14_OB_15_observe_notify_and_cancel(pair, path, format, mode):
    is_one = path in ("/3442/0/120", "/3442/0/1120/0")
    has_path = path.count("/") < 4 or pair.version > "1.0"
    if not (pair.allows(format) and has_path and (format in MANY or is_one)):
        assert pair.refused("PUT", f"{path}/observe", format=format)["status"] == 422
        return
    if not pair.speaks(format):
        pair.denied("4.06", "PUT", f"{path}/observe", format=format)
        return
    level = CHANGED[path]
    number = observe(pair, path, format)
    first = next_value(pair, number, f"/{level}", 1024, 0)
    assert first["value_type"] == "integer"
    pair.device.command(f"set {level} 77")
    event = next_value(pair, number, f"/{level}", 77, first["id"])
    assert event["sequence"] > first["sequence"] and "stale" not in event
    listed = pair.berth.get(f"/v1/devices/{Pair.endpoint}/observations")["items"]
    assert [(item["id"], item["paths"], item["accept"], item["state"]) for item in listed] == [
        (number, [path], NUMBERS[format], "active")
    ]
    end(pair, path, number, mode, level)
    pair.restore()


@pytest.mark.parametrize("mode", ["active", "reset"])
@pytest.mark.parametrize("format", COMPOSITE)
def test_NTF_03_observe_composite_notify_and_cancel(pair, format, mode):
    paths = ["/3442/0/120", "/3442/0/110"]
    if not has_composite(pair, format):
        assert pair.refused("POST", "/composite/observe", {"paths": paths}, format=format)["status"] == 422
        return
    after = pair.berth.last_event()
    number = int(pair.good("POST", "/composite/observe", {"paths": paths}, format=format).headers["Observation"])
    pair.device.command("set 3442/0/120 78")
    changed = next_value(pair, number, "/3442/0/120", 78, after)
    events = pair.berth.events_after(after, types="notification")
    told = {event["path"]: event["value"] for event in events if event["sequence"] == changed["sequence"]}
    assert told == {"/3442/0/120": 78, "/3442/0/110": "initial value"}
    pair.good("DELETE", f"/observations/{number}", mode=mode, status=204)
    if mode == "reset":
        pair.device.command("set 3442/0/120 79")
    pair.device.line("Observation of 3442/0/120 3442/0/110 ended", partly=True)
    pair.restore()


def test_NTF_02_observe_with_attributes_came_with_1_2(pair):
    body = {"pmin": 1, "pmax": 60}
    if pair.version < "1.2":
        assert pair.refused("PUT", "/3442/0/120/observe", body)["status"] == 422
        pair.denied("4.00", "PUT", "/3442/0/120/observe", body, force=1)
        return
    number = int(pair.good("PUT", "/3442/0/120/observe", body).headers["Observation"])
    pair.device.command("observations")
    pair.device.line("Observation of 3442/0/120: pmin=1;pmax=60")
    assert pair.good("GET", "/3442/0/120/discover").json["links"] == [{"path": "/3442/0/120", "attributes": {}}]
    pair.good("DELETE", f"/observations/{number}", status=204)


# ---- Send ----


def test_SND_01_send_came_with_1_1(pair):
    after = pair.berth.last_event()
    if pair.version == "1.0":
        pair.device.command("send 3303/0/5700")
        pair.device.line("3303/0/5700: LwM2M 1.0 has no Send")
        return
    pair.good("PUT", "/mute-send", {"muted": False}, status=204)
    pair.device.command("set 3303/0/5700 21.5")
    pair.device.command("send 3303/0/5700 3442/0/1120")
    told = [pair.berth.await_event("send", Pair.endpoint, after)]
    told.append(pair.berth.await_event("send", Pair.endpoint, told[0]["id"]))
    assert [(event["path"], event["value"]) for event in told] == [("/3303/0/5700", 21.5), ("/3442/0/1120/0", 1024)]
    pair.device.line("Sent: 3303/0/5700 3442/0/1120 -> 2.04 Changed")


# ---- raw ----


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"method": "GET", "path": "/3/0/9"}, "2.05"),
        ({"method": "GET", "path": "/3/0/9", "confirmable": False}, "2.05"),
        ({"method": "GET", "path": "/3/0", "accept": "tlv"}, "2.05"),
        ({"method": "GET", "path": "/3", "accept": 40}, "2.05"),
        ({"method": "PUT", "path": "/3442/0/110", "content_format": "text", "payload": "initial value"}, "2.04"),
        ({"method": "PUT", "path": "/3442/0/120", "query": "pmin=1"}, "2.04"),
        ({"method": "PUT", "path": "/3442/0/120", "query": ["pmin"]}, "2.04"),
        ({"method": "POST", "path": "/3442/0/0"}, "2.04"),
        ({"method": "DELETE", "path": "/3442/9"}, "4.04"),
        ({"method": "GET", "path": "/0/0"}, "4.04"),
        ({"method": "0.31", "path": "/3"}, "4.05"),
        ({"method": "GET", "path": "/3/0/9", "options": [{"number": 2049, "value_b64": "AQI="}]}, "4.02"),
        ({"method": "GET", "path": "/3/0/9", "options": [{"number": 2050, "value_b64": "AQI="}]}, "2.05"),
        ({"method": "GET", "path": "/5000/0/0", "accept": "opaque"}, "2.05"),
    ],
)
def test_raw_request(pair, asked, code):
    answer = pair.good("POST", "/requests", asked).json
    assert answer["code"] == code, answer
    if asked["path"] == "/5000/0/0":  # in blocks
        body = base64.b64decode(answer["payload_b64"])
        assert len(body) > 1024 and body == bytes(i % 251 for i in range(len(body)))
