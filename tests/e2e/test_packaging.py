"""The Debian package: built, unpacked, and run from there; its service; the version and what changed in it."""

import os
import re
import shutil
import subprocess

import pytest
from berth_process import ROOT, program

SERVICE = ROOT / "packaging/berth.service"


def output_of(*words, **more):
    run = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=110, **more)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """(the package, where it is unpacked)."""
    config = program("berth-server", release=True).parent / "CPackConfig.cmake"
    if not all(map(shutil.which, ("cpack", "dpkg-deb", "dpkg-shlibdeps"))) or not config.exists():
        pytest.skip("needs cpack, the tools of dpkg, and a build directory")
    if "BERTH_SANITIZE:STRING=\n" not in (config.parent / "CMakeCache.txt").read_text():
        pytest.skip("is made of the release")
    there = tmp_path_factory.mktemp("package")
    output_of("cpack", "--config", config, "-B", there, cwd=there)
    (file,) = there.glob("*.deb")
    output_of("dpkg-deb", "-x", file, there / "root")
    return file, there / "root"


def version():
    return re.search(r"^project\(berth VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)[1]


def test_package_says_what_it_is_and_needs(package):
    file, _ = package
    field = dict(re.findall(r"^ ?([A-Z][A-Za-z-]+): (.+)", output_of("dpkg-deb", "-I", file), re.MULTILINE))
    assert (field["Package"], field["Version"]) == ("berth", version())
    for library in ("libc6", "libuv1", "libsqlite3-0", "libjansson4"):
        assert library in field["Depends"]
    assert "openssl" not in field["Depends"] and "libssl" not in field["Depends"]


def test_the_program_is_small(package):
    _, root = package
    size = (root / "usr/bin/berth-server").stat().st_size
    assert size <= 2.5e6, size  # 2.35 MB on amd64 with gcc 12


def test_package_has_nothing_but_what_belongs_where_it_belongs(package):
    _, root = package
    files = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    expected = {f"usr/bin/{name}" for name in ("berth-server", "berth-device")}
    expected |= {f"usr/share/man/man1/{name}.1.gz" for name in ("berth-server", "berth-device")}
    expected |= {f"usr/share/doc/berth/{name}" for name in ("copyright", "changelog.gz", "README.md", "NOTICE")}
    for name in ("berth-server", "berth-device"):
        expected |= {
            f"usr/share/bash-completion/completions/{name}",
            f"usr/share/zsh/vendor-completions/_{name}",
            f"usr/share/fish/vendor_completions.d/{name}.fish",
        }
    expected.add("usr/lib/systemd/system/berth.service")
    assert {file for file in files if not file.startswith("usr/share/berth/scenarios/")} == expected
    for path in root.rglob("*"):
        mode = path.stat().st_mode & 0o7777
        assert mode == (0o755 if path.is_dir() or path.parent.name == "bin" else 0o644), path


def test_unpacked_programs_run_a_scenario(package, tmp_path):
    _, root = package
    scenario = root / "usr/share/berth/scenarios/registration.json"
    shown = output_of(root / "usr/bin/berth-server", "run", scenario, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    assert "berth" not in [path.name for path in tmp_path.iterdir()] and shown


def test_manual_pages_of_the_package_are_of_its_version(package):
    _, root = package
    page = output_of("gzip", "-dc", root / "usr/share/man/man1/berth-server.1.gz")
    assert f'"Berth {version()}"' in page


def test_lintian_finds_no_errors(package):
    if shutil.which("lintian") is None:
        pytest.skip("there is no lintian")
    file, _ = package
    # The changelog is the project's own, not Debian's.
    tags = "debian-changelog-file-missing-or-wrong-name,syntax-error-in-debian-changelog,bogus-mail-host"
    shown = subprocess.run(
        ["lintian", "--fail-on", "none", "--suppress-tags", tags, file], capture_output=True, text=True, timeout=110
    )
    assert [line for line in shown.stdout.splitlines() if line.startswith("E:")] == []


# ---- the service ----


def test_service_is_a_good_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / "berth.service"
    unit.write_text(SERVICE.read_text().replace("ExecStart=berth-server", f"ExecStart={program('berth-server')}"))
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
    )
    assert run.returncode == 0 and "berth.service" not in run.stderr, run.stderr


def test_service_exposes_little(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    run = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", SERVICE],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_settings_of_the_service_are_variables_of_the_server():
    names = re.findall(r"^Environment=BERTH_([A-Z_]+)=", SERVICE.read_text(), re.MULTILINE)
    shown = output_of(program("berth-server"), "--help")
    assert names and all(f"--{name.lower().replace('_', '-')} " in shown for name in names)


# ---- versions ----


def test_programs_and_changes_have_the_version_of_the_project():
    for name in ("berth-server", "berth-device"):
        assert output_of(program(name), "--version") == f"{name} {version()}\n"
    assert re.search(rf"^## {re.escape(version())}(,|$)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


# ---- workflows ----

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_runs_what_there_is(path):
    text = path.read_text()
    for script in re.findall(r"\bscript/[a-z-]+", text):
        assert os.access(ROOT / script, os.X_OK), script
    parts = re.search(r"usage: script/test \[--only ([a-z0-9|]+)\]", (ROOT / "script/test").read_text())[1].split("|")
    assert set(re.findall(r"script/test --only (\S+)", text)) <= set(parts)
    presets = re.findall(r'"name": "([a-z-]+)"', (ROOT / "CMakePresets.json").read_text())
    assert set(re.findall(r"script/build (\S+)", text)) <= set(presets)
    for file in re.findall(r"\bdocker/\S+(?:file|\.yaml)\b", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_of_a_workflow_need_jobs_that_it_has(path):
    jobs = set(re.findall(r"^  ([a-z]+):$", path.read_text().partition("\njobs:\n")[2], re.MULTILINE))
    needed = re.findall(r"^    needs: \[?([a-z, ]+)\]?$", path.read_text(), re.MULTILINE)
    assert jobs and {name for names in needed for name in names.split(", ")} <= jobs


def test_release_takes_only_the_version_of_the_project():
    """The check of a tag, as the workflow has it."""
    text = (ROOT / ".github/workflows/release.yaml").read_text()
    script = re.search(r"- run: \|\n((?: {10}.*\n)+)", text)[1]
    for tag, good in ((f"v{version()}", True), ("v99.0.0", False)):
        environment = {**os.environ, "GITHUB_REF_NAME": tag}
        run = subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, env=environment, timeout=30)
        assert (run.returncode == 0) == good
