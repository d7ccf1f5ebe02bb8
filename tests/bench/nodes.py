#!/usr/bin/env python3
"""What several servers on one PostgreSQL cost: Registers and Updates of 1, 2 and 3 nodes beside one server with SQLite, all of
them through the node that serves, and through one that stands by where it passes on what comes to it. What a request costs the
node that serves, those that stand by together, PostgreSQL and the load tells what bounds it: `most_per_s` is how many a second
there can be if each has a core, and the disk is fast enough.

The node that serves has core 0, all else the last one. Starts the berth-server and berth-device of $BERTH_BUILD, and a
PostgreSQL that writes to disk before it answers. Prints one JSON line for each layout.

With --events: what it costs to keep the events in the database, as a cluster does: one node of a cluster beside one server
that is none, five times each in turn, and the medians.

usage: nodes.py [--events] [devices [seconds]]      default: 20000 5
"""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from swarm_server import pin

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BERTH_BUILD", ROOT / "build/release"))
UPDATING = 128
PATIENCE_S = 60
ROUNDS = 5

sys.path.append(str(ROOT / "tests/tools"))
import postgresql  # noqa: E402


def cpu_of(pid: int) -> float:
    """Seconds, of all its threads."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)
    except OSError:  # it has ended
        return 0.0


def cpu_of_family(pid: int) -> float:
    spent = cpu_of(pid)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                spent += cpu_of(int(stat.parent.name))
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            pass
    return spent


class Node:
    """`uri` is where devices knock, once it serves or passes on."""

    def __init__(self, data: Path, options: list[str], core: int):
        self.uri = self.web = ""
        command = [BUILD / "berth-server", "--listen", "coap://127.0.0.1:0", "--http", "http://127.0.0.1:0", "--data", data]
        self.process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=pin(core)
        )

    def await_line(self, *last: str) -> None:
        while True:
            line = self.process.stdout.readline()
            assert line, "a server does not start"
            found = re.match(r"(?:listening|standing by) (\S+)", line)
            if found and found[1].startswith("coap"):
                self.uri = found[1]
            elif found:
                self.web = found[1]
            if line.strip() in last:
                # What it says from now on is nobody's; it must not wait for a reader.
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return

    def passes_on(self) -> bool:
        """Whether devices may knock at it although it stands by."""
        if urlsplit(self.uri).port in (None, 0):
            return False
        deadline = time.monotonic() + 5  # it connects to the one that serves
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection(urlsplit(self.web).netloc, timeout=PATIENCE_S)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return True
            time.sleep(0.1)
        return False

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Layout:
    def __init__(self, name: str, nodes: list[Node], cluster: postgresql.Cluster | None):
        self.name, self.nodes, self.cluster = name, nodes, cluster

    def spent(self) -> dict[str, float]:
        others = sum(cpu_of(node.process.pid) for node in self.nodes[1:])
        times = os.times()
        database = cpu_of_family(self.cluster.process.pid) if self.cluster else 0.0
        load = times.children_user + times.children_system
        return {"server": cpu_of(self.nodes[0].process.pid), "others": others, "database": database, "load": load}

    def load(self, knocks_at: Node, endpoint: str, devices: int, *options: str) -> tuple[dict, dict[str, float]]:
        """What the swarm says, and the seconds that each has spent meanwhile."""
        command = [BUILD / "berth-device", "--swarm", str(devices), "--server", knocks_at.uri, "--endpoint", endpoint]
        before = self.spent()
        done = subprocess.run(
            [*command, "--lifetime", "86400", "--swarm-stay", *options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=pin(os.cpu_count() - 1), timeout=600, check=True,
        )  # fmt: skip
        return json.loads(done.stdout), {who: seconds - before[who] for who, seconds in self.spent().items()}

    def measure(self, through: str, knocks_at: Node, devices: int, seconds: int) -> None:
        self.load(knocks_at, f"warm-{through}", 200, "--swarm-for", "100ms", "--swarm-update", "closed")
        registered, cost = self.load(knocks_at, f"new-{through}", devices, "--swarm-for", "1ms", "--swarm-update", "1d")
        assert registered["swarm"]["registered"] == devices, registered
        self.tell("Register", through, registered["kinds"]["register"], cost)
        updated, cost = self.load(
            knocks_at, f"warm-{through}", UPDATING, "--swarm-for", f"{seconds}s", "--swarm-update", "closed"
        )
        assert updated["kinds"]["update"]["failed"] == 0, updated
        self.tell("Update", through, updated["kinds"]["update"], cost)

    def tell(self, request: str, through: str, figures: dict, cost: dict[str, float]) -> None:
        each = {who: 1e6 * seconds / figures["good"] for who, seconds in cost.items()}
        bound_by = max((who for who in each if who != "load"), key=each.get)
        print(json.dumps({
            "bench": "nodes", "request": request, "database": self.name, "nodes": len(self.nodes), "through": through,
            "per_s": round(figures["per_s"]), "p99_ms": figures["latency_ms"]["p99"],
            **{f"cpu_us_{who}": round(us, 2) for who, us in each.items()},
            "bound_by": bound_by, "most_per_s": round(1e6 / each[bound_by]),
        }), flush=True)  # fmt: skip


def measure_sqlite(directory: Path, devices: int, seconds: int) -> None:
    node = Node(directory / "sqlite", [], 0)
    try:
        node.await_line("ready")
        Layout("SQLite", [node], None).measure("the one that serves", node, devices, seconds)
    finally:
        node.end()


def measure_nodes(directory: Path, cluster: postgresql.Cluster, count: int, devices: int, seconds: int) -> None:
    key = directory / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    options = ["--database", cluster.database_for(count)]
    if count > 1:
        options += ["--cluster", "--key-file", str(key)]
    nodes: list[Node] = []
    try:
        for number in range(count):
            nodes.append(Node(directory / f"{count}-{number}", options, 0 if number == 0 else os.cpu_count() - 1))
            nodes[-1].await_line("ready" if number == 0 else "standing by")
        layout = Layout("PostgreSQL", nodes, cluster)
        layout.measure("the one that serves", nodes[0], devices, seconds)
        if count > 1 and nodes[1].passes_on():
            layout.measure("one that stands by", nodes[1], devices, seconds)
    finally:
        for node in nodes:
            node.end()
        cluster.drop_for(count)


def written(cluster: postgresql.Cluster) -> int:
    """Bytes of its log, since it was made."""
    return int(cluster.sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"))


def cost_of(node: Node, layout: Layout, devices: int, seconds: int) -> dict[str, list[float]]:
    """Of a Register and an Update: microseconds of the server and of the database, and bytes that the database has logged."""
    layout.load(node, "warm", UPDATING, "--swarm-for", "100ms", "--swarm-update", "closed")
    cost = {}
    for kind, endpoint, count, options in (
        ("register", "new", devices, ("--swarm-for", "1ms", "--swarm-update", "1d")),
        ("update", "warm", UPDATING, ("--swarm-for", f"{seconds}s", "--swarm-update", "closed")),
    ):
        before = written(layout.cluster)
        report, spent = layout.load(node, endpoint, count, *options)
        done = report["kinds"][kind]["good"]
        each = [1e6 * spent[who] / done for who in ("server", "database")]
        cost[kind] = [*each, (written(layout.cluster) - before) / done, report["kinds"][kind]["per_s"]]
    return cost


def measure_events(directory: Path, cluster: postgresql.Cluster, devices: int, seconds: int) -> None:
    key = directory / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    costs: dict[bool, list] = {False: [], True: []}
    for number in range(2 * ROUNDS):
        keeps = number % 2 == 1
        options = ["--database", cluster.database_for(number), *(("--cluster", "--key-file", str(key)) if keeps else ())]
        node = Node(directory / str(number), options, 0)
        try:
            node.await_line("ready")
            costs[keeps].append(cost_of(node, Layout("PostgreSQL", [node], cluster), devices, seconds))
        finally:
            node.end()
            cluster.drop_for(number)
    for kind in ("register", "update"):
        for keeps, rounds in costs.items():
            medians = [statistics.median(cost[kind][which] for cost in rounds) for which in range(4)]
            print(json.dumps({
                "bench": "nodes --events", "request": kind.capitalize(), "events": "kept" if keeps else "not kept",
                "cpu_us_server": round(medians[0], 2), "cpu_us_database": round(medians[1], 2),
                "bytes_logged": round(medians[2]), "per_s": round(medians[3]),
            }), flush=True)  # fmt: skip


def main() -> None:
    of_events = "--events" in sys.argv
    numbers = [int(word) for word in sys.argv[1:] if word != "--events"]
    devices, seconds = [*numbers, *(20000, 5)[len(numbers) :]]
    with tempfile.TemporaryDirectory() as data:
        directory = Path(data)
        if not of_events:
            measure_sqlite(directory, devices, seconds)
        if postgresql.programs() is None:
            print("nodes: no PostgreSQL here", file=sys.stderr)
            return
        postgresql.OPTIONS.update({"fsync": "on", "shared_buffers": "256MB"})
        cluster = postgresql.Cluster()
        try:
            os.sched_setaffinity(cluster.process.pid, {os.cpu_count() - 1})
            if of_events:
                measure_events(directory, cluster, devices, seconds)
            for count in () if of_events else (1, 2, 3):
                measure_nodes(directory, cluster, count, devices, seconds)
        finally:
            cluster.close()


main()
