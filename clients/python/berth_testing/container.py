"""A Berth in a container, by Docker or Podman."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from typing import Optional

from .berth import Berth
from .errors import ProgramEnded, ProgramNotFound
from .output import Lines

_PORTS = {"coap": (5683, "udp"), "coap+tcp": (5683, "tcp"), "coaps": (5684, "udp"), "coaps+tcp": (5684, "tcp")}
_WEB_PORT = 8080
_ATTEMPTS = 5  # to find ports that are still free when the container takes them
_COMMAND_S = 300.0  # the image may have to be fetched


class ContainerBerth(Berth):
    """A container of the image, with its ports on free ones of 127.0.0.1. `$BERTH_CONTAINER_RUNTIME` names the
    program that runs it; without it that is docker, or podman where there is no docker."""

    def __init__(
        self,
        image: str,
        options: Sequence[str],
        api_key: Optional[str] = None,
        env: Optional[Mapping[str, str]] = None,
        timeout: float = 30.0,
    ):
        self._runtime = _runtime()
        self._timeout = timeout
        self._lives = 0
        self._is_killed = False
        variables = {**(env or {}), **({} if api_key is None else {"BERTH_API_KEY": api_key})}
        self._container, ports = self._run(image, options, variables)
        try:
            self._await_ready()
        except BaseException:
            self._remove()
            raise
        uris = {scheme: f"{scheme}://127.0.0.1:{ports[scheme]}" for scheme in _PORTS}
        super().__init__(f"http://127.0.0.1:{ports['http']}", uris, api_key)
        atexit.register(self._abandon)

    def _run(self, image: str, options: Sequence[str], variables: Mapping[str, str]) -> tuple[str, dict[str, int]]:
        """The container's id, and the ports by scheme."""
        inside = {**_PORTS, "http": (_WEB_PORT, "tcp")}
        for attempt in range(1, _ATTEMPTS + 1):
            ports = _free_ports({scheme: kind for scheme, (_, kind) in inside.items()})
            publish = [f"127.0.0.1:{ports[scheme]}:{port}/{kind}" for scheme, (port, kind) in inside.items()]
            words = ["create", *(word for one in publish for word in ("--publish", one))]
            words += [word for name in variables for word in ("--env", name)]  # the values come by our environment
            container = self._call(*words, image, *options, env={**os.environ, **variables}).strip()
            try:
                self._call("start", container)
                return container, ports
            except ProgramEnded as error:
                self._discard(container)
                if attempt == _ATTEMPTS or "port" not in str(error):
                    raise
        raise AssertionError("not reached")

    def _call(self, *words: str, env: Optional[Mapping[str, str]] = None) -> str:
        done = subprocess.run(
            [self._runtime, *words], capture_output=True, text=True, timeout=_COMMAND_S, env=env, check=False
        )
        if done.returncode != 0:
            raise ProgramEnded(f"{self._runtime} {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def _await_ready(self) -> None:
        """In each of its lives it prints `ready` once."""
        self._lives += 1
        follow = subprocess.Popen(
            [self._runtime, "logs", "--follow", self._container], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            lines, place = Lines(follow), 0
            for _ in range(self._lives):
                found = lines.first(lambda line: line.strip() == "ready", place, self._timeout)
                if found is None:
                    raise ProgramEnded(f"the container was not ready within {self._timeout} s\n{self.log()}")
                place = found + 1
        finally:
            follow.kill()
            follow.wait()

    # ---- its lives ----

    @property
    def is_running(self) -> bool:
        return self._call("inspect", "--format", "{{.State.Running}}", self._container).strip() == "true"

    def kill(self) -> None:
        self._call("kill", self._container)
        self._is_killed = True

    def stop(self) -> None:
        was_running = self.is_running
        self._call("stop", self._container)
        code = self._call("inspect", "--format", "{{.State.ExitCode}}", self._container).strip()
        if code != "0" or not was_running:
            how = "ended" if was_running else "ended by itself"
            raise ProgramEnded(f"the container {how}, exit code {code}\n{self.log()}")

    def restart(self) -> None:
        if self.is_running:
            self.stop()
        self._call("start", self._container)
        self._is_killed = False
        self._await_ready()

    def log(self) -> str:
        done = subprocess.run(
            [self._runtime, "logs", "--tail", "500", self._container],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_S,
            check=False,
        )
        return done.stdout.decode(errors="replace")

    def close(self) -> None:
        self.tidy()
        try:
            if not self._is_killed:
                self.stop()
        finally:
            self._remove()
            atexit.unregister(self._abandon)

    def _abandon(self) -> None:
        """The tests end without having closed it."""
        self.tidy()
        self._remove()

    def _remove(self) -> None:
        self._discard(self._container)

    def _discard(self, container: str) -> None:
        subprocess.run([self._runtime, "rm", "--force", "--volumes", container], capture_output=True, check=False)


def _runtime() -> str:
    named = os.environ.get("BERTH_CONTAINER_RUNTIME")
    for name in [named] if named else ["docker", "podman"]:
        found = shutil.which(name)
        if found is not None:
            return found
    raise ProgramNotFound(f"there is no {named or 'docker or podman'} to run a container with")


def _free_ports(kinds: Mapping[str, str]) -> dict[str, int]:
    """A port that nobody has now for each name, of its kind: udp or tcp."""
    sockets = {}
    try:
        for name, kind in kinds.items():
            sockets[name] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
            sockets[name].bind(("127.0.0.1", 0))
        return {name: one.getsockname()[1] for name, one in sockets.items()}
    finally:
        for one in sockets.values():
            one.close()
