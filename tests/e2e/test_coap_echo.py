"""Echo challenges (RFC 9175 section 2): off by default, as most LwM2M clients do not know them, and a setting."""

import pytest

from coapraw import CONTENT_FORMAT, ECHO, GET, LINK_FORMAT, NON, POST, uint

OPTIONS = ("--echo-challenge",)
LINKS = (CONTENT_FORMAT, uint(LINK_FORMAT))


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def peer(berth):
    return berth.peer()


def register(peer, endpoint, *options, **kwargs):
    return peer.request(POST, "/rd", [f"ep={endpoint}", "lwm2m=1.1"], b"</3/0>", [LINKS, *options], **kwargs)


def challenge(peer):
    """The Echo value that the server asks this peer for."""
    answer = register(peer, "challenged")
    assert answer.code_text == "4.01"
    return answer.one(ECHO)


def is_registered(berth, endpoint):
    return berth.http("GET", f"/v1/devices/{endpoint}").status == 200


def test_EXT_01_first_contact_is_challenged_and_not_executed(berth, peer):
    answer = register(peer, "ext-01-first")
    assert answer.code_text == "4.01" and answer.one(ECHO)
    assert not is_registered(berth, "ext-01-first")


def test_EXT_01_challenge_is_smaller_than_three_times_the_request(peer):
    message = peer.message(GET, "/.well-known/core")
    peer.send(message)
    assert len(peer.receive_raw()) <= 3 * len(message.encode())


def test_EXT_01_right_echo_makes_the_request_count(berth, peer):
    answer = register(peer, "ext-01-right", (ECHO, challenge(peer)))
    assert answer.code_text == "2.01" and answer.one(ECHO) is None
    assert is_registered(berth, "ext-01-right")


def test_EXT_01_peer_is_trusted_from_then_on(peer):
    location = register(peer, "ext-01-trusted", (ECHO, challenge(peer))).location
    assert peer.request(POST, location).code_text == "2.04"


def test_EXT_01_challenge_of_a_non_is_a_non(peer):
    message = peer.message(POST, "/rd", ["ep=ext-01-non", "lwm2m=1.1"], b"</3/0>", [LINKS], type=NON)
    peer.send(message)
    answer = peer.receive()
    assert (answer.type, answer.code_text, answer.token) == (NON, "4.01", message.token)


def test_EXT_02_nobody_is_challenged_by_default(start_berth):
    assert register(start_berth().peer(), "ext-02").code_text == "2.01"


@pytest.mark.parametrize("value", [b"\0" * 8, b"12345678", b"x", b"\xff" * 40])
def test_EXT_04_wrong_echo_is_4_01_with_a_new_one(berth, peer, value):
    answer = register(peer, "ext-04-wrong", (ECHO, value))
    assert answer.code_text == "4.01" and answer.one(ECHO) not in (None, value)
    assert not is_registered(berth, "ext-04-wrong")


def test_EXT_04_echo_of_another_peer_is_4_01(berth, peer):
    answer = register(peer, "ext-04-foreign", (ECHO, challenge(berth.peer())))
    assert answer.code_text == "4.01"
    assert not is_registered(berth, "ext-04-foreign")


def test_EXT_04_expired_echo_is_4_01_with_a_new_one(berth, peer):
    value = challenge(peer)
    berth.leap("260s")
    answer = register(peer, "ext-04-expired", (ECHO, value))
    assert answer.code_text == "4.01" and answer.one(ECHO) != value
    assert not is_registered(berth, "ext-04-expired")


def test_EXT_04_echo_is_good_for_two_minutes(berth, peer):
    value = challenge(peer)
    berth.leap("120s")
    assert register(peer, "ext-04-late", (ECHO, value)).code_text == "2.01"


@pytest.mark.parametrize("value", [b"\0" * 8, b"x", b"\xff" * 40])
def test_EXT_05_echo_that_nobody_asked_for_is_ignored(start_berth, value):
    assert register(start_berth().peer(), "ext-05", (ECHO, value)).code_text == "2.01"


def test_EXT_08_echo_values_have_8_bytes_and_belong_to_the_peer(berth):
    values = {challenge(berth.peer()) for _ in range(20)}
    assert {len(value) for value in values} == {8} and len(values) == 20


def test_EXT_08_challenged_peers_cost_no_state(berth):
    """One value is as good as the next one: the server keeps none of them."""
    peer = berth.peer()
    first = challenge(peer)
    for _ in range(50):
        challenge(peer)
    assert register(peer, "ext-08", (ECHO, first)).code_text == "2.01"
