"""aiocoap (PyPI) as a device that registers by hand."""

import asyncio

import pytest
from aiocoap import DELETE, GET, POST, Context, Message, Reliable, Unreliable
from aiocoap.numbers import ContentFormat
from coapstream import TCP, tcp_port

OBJECTS = b"</1/0>,</3/0>"
MANY = ",".join(["</1/0>", "</3/0>", *(f"</{n}/0>" for n in range(5000, 5200))]).encode()


class Client:
    """Requests over one aiocoap context. Each call returns (code, location, payload)."""

    def __init__(self, port, host="127.0.0.1", scheme="coap"):
        self.uri = f"{scheme}://{host}:{port}"

    def run(self, *steps):
        """Every step is a function of the results so far that returns a message; all of them over one context."""

        async def go():
            context = await Context.create_client_context()
            results = []
            try:
                for step in steps:
                    response = await asyncio.wait_for(context.request(step(results)).response, 30)
                    location = "".join(f"/{segment}" for segment in response.opt.location_path)
                    results.append((response.code.dotted, location, response.payload))
            finally:
                await context.shutdown()
            return results

        return asyncio.run(go())

    def message(self, method, path, **kwargs):
        return Message(code=method, uri=self.uri + path, **kwargs)

    def register(self, endpoint, links=OBJECTS, query="lt=300&lwm2m=1.1&b=U", **kwargs):
        message = self.message(POST, f"/rd?ep={endpoint}&{query}", payload=links, **kwargs)
        message.opt.content_format = ContentFormat.LINKFORMAT
        return message


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=TCP)


@pytest.fixture(params=["coap", "coap+tcp"])
def client(berth, request):
    port = berth.coap_port if request.param == "coap" else tcp_port(berth)
    return Client(port, scheme=request.param)


def codes(results):
    return [code for code, _, _ in results]


def test_OPT_29_discovery(client):
    ((code, _, payload),) = client.run(lambda _: client.message(GET, "/.well-known/core"))
    assert (code, payload.split(b",")[0]) == ("2.05", b'</rd>;rt="core.rd"')


def test_BLK_21_discovery_in_blocks(start_berth):
    client = Client(start_berth("--block-size", "16").coap_port)
    ((code, _, payload),) = client.run(lambda _: client.message(GET, "/.well-known/core"))
    assert (code, payload.split(b",")[0]) == ("2.05", b'</rd>;rt="core.rd"')


@pytest.mark.parametrize("tuning", [Reliable, Unreliable], ids=["CON", "NON"])
def test_REG_01_UPD_01_DER_01_register_update_deregister(berth, client, tuning):
    results = client.run(
        lambda _: client.register("by-hand", transport_tuning=tuning),
        lambda done: client.message(POST, done[0][1] + "?lt=600", transport_tuning=tuning),
        lambda done: client.message(DELETE, done[0][1], transport_tuning=tuning),
        lambda done: client.message(POST, done[0][1], transport_tuning=tuning),
    )
    assert codes(results) == ["2.01", "2.04", "2.02", "4.04"]
    kinds = ["registered", "updated", "deregistered"]
    events = berth.events_after(0, types=",".join(kinds))
    assert [(e["type"], e["endpoint"]) for e in events] == [(kind, "by-hand") for kind in kinds]
    assert [e["lifetime_s"] for e in events] == [300, 600, 600]


def test_REG_33_register_twice(berth, client):
    first, second = client.run(lambda _: client.register("twice"), lambda _: client.register("twice"))
    assert first[0] == second[0] == "2.01" and first[1] != second[1]
    assert berth.device("twice")["location"] == second[1]


def test_BLK_31_REG_40_register_larger_than_a_block(berth, client):
    assert len(MANY) > 1024
    assert codes(client.run(lambda _: client.register("large", MANY))) == ["2.01"]
    assert len(berth.device("large")["objects"]) == 202


def test_BLK_31_update_larger_than_a_block(berth, client):
    def update(done):
        message = client.message(POST, done[0][1], payload=MANY)
        message.opt.content_format = ContentFormat.LINKFORMAT
        return message

    assert codes(client.run(lambda _: client.register("grown"), update)) == ["2.01", "2.04"]
    assert len(berth.device("grown")["objects"]) == 202


def test_BLK_14_server_that_prefers_small_blocks(start_berth):
    berth = start_berth("--block-size", "64")
    client = Client(berth.coap_port)
    assert codes(client.run(lambda _: client.register("small", MANY))) == ["2.01"]
    assert len(berth.device("small")["objects"]) == 202


def test_BLK_12_body_above_the_limit_is_4_13(start_berth):
    berth = start_berth("--max-body", "1024")
    client = Client(berth.coap_port)
    assert codes(client.run(lambda _: client.register("big", MANY))) == ["4.13"]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        (GET, "/nothing", "4.04"),
        (GET, "/rd", "4.05"),
        (POST, "/rd?lwm2m=1.1", "4.00"),
        (POST, "/rd?ep=x&lwm2m=9.9", "4.12"),
        (DELETE, "/rd/none", "4.04"),
    ],
)
def test_MSG_45_errors_carry_text(client, method, path, code):
    ((answered, _, payload),) = client.run(lambda _: client.message(method, path, payload=b""))
    assert answered == code and len(payload.decode()) <= 64


def test_REG_43_fifty_devices_at_once(berth, client):
    async def go():
        context = await Context.create_client_context()
        try:
            requests = [context.request(client.register(f"device-{n}")).response for n in range(50)]
            return await asyncio.wait_for(asyncio.gather(*requests), 60)
        finally:
            await context.shutdown()

    answers = asyncio.run(go())
    assert {answer.code.dotted for answer in answers} == {"2.01"}
    assert len({tuple(answer.opt.location_path) for answer in answers}) == 50
    assert len(berth.get("/v1/devices", limit=1000)["items"]) == 50


def test_MSG_51_ipv6(start_berth):
    berth = start_berth(listen=("coap://[::1]:0",))
    client = Client(berth.coap_port, host="[::1]")
    assert codes(client.run(lambda _: client.register("six"))) == ["2.01"]
    assert berth.device("six")["address"].startswith("[::1]:")
