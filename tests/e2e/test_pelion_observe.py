"""Observations of the vendor's device client: those that it makes by itself, and how it answers ours."""

import pytest
from coapraw import ACK, BLOCK1, CON, CONTENT_FORMAT, GET, LINK_FORMAT, OBSERVE, POST, RST, Coap, block, uint
from observed_device import ObservedDevice, Observed
from played_device import OPAQUE, TEXT, TLV
from test_pelion_register import query

pytestmark = pytest.mark.transports("pelion")

LINKS = b'</1/0>,</3/0>,</3/0/0>;rt="";v="ARM, Inc.";obs,</3200/0/5501>;rt="";v="7";aobs="238";obs,</5000/0/1>;rt="";aobs="1023";obs'


class VendorDevice(ObservedDevice):
    def __init__(self, berth, endpoint: str, links: bytes = LINKS):
        self.berth, self.endpoint, self.peer = berth, endpoint, berth.peer()
        self.register_with(links)

    def register_with(self, links: bytes) -> None:
        answer = self.peer.request(POST, "/rd", query(self.endpoint), links, [(CONTENT_FORMAT, uint(LINK_FORMAT))])
        assert answer.code_text == "2.01"
        self.location = answer.location

    def update(self, links: bytes | None = None) -> None:
        options = [] if links is None else [(CONTENT_FORMAT, uint(LINK_FORMAT))]
        assert self.peer.request(POST, self.location, ["et=default"], links or b"", options).code_text == "2.04"

    def tell(self, number: int, sequence: int, payload: bytes, format: int = TEXT, peer=None) -> int | None:
        return self.send_and_see(self.notification(number.to_bytes(2, "big"), sequence, payload, format), peer)


@pytest.fixture
def device(berth):
    return VendorDevice(berth, "dev1")


def told(berth) -> list[tuple]:
    return [(e["path"], e["value"]) for e in berth.events_after(0, types="notification")]


def test_M1_OB_06_announced_observation_is_acknowledged_and_told_without_an_observe(berth, device):
    assert device.tell(238, 2, b"8") == ACK
    event = berth.await_event("notification", "dev1")
    assert (event["path"], event["value"], event["sequence"], event["confirmable"]) == ("/3200/0/5501", 8, 2, True)
    assert device.tell(1023, 2, b"\x00\xff", OPAQUE) == ACK
    assert told(berth)[1][0] == "/5000/0/1"
    device.peer.expect_silence()


def test_M1_values_of_the_object_list_are_shown(berth, device):
    objects = {item["path"]: item["attributes"] for item in berth.device("dev1")["objects"]}
    assert objects["/3200/0/5501"]["v"] == "7" and objects["/3/0/0"]["v"] == "ARM, Inc."
    assert objects["/3200/0/5501"]["aobs"] == "238"


def test_M1_announced_observations_are_listed_and_cannot_be_cancelled(berth, device):
    items = {item["paths"][0]: item for item in device.observations()}
    assert {path: (item["token"], item["auto"], item["state"]) for path, item in items.items()} == {
        "/3200/0/5501": ("00ee", True, "active"),
        "/5000/0/1": ("03ff", True, "active"),
    }
    assert device.tell(238, 2, b"8") == ACK
    assert {item["id"] for item in device.observations()} == {item["id"] for item in items.values()}
    assert device.http("DELETE", "/3200/0/5501/observe").problem == "not-observed"
    assert device.http("DELETE", "/observations", mode="reset").problem == "not-observed"
    assert device.tell(238, 3, b"9") == ACK


def test_OB_06_token_that_was_not_announced_is_reset(berth, device):
    assert device.tell(239, 2, b"8") == RST
    assert device.tell(237, 2, b"8") == RST
    other = berth.peer()
    assert device.tell(238, 2, b"8", peer=other) == RST
    standard = ObservedDevice(berth, "dev2", links='</3200/0/5501>;aobs="238"')
    assert standard.send_and_see(standard.notification(b"\x00\xee", 2, b"8")) == RST
    assert told(berth) == []


def test_M1_announced_observations_are_those_of_the_last_register(berth, device):
    assert device.tell(238, 2, b"8") == ACK
    device.register_with(LINKS.replace(b'"238"', b'"17"'))
    assert device.tell(238, 3, b"9") == RST
    assert device.tell(17, 2, b"10") == ACK
    assert [item["token"] for item in device.observations()] == ["0011", "03ff"]


def test_M1_update_adds_and_removes_announced_observations(berth, device):
    assert device.tell(238, 2, b"8") == ACK
    device.update()
    assert device.tell(238, 3, b"9") == ACK
    device.update(b'</3200/0/5500>;aobs="300",</3200/0/5501>;d')
    assert device.tell(300, 2, b"1") == ACK
    assert device.tell(238, 4, b"9") == RST
    assert told(berth)[-1] == ("/3200/0/5500", True)


@pytest.mark.transports("udp")  # a restart ends connections
def test_M1_announced_observations_go_on_after_a_restart(berth, device):
    assert device.tell(238, 2, b"8") == ACK
    berth.restart()
    assert device.tell(238, 3, b"9") == ACK
    assert told(berth) == [("/3200/0/5501", 9)]


def test_OB_06_announced_tokens_belong_to_the_device_that_speaks(berth, device):
    assert device.tell(238, 2, b"8") == ACK
    other = VendorDevice(berth, "dev2")
    assert other.tell(238, 2, b"1") == ACK
    # dev2 comes from the address of dev1, which is silent
    other.peer = device.peer
    other.update()
    assert other.tell(238, 3, b"2") == ACK
    events = [(e["endpoint"], e["value"]) for e in berth.events_after(0, types="notification")]
    assert events == [("dev1", 8), ("dev2", 1), ("dev2", 2)]
    third = VendorDevice(berth, "dev3")
    third.peer = device.peer
    third.register_with(LINKS)
    assert third.tell(238, 2, b"3") == ACK
    assert berth.events_after(0, types="notification")[-1]["endpoint"] == "dev3"
    assert third.tell(1023, 2, b"x", OPAQUE) == ACK


def test_M1_announced_observations_are_bounded(berth):
    links = ",".join(f'</5000/0/{n}>;aobs="{n}"' for n in range(1, 1100)).encode()
    device = VendorDevice(berth, "many", b"</1/0>")
    peer = device.peer
    token = peer.next_token()
    for number, at in enumerate(range(0, len(links), 1024)):
        more = at + 1024 < len(links)
        options = [(CONTENT_FORMAT, uint(LINK_FORMAT)), (BLOCK1, block(number, more, 6))]
        answer = peer.request(POST, device.location, ["et=default"], links[at : at + 1024], options, token=token)
    assert answer.code_text == "2.04"
    page = berth.get("/v1/devices/many/observations", limit=1000)
    rest = berth.get("/v1/devices/many/observations", limit=1000, cursor=page["next"])
    assert (len(page["items"]), len(rest["items"])) == (1000, 24)
    assert device.tell(1024, 2, b"x", OPAQUE) == ACK
    assert device.tell(1025, 2, b"x", OPAQUE) == RST


def test_M1_announced_observation_that_ends_begins_again_with_its_next_notification(berth, device):
    gone = self_ended(device)
    assert device.send_and_see(gone) == ACK
    assert berth.await_event("observe_ended", "dev1")["coap_code"] == "4.04"
    assert device.tell(238, 3, b"9") == ACK


def self_ended(device) -> Coap:
    return device.notification(b"\x00\xee", None, b"", None, text="4.04")


def test_M1_announced_observations_do_not_count(start_berth):
    berth = start_berth("--max-observations", "0", "--max-observations-per-device", "0")
    device = VendorDevice(berth, "dev1")
    assert device.tell(238, 2, b"8") == ACK
    assert len(device.observations()) == 2
    assert device.http("PUT", "/3/0/0/observe").problem == "too-many-observations"


def test_M2_our_observations_are_begun_again_after_a_full_register(berth, device):
    one = device.observe("/3200/0/5501", payload=b"7")
    assert len(one.token) == 1
    device.update()
    device.peer.expect_silence()
    device.register_with(LINKS)
    request = device.expect_observe("/3200/0/5501")
    device.answer_observe(request, 3, TEXT, b"8")
    berth.await_event("observe_started", "dev1")
    assert [item["token"] for item in device.observations()] == [request.token.hex(), "00ee", "03ff"]


def test_M3_OB_17_format_changes_and_integers_of_eight_bytes(berth, device):
    assert device.tell(238, 2, b"8") == ACK
    assert device.tell(238, 3, bytes.fromhex("e8157d080000000000000009"), TLV) == ACK
    assert told(berth) == [("/3200/0/5501", 8), ("/3200/0/5501", 9)]


def test_M3_answer_to_a_cancel_with_an_observe_option_is_not_an_observation(berth, device):
    one = device.observe("/3200/0/5501", payload=b"7")
    asked = device.ask("DELETE", "/3200/0/5501/observe")
    request = device.expect(GET, "/3200/0/5501")
    device.answer_observe(request, 13, TEXT, b"7")
    asked.answer(204)
    assert one.listed() is None
    assert one.send(b"8") == RST


@pytest.mark.transports("udp")  # it sends bytes of a datagram
def test_notification_follows_an_empty_ack_of_five_bytes(berth, device):
    asked = device.ask("PUT", "/3200/0/5501/observe")
    request = device.expect_observe("/3200/0/5501")
    device.peer.send_raw(b"\x60\x00" + request.mid.to_bytes(2, "big") + b"\xc0")
    mid = device.peer.next_mid()
    device.peer.send(Coap(CON, 0x45, mid, request.token, [(OBSERVE, b"\x02"), (CONTENT_FORMAT, b"")], b"7"))
    assert device.peer.receive().mid == mid
    one = Observed(device, "/3200/0/5501", request, asked.answer(200))
    assert one.notify(b"8", 3)["value"] == 8
