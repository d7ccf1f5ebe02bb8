#!/usr/bin/env python3
"""What `--workers` brings: CPU time of the loop's thread, of those beside it that fetch and send datagrams, and of the pool,
for one Update over UDP and over DTLS, and for one handshake with a key and its Register. The loop is what there is only one
of: 1 s by its time for one request is how many a second there can be, given cores for the other threads.

Starts the berth-server and berth-device of $BERTH_BUILD, and prints one JSON line for each number of workers.

usage: workers.py [devices [workers...]]      default: 2000 1 2 3
"""

import json
import re
import sys
import tempfile
from pathlib import Path

import swarm_server
from swarm_server import KEY, provide, start_server


def cpu_of(server):
    """Microseconds of the loop, of the workers, and of all other threads."""
    spent = {"loop": 0, "workers": 0, "others": 0}
    for task in Path(f"/proc/{server.pid}/task").iterdir():
        kind = "loop" if int(task.name) == server.pid else "others"
        if re.match(r"udp-\d", (task / "comm").read_text()):
            kind = "workers"
        spent[kind] += int((task / "schedstat").read_text().split()[0]) / 1000
    return spent


def run(server, uri, count, options, *load):
    """The report, and the server's CPU time for it."""
    before = cpu_of(server)
    report = swarm_server.run(uri, count, options, *load)
    return report, {kind: us - before[kind] for kind, us in cpu_of(server).items()}


def measure(scheme, options, count, workers, seconds="3s"):
    with tempfile.TemporaryDirectory() as data:
        server, uri, web = start_server(scheme, data, "--workers", str(workers))
        if scheme == "coaps":
            provide(web, count, "psk")
        report, register = run(server, uri, count, options, "--swarm-for", "1ms")
        assert report["swarm"]["registered"] == count, report
        begun = {kind: us / count for kind, us in register.items()}
        # A second swarm registers anew; that is left out by the difference to one that does nothing else.
        _, again = run(server, uri, count, options, "--swarm-for", "1ms")
        report, both = run(server, uri, count, options, "--swarm-for", seconds, "--swarm-update", "closed")
        server.terminate()
        server.wait()
    update = report["kinds"]["update"]
    updates = {kind: (both[kind] - again[kind]) / update["good"] for kind in both}
    return begun, updates


def told(workers, request, spent, **more):
    print(json.dumps({
        "bench": "workers", "workers": workers, "request": request, "cpu_us_loop": round(spent["loop"], 2),
        "cpu_us_workers": round(spent["workers"], 2), "cpu_us_others": round(spent["others"], 2),
        "most_per_s": round(1e6 / spent["loop"]), **more,
    }), flush=True)  # fmt: skip


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for workers in [int(word) for word in sys.argv[2:]] or [1, 2, 3]:
        _, plain = measure("coap", (), count, workers)
        handshake, secure = measure("coaps", ("--psk", f"%:{KEY}", "--cid"), count, workers)
        told(workers, "Update", plain)
        told(workers, "Update, DTLS with CID", secure)
        told(workers, "handshake with a key, and Register", handshake)


main()
