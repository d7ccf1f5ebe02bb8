"""libcoap's programs with OSCORE: coap-client as a device that registers by hand, coap-server as a device that is asked,
and as a server that berth-device talks to."""

import base64
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from device_process import start_device  # noqa: F401

SECRET, SALT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340"
OBJECTS = "</1/0>,</3/0>"


def program(name):
    """A command of a libcoap that speaks OSCORE: Debian 13's, or on Debian 12 the one that script/bootstrap keeps."""
    here = shutil.which(f"{name}-openssl")
    if here is not None:
        said = subprocess.run([here, "-V", "0", "--help"], capture_output=True, text=True, timeout=10)
        if "Have OSCORE" in said.stdout + said.stderr:
            return [here]
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "berth" / "libcoap-trixie" / "usr"
    libraries = next(iter(root.glob("lib/*/libcoap-3-openssl.so.3")), root).parent
    loader = next(iter(libraries.glob("ld-linux*")), None)
    if loader is None:
        pytest.skip("no libcoap with OSCORE here: script/bootstrap --test fetches one where it can be had")
    return [str(loader), "--library-path", str(libraries), str(root / "bin" / f"{name}-openssl")]


@pytest.fixture
def context(tmp_path):
    """context(name, sender, recipient, ...) -> the file of a security context, and the one with its numbers."""

    def write(name, sender, recipient, b2=False):
        file = tmp_path / f"{name}.conf"
        file.write_text(
            f'master_secret,hex,"{SECRET}"\nmaster_salt,hex,"{SALT}"\nsender_id,hex,"{sender}"\n'
            f'recipient_id,hex,"{recipient}"\nreplay_window,integer,32\naead_alg,integer,10\nhkdf_alg,integer,-10\n'
            f'ssn_freq,integer,1\nrfc8613_b_2,bool,{"true" if b2 else "false"}\n'
        )
        return f"{file},{tmp_path / name}.numbers"

    return write


def ask(context, *arguments, stdin=""):
    """What it prints: the payload on stdout, the code of an error on stderr."""
    run = subprocess.run([*program("coap-client"), "-B", "20", "-E", context, *arguments], input=stdin, text=True,
                         capture_output=True, timeout=60)
    return run.stdout + run.stderr


def register(berth, context, *arguments):
    said = ask(context, "-m", "post", "-t", "40", "-f", "-", "-v", "7", *arguments,
               f"coap://127.0.0.1:{berth.coap_port}/rd?ep=lc&lt=300&lwm2m=1.1&b=U", stdin=OBJECTS)
    found = re.findall(r"Location-Path:(\w+)", said)
    assert found[-2:-1] == ["rd"], said
    return "/".join(found[-2:])


@pytest.fixture
def server(berth):
    """Berth, which has the context of "lc"."""
    credential = {"mode": "oscore", "sender_id_hex": "02", "recipient_id_hex": "01", "master_secret_hex": SECRET,
                  "master_salt_hex": SALT}
    assert berth.http("PUT", "/v1/credentials/lc", credential).status == 201
    return berth


def test_OSC_10_OSC_02_a_device_registers_and_updates(berth, server, context):
    own = context("device", "01", "02")
    location = register(berth, own)
    assert berth.device("lc")["security"]["mode"] == "oscore"
    ask(own, "-m", "post", f"coap://127.0.0.1:{berth.coap_port}/{location}")
    assert berth.await_event("updated", "lc")


def test_OSC_13_a_device_derives_its_context(berth, server, context):
    own = context("device", "01", "02", b2=True)
    register(berth, own)
    assert len(berth.device("lc")["security"]["id_context"]) >= 32
    assert berth.await_event("oscore_derived", "lc")


def test_OSC_17_a_long_request_in_blocks(berth, server, context):
    own = context("device", "01", "02")
    register(berth, own)  # it can't answer a challenge with the first block of many
    many = ",".join(["</1/0>", "</3/0>", *(f"</{n}/0>" for n in range(5000, 5200))])
    ask(own, "-b", "256", "-m", "post", "-t", "40", "-f", "-",
        f"coap://127.0.0.1:{berth.coap_port}/rd?ep=lc&lt=300&lwm2m=1.1&b=U", stdin=many)
    assert len(berth.device("lc")["objects"]) == 202


class Server:
    """coap-server on a port, until the test ends."""

    def __init__(self, log, port, context):
        self.log = log
        with open(log, "wb") as file:
            self.process = subprocess.Popen([*program("coap-server"), "-A", "127.0.0.1", "-p", str(port), "-E", context,
                                             "-v", "7", "-d", "10"], stdout=file, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 20
        while "created UDP  endpoint" not in self.said() and self.process.poll() is None and time.monotonic() < deadline:
            os.sched_yield()

    def said(self):
        return self.log.read_text(errors="replace")

    def close(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def serve(tmp_path):
    running = []

    def start(port, context):
        running.append(Server(tmp_path / f"coap-server{len(running)}.log", port, context))
        return running[-1]

    yield start
    for server in running:
        server.close()


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_OSC_15_a_device_is_asked(berth, server, context, serve):
    """The port and the context go from coap-client, which has registered, to coap-server, which challenges us first."""
    own, port = context("device", "01", "02"), free_port()
    register(berth, own, "-p", str(port))
    serve(port, own)

    def request(method, path, **more):
        answer = berth.http("POST", "/v1/devices/lc/requests", {"method": method, "path": path, **more})
        assert answer.status == 200, answer.body
        return answer.json

    assert request("GET", "/")["code"] == "2.05"
    assert request("PUT", "/example_data", payload="x" * 3000)["code"] in ("2.01", "2.04")
    assert base64.b64decode(request("GET", "/example_data")["payload_b64"]) == b"x" * 3000
    assert request("GET", "/nothing")["code"] == "4.04"


@pytest.mark.parametrize("b2", [False, True], ids=["as configured", "B.2"])
def test_OSC_12_OSC_13_the_reference_device_talks_to_a_server(context, serve, start_device, tmp_path, b2):  # noqa: F811
    """coap-server takes what is posted for a new resource, and what is posted there for a change of it. With B.2 it wants
    to be told the context, which the device does after a refusal."""
    port = free_port()
    server = serve(port, context("server", "02", "01", b2=b2))
    options = ("--server", f"coap://127.0.0.1:{port}", "--endpoint", "lc", "--oscore",
               f"sender=01,recipient=02,secret={SECRET},salt={SALT}", *(("--oscore-b2",) if b2 else ("--state", str(tmp_path / "state"))))
    device = start_device(*options)
    device.line("Device ID: rd", timeout=20)
    device.command("update")
    device.line("Registration updated")
    device.kill()
    device = start_device(*options)
    device.line("Registration failed: 2.04 Changed", timeout=20, partly=True)
    assert ("kc=" in server.said()) == b2
