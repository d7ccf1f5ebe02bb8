"""aiocoap (PyPI) as a server that speaks OSCORE: the reference device registers with it, and is asked."""

import asyncio
import json
import socket
import threading

import pytest
from aiocoap import CHANGED, CREATED, GET, PUT, Context, Message, credentials, oscore_sitewrapper, resource
from device_process import start_device  # noqa: F401
from test_aiocoap_oscore import SALT, SECRET


class Registry(resource.Resource, resource.PathCapable):
    def __init__(self):
        super().__init__()
        self.requests = []

    async def render(self, request):
        self.requests.append(request)
        if request.opt.uri_path != ("rd",):
            return Message(code=CHANGED)
        answer = Message(code=CREATED)
        answer.opt.location_path = ("rd", "7")
        return answer


class OscoreServer:
    def __init__(self, directory):
        self.directory = directory
        self.registry = Registry()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.context = self.run(self._start())

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _start(self):
        self.directory.mkdir()
        settings = {"sender-id_hex": "02", "recipient-id_hex": "01", "secret_hex": SECRET, "salt_hex": SALT}
        (self.directory / "settings.json").write_text(json.dumps(settings))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        known = credentials.CredentialsMap()
        known.load_from_dict({":device": {"oscore": {"basedir": str(self.directory) + "/"}}})
        wrapped = oscore_sitewrapper.OscoreSiteWrapper(self.registry, known)
        return await Context.create_server_context(wrapped, bind=("127.0.0.1", self.port), transports=["oscore", "udp6"])

    def ask(self, code, path, payload=b""):
        async def exchange():
            message = Message(code=code, payload=payload)
            message.opt.uri_path = path.split("/")
            if payload:
                message.opt.content_format = 0
            message.remote = self.registry.requests[-1].remote
            return await self.context.request(message).response

        return self.run(exchange())

    def close(self):
        self.run(self.context.shutdown())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()


@pytest.fixture
def server(tmp_path):
    server = OscoreServer(tmp_path / "aiocoap")
    yield server
    server.close()


def test_OSC_12_OSC_15_the_reference_device_registers_and_is_asked(server, start_device, tmp_path):  # noqa: F811
    options = ("--server", f"coap://127.0.0.1:{server.port}", "--endpoint", "dev1", "--state", str(tmp_path / "state"),
               "--oscore", f"sender=01,recipient=02,secret={SECRET},salt={SALT}")
    for _ in range(2):  # the second time with a window that is lost
        device = start_device(*options)
        device.line("Device ID: 7", timeout=20)
        assert "ep=dev1" in server.registry.requests[-1].opt.uri_query
        assert server.ask(GET, "3/0/9").payload == b"95"
        assert server.ask(PUT, "3/0/15", b"Europe/Oslo").code.is_successful()
        assert len(server.ask(GET, "5000/0/0").payload) == 131072  # in blocks
        device.command("update")
        device.line("Registration updated")
        device.kill()
