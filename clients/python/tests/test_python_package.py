"""What is packed: the wheel installs without a network, brings its plugin, and runs on every Python that it says."""

import ast
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile

import pytest
from package_paths import PACKAGE, ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    where = tmp_path_factory.mktemp("wheel")
    # A copy, since building writes beside what it builds.
    shutil.copytree(PACKAGE, where / "python", ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run(
        [*pip, "--no-build-isolation", "--wheel-dir", where, where / "python"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = where.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of an environment in which there is the wheel, and nothing else."""
    where = tmp_path_factory.mktemp("fresh")
    venv.create(where, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", where / "bin/python"]
    subprocess.run([*pip, "install", "--quiet", "--no-index", wheel], check=True, timeout=100)
    return where / "bin/python"


def test_wheel_has_what_it_should(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    here = {f"berth_testing/{path.name}" for path in (PACKAGE / "berth_testing").iterdir() if path.is_file()}
    assert {name for name in names if name.startswith("berth_testing/")} == here
    assert "berth_testing/py.typed" in here
    assert any(name.endswith("/LICENSE") for name in names)
    assert not [name for name in names if "tests" in name]


def test_installed_package_needs_nothing_else(installed, programs):
    code = """
import berth_testing
with berth_testing.start() as berth, berth.device("dev1"):
    berth.wait_registered("dev1")
    print(berth.read("dev1", "/3/0/0"))
"""
    env = {"PATH": os.environ["PATH"], "BERTH_SERVER": str(programs / "berth-server")}
    done = subprocess.run([installed, "-c", code], env=env, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "Berth\n"), done.stderr


def test_plugin_is_there_once_it_is_installed(installed, programs, tmp_path):
    (tmp_path / "test_it.py").write_text("def test_it(berth):\n    assert berth.devices() == []\n")
    env = {
        "PATH": os.environ["PATH"],
        "BERTH_SERVER": str(programs / "berth-server"),
        "PYTHONPATH": os.path.dirname(os.path.dirname(pytest.__file__)),  # for pytest alone
    }
    command = [installed, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted((PACKAGE / "berth_testing").glob("*.py")), ids=lambda path: path.name)
def test_sources_are_of_the_oldest_python(path):
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0}
    known = set(sys.stdlib_module_names) | ({"pytest"} if path.name == "plugin.py" else set())
    assert {name.partition(".")[0] for name in imported} <= known
    # Annotations may be newer than the interpreter, as long as it does not evaluate them.
    assert "from __future__ import annotations" in path.read_text() or not imported


def test_version_is_that_of_the_server():
    cmake = re.search(r"project\(berth VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())
    package = re.search(r'^version = "(.*)"$', (PACKAGE / "pyproject.toml").read_text(), re.MULTILINE)
    assert package[1] == cmake[1]


def test_every_public_name_is_there():
    import berth_testing

    assert [name for name in berth_testing.__all__ if not hasattr(berth_testing, name)] == []
