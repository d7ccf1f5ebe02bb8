"""De-register (LwM2M Core 1.2 section 6.2.3)."""

import pytest

from coapraw import ACK, DELETE, NON, Coap
from vectors import vector, with_mid


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def endpoint(request):
    """A name that no other test uses."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]


@pytest.fixture
def device(berth, endpoint):
    return berth.register(endpoint)


def is_there(berth, endpoint):
    return berth.http("GET", f"/v1/devices/{endpoint}").status == 200


def test_DER_01_deregister_removes_the_entry(berth, device, endpoint):
    mark = berth.last_event()
    assert device.deregister().code_text == "2.02"
    assert not is_there(berth, endpoint)
    (event,) = berth.events_after(mark)
    assert (event["type"], event["endpoint"], event["location"]) == ("deregistered", endpoint, device.location)


def test_DER_01_deregister_has_the_bytes_of_the_vector(device):
    location = device.location.removeprefix("/rd/").encode()
    device.peer.send_raw(with_mid(vector("M-09"), 0x0901)[:-4] + b"\x04" + location)
    assert device.peer.receive_raw() == with_mid(vector("M-10"), 0x0901)


def test_DER_01_nothing_comes_back_after_a_restart(start_berth):
    server = start_berth()
    kept = server.register("kept")
    assert server.register("gone").deregister().code_text == "2.02"
    server.kill()
    server.start()
    assert not is_there(server, "gone") and kept.update().code_text == "2.04"


@pytest.mark.parametrize("path", ["/rd/none", "/rd/a/b", "/rd/" + "x" * 255, "/rd/0000"])
def test_DER_02_deregister_of_an_unknown_location_is_4_04(berth, path):
    mark = berth.last_event()
    assert berth.peer().request(DELETE, path).code_text == "4.04"
    assert [e["type"] for e in berth.events_after(mark)] == ["rejected"]


def test_DER_03_delete_of_rd_is_4_05(berth):
    assert berth.peer().request(DELETE, "/rd").code_text == "4.05"


def test_DER_04_same_delete_again_is_2_02_again(berth, device):
    mark = berth.last_event()
    message = device.peer.message(DELETE, device.location)
    device.peer.send(message)
    first = device.peer.receive_raw()
    device.peer.send(message)
    assert device.peer.receive_raw() == first
    assert (Coap.decode(first).type, Coap.decode(first).code_text) == (ACK, "2.02")
    assert [e["type"] for e in berth.events_after(mark)] == ["deregistered"]


def test_DER_04_second_delete_is_4_04(device):
    assert device.deregister().code_text == "2.02"
    assert device.deregister().code_text == "4.04"


def test_DER_04_two_deletes_at_once_give_one_2_02_and_one_4_04(berth, device):
    mark = berth.last_event()
    messages = [device.peer.message(DELETE, device.location) for _ in range(2)]
    for message in messages:
        device.peer.send(message)
    answers = [device.peer.receive() for _ in messages]
    assert sorted(answer.code_text for answer in answers) == ["2.02", "4.04"]
    assert [e["type"] for e in berth.events_after(mark, types="deregistered")] == ["deregistered"]


def test_DER_05_deregister_from_another_address_is_executed(berth, device, endpoint):
    assert berth.peer().request(DELETE, device.location).code_text == "2.02"
    assert not is_there(berth, endpoint)


def test_DER_05_deregister_from_another_address_can_be_refused(start_berth):
    server = start_berth("--deregister-same-address")
    device = server.register("guarded")
    assert server.peer().request(DELETE, device.location).code_text == "4.00"
    assert server.await_event("rejected", "guarded", timeout="0s")["coap_code"] == "4.00"
    assert device.update().code_text == "2.04"
    assert device.deregister().code_text == "2.02"


def test_MSG_46_deregister_as_non_is_answered_with_a_non(berth, device, endpoint):
    answer = device.deregister(type=NON)
    assert (answer.type, answer.code_text) == (NON, "2.02")
    assert not is_there(berth, endpoint)
