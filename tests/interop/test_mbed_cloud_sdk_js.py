"""The Device Management SDK for JavaScript (mbed-cloud-sdk 2.6.10), as it is. script/test fetches it into
build/interop/mbed-cloud-sdk where there are Node and npm; elsewhere these tests are skipped."""

import itertools
import json
import os
import queue
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from berth_process import ROOT
from device_process import DeviceProcess

FOLDER = Path(__file__).parent / "mbed-cloud-sdk"
MODULES = ROOT / "build/interop/mbed-cloud-sdk/node_modules"


class SdkError(Exception):
    pass


class Session:
    """A process with the SDK, which makes the calls that it is told to make."""

    def __init__(self, **options: object):
        self.process = subprocess.Popen(
            ["node", FOLDER / "session.js", json.dumps(options)],
            env={**os.environ, "SDK_MODULES": str(MODULES)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.numbers = itertools.count(1)
        self.answers: queue.Queue = queue.Queue()
        self.told: queue.Queue = queue.Queue()
        self.hooks: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            if not line.startswith("{"):
                continue  # what the SDK has to say of its own
            message = json.loads(line)
            into = self.told if "told" in message else self.hooks if "hook" in message else self.answers
            into.put(message)

    def begin(self, api: str | None, call: str, *args: object) -> int:
        number = next(self.numbers)
        self.process.stdin.write(json.dumps({"id": number, "api": api, "call": call, "args": args}) + "\n")
        self.process.stdin.flush()
        return number

    def end(self, number: int):
        answer = self.answers.get(timeout=40)
        assert answer["id"] == number, answer
        if "error" in answer:
            raise SdkError(answer["error"])
        return answer["result"]

    def call(self, api: str | None, call: str, *args: object):
        return self.end(self.begin(api, call, *args))

    def connect(self, call: str, *args: object):
        return self.call("connect", call, *args)

    def await_value(self, value: str) -> None:
        """A subscription's function is called with it; the value that the subscription began with may come before."""
        while self.told.get(timeout=30)["told"][-1] != value:
            pass

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


@pytest.fixture(autouse=True)
def needs_sdk():
    if shutil.which("node") is None or not MODULES.exists():
        pytest.skip("script/test fetches the SDK where there are node and npm")


@pytest.fixture
def start(start_berth, tmp_path):
    """start(*options of the server, **options of the SDK) -> a session, and the device's id."""
    opened = []

    def begin(*options: str, **sdk: object):
        berth = start_berth(*options)
        device = DeviceProcess(
            tmp_path / "device.log", "--server", berth.listeners[0], "--endpoint", "dev1", "--lwm2m", "1.1"
        )
        opened.append(device)
        device.line("Device ID: ", partly=True)
        session = Session(host=f"http://127.0.0.1:{berth.http_port}", apiKey="ak_js", **sdk)
        opened.append(session)
        [found] = session.call("directory", "listDevices", {"filter": {"state": {"$eq": "registered"}}})["data"]
        assert (found["name"], found["state"], found["mechanism"]) == ("dev1", "registered", "connector")
        return session, found["id"]

    yield begin
    for process in reversed(opened):
        process.close()


def value_of(sdk: Session, id: str) -> str:
    return sdk.connect("getResourceValue", id, "/3442/0/110")["value"]


def test_list_read_write_execute(start):
    sdk, id = start()
    assert [device["id"] for device in sdk.connect("listConnectedDevices")["data"]] == [id]
    resources = {entry["path"]: entry for entry in sdk.connect("listResources", id)}
    assert resources["/3/0/0"]["observable"] is True and resources["/3/0/4"]["observable"] is False
    assert sdk.connect("getResource", id, "/3442/0/110")["path"] == "/3442/0/110"
    sdk.connect("startNotifications")
    assert value_of(sdk, id) == "initial value"
    sdk.connect("setResourceValue", id, "/3442/0/110", "hello")
    assert value_of(sdk, id) == "hello"
    sdk.connect("executeResource", id, "/3442/0/0")
    assert value_of(sdk, id) == "initial value"
    with pytest.raises(SdkError):
        sdk.connect("getResourceValue", id, "/3442/0/0")
    with pytest.raises(SdkError):
        sdk.connect("getResourceValue", id, "/7777/0/0")
    sdk.connect("stopNotifications")


def test_observe_with_an_answer_of_200(start):
    sdk, id = start("--pelion-subscribe-reply", "200")
    sdk.connect("startNotifications")
    sdk.connect("addResourceSubscription", id, "/3442/0/120", "NOTIFY")
    sdk.connect("setResourceValue", id, "/3442/0/120", "7")
    sdk.await_value("7")
    assert sdk.connect("listDeviceSubscriptions", id) in ("/3442/0/120", ["/3442/0/120"])
    sdk.connect("deleteResourceSubscription", id, "/3442/0/120")
    sdk.connect("deleteDeviceSubscriptions", id)


def test_observe_with_an_answer_of_202(start):
    """This SDK gives up waiting for the answer, but it is told."""
    sdk, id = start()
    sdk.connect("startNotifications")
    pending = sdk.begin("connect", "addResourceSubscription", id, "/3442/0/120", "NOTIFY")
    with pytest.raises(SdkError):
        sdk.end(pending)
    sdk.connect("setResourceValue", id, "/3442/0/120", "9")
    sdk.await_value("9")


def test_presubscriptions(start):
    sdk, id = start()
    sdk.connect("updatePresubscriptions", [{"deviceId": id, "resourcePaths": ["/3442/0/125"]}])
    assert sdk.connect("listPresubscriptions") == [{"deviceId": id, "resourcePaths": ["/3442/0/125"]}]
    sdk.connect("deletePresubscriptions")
    assert sdk.connect("listPresubscriptions") == []


def test_webhook(start):
    sdk, id = start(handleNotifications=True)
    assert sdk.connect("getWebhook") is None
    url = f"http://127.0.0.1:{sdk.call(None, 'listen')}/hook"
    sdk.connect("updateWebhook", url, {"authorization": "me"}, True)
    tried = sdk.hooks.get(timeout=30)["hook"]
    assert (tried["method"], tried["body"], tried["headers"]["authorization"]) == ("PUT", {}, "me")
    hook = sdk.connect("getWebhook")
    assert (hook["url"], hook["headers"]) == (url, {"authorization": "me"})
    assert value_of(sdk, id) == "initial value"
    assert "async-responses" in sdk.hooks.get(timeout=30)["hook"]["body"]
    sdk.connect("deleteWebhook")
    assert sdk.connect("getWebhook") is None
