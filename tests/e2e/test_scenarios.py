"""Scenarios: `berth-server run` and /v1/scenarios. Every file in scenarios/ is an example, and must pass."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from berth_process import ROOT, SANITIZER_REPORT, program
from device_process import start_device  # noqa: F401
from test_http_devices import Later

FILES = sorted((ROOT / "scenarios").rglob("*.json"))
WAITS_FOR_EVER = {"steps": [{"wait": {"type": "registered", "timeout": "10m"}}]}


def command(*arguments: object) -> list[str]:
    return [str(program("berth-server")), "run", *map(str, arguments)]


def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
    return {**kept, "TMPDIR": str(tmp_path)}


@pytest.fixture
def run(tmp_path):
    """run(scenario or path, *options) -> (exit code, stdout, stderr)."""

    def start(scenario, *options):
        path = scenario
        if isinstance(scenario, dict):
            path = tmp_path / "scenario.json"
            path.write_text(json.dumps(scenario))
        done = subprocess.run(
            command(*options, path), capture_output=True, text=True, timeout=100, env=environment(tmp_path)
        )
        assert SANITIZER_REPORT.search(done.stderr) is None, done.stderr
        return done.returncode, done.stdout, done.stderr

    return start


def report(output: str) -> dict:
    return json.loads(output.splitlines()[-1])


# ---- berth-server run ----


@pytest.fixture(scope="module")
def device_help():
    return subprocess.run([str(program("berth-device")), "--help"], capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "scenarios")))
def test_example_passes(run, path, berth, device_help):
    text = path.read_text()
    if "/faults" in text and "/v1/faults" not in berth.get("/v1/openapi.json")["paths"]:
        pytest.skip("the server has no faults yet")
    if "--profile" in text and "--profile" not in device_help:
        pytest.skip("berth-device has no profiles yet")
    code, output, errors = run(path)
    assert code == 0, output + errors


def test_nothing_is_left_behind(run, tmp_path):
    assert run({"steps": [{"clock": "1s"}]})[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["scenario.json"]


def test_data_stays_when_it_has_a_place(run, tmp_path):
    data = tmp_path / "kept"
    assert run({"steps": [{"clock": "1h"}]}, "--data", data)[0] == 0
    scenario = {"steps": [{"request": {"path": "/v1/clock"}, "expect": {"body": {"leapt_s": 3600}}}]}
    assert run(scenario, "--data", data)[0] == 0


def test_failed_step_says_what_differs_and_ends_it(run):
    scenario = {
        "name": "wrong",
        "steps": [
            {"name": "clock", "request": {"path": "/v1/clock"}, "expect": {"status": 200, "body": {"leapt_s": {"gt": 5}}}},
            {"clock": "1s"},
        ],
    }
    code, output, _ = run(scenario)
    assert code == 1
    assert 'body/leapt_s: {"gt":5} is expected, it is 0' in output
    code, output, _ = run(scenario, "--json")
    told = report(output)
    assert (code, told["state"], told["step_count"], len(told["steps"])) == (1, "failed", 2, 1)
    step = told["steps"][0]
    assert (step["step"], step["name"], step["kind"], step["state"]) == (0, "clock", "request", "failed")
    assert step["differs"] == [{"member": "body/leapt_s", "expected": {"gt": 5}, "actual": 0}]
    assert step["response"]["body"]["leapt_s"] == 0


@pytest.mark.parametrize(
    "expect, member",
    [
        ({"status": 201}, "status"),
        ({"status": {"in": [201, 204]}}, "status"),
        ({"headers": {"Content-Type": "text/plain"}}, "headers/content-type"),
        ({"body": {"/leapt_s": 1}}, "body/leapt_s"),
        ({"text": {"regex": "x"}}, "text"),
    ],
)
def test_each_part_of_an_answer_can_fail(run, expect, member):
    code, output, _ = run({"steps": [{"request": {"path": "/v1/clock"}, "expect": expect}]}, "--json")
    assert code == 1
    assert [difference["member"] for difference in report(output)["steps"][0]["differs"]] == [member]


def test_error_fails_a_step_that_expects_nothing(run):
    code, output, _ = run({"steps": [{"request": {"path": "/v1/devices/x"}}]}, "--json")
    assert code == 1
    assert report(output)["steps"][0]["differs"] == [{"member": "status", "expected": "200 to 299", "actual": 404}]


def test_failed_wait_tells_its_near_misses(run):
    scenario = {
        "steps": [
            {"device": {"name": "dev", "start": []}},
            {"wait": {"type": "registered", "match": {"lifetime_s": 86400}, "timeout": "2s"}},
        ]
    }
    code, output, _ = run(scenario, "--json")
    near = report(output)["steps"][1]["response"]["body"]["near_misses"]
    assert code == 1
    assert near[0]["differs"] == [{"member": "lifetime_s", "expected": 86400, "actual": 300}]


@pytest.mark.parametrize(
    "scenario, words",
    [
        ({"steps": []}, 'at "/steps"'),
        ({"steps": [{"clock": "1s"}, {"sleep": 1}]}, 'at "/steps/1/sleep"'),
        ({"steps": [{"wait": {"type": "nope"}}]}, 'at "/steps/0/wait/type"'),
        ({"steps": [{"clock": "${x}"}]}, 'at "/steps/0/clock"'),
    ],
)
def test_wrong_scenario_is_exit_code_2_with_its_place(run, scenario, words):
    code, output, errors = run(scenario)
    assert (code, output) == (2, "")
    assert words in errors


def test_wrong_arguments_are_exit_code_2(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"steps":[{"clock":1}]}')
    for arguments, words in [
        ((), "name a file"),
        ((tmp_path / "none.json",), "cannot be opened"),
        (("--url", "ftp://x", file), "--url must be"),
        (("--set", "x", file), "--set must be"),
        (("--url", "http://127.0.0.1:1", "--data", tmp_path, file), "mean nothing"),
        ((file, "--", "--nope"), "nope"),
        (("--nope", file), "nope"),
    ]:
        done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60)
        assert done.returncode == 2, arguments
        assert words in done.stderr, arguments


def test_all_are_read_before_one_is_done(run, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"steps":[]}')
    code, output, _ = run({"steps": [{"clock": "1s"}]}, wrong)
    assert (code, output) == (2, "")


def test_server_options_of_scenario_and_command_line(run, tmp_path):
    scenario = {
        "server": ["--api-key", "k"],
        "steps": [{"request": {"path": "/v1/devices/dev/queue", "method": "GET"}, "expect": {"status": 404}}],
    }
    assert run(scenario)[0] == 0
    path = tmp_path / "scenario.json"
    done = subprocess.run(
        command(path, "--", "--listen", "coap://127.0.0.1:0", "--grace", "x"), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "--grace" in done.stderr


def test_server_without_http_is_refused(run):
    code, _, errors = run({"server": ["--http", "off"], "steps": [{"clock": 1}]})
    assert code == 2
    assert "--http off does not go" in errors


def test_against_a_server_that_runs(run, start_berth):
    berth = start_berth("--api-key", "secret")
    scenario = {
        "variables": {"by": "1s"},
        "steps": [
            {"clock": "${by}"},
            {"device": {"name": "dev", "start": []}},
            {"wait": {"type": "registered", "endpoint": "dev"}},
            {"device": {"name": "dev", "stop": True}},
        ],
    }
    url = ("--url", berth.web, "--set", f"coap={berth.listen[0]}", "--set", "by=2s")
    assert run(scenario, *url, "--api-key", "secret")[0] == 0
    clock = berth.http("GET", "/v1/clock", headers={"Authorization": "Bearer secret"}).json
    assert clock["leapt_s"] == 2
    code, output, _ = run(scenario, *url)
    assert code == 1
    assert "401" in output


def test_server_that_is_not_there_fails_it(run):
    code, output, _ = run({"steps": [{"clock": 1}]}, "--url", "http://127.0.0.1:1")
    assert code == 1
    assert "connection refused" in output


# ---- variables ----


def test_what_is_saved_is_used(run):
    scenario = {
        "variables": {"ep": "a/b ä"},
        "steps": [
            {
                "request": {"path": "/v1/credentials/${ep}", "method": "PUT", "body": {"mode": "none"}},
                "expect": {"status": 201},
            },
            {"request": {"path": "/v1/credentials/${ep}"}, "save": {"all": "", "first": "/items/0", "mode": "/items/0/mode"}},
            {"request": {"path": "/v1/credentials/${ep}"}, "expect": {"body": {"items": "${all}", "/items/0": {"eq": "${first}"}}}},
            {"request": {"path": "/v1/credentials", "query": {"mode": "${mode}"}}, "expect": {"body": {"/items/0/endpoint": "${ep}"}}},
            {"request": {"path": "/v1/credentials"}, "expect": {"body": {"/items/0/endpoint": {"in": ["x", "${ep}"]}}}},
        ],
    }
    del scenario["steps"][2]["expect"]["body"]["items"]
    code, output, _ = run(scenario)
    assert code == 0, output


def test_what_is_not_there_cannot_be_saved(run):
    scenario = {"steps": [{"request": {"path": "/v1/clock"}, "save": {"x": "/no"}}, {"clock": "${x}"}]}
    code, output, _ = run(scenario)
    assert code == 1
    assert 'nothing for the variable "x"' in output


def test_step_is_judged_when_its_variables_are_known(run):
    scenario = {"variables": {"type": "nope"}, "steps": [{"wait": {"type": "${type}"}}]}
    code, output, _ = run(scenario)
    assert code == 1
    assert 'At "/wait/type"' in output


# ---- devices ----


def test_output_of_a_device_is_awaited_and_saved(run):
    scenario = {
        "steps": [
            {"device": {"name": "dev", "start": ["--lifetime", "60"]}},
            {"device": {"name": "dev", "output": {"event": "registered"}}, "save": {"ep": "/endpoint"}},
            {"device": {"name": "dev", "command": "read 3/0/9"}},
            {"device": {"name": "dev", "output": {"event": "value", "path": {"regex": "3/0/9"}}}},
            {"request": {"path": "/v1/devices/${ep}"}},
        ]
    }
    code, output, _ = run(scenario)
    assert code == 0, output


def test_output_that_does_not_come_fails_with_the_last_line(run):
    scenario = {
        "steps": [
            {"device": {"name": "dev", "start": []}},
            {"device": {"name": "dev", "output": {"event": "rebound"}}, "timeout": "1s"},
        ]
    }
    code, output, _ = run(scenario, "--json")
    step = report(output)["steps"][1]
    assert code == 1
    assert step["differs"] == [{"member": "event", "expected": "rebound", "actual": step["last_line"]["event"]}]


@pytest.mark.parametrize(
    "steps, words",
    [
        ([{"device": {"name": "dev", "start": ["--nope"]}}, {"device": {"name": "dev", "output": {}}}], "exit code 2"),
        ([{"device": {"name": "dev", "command": "update"}}], "no such device"),
        ([{"device": {"name": "dev", "start": []}}, {"device": {"name": "dev", "start": []}}], "runs already"),
    ],
)
def test_device_that_is_not_there_fails_it(run, steps, words):
    code, output, _ = run({"steps": steps})
    assert code == 1
    assert words in output


def test_device_that_comes_to_a_bad_end_fails_the_step_under_way(run):
    steps = [{"device": {"name": "dev", "start": ["--nope"]}}, {"wait": {"type": "registered", "timeout": "90s"}}]
    code, output, _ = run({"steps": steps}, "--json")
    assert code == 1
    assert report(output)["steps"][1]["detail"] == "dev: it has ended with exit code 2"


def test_device_that_comes_to_a_bad_end_afterwards_fails_it_too(run, tmp_path):
    device = tmp_path / "device"
    device.write_text("#!/bin/sh\ntrap 'exit 3' TERM\necho ready\nwhile read line; do :; done\n")
    device.chmod(0o755)
    steps = [{"device": {"name": "dev", "start": []}}, {"device": {"name": "dev", "output": {"text": "ready"}}}]
    code, output, _ = run({"steps": steps}, "--device", device, "--json")
    told = report(output)
    assert code == 1
    assert (told["state"], told["detail"]) == ("failed", "dev: it has ended with exit code 3")
    assert [step["state"] for step in told["steps"]] == ["passed", "passed"]


def test_device_program_that_cannot_be_started_fails_it(run):
    code, output, _ = run({"steps": [{"device": {"name": "dev", "start": []}}]}, "--device", "/no/such/program")
    assert code == 1
    assert "/no/such/program: no such file" in output


def test_signal_ends_the_scenario_and_its_devices(tmp_path):
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps({"steps": [{"device": {"name": "dev", "start": []}}, *WAITS_FOR_EVER["steps"] * 2]}))
    process = subprocess.Popen(command(path), stdout=subprocess.PIPE, text=True, env=environment(tmp_path))
    while "wait" not in (line := process.stdout.readline()) and "registered" not in line:
        assert line, "it ended"
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "cancelled" in output


# ---- /v1/scenarios ----


def post(berth, scenario, **kwargs):
    return berth.http("POST", "/v1/scenarios", scenario, **kwargs)


def start_async(berth, scenario) -> str:
    answer = post(berth, scenario, headers={"Prefer": "respond-async"})
    assert answer.status == 202
    assert answer.json["state"] == "running"
    return answer.headers["Location"]


def test_scenario_is_done_within_the_server(berth):
    berth.register("dev1")
    answer = post(
        berth,
        {
            "name": "inside",
            "steps": [
                {"request": {"path": "/v1/devices/dev1"}, "save": {"id": "/id"}},
                {"mark": True, "request": {"path": "/v1/devices/dev1", "method": "DELETE"}},
                {"wait": {"type": "deregistered", "endpoint": "dev1"}},
                {"clock": "1d"},
            ],
        },
    )
    told = answer.json
    assert (answer.status, told["state"], told["name"], told["id"]) == (200, "passed", "inside", 1)
    assert [step["kind"] for step in told["steps"]] == ["request", "request", "wait", "clock"]
    assert berth.get("/v1/clock")["leapt_s"] == 86400


def test_failed_one_is_200_too(berth):
    told = post(berth, {"steps": [{"request": {"path": "/v1/devices/x"}}]}).json
    assert told["state"] == "failed"
    assert told["steps"][0]["response"]["body"]["status"] == 404


def test_without_waiting(berth):
    where = start_async(berth, {"steps": [{"wait": {"type": "registered"}}, {"clock": "1s"}]})
    assert where == "/v1/scenarios/1"
    later = Later(berth, "GET", f"{where}?timeout=30s")
    berth.register("dev1")
    assert later.answer().json["state"] == "passed"
    assert berth.get(where)["state"] == "passed"
    listed = berth.get("/v1/scenarios")["items"]
    assert [(item["id"], item["state"], "steps" in item) for item in listed] == [(1, "passed", False)]


def test_long_poll_that_is_over_before_is_408(berth):
    where = start_async(berth, WAITS_FOR_EVER)
    answer = berth.http("GET", where, timeout="50ms")
    assert answer.problem == "timeout"
    assert answer.json["state"] == "running"


def test_leap_of_a_scenario_does_not_end_a_poll(berth):
    where = start_async(berth, {"steps": [{"wait": {"type": "registered"}}, {"clock": "1d"}, {"wait": {"type": "updated"}}]})
    later = Later(berth, "GET", f"{where}?timeout=30s")
    device = berth.register("dev1", lifetime=200000)
    assert berth.http("POST", "/v1/wait", {"after": 0, "type": "registered"}).status == 200
    while berth.get("/v1/clock")["leapt_s"] == 0:
        pass
    device.update()
    assert later.answer().json["state"] == "passed"


def test_delete_cancels_and_forgets(berth):
    where = start_async(berth, WAITS_FOR_EVER)
    later = Later(berth, "GET", f"{where}?timeout=30s")
    assert berth.http("DELETE", where).status == 204
    assert later.answer().json["state"] == "cancelled"
    assert berth.http("DELETE", where).status == 204
    assert berth.http("GET", where).problem == "not-found"
    assert berth.http("DELETE", where).problem == "not-found"


def post_without_answer(berth, running: int) -> http.client.HTTPConnection:
    """It is under way when this returns, one of so many."""
    connection = http.client.HTTPConnection("127.0.0.1", berth.http_port, timeout=30)
    connection.request("POST", "/v1/scenarios", json.dumps(WAITS_FOR_EVER))
    while len(berth.get("/v1/scenarios")["items"]) < running:
        pass
    return connection


def test_client_that_hangs_up_cancels(berth):
    post_without_answer(berth, 1).close()
    while not (items := berth.get("/v1/scenarios")["items"]) or items[0]["state"] == "running":
        pass
    assert items[0]["state"] == "cancelled"


def test_at_most_8_run_at_once(berth):
    for _ in range(8):
        start_async(berth, WAITS_FOR_EVER)
    assert post(berth, WAITS_FOR_EVER).problem == "overloaded"
    berth.register("dev1")
    assert berth.get("/v1/scenarios/8", timeout="20s")["state"] == "passed"
    assert post(berth, {"steps": [{"clock": 1}]}).status == 200


def test_last_50_are_kept(berth):
    for _ in range(52):
        assert post(berth, {"steps": [{"request": {"path": "/v1/clock"}}]}).status == 200
    kept = [item["id"] for item in berth.get("/v1/scenarios")["items"]]
    assert kept[0] == 52
    assert 50 <= len(kept) <= 51


def test_wrong_one_is_422_with_its_place(berth):
    for scenario, pointer in [
        ({"steps": [{"clock": "1s"}, {"clock": "soon"}]}, "/steps/1/clock"),
        ({"steps": [{"device": {"name": "dev", "start": []}}]}, "/steps/0/device"),
        ({"steps": [{"clock": 1}], "server": []}, "/server"),
    ]:
        answer = post(berth, scenario)
        assert (answer.status, answer.problem, answer.json["pointer"]) == (422, "invalid-document", pointer)
    assert berth.http("POST", "/v1/scenarios", b"{").problem == "bad-body"
    assert berth.get("/v1/scenarios")["items"] == []


def test_key_of_the_server_is_used(start_berth):
    berth = start_berth("--api-key", "secret")
    headers = {"Authorization": "Bearer secret"}
    assert post(berth, {"steps": [{"clock": "1s"}]}).status == 401
    assert post(berth, {"steps": [{"clock": "1s"}]}, headers=headers).json["state"] == "passed"


def test_server_that_stops_ends_them(berth):
    start_async(berth, WAITS_FOR_EVER)
    connection = post_without_answer(berth, 2)
    berth.stop()
    assert connection.getresponse().status == 503


# ---- servers that are none ----


class Answering:
    """Accepts connections, reads a request from each, and gives one answer after the other; the last one for good."""

    def __init__(self, *answers: bytes):
        self.answers = list(answers)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65536))
                connection.sendall(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def answering():
    servers = []

    def start(*answers: bytes) -> Answering:
        servers.append(Answering(*answers))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


CURSOR = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"last":7}'
ONE_REQUEST = {"steps": [{"request": {"path": "/v1/clock"}, "expect": {"text": {"regex": "well"}}}]}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell",
        b"HTTP/1.1 200 OK\r\n\r\nwell",
        b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nwell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwe\r\n2\r\nll\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3000004\r\n\r\nwell" + 3000000 * b"x",
    ],
)
def test_answers_in_every_form_are_read(run, answering, answer):
    server = answering(CURSOR, answer)
    code, output, _ = run(ONE_REQUEST, "--url", server.url)
    assert code == 0, output
    assert server.requests[1].startswith(b"GET /v1/clock HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    "answer, words",
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwell", "no HTTP answer"),
        (b"\x00\x01\x02", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + 20000 * b"x" + b"\r\n\r\n", "head of the answer is too long"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + 5000000 * b"x", "longer than 4 MiB"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "it is 500"),
    ],
)
def test_what_is_no_answer_fails_the_step(run, answering, answer, words):
    code, output, _ = run(ONE_REQUEST, "--url", answering(CURSOR, answer).url)
    assert code == 1
    assert words in output


def test_server_that_has_no_events_is_no_berth(run, answering):
    server = answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    code, output, _ = run(ONE_REQUEST, "--url", server.url)
    assert code == 1
    assert "GET /v1/events/last: 404" in output


def test_step_that_takes_too_long_fails(run, berth):
    scenario = {"steps": [{"wait": {"type": "registered", "timeout": "1m"}, "timeout": "200ms"}]}
    code, output, _ = run(scenario, "--url", berth.web)
    assert code == 1
    assert "not over in time" in output


def test_scenario_that_takes_too_long_fails(run, berth):
    scenario = {"timeout": "200ms", "steps": [{"wait": {"type": "registered", "timeout": "1m"}}]}
    code, output, _ = run(scenario, "--url", berth.web)
    assert code == 1
    assert "scenario was not over in time" in output


@pytest.mark.parametrize(
    "request_", [{"path": "/v1/clock x"}, {"path": "/v1/clock", "headers": {"A": "b\r\nC: d"}}, {"path": "${v}"}]
)
def test_what_is_no_request_fails_the_step(run, request_):
    code, output, _ = run({"variables": {"v": "v1"}, "steps": [{"request": request_}]})
    assert code == 1
    assert "makes no HTTP request" in output or "a path of the API" in output
