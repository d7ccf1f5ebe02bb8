"""Register (LwM2M Core 1.2 section 6.2.1)."""

import pytest

from coapraw import (
    ACK,
    CONTENT_FORMAT,
    GET,
    LINK_FORMAT,
    LOCATION_QUERY,
    MAX_AGE,
    NON,
    POST,
    Coap,
    uint,
)
from vectors import vector, with_mid

OBJECTS = "</1/0>,</3/0>"


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def peer(berth):
    return berth.peer()


@pytest.fixture
def endpoint(request):
    """A name that no other test uses."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]


def send_register(peer, *query, links=OBJECTS, content_format=LINK_FORMAT, path="/rd", **kwargs):
    """A Register with exactly these query items."""
    payload = links if isinstance(links, bytes) else links.encode()
    options = [] if content_format is None else [(CONTENT_FORMAT, uint(content_format))]
    return peer.request(POST, path, list(query), payload, options, **kwargs)


def assert_refused(berth, endpoint, code, answer):
    """Refused with this code, nothing stored, and the reason is an event."""
    assert answer.code_text == code
    assert berth.http("GET", "/v1/devices", endpoint=endpoint).json["items"] == []
    rejected = berth.events_after(0, types="rejected")[-1]
    assert rejected["coap_code"] == code and rejected["detail"]
    assert rejected["detail"].encode().startswith(answer.payload)


def accepted(berth, endpoint, answer):
    """The device of a Register that must have succeeded."""
    assert answer.code_text == "2.01", answer.payload
    return berth.device(endpoint)


# ---- the ordinary one ----


def test_REG_01_register_makes_an_entry(berth, peer):
    mark = berth.last_event()
    peer.send_raw(vector("M-04"))
    answer = peer.receive()
    assert (answer.type, answer.code_text, answer.mid, answer.token) == (ACK, "2.01", 0x7D34, bytes.fromhex("a1b2c3d4"))
    device = berth.device("dev1")
    assert {
        name: device[name] for name in ("state", "lifetime_s", "version", "binding", "queue_mode", "root_path")
    } == {
        "state": "registered",
        "lifetime_s": 300,
        "version": "1.1",
        "binding": "U",
        "queue_mode": False,
        "root_path": "/",
    }
    assert device["content_formats"] == [60, 110, 112, 11542]
    assert device["objects"] == [
        {"path": "/1", "attributes": {"ver": "1.1"}, "version": "1.1"},
        {"path": "/1/0", "attributes": {}, "version": "1.1"},
        {"path": "/3/0", "attributes": {}, "version": "1.1"},
    ]
    assert device["location"] == answer.location
    assert device["address"] == peer.address and device["transport"] == "udp"
    (event,) = berth.events_after(mark)
    assert (event["type"], event["endpoint"], event["location"]) == ("registered", "dev1", answer.location)


def test_REG_01_answer_has_the_bytes_of_the_vector_but_for_the_id(peer):
    peer.send_raw(with_mid(vector("M-04"), 0x0101).replace(b"dev1", b"reg1"))
    answer = peer.receive_raw()
    expected = with_mid(vector("M-05"), 0x0101)  # its id has three characters, ours have four
    assert answer[:-4] == expected[:-4] + b"\x04"


@pytest.mark.parametrize("turn", range(4))
def test_REG_02_query_items_may_come_in_any_order(berth, peer, endpoint, turn):
    query = [f"ep={endpoint}", "lt=600", "lwm2m=1.0", "b=UQ"]
    device = accepted(berth, endpoint, send_register(peer, *query[turn:], *query[:turn]))
    assert (device["lifetime_s"], device["version"], device["queue_mode"]) == (600, "1.0", True)


# ---- lifetime ----


def test_REG_03_no_lifetime_is_a_day(berth, peer, endpoint):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.0"))
    assert device["lifetime_s"] == 86400


def test_REG_04_lifetime_0_never_expires(berth, peer, endpoint):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", "lt=0"))
    assert (device["lifetime_s"], device["lifetime"], device["expires_at"]) == (0, "infinite", None)
    berth.leap("36500d")
    assert berth.device(endpoint)["state"] == "registered"


@pytest.mark.parametrize("value", ["1", "60", "2592000", "4294967295", "000000000060"])
def test_REG_05_lifetime_is_whole_seconds_of_32_bits(berth, peer, endpoint, value):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", f"lt={value}"))
    assert device["lifetime_s"] == int(value)


@pytest.mark.parametrize(
    "item",
    [
        "lt=",
        "lt",
        "lt=-1",
        "lt=abc",
        "lt=60.5",
        "lt=4294967296",
        "lt=99999999999999999999",
        "lt=+60",
        "lt= 60",
        "lt=0x3c",
    ],
)
def test_REG_05_lifetime_that_is_none_is_4_00(berth, peer, endpoint, item):
    assert_refused(berth, endpoint, "4.00", send_register(peer, f"ep={endpoint}", "lwm2m=1.1", item))


# ---- version ----


def test_REG_06_no_binding_is_u(berth, peer, endpoint):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1"))
    assert (device["binding"], device["queue_mode"]) == ("U", False)


def test_REG_07_no_version_is_4_00(berth, peer, endpoint):
    assert_refused(berth, endpoint, "4.00", send_register(peer, f"ep={endpoint}", "lt=60"))


def test_REG_07_no_version_is_1_0_when_that_is_allowed(start_berth):
    server = start_berth("--allow-missing-version")
    device = accepted(server, "old", send_register(server.peer(), "ep=old"))
    assert device["version"] == "1.0"
    assert server.await_event("oddity", "old", timeout="0s")["detail"]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_REG_08_every_version_is_accepted(berth, peer, endpoint, version):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", f"lwm2m={version}"))
    assert device["version"] == version


@pytest.mark.parametrize("version", ["1.3", "2.0", "0.9", "1", "1.1.1", "x", "", "1.", "01.1", "1.1 ", "1,1"])
def test_REG_09_other_versions_are_4_12(berth, peer, endpoint, version):
    assert_refused(berth, endpoint, "4.12", send_register(peer, f"ep={endpoint}", f"lwm2m={version}"))


# ---- endpoint name ----


def test_REG_10_no_endpoint_name_is_4_00(berth, peer):
    answer = send_register(peer, "lwm2m=1.1", "lt=300")
    assert answer.code_text == "4.00"
    assert berth.events_after(0, types="rejected")[-1]["detail"] == answer.payload.decode()


@pytest.mark.parametrize("item", ["ep=", "ep"])
def test_REG_12_empty_endpoint_name_is_4_00(berth, peer, item):
    mark = berth.last_event()
    assert send_register(peer, item, "lwm2m=1.1").code_text == "4.00"
    assert [(e["type"], e["coap_code"]) for e in berth.events_after(mark)] == [("rejected", "4.00")]


@pytest.mark.parametrize("item", ["ep=", "lt=300", "lwm2m=1.1", "b=U"])
def test_REG_13_item_that_comes_twice_is_4_00(berth, peer, endpoint, item):
    query = [f"ep={endpoint}", "lt=300", "lwm2m=1.1", "b=U"]
    again = f"ep={endpoint}" if item == "ep=" else item
    assert_refused(berth, endpoint, "4.00", send_register(peer, *query, again))


def test_REG_14_endpoint_name_of_252_bytes_fits(berth, peer):
    peer.send_raw(with_mid(vector("M-70"), 0x0114))
    assert peer.receive().code_text == "2.01"
    assert berth.device("x" * 252)["endpoint"] == "x" * 252


def test_REG_14_query_item_of_256_bytes_is_4_02(peer):
    assert send_register(peer, "ep=" + "x" * 253, "lwm2m=1.1").code_text == "4.02"


@pytest.mark.parametrize(
    "name",
    [
        "ü-模-🌍",
        "a b",
        "urn:imei:123456789012345",
        "a/b",
        "a&b=c",
        "a%2Fb",
        "..",
        "?#",
        '"',
        "\\",
        "'",
        "<1>",
        "cursor",
    ],
)
def test_REG_15_endpoint_name_is_any_text(berth, peer, name):
    device = accepted(berth, name, send_register(peer, f"ep={name}", "lwm2m=1.1"))
    assert device["endpoint"] == name


@pytest.mark.parametrize(
    "name",
    [b"a\0b", b"\n", b"a\x7f", b"\x1b[2J", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"],
)
def test_REG_15_endpoint_name_that_is_no_clean_utf_8_is_4_00(berth, peer, name):
    mark = berth.last_event()
    assert send_register(peer, b"ep=" + name, "lwm2m=1.1").code_text == "4.00"
    assert [e["type"] for e in berth.events_after(mark)] == ["rejected"]


def test_REG_15_endpoint_names_differ_by_every_byte(berth, peer):
    for name in ("case", "CASE", "case ", "case/"):
        accepted(berth, name, send_register(peer, f"ep={name}", "lwm2m=1.1"))
    assert len({berth.device(name)["id"] for name in ("case", "CASE", "case ", "case/")}) == 4


# ---- binding and queue mode ----


@pytest.mark.parametrize("binding", ["U", "T", "S", "N", "M", "H", "UT", "UN", "UTSN", "TU"])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_REG_18_all_letters_of_the_binding_are_kept(berth, peer, endpoint, version, binding):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", f"lwm2m={version}", f"b={binding}"))
    assert sorted(device["binding"]) == sorted(binding) and not device["queue_mode"]


@pytest.mark.parametrize(
    ("binding", "letters", "queue"), [("UQ", "U", True), ("SQ", "S", True), ("UQS", "SU", True), ("US", "SU", False)]
)
def test_REG_19_q_in_the_binding_of_1_0_is_queue_mode(berth, peer, endpoint, binding, letters, queue):
    mark = berth.last_event()
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.0", f"b={binding}"))
    assert ("".join(sorted(device["binding"])), device["queue_mode"]) == (letters, queue)
    assert berth.events_after(mark, types="oddity") == []


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_REG_20_q_in_the_binding_of_later_versions_is_tolerated(berth, peer, endpoint, version):
    mark = berth.last_event()
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", f"lwm2m={version}", "b=UQ"))
    assert (device["binding"], device["queue_mode"]) == ("U", True)
    assert len(berth.events_after(mark, types="oddity", endpoint=endpoint)) == 1


@pytest.mark.parametrize("items", [["Q"], ["b=U", "Q"], ["Q="]])
@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_REG_21_q_is_queue_mode(berth, peer, endpoint, version, items):
    mark = berth.last_event()
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", f"lwm2m={version}", *items))
    assert (device["binding"], device["queue_mode"]) == ("U", True)
    assert berth.events_after(mark, types="oddity") == []


@pytest.mark.parametrize(("version", "item"), [("1.1", "Q=1"), ("1.2", "Q=true"), ("1.0", "Q")])
def test_REG_21_odd_forms_of_q_are_tolerated(berth, peer, endpoint, version, item):
    mark = berth.last_event()
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", f"lwm2m={version}", item))
    assert device["queue_mode"]
    assert len(berth.events_after(mark, types="oddity", endpoint=endpoint)) == 1


@pytest.mark.parametrize("binding", ["X", "UX", "u", "U,T", " ", "1"])
def test_REG_22_unknown_letter_in_the_binding_is_4_00(berth, peer, endpoint, binding):
    assert_refused(berth, endpoint, "4.00", send_register(peer, f"ep={endpoint}", "lwm2m=1.1", f"b={binding}"))


@pytest.mark.parametrize("item", ["b=", "b"])
def test_REG_22_empty_binding_is_u(berth, peer, endpoint, item):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", item))
    assert device["binding"] == "U"


# ---- other query items ----


def test_REG_23_sms_number_is_kept(berth, peer, endpoint):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", "sms=48123456789"))
    assert device["sms"] == "48123456789"


@pytest.mark.parametrize("item", ["sms", "sms="])
def test_REG_23_empty_sms_number_is_ignored(berth, peer, endpoint, item):
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", item))
    assert device["sms"] is None


def test_REG_24_unknown_query_items_are_kept(berth, peer, endpoint):
    unknown = ["et=default", "imei=358240051111110", "foo", "bar=", "x=1=2", "url=a&b%26", "n=ü"]
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", *unknown))
    assert device["parameters"] == {
        "et": "default",
        "imei": "358240051111110",
        "foo": True,
        "bar": "",
        "x": "1=2",
        "url": "a&b%26",
        "n": "ü",
    }


def test_REG_24_empty_query_item_is_ignored(berth, peer, endpoint):
    accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "", "lwm2m=1.1"))


# ---- object list ----


def test_P12_03_unknown_profile_without_an_object_list_is_4_09_and_the_whole_list_is_taken_then(berth, peer, endpoint):
    query = (f"ep={endpoint}", "lwm2m=1.2", "pid=6:27354b9a")
    answer = send_register(peer, *query, links="")
    assert (answer.code_text, answer.payload) == ("4.09", b"no object list, and no profile is known")
    assert [o["path"] for o in accepted(berth, endpoint, send_register(peer, *query))["objects"]] == ["/1/0", "/3/0"]


@pytest.mark.parametrize(("version", "code"), [("1.0", "4.00"), ("1.1", "4.00"), ("1.2", "4.09")])
def test_REG_25_no_object_list(berth, peer, endpoint, version, code):
    assert_refused(berth, endpoint, code, send_register(peer, f"ep={endpoint}", f"lwm2m={version}", links=""))


@pytest.mark.parametrize("content_format", [LINK_FORMAT, None])
def test_REG_26_object_list_with_or_without_content_format(berth, peer, endpoint, content_format):
    mark = berth.last_event()
    answer = send_register(peer, f"ep={endpoint}", "lwm2m=1.1", content_format=content_format)
    assert [o["path"] for o in accepted(berth, endpoint, answer)["objects"]] == ["/1/0", "/3/0"]
    assert berth.events_after(mark, types="oddity") == []


def test_REG_27_object_list_as_text_is_tolerated(berth, peer, endpoint):
    mark = berth.last_event()
    accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", content_format=0))
    assert len(berth.events_after(mark, types="oddity", endpoint=endpoint)) == 1


@pytest.mark.parametrize("content_format", [60, 42, 50, 110, 11542, 65535])
def test_REG_27_object_list_in_another_format_is_4_00(berth, peer, endpoint, content_format):
    answer = send_register(peer, f"ep={endpoint}", "lwm2m=1.1", content_format=content_format)
    assert_refused(berth, endpoint, "4.00", answer)


@pytest.mark.parametrize(
    "links", ["garbage", "</1/0", "</1/0></3/0>", "<1/0>", "\0", b"\xff\xfe\xfd", "{}", "</1/0>;=x"]
)
def test_REG_28_object_list_that_cannot_be_parsed_is_4_00(berth, peer, endpoint, links):
    assert_refused(berth, endpoint, "4.00", send_register(peer, f"ep={endpoint}", "lwm2m=1.1", links=links))


def test_REG_28_after_a_bad_object_list_the_older_registration_stays(berth, endpoint):
    device = berth.register(endpoint)
    before = berth.device(endpoint)
    assert send_register(device.peer, f"ep={endpoint}", "lwm2m=1.1", links="garbage").code_text == "4.00"
    assert berth.device(endpoint) == before
    assert device.update().code_text == "2.04"


@pytest.mark.parametrize(
    ("links", "warned"),
    [
        ("</>", True),
        ("</>;ct=110", True),
        ("</3/0>", True),
        ("</1/0>", True),
        ("</33333/0>,</65534>", True),
        ('</1>;ver="9.9",</3/0>,</12345/0>', False),
    ],
)
def test_REG_29_any_list_of_objects_is_accepted(berth, peer, endpoint, links, warned):
    mark = berth.last_event()
    accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", links=links))
    assert len(berth.events_after(mark, types="oddity", endpoint=endpoint)) == warned


def test_REG_30_security_oscore_and_cose_objects_are_dropped(berth, peer, endpoint):
    links = "</0/0>,</0>;ver=1.1,</1/0>,</21/0>,</21/1>,</23>,</24/0>,</3/0>,</0/0/1>"
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", links=links))
    assert [o["path"] for o in device["objects"]] == ["/1/0", "/3/0"]


def test_REG_31_alternate_path(berth, peer, endpoint):
    links = '</lwm2m>;rt="oma.lwm2m",</lwm2m/1/0>,</lwm2m/3/0>'
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", links=links))
    assert device["root_path"] == "/lwm2m"
    assert [o["path"] for o in device["objects"]] == ["/1/0", "/3/0"]


@pytest.mark.parametrize("root", ["/a/b", "/lwm2m/", "/1x"])
def test_REG_31_shapes_of_alternate_paths(berth, peer, endpoint, root):
    links = f'<{root}>;rt="oma.lwm2m",<{root.rstrip("/")}/3/0>'
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", links=links))
    assert (device["root_path"], device["objects"][-1]["path"]) == (root.rstrip("/"), "/3/0")


def test_REG_32_object_links_without_the_alternate_path_are_tolerated(berth, peer, endpoint):
    mark = berth.last_event()
    links = '</alt>;rt="oma.lwm2m",</1/0>,</3/0>'
    device = accepted(berth, endpoint, send_register(peer, f"ep={endpoint}", "lwm2m=1.1", links=links))
    assert (device["root_path"], [o["path"] for o in device["objects"]]) == ("/alt", ["/1/0", "/3/0"])
    assert len(berth.events_after(mark, types="oddity", endpoint=endpoint)) == 1


# ---- registering again ----


def test_REG_33_REG_42_register_again_replaces(berth, endpoint):
    mark = berth.last_event()
    old = berth.register(endpoint, lifetime=300, links="</1/0>,</3/0>,</5/0>", extra=["sms=1"])
    new = berth.register(endpoint, lifetime=600, links="</3/0>", peer=old.peer)
    device = berth.device(endpoint)
    assert new.location != old.location == berth.events_after(mark)[0]["location"]
    assert (device["location"], device["lifetime_s"], device["sms"]) == (new.location, 600, None)
    assert [o["path"] for o in device["objects"]] == ["/3/0"]
    assert old.update().code_text == "4.04"
    assert new.update().code_text == "2.04"


def test_REG_33_register_again_is_one_event_with_both_locations(berth, endpoint):
    old = berth.register(endpoint)
    mark = berth.last_event()
    new = berth.register(endpoint, peer=old.peer)
    (event,) = berth.events_after(mark)
    assert (event["type"], event["location"], event["previous"]) == ("replaced", new.location, old.location)


def test_REG_33_device_is_listed_once_after_registering_again(berth, endpoint):
    for _ in range(5):
        berth.register(endpoint)
    assert len(berth.get("/v1/devices", endpoint=endpoint)["items"]) == 1


def test_REG_33_id_of_the_device_stays(berth, endpoint):
    berth.register(endpoint)
    first = berth.device(endpoint)["id"]
    berth.register(endpoint)
    assert berth.device(endpoint)["id"] == first and len(first) == 32 and int(first, 16) >= 0


def test_REG_35_register_again_from_another_address_replaces(berth, endpoint):
    old, new = berth.register(endpoint), berth.register(endpoint)
    assert old.peer.address != new.peer.address == berth.device(endpoint)["address"]
    assert old.update().code_text == "4.04"


def test_REG_36_same_register_again_is_the_same_registration(berth, peer, endpoint):
    message = peer.message(POST, "/rd", [f"ep={endpoint}", "lwm2m=1.1"], OBJECTS.encode(), [(CONTENT_FORMAT, b"\x28")])
    peer.send(message)
    first = peer.receive_raw()
    peer.send(message)
    assert peer.receive_raw() == first
    assert berth.device(endpoint)["location"] == Coap.decode(first).location


def test_REG_36_register_repeated_before_it_is_answered_is_one_registration(berth, peer, endpoint):
    mark = berth.last_event()
    message = peer.message(POST, "/rd", [f"ep={endpoint}", "lwm2m=1.1"], OBJECTS.encode(), [(CONTENT_FORMAT, b"\x28")])
    for _ in range(5):
        peer.send(message)
    berth.await_event("registered", endpoint)
    assert [e["type"] for e in berth.events_after(mark, endpoint=endpoint)] == ["registered"]
    assert peer.response(message).code_text == "2.01"


def test_REG_37_created_has_a_location_and_nothing_else(berth, peer, endpoint):
    answer = send_register(peer, f"ep={endpoint}", "lwm2m=1.1")
    assert answer.code_text == "2.01" and answer.payload == b""
    assert answer.location.startswith("/rd/") and len(answer.options) == 2
    assert answer.one(LOCATION_QUERY) is None and answer.one(MAX_AGE) is None


def test_REG_39_device_is_reached_where_it_registered(start_berth):
    server = start_berth(listen=("coap://127.0.0.1:0", "coap://127.0.0.2:0", "coap://[::1]:0"))
    for host, uri in zip(("127.0.0.1", "127.0.0.2", "::1"), server.listeners, strict=True):
        port = int(uri.rpartition(":")[2])
        device = server.register(host, peer=server.peer(host=host, port=port))
        assert server.device(host)["address"] == device.peer.address
        assert device.update().code_text == "2.04"


def test_REG_41_listener_may_have_a_path_before_rd(start_berth):
    server = start_berth(listen=("coap://127.0.0.1:0/lwm2m/a",))
    peer = server.peer()
    created = send_register(peer, "ep=prefixed", "lwm2m=1.1", path="/lwm2m/a/rd")
    assert created.code_text == "2.01"
    assert peer.request(POST, "/lwm2m/a" + created.location).code_text == "2.04"
    assert peer.request(POST, created.location).code_text == "2.04"
    assert peer.request(GET, "/lwm2m/a/.well-known/core").code_text == "2.05"


def test_REG_43_two_servers_know_nothing_of_each_other(start_berth):
    one, two = start_berth(), start_berth()
    at_one, at_two = one.register("shared", lifetime=100), two.register("shared", lifetime=200)
    assert at_one.deregister().code_text == "2.02"
    assert two.device("shared")["lifetime_s"] == 200
    assert at_two.update().code_text == "2.04"


def test_REG_44_registrations_survive_a_restart(start_berth):
    server = start_berth()
    device = server.register("kept", lifetime=600, version="1.0", binding="UQ", extra=["sms=1", "et=x"])
    before = server.device("kept")
    server.restart()
    assert server.device("kept") == {**before, "awake": False}  # in queue mode, and not heard yet
    assert device.update().code_text == "2.04"


def test_REG_45_full_directory_takes_a_register_again(start_berth):
    server = start_berth("--max-registrations", "1")
    server.register("only")
    server.register("only")


def test_MSG_46_register_as_non_gets_its_location_in_a_non(berth, peer, endpoint):
    answer = send_register(peer, f"ep={endpoint}", "lwm2m=1.1", type=NON)
    assert answer.type == NON and accepted(berth, endpoint, answer)["location"] == answer.location
