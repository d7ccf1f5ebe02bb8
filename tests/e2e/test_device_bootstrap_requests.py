"""What the reference device answers a bootstrap server: one that the test plays, datagram by datagram."""

import socket

import pytest
from coapraw import ACCEPT, CON, CONTENT_FORMAT, DELETE, FETCH, GET, POST, PUT, Coap, uint
from device_process import path_of, played_server, queries_of, start_device  # noqa: F401
from lwm2mraw import LWM2M_CBOR, SENML_CBOR, SENML_JSON, TLV, Value, encode
from vectors import vector

LINK, TEXT = 40, 0


@pytest.fixture
def begin(played_server, start_device):  # noqa: F811
    """begin("--lwm2m", "1.2") -> the played server, whose 2.04 the device has, and the device."""
    begun = []

    def start(*options, answer=True):
        device = start_device("--bootstrap", played_server.uri, "--endpoint", "dev1", *options)
        begun.append(device)
        asked = played_server.expect(POST, "/bs")
        if answer:
            played_server.answer(asked, "2.04")
        return played_server, device, asked

    yield start
    for device in begun:
        if device.process.returncode is None:
            device.kill()


def formatted(number):
    return [(CONTENT_FORMAT, uint(number))]


def put(server, path, values, format=TLV):
    payload = encode(format, path, values)
    return server.request(PUT, path, formatted(format), payload)


def account(server, format=TLV, security=1, instance=0):
    """An account of the played server itself."""
    base, other = f"/0/{security}", f"/1/{instance}"
    assert put(server, base, {
        f"{base}/0": Value("string", server.uri), f"{base}/1": Value("boolean", False),
        f"{base}/2": Value("integer", 3), f"{base}/10": Value("integer", 7),
    }, format).code_text == "2.04"  # fmt: skip
    assert put(server, other, {
        f"{other}/0": Value("integer", 7), f"{other}/1": Value("integer", 300),
        f"{other}/6": Value("boolean", True), f"{other}/7": Value("string", "U"),
    }, format).code_text == "2.04"  # fmt: skip


def finish(server):
    return server.request(POST, "/bs")


def registers(server, device):
    register = server.accept()
    device.line("Client registered")
    return register


@pytest.mark.parametrize(
    ("version", "options", "expected"),
    [
        ("1.0", [], ["ep=dev1"]),
        ("1.1", [], ["ep=dev1", "pct=112"]),
        ("1.2", [], ["ep=dev1", "pct=11544"]),
        ("1.2", ["--bootstrap-format", "senml-json"], ["ep=dev1", "pct=110"]),
    ],
)
def test_BS_02_BS_03_the_request(begin, version, options, expected):
    _, _, asked = begin("--lwm2m", version, *options)
    assert (path_of(asked), queries_of(asked)) == ("/bs", expected)


@pytest.mark.parametrize("format", [TLV, SENML_JSON, SENML_CBOR, LWM2M_CBOR])
def test_BS_12_an_account_is_written_in_every_format_and_registered_with(begin, format):
    server, device, _ = begin("--lwm2m", "1.2")
    account(server, format)
    assert finish(server).code_text == "2.04"
    register = registers(server, device)
    assert {"ep=dev1", "lt=300", "b=U"} <= set(queries_of(register))
    assert b"</0" not in register.payload and b"</1/0>" in register.payload


def test_BS_12_a_vector_of_the_list_is_taken(begin):
    server, device, _ = begin("--lwm2m", "1.0")
    answer = server.request(PUT, "/0/1", formatted(TLV), vector("TLV-22"))
    assert answer.code_text == "2.04"
    device.command("read 0/1")
    device.line("0/1/0 = ", partly=True)


def test_BS_13_a_whole_object_leaves_the_instances_that_it_does_not_name(begin):
    server, device, _ = begin()
    account(server)
    body = encode(TLV, "/0", {"/0/4/0": Value("string", "coap://x"), "/0/4/2": Value("integer", 3)})
    assert server.request(PUT, "/0", formatted(TLV), body).code_text == "2.04"
    device.command("objects")
    for line in ("0/0: ", "0/1: ", "0/4: "):
        device.line(line, partly=True)


def test_an_instance_that_is_written_again_has_nothing_of_before(begin):
    server, device, _ = begin()
    account(server)
    assert put(server, "/1/0", {"/1/0/0": Value("integer", 7)}).code_text == "2.04"
    assert b"1/0/1: there is no lifetime" in finish(server).payload
    assert server.request(PUT, "/1/0/1", formatted(TEXT), b"60").code_text == "2.04"
    assert b"1/0/7" in finish(server).payload
    assert server.request(PUT, "/1/0/7", formatted(TEXT), b"U").code_text == "2.04"
    assert finish(server).code_text == "2.04"
    assert "lt=60" in queries_of(registers(server, device))


@pytest.mark.parametrize(
    ("method", "path", "options", "payload", "expected"),
    [
        (PUT, "/99", formatted(TLV), b"", "4.04"),
        (PUT, "/99/0", formatted(TLV), b"\xc1\x00\x01", "4.04"),
        (PUT, "/1/0/99", formatted(TEXT), b"1", "4.04"),
        (PUT, "/", formatted(TLV), b"", "4.05"),
        (PUT, "/0/1", formatted(TEXT), b"x", "4.15"),
        (PUT, "/0/1", formatted(41), b"x", "4.15"),
        (PUT, "/1/0", formatted(TLV), b"\xc1", "4.00"),
        (PUT, "/1/0", formatted(TLV), b"\xc1\x07U\xc4\x01abcd"[:-1], "4.00"),
        (PUT, "/1/0/1", formatted(TEXT), b"soon", "4.00"),
        (PUT, "/1/0/1", formatted(TEXT), b"-1", "4.00"),
        (PUT, "/1/0/7", formatted(TEXT), b"XYZ", "4.00"),
        (PUT, "/3/5/14", formatted(TEXT), b"+01:00", "4.05"),
        (PUT, "/1", formatted(TLV), b"\xc1\x00\x01", "4.00"),
        (GET, "/0", [], b"", "4.05"),
        (GET, "/0/0/0", [], b"", "4.05"),
        (GET, "/3", [], b"", "4.05"),
        (GET, "/1", [], b"", "2.05"),
        (GET, "/1/0", [], b"", "4.04"),
        (GET, "/1/0", [(ACCEPT, uint(LINK))], b"", "4.05"),
        (GET, "/99", [(ACCEPT, uint(LINK))], b"", "4.04"),
        (DELETE, "/99", [], b"", "4.04"),
        (DELETE, "/1/7", [], b"", "4.04"),
        (DELETE, "/0/0/1", [], b"", "4.05"),
        (POST, "/3/0/4", [], b"", "4.05"),
        (POST, "/1", formatted(TLV), b"", "4.05"),
        (FETCH, "/", formatted(112), b"", "4.05"),
        (PUT, "/bs", [], b"", "4.05"),
        (GET, "/abc", [], b"", "4.04"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(begin, method, path, options, payload, expected):
    server, device, _ = begin()
    answer = server.request(method, path, options, payload)
    assert answer.code_text == expected, answer.payload
    account(server)
    assert finish(server).code_text == "2.04"
    registers(server, device)


def test_a_slash_within_a_segment_is_no_path(begin):
    server, _, _ = begin()
    server.mid += 1
    server.send(Coap(CON, DELETE, server.mid, b"\xa1", [(11, b"0/0")]))
    assert server.receive().code_text == "4.04"


def test_1_0_reads_nothing(begin):
    server, _, _ = begin("--lwm2m", "1.0")
    assert server.request(GET, "/1").code_text == "4.05"
    links = server.request(GET, "/", [(ACCEPT, uint(LINK))])
    assert links.code_text == "2.05" and links.payload.startswith(b"</>;lwm2m=1.0,</0/0>,") and b"uri=" not in links.payload


def test_other_servers_commands_are_not_taken_before_or_after(begin):
    server, device, _ = begin()
    account(server)
    assert finish(server).code_text == "2.04"
    registers(server, device)
    assert server.request(PUT, "/0/1", formatted(TLV), b"\xc1\x02\x03").code_text == "4.04"
    assert server.request(DELETE, "/1/0").code_text == "4.05"
    assert finish(server).code_text == "4.04"


def test_commands_may_overtake_the_answer(begin):
    server, device, asked = begin(answer=False)
    account(server)
    server.answer(asked, "2.04")
    assert finish(server).code_text == "2.04"
    registers(server, device)


def test_a_finish_may_overtake_the_answer(begin):
    server, device, asked = begin(answer=False)
    account(server)
    assert finish(server).code_text == "2.04"
    registers(server, device)


def test_BS_19_a_finish_that_was_refused_can_be_corrected(begin):
    server, device, _ = begin()
    refused = finish(server)
    assert (refused.code_text, refused.payload) == ("4.06", b"there is no account of a server")
    account(server)
    assert finish(server).code_text == "2.04"
    registers(server, device)


def test_a_server_that_refuses_is_asked_again(begin):
    server, device, asked = begin(answer=False)
    server.answer(asked, "4.00", payload=b"who are you?")
    device.line("Bootstrap failed: 4.00 Bad Request: who are you?; trying again in 1.", partly=True)
    device.command("clock +2s")
    asked = server.expect(POST, "/bs")
    server.answer(asked, "5.00")
    device.line("Bootstrap failed: 5.00 Internal Server Error", partly=True)
    device.command("clock +3s")
    server.answer(server.expect(POST, "/bs"), "2.04")
    account(server)
    finish(server)
    registers(server, device)


def test_BS_23_a_server_that_falls_silent_is_asked_again_and_nothing_is_left(begin):
    server, device, _ = begin()
    account(server)
    device.command("clock +246s")
    device.settle()
    device.command("clock +2s")
    device.line("Bootstrap failed: the server has not finished; trying again in ", partly=True)
    device.command("read 0/1/0")
    device.line("0/1/0: there is no such thing")
    device.command("clock +2s")
    server.answer(server.expect(POST, "/bs"), "2.04")
    account(server)
    finish(server)
    registers(server, device)


@pytest.mark.parametrize(("format", "says"), [(TLV, "the content format has no place there"), (SENML_CBOR, "there is no account of a server")])
def test_BS_30_a_pack_without_an_account_is_none(played_server, start_device, format, says):  # noqa: F811
    device = start_device("--bootstrap", played_server.uri, "--endpoint", "dev1", "--lwm2m", "1.2", "--bootstrap-pack", "--bootstrap-format", "senml-cbor")
    asked = played_server.receive()
    assert (asked.code, path_of(asked), queries_of(asked)) == (GET, "/bspack", ["ep=dev1", "acc=</0/0>"])
    assert asked.number(ACCEPT) == SENML_CBOR
    body = encode(SENML_CBOR, "/", {"/3/0/14": Value("string", "+03:00")})
    played_server.answer(asked, "2.05", (CONTENT_FORMAT, uint(format)), payload=body)
    device.line(f"Bootstrap failed: {says}; trying again in ", partly=True)
    device.command("objects")
    device.line("0/0: ", partly=True)
    device.kill()


# ---- over a connection ----


def frames(connection):
    """(code, token) of each frame of RFC 8323 that comes."""
    data = b""
    while True:
        chunk = connection.recv(4096)
        assert chunk, "the device has closed"
        data += chunk
        while data:
            nibble, tkl = data[0] >> 4, data[0] & 15
            extended = {13: 1, 14: 2}.get(nibble, 0)
            if len(data) < 2 + extended + tkl:
                break
            length = nibble if extended == 0 else int.from_bytes(data[1 : 1 + extended], "big") + (13 if extended == 1 else 269)
            head = 1 + extended
            if len(data) < head + 1 + tkl + length:
                break
            yield data[head], data[head + 1 : head + 1 + tkl]
            data = data[head + 1 + tkl + length :]


@pytest.mark.parametrize("answered", [False, True])
def test_a_connection_that_ends_in_the_middle_ends_the_bootstrap(start_device, answered):  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as server:
        device = start_device("--bootstrap", f"coap+tcp://127.0.0.1:{server.getsockname()[1]}", "--endpoint", "dev1")
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"\x00\xe1")
                token = next(token for code, token in frames(connection) if code == POST)
                if answered:
                    connection.sendall(bytes([len(token), 0x44]) + token + b"\x20" + bytes([DELETE]) + b"\xb1" + b"0")
                    assert next(code for code, _ in frames(connection) if code >> 5 == 2) == 0x42
            device.line("Disconnected: ", partly=True)
            device.line("Bootstrap failed: ", partly=True)
            device.command("clock +3s")
        device.kill()
