"""Messages about one device that meet while a commit is under way. Whatever the order: every one is answered, what was
answered last is true, and it is still true after a crash."""

import pytest

from coapraw import CONTENT_FORMAT, DELETE, LINK_FORMAT, POST, uint

LINKS = (CONTENT_FORMAT, uint(LINK_FORMAT))


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def endpoint(request):
    return "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:]


class Talk:
    """One message from a port of its own, sent now and answered later."""

    def __init__(self, berth, method, path, query=(), payload=b""):
        self.peer = berth.peer()
        self.message = self.peer.message(method, path, list(query), payload, [LINKS] if payload else [])
        self.peer.send(self.message)
        self.peer.sock.settimeout(5)

    def answer(self):
        return self.peer.response(self.message, timeout=20)

    def code(self):
        return self.answer().code_text


def register(berth, endpoint, lifetime=300):
    return Talk(berth, POST, "/rd", [f"ep={endpoint}", f"lt={lifetime}", "lwm2m=1.1"], b"</1/0>,</3/0>")


def update(berth, location, *query, links=b""):
    return Talk(berth, POST, location, query, links)


def deregister(berth, location):
    return Talk(berth, DELETE, location)


def fence(berth):
    """Everything sent so far has been worked off: the server takes datagrams in order."""
    berth.peer().ping()


def after_a_crash(berth, look):
    """What `look` sees is the same before and after."""
    before = look()
    berth.kill()
    berth.start()
    assert look() == before
    return before


def state(berth, endpoint):
    answer = berth.http("GET", f"/v1/devices/{endpoint}")
    if answer.status == 404:
        return None
    device = answer.json
    return device["location"], device["lifetime_s"], [item["path"] for item in device["objects"]]


def test_UPD_02_two_updates_at_once_are_done_in_order(berth, endpoint):
    location = berth.register(endpoint).location
    with berth.no_commit():
        talks = []
        for lifetime in (100, 200, 300, 400):
            talks.append(update(berth, location, f"lt={lifetime}"))
            fence(berth)
    assert [talk.code() for talk in talks] == ["2.04"] * 4
    assert after_a_crash(berth, lambda: state(berth, endpoint))[1] == 400


def test_UPD_04_updates_of_different_things_at_once_do_not_undo_each_other(berth, endpoint):
    location = berth.register(endpoint).location
    with berth.no_commit():
        talks = [update(berth, location, "lt=777")]
        fence(berth)
        talks.append(update(berth, location, links=b"</1/0>,</3/0>,</5/0>"))
        fence(berth)
        talks.append(update(berth, location, "sms=1"))
        fence(berth)
        talks.append(update(berth, location))
        fence(berth)
    assert [talk.code() for talk in talks] == ["2.04"] * 4
    assert after_a_crash(berth, lambda: state(berth, endpoint))[1:] == (777, ["/1/0", "/3/0", "/5/0"])
    assert berth.device(endpoint)["sms"] == "1"


def test_REG_33_two_registers_at_once_leave_one_registration(berth, endpoint):
    with berth.no_commit():
        first = register(berth, endpoint, 100)
        fence(berth)
        second = register(berth, endpoint, 200)
        fence(berth)
    first, second = first.answer(), second.answer()
    assert [first.code_text, second.code_text] == ["2.01", "2.01"] and first.location != second.location
    assert after_a_crash(berth, lambda: state(berth, endpoint))[:2] == (second.location, 200)
    assert update(berth, first.location).code() == "4.04"
    assert update(berth, second.location).code() == "2.04"
    assert len(berth.get("/v1/devices", endpoint=endpoint)["items"]) == 1


def test_REG_33_many_registers_at_once_leave_one_registration(berth, endpoint):
    with berth.no_commit():
        talks = []
        for lifetime in range(100, 140):
            talks.append(register(berth, endpoint, lifetime))
            fence(berth)
    answers = [talk.answer() for talk in talks]
    assert {answer.code_text for answer in answers} == {"2.01"}
    assert after_a_crash(berth, lambda: state(berth, endpoint))[:2] == (answers[-1].location, 139)


def test_REG_33_update_of_a_registration_that_is_being_replaced(berth, endpoint):
    old = berth.register(endpoint).location
    with berth.no_commit():
        changed = update(berth, old, "lt=1000")
        fence(berth)
        replaced = register(berth, endpoint, 200)
        fence(berth)
        late = update(berth, old, "lt=2000")
        fence(berth)
    new = replaced.answer()
    assert new.code_text == "2.01"
    assert changed.code() in ("2.04", "4.04") and late.code() in ("2.04", "4.04")
    assert after_a_crash(berth, lambda: state(berth, endpoint))[:2] == (new.location, 200)
    assert update(berth, old).code() == "4.04"


def test_REG_33_deregister_of_a_registration_that_is_being_replaced(berth, endpoint):
    old = berth.register(endpoint).location
    with berth.no_commit():
        replaced = register(berth, endpoint)
        fence(berth)
        gone = deregister(berth, old)
        fence(berth)
    new = replaced.answer()
    assert new.code_text == "2.01" and gone.code() in ("2.02", "4.04")
    assert after_a_crash(berth, lambda: state(berth, endpoint))[0] == new.location


def test_REG_33_register_while_the_older_one_is_being_deregistered(berth, endpoint):
    old = berth.register(endpoint).location
    with berth.no_commit():
        gone = deregister(berth, old)
        fence(berth)
        again = register(berth, endpoint)
        fence(berth)
    new = again.answer()
    assert new.code_text == "2.01" and gone.code() in ("2.02", "4.04")
    assert after_a_crash(berth, lambda: state(berth, endpoint))[0] == new.location


@pytest.mark.parametrize("change", [(), ("lt=1000",)], ids=["plain", "changing"])
def test_DER_01_update_of_a_registration_that_is_being_deregistered(berth, endpoint, change):
    location = berth.register(endpoint).location
    with berth.no_commit():
        gone = deregister(berth, location)
        fence(berth)
        late = update(berth, location, *change)
        fence(berth)
    assert gone.code() == "2.02" and late.code() in ("2.04", "4.04")
    assert after_a_crash(berth, lambda: state(berth, endpoint)) is None


def test_DER_01_deregister_while_an_update_is_being_committed(berth, endpoint):
    location = berth.register(endpoint).location
    with berth.no_commit():
        changed = update(berth, location, "lt=1000", links=b"</1/0>,</3/0>,</5/0>")
        fence(berth)
        gone = deregister(berth, location)
        fence(berth)
    assert gone.code() == "2.02" and changed.code() in ("2.04", "4.04")
    assert after_a_crash(berth, lambda: state(berth, endpoint)) is None


def test_EXP_01_registration_that_runs_out_while_an_update_is_being_committed(start_berth):
    """The Update came in time."""
    server = start_berth("--grace", "0")
    location = server.register("late", lifetime=100).location
    server.leap("99s")
    with server.no_commit():
        saved = update(server, location, "lt=1000")
        fence(server)
        server.leap("5s")
    assert saved.code() == "2.04"
    assert after_a_crash(server, lambda: state(server, "late"))[1] == 1000


def test_EXP_01_register_whose_lifetime_runs_out_before_its_commit(start_berth):
    server = start_berth("--grace", "0")
    with server.no_commit():
        slow = register(server, "slow", 10)
        fence(server)
        server.leap("1h")
    assert slow.code() == "2.01"
    server.leap("1s")
    assert state(server, "slow") is None
    assert [e["type"] for e in server.events_after(0, endpoint="slow")] == ["registered", "expired"]


def test_a_registration_is_not_shown_before_its_commit(berth, endpoint):
    with berth.no_commit():
        talk = register(berth, endpoint)
        fence(berth)
        assert state(berth, endpoint) is None
        assert berth.get("/v1/devices", endpoint=endpoint)["items"] == []
        assert berth.events_after(0, endpoint=endpoint) == []
    location = talk.answer().location
    assert state(berth, endpoint)[0] == location


def test_the_older_registration_is_in_force_before_the_commit_of_the_newer(berth, endpoint):
    device = berth.register(endpoint)
    with berth.no_commit():
        talk = register(berth, endpoint, 999)
        fence(berth)
        assert state(berth, endpoint)[:2] == (device.location, 300)
    new = talk.answer().location
    assert state(berth, endpoint)[:2] == (new, 999)


def test_reset_while_devices_register(start_berth):
    server = start_berth()
    server.register("before")
    with server.no_commit():
        talks = [register(server, f"device-{n}") for n in range(10)]
        fence(server)
    assert server.http("POST", "/v1/reset?scope=devices").status == 204
    assert {talk.code() for talk in talks} <= {"2.01", "5.03"}
    assert state(server, "before") is None
    there = {item["endpoint"] for item in server.get("/v1/devices")["items"]}
    after_a_crash(server, lambda: {item["endpoint"] for item in server.get("/v1/devices")["items"]})
    assert there <= {f"device-{n}" for n in range(10)}
