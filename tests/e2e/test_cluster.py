"""--cluster: several servers on one database. One serves, the others stand by, and whatever becomes of it, one goes on."""

import ctypes
import hashlib
import os
import signal
import subprocess
import time

import pytest
from berth_process import program
from cluster_nodes import PATIENCE, balancer, next_to_serve, start_node, start_wire  # noqa: F401
from coapraw import CONTENT_FORMAT, LINK_FORMAT, MAX_AGE, POST, uint
from datagram_wire import Wire
from dtls_peer import DtlsPeer
from played_device import TEXT, PlayedDevice
from postgresql import programs as postgresql_programs
from test_swarm import provide, start_swarm  # noqa: F401

KEY = bytes(range(16))
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")
PSK = ("--psk", f"secure:{KEY.hex()}")


def register(peer, endpoint, lifetime=300):
    query = ["lwm2m=1.1", "b=U", f"ep={endpoint}", f"lt={lifetime}"]
    return peer.request(POST, "/rd", query, b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))], timeout=20)


def nodes(node):
    return [(item["number"], item["state"], item["self"]) for item in node.get("/v1/nodes")["items"]]


def until_nodes_are(node, expected):
    """Each node reads the list every second."""
    for _ in range(200):
        if nodes(node) == expected:
            return
        time.sleep(0.1)
    assert nodes(node) == expected


def device_count(node):
    return len(node.get("/v1/devices", limit=1000)["items"])


def handshakes(node, after=0):
    return node.events_after(after, types="dtls_handshake,dtls_resumed,dtls_failed")


@pytest.fixture
def wire():
    wire = Wire(0)
    yield wire
    wire.close()


def port_of(node, number):
    return int(node.listeners[number].rpartition(":")[2])


def test_after_kill_9_another_node_goes_on_with_everything(start_node, wire):
    a = start_node("a", *PSK, listen=LISTEN).await_turn()
    b = start_node("b", *PSK, listen=LISTEN)
    until_nodes_are(b, [(0, "serves", False), (1, "stands_by", True)])
    until_nodes_are(a, [(0, "serves", True), (1, "stands_by", False)])
    assert [item["api"] for item in b.get("/v1/nodes")["items"]] == [a.web, b.web]

    assert b.http("GET", "/healthz").status == 200

    wire.server = ("127.0.0.1", port_of(a, 1))
    secure = DtlsPeer(wire.port, psk=("secure", KEY), cid=b"")
    a.peers.append(secure)
    location = register(secure, "secure").location
    assert secure.request(POST, location).code_text == "2.04"
    assert wire.to_client[-1][0] == 23 and handshakes(a)[-1]["cid"].startswith("00")
    for number in range(20):
        a.register(f"dev{number}")
    sleeper = PlayedDevice(a, "sleeper", lifetime=86400, extra=["Q"])
    a.leap("94s")
    queued = sleeper.ask("GET", "/3/0/0", headers={"Prefer": "respond-async"}).answer(202).json["id"]
    assert a.http("PUT", "/v1/credentials/kept", {"mode": "psk", "identity": "kept", "key_hex": KEY.hex()}).status == 201
    image = bytes(range(256)) * 2000
    assert a.http("PUT", "/v1/firmware/image.bin", image, {"Content-Type": "application/octet-stream"}).status == 201
    last = a.last_event()

    a.kill()
    b.await_turn()
    devices = {device["endpoint"] for device in b.get("/v1/devices", limit=100)["items"]}
    assert devices == {f"dev{number}" for number in range(20)} | {"secure", "sleeper"}
    assert "kept" in {credential["identity"] for credential in b.get("/v1/credentials")["items"]}
    assert b.last_event() >= last  # numbers are not used twice
    assert handshakes(b)[0]["identity"] == "secure"
    digest = hashlib.sha256(image).hexdigest()
    assert hashlib.sha256((b.data / "firmware" / digest).read_bytes()).hexdigest() == digest
    assert (b.data / "ca.pem").read_bytes() == (a.data / "ca.pem").read_bytes()

    wire.server = ("127.0.0.1", port_of(b, 1))
    assert secure.request(POST, location, timeout=20).code_text == "2.04"
    assert handshakes(b, after=last) == []

    sleeper.berth, sleeper.peer = b, b.peer()
    assert sleeper.peer.request(POST, sleeper.registered.location).code_text == "2.04"
    sleeper.answer(sleeper.expect(1, "/3/0/0"), "2.05", TEXT, b"Berth")
    assert b.get(f"/v1/requests/{queued}", timeout="30s")["state"] == "completed"
    sleeper.peer.expect_silence()

    # The one that died comes back as one more.
    a.start()
    until_nodes_are(a, [(0, "stands_by", True), (1, "serves", False)])


def test_a_number_is_had_once_and_what_is_missing_is_said(start_node, postgresql, tmp_path):
    a = start_node("a", "--node", "3").await_turn()
    command = [program("berth-server"), "--listen", "coap://127.0.0.1:0", "--http", "off", "--data", tmp_path / "x"]
    cluster = ["--database", postgresql.database_for(tmp_path), "--cluster"]
    key, other_key = ["--key-file", tmp_path / "key"], tmp_path / "other"
    other_key.write_bytes(bytes(32))
    other_key.chmod(0o600)
    for options, code, words in (
        ([*cluster, "--key-file", other_key], 1, "not the key that the cluster"),
        ([*cluster, *key, "--node", "3"], 1, "another node has this number"),
        (cluster, 2, "--cluster needs"),
        (cluster[:2], 1, "another server uses it"),
    ):
        run = subprocess.run([*command, *options], capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert run.returncode == code and words in run.stderr and run.stderr.count("\n") == 1, run
    assert nodes(a) == [(3, "serves", True)]


def test_devices_do_not_notice_that_nodes_stand_still_are_cut_off_and_die(start_node, start_wire, balancer, start_swarm):
    # LeakSanitizer is not among what the filter of system calls is for.
    options = {"listen": ("coaps://127.0.0.1:0", "coap://127.0.0.1:0"), "env": {"ASAN_OPTIONS": "detect_leaks=0"}}
    wires = {name: start_wire() for name in "abc"}
    a = start_node("a", "--seccomp", "on", wire=wires["a"], **options).await_turn()
    others = [start_node(name, "--seccomp", "on", wire=wires[name], **options) for name in "bc"]
    count = 40
    provide(a, count, "psk")
    plain = a.register("plain", peer=a.peer(port=port_of(a, 1)))
    balancer.server = ("127.0.0.1", a.coap_port)
    load = ("--swarm-update", "1s", "--cid", "--psk", "%:000102030405060708090a0b0c0d0e0f", "--ack-timeout", "1s", "--max-retransmit", "9")
    swarm = start_swarm("--swarm", str(count), "--server", f"coaps://127.0.0.1:{balancer.port}", *load, "--swarm-stay")
    for number in range(count):
        a.await_event("registered", f"swarm-{number:06d}", timeout="60s")
    registered = a.last_event()

    def next_turn(candidates):
        serving = next_to_serve(candidates)
        balancer.server = ("127.0.0.1", serving.coap_port)
        since = serving.last_event()
        for number in range(count):  # whoever has asked meanwhile has its answer
            serving.await_event("updated", f"swarm-{number:06d}", after=since, timeout="60s")
        assert device_count(serving) == count + 1 and handshakes(serving, after=registered) == []
        return serving

    a.pause()
    second = next_turn(others)
    third = others[second is others[0]]
    a.go_on()
    a.await_standing_by()  # it knows before it does anything else
    ports = a.coap_port, a.http_port

    wires[second.data.name].cut()
    third = next_turn([a, third])
    first_again = a if third is not a else next(node for node in others if node is not second)
    # Its lease was over before another one could take its turn.
    device = second.peer(port=port_of(second, 1))
    for answer in (device.request(POST, plain.location), register(device, "lost")):
        assert (answer.code_text, answer.number(MAX_AGE)) == ("5.03", 30)
    answer = second.http("GET", "/v1/devices")
    assert (answer.status, answer.problem) == (503, "not-ready")
    wires[second.data.name].mend()
    second.await_standing_by()

    second.stop()
    third.kill()
    last = next_turn([first_again])
    if last is a:
        assert (a.coap_port, a.http_port) == ports

    report = swarm.end(signal.SIGTERM)
    assert report["swarm"]["registered"] == count
    assert set(report["kinds"]) == {"handshake", "register", "update"}
    for kind in ("handshake", "register"):  # once and never again
        assert (report["kinds"][kind]["begun"], report["kinds"][kind]["good"]) == (count, count), report["kinds"]
    assert set(report["kinds"]["update"]["outcomes"]) <= {"2.04", "5.03"}, report["kinds"]


ROUNDS = 20
MAKE_ROUNDS = f"""DO $$ DECLARE before timestamptz; BEGIN FOR i IN 1..{ROUNDS} LOOP
SELECT alive_at INTO before FROM node WHERE number = 1; NOTIFY berth_turn; COMMIT;
WHILE (SELECT alive_at FROM node WHERE number = 1) = before LOOP COMMIT; PERFORM pg_sleep(0.005); END LOOP;
END LOOP; END $$"""


def test_who_stands_by_is_told_at_once_that_the_turn_is_free(start_node, postgresql, tmp_path):
    a = start_node("a", listen=LISTEN[:1]).await_turn()
    b = start_node("b", listen=LISTEN[:1])
    until_nodes_are(b, [(0, "serves", False), (1, "stands_by", True)])
    # The next round is made when the word comes, not a second after the last one.
    begun = time.monotonic()
    postgresql.sql(MAKE_ROUNDS, postgresql._database(tmp_path))
    assert time.monotonic() - begun < 0.75 * ROUNDS

    command = [postgresql_programs() / "psql", "-X", "-q", "-A", "-t", "-d", postgresql.database_for(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
        psql.stdin.write("LISTEN berth_turn; SELECT 'listens';\n")
        psql.stdin.flush()
        assert psql.stdout.readline() == "listens\n"
        a.stop()
        said, _ = psql.communicate("SELECT 1;\n", timeout=PATIENCE)
        assert '"berth_turn"' in said
    b.await_turn()


PTRACE_ATTACH, PTRACE_DETACH = 16, 17


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")


def test_a_node_whose_loop_hangs_is_not_the_one_any_more(start_node):
    a = start_node("a", listen=LISTEN[:1]).await_turn()
    b = start_node("b", listen=LISTEN[:1])
    registered = a.register("dev1")
    try:
        ptrace(PTRACE_ATTACH, a.process.pid)  # the loop's thread alone
    except OSError as error:
        pytest.skip(f"threads cannot be stopped here: {error}")
    try:
        os.waitpid(a.process.pid, 0)
        b.await_turn()
    finally:
        ptrace(PTRACE_DETACH, a.process.pid)
    assert "hangs" in a.log()
    a.await_standing_by()
    assert b.peer().request(POST, registered.location).code_text == "2.04"
    until_nodes_are(a, [(0, "stands_by", True), (1, "serves", False)])
