"""Firmware updates of the reference device over object 5, by push and pull, over every transport."""

import hashlib
import http.client
import os
import signal
import ssl
import threading
import urllib.request

import pytest
from coapraw import BLOCK2, CONTENT_FORMAT, GET, POST, PROXY_URI, PUT, SIZE2, block
from device_process import start_device  # noqa: F401
from oscore_peer import CREDENTIAL
from played_device import OPAQUE, TEXT, TLV, PlayedDevice
from test_device_oscore import CONTEXT
from test_firmware_images import put

KEY = "00112233445566778899aabbccddeeff"
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0", "coap+tcp://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")
TRANSPORTS = ["coap", "coaps", "coap+tcp", "coaps+tcp"]
FIRST_LINE = b"sensor 2.1\n"


@pytest.fixture
def berth(start_berth):
    return start_berth("--psk", f"dev1:{KEY}", listen=LISTEN)


@pytest.fixture
def start(berth, start_device):  # noqa: F811
    """start(scheme, *options): dev1, registered over that transport."""

    def start(scheme="coap", *options):
        server = next(uri for uri in berth.listeners if uri.startswith(scheme + "://"))
        secure = ("--psk", f"dev1:{KEY}") if scheme.startswith("coaps") else ()
        name = "dev1" if secure else "dev2"  # dev1 has a key, so it may not come without
        device = start_device("--server", server, "--endpoint", name, *secure, *options)
        device.line("Client registered")
        device.endpoint = name
        return device

    return start


def image_of(size):
    return FIRST_LINE + os.urandom(1024) * (size // 1024) + b"x" * (size % 1024 - len(FIRST_LINE))


def order(berth, device, image="fw", wait=True, **members):
    query = {"wait": "over", "timeout": "60s"} if wait else {}
    return berth.http("POST", f"/v1/devices/{device.endpoint}/firmware", {"image": image, **members}, within=90, **query)


def update(berth, device, **members):
    answer = order(berth, device, **members)
    assert answer.status == 200, answer.body
    return answer.json


def read_of(berth, device, path):
    """A device that has told its result may register once more: what was asked in between is gone."""
    while (answer := berth.http("GET", f"/v1/devices/{device.endpoint}{path}")).status == 410:
        pass
    assert answer.status == 200, answer.body
    return answer.json["value"]


def states(berth, device):
    """Of the events about the update, each once."""
    seen = [event["state"] for event in berth.events_after(types="firmware", endpoint=device.endpoint)]
    return [state for i, state in enumerate(seen) if i == 0 or seen[i - 1] != state]


def wait_over(berth, device, timeout="60s"):
    return berth.get(f"/v1/devices/{device.endpoint}/firmware", wait="over", timeout=timeout)


@pytest.mark.parametrize("method", ["push", "pull"])
@pytest.mark.parametrize("scheme", TRANSPORTS)
def test_FW_01_FW_03_FW_04_FW_06_update_over_every_transport(berth, start, scheme, method):
    image = image_of(100_000)
    put(berth, "fw", image)
    device = start(scheme)
    result = update(berth, device, method=method)
    assert (result["state"], result["result"], result["detail"]) == ("succeeded", 1, None), result
    assert (result["method"], result["bytes"], result["size"]) == (method, len(image), len(image))
    assert result["protocol"] == (scheme if method == "pull" else None)
    device.line(f"Package: {hashlib.sha256(image).hexdigest()}")
    assert read_of(berth, device, "/3/0/3") == "2.1"
    seen = states(berth, device)
    assert [seen[0], seen[-1]] == ["preparing", "succeeded"]
    assert [s for s in seen if s != "downloading"] == [
        "preparing", "delivering", "downloaded", "installing", "updating", "succeeded"
    ]


def test_update_of_64_MiB_over_tcp_by_push_and_pull(start_berth, start_device):  # noqa: F811
    """On the release: neither takes memory for it (what has sanitizers takes more anyhow)."""
    is_release = not os.environ.get("BERTH_RELEASE", "").endswith("dev")
    berth = start_berth(listen=LISTEN, release=True)
    image = FIRST_LINE + os.urandom(1024 * 1024) * 64
    image = image[: 64 * 1024 * 1024]
    put(berth, "fw", image)
    device = start_device("--server", berth.listeners[2], "--endpoint", "dev2")
    device.line("Client registered")
    device.endpoint = "dev2"
    for method in ["push", "pull"]:
        result = update(berth, device, method=method, update=False)
        assert (result["state"], result["device_state"]) == ("succeeded", 2), result
        device.line(f"Package: {hashlib.sha256(image).hexdigest()}")
        assert not is_release or highest_memory(berth.process) < 64 * 1024 * 1024


def highest_memory(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


@pytest.mark.parametrize("method", ["push", "pull"])
@pytest.mark.parametrize("version", ["1.0", "1.2"])
def test_update_in_other_releases_of_lwm2m(berth, start, version, method):
    put(berth, "fw", image_of(5000))
    device = start("coap", "--lwm2m", version)
    assert update(berth, device, method=method)["state"] == "succeeded"


@pytest.mark.parametrize("method", ["push", "pull"])
@pytest.mark.parametrize("place", [0, 2])
def test_update_protected_by_oscore(berth, start_device, tmp_path, place, method):  # noqa: F811
    put(berth, "fw", image_of(20_000))
    assert berth.http("PUT", "/v1/credentials/dev3", CREDENTIAL).status == 201
    device = start_device(
        "--server", berth.listeners[place], "--endpoint", "dev3", "--oscore", CONTEXT, "--state", str(tmp_path / "state")
    )
    device.line("Client registered")
    device.endpoint = "dev3"
    assert update(berth, device, method=method)["state"] == "succeeded"


def test_update_over_the_vendors_framing(berth, start):
    put(berth, "fw", image_of(20_000))
    assert update(berth, start("coap+tcp", "--framing", "pelion"))["state"] == "succeeded"


def test_auto_is_a_pull_by_the_transport_of_the_device(berth, start):
    put(berth, "fw", image_of(5000))
    result = update(berth, start("coap+tcp"))
    assert (result["state"], result["method"], result["protocol"]) == ("succeeded", "pull", "coap+tcp")


def test_download_without_update_leaves_it_downloaded(berth, start):
    put(berth, "fw", image_of(5000))
    device = start()
    result = update(berth, device, update=False)
    assert (result["state"], result["device_state"]) == ("succeeded", 2)
    assert berth.get("/v1/devices/dev2/5/0/3")["value"] == 2


def test_FW_02_an_update_after_another_resets_what_is_there(berth, start):
    put(berth, "fw", image_of(5000))
    device = start()
    assert update(berth, device, update=False)["device_state"] == 2
    assert update(berth, device, method="push")["state"] == "succeeded"
    assert update(berth, device, method="pull")["state"] == "succeeded"


# ---- failures ----

PULL_FAULTS = {"storage": 2, "memory": 3, "connection": 4, "integrity": 5, "type": 6, "uri": 7, "update": 8, "protocol": 9}
PUSH_FAULTS = {"storage": 2, "memory": 3, "integrity": 5, "type": 6, "update": 8}


@pytest.mark.parametrize(
    ("method", "fault", "number"),
    [("pull", *item) for item in PULL_FAULTS.items()] + [("push", *item) for item in PUSH_FAULTS.items()],
)
def test_FW_08_every_result_ends_the_update(berth, start, method, fault, number):
    put(berth, "fw", image_of(5000))
    device = start("coap", "--firmware-fault", fault)
    result = update(berth, device, method=method)
    assert (result["state"], result["result"]) == ("failed", number), result
    assert f"result {number}" in result["detail"]
    event = berth.events_after(types="firmware")[-1]
    assert (event["state"], event["result"]) == ("failed", number)
    assert berth.get("/v1/devices/dev2/5/0/5")["value"] == number


def test_protocol_that_the_device_does_not_have_is_its_result(berth, start):
    put(berth, "fw", image_of(5000))
    result = update(berth, start(), protocol="coap+tcp")
    assert (result["state"], result["result"]) == ("failed", 9)


@pytest.mark.parametrize(
    "scheme, number, ordered", [("http", 2, "http"), ("http", 2, "auto"), ("https", 3, "https"), ("https", 3, "auto")]
)
def test_FW_04_device_is_told_to_fetch_over_http(berth, scheme, number, ordered):
    put(berth, "fw", b"package")
    device = PlayedDevice(berth, "played", links="</5/0>")
    asked = device.ask("POST", "/firmware", {"image": "fw", "protocol": ordered, "update": False}, wait="over", timeout="20s")

    def report(state):
        answer = bytes([0xC1, 3, state, 0xC1, 5, 0, 0x83, 8, 0x41, 0, number, 0xC1, 9, 0])
        device.answer(device.expect(GET, "/5/0"), "2.05", TLV, answer)

    report(0)
    for path in ["/5/0/3", "/5/0/5"]:
        device.answer(device.expect(GET, path), "4.05")
        report(0)
    uri = device.expect(PUT, "/5/0/1")
    assert uri.payload.decode() == f"{scheme}://127.0.0.1:{berth.http_port}/v1/firmware/fw"
    device.answer(uri, "2.04")
    unchecked = ssl._create_unverified_context()
    with urllib.request.urlopen(uri.payload.decode(), timeout=30, context=unchecked) as answer:
        assert answer.read() == b"package"
    report(2)
    assert asked.answer(200).json["protocol"] == scheme


def test_image_on_another_server(berth, start, start_berth):
    other, image = start_berth(), image_of(20_000)
    put(other, "elsewhere", image)
    device = start()
    uri = f"{other.listeners[0]}/fw/elsewhere"
    answer = berth.http("POST", "/v1/devices/dev2/firmware", {"uri": uri}, wait="over", timeout="60s")
    assert (answer.json["state"], answer.json["uri"], answer.json["size"]) == ("succeeded", uri, None), answer.body
    device.line(f"Package: {hashlib.sha256(image).hexdigest()}")


def test_server_ends_while_an_order_waits_for_its_commit(berth, start):
    put(berth, "fw", image_of(5000))
    device = start()
    asked = []
    thread = threading.Thread(target=lambda: asked.append(try_order(berth, device)))
    waiting = berth.get_metric("berth_http_connections_total")
    with berth.no_commit():
        thread.start()
        while berth.get_metric("berth_store_queue_writes") == 0 and berth.get_metric("berth_http_connections_total") < waiting + 50:
            pass
        berth.process.send_signal(signal.SIGTERM)
    thread.join(20)
    berth._ended(20, 0)
    berth.start()
    answer = berth.http("GET", "/v1/devices/dev2/firmware", wait="over", timeout="60s", within=90)
    assert answer.status == 404 or answer.json["state"] == "succeeded"


def try_order(berth, device):
    try:
        return order(berth, device)
    except (OSError, http.client.HTTPException):
        return None


def test_uri_that_leads_nowhere_is_the_devices_result(berth, start):
    server = next(uri for uri in berth.listeners if uri.startswith("coap:"))
    answer = berth.http(
        "POST", f"/v1/devices/{start().endpoint}/firmware", {"uri": f"{server}/fw/none"}, wait="over", timeout="60s"
    )
    assert (answer.json["state"], answer.json["result"], answer.json["image"]) == ("failed", 7, None)


def test_device_without_object_5_fails_with_its_code(berth):
    put(berth, "fw", image_of(5000))
    device = PlayedDevice(berth, "bare")
    asked = device.ask("POST", "/firmware", {"image": "fw"}, wait="over", timeout="20s")
    device.answer(device.expect(GET, "/5/0"), "4.04")
    assert asked.answer(200).json["coap_code"] == "4.04"


def test_FW_07_update_that_is_refused_is_reported(berth):
    put(berth, "fw", b"small")
    device = PlayedDevice(berth, "played", links="</5/0>")
    asked = device.ask("POST", "/firmware", {"image": "fw", "method": "push"}, wait="over", timeout="20s")

    def report(state, result):
        device.answer(device.expect(GET, "/5/0"), "2.05", TLV, bytes([0xC1, 3, state, 0xC1, 5, result, 0xC1, 9, 1]))

    report(0, 0)
    for path in ["/5/0/3", "/5/0/5"]:
        device.answer(device.expect(GET, path), "4.05")  # can't be observed: then it is asked
        report(0, 0)
    package = device.expect(PUT, "/5/0/0")
    assert (package.payload, package.number(CONTENT_FORMAT)) == (b"small", OPAQUE)
    device.answer(package, "2.04")
    report(2, 0)
    device.answer(device.expect(POST, "/5/0/2"), "4.05")
    report(2, 0)
    result = asked.answer(200).json
    assert (result["state"], result["coap_code"], result["device_state"]) == ("failed", "4.05", 2)


def test_package_goes_as_TLV_to_a_device_that_takes_nothing_else(berth):
    put(berth, "fw", b"x" * 300)
    device = PlayedDevice(berth, "played", links="</5/0>")
    asked = device.ask("POST", "/firmware", {"image": "fw", "method": "push", "update": False}, wait="over", timeout="20s")

    def report(state):
        device.answer(device.expect(GET, "/5/0"), "2.05", TLV, bytes([0xC1, 3, state, 0xC1, 5, 0, 0xC1, 9, 1]))

    report(0)
    for path in ["/5/0/3", "/5/0/5"]:
        device.answer(device.expect(GET, path), "4.05")
        report(0)
    package = device.expect(PUT, "/5/0/0")
    assert package.number(CONTENT_FORMAT) == OPAQUE
    device.answer(package, "4.15")
    package = device.expect(PUT, "/5/0/0")
    assert (package.number(CONTENT_FORMAT), package.payload) == (TLV, bytes([0xD0, 0, 1, 44]) + b"x" * 300)
    device.answer(package, "2.04")
    report(2)
    assert asked.answer(200).json["state"] == "succeeded"


# ---- cancelling ----


def cancel(berth, device, **query):
    return berth.http("DELETE", f"/v1/devices/{device.endpoint}/firmware", **query)


def wait_for_state(berth, device, state):
    body = {"after": 0, "type": "firmware", "endpoint": device.endpoint, "match": {"state": state}, "timeout": "30s"}
    answer = berth.http("POST", "/v1/wait", body, within=60)
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("method", ["push", "pull"])
def test_update_is_cancelled_while_it_is_delivered(berth, start, method):
    size = 30_000_000  # it takes its time to push them; the pull waits for what does not come
    put(berth, "fw", image_of(size))
    berth.http("PUT", "/v1/firmware/fw/faults", {"silent_after": 1_000_000})
    device = start()
    assert order(berth, device, wait=False, method=method).status == 202
    wait_for_state(berth, device, "delivering" if method == "push" else "downloading")
    answer = cancel(berth, device, wait="over", timeout="30s")
    assert (answer.status, answer.json["state"]) == (200, "cancelled"), answer.body
    assert answer.json["bytes"] < size
    assert berth.get("/v1/devices/dev2/5/0/3")["value"] == 0
    put(berth, "fw", image_of(5000))
    assert update(berth, device, method=method)["state"] == "succeeded"


def test_update_of_a_device_that_is_gone_is_cancelled_when_it_is_back(berth, start):
    put(berth, "fw", image_of(5000))
    device = start()
    device.kill()
    assert order(berth, device, wait=False).status == 202
    assert cancel(berth, device).json["state"] == "cancelling"
    device = start()
    assert wait_over(berth, device)["state"] == "cancelled"


def test_FW_11_what_is_downloaded_is_cancelled_by_executing_Cancel(berth):
    """Seen by the device: it is in state Downloaded when the order to cancel comes."""
    put(berth, "fw", b"small")
    device = PlayedDevice(berth, "played", links="</5>;ver=1.1,</5/0>")
    asked = device.ask("POST", "/firmware", {"image": "fw", "method": "push"}, wait="over", timeout="20s")
    first = device.expect(GET, "/5/0")
    assert cancel(berth, device).status == 202
    device.answer(first, "2.05", TLV, bytes([0xC1, 3, 2, 0xC1, 5, 0]))
    device.answer(device.expect(GET, "/5/0"), "2.05", TLV, bytes([0xC1, 3, 2, 0xC1, 5, 0]))
    device.answer(device.expect(POST, "/5/0/10"), "2.04")
    device.answer(device.expect(GET, "/5/0"), "2.05", TLV, bytes([0xC1, 3, 0, 0xC1, 5, 10]))
    assert asked.answer(200).json["state"] == "cancelled"


def test_it_is_too_late_to_cancel_what_is_installed(berth):
    put(berth, "fw", b"small")
    device = PlayedDevice(berth, "played", links="</5/0>")
    asked = device.ask("POST", "/firmware", {"image": "fw", "method": "push"}, wait="over", timeout="30s")

    def report(state, result=0):
        device.answer(device.expect(GET, "/5/0"), "2.05", TLV, bytes([0xC1, 3, state, 0xC1, 5, result, 0xC1, 9, 1]))

    report(0)
    for path in ["/5/0/3", "/5/0/5"]:
        device.answer(device.expect(GET, path), "4.05")
        report(0)
    device.answer(device.expect(PUT, "/5/0/0"), "2.04")
    report(2)
    device.answer(device.expect(POST, "/5/0/2"), "2.04")
    wait_for_state(berth, device, "updating")
    assert cancel(berth, device).problem == "conflict"
    report(3)
    report(0, 1)
    assert asked.answer(200).json["state"] == "succeeded"


def test_update_that_is_over_is_forgotten(berth, start):
    put(berth, "fw", image_of(5000))
    device = start()
    update(berth, device)
    assert cancel(berth, device).status == 204
    assert cancel(berth, device).problem == "not-found"
    assert berth.http("GET", "/v1/devices/dev2/firmware").problem == "not-found"


# ---- one at a time, and with an image that stays ----


def test_one_update_at_a_time_and_its_image_stays(berth, start):
    put(berth, "fw", image_of(5000))
    device = start()
    device.kill()
    assert order(berth, device, wait=False).status == 202
    assert order(berth, device, wait=False).problem == "conflict"
    assert berth.http("DELETE", "/v1/firmware/fw").problem == "conflict"
    assert put(berth, "fw", b"other").status == 409
    assert berth.get("/v1/firmware")["items"][0]["updates"] == 1
    cancel(berth, device)
    wait_over(berth, start())
    assert berth.http("DELETE", "/v1/firmware/fw").status == 204


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"image": 1},
        {"image": "fw", "method": "x"},
        {"image": "fw", "protocol": "ftp"},
        {"image": "fw", "method": "push", "protocol": "coap"},
        {"uri": "coap://x/y", "method": "push"},
        {"uri": "x" * 256},
        {"image": "fw", "update": 1},
        {"image": "fw", "timeout": "31d"},
        {"image": "fw", "timeout": 0},
        {"image": "fw", "x": 1},
    ],
)
def test_order_that_makes_no_sense_is_refused(berth, body):
    berth.register("dev9")
    assert berth.http("POST", "/v1/devices/dev9/firmware", body).problem == "bad-body"


def test_update_of_nobody_or_with_nothing_is_refused(berth):
    berth.register("dev9")
    assert berth.http("POST", "/v1/devices/dev9/firmware", {"image": "fw"}).problem == "not-found"
    put(berth, "fw", b"x")
    assert berth.http("POST", "/v1/devices/nobody/firmware", {"image": "fw"}).problem == "not-registered"


def test_time_runs_out(berth, start):
    put(berth, "fw", image_of(5000))
    device = start("coap", "--lifetime", "86400")
    device.kill()
    assert order(berth, device, wait=False, timeout="1h").status == 202
    berth.leap("59m")
    assert berth.get("/v1/devices/dev2/firmware")["over"] is False
    berth.leap("61s")
    result = wait_over(berth, device)
    assert (result["state"], result["detail"]) == ("failed", "it was not over in time")


# ---- restarts of either side ----


@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.parametrize("method", ["push", "pull"])
@pytest.mark.parametrize("scheme", ["coap", "coaps", "coap+tcp"])
def test_FW_12_update_goes_on_after_a_restart_of_the_server(berth, start, scheme, method, end):
    image = image_of(1_000_000)
    put(berth, "fw", image)
    device = start(scheme, "--ack-timeout", "200ms")
    order(berth, device, wait=False, method=method)
    wait_for_state(berth, device, "delivering" if method == "push" else "downloading")
    getattr(berth, end)()
    berth.start()
    result = wait_over(berth, device, "100s")
    assert (result["state"], result["result"]) == ("succeeded", 1), result
    device.line(f"Package: {hashlib.sha256(image).hexdigest()}")


def test_FW_12_update_goes_on_after_the_server_has_died_while_the_device_updated(berth, start):
    put(berth, "fw", image_of(5000))
    device = start("coap", "--ack-timeout", "200ms")
    order(berth, device, wait=False)
    wait_for_state(berth, device, "updating")
    berth.kill()
    device.line("Rebooting")
    berth.start()
    assert wait_over(berth, device, "60s")["state"] == "succeeded"


@pytest.mark.parametrize("method", ["push", "pull"])
def test_update_goes_on_after_the_device_has_died(berth, start, method):
    put(berth, "fw", image_of(1_000_000))
    device = start()
    kind = {"on": "write", "direction": "out"} if method == "push" else {"on": "response", "direction": "out"}
    held = {"drop": True, "after": 20, "times": None, **kind}  # so that it dies before the package is there
    assert berth.http("PUT", "/v1/devices/dev2/faults", held).status == 204
    order(berth, device, wait=False, method=method)
    wait_for_state(berth, device, "delivering" if method == "push" else "downloading")
    device.kill()
    assert berth.http("DELETE", "/v1/devices/dev2/faults").status == 204
    device = start()
    result = wait_over(berth, device)
    assert result["state"] == "succeeded", result
    assert berth.get("/v1/devices/dev2/3/0/3")["value"] == "2.1"


def test_status_of_what_is_over_survives(berth, start):
    put(berth, "fw", image_of(5000))
    before = update(berth, start("coap", "--firmware-fault", "integrity"))
    berth.restart()
    after = berth.get("/v1/devices/dev2/firmware")
    told = ["endpoint", "state", "over", "image", "method", "protocol", "update", "result", "detail", "created_at", "ended_at"]
    assert [after[name] for name in told] == [before[name] for name in told]


def test_a_reset_forgets_updates(berth, start):
    put(berth, "fw", image_of(5000))
    update(berth, start())
    assert berth.http("POST", "/v1/reset", scope="devices").status == 204
    assert berth.http("GET", "/v1/devices/dev2/firmware").problem == "not-found"


# ---- devices that sleep, downloads that are disturbed ----


@pytest.mark.parametrize("method", ["push", "pull"])
def test_update_of_a_device_that_sleeps(berth, start, method):
    image = image_of(5000)
    put(berth, "fw", image)
    device = start("coap", "--queue", "--awake", "1s", "--lifetime", "3600")
    berth.leap("94s")
    assert berth.device("dev2")["awake"] is False
    assert order(berth, device, wait=False, method=method).status == 202
    assert berth.get("/v1/devices/dev2/firmware")["state"] == "preparing"
    for _ in range(20):  # an Update now and then is all that is heard of it
        device.command("update")
        device.line("Registration updated", timeout=20)
        answer = berth.http("GET", "/v1/devices/dev2/firmware", wait="over", timeout="3s")
        if answer.status == 200:
            break
    assert (answer.status, answer.json["state"]) == (200, "succeeded"), answer.body


def test_pull_waits_while_the_image_is_unavailable(berth, start):
    put(berth, "fw", image_of(5000))
    berth.http("PUT", "/v1/firmware/fw/faults", {"unavailable": 2, "retry_after_s": 1})
    assert update(berth, start(), method="pull")["state"] == "succeeded"


def test_pull_gives_up_when_the_image_changes_with_each_block(berth, start):
    put(berth, "fw", image_of(5000))
    berth.http("PUT", "/v1/firmware/fw/faults", {"changing_etag": True})
    result = update(berth, start(), method="pull")
    assert (result["state"], result["result"]) == ("failed", 4)


def test_progress_is_told_in_tenths(berth, start):
    put(berth, "fw", image_of(500_000))
    for method in ["push", "pull"]:
        after = berth.last_event()
        device = start()
        update(berth, device, method=method)
        events = [e for e in berth.events_after(after, types="firmware") if e["bytes"] not in (0, e["size"])]
        assert 8 <= len(events) <= 10
        assert [e["bytes"] for e in events] == sorted(e["bytes"] for e in events)
        device.close()


def test_what_was_observed_for_the_update_is_not_observed_afterwards(berth, start):
    put(berth, "fw", image_of(5000))
    device = start()
    observation = berth.http("PUT", "/v1/devices/dev2/5/0/5/observe")
    update(berth, device)
    paths = [item["paths"] for item in berth.get("/v1/devices/dev2/observations")["items"]]
    assert paths in ([["/5/0/5"]], []), (paths, observation.status)


# ---- the vendor's client: object 10252 ----


def test_FW_13_manifest_state_and_package_by_proxy(berth):
    """The manifest goes as text to 10252/0/1; the device tells 10252/0/2 and fetches the URL in it through the server."""
    image, url = image_of(1200), "https://firmware.example.com/meter.bin"
    put(berth, "meter", image, url=url)
    device = PlayedDevice(berth, "meter", links="</10252/0>", extra=["mccv=4.13.1"])
    body = {"method": "POST", "path": "/10252/0/1", "content_format": 0, "payload_b64": "AQIDBA=="}
    asked = device.ask("POST", "/requests", body)
    manifest = device.expect(POST, "/10252/0/1")
    assert (manifest.payload, manifest.number(CONTENT_FORMAT)) == (b"\1\2\3\4", TEXT)
    device.acknowledge(manifest)
    device.answer_separately(manifest, "2.04")
    asked.answer(200)
    got, number = b"", 0
    while len(got) < len(image):
        options = [(PROXY_URI, url.encode()), (BLOCK2, block(number, False, 5))]
        answer = device.peer.request(GET, "/fw", options=options)
        assert answer.code_text == "2.05" and (number > 0 or answer.number(SIZE2) == len(image))
        got, number = got + answer.payload, number + 1
    assert got == image
