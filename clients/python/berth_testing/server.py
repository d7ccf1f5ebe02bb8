"""A Berth of one's own: on free ports, with an empty database, gone when it is closed."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from . import programs
from .berth import Berth
from .container import ContainerBerth
from .errors import ProgramEnded
from .output import Lines, Log

LISTEN = tuple(f"{scheme}://127.0.0.1:0" for scheme in ("coap", "coaps", "coap+tcp", "coaps+tcp"))
_END_S = 20.0


def start(
    *options: Any,
    program: Optional[programs.Program] = None,
    image: Optional[str] = None,
    listen: Sequence[str] = LISTEN,
    data: Optional[programs.Program] = None,
    api_key: Optional[str] = None,
    env: Optional[Mapping[str, str]] = None,
    timeout: float = 30.0,
) -> Berth:
    """Start a server with these options (`berth-server --help`) and return when it is ready.

    It is the `program`, or a container of the `image`; without either what $BERTH_SERVER or $BERTH_IMAGE names, else
    the berth-server in $PATH or in a build directory. Ports are free ones. The database is in a new directory that is
    deleted in the end, unless `data` names one. `listen` and `data` are for programs; a container has the image's.
    """
    texts = [os.fspath(option) if isinstance(option, os.PathLike) else str(option) for option in options]
    if program is None and image is None and not os.environ.get("BERTH_SERVER"):
        image = os.environ.get("BERTH_IMAGE") or None
    if program is None and image is not None:
        return ContainerBerth(image, texts, api_key, env, timeout)
    found = programs.find("berth-server", program, "BERTH_SERVER")
    return ProcessBerth(found, texts, listen, None if data is None else Path(data), api_key, env, timeout)


class ProcessBerth(Berth):
    """A berth-server process."""

    def __init__(
        self,
        program: Path,
        options: Sequence[str],
        listen: Sequence[str] = LISTEN,
        data: Optional[Path] = None,
        api_key: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: float = 30.0,
    ):
        self._program = self._beside = program
        self._options = list(options)
        self._listen = list(listen)
        self._web = "http://127.0.0.1:0"
        self._temporary = None if data is not None else Path(tempfile.mkdtemp(prefix="berth-"))
        self.data = data if data is not None else self._temporary
        self._env = environment = dict(env or {})
        if api_key is not None:  # not an option, where every user of the machine could read it
            environment["BERTH_API_KEY"] = api_key
        self._timeout = timeout
        self._log = Log()
        self._process: Optional[subprocess.Popen[bytes]] = None
        try:
            self._launch()
        except BaseException:
            self._remove()
            raise
        # From now on the same ports, so that devices find a restarted server where it was.
        super().__init__(self._web, {uri.partition("://")[0]: uri for uri in self._listen}, api_key)
        atexit.register(self._abandon)

    def _launch(self) -> None:
        listen = [word for uri in self._listen for word in ("--listen", uri)]
        command = [self._program, *listen, "--http", self._web, "--data", self.data, *self._options]
        self._process = subprocess.Popen(
            [os.fspath(word) for word in command if word is not None],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log.fileno(),
            env=programs.environment(self._env),
            start_new_session=True,  # Ctrl-C is for the tests, which then end it
        )
        lines = Lines(self._process)
        if lines.first(lambda line: line == "ready", 0, self._timeout) is None:
            process, self._process = self._process, None
            if lines.ended:
                why = f"ended with exit code {process.wait(_END_S)}"
            else:
                why = f"was not ready within {self._timeout} s"
            process.kill()
            process.wait(_END_S)
            raise ProgramEnded(f"{self._program} {why}\n{self._log.text()}")
        listening = [line.partition(" ")[2] for line in lines.all() if line.startswith("listening ")]
        self._listen = [uri for uri in listening if uri.startswith("coap")]
        self._web = next(uri for uri in listening if uri.startswith("http"))

    # ---- its lives ----

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(_END_S)
            self._process = None

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is not None:
            raise ProgramEnded(f"{self._program} ended by itself, exit code {process.returncode}\n{self._log.text()}")
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_END_S)
            raise ProgramEnded(f"{self._program} did not end within {_END_S} s\n{self._log.text()}") from None
        if code != 0:
            raise ProgramEnded(f"{self._program} ended with exit code {code}\n{self._log.text()}")

    def restart(self) -> None:
        self.stop()
        self._launch()

    def log(self) -> str:
        return self._log.text()

    def close(self) -> None:
        self.tidy()
        try:
            self.stop()
        finally:
            self._remove()
            atexit.unregister(self._abandon)

    def _abandon(self) -> None:
        """The tests end without having closed it."""
        self.tidy()
        self.kill()
        self._remove()

    def _remove(self) -> None:
        self._log.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
