"""/v1/objects and --objects: object definitions (OBJ-05)."""

import subprocess

import pytest

from berth_process import program

XML = """<?xml version="1.0" encoding="UTF-8"?>
<LWM2M xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <Object ObjectType="MODefinition">
    <Name>{name}</Name>
    <Description1><![CDATA[What it is <for>]]></Description1>
    <ObjectID>{id}</ObjectID>
    <ObjectURN></ObjectURN>
    <LWM2MVersion>1.1</LWM2MVersion>
    <ObjectVersion>{version}</ObjectVersion>
    <MultipleInstances>Multiple</MultipleInstances>
    <Mandatory>Optional</Mandatory>
    <Resources>
      <Item ID="7"><Name>Level</Name><Operations>RW</Operations><MultipleInstances>Multiple</MultipleInstances>
        <Mandatory>Mandatory</Mandatory><Type>Unsigned Integer</Type><RangeEnumeration>0..100</RangeEnumeration>
        <Units>%</Units><Description>text</Description></Item>
      <Item ID="1"><Name>Go</Name><Operations>E</Operations><MultipleInstances>Single</MultipleInstances>
        <Mandatory>Optional</Mandatory><Type></Type><RangeEnumeration></RangeEnumeration><Units></Units></Item>
      <Item ID="2"><Name>Secret</Name><Operations></Operations><MultipleInstances>Single</MultipleInstances>
        <Mandatory>Optional</Mandatory><Type>Opaque</Type></Item>
    </Resources>
  </Object>
</LWM2M>
"""


def xml(id=33000, version="1.0", name="Mine"):
    return XML.format(id=id, version=version, name=name)


def put(berth, path, body, content_type="application/xml"):
    return berth.http("PUT", path, body.encode(), {"Content-Type": content_type} if content_type else None)


def load(berth, **what):
    """Load a definition that is not there yet."""
    answer = put(berth, f"/v1/objects/{what.get('id', 33000)}", xml(**what))
    assert answer.status == 201, answer.body
    return answer


def listed(berth, **query):
    items, cursor = [], None
    while True:
        page = berth.get("/v1/objects", **query, **({} if cursor is None else {"cursor": cursor}))
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            return items


# ---- what is compiled in ----


def test_OBJ_05_registry_is_there_in_several_versions(berth):
    items = listed(berth)
    assert len(items) > 300
    keys = [(item["id"], [int(part) for part in item["version"].split(".")]) for item in items]
    assert keys == sorted(keys)
    assert [item["version"] for item in items if item["id"] == 4] == ["1.0", "1.1", "1.2", "1.3"]
    assert {item["source"] for item in items} == {"built-in"}


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_are_parts_of_one_list(berth, limit):
    everything = listed(berth, limit=1000)
    first = berth.get("/v1/objects", limit=limit)
    assert first["items"] == everything[:limit]
    if limit == 7:
        assert listed(berth, limit=limit) == everything


def test_definition_without_a_version_is_the_newest(berth):
    device = berth.get("/v1/objects/3")
    assert (device["id"], device["version"], device["name"]) == (3, "1.2", "Device")
    assert (device["instances"], device["mandatory"], device["lwm2m_version"]) == ("single", True, "1.1")
    assert device["urn"] == "urn:oma:lwm2m:oma:3:1.2"
    assert {r["id"] for r in device["resources"]} == set(range(23))


def test_definition_of_a_version(berth):
    server = berth.get("/v1/objects/1/1.0")
    assert server["version"] == "1.0" and server["urn"] == "urn:oma:lwm2m:oma:1"
    resources = {r["id"]: r for r in server["resources"]}
    assert resources.keys() == set(range(9))
    assert resources[1] == {
        "id": 1, "name": "Lifetime", "operations": "RW", "instances": "single", "mandatory": True,
        "type": "integer", "range": None, "units": "s",
    }  # fmt: skip
    assert (resources[4]["operations"], resources[4]["type"]) == ("E", None)


def test_resources_that_only_bootstrap_reaches_have_no_operations(berth):
    assert {r["operations"] for r in berth.get("/v1/objects/0/1.1")["resources"]} == {""}


def test_what_a_definition_does_not_tell_is_null(berth):
    timestamp = next(r for r in berth.get("/v1/objects/3303/1.1")["resources"] if r["id"] == 5518)
    assert (timestamp["type"], timestamp["operations"]) == ("time", None)


@pytest.mark.parametrize("path", ["/v1/objects/33000", "/v1/objects/3/4.7", "/v1/objects/65534/1.0"])
def test_unknown_definition_is_404(berth, path):
    answer = berth.http("GET", path)
    assert (answer.status, answer.problem) == (404, "not-found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["x", "65535", "-1", "99999999999999999999", "3/1", "3/one", "3/0.0", "3/1.256"])
def test_path_that_names_no_object_is_400(berth, method, path):
    answer = berth.http(method, f"/v1/objects/{path}")
    assert (answer.status, answer.problem) == (400, "bad-request")


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"cursor": 2**32}])
def test_wrong_parameters_of_the_list_are_400(berth, query):
    answer = berth.http("GET", "/v1/objects", **query)
    assert (answer.status, answer.problem) == (400, "bad-parameter")


# ---- loading ----


def test_loaded_definition_is_there_whole(berth):
    answer = load(berth)
    assert answer.headers["Location"] == "/v1/objects/33000/1.0"
    assert berth.get("/v1/objects/33000") == {
        "id": 33000,
        "version": "1.0",
        "name": "Mine",
        "source": "loaded",
        "urn": "urn:oma:lwm2m:x:33000",
        "lwm2m_version": "1.1",
        "instances": "multiple",
        "mandatory": False,
        "resources": [
            {"id": 1, "name": "Go", "operations": "E", "instances": "single", "mandatory": False, "type": None,
             "range": None, "units": None},
            {"id": 2, "name": "Secret", "operations": "", "instances": "single", "mandatory": False, "type": "opaque",
             "range": None, "units": None},
            {"id": 7, "name": "Level", "operations": "RW", "instances": "multiple", "mandatory": True,
             "type": "unsigned", "range": "0..100", "units": "%"},
        ],
    }  # fmt: skip
    assert {"id": 33000, "version": "1.0", "name": "Mine", "source": "loaded"} in listed(berth)


@pytest.mark.parametrize("content_type", ["application/xml", "text/xml", "Text/XML; charset=utf-8", None])
def test_content_types_of_xml_are_taken(berth, content_type):
    assert put(berth, "/v1/objects/33000/1.0", xml(), content_type).status == 201


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/xmlish", "multipart/form-data"])
def test_other_content_types_are_415(berth, content_type):
    answer = put(berth, "/v1/objects/33000", xml(), content_type)
    assert (answer.status, answer.problem) == (415, "unsupported-media-type")


def test_loading_again_replaces_and_is_204(berth):
    load(berth)
    assert put(berth, "/v1/objects/33000", xml(name="Other")).status == 204
    assert berth.get("/v1/objects/33000")["name"] == "Other"
    assert len([item for item in listed(berth) if item["id"] == 33000]) == 1


def test_versions_stand_beside_each_other(berth):
    load(berth, version="1.0", name="first")
    load(berth, version="1.1", name="second")
    assert berth.get("/v1/objects/33000")["name"] == "second"
    assert berth.get("/v1/objects/33000/1.0")["name"] == "first"


def test_loaded_definition_goes_before_that_of_the_registry(berth):
    before = berth.get("/v1/objects/3/1.1")
    load(berth, id=3, version="1.1", name="My Device")
    assert berth.get("/v1/objects/3/1.1")["name"] == "My Device"
    assert [i["name"] for i in listed(berth) if (i["id"], i["version"]) == (3, "1.1")] == ["My Device"]
    assert berth.http("DELETE", "/v1/objects/3/1.1").status == 204
    assert berth.get("/v1/objects/3/1.1") == before


def test_loaded_definitions_survive_a_restart(berth):
    load(berth)
    load(berth, id=3, version="1.1", name="My Device")
    before = listed(berth), berth.get("/v1/objects/33000")
    berth.restart()
    assert (listed(berth), berth.get("/v1/objects/33000")) == before


def test_loaded_definitions_survive_a_crash(berth):
    load(berth)
    berth.kill()
    berth.start()
    assert berth.get("/v1/objects/33000")["name"] == "Mine"


def test_reset_leaves_definitions_alone(berth):
    load(berth)
    assert berth.http("POST", "/v1/reset").status == 204
    assert berth.get("/v1/objects/33000")["name"] == "Mine"


# ---- deleting ----


def test_deleted_definition_is_gone_for_good(berth):
    load(berth)
    assert berth.http("DELETE", "/v1/objects/33000/1.0").status == 204
    assert berth.http("GET", "/v1/objects/33000").status == 404
    assert berth.http("DELETE", "/v1/objects/33000/1.0").status == 404
    berth.restart()
    assert berth.http("GET", "/v1/objects/33000").status == 404


def test_delete_without_a_version_takes_the_newest_that_was_loaded(berth):
    load(berth, version="1.0")
    load(berth, version="1.1")
    assert berth.http("DELETE", "/v1/objects/33000").status == 204
    assert berth.get("/v1/objects/33000")["version"] == "1.0"
    assert berth.http("DELETE", "/v1/objects/33000").status == 204
    assert berth.http("DELETE", "/v1/objects/33000").status == 404


@pytest.mark.parametrize("path", ["/v1/objects/3", "/v1/objects/3/1.1", "/v1/objects/33000"])
def test_only_what_was_loaded_can_be_deleted(berth, path):
    answer = berth.http("DELETE", path)
    assert (answer.status, answer.problem) == (404, "not-found")
    assert berth.get("/v1/objects/3")["name"] == "Device"


# ---- what is refused, with nothing changed ----


BOMB = '<!DOCTYPE LWM2M [<!ENTITY a "aaaaaaaaaa">%s]><LWM2M><Object><Name>&z;</Name></Object></LWM2M>' % "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(25)
)


def line_of(text, mark):
    """The line of the last occurrence."""
    return text.count("\n", 0, text.rindex(mark)) + 1


TWO_OBJECTS = xml().replace("</LWM2M>", xml(33001)[xml().index("<Object ") :])


@pytest.mark.parametrize(
    ("path", "body", "line", "words"),
    [
        ("33000", "", 1, "no element found"),
        ("33000", "{}", 1, "well-formed"),
        ("33000", "<html/>", 1, "not <LWM2M>"),
        ("33000", xml()[: xml().index("<Units>%") + 3], line_of(xml(), "<Units>%"), "well-formed"),
        ("33000", xml().replace("RW", "RWE"), line_of(xml(), "RW"), "R, W, RW, E or empty"),
        ("33000", xml().replace('ID="1"', 'ID="7"'), line_of(xml(), 'ID="1"'), "resource 7 is there twice"),
        ("33001", xml(), 6, "this is object 33000, and the path names object 33001"),
        ("33000/1.1", xml(), 6, "this is version 1.0 of the object, and the path names version 1.1"),
        ("33000", TWO_OBJECTS, line_of(TWO_OBJECTS, "<ObjectID>"), "a second object"),
        ("33000", BOMB, 1, "DOCTYPE"),
        ("33000", '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><LWM2M>&f;</LWM2M>', 1, "DOCTYPE"),
        ("33000", "<LWM2M>" + "<a>" * 100000, 1, "nested"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_bad_xml_is_400_with_its_line(berth, path, body, line, words):
    answer = put(berth, f"/v1/objects/{path}", body)
    assert (answer.status, answer.problem) == (400, "bad-body")
    assert words in answer.json["detail"]
    assert answer.json["line"] == line and f"line {line}:" in answer.json["detail"]
    assert berth.http("GET", "/v1/objects/33000").status == 404


def test_document_that_is_too_long_is_413(start_berth):
    server = start_berth("--http-max-body", "2M")
    answer = put(server, "/v1/objects/33000", xml() + " " * (1 << 20))
    assert (answer.status, answer.problem) == (413, "too-large")


def test_number_of_definitions_is_bounded(berth):
    for number in range(1000):
        load(berth, id=40000 + number)
    answer = put(berth, "/v1/objects/33000", xml())
    assert (answer.status, answer.problem) == (503, "overloaded")
    assert berth.http("DELETE", "/v1/objects/40000").status == 204
    load(berth)


# ---- --objects ----


def test_files_of_a_directory_are_loaded(start_berth, tmp_path):
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects/one.xml").write_text(xml(33001, name="One"))
    (tmp_path / "objects/two.xml").write_text(xml(3, "1.1", name="Two"))
    (tmp_path / "objects/README").write_text("not this one")
    server = start_berth("--objects", str(tmp_path / "objects"))
    assert server.get("/v1/objects/33001")["source"] == "file"
    assert server.get("/v1/objects/3/1.1")["name"] == "Two"
    assert server.http("DELETE", "/v1/objects/33001").status == 404
    load(server, id=33001, name="Three")
    assert server.get("/v1/objects/33001")["name"] == "Three"
    assert server.http("DELETE", "/v1/objects/33001").status == 204
    assert server.get("/v1/objects/33001")["name"] == "One"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.xml": xml(), "b.xml": "<LWM2M>\n<Object>"}, ("b.xml: line 2: ",)),
        ({"a.xml": xml(), "b.xml": xml()}, ("b.xml: line 6: ", "another file")),
        ({"a.xml": BOMB}, ("a.xml: line 1: ", "DOCTYPE")),
    ],
)
def test_bad_file_is_one_line_and_exit_code_2(tmp_path, files, words):
    objects = tmp_path / "objects"
    objects.mkdir()
    for name, text in files.items():
        (objects / name).write_text(text)
    run = subprocess.run(
        [program("berth-server"), "--listen", "coap://127.0.0.1:0", "--http", "off", "--objects", str(objects)],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, cwd=tmp_path, env={"PATH": "/usr/bin"},
    )  # fmt: skip
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.count("\n") == 1 and all(word in run.stderr for word in ("--objects", *words)), run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["objects"]
