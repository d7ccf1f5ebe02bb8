"""aiocoap (PyPI) as a device that speaks OSCORE: it registers and updates, is challenged, challenges, and is asked."""

import asyncio
import json
import socket
import threading

import aiocoap
import pytest
from aiocoap import CHANGED, CONTENT, POST, Context, Message, credentials, oscore_sitewrapper, resource

SECRET, SALT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340"
TEXT = 0


class Everything(resource.Resource, resource.PathCapable):
    def __init__(self):
        super().__init__()
        self.value = b"95"
        self.requests = []
        self.observers = []

    async def render(self, request):
        self.requests.append(request)
        if request.code == aiocoap.GET:
            return Message(code=CONTENT, payload=self.value, content_format=TEXT)
        return Message(code=CHANGED)


class OscoreDevice:
    def __init__(self, berth, directory, algorithm):
        self.berth, self.directory, self.algorithm = berth, directory, algorithm
        self.site = Everything()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.context = self.run(self._start())

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _start(self):
        self.directory.mkdir(exist_ok=True)
        settings = {
            "sender-id_hex": "01",
            "recipient-id_hex": "02",
            "secret_hex": SECRET,
            "salt_hex": SALT,
            "algorithm": self.algorithm,
        }
        (self.directory / "settings.json").write_text(json.dumps(settings))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.uri = f"coap://127.0.0.1:{self.berth.coap_port}"
        known = self.known = credentials.CredentialsMap()
        known.load_from_dict({f"{self.uri}/*": {"oscore": {"basedir": str(self.directory) + "/"}}})
        site = oscore_sitewrapper.OscoreSiteWrapper(self.site, known)
        context = await Context.create_server_context(site, bind=("127.0.0.1", port), transports=["oscore", "udp6"])
        context.client_credentials = known
        return context

    async def ask(self, path, **kwargs):
        return await self.context.request(Message(code=POST, uri=self.uri + path, **kwargs)).response

    def request(self, path, **kwargs):
        return self.run(self.ask(path, **kwargs))

    def register(self):
        answer = self.request("/rd?ep=aio&lt=300&lwm2m=1.1&b=U", payload=b"</1/0>,</3/0>", content_format=40)
        assert answer.code.is_successful(), answer
        return "/" + "/".join(answer.opt.location_path)

    def close(self):
        self.run(self.context.shutdown())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()


@pytest.fixture(params=["AES-CCM-16-64-128", "A128GCM"])
def device(request, berth, tmp_path):
    credential = {
        "mode": "oscore",
        "sender_id_hex": "02",
        "recipient_id_hex": "01",
        "master_secret_hex": SECRET,
        "master_salt_hex": SALT,
        "aead": request.param,
    }
    assert berth.http("PUT", "/v1/credentials/aio", credential).status == 201
    device = OscoreDevice(berth, tmp_path / "aiocoap", request.param)
    yield device
    device.close()


def test_OSC_10_OSC_02_register_and_update(berth, device):
    location = device.register()
    assert berth.device("aio")["security"]["mode"] == "oscore"
    assert device.request(location).code.is_successful()
    assert berth.await_event("updated", "aio")


def test_OSC_15_read_and_write(berth, device):
    device.register()
    assert berth.http("GET", "/v1/devices/aio/3/0/9").json["value"] == 95
    assert berth.http("PUT", "/v1/devices/aio/3/0/15", {"value": "Europe/Oslo"}, format="text").status == 204
    assert device.site.requests[-1].payload == b"Europe/Oslo"


@pytest.mark.parametrize("size", [1024, 5000])
def test_OSC_17_blocks_both_ways(berth, device, size):
    device.register()
    device.site.value = b"x" * size
    assert len(berth.http("GET", "/v1/devices/aio/3/0/0").json["value"]) == size
    assert berth.http("PUT", "/v1/devices/aio/3/0/15", {"value": "y" * size}, format="text").status == 204
    assert device.site.requests[-1].payload == b"y" * size


def test_OSC_12_after_a_restart_of_the_server(berth, device):
    location = device.register()
    berth.kill()
    berth.start()
    assert device.request(location).code.is_successful()
    assert berth.http("GET", "/v1/devices/aio/3/0/9").json["value"] == 95


def test_OSC_12_after_a_restart_of_the_device(berth, device):
    """It has lost its replay window and challenges the server's first request."""
    device.register()
    assert berth.http("GET", "/v1/devices/aio/3/0/9").json["value"] == 95
    device.run(device.context.shutdown())
    for context in device.known.values():
        context._destroy()  # its files are free
    state = device.directory / "sequence.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "received": "unknown"}))
    device.context = device.run(device._start())
    device.register()
    assert berth.http("GET", "/v1/devices/aio/3/0/9").json["value"] == 95
