"""SIGKILL at random moments under a mix of all traffic: what was acknowledged is there when the server is back.

$BERTH_CRASHES is how often (script/crash)."""

import hashlib
import http.client
import os
import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable

import pytest
from berth_process import Berth
from coapraw import ACK, CON, CONTENT_FORMAT, DELETE, ECHO, EMPTY, LINK_FORMAT, OBSERVE, POST, Coap, Peer, code, uint
from datagram_wire import Wire
from dtls_peer import DtlsPeer
from oscore_peer import CREDENTIAL, OSCORE, OscorePeer, read_option
from played_device import Asked
from test_dtls_crash import numbers

KILLS = int(os.environ.get("BERTH_CRASHES", "12"))
KEY = bytes(range(16))
LINKS = [(CONTENT_FORMAT, uint(LINK_FORMAT))]
UNKNOWN = "whatever it was, or what was asked for"
ERRORS = (OSError, http.client.HTTPException, AssertionError, AttributeError)


class Rounds:
    """Between two kills everybody works; at a kill everybody comes to rest before the server is looked at."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.working = self.over = self.killed = False
        self.busy = self.acknowledged = self.number = 0
        self.failures: list[BaseException] = []

    def work(self, act: Callable[[], bool]) -> None:
        """A thread's life: act() is true when something was acknowledged."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.working or self.over)
                if self.over:
                    return
                self.busy += 1
            acknowledged = False
            try:
                acknowledged = act()
            except ERRORS:
                pass
            except BaseException as error:
                self.failures.append(error)
            with self.changed:
                self.busy -= 1
                self.acknowledged += acknowledged
                if not acknowledged and self.working:  # it is dead, and will be told so
                    self.changed.wait(0.05)
                self.changed.notify_all()

    def begin(self) -> None:
        with self.changed:
            self.number += 1
            self.acknowledged = 0
            self.working, self.killed = True, False
            self.changed.notify_all()

    def await_acknowledgements(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.acknowledged >= count, 60), "it does not go on"
            self.working = False

    def await_rest(self) -> None:
        """The server is dead."""
        with self.changed:
            self.killed = True
            assert self.changed.wait_for(lambda: self.busy == 0, 60)

    def end(self) -> None:
        with self.changed:
            self.over = True
            self.changed.notify_all()


class Actor:
    """Does one kind of thing, and keeps in `facts` what was acknowledged of each name; None: that it is not there."""

    def __init__(self, berth: Berth, rounds: Rounds, seed: int):
        self.berth, self.rounds, self.chance = berth, rounds, random.Random(seed)
        self.facts: dict[str, object] = {}
        self.round, self.peer = 0, None
        self.succeeded = 0  # in this round, last

    def fresh_peer(self) -> Peer:
        if self.round != self.rounds.number:
            if self.peer is not None:
                self.peer.close()
            self.round, self.peer = self.rounds.number, Peer(self.berth.coap_port)
        return self.peer

    def ask(self, peer: Peer, *message: object) -> Coap:
        return self.exchange(peer, peer.message(*message))

    def exchange(self, peer: Peer, request: Coap) -> Coap:
        """The response; nobody waits for one of a server that is dead, once all is read that had come."""
        deadline = time.monotonic() + 5
        peer.send(request)
        while True:
            last = self.rounds.killed or time.monotonic() > deadline
            answer = peer.receive(0.1)
            assert answer is not None or not last, "no response"
            if answer is None or answer.code == EMPTY:  # the response comes separately
                continue
            assert answer.token == request.token
            if answer.type == CON:
                peer.send(Coap(ACK, EMPTY, answer.mid))
            return answer

    def change(self, name: str, act: Callable[[], object]) -> bool:
        """act() gives the new fact once it is acknowledged."""
        before = self.facts.get(name)
        self.facts[name] = UNKNOWN
        done, fact = act()
        self.facts[name] = fact if done else before
        self.succeeded = self.rounds.number if done else self.succeeded
        return done

    def put_or_delete(self, collection: str, name: str, body: object, fact: object) -> bool:
        def act() -> tuple[bool, object]:
            if self.facts.get(name) is not None and self.chance.random() < 0.3:
                return self.berth.http("DELETE", f"{collection}/{name}", within=10).status == 204, None
            return self.berth.http("PUT", f"{collection}/{name}", body, within=10).status in (200, 201, 204), fact

        return self.change(name, act)

    def check(self) -> None:
        shown = self.shown()
        for name, fact in self.facts.items():
            if fact != UNKNOWN:
                assert shown.get(name) == fact, f"{type(self).__name__}: {name} is {shown.get(name)!r} and was {fact!r}"


class Registrations(Actor):
    def act(self) -> bool:
        peer, name = self.fresh_peer(), f"plain-{self.chance.randrange(12)}"
        fact = self.facts.get(name)
        lifetime = self.chance.randrange(1000, 100000)

        def register() -> tuple[bool, object]:
            answer = self.ask(peer, POST, "/rd", [f"ep={name}", f"lt={lifetime}", "lwm2m=1.1"], b"</3/0>", LINKS)
            return answer.code_text == "2.01", (answer.location, lifetime)

        def update() -> tuple[bool, object]:
            assert self.ask(peer, POST, fact[0], [f"lt={lifetime}"]).code_text == "2.04"
            return True, (fact[0], lifetime)

        def deregister() -> tuple[bool, object]:
            assert self.ask(peer, DELETE, fact[0]).code_text == "2.02"
            return True, None

        known = fact is not None and fact != UNKNOWN
        return self.change(name, self.chance.choice([register, update, update, deregister]) if known else register)

    def shown(self) -> dict:
        items = self.berth.get("/v1/devices", limit=1000, endpoint="plain-*")["items"]
        return {item["endpoint"]: (item["location"], item["lifetime_s"]) for item in items}


class Credentials(Actor):
    def act(self) -> bool:
        name, identity = f"known-{self.chance.randrange(8)}", f"identity-{self.chance.randrange(10**9)}"
        return self.put_or_delete("/v1/credentials", name, {"mode": "psk", "identity": identity, "key_hex": "0b" * 16}, identity)

    def shown(self) -> dict:
        return {item["endpoint"]: item.get("identity") for item in self.berth.get("/v1/credentials", limit=1000)["items"]
                if item["endpoint"].startswith("known-")}


class Configurations(Actor):
    def act(self) -> bool:
        name, lifetime = f"factory-{self.chance.randrange(6)}", self.chance.randrange(1000, 100000)
        return self.put_or_delete("/v1/bootstrap", name, {"servers": [{"lifetime_s": lifetime}]}, lifetime)

    def shown(self) -> dict:
        return {item["endpoint"]: item["servers"][0]["lifetime_s"] for item in self.berth.get("/v1/bootstrap", limit=1000)["items"]}


class Images(Actor):
    def act(self) -> bool:
        content = self.chance.randbytes(self.chance.randrange(1, 60000))
        return self.put_or_delete("/v1/firmware", f"image-{self.chance.randrange(4)}", content, hashlib.sha256(content).hexdigest())

    def shown(self) -> dict:
        images = [item["name"] for item in self.berth.get("/v1/firmware")["items"]]
        return {name: hashlib.sha256(self.berth.http("GET", f"/v1/firmware/{name}").body).hexdigest() for name in images}


class Queued(Actor):
    """Requests for a device that sleeps all the time; of many one is cancelled before the next."""

    def act(self) -> bool:
        waiting = [number for number, state in self.facts.items() if state == "queued"]
        return self.cancel(self.chance.choice(waiting)) if len(waiting) > 50 else self.ask_later()

    def cancel(self, number: str) -> bool:
        def delete() -> tuple[bool, object]:
            return self.berth.http("DELETE", f"/v1/requests/{number}", within=10).status == 204, "cancelled"

        return self.change(number, delete)

    def ask_later(self) -> bool:
        answer = self.berth.http("PUT", "/v1/devices/sleeper/3/0/14", {"value": "+01"}, {"Prefer": "respond-async"}, within=10)
        assert answer.status == 202
        self.facts[str(answer.json["id"])] = "queued"
        self.succeeded = self.rounds.number
        return True

    def check(self) -> None:
        super().check()
        self.facts = {number: state for number, state in self.facts.items() if state == "queued"}

    def shown(self) -> dict:
        return {number: self.berth.get(f"/v1/requests/{number}")["state"] for number in self.facts}


class Observations(Actor):
    """A device that says yes to every Observe; those of before are kept, and begun again after a crash."""

    def act(self) -> bool:
        path = f"/3/0/{self.chance.randrange(12)}"
        if self.facts.get(path) is True:
            return False
        peer = self.fresh_peer()
        if self.location is None:
            answer = self.ask(peer, POST, "/rd", ["ep=observed", "lt=100000", "lwm2m=1.1"], b"</3/0>", LINKS)
            self.location = answer.location
        elif self.told != self.round:
            self.told = self.round
            assert self.ask(peer, POST, self.location).code_text == "2.04"  # from another port: it is here now

        def observe() -> tuple[bool, object]:
            asked = Asked(self.berth, "PUT", f"/v1/devices/observed{path}/observe", within=10, response_timeout="5s")
            while asked.thread.is_alive():
                question = peer.receive(0.2)
                if question is not None and question.code in (1, 5):
                    peer.send(Coap(ACK, code("2.05"), question.mid, question.token, [(OBSERVE, b"\x01"), (CONTENT_FORMAT, b"")], b"1"))
            return asked.answer().status in (200, 201), True

        return self.change(path, observe)

    location, told = None, 0

    def shown(self) -> dict:
        if self.location is None:
            return {}
        items = self.berth.get("/v1/devices/observed/observations", limit=1000)["items"]
        return {item["paths"][0]: True for item in items}


class Secured(Actor):
    """One device with one session over all crashes; the wire remembers every record number."""

    def __init__(self, *args: object):
        super().__init__(*args)
        self.wire = Wire(int(self.berth.listeners[1].rpartition(":")[2]))
        self.device = DtlsPeer(self.wire.port, psk=("secured", KEY), cid=b"")
        query = ["ep=secured", "lt=100000", "lwm2m=1.1"]
        self.location = self.device.request(POST, "/rd", query, b"</3/0>", LINKS).location

    def act(self) -> bool:
        lifetime = self.chance.randrange(1000, 100000)
        while self.device.receive(0) is not None:  # of before the crash
            pass

        def update() -> tuple[bool, object]:
            assert self.ask(self.device, POST, self.location, [f"lt={lifetime}"]).code_text == "2.04"
            return True, (self.location, lifetime)

        return self.change("secured", update)

    def shown(self) -> dict:
        item = self.berth.device("secured")
        used = numbers(self.wire.to_client)
        assert len(set(used)) == len(used), "a record number was used twice"
        assert self.berth.events_after(types="dtls_handshake,dtls_resumed") == [] or self.rounds.number == 0
        return {"secured": (item["location"], item["lifetime_s"])}


class Protected(Actor):
    """One device with OSCORE that updates, and is asked; the wire remembers every Partial IV of the server's."""

    def __init__(self, *args: object):
        super().__init__(*args)
        assert self.berth.http("PUT", "/v1/credentials/protected", CREDENTIAL).status == 201
        self.wire, self.sealed, self.seen = Wire(self.berth.coap_port), {}, 0
        self.device = OscorePeer(self.wire.port)
        query = ["ep=protected", "lt=100000", "lwm2m=1.1"]
        self.location = self.device.request(POST, "/rd", query, b"</3/0>", LINKS).location

    def act(self) -> bool:
        while self.device.peer.receive(0) is not None:  # of before
            pass
        return self.answer() if self.chance.random() < 0.5 else self.update()

    def update(self) -> bool:
        lifetime = self.chance.randrange(1000, 100000)

        def once(options: list) -> Coap:
            message = self.device.peer.message(POST, self.location, [f"lt={lifetime}"], b"", options)
            outer, request = self.device.protect(message)
            return self.device.open(self.exchange(self.device.peer, outer), request)

        def act() -> tuple[bool, object]:
            answer = once([])
            if answer.one(ECHO) is not None:  # it has forgotten what it had seen
                answer = once([(ECHO, answer.one(ECHO))])
            assert answer.code_text == "2.04"
            return True, (self.location, lifetime)

        return self.change("protected", act)

    def answer(self) -> bool:
        asked = Asked(self.berth, "GET", "/v1/devices/protected/3/0/9", within=10, response_timeout="5s")
        while asked.thread.is_alive():
            outer = self.device.peer.receive(0.2)
            if outer is not None and outer.one(OSCORE) is not None:
                self.device.respond(*self.device.open_request(outer), "2.05", b"1", [(CONTENT_FORMAT, b"")])
        return asked.answer().status == 200

    def shown(self) -> dict:
        datagrams = self.wire.to_client[self.seen :]
        self.seen += len(datagrams)
        for outer in map(Coap.decode, datagrams):
            piv = read_option(outer.one(OSCORE) or b"")[0]
            if piv is not None:  # what comes again is the same
                assert self.sealed.setdefault(piv, outer.payload) == outer.payload, "a Partial IV was used twice"
        item = self.berth.device("protected")
        return {"protected": (item["location"], item["lifetime_s"])}


def assert_sound(berth: Berth, place) -> None:
    """The database, as it was left, without a change to it. PostgreSQL looks after its own."""
    if not (berth.data / "berth.db").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for path in berth.data.glob("berth.db*"):
        shutil.copy(path, place)
    connection = sqlite3.connect(place / "berth.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


@pytest.mark.not_with_live_dtls("sessions are to go on")
@pytest.mark.timeout(100 + 8 * KILLS)
def test_CID_15_what_was_acknowledged_is_there_after_every_crash(start_berth, tmp_path):
    berth = start_berth(
        *("--psk", f"secured:{KEY.hex()}", "--queue-limit", "1000"),
        listen=("coap://127.0.0.1:0", "coaps://127.0.0.1:0"),
        release=True,
    )
    berth.register("sleeper", lifetime=100000, extra=["Q"])
    berth.leap("94s")
    rounds, chance = Rounds(), random.Random(11)
    actors = [kind(berth, rounds, 7) for kind in Actor.__subclasses__()]
    threads = [threading.Thread(target=rounds.work, args=(actor.act,), daemon=True) for actor in actors]
    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            rounds.begin()
            rounds.await_acknowledgements(chance.randrange(1, 150))
            berth.kill()
            rounds.await_rest()
            assert rounds.failures == []
            assert_sound(berth, tmp_path / "copy")
            berth.start()
            for actor in actors:
                actor.check()
    finally:
        rounds.end()
        for thread in threads:
            thread.join(20)
    went_on = {type(actor).__name__: actor.succeeded for actor in actors if not isinstance(actor, Observations)}
    assert KILLS < 10 or all(round > KILLS // 2 for round in went_on.values()), went_on
