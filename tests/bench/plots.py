"""The plots of docs/performance.md, from what report.py has measured."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "berth"  # the same figures make the same file
matplotlib.rcParams["svg.fonttype"] = "none"  # letters, not their shapes
import matplotlib.pyplot as plt  # noqa: E402

OURS, OTHERS = "#2b6cb0", "#a0aec0"


def find(results: dict, program: str, **about: object) -> dict:
    for line in results.get(program, []):
        if all(line.get(name) == value for name, value in about.items()):
            return line
    return {}


def save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def bars(path: Path, title: str, unit: str, values: list[tuple[str, float | None, str]]) -> None:
    values = [(name, value, colour) for name, value, colour in values if value is not None]
    if not values:
        return
    figure, axes = plt.subplots(figsize=(7, 0.6 + 0.36 * len(values)))
    names = [name for name, _, _ in values][::-1]
    drawn = axes.barh(names, [value for _, value, _ in values][::-1], color=[colour for _, _, colour in values][::-1])
    axes.bar_label(drawn, fmt=lambda value: f"{value:,.1f}" if value < 100 else f"{value:,.0f}", padding=3)
    axes.set_title(title, loc="left")
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    save(figure, path)


def draw_requests(results: dict, to: Path) -> None:
    plain = results.get("registrations", [{}])[0]
    dtls, oscore = find(results, "dtls_updates", bench="updates"), find(results, "oscore_updates")
    tcp, tls = find(results, "connections", updates_over="tcp"), find(results, "tls", updates_over="tls")
    bars(to / "requests.svg", "CPU of the server for one request", "µs", [
        ("bare UDP echo of libuv", plain.get("cpu_us_per_echo"), OTHERS),
        ("Update, UDP", plain.get("cpu_us_per_update"), OURS),
        ("Update, DTLS with CID", dtls.get("cpu_us_dtls_cid"), OURS),
        ("Update, OSCORE", oscore.get("cpu_us_per_protected_update"), OURS),
        ("Update, TCP", tcp.get("cpu_us_per_update"), OURS),
        ("Update, TLS", tls.get("cpu_us_per_update"), OURS),
        ("Register, durable, UDP", plain.get("cpu_us_per_registration"), OURS),
        ("Register, durable, DTLS", dtls.get("cpu_us_registration_dtls"), OURS),
    ])  # fmt: skip


def draw_scale(results: dict, to: Path) -> None:
    lines = sorted(results.get("registrations", []), key=lambda line: line["devices"])
    if len(lines) < 2:
        return
    figure, (time, memory) = plt.subplots(1, 2, figsize=(8, 3.2))
    devices = [line["devices"] for line in lines]
    for name, label, colour in (("cpu_us_per_registration", "Register", OURS), ("cpu_us_per_update", "Update", "#63b3ed"),
                                ("cpu_us_per_echo", "echo", OTHERS)):  # fmt: skip
        time.plot(devices, [line[name] for line in lines], "o-", label=label, color=colour)
    time.set(xscale="log", xlabel="devices", ylabel="µs of CPU each", ylim=(0, None))
    time.legend(frameon=False)
    memory.plot(devices, [line["memory_per_device"] for line in lines], "o-", color=OURS, label="memory")
    memory.plot(devices, [line["disk_per_device"] for line in lines], "o-", color=OTHERS, label="disk")
    memory.set(xscale="log", xlabel="devices", ylabel="bytes each", ylim=(0, None))
    memory.legend(frameon=False)
    for axes in (time, memory):
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, to / "scale.svg")


def draw_peers(results: dict, to: Path) -> None:
    lines = results.get("peers.py", [])
    for name, column, title, unit in (
        ("peers-cpu", "cpu_us_per_update", "CPU of the server for one Update, same load", "µs"),
        ("peers-memory", "bytes_each", "Memory of the server for one registered device", "bytes"),
    ):
        ordered = sorted((line for line in lines if column in line), key=lambda line: line[column])
        bars(to / f"{name}.svg", title, unit, [
            (line["server"], line[column], OURS if line["server"].startswith("Berth") else OTHERS) for line in ordered
        ])  # fmt: skip


def draw(results: dict, to: Path) -> None:
    for each in (draw_requests, draw_scale, draw_peers):
        each(results, to)
