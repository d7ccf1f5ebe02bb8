"""docs/performance/flame.svg: where the server's time goes while devices update, register and send. A frame's width is its
share of the samples of the berth-server of $BERTH_BUILD; what it called lies on it. Needs perf, and the right to use it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BERTH_BUILD", ROOT / "build/release"))
OUT = ROOT / "docs/performance/flame.svg"
WIDTH, HEIGHT, LETTER, SECONDS, LEAST = 1100, 17, 6.6, 8, 0.002
COLOURS = {"kernel": "#cbd5e0", "sqlite": "#f6ad55", "mbedtls": "#9ae6b4", "berth": "#90cdf4", "else": "#e2e8f0"}


def kind_of(symbol: str, place: str) -> str:
    if "kernel" in place or place.startswith("[k"):
        return "kernel"
    for part in ("sqlite", "mbedtls", "berth"):
        if part in place or symbol.startswith(part):
            return part
    return "mbedtls" if re.search(r"mbed|tfpsa", place) else "else"


def record(data: str) -> list[tuple[tuple[str, str], ...]]:
    """Samples, each from the outermost frame to the innermost: (symbol, kind)."""
    server = subprocess.Popen(
        [BUILD / "berth-server", "--listen", "coap://127.0.0.1:0", "--http", "off", "--data", f"{data}/berth"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {0}),
    )  # fmt: skip
    said = []
    while "ready" not in (line := server.stdout.readline()):
        said += re.findall(r"listening (\S+)", line)
    load = ["--swarm-update", "closed", "--swarm-send", "1s", "--swarm-for", f"{SECONDS + 2}s"]
    swarm = subprocess.Popen(
        [BUILD / "berth-device", "--swarm", "20000", "--server", said[0], *load],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=lambda: os.sched_setaffinity(0, {1 % os.cpu_count()}),
    )  # fmt: skip
    try:
        perf = ["perf", "record", "-q", "--call-graph", "dwarf,8192", "-F", "499", "-p", str(server.pid), "-o", f"{data}/perf"]
        subprocess.run([*perf, "--", "sleep", str(SECONDS)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        swarm.kill()
        server.terminate()
        swarm.wait()
        server.wait()
    script = ["perf", "script", "-i", f"{data}/perf", "-F", "ip,sym,dso", "--no-inline"]
    text = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    samples = []
    for block in text.split("\n\n"):
        frames = [re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)", line) for line in block.splitlines() if line.strip()]
        stack = [(frame.group(1), kind_of(frame.group(1), frame.group(2))) for frame in frames if frame]
        while stack and stack[-1][0] == "[unknown]":  # frames of libraries that tell nothing of theirs
            stack.pop()
        if stack:
            samples.append(tuple(reversed(stack)))
    return samples


def draw(samples: list[tuple[tuple[str, str], ...]]) -> str:
    total = len(samples)
    counts: Counter = Counter()
    for stack in samples:
        for depth in range(1, len(stack) + 1):
            counts[stack[:depth]] += 1
    starts: dict[tuple, float] = {(): 0.0}
    taken: Counter = Counter()
    shapes, deepest = [], 0
    for stack in sorted(counts, key=lambda stack: (len(stack), [name for name, _ in stack])):
        if counts[stack] < total * LEAST or stack[:-1] not in starts:
            continue
        x = starts[stack[:-1]] + taken[stack[:-1]] * WIDTH / total
        taken[stack[:-1]] += counts[stack]
        starts[stack] = x
        deepest = max(deepest, len(stack))
        shapes.append((x, len(stack), counts[stack] * WIDTH / total, *stack[-1], counts[stack] / total))
    height = (deepest + 1) * HEIGHT
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">']
    for x, depth, width, name, kind, share in shapes:
        y = height - depth * HEIGHT
        room = int((width - 4) / LETTER)
        label = name if len(name) <= room else name[: max(0, room - 1)] + "…" if room > 3 else ""
        out.append(
            f'<g><title>{escape(name)}: {share:.1%}</title><rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.5):.1f}" '
            f'height="{HEIGHT - 1}" fill="{COLOURS[kind]}"/><text x="{x + 2:.1f}" y="{y + 12}">{escape(label)}</text></g>'
        )
    return "\n".join([*out, "</svg>", ""])


def main() -> int:
    if shutil.which("perf") is None:
        print("bench: --flame needs perf", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as data:
        samples = record(data)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(draw(samples))
    print(f"{OUT.relative_to(ROOT)}: {len(samples)} samples")
    return 0


sys.exit(main())
