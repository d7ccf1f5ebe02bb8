"""What becomes of observations when their device registers anew, moves or goes, and when the server ends."""

import resource
import signal
import sqlite3
import threading
import time

import pytest
from coapraw import ACK, CONTENT_FORMAT, GET, OBSERVE, RST, Coap
from observed_device import ObservedDevice, Observed
from played_device import TEXT

pytestmark = pytest.mark.transports("pelion")

pytestmark = pytest.mark.not_with_postgresql("looks into the file of SQLite")


@pytest.fixture
def device(berth):
    return ObservedDevice(berth, "dev1")


def rows(berth) -> list[tuple]:
    """What the database has: (id, registration, endpoint, paths, token)."""
    with sqlite3.connect(berth.data / "berth.db") as connection:
        return connection.execute("SELECT id, registration_id, endpoint, paths, token FROM observation ORDER BY id").fetchall()


def await_rows(berth, count: int, tokens: list[bytes] | None = None) -> list[tuple]:
    """What is not waited for is committed soon: every turn of this loop is a commit of its own."""
    deadline = time.monotonic() + 20
    while len(found := rows(berth)) != count or (tokens is not None and [row[4] for row in found] != tokens):
        assert time.monotonic() < deadline, found
        berth.http("POST", "/v1/clock", {"advance": "1ms"})
    return found


def events(berth, *types: str) -> list[tuple]:
    return [(e["type"], e.get("path"), e.get("detail")) for e in berth.events_after(0, types=",".join(types))]


# ---- registering anew ----


def test_OB_20_NTF_08_QM_06_observations_are_begun_again_after_the_2_01(berth, device):
    first, second = device.observe("/3/0/9"), device.observe("/3/0/10", payload=b"100")
    after = berth.last_event()
    device.register_again()  # its 2.01 has come
    request = device.expect_observe("/3/0/9")
    assert request.token not in (first.token, second.token)
    assert {item["state"] for item in device.observations()} == {"starting"}
    device.answer_observe(request, 3, TEXT, b"90")
    other = device.expect_observe("/3/0/10")
    device.answer_observe(other, 4, TEXT, b"99")
    started = [berth.await_event("observe_started", "dev1", after)]
    started.append(berth.await_event("observe_started", "dev1", started[0]["id"]))
    assert [(e["observation"], e["path"], e["detail"]) for e in started] == [(first.id, "/3/0/9", "begun again"), (second.id, "/3/0/10", "begun again")]
    assert first.send(b"80") == RST  # its old token
    first.token = request.token
    assert first.notify(b"80", 4)["observation"] == first.id
    assert [e["value"] for e in first.events("notification")] == [95, 90, 80]
    device.peer.expect_silence()
    await_rows(berth, 2, tokens=[request.token, other.token])


def test_M2_observations_are_begun_again_after_a_register_and_not_after_an_update(berth, device):
    one = device.observe("/3/0/9")
    assert device.registered.update(["lt=400"]).code_text == "2.04"
    device.peer.expect_silence()
    assert one.notify(b"94")["value"] == 94
    device.register_again()
    device.answer_observe(device.expect_observe("/3/0/9"), 3, TEXT, b"90")
    device.peer.expect_silence()


def test_OB_20_old_tokens_are_unknown_as_soon_as_the_device_has_registered_anew(berth, device):
    one = device.observe("/3/0/9")
    device.register_again()
    request = device.expect_observe("/3/0/9")
    assert one.send(b"94") == RST
    device.answer_observe(request, 3, TEXT, b"90")


@pytest.mark.transports("udp")  # what a connection does when it ends is in test_tcp_registration.py
def test_OB_20_registering_from_another_address_takes_the_observations_there(berth, device):
    one = device.observe("/3/0/9")
    old = device.peer
    device.register_again(peer=berth.peer())
    request = device.expect_observe("/3/0/9")
    device.answer_observe(request, 3, TEXT, b"90")
    assert one.send(b"94", peer=old) == RST
    one.token = request.token
    assert one.notify(b"89", 4)["value"] == 89


@pytest.mark.parametrize("refused", ["4.04", "4.05"])
def test_NTF_08_refusal_to_begin_again_ends_the_observation(berth, device, refused):
    one, other = device.observe("/3/0/9"), device.observe("/3/0/10")
    device.register_again()
    device.answer(device.expect_observe("/3/0/9"), refused)
    device.answer_observe(device.expect_observe("/3/0/10"), 3, TEXT, b"1")
    ended = berth.await_event("observe_ended", "dev1")
    assert (ended["observation"], ended["coap_code"], ended["detail"]) == (one.id, refused, "refused when it was begun again")
    assert [item["id"] for item in device.observations()] == [other.id]
    assert [row[0] for row in await_rows(berth, 1)] == [other.id]


def test_NTF_08_answer_without_observe_when_begun_again_is_told_and_ends_it(berth, device):
    one = device.observe("/3/0/9")
    device.register_again()
    device.answer(device.expect_observe("/3/0/9"), "2.05", TEXT, b"90")
    ended = berth.await_event("observe_ended", "dev1")
    assert (ended["observation"], ended["coap_code"]) == (one.id, "2.05")
    assert [e["value"] for e in one.events("notification")] == [95, 90]


def test_NTF_08_device_that_does_not_answer_is_asked_again_when_it_is_heard(berth, device):
    paths = ["/3/0/9", "/3/0/10", "/3/0/11", "/3/0/20"]
    observed = [device.observe(path) for path in paths]
    device.register_again()
    first = device.expect_observe("/3/0/9")
    berth.leap("100s")
    while (message := device.peer.receive(0.01)) is not None:
        assert message.mid == first.mid  # retransmissions: the others are not tried
    assert [item["state"] for item in device.observations()] == ["waiting"] * 4
    assert device.observations()[0]["token"] is None
    device.registered.update()
    for path in paths:
        device.answer_observe(device.expect_observe(path), 3, TEXT, b"1")
    device.peer.expect_silence()
    assert all(one.is_active() for one in observed)


def test_NTF_08_QM_05_queue_mode_device_that_does_not_answer_is_asleep_until_it_is_heard(berth):
    device = ObservedDevice(berth, "dev1", extra=["Q"])
    one = device.observe("/3/0/9")
    device.register_again(extra=["Q"])
    device.expect_observe("/3/0/9")
    after = berth.last_event()
    berth.leap("93s")
    while device.peer.receive(0.01) is not None:
        pass
    assert berth.await_event("sleeping", "dev1", after)["detail"] == "a request was not answered"
    device.registered.update()
    device.answer_observe(device.expect_observe("/3/0/9"), 3, TEXT, b"1")
    berth.await_event("observe_started", "dev1", after)
    assert one.is_active()


def test_NTF_05_QM_02_notification_wakes_a_queue_mode_device(berth):
    device = ObservedDevice(berth, "dev1", extra=["Q"])
    one = device.observe("/3/0/9")
    berth.leap("100s")
    assert berth.device("dev1")["awake"] is False
    after = berth.last_event()
    one.notify(b"94")
    berth.await_event("awake", "dev1", after)
    assert berth.device("dev1")["awake"] is True


def test_NTF_08_with_two_requests_at_once_the_others_are_not_tried_either(start_berth):
    berth = start_berth("--nstart", "2")
    device = ObservedDevice(berth, "dev1")
    paths = [f"/33333/0/{n}" for n in range(6)]
    for path in paths:
        device.observe(path)
    device.register_again()
    tried = {device.expect_observe(path).mid for path in paths[:2]}
    berth.leap("100s")
    while (message := device.peer.receive(0.01)) is not None:
        assert message.mid in tried
    assert {item["state"] for item in device.observations()} == {"waiting"}


def test_NTF_08_what_waits_can_be_cancelled_without_asking_the_device(berth, device):
    one, other = device.observe("/3/0/9"), device.observe("/3/0/10")
    device.register_again()
    device.expect_observe("/3/0/9")
    berth.leap("100s")
    while device.peer.receive(0.01) is not None:
        pass
    assert device.http("DELETE", "/3/0/9/observe").status == 204
    assert device.http("DELETE", "/3/0/10/observe", mode="reset").status == 204
    assert device.observations() == [] and rows(berth) == []
    device.registered.update()
    device.peer.expect_silence()
    assert {one.events("observe_ended")[0]["detail"], other.events("observe_ended")[0]["detail"]} == {"cancelled", "cancelled without a word to the device"}


@pytest.mark.transports("udp")  # a message in 50 ms is too slow for so many
def test_NTF_08_many_observations_are_begun_again_one_after_the_other(berth, device):
    paths = [f"/33333/0/{n}" for n in range(100)]
    for path in paths:
        device.observe(path)
    device.register_again()
    for path in paths:
        device.answer_observe(device.expect_observe(path), 3, TEXT, b"1")
    device.peer.expect_silence()
    assert {item["state"] for item in berth.get("/v1/devices/dev1/observations", limit=1000)["items"]} == {"active"}


def test_registering_anew_ends_an_observe_that_is_not_answered_yet(berth, device):
    kept = device.observe("/3/0/9")
    asked = device.ask("PUT", "/3/0/10/observe")
    device.expect_observe("/3/0/10")
    device.register_again()
    assert asked.answer(410).problem == "registration-gone"
    device.answer_observe(device.expect_observe("/3/0/9"), 3, TEXT, b"1")
    device.peer.expect_silence()
    assert [item["id"] for item in device.observations()] == [kept.id]


@pytest.mark.parametrize("begun_again", [False, True])
def test_registering_anew_sends_nothing_of_what_waits_behind_an_observe(berth, device, begun_again):
    """What is answered with 410 must not be done by the device all the same."""
    if begun_again:
        device.observe("/3/0/9")
        device.register_again()
    else:
        device.ask("PUT", "/3/0/9/observe")
    device.expect_observe("/3/0/9")
    waiting = berth.waiting()
    reboot = device.ask("POST", "/3/0/4")
    while berth.waiting() == waiting:
        pass
    device.register_again()  # its 2.01 comes before anything else
    assert reboot.answer(410).problem == "registration-gone"
    if begun_again:
        device.expect_observe("/3/0/9")
    device.peer.expect_silence()


@pytest.mark.transports("udp")
def test_registering_anew_from_elsewhere_ends_an_observe_that_was_asked_at_an_older_address(berth, device):
    asked = device.ask("PUT", "/3/0/10/observe")
    request = device.expect_observe("/3/0/10")
    oldest = device.peer
    device.peer = device.registered.peer = berth.peer()
    device.registered.update()
    device.register_again(peer=berth.peer())
    assert asked.answer(410).problem == "registration-gone"
    oldest.send(Coap(ACK, 0x45, request.mid, request.token, [(OBSERVE, b"\x0c"), (CONTENT_FORMAT, b"")], b"95"))
    oldest.expect_silence()
    assert device.observations() == []


@pytest.mark.transports("udp")
def test_device_that_moves_while_it_is_asked_is_observed_where_it_is(berth, device):
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect_observe("/3/0/9")
    older = device.peer
    device.peer = device.registered.peer = berth.peer()
    device.registered.update()
    older.send(Coap(ACK, 0x45, request.mid, request.token, [(OBSERVE, b"\x0c"), (CONTENT_FORMAT, b"")], b"95"))
    one = Observed(device, "/3/0/9", request, asked.answer(200))
    assert one.notify(b"94")["value"] == 94


def test_registering_anew_twice_before_the_answer(berth, device):
    one = device.observe("/3/0/9")
    device.register_again()
    first = device.expect_observe("/3/0/9")
    device.register_again()
    second = device.expect_observe("/3/0/9")
    device.answer_observe(first, 3, TEXT, b"1")  # an ACK that nobody waits for
    device.answer_observe(second, 3, TEXT, b"2")
    one.token = second.token
    assert one.notify(b"94", 4)["value"] == 94
    assert [e["value"] for e in one.events("notification")] == [95, 2, 94]


def test_device_that_moves_while_it_is_observed_again_is_asked_where_it_is(berth):
    device = ObservedDevice(berth, "dev1", extra=["Q"])
    one = device.observe("/3/0/9")
    device.register_again(extra=["Q"])
    device.expect_observe("/3/0/9")  # which never arrives: the address is another one by now
    device.peer = device.registered.peer = berth.peer()
    device.registered.update()
    request = device.expect_observe("/3/0/9")
    device.answer_observe(request, 3, TEXT, b"90")
    one.token = request.token
    assert one.notify(b"89", 4)["value"] == 89
    berth.leap("92s")
    assert berth.device("dev1")["awake"] is True  # nobody took it for silent


# ---- moving, going ----


@pytest.mark.transports("udp")
def test_address_change_moves_observations(berth, device):
    one = device.observe("/3/0/9")
    old = device.peer
    device.peer = device.registered.peer = berth.peer()
    assert device.registered.update().code_text == "2.04"
    assert one.send(b"94", peer=old) == RST
    assert one.notify(b"93")["value"] == 93
    asked = device.ask("DELETE", "/3/0/9/observe")
    request = device.expect(GET, "/3/0/9")
    assert request.token == one.token
    device.answer(request, "2.05", TEXT, b"93")
    asked.answer(204)


@pytest.mark.transports("udp")
def test_address_change_to_where_the_token_is_in_use_begins_it_again(berth, device):
    other = ObservedDevice(berth, "dev2")
    mine = device.observe("/3/0/9")
    theirs = [other.observe("/3/0/9") for _ in range(256)]
    assert mine.token in {one.token for one in theirs}
    device.peer = device.registered.peer = other.peer
    assert device.registered.update().code_text == "2.04"
    request = device.expect_observe("/3/0/9")
    assert request.token not in {one.token for one in theirs}
    device.answer_observe(request, 3, TEXT, b"1")
    mine.token = request.token
    assert mine.notify(b"94", 4)["observation"] == mine.id


def test_OB_20_deregistration_ends_observations(berth, device):
    one = device.observe("/3/0/9")
    device.registered.deregister()
    assert events(berth, "observe_ended") == [("observe_ended", "/3/0/9", "the device has deregistered")]
    assert one.send(b"94") == RST
    assert await_rows(berth, 0) == []
    device.register_again()
    device.peer.expect_silence()
    assert device.observations() == []


@pytest.mark.transports("udp")
def test_OB_20_expiry_ends_observations(berth, device):
    one = device.observe("/3/0/9")
    berth.leap("500s")
    assert events(berth, "expired", "observe_ended") == [("expired", None, None), ("observe_ended", "/3/0/9", "the registration has expired")]
    assert one.send(b"94") == RST
    assert await_rows(berth, 0) == []


def test_forgotten_device_and_reset_leave_nothing(berth, device):
    one = device.observe("/3/0/9")
    assert berth.http("DELETE", "/v1/devices/dev1").status == 204
    assert one.send(b"94") == RST
    assert await_rows(berth, 0) == []
    device.register_again()
    two = device.observe("/3/0/9")
    last = berth.last_event()
    assert berth.http("POST", "/v1/reset?scope=devices").status == 204
    assert berth.events_after(last) == []
    assert rows(berth) == [] and berth.get_metric("berth_observations") == 0
    assert two.send(b"94") == RST


# ---- restarts ----


@pytest.mark.transports("udp")
def test_observation_goes_on_after_a_restart_with_its_token(berth, device):
    one = device.observe("/3/0/9")
    berth.restart()
    assert [(e["path"], e["observation"], e["detail"]) for e in berth.events_after(0, types="observe_started")] == [("/3/0/9", one.id, "resumed after a restart")]
    device.peer.expect_silence()
    item = one.listed()
    assert (item["state"], item["token"], item["notifications"], item["last"]) == ("active", one.token.hex(), 0, None)
    assert one.notify(b"94", 3)["observation"] == one.id
    second = device.observe("/3/0/10")
    assert second.id > one.id and second.token != one.token


@pytest.mark.transports("udp")
def test_observation_goes_on_after_a_kill(berth, device):
    one = device.observe("/3/0/9")
    gone = device.observe("/3/0/10")
    device.http("DELETE", "/3/0/10/observe", mode="reset")
    berth.kill()
    berth.start()
    assert one.notify(b"94")["value"] == 94
    assert gone.send(b"94") == RST
    assert device.observe("/3/0/11").id > gone.id


def test_observe_is_answered_after_its_commit_only(berth, device):
    with berth.no_commit():
        asked = device.ask("PUT", "/3/0/9/observe")
        request = device.expect_observe("/3/0/9")
        device.answer_observe(request, 12, TEXT, b"95")
        device.peer.expect_silence()
        berth.await_event("notification", "dev1")
        assert asked.response is None
        berth.kill()
    asked.thread.join(30)
    assert asked.response is None
    berth.start()
    assert rows(berth) == []


def test_cancel_is_answered_after_its_commit_only(berth, device):
    one = device.observe("/3/0/9")
    with berth.no_commit():
        asked = device.ask("DELETE", "/3/0/9/observe")
        device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
        device.peer.expect_silence()
        assert one.listed() is None
        assert asked.response is None
    asked.answer(204)
    assert rows(berth) == []


def test_hanging_up_while_it_is_committed_leaves_the_observation(berth, device):
    with berth.no_commit():
        url = "/v1/devices/dev1/3/0/9/observe"
        failed = []

        def ask():
            try:
                berth.http("PUT", url, within=1)
            except TimeoutError:
                failed.append(True)

        thread = threading.Thread(target=ask)
        thread.start()
        device.answer_observe(device.expect_observe("/3/0/9"), 12, TEXT, b"95")
        thread.join(10)
        assert failed
    await_rows(berth, 1)
    assert device.observations()[0]["state"] == "active"


@pytest.mark.transports("udp")
def test_restart_after_a_register_that_was_not_followed_begins_again(berth, device):
    one = device.observe("/3/0/9")
    device.register_again()
    device.expect_observe("/3/0/9")  # not answered: the row is that of the older registration
    berth.kill()
    berth.start()
    assert one.listed()["state"] == "waiting"
    assert one.send(b"94") == RST
    device.registered.update()
    request = device.expect_observe("/3/0/9")
    device.answer_observe(request, 3, TEXT, b"1")
    berth.await_event("observe_started", "dev1")
    assert one.is_active()
    await_rows(berth, 1)
    berth.restart()
    one.token = request.token
    assert one.notify(b"94", 4)["value"] == 94


def test_row_without_a_registration_is_deleted(berth, device):
    device.observe("/3/0/9")
    berth.stop()
    with sqlite3.connect(berth.data / "berth.db") as connection:
        connection.execute("DELETE FROM registration")
    berth.start()
    assert await_rows(berth, 0) == []
    assert berth.get_metric("berth_observations") == 0


@pytest.mark.parametrize("change", ["paths = ''", "paths = '/3/0/9 x'", "request = x''", "request = x'40010000'", "request = x'6045000060'", "token = x'010203040506070809'"])
def test_row_that_makes_no_sense_is_left_out_and_the_device_is_asked_again_if_it_can(berth, device, change):
    device.observe("/3/0/9")
    berth.stop()
    with sqlite3.connect(berth.data / "berth.db") as connection:
        connection.execute(f"UPDATE observation SET {change}")
    berth.start()
    if change.startswith("token"):
        assert device.observations()[0]["state"] == "waiting"
    else:
        assert device.observations() == []
        assert await_rows(berth, 0) == []


@pytest.mark.transports("udp")
def test_numbers_are_not_used_again_after_all_rows_have_gone(berth, device):
    one = device.observe("/3/0/9")
    device.http("DELETE", "/3/0/9/observe", mode="reset")
    berth.restart()
    assert device.observe("/3/0/9").id > one.id


# ---- limits ----


def test_limit_of_observations_of_a_device(start_berth):
    berth = start_berth("--max-observations-per-device", "2")
    device = ObservedDevice(berth, "dev1")
    one = device.observe("/3/0/9")
    device.observe("/3/0/10")
    answer = device.http("PUT", "/3/0/11/observe")
    assert (answer.status, answer.problem) == (429, "too-many-observations")
    ObservedDevice(berth, "dev2").observe("/3/0/9")
    device.http("DELETE", f"/observations/{one.id}", mode="reset")
    device.observe("/3/0/11")


def test_limit_of_all_observations(start_berth):
    berth = start_berth("--max-observations", "1")
    ObservedDevice(berth, "dev1").observe("/3/0/9")
    device = ObservedDevice(berth, "dev2")
    assert device.http("PUT", "/3/0/9/observe").problem == "too-many-observations"
    berth.http("DELETE", "/v1/devices/dev1")
    device.observe("/3/0/9")


def small_files(berth, size: int) -> None:
    """Files of the server may not grow beyond this: what a full disk looks like."""
    resource.prlimit(berth.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_observation_that_cannot_be_stored_is_503_and_over(start_berth):
    berth = start_berth(preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
    device = ObservedDevice(berth, "dev1")
    small_files(berth, 0)
    asked = device.ask("PUT", "/3/0/9/observe")
    request = device.expect_observe("/3/0/9")
    device.answer_observe(request, 12, TEXT, b"95")
    answer = asked.answer(503)
    assert (answer.problem, answer.json["outcome"]) == ("store-failed", "not-stored")
    assert device.observations() == []
    assert events(berth, "observe_ended") == [("observe_ended", "/3/0/9", "it could not be stored")]
    assert device.send_and_see(device.notification(request.token, 13, b"94")) == RST
    small_files(berth, resource.RLIM_INFINITY)


def test_cancel_that_cannot_be_stored_is_503_and_stored_when_there_is_room(start_berth):
    berth = start_berth(preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN))
    device = ObservedDevice(berth, "dev1")
    one, two = device.observe("/3/0/9"), device.observe("/3/0/10")
    small_files(berth, 0)
    assert device.http("DELETE", "/3/0/10/observe", mode="reset").problem == "store-failed"
    assert two.is_active()
    asked = device.ask("DELETE", "/3/0/9/observe")
    device.answer(device.expect(GET, "/3/0/9"), "2.05", TEXT, b"95")
    assert asked.answer(503).problem == "store-failed"
    assert [item["id"] for item in device.observations()] == [two.id]
    small_files(berth, resource.RLIM_INFINITY)
    berth.leap("5s")
    assert [row[0] for row in await_rows(berth, 1)] == [two.id]
    assert one.send(b"94") == RST
