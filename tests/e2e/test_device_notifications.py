"""When the reference device notifies: attributes, attached and asked for, over protocol time."""

import pytest
from coapraw import ACCEPT, CON, CONTENT_FORMAT, GET, NON, PUT, uint
from device_process import meet, played_server, start_device  # noqa: F401
from observing import TLV, attach, cancel, change, leap, notification, observe, observe_composite, reset, value

FOREVER = ("--lifetime", "0")
RELEASE_1_2 = ("--lwm2m", "1.2", *FOREVER)
LEVEL, TEMPERATURE, UNSIGNED, SWITCH = "/3/0/9", "/3303/0/5700", "/3442/0/125", "/3201/0/5550"
FIRST = {LEVEL: 95, TEMPERATURE: 20.0, UNSIGNED: 18446744073709551615, SWITCH: False}


def discover(server, path: str) -> str:
    return server.request(GET, path, [(ACCEPT, uint(40))]).payload.decode()


def silent(server, device) -> None:
    device.settle()
    server.expect_silence()


# ---- pmin and pmax ----


def test_NTF_01_not_before_pmin_and_not_after_pmax(meet):
    server, device = meet(*FOREVER)
    assert attach(server, LEVEL, "pmin=30", "pmax=45") == "2.04"
    observe(server, LEVEL)
    change(device, LEVEL, 80)
    leap(device, 29)
    server.expect_silence()
    leap(device, 1)
    assert value(notification(server)) == 80
    leap(device, 44)
    server.expect_silence()
    leap(device, 1)
    assert value(notification(server)) == 80


def test_NTF_01_change_after_pmin_is_told_at_once(meet):
    server, device = meet(*FOREVER)
    attach(server, LEVEL, "pmin=30")
    observe(server, LEVEL)
    leap(device, 30)
    server.expect_silence()  # nothing has changed
    change(device, LEVEL, 80)
    assert value(notification(server)) == 80


def test_what_was_changed_back_within_pmin_is_not_told(meet):
    server, device = meet(*FOREVER)
    attach(server, LEVEL, "pmin=30")
    observe(server, LEVEL)
    change(device, LEVEL, 80)
    change(device, LEVEL, 95)
    leap(device, 100)
    server.expect_silence()


@pytest.mark.parametrize("items", [["pmin=60", "pmax=10"], ["pmax=0"], []])
def test_ATT_04_pmax_below_pmin_or_0_or_absent_is_none(meet, items):
    server, device = meet(*FOREVER)
    if items:
        attach(server, LEVEL, *items)
    observe(server, LEVEL)
    leap(device, 86000)
    server.expect_silence()


@pytest.mark.parametrize(
    ("attached", "pmin", "pmax"),
    [
        ([("/3", "pmin=10", "pmax=20")], 10, 20),
        ([("/3", "pmin=10", "pmax=90"), ("/3/0", "pmax=20")], 10, 20),
        ([("/3", "pmin=40", "pmax=90"), ("/3/0", "pmin=10", "pmax=90"), (LEVEL, "pmax=20")], 10, 20),
        ([(LEVEL, "pmin=0"), ("/3", "pmin=40", "pmax=20")], 0, 20),
    ],
)
def test_ATT_07_lower_levels_go_before_higher_ones(meet, attached, pmin, pmax):
    server, device = meet(*FOREVER)
    for path, *items in attached:
        assert attach(server, path, *items) == "2.04"
    observe(server, LEVEL)
    change(device, LEVEL, 80)
    if pmin > 0:
        leap(device, pmin - 1)
        server.expect_silence()
        leap(device, 1)
    assert value(notification(server)) == 80
    leap(device, pmax - 1)
    server.expect_silence()
    leap(device, 1)
    notification(server)


def test_ATT_07_resource_instances_inherit_and_have_their_own(meet):
    server, device = meet(*FOREVER)
    attach(server, "/3/0/7", "st=500")
    observe(server, "/3/0/7/0")
    change(device, "3/0/7/0", 4000)
    server.expect_silence()
    attach(server, "/3/0/7/0", "st=100")
    assert value(notification(server)) == 4000


def test_ATT_07_server_object_has_the_periods_where_nothing_is_attached(meet):
    server, device = meet(*FOREVER)
    text = [(CONTENT_FORMAT, b"")]
    observe(server, LEVEL)
    assert server.request(PUT, "/1/0/2", text, b"30").code_text == "2.04"
    assert server.request(PUT, "/1/0/3", text, b"45").code_text == "2.04"
    change(device, LEVEL, 80)
    leap(device, 29)
    server.expect_silence()
    leap(device, 1)
    notification(server)
    leap(device, 45)
    notification(server)
    attach(server, LEVEL, "pmin=0", "pmax=1000")
    change(device, LEVEL, 70)
    notification(server)
    leap(device, 999)
    server.expect_silence()


def test_ATT_09_new_attributes_hold_for_an_observation_that_goes_on(meet):
    server, device = meet(*FOREVER)
    attach(server, LEVEL, "pmin=1000")
    observe(server, LEVEL)
    change(device, LEVEL, 80)
    attach(server, LEVEL, "pmin=10")
    leap(device, 9)
    server.expect_silence()
    leap(device, 1)
    notification(server)
    attach(server, LEVEL, "pmin", "pmax=5")
    leap(device, 5)
    notification(server)
    attach(server, LEVEL, "pmax")
    leap(device, 1000)
    server.expect_silence()


def test_ATT_10_attributes_on_the_exact_path_before_observe(meet):
    server, device = meet(*FOREVER)
    assert attach(server, LEVEL, "pmin=5", "pmax=10", "gt=90", "lt=50", "st=5") == "2.04"
    observe(server, LEVEL)
    change(device, LEVEL, 93)
    leap(device, 9)
    server.expect_silence()
    change(device, LEVEL, 89)
    notification(server)


# ---- thresholds ----


@pytest.mark.parametrize(
    ("path", "items", "course"),
    [
        (LEVEL, ["gt=90"], [(94, False), (91, False), (90, True), (10, False), (91, True), (100, False), (20, True)]),
        (LEVEL, ["lt=50"], [(51, False), (50, False), (49, True), (0, False), (50, True), (80, False)]),
        (LEVEL, ["st=10"], [(90, False), (86, False), (85, True), (94, False), (95, True), (80, True), (79, False)]),
        (LEVEL, ["gt=90", "lt=50"], [(91, False), (89, True), (60, False), (49, True), (92, True)]),
        (LEVEL, ["gt=90", "lt=50", "st=15"], [(91, False), (80, True), (70, False), (65, True), (49, True), (55, True)]),
        (TEMPERATURE, ["gt=20.5"], [(20.4, False), (20.5, False), (20.6, True), (30, False), (20.5, True)]),
        (TEMPERATURE, ["lt=-5.5", "gt=100"], [(-5.5, False), (-5.6, True), (0, True)]),
        (TEMPERATURE, ["st=0.25"], [(20.2, False), (20.25, True), (20.5, True), (20.3, False)]),
        (UNSIGNED, ["gt=9000000000000000000"], [(18446744073709551614, False), (8, True), (9, False)]),
        (UNSIGNED, ["st=100"], [(100, True), (150, False), (0, True)]),
        (UNSIGNED, ["lt=10"], [(10, False), (9, True), (3, False), (11, True)]),
    ],
)
def test_NTF_09_thresholds_are_crossed_in_either_direction_and_steps_count_from_what_was_told(meet, path, items, course):
    server, device = meet(*FOREVER)
    assert attach(server, path, *items) == "2.04"
    observe(server, path)
    for new, is_told in course:
        change(device, path, new)
        if is_told:
            assert value(notification(server)) == new
        else:
            server.expect_silence()


def test_NTF_09_threshold_waits_for_pmin(meet):
    server, device = meet(*FOREVER)
    attach(server, LEVEL, "gt=90", "pmin=10", "pmax=1000")
    observe(server, LEVEL)
    change(device, LEVEL, 80)
    leap(device, 9)
    server.expect_silence()
    leap(device, 1)
    assert value(notification(server)) == 80


def test_NTF_09_pmax_tells_what_no_threshold_does(meet):
    server, device = meet(*FOREVER)
    attach(server, LEVEL, "gt=1000", "pmax=60")
    observe(server, LEVEL)
    change(device, LEVEL, 80)
    server.expect_silence()
    leap(device, 60)
    assert value(notification(server)) == 80


def test_NTF_09_thresholds_of_a_resource_hold_in_an_observation_of_its_instance(meet):
    server, device = meet(*FOREVER)
    attach(server, TEMPERATURE, "st=10")
    attach(server, "/3303/0/5601", "st=100")
    attach(server, "/3303/0/5602", "st=100")
    observe(server, "/3303/0")
    change(device, TEMPERATURE, 25)
    server.expect_silence()
    change(device, "3303/0/5701", "K")
    notification(server)
    change(device, TEMPERATURE, 34)
    server.expect_silence()
    change(device, TEMPERATURE, 35)
    notification(server)


def test_thresholds_hold_in_a_composite_observation(meet):
    server, device = meet(*FOREVER)
    attach(server, LEVEL, "st=10")
    observe_composite(server, LEVEL, "/3303/0/5701")
    change(device, LEVEL, 90)
    server.expect_silence()
    change(device, LEVEL, 85)
    notification(server)


@pytest.mark.parametrize(
    ("edge", "course"),
    [
        (1, [("1", True), ("0", False), ("1", True)]),
        (0, [("1", False), ("0", True), ("1", False), ("0", True)]),
    ],
)
def test_NTF_09_edge_is_told_each_time_and_the_other_turn_is_not(meet, edge, course):
    server, device = meet(*RELEASE_1_2)
    assert attach(server, SWITCH, f"edge={edge}") == "2.04"
    observe(server, SWITCH)
    for new, is_told in course:
        change(device, SWITCH, new)
        if is_told:
            assert value(notification(server)) == (new == "1")
        else:
            server.expect_silence()


def test_NTF_09_edge_within_pmin_is_told_when_it_is_over(meet):
    server, device = meet(*RELEASE_1_2)
    attach(server, SWITCH, "edge=1", "pmin=10")
    observe(server, SWITCH)
    change(device, SWITCH, "1")
    change(device, SWITCH, "0")
    server.expect_silence()
    leap(device, 10)
    assert value(notification(server)) is False


# ---- confirmable or not ----


def test_NTF_07_con_makes_notifications_confirmable(meet):
    server, device = meet(*RELEASE_1_2)
    observe(server, LEVEL)
    types = []
    for item in ["con=1", "con=0", "con"]:
        attach(server, LEVEL, item)
        change(device, LEVEL, 10 + len(types))
        types.append(notification(server).type)
        server.expect_silence()
    assert types == [CON, NON, NON]


def test_NTF_07_one_a_day_is_confirmable(meet):
    server, device = meet(*FOREVER)
    observe(server, LEVEL)
    types = []
    for level in range(4):
        leap(device, 43200)
        change(device, LEVEL, level)
        types.append(notification(server).type)
        server.expect_silence()
    assert types == [NON, CON, NON, CON]


# ---- asked for with Observe ----


def test_NTF_02_attributes_of_the_request_go_before_attached_ones_and_are_not_discovered(meet):
    server, device = meet(*RELEASE_1_2)
    attach(server, LEVEL, "pmin=100", "pmax=1000")
    assert observe(server, LEVEL, "pmin=5", "pmax=10").code_text == "2.05"
    assert discover(server, LEVEL) == f"<{LEVEL}>;pmin=100;pmax=1000"
    change(device, LEVEL, 80)
    leap(device, 4)
    server.expect_silence()
    leap(device, 1)
    notification(server)
    leap(device, 10)
    notification(server)


@pytest.mark.parametrize(
    ("items", "course"),
    [(["gt=90"], [(91, False), (90, True)]), (["st=10"], [(90, False), (85, True)]), (["lt=50"], [(51, False), (49, True)])],
)
def test_NTF_02_thresholds_may_be_asked_for(meet, items, course):
    server, device = meet(*RELEASE_1_2)
    assert observe(server, LEVEL, *items).code_text == "2.05"
    for new, is_told in course:
        change(device, LEVEL, new)
        if is_told:
            notification(server)
        else:
            server.expect_silence()


def test_NTF_02_composite_with_periods(meet):
    server, device = meet(*RELEASE_1_2)
    assert observe_composite(server, LEVEL, TEMPERATURE, query=("pmin=5", "pmax=10", "con=1")).code_text == "2.05"
    change(device, LEVEL, 80)
    leap(device, 4)
    server.expect_silence()
    leap(device, 1)
    assert notification(server).type == CON
    server.expect_silence()
    leap(device, 10)
    notification(server)
    server.expect_silence()


@pytest.mark.parametrize(
    ("version", "path", "items"),
    [
        ("1.0", LEVEL, ["pmin=5"]),
        ("1.1", LEVEL, ["pmin=5", "pmax=10"]),
        ("1.2", LEVEL, ["pmin"]),
        ("1.2", LEVEL, ["pmin=5", "pmin=6"]),
        ("1.2", LEVEL, ["gt=5", "lt=5"]),
        ("1.2", LEVEL, ["nonsense=1"]),
        ("1.2", LEVEL, ["edge=1"]),
        ("1.2", "/3/0", ["gt=5"]),
        ("1.2", "/3/0/0", ["st=1"]),
    ],
)
def test_NTF_02_what_is_not_understood_is_4_00_and_observes_nothing(meet, version, path, items):
    server, device = meet("--lwm2m", version, *FOREVER)
    assert observe(server, path, *items, accept=None).code_text == "4.00"
    change(device, LEVEL, 80)
    server.expect_silence()


def test_NTF_02_cancel_with_the_same_query(meet):
    server, device = meet(*RELEASE_1_2)
    observe(server, LEVEL, "pmin=5")
    assert observe(server, LEVEL, "pmin=5", value=1).code_text == "2.05"
    device.line("Observation of 3/0/9 ended: the server has cancelled it")


# ---- housekeeping ----


def test_attributes_go_with_what_is_deleted(meet):
    server, _ = meet(*FOREVER)
    create = [(CONTENT_FORMAT, uint(TLV))]
    for _ in range(2):
        server.request(2, "/3303", create)
        server.answer(server.expect(2, "/rd/4Kx9"), "2.04")
        assert "pmin" not in discover(server, "/3303/1")
        attach(server, "/3303/1", "pmin=10")
        attach(server, "/3303/1/5700", "pmin=20")
        server.request(4, "/3303/1")
        server.answer(server.expect(2, "/rd/4Kx9"), "2.04")
    attach(server, "/16/0/0/1", "pmin=10")
    server.request(4, "/16/0/0/1")
    assert server.request(PUT, "/16/0/0/1", [(CONTENT_FORMAT, b"")], b"new").code_text == "2.04"
    assert "pmin" not in discover(server, "/16/0/0")


@pytest.mark.parametrize("how", ["cancel", "reset"])
def test_nothing_is_told_after_the_end_whatever_is_attached(meet, how):
    server, device = meet(*FOREVER)
    attach(server, LEVEL, "pmin=1", "pmax=10")
    observe(server, LEVEL)
    if how == "cancel":
        cancel(server, LEVEL)
    else:
        device.command("clock +10")
        message = server.receive()
        reset(server, message)
        device.line("Observation of 3/0/9 ended", partly=True)
    change(device, LEVEL, 1)
    leap(device, 100)
    silent(server, device)
