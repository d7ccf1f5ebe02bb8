"""What devices notify, as each kind of channel of the Device Management API tells it: all of it, whatever its size and
however close together. The device is played, over a connection."""

import base64
import json

import pytest
from callback_receiver import Receiver
from coapraw import BLOCK2, CON, CONTENT_FORMAT, OBSERVE, Coap, block, code, uint
from coapstream import BLOCK_WISE_TRANSFER, MAX_MESSAGE_SIZE, TCP, StreamPeer, encode_frame, tcp_port
from lwm2mraw import LWM2M_CBOR, SENML_JSON, TLV, Value, decode, encode
from pelion_client import PelionClient
from test_pelion_socket import TEXT, Socket

OBJECT, TYPES = "/3/0", {"/3/0/0": "string", "/3/0/1": "string"}


class Poll:
    """A channel; `next` is the next notification that it tells."""

    def __init__(self, pelion: PelionClient):
        self.pelion = pelion
        pelion.open()

    def next(self) -> dict:
        return self.pelion.message("notifications", timeout=60)

    def close(self) -> None:
        pass


class WebSocket:
    def __init__(self, pelion: PelionClient):
        assert pelion.call("PUT", "/v2/notification/websocket")[0] == 201
        self.socket = Socket(pelion.port, key=pelion.key)
        self.entries: list[dict] = []

    def next(self) -> dict:
        while not self.entries:
            opcode, payload = self.socket.frame()
            if opcode == TEXT:  # it may be pinged
                self.entries += json.loads(payload).get("notifications", [])
        return self.entries.pop(0)

    def close(self) -> None:
        self.socket.close()


class Callback:
    def __init__(self, pelion: PelionClient):
        self.receiver = Receiver()
        assert pelion.call("PUT", "/v2/notification/callback", {"url": self.receiver.url})[0] == 204
        self.entries: list[dict] = []

    def next(self) -> dict:
        while not self.entries:
            self.entries += self.receiver.document().get("notifications", [])
        return self.entries.pop(0)

    def close(self) -> None:
        self.receiver.close()


@pytest.fixture(params=[Poll, WebSocket, Callback])
def heard(request, start_berth):
    """The server's played device, whose first object instance is subscribed to, and what is heard of that."""
    berth = start_berth(listen=TCP)
    pelion = PelionClient(berth.http_port)
    channel = request.param(pelion)
    peer = StreamPeer(tcp_port(berth), csm=[(MAX_MESSAGE_SIZE, uint(16384)), (BLOCK_WISE_TRANSFER, b"")])
    berth.peers.append(peer)
    berth.register("dev1", peer=peer, links="</1/0>,</3/0>")
    [device] = pelion.call("GET", "/v3/devices")[1]["data"]
    assert pelion.call("PUT", f"/v2/subscriptions/{device['id']}{OBJECT}")[0] == 202
    observe = peer.receive(30)
    assert observe.one(OBSERVE) == b""
    peer.send(Coap(CON, code("2.05"), 0, observe.token, [(OBSERVE, b"\x01"), (CONTENT_FORMAT, uint(TLV))], of("a", "b")))
    yield berth, peer, observe.token, channel
    channel.close()


def of(maker: str, model: str, format: int = TLV) -> bytes:
    return encode(format, OBJECT, {"/3/0/0": Value("string", maker), "/3/0/1": Value("string", model)})


def frame(token: bytes, number: int, body: bytes, format: int = TLV) -> bytes:
    return encode_frame(Coap(CON, code("2.05"), 0, token, [(OBSERVE, uint(number)), (CONTENT_FORMAT, uint(format))], body))


def values(entry: dict) -> tuple[str, str]:
    assert (entry["path"], entry["ct"]) == (OBJECT, "application/vnd.oma.lwm2m+tlv")
    told = decode(TLV, OBJECT, base64.b64decode(entry["payload"]), TYPES)
    return told["/3/0/0"], told["/3/0/1"]


@pytest.mark.parametrize("format", [TLV, SENML_JSON, LWM2M_CBOR])
def test_what_is_larger_than_the_value_that_is_kept_is_told(heard, format):
    _, peer, token, channel = heard
    large = ("m" * 6000, "n" * 6000)
    peer.send_raw(frame(token, 2, of(*large, format), format))
    assert values(channel.next()) == large


def test_notifications_that_come_together_are_told_one_by_one(heard):
    _, peer, token, channel = heard
    sent = [(str(number), str(-number)) for number in range(2, 30)]
    peer.send_raw(b"".join(frame(token, number, of(*pair)) for number, pair in enumerate(sent, 2)))
    assert [values(channel.next()) for _ in sent] == sent


def test_what_is_larger_than_the_channel_is_lost_alone_and_that_is_said(heard):
    """In blocks, 14 at once (RFC 8323 §6)."""
    berth, peer, observed_by, channel = heard
    token = observed_by
    mark = berth.last_event()
    body, span = of("m" * 7 * 1024 * 1024, "n"), 14
    for number in range(0, len(body) // 1024 + 1, span):
        part = body[number * 1024 : (number + span) * 1024]
        more = (number + span) * 1024 < len(body)
        observed = [] if number else [(OBSERVE, b"\x02")]
        options = [*observed, (CONTENT_FORMAT, uint(TLV)), (BLOCK2, block(number, more, 7))]
        peer.send(Coap(CON, code("2.05"), 0, token, options, part))
        if more:
            token = peer.receive(30).token
    assert "channel was full" in berth.await_event("oddity", after=mark)["detail"]
    peer.send_raw(frame(observed_by, 3, of("last", "one")))
    assert values(channel.next()) == ("last", "one")
