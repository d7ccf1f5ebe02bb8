"""What the reference device answers when a server asks: raw datagrams from a server that the test plays."""

import socket

import pytest
from coapraw import ACCEPT, ACK, BLOCK1, BLOCK2, CON, CONTENT_FORMAT, DELETE, FETCH, GET, IPATCH, POST, PUT, Coap, block, uint
from device_process import format_of, meet, path_of, played_server, queries_of, start_device  # noqa: F401
from vectors import datagrams, regressions, vector, with_mid

TEXT, LINK, TLV = 0, 40, 11542

RESOURCES_3 = ["0", "1", "2", "3", "4", "5", "6>;dim=1", "7>;dim=1", "8>;dim=1", "9", "10", "11>;dim=1", "12", "13", "14", "15", "16", "17", "18", "19"]
DISCOVERED_3_0 = "</3/0>," + ",".join(f"</3/0/{r}" + ("" if ">" in r else ">") for r in RESOURCES_3)


def accept(number: int) -> list[tuple[int, bytes]]:
    return [(ACCEPT, uint(number))]


def content(number: int) -> list[tuple[int, bytes]]:
    return [(CONTENT_FORMAT, uint(number))]


# ---- Read ----


def test_DM_01_read_is_answered_byte_for_byte(meet):
    server, device = meet()
    assert server.exchange_raw(vector("M-12")) == bytes.fromhex("64457d34a1b2c3d4c0ff") + b"Berth"
    device.line("Request: GET /3/0/0 -> 2.05")


def test_DM_01_read_of_a_server_instance_is_TLV_04_and_of_the_object_TLV_05(meet):
    server, _ = meet("--lifetime", "86400", "--lwm2m", "1.0")
    instance = server.request(GET, "/1/0", accept(TLV))
    assert (instance.code_text, format_of(instance), instance.payload) == ("2.05", TLV, vector("TLV-04"))
    assert server.request(GET, "/1", accept(TLV)).payload == vector("TLV-05")


def test_DM_01_read_of_a_multiple_resource_is_TLV_07_and_of_an_instance_TLV_08(meet):
    server, device = meet()
    device.command("set 3/0/7/1 5000")
    device.settle()
    assert server.request(GET, "/3/0/7", accept(TLV)).payload == vector("TLV-07")
    assert server.request(GET, "/3/0/7/1", accept(TLV)).payload == vector("TLV-08")
    assert server.request(GET, "/3/0/7/1", accept(TEXT)).payload == b"5000"


def test_DM_01_device_instance_holds_what_a_server_may_read(meet):
    server, _ = meet()
    payload = server.request(GET, "/3/0", accept(TLV)).payload
    assert payload.startswith(b"\xc5\x00Berth\xc8\x01\x0cberth-device\xc4\x02dev1")
    for part in ["83064100 01", "8407420 00ed8", "8308 41007d", "c1095f", "830b410000", "c60e2b30303a3030", "c11055"]:
        assert bytes.fromhex(part.replace(" ", "")) in payload, part
    assert bytes([0xC0, 4]) not in payload  # Reboot


def test_DM_02_read_without_accept_is_text_of_one_value_and_else_TLV(meet):
    server, _ = meet()
    single = server.request(GET, "/3/0/9")
    assert (format_of(single), single.payload) == (TEXT, b"95")
    assert format_of(server.request(GET, "/3/0/11/0")) == TEXT
    assert format_of(server.request(GET, "/3/0/11")) == TLV
    assert format_of(server.request(GET, "/3/0")) == TLV
    assert format_of(server.request(GET, "/3")) == TLV


def test_current_time_is_protocol_time(meet):
    server, device = meet("--lifetime", "0")
    before = int(server.request(GET, "/3/0/13").payload)
    device.command("clock +1d")
    device.settle()
    after = int(server.request(GET, "/3/0/13").payload)
    assert 86400 <= after - before <= 86430


def test_memory_free_is_a_number(meet):
    server, _ = meet()
    assert int(server.request(GET, "/3/0/10").payload) > 0


# ---- Discover ----


@pytest.mark.parametrize(
    ("version", "path", "query", "links"),
    [
        ("1.1", "/3", None, "</3>;ver=1.1," + DISCOVERED_3_0),
        ("1.1", "/3/0", None, DISCOVERED_3_0),
        ("1.1", "/3/0/9", None, "</3/0/9>"),
        ("1.1", "/3/0/7", None, "</3/0/7>;dim=1"),
        ("1.0", "/1", None, "</1>,</1/0>,</1/0/0>,</1/0/1>,</1/0/4>,</1/0/6>,</1/0/7>,</1/0/8>"),
        ("1.2", "/3/0/7", None, "</3/0/7>;dim=1,</3/0/7/0>"),
        ("1.2", "/3", "depth=0", "</3>;ver=1.2"),
        ("1.2", "/3", "depth=1", "</3>;ver=1.2,</3/0>"),
        ("1.2", "/1/0", "depth=0", "</1/0>"),
    ],
)
def test_DM_30_discover(meet, version, path, query, links):
    server, _ = meet("--lwm2m", version)
    answer = server.request(GET, path, accept(LINK), query=query)
    assert (answer.code_text, format_of(answer), answer.payload.decode()) == ("2.05", LINK, links)


# ---- Write ----


def test_DM_10_write_of_a_resource_is_answered_byte_for_byte(meet):
    server, device = meet()
    assert server.exchange_raw(vector("M-27")) == vector("M-08")
    device.line("Request: PUT /3/0/14 -> 2.04")
    assert server.request(GET, "/3/0/14").payload == b"+02:00"


def test_DM_11_write_of_an_instance_as_it_was_read(meet):
    server, device = meet()
    assert server.exchange_raw(vector("M-28")) == vector("M-08")
    update = server.expect(POST, "/rd/4Kx9")
    assert queries_of(update) == ["lt=86400"]
    server.answer(update, "2.04")
    device.line("Registration updated")


def test_UPD_16_new_lifetime_leads_to_an_update_at_once(meet):
    server, device = meet()
    assert server.exchange_raw(vector("M-29")) == vector("M-08")
    update = server.expect(POST, "/rd/4Kx9")
    assert queries_of(update) == ["lt=3600"]
    server.answer(update, "2.04")
    device.line("Registration updated")
    device.command("clock +3000")  # 3600 - 93 is what counts now
    device.settle()
    server.expect_silence()


def test_written_binding_leads_to_an_update(meet):
    server, device = meet()
    assert server.request(PUT, "/1/0/7", content(TEXT), b"UT").code_text == "2.04"
    update = server.expect(POST, "/rd/4Kx9")
    assert queries_of(update) == ["b=UT"]
    server.answer(update, "2.04")
    device.line("Registration updated")
    assert server.request(GET, "/3/0/16").payload == b"UT"


def test_DM_10_write_TLV_18_to_the_device_object(meet):
    server, _ = meet()
    assert server.request(POST, "/3/0", content(TLV), vector("TLV-18")).code_text == "2.04"
    assert server.request(GET, "/3/0/14").payload == b"+02:00"
    assert server.request(GET, "/3/0/15").payload == b"Europe/Paris"
    assert int(server.request(GET, "/3/0/13").payload) - 1367491215 in range(60)


def test_DM_11_replace_removes_what_is_not_named_and_partial_update_does_not(meet):
    server, _ = meet()
    offset = bytes.fromhex("c60e") + b"+05:00"
    assert server.request(POST, "/3/0", content(TLV), offset).code_text == "2.04"
    assert server.request(GET, "/3/0/15").payload == b"Etc/UTC"
    assert server.request(PUT, "/3/0", content(TLV), offset).code_text == "2.04"
    assert server.request(GET, "/3/0/15").code_text == "4.04"
    assert server.request(GET, "/3/0/14").payload == b"+05:00"
    assert server.request(PUT, "/3/0/15", content(TEXT), b"Etc/GMT").code_text == "2.04"
    assert server.request(GET, "/3/0/15").payload == b"Etc/GMT"


@pytest.mark.parametrize(
    ("what", "payload", "code"),
    [
        ("a read-only resource with another value", "c10002c4010000003c", "4.05"),
        ("an unknown resource", "c4010000003cc16301", "4.04"),
        ("a function", "c4010000003cc008", "4.05"),
        ("a negative lifetime", "c60e2b30323a3030c101ff", "4.04"),  # 14 is no resource of object 1
        ("a binding with unknown letters", "c4010000003cc10758", "4.00"),
        ("a boolean of 2", "c4010000003cc10602", "4.00"),
        ("a single resource as a multiple one", "8601440000003c", "4.00"),
        ("a TLV that is cut off", "c4010000003cc4", "4.00"),
        ("an id that comes twice", "c1013cc1013d", "4.00"),
    ],
)
def test_write_with_a_fault_writes_nothing(meet, what, payload, code):
    server, _ = meet()
    assert server.request(POST, "/1/0", content(TLV), bytes.fromhex(payload)).code_text == code, what
    assert server.request(GET, "/1/0/1").payload == b"300"
    server.expect_silence()  # nor an Update


@pytest.mark.parametrize("text", ["", "abc", "-1", "4294967296", "5.0", "1 "])
def test_TXT_R01_lifetime_in_bad_text(meet, text):
    server, _ = meet()
    assert server.request(PUT, "/1/0/1", content(TEXT), text.encode()).code_text == "4.00"
    assert server.request(GET, "/1/0/1").payload == b"300"


def test_BLK_write_in_blocks(meet):
    server, _ = meet()
    zone = b"America/Argentina/ComodRivadavia"
    first = server.request(PUT, "/3/0/15", content(TEXT) + [(BLOCK1, block(0, True, 0))], zone[:16])
    assert (first.code_text, first.one(BLOCK1)) == ("2.31", block(0, True, 0))
    last = server.request(PUT, "/3/0/15", content(TEXT) + [(BLOCK1, block(1, False, 0))], zone[16:])
    assert last.code_text == "2.04"
    assert server.request(GET, "/3/0/15").payload == zone


def test_BLK_read_in_blocks_of_64_bytes(meet):
    server, _ = meet()
    whole = server.request(GET, "/3", accept(LINK)).payload
    body, number, more = b"", 0, True
    while more:
        part = server.request(GET, "/3", accept(LINK) + [(BLOCK2, block(number, False, 2))])
        assert part.code_text == "2.05"
        value = part.number(BLOCK2)
        assert (value >> 4, value & 7) == (number, 2)
        more = bool(value & 8)
        assert len(part.payload) == 64 or not more
        body += part.payload
        number += 1
    assert body == whole


# ---- Execute ----


def test_DM_20_registration_update_trigger(meet):
    server, device = meet()
    assert server.request(POST, "/1/0/8").code_text == "2.04"
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    device.line("Request: POST /1/0/8 -> 2.04")
    device.line("Registration updated")


def test_DM_20_reboot_is_answered_and_then_done(meet):
    server, device = meet()
    assert server.exchange_raw(vector("M-30")) == vector("M-08")
    device.line("Rebooting")
    server.accept("/rd/after")
    device.line("Device ID: after")


@pytest.mark.parametrize("arguments", ["5", "2='10.3'", "7,0='http://h'", "0,1,2,3,4", "0='U'"])
def test_DM_21_good_arguments(meet, arguments):
    server, device = meet()
    assert server.request(POST, "/1/0/8", content(TEXT), arguments.encode()).code_text == "2.04"
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    device.line("Registration updated")


@pytest.mark.parametrize("arguments", ["10", "1=a", "1='a", "1,1", "="])
def test_DM_21_bad_arguments(meet, arguments):
    server, _ = meet()
    assert server.request(POST, "/1/0/8", content(TEXT), arguments.encode()).code_text == "4.00"
    server.expect_silence()


# ---- what is refused ----


@pytest.mark.parametrize(
    "path",
    ["/8", "/3/1", "/3/0/99", "/3/0/20", "/3/0/9/0", "/3/0/7/5", "/abc", "/3/0/09", "/65535", "/3/0/9/0/0", "/.well-known/core"],
)
def test_4_04_for_what_is_not_there(meet, path):
    server, device = meet()
    assert server.request(GET, path).code_text == "4.04"
    device.line(f"Request: GET {path} -> 4.04")


@pytest.mark.parametrize(
    ("method", "path", "number"),
    [
        (GET, "/3/0/4", None),  # read of a function
        (GET, "/", None),
        (PUT, "/3/0/0", TEXT),  # write of what can be read only
        (PUT, "/3/0/4", TEXT),
        (PUT, "/3", TLV),
        (POST, "/3", TLV),  # Create
        (POST, "/3/0/9", None),  # Execute of a value
        (POST, "/3/0/14", TEXT),
        (DELETE, "/3/0", None),
        (DELETE, "/3", None),
        (FETCH, "/3/0", None),
        (IPATCH, "/3/0", None),
    ],
)
def test_4_05_for_what_cannot_be_done(meet, method, path, number):
    server, _ = meet()
    options = [] if number is None else content(number)
    assert server.request(method, path, options, b"x" if number is not None else b"").code_text == "4.05"


def test_4_00_for_a_query_that_is_not_understood(meet):
    server, _ = meet()
    assert server.request(GET, "/3/0/9", query="pmin=10").code_text == "4.00"
    assert server.request(GET, "/3", accept(LINK), query="depth=4").code_text == "4.00"


@pytest.mark.parametrize(
    ("path", "number"), [("/3/0", TEXT), ("/3/0/7", TEXT), ("/3", TEXT), ("/3/0/9", 42), ("/3/0/0", 99), ("/3/0/0", 65000)]
)
def test_4_06_for_a_format_that_is_not_spoken(meet, path, number):
    server, _ = meet()
    assert server.request(GET, path, accept(number)).code_text == "4.06"


@pytest.mark.parametrize(("path", "number"), [("/3/0", TEXT), ("/3/0/14", 42), ("/1/0", 1542), ("/1/0", 65000)])
def test_4_15_for_content_that_is_not_spoken(meet, path, number):
    server, _ = meet()
    assert server.request(PUT, path, content(number), b"\xa0").code_text == "4.15"


def test_4_15_for_arguments_that_are_no_text(meet):
    server, _ = meet()
    assert server.request(POST, "/3/0/4", content(TLV), b"\xc0\x00").code_text == "4.15"


def test_4_02_for_a_critical_option_that_is_unknown(meet):
    server, _ = meet()
    assert server.request(GET, "/3/0/9", [(65001, b"x")]).code_text == "4.02"


# ---- messages ----


def test_MSG_repeated_request_is_answered_again_and_done_once(meet):
    server, device = meet()
    first = server.exchange_raw(vector("M-27"))
    assert server.exchange_raw(vector("M-27")) == first
    server.request(GET, "/3/0/9")
    device.line("Request: PUT /3/0/14 -> 2.04")
    assert device.line("Request: ", partly=True) == "Request: GET /3/0/9 -> 2.05"


def test_only_the_server_is_listened_to(meet):
    server, _ = meet()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(vector("M-12"), server.device_address)
        stranger.sendto(vector("M-01"), server.device_address)
        server.request(GET, "/3/0/9")  # datagrams are worked off in order
        stranger.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stranger.recv(2048)


def test_nothing_that_came_over_a_network_stops_it(meet):
    """Whatever the device thinks of these datagrams, it lives and answers the next request."""
    server, device = meet("--lifetime", "0")
    mid = 0x1000
    for name, data in {**datagrams(), **regressions()}.items():
        mid += 1
        server.send_raw(with_mid(data, mid) if len(data) >= 4 else data)
        probe = Coap(CON, GET, 0x6000 + mid, b"probe", [(11, b"3"), (11, b"0"), (11, b"9")])
        server.send(probe)
        while (answer := server.receive()).token != b"probe" or answer.type != ACK:
            if answer.type == CON:
                server.send(Coap(ACK, 0, answer.mid))
        assert (answer.mid, answer.payload) == (probe.mid, b"95"), name
    assert path_of(answer) == "/"
    device.settle()
