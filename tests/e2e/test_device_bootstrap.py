"""The reference device from the factory to its server: every way there, coming back, and being made anew."""

import os

import pytest
from coapstream import TCP
from device_process import start_device  # noqa: F401
from oscore_peer import CREDENTIAL
from played_device import Asked
from test_bootstrap import configure, session
from test_device_command_line import run
from test_dtls import KEY, add_psk
from test_pki import pki as run_pki

LISTEN = (*TCP, "coaps://127.0.0.1:0", "coaps+tcp://127.0.0.1:0")
VERSIONS = ["1.0", "1.1", "1.2"]
WAYS = [
    ("coap", "none"), ("coap+tcp", "none"), ("coaps", "psk"), ("coaps", "x509"), ("coaps+tcp", "psk"), ("coaps+tcp", "x509"),
    ("coap", "oscore"), ("coap+tcp", "oscore"),
]  # fmt: skip


@pytest.fixture
def berth(start_berth):
    return start_berth(listen=LISTEN)


def uri_of(berth, scheme):
    (uri,) = (uri for uri in berth.listeners if uri.startswith(f"{scheme}://"))
    return uri


def secrets(berth, tmp_path, mode, endpoint="dev1"):
    """What the device has from its factory."""
    if mode == "psk":
        add_psk(berth, endpoint, identity="factory", service="bootstrap")
        return ("--psk", f"factory:{KEY.hex()}")
    if mode == "x509":
        out = str(tmp_path / "factory")
        run_pki("device", "--data", str(berth.data), "--endpoint", endpoint, "--out", out, cwd=tmp_path)
        return ("--cert", f"{out}.pem", "--key", f"{out}.key", "--ca", f"{berth.data}/ca.pem")
    if mode == "oscore":
        answer = berth.http("PUT", f"/v1/credentials/{endpoint}", {**CREDENTIAL, "service": "bootstrap"})
        assert answer.status == 201, answer.body
        return ("--oscore", "sender=01,recipient=,secret={master_secret_hex},salt={master_salt_hex}".format(**CREDENTIAL))
    return ()


@pytest.fixture
def fresh(berth, start_device, tmp_path):  # noqa: F811
    """fresh("coaps", "psk", "--lwm2m", "1.2") -> a device that has begun with its bootstrap server."""

    def start(scheme="coap", mode="none", *options, state="state"):
        if (scheme, mode) not in start.made:
            start.made[scheme, mode] = secrets(berth, tmp_path, mode)
        keep = ("--state", str(tmp_path / state)) if state else ()
        return start_device(
            "--bootstrap", uri_of(berth, scheme), "--endpoint", "dev1", *start.made[scheme, mode], *keep, *options
        )

    start.made = {}
    return start


def is_registered(device):
    device.line("Client registered")
    device.line("Device ID: ", partly=True)


def is_bootstrapped(device):
    device.line("Bootstrapping from: ", partly=True)
    device.line("Client bootstrapped", timeout=30)
    is_registered(device)


def is_read(berth, endpoint="dev1"):
    assert berth.get(f"/v1/devices/{endpoint}/3/0/9")["value"] == 95


def is_unanswered(device, then=""):
    """The Register that is under way is given up: MAX_TRANSMIT_WAIT is 93 s."""
    device.settle()
    device.command("clock +94s")
    device.line(f"Registration failed: no acknowledgement{then}")


# ---- every way there ----


@pytest.mark.parametrize(
    ("scheme", "mode", "version"),
    [(*way, version) for way in WAYS for version in VERSIONS if (way[1], version) != ("oscore", "1.0")],  # OSCORE came with 1.1
)
def test_from_the_factory_to_a_read(berth, fresh, scheme, mode, version):
    device = fresh(scheme, mode, "--lwm2m", version)
    is_bootstrapped(device)
    is_read(berth)
    registration = berth.device("dev1")
    security = registration["security"]
    assert registration["version"] == version and security["mode"] == mode
    if mode == "psk":
        assert security["identity"] == "dev1"
    assert session(berth)["state"] == "finished"
    assert session(berth)["format"] == {"1.0": "tlv", "1.1": "senml-cbor", "1.2": "lwm2m-cbor"}[version]


@pytest.mark.parametrize("format", ["tlv", "senml-json", "senml-cbor", "lwm2m-cbor"])
def test_BS_03_the_device_asks_for_a_format(berth, fresh, format):
    configure(berth, write={"/2/0": {"resources": {"0": 3, "1": 0, "2": {"values": {"1": 15}}, "3": 1}}})
    device = fresh("coap", "none", "--lwm2m", "1.2", "--bootstrap-format", format)
    is_bootstrapped(device)
    assert session(berth)["format"] == format
    device.command("read 2")
    for line in ("2/0/0 = 3", "2/0/1 = 0", "2/0/2/1 = 15", "2/0/3 = 1"):
        device.line(line)


@pytest.mark.parametrize(("scheme", "mode"), WAYS)
def test_BS_30_BS_32_with_a_pack(berth, fresh, scheme, mode):
    device = fresh(scheme, mode, "--lwm2m", "1.2", "--bootstrap-pack")
    is_bootstrapped(device)
    is_read(berth)
    assert session(berth)["sequence"] == "pack"
    device.command("objects")
    device.line("0/0: ", partly=True)
    device.line("0/1: ", partly=True)


def test_BS_31_where_there_are_no_packs_the_device_asks_for_a_bootstrap(berth, fresh):
    configure(berth, sequence="pelion")
    device = fresh("coap", "none", "--lwm2m", "1.2", "--bootstrap-pack")
    device.line("Bootstrap-Pack failed: 5.01 Not Implemented", partly=True)
    device.line("Client bootstrapped")
    is_registered(device)
    is_read(berth)


@pytest.mark.parametrize(("scheme", "mode"), [("coap", "none"), ("coaps", "x509"), ("coaps+tcp", "x509")])
def test_with_the_vendors_sequence(berth, fresh, start_device, tmp_path, scheme, mode):  # noqa: F811
    given = secrets(berth, tmp_path, mode)
    device = start_device("--bootstrap", f"{uri_of(berth, scheme)}?aid=acc", "--endpoint", "dev1", *given)
    is_bootstrapped(device)
    is_read(berth)
    assert session(berth)["sequence"] == "pelion" and session(berth)["query"] == "aid=acc"
    assert berth.device("dev1")["parameters"]["aid"] == "acc"
    device.command("bootstrap")
    is_bootstrapped(device)


@pytest.mark.parametrize("usage", [None, 0, 2, 3])
def test_BSC_10_each_usage_of_the_servers_certificate(berth, fresh, usage):
    security = {"mode": "x509"} | ({} if usage is None else {"certificate_usage": usage})
    configure(berth, servers=[{"security": security}])
    is_bootstrapped(fresh("coaps", "x509"))
    is_read(berth)


@pytest.mark.parametrize(("name", "good"), [("localhost", True), ("elsewhere.example", False)])
def test_leshan_x509_with_SNI_the_server_is_the_one_that_the_account_names(berth, fresh, name, good):
    configure(berth, servers=[{"security": {"mode": "x509", "certificate_usage": 2, "sni": name}}])
    device = fresh("coaps", "x509")
    if good:
        is_bootstrapped(device)
        is_read(berth)
    else:
        device.line("Client bootstrapped")
        device.line("Handshake failed: certificate_refused")


def test_BSC_10_another_certificate_than_the_one_that_was_given_is_not_the_servers(berth, fresh, start_berth, start_device):  # noqa: F811
    other = start_berth(listen=LISTEN)
    configure(berth, servers=[{"uri": uri_of(other, "coaps"), "security": {"mode": "x509"}}])
    device = fresh("coaps", "x509")
    device.line("Client bootstrapped")
    device.line("Handshake failed: ", partly=True)
    assert other.events_after(types="registered") == []


def test_large_writes_come_in_blocks(berth, fresh):
    is_bootstrapped(fresh("coaps", "x509", "--block-size", "64", "--lwm2m", "1.1"))
    is_read(berth)


def test_from_a_bootstrap_without_security_to_a_server_with_a_key(start_berth, start_device):  # noqa: F811
    berth = start_berth("--bootstrap-insecure", listen=LISTEN)
    configure(berth, servers=[{"security": {"mode": "psk"}}])
    is_bootstrapped(start_device("--bootstrap", uri_of(berth, "coap"), "--endpoint", "dev1", "--cid"))
    is_read(berth)
    assert berth.device("dev1")["security"]["mode"] == "psk"


def test_from_a_secure_bootstrap_over_tls_to_a_server_over_udp(berth, fresh):
    configure(berth, servers=[{"uri": uri_of(berth, "coap"), "security": {"mode": "none"}}])
    is_bootstrapped(fresh("coaps+tcp", "psk"))
    assert berth.device("dev1")["transport"] == "udp"


def test_lifetime_and_binding_are_those_that_were_given(berth, fresh):
    configure(berth, servers=[{"lifetime_s": 1234, "binding": "UQ"}])
    device = fresh("coap", "none", "--lwm2m", "1.0", "--queue")
    is_bootstrapped(device)
    registration = berth.device("dev1")
    assert (registration["lifetime_s"], registration["queue_mode"]) == (1234, True)
    assert berth.http("PUT", "/v1/devices/dev1/1/0/1", {"value": 600}).status == 204
    device.line("Registration updated")
    assert berth.device("dev1")["lifetime_s"] == 600


def test_a_resource_of_another_object_is_written(berth, fresh):
    configure(berth, write={"/3/0/14": {"value": "+02:00"}, "/3303/7": {"resources": {"5700": 20.5, "5701": "Cel"}}})
    device = fresh()
    is_bootstrapped(device)
    device.command("read 3/0/14")
    device.line("3/0/14 = +02:00")
    assert berth.get("/v1/devices/dev1/3303/7/5700")["value"] == 20.5


def test_from_a_bootstrap_over_dtls_to_a_server_with_oscore_within_dtls(berth, fresh):
    configure(berth, servers=[{"security": {"mode": "psk"}, "oscore": {}}])
    device = fresh("coaps", "psk")
    is_bootstrapped(device)
    assert berth.device("dev1")["security"]["mode"] == "oscore"
    device.command("bootstrap")
    is_bootstrapped(device)
    is_read(berth)


def test_leshan_from_a_bootstrap_with_oscore_to_a_server_without(berth, fresh):
    configure(berth, servers=[{"security": {"mode": "none"}, "uri": uri_of(berth, "coap")}])
    is_bootstrapped(fresh("coap", "oscore"))
    is_read(berth)
    assert berth.device("dev1")["security"]["mode"] == "none"


def test_with_oscore_and_without_state_numbers_go_on_in_the_process(berth, fresh):
    """Derived contexts (B.2) for the bootstrap; the server's own is used twice in one process, and not begun anew."""
    explicit = {"master_secret_hex": "aa" * 16, "sender_id_hex": "5e", "recipient_id_hex": "d1"}
    configure(berth, servers=[{"security": {"mode": "oscore", **explicit}}])
    device = fresh("coap", "oscore", "--oscore-b2", state=None)
    is_bootstrapped(device)
    for _ in range(2):
        device.command("bootstrap")
        is_bootstrapped(device)
        is_read(berth)


# ---- what only bootstrap reaches ----


@pytest.mark.parametrize("path", ["/0", "/0/1", "/0/1/0", "/21", "/23"])
def test_keys_are_for_no_server(berth, fresh, path):
    is_bootstrapped(fresh())
    listed = {item["path"].split("/")[1] for item in berth.device("dev1")["objects"]}
    assert "3" in listed and not listed & {"0", "21", "23"}
    answer = berth.http("GET", f"/v1/devices/dev1{path}?force=1")
    assert answer.json["coap_code"] == "4.04", answer.body


def test_composite_operations_and_send_leave_keys_out(berth, fresh):
    device = fresh("coap", "none", "--lwm2m", "1.2")
    is_bootstrapped(device)
    device.command("set 1/0/23 0")
    device.command("send 0/1/0")
    device.line("0/1/0: there is nothing to read", partly=True)


def test_BS_17_accounts_can_be_read_by_the_bootstrap_server(berth, fresh):
    configure(berth, read=["/1", "/2"])
    device = fresh()
    is_bootstrapped(device)
    device.command("bootstrap")
    is_bootstrapped(device)
    reads = [step for step in session(berth)["steps"] if step["operation"] == "read"]
    assert [(step["path"], step["coap_code"]) for step in reads] == [("/1", "2.05"), ("/2", "2.05")]


def test_BS_16_BS_34_what_there_is_can_be_discovered(berth, fresh):
    configure(berth, discover=["/"])
    device = fresh("coap", "none", "--lwm2m", "1.1")
    is_bootstrapped(device)
    device.command("bootstrap")
    is_bootstrapped(device)
    links = session(berth)["steps"][0]["links"].split(",")
    assert links[0] == "</>;lwm2m=1.1"
    uri = uri_of(berth, "coap")
    assert f'</0/0>;uri="{uri}"' in links and f'</0/1>;ssid=1;uri="{uri}"' in links
    assert "</1/0>;ssid=1" in links and "</3/0>" in links


@pytest.mark.parametrize("path", ["/", "/0", "/1", "/3303", "/3303/0"])
def test_BS_15_leshan_what_is_deleted_is_gone_but_the_account_and_the_device(berth, fresh, path):
    configure(berth, delete=[path])
    device = fresh()
    is_bootstrapped(device)
    device.command("objects")
    assert device.line("0/0: ", partly=True)
    assert device.line("3/0: ", partly=True)
    assert session(berth)["steps"][1]["coap_code"] == "2.02"
    assert ("3303" in path or path == "/") == (berth.http("GET", "/v1/devices/dev1/3303/0/5700").status != 200)


@pytest.mark.parametrize("path", ["/3", "/3/0", "/0/0", "/5/0"])
def test_BS_15_what_the_device_cannot_be_without_is_not_deleted(berth, fresh, path):
    configure(berth, delete=[path])
    is_bootstrapped(fresh())
    assert session(berth)["steps"][1]["coap_code"] == "4.05"


# ---- what makes no sense ----


@pytest.mark.parametrize(
    ("write", "says"),
    [
        ({"/0/5": {"resources": {"0": "coap://x", "1": True, "2": 3}}}, b"two accounts"),
        ({"/1/5": {"resources": {"0": 9, "1": 60, "6": True, "7": "U"}}}, b"1/5: no instance of Security"),
        ({"/0/5": {"resources": {"0": "coap://x", "1": False, "2": 3, "10": 9}}}, b"0/5: not one instance of Server"),
        ({"/0/1/0": {"value": "http://x"}}, b"0/1/0: the URI must begin"),
        ({"/0/1/2": {"value": 0}}, b"0/1/2: the mode"),
        ({"/0/1/17": {"value": "21:4"}}, b"0/1/17 links to no instance"),
    ],
)
def test_BS_19_BSC_01_leshan_accounts_that_contradict_each_other_are_4_06(start_berth, start_device, write, says):  # noqa: F811
    berth = start_berth("--bootstrap-insecure")
    configure(berth, write=write, servers=[{"security_instance": 1}])
    device = start_device("--bootstrap", berth.listeners[0], "--endpoint", "dev1")
    device.line("Request: POST /bs -> 4.06")
    failed = berth.await_event("bootstrap_failed", "dev1")
    assert failed["coap_code"] == "4.06" and says.decode() in failed["diagnostic"]
    assert berth.events_after(types="registered") == []


# ---- again ----


def test_BS_26_after_the_trigger(berth, fresh):
    device = fresh("coaps", "psk")
    is_bootstrapped(device)
    before = berth.last_event()
    Asked(berth, "POST", "/v1/devices/dev1/bootstrap").answer(204)
    is_bootstrapped(device)
    types = [e["type"] for e in berth.events_after(before, types="bootstrap_started,bootstrap_finished,replaced")]
    assert types == ["bootstrap_started", "bootstrap_finished", "replaced"]
    is_read(berth)


def test_1_0_has_no_trigger(berth, fresh):
    is_bootstrapped(fresh("coap", "none", "--lwm2m", "1.0"))
    assert berth.http("POST", "/v1/devices/dev1/1/0/9?force=1").json["coap_code"] in ("4.04", "4.05")


def test_a_device_that_is_refused_is_bootstrapped_again(berth, fresh, start_berth):
    """The first time at once, later after a while."""
    elsewhere = start_berth("--nosec", "off")
    configure(berth, servers=[{"uri": elsewhere.listeners[0]}])
    device = fresh()
    device.line("Client bootstrapped")
    device.line("Registration failed: 4.03 Forbidden", partly=True)
    device.line("Client bootstrapped")
    device.line("Registration failed: 4.03 Forbidden", partly=True)
    configure(berth)
    device.command("clock +2s")
    is_bootstrapped(device)
    is_read(berth)


def test_an_update_that_is_refused_leads_there_too(berth, fresh):
    device = fresh("coaps", "psk")
    is_bootstrapped(device)
    assert berth.http("DELETE", "/v1/devices/dev1").status in (204, 202)
    device.command("update")
    device.line("Update failed: 4.04 Not Found", partly=True)
    is_registered(device)


def test_a_bootstrap_that_fails_leaves_the_accounts(berth, fresh):
    device = fresh()
    is_bootstrapped(device)
    configure(berth, servers=[{"security_instance": 1}], write={"/1/7": {"resources": {"0": 9, "1": 60, "6": True, "7": "U"}}}, delete=["/"])
    device.command("bootstrap")
    device.line("Request: POST /bs -> 4.06")
    berth.await_event("bootstrap_failed", "dev1")
    device.command("clock +248s")
    device.line("Bootstrap failed: the server has not finished", partly=True)
    device.command("read 0/1")
    device.line("0/1/2 = 3")
    device.command("clock +10s")
    is_registered(device)
    is_read(berth)


def test_a_server_that_is_silent_for_long_leads_back_to_bootstrap(berth, fresh, start_berth):
    """Core 1.2 §6.2.1.1: attempts after a minute, two, four, eight; then bootstrap."""
    elsewhere = start_berth()
    uri = elsewhere.listeners[0]
    elsewhere.stop()
    configure(berth, servers=[{"uri": uri}])
    device = fresh()
    device.line("Client bootstrapped")
    for seconds in (60, 120, 240, 480):
        is_unanswered(device, f"; trying again in {seconds}.000 s")
        device.command(f"clock +{seconds}s")
    configure(berth)
    is_unanswered(device)
    is_bootstrapped(device)
    is_read(berth)


def test_retries_are_those_that_the_server_object_says(berth, fresh, start_berth):
    elsewhere = start_berth()
    uri = elsewhere.listeners[0]
    elsewhere.stop()
    configure(berth, servers=[{"uri": uri}], write={"/1/0/17": {"value": 2}, "/1/0/18": {"value": 7}, "/1/0/16": {"value": False}})
    device = fresh()
    device.line("Client bootstrapped")
    is_unanswered(device, "; trying again in 7.000 s")
    device.command("clock +7s")
    is_unanswered(device, "; trying again in 86400.000 s")


def test_of_two_servers_the_second_is_taken_when_the_first_is_silent(berth, fresh, start_berth):
    elsewhere = start_berth()
    uri = elsewhere.listeners[0]
    elsewhere.stop()
    configure(berth, servers=[{"short_id": 1}, {"short_id": 2, "uri": uri}], write={"/1/1/13": {"value": 1}, "/1/0/13": {"value": 2}, "/1/1/17": {"value": 1}})
    device = fresh()
    device.line("Client bootstrapped")
    is_unanswered(device)
    is_registered(device)
    device.command("read 1")
    device.line("1/1/0 = 2")
    is_read(berth)


def test_BSC_11_the_device_holds_off_as_long_as_its_account_says(start_berth, start_device):  # noqa: F811
    """0/x/11 is about a bootstrap that the device begins by itself."""
    berth = start_berth("--bootstrap-insecure")
    elsewhere = start_berth("--nosec", "off")
    configure(berth, write={"/0/0/11": {"value": 100}})
    device = start_device("--bootstrap", berth.listeners[0], "--endpoint", "dev1")
    is_bootstrapped(device)
    configure(berth, servers=[{"uri": elsewhere.listeners[0]}])
    device.command("bootstrap")
    device.line("Client bootstrapped")
    device.line("Registration failed: 4.03 Forbidden", partly=True)
    device.settle()
    before = len(berth.events_after(types="bootstrap_started"))
    device.command("clock +50s")
    device.settle()
    assert len(berth.events_after(types="bootstrap_started")) == before
    configure(berth)
    device.command("clock +51s")
    is_bootstrapped(device)


def test_BSC_11_the_account_of_the_bootstrap_server_runs_out(start_berth, start_device):  # noqa: F811
    berth = start_berth("--bootstrap-insecure")
    configure(berth, write={"/0/0/12": {"value": 3600}})
    device = start_device("--bootstrap", berth.listeners[0], "--endpoint", "dev1")
    is_bootstrapped(device)
    device.command("clock +3601s")
    device.line("Account of the bootstrap server purged")
    device.command("bootstrap")
    device.line("bootstrap: the account of the bootstrap server has been purged")
    device.command("objects")
    device.line("0/1: ", partly=True)


def test_a_bootstrap_account_can_be_renewed(berth, fresh):
    configure(berth, servers=[{}, {"bootstrap": True}])
    device = fresh("coaps", "psk")
    is_bootstrapped(device)
    device.command("bootstrap")
    is_bootstrapped(device)
    is_read(berth)
    assert all(item["identity"] != "factory" for item in berth.get("/v1/credentials/dev1")["items"] if item["mode"] == "psk")


@pytest.mark.parametrize(
    ("path", "attribute"),
    [("/3303", "pmin=10"), ("/3303/0", "pmax=300"), ("/3303/0/5700", "gt=30"), ("/3442/0/1120/0", "st=5")],
)
def test_leshan_WriteAttributeBootstrap_no_attributes_are_left_after_a_bootstrap(berth, fresh, path, attribute):
    device = fresh("coap", "none", "--lwm2m", "1.2")
    is_bootstrapped(device)
    name, value = attribute.split("=")
    answer = berth.http("PUT", f"/v1/devices/dev1{path}/attributes", {name: int(value)})
    assert answer.status == 204, answer.body
    discovered = f"/v1/devices/dev1/{path.split('/')[1]}/discover?depth=3"
    assert attributes_in(berth.get(discovered)) == [(path, name)]
    device.command("bootstrap")
    is_bootstrapped(device)
    assert attributes_in(berth.get(discovered)) == []


def attributes_in(discovered):
    return [
        (link["path"], name) for link in discovered["links"] for name in link["attributes"] if name not in ("dim", "ver", "ssid")
    ]


# ---- restarts ----


@pytest.mark.parametrize(("scheme", "mode"), WAYS)
def test_a_restart_goes_straight_to_the_server(berth, fresh, scheme, mode):
    device = fresh(scheme, mode)
    is_bootstrapped(device)
    device.kill()
    before = berth.last_event()
    device = fresh(scheme, mode)
    is_registered(device)
    assert berth.events_after(before, types="bootstrap_started") == []
    is_read(berth)


def test_with_a_connection_id_a_restart_needs_no_handshake(berth, fresh):
    device = fresh("coaps", "psk", "--cid")
    is_bootstrapped(device)
    device.kill()
    before = berth.last_event()
    device = fresh("coaps", "psk", "--cid")
    device.line("Session restored: ", partly=True)
    is_registered(device)
    assert berth.events_after(before, types="dtls_handshake") == []


def test_what_a_server_writes_into_its_account_is_kept(berth, fresh):
    device = fresh()
    is_bootstrapped(device)
    assert berth.http("PUT", "/v1/devices/dev1/1/0/1", {"value": 777}).status == 204
    device.line("Registration updated")
    device.kill()
    is_registered(fresh())
    assert berth.device("dev1")["lifetime_s"] == 777


def test_what_is_kept_is_the_owners_alone(berth, fresh, tmp_path):
    device = fresh("coaps", "psk")
    is_bootstrapped(device)
    device.kill()
    for path in (tmp_path / "state").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    os.chmod(tmp_path / "state" / "accounts", 0o644)
    refused = fresh("coaps", "psk")
    assert refused.process.wait(20) == 1 and "others than its owner can read it" in refused.log()


def test_two_devices_do_not_share_what_is_kept(berth, fresh):
    is_bootstrapped(fresh())
    second = fresh()
    assert second.process.wait(20) == 1 and "another device uses it" in second.log()


@pytest.mark.parametrize("damage", [b"", b"x" * 300, "half"])
def test_a_file_that_is_damaged_is_none(berth, fresh, tmp_path, damage):
    device = fresh()
    is_bootstrapped(device)
    device.kill()
    path = tmp_path / "state" / "accounts"
    path.write_bytes(path.read_bytes()[:-30] if damage == "half" else damage)
    is_bootstrapped(fresh())


def test_killed_in_the_middle_of_a_bootstrap_the_device_has_what_it_had(berth, fresh):
    device = fresh()
    is_bootstrapped(device)
    device.command("bootstrap")
    device.line("Request: DELETE /0 -> 2.02")
    device.kill()
    is_registered(fresh())


# ---- factory reset ----


@pytest.mark.parametrize(("scheme", "mode"), [("coap", "none"), ("coaps", "psk"), ("coaps+tcp", "x509")])
def test_a_factory_reset_leads_back_to_the_bootstrap_server(berth, fresh, tmp_path, scheme, mode):
    device = fresh(scheme, mode)
    is_bootstrapped(device)
    kept = (tmp_path / "state" / "accounts").read_bytes()
    Asked(berth, "POST", "/v1/devices/dev1/3/0/5").answer(204)
    device.line("Factory reset")
    is_bootstrapped(device)
    is_read(berth)
    if mode != "none":
        assert (tmp_path / "state" / "accounts").read_bytes() != kept


def test_a_factory_reset_forgets_what_was_kept(berth, fresh, tmp_path):
    device = fresh("coaps", "psk", "--cid")
    is_bootstrapped(device)
    assert (tmp_path / "state" / "session").exists()
    berth.stop()
    device.command("factory-reset")
    device.line("Factory reset")
    device.line("Bootstrapping from: ", partly=True)
    device.settle()
    assert not (tmp_path / "state" / "session").exists()
    device.command("objects")
    device.line("0/0: ", partly=True)
    device.line("3/0: ", partly=True)
    device.kill()


def test_a_developers_device_has_another_name_after_a_factory_reset(berth, start_device, tmp_path):  # noqa: F811
    options = ("--bootstrap", uri_of(berth, "coap"), "--developer", "--state", str(tmp_path / "state"), "--json")
    device = start_device(*options)
    first = device.event("registered")["endpoint"]
    device.kill()
    device = start_device(*options)
    assert device.event("registered")["endpoint"] == first
    device.command("factory-reset")
    second = device.event("registered")["endpoint"]
    assert first != second and first.startswith("urn:uuid:") and second.startswith("urn:uuid:")
    assert berth.get(f"/v1/devices/{second}/3/0/2")["value"] == second
    device.kill()
    device = start_device(*options)
    assert device.event("registered")["endpoint"] == second


# ---- mistakes ----


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--bootstrap", "http://x"], "must begin with"),
        (["--bootstrap", "coap://x", "--server", "coap://y"], "exclude each other"),
        (["--bootstrap", "coap://x", "--account"], "--account counts with --server"),
        (["--bootstrap", "coap://x", "--bootstrap-pack"], "needs --lwm2m 1.2"),
        (["--bootstrap", "coap://x", "--bootstrap-pack", "--lwm2m", "1.2", "--bootstrap-format", "tlv"], "cannot be TLV"),
        (["--bootstrap", "coap://x", "--bootstrap-format", "cbor"], "must be tlv"),
        (["--bootstrap", "coap://x", "--bootstrap-format", "lwm2m-cbor"], "cannot ask for it"),
        (["--bootstrap", "coap://x", "--lwm2m", "1.0", "--bootstrap-format", "tlv"], "cannot ask for it"),
        (["--bootstrap", "coap://x", "--psk", "a:aa"], "options of security need"),
        (["--bootstrap", "coap://x", "--cipher", "XYZ"], "is no suite"),
        (["--bootstrap", "coaps://x"], "needs --psk"),
        (["--bootstrap", "coap://" + "x" * 250], "255 bytes"),
    ],
)
def test_mistakes_are_told(arguments, says):
    result = run(*arguments)
    assert result.returncode == 2 and says in result.stderr
