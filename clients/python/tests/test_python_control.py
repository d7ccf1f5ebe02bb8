"""Time, faults, credentials, bootstrap configurations, definitions, captures, a clean slate."""

import stat

import pytest
from stub_server import StubServer

import berth_testing
from berth_testing import BerthError, NotReachable, Problem

XML = """<?xml version="1.0"?><LWM2M><Object ObjectType="MODefinition"><Name>Mine</Name><Description1/>
<ObjectID>33000</ObjectID><ObjectURN>urn:oma:lwm2m:x:33000</ObjectURN><MultipleInstances>Single</MultipleInstances>
<Mandatory>Optional</Mandatory><Resources><Item ID="0"><Name>Level</Name><Operations>R</Operations>
<MultipleInstances>Single</MultipleInstances><Mandatory>Mandatory</Mandatory><Type>Integer</Type><RangeEnumeration/>
<Units/><Description/></Item></Resources></Object></LWM2M>"""


def test_clock_leaps(berth):
    before = berth.clock()["now_s"]
    assert berth.clock(+3600)["advanced_s"] == 3600
    assert berth.leap("1d")["advanced_s"] == 86400
    assert berth.clock()["now_s"] >= before + 90000


def test_server_and_device_leap_together(berth):
    device = berth.device("dev1", "--lifetime", 300)
    berth.wait_registered("dev1")
    with berth.expecting_none("expired", endpoint="dev1"):
        berth.leap_with("2h", device)
    assert len(berth.events("updated", endpoint="dev1")) >= 7200 / 300


def test_psk_lets_a_device_in_until_the_test_is_over(berth):
    psk = berth.psk("dev1", identity="who")
    berth.device("dev1", "--psk", psk)
    assert berth.wait_registered("dev1")["security"]["identity"] == "who"
    assert repr(psk) == "<Psk of who>"  # and not its key
    assert [one["mode"] for one in berth.credentials("dev1")] == ["psk"]
    berth.tidy()
    assert berth.credentials() == []


def test_credential_that_was_there_before_stays(berth):
    berth.call("PUT", "/v1/credentials/dev1", {"mode": "psk", "key_hex": "00" * 16})
    berth.psk("dev1")
    berth.tidy()
    assert len(berth.credentials("dev1")) == 1
    berth.delete_credential("dev1")


def test_bootstrap_configuration_goes_with_the_test(berth):
    berth.put_bootstrap("dev1", {"servers": [{"short_id": 7}]})
    assert berth.bootstrap("dev1")["servers"][0]["short_id"] == 7
    berth.tidy()
    with pytest.raises(Problem) as caught:
        berth.bootstrap("dev1")
    assert caught.value.status == 404


def test_definition_goes_with_the_test(berth):
    berth.put_object(33000, XML)
    assert berth.call("GET", "/v1/objects/33000").json["name"] == "Mine"
    berth.tidy()
    with pytest.raises(Problem):
        berth.call("GET", "/v1/objects/33000")


def test_reset_forgets_devices_and_events(berth):
    berth.device("dev1")
    berth.wait_registered("dev1")
    assert [one["endpoint"] for one in berth.devices()] == ["dev1"]
    assert berth.devices(endpoint="x*") == []
    assert berth.registration("dev1")["transport"] == "udp"
    assert berth.traffic("dev1")["total"]["bytes_in"] > 0
    berth.reset()
    assert berth.devices() == [] and berth.events() == []


def test_device_that_was_forgotten_registers_anew(berth):
    device = berth.device("dev1")
    berth.wait_registered("dev1")
    berth.forget("dev1")
    with berth.expecting("registered", endpoint="dev1"):
        device.update()


def test_devices_come_in_pages(stub):
    stub.answer("GET", "/v1/devices", lambda path: {"items": [path], "next": None if "cursor" in path else "x y"})
    assert berth_testing.attach(stub.url).devices(state="registered") == [
        "/v1/devices?state=registered",
        "/v1/devices?state=registered&cursor=x+y",
    ]


def test_register_that_is_lost_comes_again(berth):
    lost = berth.fault("dev1", drop=True, on="register", count=2)
    berth.device("dev1", "--ack-timeout", "50ms")
    berth.wait_registered("dev1")
    assert lost.expect_fired()["action"] == "drop"
    assert (lost.show()["fired"], lost.show()["active"]) == (2, False)


def test_fault_ends_with_its_block(berth):
    device = berth.device("dev1")
    berth.wait_registered("dev1")
    with berth.fault("dev1", answer="4.04", on="update", times=None):
        with berth.expecting("replaced", endpoint="dev1"):
            device.update()
    assert berth.faults("dev1") == berth.faults() == []
    with berth.expecting("updated", endpoint="dev1"):
        device.expect("registered", after=device.expect("registered"))
        device.update()


def test_faults_are_cleared(berth):
    berth.fault("dev1", drop=True, on="any")
    berth.fault("dev2", drop=True, on="any")
    berth.clear_faults("dev1")
    assert [one["endpoint"] for one in berth.faults()] == ["dev2"]
    berth.tidy()
    assert berth.faults() == []


def test_fault_that_makes_no_sense_is_refused(berth):
    with pytest.raises(Problem, match="sneeze"):
        berth.fault("dev1", sneeze=True)


def test_fault_is_ordered_shown_and_taken_back(stub):
    berth = berth_testing.attach(stub.url)
    stub.answer("PUT", "/v1/devices/dev%2F1/faults", None, 204, Location="/v1/faults/4")
    fault = berth.fault("dev/1", drop=True, on="register", count=2)
    assert stub.last() == ("PUT", "/v1/devices/dev%2F1/faults", {"drop": True, "on": "register", "times": 2})
    stub.answer("GET", "/v1/faults/4", {"id": 4, "fired": 1})
    assert fault.show()["fired"] == 1
    stub.answer("POST", "/v1/wait", {"id": 9, "type": "fault"})
    assert fault.expect_fired()["id"] == 9
    assert stub.asked[-1][2] == {"type": "fault", "match": {"fault": 4}, "after": 0, "timeout": "10s"}
    stub.answer("DELETE", "/v1/faults/4", None, 204)
    fault.clear()
    assert stub.last()[:2] == ("DELETE", "/v1/faults/4")


def test_faults_of_a_test_end_with_it(stub):
    berth = berth_testing.attach(stub.url)
    stub.answer("PUT", "/v1/faults", None, 204, Location="/v1/faults/9")
    stub.answer("DELETE", "/v1/faults/9", None, 204)
    with berth.fault(drop=True, on="any", times=None):
        assert stub.last()[2] == {"drop": True, "on": "any", "times": None}
    assert stub.last()[:2] == ("DELETE", "/v1/faults/9")
    berth.fault(delay="2s")
    stub.problem("DELETE", "/v1/faults/9", 404, "not-found")  # it has ended by itself
    berth.tidy()
    assert stub.last()[:2] == ("DELETE", "/v1/faults/9")


def test_capture_is_written_for_its_owner(stub, tmp_path):
    stub.answer("GET", "/v1/devices/dev1/messages", b"\x0a\x0d\x0d\x0a", 200)
    file = berth_testing.attach(stub.url).capture(tmp_path / "dev1.pcapng", "dev1")
    assert file.read_bytes() == b"\x0a\x0d\x0d\x0a"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600  # it has the secrets of sessions
    assert stub.asked[-1][3]["Accept"] == "application/vnd.tcpdump.pcap"


def test_messages_and_capture_of_a_device(berth, tmp_path):
    berth.device("dev1", "--psk", berth.psk("dev1"))
    berth.device("dev2")
    berth.wait_registered("dev1")
    berth.wait_registered("dev2")
    berth.read("dev1", "/3/0/9")
    asked, told = berth.messages("dev1", kind="read")
    assert (asked["direction"], told["payload"]["data"]["value"]) == ("out", 95)
    assert {one["endpoint"] for one in berth.messages(kind="register")} == {"dev1", "dev2"}
    secured = berth.capture(tmp_path / "dev1.pcapng", "dev1").read_bytes()
    assert secured.startswith(b"\x0a\x0d\x0d\x0a") and b"CLIENT_RANDOM" in secured
    clear = berth.capture(tmp_path / "all.pcapng", clear=True).read_bytes()
    assert b"CLIENT_RANDOM" not in clear and b"lwm2m=1.1" in clear


def test_messages_are_all_that_there_are(stub):
    pages = {"0": [{"id": 3}, {"id": 4}], "4": [{"id": 7}], "7": []}
    stub.answer("GET", "/v1/messages", lambda path: {"items": pages[path.partition("after=")[2]], "last": 7})
    assert [one["id"] for one in berth_testing.attach(stub.url).messages(kind="register")] == [3, 4, 7]
    assert stub.asked[-1][1] == "/v1/messages?kind=register&after=7"


def test_api_key_is_sent(stub):
    berth_testing.attach(stub.url, api_key="k3y").cursor()
    assert stub.asked[-1][3]["Authorization"] == "Bearer k3y"


def test_what_answers_no_problem_is_an_error_all_the_same(stub):
    stub.answer("GET", "/v1/clock", b"<h1>Bad Gateway</h1>", 502)
    with pytest.raises(Problem, match="502 <h1>Bad Gateway") as caught:
        berth_testing.attach(stub.url).clock()
    assert caught.value.kind == ""


def test_server_that_is_not_there():
    with StubServer() as stub:
        berth = berth_testing.attach(stub.url)
    with pytest.raises(NotReachable, match="GET http://127.0.0.1"):
        berth.clock()


def test_server_that_is_not_ours_is_not_ended(stub):
    berth = berth_testing.attach(stub.url)
    for end in (berth.stop, berth.kill, berth.restart):
        with pytest.raises(BerthError, match="was not started here"):
            end()
    assert berth.is_running and berth.log() == ""


def test_uris_of_an_attached_server():
    berth = berth_testing.Berth("http://192.0.2.1:8080")
    assert berth.uri() == "coap://192.0.2.1:5683"
    assert berth_testing.Berth("http://[2001:db8::1]:8080").uri("coaps+tcp") == "coaps+tcp://[2001:db8::1]:5684"
    with pytest.raises(ValueError, match="does not listen for coaps, but for coap"):
        berth_testing.Berth("http://192.0.2.1", uris={"coap": "coap://192.0.2.1"}).uri("coaps")
    with pytest.raises(ValueError, match="no http"):
        berth_testing.Berth("192.0.2.1:8080")
