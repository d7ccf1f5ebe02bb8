"""libcoap's command line client (Debian: libcoap3-bin) as a device that registers by hand."""

import re
import shutil
import subprocess

import pytest
from coapstream import TCP, tcp_port

OBJECTS = "</1/0>,</3/0>"
MANY = ",".join(["</1/0>", "</3/0>", *(f"</{n}/0>" for n in range(5000, 5200))])


def client():
    names = ("coap-client-notls", "coap-client", "coap-client-openssl", "coap-client-gnutls")
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found, "no coap-client: script/bootstrap --test installs libcoap3-bin"
    return found


def coap(*arguments, stdin=None):
    """What it prints: the payload on stdout, the code of an error on stderr."""
    run = subprocess.run([client(), "-B", "20", *arguments], input=stdin, capture_output=True, text=True, timeout=60)
    return run.stdout + run.stderr


@pytest.fixture(params=["coap", "coap+tcp"])
def server(start_berth, request):
    """The URI of a server, and the server."""
    berth = start_berth(listen=TCP)
    port = berth.coap_port if request.param == "coap" else tcp_port(berth)
    return f"{request.param}://127.0.0.1:{port}", berth


def register(uri, endpoint, *arguments, links=OBJECTS, query="lt=300&lwm2m=1.1&b=U"):
    return coap("-m", "post", "-t", "40", *arguments, "-f", "-", f"{uri}/rd?ep={endpoint}&{query}", stdin=links)


def paths(device):
    return [item["path"] for item in device["objects"]]


def test_OPT_29_discovery(server):
    uri, _ = server
    assert '</rd>;rt="core.rd"' in coap("-m", "get", f"{uri}/.well-known/core")


def test_OPT_15_discovery_in_another_format_is_4_06(server):
    uri, _ = server
    assert "4.06" in coap("-m", "get", "-A", "60", f"{uri}/.well-known/core")


def test_BLK_21_discovery_in_blocks_of_16(server):
    uri, _ = server
    output = coap("-m", "get", "-b", "16", f"{uri}/.well-known/core")
    assert '</rd>;rt="core.rd"' in output.replace("\n", "")


def test_REG_01_UPD_01_DER_01_register_update_deregister(server):
    uri, berth = server
    register(uri, "by-hand")
    device = berth.device("by-hand")
    assert (device["lifetime_s"], device["version"], paths(device)) == (300, "1.1", ["/1/0", "/3/0"])
    coap("-m", "post", f"{uri}{device['location']}?lt=600")
    assert berth.device("by-hand")["lifetime_s"] == 600
    coap("-m", "delete", f"{uri}{device['location']}")
    kinds = ["registered", "updated", "deregistered"]  # each from another port, which makes events of its own
    assert [e["type"] for e in berth.events_after(0, types=",".join(kinds))] == kinds


def test_REG_37_location_as_the_client_reads_it(server):
    uri, berth = server
    output = register(uri, "by-hand", "-v", "7")
    name = berth.device("by-hand")["location"].removeprefix("/rd/")
    assert re.search(rf"2\.01\b.*Location-Path:rd, Location-Path:{name}\b", output)


@pytest.mark.parametrize("size", [16, 64, 512, 1024])
def test_BLK_31_REG_40_register_in_blocks(server, size):
    uri, berth = server
    register(uri, "in-blocks", "-b", str(size), links=MANY)
    assert paths(berth.device("in-blocks")) == MANY.replace("<", "").replace(">", "").split(",")


def test_BLK_31_register_larger_than_a_block_without_being_told(server):
    uri, berth = server
    assert len(MANY) > 1024
    register(uri, "in-blocks", links=MANY)
    assert len(paths(berth.device("in-blocks"))) == 202


def test_BLK_14_server_that_prefers_small_blocks(start_berth):
    berth = start_berth("--block-size", "64")
    register(f"coap://127.0.0.1:{berth.coap_port}", "in-blocks", links=MANY)
    assert len(paths(berth.device("in-blocks"))) == 202


@pytest.mark.parametrize("server", ["coap"], indirect=True)
def test_MSG_46_register_as_non(server):
    uri, berth = server
    register(uri, "non", "-N")
    assert berth.await_event("registered", "non")
    assert berth.await_event("oddity", "non")


@pytest.mark.parametrize("server", ["coap"], indirect=True)
def test_MSG_22_first_datagram_lost(server):
    uri, berth = server
    register(uri, "lossy", "-l", "1")
    assert [e["type"] for e in berth.events_after(0)] == ["registered"]


def test_EXT_01_client_that_knows_echo_answers_the_challenge(start_berth):
    berth = start_berth("--echo-challenge")
    register(f"coap://127.0.0.1:{berth.coap_port}", "challenged")
    assert berth.device("challenged")["state"] == "registered"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-m", "post", "/rd/none"], "4.04"),
        (["-m", "delete", "/rd/none"], "4.04"),
        (["-m", "get", "/rd"], "4.05"),
        (["-m", "fetch", "/rd"], "4.05"),
        (["-m", "post", "/rd?ep=x&lwm2m=9.9"], "4.12"),
        (["-m", "post", "/rd?lwm2m=1.1"], "4.00"),
        (["-m", "get", "-O", "65001,x", "/.well-known/core"], "4.02"),
        (["-m", "get", "/nothing"], "4.04"),
    ],
)
def test_MSG_45_errors_are_understood(server, arguments, code):
    uri, _ = server
    *options, path = arguments
    assert code in coap(*options, uri + path)


def test_MSG_51_ipv6(start_berth):
    berth = start_berth(listen=("coap://[::1]:0",))
    register(f"coap://[::1]:{berth.coap_port}", "six")
    assert berth.device("six")["address"].startswith("[::1]:")
