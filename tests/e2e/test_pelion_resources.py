"""Resource lists of the Device Management API for devices that have registered instances only: they are found by
Discover, when somebody wants to know. The device is played."""

import threading
from urllib.parse import quote

import pytest
from coapraw import GET, OBSERVE
from pelion_client import PelionClient, decoded
from played_device import LINK, TEXT, PlayedDevice, accept_of

FOUND = b'</3>;ver=1.1,</3/0>,</3/0/0>,</3/0/4>,</3/0/9>;pmin=1'


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def pelion(berth, request):
    client = PelionClient(berth.http_port, f"ak_{request.node.name}")
    yield client
    client.call("DELETE", "/v2/subscriptions")


@pytest.fixture
def play(berth, request):
    def start(name: str = "", **kwargs: object) -> PlayedDevice:
        return PlayedDevice(berth, f"{request.node.name[:40]}{name}", **{"lifetime": 86400, **kwargs})

    return start


class Listing(threading.Thread):
    """GET /v2/endpoints/{id}, under way."""

    def __init__(self, pelion: PelionClient, id: str):
        super().__init__(daemon=True)
        self.pelion = PelionClient(pelion.port, pelion.key)
        self.path = f"/v2/endpoints/{id}"
        self.start()

    def run(self):
        self.answer = self.pelion.call("GET", self.path)

    def uris(self) -> list[str]:
        self.join(30)
        status, entries = self.answer
        assert status == 200, entries
        self.entries = {entry["uri"]: entry for entry in entries}
        return list(self.entries)


def id_of(pelion: PelionClient, device: PlayedDevice) -> str:
    [found] = pelion.call("GET", f"/v3/devices?endpoint_name__eq={quote(device.endpoint)}")[1]["data"]
    return found["id"]


def discovered(device: PlayedDevice, path: str, links: bytes) -> None:
    request = device.expect(GET, path)
    assert accept_of(request) == LINK and request.one(OBSERVE) is None
    device.answer(request, "2.05", LINK, links)


def test_a_list_has_resources(pelion, play):
    device = play(links="</1/0>,</3/0>,</3303>,</3442/1/110>;rt=\"x\"")
    listing = Listing(pelion, id_of(pelion, device))
    discovered(device, "/1/0", b"</1/0>,</1/0/0>,</1/0/1>")
    discovered(device, "/3/0", FOUND)
    assert listing.uris() == ["/1/0/0", "/1/0/1", "/3/0/0", "/3/0/4", "/3/0/9", "/3303", "/3442/1/110"]
    assert listing.entries["/3/0/9"] == {"uri": "/3/0/9", "rt": "", "type": "text/plain", "obs": True}
    assert listing.entries["/3/0/4"]["obs"] is False  # Reboot can only be executed
    assert Listing(pelion, id_of(pelion, device)).uris() == listing.uris()
    device.peer.expect_silence()  # known now


def test_nobody_is_asked_unasked(pelion, play):
    device = play()
    assert pelion.call("GET", "/v2/endpoints")[0] == 200
    assert pelion.call("GET", f"/v3/devices/{id_of(pelion, device)}")[0] == 200
    device.registered.update(links="</1/0>,</3/0>,</5/0>")
    device.peer.expect_silence()


def test_who_wants_it_meanwhile_waits_too(pelion, play):
    device = play(links="</3/0>")
    first, second = (Listing(pelion, id_of(pelion, device)) for _ in range(2))
    discovered(device, "/3/0", FOUND)
    assert first.uris() == second.uris() == ["/3/0/0", "/3/0/4", "/3/0/9"]
    device.peer.expect_silence()


def test_registration_messages_have_what_is_known(pelion, play):
    device = play(links="</3/0>")
    pelion.open()
    listing = Listing(pelion, id_of(pelion, device))
    discovered(device, "/3/0", FOUND)
    listing.uris()
    device.registered.update()
    told = pelion.message("reg-updates", ep=id_of(pelion, device))
    assert [entry["path"] for entry in told["resources"]] == ["/3/0/0", "/3/0/4", "/3/0/9"]


def test_another_list_is_looked_for_anew(pelion, play):
    device = play(links="</3/0>")
    id = id_of(pelion, device)
    listing = Listing(pelion, id)
    discovered(device, "/3/0", FOUND)
    listing.uris()
    device.registered.update(links="</3/0>,</5/0>")
    listing = Listing(pelion, id)
    discovered(device, "/3/0", FOUND)
    discovered(device, "/5/0", b"</5/0>,</5/0/3>")
    assert listing.uris() == ["/3/0/0", "/3/0/4", "/3/0/9", "/5/0/3"]


def test_a_device_that_refuses(pelion, play):
    device = play(links="</3/0>,</5/0>")
    listing = Listing(pelion, id_of(pelion, device))
    device.answer(device.expect(GET, "/3/0"), "4.05")
    discovered(device, "/5/0", b"</5/0>,</5/0/3>,</6/0/1>,</5/0/3/1>")
    assert listing.uris() == ["/3/0", "/5/0/3"]
    assert Listing(pelion, id_of(pelion, device)).uris() == ["/3/0", "/5/0/3"]
    device.peer.expect_silence()


def test_a_device_that_does_not_answer(berth, pelion, play):
    device = play(links="</3/0>,</5/0>")
    listing = Listing(pelion, id_of(pelion, device))
    device.expect(GET, "/3/0")
    while listing.is_alive():
        berth.leap("11s")
        listing.join(1)
    assert listing.uris() == ["/3/0", "/5/0"]


def test_a_device_that_sleeps_is_not_asked(berth, pelion, play):
    device = play(links="</3/0>", binding="UQ")
    berth.leap("5m")
    assert Listing(pelion, id_of(pelion, device)).uris() == ["/3/0"]
    device.peer.expect_silence()


def test_a_device_that_leaves_meanwhile(pelion, play):
    device = play(links="</3/0>")
    listing = Listing(pelion, id_of(pelion, device))
    device.expect(GET, "/3/0")
    device.registered.deregister()
    listing.join(30)
    assert listing.answer == (404, "")


def test_a_pattern_of_resources_finds_them(berth, pelion, play):
    device = play("a", links="</3/0>")
    pelion.open()
    wanted = [{"endpoint-name": device.endpoint[:-1] + "*", "resource-path": ["/3/0/*"]}]
    assert pelion.call("PUT", "/v2/subscriptions", wanted)[0] == 204

    def is_subscribed(device):
        discovered(device, "/3/0", FOUND)
        for path, value in (("/3/0/0", b"maker"), ("/3/0/9", b"87")):  # /3/0/4 has no value
            request = device.expect(GET, path)
            assert request.one(OBSERVE) is not None
            device.answer(request, "2.05", TEXT, value, (OBSERVE, b"\x01"))
            assert decoded(pelion.message("notifications", path=path, ep=id_of(pelion, device))) == value.decode()
        device.peer.expect_silence()
        paths = pelion.call("GET", f"/v2/subscriptions/{id_of(pelion, device)}")[1]
        assert sorted(paths.split("\n")) == ["/3/0/0", "/3/0/9"]

    is_subscribed(device)
    is_subscribed(play("b", links="</3/0>"))


def test_a_pattern_goes_on_over_a_restart(start_berth):
    berth = start_berth()
    pelion = PelionClient(berth.http_port)
    device = PlayedDevice(berth, "a", links="</3/0>", lifetime=86400)
    pelion.open()
    assert pelion.call("PUT", "/v2/subscriptions", [{"resource-path": ["/3/0/9*"]}])[0] == 204
    discovered(device, "/3/0", FOUND)
    request = device.expect(GET, "/3/0/9")
    device.answer(request, "2.05", TEXT, b"87", (OBSERVE, b"\x01"))
    pelion.message("notifications", path="/3/0/9")
    port = berth.listeners[0]
    berth.restart()
    pelion.port = berth.http_port
    id = id_of(pelion, device)
    assert pelion.call("GET", f"/v2/subscriptions/{id}") == (200, "/3/0/9"), port
