"""GET /v1/devices/{ep}/messages: what went to and from a device, over every transport, decoded; and how it is bounded."""

import pytest
from bootstrapped_device import BootstrapDevice
from berth_process import segment
from coapraw import ACK, CON, GET, NON, POST, Coap, code
from device_process import start_device  # noqa: F401
from dtls_peer import DtlsPeer, HandshakeFailed
from oscore_peer import CREDENTIAL
from played_device import Asked, play  # noqa: F401
from test_pki import pki as run_pki

KEY = "00112233445566778899aabbccddeeff"
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0", "coap+tcp://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")
SECURE = ("--psk", f"dev1:{KEY}")
OUTER = ("--psk", f"outer:{KEY}")
OVER = {
    "udp": (0, ()),
    "dtls": (1, SECURE),
    "dtls-cid": (1, (*SECURE, "--cid")),
    "dtls-cbc": (1, (*SECURE, "--cipher", "CBC")),
    "tcp": (2, ()),
    "tcp-pelion": (2, ("--framing", "pelion")),
    "tls": (3, SECURE),
    "tls-pelion": (3, (*SECURE, "--framing", "pelion")),
}


@pytest.fixture
def secure_berth(start_berth):
    return start_berth("--psk", f"dev1:{KEY}", listen=LISTEN)


def messages(berth, endpoint="dev1", **query):
    return berth.get(f"/v1/devices/{segment(endpoint)}/messages", **query)["items"]


def kinds(items):
    return [(item["direction"], item["kind"]) for item in items]


def options(item):
    return [(option["name"], option["value"]) for option in item["coap"]["options"]]


def registered(berth, start_device, over, *more):  # noqa: F811
    number, how = OVER[over]
    if "--oscore" in more:  # the session is another identity's
        how = [OUTER[1] if option == SECURE[1] else option for option in how]
    device = start_device("--server", berth.listeners[number], "--endpoint", "dev1", *how, *more)
    device.line("Client registered")
    device.line("Device ID: ", partly=True)
    return device


# ---- every transport ----


@pytest.mark.parametrize("over", OVER)
def test_what_a_device_does_is_seen(start_berth, start_device, over):  # noqa: F811
    berth = start_berth(*(("--psk", f"dev1:{KEY}") if SECURE[0] in OVER[over][1] else ()), listen=LISTEN)
    registered(berth, start_device, over)
    assert berth.get("/v1/devices/dev1/3/0/9")["value"] == 95
    register, created, read, content = messages(berth, kind="register,read")
    transport, _, framing = over.partition("-")
    address = berth.device("dev1")["address"]
    for item in (register, created, read, content):
        assert (item["transport"], item["peer"], item["endpoint"]) == (transport, address, "dev1")
        assert item.get("framing") == ({"": "rfc8323", "pelion": "pelion"}[framing] if transport[0] == "t" else None)
    assert (register["direction"], register["path"], register["coap"]["code"]) == ("in", "/rd", "0.02")
    assert "ep=dev1" in register["query"] and ("Uri-Query", "ep=dev1") in options(register)
    assert register["payload"]["text"].startswith("</")
    assert (created["direction"], created["coap"]["code"], created["answers"]) == ("out", "2.01", register["id"])
    assert created["coap"]["token"] == register["coap"]["token"]
    assert (read["direction"], read["path"], read["coap"]["name"]) == ("out", "/3/0/9", "GET")
    assert (content["path"], content["answers"]) == ("/3/0/9", read["id"])
    assert content["payload"]["data"] == {"path": "/3/0/9", "type": "integer", "value": 95}
    if transport in ("dtls", "udp") or framing == "pelion":
        assert content["coap"]["mid"] == read["coap"]["mid"] and content["coap"]["type"] == "ACK"
    else:
        assert "mid" not in content["coap"]


@pytest.mark.parametrize("over", ["udp", "dtls", "dtls-cid", "dtls-cbc", "tcp", "tcp-pelion"])
def test_bytes_are_those_of_the_wire(start_berth, start_device, over):  # noqa: F811
    berth = start_berth(*(("--psk", f"dev1:{KEY}") if over.startswith("dtls") else ()), listen=LISTEN)
    registered(berth, start_device, over)
    berth.get("/v1/devices/dev1/3/0/9")
    traffic = berth.get("/v1/devices/dev1/traffic")["total"]
    counted = {"in": 0, "out": 0}
    for item in messages(berth):
        counted[item["direction"]] += item["bytes"]
    assert counted["out"] == traffic["bytes_out"]
    assert counted["in"] == traffic["bytes_in"]


def test_records_of_a_session_with_a_connection_id(secure_berth, start_device):  # noqa: F811
    registered(secure_berth, start_device, "dtls-cid")
    cid = secure_berth.device("dev1")["security"]["cid"]
    [register] = messages(secure_berth, kind="register", direction="in")
    [record] = register["records"]
    assert (record["type"], record["cid"], record["epoch"], record["sequence"]) == ("tls12_cid", cid, 1, 1)
    assert record["bytes"] == register["bytes"]
    [created] = messages(secure_berth, kind="register", direction="out")
    assert (created["records"][0]["type"], created["records"][0]["epoch"]) == ("application_data", 1)


def test_a_handshake_comes_first_flight_by_flight(secure_berth, start_device):  # noqa: F811
    registered(secure_berth, start_device, "dtls")
    flights = messages(secure_berth, kind="handshake")
    assert [flight["direction"] for flight in flights] == ["in", "out"] * 3
    seen = [name for flight in flights for record in flight["records"] for name in record.get("messages", [])]
    assert seen == ["client_hello", "hello_verify_request", "client_hello", "server_hello", "server_hello_done",
                    "client_key_exchange"]  # fmt: skip
    assert [record["type"] for record in flights[-1]["records"]] == ["change_cipher_spec", "handshake"]
    assert flights[-1]["id"] < messages(secure_berth, kind="register")[0]["id"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_tls_handshake(secure_berth, version):
    from coaptls import SecureConnection, context, tls_port
    from coapstream import TranslatedPeer

    class Peer(SecureConnection, TranslatedPeer):
        def __init__(self, port, tls):
            self._made_up, self._asked, self.csm = [], {}, None
            SecureConnection.__init__(self, port, tls)
            self.greet([])

    files = secure_berth.data.parent / "dev1"
    run_pki("device", "--endpoint", "dev1", "--out", str(files), "--data", str(secure_berth.data), cwd=files.parent)
    peer = Peer(tls_port(secure_berth), context(secure_berth.data / "ca.pem", files, version))
    secure_berth.peers.append(peer)
    secure_berth.register("dev1", peer=peer, binding=None)
    names = [
        name
        for item in messages(secure_berth, kind="handshake")
        for record in item["records"]
        for name in record.get("messages", [])
    ]
    assert names[:2] == ["client_hello", "server_hello"]
    assert ("certificate" in names) == (version == "1.2")  # it is encrypted in 1.3
    [register] = messages(secure_berth, kind="register", direction="in")
    assert {record["type"] for record in register["records"]} == {"application_data"}


@pytest.mark.parametrize("over", OVER)
def test_an_oscore_message_is_shown_with_what_it_has_inside(start_berth, start_device, over):  # noqa: F811
    berth = start_berth("--psk", f"outer:{KEY}", listen=LISTEN)
    assert berth.http("PUT", "/v1/credentials/dev1", CREDENTIAL).status == 201
    context = "sender=01,recipient=,secret={master_secret_hex},salt={master_salt_hex}".format(**CREDENTIAL)
    registered(berth, start_device, over, "--oscore", context, "--oscore-b2")
    assert berth.get("/v1/devices/dev1/3/0/9")["value"] == 95
    *_, register, created = messages(berth, kind="register")  # the first one was challenged
    read, content = messages(berth, kind="read")
    for item, inner, outer in ((register, "0.02", "0.02"), (created, "2.01", "2.04"), (read, "0.01", "0.02"),
                               (content, "2.05", "2.04")):  # fmt: skip
        assert (item["inner"]["coap"]["code"], item["coap"]["code"]) == (inner, outer)
        assert [name for name, _ in options(item)] == ["OSCORE"]
        assert "payload" not in item  # the ciphertext is not shown as one
    assert (register["path"], read["path"], content["path"]) == ("/rd", "/3/0/9", "/3/0/9")
    assert content["inner"]["payload"]["data"]["value"] == 95
    begun, answered = messages(berth, kind="protected")  # with these the keys are agreed on (Appendix B.2)
    assert (begun["direction"], answered["answers"]) == ("in", begun["id"])


def test_a_bootstrap_is_the_devices_and_what_it_is_given_is_seen(berth):
    device = BootstrapDevice(berth.peer()).run("pct=112")
    items = messages(berth)
    assert kinds(items)[:2] == [("in", "bootstrap_request"), ("out", "bootstrap_request")]
    assert {"bootstrap_delete", "bootstrap_write", "bootstrap_finish"} <= {item["kind"] for item in items}
    [write, *_] = [item for item in items if item["kind"] == "bootstrap_write" and item["path"].startswith("/1")]
    assert write["payload"]["format"] == "senml-cbor"
    given = write["payload"]["data"]
    assert given["resources"]["1"]["value"] == device.given[given["path"] + "/1"]
    berth.register("dev1")
    assert kinds(messages(berth))[0] == ("in", "bootstrap_request")
    assert kinds(messages(berth))[-2:] == [("in", "register"), ("out", "register")]


# ---- meaning ----


def test_what_operations_mean(play):  # noqa: F811
    device = play(links="</1/0>,</3/0>,</6/0>")
    berth = device.berth
    device.write("PUT", "/3/0/14", {"value": "+01"}, 3)
    device.write("POST", "/3/0/4", None, POST)
    asked = device.ask("PUT", "/3/0/9/observe")
    observe = device.expect(GET, "/3/0/9")
    device.answer(observe, "2.05", 0, b"95", (6, b""))
    asked.answer(200)
    device.peer.send(Coap(NON, code("2.05"), device.peer.next_mid(), observe.token, [(6, b"\x05"), (12, b"")], b"94"))
    berth.await_event("notification")
    device.registered.update()
    device.peer.request(POST, "/dp", [], b'[{"n":"/3/0/9","v":93}]', [(12, b"\x6e")])
    device.registered.deregister()
    items = messages(berth)
    assert kinds(items) == [
        ("in", "register"), ("out", "register"), ("out", "write"), ("in", "write"), ("out", "execute"),
        ("in", "execute"), ("out", "observe"), ("in", "observe"), ("in", "notify"), ("in", "update"),
        ("out", "update"), ("in", "send"), ("out", "send"), ("in", "deregister"), ("out", "deregister"),
    ]  # fmt: skip
    notify, send = items[8], items[11]
    assert (notify["path"], notify["payload"]["data"]["value"], notify["answers"]) == ("/3/0/9", 94, items[6]["id"])
    assert send["payload"]["data"] == {"path": "/3/0/9", "type": "integer", "value": 93}


def test_a_notification_is_known_though_its_beginning_has_gone(start_berth):
    berth = start_berth("--trace-messages", "3")
    registration = berth.register("dev1")
    asked = Asked(berth, "PUT", "/v1/devices/dev1/3/0/9/observe")
    observe = registration.peer.receive()
    registration.peer.send(Coap(ACK, code("2.05"), observe.mid, observe.token, [(6, b""), (12, b"")], b"95"))
    asked.answer(200)
    after = berth.await_event("notification")["id"]
    for sequence in range(1, 5):
        notification = Coap(NON, code("2.05"), registration.peer.next_mid(), observe.token, [(6, bytes([sequence])), (12, b"")], b"1")
        registration.peer.send(notification)
    for _ in range(4):
        after = berth.await_event("notification", after=after)["id"]
    assert kinds(messages(berth)) == [("in", "notify")] * 3


def test_what_can_not_be_decoded_is_shown_as_it_is(berth):
    registration = berth.register("dev1")
    registration.peer.send_raw(b"\x40\x01\x00\x07\xff")
    assert registration.peer.receive_raw() == b"\x70\x00\x00\x07"
    malformed = messages(berth, kind="malformed", raw=1)[0]
    assert malformed["error"] and malformed["wire_hex"] == "40010007ff"
    asked = Asked(berth, "GET", "/v1/devices/dev1/3/0/9", format="tlv")
    request = registration.peer.receive()
    registration.peer.send(Coap(ACK, code("2.05"), request.mid, request.token, [(12, b"\x2d\x16")], b"\xff\xff\xff"))
    asked.answer()
    content = messages(berth, kind="read")[-1]
    assert content["payload"]["hex"] == "ffffff" and content["payload"]["error"]


def test_copies_and_acknowledgements(berth):
    registration = berth.register("dev1")
    update = Coap(CON, POST, 77, b"\x01", [(11, part.encode()) for part in registration.location[1:].split("/")])
    for _ in range(2):
        registration.peer.send(update)
        assert registration.peer.receive().code_text == "2.04"
    registration.peer.send_raw(b"\x40\x00\x12\x34")  # a ping
    assert registration.peer.receive_raw() == b"\x70\x00\x12\x34"
    expected = [("in", "update"), ("out", "update")] * 2 + [("in", "ping"), ("out", "reset")]
    assert kinds(messages(berth))[2:] == expected


# ---- whose ----


def test_peers_that_never_became_a_device(secure_berth):
    berth = secure_berth
    peer = berth.peer()
    assert peer.request(POST, "/rd", ["lt=300"]).code_text == "4.00"
    items = berth.get(f"/v1/peers/{segment(peer.address)}/messages")["items"]
    assert kinds(items) == [("in", "register"), ("out", "register")]
    assert (items[1]["coap"]["code"], items[1]["endpoint"]) == ("4.00", None)
    assert berth.http("GET", "/v1/devices/dev1/messages").problem == "not-registered"


def test_a_handshake_that_failed(secure_berth):
    with pytest.raises(HandshakeFailed):
        DtlsPeer(int(secure_berth.listeners[1].rpartition(":")[2]), psk=("stranger", bytes(16)))
    failed = secure_berth.await_event("dtls_failed")
    items = secure_berth.get(f"/v1/peers/{segment(failed['address'])}/messages", transport="dtls")["items"]
    assert items[0]["records"][0]["messages"] == ["client_hello"]
    assert [item["records"][0]["alert"] for item in items if item["kind"] == "alert"] == [115]
    other = secure_berth.get(f"/v1/peers/{segment(failed['address'])}/messages", transport="udp")
    assert other["items"] == []


def test_a_device_that_moves_keeps_its_messages(secure_berth):
    peer = DtlsPeer(int(secure_berth.listeners[1].rpartition(":")[2]), psk=("dev1", bytes.fromhex(KEY)), cid=b"\x07")
    secure_berth.peers.append(peer)
    registration = secure_berth.register("dev1", peer=peer)
    before = secure_berth.device("dev1")["address"]
    peer.rebind()
    registration.update()
    after = secure_berth.device("dev1")["address"]
    assert before != after
    items = messages(secure_berth, kind="register,update")
    assert [item["peer"] for item in items] == [before, before, after, after]
    assert messages(secure_berth, kind="handshake")


def test_a_device_that_registers_anew_from_elsewhere_keeps_its_messages(berth):
    berth.register("dev1")
    second = berth.register("dev1")
    second.deregister()
    assert kinds(messages(berth, direction="in")) == [("in", "register")] * 2 + [("in", "deregister")]


def test_two_devices_behind_one_address(berth):
    peer = berth.peer()
    berth.register("dev1", peer=peer).deregister()
    berth.register("dev2", peer=peer)
    assert kinds(messages(berth, "dev1")) == [("in", "register"), ("out", "register"), ("in", "deregister"), ("out", "deregister")]
    assert kinds(messages(berth, "dev2")) == [("in", "register"), ("out", "register")]


# ---- with faults ----


def test_what_a_fault_does_is_seen_as_the_wire_has_it(berth):
    registration = berth.register("dev1")
    for fault in ({"drop": True, "on": "update", "direction": "in"}, {"wrong": "token", "on": "update"}):
        assert berth.http("PUT", "/v1/devices/dev1/faults", fault).status in (200, 201, 204)
    update = registration.peer.message(POST, registration.location)
    registration.peer.send(update)
    registration.peer.expect_silence()
    registration.peer.send(update)
    answer = registration.peer.receive()
    assert answer.token != update.token
    dropped, taken, changed = messages(berth, kind="update,response")  # nobody knows what it answers
    assert kinds([dropped, taken]) == [("in", "update")] * 2  # it came, whatever became of it
    assert (changed["direction"], changed["coap"]["token"]) == ("out", answer.token.hex())


def test_a_datagram_that_a_fault_drops_is_withheld(secure_berth):
    peer = DtlsPeer(int(secure_berth.listeners[1].rpartition(":")[2]), psk=("dev1", bytes.fromhex(KEY)))
    secure_berth.peers.append(peer)
    registration = secure_berth.register("dev1", peer=peer)
    fault = {"drop": True, "on": "record", "direction": "out"}
    assert secure_berth.http("PUT", "/v1/devices/dev1/faults", fault).status in (200, 201, 204)
    update = registration.peer.message(POST, registration.location)
    for _ in range(2):
        registration.peer.send(update)
        registration.peer.receive(1)
    answers = messages(secure_berth, kind="update", direction="out")
    assert [("withheld" in answer, "records" in answer) for answer in answers] == [(True, False), (False, True)]


# ---- pages, waits, bounds ----


def test_pages_and_filters(berth):
    registration = berth.register("dev1")
    for _ in range(3):
        registration.update()
    page = berth.get("/v1/devices/dev1/messages", limit=3)
    assert [item["kind"] for item in page["items"]] == ["register", "register", "update"]
    assert page["last"] == page["items"][-1]["id"]
    rest = berth.get("/v1/devices/dev1/messages", after=page["last"])
    assert len(rest["items"]) == 5
    assert berth.get("/v1/devices/dev1/messages", after=rest["last"]) == {"items": [], "last": rest["last"]}
    assert kinds(messages(berth, direction="out", kind="update")) == [("out", "update")] * 3
    # What a response answers is known also when the request is on an earlier page.
    assert messages(berth, after=page["last"], limit=1)[0]["kind"] == "update"
    assert len(berth.get("/v1/messages")["items"]) == 8


@pytest.mark.parametrize(
    "query", [{"kind": "nonsense"}, {"direction": "up"}, {"limit": 0}, {"timeout": "1s"}, {"clear": 1}, {"raw": 2}]
)
def test_bad_parameters(berth, query):
    berth.register("dev1")
    assert berth.http("GET", "/v1/devices/dev1/messages", **query).problem == "bad-parameter"


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost%3A1", "127.0.0.1%3A65536", "::1%3A5", "[127.0.0.1]%3A1"])
def test_bad_addresses(berth, address):
    assert berth.http("GET", f"/v1/peers/{address}/messages").problem == "bad-parameter"


def test_waiting_for_a_message(berth):
    registration = berth.register("dev1")
    last = berth.get("/v1/devices/dev1/messages")["last"]
    asked = Asked(berth, "GET", "/v1/devices/dev1/messages", after=last, poll=1, kind="deregister", timeout="20s")
    while berth.waiting() == 0:
        pass
    registration.update()
    registration.deregister()
    items = asked.answer(200).json["items"]
    assert kinds(items)[0] == ("in", "deregister")
    page = berth.get("/v1/devices/dev1/messages", after=items[-1]["id"], poll=1, kind="update", timeout="10ms")
    assert page["items"] == []


def test_a_device_keeps_so_many_messages(start_berth):
    berth = start_berth("--trace-messages", "4")
    registration = berth.register("dev1")
    for _ in range(5):
        registration.update()
    assert kinds(messages(berth)) == [("in", "update"), ("out", "update")] * 2


def test_memory_is_bounded_and_the_quietest_device_goes_first(start_berth):
    berth = start_berth("--trace-memory", "256k")
    links = "</1/0>,</3/0>;x=" + "y" * 900
    for number in range(300):
        berth.register(f"dev{number}", links=links)
    assert messages(berth, "dev299") and not messages(berth, "dev0")
    assert berth.get_metric("berth_trace_bytes") <= 256 << 10
    assert berth.get_metric("berth_trace_entries_dropped_total") > 0


def test_they_can_be_forgotten(berth):
    registration = berth.register("dev1")
    berth.register("dev2")
    assert berth.http("DELETE", "/v1/devices/dev1/messages").status == 204
    assert messages(berth) == [] and len(messages(berth, "dev2")) == 2
    registration.update()
    assert kinds(messages(berth)) == [("in", "update"), ("out", "update")]
    assert berth.http("POST", "/v1/reset", scope="messages").status == 204
    assert berth.get("/v1/messages")["items"] == []
    registration.update()
    assert berth.http("DELETE", "/v1/messages").status == 204
    assert berth.get("/v1/messages")["items"] == []
    registration.update()
    assert berth.http("POST", "/v1/reset").status == 204
    assert berth.get("/v1/messages")["items"] == []


def test_forgetting_an_address_spares_devices(berth):
    device, stranger = berth.register("dev1").peer, berth.peer()
    stranger.request(GET, "/nothing")
    for peer in (device, stranger):
        address = f"{segment(peer.address)}"
        assert berth.http("DELETE", f"/v1/peers/{address}/messages").status == 204
    assert [item["endpoint"] for item in berth.get("/v1/messages")["items"]] == ["dev1"] * 2


def test_without_a_trace(start_berth):
    berth = start_berth("--trace", "off")
    berth.register("dev1")
    for method, path in (("GET", "/v1/messages"), ("GET", "/v1/devices/dev1/messages"), ("DELETE", "/v1/messages"),
                         ("GET", "/v1/peers/127.0.0.1%3A1/messages")):  # fmt: skip
        answer = berth.http(method, path)
        assert answer.problem == "not-found" and "--trace off" in answer.json["detail"]
    assert berth.http("POST", "/v1/reset").status == 204
