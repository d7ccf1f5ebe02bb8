"""Captures as Wireshark reads them: its tshark opens DTLS and TLS with the secrets that are in the file, and finds what
devices and server said."""

import shutil
import subprocess

import pytest
from coapstream import TranslatedPeer
from coaptls import SecureConnection, context, tls_port
from device_process import start_device  # noqa: F401
from dtls_peer import DtlsPeer
from test_pki import pki as run_pki

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

KEY = "00112233445566778899aabbccddeeff"
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0", "coap+tcp://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")
SECURE = ("--psk", f"dev1:{KEY}")


@pytest.fixture
def berth(start_berth):
    return start_berth("--psk", f"dev1:{KEY}", listen=LISTEN)


def port_of(berth, number):
    return berth.listeners[number].rpartition(":")[2]


def capture(berth, path="/v1/devices/dev1/messages", accept="application/x-pcapng", **query):
    answer = berth.http("GET", path, headers={"Accept": accept}, **query)
    assert (answer.status, answer.headers["Content-Type"]) == (200, accept), answer.body
    file = berth.data.parent / "capture.pcapng"
    file.write_bytes(answer.body)
    return file


def tshark(berth, file, *fields, filter="coap"):
    """The fields of the packets that pass the filter, a list each. Wireshark knows the standard ports by itself."""
    udp, dtls, stream, tls = (port_of(berth, number) for number in range(4))
    command = ["tshark", "-n", "-r", str(file), "-Y", filter, "-T", "fields", "-E", "separator=|"]
    for rule in (f"udp.port=={udp},coap", f"udp.port=={dtls},dtls", f"dtls.port=={dtls},coap",
                 f"tcp.port=={stream},coap", f"tcp.port=={tls},tls", f"tls.port=={tls},coap"):  # fmt: skip
        command += ["-d", rule]
    command += ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line.split("|") for line in done.stdout.splitlines()]


def registers(berth, file):
    """What came as a Register, and what answered it. A packet may have a CSM before it."""
    rows = tshark(berth, file, "coap.code", "coap.opt.uri_path_recon", "coap.opt.uri_query", "coap.opt.location_path")
    asked = [row for row in rows if "2" in row[0].split(",") and "/rd" in row[1] and row[2]]
    answered = [row for row in rows if "65" in row[0].split(",") and row[3]]
    return asked, answered


def assert_sound(berth, file):
    # Wireshark takes the options of a CSM for those of requests.
    bad = "ip.checksum.status==0||udp.checksum.status==0||tcp.checksum.status==0||(_ws.malformed&&!coap.code==225)"
    assert tshark(berth, file, "frame.number", filter=bad) == []
    gaps = "tcp.analysis.lost_segment||tcp.analysis.retransmission||tcp.analysis.out_of_order||tcp.analysis.ack_lost_segment"
    assert tshark(berth, file, "frame.number", filter=gaps) == []


# ---- DTLS ----


@pytest.mark.parametrize("cid", [(), ("--cid",)], ids=["no CID", "RFC 9146"])
@pytest.mark.parametrize("cipher", ["CCM_8", "GCM", "CBC"])
def test_dtls_is_opened_with_the_secrets_in_the_capture(berth, start_device, cid, cipher):  # noqa: F811
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev1", *SECURE, "--cipher", cipher, *cid)
    device.line("Client registered")
    device.line("Device ID: ", partly=True)
    assert berth.get("/v1/devices/dev1/3/0/9")["value"] == 95
    file = capture(berth)
    asked, answered = registers(berth, file)
    assert len(asked) == len(answered) == 1
    assert "ep=dev1" in asked[0][2]
    shown = berth.device("dev1")["security"]["cid"]
    assert [row[0] for row in tshark(berth, file, "dtls.record.connection_id")] == [shown or "", "", "", shown or ""]
    assert_sound(berth, file)
    remarks = {row[0] for row in tshark(berth, file, "frame.comment", filter="frame")}
    assert {"handshake dev1", "register dev1", "read dev1"} <= remarks


def test_a_resumed_session_and_one_that_moved(berth):
    peer = DtlsPeer(int(port_of(berth, 1)), psk=("dev1", bytes.fromhex(KEY)), cid=b"\x07")
    berth.peers.append(peer)
    registration = berth.register("dev1", peer=peer)
    peer.rebind()
    registration.update()
    peer.resume()
    registration.update()
    codes = [row[0] for row in tshark(berth, capture(berth), "coap.code")]
    assert codes == ["2", "65", "2", "68", "2", "68"]


def test_a_handshake_outlives_what_followed_it(start_berth, start_device):  # noqa: F811
    berth = start_berth("--psk", f"dev1:{KEY}", "--trace-messages", "4", listen=LISTEN)
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev1", *SECURE, "--cid")
    device.line("Client registered")
    for _ in range(5):
        berth.get("/v1/devices/dev1/3/0/9")
    rows = tshark(berth, capture(berth), "coap.opt.uri_path_recon", "coap.code")
    assert rows == [["/3/0/9", "1"], ["/3/0/9", "69"]] * 2


# ---- TLS and TCP ----


class TlsPeer(SecureConnection, TranslatedPeer):
    def __init__(self, port, tls):
        self._made_up, self._asked, self.csm = [], {}, None
        SecureConnection.__init__(self, port, tls)
        self.greet([])


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_tls_is_opened_with_the_secrets_in_the_capture(berth, version):
    files = berth.data.parent / "dev1"
    run_pki("device", "--endpoint", "dev1", "--out", str(files), "--data", str(berth.data), cwd=files.parent)
    peer = TlsPeer(tls_port(berth), context(berth.data / "ca.pem", files, version))
    berth.peers.append(peer)
    berth.register("dev1", peer=peer, binding=None).update()
    file = capture(berth)
    asked, answered = registers(berth, file)
    assert len(asked) == len(answered) == 1 and "ep=dev1" in asked[0][2]
    assert_sound(berth, file)


def test_a_device_over_tls_with_a_key(berth, start_device):  # noqa: F811
    start_device("--server", berth.listeners[3], "--endpoint", "dev1", *SECURE).line("Client registered")
    asked, answered = registers(berth, capture(berth))
    assert len(asked) == len(answered) == 1


def test_tcp(start_berth):
    berth = start_berth(listen=LISTEN)
    peer = TranslatedPeer(int(port_of(berth, 2)))  # it awaits our CSM: Wireshark sees nothing behind one in a segment
    berth.peers.append(peer)
    berth.register("dev1", peer=peer)
    file = capture(berth)
    asked, answered = registers(berth, file)
    assert len(asked) == len(answered) == 1
    assert_sound(berth, file)
    assert tshark(berth, file, "tcp.flags", filter="tcp.flags.syn==1") == [["0x0002"], ["0x0012"]]


def test_udp_over_both_versions_of_ip(start_berth):
    from coapraw import Peer

    berth = start_berth(listen=("coap://[::]:0", *LISTEN[1:]))
    for host in ("127.0.0.1", "::1"):
        berth.register(f"dev-{host[0]}", peer=Peer(int(port_of(berth, 0)), host))
    file = capture(berth, "/v1/messages", "application/vnd.tcpdump.pcap")
    asked, answered = registers(berth, file)
    assert len(asked) == len(answered) == 2
    assert_sound(berth, file)
    assert len(tshark(berth, file, "frame.number", filter="ipv6&&coap")) == 2


# ---- secrets, and without them ----


def test_secrets_are_left_out_on_request(start_berth, start_device):  # noqa: F811
    berth = start_berth("--psk", f"dev1:{KEY}", "--trace-secrets", "off", listen=LISTEN)
    start_device("--server", berth.listeners[1], "--endpoint", "dev1", *SECURE).line("Client registered")
    file = capture(berth)
    assert b"CLIENT_RANDOM" not in file.read_bytes()
    assert tshark(berth, file, "coap.code") == []
    assert tshark(berth, file, "dtls.record.content_type", filter="dtls.app_data")


@pytest.mark.parametrize(("number", "more"), [(1, ("--cid",)), (3, ())], ids=["DTLS", "TLS"])
def test_in_the_clear_no_secret_is_needed(berth, start_device, number, more):  # noqa: F811
    start_device("--server", berth.listeners[number], "--endpoint", "dev1", *SECURE, *more).line("Client registered")
    file = capture(berth, clear=1)
    assert b"CLIENT_RANDOM" not in file.read_bytes() and b"TRAFFIC_SECRET" not in file.read_bytes()
    asked, answered = registers(berth, file)
    assert len(asked) == len(answered) == 1
    assert tshark(berth, file, "frame.number", filter="dtls||tls") == []


def test_a_session_of_an_earlier_run_in_the_clear(berth, start_device):  # noqa: F811
    device = start_device("--server", berth.listeners[1], "--endpoint", "dev1", *SECURE, "--cid")
    device.line("Client registered")
    device.line("Device ID: ", partly=True)
    berth.restart()
    device.command("update")
    device.line("Registration updated")
    assert tshark(berth, capture(berth), "coap.code") == []  # its handshake was told to another process
    assert [row[0] for row in tshark(berth, capture(berth, clear=1), "coap.code")] == ["2", "68"]


def test_a_capture_needs_the_api_key(start_berth):
    berth = start_berth("--api-key", "secret")
    answer = berth.http("GET", "/v1/messages", headers={"Accept": "application/x-pcapng"})
    assert answer.status == 401
