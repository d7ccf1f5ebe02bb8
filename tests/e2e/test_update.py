"""Update (LwM2M Core 1.2 section 6.2.2)."""

from datetime import datetime

import pytest

from coapraw import CONTENT_FORMAT, DELETE, FETCH, GET, NON, POST, PUT, uint
from vectors import vector, with_mid


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def endpoint(request):
    """A name that no other test uses."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]


@pytest.fixture
def device(berth, endpoint):
    return berth.register(endpoint, links='</>;rt="oma.lwm2m";ct=110,</1/0>,</3/0>')


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def paths(shown):
    return [item["path"] for item in shown["objects"]]


def without_times(shown):
    return {name: value for name, value in shown.items() if name not in ("updated_at", "expires_at")}


def test_UPD_01_update_refreshes_the_lifetime(berth, device, endpoint):
    before = berth.device(endpoint)
    berth.leap("100s")
    mark = berth.last_event()
    answer = device.update()
    after = berth.device(endpoint)
    assert answer.code_text == "2.04"
    assert seconds(after["updated_at"]) >= seconds(before["updated_at"]) + 100
    assert seconds(after["expires_at"]) == seconds(after["updated_at"]) + 300
    assert [e["type"] for e in berth.events_after(mark)] == ["updated"]
    assert without_times(after) == without_times(before)


def test_UPD_01_answer_to_an_update_has_no_options_and_no_payload(device):
    answer = device.update()
    assert (answer.options, answer.payload) == ([], b"")


def test_UPD_01_update_has_the_bytes_of_the_vector(device):
    location = device.location.removeprefix("/rd/").encode()
    device.peer.send_raw(with_mid(vector("M-06"), 0x0601)[:-4] + b"\x04" + location)
    assert device.peer.receive_raw() == with_mid(vector("M-08"), 0x0601)


def test_UPD_01_update_costs_13_and_5_bytes(berth):
    """The register line of the article behind this project, with a token of one byte."""
    device = berth.register("urn:imei:1234567890", lifetime=120)
    update = device.peer.message(POST, device.location, token=b"\x01")
    assert len(update.encode()) == 13
    device.peer.send(update)
    assert device.peer.receive_raw() == b"\x61\x44" + update.mid.to_bytes(2, "big") + b"\x01"


def test_UPD_02_update_changes_the_lifetime(berth, device, endpoint):
    assert device.update(["lt=20"]).code_text == "2.04"
    shown = berth.device(endpoint)
    assert shown["lifetime_s"] == 20
    assert seconds(shown["expires_at"]) == seconds(shown["updated_at"]) + 20


def test_UPD_02_update_to_lifetime_0_never_expires(berth, device, endpoint):
    device.update(["lt=0"])
    assert (berth.device(endpoint)["expires_at"], berth.device(endpoint)["lifetime"]) == (None, "infinite")


def test_UPD_02_update_from_lifetime_0_expires_again(berth, endpoint):
    berth.register(endpoint, lifetime=0).update(["lt=60"])
    shown = berth.device(endpoint)
    assert seconds(shown["expires_at"]) == seconds(shown["updated_at"]) + 60


@pytest.mark.parametrize(
    ("query", "changed"),
    [
        (["b=UT"], {"binding": "UT"}),
        (["Q"], {"queue_mode": True, "awake": None}),
        (["sms=48123456789"], {"sms": "48123456789"}),
        (["b=S", "sms=1", "Q"], {"binding": "S", "sms": "1", "queue_mode": True, "awake": None}),
    ],
)
def test_UPD_03_update_changes_what_it_names(berth, device, endpoint, query, changed):
    before = berth.device(endpoint)
    assert device.update(query).code_text == "2.04"
    after = berth.device(endpoint)
    for name, value in changed.items():
        assert value is None or after.pop(name) == value
        before.pop(name), after.pop(name, None)
    assert without_times(after) == without_times(before)


def test_UPD_03_update_leaves_what_it_does_not_name(berth, endpoint):
    device = berth.register(endpoint, binding="UT", extra=["Q", "sms=1", "et=x"])
    before = berth.device(endpoint)
    device.update()
    assert without_times(berth.device(endpoint)) == without_times(before)
    assert (before["binding"], before["queue_mode"], before["sms"]) == ("UT", True, "1")


def test_UPD_04_object_list_replaces_the_whole_list(berth, device, endpoint):
    assert device.update(["lt=600"], links="</3/0>,</5/0>").code_text == "2.04"
    shown = berth.device(endpoint)
    assert paths(shown) == ["/3/0", "/5/0"] and shown["lifetime_s"] == 600


def test_UPD_04_vector_with_a_new_list(berth, device, endpoint):
    location = device.location.removeprefix("/rd/").encode()
    message = with_mid(vector("M-07"), 0x0407).replace(b"\x034Kx", b"\x04" + location)
    device.peer.send_raw(message)
    assert device.peer.receive().code_text == "2.04"
    assert paths(berth.device(endpoint)) == ["/3/0", "/5/0"]


def test_UPD_04_root_link_is_kept_when_there_is_no_new_one(berth, device, endpoint):
    assert berth.device(endpoint)["content_formats"] == [110]
    device.update(links="</3/0>")
    assert berth.device(endpoint)["content_formats"] == [110]


def test_UPD_04_root_link_is_replaced_by_a_new_one(berth, device, endpoint):
    device.update(links='</>;rt="oma.lwm2m";ct="60 112",</3/0>')
    assert berth.device(endpoint)["content_formats"] == [60, 112]


def test_UPD_04_alternate_path_is_kept_too(berth, endpoint):
    device = berth.register(endpoint, links='</x>;rt="oma.lwm2m",</x/1/0>,</x/3/0>')
    device.update(links="</x/1/0>,</x/3/0>,</x/5/0>")
    shown = berth.device(endpoint)
    assert (shown["root_path"], paths(shown)) == ("/x", ["/1/0", "/3/0", "/5/0"])


def test_UPD_06_object_list_without_content_format_is_link_format(berth, device, endpoint):
    mark = berth.last_event()
    assert device.peer.request(POST, device.location, payload=b"</1/0>,</3/0>,</5/0>").code_text == "2.04"
    assert paths(berth.device(endpoint)) == ["/1/0", "/3/0", "/5/0"]
    assert [e["type"] for e in berth.events_after(mark)] == ["updated"]


def gone_never(berth, endpoint):
    return "/rd/none"


def gone_deregistered(berth, endpoint):
    device = berth.register(endpoint)
    device.deregister()
    return device.location


def gone_expired(berth, endpoint):
    device = berth.register(endpoint, lifetime=10)
    berth.leap("200s")
    return device.location


def gone_replaced(berth, endpoint):
    location = berth.register(endpoint).location
    berth.register(endpoint)
    return location


def gone_forgotten(berth, endpoint):
    location = berth.register(endpoint).location
    assert berth.http("DELETE", f"/v1/devices/{endpoint}").status == 204
    return location


@pytest.mark.parametrize("how", [gone_never, gone_deregistered, gone_expired, gone_replaced, gone_forgotten])
def test_UPD_07_update_of_a_registration_that_is_not_there_is_4_04(berth, endpoint, how):
    assert berth.peer().request(POST, how(berth, endpoint)).code_text == "4.04"


@pytest.mark.parametrize("path", ["/rd/" + "a" * 255, "/rd/a/b/c/d/e/f/g", "/rd/%00", "/rd/4 K", "/rd/0"])
def test_UPD_07_update_of_an_impossible_location_is_4_04(berth, path):
    assert berth.peer().request(POST, path).code_text == "4.04"


@pytest.mark.parametrize(
    "query", [["lt="], ["lt=-1"], ["lt=abc"], ["lt=4294967296"], ["lt=60", "lt=60"], ["b=X"], ["lt=60", "b=UX"]]
)
def test_UPD_08_bad_parameter_is_4_00_and_changes_nothing(berth, device, endpoint, query):
    before = berth.device(endpoint)
    mark = berth.last_event()
    assert device.update(query, links="</5/0>").code_text == "4.00"
    assert berth.device(endpoint) == before
    assert [(e["type"], e["endpoint"]) for e in berth.events_after(mark)] == [("rejected", endpoint)]


@pytest.mark.parametrize("links", ["garbage", "</3/0></5/0>", "</70000>", '</3/0>;x="'])
def test_UPD_08_bad_object_list_is_4_00_and_changes_nothing(berth, device, endpoint, links):
    before = berth.device(endpoint)
    assert device.update(["lt=60", "b=T", "Q"], links=links).code_text == "4.00"
    assert berth.device(endpoint) == before


def test_UPD_08_object_list_in_another_format_is_4_00_and_changes_nothing(berth, device, endpoint):
    before = berth.device(endpoint)
    answer = device.peer.request(POST, device.location, ["lt=60"], b"</3/0>", [(CONTENT_FORMAT, uint(60))])
    assert answer.code_text == "4.00"
    assert berth.device(endpoint) == before


@pytest.mark.parametrize("item", ["ep=other", "ep=", "lwm2m=1.2", "lwm2m=9", "et=default", "foo", ""])
def test_UPD_09_items_without_meaning_in_an_update_are_ignored(berth, device, endpoint, item):
    before = berth.device(endpoint)
    assert device.update([item]).code_text == "2.04"
    assert without_times(berth.device(endpoint)) == without_times(before)


def test_UPD_10_update_from_another_address_moves_the_device(berth, device, endpoint):
    mark = berth.last_event()
    other = berth.peer()
    assert other.request(POST, device.location).code_text == "2.04"
    assert berth.device(endpoint)["address"] == other.address
    moved, updated = berth.events_after(mark)
    assert (moved["type"], moved["address"], moved["previous"]) == (
        "address_changed",
        other.address,
        device.peer.address,
    )
    assert (updated["type"], updated["address"]) == ("updated", other.address)


def test_UPD_13_update_through_another_listener_moves_the_device(start_berth):
    server = start_berth(listen=("coap://127.0.0.1:0", "coap://[::1]:0"))
    device = server.register("moving")
    port = int(server.listeners[1].rpartition(":")[2])
    other = server.peer(host="::1", port=port)
    assert other.request(POST, device.location).code_text == "2.04"
    assert server.device("moving")["address"] == other.address
    assert server.await_event("address_changed", "moving", timeout="0s")["previous"] == device.peer.address


@pytest.mark.parametrize("method", [GET, FETCH, 6, 7])
def test_UPD_14_other_methods_on_a_location_are_4_05(device, method):
    assert device.peer.request(method, device.location).code_text == "4.05"


def test_UPD_14_put_is_taken_for_an_update_as_articles_have_it(berth, device, endpoint):
    mark = berth.last_event()
    assert device.peer.request(PUT, device.location, ["lt=77"]).code_text == "2.04"
    assert berth.device(endpoint)["lifetime_s"] == 77
    assert [e["type"] for e in berth.events_after(mark)] == ["oddity", "updated"]


def test_UPD_14_put_on_a_location_that_is_not_there_is_4_04(berth):
    assert berth.peer().request(PUT, "/rd/none").code_text == "4.04"


def test_UPD_18_a_thousand_updates_in_a_row(berth, device, endpoint):
    mark = berth.last_event()
    for _ in range(1000):
        assert device.update().code_text == "2.04"
    assert len(berth.events_after(mark, endpoint=endpoint, types="updated")) == 1000


def test_MSG_46_update_as_non_is_answered_with_a_non(device):
    answer = device.update(["lt=99"], type=NON)
    assert (answer.type, answer.code_text) == (NON, "2.04")


def test_MSG_22_repeated_update_is_one_update(berth, device, endpoint):
    mark = berth.last_event()
    message = device.peer.message(POST, device.location)
    for _ in range(3):
        device.peer.send(message)
        assert device.peer.response(message).code_text == "2.04"
    assert len(berth.events_after(mark, types="updated")) == 1


def test_UPD_07_after_4_04_a_device_can_register_again(berth, device, endpoint):
    assert device.peer.request(DELETE, device.location).code_text == "2.02"
    assert device.update().code_text == "4.04"
    again = berth.register(endpoint, peer=device.peer)
    assert again.update().code_text == "2.04"
