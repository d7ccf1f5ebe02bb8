"""aiocoap (PyPI) as a device whose resource is observed: its own Observe, over its own retransmission and blocks."""

import asyncio
import json

import aiocoap.resource as resource
import pytest
from aiocoap import CHANGED, POST, Context, Message
from aiocoap.numbers import ContentFormat


class Temperature(resource.ObservableResource):
    def __init__(self):
        super().__init__()
        self.text = "20.0"
        self.observed = 0

    def update_observation_count(self, newcount):
        self.observed = newcount

    def tell(self, text):
        self.text = text
        self.updated_state()

    async def render_get(self, request):
        return Message(payload=self.text.encode(), content_format=ContentFormat.TEXT)

    async def render_put(self, request):
        return Message(code=CHANGED)


class Device:
    """aiocoap's server and client share one socket, as a device has it."""

    def __init__(self, berth, endpoint):
        self.berth, self.endpoint, self.temperature = berth, endpoint, Temperature()

    async def __aenter__(self):
        site = resource.Site()
        site.add_resource(["3303", "0", "5700"], self.temperature)
        site.add_resource(["3303", "0", "5701"], self.temperature)
        self.context = await Context.create_server_context(
            site, bind=("127.0.0.1", 0), transports=["udp6"]
        )
        uri = f"coap://127.0.0.1:{self.berth.coap_port}/rd?ep={self.endpoint}&lt=300&lwm2m=1.1"
        register = Message(code=POST, uri=uri, payload=b"</1/0>,</3303/0>", content_format=ContentFormat.LINKFORMAT)
        assert (await self.context.request(register).response).code.dotted == "2.01"
        return self

    async def __aexit__(self, *_):
        await self.context.shutdown()

    async def http(self, *args, **kwargs):
        return await asyncio.get_running_loop().run_in_executor(None, lambda: self.berth.http(*args, **kwargs))

    async def observe(self):
        return await self.http("PUT", f"/v1/devices/{self.endpoint}/3303/0/5700/observe", format="text")

    async def wait_for(self, value, after=0):
        body = {"after": after, "type": "notification", "endpoint": self.endpoint, "match": {"value": value}, "timeout": "10s"}
        answer = await self.http("POST", "/v1/wait", body)
        assert answer.status == 200, answer.body
        return answer.json


def run(berth, scenario):
    async def go():
        async with Device(berth, "aio") as device:
            await asyncio.wait_for(scenario(device), 60)

    asyncio.run(go())


def test_OB_02_OB_05_values_arrive_and_active_cancel_is_heard(berth):
    async def scenario(device):
        answer = await device.observe()
        assert (answer.status, json.loads(answer.body)["value"]) == (200, 20.0)
        assert device.temperature.observed == 1
        for number in range(21, 26):
            device.temperature.tell(f"{number}.0")
            await device.wait_for(float(number))
        cancelled = await device.http("DELETE", "/v1/devices/aio/3303/0/5700/observe")
        assert (cancelled.status, device.temperature.observed) == (204, 0)

    run(berth, scenario)
    values = [e["value"] for e in berth.events_after(0, types="notification")]
    assert values == [20.0, 21.0, 22.0, 23.0, 24.0, 25.0]


def test_OB_15_passive_cancel_is_heard_with_the_reset(berth):
    async def scenario(device):
        await device.observe()
        assert (await device.http("DELETE", "/v1/devices/aio/3303/0/5700/observe", mode="reset")).status == 204
        assert device.temperature.observed == 1
        device.temperature.tell("21.0")
        for _ in range(100):
            if device.temperature.observed == 0:
                break
            await device.http("GET", "/v1/clock")
        assert device.temperature.observed == 0

    run(berth, scenario)
    assert [e["value"] for e in berth.events_after(0, types="notification")] == [20.0]


@pytest.mark.parametrize("length", [1500, 5000])
def test_BLK_27_large_notification_is_fetched(berth, length):
    async def scenario(device):
        device.temperature.text = "a" * length
        answer = await device.http("PUT", "/v1/devices/aio/3303/0/5701/observe", format="text")
        assert json.loads(answer.body)["value"] == "a" * length
        device.temperature.tell("b" * length)
        assert (await device.wait_for("b" * length))["path"] == "/3303/0/5701"

    run(berth, scenario)
