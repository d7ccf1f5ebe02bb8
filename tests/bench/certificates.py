#!/usr/bin/env python3
"""What others feel while clients shake hands with certificates, one after the other and as fast as they can, each with a
whole handshake: 200 devices over plain UDP send an Update every 0.8 s, alone and beside. Starts the berth-server of
$BERTH_BUILD on core 0; all clients are on core 1, where those that are timed go first. Prints one JSON line.

usage: certificates.py [seconds]      default: 10
"""

import hashlib
import http.client
import json
import os
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from swarm_server import BUILD, pin, run, start_server

CLIENTS = 4
DEVICES = 200
EVERY = "800ms"


def make_certificate(home, web):
    """A device's, signed by an authority of its own, that the server knows by its fingerprint: its files' path."""
    for what in (["ca"], ["device", "--endpoint", "storm"]):
        subprocess.run([BUILD / "berth-server", "pki", *what], cwd=home, check=True, stdout=subprocess.DEVNULL)
    pem = (home / "device.pem").read_text()
    end = "-----END CERTIFICATE-----\n"
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[: pem.index(end) + len(end)])).hexdigest()
    connection = http.client.HTTPConnection(web)
    body = json.dumps({"mode": "x509", "fingerprint_sha256": fingerprint})
    connection.request("PUT", "/v1/credentials/storm", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    return home / "device"


class Client(threading.Thread):
    """Shakes hands until it is told to end, each time from another port."""

    def __init__(self, port, certificate):
        super().__init__()
        self.process = subprocess.Popen(
            [BUILD / "tests/tools/dtls_client", "--port", str(port), "--timeout", "8000",
             "--cert", f"{certificate}.pem", "--key", f"{certificate}.key"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin(1),
        )  # fmt: skip
        self.goes_on = True
        self.handshakes = 0
        self.failure = None

    def told(self, kind):
        self.process.stdin.write(kind + struct.pack("!H", 0))
        self.process.stdin.flush()
        said, length = struct.unpack("!cH", self.process.stdout.read(3))
        return said, self.process.stdout.read(length)

    def run(self):
        while self.goes_on:
            said, what = self.told(b"H")
            if said != b"H":
                self.failure = what.decode()
                break
            self.handshakes += 1
            self.told(b"B")
        self.process.stdin.close()
        self.process.wait()


def goes_first():
    pin(1)()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pass  # then what is timed waits for the other clients as well


def updates(uri, seconds):
    report = run(uri, DEVICES, (), "--swarm-for", f"{seconds}s", "--swarm-update", EVERY, before=goes_first)
    return report["kinds"]["update"]


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as home:
        server, uri, web = start_server("coap", f"{home}/data", "--listen", "coaps://127.0.0.1:0")
        secured = int(server.listening[1].rsplit(":", 1)[1])
        certificate = make_certificate(Path(home), web)
        alone = updates(uri, seconds)
        clients = [Client(secured, certificate) for _ in range(CLIENTS)]
        before = time.monotonic()
        for client in clients:
            client.start()
        storm = updates(uri, seconds)
        for client in clients:
            client.goes_on = False
        lasted = time.monotonic() - before
        for client in clients:
            client.join()
        server.terminate()
        server.wait()
    failures = [client.failure for client in clients if client.failure]
    assert not failures, failures
    print(json.dumps({
        "bench": "storm of certificates", "devices": DEVICES,
        "handshakes_per_s": round(sum(client.handshakes for client in clients) / lasted),
        "p99_ms_alone": alone["latency_ms"]["p99"], "p99_ms": storm["latency_ms"]["p99"], "worst_ms": storm["latency_ms"]["max"],
    }), flush=True)  # fmt: skip


main()
