"""Manual pages and completions that the programs print of themselves (--manual)."""

import os
import re
import shutil
import subprocess

import pytest
from berth_process import program

PROGRAMS = ("berth-server", "berth-device")


def manual(name, form):
    run = subprocess.run([program(name), "--manual", form], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def options_of(name):
    """As --help has them, with what stands behind them."""
    return dict(re.findall(r"^  --([a-z0-9-]+)(?: |(?==|\[))?(\S*)", manual(name, "help"), re.MULTILINE))


def words_after(tmp_path, name, *words):
    """What bash would offer for the last of the words."""
    (tmp_path / "completion").write_text(manual(name, "bash"))
    script = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        + f'_{name.replace("-", "_")}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    run = subprocess.run(
        ["bash", "-c", script, "bash", tmp_path / "completion", name, *words],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=tmp_path,
    )
    assert run.stderr == ""
    return run.stdout.split()


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_form_names_every_option(name):
    options = options_of(name)
    assert {"help", "version", "manual"} < set(options) and len(options) > 30
    page = manual(name, "man").replace("\\-", "-")
    completions = {form: manual(name, form) for form in ("bash", "zsh", "fish")}
    for option in options:
        assert f"--{option}\\fR" in page
        assert re.search(rf"--{option}[ \"]", completions["bash"])
        assert re.search(rf"'\*--{option}(=-)?\[", completions["zsh"])
        assert re.search(rf" -l {option} ", completions["fish"])


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_teaches_by_examples_and_fits(name):
    shown = manual(name, "help")
    assert f"\nExamples:\n\n  {name} " in shown
    assert all(len(line) <= 120 for line in shown.partition("\nMisbehaviours:")[0].splitlines())


@pytest.mark.parametrize("name", PROGRAMS)
def test_another_form_is_a_usage_error(name):
    run = subprocess.run([program(name), "--manual", "tcsh"], capture_output=True, text=True, timeout=30)
    assert run.returncode == 2 and "help|man|bash|zsh|fish" in run.stderr and run.stdout == ""


def test_bash_offers_options_commands_values_and_directories(tmp_path):
    (tmp_path / "data").mkdir()
    assert words_after(tmp_path, "berth-server", "--trace-m") == ["--trace-messages", "--trace-memory"]
    assert words_after(tmp_path, "berth-server", "p") == ["pki"]
    assert words_after(tmp_path, "berth-server", "--nosec", "") == ["open", "known", "off"]
    assert words_after(tmp_path, "berth-server", "--data", "d") == ["data"]
    assert words_after(tmp_path, "berth-server", "--grace", "") == []
    assert words_after(tmp_path, "berth-device", "--q") == ["--queue"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_other_shells_can_read_theirs(tmp_path, name, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    (tmp_path / "completion").write_text(manual(name, shell))
    run = subprocess.run([shell, "-n", tmp_path / "completion"], capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("name", PROGRAMS)
def test_manual_page_is_good_roff(tmp_path, name):
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("there is no man with groff")
    page = tmp_path / f"{name}.1"
    page.write_text(manual(name, "man"))
    shown = subprocess.run(
        ["man", "--warnings", "-l", page],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "MANWIDTH": "160", "LC_ALL": "C", "MAN_KEEP_FORMATTING": ""},
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "NAME" in shown.stdout and f"{name} --" in shown.stdout and "EXAMPLES" in shown.stdout


def test_health_is_an_option_of_its_own(start_berth):
    berth = start_berth()
    for option in ("--health", "--healthcheck"):
        run = [program("berth-server"), option, "--http", berth.web]
        assert subprocess.run(run, timeout=30).returncode == 0


def test_device_is_a_command_of_the_server():
    run = subprocess.run([program("berth-server"), "device", "--version"], capture_output=True, text=True, timeout=30)
    assert run.returncode == 0 and re.fullmatch(r"berth-device \d+\.\d+\.\d+\n", run.stdout)


def test_device_as_a_command_is_found_in_the_path_and_else_an_error(tmp_path):
    alone = shutil.copy(program("berth-server"), tmp_path)
    run = subprocess.run([alone, "device"], capture_output=True, text=True, timeout=30, env={"PATH": "/nowhere"})
    assert run.returncode == 1 and "no berth-device" in run.stderr
    (tmp_path / "berth-device").symlink_to("/bin/echo")
    run = subprocess.run([alone, "device", "--queue"], capture_output=True, text=True, timeout=30)
    assert run.stdout == "--queue\n"
