#!/usr/bin/env python3
"""What others need for the same: servers that a user would take instead, each loaded by the same swarm, by turns on core 0.
Tells what a registered device and its Register and Update cost the server. Prints a JSON line for each of

- Berth, which has written every registration to disk before it answers (the others keep them in memory alone),
- Leshan's library on Californium, from Maven Central (where there are javac and mvn); after a warm-up, its heap after garbage
  collection as its memory,
- go-coap (where there is Go, and its module proxy can be reached): go-coap/main.go, some lines on the library,
- aiocoap (where build/venv has it): aiocoap_server.py, some lines on the library,
- libcoap's coap-rd (where it is installed), which refuses Updates by POST and so has none.

usage: peers.py [devices]      default: 20000
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from swarm_server import pin

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BERTH_BUILD", ROOT / "build/release"))
HERE = Path(__file__).parent
JARS = ROOT / "build/interop/bench-leshan"
ROUNDS, UPDATING = 3, 64


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server at a port of 127.0.0.1; `says` is a line with which it tells that it is ready, None: it does not."""

    def __init__(self, name: str, command: list[str], port: int, says: str | None = "ready", updates: bool = True):
        self.name, self.port, self.updates = name, port, updates
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=pin(0)
        )
        while says is not None and says not in (line := self.process.stdout.readline()):
            assert line, f"{name} does not start"
        if says is None:
            time.sleep(1)
        self.registers, self.update_costs, self.rates, self.p99 = [], [], [], []

    def cpu_us(self) -> float:
        return time.clock_gettime_ns(~self.process.pid << 3 | 2) / 1e3  # clock_getcpuclockid(3): of all its threads

    def memory(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no memory")

    def load(self, name: str, devices: int, *options: str) -> dict:
        command = [BUILD / "berth-device", "--swarm", str(devices), "--server", f"coap://127.0.0.1:{self.port}"]
        more = ["--endpoint", name, "--lifetime", "86400", "--swarm-stay", *options]
        done = subprocess.run([*command, *more], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=pin(1))
        return json.loads(done.stdout)

    def register(self, name: str, devices: int) -> None:
        before = self.cpu_us()
        report = self.load(name, devices, "--swarm-for", "1ms", "--swarm-update", "1d")
        assert report["swarm"]["registered"] == devices, (self.name, report)
        self.registers.append((self.cpu_us() - before) / devices)

    def update(self, seconds: float) -> None:
        before = self.cpu_us()
        report = self.load("update", UPDATING, "--swarm-for", f"{int(seconds * 1000)}ms", "--swarm-update", "closed")
        figure = report["kinds"]["update"]
        assert figure["failed"] == 0 and figure["good"] > 0, (self.name, report)
        spent = self.cpu_us() - before - UPDATING * (self.registers[-1] if self.registers else 0)
        self.update_costs.append(spent / figure["good"])
        self.rates.append(figure["per_s"])
        self.p99.append(figure["latency_ms"]["p99"])

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Leshan(Server):
    def memory(self) -> int:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def start_leshan(classes: str) -> Server | None:
    if shutil.which("javac") is None or shutil.which("mvn") is None:
        return None
    if not JARS.exists():
        fetch = ["mvn", "-q", "-B", "-f", HERE / "leshan/pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={JARS}"]
        if subprocess.run(fetch, stdout=subprocess.DEVNULL).returncode != 0:
            return None
    subprocess.run(["javac", "-cp", f"{JARS}/*", "-d", classes, HERE / "leshan/LeshanServer.java"], check=True)
    port = free_port()
    return Leshan("Leshan 2.0.0-M15", ["java", "-cp", f"{JARS}/*:{classes}", "LeshanServer", str(port)], port)


def start_go_coap(to: str) -> Server | None:
    if shutil.which("go") is None:
        return None
    build = ["go", "build", "-o", f"{to}/go-coap", "."]
    if subprocess.run(build, cwd=HERE / "go-coap", stdout=subprocess.DEVNULL, env=os.environ | {"CGO_ENABLED": "0"}).returncode != 0:
        return None
    port = free_port()
    return Server("go-coap", [f"{to}/go-coap", f"127.0.0.1:{port}"], port)


def start_aiocoap() -> Server | None:
    python = ROOT / "build/venv/bin/python"
    if not python.exists() or subprocess.run([python, "-c", "import aiocoap"], stderr=subprocess.DEVNULL).returncode != 0:
        return None
    port = free_port()
    return Server("aiocoap", [python, HERE / "aiocoap_server.py", str(port)], port)


def start_libcoap() -> Server | None:
    program = shutil.which("coap-rd") or shutil.which("coap-rd-notls")
    port = free_port()
    if program is None:
        return None
    return Server("libcoap's coap-rd", [program, "-A", "127.0.0.1", "-p", str(port)], port, says=None, updates=False)


def start_berth(data: str) -> Server:
    port = free_port()
    command = [BUILD / "berth-server", "--listen", f"coap://127.0.0.1:{port}", "--http", "off", "--data", data]
    return Server("Berth", command, port)


def main() -> None:
    devices = int(sys.argv[1]) if len(sys.argv) > 1 else 20000
    seconds = 3 if devices >= 10000 else 1
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as built:
        started = [start_berth(data), start_leshan(built), start_go_coap(built), start_aiocoap(), start_libcoap()]
        servers = [server for server in started if server is not None]
        try:
            for server in servers:  # what is compiled while it runs is compiled now
                server.load("warm", 200, "--swarm-for", f"{seconds}s", "--swarm-update", "closed" if server.updates else "1d")
            before = {server.name: server.memory() for server in servers}
            for number in range(ROUNDS):
                for server in servers:
                    server.register(f"r{number}", devices // ROUNDS)
            each = {server.name: (server.memory() - before[server.name]) / (devices // ROUNDS * ROUNDS) for server in servers}
            for _ in range(ROUNDS):
                for server in (server for server in servers if server.updates):
                    server.update(seconds)
        finally:
            for server in servers:
                server.end()
        for server in servers:
            line = {"bench": "peers", "server": server.name, "devices": devices, "bytes_each": round(each[server.name]),
                    "cpu_us_per_registration": round(statistics.median(server.registers), 2)}  # fmt: skip
            if server.updates:
                line |= {"cpu_us_per_update": round(statistics.median(server.update_costs), 2),
                         "updates_per_s": round(statistics.median(server.rates)), "p99_ms": statistics.median(server.p99)}  # fmt: skip
            print(json.dumps(line), flush=True)


main()
