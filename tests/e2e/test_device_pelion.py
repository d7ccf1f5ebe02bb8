"""berth-device --profile pelion: on the wire as one vendor's client is."""

import re
import socket

import pytest
from coapraw import (
    ACCEPT,
    ACK,
    BLOCK1,
    CON,
    CONTENT_FORMAT,
    DELETE,
    EMPTY,
    FETCH,
    GET,
    LINK_FORMAT,
    LOCATION_PATH,
    MAX_AGE,
    OBSERVE,
    POST,
    PUT,
    RST,
    SIZE1,
    URI_PATH,
    Coap,
    block,
    code,
    uint,
)
from coapstream import TCP
from device_process import path_of, played_server, queries_of, start_device  # noqa: F401
from lwm2mraw import TLV, Value, encode
from ordered_faults import order  # noqa: F401
from test_device_bootstrap import secrets, uri_of
from test_http_devices import Later

ACCOUNT = "015c3d2f8ad3000000000001001002bd"
NO_AGE = (MAX_AGE, b"")
PLAIN = (CONTENT_FORMAT, b"")
REGISTER = ["ep=dev1", "et=default", "lt=7200", "lwm2m=1.0", f"d={ACCOUNT}", "b=U", f"aid={ACCOUNT}", "mccv=4.13.2"]
TOKEN = b"\x11\x22\x33"


class Played:
    """A device, and the server that the test plays."""

    def __init__(self, server, device):
        self.server, self.device = server, device

    def take_register(self, *options):
        """The blocks of a Register, each answered; gives them and the links."""
        blocks = []
        while not blocks or block_of(blocks[-1])[1]:
            blocks.append(self.server.expect(POST, "/rd"))
            number, more = block_of(blocks[-1])
            if more:
                self.server.answer(blocks[-1], "2.31", (BLOCK1, block(number, True, 5)))
        location = [(LOCATION_PATH, part) for part in (b"rd", ACCOUNT.encode(), b"iep1")]
        last = blocks[-1].one(BLOCK1)
        extra = [] if last is None else [(BLOCK1, last)]
        self.server.answer(blocks[-1], "2.01", *location, *options, *extra)
        self.server.registered = True
        self.device.line("Device ID: iep1")
        return blocks, b"".join(message.payload for message in blocks).decode()

    def ask(self, method, path, options=(), payload=b"", token=TOKEN):
        self.server.mid += 1
        segments = [(URI_PATH, part.encode()) for part in path.strip("/").split("/")]
        self.server.send(Coap(CON, method, self.server.mid, token, [*segments, *options], payload))
        return self.server.mid

    def answer(self, method, path, options=(), payload=b""):
        mid = self.ask(method, path, options, payload)
        answer = self.server.receive()
        assert (answer.type, answer.mid, answer.token) == (ACK, mid, TOKEN)
        return answer

    def is_acknowledged(self, mid):
        """With an Empty message that has an option, as RFC 7252 §4.1 does not allow."""
        self.server.sock.settimeout(10)
        assert self.server.sock.recv(2048) == bytes([0x60, 0, mid >> 8, mid & 255, 0xC0])

    def acknowledge(self, message, kind=ACK):
        self.server.send(Coap(kind, EMPTY, message.mid))

    def execute(self, path):
        mid = self.ask(POST, path)
        self.is_acknowledged(mid)
        separate = self.server.receive()
        assert (separate.type, separate.token) == (CON, TOKEN)
        self.acknowledge(separate)
        return mid, separate

    def expect_update(self, *options):
        update = self.server.expect(POST, f"/rd/{ACCOUNT}/iep1")
        self.server.answer(update, "2.04", *options)
        return update


def block_of(message):
    value = message.number(BLOCK1)
    return (0, False) if value is None else (value >> 4, bool(value >> 3 & 1))


@pytest.fixture
def begin(played_server, start_device):
    """begin("--queue") -> a device that registers with a server that the test plays."""
    begun = []

    def start(*options):
        device = start_device(
            "--profile", "pelion", "--server", f"{played_server.uri}?aid={ACCOUNT}", "--endpoint", "dev1", *options
        )
        begun.append(Played(played_server, device))
        return begun[-1]

    yield start
    for played in begun:
        if played.device.process.returncode is None:
            played_server.let_go(played.device)


@pytest.fixture
def played(begin):
    started = begin()
    started.blocks, started.links = started.take_register()
    return started


# ---- Register and Update ----


def test_REG_40_register_in_blocks_that_repeat_all_but_the_size(played):
    assert len(played.blocks) > 1
    for number, message in enumerate(played.blocks):
        assert queries_of(message) == REGISTER
        more = number < len(played.blocks) - 1
        rest = [option for option in message.options if option[0] not in (11, 15)]
        size = [(SIZE1, uint(len(played.links)))] if number == 0 else []
        assert rest == [(CONTENT_FORMAT, uint(LINK_FORMAT)), NO_AGE, (BLOCK1, block(number, more, 5)), *size]
        assert len(message.payload) == 512 or not more
    assert len({message.token for message in played.blocks}) == 1
    assert len({message.mid for message in played.blocks}) == len(played.blocks)


def test_LNK_12_links_to_resources_with_values_and_auto_observations(played):
    links = dict(re.findall(r"<(/[\d/]+)>([^<]*?)(?:,(?=<)|$)", played.links))
    assert {"/1/0", "/1/0/1", "/3/0", "/3/0/0", "/14/0/2", "/3200/0/5501"} <= set(links)
    assert not {"/", "/0", "/2", "/3"} & set(links)
    assert links["/14/0/2"] == ';rt="Component Version";v="1.2.3";obs'
    numbers = [int(number) for number in re.findall(r'aobs="(\d+)"', played.links)]
    assert len(numbers) == 3 and all(1 <= number <= 1023 for number in numbers)
    assert re.fullmatch(r';v="0";aobs="\d+";obs', links["/3200/0/5501"])


def test_queue_mode_is_a_part_of_the_binding(begin):
    blocks, _ = begin("--queue").take_register()
    assert "b=UQ" in queries_of(blocks[0])


def test_without_an_account_its_parameters_are_missing(played_server, start_device):
    device = start_device("--profile", "pelion", "--server", played_server.uri, "--endpoint", "dev1")
    blocks, _ = Played(played_server, device).take_register()
    assert queries_of(blocks[0]) == ["ep=dev1", "et=default", "lt=7200", "lwm2m=1.0", "b=U"]
    played_server.let_go(device)


def test_update_at_three_quarters_of_the_lifetime(played):
    played.device.settle()
    played.device.command("clock +5390s")
    played.server.expect_silence()
    played.device.command("clock +10s")
    update = played.expect_update()
    assert update.options[-3:] == [(CONTENT_FORMAT, uint(LINK_FORMAT)), NO_AGE, (15, b"et=default")]
    assert update.payload == b""


def test_R3_update_at_three_quarters_of_max_age(begin):
    played = begin()
    played.take_register((MAX_AGE, uint(80)))
    played.device.settle()
    played.device.command("clock +50s")
    played.server.expect_silence()
    played.device.command("clock +10s")
    played.expect_update()


def test_M7_lifetime_is_told_when_it_has_changed(played):
    assert played.answer(PUT, "/1/0/1", [PLAIN], b"59").code_text == "4.06"
    mid = played.ask(PUT, "/1/0/1", [PLAIN], b"100")
    assert (played.server.receive().code_text, mid) == ("2.04", played.server.mid)
    assert queries_of(played.expect_update()) == ["et=default", "lt=100"]
    played.device.line("Registration updated")
    played.device.command("update")
    assert queries_of(played.expect_update()) == ["et=default"]


def test_update_with_links_is_a_delta(played):
    played.device.settle()
    body = encode(TLV, "/3201/0", {"/3201/0/5550": Value("boolean", True)})
    played.answer(PUT, "/3201/0", [(CONTENT_FORMAT, uint(TLV))], body)
    played.device.settle()
    played.device.command("update")
    message = played.server.receive()
    while message.code != POST:
        played.acknowledge(message)
        message = played.server.receive()
    played.server.answer(message, "2.04")
    assert message.payload == b"</3201/0/5750>;d"


# ---- operations ----


def test_M4_function_is_acknowledged_with_five_bytes_and_answered_separately(played):
    mid, separate = played.execute("/3200/0/5505")
    assert (separate.code_text, separate.mid != mid) == ("2.04", True)
    assert {NO_AGE, PLAIN} == set(separate.options)
    played.device.settle()
    played.device.command("clock +60s")
    played.server.expect_silence()


def test_T12_answer_to_an_update_trigger_has_the_message_id_of_the_request(played):
    mid = played.ask(POST, "/1/0/8")
    messages = [played.server.receive()]
    while len(messages) < 3:
        messages.append(played.server.receive())
    (separate,) = (message for message in messages if message.code == code("2.04"))
    (update,) = (message for message in messages if message.code == POST)
    played.server.answer(update, "2.04")
    assert (separate.type, separate.mid, separate.token) == (CON, mid, TOKEN)
    played.acknowledge(separate)
    played.device.line("Registration updated")
    played.device.settle()
    played.device.command("clock +60s")
    played.server.expect_silence()


def test_M5_unknown_critical_option_is_reset(played):
    mid = played.ask(GET, "/3/0/0", [(65001, b"")])
    answer = played.server.receive()
    assert (answer.type, answer.code, answer.mid) == (RST, EMPTY, mid)


def test_M5_fetch_is_not_answered_and_delete_is_not_allowed(played):
    played.ask(FETCH, "/", [(CONTENT_FORMAT, uint(110))], b"[]")
    played.server.expect_silence()
    assert played.answer(DELETE, "/3200/0").code_text == "4.05"


@pytest.mark.parametrize(("path", "format", "expected"), [("/3/0", 0, "4.06"), ("/3/0", 11543, "4.06"), ("/3/0", TLV, "2.05"), ("/3/0/0", 0, "2.05")])
def test_what_is_accepted(played, path, format, expected):
    answer = played.answer(GET, path, [(ACCEPT, uint(format))])
    assert answer.code_text == expected
    assert answer.one(MAX_AGE) == b"" and answer.one(CONTENT_FORMAT) is not None


@pytest.mark.parametrize("extra", [[], [(BLOCK1, block(0, True, 6))]])
def test_B4_more_than_512_bytes_is_4_13_with_the_size_of_a_block(played, extra):
    answer = played.answer(PUT, "/5000/0/0", [(CONTENT_FORMAT, uint(42)), *extra], bytes(1024))
    assert (answer.code_text, answer.one(BLOCK1)) == ("4.13", block(0, True, 5))


def test_there_is_no_firmware_object(played):
    options = [(CONTENT_FORMAT, uint(42)), (BLOCK1, block(0, True, 5))]
    assert played.answer(PUT, "/5/0/0", options, bytes(512)).code_text in ("2.31", "4.04")
    assert played.answer(GET, "/5").code_text == "4.04"


# ---- notifications ----


def notified(played, value):
    played.device.command(f"set 3200/0/5501 {value}")
    return played.server.receive()


def number_of(links, path):
    return int(re.search(rf'<{path}>;[^<]*aobs="(\d+)"', links)[1])


def test_M1_notifications_that_nobody_has_asked_for(played):
    token = number_of(played.links, "/3200/0/5501").to_bytes(2, "big")
    first = notified(played, 7)
    assert (first.type, first.code_text, first.token, first.payload) == (CON, "2.05", token, b"7")
    assert (first.number(OBSERVE), first.one(CONTENT_FORMAT)) == (2, b"")
    played.acknowledge(first)
    second = notified(played, 8)
    assert (second.number(OBSERVE), second.payload) == (3, b"8")
    played.acknowledge(second, RST)  # which does not end it
    assert notified(played, 9).payload == b"9"


def test_M3_format_of_notifications_follows_the_last_request(played):
    assert notified(played, 7).payload == b"7"
    played.acknowledge(Coap(ACK, EMPTY, Coap.decode(played.server.raw).mid))
    played.answer(GET, "/3200/0/5501", [(ACCEPT, uint(TLV))])
    told = notified(played, 8)
    assert (told.number(CONTENT_FORMAT), told.payload[-1]) == (TLV, 8)


def test_M2_full_register_ends_what_was_asked_for_and_keeps_the_rest(played):
    assert played.answer(GET, "/3/0/9", [(OBSERVE, b"")]).number(OBSERVE) is not None
    played.device.settle()
    played.device.command("register")
    _, links = played.take_register()
    assert number_of(links, "/3200/0/5501") == number_of(played.links, "/3200/0/5501")
    played.device.settle()
    played.device.command("set 3/0/9 33")
    played.server.expect_silence()
    assert notified(played, 7).payload == b"7"


# ---- bootstrap ----


@pytest.fixture
def factory(played_server, start_device):
    """A device that asks its bootstrap server, which the test plays."""
    device = start_device("--profile", "pelion", "--bootstrap", f"{played_server.uri}?aid={ACCOUNT}", "--endpoint", "dev1")
    yield Played(played_server, device)
    if device.process.returncode is None:
        played_server.let_go(device)


def expect_bs(played, iep=()):
    request = played.server.expect(POST, "/bs")
    assert queries_of(request) == ["ep=dev1", f"aid={ACCOUNT}", *iep, "mccv=4.13.2"]
    assert (request.one(MAX_AGE), request.payload) == (b"", b"")
    return request


def write_accounts(played):
    uri = f"{played.server.uri}?aid={ACCOUNT}"
    security = {"/0/0/0": Value("string", uri), "/0/0/1": Value("boolean", False), "/0/0/2": Value("integer", 3), "/0/0/10": Value("integer", 1)}
    server = {"/1/0/0": Value("integer", 1), "/1/0/1": Value("integer", 3600), "/1/0/6": Value("boolean", True), "/1/0/7": Value("string", "U")}
    answers = [played.answer(PUT, path, [(CONTENT_FORMAT, uint(TLV))], encode(TLV, path, values)) for path, values in (("/0", security), ("/1", server))]
    return [answer.code_text for answer in answers]


def test_B1_sequence_of_a_bootstrap(factory):
    request = expect_bs(factory)
    factory.ask(DELETE, "/0")  # before the answer: passed over
    factory.server.expect_silence()
    factory.server.answer(request, "2.04")
    factory.ask(GET, "/1", [(ACCEPT, uint(TLV))])
    factory.ask(GET, "/", [(ACCEPT, uint(LINK_FORMAT))])
    factory.server.expect_silence()
    assert factory.answer(DELETE, "/0").code_text == "2.02"
    assert write_accounts(factory) == ["2.04", "2.04"]
    mid, separate = factory.execute("/bs")
    assert (separate.code_text, separate.mid != mid) == ("2.04", True)
    blocks, _ = factory.take_register()
    assert queries_of(blocks[0]) == REGISTER  # lt= is not what 1/0/1 says
    factory.device.settle()
    factory.device.command("clock +2690s")
    factory.server.expect_silence()
    factory.device.command("clock +20s")
    factory.expect_update()


def test_finish_without_a_token(factory):
    factory.server.answer(expect_bs(factory), "2.04")
    write_accounts(factory)
    factory.is_acknowledged(factory.ask(POST, "/bs", token=b""))
    factory.acknowledge(factory.server.receive())
    factory.device.line("Client bootstrapped")
    factory.take_register()


def test_finish_that_is_not_acknowledged_is_sent_again_and_given_up(factory):
    factory.server.answer(expect_bs(factory), "2.04")
    write_accounts(factory)
    mid = factory.ask(POST, "/bs")
    factory.is_acknowledged(mid)
    first = factory.server.receive()
    for _ in range(3):
        factory.device.settle()
        factory.device.command("clock +28s")
        assert factory.server.receive() == first
    factory.device.settle()
    factory.device.command("clock +120s")
    factory.device.line("Bootstrap failed: the answer to Finish was not acknowledged", partly=True)


@pytest.mark.parametrize(
    ("method", "path", "format", "payload"),
    [(PUT, "/0", 11543, b"{}"), (PUT, "/2", TLV, b""), (DELETE, "/10", None, b""), (DELETE, "/0/12", None, b"")],
)
def test_command_that_is_not_followed_ends_the_bootstrap(factory, method, path, format, payload):
    factory.server.answer(expect_bs(factory), "2.04")
    options = [] if format is None else [(CONTENT_FORMAT, uint(format))]
    assert factory.answer(method, path, options, payload).code_text == "4.00"
    factory.device.line("Bootstrap failed: ", partly=True)
    factory.device.command("clock +10s")
    factory.device.settle()
    factory.device.command("clock +4s")
    expect_bs(factory)


def test_B5_refused_registration_leads_to_another_bootstrap_that_must_delete_first(factory):
    for text, deletes in (("4.03", False), ("4.00", True)):
        factory.server.answer(expect_bs(factory), "2.04")
        if deletes:
            factory.answer(DELETE, "/0")
        write_accounts(factory)
        factory.execute("/bs")
        while block_of(register := factory.server.expect(POST, "/rd"))[1]:
            factory.server.answer(register, "2.31", (BLOCK1, register.one(BLOCK1)))
        factory.server.answer(register, text, (BLOCK1, register.one(BLOCK1)))
        factory.device.line(f"Registration failed: {text}", partly=True)
        factory.device.command("clock +19s")
        factory.server.expect_silence()
        factory.device.command("clock +190s")
    factory.server.answer(expect_bs(factory), "2.04")
    values = {"/0/0/1": Value("boolean", False)}
    assert factory.answer(PUT, "/0", [(CONTENT_FORMAT, uint(TLV))], encode(TLV, "/0", values)).code_text == "4.00"


# ---- with Berth ----


LISTEN = (*TCP, "coaps://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")
TRANSPORTS = ["coap", "coap+tcp", "coaps", "coaps+tcp"]


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=LISTEN)


@pytest.fixture
def live(berth, start_device, tmp_path):
    """live("coaps") -> a device that was bootstrapped, with the certificate of its factory where it needs one."""

    def start(scheme, *options):
        credentials = secrets(berth, tmp_path, "x509") if scheme.startswith("coaps") else ()
        uri = f"{uri_of(berth, scheme)}?aid={ACCOUNT}"
        device = start_device("--profile", "pelion", "--bootstrap", uri, "--endpoint", "dev1", *credentials, *options)
        device.line("Client bootstrapped", timeout=30)
        device.line("Client registered", timeout=30)
        device.line("Device ID: ", partly=True)
        return device

    return start


def update(device):
    device.settle()
    device.command("update")
    device.line("Registration updated")


def handshakes(berth):
    return [event["type"] for event in berth.events_after(types="dtls_handshake,dtls_resumed,dtls_failed")]


@pytest.mark.parametrize("scheme", TRANSPORTS)
def test_T1_T2_T3_B1_B3_B6_R1_R2_from_the_factory_to_a_read(berth, live, scheme):
    live(scheme)
    shown = berth.device("dev1")
    assert shown["location"].split("/")[1:] == ["rd", ACCOUNT, shown["id"]]
    assert (shown["binding"], shown["version"], shown["lifetime_s"]) == ("U", "1.0", 7200)
    assert shown["parameters"] == {"et": "default", "d": ACCOUNT, "aid": ACCOUNT, "mccv": "4.13.2"}
    assert shown["framing"] == ("pelion" if "tcp" in scheme else "datagram")
    links = {item["path"]: item["attributes"] for item in berth.device("dev1")["objects"]}
    assert links["/14/0/2"] == {"rt": "Component Version", "v": "1.2.3", "obs": True}
    if scheme.startswith("coaps"):
        assert shown["security"]["cipher_suite"] == "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"
    assert berth.get("/v1/devices/dev1/3/0/0")["value"] == berth.get("/v1/devices/dev1/3/0")["resources"]["0"]["value"]


@pytest.mark.parametrize("scheme", TRANSPORTS)
def test_M4_M7_T11_T12_functions_and_a_lifetime(berth, live, scheme):
    live(scheme)
    path = "/v1/devices/dev1"
    assert berth.http("POST", f"{path}/3200/0/5505").status == 204
    mark = berth.last_event()
    assert berth.http("POST", f"{path}/1/0/8").status == 204
    berth.await_event("updated", "dev1", after=mark)
    mark = berth.last_event()
    assert berth.http("PUT", f"{path}/1/0/1", "100", {"Content-Type": "text/plain"}).status == 204
    berth.await_event("updated", "dev1", after=mark)
    assert berth.device("dev1")["lifetime_s"] == 100


@pytest.mark.parametrize("scheme", TRANSPORTS)
def test_M1_announced_observation_is_told(berth, live, scheme):
    device = live(scheme)
    device.settle()
    device.command("set 3200/0/5501 7")
    event = berth.await_event("notification", "dev1")
    assert (event["path"], event["value"]) == ("/3200/0/5501", 7)
    device.command("set 3200/0/5501 8")
    event = berth.await_event("notification", "dev1", after=event["id"])
    assert event["value"] == 8


def test_M2_observation_is_begun_again_after_a_full_register(berth, live):
    device = live("coap")
    assert berth.http("PUT", "/v1/devices/dev1/3/0/9/observe").status == 200
    device.line("Observation of 3/0/9 began")
    device.settle()
    device.command("register")
    device.line("Client registered")
    device.line("Observation of 3/0/9 began")


def test_R4_update_with_links_is_merged(berth, live):
    device = live("coap")
    assert "/3201/0/5750" in {item["path"] for item in berth.device("dev1")["objects"]}
    body = {"resources": {"5550": True}}
    assert berth.http("PUT", "/v1/devices/dev1/3201/0", body).status == 204
    update(device)
    paths = {item["path"] for item in berth.device("dev1")["objects"]}
    assert "/3201/0/5750" not in paths and {"/3201/0/5550", "/3/0/0"} <= paths


def test_T9_connection_that_ends_is_made_anew_and_resumes_the_session(berth, live, order):
    device = live("coaps+tcp")
    mark = berth.last_event()
    order({"close": "fin"}, "dev1")
    device.line("Disconnected: ", partly=True)
    device.settle()
    device.command("clock +14s")
    device.line("Handshake: resumed", partly=True)
    berth.await_event("updated", "dev1", after=mark)
    assert "registered" not in [event["type"] for event in berth.events_after(mark)]


def test_T10_keepalive_that_is_answered_and_one_that_is_not(berth, live, order):
    device = live("coap+tcp")
    device.settle()
    device.command("clock +541s")
    update(device)
    mark = berth.last_event()
    order({"silence": True, "on": "ping", "times": None}, "dev1")
    for seconds in (541, 3, 8, 15, 28):
        device.settle()
        device.command(f"clock +{seconds}s")
    device.line("Disconnected: a keepalive was not answered")
    device.settle()
    device.command("clock +14s")
    device.line("Connected")
    berth.await_event("updated", "dev1", after=mark)


def test_T6_session_goes_on_from_another_port(berth, live):
    device = live("coaps", "--queue")
    before, begun = berth.device("dev1"), handshakes(berth)
    assert before["security"]["cid"] is not None
    for _ in range(5):
        device.settle()
        device.command("clock +5s")
        device.line("Asleep")
        device.command("update")
        device.line("Registration updated")
        after = berth.device("dev1")
        assert after["address"] != before["address"]
        before = after
    assert handshakes(berth) == begun


def test_T8_session_goes_on_after_the_servers_goodbye(berth, live, order):
    device = live("coaps")
    before, begun = berth.device("dev1"), handshakes(berth)
    mark = berth.last_event()
    order({"close": "close-notify"}, "dev1")
    device.line("Session closed: ", partly=True)
    device.settle()
    device.command("clock +13s")
    berth.await_event("updated", "dev1", after=mark)
    device.line("Registration updated")
    assert berth.device("dev1")["address"] != before["address"] and handshakes(berth) == begun


def test_session_that_the_server_has_lost_is_replaced_after_52_s(berth, live, order):
    device = live("coaps")
    before = berth.device("dev1")["address"]
    mark = berth.last_event()
    order({"forget": "dtls-session"}, "dev1")
    device.settle()
    device.command("update")
    for seconds in (4, 8, 15, 28):
        device.settle()
        device.command(f"clock +{seconds}s")
    device.line("Update failed: no acknowledgement", partly=True)
    device.line("Handshake: ", partly=True)
    berth.await_event("updated", "dev1", after=mark)
    assert berth.device("dev1")["address"] != before


@pytest.mark.parametrize("text", ["4.04", "4.00", "5.03"])
@pytest.mark.parametrize("scheme", ["coap", "coaps+tcp"])
def test_R5_update_that_is_refused_leads_to_a_register_at_once(berth, live, order, scheme, text):
    device = live(scheme)
    mark = berth.last_event()
    order({"answer": text, "on": "update"}, "dev1")
    device.settle()
    device.command("update")
    berth.await_event("replaced", "dev1", after=mark)
    assert not {"connection_opened", "connection_closed"} & {event["type"] for event in berth.events_after(mark)}


# ---- hellos ----


def read_hello(body):
    """Version, suites and extensions of a ClientHello, as it begins behind its handshake header."""
    version, at = body[:2], 34
    at += 1 + body[at]
    if version[0] == 0xFE:  # DTLS: the cookie
        at += 1 + body[at]
    size = int.from_bytes(body[at : at + 2], "big")
    suites = [int.from_bytes(body[i : i + 2], "big") for i in range(at + 2, at + 2 + size, 2)]
    at += 2 + size
    at += 1 + body[at] + 2
    extensions = {}
    while at < len(body):
        number, size = int.from_bytes(body[at : at + 2], "big"), int.from_bytes(body[at + 2 : at + 4], "big")
        extensions[number] = body[at + 4 : at + 4 + size]
        at += 4 + size
    return version, suites, extensions


SERVER_NAME, ALPN, SUPPORTED_VERSIONS, CID, CID_DRAFT, MAX_FRAGMENT = 0, 16, 43, 54, 254, 1


@pytest.mark.parametrize("scheme", ["coaps", "coaps+tcp"])
def test_T3_T6_what_a_hello_offers(berth, start_device, tmp_path, scheme):
    kind = socket.SOCK_STREAM if "tcp" in scheme else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(20)
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        # By a name, which is not asked for all the same.
        uri = f"{scheme}://localhost:{sock.getsockname()[1]}"
        device = start_device("--profile", "pelion", "--server", uri, "--bind", "127.0.0.1", "--endpoint", "dev1", *secrets(berth, tmp_path, "x509"))
        if kind == socket.SOCK_STREAM:
            connection = sock.accept()[0]
            connection.settimeout(20)
            record = connection.recv(2048)
            version, suites, extensions = read_hello(record[5 + 4 :])
            connection.close()
        else:
            record = sock.recv(2048)
            version, suites, extensions = read_hello(record[13 + 12 :])
        device.terminate()
        device.end()
    assert version == (b"\xfe\xfd" if scheme == "coaps" else b"\x03\x03")
    assert suites[0] == 0xC0AE and set(suites) <= {0xC0AE, 0x00FF}
    assert not {SERVER_NAME, ALPN, SUPPORTED_VERSIONS, CID, MAX_FRAGMENT} & set(extensions)
    assert extensions.get(CID_DRAFT) == (b"\0" if scheme == "coaps" else None)


def test_no_session_with_the_server_leads_to_another_bootstrap(berth, live, order):
    device = live("coaps")
    fault = order({"drop": True, "on": "handshake", "direction": "in", "times": None})
    device.settle()
    device.command("handshake full")
    for _ in range(2):
        device.settle()
        device.command("clock +33s")
    device.line("Handshake failed: timeout")
    fault.delete()
    device.settle()
    device.command("clock +19s")
    device.settle()
    assert b"Bootstrapping from" not in device.output[device.seen :]
    device.command("clock +82s")
    device.line("Bootstrapping from: ", partly=True)
    device.line("Client bootstrapped", timeout=20)
    device.line("Client registered", timeout=20)
