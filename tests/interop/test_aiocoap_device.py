"""aiocoap (PyPI) as a device that is asked: its own message layer and block-wise transfer against Berth's requests."""

import asyncio
import socket
import threading

import aiocoap
import pytest
from aiocoap import CHANGED, CONTENT, GET, POST, Context, Message, resource
from coapstream import TCP, tcp_port

LINKS = b"</1/0>,</3/0>"
TEXT, TLV, SENML_JSON = 0, 11542, 110


class Everything(resource.Resource, resource.PathCapable):
    """Every path of the device, answered by `answer`, which a test sets."""

    def __init__(self):
        super().__init__()
        self.answer = None
        self.requests = []

    async def render(self, request):
        self.requests.append(request)
        return await self.answer(request)


class AiocoapDevice:
    """Runs in a thread of its own, over one socket or one TCP connection."""

    def __init__(self, berth, scheme="coap"):
        self.berth = berth
        self.scheme = scheme
        self.site = Everything()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.context = self.run(self._start())

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _start(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        transport, server = ("udp6", self.berth.coap_port) if self.scheme == "coap" else ("tcpclient", tcp_port(self.berth))
        context = await Context.create_server_context(self.site, bind=("127.0.0.1", port), transports=[transport])
        uri = f"{self.scheme}://127.0.0.1:{server}/rd?ep=aiocoap&lt=300&lwm2m=1.1&b=U"
        register = Message(code=POST, uri=uri, payload=LINKS, content_format=40)
        assert (await context.request(register).response).code.is_successful()
        return context

    def answers(self, payload, format=TEXT, code=CONTENT, after=None):
        """Answer every request so; `after`: an event to wait for, which makes it a separate response."""

        async def answer(_):
            if after is not None:
                await after.wait()
            return Message(code=code, payload=payload, content_format=format)

        self.site.answer = answer

    def http(self, method, path, *args, **kwargs):
        return self.berth.http(method, f"/v1/devices/aiocoap{path}", *args, **kwargs)

    def works(self):
        self.answers(b"95")
        assert self.http("GET", "/3/0/9").json["value"] == 95

    def close(self):
        self.run(self.context.shutdown())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=TCP)


@pytest.fixture(params=["coap", "coap+tcp"])
def device(berth, request):
    device = AiocoapDevice(berth, request.param)
    yield device
    device.close()


def test_DM_01_read(device):
    device.works()
    (request,) = device.site.requests
    assert (request.code, request.opt.uri_path, request.opt.accept) == (GET, ("3", "0", "9"), TLV)


@pytest.mark.parametrize("size", [1024, 1025, 5000, 100000])
def test_BLK_25_answer_of_any_size(device, size):
    device.answers(b"x" * size)
    assert len(device.http("GET", "/3/0/0").json["value"]) == size
    device.works()


@pytest.mark.parametrize("size", [1024, 1025, 5000, 100000])
def test_BLK_16_write_of_any_size(device, size):
    device.answers(b"", None, CHANGED)
    assert device.http("PUT", "/3/0/15", {"value": "y" * size}, format="text").status == 204
    assert device.site.requests[-1].payload == b"y" * size
    device.works()


@pytest.mark.parametrize("size", [10, 5000])
def test_BLK_31_both_ways_in_one_composite_read(device, size):
    device.answers(b'[{"n":"/3/0/0","vs":"' + b"z" * size + b'"}]', SENML_JSON)
    paths = [f"/3/0/{number}" for number in range(200)]
    answer = device.http("POST", "/composite/read", {"paths": paths}, format="senml-json")
    assert len(answer.json["resources"]["/3/0/0"]["value"]) == size
    assert device.site.requests[-1].payload.count(b'"n"') == 200


def test_DM_23_separate_answer(device):
    release = asyncio.Event()
    device.answers(b"95", after=release)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(device.http("GET", "/3/0/9")))
    thread.start()
    while not device.site.requests:
        pass
    device.berth.http("GET", "/healthz")  # others are served meanwhile
    device.loop.call_soon_threadsafe(release.set)
    thread.join(30)
    assert answers[0].json["value"] == 95
    device.works()


def test_DM_43_answer_that_never_comes(device):
    device.answers(b"95", after=asyncio.Event())
    answer = device.http("GET", "/3/0/9", response_timeout="200ms")
    assert (answer.status, answer.json["outcome"]) == (504, "no-response")
    device.works()


def test_answer_without_payload(device):
    device.answers(b"", None)
    assert device.http("GET", "/3/0").json == {"path": "/3/0", "resources": {}}
    assert device.http("GET", "/3/0/0", format="text").json["value"] == ""
    device.works()


@pytest.mark.parametrize("format", [0, 40, 42, 60, 110, 112, 11542, 11543, 11544, 9999])
@pytest.mark.parametrize("payload", [b"\xff\x00\xfe", b"[" * 2000, b"\x81" * 2000], ids=["bytes", "brackets", "arrays"])
def test_DM_07_FMT_02_garbage_in_every_format(device, format, payload):
    device.answers(payload, format)
    answer = device.http("GET", "/3/0")
    assert (answer.status, answer.problem) == (502, "undecodable-answer")
    assert answer.json["content_format"] == format and answer.json["payload_b64"]
    device.works()


@pytest.mark.parametrize("code", [aiocoap.BAD_REQUEST, aiocoap.NOT_FOUND, aiocoap.INTERNAL_SERVER_ERROR, aiocoap.PROXYING_NOT_SUPPORTED])
def test_DM_45_error_with_a_diagnostic_of_any_bytes(device, code):
    device.answers(b"\xff\x00" * 2000, None, code)
    answer = device.http("GET", "/3/0/9")
    assert answer.json["coap_code"] == code.dotted and answer.json["diagnostic"]
    device.works()


def test_resource_that_fails_is_5_00(device):
    async def fail(_):
        raise RuntimeError("on purpose")

    device.site.answer = fail
    assert device.http("GET", "/3/0/9").json["coap_code"] == "5.00"
    device.works()
