"""Read-Composite and Write-Composite (FETCH and iPATCH) of the reference device."""

import json

import pytest
from coapraw import ACCEPT, BLOCK2, CONTENT_FORMAT, FETCH, GET, IPATCH, block, uint
from device_process import format_of, meet, played_server, start_device  # noqa: F401
from vectors import vector

TEXT, TLV, SENML_JSON, SENML_CBOR, ETCH_JSON, ETCH_CBOR, LWM2M_CBOR = 0, 11542, 110, 112, 320, 322, 11544


def accept(number: int) -> list[tuple[int, bytes]]:
    return [(ACCEPT, uint(number))]


def content(number: int) -> list[tuple[int, bytes]]:
    return [(CONTENT_FORMAT, uint(number))]


def paths(*names: str) -> bytes:
    return json.dumps([{"n": name} for name in names]).encode()


def records(values: dict[str, object]) -> bytes:
    kinds = {str: "vs", bool: "vb"}
    return json.dumps([{"n": name, kinds.get(type(value), "v"): value} for name, value in values.items()]).encode()


def names_of(answer) -> list[str]:
    """The paths of an answer in SenML JSON."""
    assert (answer.code_text, format_of(answer)) == ("2.05", SENML_JSON)
    return names_in(answer.payload)


def names_in(payload: bytes) -> list[str]:
    base, names = "", []
    for record in json.loads(payload):
        base = record.get("bn", base)
        names.append(base + record.get("n", ""))
    return names


@pytest.fixture
def known(meet):
    """known("1.1") -> the played server and a device whose values are those of the vectors."""

    def start(version: str):
        server, device = meet("--lwm2m", version, "--lifetime", "86400")
        device.command("set 3/0/0 Open Mobile Alliance")
        device.settle()
        return server

    return start


# ---- Read-Composite ----


def test_DM_32_read_composite_is_answered_byte_for_byte(known):
    server = known("1.1")
    answer = server.request(FETCH, "/", content(SENML_JSON), vector("SJ-05"))
    assert (answer.code_text, format_of(answer), answer.payload) == ("2.05", SENML_JSON, vector("SJ-04"))
    assert server.exchange_raw(vector("M-37")).endswith(b'"v":86400}]')


def test_DM_32_what_is_not_there_or_cannot_be_read_is_absent(meet):
    server, _ = meet()
    asked = paths("/3/0/9", "/3/0/99", "/8/0/0", "/3/7", "/3/0/4", "/3/0/7/5", "/3/0/9/0", "/1/0/1")
    assert names_of(server.request(FETCH, "/", content(SENML_JSON), asked)) == ["/3/0/9", "/1/0/1"]


@pytest.mark.parametrize(("number", "empty"), [(SENML_JSON, b"[]"), (SENML_CBOR, b"\x80"), (LWM2M_CBOR, b"\xa0")])
def test_DM_32_empty_list_is_success(meet, number, empty):
    server, _ = meet("--lwm2m", "1.2")
    answer = server.request(FETCH, "/", content(SENML_JSON) + accept(number), paths("/3/0/99"))
    assert (answer.code_text, format_of(answer), answer.payload) == ("2.05", number, empty)


def test_DM_32_paths_of_every_length_and_each_value_once(meet):
    server, _ = meet()

    def ask(*names: str) -> list[str]:
        return names_of(server.request(FETCH, "/", content(SENML_JSON), paths(*names)))

    assert ask("/1") == ["/1/0/0", "/1/0/1", "/1/0/6", "/1/0/7", "/1/0/23"]
    assert ask("/1/0") == ask("/1")
    assert ask("/3/0/7") == ask("/3/0/7/0") == ["/3/0/7/0"]
    assert ask("/1/0/1", "/1") == ["/1/0/1", "/1/0/0", "/1/0/6", "/1/0/7", "/1/0/23"]
    assert sorted(ask("/3/0/9", "/1/0/1", "/3/0/14")) == ["/1/0/1", "/3/0/14", "/3/0/9"]


def test_DM_32_everything_in_blocks(meet):
    server, _ = meet("--large", "10")
    body, number, more = b"", 0, True
    while more:
        options = content(SENML_JSON) + [(BLOCK2, block(number, False, 6))]
        part = server.request(FETCH, "/", options if number > 0 else content(SENML_JSON), vector("SJ-09"))
        more = part.number(BLOCK2) & 8 != 0
        body += part.payload
        number += 1
    assert number > 2
    names = names_in(body)
    assert len(names) == len(set(names)) > 40
    assert {"/1/0/0", "/3/0/0", "/3303/0/5700", "/3442/0/1180/0"} <= set(names)


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@pytest.mark.parametrize(("asked", "number"), [("SJ-05", SENML_JSON), ("SC-02", SENML_CBOR)])
def test_DM_33_every_accept_of_the_release(known, version, asked, number):
    server = known(version)
    for wanted, good in [(SENML_JSON, True), (SENML_CBOR, True), (LWM2M_CBOR, version == "1.2"), (TLV, False), (TEXT, False)]:
        answer = server.request(FETCH, "/", content(number) + accept(wanted), vector(asked))
        assert (answer.code_text, format_of(answer)) == (("2.05", wanted) if good else ("4.06", None)), wanted
        if wanted == SENML_JSON:
            assert answer.payload == vector("SJ-04")
    assert format_of(server.request(FETCH, "/", content(number), vector(asked))) == number


@pytest.mark.parametrize(("asked", "number"), [("ETCH-01", ETCH_JSON), ("ETCH-02", ETCH_CBOR)])
def test_DM_33_path_list_in_SenML_ETCH_came_with_1_2(meet, asked, number):
    server, _ = meet("--lwm2m", "1.2")
    answer = server.request(FETCH, "/", content(number) + accept(SENML_JSON), vector(asked))
    assert names_of(answer) == ["/3/0/0", "/1/0/0", "/1/0/1", "/1/0/6", "/1/0/7", "/1/0/23"]


def test_DM_33_SenML_ETCH_is_4_15_for_1_1(meet):
    server, _ = meet()
    assert server.request(FETCH, "/", content(ETCH_JSON), vector("ETCH-01")).code_text == "4.15"
    assert server.request(IPATCH, "/", content(ETCH_CBOR), vector("ETCH-04")).code_text == "4.15"


@pytest.mark.parametrize("number", [None, TEXT, TLV, LWM2M_CBOR])
def test_DM_33_other_formats_of_the_path_list_are_4_15(meet, number):
    server, _ = meet("--lwm2m", "1.2")
    options = [] if number is None else content(number)
    assert server.request(FETCH, "/", options, vector("SJ-05")).code_text == "4.15"


@pytest.mark.parametrize("data", [b"", b"[]", b"[{}]", b'[{"n":"/3/0/9","v":1}]', b'[{"n":"3/0/9"}]', b'[{"n":"/3/0/9"}]x'])
def test_ETC_R01_bad_path_list_is_4_00(meet, data):
    server, _ = meet()
    assert server.request(FETCH, "/", content(SENML_JSON), data).code_text == "4.00"


@pytest.mark.parametrize("method", [FETCH, IPATCH])
def test_DM_34_composite_is_about_the_root_and_has_no_query(meet, method):
    server, _ = meet()
    for path in ["/3", "/3/0", "/3/0/9"]:
        assert server.request(method, path, content(SENML_JSON), vector("SJ-05")).code_text == "4.05"
    assert server.request(method, "/", content(SENML_JSON), vector("SJ-05"), query="pmin=5").code_text == "4.00"


@pytest.mark.parametrize("method", [FETCH, IPATCH])
def test_DM_40_LwM2M_1_0_has_no_composite(meet, method):
    server, _ = meet("--lwm2m", "1.0")
    for number in [SENML_JSON, TLV]:
        assert server.request(method, "/", content(number), vector("SJ-05")).code_text == "4.05"


# ---- Write-Composite ----


def test_DM_36_write_composite_is_answered_byte_for_byte(meet):
    server, device = meet()
    assert server.exchange_raw(vector("M-41")) == vector("M-08")
    device.line("Request: iPATCH / -> 2.04")
    assert server.request(GET, "/1/0/2").payload == b"101"
    assert server.request(GET, "/1/0/6").payload == b"1"
    assert int(server.request(GET, "/3/0/13").payload) in range(60)


@pytest.mark.parametrize(
    ("version", "number", "data"),
    [
        ("1.1", SENML_JSON, vector("SJ-07")),
        ("1.1", SENML_CBOR, vector("SC-03")),
        ("1.2", ETCH_JSON, vector("SJ-07")),
        ("1.2", ETCH_CBOR, vector("SC-03")),
        ("1.2", LWM2M_CBOR, bytes.fromhex("a2820100a202186506f58303000d00")),
    ],
)
def test_DM_36_write_composite_in_every_format(meet, version, number, data):
    server, _ = meet("--lwm2m", version)
    assert server.request(IPATCH, "/", content(number), data).code_text == "2.04"
    assert server.request(GET, "/1/0/2").payload == b"101"


@pytest.mark.parametrize(
    ("what", "values", "code"),
    [
        ("an unknown object", {"/8/0/0": 1}, "4.04"),
        ("an unknown instance", {"/3442/1/120": 1}, "4.04"),
        ("an unknown resource", {"/3442/0/99": 1}, "4.04"),
        ("a resource that cannot be written", {"/3/0/9": 95}, "4.05"),
        ("a function", {"/3/0/4": 1}, "4.05"),
        ("another type", {"/3442/0/120": "one"}, "4.00"),
        ("a value out of range", {"/1/0/1": -1}, "4.00"),
        ("a multiple resource without instance", {"/3442/0/1120": 1}, "4.00"),
    ],
)
def test_DM_36_any_error_and_nothing_is_written(meet, what, values, code):
    server, _ = meet()
    for ordered in [{"/3442/0/110": "new"} | values, values | {"/3442/0/110": "new"}]:
        assert server.request(IPATCH, "/", content(SENML_JSON), records(ordered)).code_text == code, what
        assert server.request(GET, "/3442/0/110").payload == b"initial value"
    assert server.request(GET, "/3442/0/120").payload == b"1024"
    server.expect_silence()


def test_DM_36_write_composite_adds_and_overwrites_but_never_deletes(meet):
    server, _ = meet()
    values = records({"/3442/0/1120/0": 1, "/3442/0/1120/9": 2, "/3442/0/140": False})
    assert server.request(IPATCH, "/", content(SENML_JSON), values).code_text == "2.04"
    assert [server.request(GET, f"/3442/0/1120/{i}").payload for i in (0, 9)] == [b"1", b"2"]
    assert server.request(GET, "/3442/0/140").payload == b"0"
    assert server.request(GET, "/3442/0/120").payload == b"1024"


@pytest.mark.parametrize("number", [None, TEXT, TLV])
def test_DM_36_other_formats_are_4_15(meet, number):
    server, _ = meet("--lwm2m", "1.2")
    options = [] if number is None else content(number)
    assert server.request(IPATCH, "/", options, vector("SJ-07")).code_text == "4.15"


@pytest.mark.parametrize(("data", "number"), [("ETCH-03", ETCH_JSON), ("ETCH-04", ETCH_CBOR)])
def test_DM_37_null_deletes_a_resource_instance(meet, data, number):
    server, _ = meet("--lwm2m", "1.2")
    assert server.request(IPATCH, "/", content(number), vector(data)).code_text == "4.04"  # it is not there yet
    assert server.request(IPATCH, "/", content(SENML_JSON), records({"/3442/0/1110/1": "b"})).code_text == "2.04"
    assert server.request(GET, "/3442/0/1110/1").payload == b"b"
    assert server.request(IPATCH, "/", content(number), vector(data)).code_text == "2.04"
    assert server.request(GET, "/3442/0/1110/1").code_text == "4.04"
    assert server.request(GET, "/3442/0/1110/0").payload == b"initial value"


@pytest.mark.parametrize(
    ("path", "code"),
    [("/3442/0/110", "4.00"), ("/3442/0/1110", "4.00"), ("/3442/0", "4.00"), ("/3/0/7/0", "4.05"), ("/3442/0/1110/7", "4.04")],
)
def test_ETC_R02_null_elsewhere_is_refused_and_nothing_is_written(meet, path, code):
    server, _ = meet("--lwm2m", "1.2")
    data = json.dumps([{"n": "/3442/0/120", "v": 5}, {"n": path, "v": None}]).encode()
    assert server.request(IPATCH, "/", content(ETCH_JSON), data).code_text == code
    assert server.request(GET, "/3442/0/120").payload == b"1024"


def test_ETC_R03_object_link_is_a_value_of_a_patch(meet):
    server, _ = meet("--lwm2m", "1.2")
    for number, data in ((ETCH_JSON, b'[{"n":"/3442/0/170","vlo":"66:613"}]'), (ETCH_CBOR, bytes.fromhex("81a2006b2f333434322f302f31373063766c6f6636363a363133"))):
        assert server.request(IPATCH, "/", content(SENML_JSON), b'[{"n":"/3442/0/170","vlo":"1:1"}]').code_text == "2.04"
        assert server.request(IPATCH, "/", content(number), data).code_text == "2.04"
        assert server.request(GET, "/3442/0/170").payload == b"66:613"


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'[{"n":"/3442/0/120"}]', b'[{"n":"/3442/0/120","v":1,"vlo":"1:1"}]', b'[{"n":"/3442/0/170","vlo":"x"}]', b'[{"n":"/3442/0/170","vlo":5}]', b'[{"n":"x","v":1}]', b'[{"n":"/3442/0/120","v":"5"}]', b'[{"n":"/3442/0/120","vs":"5"}]'],
)
def test_ETC_R03_bad_patch_is_4_00_and_never_4_22(meet, data):
    server, _ = meet("--lwm2m", "1.2")
    answer = server.request(IPATCH, "/", content(ETCH_JSON), data)
    assert answer.code_text == "4.00"
    assert server.request(GET, "/3442/0/120").payload == b"1024"


def test_DM_37_null_is_no_value_in_plain_SenML(meet):
    server, _ = meet("--lwm2m", "1.2")
    data = json.dumps([{"n": "/3442/0/1110/0", "v": None}]).encode()
    assert server.request(IPATCH, "/", content(SENML_JSON), data).code_text == "4.00"
    assert server.request(GET, "/3442/0/1110/0").payload == b"initial value"
