"""Operations on a device that is there."""

import pytest

from berth_testing import DeviceAsleep, DeviceError, NotRegistered, NotSent, Problem


@pytest.fixture
def device(berth):
    device = berth.device("urn:dev:1/2")  # a name that has to be encoded
    berth.wait_registered(device.endpoint)
    return device


@pytest.fixture
def ep(device):
    return device.endpoint


def test_read_of_resource_instance_and_object(berth, ep):
    assert berth.read(ep, "/3/0/0") == "Berth"
    assert berth.read(ep, "3/0")[7] == {0: 3800}
    assert berth.read(ep, "/3")[0][9] == 95
    assert berth.read_data(ep, "/3/0/9", names=True)["name"] == "Battery Level"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/3442/0/110", "true"),  # text that would be something else in JSON
        ("/3442/0/120", -(2**63)),
        ("/3442/0/130", 2.5),
        ("/3442/0/140", False),
        ("/3442/0/150", b"\x00\xff"),
        ("/3442/0/160", 1700000000),
        ("/3442/0/170", "3:0"),
        ("/3442/0/1110", {0: "a", 65534: "b"}),
    ],
)
def test_what_is_written_is_read(berth, ep, path, value):
    berth.write(ep, path, value)
    assert berth.read(ep, path) == value


def test_partial_update_leaves_the_rest(berth, ep):
    berth.write(ep, "/3442/0/1110", {0: "a"})
    berth.write_partial(ep, "/3442/0/1110", {2: "c"})
    assert berth.read(ep, "/3442/0/1110") == {0: "a", 2: "c"}


def test_execute(berth, ep, device):
    berth.write(ep, "/3442/0/110", "changed")
    berth.execute(ep, "/3442/0/0")
    assert berth.read(ep, "/3442/0/110") == "initial value"


def test_create_tells_the_path_and_delete_takes_it(berth, ep):
    assert berth.create(ep, "/3303", {5700: 3.5}, instance=7) == "/3303/7"
    path = berth.create(ep, "/3303", {5700: 4.5})
    assert berth.read(ep, path + "/5700") == 4.5
    berth.delete(ep, path)
    with pytest.raises(DeviceError, match=r"4\.04 Not Found") as caught:
        berth.read(ep, path)
    assert caught.value.coap_code == "4.04"


def test_attributes_are_seen_by_discover(berth, ep):
    berth.write_attributes(ep, "/3303/0/5700", pmin=5)
    assert berth.discover(ep, "/3303/0")["/3303/0/5700"] == {"pmin": "5"}


def test_composites(berth, ep):
    berth.write_composite(ep, {"/3/0/14": "+05:00", "/3442/0/150": b"\x07"})
    assert berth.read_composite(ep, ["/3/0/14", "/3442/0/150"]) == {"/3/0/14": "+05:00", "/3442/0/150": b"\x07"}


def test_observation_tells_what_changes(berth, ep, device):
    with berth.observe(ep, "/3303/0/5700") as observation:
        assert observation.value == 20.0
        assert [one["id"] for one in berth.observations(ep)] == [observation.number]
        with observation.expecting(gte=25) as warm:
            device.set("/3303/0/5700", 26)
        assert warm["value"] == 26.0
        device.set("/3303/0/5700", 27)
        assert observation.expect(27.0, after=warm.event)["id"] > warm["id"]
        assert observation.expect(20.0)["id"] < warm["id"]
    assert berth.observations(ep) == []


def test_composite_observation_has_values_by_path(berth, ep, device):
    observation = berth.observe_composite(ep, ["/3/0/9", "/3303/0/5700"])
    assert observation.value == {"/3/0/9": 95, "/3303/0/5700": 20.0}
    device.set("/3/0/9", 44)
    assert observation.expect(44, path="/3/0/9")["path"] == "/3/0/9"
    observation.cancel()
    device.expect("observation_ended")


def test_raw_request_tells_an_error_of_the_device_as_its_answer(berth, ep):
    assert berth.request(ep, "GET", "/3/0/9", accept="text")["payload_b64"] == "OTU="
    assert berth.request(ep, "GET", "/9999/0/0")["code"] == "4.04"


def test_ping_and_triggers(berth, ep):
    assert berth.ping(ep)["retransmissions"] == 0
    before = berth.cursor()
    assert berth.trigger_update(ep)["endpoint"] == ep
    berth.expect("updated", endpoint=ep, after=before)
    with berth.expecting_sequence("deregistered", "registered", endpoint=ep) as events:
        berth.disable(ep, "1s")
    assert [event["type"] for event in events.events] == ["deregistered", "registered"]


def test_queued_request_waits_for_a_sleeping_device(berth):
    device = berth.device("sleeper", "--queue", "--awake", "1s")
    berth.call("PUT", "/v1/devices/sleeper/queue", {"awake_window": "1s"})
    berth.wait_registered("sleeper")
    berth.leap("5s")
    with pytest.raises(DeviceAsleep):
        berth.read("sleeper", "/3/0/9")
    reading = berth.queue("GET", "sleeper", "/3/0/9", expires="1h")
    writing = berth.queue("PUT", "sleeper", "/3/0/14", "+07:00")
    dropped = berth.queue("GET", "sleeper", "/3/0/0")
    assert (reading.state, writing.state) == ("queued", "queued")
    dropped.cancel()
    device.update()
    assert reading.value() == 95
    assert writing.wait().status == 204
    assert device.read("/3/0/14") == "+07:00"
    with pytest.raises(Problem) as caught:
        dropped.wait()
    assert caught.value.status == 410


def test_errors_have_classes_and_say_what_the_server_said(berth, ep):
    with pytest.raises(NotRegistered, match='GET /v1/devices/nobody/3: 404 .*No device "nobody" is registered'):
        berth.read("nobody", "/3")
    with pytest.raises(NotSent, match=r"depth came with LwM2M 1\.2"):
        berth.discover(ep, "/3", depth=1)
    with pytest.raises(Problem, match="/3/0/14: text is expected") as caught:
        berth.write(ep, "/3/0/14", 5)
    assert (caught.value.kind, caught.value.status) == ("bad-body", 400)
