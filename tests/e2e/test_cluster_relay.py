"""Every node of a cluster takes devices and API calls: one that stands by passes them on to the one that serves."""

import http.client
import os
import secrets
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cluster_nodes import PATIENCE, next_to_serve, start_node, start_wire  # noqa: F401
from coapraw import CONTENT_FORMAT, LINK_FORMAT, POST, Peer, uint
from coapstream import StreamPeer
from datagram_wire import Wire
from device_process import DeviceProcess
from dtls_peer import DtlsPeer
from oscore_peer import CREDENTIAL, OscorePeer, ProtectedPeer
from played_device import TEXT, PlayedDevice

KEY = bytes(range(16))
PSK = ("--psk", f"secure:{KEY.hex()}", "--psk", f"tls:{KEY.hex()}")
UDP, DTLS, TCP, TLS = range(4)
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0", "coap+tcp://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")


def port_of(node, number):
    return urlsplit(node.listeners[number]).port


def register(peer, endpoint):
    query = ["lwm2m=1.1", "b=U", f"ep={endpoint}", "lt=3600"]
    answer = peer.request(POST, "/rd", query, b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))], timeout=PATIENCE)
    assert answer.code_text == "2.01", answer
    return answer.location


def until_it_relays(node):
    deadline = time.monotonic() + PATIENCE
    while node.http("GET", "/readyz").status != 200:
        assert time.monotonic() < deadline, node.log()
        time.sleep(0.05)


@pytest.fixture
def two_nodes(start_node):
    a = start_node("a", *PSK, listen=LISTEN).await_turn()
    b = start_node("b", *PSK, listen=LISTEN)
    until_it_relays(b)
    return a, b


@pytest.fixture
def closing():
    """What is closed when the test ends."""
    opened = []
    yield lambda thing: opened.append(thing) or thing
    for thing in reversed(opened):
        thing.close()


def asked(node, peer, endpoint):
    """A read by this node's API, which the device answers."""
    device = PlayedDevice.__new__(PlayedDevice)
    device.berth, device.endpoint, device.peer = node, endpoint, peer
    device.read("/3/0/0", TEXT, b"Berth")


def test_devices_of_every_transport_are_served_wherever_they_knock(two_nodes, closing, tmp_path):
    a, b = two_nodes
    assert b.http("PUT", "/v1/credentials/protected", CREDENTIAL).status == 201
    plain = closing(Peer(port_of(b, UDP)))
    secure = closing(DtlsPeer(port_of(b, DTLS), psk=("secure", KEY), cid=b""))
    stream = closing(StreamPeer(port_of(b, TCP)))
    protected = OscorePeer(0, peer=closing(Peer(port_of(b, UDP))))
    for peer, endpoint in ((plain, "plain"), (secure, "secure"), (stream, "stream")):
        register(peer, endpoint)
        assert a.device(endpoint)["address"] == peer.address  # its own, not that of the node between
        for node in (a, b):
            asked(node, peer, endpoint)
    query = ["lwm2m=1.1", "b=U", "ep=protected", "lt=3600"]
    answer = protected.request(POST, "/rd", query, b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    assert answer.code_text == "2.01", answer
    asked(b, ProtectedPeer(protected), "protected")

    server = f"coaps+tcp://127.0.0.1:{port_of(b, TLS)}"
    options = ("--server", server, "--psk", f"tls:{KEY.hex()}", "--endpoint", "tls")
    closing(DeviceProcess(tmp_path / "device.log", *options))
    b.await_event("registered", "tls", timeout="60s")
    assert b.get("/v1/devices/tls/3/0/0")["value"]

    # Both tell the same of everything.
    pages = [node.get("/v1/devices", limit=100) for node in (a, b)]
    assert pages[0] == pages[1]
    assert {item["endpoint"] for item in pages[0]["items"]} == {"plain", "secure", "stream", "protected", "tls"}


def test_api_clients_are_served_wherever_they_ask(two_nodes, closing):
    a, b = two_nodes
    # What each node answers itself is answered by itself, and a connection is of one kind.
    assert [item["self"] for item in b.get("/v1/nodes")["items"]] == [False, True]
    assert b.http("GET", "/healthz").status == 200

    # Streams.
    stream = closing(http.client.HTTPConnection("127.0.0.1", b.http_port, timeout=PATIENCE))
    stream.request("GET", "/v1/events", headers={"Accept": "text/event-stream"})
    events = stream.getresponse()
    a.register("seen")
    line = events.readline()
    while b"registered" not in line:
        assert line
        line = events.readline()

    # Bodies larger than any buffer on the way, both ways, on a connection that is kept.
    image = secrets.token_bytes(5 << 20)
    kept = closing(http.client.HTTPConnection("127.0.0.1", b.http_port, timeout=PATIENCE))
    kept.request("PUT", "/v1/firmware/image.bin", image, {"Content-Type": "application/octet-stream"})
    answer = kept.getresponse()
    assert answer.status == 201, answer.read()
    answer.read()
    kept.request("GET", "/v1/firmware/image.bin")
    assert kept.getresponse().read() == image

    # Something that comes in pieces.
    with socket.create_connection(("127.0.0.1", b.http_port)) as slow:
        slow.settimeout(PATIENCE)
        for part in (b"GET /v1/", b"no", b"thing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):
            slow.sendall(part)
            time.sleep(0.05)
        assert slow.makefile("rb").readline().split()[1] == b"404"


def test_a_device_moves_from_node_to_node_with_its_connection_id(two_nodes, closing):
    a, b = two_nodes
    wire = closing(Wire(port_of(b, DTLS)))
    device = closing(DtlsPeer(wire.port, psk=("secure", KEY), cid=b""))
    location = register(device, "secure")
    for node in (a, b, a, b):
        wire.server = ("127.0.0.1", port_of(node, DTLS))
        wire.rebind()
        assert device.request(POST, location, timeout=PATIENCE).code_text == "2.04"
        asked(a, device, "secure")  # out by the way it came
    assert len(a.events_after(types="dtls_handshake,dtls_resumed,dtls_failed")) == 1


def test_after_kill_9_devices_go_on_where_they_knock(start_node, closing):
    a = start_node("a", *PSK, listen=LISTEN).await_turn()
    others = [start_node(name, *PSK, listen=LISTEN) for name in "bc"]
    for node in others:
        until_it_relays(node)
    devices = []
    for number, node in enumerate(others):
        peer = closing(Peer(port_of(node, UDP)))
        devices.append((peer, f"plain{number}", register(peer, f"plain{number}")))
    secure = closing(DtlsPeer(port_of(others[1], DTLS), psk=("secure", KEY), cid=b""))
    devices.append((secure, "secure", register(secure, "secure")))
    sleeper = PlayedDevice(others[0], "sleeper", lifetime=86400, extra=["Q"], peer=closing(Peer(port_of(others[1], UDP))))
    others[1].leap("94s")
    queued = sleeper.ask("GET", "/3/0/0", headers={"Prefer": "respond-async"}).answer(202).json["id"]

    last = a.last_event()
    a.kill()
    serving = next_to_serve(others)
    standing_by = others[serving is others[0]]
    until_it_relays(standing_by)
    for peer, endpoint, location in devices:  # at the same node as before, which may be another one's way
        assert peer.request(POST, location, timeout=PATIENCE).code_text == "2.04"
        asked(standing_by, peer, endpoint)
    assert serving.events_after(last, types="dtls_handshake,dtls_resumed,dtls_failed") == []
    assert sleeper.peer.request(POST, sleeper.registered.location, timeout=PATIENCE).code_text == "2.04"
    sleeper.answer(sleeper.expect(1, "/3/0/0"), "2.05", TEXT, b"Berth")
    assert standing_by.get(f"/v1/requests/{queued}", timeout="30s")["state"] == "completed"
    sleeper.peer.expect_silence()
    assert {item["endpoint"] for item in standing_by.get("/v1/devices", limit=100)["items"]} == {
        "plain0", "plain1", "secure", "sleeper"
    }


def test_who_proves_no_key_is_refused_and_counted(start_node):
    a = start_node("a", "--node-listen", "127.0.0.1:0", listen=LISTEN[:1]).await_turn()
    port = relay_port_of(a)
    for hello in (b"GET / HTTP/1.1\r\n" + bytes(84), b"BRL1" + bytes(96), b"BRL1" + bytes(200)):
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.settimeout(PATIENCE)
            assert len(stranger.recv(32, socket.MSG_WAITALL)) == 32
            stranger.sendall(hello)
            try:
                assert stranger.recv(1) == b""
            except ConnectionResetError:
                pass
    assert a.get_metric("berth_relay_refused_total") == 3
    assert "does not prove" in a.log() or "no node of this cluster" in a.log()


def relay_port_of(node):
    """It is said to other nodes alone: of its listening sockets it is the one that is nothing else's."""
    inodes = set()
    for fd in Path(f"/proc/{node.process.pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(fd))
        except OSError:
            pass
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
    (port,) = ports - {node.http_port}
    return port
