"""HTTPS on the same port as HTTP: a connection's first byte tells."""

import http.client
import json
import socket
import ssl
import struct
import subprocess

import pytest
from berth_process import Berth, program
from http_wire import Wire
from pelion_client import PelionClient
from test_pelion_socket import CHANNEL, Socket


def context(berth: Berth, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=berth.data / "ca.pem")
    if version is not None:
        made.minimum_version = made.maximum_version = version
    return made


def wrapped(berth: Berth) -> ssl.SSLSocket:
    return context(berth).wrap_socket(
        socket.create_connection(("127.0.0.1", berth.http_port), 30),
        server_hostname="localhost",
    )


@pytest.fixture
def berth(start_berth):
    """The certificate is made for the first who asks."""
    berth = start_berth()
    assert not (berth.data / "server.pem").exists()
    with socket.create_connection(("127.0.0.1", berth.http_port), 30) as connection:
        unchecked = ssl.create_default_context()
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        unchecked.wrap_socket(connection).close()
    assert (berth.data / "server.pem").exists()
    return berth


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_requests_one_after_the_other(berth, version, host):
    connection = http.client.HTTPSConnection(
        host, berth.http_port, timeout=30, context=context(berth, version)
    )
    for _ in range(3):
        connection.request("GET", "/v1/events/last")
        answer = connection.getresponse()
        assert answer.status == 200 and "last" in json.loads(answer.read())
    assert connection.sock.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2"}.get(
        version, "TLSv1.3"
    )
    connection.close()
    assert berth.http("GET", "/v1/events/last").status == 200  # plain, as before


def test_bodies_of_several_records(berth):
    connection = http.client.HTTPSConnection(
        "localhost", berth.http_port, timeout=30, context=context(berth)
    )
    connection.request("GET", "/v1/openapi.json")
    document = connection.getresponse().read()
    assert len(document) > 64 * 1024
    assert document == berth.http("GET", "/v1/openapi.json").body
    connection.request(
        "PUT",
        "/v2/subscriptions",
        json.dumps([{"resource-path": [f"/{'x' * 100}"] * 60}] * 20),
        {"Authorization": "Bearer k"},
    )
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (204, b"")
    connection.close()


def test_a_websocket(berth):
    pelion = PelionClient(berth.http_port)
    assert pelion.call("PUT", CHANNEL)[0] == 201
    berth.register("dev1")
    held = Socket.__new__(Socket)
    held.wire = Wire.__new__(Wire)
    held.wire.sock = wrapped(berth)
    held.wire.input = held.wire.sock.makefile("rb")
    upgrade = [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: abc",
    ]
    held.wire.get(f"{CHANNEL}-connect", *upgrade, "Authorization: Bearer ak_test")
    assert held.wire.head().status == 101
    assert held.message("registrations")[0]["original-ep"] == "dev1"
    held.send(8, struct.pack(">H", 1000))
    assert held.closed() == 1000
    held.close()


def test_a_goodbye_is_said(berth):
    with wrapped(berth) as connection:
        connection.sendall(
            b"GET /v1/events/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        taken = b""
        while part := connection.recv(
            65536
        ):  # without the close_notify it would be an error
            taken += part
        assert taken.startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff" + b"x" * 1000,
        b"\x16" * 3000,
    ],
)
def test_what_only_begins_like_tls(berth, sent):
    with socket.create_connection(("127.0.0.1", berth.http_port), 30) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert berth.http("GET", "/v1/events/last").status == 200


def test_a_handshake_that_is_not_finished_is_given_up(berth):
    with socket.create_connection(("127.0.0.1", berth.http_port), 30) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert connection.recv(100) == b""


@pytest.fixture
def given(tmp_path):
    """Options that name a certificate and its key, which `berth-server pki` has made."""
    authority, server = tmp_path / "authority", ["server", "--host", "localhost", "--out", tmp_path / "given"]
    for what in (["ca", "--out", authority], [*server, "--ca", authority]):
        subprocess.run([program("berth-server"), "pki", *what], check=True, capture_output=True, timeout=60)
    return tmp_path / "given"


@pytest.mark.parametrize("form", ["pem", "der"])
def test_a_given_certificate(start_berth, given, form):
    files = {"pem": (".pem", ".key"), "der": (".der", ".key.der")}[form]
    certificate, key = (given.with_name(given.name + suffix) for suffix in files)
    berth = start_berth("--http-cert", str(certificate), "--http-key", str(key))
    made = ssl.create_default_context(cafile=str(given.with_name("authority.pem")))
    connection = http.client.HTTPSConnection("localhost", berth.http_port, timeout=30, context=made)
    connection.request("GET", "/v1/events/last")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_given_certificate_that_is_of_no_use_is_refused_at_once(given, tmp_path):
    (tmp_path / "other.pem").write_text("no certificate")
    certificate, key = (str(given.with_name(given.name + suffix)) for suffix in (".pem", ".key"))
    wrong = [
        (2, ["--http-cert", certificate]),
        (1, ["--http-cert", certificate, "--http-key", str(tmp_path / "missing")]),
        (1, ["--http-cert", str(tmp_path / "other.pem"), "--http-key", key]),
        (1, ["--http-cert", str(given.with_name("authority.pem")), "--http-key", key]),
    ]
    for code, options in wrong:
        server = [program("berth-server"), "--listen", "coap://127.0.0.1:0", "--http", "http://127.0.0.1:0", "--data"]
        ended = subprocess.run([*server, tmp_path / "data", *options], capture_output=True, text=True, timeout=60)
        assert ended.returncode == code and ended.stderr.count("\n") == 1, (options, ended)
