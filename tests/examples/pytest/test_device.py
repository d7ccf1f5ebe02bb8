"""A device test in pytest, with the package berth-testing. `berth` is a server with a clean slate."""

import pytest


@pytest.fixture
def device(berth):
    """The device under test. Start yours here instead, let it register at berth.uri(), and end it after the yield."""
    device = berth.device("dev1")
    berth.wait_registered("dev1")
    yield device
    device.kill()


def test_registers_for_five_minutes(berth, device):
    assert berth.registration("dev1")["lifetime_s"] == 300


def test_keeps_what_is_written(berth, device):
    berth.write("dev1", "/3/0/14", "+02:00")
    assert berth.read("dev1", "/3/0/14") == "+02:00"


def test_tells_when_it_gets_warm(berth, device):
    with berth.observe("dev1", "/3303/0/5700") as temperature:
        with temperature.expecting(gte=25) as warm:
            device.set("/3303/0/5700", 26.5)
        assert warm["value"] == 26.5


def test_registers_anew_when_the_server_has_forgotten_it(berth, device):
    berth.forget("dev1")
    with berth.expecting("registered", endpoint="dev1"):
        device.update()  # which is answered with 4.04


def test_expires_when_it_dies_and_not_before(berth, device):
    device.kill()
    with berth.expecting_none("expired", endpoint="dev1"):
        berth.leap("5m")
    with berth.expecting("expired", endpoint="dev1"):
        berth.leap("2m")  # the lifetime and a grace of 93 s are over
