"""What Leshan's integration tests of Send ask of a server. Each test is named after the class there."""

import pytest
from coapraw import CONTENT_FORMAT, POST, uint
from lwm2mraw import LWM2M_CBOR, SENML_CBOR, SENML_JSON, Value, cbor, encode

FORMATS = [SENML_JSON, SENML_CBOR, LWM2M_CBOR]
VALUES = {
    "/3/0/0": Value("string", "ACME"),
    "/3/0/7/0": Value("integer", 3800),
    "/3/0/7/1": Value("integer", 5000),
    "/3303/0/5700": Value("float", 22.5),
    "/3442/0/125": Value("unsigned", 2**53 + 1),
    "/3442/0/140": Value("boolean", False),
    "/3442/0/150": Value("opaque", b"\x00\xff"),
    "/3442/0/170": Value("objlnk", "66:613"),
}


@pytest.fixture
def device(berth):
    return berth.register("dev1", links="</1/0>,</3/0>,</3303/0>,</3442/0>")


def send(peer, format, payload):
    return peer.request(POST, "/dp", payload=payload, options=[(CONTENT_FORMAT, uint(format))])


def told(berth, after=0):
    """Every value that was told, in order."""
    return berth.events_after(after, types="send")


@pytest.mark.parametrize("format", FORMATS)
def test_leshan_Send_reaches_the_listener_with_its_values(berth, device, format):
    answer = send(device.peer, format, encode(format, "/", VALUES))
    assert (answer.code_text, answer.payload) == ("2.04", b"")
    events = told(berth)
    assert {event["path"]: event["value"] for event in events} == {path: value.api for path, value in VALUES.items()}
    assert {event["endpoint"] for event in events} == {"dev1"} and all("time" not in event for event in events)


@pytest.mark.parametrize("format", FORMATS)
def test_leshan_Send_again_and_again(berth, device, format):
    for number in range(5):
        values = {"/3/0/9": Value("integer", number)}
        assert send(device.peer, format, encode(format, "/", values)).code_text == "2.04"
    assert [event["value"] for event in told(berth)] == list(range(5))


TIMES = [1700000000, 1700000001.5, 1700000060]


@pytest.mark.parametrize("format", [SENML_JSON, SENML_CBOR])
def test_leshan_SendTimestamped(berth, device, format):
    records = [{"bn": "/3303/0/5700", "bt": TIMES[0], "v": 1.5}] + [{"t": time - TIMES[0], "v": 1.5 + number} for number, time in enumerate(TIMES[1:], 1)]
    if format == SENML_JSON:
        import json

        payload = json.dumps(records).encode()
    else:
        labels = {"bn": -2, "bt": -3, "v": 2, "t": 6}
        payload = cbor([{labels[key]: item for key, item in record.items()} for record in records])
    assert send(device.peer, format, payload).code_text == "2.04"
    assert [(event["value"], event["time"]) for event in told(berth)] == [
        (1.5, "2023-11-14T22:13:20.000Z"),
        (2.5, "2023-11-14T22:13:21.500Z"),
        (3.5, "2023-11-14T22:14:20.000Z"),
    ]


@pytest.mark.parametrize("payload", [b"", b"\x81", b"\x81\xa1\x00", b"\x81\xa2\x21\x64/3/0\x02\x05", b"\xff", b"\x81\xa2\x00\x66/3/0/9\x02", b"\xbf\xff", b"Leshan"])
def test_leshan_LockStepSend_broken_SenML_CBOR_is_a_decode_error_of_that_client(berth, device, payload):
    answer = send(device.peer, SENML_CBOR, payload)
    assert (answer.code_text, bool(answer.payload)) == ("4.00", True)
    (rejected,) = berth.events_after(0, types="rejected")
    assert (rejected["endpoint"], rejected["coap_code"]) == ("dev1", "4.00") and rejected["detail"]
    assert told(berth) == []


def test_leshan_DynamicIPSend_from_another_address_on_plain_coap_is_not_taken(berth, device):
    other = berth.peer()
    assert send(other, SENML_JSON, b'[{"n":"/3/0/9","v":1}]').code_text == "4.04"
    assert told(berth) == []
    assert berth.device("dev1")["address"] == device.peer.address


def test_leshan_DynamicIPSend_is_taken_after_an_update_from_there(berth, device):
    other = berth.peer()
    assert other.request(POST, device.location).code_text == "2.04"
    assert send(other, SENML_JSON, b'[{"n":"/3/0/9","v":1}]').code_text == "2.04"
    assert send(device.peer, SENML_JSON, b'[{"n":"/3/0/9","v":2}]').code_text == "4.04"
    assert [event["value"] for event in told(berth)] == [1]


def test_leshan_MultiEndpoints_send_through_another_listener_is_not_taken(start_berth):
    berth = start_berth(listen=("coap://127.0.0.1:0", "coap://127.0.0.1:0"))
    device = berth.register("dev1")
    other = berth.peer(port=int(berth.listeners[1].rpartition(":")[2]))
    assert send(other, SENML_JSON, b'[{"n":"/3/0/9","v":1}]').code_text == "4.04"
    assert send(device.peer, SENML_JSON, b'[{"n":"/3/0/9","v":2}]').code_text == "2.04"
    assert [event["value"] for event in told(berth)] == [2]
