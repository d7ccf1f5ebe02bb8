"""berth-server and berth-device together over time: attributes, sleep, restarts, reboots, values that change on their own.

Each has a clock of its own; both are leapt."""

import base64
import threading
from datetime import datetime

import pytest
from device_process import DeviceProcess, start_device  # noqa: F401

ASYNC = {"Prefer": "respond-async"}
LEVEL, TEMPERATURE, UNSIGNED, SWITCH = "/3/0/9", "/3303/0/5700", "/3442/0/125", "/3201/0/5550"


class Together:
    def __init__(self, berth, device: DeviceProcess, endpoint: str):
        self.berth, self.device, self.endpoint = berth, device, endpoint

    def http(self, method: str, path: str, *args, status: int, **kwargs):
        answer = self.berth.http(method, f"/v1/devices/{self.endpoint}{path}", *args, **kwargs)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.body.decode()}"
        return answer

    def value(self, path: str):
        return self.http("GET", path, status=200).json["value"]

    def observe(self, path: str, **kwargs) -> int:
        return int(self.http("PUT", f"{path}/observe", status=200, **kwargs).headers["Observation"])

    def change(self, path: str, value: object) -> None:
        self.device.command(f"set {path} {value}")
        self.device.settle()

    def leap(self, seconds: int) -> None:
        self.device.command(f"clock +{seconds}s")
        self.device.settle()
        self.berth.leap(f"{seconds}s")

    def fall_asleep(self) -> None:
        self.device.command("clock +94s")
        self.device.line("Asleep")
        self.berth.leap("94s")
        assert not self.berth.device(self.endpoint)["awake"]

    def queue(self, method: str, path: str, *args, **kwargs) -> int:
        return self.http(method, path, *args, headers=ASYNC, status=202, **kwargs).json["id"]

    def over(self, number: int) -> dict:
        return self.berth.get(f"/v1/requests/{number}", timeout="20s")

    def event(self, type: str, after: int) -> dict:
        return self.berth.await_event(type, self.endpoint, after)

    def told(self, after: int) -> list:
        """What has been notified since then. The device is asked something, and its answer comes after all that it has told."""
        self.http("GET", "/3/0/0", status=200)
        return [
            event["value"] for event in self.berth.events_after(after, types="notification", endpoint=self.endpoint)
        ]


@pytest.fixture
def meet(berth, start_device):  # noqa: F811
    """meet("--queue") -> a server and a device that has registered with it."""

    def meet(*options: str, endpoint: str = "dev1", lifetime: int = 86400) -> Together:
        device = start_device(
            "--server", berth.listeners[0], "--endpoint", endpoint, "--lifetime", str(lifetime), *options
        )
        device.line("Device ID: ", partly=True)
        return Together(berth, device, endpoint)

    return meet


# ---- attributes ----


def test_NTF_01_ATT_10_not_before_pmin_and_not_after_pmax(meet):
    pair = meet()
    pair.http("PUT", f"{LEVEL}/attributes", {"pmin": 30, "pmax": 45}, status=204)
    pair.observe(LEVEL)
    after = pair.berth.last_event()
    pair.change(LEVEL, 80)
    pair.leap(29)
    assert pair.told(after) == []
    pair.leap(1)
    assert pair.told(after) == [80]
    pair.leap(44)
    assert pair.told(after) == [80]
    pair.leap(1)
    assert pair.told(after) == [80, 80]


def test_ATT_07_a_lower_level_goes_before_a_higher_one_and_both_before_the_server_object(meet):
    pair = meet()
    pair.http("PUT", "/1/0/3", "20", headers={"Content-Type": "text/plain"}, status=204)
    pair.observe(LEVEL)
    for path, pmax in [(None, 20), ("/3", 40), ("/3/0", 30), (LEVEL, 50)]:
        if path is not None:
            pair.http("PUT", f"{path}/attributes", {"pmax": pmax}, status=204)
            pair.http("DELETE", f"{LEVEL}/observe", status=204)
            pair.observe(LEVEL)
        after = pair.berth.last_event()
        pair.leap(pmax - 1)
        assert pair.told(after) == [], path
        pair.leap(1)
        assert pair.told(after) == [95], path


@pytest.mark.parametrize(
    ("path", "attributes", "course"),
    [
        (LEVEL, {"gt": 90}, [(92, False), (89, True), (80, False), (91, True)]),
        (LEVEL, {"lt": 20}, [(21, False), (19, True), (18, False), (30, True)]),
        (LEVEL, {"st": 5}, [(91, False), (90, True), (94, False), (95, True)]),
        (LEVEL, {"gt": 50, "lt": 20}, [(60, False), (40, True), (30, False), (10, True), (70, True)]),
        (TEMPERATURE, {"gt": 25.5}, [(25.5, False), (25.6, True), (30, False), (25.4, True)]),
        (TEMPERATURE, {"st": 0.5}, [(20.4, False), (20.5, True), (20.1, False), (19.9, True)]),
        (UNSIGNED, {"lt": 1000}, [(1000, False), (999, True), (5000, True)]),
        (UNSIGNED, {"st": 10}, [(18446744073709551606, False), (18446744073709551605, True)]),  # of 64 bits
        (SWITCH, {"edge": 1}, [(1, True), (0, False), (1, True)]),
        (SWITCH, {"edge": 0}, [(1, False), (0, True)]),
    ],
)
def test_NTF_09_leshan_WriteAttributeObserve_thresholds_steps_and_edges(meet, path, attributes, course):
    pair = meet("--lwm2m", "1.2")
    pair.http("PUT", f"{path}/attributes", attributes, status=204)
    pair.observe(path)
    for value, is_told in course:
        after = pair.berth.last_event()
        pair.change(path, value)
        told = value if value < 1 << 63 else str(value)
        assert pair.told(after) == ([told] if is_told else []), value


@pytest.mark.parametrize("level", ["/3303", "/3303/0", TEMPERATURE])
def test_leshan_WriteAttributeObserve_periods_are_inherited_and_thresholds_wait_for_them(meet, level):
    pair = meet()
    pair.http("PUT", f"{level}/attributes", {"pmin": 10, "pmax": 60}, status=204)
    pair.http("PUT", f"{TEMPERATURE}/attributes", {"gt": 25}, status=204)
    pair.observe(TEMPERATURE)
    after = pair.berth.last_event()
    pair.change(TEMPERATURE, 30)
    pair.leap(9)
    assert pair.told(after) == []
    pair.leap(1)
    assert pair.told(after) == [30]
    pair.leap(60)
    assert pair.told(after) == [30, 30]


def test_ATT_09_attributes_that_change_during_an_observation_hold_when_it_is_begun_again(meet):
    pair = meet()
    pair.http("PUT", f"{LEVEL}/attributes", {"st": 50}, status=204)
    pair.observe(LEVEL)
    after = pair.berth.last_event()
    pair.change(LEVEL, 80)
    assert pair.told(after) == []
    pair.http("PUT", f"{LEVEL}/attributes", {"st": None}, status=204)
    pair.http("DELETE", f"{LEVEL}/observe", status=204)
    pair.observe(LEVEL)
    after = pair.berth.last_event()
    pair.change(LEVEL, 79)
    assert pair.told(after) == [79]


def test_NTF_02_periods_asked_for_with_an_observe_go_before_those_attached(meet):
    pair = meet("--lwm2m", "1.2")
    pair.http("PUT", f"{LEVEL}/attributes", {"pmax": 1000}, status=204)
    pair.http("PUT", f"{LEVEL}/observe", {"pmax": 20}, status=200)
    after = pair.berth.last_event()
    pair.leap(20)
    assert pair.told(after) == [95]
    assert pair.http("GET", f"{LEVEL}/discover", status=200).json["links"][0]["attributes"] == {"pmax": "1000"}


# ---- asleep ----


def test_QM_03_QM_04_what_is_queued_is_delivered_in_order_when_the_device_wakes(meet):
    pair = meet("--queue")
    pair.fall_asleep()
    assert pair.berth.http("GET", f"/v1/devices/dev1{LEVEL}").problem == "asleep"
    numbers = [
        pair.queue("PUT", "/3/0/14", {"value": "+05"}),
        pair.queue("GET", "/3/0/14"),
        pair.queue("PUT", f"{LEVEL}/observe"),
        pair.queue("PUT", "/3/0/14", {"value": "+06"}),
        pair.queue("GET", "/3/0/14"),
        pair.queue("POST", "/composite/read", {"paths": ["/3/0/14", LEVEL]}),
        pair.queue("GET", "/3/0/99"),
    ]
    assert [item["id"] for item in pair.http("GET", "/queue", status=200).json["items"]] == numbers
    after = pair.berth.last_event()
    pair.device.command("update")
    results = [pair.over(number) for number in numbers]
    assert [result["state"] for result in results] == ["completed"] * len(numbers)
    assert [result["response"]["status"] for result in results] == [204, 200, 200, 204, 200, 200, 404]
    read = [results[i]["response"]["body"] for i in (1, 4, 5)]
    assert (read[0]["value"], read[1]["value"], read[2]["resources"][LEVEL]["value"]) == ("+05", "+06", 95)
    told = [event["request"] for event in pair.berth.events_after(after, types="request_completed")]
    assert told == numbers
    pair.change(LEVEL, 50)
    assert pair.told(after)[-1] == 50


def test_NTF_05_QM_02_observation_goes_on_over_a_sleep_and_its_notification_wakes_the_device(meet):
    pair = meet("--queue")
    pair.observe(LEVEL)
    pair.fall_asleep()
    number = pair.queue("GET", "/3/0/0")
    after = pair.berth.last_event()
    pair.change(LEVEL, 50)
    assert pair.event("notification", after)["value"] == 50
    pair.event("awake", after)
    assert pair.over(number)["response"]["status"] == 200


def test_QM_08_NTF_08_queue_and_observation_of_a_sleeping_device_outlive_a_killed_server(meet):
    pair = meet("--queue")
    observation = pair.observe(LEVEL)
    pair.fall_asleep()
    numbers = [pair.queue("PUT", "/3/0/14", {"value": "+05"}), pair.queue("GET", "/3/0/14")]
    pair.berth.kill()
    pair.berth.start()
    (item,) = pair.berth.get("/v1/devices/dev1/observations")["items"]
    assert (item["id"], item["state"]) == (observation, "active")
    assert [item["id"] for item in pair.http("GET", "/queue", status=200).json["items"]] == numbers
    after = pair.berth.last_event()
    pair.change(LEVEL, 50)
    event = pair.event("notification", after)
    assert (event["observation"], event["value"]) == (observation, 50)
    assert [pair.over(number)["response"]["status"] for number in numbers] == [204, 200]
    assert pair.over(numbers[1])["response"]["body"]["value"] == "+05"


def test_QM_06_device_that_registers_anew_keeps_its_queue_and_is_observed_first(meet):
    pair = meet("--queue")
    observation = pair.observe(LEVEL)
    pair.fall_asleep()
    number = pair.queue("GET", "/3/0/0")
    after = pair.berth.last_event()
    pair.device.command("register")
    started = pair.event("observe_started", after)
    assert (started["observation"], started["detail"]) == (observation, "begun again")
    assert pair.over(number)["response"]["body"]["value"]
    assert pair.event("request_completed", after)["id"] > started["id"]
    pair.device.line(f"Observation of {LEVEL[1:]} began")
    after = pair.berth.last_event()
    pair.change(LEVEL, 50)
    assert pair.told(after) == [50]


def test_QM_07_device_that_deregisters_fails_what_waits(meet):
    pair = meet("--queue")
    pair.fall_asleep()
    number = pair.queue("GET", "/3/0/0")
    pair.device.command("deregister")
    result = pair.over(number)
    assert (result["state"], result["response"]["status"]) == ("failed", 410)


def test_QM_01_device_of_1_0_in_queue_mode(meet):
    pair = meet("--queue", "--lwm2m", "1.0")
    device = pair.berth.device("dev1")
    assert (device["version"], device["queue_mode"], device["awake"]) == ("1.0", True, True)
    pair.fall_asleep()
    number = pair.queue("GET", LEVEL)
    pair.device.command("update")
    assert pair.over(number)["response"]["body"]["value"] == 95


def test_NTF_05_what_a_deaf_device_kept_is_told_in_order_with_its_times(meet):
    pair = meet()
    pair.observe(LEVEL, format="senml-cbor")
    after = pair.berth.last_event()
    pair.device.command("sleep")
    for value in (70, 60, 50):
        pair.change(LEVEL, value)
        pair.leap(10)
    pair.device.command("wake")
    assert pair.told(after) == [70, 60, 50]
    events = pair.berth.events_after(after, types="notification")
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert [round((later - times[0]).total_seconds()) for later in times] == [0, 10, 20]


# ---- reboot and reset ----


def test_NTF_08_reboot_is_followed_by_the_observations_without_anybody_asking(meet):
    pair = meet("--lwm2m", "1.2")
    single = pair.observe(LEVEL)
    composite = int(
        pair.http("POST", "/composite/observe", {"paths": [TEMPERATURE, "/3/0/14"]}, status=200).headers["Observation"]
    )
    after = pair.berth.last_event()
    pair.http("POST", "/3/0/4", status=204)
    assert pair.event("replaced", after)["previous"]
    first = pair.event("observe_started", after)
    second = pair.event("observe_started", first["id"])
    assert {(event["observation"], event["detail"].split(": ")[-1]) for event in (first, second)} == {
        (single, "begun again"),
        (composite, "begun again"),
    }
    after = pair.berth.last_event()
    pair.change(LEVEL, 50)
    assert pair.told(after) == [50]
    pair.change(TEMPERATURE, 33)
    assert pair.told(after) == [50, 33, "+00:00"]


def test_factory_reset_takes_back_what_was_written_and_the_observation_is_begun_again(meet):
    pair = meet()
    first = pair.value("/3/0/14")
    pair.http("PUT", "/3/0/14", {"value": "+05"}, status=204)
    pair.http("PUT", f"{LEVEL}/attributes", {"pmin": 1000}, status=204)
    observation = pair.observe(LEVEL)
    after = pair.berth.last_event()
    pair.http("POST", "/3/0/5", status=204)
    assert pair.event("observe_started", after)["observation"] == observation
    assert pair.value("/3/0/14") == first
    assert pair.http("GET", f"{LEVEL}/discover", status=200).json["links"][0]["attributes"] == {}
    after = pair.berth.last_event()
    pair.change(LEVEL, 50)
    assert pair.told(after) == [50]


def test_created_instance_is_gone_after_a_factory_reset_and_its_observation_ends(meet):
    pair = meet()
    pair.http("POST", "/3303", {"instance": 5, "resources": {}}, status=201)
    observation = pair.observe("/3303/5/5700")
    after = pair.berth.last_event()
    pair.http("POST", "/3/0/5", status=204)
    ended = pair.event("observe_ended", after)
    assert (ended["observation"], ended["coap_code"]) == (observation, "4.04")
    assert "/3303/5" not in [item["path"] for item in pair.berth.device("dev1")["objects"]]


def test_disable_deregisters_and_what_was_observed_ends(meet):
    pair = meet()
    pair.observe(LEVEL)
    after = pair.berth.last_event()
    pair.http("POST", "/disable", {"timeout": "60s"}, status=204)
    pair.event("deregistered", after)
    assert pair.event("observe_ended", after)["detail"] == "the device has deregistered"
    pair.device.line("Disabled: ", partly=True)
    pair.device.command("clock +60s")
    pair.event("registered", after)
    assert pair.berth.get("/v1/devices/dev1/observations")["items"] == []


def test_update_trigger_is_awaited(meet):
    pair = meet()
    before = pair.berth.device("dev1")["updated_at"]
    answer = pair.http("POST", "/update", {}, wait=1, status=200)
    assert answer.json["endpoint"] == "dev1" and answer.json["updated_at"] >= before


# ---- a large resource ----


def content(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def test_BLK_large_resource_is_read_again_after_a_restart_in_the_middle(meet):
    size = 1_000_000
    pair = meet("--large", str(size), "--block-size", "64")
    broken = []

    def read() -> None:
        try:
            pair.berth.http("GET", "/v1/devices/dev1/5000/0/0", headers={"Accept": "application/octet-stream"})
        except OSError as error:
            broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    pair.device.line("Request: GET /5000/0/0 -> 2.05")  # as soon as the first of its blocks is told
    pair.berth.kill()
    reader.join()
    assert broken
    pair.berth.start()
    answer = pair.http("GET", "/5000/0/0", headers={"Accept": "application/octet-stream"}, format="opaque", status=200)
    assert answer.body == content(size)


def test_QM_08_read_of_a_large_resource_that_a_kill_interrupts_is_run_again(meet):
    size = 1_000_000
    pair = meet("--queue", "--large", str(size), "--block-size", "64")
    pair.fall_asleep()
    number = pair.queue("GET", "/5000/0/0", format="opaque")
    pair.device.command("update")
    pair.device.line("Request: GET /5000/0/0 -> 2.05")  # as soon as the first of its blocks is told
    pair.berth.kill()
    pair.berth.start()
    assert pair.berth.get(f"/v1/requests/{number}")["state"] == "queued"
    pair.device.command("update")
    result = pair.over(number)
    assert base64.b64decode(result["response"]["body"]["value"]) == content(size)


def test_BLK_large_instance_is_observed_and_fetched_to_its_end(meet):
    pair = meet("--large", "20000")
    pair.observe("/5000/0")
    after = pair.berth.last_event()
    pair.http("PUT", "/5000/0/1", {"type": "integer", "value": 30000}, status=204)
    event = pair.event("notification", after)
    assert (event["path"], base64.b64decode(event["value"])) == ("/5000/0/0", content(30000))


# ---- on its own ----


def test_values_that_change_on_their_own_are_told(meet):
    pair = meet("--tick", "10s", "--seed", "7")
    number = pair.observe(TEMPERATURE)
    after = pair.berth.last_event()
    for _ in range(5):
        pair.leap(10)
    told = pair.told(after)
    assert 1 < len(told) <= 5 and told[-1] == pair.value(TEMPERATURE)
    assert all(0 < abs(a - b) < 2 for a, b in zip(told, told[1:], strict=False))
    sequences = [event["sequence"] for event in pair.berth.events_after(after, types="notification")]
    assert sequences == sorted(sequences)
    (item,) = pair.berth.get("/v1/devices/dev1/observations")["items"]
    assert (item["id"], item["notifications"], item["last"]["value"]) == (
        number,
        1 + len(told),
        told[-1],
    )


def test_lifetime_that_runs_out_ends_the_observation_and_the_next_register_begins_none(meet):
    pair = meet(lifetime=60)
    pair.observe(LEVEL)
    after = pair.berth.last_event()
    pair.berth.leap("160s")
    assert pair.event("observe_ended", after)["detail"] == "the registration has expired"
    pair.device.command("update")
    pair.event("registered", after)
    assert pair.berth.get("/v1/devices/dev1/observations")["items"] == []


# ---- several at once ----


def test_several_devices_at_once_are_not_taken_for_each_other(meet):
    pairs = [meet("--lwm2m", ("1.0", "1.1", "1.2")[i % 3], endpoint=f"dev{i}") for i in range(6)]
    berth = pairs[0].berth
    numbers = {pair.endpoint: pair.observe(LEVEL) for pair in pairs}
    assert len(set(numbers.values())) == len(pairs)
    errors: list = []

    def use(i: int, pair: Together) -> None:
        try:
            for round in range(5):
                pair.http("PUT", "/3/0/14", {"value": f"+0{i}"}, status=204)
                pair.change(LEVEL, 10 * i + round)
                assert pair.value("/3/0/14") == f"+0{i}"
                assert pair.value(LEVEL) == 10 * i + round
            pair.http("POST", "/3/0/4", status=204)
        except Exception as error:  # told by the test itself
            errors.append((pair.endpoint, error))

    after = berth.last_event()
    threads = [threading.Thread(target=use, args=(i, pair)) for i, pair in enumerate(pairs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for i, pair in enumerate(pairs):
        started = pair.event("observe_started", after)
        assert started["observation"] == numbers[pair.endpoint]
        told = [event["value"] for event in berth.events_after(after, types="notification", endpoint=pair.endpoint)]
        assert told == [10 * i + round for round in (0, 1, 2, 3, 4, 4)]
