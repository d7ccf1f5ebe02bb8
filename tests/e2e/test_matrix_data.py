"""Read, Write and Create over HTTP against the reference device: every level and type, in every content format, in every
release of LwM2M. What has no place is refused before it is sent, and by the device when it is forced."""

import base64

import pytest
from reference_pair import MANY, NUMBERS, SINGLE, VALUES, Pair, pair  # noqa: F401

INSTANCE = {"resources": {str(id): {"type": type, "value": first} for id, (type, first, _, _) in VALUES.items()}}
INSTANCE["resources"] |= {
    str(id + 1000): {"type": type, "values": {"0": first}} for id, (type, first, _, _) in VALUES.items()
}
TIME = {"type": "time", "value": 946684800, "iso": "2000-01-01T00:00:00.000Z"}
INSTANCE["resources"] |= {"160": TIME, "1160": {"values": {"0": TIME}}}

# Path of each level: what the API tells of it.
LEVELS = {
    "/3442": {"instances": {"0": INSTANCE}},
    "/3442/0": INSTANCE,
    "/3442/0/1120": {"type": "integer", "values": {"0": 1024}},
}


def formats_of(id: int) -> list[str]:
    """Those that can tell a value of this resource's type."""
    return SINGLE + MANY + (["opaque"] if VALUES[id][0] == "opaque" else [])


ONE_VALUE = [pytest.param(id, format, id=f"{VALUES[id][0]}-{format}") for id in VALUES for format in formats_of(id)]


def instance_path(pair: Pair, id: int) -> list[str]:
    return [f"/3442/0/{id}"] + ([f"/3442/0/{id + 1000}/0"] if pair.version > "1.0" else [])


# ---- Read ----


@pytest.mark.parametrize(("id", "format"), ONE_VALUE)
def test_DM_01_FMT_01_read_of_one_value(pair, id, format):
    type, first, _, _ = VALUES[id]
    for path in instance_path(pair, id):
        if not pair.allows(format):
            assert pair.refused("GET", path, format=format)["status"] == 422
            pair.denied("4.06", "GET", path, format=format, force=1)
        elif not pair.speaks(format):
            pair.denied("4.06", "GET", path, format=format)
        else:
            answer = pair.good("GET", path, format=format)
            assert answer.headers["CoAP-Content-Format"] == str(NUMBERS[format])
            told = answer.json
            assert (
                (told["path"], told["type"], told["value"]) == (path, type, first)
                and "oddity" not in told
                and "error" not in told
            )


@pytest.mark.parametrize("format", MANY)
@pytest.mark.parametrize("path", LEVELS)
def test_DM_01_FMT_01_read_of_more_than_one_value(pair, path, format):
    if not pair.allows(format):
        assert pair.refused("GET", path, format=format)["status"] == 422
        pair.denied("4.06", "GET", path, format=format, force=1)
    elif not pair.speaks(format):
        pair.denied("4.06", "GET", path, format=format)
    else:
        answer = pair.good("GET", path, format=format)
        assert answer.headers["CoAP-Content-Format"] == str(NUMBERS[format])
        assert answer.json == {"path": path, **LEVELS[path]}


@pytest.mark.parametrize("path", [*LEVELS, "/3442/0/110", "/3442/0/150"])
def test_DM_02_read_without_a_format(pair, path):
    told = pair.good("GET", path).json
    assert told == pair.good("GET", path, format="tlv").json
    assert told == pair.good("GET", path, format="none").json


@pytest.mark.parametrize("format", ["text", "opaque", "cbor", "link", "senml-etch-json", "senml-etch-cbor"])
@pytest.mark.parametrize("path", LEVELS)
def test_FMT_01_format_without_a_place_is_refused_and_by_the_device_when_it_is_forced(pair, path, format):
    assert pair.refused("GET", path, format=format)["status"] == 422
    if format != "link":  # with which the device takes it for a Discover
        pair.denied("4.06", "GET", path, format=format, force=1)


def test_FMT_01_opaque_is_for_values_of_that_type(pair):
    for id, (type, _, _, _) in VALUES.items():
        if type != "opaque":
            assert pair.refused("GET", f"/3442/0/{id}", format="opaque")["status"] == 422
            pair.denied("4.06", "GET", f"/3442/0/{id}", format="opaque", force=1)


def test_resource_instance_of_a_1_0_device_is_refused(pair):
    if pair.version == "1.0":
        assert pair.refused("GET", "/3442/0/1120/0")["status"] == 422
        pair.denied("4.04", "GET", "/3442/0/1120/0", force=1)
    else:
        pair.denied("4.04", "GET", "/3442/0/1120/7")


@pytest.mark.parametrize("path", ["/3442/1", "/3442/0/99", "/33333", "/3442/0/120/0"])
def test_DM_45_what_is_not_there_is_4_04(pair, path):
    if path.count("/") < 4 or pair.version > "1.0":
        pair.denied("4.04", "GET", path)


# ---- Write ----


@pytest.mark.parametrize(("id", "format"), ONE_VALUE)
def test_DM_10_DM_13_FMT_01_write_of_one_value(pair, id, format):
    type, first, other, shown = VALUES[id]
    for path in instance_path(pair, id):
        body = {"type": type, "value": other}
        if not pair.allows(format):
            assert pair.refused("PUT", path, body, format=format)["status"] == 422
        elif not pair.speaks(format):
            pair.denied("4.15", "PUT", path, body, format=format)
        else:
            pair.good("PUT", path, body, format=format, status=204)
            assert pair.told(path[1:]) == [f"{path[1:]} = {shown}"]
            assert pair.good("GET", path).json["value"] == other
            pair.good("PUT", path, {"value": first}, format=format, status=204)
            assert pair.good("GET", path).json["value"] == first


@pytest.mark.parametrize("format", MANY)
def test_DM_11_FMT_01_write_of_an_instance_replaces_or_adds(pair, format):
    body = {"resources": {"110": "new", "150": {"value": "AQID"}, "1120": {"values": {"1": 5, "2": 6}}}}
    if not pair.allows(format):
        assert pair.refused("PUT", "/3442/0", body, format=format)["status"] == 422
        assert pair.refused("PATCH", "/3442/0", body, format=format)["status"] == 422
        return
    if not pair.speaks(format):
        pair.denied("4.15", "PUT", "/3442/0", body, format=format)
        pair.denied("4.15", "PATCH", "/3442/0", body, format=format)
        return
    pair.good("PATCH", "/3442/0", body, format=format, status=204)
    told = pair.good("GET", "/3442/0").json["resources"]
    assert told.keys() == INSTANCE["resources"].keys()
    assert (told["110"]["value"], told["150"]["value"], told["1120"]["values"]) == (
        "new",
        "AQID",
        {"0": 1024, "1": 5, "2": 6},
    )
    pair.good("PUT", "/3442/0", body, format=format, status=204)
    assert {
        id: value.get("value") or value["values"] for id, value in pair.good("GET", "/3442/0").json["resources"].items()
    } == {"110": "new", "150": "AQID", "1120": {"1": 5, "2": 6}}
    pair.restore()


@pytest.mark.parametrize("format", MANY)
def test_DM_14_FMT_01_write_of_a_multiple_resource_replaces_or_adds(pair, format):
    body = {"values": {"1": 5, "2": 6}}
    if not pair.allows(format) or not pair.speaks(format):
        assert pair.http("PUT", "/3442/0/1120", body, format=format).status == (415 if pair.allows(format) else 422)
        return
    pair.good("PUT", "/3442/0/1120", body, format=format, status=204)
    assert pair.good("GET", "/3442/0/1120").json["values"] == {"1": 5, "2": 6}
    body = {"values": {"2": 7, "3": 8}}
    if pair.version == "1.0":  # which has no such operation
        assert pair.refused("PATCH", "/3442/0/1120", body, format=format)["status"] == 422
    else:
        pair.good("PATCH", "/3442/0/1120", body, format=format, status=204)
        assert pair.good("GET", "/3442/0/1120").json["values"] == {"1": 5, "2": 7, "3": 8}
    pair.restore()


def test_write_without_a_format(pair):
    for id, (type, first, other, _) in VALUES.items():
        pair.good("PUT", f"/3442/0/{id}", {"type": type, "value": other}, status=204)
        assert pair.good("GET", f"/3442/0/{id}").json["value"] == other
    pair.restore()
    assert pair.good("GET", "/3442/0").json == {"path": "/3442/0", **INSTANCE}


@pytest.mark.parametrize(("format", "number"), [("text", 0), ("opaque", 42), ("cbor", 60)])
def test_FMT_01_one_value_is_no_content_of_an_instance(pair, format, number):
    for method, path in [("PUT", "/3442/0"), ("PATCH", "/3442/0"), ("PUT", "/3442/0/1120"), ("POST", "/3442")]:
        body = {"values": {"0": 5}} if path.count("/") == 3 else {"resources": {"120": 5}}
        assert pair.refused(method, path, body, format=format)["status"] == 422
        method = {"PATCH": "POST"}.get(method, method)
        answer = pair.raw(method, path, content_format=number, payload="5")
        assert answer["code"] == "4.15", (method, path)
    assert pair.good("GET", "/3442/0").json == {"path": "/3442/0", **INSTANCE}


WRONG = {110: 5, 120: "x", 125: -1, 130: "x", 140: 5, 150: "!", 160: "x", 170: "3", 180: 5}


@pytest.mark.parametrize("id", WRONG)
def test_TYP_01_DM_15_value_of_another_type_is_refused_and_by_the_device_when_it_is_forced(pair, id):
    problem = pair.refused("PUT", f"/3442/0/{id}", {"value": WRONG[id]})
    assert problem["status"] == 400 and problem["detail"].startswith(f"/3442/0/{id}: "), problem
    if id not in (110, 180):  # any text is a String, and a corelnk to who knows no better
        assert pair.raw("PUT", f"/3442/0/{id}", content_format=0, payload="!")["code"] == "4.00"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/3442/0/0", "4.05"),
        ("/3/0/9", "4.05"),
        ("/3442/0/99", "4.04"),
        ("/3442/9/120", "4.04"),
        ("/33333/0/1", "4.04"),
    ],
)
def test_DM_45_write_that_the_device_refuses(pair, path, code):
    assert pair.raw("PUT", path, content_format=0, payload="5")["code"] == code
    pair.denied(code, "PUT", path, {"type": "integer", "value": 5}, force=1, format="text")


# ---- Create ----


def create_of(owner: int) -> dict:
    return {"resources": {"0": 3, "1": 0, "2": {"values": {"1": 15}}, "3": owner}}


@pytest.fixture
def no_instances(pair):
    """Of Access Control; each test leaves it so."""
    for id in list_of(pair):
        pair.good("DELETE", f"/2/{id}", status=204)


def list_of(pair: Pair) -> list[int]:
    told = pair.good("GET", "/2").json
    return sorted(int(id) for id in told.get("instances", {}))


@pytest.mark.parametrize("format", MANY)
def test_DM_24_FMT_01_create_with_an_id_several_and_without(pair, no_instances, format):
    one, many = {"instance": 5, **create_of(1)}, {"instances": {"7": create_of(1), "9": create_of(1)}}
    if not pair.allows(format) or not pair.speaks(format):
        assert pair.http("POST", "/2", one, format=format).status == (415 if pair.allows(format) else 422)
        assert list_of(pair) == []
        return
    answer = pair.good("POST", "/2", one, format=format, status=201)
    assert answer.headers["Location"] == "/v1/devices/dev1/2/5"
    pair.good("POST", "/2", many, format=format, status=201)
    assert list_of(pair) == [5, 7, 9]
    assert pair.good("GET", "/2/9").json["resources"]["2"]["values"] == {"1": 15}
    listed = {item["path"] for item in pair.berth.device("dev1")["objects"]}
    assert {"/2/5", "/2/7", "/2/9"} <= listed  # before any Update
    pair.denied("4.00", "POST", "/2", one, format=format)  # which exists
    if format in ("tlv", "lwm2m-cbor"):
        answer = pair.good("POST", "/2", create_of(1), format=format, status=201)
        assert (
            answer.headers["Location"]
            == f"/v1/devices/dev1/2/{next(id for id in list_of(pair) if id not in (5, 7, 9))}"
        )
    else:
        assert pair.refused("POST", "/2", create_of(1), format=format)["status"] == 400


def test_DM_27_create_that_the_device_refuses(pair):
    pair.denied("4.05", "POST", "/3", {"instance": 1, "resources": {"14": "+01"}})
    pair.denied("4.04", "POST", "/33333", {"instance": 1, "resources": {"1": {"type": "integer", "value": 1}}})
    pair.denied("4.00", "POST", "/2", {"instance": 4, "resources": {"0": 3}})  # mandatory ones are missing
    assert pair.refused("POST", "/0", {"instance": 1, "resources": {}})["status"] == 422


# ---- as bytes ----


def test_FMT_01_answer_as_it_came(pair):
    answer = pair.good("GET", "/3442/0/150", headers={"Accept": "application/octet-stream"}, format="tlv")
    assert answer.body == bytes.fromhex("c896080123456789abcdef")
    assert pair.good("GET", "/3442/0/110", headers={"Accept": "text/plain"}).body == b"initial value"
    assert pair.good("GET", "/3442/0/120", headers={"Accept": "application/cbor"}).body == bytes.fromhex("190400")
    assert base64.b64decode(pair.good("GET", "/3442/0/150").json["value"]) == bytes.fromhex("0123456789abcdef")
