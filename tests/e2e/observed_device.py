"""A played device that is observed: the first answer, notifications, and what the API says of it."""

from __future__ import annotations

import pytest
from berth_process import Berth
from coapraw import ACK, CON, CONTENT_FORMAT, EMPTY, GET, NON, OBSERVE, RST, Coap, Peer, code, uint
from played_device import TEXT, PlayedDevice

OBSERVE_NOW, OBSERVE_NO_MORE = 0, 1


class ObservedDevice(PlayedDevice):
    def answer_observe(self, request: Coap, sequence: int | None, format: int | None, payload: bytes, *options: tuple[int, bytes]) -> None:
        """The piggybacked 2.05 to an Observe."""
        observe = [] if sequence is None else [(OBSERVE, uint(sequence))]
        self.answer(request, "2.05", format, payload, *observe, *options)

    def expect_observe(self, path: str, method: int = GET) -> Coap:
        request = self.expect(method, path)
        assert request.number(OBSERVE) == OBSERVE_NOW and request.one(OBSERVE) == b"", request
        return request

    def observe(self, path: str, told: int | None = TEXT, payload: bytes = b"95", sequence: int = 12, **kwargs: object) -> Observed:
        """Observed over HTTP, with this first value in the format `told`."""
        asked = self.ask("PUT", f"{path}/observe", **kwargs)
        request = self.expect_observe(path)
        self.answer_observe(request, sequence, told, payload)
        return Observed(self, path, request, asked.answer(200))

    def notification(self, token: bytes, sequence: int | None, payload: bytes, format: int | None = TEXT, type: int = CON, text: str = "2.05", mid: int | None = None, options: list[tuple[int, bytes]] | None = None) -> Coap:
        head = [] if sequence is None else [(OBSERVE, uint(sequence))]
        head += [] if format is None else [(CONTENT_FORMAT, uint(format))]
        return Coap(type, code(text), self.peer.next_mid() if mid is None else mid, token, head + (options or []), payload)

    def send_and_see(self, message: Coap, peer: Peer | None = None) -> int | None:
        """What comes back to a notification: ACK, RST, or None for nothing."""
        peer = peer or self.peer
        peer.send(message)
        if message.type == NON:
            fence = Coap(CON, EMPTY, peer.next_mid())
            peer.send(fence)
            answer = peer.receive()
            if (answer.type, answer.mid) == (RST, fence.mid):
                return None
            assert (answer.type, answer.code, answer.mid) == (RST, EMPTY, message.mid), answer
            pong = peer.receive()
            assert (pong.type, pong.mid) == (RST, fence.mid), pong
            return RST
        answer = peer.receive()
        assert answer is not None, "nothing came back"
        assert (answer.code, answer.mid, answer.token) == (EMPTY, message.mid, b""), answer
        return answer.type

    def observations(self) -> list[dict]:
        return self.berth.get(f"/v1/devices/{self.endpoint}/observations")["items"]

    def register_again(self, peer: Peer | None = None, **kwargs: object) -> None:
        self.registered = self.berth.register(self.endpoint, peer=peer or self.peer, **kwargs)
        self.peer = self.registered.peer


class Observed:
    """One observation of a device."""

    def __init__(self, device: ObservedDevice, path: str, request: Coap, response):
        self.device, self.path, self.request, self.response = device, path, request, response
        self.token = request.token
        self.sequence = 12
        header = response.headers["Observation"]
        self.id = None if header == "none" else int(header)

    def send(self, payload: bytes, sequence: int | None = -1, peer: Peer | None = None, **kwargs: object) -> int | None:
        """Notify; gives what comes back. Without a sequence number: the next one."""
        if sequence == -1:
            self.sequence += 1
            sequence = self.sequence
        return self.device.send_and_see(self.device.notification(self.token, sequence, payload, **kwargs), peer)

    def notify(self, payload: bytes, sequence: int | None = -1, **kwargs: object) -> dict:
        """Notify with a CON that must be acknowledged; gives its event."""
        berth: Berth = self.device.berth
        after = berth.last_event()
        assert self.send(payload, sequence, **kwargs) == ACK
        return berth.await_event("notification", self.device.endpoint, after)

    def events(self, *types: str) -> list[dict]:
        """Events about it, of these types or of all."""
        events = self.device.berth.events_after(0, endpoint=self.device.endpoint)
        return [event for event in events if event.get("observation") == self.id and (not types or event["type"] in types)]

    def listed(self) -> dict | None:
        return next((item for item in self.device.observations() if item["id"] == self.id), None)

    def is_active(self) -> bool:
        item = self.listed()
        return item is not None and item["state"] == "active"


@pytest.fixture
def start(berth, request):
    """start(version="1.2") -> an ObservedDevice with a name of its own."""

    def make(**kwargs: object) -> ObservedDevice:
        return ObservedDevice(berth, f"dev{len(berth.peers)}-{abs(hash(request.node.name)) % 10**9}", **kwargs)

    return make


@pytest.fixture
def device(start):
    return start()
