"""kill -9 under DTLS: no record number is used twice, no record is accepted twice, nobody has to handshake again.

The records are seen on the wire, by a proxy between the client and the server."""

import json
import os
import random
import struct
import subprocess

import pytest
from berth_process import program
from coapraw import CONTENT_FORMAT, GET, LINK_FORMAT, OBSERVE, POST, uint
from datagram_wire import Wire
from dtls_peer import DtlsPeer
from played_device import SENML_JSON, TEXT, PlayedDevice

KEY = bytes(range(16))


def numbers(datagrams):
    """Epoch and number of every protected record (type 22 of epoch 1 too: the Finished)."""
    found = []
    for data in datagrams:
        at = 0
        while at + 13 <= len(data) and data[at] != 25:
            number, length = struct.unpack("!QH", data[at + 3 : at + 13])
            if number >> 48 > 0:
                found.append(number)
            at += 13 + length
    return found


@pytest.fixture
def berth(start_berth):
    keys = ("--psk", f"dev1:{KEY.hex()}", "--psk", f"dev2:{KEY.hex()}")
    return start_berth(*keys, listen=("coaps://127.0.0.1:0",))


@pytest.fixture
def wire(berth):
    wire = Wire(int(berth.listeners[0].rpartition(":")[2]))
    yield wire
    wire.close()


def connect(berth, wire):
    peer = DtlsPeer(wire.port, psk=("dev1", KEY), cid=b"")  # so that the server's records are plain ones
    berth.peers.append(peer)
    return peer


def register(peer, endpoint="dev1"):
    query = ["lt=300", "lwm2m=1.1", "b=U", f"ep={endpoint}"]
    answer = peer.request(POST, "/rd", query, b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    assert answer.code_text == "2.01"
    return answer.location


def test_CID_15_no_number_twice_and_no_new_handshake_over_many_kills(berth, wire):
    chance = random.Random(5)
    peer = connect(berth, wire)
    location = register(peer)
    for turn in range(30):
        for _ in range(chance.randrange(1, 30)):
            lifetime = [f"lt={chance.randrange(300, 900)}"] if chance.random() < 0.3 else []
            assert peer.request(POST, location, lifetime).code_text == "2.04"
        if chance.random() < 0.5:
            peer.send(peer.message(POST, location))  # under way when it dies
        berth.kill()
        berth.start()
        peer.receive(0)
        while peer.receive(0.01) is not None:  # an answer that was under way
            pass
    used = numbers(wire.to_client)
    assert len(used) > 100 and len(set(used)) == len(used)
    assert berth.events_after(types="dtls_handshake,dtls_resumed,dtls_failed") == []


def test_CID_15_a_register_is_not_accepted_again_after_a_crash(berth, wire):
    peer = connect(berth, wire)
    before = len(wire.to_server)
    location = register(peer)
    recorded = wire.to_server[before:]
    berth.kill()
    berth.start()
    after = berth.last_event()
    for datagram in recorded:
        wire.send_again(datagram)
    assert peer.request(POST, location).code_text == "2.04"  # behind them, and to the location of the one that counted
    assert [e["type"] for e in berth.events_after(after)] == ["updated"]


def test_CID_15_what_changed_something_is_not_accepted_again_after_a_crash(berth, wire):
    peer = connect(berth, wire)
    location = register(peer)
    before = len(wire.to_server)
    assert peer.request(POST, location, ["lt=400"]).code_text == "2.04"
    recorded = wire.to_server[before:]
    assert peer.request(POST, location, ["lt=500"]).code_text == "2.04"
    berth.kill()
    berth.start()
    for datagram in recorded:
        wire.send_again(datagram)
    assert peer.request(POST, location).code_text == "2.04"
    assert berth.device("dev1")["lifetime_s"] == 500


def records_accepted(berth, endpoint="dev1"):
    return berth.get(f"/v1/devices/{endpoint}/traffic")["session"]["records"]["bytes_in"]


def lose_power(berth):
    """What SIGKILL leaves, less what a power loss may take too: the pages of the journal that were not written yet."""
    berth.kill()
    (berth.data / "berth.windows").unlink()


def send_again_after_a_crash(berth, wire, peer, location, recorded):
    """How many bytes of records were accepted of those that come a second time."""
    berth.start()
    for datagram in recorded:
        wire.send_again(datagram)
    before = len(wire.to_server)
    assert peer.request(POST, location).code_text == "2.04"  # behind them
    return records_accepted(berth) - sum(map(len, wire.to_server[before:]))


def test_CID_15_an_update_that_only_refreshes_is_not_accepted_again_after_a_crash(berth, wire):
    peer = connect(berth, wire)
    location = register(peer)
    before = len(wire.to_server)
    for _ in range(3):
        assert peer.request(POST, location).code_text == "2.04"
    berth.kill()
    assert send_again_after_a_crash(berth, wire, peer, location, wire.to_server[before:]) == 0


def test_CID_15_what_was_accepted_is_remembered_over_two_crashes(berth, wire):
    peer = connect(berth, wire)
    location = register(peer)
    before = len(wire.to_server)
    assert peer.request(POST, location).code_text == "2.04"
    recorded = wire.to_server[before:]
    berth.kill()
    berth.start()
    berth.kill()
    assert send_again_after_a_crash(berth, wire, peer, location, recorded) == 0


def test_CID_15_a_send_is_not_accepted_again_after_a_crash(berth, wire):
    peer = connect(berth, wire)
    location = register(peer)
    before = len(wire.to_server)
    value = b'[{"n":"/3/0/9","v":77}]'
    assert peer.request(POST, "/dp", [], value, [(CONTENT_FORMAT, uint(SENML_JSON))]).code_text == "2.04"
    berth.kill()
    assert send_again_after_a_crash(berth, wire, peer, location, wire.to_server[before:]) == 0
    assert berth.events_after(types="send") == []


@pytest.fixture
def device(berth, wire):
    return PlayedDevice(berth, "dev1", peer=connect(berth, wire))


def test_CID_15_an_answer_whose_result_is_stored_is_not_accepted_again_after_power_loss(berth, wire, device):
    """Windows are in the transaction of every effect: here of a queued request's result."""
    device.ask("GET", "/3/0/9", headers={"Prefer": "respond-async"}).answer(202)
    request = device.expect(GET, "/3/0/9")
    before = len(wire.to_server)
    device.answer(request, "2.05", TEXT, b"77")
    berth.await_event("request_completed", "dev1")
    recorded = wire.to_server[before:]
    lose_power(berth)
    assert send_again_after_a_crash(berth, wire, device.peer, device.registered.location, recorded) == 0


def test_CID_15_an_answer_whose_observation_is_stored_is_not_accepted_again_after_power_loss(berth, wire, device):
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect(GET, "/3/0/9")
    before = len(wire.to_server)
    device.answer(request, "2.05", TEXT, b"77", (OBSERVE, uint(1)))
    asked.answer(200)
    recorded = wire.to_server[before:]
    lose_power(berth)
    assert send_again_after_a_crash(berth, wire, device.peer, device.registered.location, recorded) == 0


@pytest.mark.parametrize("listener", ["coaps+tcp://127.0.0.1:0", "coap://127.0.0.1:0"])
def test_CID_15_a_start_without_coaps_keeps_sessions_and_windows(start_berth, berth, wire, listener):
    peer = connect(berth, wire)
    location = register(peer)
    before = len(wire.to_server)
    assert peer.request(POST, location).code_text == "2.04"
    recorded = wire.to_server[before:]
    berth.kill()
    start_berth(data=berth.data.name, listen=(listener,)).stop()
    assert send_again_after_a_crash(berth, wire, peer, location, recorded) == 0
    assert berth.events_after(types="dtls_handshake,dtls_resumed,dtls_failed") == []


def test_CID_15_a_mere_refresh_is_not_accepted_again_after_power_loss_once_a_minute(berth, wire):
    peer = connect(berth, wire)
    location = register(peer)
    other = DtlsPeer(int(berth.listeners[0].rpartition(":")[2]), psk=("dev2", KEY))
    berth.peers.append(other)
    other_location = register(other, "dev2")
    berth.leap("61s")
    before = len(wire.to_server)
    assert peer.request(POST, location).code_text == "2.04"
    recorded = wire.to_server[before:]
    for _ in range(2):  # what is written with the other one's change is of its own turn
        assert other.request(POST, other_location).code_text == "2.04"
    berth.leap("1s")
    assert other.request(POST, other_location, ["lt=400"]).code_text == "2.04"  # committed, and all before it
    lose_power(berth)
    assert send_again_after_a_crash(berth, wire, peer, location, recorded) == 0


def test_CID_15_a_swarm_of_devices_goes_on_over_25_kills():
    """The small form of `script/bench dtls_crash`; it ends with 1 when a nonce came twice, a record was accepted twice, or
    a session that had been answered in was lost."""
    environment = {**os.environ, "BERTH_BUILD": str(program("", release=True))}
    run = subprocess.run(
        [program("tests/bench/dtls_crash", release=True), "25", "1500", "60"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads(run.stdout)
    assert result["kills"] == 25 and result["exchanges"] >= 1500 and result["datagrams_sent_again"] >= 1500
