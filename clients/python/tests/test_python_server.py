"""Servers that are started: found, ready, ended, brought back."""

import pytest

import berth_testing
from berth_testing import ProgramEnded, ProgramNotFound


@pytest.fixture
def start(programs):
    started = []

    def start(*options, **kwargs):
        kwargs.setdefault("program", programs / "berth-server")
        started.append(berth_testing.start(*options, **kwargs))
        return started[-1]

    yield start
    for berth in started:
        berth.close()


def test_directory_goes_with_the_server(programs):
    with berth_testing.start(program=programs / "berth-server") as berth:
        assert (berth.data / "berth.db").exists()
    assert not berth.data.exists()


def test_directory_that_was_named_stays(start, tmp_path):
    berth = start(data=tmp_path / "kept")
    berth.psk("dev1")
    berth.stop()
    assert (tmp_path / "kept" / "berth.db").exists()


def test_options_reach_the_server(start, programs):
    berth = start("--nosec", "off", listen=["coap://127.0.0.1:0"])
    berth.device("dev1")
    berth.expect("rejected", endpoint="dev1")
    with pytest.raises(ValueError, match="does not listen for coaps, but for coap"):
        berth.uri("coaps")


def test_variables_of_the_environment_do_not(start, monkeypatch):
    monkeypatch.setenv("BERTH_NOSEC", "off")
    berth = start()
    berth.device("dev1")
    berth.wait_registered("dev1")


def test_api_key_is_demanded_and_given(start):
    berth = start(api_key="k3y")
    assert berth.devices() == []
    with pytest.raises(berth_testing.Problem) as caught:
        berth_testing.attach(berth.url)
    assert caught.value.status == 401
    assert berth_testing.attach(berth.url, api_key="k3y").devices() == []


def test_server_that_was_killed_comes_back_where_it_was(start):
    berth = start()
    device = berth.device("dev1", "--ack-timeout", "100ms")
    berth.wait_registered("dev1")
    where = berth.uri()
    berth.kill()
    assert not berth.is_running
    berth.restart()
    assert berth.uri() == where
    assert berth.registration("dev1")["state"] == "registered"
    device.update()
    device.expect("updated")


def test_server_that_does_not_start_says_why(programs):
    with pytest.raises(ProgramEnded, match=r"ended with exit code 2\n(.|\n)*--no-such-option"):
        berth_testing.start("--no-such-option", program=programs / "berth-server")


def test_server_that_ends_by_itself_is_an_error(programs):
    berth = berth_testing.start(program=programs / "berth-server")
    berth._process.kill()
    berth._process.wait()
    assert not berth.is_running
    with pytest.raises(ProgramEnded, match="ended by itself, exit code -9"):
        berth.close()
    assert not berth.data.exists()


def test_program_that_never_is_ready(tmp_path):
    program = tmp_path / "berth-server"
    program.write_text("#!/bin/sh\necho waiting >&2\nexec sleep 1000\n")
    program.chmod(0o755)
    with pytest.raises(ProgramEnded, match=r"was not ready within 0\.2 s"):
        berth_testing.start(program=program, timeout=0.2)


def test_program_is_found_by_variable_path_and_build_directory(programs, monkeypatch, tmp_path):
    from berth_testing.programs import find

    monkeypatch.delenv("BERTH_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProgramNotFound, match=r"no berth-server in \$PATH"):
        find("berth-server", None, "BERTH_SERVER")
    below = tmp_path / "build" / "release" / "berth-server"
    below.parent.mkdir(parents=True)
    below.symlink_to(programs / "berth-server")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    assert find("berth-server", None, "BERTH_SERVER") == below
    monkeypatch.setenv("PATH", str(programs))
    assert find("berth-server", None, "BERTH_SERVER") == programs / "berth-server"
    monkeypatch.setenv("BERTH_SERVER", str(below))
    assert find("berth-server", None, "BERTH_SERVER") == programs / "berth-server"
    assert find("berth-device", None, "BERTH_DEVICE", beside=programs / "berth-server") == programs / "berth-device"
    with pytest.raises(ProgramNotFound, match="nowhere is no program"):
        find("berth-server", "nowhere", "BERTH_SERVER")


def test_programs_of_the_environment_are_taken(programs, monkeypatch):
    monkeypatch.setenv("BERTH_SERVER", str(programs / "berth-server"))
    monkeypatch.setenv("BERTH_IMAGE", "not-looked-at")
    with berth_testing.start() as berth:
        assert isinstance(berth, berth_testing.ProcessBerth)
