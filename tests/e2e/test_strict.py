"""A strict listener refuses every deviation that a tolerant one accepts, and an event says why."""

import pytest

from coapraw import ACK, CONTENT_FORMAT, EMPTY, LINK_FORMAT, NON, POST, PUT, URI_PATH, Coap, Peer, uint

LISTEN = ("coap://127.0.0.1:0", "coap://127.0.0.1:0?strict=1")
LINKS = (CONTENT_FORMAT, uint(LINK_FORMAT))


@pytest.fixture(scope="module")
def module_berth(tmp_path_factory):
    from berth_process import Berth

    server = Berth(tmp_path_factory.mktemp("berth") / "data", listen=LISTEN).start()
    yield server
    server.close()


@pytest.fixture
def berth(shared_berth):
    return shared_berth


def port_of(uri):
    return int(uri.partition("?")[0].rpartition(":")[2])


@pytest.fixture
def strict(berth):
    with Peer(port_of(berth.listeners[1])) as peer:
        yield peer


@pytest.fixture
def tolerant(berth):
    return berth.peer()


def refusals(berth, mark):
    return [event for event in berth.events_after(mark) if event["type"] == "rejected" and event["detail"]]


def register(peer, query, links=b"</1/0>,</3/0>", options=(LINKS,), **kwargs):
    return peer.request(POST, "/rd", query, links, list(options), **kwargs)


DEVIATIONS = {
    "MSG_46-non": {"type": NON},
    "REG_20-uq-with-1.1": {"query": ["lwm2m=1.1", "b=UQ"]},
    "REG_20-uq-with-1.2": {"query": ["lwm2m=1.2", "b=UQ"]},
    "REG_21-q-with-a-value": {"query": ["lwm2m=1.1", "Q=1"]},
    "REG_21-q-with-1.0": {"query": ["lwm2m=1.0", "Q"]},
    "REG_27-text": {"options": ((CONTENT_FORMAT, b""),)},
    "REG_32-no-prefix": {"links": b'</x>;rt="oma.lwm2m",</1/0>,</3/0>'},
    "LNK_04-version": {"links": b"</1>;ver=abc,</3/0>"},
    "LNK_06-space": {"links": b"</1/0>, </3/0>"},
    "LNK_06-newline": {"links": b"</1/0>,\n</3/0>"},
    "LNK_07-trailing-comma": {"links": b"</1/0>,</3/0>,"},
    "LNK_07-two-commas": {"links": b"</1/0>,,</3/0>"},
    "LNK_08-trailing-slash": {"links": b"</1/0/>,</3/0>"},
    "LNK_09-unquoted-list": {"links": b'</>;rt="oma.lwm2m";ct=110 112,</1/0>,</3/0>'},
    "OPT_22-empty-segment": {"options": (LINKS, (URI_PATH, b""))},
}


def attempt(peer, endpoint, deviation):
    rest = {"query": ["lwm2m=1.1", "b=U"], **deviation}
    return register(peer, [f"ep={endpoint}", *rest.pop("query")], **rest)


@pytest.mark.parametrize("name", DEVIATIONS)
def test_strict_listener_refuses_a_deviation_and_says_why(berth, strict, name):
    mark = berth.last_event()
    answer = attempt(strict, f"strict-{name}", DEVIATIONS[name])
    assert answer.code >> 5 == 4
    assert berth.http("GET", f"/v1/devices/strict-{name}").status == 404
    assert len(refusals(berth, mark)) == 1


@pytest.mark.parametrize("name", DEVIATIONS)
def test_tolerant_listener_accepts_it_and_says_so(berth, tolerant, name):
    mark = berth.last_event()
    assert attempt(tolerant, f"tolerant-{name}", DEVIATIONS[name]).code_text == "2.01"
    assert len(berth.events_after(mark, types="oddity")) == 1


REGULAR = {
    "1.0": {"query": ["lwm2m=1.0", "b=UQ"]},
    "REG_21-q-with-1.1": {"query": ["lwm2m=1.1", "b=U", "Q"]},
    "REG_21-q-with-1.2": {"query": ["lwm2m=1.2", "Q"]},
    "REG_24-unknown-items": {"query": ["lwm2m=1.1", "et=x", "foo"]},
    "REG_26-no-content-format": {"options": ()},
    "REG_30-security-object": {"links": b"</0/0>,</1/0>,</3/0>"},
    "REG_31-alternate-path": {"links": b'</x>;rt="oma.lwm2m",</x/1/0>,</x/3/0>'},
    "LNK_02-quoted-version": {"links": b'</1>;ver="1.1",</1/0>,</3/0>'},
    "LNK_09-quoted-list": {"links": b'</>;rt="oma.lwm2m";ct="60 110",</1/0>,</3/0>'},
    "LNK_11-attributes": {"links": b'</1/0>;obs,</3/0>;title="a,b"'},
}


@pytest.mark.parametrize("name", REGULAR)
def test_strict_listener_accepts_what_the_standard_allows(berth, strict, name):
    mark = berth.last_event()
    assert attempt(strict, f"regular-{name}", REGULAR[name]).code_text == "2.01"
    assert berth.events_after(mark, types="oddity,rejected") == []


@pytest.fixture
def device(berth, strict, request):
    return berth.register(f"on-strict-{request.node.name}", peer=strict)


def test_UPD_14_put_on_a_location_is_4_05_on_a_strict_listener(berth, device):
    mark = berth.last_event()
    assert device.peer.request(PUT, device.location).code_text == "4.05"
    assert len(refusals(berth, mark)) == 1


@pytest.mark.parametrize("links", ["</3/0>,", "</3/0/>", "</1/0>, </3/0>"])
def test_UPD_08_odd_object_list_in_an_update_is_4_00_on_a_strict_listener(berth, device, links):
    before = berth.device(device.endpoint)
    mark = berth.last_event()
    assert device.update(links=links).code_text == "4.00"
    assert len(refusals(berth, mark)) == 1
    assert berth.device(device.endpoint) == before


def test_MSG_46_update_and_deregister_as_non_are_4_00_on_a_strict_listener(berth, device):
    mark = berth.last_event()
    assert device.update(type=NON).code_text == "4.00"
    assert device.deregister(type=NON).code_text == "4.00"
    assert len(refusals(berth, mark)) == 2


def test_OPT_22_empty_segment_behind_a_location_is_4_04_on_a_strict_listener(berth, device):
    mark = berth.last_event()
    answer = device.peer.request(POST, device.location, options=[(URI_PATH, b"")])
    assert answer.code_text == "4.04"
    assert len(refusals(berth, mark)) == 1


def test_MSG_05_empty_ack_with_trailing_bytes_is_ignored_on_a_strict_listener(berth, strict):
    mark = berth.last_event()
    strict.send_raw(Coap(ACK, EMPTY, 0x7D34).encode() + b"\xc0")
    strict.expect_silence()
    assert len(refusals(berth, mark)) == 1


def test_strictness_is_told_in_the_listening_line(berth):
    assert [uri.endswith("?strict=1") for uri in berth.listeners] == [False, True]
