"""berth-device --account: what a session costs, held against what is seen on the wire."""

import json

import pytest
from counting_path import path  # noqa: F401
from test_device_command_line import run

NAME = "urn:imei:12345"  # as long as the identities in what these figures are compared with
KEY = "00112233445566778899aabbccddeeff"
LISTEN = ("coap://127.0.0.1:0", "coaps://127.0.0.1:0")


def account(uri, *options, **kwargs):
    """The figures, by what and over which kind of session."""
    done = run("--server", uri, "--endpoint", NAME, "--account", "--json", *options, **kwargs)
    assert done.returncode == 0, done
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return {(event["session"], event["what"]): event for event in events if event["event"] == "account"}


@pytest.fixture
def start(start_berth):
    return lambda *options: start_berth("--psk", f"{NAME}:{KEY}", *options, listen=LISTEN)


@pytest.fixture
def berth(start):
    return start()


def total(figure):
    return figure["sent"] + figure["received"]


def test_figures_are_what_is_on_the_wire(berth, path):
    figures = account(path.uri, "--psk", f"{NAME}:{KEY}")
    assert len(figures) == 8
    for session, way in zip(("DTLS", "DTLS, CID"), path.ways.values(), strict=True):
        up, down = way.up, way.down
        for what in ("handshake", "registration", "update", "resumption"):
            figure = figures[session, what]
            n, m = figure["datagrams_sent"], figure["datagrams_received"]
            assert (figure["sent"], figure["received"]) == (sum(up[:n]), sum(down[:m])), (session, what)
            up, down = up[n:], down[m:]
        assert len(up) == 2  # De-register and close_notify
    assert berth.get("/v1/devices")["items"] == []


@pytest.mark.parametrize(
    ("cookie", "handshake", "resumption"), [("always", 560, 553), ("never", 424, 389)]
)
def test_a_secured_session_costs_no_more_than_promised(start, cookie, handshake, resumption):
    figures = account(start("--dtls-cookie", cookie).listeners[1], "--psk", f"{NAME}:{KEY}")
    assert total(figures["DTLS, CID", "handshake"]) <= handshake
    assert total(figures["DTLS, CID", "resumption"]) <= resumption
    update = figures["DTLS, CID", "update"]
    assert update["sent"] <= 53 and update["received"] <= 34
    assert (update["coap_sent"], update["coap_received"]) == (13, 5)
    for what in ("handshake", "registration", "update", "resumption"):
        assert total(figures["DTLS", what]) < total(figures["DTLS, CID", what])
    assert set(figures) == {(session, what) for session in ("DTLS", "DTLS, CID") for what in
                            ("handshake", "registration", "update", "resumption")}


def test_a_plain_update_costs_18_bytes(berth):
    figures = account(berth.listeners[0], "--endpoint", "plain")
    assert set(figures) == {("UDP", "registration"), ("UDP", "update")}
    assert total(figures["UDP", "update"]) <= 18


def test_with_the_draft_nothing_is_resumed(berth):
    figures = account(berth.listeners[1], "--psk", f"{NAME}:{KEY}", "--cid-draft")
    assert ("DTLS, draft CID", "update") in figures and ("DTLS, draft CID", "resumption") not in figures


def test_the_table(berth):
    done = run("--server", berth.listeners[1], "--endpoint", NAME, "--psk", f"{NAME}:{KEY}", "--account")
    lines = done.stdout.splitlines()
    assert len(lines) == 9
    name, up, down, both = lines[1][:32].strip(), *map(int, lines[1][32:50].split())
    assert (name, up + down) == ("DTLS, handshake", both)
    assert "Client deregistered" in done.stderr


def test_a_failure_is_told(berth):
    done = run("--server", berth.listeners[1], "--endpoint", "dev9", "--psk", "dev9:aa", "--account")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Handshake failed: alert 115 came" in done.stderr


@pytest.mark.parametrize("options", [["--server", "coap+tcp://127.0.0.1"], ["--server", "coaps://127.0.0.1", "--psk", "a:aa", "--state", "x"]])
def test_what_is_not_counted(options):
    done = run(*options, "--account")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("berth-device: --account counts over UDP")
