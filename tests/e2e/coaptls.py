"""CoAP over TLS: the peers of coapstream over Python's TLS, and over openssl's for pre-shared keys; and one vendor's
clients, which put a message of RFC 7252 into each record."""

from __future__ import annotations

import itertools
import os
import secrets
import select
import socket
import ssl
import subprocess
import time
from urllib.parse import urlsplit

from coapraw import Coap
from coapstream import Connection, StreamPeer

TLS = ("coap://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")  # what to listen on


def tls_port(berth) -> int:
    return next(urlsplit(uri).port for uri in berth.listeners if uri.startswith("coaps+tcp:"))


def context(ca=None, cert=None, version: str | None = None, alpn=(), ciphers: str | None = None) -> ssl.SSLContext:
    """`cert` is a path without .pem and .key; `version` is 1.2 or 1.3."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE if ca is None else ssl.CERT_REQUIRED
    if ca is not None:
        made.load_verify_locations(ca)
    if cert is not None:
        made.load_cert_chain(f"{cert}.pem", f"{cert}.key")
    if version is not None:
        made.minimum_version = made.maximum_version = getattr(ssl.TLSVersion, "TLSv" + version.replace(".", "_"))
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if ciphers is not None:
        made.set_ciphers(ciphers)
    return made


class SecureConnection(Connection):
    """`sock` is a TLS one."""

    def __init__(
        self,
        port: int,
        tls: ssl.SSLContext,
        session=None,
        name=None,
        host: str = "127.0.0.1",
        timeout=15,
    ):
        plain = socket.create_connection((host, port), timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._take(tls.wrap_socket(plain, server_hostname=name, session=session))
        except BaseException:
            plain.close()
            raise

    def _take(self, sock) -> None:
        self.sock = sock
        self.bytes = b""
        self.sent = self.received = 0
        self.is_closed = False
        self._mids = itertools.count(secrets.randbelow(0x8000))
        self._tokens = itertools.count(secrets.randbelow(0x10000))

    def _more(self, deadline: float) -> bool:
        try:
            return super()._more(deadline)
        except ssl.SSLError:  # an alert
            self.is_closed = True
            return False


class TlsPeer(SecureConnection, StreamPeer):
    """RFC 8323 over TLS."""

    def __init__(self, port: int, tls: ssl.SSLContext, greet: bool = True, **kwargs):
        super().__init__(port, tls, **kwargs)
        self.csm: Coap | None = None
        if greet:
            self.greet([])


class RecordPeer(SecureConnection):
    """A message of RFC 7252 in each record, both ways (pelion)."""

    def send(self, message: Coap) -> None:
        self.sock.sendall(message.encode())

    def receive_raw(self, timeout: float = 5) -> bytes | None:
        self.bytes = b""  # a read never gives more than one record
        return self.bytes if self._more(time.monotonic() + timeout) else None


class OpensslPipe:
    """Looks like a socket; what is written goes through `openssl s_client`."""

    def __init__(self, port: int, *options: str):
        command = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{port}",
            "-quiet",
            "-nocommands",
            *options,
        ]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self.timeout: float | None = None

    def sendall(self, data: bytes) -> None:
        self.process.stdin.write(data)

    def settimeout(self, timeout: float | None) -> None:
        self.timeout = timeout

    def recv(self, size: int) -> bytes:
        if not select.select([self.process.stdout], [], [], self.timeout)[0]:
            raise TimeoutError
        return os.read(self.process.stdout.fileno(), size)

    def getsockname(self):
        return ("127.0.0.1", 0)

    def close(self) -> None:
        self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


class PskPeer(SecureConnection, StreamPeer):
    """RFC 8323 over TLS with a pre-shared key."""

    def __init__(
        self,
        port: int,
        identity: str,
        key: bytes,
        version: str,
        cipher="PSK-AES128-GCM-SHA256",
        greet=True,
    ):
        options = [
            "-psk_identity",
            identity,
            "-psk",
            key.hex(),
            "-tls" + version.replace(".", "_"),
        ]
        self._take(OpensslPipe(port, *options, "-cipher", f"{cipher}:@SECLEVEL=0"))
        self.csm: Coap | None = None
        if greet:
            self.greet([])
