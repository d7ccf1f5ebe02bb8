"""The page, driven in Chromium (drive.mjs): every panel against a server with 10,000 devices and real ones among them."""

import json
import re
import socket
import subprocess

import pytest
from berth_process import ROOT, Berth, program
from cluster_nodes import start_node, start_wire  # noqa: F401
from crowd import register
from device_process import DeviceProcess

KEY = "00112233445566778899aabbccddeeff"
pytestmark = pytest.mark.timeout(240)  # a browser on a machine that has other things to do

HOSTILE = "<img src=x onerror=alert(1)>"
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0", "coap+tcp://127.0.0.1:0")
OFFERED = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"


def drive(env, berth, scenario, timeout=200, **facts):
    done = subprocess.run(
        ["node", str(ROOT / "tests/page/drive.mjs"), f"http://127.0.0.1:{berth.http_port}", scenario, json.dumps(facts)],
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nits pictures are in {env['PAGE_PICTURES']}"
    return done.stdout


def uri(berth, scheme):
    return next(one for one in berth.listeners if one.startswith(f"{scheme}://"))


class Harbour:
    """A server with many devices, some real ones, and some that were turned away."""

    def __init__(self, directory):
        self.directory = directory
        self.devices = []
        self.berth = Berth(directory / "data", "--psk", f"secured:{KEY}", "--max-exchanges", "20000", listen=LISTEN)

    def start(self):
        self.berth.start()
        coap, coaps = uri(self.berth, "coap"), uri(self.berth, "coaps")
        register(self.berth.coap_port, 10_000)
        self.device("--server", coap, "--endpoint", "meter", "--lifetime", "86400", "--tick", "400ms")
        self.device("--server", coaps, "--endpoint", "secured", "--lifetime", "86400", "--psk", f"secured:{KEY}", "--cid")
        self.device("--server", uri(self.berth, "coap+tcp"), "--endpoint", "stream", "--lifetime", "86400")
        self.berth.register(HOSTILE, lifetime=86400)
        for name in ("meter", "secured", "stream"):
            self.berth.get(f"/v1/devices/{name}", wait="registered", timeout="30s")
        return self

    def turn_some_away(self):
        coap, coaps = uri(self.berth, "coap"), uri(self.berth, "coaps")
        own = self.directory / "own"
        subprocess.run(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=unsigned "
            f"-keyout {own}.key -out {own}.pem",
            shell=True,
            check=True,
            capture_output=True,
        )
        stranger = self.device("--server", coaps, "--endpoint", "stranger", "--psk", f"stranger:{KEY}")
        wrong = self.device("--server", coaps, "--endpoint", "secured", "--psk", f"secured:ff{KEY[2:]}", "--ack-timeout", "100ms")
        plain = self.device("--server", coap, "--endpoint", "secured")
        unsigned = self.device("--server", coaps, "--endpoint", "unsigned", "--cert", f"{own}.pem", "--key", f"{own}.key",
                               "--ca", str(self.berth.data / "ca.pem"))
        self.berth.http("PUT", "/v1/bootstrap/clumsy", {"servers": [], "write": {"/65001/0/1": 1}})
        self.berth.http("PUT", "/v1/credentials/clumsy", {"mode": "psk", "key_hex": KEY, "service": "bootstrap"})
        clumsy = self.device("--bootstrap", coaps, "--endpoint", "clumsy", "--psk", f"clumsy:{KEY}")
        self.offer(OFFERED)
        with socket.create_connection(("127.0.0.1", int(uri(self.berth, "coap+tcp").rsplit(":", 1)[1]))) as sock:
            sock.sendall(b"\xff" * 64)  # a token of 15 bytes
            sock.settimeout(30)
            while sock.recv(4096):
                pass
        for kind, match in (
            ("dtls_failed", {"identity": "stranger"}),
            ("dtls_failed", {"identity": "secured"}),
            ("dtls_failed", {"reason": "certificate_refused"}),
            ("dtls_failed", {"reason": "no_common_parameters"}),
            ("rejected", {"coap_code": "4.03"}),
            ("bootstrap_failed", {}),
        ):
            self.await_refusal(kind, match)
        for device in (stranger, wrong, plain, unsigned, clumsy):
            device.kill()

    def await_refusal(self, kind, match):
        """Handshakes are given up by the protocol's clock, which goes on until it has come to that."""
        for _ in range(30):
            answer = self.berth.http("POST", "/v1/wait", {"after": 0, "type": kind, "match": match, "timeout": "1s"})
            if answer.status == 200:
                return
            self.berth.leap("3s")
        raise AssertionError(f"no {kind} with {match} came: {self.berth.events_after(0)}")

    def offer(self, suite):
        """A ClientHello that offers this suite alone."""
        host, port = uri(self.berth, "coaps").removeprefix("coaps://").rsplit(":", 1)
        subprocess.run(
            ["openssl", "s_client", "-dtls1_2", "-connect", f"{host}:{port}", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )

    def device(self, *options):
        device = DeviceProcess(self.directory / f"device{len(self.devices)}.log", *options)
        self.devices.append(device)
        return device

    @property
    def facts(self):
        return {
            "device": str(program("berth-device")),
            "coap": uri(self.berth, "coap"),
            "coaps": uri(self.berth, "coaps"),
            "hostile": HOSTILE,
            "offered": OFFERED,
        }

    def close(self):
        for device in self.devices:
            if device.process.returncode is None:
                device.terminate()
        for device in self.devices:
            device.close()
        self.berth.close()


@pytest.fixture(scope="module")
def harbour(browser_env, tmp_path_factory):
    harbour = Harbour(tmp_path_factory.mktemp("harbour"))
    try:
        yield harbour.start()
    finally:
        harbour.close()


@pytest.mark.parametrize(
    "scenario",
    [
        "page_is_small_and_painted_at_once",
        "devices_are_listed_searched_filtered_and_paged",
        "device_that_comes_and_goes_is_seen_at_once",
        "resources_are_read_written_executed_and_discovered",
        "instances_are_created_and_deleted_and_several_paths_read_at_once",
        "numbers_are_plotted_as_they_come",
        "what_waits_in_the_queue_is_answered_when_the_device_is_awake",
        "messages_are_a_ladder_that_grows_and_can_be_kept",
        "retransmissions_and_what_faults_keep_back_are_marked",
        "cost_stands_beside_other_ways",
        "new_device_is_made_in_one_form_and_comes",
        "bootstrap_is_configured",
        "faults_act_and_the_clock_leaps",
        "firmware_goes_to_its_end",
        "names_from_outside_are_text",
        "device_that_is_not_there_is_said_and_then_shown",
        "stream_goes_on_after_it_broke_off",
        "everything_is_reached_by_keyboard",
        "axe_finds_no_serious_fault",
        "axe_finds_no_serious_fault_in_the_dark",
        "phone_shows_every_panel_without_scrolling_sideways",
        "colours_can_be_chosen_and_stay",
        "picture_for_the_readme",
    ],
)
def test_page(browser_env, harbour, scenario):
    print(drive(browser_env, harbour.berth, scenario, **harbour.facts))


def test_who_was_turned_away_is_told_in_words(browser_env, harbour):
    harbour.turn_some_away()
    drive(browser_env, harbour.berth, "who_was_turned_away_is_told_in_words", **harbour.facts)


@pytest.fixture
def start_berth(tmp_path):
    started = []

    def start(*options, **kwargs):
        started.append(Berth(tmp_path / f"data{len(started)}", *options, **kwargs))
        return started[-1].start()

    yield start
    for server in started:
        server.close()


def test_key_is_asked_for_once(browser_env, start_berth):
    drive(browser_env, start_berth("--api-key", "sesame"), "key_is_asked_for_once", key="sesame")


def test_listener_for_bootstrap_begins_with_credentials(browser_env, start_berth):
    berth = start_berth(web="http://127.0.0.1:0?role=bootstrap")
    drive(browser_env, berth, "listener_for_bootstrap_begins_with_credentials")


def test_nodes_are_shown_where_there_are_several(browser_env, start_node):
    one = start_node("a", listen=LISTEN[:1]).await_turn()
    other = start_node("b", listen=LISTEN[:1])
    drive(browser_env, one, "nodes_are_shown_where_there_are_several", standby=other.process.pid)
    other.kill()


def test_typical_costs_of_the_page_are_those_of_the_device(tmp_path, start_berth):
    """What the panel of costs reckons with, where a device has not shown it."""
    berth = start_berth("--psk", f"dev:{KEY}", listen=LISTEN[:2])
    told = (ROOT / "web/page/cost.js").read_text()
    typical = {name: (int(size), int(packets)) for name, size, packets in re.findall(r"(\w+): \{ bytes: (\d+), packets: (\d+) \}", told)}
    counted = {}
    for scheme, endpoint, options in (("coap", "plain", ()), ("coaps", "dev", ("--psk", f"dev:{KEY}"))):
        device = DeviceProcess(tmp_path / f"{scheme}.log", "--server", uri(berth, scheme), "--endpoint", endpoint, *options, "--account", "--json")
        for line in device.end(60):
            event = json.loads(line)
            if event["event"] == "account":
                counted[event["session"], event["what"]] = (
                    event["sent"] + event["received"],
                    event["datagrams_sent"] + event["datagrams_received"],
                )
    for name, of in (
        ("udp_update", ("UDP", "update")),
        ("dtls_update", ("DTLS", "update")),
        ("cid_update", ("DTLS, CID", "update")),
        ("handshake", ("DTLS", "handshake")),
        ("resumption", ("DTLS", "resumption")),
        ("registration", ("DTLS", "registration")),
    ):
        assert abs(typical[name][0] - counted[of][0]) <= 0.1 * counted[of][0], (name, typical[name], counted[of])
        assert typical[name][1] == counted[of][1], (name, typical[name], counted[of])
