"""The vendor's clients: their sequence message by message, their certificates, their account."""

import subprocess

import pytest
from bootstrapped_device import BootstrapDevice
from coapraw import ACK, BLOCK1, CON, CONTENT_FORMAT, GET, SIZE1, Coap, block, code, uint
from lwm2mraw import TLV, Value, encode
from test_bootstrap import configure
from test_bootstrap_secure import files_of
from test_dtls import COAPS, add_psk, coaps_port, connect, connect_certificate, register
from test_pki import openssl
from test_pki import pki as run_pki

ASK = ["aid=0123456789abcdef0123456789abcdef", "mccv=4.13.2"]
ACCOUNT = ASK[0][4:]
MAX_AGE_0 = (14, b"")


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=COAPS)


@pytest.fixture
def device(berth, tmp_path):
    """A client with a factory certificate, over DTLS with a CID."""
    run_pki("device", "--data", str(berth.data), "--endpoint", "dev1", "--account", ACCOUNT, "--out", "factory", cwd=tmp_path)
    return BootstrapDevice(connect_certificate(berth, tmp_path / "factory", cid=b""), szx=5)


def account_of(berth, device):
    return device.run(*ASK).account()


def test_BS_13_BS_24_the_sequence_byte_by_byte(berth):
    """Without security, so that every byte is known beforehand."""
    peer = berth.peer()
    request = peer.message(2, "/bs", ["ep=dev1", *ASK], options=[MAX_AGE_0])
    peer.send(request)
    answer = peer.receive()
    assert answer == Coap(ACK, code("2.04"), request.mid, request.token)  # before any command (B1)
    uri = f"coap://127.0.0.1:{berth.coap_port}?aid={ACCOUNT}"
    security = {"/0/0/0": Value("string", uri), "/0/0/1": Value("boolean", False), "/0/0/2": Value("integer", 3), "/0/0/10": Value("integer", 1)}
    server = {"/1/0/0": Value("integer", 1), "/1/0/1": Value("integer", 86400), "/1/0/6": Value("boolean", True), "/1/0/7": Value("string", "U")}
    expected = [
        (4, [(11, b"0")], b"", "2.02"),
        (3, [(11, b"0"), (12, uint(TLV))], encode(TLV, "/0", security), "2.04"),
        (3, [(11, b"1"), (12, uint(TLV))], encode(TLV, "/1", server), "2.04"),
        (2, [(11, b"bs")], b"", None),
    ]
    for method, options, payload, result in expected:
        command = peer.receive()
        assert command == Coap(CON, method, command.mid, command.token, options, payload)
        assert len(peer.sock.getsockname()) == 2
        if result is not None:
            peer.send(Coap(ACK, code(result), command.mid, command.token, [MAX_AGE_0, (CONTENT_FORMAT, b"")]))
    # The Finish: an empty ACK with an option in it, as this client writes it, then a CON of its own.
    peer.send_raw(bytes([0x60, 0, command.mid >> 8, command.mid & 255, 0xC0]))
    separate = Coap(CON, code("2.04"), peer.next_mid(), command.token, [MAX_AGE_0])
    peer.send(separate)
    assert peer.receive() == Coap(ACK, 0, separate.mid)
    peer.expect_silence()
    berth.await_event("bootstrap_finished", "dev1")


def test_BSC_12_the_certificate_and_the_uri_are_what_the_client_needs(berth, device, tmp_path):
    account = account_of(berth, device)
    assert device.names == ["DELETE /0", "PUT /0", "PUT /1", "POST /bs"]
    assert {c.format for c in device.commands if c.body} == {TLV}
    assert account["0"] == f"coaps://127.0.0.1:{coaps_port(berth)}?aid={ACCOUNT}" and account["2"] == 2
    assert max(len(account[number]) for number in "345") <= 1024
    authority = subprocess.run(["openssl", "x509", "-in", berth.data / "ca.pem", "-outform", "DER"], capture_output=True, check=True).stdout
    assert account["4"] == authority
    given = files_of(account, tmp_path)
    subject = openssl("x509", "-in", f"{given}.pem", "-noout", "-subject", cwd=tmp_path).replace(" = ", "=")
    peer = connect_certificate(berth, given)
    answer = peer.request(2, "/rd", ["ep=dev1", "et=default", "lt=7200", "lwm2m=1.0", f"d={ACCOUNT}", "b=U", *ASK], b"</1/0>", [(12, uint(40))])
    assert answer.code_text == "2.01"
    _, rd, account_id, device_id = answer.location.split("/")
    assert (rd, account_id) == ("rd", ACCOUNT)
    assert f"CN=dev1, OU={ACCOUNT}, L={device_id}" in subject


def test_BS_24_whole_objects_go_in_blocks_of_512(berth, device):
    device.begin(*ASK)
    device.take("DELETE /0")
    first = device.peer.receive(10)
    assert first.number(BLOCK1) & 7 == 5 and len(first.payload) == 512 and first.number(SIZE1) > 1024
    device.peer.send(Coap(ACK, code("2.31"), first.mid, first.token, [(BLOCK1, uint(first.number(BLOCK1)))]))
    second = device.peer.receive(10)
    assert second.number(BLOCK1) >> 4 == 1


def test_BS_24_after_4_13_with_a_hint_it_begins_again_with_that_size(berth, device):
    device.szx = 4
    account = account_of(berth, device)
    assert account["2"] == 2


def test_BS_07_iep_aid_and_mccv_are_kept(berth, device):
    device.run("aid=acc", "iep=0123", "mccv=4.13.2")
    assert berth.await_event("bootstrap_started")["query"] == "aid=acc&iep=0123&mccv=4.13.2"
    assert berth.await_event("bootstrap_started")["procedure"] == "pelion"


def test_BS_20_an_empty_ACK_and_a_CON_much_later_finish_it(berth, device):
    device.begin(*ASK)
    finish = device.until("POST /bs")
    device.peer.send(Coap(ACK, 0, finish.message.mid))
    device.peer.expect_silence()  # the ACK has come
    berth.leap("240s")
    mid = device.peer.next_mid()
    device.peer.send(Coap(CON, code("2.04"), mid, finish.message.token))
    ack = device.peer.receive()
    assert (ack.type, ack.mid) == (ACK, mid)
    berth.await_event("bootstrap_finished", "dev1")


def test_BS_35_another_bootstrap_deletes_first(berth, device):
    for _ in range(2):
        device.commands.clear()
        device.run(*ASK)
        assert device.names[0] == "DELETE /0"


def test_BS_16_no_command_that_the_client_leaves_unanswered_is_sent(berth, device):
    device.run(*ASK)
    assert not [c for c in device.commands if c.method == GET]


def test_the_sequence_can_be_configured(berth):
    configure(berth, sequence="standard")
    assert BootstrapDevice(berth.peer()).run(*ASK).names[0] == "GET /0"
    configure(berth, "dev2", sequence="pelion")
    assert BootstrapDevice(berth.peer(), "dev2").run().names == ["DELETE /0", "PUT /0", "PUT /1", "POST /bs"]


def test_a_device_with_a_psk_can_not_have_that_sequence_with_psk(berth):
    """The client refuses modes 0 and 1; what it came with is told to it all the same."""
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    account = BootstrapDevice(connect(berth, "factory"), szx=5).run(*ASK).account()
    assert account["2"] == 0


def test_without_aid_the_account_is_default(berth):
    given = BootstrapDevice(berth.peer(), szx=5).run("mccv=4.13.2").given
    assert given["/0/0/0"].endswith("?aid=default")


def test_a_client_that_was_refused_at_registration_comes_again(berth, device, tmp_path):
    """B5: re-bootstrap, with iep in the query, and a certificate that replaces the first."""
    first = files_of(device.run(*ASK).account(), tmp_path, "first")
    device.commands.clear()
    second = files_of(device.run("iep=0123", *ASK).account(), tmp_path, "second")
    register(berth, connect_certificate(berth, second))
    refused = register(berth, connect_certificate(berth, first), expected="4.03")
    assert refused.code_text == "4.03"


def test_block_option_values(berth):
    assert block(0, True, 5) == b"\x0d"
