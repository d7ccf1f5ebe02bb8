#!/usr/bin/env python3
"""What a simulated device of `berth-device --swarm` costs, over each transport, and how fast they go: starts the berth-server
and berth-device of $BERTH_BUILD and prints one JSON line a transport.

usage: swarm.py [devices]      default: 10000; at most 5000 over TCP and 100 over TLS
"""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(os.environ.get("BERTH_BUILD", "build/release"))
KEY = "000102030405060708090a0b0c0d0e0f"
WAYS = {
    "UDP": ("coap", (), None),
    "DTLS, CID": ("coaps", ("--psk", f"%:{KEY}", "--cid"), "psk"),
    "OSCORE": ("coap", ("--oscore", f"sender=aa,recipient=,secret={KEY}"), "oscore"),
    "TCP": ("coap+tcp", (), None),
    "TLS": ("coaps+tcp", ("--psk", f"%:{KEY}"), "psk"),
}


def pin(core):
    return lambda: os.sched_setaffinity(0, {core % os.cpu_count()})


def start_server(scheme, data):
    server = subprocess.Popen(
        [BUILD / "berth-server", "--listen", f"{scheme}://127.0.0.1:0", "--http", "http://127.0.0.1:0", "--data", data],
        stdout=subprocess.PIPE, text=True, preexec_fn=pin(0),
    )  # fmt: skip
    said = []
    while "ready" not in (line := server.stdout.readline()):
        said += re.findall(r"listening (\S+)", line)
    return server, said[0], said[-1].removeprefix("http://")


def provide(web, count, mode):
    connection = http.client.HTTPConnection(web)
    for number in range(count):
        name = f"swarm-{number:06d}"
        body = {"mode": "psk", "identity": name, "key_hex": KEY}
        if mode == "oscore":
            body = {"mode": "oscore", "sender_id_hex": "", "recipient_id_hex": f"aa{number:06x}", "master_secret_hex": KEY}
        connection.request("PUT", f"/v1/credentials/{name}", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201, answer.status


def run(uri, count, options, *load):
    load = ("--swarm-stay", "--lifetime", "86400", *load)
    done = subprocess.run(
        [BUILD / "berth-device", "--swarm", str(count), "--server", uri, *load, *options],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=pin(1), check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main():
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    for way, (scheme, options, mode) in WAYS.items():
        count = min(asked, {"TCP": 5000, "TLS": 100}.get(way, asked))
        with tempfile.TemporaryDirectory() as data:
            server, uri, web = start_server(scheme, data)
            if mode is not None:
                provide(web, count, mode)
            few = run(uri, count // 10, options, "--swarm-for", "1ms")
            report = run(uri, count, options, "--swarm-for", "2s", "--swarm-update", "closed")
            server.terminate()
            server.wait()
        kinds = report["kinds"]
        assert report["swarm"]["registered"] == count, report
        print(json.dumps({
            "bench": "swarm", "transport": way, "devices": count,
            "bytes_each": round((report["memory_bytes"] - few["memory_bytes"]) / (count - count // 10)), "process_bytes": report["memory_bytes"],
            "registrations_per_s": kinds["register"]["per_s"], "updates_per_s": kinds["update"]["per_s"],
            "p99_ms_update": kinds["update"]["latency_ms"]["p99"], "retransmissions": report["retransmissions"],
        }), flush=True)  # fmt: skip


main()
