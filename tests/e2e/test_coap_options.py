"""CoAP options (RFC 7252 sections 5.4 and 5.10, and the RFCs that added some), as a device can send them."""

import pytest

from coapraw import (
    ACCEPT,
    ACK,
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    DELETE,
    ECHO,
    EMPTY,
    ETAG,
    GET,
    IF_MATCH,
    IF_NONE_MATCH,
    LINK_FORMAT,
    LOCATION_PATH,
    LOCATION_QUERY,
    MAX_AGE,
    NO_RESPONSE,
    NON,
    OBSERVE,
    POST,
    PROXY_SCHEME,
    PROXY_URI,
    REQUEST_TAG,
    SIZE1,
    SIZE2,
    URI_HOST,
    URI_PATH,
    URI_PORT,
    URI_QUERY,
    Coap,
    uint,
)
from vectors import vector

OSCORE, HOP_LIMIT = 9, 16
CORE = "/.well-known/core"
OBJECTS = b"</1/0>,</3/0>"
LINKS = (CONTENT_FORMAT, uint(LINK_FORMAT))


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def peer(berth):
    return berth.peer()


@pytest.fixture
def endpoint(request):
    """A name that no other test uses."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]


def register(peer, endpoint, options=(), content_format=True, path="/rd", **kwargs):
    query = [f"ep={endpoint}", "lt=300", "lwm2m=1.1", "b=U"]
    links = [LINKS] if content_format else []
    return peer.request(POST, path, query, OBJECTS, links + list(options), **kwargs)


# ---- critical and elective ----


def test_OPT_01_unknown_critical_option_is_4_02_and_named(peer):
    peer.send_raw(vector("M-64"))
    answer = peer.receive()
    assert (answer.type, answer.code_text, answer.mid) == (ACK, "4.02", 0x7D34)
    assert b"65001" in answer.payload


@pytest.mark.parametrize("number", [13, 21, 65001, 65535])
def test_OPT_01_register_with_an_unknown_critical_option_is_not_executed(berth, peer, endpoint, number):
    assert register(peer, endpoint, [(number, b"x")]).code_text == "4.02"
    assert berth.http("GET", f"/v1/devices/{endpoint}").status == 404


def test_OPT_02_unknown_critical_option_in_a_non_is_rejected_silently(peer):
    peer.send_raw(bytes([0x54]) + vector("M-64")[1:])
    peer.expect_silence()


def test_OPT_02_register_as_non_with_an_unknown_critical_option_is_not_executed(berth, peer, endpoint):
    query = [f"ep={endpoint}", "lwm2m=1.1"]
    peer.send(peer.message(POST, "/rd", query, OBJECTS, [LINKS, (65001, b"")], type=NON))
    peer.expect_silence()
    assert berth.http("GET", f"/v1/devices/{endpoint}").status == 404


def test_OPT_03_non_response_with_an_unknown_critical_option_is_rejected(peer):
    mid = peer.next_mid()
    peer.send(Coap(NON, 0x45, mid, b"\x01", [(65001, b"")]))
    answer = peer.receive()
    assert (answer.type, answer.code, answer.mid) == (3, EMPTY, mid)


def test_OPT_04_unknown_elective_option_is_ignored(peer):
    peer.send_raw(vector("M-65"))
    assert peer.receive().code_text == "4.04"


@pytest.mark.parametrize("number", [10, 2, 65000, 65534])
def test_OPT_04_register_with_an_unknown_elective_option_succeeds(peer, endpoint, number):
    assert register(peer, endpoint, [(number, b"\xff" * 300)]).code_text == "2.01"


@pytest.mark.parametrize("number", [LOCATION_PATH, LOCATION_QUERY])
def test_OPT_05_elective_option_that_has_no_meaning_in_a_request_is_ignored(peer, endpoint, number):
    assert register(peer, endpoint, [(number, b"x")]).code_text == "2.01"


# ---- lengths, repetition, values ----

ILLEGAL_CRITICAL = {
    "uri-host-0": (URI_HOST, b""),
    "uri-host-256": (URI_HOST, b"h" * 256),
    "if-match-9": (IF_MATCH, b"123456789"),
    "if-none-match-1": (IF_NONE_MATCH, b"1"),
    "uri-port-3": (URI_PORT, b"\0\0\1"),
    "accept-3": (ACCEPT, b"\0\0\x28"),
    "uri-path-256": (URI_PATH, b"p" * 256),
    "uri-query-256": (URI_QUERY, b"q" * 256),
    "block1-4": (BLOCK1, b"\0\0\0\6"),
    "block2-4": (BLOCK2, b"\0\0\0\6"),
    "proxy-uri-0": (PROXY_URI, b""),
    "proxy-scheme-0": (PROXY_SCHEME, b""),
}


@pytest.mark.parametrize("option", ILLEGAL_CRITICAL.values(), ids=ILLEGAL_CRITICAL.keys())
def test_OPT_06_critical_option_of_an_illegal_length_is_4_02(peer, option):
    assert peer.request(GET, CORE, options=[option]).code_text == "4.02"


@pytest.mark.parametrize("option", ILLEGAL_CRITICAL.values(), ids=ILLEGAL_CRITICAL.keys())
def test_OPT_06_OPT_02_in_a_non_it_is_rejected_silently(peer, option):
    peer.send(peer.message(GET, CORE, options=[option], type=NON))
    peer.expect_silence()


ILLEGAL_ELECTIVE = {
    "etag-0": (ETAG, b""),
    "etag-9": (ETAG, b"123456789"),
    "observe-4": (OBSERVE, b"\0\0\0\1"),
    "max-age-5": (MAX_AGE, b"\0\0\0\0\1"),
    "size1-5": (SIZE1, b"\1\0\0\0\0"),
    "size2-5": (SIZE2, b"\1\0\0\0\0"),
    "echo-0": (ECHO, b""),
    "echo-41": (ECHO, b"e" * 41),
    "no-response-2": (NO_RESPONSE, b"\0\x1a"),
    "request-tag-9": (REQUEST_TAG, b"123456789"),
}


@pytest.mark.parametrize("option", ILLEGAL_ELECTIVE.values(), ids=ILLEGAL_ELECTIVE.keys())
def test_OPT_07_elective_option_of_an_illegal_length_is_ignored(peer, endpoint, option):
    assert register(peer, endpoint, [option]).code_text == "2.01"


def test_OPT_07_content_format_of_3_bytes_is_ignored(peer, endpoint):
    """With it, the list would not be link format; without it, it is."""
    assert register(peer, endpoint, [(CONTENT_FORMAT, b"\0\0\x3c")], content_format=False).code_text == "2.01"


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (ACCEPT, uint(LINK_FORMAT)),
        (URI_HOST, b"localhost"),
        (URI_PORT, b"\x16\x33"),
        (BLOCK1, b"\x06"),
        (BLOCK2, b"\x06"),
        (IF_NONE_MATCH, b""),
    ],
)
def test_OPT_08_second_one_of_a_critical_option_is_4_02(peer, number, value):
    assert peer.request(GET, CORE, options=[(number, value), (number, value)]).code_text == "4.02"


def test_OPT_09_second_content_format_is_ignored(peer, endpoint):
    assert register(peer, endpoint, [(CONTENT_FORMAT, uint(60))]).code_text == "2.01"


def test_OPT_09_the_first_content_format_counts(peer, endpoint):
    options = [(CONTENT_FORMAT, uint(60)), LINKS]
    assert register(peer, endpoint, options, content_format=False).code_text == "4.00"


@pytest.mark.parametrize("value", [b"\x28", b"\0\x28"])
def test_OPT_10_accept_with_leading_zeros_is_40(peer, value):
    assert peer.request(GET, CORE, options=[(ACCEPT, value)]).code_text == "2.05"


def test_OPT_10_content_format_with_leading_zeros_is_40(peer, endpoint):
    assert register(peer, endpoint, [(CONTENT_FORMAT, b"\0\x28")], content_format=False).code_text == "2.01"


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0"])
def test_OPT_11_accept_0_is_understood_in_every_length(peer, value):
    assert peer.request(GET, CORE, options=[(ACCEPT, value)]).code_text == "4.06"


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0"])
def test_OPT_11_content_format_0_is_understood_in_every_length(peer, endpoint, value):
    assert register(peer, endpoint, [(CONTENT_FORMAT, value)], content_format=False).code_text == "2.01"


# ---- hosts and proxies ----


@pytest.mark.parametrize(
    "options",
    [
        [(URI_HOST, b"lwm2m.example.com")],
        [(URI_PORT, uint(5684))],
        [(URI_PORT, b"")],
        [(URI_HOST, b"\xff\xfe"), (URI_PORT, uint(1))],
    ],
)
def test_OPT_12_any_uri_host_and_port_is_us(peer, endpoint, options):
    assert register(peer, endpoint, options).code_text == "2.01"


@pytest.mark.parametrize(
    "options",
    [
        [(PROXY_URI, b"coap://198.51.100.1/x")],
        [(PROXY_URI, b"http://198.51.100.1/x")],
        [(PROXY_URI, b"coap://127.0.0.1:1/.well-known/core")],
        [(PROXY_URI, b"nonsense")],
        [(PROXY_URI, b"coap://[::1")],
        [(PROXY_SCHEME, b"http")],
        [(PROXY_SCHEME, b"coap"), (URI_HOST, b"198.51.100.1")],
        [(PROXY_SCHEME, b"coap"), (URI_PORT, b"\x01")],
    ],
)
def test_OPT_13_what_would_have_to_be_forwarded_is_5_05(peer, options):
    assert peer.request(GET, CORE, options=options).code_text == "5.05"


@pytest.mark.parametrize("path", ["/.well-known/core", "/.well-known/%63ore"])
def test_OPT_13_proxy_uri_that_names_us_is_a_local_request(berth, peer, path):
    uri = f"coap://127.0.0.1:{berth.coap_port}{path}".encode()
    assert peer.request(GET, options=[(PROXY_URI, uri)]).code_text == "2.05"


def test_OPT_13_proxy_uri_wins_over_uri_path(berth, peer):
    uri = f"coap://127.0.0.1:{berth.coap_port}/nothing".encode()
    assert peer.request(GET, CORE, options=[(PROXY_URI, uri)]).code_text == "4.04"


def test_OPT_13_register_through_a_proxy_uri_that_names_us(berth, peer, endpoint):
    uri = f"coap://127.0.0.1:{berth.coap_port}/rd?ep={endpoint}&lwm2m=1.1&lt=77".encode()
    assert peer.request(POST, payload=OBJECTS, options=[LINKS, (PROXY_URI, uri)]).code_text == "2.01"
    assert berth.device(endpoint)["lifetime_s"] == 77


def test_OPT_13_proxy_scheme_that_names_us_is_a_local_request(berth, peer):
    options = [(PROXY_SCHEME, b"coap"), (URI_HOST, b"127.0.0.1"), (URI_PORT, uint(berth.coap_port))]
    assert peer.request(GET, CORE, options=options).code_text == "2.05"


# ---- representations ----


@pytest.mark.parametrize("accept", [60, 0, 110, 65000])
def test_OPT_15_accept_that_cannot_be_satisfied_is_4_06(peer, accept):
    assert peer.request(GET, CORE, options=[(ACCEPT, uint(accept))]).code_text == "4.06"


@pytest.mark.parametrize("accept", [60, 65000])
def test_OPT_16_accept_on_register_update_and_deregister_is_ignored(peer, endpoint, accept):
    created = register(peer, endpoint, [(ACCEPT, uint(accept))])
    updated = peer.request(POST, created.location, options=[(ACCEPT, uint(accept))])
    deleted = peer.request(DELETE, created.location, options=[(ACCEPT, uint(accept))])
    assert [created.code_text, updated.code_text, deleted.code_text] == ["2.01", "2.04", "2.02"]


@pytest.fixture
def etag(peer):
    return peer.request(GET, CORE).one(ETAG)


@pytest.mark.parametrize("option", [(IF_MATCH, b"other"), (IF_NONE_MATCH, b"")])
def test_OPT_17_condition_that_does_not_hold_is_4_12(peer, option):
    assert peer.request(GET, CORE, options=[option]).code_text == "4.12"


def test_OPT_17_condition_that_holds_changes_nothing(peer, etag):
    assert peer.request(GET, CORE, options=[(IF_MATCH, b"other"), (IF_MATCH, etag)]).code_text == "2.05"
    assert peer.request(GET, CORE, options=[(IF_MATCH, b"")]).code_text == "2.05"


@pytest.mark.parametrize("option", [(IF_MATCH, b"other"), (IF_NONE_MATCH, b"")])
def test_OPT_17_conditions_on_register_are_ignored(peer, endpoint, option):
    assert register(peer, endpoint, [option]).code_text == "2.01"


def test_OPT_18_known_etag_is_2_03_without_payload(peer, etag):
    answer = peer.request(GET, CORE, options=[(ETAG, b"other"), (ETAG, etag)])
    assert (answer.code_text, answer.one(ETAG), answer.payload) == ("2.03", etag, b"")


def test_OPT_18_all_blocks_have_the_same_etag(peer, etag):
    blocks = [peer.request(GET, CORE, options=[(BLOCK2, bytes([number << 4]))]) for number in (0, 1)]
    assert [block.one(ETAG) for block in blocks] == [etag, etag]


@pytest.mark.parametrize("value", [b"", b"\0", b"\x3c", b"\xff\xff\xff\xff"])
def test_OPT_19_max_age_in_a_request_is_ignored(berth, peer, endpoint, value):
    assert register(peer, endpoint, [(MAX_AGE, value)]).code_text == "2.01"
    assert berth.device(endpoint)["lifetime_s"] == 300


def test_OPT_20_created_has_no_max_age(peer, endpoint):
    assert register(peer, endpoint).one(MAX_AGE) is None


def test_OPT_20_max_age_is_the_lifetime_when_asked_for(start_berth):
    server = start_berth("--max-age-is-lifetime")
    answer = register(server.peer(), "dev")
    assert answer.number(MAX_AGE) == server.device("dev")["lifetime_s"]


def test_OPT_21_REG_45_full_directory_is_5_03_with_max_age(start_berth):
    server = start_berth("--max-registrations", "1")
    server.register("first")
    answer = register(server.peer(), "second")
    assert answer.code_text == "5.03" and answer.number(MAX_AGE) > 0


# ---- paths and queries ----


def test_OPT_22_empty_segment_at_the_end_of_rd_is_tolerated(berth, peer, endpoint):
    mark = berth.last_event()
    answer = register(peer, endpoint, [(URI_PATH, b"")])
    assert answer.code_text == "2.01"
    assert b"" not in answer.all(LOCATION_PATH), "and never sent"
    assert [event["type"] for event in berth.events_after(mark)] == ["oddity", "registered"]


def test_OPT_22_empty_segment_at_the_end_of_a_location_is_tolerated(peer, endpoint):
    location = register(peer, endpoint).location
    assert peer.request(POST, location, options=[(URI_PATH, b"")]).code_text == "2.04"


@pytest.mark.parametrize("segment", [b".", b".."])
@pytest.mark.parametrize("before", ["", "/rd"])
def test_OPT_23_dot_segments_are_4_00(peer, before, segment):
    assert peer.request(POST, before, ["ep=x", "lwm2m=1.1"], OBJECTS, [(URI_PATH, segment)]).code_text == "4.00"


def test_OPT_24_query_is_raw_bytes_without_percent_decoding(berth, peer):
    assert register(peer, "a%20b+c%26").code_text == "2.01"
    assert berth.device("a%20b+c%26")["endpoint"] == "a%20b+c%26"


def test_OPT_25_location_is_rd_and_one_short_id(peer, endpoint):
    answer = register(peer, endpoint)
    rd, name = answer.all(LOCATION_PATH)
    assert rd == b"rd" and 1 <= len(name) <= 16
    assert all(c.isascii() and (c.isalnum() or c in "-_") for c in name.decode())
    assert answer.all(LOCATION_QUERY) == []


def test_OPT_25_location_is_four_base_62_characters(peer, endpoint):
    name = register(peer, endpoint).all(LOCATION_PATH)[1].decode()
    assert len(name) == 4 and name.isascii() and name.isalnum()


# ---- options of later RFCs ----


@pytest.mark.parametrize("value", [b"\x01", b"\x10", b"\xff"])
def test_OPT_27_hop_limit_is_ignored(peer, value):
    assert peer.request(GET, CORE, options=[(HOP_LIMIT, value)]).code_text == "2.05"


@pytest.mark.parametrize("value", [b"\0", b"", b"\x00\x10"])
def test_OPT_27_hop_limit_that_is_none_is_4_00(peer, value):
    assert peer.request(GET, CORE, options=[(HOP_LIMIT, value)]).code_text == "4.00"


SUPPRESSED = {"2.05": (CORE, 2), "4.04": ("/nothing", 8)}


@pytest.mark.parametrize("bits", [0, 2, 8, 16, 26])
@pytest.mark.parametrize("kind", SUPPRESSED)
def test_OPT_28_no_response_in_a_non_suppresses_its_classes(peer, kind, bits):
    path, bit = SUPPRESSED[kind]
    message = peer.message(GET, path, options=[(NO_RESPONSE, uint(bits))], type=NON)
    peer.send(message)
    if bits & bit:
        peer.expect_silence()
    else:
        assert peer.response(message).code_text == kind


def test_OPT_28_no_response_in_a_con_leaves_the_empty_ack(peer):
    message = peer.message(GET, "/nothing", options=[(NO_RESPONSE, b"\x1a")])
    for _ in range(2):
        peer.send(message)
        assert peer.receive() == Coap(ACK, EMPTY, message.mid)


def test_OPT_28_register_with_no_response_is_executed(berth, peer, endpoint):
    query = [f"ep={endpoint}", "lwm2m=1.1"]
    message = peer.message(POST, "/rd", query, OBJECTS, [LINKS, (NO_RESPONSE, b"\x1a")])
    peer.send(message)
    assert peer.receive() == Coap(ACK, EMPTY, message.mid)
    assert berth.await_event("registered", endpoint)


def test_OPT_28_unwanted_answer_of_a_send_is_not_sent(peer):
    peer.send_raw(vector("M-66"))
    peer.expect_silence()


def test_OPT_29_well_known_core_lists_what_is_served(peer):
    peer.send_raw(vector("M-51"))
    answer = peer.receive()
    assert (answer.type, answer.code_text, answer.number(CONTENT_FORMAT)) == (ACK, "2.05", LINK_FORMAT)
    assert '</rd>;rt="core.rd"' in answer.payload.decode().split(",")


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x05"])
def test_OPT_30_observe_on_a_post_is_ignored(peer, endpoint, value):
    answer = register(peer, endpoint, [(OBSERVE, value)])
    assert answer.code_text == "2.01" and answer.one(OBSERVE) is None


def test_OPT_30_observe_on_a_get_of_ours_is_ignored(peer):
    answer = peer.request(GET, CORE, options=[(OBSERVE, b"")])
    assert answer.code_text == "2.05" and answer.one(OBSERVE) is None


def test_OPT_31_oscore_option_is_4_02_while_oscore_is_off(peer):
    peer.send_raw(vector("M-63"))
    assert peer.receive().code_text == "4.02"


def test_OPT_31_oscore_option_in_a_non_is_rejected_silently(peer):
    peer.send_raw(bytes([0x54]) + vector("M-63")[1:])
    peer.expect_silence()
