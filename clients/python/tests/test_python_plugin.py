"""The pytest plugin: its fixtures, and what it adds to the report of a test that fails."""

import os
import re
import subprocess
import sys

import pytest
from package_paths import PACKAGE

import berth_testing


@pytest.fixture
def run(tmp_path, programs):
    """run(code, *arguments) runs pytest on a file of this code, in a process of its own: its exit code and output."""

    def run(code, *arguments, **env):
        (tmp_path / "test_it.py").write_text(code)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("BERTH_", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "berth_testing.plugin", *arguments],
            cwd=tmp_path,
            env={
                **clean,
                "BERTH_SERVER": str(programs / "berth-server"),
                "PYTHONPATH": str(PACKAGE),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                **env,
            },
            capture_output=True,
            text=True,
            timeout=100,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_each_test_has_a_clean_slate_on_one_server(run):
    code, output = run(
        """
urls = set()

def test_one(berth):
    urls.add(berth.url)
    berth.device("dev1", "--psk", berth.psk("dev1"))
    berth.wait_registered("dev1")

def test_two(berth):
    urls.add(berth.url)
    assert len(urls) == 1
    assert berth.devices() == [] and berth.events() == [] and berth.credentials() == []
    assert berth.started_devices == []
"""
    )
    assert code == 0, output


def test_report_of_a_failure_tells_what_happened(run, tmp_path):
    code, output = run(
        """
def test_it(berth):
    device = berth.device("dev1", "--lifetime", 77)
    berth.wait_registered("dev1")
    device.expect("registered")
    assert False
""",
        "--berth-captures",
        "captures",
    )
    assert code == 1
    assert re.search(r"- Berth: events -+\n#\d+ \S+ registered dev1  .*lifetime_s=77", output), output
    assert re.search(r'- Berth: device dev1 -+\n\{"number": 1, "event": "registered"', output), output
    assert re.search(r"- Berth: messages -+\n#\d+ \S+ in register dev1 udp CON 0\.02 POST", output), output
    assert re.search(r"- Berth: capture -+\ncaptures/test_it\.py_test_it\.pcapng", output), output
    assert (tmp_path / "captures/test_it.py_test_it.pcapng").read_bytes().startswith(b"\x0a\x0d\x0d\x0a")


def test_report_of_a_success_is_short(run):
    code, output = run("def test_it(berth):\n    print('said')\n", "-rA")
    assert code == 0 and "said" in output and "Berth:" not in output


def test_failed_expectation_shows_near_misses(run):
    code, output = run(
        """
def test_it(berth):
    berth.device("dev1")
    berth.wait_registered("dev1")
    berth.expect("updated", endpoint="dev1", timeout=0)
"""
    )
    assert code == 1
    assert "what came close:" in output and "ExpectationFailed" in output
    assert ">   " in output and "def _wait" not in output  # it is told at the line of the test


def test_server_of_a_tests_own_has_its_options(run):
    code, output = run(
        """
def test_it(start_berth):
    strict = start_berth("--nosec", "off")
    strict.device("dev1")
    strict.expect("rejected", endpoint="dev1")
    assert start_berth().url != strict.url
    assert False, strict.data

def test_gone(berth):
    pass
"""
    )
    assert code == 1 and "1 failed, 1 passed" in output
    assert re.search(r"- Berth: events -+\n#1 \S+ rejected dev1", output), output
    assert not os.path.exists(re.search(r"AssertionError: (\S+berth-\S+)", output)[1])


def test_options_of_the_ini_file(run, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nberth_options = --nosec off\n")
    code, output = run(
        """
def test_it(berth):
    berth.device("dev1")
    berth.expect("rejected", endpoint="dev1")
"""
    )
    assert code == 0, output


def test_server_that_a_test_killed_is_there_for_the_next(run):
    code, output = run("def test_one(berth):\n    berth.kill()\n\ndef test_two(berth):\n    berth.devices()\n")
    assert code == 0, output


def test_server_that_ended_by_itself_fails_its_test_alone(run):
    code, output = run(
        """
def test_one(berth):
    berth._process.kill()
    berth._process.wait()

def test_two(berth):
    berth.devices()
"""
    )
    assert code == 1 and "2 passed, 1 error" in output
    assert "ended by itself, exit code -9" in output


def test_server_that_runs_elsewhere_keeps_what_it_has(run, berth):
    berth.device("mine")
    berth.wait_registered("mine")
    look = """
def test_it(berth):
    berth.psk("dev1")
    assert [one["endpoint"] for one in berth.devices()] == [{}]
    assert berth.events() == []
"""
    code, output = run(look.format("'mine'"), "--berth-url", berth.url)
    assert code == 0, output
    assert berth.credentials() == []  # what the test has added is gone
    code, output = run(look.format(""), "-o", "berth_reset=true", BERTH_URL=berth.url, BERTH_SERVER="")
    assert code == 0, output


def test_key_of_a_server_that_runs_elsewhere(run, programs):
    with berth_testing.start(program=programs / "berth-server", api_key="k3y") as berth:
        code, output = run("def test_it(berth):\n    berth.devices()\n", BERTH_URL=berth.url, BERTH_API_KEY="k3y")
    assert code == 0, output


def test_no_server_anywhere_says_what_to_do(run, tmp_path):
    code, output = run("def test_it(berth):\n    pass\n", BERTH_SERVER="", PATH=str(tmp_path))
    assert code == 1 and "put its directory into $PATH, or name it with $BERTH_SERVER" in output


@pytest.mark.parametrize("number", [0, 1, 2])
def test_code_of_the_readme_passes(run, number):
    blocks = re.findall(r"^```python\n(.*?)^```$", (PACKAGE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3, "one test for each"
    code, output = run(blocks[number])
    assert code == 0, output
