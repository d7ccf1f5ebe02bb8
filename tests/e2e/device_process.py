"""A berth-device process to test, a server that the test plays itself, and the fixtures for both.

A test module imports the fixtures that it uses: start_device with a real server, played_server without one.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from berth_process import RUNNING, SANITIZER_REPORT, program
from coapraw import ACK, CON, CONTENT_FORMAT, DELETE, EMPTY, LOCATION_PATH, POST, RST, URI_PATH, URI_QUERY, Coap, code


class DeviceProcess:
    """A started berth-device, its standard input and what it prints."""

    def __init__(self, log_path: Path, *options: str, env: dict[str, str] | None = None, cwd: Path | None = None):
        self.log_path = log_path
        self.output = b""
        self.seen = 0  # bytes of the output that line() has passed
        RUNNING.add(self)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BERTH_")}
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(program("berth-device")), *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**environment, **(env or {})},
                cwd=cwd,
            )

    def command(self, line: str) -> None:
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def settle(self) -> None:
        """Every command given so far has been done when this returns."""
        self.command("fence")
        self.line("fence: there is no such command", partly=True)

    def line(self, text: str, timeout: float = 30, partly: bool = False) -> str:
        """Await a line that is `text`, or with `partly` begins so; it comes after the last one that was awaited."""
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while True:
                while (end := self.output.find(b"\n", self.seen)) >= 0:
                    line = self.output[self.seen : end].decode()
                    self.seen = end + 1
                    if line == text or (partly and line.startswith(text)):
                        return line
                left = deadline - time.monotonic()
                chunk = os.read(self.process.stdout.fileno(), 65536) if left > 0 and selector.select(left) else b""
                assert chunk, f"no line {text!r} in\n{self.output.decode()}\n{self.log()}"
                self.output += chunk

    def event(self, name: str, timeout: float = 30) -> dict:
        """Of a device with --json: the next event of that name."""
        return json.loads(self.line(f'{{"event":"{name}"', timeout, partly=True))

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def last_words(self) -> str:
        return f"{self.output.decode()[-4000:]}\n{self.log()[-4000:]}"

    def terminate(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)

    def end(self, timeout: float = 20) -> list[str]:
        """Await its end, which must be a good one; gives every line it has printed."""
        try:
            self.output += self.process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise AssertionError(f"the device did not end\n{self.output.decode()}\n{self.log()}") from None
        assert self.process.returncode == 0, f"exit code {self.process.returncode}\n{self.log()}"
        assert SANITIZER_REPORT.search(self.log()) is None, self.log()
        return self.output.decode().splitlines()

    def kill(self) -> None:
        """It dies without a chance to do anything about it."""
        self.process.kill()
        self.output += self.process.communicate(timeout=20)[0]
        assert self.process.returncode == -signal.SIGKILL, self.log()

    def close(self) -> None:
        RUNNING.discard(self)
        if self.process.returncode is None:
            self.terminate()
            self.end()


class PlayedServer:
    """A server of which the test plays every move: one socket, and what one device sends to it."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.device_address: tuple[str, int] | None = None
        self.registered = False
        self.mid = 0x7D34
        self.raw = b""  # the last datagram that came
        self.answered: int | None = None  # the message id of the device's request that was answered last

    @property
    def uri(self) -> str:
        return f"coap://127.0.0.1:{self.sock.getsockname()[1]}"

    def receive(self, timeout: float = 10) -> Coap:
        self.sock.settimeout(timeout)
        self.raw, self.device_address = self.sock.recvfrom(65536)
        return Coap.decode(self.raw)

    def send_raw(self, data: bytes) -> None:
        self.sock.sendto(data, self.device_address)

    def send(self, message: Coap) -> None:
        self.send_raw(message.encode())

    # ---- what the device asks ----

    def expect(self, method: int, path: str) -> Coap:
        """The next message must be this request."""
        message = self.receive()
        assert (message.type, message.code, path_of(message)) == (CON, method, path), message
        return message

    def answer(self, request: Coap, text: str, *options: tuple[int, bytes], payload: bytes = b"") -> None:
        """A piggybacked answer: answer(register, "2.01")."""
        self.answered = request.mid
        self.send(Coap(ACK, code(text), request.mid, request.token, list(options), payload))

    def accept(self, location: str = "/rd/4Kx9") -> Coap:
        """Take the Register that comes."""
        register = self.expect(POST, "/rd")
        self.answer(register, "2.01", *((LOCATION_PATH, part.encode()) for part in location[1:].split("/")))
        self.registered = True
        return register

    # ---- what the server asks ----

    def exchange_raw(self, data: bytes) -> bytes:
        """Send these bytes; the next datagram is given as it comes."""
        self.send_raw(data)
        self.receive()
        return self.raw

    def request(
        self,
        method: int,
        path: str,
        options: list[tuple[int, bytes]] | None = None,
        payload: bytes = b"",
        query: str | None = None,
    ) -> Coap:
        """Ask the device; the answer must come with the ACK."""
        self.mid += 1
        segments = [(URI_PATH, part.encode()) for part in path.strip("/").split("/") if part]
        queries = [] if query is None else [(URI_QUERY, query.encode())]
        self.send(Coap(CON, method, self.mid, b"\xa1\xb2\xc3\xd4", segments + queries + (options or []), payload))
        answer = self.receive()
        while answer.type == CON and answer.mid == self.answered:  # sent again, before it was answered
            answer = self.receive()
        assert (answer.type, answer.mid, answer.token) == (ACK, self.mid, b"\xa1\xb2\xc3\xd4"), answer
        return answer

    def expect_silence(self) -> None:
        """The device has sent nothing up to now: the answer to a ping comes next."""
        self.mid += 1
        self.send(Coap(CON, EMPTY, self.mid))
        answer = self.receive()
        assert (answer.type, answer.code, answer.mid) == (RST, EMPTY, self.mid), answer

    def let_go(self, device: DeviceProcess) -> list[str]:
        """End the device as it should end."""
        device.terminate()
        if self.registered:
            while (message := self.receive()).code != DELETE:
                assert message.type != CON or message.code == EMPTY or message.code == POST, message
            self.answer(message, "2.02")
        return device.end()


def path_of(message: Coap) -> str:
    return "".join("/" + value.decode() for value in message.all(URI_PATH)) or "/"


def queries_of(message: Coap) -> list[str]:
    return [value.decode() for value in message.all(URI_QUERY)]


def format_of(message: Coap) -> int | None:
    return message.number(CONTENT_FORMAT)


@pytest.fixture
def start_device(tmp_path):
    """start_device("--server", uri, ...) -> a DeviceProcess, ended at the end of the test."""
    started = []

    def start(*options: str, **kwargs) -> DeviceProcess:
        device = DeviceProcess(tmp_path / f"device{len(started)}.log", *options, **kwargs)
        started.append(device)
        return device

    yield start
    for device in started:
        device.close()


@pytest.fixture
def played_server():
    server = PlayedServer()
    yield server
    server.sock.close()


@pytest.fixture
def meet(played_server, start_device):
    """meet("--lifetime", "60") -> the played server and a device that has registered with it."""
    met = []

    def start(*options: str) -> tuple[PlayedServer, DeviceProcess]:
        device = start_device("--server", played_server.uri, "--endpoint", "dev1", *options)
        met.append(device)
        played_server.accept()
        device.line("Device ID: 4Kx9")
        return played_server, device

    yield start
    for device in met:
        if device.process.returncode is None:
            played_server.let_go(device)
