"""What a server triggers through the LwM2M Server object: Update, Disable, Bootstrap-Request, and Mute Send."""

import pytest
from coapraw import GET, POST, PUT
from device_process import start_device  # noqa: F401
from played_device import SENML_CBOR, TEXT, TLV, accept_of, format_of, play

pytestmark = pytest.mark.transports

SENML_LINKS = '</>;rt="oma.lwm2m";ct="112",</1/0>,</3/0>'


@pytest.fixture
def device(play):
    return play("dev1", version="1.1")


@pytest.fixture
def device_1_2(play):
    return play("dev1", version="1.2", links=SENML_LINKS)


def executed(device, call, path, body=None, **query):
    """The Execute that a call makes at once; answered with success."""
    asked = device.ask("POST", call, body, **query)
    request = device.expect(POST, path)
    device.answer(request, "2.04")
    answer = asked.answer(204)
    assert answer.headers["CoAP-Code"] == "2.04"
    return request


# ---- which instance ----


@pytest.mark.parametrize(
    ("links", "query", "instance"),
    [
        ("</1/0>,</3/0>", {}, 0),
        ("</1/5>,</1/2>,</1/7>,</3/0>", {}, 2),
        ("</1>,</3/0>", {}, 0),
        ("</1>;ver=1.1,</1/3>,</3/0>", {}, 3),
        ("</1/5>,</1/2>,</3/0>", {"instance": 5}, 5),
        ("</1/5>,</3/0>", {"instance": 65534}, 65534),
        ("</3/0>", {"instance": 1}, 1),
        ("</3/0>", {"force": 1}, 0),
        ('</x>;rt="oma.lwm2m",</x/1/4>,</x/3/0>', {}, 4),
    ],
)
def test_instance_is_the_lowest_that_was_announced_or_the_one_that_is_named(play, links, query, instance):
    device = play("dev1", links=links)
    root = "/x" if "</x>" in links else ""
    request = executed(device, "/update", f"{root}/1/{instance}/8", **query)
    assert (request.options[-1][1], request.payload) == (b"8", b"")


@pytest.mark.parametrize("call", ["/update", "/disable", "/bootstrap"])
def test_device_that_announced_no_server_object_is_not_asked(play, call):
    answer = play("dev1", links="</3/0>").http("POST", call)
    assert (answer.status, answer.problem) == (422, "not-sent")
    assert "object 1" in answer.json["detail"]


@pytest.mark.parametrize("instance", ["x", "65535", "-1", ""])
def test_instance_that_is_none_is_400(device, instance):
    assert device.http("POST", "/update", instance=instance).problem == "bad-parameter"


@pytest.mark.parametrize(("method", "call", "body"), [("POST", "update", None), ("POST", "disable", None), ("POST", "bootstrap", None), ("PUT", "mute-send", {"muted": True})])
def test_device_that_is_not_registered_is_404(berth, method, call, body):
    assert berth.http(method, f"/v1/devices/nobody/{call}", body).problem == "not-registered"


@pytest.mark.parametrize(("method", "call", "body", "expected"), [("POST", "/update", None, (POST, "/1/0/8")), ("POST", "/disable", None, (POST, "/1/0/4")), ("POST", "/bootstrap", None, (POST, "/1/0/9")), ("PUT", "/mute-send", {"muted": True}, (PUT, "/1/0/23"))])
def test_DM_45_error_of_the_device_arrives_as_itself(device, method, call, body, expected):
    asked = device.ask(method, call, body)
    device.answer(device.expect(*expected), "4.05", None, b"no")
    problem = asked.answer(405).json
    assert (problem["coap_code"], problem["path"], problem["diagnostic"]) == ("4.05", expected[1], "no")


# ---- Registration Update Trigger ----


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_DM_20_update_trigger_without_arguments(play, version):
    request = executed(play("dev1", version=version), "/update", "/1/0/8")
    assert (format_of(request), request.payload) == (None, b"")


def update_over(device, binding, told, *answer, **query):
    """The call, after the device has told its bindings."""
    asked = device.ask("POST", "/update", {"binding": binding}, **query)
    request = device.expect(GET, "/1/0/7")
    device.answer(request, "2.05", *(answer or (TEXT, told)))
    return asked


def test_DM_22_binding_is_read_and_then_told_as_argument(device_1_2):
    asked = update_over(device_1_2, "T", b"UT")
    request = device_1_2.expect(POST, "/1/0/8")
    assert (format_of(request), request.payload) == (TEXT, b"0='T'")
    device_1_2.answer(request, "2.04")
    asked.answer(204)


@pytest.mark.parametrize(
    ("format", "payload"),
    [(TEXT, b"UT"), (TLV, b"\xc2\x07UT"), (SENML_CBOR, bytes.fromhex("81a200662f312f302f370362") + b"UT"), (None, bytes.fromhex("81a200662f312f302f370362") + b"UT")],
)
def test_DM_22_bindings_are_understood_in_every_form(device_1_2, format, payload):
    asked = update_over(device_1_2, "U", b"", format, payload)
    request = device_1_2.expect(POST, "/1/0/8")
    assert request.payload == b"0='U'"
    device_1_2.answer(request, "2.04")
    asked.answer(204)


def test_DM_22_refused_format_is_followed_by_the_next_and_learned(device_1_2):
    asked = device_1_2.ask("POST", "/update", {"binding": "U"})
    first = device_1_2.expect(GET, "/1/0/7")
    device_1_2.answer(first, "4.06")
    second = device_1_2.expect(GET, "/1/0/7")
    assert (accept_of(first), accept_of(second)) == (SENML_CBOR, TLV)
    device_1_2.answer(second, "2.05", TLV, b"\xc1\x07U")
    device_1_2.answer(device_1_2.expect(POST, "/1/0/8"), "2.04")
    asked.answer(204)
    asked = update_over(device_1_2, "U", b"")
    assert asked.answer(502).problem == "undecodable-answer"


def test_DM_22_binding_that_the_device_does_not_list_is_not_sent(device_1_2):
    answer = update_over(device_1_2, "S", b"UT").answer(422)
    assert answer.problem == "not-sent"
    assert '/1/0/7 of the device lists the bindings "UT", and S' in answer.json["detail"]
    device_1_2.peer.expect_silence()


@pytest.mark.parametrize(("format", "payload"), [(TEXT, b""), (TEXT, b"U" * 200), (TLV, b"\xc2\x07U"), (9999, b"U"), (SENML_CBOR, b"\x80")])
def test_DM_22_bindings_that_cannot_be_read_are_502_and_nothing_is_executed(device_1_2, format, payload):
    assert update_over(device_1_2, "U", b"", format, payload).answer(502).problem == "undecodable-answer"
    device_1_2.peer.expect_silence()


def test_DM_22_error_of_the_read_is_the_answer(device_1_2):
    asked = device_1_2.ask("POST", "/update", {"binding": "U"})
    device_1_2.answer(device_1_2.expect(GET, "/1/0/7"), "4.04")
    assert asked.answer(404).json["path"] == "/1/0/7"
    device_1_2.peer.expect_silence()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_DM_22_binding_came_with_1_2_and_is_sent_before_only_when_forced(play, version):
    device = play("dev1", version=version)
    answer = device.http("POST", "/update", {"binding": "U"})
    assert (answer.problem, "1.2" in answer.json["detail"]) == ("not-sent", True)
    assert executed(device, "/update", "/1/0/8", {"binding": "S"}, force=1).payload == b"0='S'"


@pytest.mark.parametrize("body", [{"binding": "Q"}, {"binding": "UT"}, {"binding": ""}, {"binding": "u"}, {"binding": 1}, {"binding": None}, {"x": 1}, [], "x"])
def test_DM_22_what_is_no_binding_is_400(device_1_2, body):
    assert device_1_2.http("POST", "/update", body).problem == "bad-body"


# ---- waiting for the Update ----


def test_wait_answers_when_the_update_has_come(device):
    asked = device.ask("POST", "/update", wait=1)
    device.answer(device.expect(POST, "/1/0/8"), "2.04")
    device.peer.ping()
    assert asked.thread.is_alive()
    device.registered.update(["lt=77"])
    assert asked.answer(200).json["lifetime_s"] == 77


def test_wait_knows_an_update_that_overtook_the_answer(device):
    asked = device.ask("POST", "/update", wait=1)
    request = device.expect(POST, "/1/0/8")
    device.registered.update(["lt=78"])
    device.answer(request, "2.04")
    assert asked.answer(200).json["lifetime_s"] == 78


def test_wait_takes_no_update_from_before_the_trigger_was_sent(device, berth):
    first = device.ask("GET", "/3/0/9")
    read = device.expect(GET, "/3/0/9")
    waiting = device.ask("POST", "/update", wait=1, timeout="20s")
    while berth.waiting() < 2:
        pass
    device.registered.update(["lt=79"])
    berth.leap("1s")  # the device is heard, and a second later its turn comes
    device.answer(read, "4.04")
    first.answer(404)
    device.answer(device.expect(POST, "/1/0/8"), "2.04")
    device.peer.ping()
    assert waiting.thread.is_alive()
    device.registered.update(["lt=80"])
    assert waiting.answer(200).json["lifetime_s"] == 80


def test_wait_ends_after_its_timeout(device, berth):
    asked = device.ask("POST", "/update", wait=1, timeout="5s")
    device.answer(device.expect(POST, "/1/0/8"), "2.04")
    device.peer.ping()
    berth.leap("6s")
    assert asked.answer(408).problem == "timeout"


def test_wait_for_an_update_that_is_refused_is_the_refusal(device):
    asked = device.ask("POST", "/update", wait=1)
    device.answer(device.expect(POST, "/1/0/8"), "5.00")
    assert asked.answer(502).problem == "device-error"


@pytest.mark.parametrize("query", [{"wait": 2}, {"wait": "x"}, {"timeout": "5s"}, {"wait": 1, "timeout": "1d"}])
def test_wait_that_makes_no_sense_is_400(device, query):
    assert device.http("POST", "/update", **query).problem == "bad-parameter"


def test_client_that_hangs_up_while_it_waits_leaves_nothing(device, berth):
    from http_wire import Wire

    with Wire(berth.http_port) as wire:
        wire.get("/v1/devices/dev1/update?wait=1", method="POST")
        device.answer(device.expect(POST, "/1/0/8"), "2.04")
        device.peer.ping()
    device.registered.update()
    while berth.waiting() > 0:
        pass


# ---- Disable ----


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_disable_executes(play, version):
    request = executed(play("dev1", version=version), "/disable", "/1/0/4")
    assert (format_of(request), request.payload) == (None, b"")


@pytest.mark.parametrize(
    ("version", "links", "format", "payload"),
    [("1.0", "</1/0>,</3/0>", TEXT, b"60"), ("1.1", "</1/0>,</3/0>", TLV, b"\xc1\x05\x3c"), ("1.2", SENML_LINKS, SENML_CBOR, bytes.fromhex("81a221662f312f302f3502183c"))],
)
@pytest.mark.parametrize("timeout", ["60s", "1m", 60, "60000ms"])
def test_disable_writes_its_timeout_first(play, version, links, format, payload, timeout):
    device = play("dev1", version=version, links=links)
    asked = device.ask("POST", "/disable", {"timeout": timeout})
    write = device.expect(PUT, "/1/0/5")
    assert format_of(write) == format
    assert write.payload == payload
    device.answer(write, "2.04")
    device.answer(device.expect(POST, "/1/0/4"), "2.04")
    asked.answer(204)


def test_disable_whose_timeout_is_refused_is_not_executed(device):
    asked = device.ask("POST", "/disable", {"timeout": "60s"})
    device.answer(device.expect(PUT, "/1/0/5"), "4.04")
    assert asked.answer(404).json["path"] == "/1/0/5"
    device.peer.expect_silence()


def test_disable_tries_the_next_format_for_its_timeout_and_learns_it(device_1_2):
    for expected in ([SENML_CBOR, TLV], [TLV]):
        asked = device_1_2.ask("POST", "/disable", {"timeout": "2147483647s"})
        for number, format in enumerate(expected):
            request = device_1_2.expect(PUT, "/1/0/5")
            assert format_of(request) == format
            device_1_2.answer(request, "2.04" if number == len(expected) - 1 else "4.15")
        device_1_2.answer(device_1_2.expect(POST, "/1/0/4"), "2.04")
        asked.answer(204)


@pytest.mark.parametrize("body", [{"timeout": "0s"}, {"timeout": "1500ms"}, {"timeout": -1}, {"timeout": "x"}, {"timeout": None}, {"timeout": "2147483648s"}, {"seconds": 1}, []])
def test_disable_with_a_timeout_that_is_none_is_400(device, body):
    assert device.http("POST", "/disable", body).problem == "bad-body"


# ---- Bootstrap-Request Trigger ----


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_bootstrap_executes(play, version):
    request = executed(play("dev1", version=version), "/bootstrap", "/1/0/9")
    assert (format_of(request), request.payload) == (None, b"")


def test_DM_40_bootstrap_trigger_came_with_1_1(play):
    device = play("dev1", version="1.0")
    assert device.http("POST", "/bootstrap").problem == "not-sent"
    executed(device, "/bootstrap", "/1/0/9", force=1)


# ---- Mute Send ----


@pytest.mark.parametrize(("muted", "payload"), [(False, b"\xc1\x17\x00"), (True, b"\xc1\x17\x01")])
def test_SND_13_mute_send_is_written(device, muted, payload):
    asked = device.ask("PUT", "/mute-send", {"muted": muted})
    request = device.expect(PUT, "/1/0/23")
    assert (format_of(request), request.payload) == (TLV, payload)
    device.answer(request, "2.04")
    asked.answer(204)


def test_SND_13_DM_40_mute_send_came_with_1_1(play):
    device = play("dev1", version="1.0")
    assert device.http("PUT", "/mute-send", {"muted": False}).problem == "not-sent"
    asked = device.ask("PUT", "/mute-send", {"muted": False}, force=1)
    request = device.expect(PUT, "/1/0/23")
    assert (format_of(request), request.payload) == (TEXT, b"0")
    device.answer(request, "2.04")
    asked.answer(204)


@pytest.mark.parametrize("body", [None, {}, {"muted": 1}, {"muted": "true"}, {"muted": None}, {"muted": True, "x": 1}, []])
def test_SND_13_what_is_neither_true_nor_false_is_400(device, body):
    assert device.http("PUT", "/mute-send", body).problem == "bad-body"


# ---- against the reference device ----


def test_DM_20_SND_13_reference_device_updates_and_sends_when_it_may(berth, start_device):
    device = start_device("--server", berth.listen[0], "--endpoint", "ref")
    device.line("Device ID:", partly=True)
    at = "/v1/devices/ref"
    after = berth.last_event()
    assert berth.http("POST", f"{at}/update", wait=1).json["endpoint"] == "ref"
    assert berth.events_after(after, types="updated")
    for muted in (True, False):
        assert berth.http("PUT", f"{at}/mute-send", {"muted": muted}).status == 204
        assert berth.get(f"{at}/1/0/23")["value"] is muted
