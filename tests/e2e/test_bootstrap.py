"""Bootstrap without security: requests, sequences, formats, what is told of it, and packs (Core 1.2 §6.1)."""

import pytest
from bootstrapped_device import BootstrapDevice, values_of
from coapraw import ACCEPT, ACK, CONTENT_FORMAT, DELETE, GET, NON, POST, PUT, URI_HOST, code, uint
from lwm2mraw import LWM2M_CBOR, SENML_CBOR, SENML_JSON, TLV, Value, encode
from played_device import LINK, TEXT, PlayedDevice


@pytest.fixture
def device(berth):
    """device("dev1") -> a BootstrapDevice over UDP."""

    def make(endpoint="dev1", **kwargs):
        return BootstrapDevice(berth.peer(), endpoint, **kwargs)

    return make


def configure(berth, endpoint="dev1", status=(201, 204), **config):
    answer = berth.http("PUT", f"/v1/bootstrap/{endpoint}", config)
    assert answer.status in status, answer.body
    return answer


def session(berth, endpoint="dev1"):
    return berth.get(f"/v1/bootstrap/{endpoint}/session")


# ---- the request ----


def test_BS_01_BS_10_BS_18_a_device_gets_this_server_and_registers(berth, device):
    played = device().run()
    assert played.names == ["GET /0", "DELETE /0", "DELETE /1", "PUT /0/1", "PUT /1/0", "POST /bs"]
    account = played.account()
    assert account["0"] == f"coap://127.0.0.1:{berth.coap_port}"
    assert (account["1"], account["2"]) == (False, 3)
    given = played.given
    assert {path: given[path] for path in given if path.startswith("/1/")} == {
        "/1/0/0": 1,
        "/1/0/1": 86400,
        "/1/0/6": True,
        "/1/0/7": "U",
    }
    berth.register("dev1", lifetime=86400, peer=played.peer)
    asked = PlayedDevice.__new__(PlayedDevice)
    asked.berth, asked.endpoint, asked.peer = berth, "dev1", played.peer
    assert asked.read("/3/0/9", TEXT, b"95").json["value"] == 95


def test_BS_02_BSC_05_BSC_08_without_pct_it_is_TLV_with_all_mandatory_resources_of_1_0(device):
    played = device().run()
    assert {c.format for c in played.commands if c.method == PUT} == {TLV}
    account = played.account()
    assert account["3"] == account["4"] == account["5"] == b""


@pytest.mark.parametrize("format", [TLV, SENML_JSON, SENML_CBOR, LWM2M_CBOR])
def test_BS_03_BSC_05_pct_is_the_format_of_all_writes(device, format):
    played = device().run(f"pct={format}")
    assert {c.format for c in played.commands if c.method == PUT} == {format}
    assert {"3", "4", "5"}.isdisjoint(played.account())


@pytest.mark.parametrize(("pct", "expected"), [("60", "4.15"), ("0", "4.15"), ("65000", "4.15"), ("abc", "4.00"), ("", "4.00"), ("70000", "4.00")])
def test_BS_04_pct_that_is_not_served(berth, device, pct, expected):
    assert device().ask(f"pct={pct}").code_text == expected
    assert berth.await_event("rejected")["coap_code"] == expected
    assert berth.events_after(types="bootstrap_started") == []


def test_BS_04_a_format_that_is_configured_goes_before_pct(berth, device):
    configure(berth, format="senml-json")
    played = device().run("pct=60")
    assert {c.format for c in played.commands if c.method == PUT} == {SENML_JSON}
    assert "pct" in berth.await_event("oddity")["detail"]


def test_BS_05_without_ep_and_security_it_is_4_00(device):
    assert device(None).ask().code_text == "4.00"


@pytest.mark.parametrize("query", [["ep="], ["ep=a", "ep=b"], ["ep=\x01"], ["ep=a", "pct=112", "pct=112"], ["ep=a", "acc=no links"]])
def test_a_query_that_makes_no_sense_is_4_00(berth, query):
    assert berth.peer().request(POST, "/bs", query).code_text == "4.00"


def test_BS_06_known_endpoints_only(start_berth):
    berth = start_berth("--bootstrap", "known")
    assert BootstrapDevice(berth.peer(), "stranger").ask().code_text == "4.00"
    configure(berth, "dev1")
    berth.http("PUT", "/v1/credentials/dev2", {"mode": "none", "service": "bootstrap"})
    for endpoint in ("dev1", "dev2"):
        BootstrapDevice(berth.peer(), endpoint).run()
    assert BootstrapDevice(berth.peer(), "default").ask().code_text == "4.00"


def test_BS_07_BS_29_further_parameters_are_kept_and_shown(berth, device):
    device().run("x=1", "y=a&b")
    assert berth.await_event("bootstrap_started")["query"] == "x=1&y=a%26b"
    assert session(berth)["query"] == "x=1&y=a%26b"


@pytest.mark.parametrize("method", [GET, PUT, DELETE])
def test_BS_09_other_methods_are_4_05(berth, method):
    assert berth.peer().request(method, "/bs", ["ep=dev1"]).code_text == "4.05"


@pytest.mark.parametrize("method", [POST, PUT, DELETE])
def test_BS_31_other_methods_on_the_pack_are_4_05(berth, method):
    assert berth.peer().request(method, "/bspack", ["ep=dev1"]).code_text == "4.05"


def test_a_request_that_is_not_confirmable_is_an_oddity(berth, device):
    played = device()
    answer = played.peer.request(POST, "/bs", ["ep=dev1"], type=NON)
    assert answer.code_text == "2.04"
    while played.take().name != "POST /bs":
        pass
    assert "confirmable" in berth.await_event("oddity")["detail"]


def test_BS_08_a_repeated_message_is_no_new_request(berth):
    peer = berth.peer()
    request = peer.message(POST, "/bs", ["ep=dev1"])
    peer.send(request)
    first = peer.receive()
    command = peer.receive()
    peer.send(request)
    assert peer.receive() == first
    assert command.code == GET
    assert len(berth.events_after(types="bootstrap_started")) == 1


# ---- roles and policies ----


def test_BS_28_each_listener_has_its_role(start_berth):
    berth = start_berth(listen=("coap://127.0.0.1:0?role=management", "coap://127.0.0.1:0?role=bootstrap"))
    management, bootstrap = (int(uri.split("?")[0].rpartition(":")[2]) for uri in berth.listeners)
    assert berth.peer(port=management).request(POST, "/bs", ["ep=dev1"]).code_text == "4.04"
    assert berth.peer(port=management).request(GET, "/bspack", ["ep=dev1"]).code_text == "4.04"
    for path in ("/rd", "/rd/abc", "/dp"):
        assert berth.peer(port=bootstrap).request(POST, path, ["ep=dev1", "lwm2m=1.1"]).code_text == "4.04"
    played = BootstrapDevice(berth.peer(port=bootstrap)).run()
    assert played.account()["0"] == f"coap://127.0.0.1:{management}"
    assert b"</bs>" in berth.peer(port=bootstrap).request(GET, "/.well-known/core").payload
    assert b"</bs>" not in berth.peer(port=management).request(GET, "/.well-known/core").payload


def test_BS_28_bootstrap_can_be_switched_off(start_berth):
    berth = start_berth("--bootstrap", "off")
    assert berth.peer().request(POST, "/bs", ["ep=dev1"]).code_text == "4.04"
    assert berth.peer().request(GET, "/bspack", ["ep=dev1"]).code_text == "4.04"


def test_more_devices_than_the_limit_are_told_to_come_again(start_berth):
    berth = start_berth("--max-bootstraps", "1")
    BootstrapDevice(berth.peer(), "dev1").begin()
    refused = BootstrapDevice(berth.peer(), "dev2").ask()
    assert refused.code_text == "5.03"


def test_the_device_is_told_the_name_by_which_it_came(berth, start_berth):
    for server, host, expected in (
        (berth, b"lwm2m.example.com", "lwm2m.example.com"),
        (berth, b"bad/host", "127.0.0.1"),
        (start_berth("--bootstrap-host", "fd00::1"), b"other.example.com", "[fd00::1]"),
    ):
        played = BootstrapDevice(server.peer())
        message = played.peer.message(POST, "/bs", ["ep=dev1"], options=[(URI_HOST, host)])
        played.peer.send(message)
        assert played.peer.response(message).code_text == "2.04"
        while played.take().name != "POST /bs":
            pass
        assert played.account()["0"] == f"coap://{expected}:{server.coap_port}"


# ---- the sequence ----


def test_BS_11_commands_come_one_after_the_other_and_are_confirmable(berth, device):
    played = device()
    played.begin()
    while True:
        command = played.next()
        played.peer.expect_silence()
        assert command.message.all(15) == []
        played.accept(command)
        if command.name == "POST /bs":
            break


def test_BS_12_BS_14_BS_10_resources_and_other_objects_come_after_the_accounts(berth, device):
    configure(
        berth,
        write={
            "/3/0/14": "+01",
            "/2/0": {"resources": {"0": 3, "1": 0, "2": {"values": {"1": 15}}, "3": 1}},
            "/1/0/2": 10,
        },
        servers=[{"short_id": 1, "server_instance": 0}],
    )
    played = device().run()
    assert played.names[3:] == ["PUT /0/1", "PUT /1/0", "PUT /1/0/2", "PUT /2/0", "PUT /3/0/14", "POST /bs"]
    assert played.given["/2/0/2/1"] == 15 and played.given["/1/0/2"] == 10 and played.given["/3/0/14"] == "+01"


def test_BS_13_a_whole_object_is_written_at_once_with_the_other_sequence(berth, device):
    configure(berth, sequence="pelion", write={"/3/0": {"resources": {"14": "+01", "15": "UTC"}}})
    played = device().run()
    assert played.names == ["DELETE /0", "PUT /0", "PUT /1", "PUT /3", "POST /bs"]


def test_BS_15_what_is_deleted_can_be_chosen(berth, device):
    configure(berth, delete=["/", "/0/1", "/5"])
    assert [name for name in device().run().names if name.startswith("DELETE")] == ["DELETE /", "DELETE /0/1", "DELETE /5"]
    configure(berth, delete=[])
    assert not [name for name in device().run().names if name.startswith("DELETE")]


@pytest.mark.parametrize(
    ("links", "instance"),
    [
        (b"</0/0>", "1"),
        (b"</0/1>", "0"),
        (b"</>;lwm2m=1.1,</0/0>;ssid=101,</0/1>,</1/0>;ssid=101", "0"),
        (b'lwm2m="1.1",</0/1>;uri="coap://bs",</0/2>;ssid=3', "0"),
        (b'lwm2m="1.0",</0/0>;uri="coap://bs"', "1"),
        (b"", "0"),
        (b"<<<", "0"),
    ],
)
def test_BS_16_BS_34_LNK_17_the_account_of_the_bootstrap_server_is_left_alone(device, links, instance):
    played = device(links=links).run()
    assert f"PUT /0/{instance}" in played.names


def test_BS_16_a_device_without_discover_is_bootstrapped_all_the_same(berth, device):
    played = device(links=None).run()
    assert "PUT /0/1" in played.names
    assert session(berth)["steps"][0]["coap_code"] == "4.05"


def test_BS_16_discover_can_be_chosen(berth, device):
    configure(berth, discover=["/", "/3"])
    assert device().run().names[:2] == ["GET /", "GET /3"]
    assert session(berth)["steps"][0]["links"] == "</0/0>"
    configure(berth, discover=[])
    assert not [name for name in device().run().names if name.startswith("GET")]


def test_BS_17_what_is_read_is_shown(berth, device):
    configure(berth, read=["/1", "/2/0"])
    played = device()
    values = {"/1/0/0": Value("integer", 7), "/1/0/1": Value("integer", 300)}
    played.reads = {"/1": (TLV, encode(TLV, "/1", values)), "/2/0": (TLV, encode(TLV, "/2/0", {"/2/0/0": Value("integer", 3)}))}
    played.run()
    reads = [step for step in session(berth)["steps"] if step["operation"] == "read"]
    assert reads[0]["data"]["instances"]["0"]["resources"]["1"] == {"type": "integer", "value": 300}
    assert reads[1]["data"]["resources"]["0"]["value"] == 3


@pytest.mark.parametrize("szx", [0, 2, 5])
def test_BS_24_large_writes_go_in_the_blocks_that_the_device_takes(berth, szx):
    text = "x" * 3000
    configure(berth, write={"/3/0": {"resources": {"14": text}}})
    played = BootstrapDevice(berth.peer(), szx=szx).run()
    assert played.given["/3/0/14"] == text


def test_BS_26_the_trigger_makes_a_device_come(berth):
    played = PlayedDevice(berth, "dev1", links="</1/0>,</3/0>")
    asked = played.ask("POST", "/bootstrap")
    played.answer(played.expect(POST, "/1/0/9"), "2.04")
    asked.answer(204)
    BootstrapDevice(played.peer).run()


def test_BS_25_a_registered_1_0_device_is_bootstrapped_without_its_asking(berth):
    registered = berth.register("dev1", version="1.0")
    played = BootstrapDevice(registered.peer)
    assert berth.http("POST", "/v1/bootstrap/dev1/session").status == 204
    while played.take().name != "POST /bs":
        pass
    berth.await_event("bootstrap_finished", "dev1")
    assert berth.http("POST", "/v1/bootstrap/other/session").status == 404


def test_BS_27_a_device_may_take_its_time_to_register(berth, device):
    played = device().run()
    berth.leap("600s")
    berth.register("dev1", peer=played.peer)


# ---- what is told ----


def test_BS_29_every_step_is_an_event(berth, device):
    played = device(links=None)
    played.run()
    berth.await_event("bootstrap_finished", "dev1")
    steps = berth.events_after(types="bootstrap_step")
    assert [(e["operation"], e["path"], e["coap_code"]) for e in steps] == [
        ("discover", "/0", "4.05"),
        ("delete", "/0", "2.02"),
        ("delete", "/1", "2.02"),
        ("write", "/0/1", "2.04"),
        ("write", "/1/0", "2.04"),
        ("finish", "/", "2.04"),
    ]
    started = berth.await_event("bootstrap_started")
    assert (started["procedure"], started["format"], started["security"]) == ("standard", "tlv", "none")
    shown = session(berth)
    assert shown["state"] == "finished" and shown["reason"] is None
    assert [s["operation"] for s in shown["steps"]] == [e["operation"] for e in steps]
    assert berth.http("GET", "/v1/bootstrap/other/session").status == 404


def test_BS_29_a_session_under_way_is_shown(berth, device):
    played = device()
    played.begin()
    played.next()
    shown = session(berth)
    assert shown["state"] == "running" and shown["ended_at"] is None


# ---- packs ----


@pytest.mark.parametrize("format", [SENML_JSON, SENML_CBOR, LWM2M_CBOR])
def test_BS_30_P12_08_a_pack_has_everything(berth, format):
    configure(berth, write={"/3/0": {"resources": {"14": "+01"}}})
    answer = berth.peer().request(GET, "/bspack", ["ep=dev1"], options=[(ACCEPT, uint(format))])
    assert answer.code_text == "2.05" and answer.number(CONTENT_FORMAT) == format
    values = values_of(format, "/", answer.payload)
    assert values["/0/1/0"] == f"coap://127.0.0.1:{berth.coap_port}"
    assert values["/1/0/0"] == 1 and values["/3/0/14"] == "+01"
    assert berth.await_event("bootstrap_started")["procedure"] == "pack"
    berth.await_event("bootstrap_finished", "dev1")


def test_BS_30_without_accept_it_is_senml_cbor(berth):
    assert berth.peer().request(GET, "/bspack", ["ep=dev1"]).number(CONTENT_FORMAT) == SENML_CBOR


@pytest.mark.parametrize("format", [TLV, LINK, TEXT])
def test_BS_30_a_pack_in_another_format_is_4_06(berth, format):
    assert berth.peer().request(GET, "/bspack", ["ep=dev1"], options=[(ACCEPT, uint(format))]).code_text == "4.06"


def test_BS_31_where_packs_are_not_given_the_device_goes_on_with_bs(berth):
    configure(berth, sequence="pelion")
    peer = berth.peer()
    assert peer.request(GET, "/bspack", ["ep=dev1"]).code_text == "5.01"
    BootstrapDevice(peer).run()


def test_BS_31_where_only_packs_are_given_bs_is_refused(berth):
    configure(berth, sequence="pack")
    assert BootstrapDevice(berth.peer()).ask().code_text == "4.00"
    assert berth.peer().request(GET, "/bspack", ["ep=dev1"]).code_text == "2.05"


@pytest.mark.parametrize(("acc", "instance"), [("</0/0>", 1), ("</0/0>,</0/1>,</21/0>", 2), ("</0/7>", 0), (None, 1)])
def test_BS_32_BS_34_ids_in_acc_stay_free(berth, acc, instance):
    query = ["ep=dev1"] + ([] if acc is None else [f"acc={acc}"])
    answer = berth.peer().request(GET, "/bspack", query)
    assert f"/0/{instance}/0" in values_of(SENML_CBOR, "/", answer.payload)


def test_BS_33_a_large_pack_goes_in_blocks(berth):
    text = "y" * 3000
    configure(berth, write={"/3/0": {"resources": {"14": text}}})
    peer, body, number = berth.peer(), b"", 0
    while True:
        options = [] if number == 0 else [(23, uint(number << 4 | 6))]
        answer = peer.request(GET, "/bspack", ["ep=dev1"], options=options)
        assert answer.code_text == "2.05"
        body += answer.payload
        number += 1
        if not answer.number(23) & 8:
            break
    assert number > 2
    assert values_of(SENML_CBOR, "/", body)["/3/0/14"] == text
    assert len(berth.events_after(types="bootstrap_finished")) == 1


def test_acknowledgements_that_fit_nothing_change_nothing(berth, device):
    from coapraw import Coap

    played = device()
    played.begin()
    command = played.next()
    for _ in range(3):
        played.peer.send(Coap(ACK, code("2.04"), 1, b"\x99"))
    played.accept(command)
    while played.take().name != "POST /bs":
        pass
