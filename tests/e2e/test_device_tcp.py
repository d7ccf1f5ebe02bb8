"""berth-device over TCP: both framings, keepalives, and what it does when its connection breaks."""

import socket

import pytest
from coapraw import CON, GET, Coap, code
from coapstream import CSM, PING, PONG, TCP, decode_frame, encode_frame, frame_size
from device_process import *  # noqa: F403

FRAMINGS = ["rfc8323", "pelion"]


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=TCP)


@pytest.fixture
def connect_device(berth, start_device):
    def start(*options, endpoint="dev1"):
        device = start_device("--server", berth.listeners[1], "--endpoint", endpoint, *options)
        device.line("Connected")
        device.line("Device ID:", partly=True)
        return device

    return start


@pytest.mark.parametrize("framing", FRAMINGS)
def test_every_operation_over_tcp(berth, connect_device, framing):
    connect_device("--framing", framing, "--lwm2m", "1.2")
    shown = berth.device("dev1")
    assert (shown["transport"], shown["framing"]) == ("tcp", framing)
    assert shown["binding"] == ("T" if framing == "rfc8323" else "U")
    device = "/v1/devices/dev1"
    assert berth.http("GET", f"{device}/3/0/9").json["type"] == "integer"
    assert berth.http("PUT", f"{device}/3442/0/110", "text", {"Content-Type": "text/plain"}).status == 204
    assert berth.http("GET", f"{device}/3442/0/110").json["value"] == "text"
    assert berth.http("POST", f"{device}/3442/0/0").status == 204
    assert berth.http("GET", f"{device}/3/discover").status == 200
    assert berth.http("PUT", f"{device}/3/0/attributes", {"pmin": 1}).status == 204
    assert berth.http("POST", f"{device}/composite/read", {"paths": ["/3/0/0", "/1/0"]}).status == 200
    assert berth.http("POST", f"{device}/ping").status == 200


@pytest.mark.parametrize("framing", FRAMINGS)
def test_TCP_25_BLK_33_a_large_resource(berth, connect_device, framing):
    connect_device("--framing", framing)
    answer = berth.http("GET", "/v1/devices/dev1/5000/0/0", headers={"Accept": "application/octet-stream"})
    assert answer.body[-1000:] == bytes(i % 251 for i in range(131072))[-1000:]
    messages = berth.get_metric("berth_coap_messages_received_total")
    assert (messages < 20) == (framing == "rfc8323")  # with blocks of many times 1024
    body = bytes(range(256)) * 200
    assert berth.http("PUT", "/v1/devices/dev1/3442/0/150", body, {"Content-Type": "application/octet-stream"}).status == 204


@pytest.mark.parametrize("framing", FRAMINGS)
def test_send_update_and_deregister(berth, connect_device, framing):
    device = connect_device("--framing", framing)
    device.command("send 3303/0/5700")
    device.line("Sent: 3303/0/5700 -> 2.04 Changed")
    device.command("update")
    device.line("Registration updated")
    device.command("deregister")
    device.line("Client deregistered")
    assert berth.await_event("deregistered", "dev1")


@pytest.mark.parametrize("framing", FRAMINGS)
def test_TCP_22_it_comes_back_with_an_update(berth, connect_device, framing):
    device = connect_device("--framing", framing)
    registered = berth.device("dev1")
    port = berth.listeners[1]
    berth.stop()
    device.line("Disconnected: closed by the peer")
    berth.start()
    assert berth.listeners[1] == port
    device.command("clock +2s")
    device.line("Connected", timeout=30)
    device.line("Registration updated")
    shown = berth.device("dev1")
    assert shown["reachable"] and shown["location"] == registered["location"]
    assert berth.http("GET", "/v1/devices/dev1/3/0/0").status == 200


def test_a_server_that_is_not_there(start_device):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        device = start_device("--server", f"coap+tcp://127.0.0.1:{unused.getsockname()[1]}")
        device.line("Disconnected: connection refused")
        device.command("clock +2s")
        device.line("Disconnected: connection refused")


@pytest.mark.parametrize(("framing", "event"), [("rfc8323", "ping"), ("pelion", "ping")])
def test_keepalives(berth, connect_device, framing, event):
    device = connect_device("--framing", framing, "--keepalive", "90s", "--lifetime", "86400")
    mark = berth.last_event()
    device.command("clock +89s")
    device.settle()
    assert berth.events_after(mark, types=event) == []
    device.command("clock +1s")
    assert berth.await_event(event, "dev1", mark)
    device.command("send 3/0/9")  # so the next is due later
    device.line("Sent:", partly=True)
    device.command("clock +89s")
    device.settle()
    assert len(berth.events_after(mark, types=event)) == 1


class PlayedServer:
    """The other side, played by the test: one connection at a time."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sock = None
        self.bytes = b""

    def accept(self):
        self.listener.settimeout(20)
        self.sock = self.listener.accept()[0]
        self.sock.settimeout(10)
        self.bytes = b""
        return self

    def receive(self) -> Coap:
        while (size := frame_size(self.bytes)) is None or len(self.bytes) < size:
            data = self.sock.recv(65536)
            assert data, "closed"
            self.bytes += data
        frame, self.bytes = self.bytes[:size], self.bytes[size:]
        return decode_frame(frame)

    def send(self, message: Coap) -> None:
        self.sock.sendall(encode_frame(message))

    def close(self):
        self.listener.close()
        if self.sock is not None:
            self.sock.close()


@pytest.fixture
def server():
    played = PlayedServer()
    yield played
    played.close()


def register(server):
    assert server.receive().code == CSM
    server.send(Coap(CON, CSM, 0, b"", [(2, b"\x20\x00"), (4, b"")]))
    request = server.receive()
    server.send(Coap(CON, code("2.01"), 0, request.token, [(8, b"rd"), (8, b"x")]))


def test_TCP_02_its_first_message_is_a_csm_and_its_second_a_register(server, start_device):
    start_device("--server", f"coap+tcp://127.0.0.1:{server.port}")
    server.accept()
    csm = server.receive()
    assert csm.code == CSM and csm.number(2) == 16384 and csm.one(4) == b""
    request = server.receive()  # it does not wait for ours
    assert request.all(11) == [b"rd"] and b"b=T" in request.all(15)


def test_TCP_05_it_answers_pings(server, start_device):
    device = start_device("--server", f"coap+tcp://127.0.0.1:{server.port}")
    register(server.accept())
    device.line("Device ID:", partly=True)
    server.send(Coap(CON, PING, 0, b"tok"))
    pong = server.receive()
    assert (pong.code, pong.token) == (PONG, b"tok")


def test_a_keepalive_without_answer_ends_the_connection(server, start_device):
    device = start_device("--server", f"coap+tcp://127.0.0.1:{server.port}", "--keepalive", "10s", "--lifetime", "86400")
    register(server.accept())
    device.line("Device ID:", partly=True)
    device.command("clock +10s")
    assert server.receive().code == PING
    device.command("clock +93s")
    device.line("Disconnected: a keepalive was not answered")
    device.command("clock +2s")
    server.accept()
    assert server.receive().code == CSM
    server.send(Coap(CON, CSM, 0, b"", []))
    assert server.receive().all(11) == [b"rd", b"x"]  # an Update


def test_OB_21_observations_end_with_the_connection(server, start_device):
    device = start_device("--server", f"coap+tcp://127.0.0.1:{server.port}")
    register(server.accept())
    device.line("Device ID:", partly=True)
    server.send(Coap(CON, GET, 0, b"o", [(6, b""), (11, b"3303"), (11, b"0"), (11, b"5700")]))
    assert server.receive().number(6) is not None
    device.command("set 3303/0/5700 30")
    notification = server.receive()
    assert notification.token == b"o" and notification.number(6) is not None
    server.sock.close()
    device.line("Disconnected:", partly=True)
    device.command("clock +2s")
    server.accept()
    assert server.receive().code == CSM
    server.send(Coap(CON, CSM, 0, b"", []))
    update = server.receive()
    server.send(Coap(CON, code("2.04"), 0, update.token))
    device.command("set 3303/0/5700 31")
    server.send(Coap(CON, PING, 0, b"end"))
    assert server.receive().code == PONG


@pytest.mark.parametrize(
    "options",
    [["--framing", "x"], ["--keepalive", "0"], ["--framing", "pelion"], ["--keepalive", "90s"], ["--server", "tcp://h"]],
)
def test_wrong_options(start_device, options):
    device = start_device(*options)
    assert device.process.wait(10) == 2
