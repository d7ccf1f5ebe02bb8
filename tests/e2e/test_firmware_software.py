"""Software over object 9, driven as firmware is over object 5."""

import pytest
from coapraw import CONTENT_FORMAT, GET, POST, PUT
from device_process import start_device  # noqa: F401
from played_device import OPAQUE, TEXT, TLV, PlayedDevice
from test_firmware_images import put
from test_firmware_update import (  # noqa: F401
    berth,
    cancel,
    image_of,
    order,
    start,
    states,
    update,
    wait_for_state,
    wait_over,
)


def install(berth, device, **members):  # noqa: F811
    return update(berth, device, object=9, **members)


def read(berth, resource):  # noqa: F811
    return berth.get(f"/v1/devices/dev2/9/0/{resource}")["value"]


class Played:
    """A device with 9/3, and an order for it."""

    def __init__(self, berth, **members):  # noqa: F811
        self.device = PlayedDevice(berth, "played", links="</9/3>")
        body = {"image": "fw", "object": 9, "instance": 3, **members}
        self.asked = self.device.ask("POST", "/firmware", body, wait="over", timeout="30s")
        self.endpoint = "played"

    def report(self, state, result):
        self.device.answer(self.device.expect(GET, "/9/3"), "2.05", TLV, bytes([0xC1, 7, state, 0xC1, 9, result]))

    def observations(self, state, result):
        for path in ["/9/3/7", "/9/3/9"]:
            self.device.answer(self.device.expect(GET, path), "4.05")  # can't be observed: then it is asked
            self.report(state, result)

    def expect(self, method, path, code="2.04"):
        request = self.device.expect(method, path)
        self.device.answer(request, code)
        return request

    def end(self):
        return self.asked.answer(200).json


@pytest.mark.parametrize("scheme", ["coap", "coap+tcp"])
def test_FW_14_software_is_pushed_and_installed(berth, start, scheme):  # noqa: F811
    image = image_of(20_000)
    put(berth, "fw", image)
    device = start(scheme)
    result = install(berth, device)
    assert (result["state"], result["device_state"], result["result"]) == ("succeeded", 4, 2), result
    assert (result["object"], result["instance"], result["activate"]) == (9, 0, False)
    assert (result["method"], result["bytes"], result["result_text"]) == ("push", len(image), "installed successfully")
    assert (read(berth, 7), read(berth, 12)) == (4, False)
    seen = [state for state in states(berth, device) if state != "downloading"]
    assert seen == ["preparing", "delivering", "downloaded", "installing", "updating", "succeeded"]


def test_FW_14_software_is_activated(berth, start):  # noqa: F811
    put(berth, "fw", image_of(5000))
    result = install(berth, start(), activate=True)
    assert (result["state"], result["activate"]) == ("succeeded", True)
    assert read(berth, 12) is True


def test_FW_14_download_without_installing_leaves_it_delivered_and_another_one_replaces_it(berth, start):  # noqa: F811
    put(berth, "fw", image_of(5000))
    device = start()
    assert install(berth, device, update=False)["device_state"] == 3
    for _ in range(2):  # over what was delivered, and what was installed
        assert install(berth, device)["state"] == "succeeded"


@pytest.mark.parametrize(
    ("fault", "number", "state"),
    [("storage", 50, 0), ("memory", 51, 0), ("integrity", 53, 0), ("type", 54, 0), ("update", 58, 3)],
)
def test_FW_14_results_of_failures_end_it(berth, start, fault, number, state):  # noqa: F811
    put(berth, "fw", image_of(5000))
    device = start("coap", "--firmware-fault", fault)
    for _ in range(2):  # the second time the result of the first is there
        result = install(berth, device)
        assert (result["state"], result["result"], result["device_state"]) == ("failed", number, state), result
        assert result["detail"] == f"the device has given up: result {number}, {result['result_text']}"


def test_FW_14_what_is_installed_is_uninstalled_for_an_update(berth):  # noqa: F811
    put(berth, "fw", b"small")
    played = Played(berth, activate=True)
    played.report(4, 2)
    uninstall = played.expect(POST, "/9/3/6")
    assert (uninstall.payload, uninstall.number(CONTENT_FORMAT)) == (b"1", TEXT)
    played.report(0, 0)
    played.observations(0, 0)
    package = played.expect(PUT, "/9/3/2")
    assert (package.payload, package.number(CONTENT_FORMAT)) == (b"small", OPAQUE)
    played.report(2, 1)
    played.report(3, 3)
    assert played.expect(POST, "/9/3/4").payload == b""
    played.report(4, 2)
    played.expect(POST, "/9/3/10", "4.05")
    result = played.end()
    assert (result["state"], result["coap_code"], result["instance"]) == ("failed", "4.05", 3), result


def test_FW_14_device_that_does_not_uninstall_is_written_an_empty_package(berth):  # noqa: F811
    put(berth, "fw", b"small")
    played = Played(berth, update=False)
    played.report(3, 3)
    assert played.expect(POST, "/9/3/6", "4.05").payload == b""
    assert played.expect(PUT, "/9/3/2", "4.15").payload == b"\0"
    assert played.expect(PUT, "/9/3/2").payload == bytes([0xC1, 2, 0])
    played.report(0, 0)
    played.observations(0, 0)
    played.expect(PUT, "/9/3/2", "4.15")
    assert played.expect(PUT, "/9/3/2").payload == bytes([0xC5, 2]) + b"small"
    played.report(3, 3)
    assert played.end()["state"] == "succeeded"


def test_FW_14_device_is_told_to_fetch_by_its_own_transport(berth):  # noqa: F811
    put(berth, "fw", b"small")
    played = Played(berth, method="pull", update=False)
    played.report(0, 0)
    played.observations(0, 0)
    assert played.expect(PUT, "/9/3/3").payload.decode() == f"{berth.listeners[0]}/fw/fw"
    played.report(1, 1)
    played.report(3, 3)
    result = played.end()
    assert (result["state"], result["method"], result["protocol"]) == ("succeeded", "pull", "coap")


def test_FW_14_it_is_cancelled_by_uninstalling(berth):  # noqa: F811
    put(berth, "fw", b"small")
    played = Played(berth, method="pull")
    played.report(0, 0)
    played.observations(0, 0)
    played.expect(PUT, "/9/3/3")
    played.report(1, 1)
    assert cancel(berth, played).status == 202
    played.report(3, 3)
    played.expect(POST, "/9/3/6")
    played.report(0, 0)
    assert played.end()["state"] == "cancelled"


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_FW_14_it_goes_on_after_a_restart_of_the_server(berth, start, end):  # noqa: F811
    put(berth, "fw", image_of(1_000_000))
    device = start("coap", "--ack-timeout", "200ms")
    order(berth, device, wait=False, object=9, activate=True)
    wait_for_state(berth, device, "delivering")
    getattr(berth, end)()
    berth.start()
    result = wait_over(berth, device, "100s")
    assert (result["state"], result["object"], result["result"], result["activate"]) == ("succeeded", 9, 2, True), result
    assert read(berth, 12) is True


def test_FW_14_what_was_ordered_of_another_instance_outlives_a_restart(berth):  # noqa: F811
    put(berth, "fw", b"small")
    device = PlayedDevice(berth, "played", links="</9/65534>")
    asked = device.ask("POST", "/firmware", {"image": "fw", "object": 9, "instance": 65534, "activate": True})
    assert asked.answer(202).json["instance"] == 65534
    device.answer(device.expect(GET, "/9/65534"), "4.04")
    before = berth.get("/v1/devices/played/firmware", wait="over", timeout="20s")
    berth.restart()
    after = berth.get("/v1/devices/played/firmware")
    for told in [before, after]:
        assert (told["state"], told["object"], told["instance"], told["activate"]) == ("failed", 9, 65534, True), told


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"object": 3}, "/object"),
        ({"object": "9"}, "/object"),
        ({"instance": 1}, "/instance"),
        ({"object": 9, "instance": 65535}, "/instance"),
        ({"object": 9, "instance": -1}, "/instance"),
        ({"object": 9, "instance": "0"}, "/instance"),
        ({"activate": True}, "/activate"),
        ({"object": 9, "activate": 1}, "/activate"),
        ({"object": 9, "activate": True, "update": False}, "/activate"),
    ],
)
def test_order_that_means_nothing_is_refused(berth, start, members, pointer):  # noqa: F811
    put(berth, "fw", b"small")
    answer = order(berth, start(), wait=False, **members)
    assert (answer.status, answer.problem, answer.json["pointer"]) == (422, "invalid-document", pointer)
