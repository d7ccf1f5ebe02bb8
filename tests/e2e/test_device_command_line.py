"""What the reference device takes on its command line and its standard input, and what it prints."""

import json
import subprocess

import pytest
from berth_process import program
from coapraw import GET, POST
from device_process import DeviceProcess, meet, played_server, start_device  # noqa: F401


def run(*options: str, stdin=subprocess.DEVNULL) -> subprocess.CompletedProcess:
    return subprocess.run([str(program("berth-device")), *options], stdin=stdin, capture_output=True, text=True, timeout=20)


# ---- options ----


def test_help_and_version():
    shown = run("--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "--endpoint" in shown.stdout and "--server" in shown.stdout
    version = run("--version")
    assert version.returncode == 0 and version.stdout.startswith("berth-device ")


@pytest.mark.parametrize(
    "options",
    [
        ["--nonsense"],
        ["stray"],
        ["--server"],
        ["--server", "http://127.0.0.1"],
        ["--server", "127.0.0.1"],
        ["--server", "coap://"],
        ["--server", "coap://h:99999"],
        ["--server", "coap://h?x=1"],
        ["--endpoint", ""],
        ["--endpoint", "e" * 253],
        ["--lifetime", "-1"],
        ["--lifetime", "4294967296"],
        ["--lifetime", "1.5"],
        ["--lifetime", "soon"],
        ["--lwm2m", "1.3"],
        ["--lwm2m", "2"],
        ["--binding", "X"],
        ["--binding", ""],
        ["--bind", "localhost"],
        ["--bind", "127.0.0.1:5000/x"],
        ["--ack-timeout", "0"],
        ["--max-retransmit", "11"],
        ["--block-size", "100"],
        ["--send-format", "tlv"],
        ["--send-format", "xml"],
        ["--send-format", "lwm2m-cbor"],  # came with 1.2
    ],
)
def test_wrong_option_is_one_line_and_exit_code_2(options):
    refused = run(*options)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1 and "berth-device: " in refused.stderr


def test_address_that_is_not_ours_is_one_line_and_exit_code_1():
    refused = run("--bind", "192.0.2.1")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1


def test_server_of_another_family_than_the_bound_address():
    refused = run("--bind", "127.0.0.1", "--server", "coap://[::1]")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("where", ["127.0.0.1", "127.0.0.1:0", "127.0.0.2"])
def test_bind(played_server, start_device, where):
    device = start_device("--server", played_server.uri, "--endpoint", "dev1", "--bind", where)
    played_server.accept()
    assert played_server.device_address[0] == where.split(":")[0]
    played_server.let_go(device)


# ---- standard input ----


def test_goes_on_without_standard_input(played_server, tmp_path):
    device = DeviceProcess(tmp_path / "log", "--server", played_server.uri, "--endpoint", "dev1")
    device.process.stdin.close()
    device.process.stdin = None
    played_server.accept()
    assert played_server.request(GET, "/3/0/9").payload == b"95"
    played_server.let_go(device)


@pytest.mark.parametrize("stdin", ["/dev/null", __file__])
def test_goes_on_when_standard_input_is_no_terminal_and_no_pipe(played_server, tmp_path, stdin):
    with open(stdin) as source:
        process = subprocess.Popen(
            [str(program("berth-device")), "--server", played_server.uri, "--endpoint", "dev1"],
            stdin=source,
            stdout=subprocess.PIPE,
        )
    played_server.accept()
    assert played_server.request(GET, "/3/0/9").payload == b"95"
    process.terminate()
    played_server.answer(played_server.receive(), "2.02")
    output = process.communicate(timeout=20)[0].decode()
    assert process.returncode == 0
    assert "no such command" not in output


def test_read_and_set(meet):
    server, device = meet()
    device.command("read 3/0/0")
    device.line("3/0/0 = Berth")
    device.command("set 3/0/9 80")
    device.command("read /3/0/9")
    device.line("3/0/9 = 80")
    assert server.request(GET, "/3/0/9").payload == b"80"
    device.command("set 3/0/0 Two  words")
    device.command("read 3/0/0")
    device.line("3/0/0 = Two  words")
    device.command("read 3/0/7")
    device.line("3/0/7/0 = 3800")


def test_set_lifetime_updates(meet):
    server, device = meet()
    device.command("set 1/0/1 600")
    server.answer(server.expect(POST, "/rd/4Kx9"), "2.04")
    device.line("Registration updated")


def test_objects(meet):
    _, device = meet()
    device.command("objects")
    device.line("1/0: 0 1 4 6 7 8 23")
    device.line("3/0: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("frobnicate 1 2", "frobnicate: there is no such command; try help"),
        ("read", "read: something is missing behind it; try help"),
        ("update now", "update: nothing is expected behind it; try help"),
        ("read x", "x: a path like 3/0/9 is expected"),
        ("read 8/0/0", "8/0/0: there is no such thing"),
        ("read 3/0/4", "3/0/4: it has no value"),
        ("set 3/0 1", "3/0: one value is set, by the path of a resource or, if it has several, of one of them"),
        ("set 3/0/9 full", "3/0/9: an integer of 64 bits is expected"),
        ("set 3/0/10 1", "3/0/10: it has no value that can be set"),
        ("set 3/0/4 1", "3/0/4: it has no value that can be set"),
        ("set 1/0/1 -5", "1/0/1: the value is not in its range"),
        ("send", "send: something is missing behind it; try help"),
        ("send 8/0", "8/0: there is no such thing"),
        ("clock 60", "clock: +SECONDS is expected, or +5m, +1h, +1d"),
        ("x" * 5000, "the line is too long"),
    ],
)
def test_wrong_command_is_one_line_and_it_goes_on(meet, command, complaint):
    _, device = meet()
    device.command(command)
    device.line(complaint)
    device.command("read 3/0/9")
    device.line("3/0/9 = 95")


def test_blank_lines_and_spaces_are_nothing(meet):
    _, device = meet()
    device.command("")
    device.command("   ")
    device.command("  read 3/0/9 \r")
    assert device.line("3", partly=True) == "3/0/9 = 95"


def test_help(meet):
    _, device = meet()
    device.command("help")
    shown = device.line("commands: ", partly=True)
    for name in ["update", "register", "deregister", "objects", "read", "set", "send", "clock", "help", "quit"]:
        assert name in shown


# ---- output ----


def test_output_is_lines_whatever_the_endpoint_is_called(berth, start_device):
    device = start_device("--server", berth.listeners[0], "--endpoint", "zażółć \\ \"gęślą\"")
    device.line("Client registered")
    device.line("Endpoint Name: zażółć \\ \"gęślą\"")


def test_json_lines(played_server, start_device):
    name = 'dev "1" \\ ż'
    device = start_device("--server", played_server.uri, "--endpoint", name, "--json")
    played_server.accept()
    registered = device.event("registered")
    assert (registered["endpoint"], registered["device_id"], registered["location"]) == (name, "4Kx9", "/rd/4Kx9")
    assert registered["ts"].endswith("Z")
    played_server.request(GET, "/3/0/0")
    request = device.event("request")
    assert (request["method"], request["path"], request["code"]) == ("GET", "/3/0/0", "2.05")
    device.command("read 3/0/9")
    assert device.event("value")["value"] == 95
    device.command("read 1/0/6")
    assert device.event("value")["value"] is True
    device.command("objects")
    assert device.event("object")["about"] == "1/0"
    device.command("help")
    device.command("nonsense")
    assert device.event("complaint")["about"] == "nonsense"
    device.command("update")
    played_server.answer(played_server.expect(POST, "/rd/4Kx9"), "4.04", payload=b'"gone"\n')
    failed = device.event("update_failed")
    assert (failed["code"], failed["reason"], failed["diagnostic"]) == ("4.04", "Not Found", '"gone"\n')
    played_server.answer(played_server.expect(POST, "/rd"), "5.03")
    assert device.event("registration_failed")["retry_in_s"] == 60
    device.terminate()
    lines = device.end()
    for line in lines:
        assert {"event", "ts"} <= json.loads(line).keys()
