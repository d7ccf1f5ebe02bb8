"""Runs the programs of tests/bench one after the other, several times over, and tells the medians: as a table, as
build/bench/results.json, and (--document) as the tables and plots of docs/performance.md and docs/scaling.md.

Every program prints JSON objects, a line each. What is compared (server and echo, DTLS and plain) is measured by turns
within one program; whole rounds of all programs follow each other, so that what else the machine does meets all of them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/bench"
BUILD = Path(os.environ.get("BERTH_BUILD", ROOT / "build/release"))
RESULTS = ROOT / "build/bench/results.json"
DOCUMENTS = [ROOT / "docs/performance.md", ROOT / "docs/scaling.md"]
PLOTS = ROOT / "docs/performance"

# Whole and quick arguments of those that have some; NOT_HERE is run by itself, since it proves or reckons and does not measure.
ARGUMENTS = {
    "registrations": (["1000", "10000", "100000"], ["1000", "5000"]),
    "dtls_updates": (["100000"], ["3000"]),
    "oscore_updates": (["1000", "100000"], ["500", "20000"]),
    "connections": (["1000", "10000", "2000"], ["200", "1000", "200"]),
    "tls": (["50000", "5000", "1000"], ["5000", "200", "50"]),
    "notifications": (["1000", "200000"], ["500", "20000"]),
    "reads": (["100000"], ["10000"]),
    "http": (["200000"], ["20000"]),
    "directory": (["1000000"], ["50000"]),
    "bootstrap": (["100", "3"], ["20", "1"]),
    "codecs": (["1"], ["0.1"]),
    "dtls": (["1"], ["0.2"]),
    "store": ([], ["5000"]),
    "pelion": (["100000", "1000"], ["5000", "50"]),
    "memory": (["100000"], ["20000"]),
    "swarm.py": (["10000"], ["1000"]),
    "million": (["100000"], ["5000"]),
    "certificates.py": (["10"], ["3"]),
    "workers.py": (["10000"], ["2000"]),
    "nodes.py": (["20000", "5"], ["3000", "1"]),
    "peers.py": (["20000"], ["2000"]),
}
NOT_HERE = {"dtls_crash", "takeover"}

# What an object is about, and not what was measured.
ABOUT = {"bench", "devices", "suite", "aead", "format", "transport", "updates_over", "idle_connections", "storm_of", "waiting",
         "sessions", "server", "reads", "values", "bytes", "listening", "workers", "request", "database", "nodes", "through"}  # fmt: skip


def programs() -> list[Path]:
    compiled = [BUILD / "tests/bench" / source.stem for source in HERE.glob("*.c")]
    others = [path for path in HERE.iterdir() if path.is_file() and os.access(path, os.X_OK)]
    return sorted((path for path in compiled + others if path.stem not in NOT_HERE), key=lambda path: path.name)


def machine() -> dict:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "cpu": cpu.group(1) if cpu else platform.processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "commit": commit.stdout.strip(),
        "date": datetime.date.today().isoformat(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def run(program: Path, arguments: list[str]) -> list[dict] | None:
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode != 0:
        print(f"bench: {program.name} has failed:\n{done.stderr[-2000:]}", file=sys.stderr)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for line in found:
        print(json.dumps(line), flush=True)
    return found if done.returncode == 0 else None


def identity(line: dict) -> str:
    """Lines of other rounds with the same one are of the same thing."""
    return json.dumps({name: value for name, value in line.items() if name in ABOUT}, sort_keys=True)


def median_of(lines: list[dict]) -> dict:
    first = lines[0]
    numbers = {
        name: statistics.median(line[name] for line in lines)
        for name, value in first.items()
        if name not in ABOUT and isinstance(value, (int, float)) and all(name in line for line in lines)
    }
    return {**first, **numbers}


def kept(before: dict, name: str, lines: dict[str, list[dict]]) -> list[dict]:
    """What was measured before of something else, such as another number of devices."""
    return [line for line in before.get(name, []) if identity(line) not in lines]


def measure(rounds: int, quick: bool, only: list[str], arguments: list[str] | None) -> int:
    lines: dict[str, dict[str, list[dict]]] = {}
    failed = set()
    about = {**machine(), "rounds": rounds, "quick": quick}
    before = json.loads(RESULTS.read_text())["results"] if only and RESULTS.exists() else {}
    results = before
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    chosen = [program for program in programs() if not only or program.stem in only or program.name in only]
    for number in range(rounds):
        for program in chosen:
            print(f"--- {program.name}, round {number + 1} of {rounds}", flush=True)
            found = run(program, ARGUMENTS.get(program.name, ([], []))[quick] if arguments is None else arguments)
            if found is None:
                failed.add(program.name)
            for line in found or []:
                lines.setdefault(program.name, {}).setdefault(identity(line), []).append(line)
            results = before | {name: [*kept(before, name, of), *map(median_of, of.values())] for name, of in lines.items()}
            RESULTS.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
    for name in sorted(results):
        print(f"\n{name}\n" + "\n".join(tables(results[name])))
    if failed:
        print(f"bench: failed: {' '.join(sorted(failed))}", file=sys.stderr)
    return 1 if failed else 0


# ---- tables ----


def cell(value: object) -> str:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return str(value)
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}"


def tables(lines: list[dict]) -> list[str]:
    """A table for each set of columns."""
    out: list[str] = []
    shapes: dict[tuple, list[dict]] = {}
    for line in lines:
        shapes.setdefault(tuple(name for name in line if name != "bench"), []).append(line)
    for columns, rows in shapes.items():
        names = sorted({row["bench"] for row in rows})
        head = ["bench", *columns] if len(names) > 1 else list(columns)
        out += ["", "| " + " | ".join(name.replace("_", " ") for name in head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
        out += ["| " + " | ".join(cell(row[name]) for name in head) + " |" for row in rows]
    return out


def document() -> int:
    """The tables stand between `<!-- bench: NAME -->` and `<!-- end -->`."""
    if not RESULTS.exists():
        print("bench: nothing was measured yet", file=sys.stderr)
        return 1
    found = json.loads(RESULTS.read_text())
    about, results = found["machine"], found["results"]

    def put(match: re.Match) -> str:
        name = match.group(1)
        if name == "machine":
            text = (f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}; commit {about['commit']}, {about['date']}; "
                    f"medians of {about['rounds']} round{'s' if about['rounds'] > 1 else ''}"
                    f"{', small loads (`--quick`)' if about['quick'] else ''}; load before it began {about['load_before']}.")  # fmt: skip
        else:
            text = "\n".join(tables(results.get(name, [])))[1:] or "(not measured)"
        return f"<!-- bench: {name} -->\n{text}\n<!-- end -->"

    for path in DOCUMENTS:
        path.write_text(re.sub(r"<!-- bench: (\S+) -->\n.*?<!-- end -->", put, path.read_text(), flags=re.DOTALL))
    from plots import draw  # needs matplotlib

    PLOTS.mkdir(exist_ok=True)
    draw(results, PLOTS)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench")
    parser.add_argument("--quick", action="store_true", help="small loads, once")
    parser.add_argument("--rounds", type=int, help="[3, or 1]")
    parser.add_argument("--only", action="append", default=[], help="this program alone, beside what was measured before")
    parser.add_argument("--with", dest="arguments", help="arguments for it, instead of those that it has here")
    parser.add_argument("--document", action="store_true", help="into docs/performance.md and docs/scaling.md")
    options = parser.parse_args()
    if options.document:
        return document()
    return measure(options.rounds or (1 if options.quick else 3), options.quick, options.only,
                   None if options.arguments is None else options.arguments.split())  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
