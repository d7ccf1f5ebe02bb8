"""Faults over connections: TCP and TLS that end in one way or another, or are half-open, and messages in frames."""

import socket
import ssl
import time

import pytest
from coapraw import CON, CONTENT_FORMAT, GET, LINK_FORMAT, POST, Coap, uint
from coapstream import PING, TCP, PrefixedPeer, StreamPeer, tcp_port
from coaptls import TLS, TlsPeer, tls_port
from observed_device import ObservedDevice
from ordered_faults import order  # noqa: F401
from played_device import TEXT, PlayedDevice
from test_tls import pki, tls

LINKS = b"</1/0>,</3/0>"


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=(*TCP, TLS[1]))


@pytest.fixture
def connect(berth):
    def new(kind=StreamPeer, **kwargs):
        peer = kind(tcp_port(berth), **kwargs)
        berth.peers.append(peer)
        return peer

    return new


@pytest.fixture
def connect_tls(berth, tmp_path):
    cert = pki(berth, tmp_path)

    def new(version="1.3"):
        peer = TlsPeer(tls_port(berth), tls(berth, cert, version))
        berth.peers.append(peer)
        return peer

    return new


def how_it_ends(peer):
    """rst, fin, or a last record and then fin; below TLS, where there is TLS."""
    peer.sock.settimeout(10)
    last = b""
    try:
        while data := socket.socket.recv(peer.sock, 65536):
            last += data
    except ConnectionResetError:
        return "rst"
    return "record, fin" if last else "fin"


def register_message(peer):
    return peer.message(POST, "/rd", ["ep=dev1", "lt=300", "lwm2m=1.1", "b=T"], LINKS, [(CONTENT_FORMAT, uint(LINK_FORMAT))])


# ---- the end of a connection ----


@pytest.mark.parametrize(("how", "end"), [("rst", "rst"), ("fin", "fin")])
def test_a_tcp_connection_ends(berth, order, connect, how, end):
    device = berth.register("dev1", binding="T", peer=connect())
    fault = order({"close": how}, "dev1")
    assert how_it_ends(device.peer) == end
    assert berth.await_event("connection_closed", "dev1")["detail"] == "a fault that was ordered"
    assert fault.events()[0]["action"] == f"close {how}"
    assert berth.device("dev1")["reachable"] is False
    device.peer = connect()
    assert device.update().code_text == "2.04"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(("how", "end"), [("rst", "rst"), ("fin", "fin"), ("close-notify", "record, fin")])
def test_a_tls_connection_ends(berth, order, connect_tls, version, how, end):
    peer = connect_tls(version)
    berth.register("dev1", binding="T", peer=peer)
    order({"close": how}, "dev1")
    assert how_it_ends(peer) == end


def test_a_connection_is_reset_when_a_register_comes(berth, order, connect):
    order({"close": "rst", "on": "register"}, "dev1")
    peer = connect()
    peer.send(register_message(peer))
    assert how_it_ends(peer) == "rst"
    assert berth.http("GET", "/v1/devices/dev1").status == 404
    berth.register("dev1", binding="T", peer=connect())


def test_there_is_no_goodbye_without_tls(berth, connect):
    berth.register("dev1", binding="T", peer=connect())
    assert berth.http("PUT", "/v1/devices/dev1/faults", {"close": "close-notify"}).status == 409


def swallowed(peer, pings=200_000):
    """How much a peer gets rid of before it would have to wait for a second."""
    data = bytes.fromhex("00e2") * pings  # 7.02, without a token
    peer.sock.settimeout(1)
    sent = 0
    try:
        while sent < 40 * len(data):
            sent += peer.sock.send(data)
    except TimeoutError:
        return sent
    return None


def test_half_open_a_connection_is_not_even_read(berth, order, connect):
    device = PlayedDevice(berth, "dev1", peer=connect(), binding="T")
    fault = order({"half_open": True}, "dev1")
    assert swallowed(device.peer) is not None, "everything was read"
    assert fault.shown()["active"] is True
    asked = device.ask("GET", "/3/0/9")
    assert fault.await_event()["direction"] == "out"
    fault.delete()
    berth.leap("300s")
    asked.answer()


def test_half_open_a_connection_is_read_again_when_the_fault_ends(berth, order, connect):
    device = berth.register("dev1", binding="T", lifetime=86400, peer=connect())
    order({"half_open": True, "duration": "60s"}, "dev1")
    message = device.peer.message(POST, device.location)
    device.peer.send(message)
    assert device.peer.receive(0.2) is None
    berth.leap("60s")
    assert device.peer.receive().code_text == "2.04"


def test_half_open_a_connection_that_comes_later(berth, order, connect):
    fault = order({"half_open": True}, "dev1")
    peer = connect()
    peer.send(register_message(peer))
    assert fault.await_event()["endpoint"] == "dev1"
    assert swallowed(peer) is not None, "everything was read"


# ---- messages ----


def test_a_ping_of_a_connection_is_not_answered(berth, order, connect):
    peer = connect()
    fault = order({"silence": True, "on": "ping"})
    peer.send(Coap(CON, PING, 0, b"lost"))
    peer.ping()
    assert fault.counts() == (1, 1, False)


def test_pings_with_a_length_before_each_are_not_answered(berth, order, connect):
    peer = connect(PrefixedPeer)
    berth.register("dev1", binding="T", peer=peer)
    order({"silence": True, "on": "ping"}, "dev1")
    peer.send(Coap(CON, 0, 0x1111))
    peer.ping()


@pytest.mark.parametrize("kind", [StreamPeer, PrefixedPeer])
@pytest.mark.parametrize(
    ("fault", "code", "is_its_token"),
    [
        ({"answer": "5.03", "max_age": 60}, "5.03", True),
        ({"wrong": "token", "on": "register"}, "2.01", False),
        ({"option": 65001, "on": "register"}, "2.01", True),
        ({"duplicate": 1, "on": "register", "direction": "out"}, "2.01", True),
    ],
)
def test_answers_over_connections(berth, order, connect, kind, fault, code, is_its_token):
    order(fault, "dev1")
    peer = connect(kind)
    message = register_message(peer)
    peer.send(message)
    answers = [peer.receive() for _ in range(2 if "duplicate" in fault else 1)]
    assert [answer.code_text for answer in answers] == [code] * len(answers)
    assert (answers[0].token == message.token) is is_its_token
    assert (answers[0].one(65001) is not None) is ("option" in fault)


def test_a_request_over_a_connection_is_lost_for_good(berth, order, connect):
    device = PlayedDevice(berth, "dev1", peer=connect(), binding="T")
    fault = order({"drop": True, "on": "read"}, "dev1")
    asked = device.ask("GET", "/3/0/9", response_timeout="5s")
    fault.await_event()
    device.peer.ping()
    berth.leap("5s")
    assert asked.answer().status == 504


def test_a_notification_over_a_connection_is_dropped(berth, order, connect):
    device = ObservedDevice(berth, "dev1", peer=connect(), binding="T")
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.peer.receive(10)
    device.peer.send(device.notification(request.token, 1, b"95"))
    asked.answer(200)
    fault = order({"drop": True, "on": "notify"}, "dev1")
    device.peer.send(device.notification(request.token, 2, b"96"))
    device.peer.send(device.notification(request.token, 3, b"97"))
    assert berth.await_event("notification", "dev1", fault.mark)["value"] == 97
    assert fault.counts() == (1, 1, False)


def test_a_frame_is_cut_and_the_connection_cannot_be_understood_any_more(berth, order, connect):
    device = PlayedDevice(berth, "dev1", peer=connect(), binding="T")
    order({"truncate": 3, "on": "update", "direction": "out"}, "dev1")
    device.peer.send(device.peer.message(POST, device.registered.location))
    assert device.peer._more(time.monotonic() + 10)
    assert len(device.peer.bytes) == 3


# ---- handshakes over TLS ----


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_resumption_over_tls_is_refused(berth, order, tmp_path, version):
    made = tls(berth, pki(berth, tmp_path), version)

    def connect(session=None):
        peer = TlsPeer(tls_port(berth), made, session=session)
        berth.peers.append(peer)
        return peer

    session = connect().sock.session
    assert connect(session).sock.session_reused
    fault = order({"refuse": "resumption"}, "dev1")
    refused = connect(session)
    assert not refused.sock.session_reused
    assert fault.await_event()["endpoint"] == "dev1"
    fault.delete()
    assert connect(refused.sock.session).sock.session_reused


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_handshake_over_tls_is_refused(berth, order, connect_tls, version):
    order({"refuse": "handshake", "times": 1}, "dev1")
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
        connect_tls(version)
    failed = berth.await_event("dtls_failed")
    assert failed["reason"] == "certificate_refused" and (version == "1.3" or failed["alert_sent"] == 49)
    connect_tls(version)


def server_hello_time(port, tls_context):
    """gmt_unix_time of a ServerHello of TLS 1.2."""
    sock = socket.create_connection(("127.0.0.1", port))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = tls_context.wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    sock.sendall(outgoing.read())
    sock.settimeout(10)
    data = b""
    while len(data) < 15:
        data += sock.recv(65536)
    sock.close()
    assert (data[0], data[5]) == (22, 2), data[:16]
    return int.from_bytes(data[11:15], "big")


def test_devices_are_told_another_time_over_tls(berth, order, tmp_path):
    made = tls(berth, pki(berth, tmp_path), "1.2")
    assert abs(server_hello_time(tls_port(berth), made) - time.time()) < 60
    order({"time_offset_s": 86400})
    assert abs(server_hello_time(tls_port(berth), made) - time.time() - 86400) < 60
