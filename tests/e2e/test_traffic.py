"""GET /v1/devices/{ep}/traffic against what was seen on the wire, and what a device pays at the least."""

import pytest
from berth_process import segment
from coapraw import ACK, CONTENT_FORMAT, DELETE, LINK_FORMAT, POST, Coap, code, uint
from datagram_wire import Wire
from dtls_peer import DtlsPeer
from played_device import Asked

KEY = bytes(range(16))
CCM_8 = "TLS-PSK-WITH-AES-128-CCM-8"
KINDS = ("handshake", "resumption", "registration", "update", "other")


@pytest.fixture
def start(start_berth):
    wires = []

    def start(*options):
        berth = start_berth("--psk", f"dev1:{KEY.hex()}", *options, listen=("coap://127.0.0.1:0", "coaps://127.0.0.1:0"))
        for uri in berth.listeners:
            wires.append(Wire(int(uri.rpartition(":")[2])))
        return berth, *wires[-2:]

    yield start
    for wire in wires:
        wire.close()


class Account:
    """What a client has seen on a wire, by kind."""

    def __init__(self, wire):
        self.wire = wire
        self.kinds = {kind: {"count": 0, "bytes_in": 0, "bytes_out": 0} for kind in KINDS}

    def charge(self, kind, step, count=1):
        before = self.wire.bytes()
        result = step()
        for name, then, now in zip(("bytes_in", "bytes_out"), before, self.wire.bytes()):
            self.kinds[kind][name] += now - then
        self.kinds[kind]["count"] += count
        return result

    def total(self):
        return {name: sum(kind[name] for kind in self.kinds.values()) for name in ("bytes_in", "bytes_out")}


def traffic(berth, endpoint="dev1"):
    return berth.get(f"/v1/devices/{segment(endpoint)}/traffic")


def connect(berth, wire, **kwargs):
    peer = DtlsPeer(wire.port, psk=("dev1", KEY), connect=False, **kwargs)
    berth.peers.append(peer)
    return peer


def resume(berth, peer):
    peer.resume()
    assert peer.is_resumed
    berth.await_event("dtls_resumed")  # the client's word was the last


def register(peer, endpoint="dev1", links=b"</1/0>,</3/0>", more=()):
    query = ["lt=300", "lwm2m=1.1", "b=U", f"ep={endpoint}"]
    options = [(CONTENT_FORMAT, uint(LINK_FORMAT)), *more]
    answer = peer.request(POST, "/rd", query, links, options)
    assert answer.code_text == "2.01", answer
    return answer.location


def read(berth, peer):
    asked = Asked(berth, "GET", "/v1/devices/dev1/3/0/9")
    request = peer.receive(10)
    peer.send(Coap(ACK, code("2.05"), request.mid, request.token, [(CONTENT_FORMAT, uint(0))], b"95"))
    asked.answer(200)


def live(berth, peer, account):
    """A registration, updates, pings and a read, each charged to its kind."""
    location = account.charge("registration", lambda: register(peer))
    for _ in range(3):
        account.charge("update", lambda: peer.request(POST, location, ["lt=400"]))
    account.charge("other", peer.ping, 2)
    account.charge("other", lambda: read(berth, peer), 2)
    return location


def test_figures_of_a_device_without_security(start):
    berth, wire, _ = start("--nosec", "open")
    assert berth.http("PUT", "/v1/credentials/dev1", {"mode": "none"}).status == 201
    peer = berth.peer(port=wire.port)
    account = Account(wire)
    live(berth, peer, account)
    found = traffic(berth)
    assert found["over"] == {"udp": account.kinds}
    assert found["total"] == account.total()
    assert found["session"] is None


@pytest.mark.parametrize(
    ("cid", "suite", "way"),
    [
        (b"", CCM_8, "dtls_cid"),
        (b"abc", "TLS-PSK-WITH-AES-128-GCM-SHA256", "dtls_cid"),
        (None, CCM_8, "dtls"),
        (None, "TLS-PSK-WITH-AES-128-CBC-SHA256", "dtls"),
    ],
)
def test_figures_of_a_session(start, cid, suite, way):
    berth, _, wire = start()
    peer = connect(berth, wire, cid=cid, suite=suite)
    account = Account(wire)
    account.charge("handshake", peer.handshake)
    location = live(berth, peer, account)
    assert traffic(berth)["over"] == {way: account.kinds}
    account.charge("resumption", lambda: resume(berth, peer))
    account.charge("update", lambda: peer.request(POST, location))
    found = traffic(berth)
    assert found["over"][way] == account.kinds
    assert found["total"] == account.total()
    session = found["session"]
    for name in ("bytes_in", "bytes_out"):
        assert session["handshake"][name] == account.kinds["resumption"][name]
        assert session["records"][name] == session["messages"][name] + session["overhead"][name]


def test_each_way_in_which_a_device_has_come_is_told_apart(start):
    berth, plain_wire, wire = start()
    assert berth.http("PUT", "/v1/credentials/dev1", {"mode": "none"}).status == 201
    plain = Account(plain_wire)
    location = plain.charge("registration", lambda: register(berth.peer(port=plain_wire.port)))
    for cid in (None, b""):
        account = Account(wire)
        peer = connect(berth, wire, cid=cid, suite=CCM_8)
        account.charge("handshake", peer.handshake)
        account.charge("update", lambda: peer.request(POST, location))
        found = traffic(berth)["over"]
        assert found["dtls" if cid is None else "dtls_cid"] == account.kinds
        assert found["udp"] == plain.kinds
    assert set(found) == {"udp", "dtls", "dtls_cid"}


def test_copies_and_blocks_of_a_register_are_the_registrations(start):
    berth, wire, _ = start()
    account = Account(wire)
    peer = berth.peer(port=wire.port)
    query = ["ep=dev2", "lwm2m=1.1", "lt=300"]
    body = b",".join(b"</%d/0>" % n for n in range(3300, 3310))
    blocks = [body[at : at + 64] for at in range(0, len(body), 64)]

    def send_all():
        for number, block in enumerate(blocks):
            more = 0x08 if number < len(blocks) - 1 else 0
            options = [(CONTENT_FORMAT, uint(LINK_FORMAT)), (27, uint(number << 4 | more | 2))]
            message = peer.message(POST, "/rd", query, block, options)
            peer.send(message)
            answer = peer.response(message)
        return message, answer

    message, answer = account.charge("registration", send_all)
    assert answer.code_text == "2.01"

    def send_again():
        peer.send(message)
        assert peer.response(message).code_text == "2.01"

    account.charge("registration", send_again, 0)
    assert traffic(berth, "dev2")["over"] == {"udp": account.kinds}


def test_counts_follow_a_device_that_registers_anew_and_begin_anew_with_the_server(start):
    berth, wire, _ = start()
    account = Account(wire)
    account.charge("registration", lambda: register(berth.peer(port=wire.port), "dev2"))
    wire.rebind()
    account.charge("registration", lambda: register(berth.peer(port=wire.port), "dev2"))
    assert traffic(berth, "dev2")["over"] == {"udp": account.kinds}
    berth.restart()
    assert traffic(berth, "dev2")["total"] == {"bytes_in": 0, "bytes_out": 0}


def test_another_devices_bytes_are_its_own(start):
    berth, wire, _ = start()
    first = Account(wire)
    location = first.charge("registration", lambda: register(berth.peer(port=wire.port), "dev2"))
    berth.register("dev3")
    assert traffic(berth, "dev2")["over"] == {"udp": first.kinds}
    stranger = berth.peer()
    assert stranger.request(POST, "/rd/none").code_text == "4.04"
    assert traffic(berth, "dev2")["over"] == {"udp": first.kinds}
    assert stranger.request(DELETE, location).code_text == "2.02"
    assert berth.http("GET", "/v1/devices/dev2/traffic").problem == "not-registered"


# ---- the least that a device pays ----

ARTICLE = "urn:imei:1234567890"
ARTICLE_LINKS = b"</1/0>,</3/0>,</4/0>,</5/0>"


def article_register(peer):
    query = [f"ep={ARTICLE}", "lt=86400", "lwm2m=1.1", "b=U"]
    options = [(CONTENT_FORMAT, uint(LINK_FORMAT))]
    answer = peer.request(POST, "/rd", query, ARTICLE_LINKS, options, token=b"")
    assert answer.code_text == "2.01", answer
    return answer.location


def test_an_update_takes_18_bytes_both_ways(start):
    berth, wire, _ = start()
    peer = berth.peer(port=wire.port)
    account = Account(wire)
    location = article_register(peer)
    account.charge("update", lambda: peer.request(POST, location, token=b"t"))
    update = account.kinds["update"]
    assert (update["bytes_in"], update["bytes_out"]) == (13, 5)
    assert traffic(berth, ARTICLE)["over"]["udp"]["update"] == update


@pytest.mark.parametrize(("cookie", "handshake", "resumption"), [("always", 560, 553), ("never", 424, 389)])
def test_bytes_of_a_session_with_a_connection_id(start, cookie, handshake, resumption):
    """Least figures of PSK with CCM_8: an identity of 15 bytes and a CID of 8, the client's own empty. The record of the
    client's update is filled up to 53 bytes by its library, ours are not."""
    berth, _, wire = start("--dtls-cookie", cookie)
    body = {"mode": "psk", "identity": "fifteen-letters", "key_hex": KEY.hex()}
    assert berth.http("PUT", f"/v1/credentials/{segment(ARTICLE)}", body).status == 201
    peer = DtlsPeer(wire.port, psk=("fifteen-letters", KEY), suite=CCM_8, cid=b"", small=True, connect=False)
    berth.peers.append(peer)
    account = Account(wire)
    account.charge("handshake", peer.handshake)
    location = account.charge("registration", lambda: article_register(peer))
    account.charge("update", lambda: peer.request(POST, location, token=b"t"))
    account.charge("resumption", lambda: resume(berth, peer))
    cost = {kind: figures["bytes_in"] + figures["bytes_out"] for kind, figures in account.kinds.items()}
    assert cost["handshake"] <= handshake
    assert cost["resumption"] <= resumption
    assert (account.kinds["update"]["bytes_in"], account.kinds["update"]["bytes_out"]) == (53, 34)
    peer.request(POST, location, token=b"t")
    found = traffic(berth, ARTICLE)["over"]["dtls_cid"]
    assert found["handshake"] == account.kinds["handshake"] and found["resumption"] == account.kinds["resumption"]
