"""A berth-server process to test, and the ways to talk to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import selectors
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from coapraw import CONTENT_FORMAT, DELETE, LINK_FORMAT, POST, Coap, Peer, uint
from coapstream import OVER, TCP, tcp_port

cluster = None  # of PostgreSQL, for servers that are not told where their database is

ROOT = Path(__file__).resolve().parents[2]
SANITIZER_REPORT = re.compile(r"^(==\d+==ERROR: .*|.*runtime error: .*|SUMMARY: .*Sanitizer.*)$", re.MULTILINE)


def program(name: str, release: bool = False) -> Path:
    """From $BERTH_BUILD, with sanitizers; or as users run it, from $BERTH_RELEASE."""
    build = os.environ.get("BERTH_RELEASE", "build/release") if release else os.environ.get("BERTH_BUILD", "build/dev")
    return ROOT / build / name


def segment(endpoint: str | bytes) -> str:
    """An endpoint name as the one path segment that the API takes."""
    return quote(endpoint, safe="")


@dataclass
class Response:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The kind of an RFC 9457 answer: the last segment of its type."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        document = self.json
        assert document["status"] == self.status and document["title"] and document["detail"], document
        return document["type"].removeprefix("https://berth.dev/problems/")


@dataclass
class Device:
    """A registration made over a peer; the peer answers nothing by itself."""

    peer: Peer
    endpoint: str
    location: str  # /rd/xyz

    def update(self, query: list[str] | None = None, links: str | None = None, **kwargs: object) -> Coap:
        options = [] if links is None else [(CONTENT_FORMAT, uint(LINK_FORMAT))]
        payload = (links or "").encode()
        return self.peer.request(POST, self.location, query, payload, options, **kwargs)

    def deregister(self, **kwargs: object) -> Coap:
        return self.peer.request(DELETE, self.location, **kwargs)


RUNNING: set = set()  # programs that tests have started; each has a log_path and last_words()


class Berth:
    """Started, it has coap_port, http_port and listeners (the URIs with their real ports)."""

    host = "127.0.0.1"  # where its API is

    def __init__(
        self,
        data: Path,
        *options: str,
        listen: tuple[str, ...] | None = None,
        transport: str = "udp",
        web: str = "http://127.0.0.1:0",
        env: dict[str, str] | None = None,
        release: bool = False,
        preexec_fn: Callable[[], None] | None = None,
    ):
        self.data = data
        self.release = release
        self.preexec_fn = preexec_fn
        self.options = options
        self.transport = transport
        self.listen = (("coap://127.0.0.1:0",) if transport == "udp" else TCP) if listen is None else listen
        self.web = web
        self.env = env or {}
        self.process: subprocess.Popen | None = None
        self.log_path = data.parent / f"{data.name}.log"
        self.peers: list[Peer] = []

    # ---- the process ----

    def command(self) -> list[str]:
        listen = [word for uri in self.listen for word in ("--listen", uri)]
        return [
            str(program("berth-server", self.release)),
            *listen,
            "--http",
            self.web,
            "--data",
            str(self.data),
            *self._database(),
            *self._workers(),
            *self.options,
        ]

    def _database(self) -> list[str]:
        """A database of its own for each data directory."""
        if cluster is None or "--database" in self.options:
            return []
        return ["--database", cluster.database_for(self.data)]

    def _workers(self) -> list[str]:
        """$BERTH_TEST_WORKERS: every server that does not say has so many."""
        workers = os.environ.get("BERTH_TEST_WORKERS")
        return [] if workers is None or "--workers" in self.options else ["--workers", workers]

    def start(self, timeout: float = 30) -> Berth:
        """Start it and wait until it says that it is ready."""
        assert self.process is None
        RUNNING.add(self)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, **self.env},
                preexec_fn=self.preexec_fn,
            )
        self.said = self._lines_until("ready", timeout)
        listening = [line.split(" ", 1)[1] for line in self.said if line.startswith("listening ")]
        # From now on the same ports, so that devices find a restarted server where it was.
        self.listen = tuple(uri for uri in listening if uri.startswith("coap"))
        self.web = next((uri for uri in listening if uri.startswith("http")), self.web)
        self.listeners = self.listen
        self.coap_port = urlsplit(self.listen[0]).port if self.listen else None
        self.http_port = urlsplit(self.web).port if self.web.startswith("http") else None
        return self

    def _lines_until(self, last: str, timeout: float) -> list[str]:
        deadline = time.monotonic() + timeout
        output = b""
        stdout = self.process.stdout
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while last not in output.decode().splitlines():
                left = deadline - time.monotonic()
                chunk = os.read(stdout.fileno(), 65536) if left > 0 and selector.select(left) else None
                if not chunk:
                    why = "ended" if chunk == b"" else f"said no {last!r} within {timeout} s"
                    self.process.kill()
                    self.process.wait()
                    stdout.close()
                    self.process = None
                    raise AssertionError(f"the server {why}\n{output.decode()}\n{self.log()}")
                output += chunk
        return output.decode().splitlines()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        """What it has written to stderr, over all its lives."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def last_words(self) -> str:
        words = [self.log()[-4000:]]
        for path in ["/v1/events?poll=1&timeout=0s&limit=1000", "/v1/messages?limit=1000"]:
            try:
                items = self.http("GET", path, within=5).json["items"]
            except Exception as error:  # that may be what the test is about
                items = [repr(error)]
            words += [str(item) for item in items[-40:]]
        return "\n".join(words)

    def stop(self, timeout: float = 20) -> None:
        """End it as Docker does. It must exit with 0."""
        self.process.send_signal(signal.SIGTERM)
        self._ended(timeout, 0)

    def kill(self) -> None:
        """It dies without a chance to do anything about it."""
        self.process.kill()
        self._ended(20, -signal.SIGKILL)

    def restart(self) -> Berth:
        if self.process is not None:
            self.stop()
        return self.start()

    def _ended(self, timeout: float, expected: int) -> None:
        try:
            exit_code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not end within {timeout} s\n{self.log()}") from None
        finally:
            self.process.stdout.close()
            self.process = None
        assert exit_code == expected, f"exit code {exit_code}\n{self.log()}"
        self.assert_no_sanitizer_report()

    def assert_no_sanitizer_report(self) -> None:
        report = SANITIZER_REPORT.search(self.log())
        assert report is None, self.log()

    def close_peers(self) -> None:
        for peer in self.peers:
            peer.close()
        self.peers.clear()

    def close(self) -> None:
        RUNNING.discard(self)
        self.close_peers()
        if self.process is not None:
            self.stop()
        self.assert_no_sanitizer_report()

    @contextmanager
    def no_commit(self) -> Iterator[None]:
        """While this lasts the server's database is locked, so that what waits for a commit has to wait."""
        if cluster is not None:
            with cluster.no_commit(self.data):
                yield
            return
        connection = sqlite3.connect(self.data / "berth.db", isolation_level=None, timeout=20)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    # ---- HTTP ----

    def http(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        within: float = 30,
        **query: object,
    ) -> Response:
        """One request on a connection of its own, answered `within` seconds. A dict or list is sent as JSON; the other
        keywords are the query."""
        if query:
            path += "?" + urlencode(query)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers = {"Content-Type": "application/json", **(headers or {})}
        connection = http.client.HTTPConnection(self.host, self.http_port, timeout=within)
        try:
            connection.request(method, path, body, {"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, answer.msg, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **query: object):
        """The JSON of a GET that must succeed."""
        answer = self.http("GET", path, **query)
        assert answer.status == 200, f"{answer.status} {answer.body!r}"
        return answer.json

    def device(self, endpoint: str) -> dict:
        return self.get(f"/v1/devices/{segment(endpoint)}")

    def last_event(self) -> int:
        return self.get("/v1/events/last")["last"]

    def events_after(self, number: int = 0, **filters: object) -> list[dict]:
        """Every event that is there now with a greater number; filters are `types` and `endpoint`."""
        items: list[dict] = []
        while True:
            page = self.get("/v1/events", poll=1, after=number, timeout="0s", limit=1000, **filters)
            if not page["items"]:
                return items
            items += page["items"]
            number = items[-1]["id"]

    def await_event(self, type: str, endpoint: str | None = None, after: int = 0, timeout: str = "10s") -> dict:
        """The first event of that type, also when it has come already."""
        query = {} if endpoint is None else {"endpoint": endpoint}
        page = self.get("/v1/events", poll=1, after=after, types=type, timeout=timeout, limit=1, **query)
        assert page["items"], f"no event {type} within {timeout}; there were {self.events_after(after)}"
        return page["items"][0]

    def get_metric(self, name: str) -> float:
        """A sample of /metrics, with its labels if it has any: name{label="value"}."""
        lines = self.http("GET", "/metrics").body.decode().splitlines()
        return next(float(line.split(" ")[-1]) for line in lines if line.startswith(name + " "))

    def waiting(self) -> int:
        """How many requests wait for an event."""
        return int(self.get_metric("berth_http_waiting_requests"))

    def leap(self, by: str) -> dict:
        """Leap protocol time; all timers that are due have run when this returns."""
        answer = self.http("POST", "/v1/clock", {"advance": by})
        assert answer.status == 200, answer.body
        return answer.json

    # ---- CoAP ----

    def peer(self, **kwargs: object) -> Peer:
        """A new peer; closed when the test ends. Over the transport of the test, unless its address matters."""
        if self.transport == "udp" or kwargs:
            peer = Peer(**{"port": self.coap_port, **kwargs})
        else:
            peer = OVER[self.transport](tcp_port(self))
        self.peers.append(peer)
        return peer

    def register(
        self,
        endpoint: str,
        lifetime: int | None = 300,
        links: str = "</1/0>,</3/0>",
        version: str | None = "1.1",
        binding: str | None = "U",
        extra: list[str] | None = None,
        peer: Peer | None = None,
    ) -> Device:
        """Register over CoAP; must succeed."""
        query = [f"ep={endpoint}"]
        query += [] if lifetime is None else [f"lt={lifetime}"]
        query += [] if version is None else [f"lwm2m={version}"]
        query += [] if binding is None else [f"b={binding}"]
        peer = peer or self.peer()
        options = [(CONTENT_FORMAT, uint(LINK_FORMAT))]
        answer = peer.request(POST, "/rd", query + (extra or []), links.encode(), options)
        assert answer.code_text == "2.01", f"{answer.code_text} {answer.payload!r}"
        assert answer.location.startswith("/rd/"), answer
        return Device(peer, endpoint, answer.location)
