"""go-coap as a device over TCP (RFC 8323): it registers, is asked, observed and pinged. script/test builds
build/interop/go-coap where there is Go."""

import subprocess

import pytest
from berth_process import ROOT
from coapstream import TCP, tcp_port

PROGRAM = ROOT / "build" / "interop" / "go-coap"
LARGE = 20000


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=TCP)


class GoDevice:
    def __init__(self, berth):
        self.process = subprocess.Popen(
            [PROGRAM, f"127.0.0.1:{tcp_port(berth)}", "go", str(LARGE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.code, self.location = self.line().split()

    def line(self):
        return self.process.stdout.readline().strip()

    def command(self, text):
        self.process.stdin.write(text + "\n")
        return self.line()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()


@pytest.fixture
def device(berth):
    if not PROGRAM.exists():
        pytest.skip("no go-coap: script/test builds it where there is Go")
    device = GoDevice(berth)
    yield device
    device.close()


def test_TCP_23_it_registers_updates_and_deregisters(berth, device):
    assert device.code == "Created"
    shown = berth.device("go")
    assert (shown["transport"], shown["framing"], shown["binding"]) == ("tcp", "rfc8323", "T")
    assert shown["location"] == device.location
    assert device.command("update") == "Changed"
    assert device.command("deregister") == "Deleted"
    assert berth.http("GET", "/v1/devices/go").status == 404
    assert berth.events_after(types="oddity,rejected") == []


def test_TCP_20_it_is_read_written_and_executed(berth, device):
    go = "/v1/devices/go"
    assert berth.get(f"{go}/3/0/9", format="text")["value"] == 95
    assert berth.http("PUT", f"{go}/3/0/15?format=text", {"value": "Europe/Berlin"}).status == 204
    assert berth.get(f"{go}/3/0/15", format="text")["value"] == "Europe/Berlin"
    assert berth.http("POST", f"{go}/3/0/4").status == 204
    assert berth.http("GET", f"{go}/9/0/0").status == 404


def test_BLK_25_BLK_16_bodies_of_many_blocks_both_ways(berth, device):
    assert berth.get("/v1/devices/go/3/0/0", format="text")["value"] == "x" * LARGE
    text = "y" * LARGE
    assert berth.http("PUT", "/v1/devices/go/3/0/15?format=text", {"value": text}).status == 204
    assert berth.get("/v1/devices/go/3/0/15", format="text")["value"] == text


def test_OB_21_it_is_observed(berth, device):
    first = berth.http("PUT", "/v1/devices/go/3/0/9/observe?format=text")
    assert first.status == 200 and first.json["value"] == 95
    mark = berth.last_event()
    for value in (94, 93):
        assert device.command(f"notify {value}") == "notified"
    berth.await_event("notification", "go", berth.await_event("notification", "go", mark)["id"])
    assert [event["value"] for event in berth.events_after(mark, types="notification")] == [94, 93]
    assert berth.http("DELETE", "/v1/devices/go/3/0/9/observe").status == 204


def test_TCP_05_pings_in_both_directions(berth, device):
    assert device.command("ping") == "pong"
    assert berth.await_event("ping", "go")
    assert berth.http("POST", "/v1/devices/go/ping").status == 200


def test_TCP_21_it_goes(berth, device):
    device.command("update")
    device.process.stdin.write("quit\n")
    berth.await_event("connection_closed", "go")
    assert berth.device("go")["reachable"] is False
