"""berth-server and berth-device as a pair, for each release of LwM2M: what the matrix of tests is about.

A module that imports the fixture `pair` runs its tests once for each release, with one server and one device.
"""

from __future__ import annotations

import pytest
from berth_process import Berth, Response
from conftest import close_all
from device_process import DeviceProcess

NUMBERS = {
    "text": 0,
    "opaque": 42,
    "cbor": 60,
    "senml-json": 110,
    "senml-cbor": 112,
    "tlv": 11542,
    "json": 11543,
    "lwm2m-cbor": 11544,
}
SINCE = {
    "text": "1.0",
    "opaque": "1.0",
    "cbor": "1.1",
    "senml-json": "1.1",
    "senml-cbor": "1.1",
    "tlv": "1.0",
    "json": "1.0",
    "lwm2m-cbor": "1.2",
}
SINGLE = ["text", "cbor"]  # formats of one value, but for opaque
MANY = ["senml-json", "senml-cbor", "tlv", "json", "lwm2m-cbor"]
VERSIONS = ["1.0", "1.1", "1.2"]

# Of the test object: type, the first value, and another one; as the API and as the device's shell tell them.
VALUES = {
    110: ("string", "initial value", 'zażółć "x"', 'zażółć "x"'),
    120: ("integer", 1024, -9007199254740993, "-9007199254740993"),
    125: ("unsigned", 18446744073709551615, 9223372036854775808, "9223372036854775808"),
    130: ("float", 3.14159, -0.5, "-0.5"),
    140: ("boolean", True, False, "0"),
    150: ("opaque", "ASNFZ4mrze8=", "AP8=", "AP8="),
    160: ("time", 946684800, 1367491215, "1367491215"),
    170: ("objlnk", "3:0", "66:613", "66:613"),
    180: ("corelnk", "</3/0>", "</1/0>,</3/0>", "</1/0>,</3/0>"),
}


class Pair:
    endpoint = "dev1"

    def __init__(self, berth: Berth, device: DeviceProcess, version: str):
        self.berth, self.device, self.version = berth, device, version

    def speaks(self, format: str) -> bool:
        """The old JSON went when SenML came."""
        return self.version == "1.0" if format == "json" else SINCE[format] <= self.version

    def allows(self, format: str) -> bool:
        """Whether Berth asks a device of this release for the format without being forced; the old JSON it does."""
        return SINCE[format] <= self.version

    def http(self, method: str, path: str, *args: object, **kwargs: object) -> Response:
        return self.berth.http(method, f"/v1/devices/{self.endpoint}{path}", *args, **kwargs)

    def good(self, method: str, path: str, *args: object, status: int = 200, **kwargs: object) -> Response:
        answer = self.http(method, path, *args, **kwargs)
        assert answer.status == status, f"{method} {path} {args} {kwargs}: {answer.status} {answer.body.decode()}"
        return answer

    def refused(self, method: str, path: str, *args: object, **kwargs: object) -> dict:
        """The device is not asked; gives the problem."""
        answer = self.http(method, path, *args, **kwargs)
        assert answer.status in (400, 422) and answer.problem in ("not-sent", "bad-body", "bad-parameter"), answer.body
        return answer.json

    def denied(self, code: str, method: str, path: str, *args: object, **kwargs: object) -> None:
        """The device is asked, and answers this."""
        answer = self.http(method, path, *args, **kwargs)
        assert answer.problem == "device-error" and answer.json["coap_code"] == code, (
            f"{method} {path} {kwargs}: {answer.body.decode()}"
        )

    def raw(self, method: str, path: str, **kwargs: object) -> dict:
        """Any request at all, as the device answers it."""
        return self.good("POST", "/requests", {"method": method, "path": path, **kwargs}).json

    def told(self, path: str) -> list[str]:
        """The device's own word: a line for each value."""
        self.device.command(f"read {path}")
        self.device.command("fence")
        lines: list[str] = []
        while not (line := self.device.line("", partly=True)).startswith("fence"):
            if line.startswith(path):
                lines.append(line)
        return lines

    def restore(self) -> None:
        """The first values again."""
        self.good("POST", "/3442/0/0", status=204)


@pytest.fixture(scope="module", params=VERSIONS)
def pair(tmp_path_factory, request):
    directory = tmp_path_factory.mktemp("pair")
    berth = Berth(directory / "data").start()
    device = DeviceProcess(
        directory / "device.log", "--server", berth.listeners[0], "--endpoint", Pair.endpoint, "--lwm2m", request.param
    )
    device.line("Device ID: ", partly=True)
    yield Pair(berth, device, request.param)
    device.close()
    close_all([berth])
