"""LeshanDevice: a device on Leshan's client library (Maven Central: leshan-client-cf), played by leshan/LeshanDevice.java.

script/test fetches the library into build/interop/leshan where there are a JDK and Maven; elsewhere its tests are skipped.
"""

from __future__ import annotations

import queue
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from berth_process import ROOT

JARS = ROOT / "build/interop/leshan"
SOURCE = Path(__file__).parent / "leshan/LeshanDevice.java"


class LeshanDevice:
    def __init__(self, classes: Path, uri: str, endpoint: str, **options: str):
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [
                *("java", "-cp", f"{JARS}/*:{classes}", "LeshanDevice", uri, endpoint),
                *(f"{name}={value}" for name, value in options.items()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line.rstrip())
        self.lines.put(None)

    def command(self, line: str) -> None:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self, start: str) -> str:
        """The next line that begins so."""
        while (line := self.lines.get(timeout=30)) is not None:
            if line.startswith(start):
                return line
        raise AssertionError(f"Leshan ended without a line {start!r}")

    def quit(self) -> None:
        """It deregisters and ends."""
        self.command("quit")
        self.line("ended")
        assert self.process.wait(20) == 0


def compile_device(folder: Path) -> Path:
    """Where its classes are."""
    if not (JARS / "stamp").exists() or shutil.which("javac") is None:
        pytest.skip("no Leshan: script/test fetches it where there are mvn and javac")
    subprocess.run(["javac", "-cp", f"{JARS}/*", "-d", str(folder), str(SOURCE)], check=True, timeout=100)
    return folder
