"""Peers that do something else than they should, at each step of a bootstrap."""

import pytest
from bootstrapped_device import BootstrapDevice
from coapraw import ACK, BLOCK1, CON, EMPTY, NON, Coap, block, code, uint
from lwm2mraw import TLV
from test_bootstrap import configure, session
from test_dtls import COAPS, add_psk, connect

STEPS = ["GET /0", "DELETE /0", "DELETE /1", "PUT /0/1", "PUT /1/0", "POST /bs"]
MAY_FAIL = {"GET /0", "DELETE /0", "DELETE /1"}
SILENCE = "100s"  # longer than MAX_TRANSMIT_WAIT


@pytest.fixture
def device(berth):
    return BootstrapDevice(berth.peer())


def finish(device):
    while device.take().name != "POST /bs":
        pass


def failed(berth, endpoint="dev1"):
    event = berth.await_event("bootstrap_failed", endpoint)
    assert session(berth, endpoint)["state"] == "failed"
    return event


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("answer", ["4.00", "4.04", "4.05", "5.00"])
def test_BS_21_a_command_that_is_refused(berth, device, step, answer):
    device.begin()
    command = device.until(step)
    device.answer(command, answer, b"no such thing")
    if step in MAY_FAIL:
        finish(device)
        berth.await_event("bootstrap_finished", "dev1")
        return
    event = failed(berth)
    device.peer.expect_silence()
    assert (event["coap_code"], event["diagnostic"]) == (answer, "no such thing")
    assert event["path"] == ("/" if step == "POST /bs" else step.split(" ")[1])


@pytest.mark.parametrize("answer", ["4.06", "4.00"])
def test_BS_19_a_finish_that_is_refused_can_be_corrected(berth, device, answer):
    device.begin()
    device.answer(device.until("POST /bs"), answer)
    assert "inconsistent" in failed(berth)["detail"]
    device.run()
    berth.await_event("bootstrap_finished", "dev1")


@pytest.mark.parametrize(
    ("policy", "step", "answers", "outcome"),
    [
        ({"write": "continue"}, "PUT /0/1", 1, "finished"),
        ({"write": "retry"}, "PUT /0/1", 1, "finished"),
        ({"write": "retry"}, "PUT /0/1", 2, "failed"),
        ({"delete": "stop"}, "DELETE /0", 1, "failed"),
        ({"discover": "stop"}, "GET /0", 1, "failed"),
        ({"finish": "retry"}, "POST /bs", 1, "finished"),
    ],
)
def test_BS_21_what_happens_then_can_be_chosen(berth, device, policy, step, answers, outcome):
    configure(berth, on_error=policy)
    device.begin()
    device.answer(device.until(step), "5.00")
    if answers == 2:
        device.answer(device.until(step), "5.00")
    if outcome == "failed":
        failed(berth)
        device.peer.expect_silence()
    else:
        finish(device)
        berth.await_event("bootstrap_finished", "dev1")


@pytest.mark.parametrize("step", STEPS)
def test_BS_22_BS_16_BS_23_a_command_without_an_answer(berth, device, step):
    device.begin()
    command = device.until(step)
    berth.leap(SILENCE)
    while True:  # what was retransmitted meanwhile
        message = device.peer.receive(5)
        assert message is not None
        if message.mid != command.message.mid:
            break
        assert message == command.message
    if step == "GET /0":
        assert message.code == 4  # without another try
        return
    again = command.message
    assert (message.code, message.options, message.payload) == (again.code, again.options, again.payload)
    berth.leap(SILENCE)  # 200 s altogether, of the 247 s that the device waits
    event = failed(berth)
    assert "no acknowledgement" in event["detail"]
    assert len([e for e in berth.events_after(types="bootstrap_step") if e["path"] == event["path"] and e["operation"] == event["operation"]]) == 2


def test_a_device_that_has_registered_has_taken_the_finish_though_its_answer_was_lost(berth, device):
    device.begin()
    device.until("POST /bs")
    berth.register("dev1")
    berth.leap(SILENCE)
    berth.await_event("bootstrap_finished", "dev1")
    last = session(berth)["steps"][-1]
    assert session(berth)["state"] == "finished" and last["coap_code"] is None and "no acknowledgement" in last["detail"]


def test_a_device_that_is_still_registered_from_before_has_not_taken_it(berth, device):
    berth.register("dev1")
    device.begin()
    device.until("POST /bs")
    berth.leap(SILENCE)
    berth.leap(SILENCE)
    failed(berth)


@pytest.mark.parametrize("step", STEPS[1:])
def test_BS_22_an_answer_to_the_second_try_is_good(berth, device, step):
    device.begin()
    command = device.until(step)
    berth.leap(SILENCE)
    while (message := device.peer.receive(5)).mid == command.message.mid:
        pass
    command.message = message
    device.accept(command)
    if step != "POST /bs":
        finish(device)
    berth.await_event("bootstrap_finished", "dev1")


@pytest.mark.parametrize("step", STEPS)
def test_BS_22_a_command_that_is_reset(berth, device, step):
    device.begin()
    device.reset(device.until(step))
    if step == "GET /0":
        finish(device)
    else:
        assert "Reset" in failed(berth)["detail"]
        device.peer.expect_silence()


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_with_a_wrong_token_is_none(berth, device, step):
    device.begin()
    command = device.until(step)
    device.peer.send(Coap(ACK, code("2.04"), command.message.mid, b"wrong"))
    device.peer.send(Coap(NON, code("2.04"), device.peer.next_mid(), b"wrong"))
    reset = device.peer.receive()
    assert reset.code == EMPTY
    assert session(berth)["state"] == "running"
    device.peer.expect_silence()


def test_BS_20_every_answer_may_come_separately(berth, device):
    device.begin()
    for step in STEPS:
        command = device.next()
        assert command.name == step
        device.separately(command, "4.04" if step == "GET /0" else "2.02" if step.startswith("DELETE") else "2.04")
    berth.await_event("bootstrap_finished", "dev1")


def test_an_acknowledged_command_that_is_never_answered(berth, device):
    device.begin()
    command = device.until("PUT /1/0")
    device.peer.send(Coap(ACK, EMPTY, command.message.mid))
    device.peer.expect_silence()
    berth.leap("250s")
    again = device.next()
    assert again.name == "PUT /1/0"
    device.accept(again)
    finish(device)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([], id="none"),
        pytest.param([(BLOCK1, block(7, True, 6))], id="another number"),
        pytest.param([(BLOCK1, b"\x0f")], id="size 7"),
    ],
)
def test_blocks_that_are_answered_wrongly_end_in_some_way(berth, device, value):
    configure(berth, write={"/3/0": {"resources": {"14": "x" * 5000}}})
    device.begin()
    while True:
        message = device.peer.receive(10)
        if message.number(BLOCK1) is not None:
            break
        text = {1: "2.05", 4: "2.02"}.get(message.code, "2.04")
        device.peer.send(Coap(ACK, code(text), message.mid, message.token))
    for _ in range(40):
        device.peer.send(Coap(ACK, code("4.08"), message.mid, message.token, value))
        message = device.peer.receive(1)
        if message is None:
            break
    assert "/3/0" in failed(berth)["path"]


def test_an_answer_with_a_block_option_that_is_none_is_no_answer(berth, device):
    device.begin()
    command = device.until("PUT /0/1")
    device.peer.send(Coap(ACK, code("2.04"), command.message.mid, command.message.token, [(BLOCK1, b"\1\2\3\4")]))
    device.peer.expect_silence()
    assert session(berth)["state"] == "running"
    device.accept(command)
    finish(device)


def test_BS_08_coming_again_in_the_middle_ends_what_was(berth, device):
    for step in STEPS:
        device.begin()
        device.until(step)
    device.run()
    events = berth.events_after(types="bootstrap_started,bootstrap_failed,bootstrap_finished")
    assert [e["type"] for e in events] == ["bootstrap_started", "bootstrap_failed"] * len(STEPS) + ["bootstrap_started", "bootstrap_finished"]
    device.peer.expect_silence()


def test_BS_08_two_with_one_name_the_later_one_is_bootstrapped(berth):
    first, second = BootstrapDevice(berth.peer()), BootstrapDevice(berth.peer())
    first.begin()
    pending = first.next()
    second.run()
    first.accept(pending)
    first.peer.expect_silence()
    assert len(berth.events_after(types="bootstrap_finished")) == 1


def test_two_at_once_do_not_disturb_each_other(berth):
    devices = [BootstrapDevice(berth.peer(), f"dev{number}") for number in range(20)]
    for device in devices:
        device.begin()
    for _ in STEPS:
        for device in devices:
            device.take()
    assert all(device.names == STEPS for device in devices)
    for device in devices:
        berth.await_event("bootstrap_finished", device.endpoint)


def test_one_link_has_one_bootstrap(berth):
    peer = berth.peer()
    first, second = BootstrapDevice(peer, "dev1"), BootstrapDevice(peer, "dev2")
    first.begin()
    first.next()
    second.run()
    assert session(berth, "dev1")["state"] == "superseded"


def test_a_device_that_closes_its_session_has_failed_at_once(start_berth):
    berth = start_berth(listen=COAPS)
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    device = BootstrapDevice(connect(berth, "factory"))
    device.begin()
    device.until("PUT /0/1")
    device.peer.hang_up()
    assert "ended the session" in failed(berth)["detail"]


def test_keys_of_a_bootstrap_that_failed_do_not_replace_the_old_ones(start_berth):
    from test_dtls import register

    berth = start_berth(listen=COAPS)
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    good = BootstrapDevice(connect(berth, "factory")).run().account()["5"]
    device = BootstrapDevice(connect(berth, "factory"))
    device.begin()
    device.answer(device.until("PUT /1/0"), "5.00")
    failed(berth)
    register(berth, connect(berth, "dev1", good))


def test_a_bootstrap_that_takes_half_an_hour_has_failed(berth, device):
    configure(berth, write={f"/3303/{i}": {"resources": {"5700": 1}} for i in range(10)})
    device.begin()
    for _ in range(20):
        command = device.next()
        device.peer.send(Coap(ACK, EMPTY, command.message.mid))
        device.peer.expect_silence()
        berth.leap("240s")
        mid = device.peer.next_mid()
        device.peer.send(Coap(CON, code("2.04"), mid, command.message.token))
        assert device.peer.receive().mid == mid
        if berth.events_after(types="bootstrap_failed"):
            break
    assert "30 minutes" in failed(berth)["detail"]


def test_the_server_ends_in_the_middle_of_a_bootstrap(start_berth):
    for step in STEPS:
        berth = start_berth()
        device = BootstrapDevice(berth.peer())
        device.begin()
        device.until(step)
        berth.stop()


def test_commits_that_fail_end_the_bootstrap_before_the_finish(start_berth):
    berth = start_berth(listen=COAPS)
    add_psk(berth, "dev1", identity="factory", service="bootstrap")
    device, other = (BootstrapDevice(connect(berth, "factory")) for _ in range(2))
    for each in (device, other):  # their sessions are stored
        each.peer.expect_silence()
    device.begin()
    for _ in range(4):
        device.take()
    with berth.no_commit():
        device.take("PUT /1/0")
        device.peer.expect_silence()  # no Finish before the commit
        other.begin()  # supersedes what waits for its commit
    finish(other)
    berth.await_event("bootstrap_finished", "dev1")


def test_formats_and_tokens_are_ours(berth, device):
    device.begin("pct=11542")
    command = device.until("PUT /0/1")
    assert command.format == TLV and uint(TLV)
    device.accept(command)
    finish(device)
