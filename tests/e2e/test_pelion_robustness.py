"""What client code of Device Management does wrong, or differently: it gets the API's own errors, and never a 500."""

import itertools
import json
import re
import threading

import pytest
from berth_process import Berth
from conftest import close_all
from device_process import DeviceProcess
from http_wire import Wire
from pelion_client import PelionClient

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")
# JSON of other types than any call wants, JSON that is none, and no JSON at all.
BODIES = (
    None,
    "",
    "null",
    "7",
    '"x"',
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[1]",
    "{",
    '{"a":1,"a":2}',
    "[" * 100,
    '{"method":7,"uri":7,"payload-b64":7,"content-type":7,"accept":[]}',
    '{"method":"GET","uri":[]}',
    '{"method":"PUT","uri":"/3/0/0","payload-b64":"*"}',
    '{"method":"PUT","uri":"/3/0/0","content-type":{}}',
    '{"method":"FETCH","uri":"/3/0/0"}',
    '{"method":"GET","uri":"/3/0/99999"}',
    '{"method":"GET","uri":"?"}',
    '{"method":"GET","uri":"%00/\\u0000"}',
    '{"url":{},"headers":7}',
    '{"url":"http://127.0.0.1:1/","headers":[1]}',
    '{"serialization":[]}',
    '{"serialization":{"type":7,"cfg":7,"max_chunk_size":{}}}',
    '[{"endpoint-name":7}]',
    '[{"resource-path":"/3"}]',
    '[{"resource-path":[7]}]',
    '[{"endpoint-type":null}]',
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
)
QUERIES = (
    "",
    "?",
    "?async-id=x",
    "?async-id=x&retry=-1&expiry-seconds=x",
    "?async-id=%00",
    "?async-id=" + "a" * 41,
    "?async-id=x&retry=99999999999999999999&expiry-seconds=99999999999999999999",
    "?cacheOnly=maybe&noResp=7",
    "?type=%ff",
    "?%zz",
    "?a=1&a=2&&&==",
)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("robust")
    berth = Berth(directory / "data").start()
    device = DeviceProcess(
        directory / "device.log", "--server", berth.listeners[0], "--endpoint", "dev1", "--lwm2m", "1.1"
    )
    device.line("Device ID: ", partly=True)
    yield berth
    device.close()
    close_all([berth])


@pytest.fixture
def pelion(served, request):
    client = PelionClient(served.http_port, f"ak_{request.node.name}")
    yield client
    client.call("DELETE", "/v2/subscriptions")  # among the bodies are lists that are good


@pytest.fixture
def device(pelion) -> str:
    [entry] = pelion.call("GET", "/v2/endpoints")[1]
    return entry["name"]


def templates(pelion: PelionClient) -> list[str]:
    """The paths below /v2 that the OpenAPI document has."""
    status, document = pelion.call("GET", "/v1/openapi.json")
    assert status == 200
    return [path for path in document["paths"] if path.startswith("/v2/")]


def filled(template: str, id: str, number: str) -> str:
    return re.sub(r"\{[a-z]+\}", number, template.replace("{id}", id))


def assert_error(status: int, answer: object, what: object) -> None:
    """No answer is a failure of the server's; an error is the API's own."""
    assert status < 500, (what, status, answer)
    if isinstance(answer, dict) and status >= 400:
        assert answer["object"] == "error" and answer["code"] == status, (what, answer)
        assert re.fullmatch("[0-9a-f]{32}", answer["request_id"]) and answer["fields"] == [], (what, answer)
    elif status >= 400:
        assert re.fullmatch("[A-Z_]*", answer), (what, answer)


def ask(pelion: PelionClient, method: str, path: str, body: str | None = None) -> None:
    assert_error(*pelion.call(method, path, body), (method, path, body))


def test_no_method_and_no_id_is_a_failure(pelion, device):
    ids = (device, "0" * 32, "x", "%00", "%ff", "a" * 300)
    for template, id, number, method in itertools.product(templates(pelion), ids, ("3", "x", "65536"), METHODS):
        if not (method == "GET" and template.endswith("/pull")):
            ask(pelion, method, filled(template, id, number))


def test_no_body_is_a_failure(pelion, device):
    for template, method, body in itertools.product(templates(pelion), ("PUT", "POST"), BODIES):
        if "{object}" not in template:
            ask(pelion, method, filled(template, device, "3") + "?async-id=x", body)


def test_no_query_is_a_failure(pelion, device):
    for template, query, method in itertools.product(templates(pelion), QUERIES, METHODS):
        if not (method == "GET" and template.endswith("/pull")):
            ask(pelion, method, filled(template, device, "3") + query, '{"method":"GET","uri":"/3/0/0"}')


def test_wrong_methods_are_405_with_the_right_ones(pelion):
    status, error = pelion.call("PATCH", "/v2/notification/websocket")
    assert (status, error["type"]) == (405, "method_not_supported")
    assert all(method in error["message"] for method in ("GET", "PUT", "DELETE"))


def test_a_body_may_be_empty_though_it_is_said_to_be_json(pelion, device):
    for method, path, expected in (
        ("PUT", f"/v2/subscriptions/{device}/3/0/0", 202),
        ("GET", f"/v2/subscriptions/{device}/3/0/0", 200),
        ("DELETE", f"/v2/subscriptions/{device}/3/0/0", 204),
        ("PUT", "/v2/notification/websocket", 201),
        ("DELETE", "/v2/notification/websocket", 204),
        ("DELETE", "/v2/subscriptions", 204),
        ("POST", f"/v2/endpoints/{device}/3442/0/0", 202),
    ):
        for body in (None, ""):
            status, answer = pelion.call(method, path, body)
            assert status in (expected, 200, 404), (method, path, answer)


def test_json_is_read_whatever_it_is_said_to_be(pelion, device):
    body = json.dumps({"serialization": {"type": "v2", "cfg": {"include_uid": "true"}}})
    for type in ("application/x-www-form-urlencoded", "text/plain", None):
        status, channel = pelion.call("PUT", "/v2/notification/websocket", body, {"Content-Type": type})
        assert status in (200, 201) and channel["serialization"]["cfg"] == {"include_uid": "true"}
        request = json.dumps({"method": "GET", "uri": "/3/0/0"})
        path = f"/v2/device-requests/{device}?async-id=a"
        assert pelion.call("POST", path, request, {"Content-Type": type}) == (202, "")


def test_an_answer_has_its_length_and_a_number(pelion, device):
    seen = set()
    for method, path in (
        ("GET", "/v2/endpoints"),
        ("GET", f"/v2/endpoints/{device}"),
        ("GET", "/v2/notification/callback"),
        ("DELETE", "/v2/notification/pull"),
        ("GET", f"/v2/subscriptions/{device}"),
        ("GET", "/v2/nothing"),
        ("PATCH", "/v2/endpoints"),
        ("POST", f"/v2/device-requests/{device}"),
    ):
        pelion.call(method, path)
        assert re.fullmatch("[0-9a-f]{32}", pelion.headers["X-Request-ID"]), path
        assert pelion.headers["Content-Length"] is not None, path
        seen.add(pelion.headers["X-Request-ID"])
    assert len(seen) == 8


def dates(value: object, name: str = ""):
    if isinstance(value, dict):
        for name, member in value.items():
            yield from dates(member, name)
    elif isinstance(value, list):
        for member in value:
            yield from dates(member, name)
    elif re.search("(_at|_timestamp|_date|date_time|^etag)$", name):
        yield name, value


def test_dates_are_never_empty(pelion, device):
    pelion.call("POST", "/v3/api-keys", {"name": "k"})
    found = []
    for path in ("/v3/devices", f"/v3/devices/{device}", "/v3/accounts/me", "/v3/api-keys", "/v3/device-events"):
        status, document = pelion.call("GET", path)
        assert status == 200, path
        found += [(path, *date) for date in dates(document)]
    assert len(found) > 8
    for path, name, value in found:
        is_word = name == "etag" and path == "/v3/api-keys"  # no client parses that one
        assert value is None or DATE.fullmatch(value) or (is_word and value), (path, name, value)


def test_a_poll_of_a_client_that_has_gone_keeps_nothing_from_the_next(served, pelion):
    for _ in range(3):
        with Wire(pelion.port) as wire:
            wire.get("/v2/notification/pull", f"Authorization: Bearer {pelion.key}")
            while pelion.call("GET", "/v2/notification/channel")[0] != 200:
                pass
    poll = threading.Thread(target=pelion.pull, daemon=True)
    poll.start()
    served.register("anew").deregister()
    while not pelion.messages:
        poll.join(20)
        assert not poll.is_alive()
    assert pelion.message("registrations")["original-ep"] == "anew"
    assert isinstance(pelion.message("de-registrations"), str)


def test_a_channel_that_is_full_loses_its_oldest_and_says_so(served, pelion):
    """8 MiB of messages wait at most; each Update is one of 16 KB."""
    channel = "/v2/notification/websocket"
    assert pelion.call("PUT", channel)[0] == 201
    after = served.last_event()
    links = "</1/0>,</3/0>" + "".join(f',</{number}/0/1>;rt="{"x" * 500}"' for number in range(10, 42))
    device = served.register("long", links=links, lifetime=0)
    before, size = 0, 1
    while size > before:  # until as many go as come
        before = size
        for _ in range(100):
            assert device.update().code_text == "2.04"
        size = pelion.call("GET", channel)[1]["queue_size"]
    event = served.await_event("oddity", after=after)
    assert "channel was full" in event["detail"]
    assert 300 < size < 600
    assert pelion.call("DELETE", channel)[0] == 204
    device.deregister()
