"""The examples for users pass, and fail when the device is not as they want it; the documents show them as they are."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from berth_process import ROOT, Berth, program

HERE = Path(__file__).parent
DOCUMENT = ROOT / "docs/testing-with-berth.md"
JUNIT = ROOT / "build/interop/junit"

# In all of them the device with another lifetime fails this one.
LIFETIME = re.compile("registers.?for.?five.?minutes", re.IGNORECASE)


@pytest.fixture
def berth(tmp_path):
    server = Berth(tmp_path / "data")
    yield server.start()
    server.close()


@pytest.fixture
def run(berth, tmp_path):
    """run(command, cwd, device) runs it as a user would who has Berth at hand: its exit code and output."""

    def run(command, cwd=tmp_path, device=None, **env):
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("BERTH_", "PYTEST_"))}
        given = {
            "BERTH_URL": f"http://127.0.0.1:{berth.http_port}",
            "BERTH_COAP": berth.listeners[0],
            "BERTH_DEVICE": str(device or program("berth-device")),
        }
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**ours, **given, **env},
            capture_output=True,
            text=True,
            timeout=110,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def other_device(tmp_path):
    """A device that is not as the examples want it: its lifetime is another."""
    script = tmp_path / "other-device"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(str(program("berth-device")))} "$@" --lifetime 77\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def run_pytest(run):
    """run_pytest(path, device): with the package from its sources."""

    def run_it(path, device=None):
        return run(
            [sys.executable, "-m", "pytest", "-q", "-p", "berth_testing.plugin", "-p", "no:cacheprovider", path],
            cwd=ROOT,
            device=device,
            BERTH_URL="",  # it starts its own
            BERTH_SERVER=str(program("berth-server")),
            PYTHONPATH=str(ROOT / "clients/python"),
            PYTEST_DISABLE_PLUGIN_AUTOLOAD="1",
            PYTHONDONTWRITEBYTECODE="1",
        )

    return run_it


@pytest.fixture
def in_pytest(run_pytest):
    return lambda device=None: run_pytest(HERE / "pytest", device)


@pytest.fixture
def in_shell(run):
    for tool in ("curl", "jq"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}")
    return lambda device=None: run([HERE / "shell/test-device.sh"], device=device)


@pytest.fixture
def in_go(run):
    # Compiling Go's library for the first time takes minutes.
    if not (ROOT / "build/interop/example").exists() or shutil.which("go") is None:
        pytest.skip("script/test compiles it where there is Go")
    return lambda device=None: run(
        ["go", "test", "-count=1", "-v", "./..."],
        cwd=HERE / "go",
        device=device,
        CGO_ENABLED="0",
    )


@pytest.fixture(scope="module")
def junit(tmp_path_factory):
    """What runs the compiled example."""
    jars = sorted(JUNIT.glob("junit-platform-console-standalone-*.jar"))
    if not jars or shutil.which("javac") is None:
        pytest.skip("script/test fetches JUnit where there are mvn and javac")
    classes = tmp_path_factory.mktemp("classes")
    subprocess.run(["javac", "-cp", jars[0], "-d", classes, HERE / "junit/DeviceTest.java"], check=True, timeout=100)
    return ["java", "-jar", jars[0], "--class-path", classes, "--select-class", "DeviceTest", "--disable-banner"]


@pytest.fixture
def in_junit(run, junit):
    return lambda device=None: run(junit, device=device)


@pytest.fixture(params=["pytest", "shell", "go", "junit"])
def example(request):
    """example(device) runs one of them."""
    return request.getfixturevalue("in_" + request.param)


def test_example_passes(example):
    code, output = example()
    assert code == 0, output


def test_example_fails_when_the_device_is_wrong(example, other_device):
    code, output = example(other_device)
    assert code != 0, output
    failed = [line for line in output.splitlines() if re.search("FAIL|✘|\\[X\\]|MethodSource", line)]
    assert any(LIFETIME.search(line) for line in failed), output


# ---- docs/testing-with-berth.md ----


def shown():
    """[(file, text)]: a code block that stands after a line like <!-- tests/examples/go/go.mod -->."""
    pattern = r"^<!-- (\S+) -->\n```\w+\n(.*?)^```$"
    return re.findall(pattern, DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)


def test_document_shows_the_examples_as_they_are():
    named = dict(shown())
    files = [path for path in sorted(HERE.glob("*/*")) if path.is_file() and path.suffix != ".pyc"]
    assert sorted(named) == [str(path.relative_to(ROOT)) for path in files]
    assert [name for name, text in named.items() if (ROOT / name).read_text() != text] == []


RECIPE_DEVICE = """
import pytest

@pytest.fixture
def device(berth):
    device = berth.device("dev1")
    berth.wait_registered("dev1")
    return device
"""


def test_recipes_pass(run_pytest, tmp_path):
    recipes = DOCUMENT.read_text().partition("\n## Recipes\n")[2]
    blocks = re.findall(r"^```python\n(.*?)^```$", recipes, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    (tmp_path / "test_recipes.py").write_text("\n\n".join([RECIPE_DEVICE, *blocks]))
    code, output = run_pytest(tmp_path / "test_recipes.py")
    assert code == 0, output
