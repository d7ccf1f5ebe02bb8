"""What is set by options of the server: cookies, connection IDs, chains, refusals, listeners with a role."""

import pytest
from berth_process import Device, segment
from coapraw import CONTENT_FORMAT, GET, LINK_FORMAT, POST, uint
from datagram_wire import Wire
from dtls_peer import DtlsPeer, HandshakeFailed
from test_pki import openssl
from test_pki import pki as run_pki

KEY = bytes(range(16))
COAPS = ("coaps://127.0.0.1:0",)
CLIENT_HELLO, HELLO_VERIFY_REQUEST = 1, 3
HANDSHAKE = 22  # a record's type
LINKS = b"</1/0>,</3/0>"


@pytest.fixture
def start(start_berth):
    def start(*options, listen=COAPS):
        return start_berth("--psk", f"dev1:{KEY.hex()}", *options, listen=listen)

    return start


@pytest.fixture
def wires():
    wires = []

    def wire(berth, listener=0, **kwargs):
        wires.append(Wire(port_of(berth, listener), **kwargs))
        return wires[-1]

    yield wire
    for one in wires:
        one.close()


def port_of(berth, listener=0):
    return int(berth.listeners[listener].partition("?")[0].rpartition(":")[2])


def connect(berth, port=None, **kwargs):
    kwargs = kwargs if "cert" in kwargs else {"psk": ("dev1", KEY), **kwargs}
    peer = DtlsPeer(port or port_of(berth), connect=False, **kwargs)
    berth.peers.append(peer)
    return peer.handshake()


def register(peer, endpoint="dev1", expected="2.01"):
    query = ["lt=300", "lwm2m=1.1", "b=U", f"ep={endpoint}"]
    answer = peer.request(POST, "/rd", query, LINKS, [(CONTENT_FORMAT, uint(LINK_FORMAT))])
    assert answer.code_text == expected, f"{answer.code_text} {answer.payload!r}"
    return Device(peer, endpoint, answer.location)


def updated(device):
    return device.update().code_text == "2.04"


# ---- cookies ----


@pytest.mark.parametrize(("policy", "asked"), [("always", True), ("under-load", False), ("never", False)])
def test_SEC_08_clients_prove_their_address_or_not(start, wires, policy, asked):
    berth = start("--dtls-cookie", policy)
    wire = wires(berth)
    register(connect(berth, wire.port))
    assert (wire.to_client[0][13] == HELLO_VERIFY_REQUEST) is asked


def test_SEC_08_under_load_they_must(start, wires):
    berth = start("--dtls-cookie", "under-load")
    first, second = wires(berth), wires(berth)
    connect(berth, first.port)
    assert first.to_client[0][13] != HELLO_VERIFY_REQUEST
    for _ in range(100):  # handshakes that nobody goes on with
        peer = berth.peer(port=port_of(berth))
        peer.send_raw(first.to_server[0])
        assert peer.receive_raw()[13] != HELLO_VERIFY_REQUEST
    connect(berth, second.port)
    assert second.to_client[0][13] == HELLO_VERIFY_REQUEST


# ---- what networks do to hellos ----


def records_of(datagram):
    """(what is before the number, the number, the content) of each."""
    while datagram:
        end = 13 + int.from_bytes(datagram[11:13], "big")
        yield datagram[:5], int.from_bytes(datagram[5:11], "big"), datagram[13:end]
        datagram = datagram[end:]


def record(head, number, content):
    return head + number.to_bytes(6, "big") + len(content).to_bytes(2, "big") + content


def hellos_in_pieces_twice(datagram):
    """ClientHellos go in fragments (RFC 6347 §4.2.3), each in a datagram of its own, of which there is a copy. Numbers are
    changed to make room for theirs; only those of epoch 0, which are not protected."""
    whole, pieces = b"", []
    for head, number, content in records_of(datagram):
        first = number * 16 if head[3:5] == b"\0\0" else number
        if (head[0], head[3:5], content[0]) != (HANDSHAKE, b"\0\0", CLIENT_HELLO):
            whole += record(head, first, content)
            continue
        for i, at in enumerate(range(0, len(content) - 12, 100)):
            part = content[12:][at : at + 100]
            piece = record(head, first + i, content[:6] + at.to_bytes(3, "big") + len(part).to_bytes(3, "big") + part)
            pieces += [piece, piece]
    return pieces or [whole]


@pytest.mark.parametrize("policy", ["always", "never"])
def test_SEC_09_each_piece_of_a_hello_comes_twice(start, wires, policy):
    berth = start("--dtls-cookie", policy)
    wire = wires(berth, alter=hellos_in_pieces_twice)
    register(connect(berth, wire.port))
    assert berth.events_after(types="dtls_failed") == []


# ---- connection IDs ----


@pytest.mark.parametrize("length", [0, 1, 32])
def test_CID_01_their_length_is_an_option(start, length):
    berth = start("--cid-length", str(length), "--node", "7")
    peer = connect(berth, cid=b"")
    device = register(peer)
    cid = berth.device("dev1")["security"]["cid"]
    assert (cid is None) if length == 0 else (len(cid) == 2 * length and (length == 1 or cid.startswith("07")))
    assert updated(device)
    if length > 0:
        peer.rebind()
        assert updated(device)


def test_CID_01_33_bytes_are_too_many(start):
    with pytest.raises(AssertionError, match="--cid-length"):
        start("--cid-length", "33")


@pytest.mark.not_with_live_dtls("a live context cannot be asked whose record it is")
def test_CID_18_a_session_without_a_cid_follows_its_host_where_that_is_asked_for(start):
    berth = start("--follow-same-host")
    add_psk(berth, "dev2")
    other = register(connect(berth, psk=("dev2", KEY)), "dev2")
    peer = connect(berth)
    device = register(peer)
    for _ in range(2):
        peer.rebind()
        assert updated(device)
        assert berth.device("dev1")["address"] == peer.address
    before = berth.device("dev2")["address"]
    other.peer.rebind()
    assert updated(other)
    assert berth.device("dev2")["address"] == other.peer.address != before
    assert len(berth.events_after(types="dtls_handshake")) == 2


# ---- renegotiation ----


def test_SEC_03_SEC_28_the_vendors_client_renegotiates_before_it_speaks(start):
    berth = start()
    peer = connect(berth, cid=b"")
    peer.renegotiate()
    assert updated(register(peer))
    peer.rebind()
    peer.ping()


# ---- certificates ----


@pytest.fixture
def middle(tmp_path):
    """middle.pem and middle.key of an authority, signed by root.pem; the directory of both."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    authority = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign")
    openssl("req", "-x509", *curve, "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=Root", *authority, cwd=tmp_path)
    openssl("req", *curve, "-keyout", "middle.key", "-out", "middle.csr", "-subj", "/CN=Middle", cwd=tmp_path)
    (tmp_path / "ca.ext").write_text("basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n")
    signing = ("-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-extfile", "ca.ext", "-days", "100")
    openssl("x509", "-req", "-in", "middle.csr", "-out", "middle.pem", *signing, cwd=tmp_path)
    return tmp_path


def put_behind(path, other):
    path.write_text(path.read_text() + other.read_text())


def test_SEC_13_a_chain_through_an_intermediate_authority(start, middle):
    run_pki("device", "--ca", "middle", "--endpoint", "dev2", "--out", "dev2", cwd=middle)
    berth = start("--ca", str(middle / "root.pem"))
    with pytest.raises(HandshakeFailed):
        connect(berth, cert=middle / "dev2")
    put_behind(middle / "dev2.pem", middle / "middle.pem")
    register(connect(berth, cert=middle / "dev2"), "dev2")
    assert berth.device("dev2")["security"]["mode"] == "x509"


def test_SEC_15_a_device_that_knows_the_root_alone_is_shown_the_way_to_it(start, middle):
    run_pki("ca", "--out", "devices", cwd=middle)
    run_pki("device", "--ca", "devices", "--endpoint", "dev2", "--out", "dev2", cwd=middle)
    run_pki("server", "--ca", "middle", "--host", "localhost", "--out", "server", cwd=middle)
    files = ("--cert", str(middle / "server.pem"), "--key", str(middle / "server.key"), "--ca", str(middle / "devices.pem"))
    known = {"cert": middle / "dev2", "ca": middle / "root.pem", "name": "localhost"}
    berth = start(*files)
    with pytest.raises(HandshakeFailed):
        connect(berth, **known)
    berth.stop()
    put_behind(middle / "server.pem", middle / "middle.pem")
    register(connect(berth.start(), **known), "dev2")


@pytest.mark.parametrize("key", [("rsa:2048",), ("ec", "-pkeyopt", "ec_paramgen_curve:P-384")])
def test_an_authority_that_could_sign_for_nobody_is_refused_at_the_start(start, tmp_path, key):
    openssl("req", "-x509", "-newkey", *key, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Root", cwd=tmp_path)
    with pytest.raises(AssertionError, match="ca.pem: the authority's key is not an elliptic curve key on P-256"):
        start("--ca", str(tmp_path / "ca.pem"))


def test_certificates_of_the_longest_names_take_1024_bytes_at_most(tmp_path):
    run_pki("ca", cwd=tmp_path)
    run_pki("device", "--endpoint", "e" * 64, "--account", "a" * 64, "--id", "i" * 64, "--out", "dev", cwd=tmp_path)
    run_pki("server", "--host", "h" * 63 + ".example.com", "--out", "server", cwd=tmp_path)
    for name in ("ca", "dev", "server"):
        assert 0 < (tmp_path / f"{name}.der").stat().st_size <= 1024


# ---- what they hear who may not ----


def add_psk(berth, endpoint, **more):
    body = {"mode": "psk", "key_hex": KEY.hex(), **more}
    assert berth.http("PUT", f"/v1/credentials/{segment(endpoint)}", body).status == 201


@pytest.mark.parametrize("code", ["4.03", "4.00"])
def test_REG_17_what_is_not_allowed_is_refused_with_a_code_of_ones_choice(start, code):
    berth = start("--nosec", "known", "--refuse-with", code, listen=("coap://127.0.0.1:0", *COAPS))
    add_psk(berth, "dev2", service="bootstrap")
    register(berth.peer(), "dev3", code)
    register(connect(berth, port_of(berth, 1), psk=("dev2", KEY)), "dev2", code)
    assert [e["coap_code"] for e in berth.events_after(types="rejected")] == [code, code]


# ---- listeners with a role ----

ROLES = (
    "coap://127.0.0.1:0?role=management",
    "coap://127.0.0.1:0?role=bootstrap",
    "coaps://127.0.0.1:0?role=management",
    "coaps://127.0.0.1:0?role=bootstrap",
)


def test_a_listener_serves_its_role_alone(start):
    berth = start(listen=ROLES)
    management, bootstrap = berth.peer(port=port_of(berth, 0)), berth.peer(port=port_of(berth, 1))
    assert register(management, "dev2").update().code_text == "2.04"
    answer = management.request(POST, "/bs", ["ep=dev2"])
    assert (answer.code_text, b"another service" in answer.payload) == ("4.04", True)
    for path in ("/rd", "/rd/x", "/dp"):
        answer = bootstrap.request(POST, path, ["ep=dev3", "lwm2m=1.1"], LINKS)
        assert (answer.code_text, b"another service" in answer.payload) == ("4.04", True)
    assert b"</rd>" in management.request(GET, "/.well-known/core").payload
    assert bootstrap.request(GET, "/.well-known/core").payload == b"</bs>"
    assert b"another service" not in bootstrap.request(POST, "/bs", ["ep=dev2"]).payload  # requests follow


def test_a_listener_takes_the_credentials_of_its_role(start):
    berth = start(listen=ROLES)
    add_psk(berth, "dev2", service="bootstrap")
    add_psk(berth, "dev3", service="management")
    management, bootstrap = port_of(berth, 2), port_of(berth, 3)
    register(connect(berth, management), "dev1")  # for both services
    register(connect(berth, management, psk=("dev3", KEY)), "dev3")
    connect(berth, bootstrap, psk=("dev2", KEY)).ping()
    for port, identity in ((management, "dev2"), (bootstrap, "dev3")):
        after = berth.last_event()
        with pytest.raises(HandshakeFailed):
            connect(berth, port, psk=(identity, KEY))
        event = berth.await_event("dtls_failed", after=after)
        assert (event["reason"], event["alert_sent"]) == ("unknown_identity", 115)


def test_a_session_is_not_resumed_where_its_identity_has_no_credential(start, wires):
    berth = start(listen=ROLES)
    add_psk(berth, "dev3", service="management")
    wire = wires(berth, 2)
    peer = connect(berth, wire.port, psk=("dev3", KEY))
    register(peer, "dev3")
    wire.server = ("127.0.0.1", port_of(berth, 3))
    wire.rebind()
    with pytest.raises(HandshakeFailed):
        peer.resume()


CERTIFICATE_VERIFY, CLIENT_KEY_EXCHANGE = 15, 16


def with_changed(kind, change):
    """For a Wire: change(the content) of the handshake messages of this kind that are not encrypted."""

    def alter(datagram):
        out, at = bytearray(datagram), 0
        while at < len(out):
            end = at + 13 + int.from_bytes(out[at + 11 : at + 13], "big")
            if (out[at], out[at + 3 : at + 5], out[at + 13]) == (HANDSHAKE, b"\0\0", kind):
                out[at + 25 : end] = change(out[at + 25 : end])
            at = end
        return [bytes(out)]

    return alter


def refused(berth, wire, **kwargs):
    with pytest.raises(HandshakeFailed):
        connect(berth, wire.port, **kwargs)
    event = berth.await_event("dtls_failed")
    assert wire.to_client[-1][-2:] == bytes([2, event["alert_sent"]])
    return event["reason"], event["alert_sent"]


def test_SEC_21_a_device_that_has_no_identity_yet_is_told_so(start, wires):
    berth = start()
    wire = wires(berth, alter=with_changed(CLIENT_KEY_EXCHANGE, lambda body: bytes(2) + body[2:]))
    assert refused(berth, wire) == ("protocol", 50)  # decode_error


def test_SEC_21_a_device_with_anothers_key_for_its_certificate_is_told_so(start, wires, tmp_path):
    berth = start()
    run_pki("device", "--data", str(berth.data), "--endpoint", "dev2", "--out", "dev2", cwd=tmp_path)
    wire = wires(berth, alter=with_changed(CERTIFICATE_VERIFY, lambda body: body[:-1] + bytes([body[-1] ^ 1])))
    assert refused(berth, wire, cert=tmp_path / "dev2") == ("protocol", 51)  # decrypt_error
