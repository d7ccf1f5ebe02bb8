"""Faults that are about DTLS: handshakes and records on the wire, sessions, connection IDs, resumption, the time in the
ServerHello; and faults of messages in sessions."""

import struct
import time

import pytest
from coapraw import ACK, CON, EMPTY, POST, RST, Coap
from datagram_wire import Wire
from dtls_peer import DtlsPeer, HandshakeFailed
from ordered_faults import order  # noqa: F401
from test_dtls import COAPS, KEY, add_psk, coaps_port, connect, connect_certificate, read_from, register
from test_pki import pki as run_pki

HANDSHAKE, SERVER_HELLO, RECORD_HEADER, HANDSHAKE_HEADER = 22, 2, 13, 12


@pytest.fixture
def berth(start_berth):
    server = start_berth(listen=COAPS)
    add_psk(server, "dev1")
    return server


def update(device):
    return device.peer.message(POST, device.location)


# ---- the wire ----


def test_a_lost_client_hello_is_sent_again(berth, order):
    fault = order({"drop": True, "on": "handshake", "direction": "in"})
    peer = connect(berth)
    event = fault.await_event()
    assert (event["action"], event["message"], event["direction"]) == ("drop", "handshake", "in")
    assert event["address"] == peer.address
    assert fault.counts() == (1, 1, False)
    register(berth, peer)


def test_no_flight_of_the_server_arrives(berth, order):
    fault = order({"drop": True, "on": "handshake", "direction": "out", "times": None})
    with pytest.raises(HandshakeFailed):
        connect(berth, timeout_ms=1500)
    assert fault.shown()["fired"] >= 1
    fault.delete()
    register(berth, connect(berth))


def test_a_corrupt_handshake_message_is_not_taken(berth, order):
    """A byte of the ClientHello's random, of the second one: the cookie does not fit it any more, and comes anew."""
    fault = order({"corrupt": 40, "on": "handshake", "direction": "in", "after": 1})
    register(berth, connect(berth))
    assert fault.counts() == (2, 1, False)


def test_a_handshake_whose_datagrams_all_come_twice(berth, order):
    fault = order({"duplicate": 1, "on": "handshake", "times": None})
    register(berth, connect(berth))
    assert fault.shown()["fired"] >= 4


@pytest.mark.parametrize("fault", [{"corrupt": 30}, {"truncate": 25}, {"drop": True}])
def test_a_record_does_not_arrive_whole(berth, order, fault):
    device = register(berth, connect(berth))
    ordered = order({**fault, "on": "record", "direction": "in"}, "dev1")
    mark = berth.last_event()
    device.peer.send(update(device))
    device.peer.expect_silence()
    assert ordered.counts() == (1, 1, False)
    assert berth.events_after(mark, types="updated") == []
    assert device.update().code_text == "2.04"


def test_a_corrupt_record_of_the_server_is_dropped_by_the_device(berth, order):
    device = register(berth, connect(berth))
    ordered = order({"corrupt": True, "seed": 3, "on": "record", "direction": "out"}, "dev1")
    message = update(device)
    device.peer.send(message)
    device.peer.expect_silence()
    assert ordered.counts() == (1, 1, False)
    device.peer.send(message)  # the answer is remembered
    assert device.peer.receive().code_text == "2.04"


def test_a_copy_of_a_record_is_a_replay(berth, order):
    device = register(berth, connect(berth))
    before = berth.get_metric("berth_dtls_replays_total")
    order({"duplicate": 2, "on": "record", "direction": "in"}, "dev1")
    assert device.update().code_text == "2.04"
    assert berth.get_metric("berth_dtls_replays_total") == before + 2


def test_records_are_overtaken(berth, order):
    device = register(berth, connect(berth))
    order({"reorder": True, "on": "record", "direction": "in"}, "dev1")
    message = update(device)
    device.peer.send(message)
    device.peer.send(Coap(CON, EMPTY, 0x7777))
    first, second = device.peer.receive(), device.peer.receive()
    assert (first.type, first.mid) == (RST, 0x7777)
    assert (second.code_text, second.mid) == ("2.04", message.mid)


def test_a_record_is_delayed(berth, order):
    device = register(berth, connect(berth))
    order({"delay": "5s", "on": "record", "direction": "out"}, "dev1")
    device.peer.send(update(device))
    device.peer.expect_silence()
    berth.leap("5s")
    assert device.peer.receive().code_text == "2.04"


# ---- messages in a session ----


def test_a_device_is_known_by_its_session_before_it_registers(berth, order):
    order({"answer": "4.03", "on": "register"}, "dev1")
    peer = connect(berth)
    register(berth, peer, endpoint=None, expected="4.03")
    register(berth, peer, endpoint=None)


def test_messages_in_a_session_are_dropped_and_changed(berth, order):
    device = register(berth, connect(berth))
    order({"drop": True, "on": "update"}, "dev1")
    message = update(device)
    device.peer.send(message)
    device.peer.expect_silence()
    order({"wrong": "mid", "on": "update"}, "dev1")
    device.peer.send(message)
    answer = device.peer.receive()
    assert answer.code_text == "2.04" and answer.mid != message.mid


# ---- sessions ----


def test_a_session_is_forgotten_without_a_word(berth, order):
    device = register(berth, connect(berth))
    order({"forget": "dtls-session"}, "dev1")
    before = berth.get_metric("berth_dtls_unknown_records_total")
    device.peer.send(update(device))
    while berth.get_metric("berth_dtls_unknown_records_total") == before:
        pass
    assert device.peer.receive(0.001) is None
    assert berth.get_metric("berth_dtls_sessions") == 0
    assert berth.device("dev1")["state"] == "registered"
    device.peer.handshake()
    assert device.update().code_text == "2.04"
    assert read_from(berth, device.peer) == 95


@pytest.mark.parametrize(("alert", "name"), [(True, "fatal"), (80, "fatal")])
def test_a_session_is_forgotten_with_an_alert(berth, order, alert, name):
    device = register(berth, connect(berth))
    order({"forget": "dtls-session", "alert": alert}, "dev1")
    kind, text = device.peer._await("FC")
    assert kind == "F" and name in text.decode().lower(), text
    device.peer.handshake()
    assert device.update().code_text == "2.04"


def test_a_session_is_forgotten_when_an_update_comes(berth, order):
    device = register(berth, connect(berth))
    fault = order({"forget": "dtls-session", "on": "update"}, "dev1")
    device.peer.send(update(device))
    assert fault.await_event()["action"] == "forget dtls-session"
    assert device.peer.receive(0.001) is None
    device.peer.handshake()
    assert device.update().code_text == "2.04"


def test_a_connection_id_is_forgotten(berth, order):
    device = register(berth, connect(berth, cid=b""))
    assert device.peer.server_cid is not None
    assert device.update().code_text == "2.04"
    order({"forget": "cid"}, "dev1")
    before = berth.get_metric("berth_dtls_unknown_records_total")
    device.peer.send(update(device))
    while berth.get_metric("berth_dtls_unknown_records_total") == before:
        pass
    assert device.peer.receive(0.001) is None
    device.peer.handshake()
    assert device.update().code_text == "2.04"


def test_a_session_without_connection_id_has_none_to_forget(berth):
    register(berth, connect(berth))
    assert berth.http("PUT", "/v1/devices/dev1/faults", {"forget": "cid"}).status == 409


def test_the_server_says_goodbye(berth, order):
    device = register(berth, connect(berth, cid=b""))
    order({"close": "close-notify"}, "dev1")
    assert device.peer._await("FC")[0] == "C"


def test_a_resumption_is_refused_and_a_whole_handshake_made(berth, order):
    peer = connect(berth)
    assert peer.resume().is_resumed
    fault = order({"refuse": "resumption", "times": 1}, "dev1")
    assert not peer.resume().is_resumed
    assert fault.await_event()["endpoint"] == "dev1"
    assert fault.counts() == (1, 1, False)
    assert peer.resume().is_resumed


def test_a_handshake_is_refused(berth, order, tmp_path):
    fault = order({"refuse": "handshake", "times": 1}, "dev1")
    with pytest.raises(HandshakeFailed):
        connect(berth)
    assert fault.await_event()["endpoint"] == "dev1"
    register(berth, connect(berth))


def test_a_handshake_with_a_certificate_is_refused(berth, order, tmp_path):
    run_pki("device", "--data", berth.data, "--endpoint", "dev2", "--out", tmp_path / "dev2", cwd=tmp_path)
    order({"refuse": "handshake", "times": 1}, "dev2")
    with pytest.raises(HandshakeFailed):
        connect_certificate(berth, tmp_path / "dev2")
    failed = berth.await_event("dtls_failed")
    assert failed["alert_sent"] == 49
    connect_certificate(berth, tmp_path / "dev2")


def test_half_open_a_session_is_neither_heard_nor_answered(berth, order):
    device = register(berth, connect(berth))
    fault = order({"half_open": True}, "dev1")
    device.peer.send(update(device))
    assert fault.await_event()["direction"] == "in"
    fault.delete()
    assert device.update().code_text == "2.04"


# ---- time ----


def server_time(berth):
    """gmt_unix_time of the ServerHello of a new handshake, as a device reads it."""
    wire = Wire(coaps_port(berth))
    peer = DtlsPeer(wire.port, psk=("dev1", KEY), connect=False)
    berth.peers.append(peer)
    try:
        peer.handshake()
    finally:
        wire.close()
    for datagram in wire.to_client:
        if datagram[0] == HANDSHAKE and datagram[RECORD_HEADER] == SERVER_HELLO:
            at = RECORD_HEADER + HANDSHAKE_HEADER + 2
            return struct.unpack("!I", datagram[at : at + 4])[0]
    raise AssertionError("no ServerHello")


def test_devices_are_told_another_time(berth, order):
    assert abs(server_time(berth) - time.time()) < 60
    fault = order({"time_offset_s": -86400 * 365, "duration": "1h"})
    assert abs(server_time(berth) - (time.time() - 86400 * 365)) < 60
    order({"time_offset_s": 86400})
    assert abs(server_time(berth) - (time.time() + 86400)) < 60
    berth.http("DELETE", "/v1/faults")
    assert abs(server_time(berth) - time.time()) < 60
    assert berth.await_event("fault", after=fault.mark)["action"] == "time_offset"


def test_the_time_is_the_machines_again_when_the_duration_is_over(berth, order):
    order({"time_offset_s": 86400, "duration": "1h"})
    berth.leap("1h")
    assert abs(server_time(berth) - time.time()) < 60
