#!/usr/bin/env python3
"""What a simulated device of `berth-device --swarm` costs, over each transport, and how fast they go: starts the berth-server
and berth-device of $BERTH_BUILD and prints one JSON line a transport.

usage: swarm.py [devices]      default: 10000; at most 5000 over TCP and 100 over TLS
"""

import json
import sys
import tempfile

from swarm_server import KEY, provide, run, start_server

WAYS = {
    "UDP": ("coap", (), None),
    "DTLS, CID": ("coaps", ("--psk", f"%:{KEY}", "--cid"), "psk"),
    "OSCORE": ("coap", ("--oscore", f"sender=aa,recipient=,secret={KEY}"), "oscore"),
    "TCP": ("coap+tcp", (), None),
    "TLS": ("coaps+tcp", ("--psk", f"%:{KEY}"), "psk"),
}


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
