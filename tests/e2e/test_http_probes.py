"""/healthz, /readyz, /metrics, / and the API key."""

import re

import pytest

from http_wire import Wire


def test_healthz_and_readyz(berth):
    assert berth.get("/healthz") == {"status": "ok"}
    assert berth.get("/readyz") == {"status": "ok"}


def test_page_points_at_the_api(berth):
    answer = berth.http("GET", "/")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"/v1/openapi.json" in answer.body
    assert berth.http("GET", "/favicon.ico").status == 204


# ---- metrics ----


def samples(berth) -> dict[str, float]:
    answer = berth.http("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in answer.body.decode().splitlines() if line[0] != "#")
    }


def test_metrics_are_in_the_text_format(berth):
    helped, typed, seen = set(), {}, set()
    text = berth.http("GET", "/metrics").body.decode()
    assert text.endswith("\n")
    for line in text.splitlines():
        if match := re.fullmatch(r"# HELP ([a-z_]+) \S.*", line):
            helped.add(match[1])
        elif match := re.fullmatch(r"# TYPE ([a-z_]+) (counter|gauge)", line):
            assert match[1] in helped and match[1] not in typed
            typed[match[1]] = match[2]
        else:
            match = re.fullmatch(r'([a-z_]+)(\{[a-z]+="[^"]*"\})? (-?[0-9.]+)', line)
            assert match, line
            assert match[1] in typed and match[1] + (match[2] or "") not in seen
            seen.add(match[1] + (match[2] or ""))
    assert all(kind == "gauge" or name.endswith("_total") for name, kind in typed.items())


def test_metrics_count_what_happens(berth):
    before = samples(berth)
    device = berth.register("dev1")
    device.update()
    berth.http("GET", "/nope")
    after = samples(berth)
    assert after["berth_registered_devices"] == 1
    assert after["berth_coap_messages_received_total"] - before["berth_coap_messages_received_total"] == 2
    assert after["berth_coap_messages_sent_total"] - before["berth_coap_messages_sent_total"] == 2
    assert after["berth_coap_bytes_received_total"] > before["berth_coap_bytes_received_total"]
    assert after['berth_events_total{type="registered"}'] == 1
    assert after['berth_events_total{type="updated"}'] == 1
    assert after["berth_store_transactions_total"] > before["berth_store_transactions_total"]
    assert after['berth_http_requests_total{code="404"}'] == 1
    assert after['berth_http_requests_total{code="200"}'] == before.get('berth_http_requests_total{code="200"}', 0) + 1


def test_metrics_of_the_process(berth):
    now = samples(berth)
    assert now["process_resident_memory_bytes"] > 1e6
    assert "process_heap_bytes" in now
    assert now["process_cpu_seconds_total"] > 0
    assert now["process_start_time_seconds"] > 1.7e9
    assert any(name.startswith("berth_build_info{version=") for name in now)


# ---- the API key ----


@pytest.fixture(params=["option", "environment"])
def guarded(request, start_berth):
    if request.param == "option":
        return start_berth("--api-key", "s3cret key")
    return start_berth(env={"BERTH_API_KEY": "s3cret key"})


PROTECTED = ["/v1/devices", "/v1/devices/a", "/v1/events", "/v1/clock", "/v1/openapi.json", "/metrics", "/v1/server", "/nope"]


def test_without_the_key_everything_but_the_probes_is_401(guarded):
    for path in PROTECTED:
        answer = guarded.http("GET", path)
        assert answer.status == 401
        assert answer.problem == "unauthorized"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert guarded.http("POST", "/v1/clock", {"advance": 1}).status == 401
    assert guarded.http("GET", "/healthz").status == 200
    assert guarded.http("GET", "/readyz").status == 200


@pytest.mark.parametrize(
    "value",
    [
        "s3cret key",
        "Basic s3cret key",
        "Bearer",
        "Bearer ",
        "Bearer s3cret ke",
        "Bearer s3cret keyy",
        "Bearer S3cret key",
        "Bearer s3cret keys3cret key",
    ],
)
def test_wrong_key_is_401(start_berth, value):
    berth = start_berth("--api-key", "s3cret key")
    assert berth.http("GET", "/v1/clock", headers={"Authorization": value}).status == 401


def test_with_the_key_all_is_open(guarded):
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} s3cret key"}
        assert guarded.http("GET", "/v1/clock", headers=headers).status == 200
        assert guarded.http("GET", "/nope", headers=headers).status == 404


def test_refusal_of_a_post_leaves_the_connection_usable(guarded):
    with Wire(guarded.http_port) as wire:
        wire.send(b"POST /v1/clock HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 13\r\n\r\n" + b'{"advance":1}')
        assert wire.answer().status == 401
        assert wire.get("/healthz").answer().status == 200


def test_http_is_served_at_every_port_given(start_berth):
    berth = start_berth("--http", "http://127.0.0.1:0?role=bootstrap")
    listening = [line.split()[-1] for line in berth.said if line.startswith("listening http")]
    ports = [int(uri.rpartition(":")[2]) for uri in listening]
    assert len(ports) == 2 and ports[0] == berth.http_port
    berth.http_port = ports[1]
    assert berth.get("/readyz") == {"status": "ok"}
    assert samples(berth)['berth_http_requests_total{code="200"}'] >= 1
