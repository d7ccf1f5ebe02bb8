"""libcoap's client and aiocoap as devices over coaps+tcp."""

import asyncio
import shutil
import subprocess

import pytest
from aiocoap import GET, POST, Context, Message
from aiocoap.numbers import ContentFormat
from aiocoap.transports.tls import TLSClient
from coaptls import TLS, context, tls_port
from test_pki import pki

KEY = b"secret-key"
OBJECTS = b"</1/0>,</3/0>"


@pytest.fixture
def berth(start_berth, tmp_path):
    berth = start_berth(listen=TLS)
    pki("device", "--data", berth.data, "--endpoint", "dev1", "--out", tmp_path / "dev1", cwd=tmp_path)
    assert berth.http("PUT", "/v1/credentials/dev2", {"mode": "psk", "key_hex": KEY.hex()}).status == 201
    return berth


def libcoap(berth, *options, endpoint):
    program = shutil.which("coap-client-openssl")
    if program is None:
        pytest.skip("no coap-client-openssl: script/bootstrap --test installs libcoap3-bin")
    uri = f"coaps+tcp://127.0.0.1:{tls_port(berth)}/rd?ep={endpoint}&lt=300&lwm2m=1.1"
    command = [program, "-B", "20", *options, "-m", "post", "-t", "40", "-f", "-", uri]
    run = subprocess.run(command, check=False, input=OBJECTS, capture_output=True, timeout=60)
    return run.stdout + run.stderr


def test_libcoap_registers_with_its_certificate(berth, tmp_path):
    files = ["-c", tmp_path / "dev1.pem", "-j", tmp_path / "dev1.key", "-R", berth.data / "ca.pem", "-n"]
    said = libcoap(berth, *files, endpoint="dev1")
    assert berth.device("dev1")["transport"] == "tls", said


def test_libcoap_registers_with_its_key(berth):
    said = libcoap(berth, "-u", "dev2", "-k", KEY.decode(), endpoint="dev2")
    device = berth.device("dev2")
    assert (device["transport"], device["security"]["mode"]) == ("tls", "psk"), said


def test_aiocoap_registers_with_its_certificate(berth, tmp_path, monkeypatch):
    """aiocoap has no client certificates of its own, so the context is made here."""
    tls = context(ca=berth.data / "ca.pem", cert=tmp_path / "dev1", alpn=["coap"])
    monkeypatch.setattr(TLSClient, "_ssl_context_factory", lambda self, hostinfo: tls)

    async def go():
        client = await Context.create_client_context(transports=["tlsclient"])
        uri = f"coaps+tcp://127.0.0.1:{tls_port(berth)}"
        try:
            register = Message(code=POST, uri=f"{uri}/rd?ep=dev1&lt=300&lwm2m=1.1", payload=OBJECTS)
            register.opt.content_format = ContentFormat.LINKFORMAT
            registered = await asyncio.wait_for(client.request(register).response, 30)
            found = await asyncio.wait_for(
                client.request(Message(code=GET, uri=f"{uri}/.well-known/core")).response, 30
            )
            return registered.code.dotted, found.code.dotted
        finally:
            await client.shutdown()

    assert asyncio.run(go()) == ("2.01", "2.05")
    assert berth.await_event("registered", "dev1")
