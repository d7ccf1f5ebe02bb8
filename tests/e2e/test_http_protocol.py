"""HTTP/1.1 as such: framing, limits, connections (RFC 9110, RFC 9112)."""

import time

import pytest

from http_wire import Wire


@pytest.fixture
def wire(berth):
    with Wire(berth.http_port) as connection:
        yield connection


def assert_refused(connection: Wire, status: int, problem: str) -> None:
    """It is answered with a problem document, and the connection ends."""
    answer = connection.answer()
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == f"https://berth.dev/problems/{problem}"
    assert answer.json["status"] == status
    assert answer.headers["connection"] == "close"
    assert connection.at_end()


# ---- answers ----


def test_answer_carries_security_headers(wire):
    headers = wire.get("/healthz").answer().headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("target", "line"), [("/healthz", b"HTTP/1.1 200 OK\r\n"), ("/v1/x", b"HTTP/1.1 404 Not Found\r\n")])
def test_status_line_reads_as_people_know_it(wire, target, line):
    assert wire.get(target).input.readline() == line


def test_head_has_the_headers_of_get_and_no_body(wire):
    get = wire.get("/v1/clock").answer()
    head = wire.get("/v1/clock", method="HEAD").answer(to="HEAD")
    assert head.status == 200
    assert head.headers.keys() == get.headers.keys()
    assert wire.get("/healthz").answer().status == 200  # nothing of a body was in between


def test_options_says_which_methods_there_are(wire):
    answer = wire.get("/v1/devices/x", method="OPTIONS").answer()
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, DELETE, OPTIONS")
    assert wire.get("*", method="OPTIONS").answer().status == 204


def test_other_method_is_405_with_allow(wire):
    answer = wire.get("/v1/wait").answer()
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert answer.json["type"].endswith("/method-not-allowed")


def test_unknown_path_is_404(wire):
    answer = wire.get('/v1/nothing"<b>').answer()
    assert answer.status == 404
    assert '/v1/nothing"<b>' in answer.json["detail"]


def test_unknown_parameter_is_named(wire):
    answer = wire.get("/v1/devices?lmit=3").answer()
    assert answer.status == 400
    assert "lmit" in answer.json["detail"]


def test_parameter_given_twice_is_refused(wire):
    assert wire.get("/v1/devices?limit=3&limit=4").answer().status == 400


@pytest.mark.parametrize("target", ["/v1/devices/%", "/v1/devices/%zz", "/v1/devices?endpoint=%4"])
def test_bad_percent_encoding_is_400(wire, target):
    assert wire.get(target).answer().status == 400


def test_absolute_form_target_is_taken(wire):
    assert wire.get("http://somewhere:8080/healthz?").answer().status == 200


def test_upgrade_is_passed_over(wire):
    answer = wire.get("/healthz", "Connection: Upgrade", "Upgrade: h2c").answer()
    assert answer.status == 200
    assert wire.get("/healthz").answer().status == 200


# ---- connections ----


def test_connection_is_kept_open(wire):
    for _ in range(3):
        answer = wire.get("/healthz").answer()
        assert answer.status == 200
        assert "connection" not in answer.headers


def test_connection_close_is_honoured(wire):
    answer = wire.get("/healthz", "Connection: close").answer()
    assert answer.headers["connection"] == "close"
    assert wire.at_end()


def test_http_1_0_closes_by_default(wire):
    assert wire.get("/healthz", version="1.0").answer().headers["connection"] == "close"
    assert wire.at_end()


def test_http_1_0_is_kept_alive_when_asked(wire):
    answer = wire.get("/healthz", "Connection: keep-alive", version="1.0").answer()
    assert answer.headers["connection"] == "keep-alive"
    assert wire.get("/healthz", version="1.0").answer().status == 200


def test_http_1_0_needs_no_host(wire):
    assert wire.send("GET /healthz HTTP/1.0\r\n\r\n").answer().status == 200


def test_client_that_closes_its_half_still_gets_its_answer(wire):
    wire.get("/healthz")
    wire.sock.shutdown(1)
    assert wire.answer().status == 200
    assert wire.at_end()


def test_request_may_come_byte_by_byte(wire):
    for byte in b"GET /v1/devices/d%C3%BC?wait=deregistered HTTP/1.1\r\nHost: [::1]\r\n\r\n":
        wire.send(bytes([byte]))
    assert wire.answer().json["endpoint"] == "dü"


def test_pipelined_requests_are_answered_in_order(wire):
    wire.send("".join(f"GET /v1/devices/{n} HTTP/1.1\r\nHost: [::1]\r\n\r\n" for n in range(200)))
    for n in range(200):
        assert wire.answer().json["endpoint"] == str(n)


def test_pipelined_requests_wait_for_one_that_waits(berth, wire):
    wire.get("/v1/devices/dev1?wait=registered&timeout=20s")
    wire.send("".join(f"GET /v1/devices/{n} HTTP/1.1\r\nHost: [::1]\r\n\r\n" for n in range(1000)))  # over 40 KB
    wire.send("POST /v1/clock HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 14\r\n\r\n{\"advance\":1 }")
    berth.register("dev1")
    assert wire.answer().json["endpoint"] == "dev1"
    for n in range(1000):
        assert wire.answer().json["endpoint"] == str(n)
    assert wire.answer().json["advanced_s"] == 1


def test_pipelined_requests_before_the_half_close_are_all_answered(berth, wire):
    wire.get("/v1/clock").get("/v1/devices/nobody", method="DELETE").get("/v1/clock")
    wire.sock.shutdown(1)
    assert [wire.answer().status for _ in range(3)] == [200, 404, 200]
    assert wire.at_end()


def test_idle_connection_is_closed(start_berth):
    berth = start_berth("--http-idle-timeout", "1s")
    with Wire(berth.http_port) as never_used, Wire(berth.http_port) as used:
        started = time.monotonic()
        assert used.get("/healthz").answer().status == 200
        assert used.at_end() and never_used.at_end()
        assert time.monotonic() - started < 15


def test_connections_beyond_the_limit_are_told_so(start_berth):
    berth = start_berth("--http-max-connections", "3")
    open_ones = [Wire(berth.http_port).get("/healthz") for _ in range(3)]
    assert all(connection.answer().status == 200 for connection in open_ones)
    with Wire(berth.http_port) as one_more:
        assert_refused(one_more, 503, "overloaded")
    open_ones.pop().close()
    deadline = time.monotonic() + 5
    while berth_status(berth) != 200 and time.monotonic() < deadline:
        pass
    assert berth_status(berth) == 200
    for connection in open_ones:
        assert connection.get("/healthz").answer().status == 200
        connection.close()


def berth_status(berth) -> int:
    with Wire(berth.http_port) as connection:
        return connection.get("/healthz", "Connection: close").answer().status


# ---- bodies ----


def post_clock(body: bytes, *headers: str) -> bytes:
    return "\r\n".join(["POST /v1/clock HTTP/1.1", "Host: localhost", *headers, "", ""]).encode() + body


def test_chunked_body_is_taken(wire):
    body = b'5\r\n{"adv\r\n9;x=y\r\nance":1.5\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\n'
    assert wire.send(post_clock(body, "Transfer-Encoding: chunked")).answer().json["advanced_s"] == 1.5
    assert wire.get("/healthz").answer().status == 200


def test_expect_100_continue_is_answered_before_the_body(wire):
    wire.send(post_clock(b"", "Content-Length: 13", "Expect: 100-continue"))
    assert wire.answer().status == 100
    assert wire.send('{"advance":0}').answer().status == 200


def test_other_expectation_is_417(wire):
    wire.send(post_clock(b"", "Content-Length: 13", "Expect: miracles"))
    assert_refused(wire, 417, "expectation-failed")


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b'{"advance":1,"advance":2}', b'{"advance":1}x', b"\xff"])
def test_body_that_is_no_json_object_is_400(wire, body):
    answer = wire.send(post_clock(body, f"Content-Length: {len(body)}")).answer()
    assert answer.status == 400
    assert answer.json["type"].endswith("/bad-body")


def test_fault_in_a_body_is_told_with_its_place(wire):
    body = b'{\n  "advance" 1}'
    detail = wire.send(post_clock(body, f"Content-Length: {len(body)}")).answer().json["detail"]
    assert "line 2, column 13" in detail


def test_unknown_member_is_named(wire):
    body = b'{"advance":1,"by":2}'
    assert '"by"' in wire.send(post_clock(body, f"Content-Length: {len(body)}")).answer().json["detail"]


def test_deep_nesting_is_400(wire):
    body = b'{"advance":' + b"[" * 1000 + b"]" * 1000 + b"}"
    assert wire.send(post_clock(body, f"Content-Length: {len(body)}")).answer().status == 400


def test_largest_body_is_taken_and_one_byte_more_is_413(start_berth):
    berth = start_berth("--http-max-body", "2000")
    body = b'{"advance":0}'.ljust(2000)
    with Wire(berth.http_port) as wire:
        assert wire.send(post_clock(body, "Content-Length: 2000")).answer().status == 200
        wire.send(post_clock(body + b" ", "Content-Length: 2001"))
        assert_refused(wire, 413, "too-large")
    with Wire(berth.http_port) as wire:
        wire.send(post_clock(b"7d1\r\n" + body + b" \r\n0\r\n\r\n", "Transfer-Encoding: chunked"))
        assert_refused(wire, 413, "too-large")


def test_too_large_body_is_refused_while_it_is_being_sent(wire):
    wire.send(post_clock(b"", "Content-Length: 5000000"))
    for _ in range(20):
        wire.send(b" " * 10000)
    assert_refused(wire, 413, "too-large")


# ---- what is refused ----


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]\r\nX\x00Y: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET /\x00 HTTP/1.1\r\nHost: [::1]\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        post_clock(b"", "Content-Length: -1"),
        post_clock(b"", "Content-Length: 1x"),
        post_clock(b"", "Content-Length: 99999999999999999999999"),
        post_clock(b"zz\r\n", "Transfer-Encoding: chunked"),
    ],
)
def test_malformed_request_is_400(wire, request_bytes):
    wire.send(request_bytes)
    assert_refused(wire, 400, "bad-request")


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: xchunked"],
    ],
)
def test_ambiguous_length_is_400(wire, headers):
    """Where a body ends must not be a matter of taste: that is how requests are smuggled (RFC 9112 section 11.2)."""
    wire.send(post_clock(b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n", *headers))
    assert_refused(wire, 400, "bad-request")


@pytest.mark.parametrize("version", ["0.9", "2.0"])
def test_other_version_is_505(wire, version):
    wire.get("/healthz", version=version)
    assert_refused(wire, 505, "http-version")


def test_http_2_preface_is_505(wire):
    wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert_refused(wire, 505, "http-version")


def test_target_of_8_kib_is_taken_and_one_byte_more_is_414(wire):
    assert wire.get("/".ljust(8192, "a")).answer().status == 404
    wire.get("/".ljust(8193, "a"))
    assert_refused(wire, 414, "target-too-long")


def test_many_header_fields_are_431(wire):
    assert wire.get("/healthz", *(f"X-{n:04}: {'v' * 88}" for n in range(160))).answer().status == 200
    wire.get("/healthz", *(f"X-{n:04}: {'v' * 88}" for n in range(180)))
    assert_refused(wire, 431, "headers-too-large")


def test_endless_header_field_is_431(wire):
    wire.send("GET /healthz HTTP/1.1\r\nHost: [::1]\r\nX: " + "v" * 20000)
    assert_refused(wire, 431, "headers-too-large")


def test_endless_white_space_before_a_value_is_431(wire):
    wire.send("GET /healthz HTTP/1.1\r\nHost: [::1]\r\nX:" + " " * 30000)
    assert_refused(wire, 431, "headers-too-large")


def test_slow_requests_are_408_after_ten_seconds(berth):
    beginnings = ["GET /a", "GET /healthz HTTP/1.1\r\nX", post_clock(b"{", "Content-Length: 9")]
    slow = [Wire(berth.http_port).send(beginning) for beginning in beginnings]
    started = time.monotonic()
    for _ in range(3):
        time.sleep(2)  # bytes that trickle in don't buy time
        for connection in slow:
            connection.send("x")
    for connection in slow:
        assert_refused(connection, 408, "request-timeout")
        connection.close()
    assert 9 < time.monotonic() - started < 25


def test_slow_reader_delays_nobody(berth):
    berth.register("dev1", links=",".join(f"</{n}/0>" for n in range(10, 2000)))
    with Wire(berth.http_port, receive_buffer=4096) as slow:
        target = "GET /v1/devices/dev1 HTTP/1.1\r\nHost: [::1]\r\n\r\n"
        slow.send(target * 300)  # 20 MB of answers
        for _ in range(20):
            started = time.monotonic()
            assert berth.http("GET", "/healthz").status == 200
            assert time.monotonic() - started < 10
        answers = [slow.answer().status for _ in range(300)]
        assert answers == [200] * 300


def test_a_thousand_waits_at_once(start_berth):
    berth = start_berth("--http-max-connections", "1100")
    waiting = [Wire(berth.http_port).get(f"/v1/devices/dev{n % 2}?wait=registered&timeout=60s") for n in range(1000)]
    await_waiting(berth, 1000)
    berth.register("dev0")
    for connection in waiting[::2]:
        assert connection.answer().json["endpoint"] == "dev0"
    berth.register("dev1")
    for connection in waiting[1::2]:
        assert connection.answer().json["endpoint"] == "dev1"
    for connection in waiting:
        connection.close()


def test_wait_of_a_client_that_hangs_up_is_cancelled(berth):
    targets = ["/v1/devices/nobody?wait=registered&timeout=60s", "/v1/events?poll=1&timeout=60s"]
    wires = [Wire(berth.http_port).get(target) for target in targets for _ in range(10)]
    await_waiting(berth, 20)
    for connection in wires[:10]:
        connection.close()
    await_waiting(berth, 10)
    for connection in wires[10:]:
        connection.sock.shutdown(1)
    await_waiting(berth, 0)
    for connection in wires[10:]:
        connection.close()


def await_waiting(berth, count: int) -> None:
    deadline = time.monotonic() + 10
    while berth.waiting() != count:
        assert time.monotonic() < deadline, f"{berth.waiting()} requests wait, not {count}"


def test_server_stops_with_requests_under_way(berth):
    connections = [
        Wire(berth.http_port).get("/v1/devices/nobody?wait=registered&timeout=60s"),
        Wire(berth.http_port).get("/v1/events"),
        Wire(berth.http_port).get("/v1/events?poll=1&timeout=60s"),
        Wire(berth.http_port).send("GET /heal"),
        Wire(berth.http_port),
    ]
    assert connections[1].head().status == 200
    berth.stop()
    assert all(connection.at_end() for connection in connections)
    for connection in connections:
        connection.close()


def test_a_page_of_another_origin_changes_nothing(berth):
    host = f"127.0.0.1:{berth.http_port}"
    for origin, status in ((f"http://{host}", 204), (f"https://{host}", 204), ("http://evil.example", 403), ("null", 403)):
        answer = berth.http("POST", "/v1/reset?scope=all", headers={"Origin": origin, "Host": host})
        assert answer.status == status, origin
    assert answer.json["type"].endswith("/cross-origin")
    assert berth.http("GET", "/v1/devices", headers={"Origin": "http://evil.example"}).status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LocalHost:8080", 200),
        ("a.localhost", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8080", 200),
        ("192.0.2.7", 200),
        ("evil.example", 421),
        ("localhost.evil.example:80", 421),
        ("127.0.0.1.evil.example", 421),
        ("evillocalhost", 421),
        ("[::1", 421),
        ("", 421),
    ],
)
def test_a_page_whose_name_comes_to_mean_loopback_reads_nothing(berth, host, status):
    for path in ("/v1/devices", "/healthz", "/v3/devices", "/api/clients"):
        answer = berth.http("GET", path, headers={"Host": host, "Authorization": "Bearer ak_test"})
        assert answer.status == status, path
    if status == 421:
        assert answer.problem == "misdirected" and "--http-host" in answer.json["detail"]


def test_names_of_the_server_are_said_with_http_host(start_berth):
    berth = start_berth("--http-host", "Berth.example", "--http-host", "lab", web="http://0.0.0.0:0")
    hosts = {"berth.example:443": 200, "lab": 200, "localhost": 200, "127.0.0.1": 200, "other.example": 421}
    assert {host: berth.http("GET", "/healthz", headers={"Host": host}).status for host in hosts} == hosts


def test_where_others_reach_it_any_name_is_good(start_berth):
    berth = start_berth(web="http://0.0.0.0:0")
    assert berth.http("GET", "/healthz", headers={"Host": "berth"}).status == 200


def test_two_hosts_are_none(berth):
    wire = Wire(berth.http_port)
    wire.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n")
    assert wire.head().status == 400


def test_without_a_host_it_is_no_browser(berth):
    wire = Wire(berth.http_port)
    wire.send(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert wire.head().status == 200


def test_answers_give_nothing_to_other_origins_and_run_nothing(berth):
    for method, path in (("GET", "/v1/devices"), ("GET", "/nothing"), ("OPTIONS", "/v1/devices"), ("GET", "/v3/devices")):
        asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT"}
        headers = berth.http(method, path, headers=asked).headers
        assert not [name for name in headers if name.lower().startswith("access-control-")]
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
