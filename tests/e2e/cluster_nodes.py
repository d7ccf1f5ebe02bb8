"""Several berth-servers on one database, and the database as a node sees it, which can be cut off."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from berth_process import RUNNING, Berth

PATIENCE = 60  # a node is held for dead after six seconds; machines are slow


class Node(Berth):
    """Told apart by its data directory; `start` returns when it stands by, `await_turn` when it serves."""

    said = b""

    def start(self, timeout: float = 30) -> Node:
        assert self.process is None
        RUNNING.add(self)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env={**environment, **self.env}
            )
        self.said = b""
        self.await_standing_by(timeout)
        return self

    def await_standing_by(self, timeout: float = PATIENCE) -> None:
        lines = self._next_lines("standing by", timeout)
        self._keep_http(line.removeprefix("standing by ") for line in lines if line.startswith("standing by http"))
        knocks = [line.removeprefix("standing by ") for line in lines if line.startswith("standing by coap")]
        self.listen = self.listeners = tuple(knocks) or self.listen  # where it takes devices for the one that serves

    def await_turn(self, timeout: float = PATIENCE) -> Node:
        lines = self._next_lines("ready", timeout)
        listening = [line.removeprefix("listening ") for line in lines if line.startswith("listening ")]
        self.listen = self.listeners = tuple(uri for uri in listening if uri.startswith("coap"))
        self.coap_port = urlsplit(self.listen[0]).port
        self._keep_http(uri for uri in listening if uri.startswith("http"))
        return self

    def _keep_http(self, uris) -> None:
        self.web = next(iter(uris), self.web)
        self.http_port = urlsplit(self.web).port

    def _next_lines(self, last: str, timeout: float) -> list[str]:
        """What it says from now on, up to this line."""
        deadline = time.monotonic() + timeout
        stdout = self.process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while last not in self.said.decode().split("\n")[:-1]:
                left = deadline - time.monotonic()
                chunk = os.read(stdout.fileno(), 65536) if left > 0 and selector.select(left) else b""
                assert chunk, f"no {last!r} within {timeout} s\n{self.said.decode()}\n{self.log()}"
                self.said += chunk
        lines = self.said.decode().split("\n")
        at = lines.index(last) + 1
        self.said = "\n".join(lines[at:]).encode()
        return lines[:at]

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.process is not None:
            self.go_on()
        super().close()


class DatabaseWire:
    """A socket of its own to a cluster of PostgreSQL: what goes through it can be held up, without a word to either side,
    and every answer can be late."""

    late_s = 0.0

    def __init__(self, directory: Path, database: Path):
        self.directory, self.database = directory, str(database / ".s.PGSQL.5432")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(directory / ".s.PGSQL.5432"))
        self.listener.listen(16)
        self.passes = threading.Event()
        self.passes.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def slow(self, late_s: float) -> Iterator[None]:
        self.late_s = late_s
        try:
            yield
        finally:
            self.late_s = 0.0

    def cut(self) -> None:
        self.passes.clear()

    def mend(self) -> None:
        self.passes.set()

    def _accept(self) -> None:
        while True:
            try:
                front = self.listener.accept()[0]
                back = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                back.connect(self.database)
            except OSError:  # it was closed
                return
            for source, sink in ((front, back), (back, front)):
                threading.Thread(target=self._pass, args=(source, sink, sink is front), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, is_answering: bool) -> None:
        try:
            while data := source.recv(65536):
                self.passes.wait()
                if is_answering:
                    time.sleep(self.late_s)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self.mend()
        self.listener.close()
        shutil.rmtree(self.directory)


@pytest.fixture
def start_node(tmp_path, postgresql, start_wire):  # whose wires outlive the nodes
    """start_node("a", *options) -> a Node on the test's database; `wire` stands between it and that."""
    started, key = [], tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    uri = postgresql.database_for(tmp_path)

    def start(name: str, *options: str, wire: DatabaseWire | None = None, **kwargs: object) -> Node:
        place = uri if wire is None else uri.replace(f"host={postgresql.directory}", f"host={wire.directory}")
        node = Node(tmp_path / name, "--cluster", "--database", place, "--key-file", str(key), *options, **kwargs)
        started.append(node)
        return node.start()

    yield start
    errors = []
    for node in started:
        try:
            node.close()
        except AssertionError as error:
            errors.append(error)
    postgresql.drop_for(tmp_path)
    assert not errors, errors


@pytest.fixture
def start_wire(postgresql):
    """start_wire() -> a DatabaseWire to the tests' database. Its path must be short: it is a socket's."""
    started = []

    def start() -> DatabaseWire:
        started.append(DatabaseWire(Path(tempfile.mkdtemp(prefix="berth-wire.", dir="/tmp")), postgresql.directory))
        return started[-1]

    yield start
    for wire in started:
        wire.close()


class Balancer:
    """Passes datagrams on between any number of clients and whichever server it is told of; when that changes, the clients
    come from other ports."""

    def __init__(self):
        self.front = self._socket()
        self.port = self.front.getsockname()[1]
        self.server: tuple[str, int] | None = None
        self.backs: dict[tuple[str, int], socket.socket] = {}  # by client
        self.clients: dict[socket.socket, tuple[str, int]] = {}
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("127.0.0.1", 0))
        return made

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self.front, selectors.EVENT_READ)
        server = None
        while not self.stopping:
            if server != self.server:
                for back in self.clients:
                    selector.unregister(back)
                    back.close()
                self.backs, self.clients, server = {}, {}, self.server
            for key, _ in selector.select(0.05):
                try:
                    self._pass_on(key.fileobj, server, selector)
                except OSError:  # the server is down
                    pass
        selector.close()
        for open_socket in (self.front, *self.clients):
            open_socket.close()

    def _pass_on(self, source: socket.socket, server: tuple[str, int], selector: selectors.BaseSelector) -> None:
        data, client = source.recvfrom(65536)
        if source is not self.front:
            self.front.sendto(data, self.clients[source])
            return
        if client not in self.backs:
            self.backs[client] = self._socket()
            self.clients[self.backs[client]] = client
            selector.register(self.backs[client], selectors.EVENT_READ)
        if server is not None:
            self.backs[client].sendto(data, server)

    def close(self) -> None:
        self.stopping = True
        self.thread.join(5)


@pytest.fixture
def balancer():
    balancer = Balancer()
    yield balancer
    balancer.close()


def next_to_serve(nodes: list[Node]) -> Node:
    """The one of these whose turn it becomes."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for node in nodes:
            try:
                if any(item["self"] and item["state"] == "serves" for item in node.get("/v1/nodes")["items"]):
                    return node.await_turn()
            except OSError:  # it is about to
                pass
        time.sleep(0.1)
    raise AssertionError(f"none of {[node.data.name for node in nodes]} serves within {PATIENCE} s")
