"""POST …/composite/observe: Observe-Composite, its notifications and its end."""

import pytest
from coapraw import ACK, FETCH, OBSERVE, RST, Coap
from observed_device import OBSERVE_NO_MORE, Observed, ObservedDevice, device, start  # noqa: F401
from played_device import ETCH_CBOR, LWM2M_CBOR, SENML_CBOR, SENML_JSON, accept_of, format_of, query_of
from vectors import vector

pytestmark = pytest.mark.transports("pelion")

FIRST = b'[{"n":"/3/0/0","vs":"ACME"},{"n":"/1/0/1","v":60}]'


@pytest.fixture
def berth(shared_berth):
    return shared_berth


def begin(device, paths=("/3/0/0", "/1/0/1"), payload=FIRST, format=SENML_JSON, body=None, **query):
    asked = device.ask("POST", "/composite/observe", {"paths": list(paths), **(body or {})}, **query)
    request = device.expect_observe("/", FETCH)
    device.answer_observe(request, 12, format, payload)
    return Observed(device, "/", request, asked.answer(200))


def told(one) -> dict:
    """The values of the last notification."""
    events = one.events("notification")
    return {e["path"]: e["value"] for e in events if e["sequence"] == events[-1]["sequence"]}


def test_OB_01_observe_composite_is_a_fetch_with_an_empty_observe_option(start):
    device = start(version="1.1")
    asked = device.ask("POST", "/composite/observe", {"paths": ["/3/0/0", "/1/0/1"]}, format="senml-cbor")
    request = device.expect_observe("/", FETCH)
    expected = Coap.decode(vector("M-38"))
    assert (request.options, request.payload) == (expected.options, expected.payload)
    device.answer(request, "4.05")
    asked.answer(405)
    assert device.observations() == []


def test_NTF_03_composite_notification_tells_every_path(device):
    one = begin(device)
    assert one.response.json["resources"]["/1/0/1"]["value"] == 60
    assert told(one) == {"/3/0/0": "ACME", "/1/0/1": 60}
    assert one.send(b'[{"n":"/3/0/0","vs":"Acme"},{"n":"/1/0/1","v":61}]', format=SENML_JSON) == ACK
    assert told(one) == {"/3/0/0": "Acme", "/1/0/1": 61}
    started = one.events("observe_started")[0]
    assert (started["path"], started["detail"]) == ("/3/0/0", "/3/0/0, /1/0/1")
    item = one.listed()
    assert (item["composite"], item["paths"]) == (True, ["/3/0/0", "/1/0/1"])
    assert item["last"]["resources"]["/1/0/1"]["value"] == 61


def test_OB_14_active_cancel_of_a_composite_repeats_its_body(start):
    device = start(version="1.1")
    one = begin(device, format=SENML_CBOR, payload=b"\x80")
    asked = device.ask("DELETE", f"/observations/{one.id}")
    request = device.expect(FETCH, "/")
    expected = Coap.decode(vector("M-40"))
    assert (request.options, request.payload) == ([*expected.options[:2], *one.request.options[2:]], expected.payload)
    assert (request.token, request.number(OBSERVE)) == (one.token, OBSERVE_NO_MORE)
    device.answer(request, "2.05", SENML_CBOR, b"\x80")
    asked.answer(204)
    assert one.send(b"\x80", format=SENML_CBOR) == RST
    assert one.events("observe_ended")[0]["detail"] == "/3/0/0, /1/0/1: cancelled"


def test_DM_35_NTF_02_attributes_of_a_composite_are_in_its_query(start):
    device = start(version="1.2")
    one = begin(device, ["/3/0/9"], b"[]", body={"attributes": {"pmin": 5, "pmax": 60}}, format=SENML_JSON)
    assert query_of(one.request) == ["pmin=5", "pmax=60"]
    assert one.listed()["query"] == "pmin=5&pmax=60"
    expected = Coap.decode(vector("M-39"))
    assert (format_of(one.request), one.request.payload) == (SENML_CBOR, expected.payload)


@pytest.mark.parametrize(("version", "attributes", "problem"), [("1.1", {"pmin": 5}, "not-sent"), ("1.2", {"gt": 5}, "bad-body"), ("1.2", {"pmin": "x"}, "bad-body"), ("1.2", [], "bad-body"), ("1.2", {}, "bad-body")])
def test_DM_35_attributes_that_do_not_go_with_a_composite_are_refused(start, version, attributes, problem):
    device = start(version=version)
    assert device.http("POST", "/composite/observe", {"paths": ["/3/0/9"], "attributes": attributes}).problem == problem


@pytest.mark.parametrize("body", [{"paths": []}, {"paths": ["x"]}, {"paths": [""]}, {"paths": "/3"}, {}, {"paths": ["/3/0/9"] * 1001}, {"paths": ["/3"], "x": 1}])
def test_paths_that_are_none_are_refused(device, body):
    assert device.http("POST", "/composite/observe", body).problem == "bad-body"


def test_DM_40_composite_is_not_sent_to_a_1_0_device(start):
    assert start(version="1.0").http("POST", "/composite/observe", {"paths": ["/3/0/9"]}).problem == "not-sent"
    assert start(version="1.1").http("POST", "/composite/observe", {"paths": ["/0/0"]}).problem == "not-sent"


@pytest.mark.transports("udp")  # a restart ends connections
def test_composite_of_a_thousand_paths_comes_back_after_a_restart(start_berth):
    berth = start_berth()
    device = ObservedDevice(berth, "dev1")
    paths = [f"/33333/0/{n}" for n in range(1000)]
    asked = device.ask("POST", "/composite/observe", {"paths": paths})
    body = b""
    while True:  # Block1
        request = device.expect(FETCH, "/")
        assert request.one(OBSERVE) == b""
        body += request.payload
        block1 = request.one(27)
        if not block1[-1] & 8:
            break
        device.answer(request, "2.31", None, b"", (27, block1))
    device.answer_observe(request, 12, SENML_JSON, b'[{"n":"/33333/0/999","v":1}]', (27, block1))
    one = Observed(device, "/", request, asked.answer(200))
    berth.restart()
    assert one.listed()["paths"] == paths
    assert one.notify(b'[{"n":"/33333/0/7","v":2}]', format=SENML_JSON)["path"] == "/33333/0/7"


def test_composite_is_begun_again_with_its_body(device):
    one = begin(device)
    device.register_again()
    request = device.expect_observe("/", FETCH)
    assert (request.options, request.payload) == (one.request.options, one.request.payload)
    device.answer_observe(request, 3, SENML_JSON, b"[]")
    one.token = request.token
    assert one.notify(FIRST, 4, format=SENML_JSON)["observation"] == one.id


# ---- Leshan's suite ----


@pytest.mark.parametrize(
    ("paths", "told_paths"),
    [
        (["/3/0/0", "/3/0/9"], ["/3/0/0", "/3/0/9"]),
        (["/3/0/7/0", "/3/0/9"], ["/3/0/7/0", "/3/0/9"]),
        (["/3/0", "/1/0/1"], ["/3/0/9", "/1/0/1"]),
        (["/3"], ["/3/0/9", "/3/0/10"]),
        (["/"], ["/1/0/1", "/3/0/9"]),
    ],
    ids=["resources", "resource instance", "instance and resource", "object", "root"],
)
@pytest.mark.parametrize("mode", ["active", "reset"])
def test_leshan_ObserveComposite_values_and_cancel(device, paths, told_paths, mode):
    payload = "[" + ",".join(f'{{"n":"{path}","v":1}}' for path in told_paths) + "]"
    one = begin(device, paths, b"[]")
    assert one.send(payload.encode(), format=SENML_JSON) == ACK
    assert set(told(one)) == set(told_paths)
    asked = device.ask("DELETE", f"/observations/{one.id}", mode=mode)
    if mode == "active":
        device.answer(device.expect(FETCH, "/"), "2.05", SENML_JSON, b"[]")
    asked.answer(204)
    assert one.send(payload.encode(), format=SENML_JSON) == RST


def test_leshan_ObserveComposite_final_error_ends_it(device):
    one = begin(device)
    assert one.send(b"", None, format=None, text="4.04") == ACK
    assert one.events("observe_ended")[0]["coap_code"] == "4.04"


TIMED = b'[{"bn":"/3303/0/","bt":1700000000,"n":"5700","v":1.5},{"n":"5701","vs":"C"},{"n":"5700","t":10,"v":2.5}]'


@pytest.mark.parametrize("when", ["first answer", "notification"])
def test_leshan_ObserveCompositeTimeStamp_values_with_times(device, when):
    paths = ["/3303/0/5700", "/3303/0/5701"]
    one = begin(device, paths, TIMED if when == "first answer" else b"[]")
    if when == "notification":
        assert one.send(TIMED, format=SENML_JSON) == ACK
    events = [(e["path"], e["value"], e["time"][17:19]) for e in one.events("notification") if e["value"] is not None]
    assert sorted(events) == [("/3303/0/5700", 1.5, "20"), ("/3303/0/5700", 2.5, "30"), ("/3303/0/5701", "C", "20")]


def test_leshan_ObserveCompositeTimeStamp_values_without_times(device):
    one = begin(device, ["/3303/0/5700"], b"[]")
    assert "time" not in one.notify(b'[{"n":"/3303/0/5700","v":1.5}]', format=SENML_JSON)


def test_leshan_ObserveCompositeTimeStamp_path_that_was_not_asked_for_rejects_the_notification(device):
    one = begin(device, ["/3/0/0", "/3/0/9"], b"[]")
    before = len(one.events("notification"))
    after = device.berth.last_event()
    assert one.send(b'[{"n":"/3/0/9","v":1},{"n":"/1/0/1","v":60}]', format=SENML_JSON) == ACK
    event = device.berth.await_event("rejected", device.endpoint, after)
    assert event["detail"] == "a notification of /3/0/0 and 1 more: there is a value of a path that is not observed"
    assert event["observation"] == one.id and len(one.events("notification")) == before
    assert one.is_active()


@pytest.mark.parametrize(("format", "accept", "payload"), [("senml-json", SENML_JSON, b"[]"), ("senml-cbor", SENML_CBOR, b"\x80"), ("lwm2m-cbor", LWM2M_CBOR, b"\xa0"), (str(ETCH_CBOR), SENML_CBOR, b"\x80")])
def test_leshan_ObserveComposite_formats(start, format, accept, payload):
    device = start(version="1.2")
    asked = device.ask("POST", "/composite/observe", {"paths": ["/3/0/9"]}, format=format)
    request = device.expect_observe("/", FETCH)
    assert accept_of(request) == accept
    device.answer_observe(request, 12, accept, payload)
    assert asked.answer(200).json["resources"] == {}
