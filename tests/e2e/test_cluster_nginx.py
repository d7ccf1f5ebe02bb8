"""docker/nginx.cluster.conf in front of three nodes: devices and clients know nginx alone, and go on when a node dies.
The container's nginx has the stream module in it, Debian's loads it."""

import http.client
import json
import re
import shutil
import signal
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from berth_process import ROOT
from cluster_nodes import PATIENCE, next_to_serve, start_node, start_wire  # noqa: F401
from coapraw import CONTENT_FORMAT, LINK_FORMAT, POST, Coap, uint
from coapstream import StreamPeer
from own_network import HERE, may_have_one, own_network
from test_cluster_relay import until_it_relays
from test_pelion_socket import CHANNEL, PING, PONG, Socket
from test_swarm import KEY, provide, start_swarm  # noqa: F401

PLAIN, SECURE, API = 5683, 5684, 8080
KEPT = Path.home() / ".cache/berth/nginx"  # unpacked by script/bootstrap --test, not installed
PLACES = ((shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin"), "/usr/lib/nginx/modules"),
          (KEPT / "usr/sbin/nginx", KEPT / "usr/lib/nginx/modules"))  # fmt: skip
MODULE = "ngx_stream_module.so"


def find_nginx():
    for program, modules in PLACES:
        if program and Path(program).exists() and (Path(modules) / MODULE).exists():
            return program, Path(modules) / MODULE
    pytest.skip("no nginx with its stream module here")


def configuration(module, nodes):
    """The one of the container, with the nodes' addresses for their names, and an address of its own."""
    text = (ROOT / "docker/nginx.cluster.conf").read_text()
    for number, node in enumerate(nodes):
        text = text.replace(f"server berth-{number}:{API};", f"server 127.0.0.1:{node.http_port};")
        text = text.replace(f"server berth-{number}:", f"server {address_of(number)}:")
    assert "server berth" not in text
    text = re.sub(r"listen (\d+)", rf"listen {HERE}:\1", text)
    temporary = "".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    text = text.replace("access_log off;", f"access_log off; {temporary}", 1)
    return f"load_module {module}; user root; daemon off; pid nginx.pid; error_log stderr;\n{text}"


@pytest.fixture
def start_nginx(tmp_path):
    started = []

    def start(nodes):
        program, module = find_nginx()
        place = tmp_path / "nginx"
        place.mkdir()
        (place / "nginx.conf").write_text(configuration(module, nodes))
        command = [str(program), "-p", f"{place}/", "-c", "nginx.conf", "-e", "stderr"]
        with open(place / "log", "wb") as log:
            started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        deadline = time.monotonic() + PATIENCE
        while not (place / "nginx.pid").exists():
            assert started[-1].poll() is None and time.monotonic() < deadline, (place / "log").read_text()
            time.sleep(0.05)
        return place / "log"

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)


def address_of(number):
    return f"127.0.0.{10 + number}"


def listen_of(number):
    here = address_of(number)
    return (f"coap://{here}:{PLAIN}", f"coaps://{here}:{SECURE}", f"coap+tcp://{here}:{PLAIN}", f"coaps+tcp://{here}:{SECURE}")


def through_nginx(path):
    connection = http.client.HTTPConnection(HERE, API, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return json.loads(answer.read())
    finally:
        connection.close()


def has_web_socket():
    connection = http.client.HTTPConnection(HERE, API, timeout=PATIENCE)
    connection.request("PUT", CHANNEL, headers={"Authorization": "Bearer ak_test"})
    assert connection.getresponse().status in (200, 201)
    connection.close()
    with closing(Socket(API, host=HERE)) as socket:
        socket.send(PING, b"there?")
        return socket.opening.status == 101 and socket.frame() == (PONG, b"there?")


def endpoints():
    return {item["endpoint"] for item in through_nginx("/v1/devices?limit=1000")["items"]}


def updated(device):
    """The answer to an Update that is sent until there is one. Where a node refuses nginx tells the device nothing, in an empty
    datagram."""
    peer, deadline = device.peer, time.monotonic() + PATIENCE
    message = peer.message(POST, device.location)
    while time.monotonic() < deadline:
        peer.send(message)
        data = peer.receive_raw(1)
        if data and (answer := Coap.decode(data)).token == message.token:
            return answer
    raise AssertionError(f"no answer within {PATIENCE} s")


def register_over_tcp(endpoint):
    with closing(StreamPeer(PLAIN, host=HERE)) as device:
        query = ["lwm2m=1.1", "b=T", f"ep={endpoint}", "lt=3600"]
        answer = device.request(POST, "/rd", query, b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))], timeout=PATIENCE)
        assert answer.code_text == "2.01", answer


@pytest.mark.skipif(not may_have_one(), reason="needs root and a network of its own")
def test_devices_and_clients_behind_nginx_go_on_when_a_node_dies(start_node, start_nginx, start_swarm):
    find_nginx()
    with own_network():
        a = start_node("a", listen=listen_of(0)).await_turn()
        others = [start_node(name, listen=listen_of(number)) for number, name in enumerate("bc", 1)]
        for node in others:
            until_it_relays(node)
        start_nginx([a, *others])
        # Six devices of each kind, which nginx gives to the nodes in turn.
        secure = [f"swarm-{number:06d}" for number in range(6)]
        provide(a, len(secure), "psk")
        server, key = f"coaps://{HERE}:{SECURE}", ("--cid", "--psk", f"%:{KEY}")
        load = ("--swarm-update", "1s", "--swarm-stay", "--ack-timeout", "1s", "--max-retransmit", "9")
        swarm = start_swarm("--swarm", str(len(secure)), "--server", server, *key, *load)
        for endpoint in secure:
            a.await_event("registered", endpoint, timeout="60s")
        devices = [a.register(f"dev{number}", peer=a.peer(host=HERE, port=PLAIN)) for number in range(6)]
        register_over_tcp("tcp0")
        assert has_web_socket()
        assert endpoints() == {*secure, *(device.endpoint for device in devices), "tcp0"}

        a.kill()
        serving = next_to_serve(others)
        since = serving.last_event()
        for device in devices:
            assert updated(device).code_text == "2.04"
        register_over_tcp("tcp1")
        for _ in range(3):  # whichever of the nodes it comes to
            assert endpoints() == {*secure, *(device.endpoint for device in devices), "tcp0", "tcp1"}
        for endpoint in secure:
            serving.await_event("updated", endpoint, after=since, timeout="60s")
        assert serving.get_metric("berth_dtls_hellos_total") == 0
        kinds = swarm.end(signal.SIGTERM)["kinds"]
        assert set(kinds["update"]["outcomes"]) == {"2.04"}, kinds
        for kind in ("handshake", "register"):  # once and never again
            assert (kinds[kind]["begun"], kinds[kind]["good"]) == (len(secure), len(secure)), kinds
