"""berth-device --swarm: many simulated devices in one process, against Berth, over every transport."""

import json
import signal
import subprocess
import time

import pytest
from berth_process import SANITIZER_REPORT, program
from coapraw import GET, POST, Coap
from device_process import played_server, queries_of  # noqa: F401

KEY = "000102030405060708090a0b0c0d0e0f"
DEVICES = 200
PSK = ("--psk", f"%:{KEY}")
OSCORE = ("--oscore", f"sender=aa,recipient=,secret={KEY}")


class Swarm:
    """A started swarm."""

    def __init__(self, *options: str):
        self.process = subprocess.Popen(
            [str(program("berth-device")), *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self, how: int | None = None, code: int = 0) -> dict:
        """Its report; with `how` it is told to end."""
        if how is not None:
            self.process.send_signal(how)
        self.said, self.progress = self.process.communicate(timeout=60)
        assert self.process.returncode == code and not SANITIZER_REPORT.search(self.progress), self.progress
        return json.loads(self.said)

    def close(self):
        if self.process.returncode is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def start_swarm():
    started = []

    def start(*options: str) -> Swarm:
        started.append(Swarm(*options))
        return started[-1]

    yield start
    for swarm in started:
        swarm.close()


def provide(berth, count: int, mode: str) -> None:
    for number in range(count):
        name = f"swarm-{number:06d}"
        body = {"mode": "psk", "identity": name, "key_hex": KEY}
        if mode == "oscore":
            body = {"mode": "oscore", "sender_id_hex": "", "recipient_id_hex": f"aa{number:06x}", "master_secret_hex": KEY}
        answer = berth.http("PUT", f"/v1/credentials/{name}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        assert answer.status == 201, answer.body


def devices_of(berth) -> list[dict]:
    return berth.get("/v1/devices", limit=1000)["items"]


WAYS = {
    "udp": ("coap://127.0.0.1:0", (), None),
    "udp, a socket each": ("coap://[::1]:0", (), None),
    "tcp": ("coap+tcp://127.0.0.1:0", (), None),
    "tcp, the vendor's framing": ("coap+tcp://127.0.0.1:0", ("--framing", "pelion"), None),
    "dtls": ("coaps://127.0.0.1:0", PSK, "psk"),
    "dtls with a connection ID": ("coaps://127.0.0.1:0", (*PSK, "--cid"), "psk"),
    "tls": ("coaps+tcp://127.0.0.1:0", PSK, "psk"),
    "oscore": ("coap://127.0.0.1:0", OSCORE, "oscore"),
    "oscore, derived": ("coap://127.0.0.1:0", (*OSCORE, "--oscore-b2"), "oscore"),
    "oscore over tcp": ("coap+tcp://127.0.0.1:0", OSCORE, "oscore"),
}


@pytest.mark.parametrize("way", WAYS)
def test_two_hundred_devices_register_update_send_and_leave(start_berth, start_swarm, way):
    listen, options, mode = WAYS[way]
    count = 40 if way == "tls" else DEVICES
    berth = start_berth(listen=(listen,))
    if mode is not None:
        provide(berth, count, mode)
    load = ("--swarm-update", "closed", "--swarm-send", "300ms", "--swarm-for", "600ms")
    swarm = start_swarm("--swarm", str(count), "--server", berth.listeners[0], *load, *options)
    report = swarm.end()
    kinds = report["kinds"]
    assert report["swarm"]["registered"] == count
    for kind, outcome in {"register": "2.01", "update": "2.04", "send": "2.04", "deregister": "2.02"}.items():
        figure = kinds[kind]
        assert figure["failed"] == 0 and figure["outcomes"] == {outcome: figure["good"]}, figure
        assert figure["good"] == figure["begun"]
        latency = figure["latency_ms"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99.9"] <= latency["max"]
        assert figure["bytes"]["up"] > 0 < figure["bytes"]["down"]
    assert kinds["register"]["good"] == kinds["deregister"]["good"] == count
    assert kinds["update"]["good"] > 0 and kinds["send"]["good"] > 0  # how many, the machine decides
    assert ("handshake" in kinds) == (mode == "psk" or "tcp" in listen)
    assert devices_of(berth) == []
    assert " registered, " in swarm.progress or report["swarm"]["seconds"] < 1.5
    assert (report["timeouts"], report["connections_lost"]) == (0, 0)


def test_each_has_an_address_of_its_own_and_stays(start_berth, start_swarm):
    berth = start_berth()
    report = start_swarm("--swarm", "50", "--server", berth.listeners[0], "--endpoint", "load", "--swarm-for", "1ms", "--swarm-stay").end()
    devices = devices_of(berth)
    assert {device["endpoint"] for device in devices} == {f"load-{number:06d}" for number in range(50)}
    assert len({device["address"] for device in devices}) == 50
    assert "deregister" not in report["kinds"]


def test_a_rate_is_kept(start_berth, start_swarm):
    berth = start_berth()
    report = start_swarm("--swarm", "40", "--server", berth.listeners[0], "--swarm-rate", "50", "--swarm-for", "1ms").end()
    figure = report["kinds"]["register"]
    assert figure["good"] == 40
    assert figure["per_s"] < 55 and report["swarm"]["seconds"] >= 39 / 50


def test_devices_that_move_go_on_with_their_connection_id(start_berth, start_swarm):
    berth = start_berth(listen=("coaps://127.0.0.1:0",))
    provide(berth, 20, "psk")
    load = ("--swarm-update", "100ms", "--swarm-move", "200ms", "--swarm-for", "1s", "--ack-timeout", "200ms")
    report = start_swarm("--swarm", "20", "--server", berth.listeners[0], *PSK, "--cid", *load).end()
    assert report["moves"] > 20
    assert report["kinds"]["handshake"]["good"] == 20
    assert report["kinds"]["update"]["failed"] == 0 and report["kinds"]["update"]["good"] > 20


def test_a_device_that_has_lost_its_session_makes_another(start_berth, start_swarm):
    """Without a connection ID nobody knows a device that has moved; each Update after that needs a handshake."""
    berth = start_berth(listen=("coaps://127.0.0.1:0",))
    provide(berth, 4, "psk")
    load = ("--swarm-update", "300ms", "--swarm-move", "1s", "--ack-timeout", "50ms", "--max-retransmit", "1")
    swarm = start_swarm("--swarm", "4", "--server", berth.listeners[0], *PSK, *load)
    berth.await_event("registered", "swarm-000003", timeout="30s")
    begun = time.monotonic()
    while berth.get_metric("berth_dtls_handshakes_total") < 8 and time.monotonic() - begun < 30:
        time.sleep(0.05)
    report = swarm.end(signal.SIGTERM)
    assert report["kinds"]["handshake"]["good"] >= 8
    assert report["kinds"]["update"]["outcomes"]["no acknowledgement"] >= 1
    assert report["kinds"]["register"]["good"] == 4


@pytest.mark.parametrize("way", ["tcp", "dtls", "tls", "oscore over tcp"])
def test_they_go_on_when_the_server_dies_and_comes_back(start_berth, start_swarm, way):
    listen, options, mode = WAYS[way]
    berth = start_berth(listen=(listen,))
    if mode is not None:
        provide(berth, 5, mode)
    load = ("--swarm-update", "300ms", "--swarm-notify", "100ms", "--ack-timeout", "200ms", "--max-retransmit", "2")
    swarm = start_swarm("--swarm", "5", "--server", berth.listeners[0], *load, *options)
    for number in range(5):
        berth.await_event("registered", f"swarm-{number:06d}", timeout="30s")
    assert berth.http("PUT", "/v1/devices/swarm-000003/3/0/9/observe").status == 200
    berth.kill()
    berth.start()
    back = berth.last_event()
    for number in range(5):
        berth.await_event("updated", f"swarm-{number:06d}", after=back, timeout="30s")
    kinds = swarm.end(signal.SIGTERM)["kinds"]
    assert kinds["register"]["good"] == 5
    assert kinds["handshake"]["good"] >= (5 if way == "dtls" else 10)  # sessions of DTLS outlive the server
    assert kinds["deregister"]["good"] == 5


def test_what_is_read_and_observed(start_berth, start_swarm):
    berth = start_berth()
    swarm = start_swarm("--swarm", "20", "--server", berth.listeners[0], "--swarm-notify", "50ms")
    name = "swarm-000003"
    berth.await_event("registered", name)
    assert berth.http("GET", f"/v1/devices/{name}/3/0/2").json["value"] == name
    assert berth.http("GET", f"/v1/devices/{name}/3").status == 200
    assert berth.http("GET", f"/v1/devices/{name}/3303/0").status == 200
    assert berth.http("GET", f"/v1/devices/{name}/4").status == 404
    assert berth.http("PUT", f"/v1/devices/{name}/1/0/1", b'{"value":60}', {"Content-Type": "application/json"}).status >= 400
    for path in ("3303/0/5700", "3/0"):
        assert berth.http("PUT", f"/v1/devices/{name}/{path}/observe").status == 200
        mark = berth.last_event()
        berth.await_event("notification", name, after=mark)
    mark = berth.last_event()
    assert berth.http("POST", f"/v1/devices/{name}/update").status == 204
    berth.await_event("updated", name, after=mark)
    report = swarm.end(signal.SIGTERM)
    assert report["kinds"]["notify"]["good"] >= 2 and report["kinds"]["notify"]["bytes"]["up"] > 0
    assert report["kinds"]["answer"]["good"] >= 7
    assert report["kinds"]["deregister"]["good"] == 20


@pytest.mark.parametrize("options", [("--notify-con",), OSCORE], ids=["confirmable", "oscore"])
def test_notifications_by_the_endpoint(start_berth, start_swarm, options):
    berth = start_berth()
    if options is OSCORE:
        provide(berth, 2, "oscore")
    swarm = start_swarm("--swarm", "2", "--server", berth.listeners[0], "--swarm-notify", "50ms", *options)
    berth.await_event("registered", "swarm-000001")
    assert berth.http("PUT", "/v1/devices/swarm-000001/3/0/9/observe").status == 200
    for _ in range(3):
        berth.await_event("notification", "swarm-000001", after=berth.last_event())
    report = swarm.end(signal.SIGTERM)
    assert report["kinds"]["notify"]["good"] >= 3 and report["kinds"]["notify"]["failed"] == 0


def test_a_device_asleep_hears_nothing_until_it_wakes(start_swarm, played_server):
    load = ("--queue", "--awake", "1s", "--swarm-update", "4s")
    swarm = start_swarm("--swarm", "1", "--server", played_server.uri, *load)
    assert queries_of(played_server.accept())[-1] == "Q"
    assert played_server.request(GET, "/3/0/0").payload == b"Berth"
    with pytest.raises(TimeoutError):
        played_server.receive(1.3)
    played_server.send(Coap(0, GET, 0x7001, b"x", [(11, b"3"), (11, b"0"), (11, b"0")]))
    with pytest.raises(TimeoutError):
        played_server.receive(0.2)
    played_server.answer(played_server.expect(POST, "/rd/4Kx9"), "2.04")
    assert played_server.request(GET, "/3/0/0").payload == b"Berth"
    swarm.process.send_signal(signal.SIGTERM)
    played_server.answer(played_server.expect(4, "/rd/4Kx9"), "2.02")
    report = swarm.end()
    assert report["came_while_asleep"] == 1 and report["kinds"]["answer"]["good"] == 2


def test_an_unknown_registration_is_made_anew(played_server, start_swarm):
    swarm = start_swarm("--swarm", "1", "--server", played_server.uri, "--swarm-update", "200ms")
    register = played_server.accept()
    assert queries_of(register) == ["ep=swarm-000000", "lt=300", "lwm2m=1.1", "b=U"]
    played_server.answer(played_server.expect(POST, "/rd/4Kx9"), "4.04")
    again = played_server.expect(POST, "/rd")
    assert queries_of(again) == queries_of(register)
    swarm.close()


def test_an_observation_ends_with_a_reset(played_server, start_swarm):
    swarm = start_swarm("--swarm", "1", "--server", played_server.uri, "--swarm-notify", "100ms")
    played_server.accept()
    answer = played_server.request(GET, "/3/0/9", [(6, b"")])
    assert answer.code_text == "2.05" and answer.number(6) is not None
    told = played_server.receive()
    assert (told.type, told.token) == (1, answer.token)
    played_server.send(Coap(3, 0, told.mid))
    for _ in range(20):  # another one may be on its way already
        try:
            told = played_server.receive(0.5)
        except TimeoutError:
            break
        played_server.send(Coap(3, 0, told.mid))
    else:
        raise AssertionError("the device goes on")
    swarm.close()


def test_a_server_that_is_not_there(start_swarm, played_server):
    uri = played_server.uri
    played_server.sock.close()
    options = ("--ack-timeout", "20ms", "--max-retransmit", "1", "--swarm-for", "1ms")
    report = start_swarm("--swarm", "5", "--server", uri, *options).end(code=1)
    assert report["kinds"]["register"]["outcomes"] == {"no acknowledgement": 5}
    assert report["retransmissions"] == 5


def test_a_second_signal_ends_it_at_once(start_swarm, played_server):
    swarm = start_swarm("--swarm", "1", "--server", played_server.uri)
    played_server.accept()
    swarm.process.send_signal(signal.SIGTERM)
    played_server.expect(4, "/rd/4Kx9")  # it would wait for the answer
    assert swarm.end(signal.SIGINT)["kinds"]["deregister"]["good"] == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--swarm", "0"),
        ("--swarm", "1000001"),
        ("--swarm", "many"),
        ("--swarm", "1", "--swarm-rate", "0"),
        ("--swarm", "1", "--swarm-window", "0"),
        ("--swarm", "1", "--swarm-update", "often"),
        ("--swarm", "1", "--swarm-for", "0"),
        ("--swarm", "1", "--bootstrap", "coap://127.0.0.1"),
        ("--swarm", "1", "--server", "coaps://127.0.0.1"),
        ("--swarm", "1", "--server", "coaps://127.0.0.1", *PSK, "--cipher", "CBC"),
        ("--swarm", "1", "--endpoint", "e" * 250),
    ],
)
def test_wrong_options(options):
    refused = subprocess.run([str(program("berth-device")), *options], capture_output=True, text=True, timeout=20)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1
