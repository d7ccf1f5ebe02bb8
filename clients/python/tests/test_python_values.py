"""Values and durations, without a server."""

from datetime import datetime, timedelta, timezone

import pytest

from berth_testing import durations
from berth_testing.telling import tell_event, tell_message, tell_near_miss
from berth_testing.values import decode, encode


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ({"path": "/3/0/9", "type": "integer", "value": 95}, 95),
        ({"path": "/3/0/7", "type": "integer", "values": {"0": 3800, "1": 5000}}, {0: 3800, 1: 5000}),
        ({"type": "opaque", "value": "AQI="}, b"\x01\x02"),
        ({"type": "opaque", "values": {"3": "AQI="}}, {3: b"\x01\x02"}),
        ({"type": "raw", "value_b64": "AQI="}, b"\x01\x02"),
        ({"type": "string", "value_b64": "/w=="}, b"\xff"),
        ({"type": "string", "values": {"0": {"value_b64": "/w=="}}}, {0: b"\xff"}),
        ({"path": "/3/0", "resources": {"9": {"type": "integer", "value": 1}}}, {9: 1}),
        ({"path": "/3", "instances": {"0": {"resources": {"9": {"type": "integer", "value": 1}}}}}, {0: {9: 1}}),
        ({"path": "/3", "instances": {}}, {}),
    ],
)
def test_data_of_the_api_become_values(document, value):
    assert decode(document) == value


@pytest.mark.parametrize(
    ("value", "depth", "body"),
    [
        (26.5, 3, 26.5),
        (b"\x01\x02", 3, {"type": "opaque", "value": "AQI="}),
        (datetime(2020, 1, 1, tzinfo=timezone.utc), 3, {"type": "time", "value": 1577836800}),
        ({0: "a"}, 3, {"values": {"0": "a"}}),
        ({9: 1, 7: {0: 2}}, 2, {"resources": {"9": 1, "7": {"values": {"0": 2}}}}),
        ({0: {9: 1}}, 1, {"instances": {"0": {"resources": {"9": 1}}}}),
        ("a", 4, "a"),
    ],
)
def test_values_become_bodies(value, depth, body):
    assert encode(value, depth) == body


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (30, "30s"),
        (0.25, "250ms"),
        ("1d", "86400s"),
        ("+2m", "120s"),
        ("1.5s", "1500ms"),
        (timedelta(hours=1), "3600s"),
    ],
)
def test_durations_are_what_the_api_takes(duration, text):
    assert durations.text(duration) == text


@pytest.mark.parametrize("wrong", ["", "soon", "10 parsecs", -1, float("inf"), timedelta(seconds=-1)])
def test_what_is_no_duration_is_refused(wrong):
    with pytest.raises(ValueError, match="no duration"):
        durations.text(wrong)


def test_event_is_told_in_one_line():
    event = {"id": 12, "ts": "2026-11-21T08:37:36.830Z", "type": "registered", "endpoint": "dev1", "lifetime_s": 300}
    assert tell_event(event) == "#12 08:37:36.830 registered dev1  lifetime_s=300"
    assert len(tell_event({**event, "detail": "x" * 5000})) == 400


def test_message_is_told_in_one_line():
    answer = {
        **{"id": 11, "ts": "2026-11-21T17:44:05.574Z", "endpoint": "dev1", "direction": "in", "kind": "read"},
        **{"transport": "dtls", "peer": "127.0.0.1:45006", "path": "/3/0/9"},
        "coap": {"type": "ACK", "code": "2.05", "name": "Content"},
        "payload": {"format": "text", "text": "95"},
    }
    assert tell_message(answer) == "#11 17:44:05.574 in read dev1 dtls ACK 2.05 Content /3/0/9  95"
    handshake = {"id": 1, "direction": "out", "kind": "handshake", "peer": "127.0.0.1:45006", "transport": "dtls"}
    assert tell_message(handshake) == "#1 out handshake 127.0.0.1:45006 dtls"


def test_near_miss_says_in_what_it_differs():
    event = {"id": 3, "type": "updated", "endpoint": "dev1", "lifetime_s": 30}
    differs = [{"member": "lifetime_s", "expected": {"gte": 60}, "actual": 30}]
    assert tell_near_miss(event) == "#3 updated dev1  lifetime_s=30"
    assert tell_near_miss({"event": event, "differs": differs, "note": "too early"}).splitlines()[1:] == [
        '    lifetime_s is 30, not {"gte": 60}',
        "    too early",
    ]
