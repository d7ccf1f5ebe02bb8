"""The lines that a process prints, for threads that wait for some of them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Optional


class Lines:
    """Reads standard output from the beginning to its end, so that the process never waits for a reader."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._thread.start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as stdout:
            for line in stdout:
                with self._changed:
                    self._lines.append(line.decode(errors="replace").rstrip("\r\n"))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def all(self) -> list[str]:
        with self._changed:
            return list(self._lines)

    def first(self, meets: Callable[[str], bool], start: int, timeout: float) -> Optional[int]:
        """The place of the first line from `start` on that meets it, also of one that is printed within `timeout`.
        None: there is none."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for place in range(start, len(self._lines)):
                    if meets(self._lines[place]):
                        return place
                start = max(start, len(self._lines))
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    return None
                self._changed.wait(left)

    @property
    def ended(self) -> bool:
        """There will be no more."""
        with self._changed:
            return self._ended

    def join(self, timeout: float) -> None:
        """Until everything that was printed is here; the process must have ended."""
        self._thread.join(timeout)


class Log:
    """What processes write to standard error, in a file without a name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)

    def fileno(self) -> int:
        return self._file.fileno()

    def text(self, last: int = 65536) -> str:
        """The last so many bytes of it."""
        if self._file.closed:
            return ""
        size = os.fstat(self.fileno()).st_size
        return os.pread(self.fileno(), last, max(0, size - last)).decode(errors="replace")

    def close(self) -> None:
        self._file.close()
