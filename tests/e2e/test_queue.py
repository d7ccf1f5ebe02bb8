"""Queue mode and `Prefer: respond-async`: when a device listens, and what waits for it until then."""

import http.client
import json
import random
import threading
import time

import pytest
from coapraw import ACK, BLOCK2, CONTENT_FORMAT, DELETE, FETCH, GET, IPATCH, POST, PUT, Coap, block, uint
from device_process import start_device  # noqa: F401
from observed_device import ObservedDevice
from played_device import LINK, SENML_CBOR, TEXT, TLV, PlayedDevice, accept_of, format_of, play, query_of  # noqa: F401
from vectors import vector

pytestmark = pytest.mark.transports

ASYNC = {"Prefer": "respond-async"}
ANSWERS_SOON = ("--ack-timeout", "250ms", "--ack-random-factor", "1", "--max-retransmit", "1")


@pytest.fixture
def device(play):
    """In queue mode, and awake since it has just registered."""
    return play("dev1", lifetime=86400, extra=["Q"])


@pytest.fixture
def sleeper(device):
    return fall_asleep(device)


def fall_asleep(device: PlayedDevice) -> PlayedDevice:
    device.berth.leap("94s")
    assert not is_awake(device)
    return device


def is_awake(device: PlayedDevice) -> bool:
    return device.berth.device(device.endpoint)["awake"]


def queue(device: PlayedDevice, method: str, path: str, body: object = None, prefer: str = "respond-async", **headers: str) -> int:
    """The id of the queued request."""
    answer = device.ask(method, path, body, headers={"Prefer": prefer, **headers}).answer(202)
    number = answer.json["id"]
    assert answer.json == {"id": number, "state": "queued"}
    assert answer.headers["Location"] == f"/v1/requests/{number}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    return number


def request(berth, number: int, timeout: str | None = None) -> dict:
    query = {} if timeout is None else {"timeout": timeout}
    return berth.get(f"/v1/requests/{number}", **query)


def over(berth, number: int) -> dict:
    """The request when it is over."""
    return request(berth, number, "10s")


def response(berth, number: int) -> dict:
    return over(berth, number)["response"]


def waiting(device: PlayedDevice) -> list[int]:
    return [item["id"] for item in device.berth.get(f"/v1/devices/{device.endpoint}/queue")["items"]]


# ---- awake and asleep ----


@pytest.mark.parametrize(("version", "binding", "extra"), [("1.1", "U", ["Q"]), ("1.2", "U", ["Q"]), ("1.0", "UQ", [])])
def test_QM_01_device_in_queue_mode_is_shown_awake_and_asleep(berth, version, binding, extra):
    berth.register("dev1", lifetime=86400, version=version, binding=binding, extra=extra)
    shown = berth.device("dev1")
    assert (shown["queue_mode"], shown["awake"]) == (True, True)
    assert berth.await_event("awake", "dev1")["id"] > berth.await_event("registered", "dev1")["id"]
    berth.leap("92s")
    assert berth.device("dev1")["awake"]
    berth.leap("1s")
    assert not berth.device("dev1")["awake"]
    event = berth.await_event("sleeping", "dev1")
    assert "detail" not in event and event["location"] == shown["location"]


def test_leshan_QueueMode_awake_on_register_and_asleep_after_the_window(device, berth):
    assert is_awake(device)
    berth.leap("93s")
    assert not is_awake(device)


def test_leshan_QueueMode_one_awake_event_for_several_updates(device, berth):
    for _ in range(3):
        berth.leap("60s")
        device.registered.update()
    assert is_awake(device)
    berth.leap("93s")
    types = [event["type"] for event in berth.events_after(types="awake,sleeping")]
    assert types == ["awake", "sleeping"]
    device.registered.update()
    types = [event["type"] for event in berth.events_after(types="awake,sleeping")]
    assert types == ["awake", "sleeping", "awake"]


def test_leshan_QueueMode_requests_work_while_awake(device):
    assert device.read("/3/0/9", TEXT, b"95").json["value"] == 95
    assert device.read("/3/0/9", TEXT, b"96").json["value"] == 96


@pytest.mark.transports("pelion")
def test_leshan_QueueMode_asleep_after_a_request_that_times_out(start_berth):
    berth = start_berth(*ANSWERS_SOON)
    device = PlayedDevice(berth, "dev1", lifetime=86400, extra=["Q"])
    answer = device.ask("GET", "/3/0/9").answer(504)
    assert answer.problem == "no-answer"
    assert not is_awake(device)


@pytest.mark.parametrize("what", ["update", "send", "answer", "ping"])
def test_QM_02_each_message_of_the_device_begins_the_window_anew(device, berth, what):
    berth.leap("90s")
    if what == "update":
        device.registered.update()
    elif what == "send":
        send_something(device)
    elif what == "answer":
        device.read("/3/0/9", TEXT, b"95")
    else:
        device.peer.ping()
    berth.leap("92s")
    assert is_awake(device)
    berth.leap("1s")
    assert not is_awake(device)


def send_something(device: PlayedDevice) -> None:
    """M-42 of the list: a value of /3303/0."""
    request = Coap.decode(vector("M-42"))
    answer = device.peer.request(POST, "/dp", None, request.payload, [(CONTENT_FORMAT, uint(SENML_CBOR))])
    assert answer.code_text in ("2.04", "4.04")


def test_QM_02_window_is_set_for_the_server(start_berth):
    berth = start_berth("--awake-window", "20s")
    device = PlayedDevice(berth, "dev1", lifetime=86400, extra=["Q"])
    berth.leap("19s")
    assert is_awake(device)
    berth.leap("1s")
    assert not is_awake(device)


def test_QM_02_window_is_set_for_one_device(berth, play):
    assert berth.http("PUT", "/v1/devices/dev1/queue", {"awake_window": "20s"}).status == 204
    device, other = (play(name, lifetime=86400, extra=["Q"]) for name in ("dev1", "dev2"))
    assert berth.get("/v1/devices/dev1/queue")["awake_window_s"] == 20
    berth.leap("21s")
    assert (is_awake(device), is_awake(other)) == (False, True)
    device.registered.deregister()
    assert berth.get("/v1/devices/dev1/queue") == {"endpoint": "dev1", "awake": False, "awake_window_s": 20, "limit": 64, "items": []}
    berth.restart()
    berth.register("dev1", lifetime=86400, extra=["Q"])
    berth.leap("21s")
    assert not is_awake(device)


def test_QM_02_window_that_is_changed_counts_from_the_last_message(device, berth):
    berth.leap("30s")
    assert device.http("PUT", "/queue", {"awake_window": 40, "limit": None}).status == 204  # a ping follows: heard now
    berth.leap("39s")
    assert is_awake(device)
    assert berth.http("PUT", "/v1/devices/dev1/queue", {}).status == 204
    berth.leap("2s")
    assert is_awake(device)
    berth.leap("52s")
    assert not is_awake(device)


@pytest.mark.parametrize(
    "body",
    [{"awake_window": 0}, {"awake_window": "2d"}, {"awake_window": "x"}, {"limit": 0}, {"limit": 10001}, {"limit": "1"}, {"size": 1}, []],
)
def test_settings_that_make_no_sense_are_400(berth, body):
    answer = berth.http("PUT", "/v1/devices/dev1/queue", body)
    assert (answer.status, answer.problem) == (400, "bad-body")


def test_wait_awake_waits_for_the_awake_event(sleeper, berth):
    asked = sleeper.ask("GET", "?wait=awake&timeout=20s")
    sleeper.registered.update()
    assert asked.answer(200).json["awake"] is True


def test_QM_09_device_without_queue_mode_is_always_awake_and_asked_at_once(play, berth):
    device = play("dev1", lifetime=86400)
    berth.leap("10h")
    assert is_awake(device)
    assert device.read("/3/0/9", TEXT, b"95").json["value"] == 95
    number = queue(device, "GET", "/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"96")
    assert response(berth, number)["body"]["value"] == 96
    assert berth.events_after(types="awake,sleeping") == []


@pytest.mark.parametrize(("version", "before", "after"), [("1.0", "UQ", "U"), ("1.1", "U", "U")])
def test_QM_10_queue_mode_ends_with_the_next_register(berth, version, before, after):
    berth.register("dev1", version=version, binding=before, extra=["Q"] if version == "1.1" else [], lifetime=86400)
    berth.leap("94s")
    berth.register("dev1", version=version, binding=after, lifetime=86400)
    shown = berth.device("dev1")
    assert (shown["queue_mode"], shown["awake"]) == (False, True)


def test_QM_10_update_decides_by_binding_in_1_0(berth):
    device = berth.register("dev1", version="1.0", binding="U", lifetime=86400)
    device.update(["b=UQ"])
    shown = berth.device("dev1")
    assert (shown["queue_mode"], shown["awake"]) == (True, True)
    berth.leap("94s")
    assert not berth.device("dev1")["awake"]
    device.update(["lt=86400"])
    assert berth.device("dev1")["queue_mode"]
    device.update(["b=U"])
    shown = berth.device("dev1")
    assert (shown["binding"], shown["queue_mode"], shown["awake"]) == ("U", False, True)
    berth.restart()
    assert not berth.device("dev1")["queue_mode"]


# ---- asleep, without respond-async ----


def test_QM_03_request_while_asleep_is_503_and_nothing_is_sent(sleeper):
    answer = sleeper.http("GET", "/3/0/9")
    assert (answer.status, answer.problem) == (503, "asleep")
    assert 86400 - 100 <= int(answer.headers["Retry-After"]) <= 86400 - 93
    assert (answer.json["endpoint"], answer.json["path"]) == ("dev1", "/3/0/9")
    assert not is_awake(sleeper)


def test_request_while_asleep_of_a_device_that_never_expires_has_a_retry_after(play):
    device = fall_asleep(play("dev1", lifetime=0, extra=["Q"]))
    assert int(device.http("POST", "/3/0/4").headers["Retry-After"]) >= 1


def test_request_while_asleep_is_sent_when_it_is_forced(sleeper):
    asked = sleeper.ask("GET", "/3/0/9?force=1")
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    asked.answer(200)
    asked = sleeper.ask("POST", "/requests?force=1", {"method": "GET", "path": "/3"})
    sleeper.answer(sleeper.expect(GET, "/3"), "4.04")
    asked.answer(200)


# ---- queued requests ----


def test_QM_03_UPD_17_queued_request_is_sent_after_the_answer_to_an_update(sleeper, berth):
    number = queue(sleeper, "GET", "/3/0/9")
    sleeper.peer.expect_silence()
    shown = request(berth, number)
    assert (shown["state"], shown["attempts"], shown["completed_at"]) == ("queued", 0, None)
    assert (shown["endpoint"], shown["method"], shown["path"]) == ("dev1", "GET", "/v1/devices/dev1/3/0/9")
    assert "response" not in shown
    assert sleeper.registered.update().code_text == "2.04"  # the next datagram is this answer, or it fails
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    shown = over(berth, number)
    assert (shown["state"], shown["attempts"]) == ("completed", 1)
    assert shown["response"]["status"] == 200
    assert shown["response"]["headers"]["CoAP-Code"] == "2.05"
    assert shown["response"]["content_type"] == "application/json"
    assert shown["response"]["body"] == {"path": "/3/0/9", "type": "integer", "value": 95}


def test_QM_03_UPD_17_update_that_waits_for_its_commit_is_answered_first(sleeper):
    queue(sleeper, "GET", "/3/0/9")
    assert sleeper.registered.update(["lt=4000"]).code_text == "2.04"
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")


def test_QM_03_REG_38_queued_request_is_sent_after_the_answer_to_a_register(sleeper, berth):
    number = queue(sleeper, "GET", "/3/0/9")
    berth.register("dev1", lifetime=86400, extra=["Q"], peer=sleeper.peer)
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    assert response(berth, number)["status"] == 200


def test_QM_03_queued_request_is_sent_after_the_answer_to_a_send(play, berth):
    device = fall_asleep(play("dev1", lifetime=86400, links="</1/0>,</3/0>,</3303/0>", extra=["Q"]))
    number = queue(device, "GET", "/3/0/9")
    send_something(device)
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    assert response(berth, number)["status"] == 200


def test_REG_38_queued_request_waits_for_the_delay_that_is_set(start_berth):
    berth = start_berth("--queue-delay", "30s")
    device = PlayedDevice(berth, "dev1", lifetime=86400, extra=["Q"])
    berth.leap("94s")
    queue(device, "GET", "/3/0/9")
    device.registered.update()
    device.peer.expect_silence()
    berth.leap("30s")
    device.expect(GET, "/3/0/9")


def test_QM_04_requests_are_kept_and_sent_in_order_one_at_a_time(sleeper, berth):
    numbers = [queue(sleeper, "GET", f"/3/0/{number}") for number in (9, 10, 13)]
    assert waiting(sleeper) == numbers == sorted(numbers)
    sleeper.registered.update()
    for place, path in enumerate(("/3/0/9", "/3/0/10", "/3/0/13")):
        asked = sleeper.expect(GET, path)
        sleeper.peer.expect_silence()
        assert [request(berth, number)["state"] for number in numbers[place:]] == ["running", "queued", "queued"][: 3 - place]
        sleeper.answer(asked, "2.05", TEXT, str(place).encode())
    assert [response(berth, number)["body"]["value"] for number in numbers] == [0, 1, 2]
    assert waiting(sleeper) == []


def test_QM_04_each_request_has_its_own_expiry_and_result(sleeper, berth):
    short = queue(sleeper, "GET", "/3/0/9", prefer="respond-async; expires=60s")
    long = queue(sleeper, "GET", "/3/0/10", prefer='lenient, respond-async; expires="1h", wait=5')
    asked = berth.http("GET", f"/v1/requests/{short}/response")
    assert (asked.status, asked.problem) == (409, "not-over")
    berth.leap("61s")
    shown = request(berth, short)
    assert (shown["state"], shown["response"]["status"], shown["attempts"]) == ("expired", 504, 0)
    assert shown["response"]["body"]["type"] == "https://berth.dev/problems/expired"
    event = berth.await_event("request_completed", "dev1")
    assert (event["request"], event["state"]) == (short, "expired") and "status" not in event
    sleeper.registered.update()
    sleeper.answer(sleeper.expect(GET, "/3/0/10"), "4.05")
    assert response(berth, long)["status"] == 405


def test_request_expires_after_a_day_by_default(sleeper, berth):
    number = queue(sleeper, "GET", "/3/0/9")
    berth.leap("85999s")
    sleeper.registered.update()  # keeps the registration
    sleeper.expect(GET, "/3/0/9")
    assert request(berth, number)["state"] == "running"


def test_expiry_is_set_for_the_server(start_berth):
    berth = start_berth("--queue-expiry", "10s", "--awake-window", "1s")
    device = PlayedDevice(berth, "dev1", lifetime=86400, extra=["Q"])
    berth.leap("2s")
    number = queue(device, "GET", "/3/0/9")
    berth.leap("10s")
    assert request(berth, number)["state"] == "expired"


@pytest.mark.parametrize("prefer", ["respond-async; expires=soon", "respond-async; expires=0", "respond-async;expires=31d"])
def test_expiry_that_makes_no_sense_is_400(sleeper, prefer):
    answer = sleeper.http("GET", "/3/0/9", headers={"Prefer": prefer})
    assert (answer.status, answer.problem) == (400, "bad-request")
    assert waiting(sleeper) == []


def test_second_Prefer_field_is_read_too(sleeper, berth):
    connection = http.client.HTTPConnection("127.0.0.1", berth.http_port)
    connection.putrequest("GET", "/v1/devices/dev1/3/0/9")
    connection.putheader("Prefer", "return=minimal")
    connection.putheader("Prefer", "Respond-Async")
    connection.endheaders()
    assert connection.getresponse().status == 202
    connection.close()


def test_Prefer_means_nothing_to_calls_that_ask_no_device(berth):
    assert berth.http("GET", "/v1/devices", headers=ASYNC).status == 200


def test_async_request_to_a_device_that_is_awake_is_sent_at_once(device, berth):
    number = queue(device, "GET", "/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    assert response(berth, number)["status"] == 200


def test_async_request_to_a_device_that_is_not_registered_is_404(berth):
    for path, method, body in [("/3/0/9", "GET", None), ("/requests", "POST", {"method": "GET"})]:
        answer = berth.http(method, f"/v1/devices/nobody{path}", body, headers=ASYNC)
        assert (answer.status, answer.problem) == (404, "not-registered")


def test_async_request_that_is_wrong_is_refused_at_once(sleeper):
    for method, path, body, status in [
        ("PUT", "/3/0/13", "x", 400),
        ("GET", "/0/0", None, 422),
        ("GET", "/3/0/9?format=lwm2m-cbor", None, 422),
        ("POST", "/requests", {"method": "GET", "query": "x" * 300}, 400),
    ]:
        assert sleeper.http(method, path, body, headers=ASYNC).status == status, path
    assert waiting(sleeper) == []


def test_client_that_hangs_up_leaves_its_request_in_the_queue(sleeper, berth):
    connection = http.client.HTTPConnection("127.0.0.1", berth.http_port)
    connection.request("GET", "/v1/devices/dev1/3/0/9", headers=ASYNC)
    connection.close()
    while not waiting(sleeper):
        pass
    sleeper.registered.update()
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")


def test_sync_request_goes_behind_what_is_with_the_device(sleeper, berth):
    first, second = queue(sleeper, "GET", "/3/0/9"), queue(sleeper, "GET", "/3/0/10")
    sleeper.registered.update()
    asked = sleeper.expect(GET, "/3/0/9")
    sync = sleeper.ask("GET", "/3/0/13")
    while berth.waiting() < 2:
        pass
    sleeper.peer.expect_silence()
    sleeper.answer(asked, "2.05", TEXT, b"1")
    sleeper.answer(sleeper.expect(GET, "/3/0/13"), "2.05", TEXT, b"2")
    sleeper.answer(sleeper.expect(GET, "/3/0/10"), "2.05", TEXT, b"3")
    sync.answer(200)
    assert [response(berth, number)["body"]["value"] for number in (first, second)] == [1, 3]


def test_reference_device_gets_what_was_queued(berth, start_device):
    device = start_device("--server", berth.listen[0], "--endpoint", "ref")
    device.line("Device ID:", partly=True)
    written = berth.http("PUT", "/v1/devices/ref/3/0/14", "+05:00", headers=ASYNC).json["id"]
    read = berth.http("GET", "/v1/devices/ref/3/0/14", headers={**ASYNC, "Accept": "text/plain"}).json["id"]
    assert response(berth, written)["status"] == 204
    assert response(berth, read)["body"] == "+05:00"


# ---- no answer ----


@pytest.mark.transports("udp")
def test_QM_05_silence_puts_the_device_to_sleep_and_the_request_back(start_berth):
    berth = start_berth(*ANSWERS_SOON)
    device = PlayedDevice(berth, "dev1", lifetime=86400, extra=["Q"])
    number = queue(device, "GET", "/3/0/9")
    later = queue(device, "GET", "/3/0/10")
    device.expect(GET, "/3/0/9")
    assert berth.await_event("sleeping", "dev1")["detail"] == "a request was not answered"
    shown = request(berth, number)
    assert (shown["state"], shown["attempts"]) == ("queued", 1)
    assert waiting(device) == [number, later]
    assert not is_awake(device)
    drain(device)
    device.registered.update()
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    device.answer(device.expect(GET, "/3/0/10"), "2.05", TEXT, b"96")
    shown = over(berth, number)
    assert (shown["state"], shown["attempts"], shown["response"]["status"]) == ("completed", 2, 200)


def drain(device: PlayedDevice) -> None:
    """What the server has sent so far is of no interest."""
    fence = device.peer.next_mid()
    device.peer.send(Coap(0, 0, fence))
    while device.peer.receive().mid != fence:
        pass


@pytest.mark.transports("pelion")
def test_QM_05_request_that_is_never_answered_expires(start_berth):
    berth = start_berth(*ANSWERS_SOON)
    device = PlayedDevice(berth, "dev1", lifetime=86400, extra=["Q"])
    number = queue(device, "GET", "/3/0/9", prefer="respond-async; expires=1h")
    berth.await_event("sleeping", "dev1")
    berth.leap("1h")
    shown = request(berth, number)
    assert (shown["state"], shown["attempts"], shown["response"]["status"]) == ("expired", 1, 504)


@pytest.mark.transports("udp")
def test_QM_05_cancel_of_an_observation_that_gets_no_answer_has_worked_and_is_not_repeated(start_berth):
    berth = start_berth(*ANSWERS_SOON)
    device = ObservedDevice(berth, "dev1", lifetime=86400, extra=["Q"])
    device.observe("/3/0/9")
    number = queue(device, "DELETE", "/3/0/9/observe")
    later = queue(device, "GET", "/3/0/10")
    device.expect(GET, "/3/0/9")
    shown = over(berth, number)
    assert (shown["state"], shown["response"]["status"], shown["response"]["body"]["outcome"]) == ("failed", 504, "no-ack")
    assert berth.get("/v1/devices/dev1/observations")["items"] == [] and waiting(device) == [later]
    drain(device)
    device.registered.update()
    device.answer(device.expect(GET, "/3/0/10"), "2.05", TEXT, b"96")
    assert over(berth, later)["response"]["status"] == 200


@pytest.mark.transports("pelion")
def test_QM_05_what_waits_for_its_turn_is_not_sent_to_a_device_that_is_silent(start_berth):
    berth = start_berth("--ack-timeout", "300ms", "--ack-random-factor", "1", "--max-retransmit", "0")
    device = PlayedDevice(berth, "dev1", lifetime=86400, extra=["Q"])
    first = device.ask("GET", "/3/0/9")
    device.expect(GET, "/3/0/9")
    second = device.ask("GET", "/3/0/10")
    assert first.answer(504).problem == "no-answer"
    answer = second.answer(503)
    assert answer.problem == "asleep" and int(answer.headers["Retry-After"]) > 0
    device.peer.expect_silence()


@pytest.mark.transports("pelion")
def test_device_without_queue_mode_that_is_silent_fails_the_request(start_berth):
    berth = start_berth(*ANSWERS_SOON)
    device = PlayedDevice(berth, "dev1", lifetime=86400)
    number = queue(device, "GET", "/3/0/9")
    shown = over(berth, number)
    assert (shown["state"], shown["response"]["status"]) == ("failed", 504)
    assert shown["response"]["body"]["outcome"] == "no-ack"
    event = berth.await_event("request_completed", "dev1")
    assert (event["state"], event["status"]) == ("failed", 504) and "coap_code" not in event


@pytest.mark.transports("pelion")
def test_request_that_is_acknowledged_and_not_answered_fails(device, berth):
    number = queue(device, "GET", "/3/0/9")
    device.acknowledge(device.expect(GET, "/3/0/9"))
    device.peer.ping()
    berth.leap("247s")
    shown = over(berth, number)
    assert (shown["state"], shown["response"]["body"]["outcome"]) == ("failed", "no-response")


@pytest.mark.transports("pelion")
def test_request_that_is_reset_fails(device, berth):
    number = queue(device, "GET", "/3/0/9")
    device.reset(device.expect(GET, "/3/0/9"))
    shown = over(berth, number)
    assert (shown["state"], shown["response"]["body"]["outcome"]) == ("failed", "reset")


# ---- the registration ----


def test_QM_06_queue_is_kept_when_the_device_registers_anew(sleeper, berth):
    numbers = [queue(sleeper, "GET", path) for path in ("/3/0/9", "/3/0/10")]
    sleeper.registered.update()
    sleeper.expect(GET, "/3/0/9")  # is under way, and stays unanswered
    berth.register("dev1", lifetime=86400, extra=["Q"], peer=sleeper.peer)
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"1")
    sleeper.answer(sleeper.expect(GET, "/3/0/10"), "2.05", TEXT, b"2")
    assert [response(berth, number)["body"]["value"] for number in numbers] == [1, 2]
    assert [request(berth, number)["attempts"] for number in numbers] == [2, 1]


def test_QM_06_queue_follows_the_device_to_another_address(sleeper, berth):
    number = queue(sleeper, "GET", "/3/0/9")
    sleeper.peer = berth.peer()
    berth.register("dev1", lifetime=86400, extra=["Q"], peer=sleeper.peer)
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"1")
    assert response(berth, number)["status"] == 200


@pytest.mark.parametrize("how", ["deregister", "expire", "forget"])
def test_QM_07_end_of_the_registration_fails_what_waits(sleeper, berth, how):
    numbers = [queue(sleeper, "GET", path, prefer="respond-async; expires=30d") for path in ("/3/0/9", "/3/0/10")]
    waiter = Waiter(berth, numbers[0])
    if how == "deregister":
        sleeper.registered.deregister()
    elif how == "expire":
        berth.leap("1d")
    else:
        assert berth.http("DELETE", "/v1/devices/dev1").status == 204
    shown = waiter.answer()
    assert (shown["state"], shown["response"]["status"]) == ("failed", 410)
    assert shown["response"]["body"]["type"] == "https://berth.dev/problems/registration-gone"
    assert over(berth, numbers[1])["state"] == "failed"
    sleeper.peer.expect_silence()


def test_QM_07_end_of_the_registration_fails_what_is_under_way(device, berth):
    number = queue(device, "GET", "/3/0/9")
    device.expect(GET, "/3/0/9")
    device.registered.deregister()
    assert over(berth, number)["response"]["status"] == 410
    berth.register("dev1", lifetime=86400, extra=["Q"], peer=device.peer)
    device.peer.expect_silence()


class Waiter:
    """A GET that waits for the end of a request, and is surely waiting."""

    def __init__(self, berth, number: int, path: str = ""):
        before = berth.waiting()
        self.connection = http.client.HTTPConnection("127.0.0.1", berth.http_port, timeout=30)
        self.connection.request("GET", f"/v1/requests/{number}{path}?timeout=30s")
        while berth.waiting() == before:
            pass

    def answer(self):
        answer = self.connection.getresponse()
        assert answer.status == 200
        document = json.loads(answer.read())
        self.connection.close()
        return document


# ---- restart ----


@pytest.mark.transports("udp")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_QM_08_queue_and_results_survive_a_restart(device, berth, how):
    done = queue(device, "GET", "/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    before = over(berth, done)
    fall_asleep(device)
    numbers = [queue(device, "PUT", "/3/0/14?format=text", f"+0{hour}:00") for hour in (1, 2)]
    getattr(berth, how)()
    berth.start()
    assert request(berth, done) == {**before, "attempts": 0}
    assert [request(berth, number)["state"] for number in numbers] == ["queued", "queued"]
    assert not is_awake(device)
    device.registered.update()
    for hour in (1, 2):
        asked = device.expect(PUT, "/3/0/14")
        assert asked.payload == f"+0{hour}:00".encode()
        device.answer(asked, "2.04")
    assert [response(berth, number)["status"] for number in numbers] == [204, 204]
    assert queue(device, "GET", "/3/0/9") > max(numbers)


@pytest.mark.transports("udp")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_QM_08_what_was_under_way_is_sent_again_after_a_restart(device, berth, how):
    number = queue(device, "GET", "/3/0/9")
    device.expect(GET, "/3/0/9")
    getattr(berth, how)()
    berth.start()
    assert request(berth, number)["state"] == "queued"
    device.registered.update()
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    assert response(berth, number)["status"] == 200


@pytest.mark.transports("udp")
def test_QM_08_whatever_was_answered_202_survives_kill_9_at_any_moment(start_berth):
    """Clients queue writes as fast as they can while the server is killed again and again. In the end the device gets
    every one that was acknowledged, in the order of the ids."""
    seed = time.time_ns()
    print("seed", seed)
    dice = random.Random(seed)
    berth = start_berth("--queue-limit", "10000")
    device = PlayedDevice(berth, "dev1", lifetime=864000, extra=["Q"])
    fall_asleep(device)
    acknowledged: dict[int, str] = {}
    for life in range(8):
        one_more = threading.Semaphore(0)
        clients = [threading.Thread(target=queue_until_it_dies, args=(berth, f"{life}.{n}", acknowledged, one_more)) for n in range(3)]
        for client in clients:
            client.start()
        for _ in range(dice.randrange(1, 40)):
            assert one_more.acquire(timeout=30)
        berth.kill()
        for client in clients:
            client.join()
        berth.start()
        shown = waiting(device)
        assert shown == sorted(shown) and set(acknowledged) <= set(shown)
    expected = waiting(device)
    texts = receive_all(device, len(expected))
    places = {text: place for place, text in enumerate(texts)}
    got = [places[text] for number, text in sorted(acknowledged.items())]
    assert got == sorted(got)
    assert all(response(berth, number)["status"] == 204 for number in acknowledged)


def queue_until_it_dies(berth, name: str, acknowledged: dict, one_more: threading.Semaphore) -> None:
    for count in range(10000):
        text = f"{name}.{count}"
        try:
            answer = berth.http("PUT", "/v1/devices/dev1/3/0/15?format=text", text, headers=ASYNC)
        except (OSError, http.client.HTTPException):
            return
        assert answer.status == 202, answer.body
        acknowledged[answer.json["id"]] = text
        one_more.release()


def receive_all(device: PlayedDevice, count: int) -> list[str]:
    """Wake up and take so many writes."""
    texts = []
    device.registered.update()
    while len(texts) < count:
        asked = device.expect(PUT, "/3/0/15")
        texts.append(asked.payload.decode())
        device.answer(asked, "2.04")
    return texts


@pytest.mark.transports("udp")
def test_QM_08_order_is_kept_when_the_server_dies_while_it_delivers(start_berth):
    """The device gets what was under way again, but never something that came before it."""
    dice = random.Random(7)
    berth = start_berth()
    device = PlayedDevice(berth, "dev1", lifetime=864000, extra=["Q"])
    fall_asleep(device)
    numbers = [queue(device, "PUT", "/3/0/15?format=text", str(count)) for count in range(40)]
    got: list[int] = []
    while not got or got[-1] != 39:
        device.registered.update()
        for _ in range(dice.randrange(1, 9)):
            asked = device.expect(PUT, "/3/0/15")
            got.append(int(asked.payload))
            device.answer(asked, "2.04")
            if got[-1] == 39:
                break
        if got[-1] != 39:
            berth.kill()
            device.peer.close()
            device.peer = berth.peer()
            berth.start()
            device.registered.peer = device.peer
    assert all(later - earlier in (0, 1) for earlier, later in zip(got, got[1:])), got
    assert got[0] == 0
    assert over(berth, numbers[-1])["state"] == "completed"


def test_commit_comes_before_202(sleeper, berth):
    with berth.no_commit():
        asked = sleeper.ask("GET", "/3/0/9", headers=ASYNC)
        assert waiting(sleeper) == []
        assert asked.response is None
    asked.answer(202)
    assert len(waiting(sleeper)) == 1


# ---- looking, cancelling, limits ----


def test_queue_is_bounded_for_each_device(berth, play):
    berth.http("PUT", "/v1/devices/dev1/queue", {"limit": 2})
    device, other = (play(name, lifetime=86400, extra=["Q"]) for name in ("dev1", "dev2"))
    fall_asleep(device)
    numbers = [queue(device, "GET", "/3/0/9"), queue(device, "GET", "/3/0/9")]
    answer = device.http("GET", "/3/0/9", headers=ASYNC)
    assert (answer.status, answer.problem) == (429, "queue-full")
    queue(other, "GET", "/3/0/9")
    assert berth.http("DELETE", f"/v1/requests/{numbers[0]}").status == 204
    queue(device, "GET", "/3/0/9")


def test_64_requests_wait_by_default(sleeper):
    for _ in range(64):
        queue(sleeper, "GET", "/3/0/9")
    assert sleeper.http("GET", "/3/0/9", headers=ASYNC).status == 429


def test_queue_limit_is_set_for_the_server(start_berth):
    berth = start_berth("--queue-limit", "1")
    device = fall_asleep(PlayedDevice(berth, "dev1", lifetime=86400, extra=["Q"]))
    queue(device, "GET", "/3/0/9")
    assert device.http("GET", "/3/0/9", headers=ASYNC).status == 429


def test_queue_shows_what_waits(sleeper, berth):
    number = queue(sleeper, "PUT", "/3/0/14?format=text", "+01:00")
    shown = berth.get("/v1/devices/dev1/queue")
    item = shown["items"][0]
    assert shown == {"endpoint": "dev1", "awake": False, "awake_window_s": 93, "limit": 64, "items": [item]}
    assert (item["id"], item["state"], item["method"]) == (number, "queued", "PUT")
    assert item["path"] == "/v1/devices/dev1/3/0/14?format=text"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_queue_of_a_device_that_is_not_registered_is_404(berth, method):
    answer = berth.http(method, "/v1/devices/nobody/queue")
    assert (answer.status, answer.problem) == (404, "not-registered")


def test_request_that_waits_is_cancelled(sleeper, berth):
    first, second = queue(sleeper, "GET", "/3/0/9"), queue(sleeper, "GET", "/3/0/10")
    waiter = Waiter(berth, first)
    assert berth.http("DELETE", f"/v1/requests/{first}").status == 204
    shown = waiter.answer()
    assert (shown["state"], shown["response"]["status"]) == ("cancelled", 410)
    assert waiting(sleeper) == [second]
    sleeper.registered.update()
    sleeper.expect(GET, "/3/0/10")


def test_request_that_is_under_way_is_not_cancelled(device, berth):
    first, second = queue(device, "GET", "/3/0/9"), queue(device, "GET", "/3/0/10")
    asked = device.expect(GET, "/3/0/9")
    answer = berth.http("DELETE", f"/v1/requests/{first}")
    assert (answer.status, answer.problem) == (409, "not-over")
    assert berth.http("DELETE", "/v1/devices/dev1/queue").status == 204
    assert [request(berth, number)["state"] for number in (first, second)] == ["running", "cancelled"]
    device.answer(asked, "2.05", TEXT, b"95")
    assert response(berth, first)["status"] == 200
    device.peer.expect_silence()


def test_result_is_forgotten(device, berth):
    number = queue(device, "GET", "/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    over(berth, number)
    assert berth.http("DELETE", f"/v1/requests/{number}").status == 204
    for method in ("GET", "DELETE"):
        answer = berth.http(method, f"/v1/requests/{number}")
        assert (answer.status, answer.problem) == (404, "not-found")


def test_result_is_kept_for_an_hour(device, berth):
    number = queue(device, "GET", "/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    over(berth, number)
    berth.leap("59m")
    assert request(berth, number)["state"] == "completed"
    berth.leap("1m")
    assert berth.http("GET", f"/v1/requests/{number}").status == 404


@pytest.mark.parametrize("number", ["0", "4711", "x", "-1", "99999999999999999999"])
def test_request_that_there_is_none_of_is_404(berth, number):
    for path in ("", "/response"):
        assert berth.http("GET", f"/v1/requests/{number}{path}").problem == "not-found"
    assert berth.http("DELETE", f"/v1/requests/{number}").problem == "not-found"


def test_wait_for_a_result_that_does_not_come_is_408(sleeper, berth):
    number = queue(sleeper, "GET", "/3/0/9")
    for path in ("", "/response"):
        answer = berth.http("GET", f"/v1/requests/{number}{path}", timeout="20ms")
        assert (answer.status, answer.problem) == (408, "timeout")
        assert answer.json["request"]["state"] == "queued"
    assert berth.waiting() == 0


def test_result_is_awaited_with_POST_wait(sleeper, berth):
    number = queue(sleeper, "GET", "/3/0/9")
    after = berth.last_event()
    sleeper.registered.update()
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "4.04")
    body = {"after": after, "type": "request_completed", "match": {"request": number, "status": {"gte": 400}}, "timeout": "10s"}
    event = berth.http("POST", "/v1/wait", body).json
    assert (event["endpoint"], event["request"]) == ("dev1", number)
    assert (event["state"], event["status"], event["coap_code"]) == ("completed", 404, "4.04")
    body = {"after": after, "sequence": ["awake", "request_completed"], "timeout": "1s"}
    assert berth.http("POST", "/v1/wait", body).status == 200


def test_reset_forgets_queues_results_and_settings(device, berth):
    done = queue(device, "GET", "/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    over(berth, done)
    under_way = queue(device, "GET", "/3/0/9")
    device.expect(GET, "/3/0/9")
    queued = queue(device, "GET", "/3/0/10")
    berth.http("PUT", "/v1/devices/dev1/queue", {"limit": 1})
    assert berth.http("POST", "/v1/reset?scope=devices").status == 204
    berth.register("dev1", lifetime=86400, extra=["Q"], peer=device.peer)
    for number in (done, under_way, queued):
        assert berth.http("GET", f"/v1/requests/{number}").status == 404
    assert berth.get("/v1/devices/dev1/queue")["limit"] == 64
    device.peer.expect_silence()


def test_metrics_count_devices_requests_and_results(device, berth):
    number = queue(device, "GET", "/3/0/9")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    over(berth, number)
    assert berth.get_metric("berth_awake_devices") == 1
    fall_asleep(device)
    queue(device, "GET", "/3/0/9")
    metrics = [berth.get_metric(f"berth_{name}") for name in ("awake_devices", "queued_requests", "queue_results")]
    assert metrics == [0, 1, 1]
    assert berth.get_metric("berth_queue_bytes") > 0


# ---- every kind of call ----


def replay(sleeper: PlayedDevice, method: str, path: str, body: object, coap: int, target: str, answer: tuple, **headers: str):
    """Queue a call, wake up, answer; gives the CoAP request and the response."""
    number = queue(sleeper, method, path, body, **headers)
    sleeper.registered.update()
    asked = sleeper.expect(coap, target)
    sleeper.answer(asked, *answer)
    return asked, response(sleeper.berth, number), sleeper.berth.http("GET", f"/v1/requests/{number}/response")


def test_read_of_an_instance_is_replayed(sleeper):
    asked, told, answer = replay(sleeper, "GET", "/3/0?names=1", None, GET, "/3/0", ("2.05", TLV, bytes.fromhex("c10950")))
    assert told["body"]["resources"]["9"]["value"] == 80 and told["body"]["name"] == "Device"
    assert answer.status == 200 and answer.json == told["body"]
    assert answer.headers["CoAP-Code"] == "2.05"


def test_read_with_Accept_is_replayed(sleeper):
    asked, told, answer = replay(sleeper, "GET", "/3/0/9", None, GET, "/3/0/9", ("2.05", TEXT, b"95"), Accept="text/plain")
    assert (told["content_type"], told["body"]) == ("text/plain", "95")
    assert (answer.headers["Content-Type"], answer.body) == ("text/plain", b"95")


def test_read_of_bytes_is_replayed(sleeper):
    asked, told, answer = replay(
        sleeper, "GET", "/3/0/9?format=tlv", None, GET, "/3/0/9", ("2.05", TLV, b"\xc1\x09\x50"), Accept="application/octet-stream"
    )
    assert accept_of(asked) == TLV
    assert told["body_b64"] == "wQlQ" and "body" not in told
    assert answer.body == b"\xc1\x09\x50"


def test_read_that_is_refused_in_one_format_is_tried_in_the_next(sleeper, berth):
    number = queue(sleeper, "GET", "/3/0")
    sleeper.registered.update()
    first = sleeper.expect(GET, "/3/0")
    sleeper.answer(first, "4.06")
    second = sleeper.expect(GET, "/3/0")
    assert accept_of(first) != accept_of(second)
    sleeper.answer(second, "2.05", accept_of(second), {TLV: b"\xc1\x09\x50", SENML_CBOR: bytes.fromhex("81a2006539")}.get(accept_of(second), b"[]"))
    assert over(berth, number)["state"] == "completed"


def test_HEAD_is_replayed_without_a_body(sleeper, berth):
    answer = berth.http("HEAD", "/v1/devices/dev1/3/0/9", headers=ASYNC)
    number = int(answer.headers["Location"].rsplit("/", 1)[1])
    sleeper.registered.update()
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    told = response(berth, number)
    assert told["status"] == 200 and "body" not in told


@pytest.mark.parametrize(
    ("method", "path", "body", "coap", "target", "payload"),
    [
        ("PUT", "/3/0/14?format=text", "+01:00", PUT, "/3/0/14", b"+01:00"),
        ("PUT", "/3/0/14?format=text", {"value": "+02:00"}, PUT, "/3/0/14", b"+02:00"),
        ("PUT", "/1/0?format=tlv", {"resources": {"1": 300}}, PUT, "/1/0", bytes.fromhex("c201012c")),
        ("PATCH", "/1/0?format=tlv", {"resources": {"1": 300}}, POST, "/1/0", bytes.fromhex("c201012c")),
        ("POST", "/3/0/4", "0='abc'", POST, "/3/0/4", b"0='abc'"),
        ("POST", "/3/0/4", {"args": "1"}, POST, "/3/0/4", b"1"),
        ("POST", "/1/0/8", None, POST, "/1/0/8", b""),
    ],
)
def test_writes_and_executes_are_replayed(sleeper, method, path, body, coap, target, payload):
    asked, told, answer = replay(sleeper, method, path, body, coap, target, ("2.04",))
    assert asked.payload == payload
    assert told == {"status": 204, "headers": {"CoAP-Code": "2.04"}, "content_type": None}
    assert (answer.status, answer.headers["CoAP-Code"], answer.body) == (204, "2.04", b"")


def test_bytes_are_written_as_they_are(sleeper):
    body = bytes(range(256))
    asked, told, _ = replay(sleeper, "PUT", "/5/0/0?format=opaque", body, PUT, "/5/0/0", ("2.04",), **{"Content-Type": "application/octet-stream"})
    assert asked.payload == body and told["status"] == 204


def test_create_is_replayed_and_the_location_told(sleeper):
    asked, told, answer = replay(sleeper, "POST", "/1?format=tlv", {"instance": 7, "resources": {"1": 300}}, POST, "/1", ("2.01",))
    assert (told["status"], told["headers"]["Location"]) == (201, "/v1/devices/dev1/1/7")
    assert (answer.status, answer.headers["Location"]) == (201, "/v1/devices/dev1/1/7")


def test_delete_is_replayed(sleeper):
    _, told, _ = replay(sleeper, "DELETE", "/1/7", None, DELETE, "/1/7", ("2.02",))
    assert told["status"] == 204


def test_discover_is_replayed(sleeper):
    _, told, _ = replay(sleeper, "GET", "/3/discover", None, GET, "/3", ("2.05", LINK, b"</3>,</3/0>;pmin=1"))
    assert told["body"]["links"][1] == {"path": "/3/0", "attributes": {"pmin": "1"}}


def test_attributes_are_replayed(sleeper):
    asked, told, _ = replay(sleeper, "PUT", "/3/0/9/attributes", {"pmin": 10, "gt": 1.5}, PUT, "/3/0/9", ("2.04",))
    assert query_of(asked) == ["pmin=10", "gt=1.5"] and told["status"] == 204


def test_composite_read_is_replayed(sleeper):
    payload = bytes.fromhex("81a200662f332f302f39021850")  # [{0: "/3/0/9", 2: 80}]
    asked, told, _ = replay(
        sleeper, "POST", "/composite/read?format=senml-cbor", {"paths": ["/3/0/9"]}, FETCH, "/", ("2.05", SENML_CBOR, payload)
    )
    assert format_of(asked) == SENML_CBOR
    assert told["body"]["resources"]["/3/0/9"]["value"] == 80


def test_composite_write_is_replayed(sleeper):
    asked, told, _ = replay(sleeper, "POST", "/composite/write", {"/3/0/14": "+01:00", "/3/0/15": "UTC"}, IPATCH, "/", ("2.04",))
    assert b"+01:00" in asked.payload and told["status"] == 204


def test_raw_request_is_replayed(sleeper):
    body = {"method": "POST", "path": "/x/y", "query": "a=1", "payload_b64": "/wA=", "options": [{"number": 2049, "value_b64": "AQI="}]}
    asked, told, _ = replay(sleeper, "POST", "/requests", body, POST, "/x/y", ("4.04",))
    assert (query_of(asked), asked.payload, asked.one(2049)) == (["a=1"], b"\xff\x00", b"\x01\x02")
    assert (told["status"], told["body"]["code"]) == (200, "4.04")


def test_error_of_the_device_is_the_response(sleeper):
    _, told, answer = replay(sleeper, "GET", "/3/0/99", None, GET, "/3/0/99", ("4.04", None, b"no such resource"))
    assert (told["status"], told["content_type"]) == (404, "application/problem+json")
    assert told["body"]["diagnostic"] == "no such resource"
    assert (answer.status, answer.problem) == (404, "device-error")


def test_integer_of_64_bits_comes_back_to_the_last_digit(sleeper, berth):
    number = queue(sleeper, "GET", "/3/0/9?format=tlv")
    sleeper.registered.update()
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TLV, bytes.fromhex("c809087fffffffffffffff"))
    assert b'"value":9223372036854775807' in berth.http("GET", f"/v1/requests/{number}?timeout=10s").body


def test_body_of_the_device_in_blocks_is_kept(sleeper, berth):
    number = queue(sleeper, "GET", "/5/0/0?format=opaque", Accept="application/octet-stream")
    sleeper.registered.update()
    sleeper.answer(sleeper.expect(GET, "/5/0/0"), "2.05", 42, b"a" * 1024, (BLOCK2, block(0, True, 6)))
    sleeper.answer(sleeper.expect(GET, "/5/0/0"), "2.05", 42, b"b" * 10, (BLOCK2, block(1, False, 6)))
    over(berth, number)
    assert berth.http("GET", f"/v1/requests/{number}/response").body == b"a" * 1024 + b"b" * 10


@pytest.mark.transports("rfc8323")  # a message in 50 ms is too slow for so many
def test_result_that_is_too_large_to_be_kept_is_507(sleeper, berth):
    number = queue(sleeper, "GET", "/5/0/0?format=opaque")
    sleeper.registered.update()
    blocks = 3 * 1024 + 1  # 3 MiB are 4 MiB in Base64
    for count in range(blocks):
        asked = sleeper.expect(GET, "/5/0/0")
        sleeper.answer(asked, "2.05", 42, b"a" * 1024, (BLOCK2, block(count, count < blocks - 1, 6)))
    shown = over(berth, number)
    assert (shown["state"], shown["response"]["status"]) == ("failed", 507)
    assert shown["response"]["body"]["type"] == "https://berth.dev/problems/result-too-large"


def test_call_that_the_device_can_no_longer_take_fails_when_its_turn_comes(sleeper, berth):
    number = queue(sleeper, "POST", "/composite/read", {"paths": ["/3/0/9"]})
    after = queue(sleeper, "GET", "/3/0/9")
    berth.register("dev1", lifetime=86400, version="1.0", binding="UQ", peer=sleeper.peer)
    shown = over(berth, number)
    assert (shown["state"], shown["response"]["status"]) == ("failed", 422)
    assert shown["response"]["body"]["type"] == "https://berth.dev/problems/not-sent"
    sleeper.answer(sleeper.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    assert response(berth, after)["status"] == 200


def test_endpoint_of_any_bytes_is_queued(berth):
    device = fall_asleep(PlayedDevice(berth, "urn:dev/ü %41", lifetime=86400, extra=["Q"]))
    number = queue(device, "GET", "/3/0/9")
    device.registered.update()
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    shown = over(berth, number)
    assert (shown["endpoint"], shown["response"]["status"]) == ("urn:dev/ü %41", 200)
    assert shown["path"] == "/v1/devices/urn%3Adev%2F%C3%BC%20%2541/3/0/9"


def test_key_is_needed_to_queue_and_is_not_stored(start_berth):
    berth = start_berth("--api-key", "open-sesame")
    key = {"Authorization": "Bearer open-sesame"}
    peer = berth.peer()
    device = berth.register("dev1", peer=peer)
    assert berth.http("GET", "/v1/devices/dev1/3/0/9", headers=ASYNC).status == 401
    number = berth.http("GET", "/v1/devices/dev1/3/0/9", headers={**ASYNC, **key}).json["id"]
    asked = device.peer.receive()
    peer.send(Coap(ACK, 0x45, asked.mid, asked.token, [(CONTENT_FORMAT, b"")], b"95"))
    told = berth.http("GET", f"/v1/requests/{number}?timeout=10s", headers=key)
    assert told.json["response"]["status"] == 200
    assert berth.http("GET", f"/v1/requests/{number}").status == 401
    berth.stop()
    assert all(b"open-sesame" not in file.read_bytes() for file in berth.data.iterdir())


def test_server_that_ends_while_requests_are_awaited_ends_well(device, berth):
    number = queue(device, "GET", "/3/0/9")
    device.expect(GET, "/3/0/9")
    waiter = Waiter(berth, number)
    berth.stop()
    waiter.connection.close()
