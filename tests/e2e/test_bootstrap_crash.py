"""kill -9 at each step: a device that has been told that it has finished is known."""

import pytest
from bootstrapped_device import BootstrapDevice
from coapraw import GET
from dtls_peer import HandshakeFailed
from lwm2mraw import SENML_CBOR
from bootstrapped_device import values_of
from test_bootstrap_misbehaviour import STEPS
from test_dtls import COAPS, add_psk, connect, register


@pytest.fixture
def berth(start_berth):
    berth = start_berth(listen=COAPS, data="same")
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    return berth


def again(berth):
    """Killed, and there again; its ports are others."""
    berth.close_peers()
    berth.kill()
    berth.start()


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step(berth, step):
    before = BootstrapDevice(connect(berth, "factory")).run().account()["5"]
    device = BootstrapDevice(connect(berth, "factory"))
    device.begin()
    device.until(step)
    fresh = device.account()["5"] if step == "POST /bs" else None
    again(berth)
    if fresh is None:  # it has not been told to use the new one
        register(berth, connect(berth, "dev1", before))
    else:
        register(berth, connect(berth, "dev1", fresh))
        with pytest.raises(HandshakeFailed):
            connect(berth, "dev1", before, timeout_ms=1500)
    BootstrapDevice(connect(berth, "factory")).run()  # and it can always come again


def test_killed_after_a_pack_was_sent(berth):
    answer = connect(berth, "factory").request(GET, "/bspack", ["ep=dev1"])
    key = values_of(SENML_CBOR, "/", answer.payload)["/0/1/5"]
    again(berth)
    register(berth, connect(berth, "dev1", key))


def test_killed_after_the_device_has_finished(berth):
    account = BootstrapDevice(connect(berth, "factory")).run().account()
    again(berth)
    register(berth, connect(berth, account["3"], account["5"]))
