"""The objects of the reference device: instances made and deleted by a server, and what each object does."""

import json
import subprocess

import pytest
from berth_process import program
from coapraw import ACCEPT, BLOCK1, BLOCK2, CONTENT_FORMAT, DELETE, GET, POST, PUT, block, uint
from device_process import format_of, meet, played_server, queries_of, start_device  # noqa: F401
from observing import change, leap, notification, observe, value, values
from vectors import vector

TEXT, OPAQUE, SENML_JSON, TLV, OMA_JSON, LWM2M_CBOR = 0, 42, 110, 11542, 11543, 11544
FOREVER = ("--lifetime", "0")


def content(number: int) -> list[tuple[int, bytes]]:
    return [(CONTENT_FORMAT, uint(number))]


def read(server, path: str) -> str:
    """A value as text; the code when there is none."""
    answer = server.request(GET, path)
    return answer.payload.decode() if answer.code_text == "2.05" else answer.code_text


def execute(server, path: str, arguments: bytes = b"") -> str:
    return server.request(POST, path, content(TEXT) if arguments else [], arguments).code_text


def create(server, object_id: int, payload: bytes = b"", number: int = TLV):
    return server.request(POST, f"/{object_id}", content(number), payload)


def links(server) -> list[str]:
    """Those of the Update that must come: what instances there are."""
    update = server.expect(POST, "/rd/4Kx9")
    server.answer(update, "2.04")
    assert format_of(update) == 40 and queries_of(update) == []
    return [link.partition(">")[0][1:] for link in update.payload.decode().split(",")]


# ---- Create ----


def test_DM_24_create_with_an_id_is_answered_byte_for_byte(meet):
    server, _ = meet(*FOREVER)
    assert server.exchange_raw(vector("M-32")) == vector("M-33")
    assert {"/2/0", "/2/5"} <= set(links(server))
    whole = server.request(GET, "/2/5", [(ACCEPT, uint(TLV))]).payload
    assert whole == vector("TLV-20")[3:]  # what it was created with, without its wrapper


@pytest.mark.parametrize(("version", "number", "name"), [("1.1", TLV, "TLV-21"), ("1.2", LWM2M_CBOR, "LC-08")])
def test_DM_25_create_without_an_id_tells_which_it_has(meet, version, number, name):
    server, _ = meet("--lwm2m", version, *FOREVER)
    for instance in [1, 2]:
        answer = create(server, 2, vector(name), number)
        assert (answer.code_text, answer.location) == ("2.01", f"/2/{instance}")
        assert f"/2/{instance}" in links(server)
        assert int(read(server, f"/2/{instance}/3")) == 101


@pytest.mark.parametrize(
    ("version", "number", "payload"),
    [
        ("1.1", TLV, bytes.fromhex("080a04e115ae01")),
        ("1.1", SENML_JSON, b'[{"bn":"/3201/10/","n":"5550","vb":true}]'),
        ("1.0", OMA_JSON, b'{"bn":"/3201/","e":[{"n":"10/5550","bv":true}]}'),
        ("1.2", LWM2M_CBOR, bytes.fromhex("a1190c81a10aa11915aef5")),
    ],
)
def test_DM_24_create_in_every_format(meet, version, number, payload):
    server, _ = meet("--lwm2m", version, *FOREVER)
    answer = create(server, 3201, payload, number)
    assert (answer.code_text, answer.location) == ("2.01", "/3201/10"), answer
    assert "/3201/10" in links(server)
    assert read(server, "/3201/10/5550") == "1"


def test_leshan_CreateTest_two_instances_in_one_request(meet):
    server, _ = meet(*FOREVER)
    body = [{"n": "/16/3/0/0", "vs": "a"}, {"n": "/16/7/0/0", "vs": "b"}, {"n": "/16/7/0/1", "vs": "c"}]
    answer = create(server, 16, json.dumps(body).encode(), SENML_JSON)
    assert (answer.code_text, answer.location) == ("2.01", "")
    assert {"/16/0", "/16/3", "/16/7"} <= set(links(server))
    assert [read(server, path) for path in ["/16/3/0/0", "/16/7/0/1"]] == ["a", "c"]


@pytest.mark.parametrize(
    ("what", "object_id", "number", "payload", "code"),
    [
        ("a single-instance object", 3, TLV, b"", "4.05"),
        ("a single-instance object", 6, TLV, b"", "4.05"),
        ("servers", 1, TLV, b"", "4.05"),
        ("an object without definition", 8, TLV, b"", "4.04"),
        ("an id that is there", 3201, SENML_JSON, b'[{"n":"/3201/0/5550","vb":true}]', "4.00"),
        ("one of two that is there", 3201, SENML_JSON, b'[{"n":"/3201/1/5550","vb":true},{"n":"/3201/0/5550","vb":true}]', "4.00"),
        ("without what is mandatory", 3201, SENML_JSON, b'[{"n":"/3201/1/5750","vs":"x"}]', "4.00"),
        ("without anything", 16, TLV, b"", "4.00"),
        ("an unknown resource", 3201, SENML_JSON, b'[{"n":"/3201/1/5550","vb":true},{"n":"/3201/1/1","v":1}]', "4.00"),
        ("a function", 9, SENML_JSON, b'[{"n":"/9/1/4","v":1}]', "4.00"),
        ("a value of another type", 3201, SENML_JSON, b'[{"n":"/3201/1/5550","vs":"on"}]', "4.00"),
        ("something else than the object", 3201, SENML_JSON, b'[{"n":"/3200/1/5550","vb":true}]', "4.00"),
        ("a resource of nothing", 3201, SENML_JSON, b"[]", "4.00"),
        ("text", 3201, TEXT, b"x", "4.15"),
        ("no format", 3201, 65000, b"x", "4.15"),
    ],
)
def test_DM_27_create_that_is_refused_makes_nothing(meet, what, object_id, number, payload, code):
    server, device = meet(*FOREVER)
    assert create(server, object_id, payload, number).code_text == code, what
    device.settle()
    server.expect_silence()  # no Update


def test_create_up_to_64_instances(meet):
    server, device = meet(*FOREVER)
    for _ in range(63):
        assert create(server, 3303).code_text == "2.01"
        links(server)
    assert create(server, 3303).code_text == "5.00"
    device.settle()
    server.expect_silence()


# ---- Delete ----


def test_DM_28_delete_is_answered_and_the_server_hears_of_it(meet):
    server, _ = meet(*FOREVER)
    server.exchange_raw(vector("M-32"))
    links(server)
    answer = server.exchange_raw(vector("M-34").replace(b"\x7d\x34", b"\x7d\x40"))
    assert answer == bytes.fromhex("64427d40a1b2c3d4")
    assert "/2/5" not in links(server)
    assert read(server, "/2/5/0") == "4.04"


def test_object_without_instances_is_still_registered(meet):
    server, _ = meet(*FOREVER)
    assert server.request(DELETE, "/3303/0").code_text == "2.02"
    left = links(server)
    assert "/3303" in left and "/3303/0" not in left
    assert server.request(GET, "/3303", [(ACCEPT, uint(TLV))]).code_text == "2.05"
    assert server.request(GET, "/3303", [(ACCEPT, uint(40))]).payload == b"</3303>"


@pytest.mark.parametrize(
    ("path", "code"),
    [("/3/0", "4.05"), ("/1/0", "4.05"), ("/6/0", "4.05"), ("/3", "4.05"), ("/3303", "4.05"), ("/", "4.05"), ("/3/0/14", "4.05"),
     ("/3/0/7/0", "4.05"), ("/3303/1", "4.04"), ("/16/0/0/9", "4.04"), ("/8/0", "4.04")],
)
def test_DM_28_delete_that_is_refused(meet, path, code):
    server, device = meet(*FOREVER)
    assert server.request(DELETE, path).code_text == code
    device.settle()
    server.expect_silence()


def test_delete_of_a_resource_instance(meet):
    server, _ = meet(*FOREVER)
    assert server.request(DELETE, "/16/0/0/1").code_text == "2.02"
    discovered = server.request(GET, "/16/0", [(ACCEPT, uint(40))]).payload.decode()
    assert discovered == "</16/0>,</16/0/0>;dim=3"
    assert read(server, "/16/0/0/1") == "4.04"
    server.expect_silence()  # the object list is what it was


def test_release_1_0_has_no_paths_of_resource_instances(meet):
    server, _ = meet("--lwm2m", "1.0", *FOREVER)
    for method, options in [(GET, []), (PUT, content(TEXT)), (DELETE, [])]:
        assert server.request(method, "/16/0/0/1", options, b"x" if method == PUT else b"").code_text == "4.04"


# ---- Write ----


def test_leshan_WriteMultiValueTest_replace_and_update_of_a_created_instance(meet):
    server, _ = meet(*FOREVER)
    create(server, 16, b'[{"n":"/16/1/0/0","vs":"a"},{"n":"/16/1/0/1","vs":"b"}]', SENML_JSON)
    links(server)
    update = b'[{"n":"/16/1/0/1","vs":"B"},{"n":"/16/1/0/2","vs":"c"}]'
    assert server.request(POST, "/16/1", content(SENML_JSON), update).code_text == "2.04"
    assert [read(server, f"/16/1/0/{i}") for i in range(3)] == ["a", "B", "c"]
    assert server.request(PUT, "/16/1", content(SENML_JSON), update).code_text == "2.04"
    assert [read(server, f"/16/1/0/{i}") for i in range(3)] == ["4.04", "B", "c"]


def test_replaced_instance_keeps_what_is_mandatory_and_not_named(meet):
    server, _ = meet(*FOREVER)
    assert server.request(PUT, "/3201/0", content(SENML_JSON), b'[{"n":"/3201/0/5551","vb":true}]').code_text == "2.04"
    assert (read(server, "/3201/0/5550"), read(server, "/3201/0/5551"), read(server, "/3201/0/5750")) == ("0", "1", "4.04")


def test_string_of_any_length_in_blocks(meet):
    server, _ = meet(*FOREVER)
    text = "ż" * 50000
    data = text.encode()
    parts = [data[at : at + 1024] for at in range(0, len(data), 1024)]
    for number, part in enumerate(parts):
        more = number < len(parts) - 1
        answer = server.request(PUT, "/3/0/15", content(TEXT) + [(BLOCK1, block(number, more, 6))], part)
        assert answer.code_text == ("2.31" if more else "2.04")
    body, number, more = b"", 0, True
    while more:
        answer = server.request(GET, "/3/0/15", [(BLOCK2, block(number, False, 6))])
        body, number, more = body + answer.payload, number + 1, answer.number(BLOCK2) & 8 != 0
    assert body == data


def test_values_beyond_what_the_device_has_room_for_are_4_13(meet):
    server, _ = meet(*FOREVER)
    for step in range(17):
        records = [{"n": f"/16/0/0/{step * 1000 + i}", "vs": ""} for i in range(1000)]
        body = json.dumps(records, separators=(",", ":")).encode()
        parts = [body[at : at + 1024] for at in range(0, len(body), 1024)]
        for number, part in enumerate(parts):
            options = content(SENML_JSON) + [(BLOCK1, block(number, number < len(parts) - 1, 6))]
            answer = server.request(POST, "/16/0", options, part)
        assert answer.code_text == ("2.04" if step < 16 else "4.13"), step


# ---- what each object does ----


def test_error_code_is_reset(meet):
    server, device = meet(*FOREVER)
    change(device, "3/0/11/0", 2)
    change(device, "3/0/11/1", 3)
    assert execute(server, "/3/0/12") == "2.04"
    assert values(server.request(GET, "/3/0/11", [(ACCEPT, uint(SENML_JSON))])) == {"/3/0/11/0": 0}


def test_minimum_and_maximum_of_a_created_thermometer(meet):
    server, device = meet(*FOREVER)
    create(server, 3303)
    links(server)
    for degrees in [25, 15, 20]:
        change(device, "3303/1/5700", degrees)
    assert (read(server, "/3303/1/5601"), read(server, "/3303/1/5602")) == ("15", "25")
    assert (read(server, "/3303/0/5601"), read(server, "/3303/0/5602")) == ("20", "20")
    assert execute(server, "/3303/1/5605") == "2.04"
    assert (read(server, "/3303/1/5601"), read(server, "/3303/1/5602")) == ("20", "20")


def test_digital_input_counts_and_digital_output_is_written(meet):
    server, device = meet(*FOREVER)
    for state in [1, 1, 0, 1]:
        change(device, "3200/0/5500", state)
    assert read(server, "/3200/0/5501") == "2"
    assert execute(server, "/3200/0/5505") == "2.04"
    assert read(server, "/3200/0/5501") == "0"
    assert server.request(PUT, "/3200/0/5500", content(TEXT), b"1").code_text == "4.05"
    assert server.request(PUT, "/3201/0/5550", content(TEXT), b"1").code_text == "2.04"
    assert read(server, "/3201/0/5550") == "1"


def test_statistics_count_from_start_to_stop(meet):
    server, _ = meet(*FOREVER)
    assert execute(server, "/7/0/6") == "2.04"
    for number in range(4):
        server.request(GET, "/5000/0/0", [(BLOCK2, block(number, False, 6))])
    assert execute(server, "/7/0/7") == "2.04"
    assert read(server, "/7/0/2") == "4"
    server.request(GET, "/5000/0/0")
    server.request(GET, "/5000/0/0")
    assert read(server, "/7/0/2") == "4"


def test_statistics_stop_by_themselves_when_there_is_a_period(meet):
    server, device = meet(*FOREVER)
    assert server.request(PUT, "/7/0/8", content(TEXT), b"60").code_text == "2.04"
    assert execute(server, "/7/0/6") == "2.04"
    server.request(GET, "/5000/0/0")
    leap(device, 60)
    for _ in range(3):
        server.request(GET, "/5000/0/0")
    assert read(server, "/7/0/2") == "1"


def test_software_is_delivered_installed_and_activated(meet):
    server, _ = meet(*FOREVER)
    assert execute(server, "/9/0/4") == "4.05"
    assert server.request(PUT, "/9/0/2", content(OPAQUE), b"code").code_text == "2.04"
    assert read(server, "/9/0/7") == "3"
    assert [execute(server, f"/9/0/{i}") for i in (10, 4, 10)] == ["4.05", "2.04", "2.04"]
    assert (read(server, "/9/0/7"), read(server, "/9/0/12")) == ("4", "1")
    assert [execute(server, f"/9/0/{i}") for i in (11, 6)] == ["2.04", "2.04"]
    assert (read(server, "/9/0/7"), read(server, "/9/0/12")) == ("0", "0")
    assert read(server, "/9/0/2") == "4.05"


# ---- firmware ----


def firmware(server) -> tuple[str, str]:
    """State and result."""
    return read(server, "/5/0/3"), read(server, "/5/0/5")


def push(server, package: bytes) -> str:
    parts = [package[at : at + 1024] for at in range(0, len(package), 1024)] or [b""]
    for number, part in enumerate(parts):
        options = content(OPAQUE) + [(BLOCK1, block(number, number < len(parts) - 1, 6))]
        answer = server.request(PUT, "/5/0/0", options, part)
    return answer.code_text


def test_package_is_pushed_and_installed(meet):
    server, device = meet(*FOREVER)
    assert firmware(server) == ("0", "0")
    assert push(server, b"sensor 2.1\n" + bytes(5000)) == "2.04"
    assert firmware(server) == ("2", "0")
    assert (read(server, "/5/0/6"), read(server, "/5/0/7")) == ("sensor", "2.1")
    observe(server, "/5/0/3")
    assert execute(server, "/5/0/2") == "2.04"
    assert value(notification(server)) == 3
    device.command("clock +1")
    device.line("Rebooting")
    server.accept("/rd/after")
    assert firmware(server) == ("0", "1")
    assert read(server, "/3/0/3") == "2.1"


def test_update_in_another_state_changes_nothing(meet):
    server, _ = meet(*FOREVER)
    assert execute(server, "/5/0/2") == "4.05"
    assert firmware(server) == ("0", "0")


@pytest.mark.parametrize("package", [b"", b"\x00"])
def test_reset_of_what_was_pushed(meet, package):
    server, _ = meet(*FOREVER)
    push(server, b"anything")
    assert firmware(server) == ("2", "0")
    assert push(server, package) == "2.04"
    assert firmware(server) == ("0", "0")
    assert execute(server, "/5/0/2") == "4.05"


@pytest.mark.parametrize(
    ("uri", "result"), [(b"http://host/package", "9"), (b"coap://host/package", "7"), (b"coap", "7")]
)
def test_uri_that_the_device_does_not_understand(meet, uri, result):
    server, _ = meet(*FOREVER)
    assert server.request(PUT, "/5/0/1", content(TEXT), uri).code_text == "2.04"
    assert firmware(server) == ("0", result)
    assert read(server, "/5/0/1") == uri.decode()
    assert server.request(PUT, "/5/0/1", content(TEXT), b"").code_text == "2.04"
    assert firmware(server) == ("0", "0")


def test_cancel_came_with_1_1_of_the_object(meet):
    server, _ = meet("--lwm2m", "1.2", *FOREVER)
    push(server, b"anything")
    assert execute(server, "/5/0/10") == "2.04"
    assert firmware(server) == ("0", "10")
    assert execute(server, "/5/0/10") == "4.05"


# ---- large ----


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 131072])
def test_large_resource_of_any_size(meet, size):
    server, _ = meet("--large", str(size), *FOREVER)
    body, number, more = b"", 0, True
    while more:
        answer = server.request(GET, "/5000/0/0", [(BLOCK2, block(number, False, 6))])
        assert (answer.code_text, format_of(answer)) == ("2.05", OPAQUE)
        body, number = body + answer.payload, number + 1
        more = (answer.number(BLOCK2) or 0) & 8 != 0
    assert body == bytes(i % 251 for i in range(size))
    assert read(server, "/5000/0/1") == str(size)


def test_large_resource_is_read_through_berth(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1")
    device.line("Client registered")
    answer = berth.http("GET", "/v1/devices/dev1/5000/0/0")
    assert answer.status == 200, answer.body
    assert len(answer.body) > 131072


def test_time_to_read_a_large_resource_is_not_the_square_of_its_size(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "dev1", "--large", "8000000")
    device.line("Client registered")
    answer = berth.http("GET", "/v1/devices/dev1/5000/0/0", headers={"Accept": "application/octet-stream"}, format="opaque")
    assert len(answer.body) == 8_000_000  # a minute and more if each of 8,000 blocks costs a look at all of it


# ---- objects from XML ----

XML = """<?xml version="1.0" encoding="UTF-8"?>
<LWM2M>
  <Object ObjectType="MODefinition">
    <Name>Mine</Name><ObjectID>{id}</ObjectID><ObjectURN></ObjectURN><LWM2MVersion>1.1</LWM2MVersion>
    <ObjectVersion>{version}</ObjectVersion><MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory>
    <Resources>
      <Item ID="0"><Name>S</Name><Operations>RW</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Mandatory</Mandatory><Type>String</Type></Item>
      <Item ID="1"><Name>I</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Mandatory</Mandatory><Type>Integer</Type></Item>
      <Item ID="2"><Name>U</Name><Operations>RW</Operations><MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory><Type>Unsigned Integer</Type></Item>
      <Item ID="3"><Name>F</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Type>Float</Type></Item>
      <Item ID="4"><Name>B</Name><Operations>RW</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Type>Boolean</Type></Item>
      <Item ID="5"><Name>O</Name><Operations>W</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Type>Opaque</Type></Item>
      <Item ID="6"><Name>T</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Type>Time</Type></Item>
      <Item ID="7"><Name>L</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Type>Objlnk</Type></Item>
      <Item ID="8"><Name>Go</Name><Operations>E</Operations><MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Type></Type></Item>
    </Resources>
  </Object>
</LWM2M>
"""


@pytest.fixture
def defined(tmp_path):
    """defined(id, version) -> the path of a file that defines an object."""

    def write(id: int = 33000, version: str = "1.0") -> str:
        path = tmp_path / f"{id}-{version}.xml"
        path.write_text(XML.format(id=id, version=version))
        return str(path)

    return write


def test_object_of_a_definition_has_values_by_type(meet, defined):
    server, device = meet("--object", defined(), "--object", defined(33001, "2.3"), *FOREVER)
    whole = server.request(GET, "/33000/0", [(ACCEPT, uint(SENML_JSON))])
    base = "/33000/0/"
    assert values(whole) == {
        base + "0": "", base + "1": 0, base + "2/0": 0, base + "3": 0, base + "4": False, base + "6": 0, base + "7": "65535:65535"
    }
    assert read(server, "/33000/0/5") == "4.05"
    assert execute(server, "/33000/0/8") == "2.04"
    assert server.request(PUT, "/33000/0/0", content(TEXT), b"x").code_text == "2.04"
    assert read(server, "/33000/0/0") == "x"
    device.command("register")
    assert server.accept().payload.decode().endswith("</33000/0>,</33001>;ver=2.3,</33001/0>")


def test_instances_of_a_definition_are_created(meet, defined):
    server, _ = meet("--object", defined(), *FOREVER)
    assert create(server, 33000, b'[{"n":"/33000/4/4","vb":true}]', SENML_JSON).code_text == "4.00"  # 0 is missing
    assert create(server, 33000, b'[{"n":"/33000/4/0","vs":"x"}]', SENML_JSON).code_text == "2.01"
    assert "/33000/4" in links(server)
    assert (read(server, "/33000/4/0"), read(server, "/33000/4/1"), read(server, "/33000/4/4")) == ("x", "0", "4.04")


@pytest.mark.parametrize("order", [("1.0", "1.2"), ("1.2", "1.0")])
def test_newest_of_several_versions_is_the_one_that_the_device_has(meet, defined, order):
    server, device = meet(*(word for version in order for word in ("--object", defined(33000, version))), *FOREVER)
    device.command("register")
    assert server.accept().payload.decode().endswith("</33000>;ver=1.2,</33000/0>")


def test_definition_of_an_object_of_the_registry(meet, defined):
    """An older version in a file goes before what is compiled in."""
    server, _ = meet("--object", defined(3300), *FOREVER)
    assert read(server, "/3300/0/0") == ""
    assert read(server, "/3300/0/5700") == "4.04"


@pytest.mark.parametrize("id", [3, 5000])
def test_object_that_the_device_has_is_one_line_and_exit_code_1(defined, id):
    refused = subprocess.run([program("berth-device"), "--object", defined(id)], capture_output=True, text=True, timeout=20)
    assert refused.returncode == 1
    assert refused.stderr == f"berth-device: --object: object {id} is one that the device has already\n"


@pytest.mark.parametrize(("name", "text"), [("missing.xml", None), ("bad.xml", "<LWM2M>")])
def test_file_that_is_no_definition_is_one_line_and_exit_code_1(tmp_path, name, text):
    if text is not None:
        (tmp_path / name).write_text(text)
    refused = subprocess.run(
        [program("berth-device"), "--object", str(tmp_path / name)], capture_output=True, text=True, timeout=20
    )
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1 and name in refused.stderr
