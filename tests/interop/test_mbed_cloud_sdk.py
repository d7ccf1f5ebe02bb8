"""The Device Management SDK for Python (mbed-cloud-sdk 2.2.0), as it is. Skipped where it is not installed: it wants
urllib3 before version 2, and names that Python 3.10 has moved."""

import collections
import collections.abc
import inspect
import json
import time
import warnings

import pytest

for name in (
    "Mapping",
    "MutableMapping",
    "Sequence",
    "Callable",
    "Iterable",
    "Hashable",
):
    if not hasattr(collections, name):
        setattr(collections, name, getattr(collections.abc, name))
if not hasattr(inspect, "getargspec"):
    inspect.getargspec = inspect.getfullargspec
mbed_cloud = pytest.importorskip("mbed_cloud")

from callback_receiver import Receiver
from device_process import DeviceProcess


@pytest.fixture
def device(berth, tmp_path):
    process = DeviceProcess(
        tmp_path / "device.log",
        "--server",
        berth.listeners[0],
        "--endpoint",
        "dev1",
        "--lwm2m",
        "1.1",
    )
    process.line("Device ID: ", partly=True)
    yield process
    process.close()


@pytest.fixture
def options(berth):
    return {"host": f"http://127.0.0.1:{berth.http_port}", "api_key": "ak_sdk"}


@pytest.fixture
def connect(options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        api = mbed_cloud.ConnectAPI(options)
    api.start_notifications()
    yield api
    api.stop_notifications()


def the_id(options) -> str:
    [found] = mbed_cloud.DeviceDirectoryAPI(options).list_devices(
        filters={"state": {"$eq": "registered"}}
    )
    assert (found.name, found.state) == ("dev1", "registered")
    return found.id


def test_list_read_write_execute(device, options, connect):
    id = the_id(options)
    assert [entry.id for entry in connect.list_connected_devices()] == [id]
    assert any(entry.path.startswith("/3") for entry in connect.list_resources(id))
    assert connect.get_resource_value(id, "/3442/0/110") == "initial value"
    connect.set_resource_value(id, "/3442/0/110", "hello")
    assert connect.get_resource_value(id, "/3442/0/110") == "hello"
    connect.execute_resource(id, "/3442/0/0")
    assert connect.get_resource_value(id, "/3442/0/110") == "initial value"


def test_subscribe_and_presubscribe(device, options, connect):
    id, seen = the_id(options), []
    connect.add_resource_subscription_async(
        id, "/3442/0/120", lambda *told: seen.append(told)
    )
    deadline = time.monotonic() + 20
    value = 0
    while not seen and time.monotonic() < deadline:
        value += 1
        connect.set_resource_value(id, "/3442/0/120", str(value))
    assert seen[0][:2] == (id, "/3442/0/120")
    connect.delete_resource_subscription(id, "/3442/0/120")
    connect.update_presubscriptions(
        [{"device_id": id, "resource_paths": ["/3442/0/125"]}]
    )
    [entry] = connect.list_presubscriptions()
    assert (entry.device_id, entry.resource_paths) == (id, ["/3442/0/125"])
    assert connect.list_device_subscriptions(id) == ["/3442/0/125"]


def test_webhook(device, options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connect = mbed_cloud.ConnectAPI(options)
    id, receiver = the_id(options), Receiver()
    try:
        connect.update_webhook(receiver.url, headers={"authorization": "me"})
        _, _, headers, document = receiver.requests.get(timeout=30)
        assert (document, headers["Authorization"]) == ({}, "me")
        hook = connect.get_webhook()
        assert (hook.url, hook.headers) == (receiver.url, {"authorization": "me"})
        answer = connect.get_resource_value_async(id, "/3442/0/110")
        connect.notify_webhook_received(json.dumps(receiver.document()))
        assert answer.wait(30) == "initial value"
        connect.delete_webhook()
        assert receiver.requests.empty()
    finally:
        receiver.close()
