"""berth-device processes: what they are told, and what they tell."""

import pytest

from berth_testing import BerthError, ExpectationFailed, ProgramEnded


@pytest.fixture
def device(berth):
    device = berth.device("dev1")
    berth.wait_registered("dev1")
    return device


def test_device_tells_what_it_does(device):
    registered = device.expect("registered", endpoint="dev1")
    assert registered["number"] == 1
    device.update()
    first = device.expect("updated")
    device.update()
    assert device.expect("updated", after=first)["number"] > first["number"]
    assert [event["event"] for event in device.events] == ["registered", "updated", "updated"]


def test_mark_hides_what_was_before(device):
    device.expect("registered")
    device.mark()
    with pytest.raises(ExpectationFailed):
        device.expect("registered", timeout=0)


def test_values_are_set_and_read(device, berth):
    device.set("/3/0/9", 12)
    assert device.read("3/0/9") == berth.read("dev1", "/3/0/9") == 12
    device.set("/3442/0/140", False)
    assert device.read("/3442/0/140") is False
    with pytest.raises(BerthError, match="no such thing"):
        device.set("/3/0/99", 1)
    with pytest.raises(BerthError, match="no single value"):
        device.read("/3/0")


def test_send_is_an_event_of_the_server(device, berth):
    with berth.expecting("send", path="/3/0/9", value=95):
        device.send("/3/0/9")


def test_life(device, berth):
    with berth.expecting_sequence("deregistered", "registered", "replaced"):
        device.deregister()
        gone = device.expect("deregistered")
        device.register()
        anew = device.expect("registered", after=gone)
        device.register()
        device.expect("registered", after=anew)
    device.sleep()
    device.expect("asleep")
    device.wake()
    device.expect("awake")
    with berth.expecting("updated"):
        device.leap("5m")


def test_stop_de_registers_and_kill_does_not(berth, device):
    assert device.stop() == 0
    berth.expect("deregistered", endpoint="dev1")
    other = berth.device("dev2")
    berth.wait_registered("dev2")
    with berth.expecting_none("deregistered", endpoint="dev2"):
        other.kill()
    assert not other.is_running
    assert berth.registration("dev2")["state"] == "registered"


def test_block_kills_its_device(berth):
    with berth.device("dev1") as device:
        berth.wait_registered("dev1")
    assert not device.is_running


def test_device_that_ends_by_itself_says_why(berth):
    device = berth.device("dev1", "--lwm2m", "7.3")
    with pytest.raises(ExpectationFailed, match=r"ended with exit code 2\n.*lwm2m"):
        device.expect("registered")
    with pytest.raises(ProgramEnded, match="takes no commands"):
        device.update()


def test_failure_shows_what_it_told(device):
    device.update()
    device.expect("updated")
    with pytest.raises(ExpectationFailed, match=r"told instead(.|\n)*#\d \S+ updated -"):
        device.expect("update_failed", timeout=0)


def test_transports(berth):
    for number, scheme in enumerate(("coap", "coap+tcp")):
        berth.device(f"dev{number}", server=berth.uri(scheme))
        assert berth.wait_registered(f"dev{number}")["transport"] == ("udp", "tcp")[number]
    for number, scheme in enumerate(("coaps", "coaps+tcp")):
        berth.device(f"safe{number}", "--psk", berth.psk(f"safe{number}"), server=berth.uri(scheme))
        assert berth.wait_registered(f"safe{number}")["transport"] == ("dtls", "tls")[number]
