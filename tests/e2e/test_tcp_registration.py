"""Devices over TCP: registrations that outlive their connections, requests that wait for them, and what idle, slow and
greedy peers get."""

import os
import socket
import threading
from pathlib import Path

import pytest
from berth_process import Berth
from coapraw import CON, CONTENT_FORMAT, DELETE, GET, OBSERVE, POST, Coap, code
from coapstream import CSM, PING, PONG, TCP, PrefixedPeer, StreamPeer, encode_frame, tcp_port
from played_device import TEXT, PlayedDevice

LINKS = "</1/0>,</3/0>"


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=TCP)


@pytest.fixture
def connect(berth):
    def new(kind=StreamPeer, **kwargs):
        peer = kind(tcp_port(berth), **kwargs)
        berth.peers.append(peer)
        return peer

    return new


def closed(berth, endpoint=None, after=0):
    return berth.await_event("connection_closed", endpoint, after)["detail"]


# ---- registering ----


def test_TCP_23_a_register_with_binding_t(berth, connect):
    peer = connect()
    peer.send_raw(
        bytes.fromhex("d41502a1b2c3d4b2726411283765703d64657631096c776d326d3d312e3103623d54ff3c2f332f303e")
    )
    answer = peer.receive()
    assert answer.code_text == "2.01" and answer.token == bytes.fromhex("a1b2c3d4")
    device = berth.device("dev1")
    assert (device["binding"], device["transport"], device["framing"]) == ("T", "tcp", "rfc8323")
    assert device["address"] == peer.address and device["reachable"] is True


@pytest.mark.parametrize("binding", ["U", "UQ", None])
def test_TCP_24_other_bindings_are_taken_and_requests_use_the_connection(berth, connect, binding):
    device = PlayedDevice(berth, "dev1", peer=connect(), binding=binding, version="1.0")
    asked = device.ask("GET", "/3/0/9")
    request = device.expect(GET, "/3/0/9")
    device.answer(request, "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95


def test_update_and_deregister(berth, connect):
    device = berth.register("dev1", peer=connect())
    assert device.update(["lt=600"]).code_text == "2.04"
    assert berth.device("dev1")["lifetime_s"] == 600
    assert device.deregister().code_text == "2.02"
    assert berth.http("GET", "/v1/devices/dev1").status == 404
    device.peer.ping()  # the connection stays


def test_TCP_20_TCP_31_a_non_confirmable_request_is_an_ordinary_one(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect())
    asked = device.ask("POST", "/requests", {"method": "GET", "path": "/3/0/9", "confirmable": False})
    request = device.expect(GET, "/3/0/9")
    device.answer(request, "2.05", TEXT, b"95")
    answer = asked.answer(200).json
    assert (answer["code"], answer["retransmissions"]) == ("2.05", 0)


def test_TCP_31_nothing_is_sent_twice(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect())
    asked = device.ask("GET", "/3/0/9")
    request = device.expect(GET, "/3/0/9")
    berth.leap("200s")
    device.peer.ping()
    device.answer(request, "2.05", TEXT, b"95")
    asked.answer(200)


def test_a_device_that_never_answers_is_504(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect())
    asked = device.ask("GET", "/3/0/9")
    device.expect(GET, "/3/0/9")
    berth.leap("247s")
    assert asked.answer(504).json["outcome"] == "no-response"


# ---- server-side ping ----


def test_a_ping_on_request(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect())
    asked = device.ask("POST", "/ping")
    ping = device.peer.receive()
    assert ping.code == PING and ping.token
    device.peer.send(Coap(CON, PONG, 0, ping.token))
    assert asked.answer(200).json["retransmissions"] == 0


def test_a_ping_over_udp_is_an_empty_message(berth):
    device = PlayedDevice(berth, "dev1")
    asked = device.ask("POST", "/ping")
    ping = device.peer.receive()
    assert (ping.type, ping.code) == (CON, 0)
    device.peer.send(Coap(3, 0, ping.mid))
    assert "rtt_ms" in asked.answer(200).json


def test_a_ping_that_is_not_answered_is_504(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect())
    asked = device.ask("POST", "/ping")
    assert device.peer.receive().code == PING
    berth.leap("93s")
    assert asked.answer(504).problem == "no-answer"


def test_TCP_29_nobody_is_pinged_unasked(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect(), lifetime=100000)
    berth.leap("20h")
    assert device.peer.receive_raw(0.2) is None and not device.peer.is_closed
    device.peer.ping()


# ---- the end of a connection ----


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_TCP_21_the_registration_outlives_its_connection(berth, connect, end):
    device = PlayedDevice(berth, "dev1", peer=connect())
    asked = device.ask("GET", "/3/0/9")
    device.expect(GET, "/3/0/9")
    getattr(device.peer, end)()
    answer = asked.answer(502)
    assert answer.problem == "unreachable" and answer.json["outcome"] == "unreachable"
    event = berth.await_event("connection_closed", "dev1")
    assert event["detail"] == ("closed by the peer" if end == "close" else "connection reset by peer")
    shown = berth.device("dev1")
    assert (shown["state"], shown["reachable"], shown["transport"]) == ("registered", False, "tcp")
    berth.leap("394s")  # the lifetime and the grace
    assert berth.http("GET", "/v1/devices/dev1").status == 404
    assert berth.await_event("expired")["endpoint"] == "dev1"


def test_TCP_21_requests_wait_for_the_device_and_fail_in_the_end(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect(), lifetime=3600)
    device.peer.close()
    closed(berth, "dev1")
    asked = [device.ask("GET", f"/3/0/{n}") for n in range(2)]
    while berth.waiting() < 2:
        pass
    berth.leap("92s")
    assert berth.waiting() == 2
    berth.leap("1s")
    assert [one.answer(502).problem for one in asked] == ["unreachable", "unreachable"]


def test_TCP_22_an_update_over_a_new_connection_moves_it(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect())
    device.peer.close()
    closed(berth, "dev1")
    asked = device.ask("GET", "/3/0/9")
    while berth.waiting() < 1:
        pass
    device.peer = device.registered.peer = connect()
    mark = berth.last_event()
    assert device.registered.update().code_text == "2.04"
    shown = berth.device("dev1")
    assert shown["reachable"] is True and shown["address"] == device.peer.address
    assert [event["type"] for event in berth.events_after(mark)] == ["address_changed", "updated"]
    request = device.expect(GET, "/3/0/9")  # what waited goes there
    device.answer(request, "2.05", TEXT, b"95")
    assert asked.answer(200).json["value"] == 95


def test_TCP_22_the_connection_before_it_is_closed_if_it_is_still_open(berth, connect):
    """A half-open connection looks open to the server; the device knows better."""
    device = PlayedDevice(berth, "dev1", peer=connect())
    before = device.peer
    asked = device.ask("GET", "/3/0/9")
    device.expect(GET, "/3/0/9")
    device.peer = device.registered.peer = connect()
    assert device.registered.update().code_text == "2.04"
    assert before.await_close() == b""
    assert closed(berth) == "the device has come over another connection"
    assert asked.answer(502).problem == "unreachable"
    assert berth.device("dev1")["reachable"] is True


def test_TCP_22_so_it_is_when_the_device_registers_anew(berth, connect):
    before = berth.register("dev1", peer=connect()).peer
    berth.register("dev1", peer=connect())
    before.await_close()
    assert berth.device("dev1")["reachable"] is True


def test_TCP_22_from_tcp_to_udp_and_back(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect())
    device.registered.peer = berth.peer()
    assert device.registered.update().code_text == "2.04"
    assert berth.device("dev1")["transport"] == "udp"
    device.peer.await_close()
    device.registered.peer = device.peer = connect(PrefixedPeer)
    assert device.registered.update().code_text == "2.04"
    shown = berth.device("dev1")
    assert (shown["transport"], shown["framing"], shown["reachable"]) == ("tcp", "pelion", True)


def test_a_deregister_over_another_connection(berth, connect):
    device = berth.register("dev1", peer=connect())
    assert connect().request(DELETE, device.location).code_text == "2.02"
    device.peer.ping()


def kernel_timer(port, peer_port):
    """(kind, seconds left) of the timer that the kernel keeps for the server's end of a connection."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        ports = [int(address.rpartition(":")[2], 16) for address in words[1:3]]
        if ports == [port, peer_port]:
            kind, left = words[5].split(":")
            return int(kind, 16), int(left, 16) / os.sysconf("SC_CLK_TCK")
    raise AssertionError("there is no such connection")


def test_a_peer_that_says_nothing_is_probed_by_the_system(berth, connect):
    peer = connect()
    keepalive, left = kernel_timer(tcp_port(berth), peer.sock.getsockname()[1])
    assert keepalive == 2 and 200 < left <= 300


@pytest.mark.parametrize("kind", [StreamPeer, PrefixedPeer])
def test_a_half_open_connection_is_noticed(berth, connect, kind):
    """Here by what is sent over it; by the probes when nothing is."""
    device = PlayedDevice(berth, "dev1", peer=connect(kind), lifetime=86400)
    try:
        device.peer.vanish()
    except PermissionError:
        pytest.skip("a connection may not be made half-open here (CAP_NET_ADMIN)")
    assert berth.device("dev1")["reachable"] is True
    asked = device.ask("GET", "/3/0/9")
    assert asked.answer(502).problem == "unreachable"
    assert closed(berth, "dev1") == "connection reset by peer"
    assert berth.device("dev1")["reachable"] is False
    device.peer = device.registered.peer = connect(kind)
    assert device.registered.update().code_text == "2.04"
    assert berth.device("dev1")["reachable"] is True


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_TCP_21_after_a_restart_it_is_unreachable_until_it_comes(berth, connect, how):
    device = PlayedDevice(berth, "dev1", peer=connect())
    udp = PlayedDevice(berth, "dev2")
    if how == "kill":
        berth.kill()
        berth.start()
    else:
        berth.restart()
    shown = berth.device("dev1")
    assert (shown["reachable"], shown["framing"], shown["transport"]) == (False, None, "tcp")
    assert berth.device("dev2")["reachable"] is True
    assert shown["address"] == device.peer.address
    asked = device.ask("GET", "/3/0/9")
    while berth.waiting() < 1:
        pass
    device.peer = device.registered.peer = connect()
    assert device.registered.update().code_text == "2.04"
    request = device.expect(GET, "/3/0/9")
    device.answer(request, "2.05", TEXT, b"95")
    asked.answer(200)
    assert berth.device("dev1")["reachable"] is True
    udp.registered.deregister()


def test_a_device_whose_listener_has_gone_is_left_out(start_berth):
    berth = start_berth(listen=TCP, data="d")
    peer = StreamPeer(tcp_port(berth))
    berth.register("dev1", peer=peer)
    berth.stop()
    berth.listen = TCP[:1]
    berth.start()
    assert berth.get("/v1/devices")["items"] == []
    assert "left out" in berth.log()
    peer.close()


# ---- observing ----


def test_OB_21_notifications_without_order_and_unknown_tokens(berth, connect):
    """What nobody has asked for is ignored, and not reset."""
    device = PlayedDevice(berth, "dev1", peer=connect())
    device.peer.send(Coap(CON, code("2.05"), 0, b"\x77", [(OBSERVE, b""), (CONTENT_FORMAT, b"")], b"1"))
    device.peer.send(Coap(CON, code("2.05"), 0, b"\x77", [(OBSERVE, b"\x05")], b"1"))
    device.peer.ping()


# ---- peers that are idle, slow or greedy ----


def test_TCP_29_silent_connections_without_registration_are_closed(berth, connect):
    greeted, mute, registered = connect(), connect(greet=False), connect()
    device = berth.register("dev1", peer=registered, lifetime=100)
    berth.leap("59s")
    greeted.ping()
    berth.leap("1s")
    assert mute.await_close() == b""
    greeted.ping()
    berth.leap("60s")
    assert greeted.await_close() == b""
    assert {event["detail"] for event in berth.events_after(types="connection_closed")} == {"silent for too long"}
    device.peer.ping()
    berth.leap("200s")  # it expires, and is silent since
    berth.await_event("expired", "dev1")
    assert registered.await_close() == b""


def test_tcp_idle_timeout_is_settable(start_berth):
    berth = start_berth("--tcp-idle-timeout", "5s", listen=TCP)
    peer = StreamPeer(tcp_port(berth))
    berth.leap("5s")
    peer.await_close()
    peer.close()
    berth = start_berth("--tcp-idle-timeout", "0", listen=TCP)
    peer = StreamPeer(tcp_port(berth))
    berth.leap("10d")
    peer.ping()
    peer.close()


@pytest.mark.parametrize("interval", ["90s", "100s", "540s"])
def test_keepalives_of_any_interval_hold_a_connection(berth, connect, interval):
    device = berth.register("dev1", peer=connect(), lifetime=86400)
    for _ in range(4):
        berth.leap(interval)
        device.peer.ping()


def test_TCP_16_a_message_that_never_ends_is_aborted(berth, connect):
    peer = connect()
    device = berth.register("other", peer=connect())
    frame = encode_frame(peer.message(GET, "/.well-known/core"))
    for byte in frame[:-1]:
        peer.send_raw(bytes([byte]))
    peer_bytes = berth.get_metric("berth_tcp_partial_bytes")
    berth.leap("29s")
    assert not peer.is_closed and peer_bytes > 0
    berth.leap("1s")
    assert peer.await_abort().payload == b"a message takes too long to arrive"
    assert berth.get_metric("berth_tcp_partial_bytes") == 0
    device.peer.ping()


def test_unfinished_messages_are_bounded_together(start_berth):
    berth = start_berth("--max-transfer-memory", "20k", listen=TCP)
    peers = [StreamPeer(tcp_port(berth)) for _ in range(4)]
    for peer in peers[:-1]:
        peer.send_raw(bytes.fromhex("e0200002") + b"\xff" + b"x" * 7000)
    while berth.get_metric("berth_tcp_partial_bytes") < 16384:
        pass
    assert any(peer.receive(0.2) is not None for peer in peers[:-1])
    assert berth.get_metric("berth_tcp_partial_bytes") <= 20480
    peers[-1].ping()
    for peer in peers:
        peer.close()


def test_too_many_connections_are_closed_and_told_once(start_berth):
    berth = start_berth("--tcp-max-connections", "3", listen=TCP)
    peers = [StreamPeer(tcp_port(berth)) for _ in range(3)]
    for _ in range(3):
        extra = StreamPeer(tcp_port(berth), greet=False)
        assert extra.await_close() == b""
        extra.close()
    assert [event["detail"][:16] for event in berth.events_after(types="rejected")] == ["there are as man"]
    assert berth.get_metric("berth_tcp_connections_refused_total") == 3
    peers[0].close()
    closed(berth)
    StreamPeer(tcp_port(berth)).close()
    for peer in peers[1:]:
        peer.ping()
        peer.close()


def test_a_flood_whose_answers_are_not_read_is_held_back(berth, connect):
    """What the peer does not read waits in the kernel; the server stops to hear it, and forgets nothing."""
    peer, other = connect(), connect()
    request = encode_frame(Coap(CON, GET, 0, b"t", [(11, b".well-known"), (11, b"core")]))
    answer = other.request(GET, "/.well-known/core")
    size = len(encode_frame(Coap(CON, answer.code, 0, b"t", answer.options, answer.payload)))
    room = int(Path("/proc/sys/net/ipv4/tcp_wmem").read_text().split()[2])  # what the kernel may hold of the answers
    count = (2 * room + (1 << 20)) // size
    sender = threading.Thread(target=lambda: peer.sock.sendall(request * count), daemon=True)
    peer.sock.settimeout(None)
    sender.start()
    sender.join(30)
    heard, before = 0, -2
    while heard > before + 1:  # the ping itself is heard
        other.ping()
        before, heard = heard, berth.get_metric("berth_coap_messages_received_total")
    assert heard < count, "all of them were taken"
    assert berth.get_metric("process_resident_memory_bytes") < 400 << 20  # with sanitizers
    answers = bytearray()
    while len(answers) < size * count:
        data = peer.sock.recv(1 << 20)
        assert data
        answers += data
    sender.join(30)
    assert answers == answers[:size] * count


# ---- what is no CoAP ----


@pytest.mark.parametrize(
    ("begin", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "the first bytes are no framing that is known here"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the first bytes are no framing that is known here"),
        (b"\xff" * 6, "the first bytes are no framing that is known here"),
        (bytes.fromhex("160301020001"), "a TLS handshake on a port without TLS"),
    ],
)
def test_TCP_28_an_unknown_framing_is_closed_and_told(berth, connect, begin, why):
    peer = connect(greet=False)
    peer.send_raw(begin)
    assert peer.await_close() == b""
    assert berth.await_event("oddity")["detail"] == why
    assert closed(berth) == why


def test_TCP_28_a_strict_listener_rejects_it(start_berth):
    berth = start_berth(listen=("coap+tcp://127.0.0.1:0?strict=1",))
    peer = StreamPeer(tcp_port(berth), greet=False)
    peer.send_raw(b"GET / HTTP/1.1\r\n\r\n")
    assert peer.await_close() == b""
    assert berth.await_event("rejected")["detail"] == "the first bytes are no framing that is known here"
    peer.close()


def test_events_of_a_connection_in_order(berth, connect):
    mark = berth.last_event()
    peer = connect()
    address = peer.address
    device = berth.register("dev1", peer=peer)
    peer.ping()
    peer.close()
    closed(berth)
    events = berth.events_after(mark)
    assert [event["type"] for event in events] == ["connection_opened", "registered", "ping", "connection_closed"]
    assert [event["endpoint"] for event in events] == [None, "dev1", "dev1", "dev1"]
    assert {event["address"] for event in events} == {address}
    assert device.location in events[3]["location"]


def test_ipv6(start_berth):
    berth = start_berth(listen=("coap+tcp://[::1]:0",))
    assert berth.listeners[0].startswith("coap+tcp://[::1]:")
    peer = StreamPeer(tcp_port(berth), "::1")
    berth.register("dev1", peer=peer)
    assert berth.device("dev1")["address"] == peer.address
    peer.close()


def test_strict_listeners_and_prefixes(start_berth):
    berth = start_berth(listen=("coap+tcp://127.0.0.1:0/some/where?strict=1",))
    assert berth.listeners[0].endswith("/some/where?strict=1")
    peer = StreamPeer(tcp_port(berth))
    answer = peer.request(POST, "/some/where/rd", ["ep=dev1", "lwm2m=1.1", "b=T"], LINKS.encode(), [(CONTENT_FORMAT, b"\x28")])
    assert answer.code_text == "2.01"
    prefixed = PrefixedPeer(tcp_port(berth))
    prefixed.send_message(bytes.fromhex("40001234"))
    assert prefixed.await_close() == b""
    assert "not RFC 8323" in berth.await_event("rejected")["detail"]
    peer.close()
    prefixed.close()


def test_everything_ends_with_the_server(berth, connect):
    peer = connect()
    berth.register("dev1", peer=peer)
    berth.stop()
    assert peer.await_close() == b""


def test_TCP_27_the_default_port(tmp_path):
    """Shown by --help, and by the listeners of a server that is told nothing else; see also test_config.c."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 5683)) == 0:
            pytest.skip("port 5683 is in use here")
    server = Berth(tmp_path / "data", listen=("coap+tcp://127.0.0.1",)).start()
    try:
        peer = StreamPeer(5683)
        assert peer.csm.code == CSM
        peer.close()
    finally:
        server.close()
