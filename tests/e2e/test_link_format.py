"""Object lists in link format (RFC 6690 as LwM2M Core 1.2 section 6.2.1 uses it), as clients have been seen to write
them. Each goes in with a Register and comes out of GET /v1/devices/{ep}."""

import pytest

from coapraw import CONTENT_FORMAT, GET, LINK_FORMAT, POST, uint


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def announce(berth, request):
    """announce(links) registers with that object list and returns the answer's code, the attributes shown by path, and
    how many oddities there were. That objects 1 or 3 are missing (REG-29) is not counted: most lists here are short."""
    endpoint = "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]

    def run(links, version="1.1"):
        mark = berth.last_event()
        payload = links if isinstance(links, bytes) else links.encode()
        query = [f"ep={endpoint}", f"lwm2m={version}"]
        answer = berth.peer().request(POST, "/rd", query, payload, [(CONTENT_FORMAT, uint(LINK_FORMAT))])
        details = [event["detail"] for event in berth.events_after(mark, types="oddity")]
        oddities = len([detail for detail in details if "object 1 or 3" not in detail])
        if answer.code_text != "2.01":
            assert berth.http("GET", f"/v1/devices/{endpoint}").status == 404, "nothing may be stored"
            return answer.code_text, None, oddities
        objects = berth.device(endpoint)["objects"]
        assert len({item["path"] for item in objects}) == len(objects), "a path is listed once"
        return answer.code_text, {item["path"]: item["attributes"] for item in objects}, oddities

    return run


ACCEPTED, REFUSED, PLAIN, ODD = "2.01", "4.00", 0, 1


@pytest.mark.parametrize(
    ("links", "objects"),
    [
        ("</1/0>,</3/0>", ["/1/0", "/3/0"]),
        ("</3>", ["/3"]),
        ("</3>,</3/0>", ["/3", "/3/0"]),
        ("</3/0>,</3>", ["/3", "/3/0"]),
        ("</3303/1>,</3303/0>,</3>", ["/3", "/3303/0", "/3303/1"]),
    ],
)
def test_LNK_01_objects_and_instances(announce, links, objects):
    assert announce(links) == (ACCEPTED, dict.fromkeys(objects, {}), PLAIN)


@pytest.mark.parametrize("links", ["</1>;ver=1.1", '</1>;ver="1.1"', '</1>;ver="1.1",</1/0>', "</1>;ver=1.1;x"])
def test_LNK_02_version_with_and_without_quotes(announce, links):
    code, objects, oddities = announce(links)
    assert (code, objects["/1"]["ver"], oddities) == (ACCEPTED, "1.1", PLAIN)


def test_LNK_03_version_on_an_instance(announce):
    assert announce("</5/0>;ver=1.1") == (ACCEPTED, {"/5/0": {"ver": "1.1"}}, PLAIN)


@pytest.mark.parametrize("ver", ["abc", "1", "", "1.", ".1", "1.1.1", "1,1", "-1.0"])
def test_LNK_04_version_that_is_none_is_accepted_with_a_warning(announce, ver):
    code, objects, oddities = announce(f'</1>;ver="{ver}",</3/0>')
    assert (code, "/1" in objects, oddities) == (ACCEPTED, True, ODD)


@pytest.mark.parametrize(
    "links",
    [
        "</1/0>, </3/0>",
        "</1/0>,\n</3/0>",
        "</1/0>,\r\n\t</3/0>",
        "</1/0>; x=1,</3/0>",
        "</1/0> ;x=1,</3/0>",
        " </1/0>,</3/0>\n",
    ],
)
def test_LNK_06_white_space_is_skipped(announce, links):
    code, objects, _ = announce(links)
    assert (code, list(objects)) == (ACCEPTED, ["/1/0", "/3/0"])


@pytest.mark.parametrize(
    "links", ["</1/0>,</3/0>,", "</1/0>,,</3/0>", ",</1/0>,</3/0>", "</1/0>,</3/0>,,,", "</1/0>;,</3/0>;"]
)
def test_LNK_07_superfluous_marks_are_skipped(announce, links):
    assert announce(links) == (ACCEPTED, {"/1/0": {}, "/3/0": {}}, ODD)


def test_LNK_08_slash_at_the_end_of_a_path(announce):
    assert announce("</1/0/>,</3/>") == (ACCEPTED, {"/1/0": {}, "/3": {}}, ODD)


@pytest.mark.parametrize(
    ("ct", "shown", "oddities"),
    [
        ("ct=110", [110], PLAIN),
        ('ct="60 110 112"', [60, 110, 112], PLAIN),
        ('ct="110"', [110], PLAIN),
        ("ct=0", [0], PLAIN),
        ("ct=110 112", [110, 112], ODD),
        ("x=1", [], PLAIN),
    ],
)
def test_LNK_09_content_formats(berth, announce, ct, shown, oddities):
    mark = berth.last_event()
    assert announce(f'</>;rt="oma.lwm2m";{ct},</3/0>') == (ACCEPTED, {"/3/0": {}}, oddities)
    endpoint = berth.events_after(mark, types="registered")[0]["endpoint"]
    assert berth.device(endpoint)["content_formats"] == shown


@pytest.mark.parametrize("rt", ['"oma.lwm2m"', "oma.lwm2m", '"core.rd oma.lwm2m"', '"oma.lwm2m x"'])
def test_LNK_10_alternate_path_by_rt(announce, rt):
    code, objects, _ = announce(f"</alt>;rt={rt},</alt/3/0>")
    assert (code, list(objects)) == (ACCEPTED, ["/3/0"])


@pytest.mark.parametrize("rt", ['""', ""])
def test_LNK_10_empty_rt_is_ignored(announce, rt):
    code, objects, _ = announce(f"</3200/0/5501>;rt={rt};x=1,</3/0>")
    assert (code, objects["/3200/0/5501"]) == (ACCEPTED, {"x": "1"})


def test_LNK_10_rt_of_an_object_is_no_alternate_path(announce):
    code, objects, _ = announce('</3/0>;rt="oma.lwm2mx",</1/0>;rt="x"')
    assert (code, list(objects)) == (ACCEPTED, ["/1/0", "/3/0"])


@pytest.mark.parametrize(
    ("attribute", "name", "value"),
    [
        ("obs", "obs", True),
        ("hb", "hb", True),
        ("anything=goes", "anything", "goes"),
        ('title="a,b;c>d<e"', "title", "a,b;c>d<e"),
        (r'title="say \"yes\" \\ no"', "title", 'say "yes" \\ no'),
        ('title=""', "title", ""),
        ("title*=UTF-8''x", "title*", "UTF-8''x"),
        ("pmin=10", "pmin", "10"),
        ('uri="coap://a:1/"', "uri", "coap://a:1/"),
        ('title="ünï"', "title", "ünï"),
    ],
)
def test_LNK_11_attributes_are_kept(announce, attribute, name, value):
    assert announce(f"</3/0>;{attribute},</5/0>") == (ACCEPTED, {"/3/0": {name: value}, "/5/0": {}}, PLAIN)


def test_LNK_11_many_attributes_of_one_link(announce):
    names = [f"a{n}" for n in range(60)]
    code, objects, _ = announce("</3/0>" + "".join(f";{name}={name}" for name in names))
    assert (code, objects["/3/0"]) == (ACCEPTED, {name: name for name in names})


def test_LNK_12_resource_links_and_their_values(announce):
    links = '</3200/0/5501>;rt="";v="7";aobs="238",</3200/0/5750>;v="a=b,c";obs'
    code, objects, _ = announce(links)
    assert code == ACCEPTED
    assert objects["/3200/0/5501"] == {"v": "7", "aobs": "238"}
    assert objects["/3200/0/5750"] == {"v": "a=b,c", "obs": True}


@pytest.mark.parametrize("path", ["/0/1", "/65534", "/65534/65534", "/1/0", "/3/0/65534", "/3/0/0/65534"])
def test_LNK_13_ids_go_up_to_65534(announce, path):
    code, objects, _ = announce(f"<{path}>,</2/0>")
    hidden = path == "/0/1"
    assert (code, set(objects)) == (ACCEPTED, {"/2/0"} if hidden else {"/2/0", path})


@pytest.mark.parametrize(
    "path",
    [
        "/65535",
        "/1/65535",
        "/70000",
        "/4294967296",
        "/abc/0",
        "/1/0/3/4/5",
        "/1/x",
        "/-1",
        "/1//0",
        "/01",
        "/ 1",
        "//",
        "/1/0//",
    ],
)
def test_LNK_13_other_paths_are_4_00(announce, path):
    code, _, _ = announce(f"</2/0>,<{path}>")
    assert code == REFUSED


def test_LNK_14_same_link_twice_is_merged(announce):
    assert announce("</3/0>;a=1,</1/0>,</3/0>;b=2,</3/0>;a=3") == (
        ACCEPTED,
        {"/1/0": {}, "/3/0": {"a": "3", "b": "2"}},
        PLAIN,
    )


@pytest.mark.parametrize(
    "links",
    [
        "</2/0></2/1>",
        "<coap://a/2/0>",
        "<2/0>",
        "<>",
        "garbage",
        "</2/0",
        "/2/0>",
        "<</2/0>>",
        '</2/0>;x="',
        '</2/0>;x="\\',
        "</2/0>;=1",
        '</2/0>;x="a"b',
        "</2/0>x",
        "</2/0>;x=<",
        "</2 /0>",
        "</2/0\n>",
        b"\0",
        b"\xff\xff\xff\xff",
        b"</2/0>\0",
        b"</2/\0>",
        "[]",
        '{"bn":"/2/0"}',
    ],
)
def test_LNK_15_what_is_no_link_format_is_4_00(announce, links):
    assert announce(links)[0] == REFUSED


@pytest.mark.parametrize("root", ["/5", "/5/", "/a/5", "/5/a", "/0"])
def test_LNK_16_numeric_segment_in_the_alternate_path_is_4_00(announce, root):
    assert announce(f'<{root}>;rt="oma.lwm2m",</3/0>')[0] == REFUSED


CORE_OBJECTS = {  # with LwM2M 1.0, 1.1 and 1.2
    1: ("1.0", "1.1", "1.2"),
    2: ("1.0", "1.0", "1.1"),
    3: ("1.0", "1.1", "1.2"),
    4: ("1.0", "1.2", "1.3"),
    5: ("1.0", "1.0", "1.1"),
    6: ("1.0", "1.0", "1.0"),
    7: ("1.0", "1.0", "1.0"),
    3303: ("1.0", "1.0", "1.0"),
}


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_LNK_05_version_that_is_not_announced_follows_from_the_release(berth, version):
    endpoint = f"versions-{version}"
    berth.register(endpoint, version=version, links=",".join(f"</{n}/0>" for n in CORE_OBJECTS))
    shown = {int(item["path"].split("/")[1]): item["version"] for item in berth.device(endpoint)["objects"]}
    assert shown == {n: versions[["1.0", "1.1", "1.2"].index(version)] for n, versions in CORE_OBJECTS.items()}


def test_LNK_02_LNK_05_announced_version_holds_for_all_instances(berth):
    berth.register("announced", links="</3303>;ver=1.1,</3303/0>,</3303/1>,</3304/0>,</5/0>;ver=1.1,</1/0>,</3/0>")
    shown = {item["path"]: item["version"] for item in berth.device("announced")["objects"]}
    assert shown == {
        "/1/0": "1.1",
        "/3/0": "1.1",
        "/5/0": "1.1",
        "/3303": "1.1",
        "/3303/0": "1.1",
        "/3303/1": "1.1",
        "/3304/0": "1.0",
    }


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_LNK_05_no_object_version_is_ever_refused(announce, version):
    links = "</1>;ver=0.1,</3>;ver=9.9,</4>;ver=1.3,</5>,</2/0>,</6/0>,</7/0>"
    code, objects, _ = announce(links, version)
    assert code == ACCEPTED and objects["/3"] == {"ver": "9.9"}


def test_LNK_19_what_berth_writes_has_no_spaces_and_quotes_rt(berth):
    assert berth.peer().request(GET, "/.well-known/core").payload.decode().split(",")[0] == '</rd>;rt="core.rd"'


def test_LNK_01_list_of_a_hundred_links(announce):
    code, objects, _ = announce(",".join(f"</{number}>" for number in range(100, 200)))
    assert code == ACCEPTED and len(objects) == 100
