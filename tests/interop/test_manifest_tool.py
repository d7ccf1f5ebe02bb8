"""The vendor's tool for firmware updates (manifest-tool 2.6.2), as it is: it puts an image and a manifest, and runs a campaign
to its end. Skipped where it is not installed: script/test does that."""

import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from coapraw import ACK, CONTENT_FORMAT, GET, POST
from device_process import start_device  # noqa: F401
from observed_device import ObservedDevice
from pelion_client import PelionClient
from played_device import OPAQUE, TEXT, path_of

FETCHED = Path(__file__).parents[2] / "build/interop/manifest-tool/bin"
TOOL = shutil.which("manifest-dev-tool", path=f"{FETCHED}:{os.environ.get('PATH', '')}")
pytestmark = pytest.mark.skipif(TOOL is None, reason="manifest-tool is not installed")

VENDOR, CLASS = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture
def pelion(berth):
    client = PelionClient(berth.http_port)
    client.call("GET", "/v3/devices")
    return client


@pytest.fixture
def tool(berth, tmp_path):
    """tool(...) -> a tool that is under way; it has been set up for this server, and there is new firmware."""
    (tmp_path / "firmware.bin").write_bytes(os.urandom(20000))

    def run(*arguments: str) -> subprocess.Popen:
        return subprocess.Popen(
            [TOOL, *arguments],
            cwd=tmp_path,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    started = run(
        *("init", "--access-key", "ak_test", "--api-url", f"http://127.0.0.1:{berth.http_port}"),
        *("--vendor-id", str(VENDOR), "--class-id", str(CLASS)),
    )
    said = started.communicate(timeout=60)[0]
    assert started.returncode == 0, said
    return lambda *more: run("update", "--payload-path", "firmware.bin", "--fw-version", "2.0.0", *more)


def ended(started: subprocess.Popen) -> str:
    try:
        return started.communicate(timeout=90)[0]
    finally:
        started.kill()


def nothing_is_left(pelion: PelionClient) -> None:
    for kind in ("update-campaigns", "firmware-manifests", "firmware-images"):
        assert pelion.call("GET", f"/v3/{kind}")[1]["data"] == [], kind


def test_a_device_with_object_5_is_updated(berth, pelion, tool, start_device, tmp_path):  # noqa: F811
    fields = {"endpoint_name": "dev1", "vendor_id": VENDOR.hex, "device_class": CLASS.hex}
    assert pelion.call("POST", "/v3/devices", fields)[0] == 201
    start_device("--server", berth.listeners[0], "--endpoint", "dev1").line("Device ID: ", partly=True)
    started = tool("--wait-for-completion", "--timeout", "80")
    said = ended(started)
    assert started.returncode == 0 and "Successfully updated:   1" in said, said
    nothing_is_left(pelion)


def test_a_device_with_object_10252_gets_the_signed_manifest(berth, pelion, tool):
    device = ObservedDevice(berth, "meter", links="</10252/0>,</10255/0>")
    for path, value in (("/10255/0/3", VENDOR.bytes), ("/10255/0/4", CLASS.bytes)):
        device.answer(device.expect(GET, path), "2.05", OPAQUE, value)
    started = tool("--wait-for-completion", "--timeout", "80")
    first = device.peer.receive(60)
    assert first is not None and path_of(first) == "/10252/0/2", "the device was asked nothing"
    device.answer_observe(first, 1, TEXT, b"1")
    message = device.expect_observe("/10252/0/3")
    device.answer_observe(message, 1, TEXT, b"-1")
    manifest = device.expect(POST, "/10252/0/1")
    [image] = pelion.call("GET", "/v3/firmware-images")[1]["data"]
    assert image["datafile"].encode() in manifest.payload and manifest.number(CONTENT_FORMAT) == TEXT
    device.answer(manifest, "2.04")
    assert device.send_and_see(device.notification(message.token, 2, b"18")) == ACK
    said = ended(started)
    assert started.returncode == 0 and "Successfully updated:   1" in said, said
    nothing_is_left(pelion)


def test_without_a_device_the_tool_says_why(pelion, tool):
    started = tool("--wait-for-completion", "--timeout", "80")
    said = ended(started)
    assert started.returncode != 0 and "No device fulfils the filter." in said, said
