"""Devices on Java libraries, each a program of ours in a folder here beside the pom.xml that names its library.

script/test fetches the libraries into build/interop/FOLDER where there are a JDK and Maven; elsewhere their tests are
skipped.
"""

from __future__ import annotations

import queue
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from berth_process import ROOT

HERE = Path(__file__).parent


def class_path(folder: str, classes: Path) -> str:
    """Compile what lies in the folder into `classes`; what java needs to run it."""
    jars = ROOT / "build/interop" / folder
    if not (jars / "stamp").exists() or shutil.which("javac") is None:
        pytest.skip("script/test fetches the library where there are mvn and javac")
    sources = map(str, (HERE / folder).glob("*.java"))
    subprocess.run(["javac", "-cp", f"{jars}/*", "-d", str(classes), *sources], check=True, timeout=100)
    return f"{jars}/*:{classes}"


class JavaDevice:
    """A process that prints a line for what happens and does what lines tell it."""

    def __init__(self, class_path: str, name: str, *arguments: str):
        self.lines: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            ["java", "-cp", class_path, name, *arguments],
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
        raise AssertionError(f"the device ended without a line {start!r}")

    def quit(self) -> None:
        """It deregisters and ends."""
        self.command("quit")
        self.line("ended")
        assert self.process.wait(20) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
