"""Servers in containers, with an engine that is played: script/docker-test does the same with Docker."""

import sys
from pathlib import Path

import pytest

import berth_testing
from berth_testing import ProgramEnded, ProgramNotFound


@pytest.fixture
def engine(tmp_path, monkeypatch, programs):
    """The directory where the engine keeps what it knows."""
    home = tmp_path / "engine"
    home.mkdir()
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("engine.py")} "$@"\n')
    docker.chmod(0o755)
    monkeypatch.setenv("BERTH_CONTAINER_RUNTIME", str(docker))
    monkeypatch.setenv("ENGINE_DIR", str(home))
    monkeypatch.setenv("ENGINE_SERVER", str(programs / "berth-server"))
    monkeypatch.setenv("BERTH_DEVICE", str(programs / "berth-device"))
    monkeypatch.delenv("BERTH_SERVER", raising=False)
    return home


def calls(engine):
    return [line.split()[0] for line in (engine / "calls").read_text().splitlines()]


def test_container_serves_devices_by_every_transport(engine):
    with berth_testing.start("--grace=10s", image="berth:test") as berth:
        for scheme in ("coap", "coap+tcp"):
            berth.device(scheme, server=berth.uri(scheme))
            berth.wait_registered(scheme)
        berth.device("safe", "--psk", berth.psk("safe"))
        berth.wait_registered("safe")
    assert calls(engine)[-1] == "rm"
    assert "--grace=10s" in (engine / "command").read_text()


def test_image_of_the_environment_and_its_key(engine, monkeypatch):
    monkeypatch.setenv("BERTH_IMAGE", "berth:test")
    with berth_testing.start(api_key="k3y") as berth:
        assert isinstance(berth, berth_testing.ContainerBerth)
        assert berth.devices() == []
    assert "k3y" not in (engine / "calls").read_text()  # where every user of the machine could read it


def test_container_that_was_killed_comes_back_where_it_was(engine):
    with berth_testing.start(image="berth:test") as berth:
        device = berth.device("dev1")
        berth.wait_registered("dev1")
        berth.kill()
        assert not berth.is_running
        berth.restart()
        assert berth.registration("dev1")["state"] == "registered"
        device.update()
        device.expect("updated")
        assert "listening" in berth.log()
        berth.kill()  # and it is no error that it does not run in the end


def test_ports_that_are_taken_meanwhile_are_others(engine):
    (engine / "refuse-once").touch()
    with berth_testing.start(image="berth:test") as berth:
        assert berth.devices() == []
    assert calls(engine)[:5] == ["create", "start", "rm", "create", "start"]


def test_container_that_ends_by_itself_is_an_error(engine):
    berth = berth_testing.start(image="berth:test")
    berth._call("kill", berth._container)
    with pytest.raises(ProgramEnded, match="ended by itself, exit code -9"):
        berth.close()


def test_image_that_is_not_there(engine):
    with pytest.raises(ProgramEnded, match="create: no such image: other"):
        berth_testing.start(image="other")


def test_no_engine(monkeypatch, tmp_path):
    monkeypatch.delenv("BERTH_CONTAINER_RUNTIME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramNotFound, match="docker or podman"):
        berth_testing.start(image="berth:test")
