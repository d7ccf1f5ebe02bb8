"""WebSocket clients that nobody here wrote, as they are, on the channel of the Device Management API. What is there when
they come must not be lost: ws4py drops what comes together with the answer to the handshake."""

import asyncio
import json
import threading

import pytest
from pelion_client import PelionClient

CHANNEL = "/v2/notification/websocket"
AT_ONCE, ROUNDS = 25, 4


@pytest.fixture
def clients(berth):
    made = [PelionClient(berth.http_port, f"ak_{number}") for number in range(AT_ONCE)]
    for client in made:
        assert client.call("PUT", CHANNEL)[0] == 201
    return made


def url(client: PelionClient) -> str:
    return f"ws://127.0.0.1:{client.port}{CHANNEL}-connect"


def test_ws4py_gets_all_of_a_hundred_first_messages(berth, clients):
    threadedclient = pytest.importorskip("ws4py.client.threadedclient")

    class Socket(threadedclient.WebSocketClient):
        def received_message(self, message):
            self.messages.append(json.loads(str(message)))
            self.got.set()

    def run(client):
        socket = Socket(url(client), headers=[("Authorization", f"Bearer {client.key}")])
        socket.messages, socket.got = [], threading.Event()
        socket.connect()
        threading.Thread(target=socket.run_forever, daemon=True).start()
        return socket

    for number in range(ROUNDS):
        berth.register(f"device{number}")
        sockets = [run(client) for client in clients]
        lost = [socket for socket in sockets if not socket.got.wait(20)]
        assert lost == []
        for socket in sockets:
            [entry] = socket.messages[0]["registrations"]
            assert entry["original-ep"] == f"device{number}"
            socket.close()


def test_websockets_gets_all_of_a_hundred_first_messages(berth, clients):
    websockets = pytest.importorskip("websockets")

    async def first_message(client):
        protocols = ["wss", f"pelion_{client.key}"]  # as a browser does it
        async with websockets.connect(url(client), subprotocols=protocols, origin=None) as socket:
            assert socket.subprotocol == "wss"
            message = json.loads(await asyncio.wait_for(socket.recv(), 20))
            await (await socket.ping())
            return message["registrations"][0]["original-ep"]

    async def round():
        return await asyncio.gather(*map(first_message, clients))

    for number in range(ROUNDS):
        berth.register(f"device{number}")
        assert asyncio.run(round()) == [f"device{number}"] * AT_ONCE


def test_websockets_is_told_why_it_ends(clients):
    websockets = pytest.importorskip("websockets")
    client = clients[0]

    async def status_of(action) -> int:
        headers = {"Authorization": f"Bearer {client.key}"}
        async with websockets.connect(url(client), additional_headers=headers) as socket:
            await asyncio.to_thread(action)
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 20)
            return socket.close_code

    assert asyncio.run(status_of(lambda: client.call("DELETE", CHANNEL))) == 1000
    assert asyncio.run(status_of(lambda: None)) == 1011
