"""The page's files as they are served, and what /v1 tells for it: the server itself, counts over time, suites offered."""

import gzip
import re
import shutil

import pytest

from berth_process import ROOT
from device_process import start_device  # noqa: F401

FILES = ROOT / "web/page"
KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture
def secured(start_berth):
    return start_berth(listen=("coap://127.0.0.1:0", "coaps://127.0.0.1:0"))


# ---- serving ----


def test_page_comes_with_a_strict_policy_and_a_tag(berth):
    answer = berth.http("GET", "/")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.body == (FILES / "index.html").read_bytes()
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = berth.http("GET", "/", headers={"If-None-Match": f'"x", {answer.headers["ETag"]}'})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    assert berth.http("GET", "/", headers={"If-None-Match": '"x"'}).status == 200


@pytest.mark.skipif(shutil.which("gzip") is None, reason="built without gzip")
def test_files_are_compressed_where_that_is_taken(berth):
    plain = berth.http("GET", "/page/main.js")
    packed = berth.http("GET", "/page/main.js", headers={"Accept-Encoding": "gzip, br"})
    assert plain.headers["Content-Encoding"] is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body == (FILES / "main.js").read_bytes()
    assert packed.headers["Vary"] == "Accept-Encoding"


def test_every_file_is_there_and_all_of_them_are_small(berth):
    total = 0
    for file in FILES.iterdir():
        answer = berth.http("GET", f"/page/{file.name}", headers={"Accept-Encoding": "gzip"})
        assert answer.status == 200, file.name
        total += len(answer.body)
    assert total <= 150_000
    assert berth.http("GET", "/page/none.js").problem == "not-found"
    assert berth.http("GET", "/page/..%2Findex.html").problem == "not-found"


def test_page_needs_no_key_and_what_it_asks_for_does(start_berth):
    berth = start_berth("--api-key", "sesame")
    assert berth.http("GET", "/").status == 200
    assert berth.http("GET", "/page/main.js").status == 200
    assert berth.http("GET", "/v1/server").status == 401
    assert berth.http("GET", "/v1/counts").status == 401


def test_nothing_is_inline_or_from_elsewhere():
    html = (FILES / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", html)
    for file in FILES.iterdir():
        if file.name == "qrcode.js":  # names its authors in a comment, and loads nothing
            continue
        addresses = set(re.findall(r"""["'(`]((?:https?:)?//[\w.][^"'`) ]*)""", file.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name
        assert "innerHTML" not in file.read_text() and "eval(" not in file.read_text(), file.name


# ---- what it asks for ----


def test_server_tells_where_it_listens(secured):
    about = secured.get("/v1/server")
    assert [(one["uri"], one["role"]) for one in about["listeners"]] == [(uri, "everything") for uri in secured.listeners]
    assert [one["transport"] for one in about["listeners"]] == ["udp", "dtls"]
    assert about["role"] == "everything" and about["trace"] is True
    assert "TLS_PSK_WITH_AES_128_CCM_8" in about["cipher_suites"]


def test_role_is_that_of_the_listener_that_was_asked(start_berth):
    berth = start_berth(web="http://127.0.0.1:0?role=bootstrap")
    about = berth.get("/v1/server")
    assert about["role"] == about["http"][0]["role"] == "bootstrap"


def test_counts_tell_the_last_hour_in_steps(berth):
    peer = berth.peer()
    devices = [berth.register(f"dev{n}", peer=peer, lifetime=600) for n in range(3)]
    berth.leap("30s")
    devices[0].update()
    devices[1].deregister()
    counts = berth.get("/v1/counts")
    assert (counts["step_s"], counts["devices"]) == (10, 2)
    assert sum(item["registrations"] for item in counts["items"]) == 3
    assert sum(item["updates"] for item in counts["items"]) == 1
    assert [item["devices"] for item in counts["items"]][-1] == 2
    assert [item["at"] for item in counts["items"]] == sorted(item["at"] for item in counts["items"])
    berth.leap("2h")
    later = berth.get("/v1/counts")
    assert later["devices"] == 0
    assert sum(item["registrations"] for item in later["items"]) == 0


def test_failures_are_counted(berth):
    peer = berth.peer()
    assert berth.register("dev1", peer=peer).peer is peer
    berth.http("DELETE", "/v1/devices/dev1")
    before = sum(item["failures"] for item in berth.get("/v1/counts")["items"])
    last = berth.last_event()
    peer.request(2, "/rd/nowhere")
    berth.await_event("rejected", after=last)
    assert sum(item["failures"] for item in berth.get("/v1/counts")["items"]) == before + 1


def test_client_hello_tells_what_it_offers(secured, start_device):  # noqa: F811
    uri = next(uri for uri in secured.listeners if uri.startswith("coaps"))
    start_device("--server", uri, "--endpoint", "dev1", "--psk", f"nobody:{KEY}", "--cipher", "GCM")
    event = secured.await_event("dtls_failed", timeout="30s")
    assert event["reason"] == "unknown_identity"
    page = secured.get(f"/v1/peers/{event['address']}/messages", kind="handshake", direction="in")
    offered = [record["cipher_suites"] for item in page["items"] for record in item["records"] if "cipher_suites" in record]
    assert offered and all(suites[0] == "TLS_PSK_WITH_AES_128_GCM_SHA256" for suites in offered)
    assert all(name.startswith(("TLS_", "0x")) for suites in offered for name in suites)
