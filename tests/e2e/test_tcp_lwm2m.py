"""Observe and queue mode over RFC 8323, where they differ from what datagrams do: no order but that of arrival, no Reset,
no acknowledgement; and a registration belongs to its connection. Everything else of the two is tested in their own
modules, over the vendor's framing too."""

import socket

import pytest
from coapraw import CON, CONTENT_FORMAT, GET, OBSERVE, POST, Coap, code, uint
from coapstream import PING, PONG, TCP, PrefixedPeer, StreamPeer, tcp_port
from played_device import TEXT, PlayedDevice


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=TCP)


@pytest.fixture
def connect(berth):
    def new():
        peer = StreamPeer(tcp_port(berth))
        berth.peers.append(peer)
        return peer

    return new


@pytest.fixture
def device(berth, connect):
    return PlayedDevice(berth, "dev1", peer=connect(), lifetime=86400, binding="T")


def value(token, payload, sequence=None, text="2.05"):
    observe = [] if sequence is None else [(OBSERVE, uint(sequence))]
    return Coap(CON, code(text), 0, token, observe + [(CONTENT_FORMAT, uint(TEXT))], payload)


def observe(device, path="/3/0/9", payload=b"95"):
    """The token of an observation that has begun."""
    asked = device.ask("PUT", f"{path}/observe")
    request = device.expect(GET, path)
    assert request.one(OBSERVE) == b""
    device.peer.send(value(request.token, payload, 0))
    assert asked.answer(200).json["value"] == float(payload)
    return request.token


def told(berth, after=0):
    return [event["value"] for event in berth.events_after(after, types="notification")]


# ---- observing (RFC 8323 section 7) ----


@pytest.mark.parametrize("sequences", [(None, None, None), (0, 0, 0), (9, 5, 1)])
def test_OB_21_notifications_have_the_order_in_which_they_come(berth, device, sequences):
    token = observe(device)
    mark = berth.last_event()
    for number, sequence in enumerate(sequences):
        device.peer.send(value(token, b"%d" % number, sequence if sequence is not None else 0))
    device.peer.ping()
    events = berth.events_after(mark, types="notification")
    assert [event["value"] for event in events] == [0, 1, 2] and not any(event.get("stale") for event in events)
    assert device.ask("GET", "/observations").answer(200).json["items"][0]["last"]["value"] == 2


def test_OB_21_the_same_notification_twice_is_two(berth, device):
    token = observe(device)
    mark = berth.last_event()
    for _ in range(2):
        device.peer.send(value(token, b"7", 3))
    device.peer.ping()
    assert told(berth, mark) == [7, 7]


def test_OB_21_nothing_is_sent_back_to_a_notification(berth, device):
    token = observe(device)
    device.peer.send(value(token, b"94", 1))
    device.peer.ping()  # which would be the second thing to come


def test_OB_21_active_cancel_is_observe_1(berth, device):
    token = observe(device)
    asked = device.ask("DELETE", "/3/0/9/observe?mode=active")
    request = device.expect(GET, "/3/0/9")
    assert request.number(OBSERVE) == 1 and request.token == token
    device.peer.send(value(request.token, b"94"))
    asked.answer(204)
    mark = berth.last_event()
    device.peer.send(value(token, b"93", 4))
    device.peer.ping()
    assert told(berth, mark) == []


def test_OB_21_a_passive_cancel_has_no_reset_and_is_an_active_one(berth, device):
    token = observe(device)
    asked = device.ask("DELETE", "/3/0/9/observe?mode=reset")
    request = device.expect(GET, "/3/0/9")
    assert request.number(OBSERVE) == 1 and request.token == token
    device.peer.send(value(request.token, b"94"))
    asked.answer(204)


@pytest.mark.parametrize("how", ["connection", "registration"])
def test_TCP_21_observations_go_with_the_connection_and_are_begun_again(berth, device, connect, how):
    observe(device)
    device.peer.close()
    berth.await_event("connection_closed", "dev1")
    mark = berth.last_event()
    device.peer = device.registered.peer = connect()
    if how == "connection":
        assert device.registered.update().code_text == "2.04"
    else:
        berth.register("dev1", peer=device.peer, lifetime=86400)
    request = device.expect(GET, "/3/0/9")
    assert request.one(OBSERVE) == b""
    device.peer.send(value(request.token, b"90", 0))
    berth.await_event("observe_started", "dev1", mark)
    device.peer.send(value(request.token, b"89", 0))
    device.peer.ping()
    assert told(berth, mark) == [90, 89]


def test_an_error_ends_the_observation(berth, device):
    token = observe(device)
    device.peer.send(Coap(CON, code("4.04"), 0, token))
    assert berth.await_event("observe_ended", "dev1")["coap_code"] == "4.04"


# ---- queue mode ----


def queue(device, path):
    return device.ask("GET", path, headers={"Prefer": "respond-async"}).answer(202).json["id"]


def over(berth, number):
    return berth.get(f"/v1/requests/{number}", timeout="10s")


def test_QM_05_a_request_that_is_not_answered_goes_back_into_the_queue(berth, connect):
    device = PlayedDevice(berth, "dev1", peer=connect(), lifetime=86400, binding="T", extra=["Q"])
    number = queue(device, "/3/0/9")
    device.expect(GET, "/3/0/9")
    device.peer.ping()
    berth.leap("247s")
    assert berth.await_event("sleeping", "dev1")
    shown = berth.get(f"/v1/requests/{number}")
    assert (shown["state"], shown["attempts"]) == ("queued", 1)
    device.peer.send(device.peer.message(POST, device.registered.location))
    device.peer.receive()
    request = device.expect(GET, "/3/0/9")
    device.answer(request, "2.05", TEXT, b"95")
    assert over(berth, number)["response"]["status"] == 200


@pytest.mark.parametrize("extra", [["Q"], []])
def test_QM_05_what_is_queued_survives_the_connection(berth, connect, extra):
    device = PlayedDevice(berth, "dev1", peer=connect(), lifetime=86400, binding="T", extra=extra)
    number = queue(device, "/3/0/9")
    device.expect(GET, "/3/0/9")
    device.peer.close()
    berth.await_event("connection_closed", "dev1")
    berth.leap("1h")
    assert berth.get(f"/v1/requests/{number}")["state"] in ("queued", "running")
    device.peer = device.registered.peer = connect()
    assert device.registered.update().code_text == "2.04"
    request = device.expect(GET, "/3/0/9")
    device.answer(request, "2.05", TEXT, b"95")
    assert over(berth, number)["response"]["status"] == 200


# ---- the registration belongs to its connection ----


@pytest.mark.parametrize("binding", ["U", "UQ", "UT"])
def test_TCP_24_no_datagram_is_ever_sent_to_it(berth, connect, binding):
    """Whatever its binding says: neither while the connection lives, nor after it."""
    device = PlayedDevice(berth, "dev1", peer=connect(), binding=binding, version="1.0", lifetime=86400)
    port = int(device.peer.address.rpartition(":")[2])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", port))
        asked = device.ask("GET", "/3/0/9")
        device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
        asked.answer(200)
        device.peer.close()
        berth.await_event("connection_closed", "dev1")
        asked = device.ask("GET", "/3/0/9")
        while berth.waiting() < 1:
            pass
        berth.leap("93s")
        assert asked.answer().status in (502, 503)
        datagrams.setblocking(False)
        with pytest.raises(BlockingIOError):
            datagrams.recv(2048)


@pytest.mark.parametrize("kind", [StreamPeer, PrefixedPeer])
def test_traffic_is_counted_by_what_it_is_for(berth, kind):
    """Also over another connection, on which the device goes on."""
    counts = {name: [0, 0, 0] for name in ("registration", "update", "other")}

    def charge(peer, name, step, count=1, before=None):
        sent, received = before or (peer.sent, peer.received)
        result = step()
        counts[name] = [a + b for a, b in zip(counts[name], (count, peer.sent - sent, peer.received - received))]
        return result

    def connect():
        peer = kind(tcp_port(berth))
        berth.peers.append(peer)
        charge(peer, "other", lambda: None, 2 if kind is StreamPeer else 0, before=(0, 0))  # the CSMs
        return peer

    def update(peer):
        answer = peer.request(POST, device.location)
        assert answer.code_text == "2.04"

    def shown():
        answer = berth.get("/v1/devices/dev1/traffic")
        assert (answer["transport"], list(answer["over"]), answer["session"]) == ("tcp", ["tcp"], None)
        kinds = answer["over"]["tcp"]
        return {name: [kinds[name][key] for key in ("count", "bytes_in", "bytes_out")] for name in counts}

    peer = connect()
    device = charge(peer, "registration", lambda: berth.register("dev1", peer=peer))
    for _ in range(2):
        charge(peer, "update", lambda: update(peer))
    charge(peer, "other", peer.ping, 2)
    assert shown() == counts
    peer.close()
    berth.await_event("connection_closed", "dev1")
    peer = connect()
    charge(peer, "update", lambda: update(peer))
    charge(peer, "other", peer.ping, 2)
    assert shown() == counts


def test_a_ping_of_the_device_does_not_make_the_server_ping(berth, device):
    device.peer.send(Coap(CON, PING, 0, b"x"))
    assert device.peer.receive().code == PONG
    berth.leap("10h")
    device.peer.ping()
