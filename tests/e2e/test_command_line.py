"""Options, their environment variables, signals and exit codes of berth-server."""

import re
import signal
import socket
import subprocess

import pytest

from berth_process import program

QUIET = ("--listen", "coap://127.0.0.1:0", "--http", "off")


def run_server(*arguments, cwd, env=None):
    """Run it to its end."""
    return subprocess.run(
        [program("berth-server"), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env={"PATH": "/usr/bin", **(env or {})},
    )


def assert_usage_error(run, *words):
    """Exit code 2 and one line that names what is wrong."""
    assert run.returncode == 2, run
    assert run.stderr.count("\n") == 1 and run.stderr.endswith("\n"), run.stderr
    assert all(word in run.stderr for word in words), run.stderr
    assert run.stdout == ""


WRONG_VALUES = [
    ("listen", "udp://127.0.0.1:5683"),
    ("listen", "coap+udp://127.0.0.1:5683"),
    ("listen", "127.0.0.1:5683"),
    ("node-listen", "10.0.0.1"),
    ("node-listen", "berth:5690"),
    ("listen", "coap://127.0.0.1:65536"),
    ("listen", "coap://127.0.0.1:x"),
    ("listen", "coap://no.such.host.invalid:5683"),
    ("listen", "coap://127.0.0.1:0?strict=2"),
    ("listen", "coap://127.0.0.1:0?lenient=1"),
    ("listen", "coap://127.0.0.1:0/" + "x" * 200),
    ("http", "ftp://127.0.0.1:8080"),
    ("http", "http://127.0.0.1:0/path"),
    ("http", "http://127.0.0.1:0?role=none"),
    ("durability", "high"),
    ("grace", "abc"),
    ("grace", "-1s"),
    ("grace", "1500ms"),
    ("grace", "2d"),
    ("log-level", "loud"),
    ("log-format", "xml"),
    ("max-body", "12"),
    ("max-body", "1T"),
    ("max-body", "99999999999999999999"),
    ("block-size", "100"),
    ("block-size", "2048"),
    ("ack-timeout", "0"),
    ("ack-random-factor", "0.5"),
    ("ack-random-factor", "nan"),
    ("ack-random-factor", "1.5x"),
    ("max-retransmit", "-1"),
    ("nstart", "0"),
    ("transfer-timeout", "92s"),
    ("max-transfers", "0"),
    ("max-exchanges", "7"),
    ("max-exchanges-per-peer", "7"),
    ("max-registrations", "0"),
    ("max-observations", "x"),
    ("max-observations-per-device", "100001"),
    ("tcp-max-connections", "0"),
    ("tcp-idle-timeout", "2d"),
    ("tcp-max-message", "1151"),
    ("tcp-max-message", "17M"),
    ("event-memory", "1k"),
    ("api-key", ""),
    ("data", ""),
    ("database", "mysql://localhost/berth"),
    ("database", "postgresql://localhost/berth?nonsense=1"),
    ("objects", ""),
    ("objects", "/no/such/directory"),
    ("workers", "0"),
    ("workers", "-1"),
    ("workers", "65"),
    ("workers", "x"),
]


@pytest.mark.parametrize(("name", "value"), WRONG_VALUES, ids=lambda text: text[:40])
def test_wrong_value_of_an_option_is_exit_code_2(tmp_path, name, value):
    assert_usage_error(run_server(f"--{name}", value, cwd=tmp_path), f"--{name}")


@pytest.mark.parametrize(("name", "value"), [pair for pair in WRONG_VALUES if pair[1]], ids=lambda text: text[:40])
def test_wrong_value_of_a_variable_is_exit_code_2(tmp_path, name, value):
    variable = "BERTH_" + name.upper().replace("-", "_")
    assert_usage_error(run_server(*QUIET, cwd=tmp_path, env={variable: value}), variable)


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["--listen"], ["--grace"], ["-x"], ["extra"], ["--help=yes"], ["--"] + ["x"]]
)
def test_wrong_usage_is_exit_code_2(tmp_path, arguments):
    assert_usage_error(run_server(*arguments, cwd=tmp_path))


def test_too_many_listeners_are_exit_code_2(tmp_path):
    assert_usage_error(run_server(*["--listen", "coap://127.0.0.1:0"] * 17, cwd=tmp_path), "16")


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--grace", "abc"]])
def test_nothing_is_made_after_a_usage_error(tmp_path, arguments):
    run_server(*arguments, cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_required_api_key_is_exit_code_2(tmp_path):
    run = run_server("--http", "http://0.0.0.0:0", "--require-api-key", cwd=tmp_path)
    assert_usage_error(run, "--api-key")


def test_help_names_every_option_and_its_default(tmp_path):
    run = run_server("--help", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    names = set(re.findall(r"^ +--([a-z-]+)", run.stdout, re.MULTILINE))
    assert names >= {name for name, _ in WRONG_VALUES} | {"help", "version", "health"}
    assert "[coap(+tcp)://:5683, coaps(+tcp)://:5684]" in run.stdout
    assert all(len(line) <= 120 for line in run.stdout.splitlines())


def test_version_is_one_line(tmp_path):
    run = run_server("--version", cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert re.fullmatch(r"berth-server \d+\.\d+\.\d+\n", run.stdout)


@pytest.mark.parametrize("scheme", ["coap", "coap+tcp", "http"])
def test_port_in_use_is_exit_code_1(tmp_path, scheme):
    kind = socket.SOCK_DGRAM if scheme == "coap" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        listen = ["--listen", "coap://127.0.0.1:0" if scheme == "http" else f"{scheme}://127.0.0.1:{port}"]
        web = ["--http", f"http://127.0.0.1:{port}" if scheme == "http" else "off"]
        run = run_server(*listen, *web, cwd=tmp_path)
    assert run.returncode == 1 and str(port) in run.stderr and "in use" in run.stderr
    assert run.stderr.count("\n") == 1


def test_the_second_port_of_http_in_use_is_exit_code_1(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        web = ["--http", "http://127.0.0.1:0", "--http", f"http://127.0.0.1:{port}"]
        run = run_server("--listen", "coap://127.0.0.1:0", *web, cwd=tmp_path)
    assert run.returncode == 1 and str(port) in run.stderr and run.stderr.count("\n") == 1


# ---- the environment ----


def test_variables_are_options(start_berth):
    server = start_berth(env={"BERTH_GRACE": "0", "BERTH_MAX_REGISTRATIONS": "1"})
    server.register("mortal", lifetime=10)
    server.leap("11s")
    assert server.http("GET", "/v1/devices/mortal").status == 404


def test_options_win_over_variables(start_berth):
    server = start_berth("--grace", "100s", env={"BERTH_GRACE": "0"})
    server.register("mortal", lifetime=10)
    server.leap("50s")
    assert server.device("mortal")


@pytest.mark.parametrize("separator", [" ", ",", ", "])
def test_variable_may_name_several_listeners(start_berth, separator):
    uris = ("coap://127.0.0.1:0", "coap://127.0.0.2:0?strict=1")
    server = start_berth(listen=(), env={"BERTH_LISTEN": separator.join(uris)})
    assert [re.sub(r":\d+", ":0", uri) for uri in server.listeners] == list(uris)


def test_listeners_given_as_options_replace_those_of_the_variable(start_berth):
    server = start_berth(listen=("coap://127.0.0.1:0",), env={"BERTH_LISTEN": "coap://127.0.0.2:0 coap://127.0.0.3:0"})
    assert len(server.listeners) == 1 and "127.0.0.1" in server.listeners[0]


def test_empty_variable_is_none(start_berth):
    start_berth(env={"BERTH_GRACE": "", "BERTH_LISTEN": "", "BERTH_HTTP": ""}).register("any")


@pytest.mark.parametrize(("value", "code"), [("1", "4.01"), ("true", "4.01"), ("0", "4.04"), ("no", "4.04")])
def test_switch_as_a_variable(start_berth, value, code):
    server = start_berth(env={"BERTH_ECHO_CHALLENGE": value})
    assert server.peer().request(2, "/nothing").code_text == code


# ---- starting and ending ----


def test_listening_lines_tell_the_real_ports(start_berth):
    server = start_berth(listen=("coap://127.0.0.1:0", "coap://[::1]:0", "coap://127.0.0.1:0/prefix?strict=1"))
    assert len(server.listeners) == 3
    for uri, shape in zip(
        server.listeners,
        (r"coap://127\.0\.0\.1:\d+", r"coap://\[::1\]:\d+", r"coap://127\.0\.0\.1:\d+/prefix\?strict=1"),
        strict=True,
    ):
        assert re.fullmatch(shape, uri) and ":0" not in uri.removeprefix("coap://[::1]")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_with_exit_code_0(start_berth, number):
    server = start_berth()
    process = server.process
    process.send_signal(number)
    assert process.wait(10) == 0
    server.process.stdout.close()
    server.process = None


def test_at_the_end_everything_is_committed(start_berth):
    server = start_berth()
    device = server.register("last", lifetime=100)
    assert device.update(["lt=777", "b=UT"], links="</1/0>,</3/0>,</5/0>").code_text == "2.04"
    before = server.device("last")
    server.restart()
    assert server.device("last") == before


def test_end_while_devices_register_loses_no_answer(start_berth):
    server = start_berth()
    peers = [server.peer() for _ in range(50)]
    messages = [
        peer.message(2, "/rd", [f"ep=device-{n}", "lwm2m=1.1"], b"</1/0>,</3/0>", [(12, b"\x28")])
        for n, peer in enumerate(peers)
    ]
    for peer, message in zip(peers, messages, strict=True):
        peer.send(message)
    server.stop()
    answered = [n for n, peer in enumerate(peers) if (answer := peer.receive(0.05)) and answer.code_text == "2.01"]
    server.start()
    for number in answered:
        assert server.device(f"device-{number}")


def test_http_can_be_off(start_berth):
    server = start_berth(web="off")
    assert server.web == "off"
    server.peer().ping()


def test_healthcheck_asks_a_running_server(start_berth, tmp_path):
    server = start_berth()
    assert run_server("--healthcheck", "--http", server.web, cwd=tmp_path).returncode == 0
    server.stop()
    assert run_server("--healthcheck", "--http", server.web, cwd=tmp_path).returncode == 1


def test_json_log_is_one_object_a_line(start_berth):
    import json

    server = start_berth("--log-format", "json", "--log-level", "debug")
    server.register("any")
    server.stop()
    lines = server.log().splitlines()
    assert lines and all(isinstance(json.loads(line), dict) for line in lines)


def test_warning_when_others_can_use_the_api(start_berth):
    server = start_berth(web="http://0.0.0.0:0")
    assert "api-key" in server.log()
    assert "api-key" not in start_berth().log()
