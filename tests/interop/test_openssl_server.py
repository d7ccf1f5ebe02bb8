"""The reference device over DTLS with OpenSSL's s_server, which prints what it sends; the test answers."""

import os
import select
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from berth_process import program
from coapraw import ACK, CON, CONTENT_FORMAT, DELETE, GET, LOCATION_PATH, POST, URI_PATH, Coap, code
from device_process import path_of, start_device  # noqa: F401

KEY = "00112233445566778899aabbccddeeff"


def open_files(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            found.append(os.readlink(link))
    return found


class OpensslServer:
    """`openssl s_server -dtls1_2`: what is written to it goes out as a record, what it prints came in one. Two that are
    written without a wait between them may become one record: await the effect of the first."""

    def __init__(self, *options: str):
        command = ["openssl", "s_server", "-dtls1_2", "-accept", "127.0.0.1:0", "-quiet", "-no_ticket", *options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self.uri = f"coaps://127.0.0.1:{self._port()}"

    def _port(self) -> int:
        """That of its UDP socket, which the kernel has chosen: it does not tell."""
        deadline = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < deadline:
            for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
                fields = line.split()
                if f"socket:[{fields[9]}]" in open_files(self.process.pid):
                    return int(fields[1].partition(":")[2], 16)
        raise AssertionError("s_server listens nowhere")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.kill()
        self.process.wait(10)
        self.process.stdout.close()

    def receive(self) -> Coap:
        assert select.select([self.process.stdout], [], [], 20)[0], "nothing came"
        return Coap.decode(os.read(self.process.stdout.fileno(), 65536))

    def answer(self, method: int, path: str, text: str, *options: tuple[int, bytes]) -> Coap:
        """The next message must be this request."""
        request = self.receive()
        assert (request.type, request.code, path_of(request)) == (CON, method, path), request
        self.process.stdin.write(Coap(ACK, code(text), request.mid, request.token, list(options)).encode())
        return request

    def accept(self) -> Coap:
        return self.answer(POST, "/rd", "2.01", (LOCATION_PATH, b"rd"), (LOCATION_PATH, b"4Kx9"))

    def read(self, path: str) -> bytes:
        segments = [(URI_PATH, part.encode()) for part in path[1:].split("/")]
        self.process.stdin.write(Coap(CON, GET, 0x7D34, b"\xa1", segments).encode())
        answer = self.receive()
        assert (answer.type, answer.code_text, answer.token) == (ACK, "2.05", b"\xa1"), answer
        return answer.payload


@pytest.fixture
def serve():
    """serve("-psk", …) -> an s_server, ended after its device."""
    servers = []

    def start(*options):
        servers.append(OpensslServer(*options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def work(server, device):
    register = server.accept()
    assert register.number(CONTENT_FORMAT) == 40
    device.line("Device ID: 4Kx9")
    assert server.read("/3/0/9") == b"95"
    device.command("update")
    server.answer(POST, "/rd/4Kx9", "2.04")
    device.line("Registration updated")


def leave(server, device):
    device.terminate()
    server.answer(DELETE, "/rd/4Kx9", "2.02")
    assert "Client deregistered" in device.end()


SUITES = [
    ("CCM_8", "PSK-AES128-CCM8", "TLS_PSK_WITH_AES_128_CCM_8"),
    ("CCM", "PSK-AES128-CCM", "TLS_PSK_WITH_AES_128_CCM"),
    ("GCM", "PSK-AES128-GCM-SHA256", "TLS_PSK_WITH_AES_128_GCM_SHA256"),
    ("CBC", "PSK-AES128-CBC-SHA256", "TLS_PSK_WITH_AES_128_CBC_SHA256"),
    ("ECDHE-CBC", "ECDHE-PSK-AES128-CBC-SHA256", "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256"),
]


@pytest.mark.parametrize(("cipher", "openssl_name", "suite"), SUITES)
@pytest.mark.parametrize("cid", [(), ("--cid",)], ids=["no CID", "CID is offered in vain"])
def test_a_device_with_a_key(serve, start_device, cipher, openssl_name, suite, cid):
    server = serve("-nocert", "-psk_identity", "dev1", "-psk", KEY, "-cipher", f"{openssl_name}:@SECLEVEL=0")
    device = start_device("--server", server.uri, "--endpoint", "dev1", "--psk", f"dev1:{KEY}", "--cipher", cipher, *cid)
    device.line(f"Handshake: full, {suite}, no CID, ", partly=True)
    work(server, device)
    leave(server, device)


def test_a_device_answers_the_cookie(serve, start_device):
    server = serve("-listen", "-nocert", "-psk_identity", "dev1", "-psk", KEY, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0")
    device = start_device("--server", server.uri, "--endpoint", "dev1", "--psk", f"dev1:{KEY}")
    work(server, device)
    leave(server, device)


def test_a_device_resumes_its_session(serve, start_device):
    server = serve("-nocert", "-psk_identity", "dev1", "-psk", KEY, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0")
    device = start_device("--server", server.uri, "--endpoint", "dev1", "--psk", f"dev1:{KEY}", "--resume")
    work(server, device)
    device.command("close-notify")
    device.line("Session closed: ", partly=True)
    device.command("update")
    device.line("Handshake: resumed, ", partly=True)
    server.answer(POST, "/rd/4Kx9", "2.04")
    device.line("Registration updated")
    assert server.read("/3/0/9") == b"95"
    leave(server, device)


def test_a_device_takes_a_goodbye(serve, start_device):
    server = serve("-nocert", "-psk_identity", "dev1", "-psk", KEY, "-cipher", "PSK-AES128-CCM8:@SECLEVEL=0")
    device = start_device("--server", server.uri, "--endpoint", "dev1", "--psk", f"dev1:{KEY}")
    work(server, device)
    server.process.stdin.close()
    device.line("Session closed: closed_by_peer")
    device.kill()


@pytest.fixture
def certificates(tmp_path):
    commands = [["ca"], ["server", "--host", "lwm2m.example", "--out", "server"], ["device", "--endpoint", "dev1", "--out", "device"]]
    for command in commands:
        subprocess.run([program("berth-server"), "pki", *command], cwd=tmp_path, check=True, timeout=60)
    return tmp_path


@pytest.mark.parametrize(
    ("cipher", "openssl_name"),
    [
        ("CCM_8", "ECDHE-ECDSA-AES128-CCM8"),
        ("CCM", "ECDHE-ECDSA-AES128-CCM"),
        ("GCM", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("CBC", "ECDHE-ECDSA-AES128-SHA256"),
    ],
)
def test_a_device_with_a_certificate(serve, start_device, certificates, cipher, openssl_name):
    files = ("-cert", "server.pem", "-key", "server.key", "-CAfile", "ca.pem", "-Verify", "1", "-verify_return_error")
    server = serve(*(str(certificates / word) if "." in word else word for word in files), "-cipher", f"{openssl_name}:@SECLEVEL=0")
    files = ("--cert", "device.pem", "--key", "device.key", "--ca", "ca.pem")
    credential = (str(certificates / word) if "." in word else word for word in files)
    device = start_device(
        "--server", server.uri, "--endpoint", "dev1", *credential, "--server-name", "lwm2m.example", "--cipher", cipher
    )
    work(server, device)
    leave(server, device)
