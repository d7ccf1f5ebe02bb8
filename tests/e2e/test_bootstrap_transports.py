"""Bootstrap over connections: RFC 8323 and the vendor's framing, plain and with TLS."""

import pytest
from bootstrapped_device import BootstrapDevice
from coapraw import CONTENT_FORMAT, GET, LINK_FORMAT, POST, uint
from coapstream import OVER, TCP, PrefixedPeer, TranslatedPeer, tcp_port
from coaptls import RecordPeer, SecureConnection, context, tls_port
from lwm2mraw import SENML_CBOR
from bootstrapped_device import values_of
from test_bootstrap import session
from test_bootstrap_secure import files_of
from test_pki import pki as run_pki

PELION = ["aid=acc", "mccv=4.13.2"]
LISTEN = (*TCP, "coaps+tcp://127.0.0.1:0")


class TranslatedTlsPeer(SecureConnection, TranslatedPeer):
    """RFC 8323 over TLS, for what is written for datagrams."""

    def __init__(self, port, tls):
        self._made_up, self._asked, self.csm = [], {}, None
        SecureConnection.__init__(self, port, tls)
        self.greet([])


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=LISTEN)


def registers(peer, *more):
    answer = peer.request(POST, "/rd", ["ep=dev1", "lwm2m=1.1", "lt=300", *more], b"</1/0>,</3/0>", [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    assert answer.code_text == "2.01", answer.payload


def keep(berth, peer):
    berth.peers.append(peer)
    return peer


@pytest.mark.parametrize("framing", OVER)
@pytest.mark.parametrize("version", [[], ["pct=112"]])
def test_over_tcp_a_device_gets_this_listener_and_registers(berth, framing, version):
    peer = keep(berth, OVER[framing](tcp_port(berth)))
    account = BootstrapDevice(peer).run(*version).account()
    assert account["0"] == f"coap+tcp://127.0.0.1:{tcp_port(berth)}"
    registers(keep(berth, OVER[framing](tcp_port(berth))))


def test_the_binding_of_a_server_over_tcp(berth):
    for query, binding in ((["pct=112"], "T"), ([], "U")):
        given = BootstrapDevice(keep(berth, TranslatedPeer(tcp_port(berth)))).run(*query).given
        assert given["/1/0/7"] == binding


def test_B6_the_vendors_sequence_over_its_framing(berth):
    device = BootstrapDevice(keep(berth, PrefixedPeer(tcp_port(berth))), szx=5).run(*PELION)
    assert device.names == ["DELETE /0", "PUT /0", "PUT /1", "POST /bs"]
    assert device.account()["0"] == f"coap+tcp://127.0.0.1:{tcp_port(berth)}?aid=acc"


@pytest.fixture
def factory(berth, tmp_path):
    run_pki("device", "--data", str(berth.data), "--endpoint", "dev1", "--account", "acc", "--out", "factory", cwd=tmp_path)
    return tmp_path / "factory"


def test_over_tls_a_device_gets_a_certificate_and_registers(berth, factory, tmp_path):
    peer = keep(berth, TranslatedTlsPeer(tls_port(berth), context(cert=factory)))
    account = BootstrapDevice(peer).run("pct=112").account()
    assert account["0"] == f"coaps+tcp://127.0.0.1:{tls_port(berth)}" and account["2"] == 2
    given = files_of(account, tmp_path)
    registers(keep(berth, TranslatedTlsPeer(tls_port(berth), context(cert=given))))


def test_over_tls_the_vendors_sequence_a_message_in_each_record(berth, factory, tmp_path):
    tls = context(cert=factory, version="1.2")
    device = BootstrapDevice(keep(berth, RecordPeer(tls_port(berth), tls)), szx=5)
    account = device.run(*PELION).account()
    assert device.names == ["DELETE /0", "PUT /0", "PUT /1", "POST /bs"]
    assert account["0"] == f"coaps+tcp://127.0.0.1:{tls_port(berth)}?aid=acc"
    given = files_of(account, tmp_path)
    registers(keep(berth, RecordPeer(tls_port(berth), context(cert=given, version="1.2"))), *PELION)


def test_a_pack_over_tcp(berth):
    answer = keep(berth, TranslatedPeer(tcp_port(berth))).request(GET, "/bspack", ["ep=dev1"])
    assert values_of(SENML_CBOR, "/", answer.payload)["/0/1/0"] == f"coap+tcp://127.0.0.1:{tcp_port(berth)}"


def test_a_connection_that_ends_in_the_middle_ends_the_bootstrap(berth):
    peer = keep(berth, TranslatedPeer(tcp_port(berth)))
    device = BootstrapDevice(peer)
    device.begin()
    device.until("PUT /0/1")
    peer.sock.close()
    assert "ended the session" in berth.await_event("bootstrap_failed", "dev1")["detail"]
    assert session(berth)["state"] == "failed"


def test_a_silent_connection_stays_while_its_device_is_bootstrapped(start_berth):
    berth = start_berth("--tcp-idle-timeout", "10s", listen=TCP)
    device = BootstrapDevice(keep(berth, TranslatedPeer(tcp_port(berth))))
    device.begin()
    command = device.until("PUT /0/1")
    berth.leap("60s")
    device.accept(command)
    while device.take().name != "POST /bs":
        pass
