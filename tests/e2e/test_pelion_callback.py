"""The callback channel of the Device Management API: messages are brought to a URL."""

import http.server
import queue
import ssl
import subprocess
import threading

import pytest
from callback_receiver import Receiver
from pelion_client import PelionClient

CALLBACK = "/v2/notification/callback"
CHANNEL = "/v2/notification/channel"


@pytest.fixture
def pelion(berth):
    return PelionClient(berth.http_port)


@pytest.fixture
def receive():
    opened = []

    def start(*args) -> Receiver:
        opened.append(Receiver(*args))
        return opened[-1]

    yield start
    for receiver in opened:
        receiver.close()


@pytest.fixture
def receiver(receive):
    return receive()


def put(pelion: PelionClient, url: str, **more: object):
    return pelion.call("PUT", CALLBACK, {"url": url, **more})


def ready(pelion: PelionClient, receiver: Receiver, **more: object) -> None:
    assert put(pelion, receiver.url, **more) == (204, "")
    assert receiver.document() == {}


def test_a_url_is_tried_and_then_told(berth, pelion, receiver):
    headers = {"authorization": "letmein", "X-Kind": "a \"b\""}
    assert pelion.call("GET", CALLBACK) == (404, "")
    assert pelion.call("DELETE", CALLBACK) == (404, "")
    assert put(pelion, receiver.url, headers=headers) == (204, "")
    method, path, sent, document = receiver.requests.get(timeout=20)
    assert (method, path, document) == ("PUT", "/app/hook?a=b", {})
    assert sent["Host"] == f"127.0.0.1:{receiver.port}"
    assert sent["Content-Type"] == "application/json"
    assert (sent["Authorization"], sent["X-Kind"]) == ("letmein", "a \"b\"")
    assert pelion.call("GET", CALLBACK) == (200, {"url": receiver.url, "headers": headers})
    assert pelion.call("GET", CHANNEL) == (200, {"delivery_mechanism": "CALLBACK"})
    device = berth.register("a")
    method, path, sent, document = receiver.requests.get(timeout=20)
    [entry] = document["registrations"]
    assert (method, path, list(document)) == ("PUT", "/app/hook?a=b", ["registrations"])
    assert (entry["original-ep"], sent["Authorization"]) == ("a", "letmein")
    device.deregister()
    assert receiver.message("de-registrations") == entry["ep"]
    assert pelion.call("DELETE", CALLBACK)[0] == 204
    assert pelion.call("GET", CALLBACK)[0] == 404
    assert pelion.call("GET", CHANNEL)[0] == 404


@pytest.mark.parametrize(
    "answer",
    [201, 404, 500, (302, {"Location": "/else"}), None],
    ids=str,
)
def test_a_url_that_does_not_take_the_trial_is_refused(pelion, receiver, answer):
    receiver.answers.put(answer)
    status, error = put(pelion, receiver.url)
    assert (status, error["code"]) == (400, 400), error
    assert receiver.document() == {}
    assert receiver.requests.empty()
    assert pelion.call("GET", CALLBACK)[0] == 404
    assert put(pelion, receiver.url)[0] == 204


def test_a_url_that_nobody_answers_is_refused(pelion, receive):
    gone = receive()
    gone.close()
    assert "could not be tried" in put(pelion, gone.url)[1]["message"]
    status, error = put(pelion, "http://no-such-host.invalid/")
    assert status == 400 and "could not be tried" in error["message"], error


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        {},
        {"url": 1},
        {"url": ""},
        {"url": "ftp://127.0.0.1/"},
        {"url": "coap://127.0.0.1/"},
        {"url": "http:///x"},
        {"url": "http://a:b@127.0.0.1/"},
        {"url": "http://127.0.0.1/#x"},
        {"url": "http://127.0.0.1:99999/"},
        {"url": "http://127.0.0.1/ x"},
        {"url": "http://127.0.0.1/\r\nx: y"},
        {"url": "http://127.0.0.1/" + "x" * 400},
        {"url": "http://127.0.0.1/", "headers": []},
        {"url": "http://127.0.0.1/", "headers": {"a": 1}},
        {"url": "http://127.0.0.1/", "headers": {"a": "x\r\ny: z"}},
        {"url": "http://127.0.0.1/", "headers": {"a b": "x"}},
        {"url": "http://127.0.0.1/", "headers": {"": "x"}},
        {"url": "http://127.0.0.1/", "headers": {"Content-Length": "0"}},
        {"url": "http://127.0.0.1/", "headers": {"a": "x" * 390}},
        {"url": "http://127.0.0.1/", "serialization": "v2"},
        {"url": "http://127.0.0.1/", "serialization": {"type": "v9"}},
        {"url": "http://127.0.0.1/", "serialization": {"cfg": {"include_uid": 7}}},
        {"url": "http://127.0.0.1/", "serialization": {"x": "y" * 2000}},
    ],
    ids=lambda body: str(body)[:40],
)
def test_bad_bodies_are_400(shared_berth, body):
    status, error = PelionClient(shared_berth.http_port).call("PUT", CALLBACK, body)
    assert (status, error["object"], error["type"]) == (400, "error", "bad_request")


def test_one_kind_of_channel_at_a_time(pelion, receiver):
    websocket = "/v2/notification/websocket"
    ready(pelion, receiver)
    assert pelion.call("PUT", websocket)[0] == 400
    assert pelion.call("GET", "/v2/notification/pull")[0] == 400
    assert pelion.call("DELETE", CALLBACK)[0] == 204
    assert pelion.call("PUT", websocket)[0] == 201
    assert put(pelion, receiver.url)[0] == 400
    assert receiver.requests.empty()


def test_a_channel_that_is_made_during_the_trial_stays(pelion, receiver):
    held, answers = threading.Event(), queue.Queue()

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            held.set()
            assert pelion_other.call("PUT", "/v2/notification/websocket")[0] == 201
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    pelion_other = PelionClient(pelion.port)
    server = http.server.HTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.handle_request, daemon=True).start()
    threading.Thread(
        target=lambda: answers.put(put(pelion, f"http://localhost:{server.server_port}/")), daemon=True
    ).start()
    status, error = answers.get(timeout=30)
    server.server_close()
    assert held.is_set() and status == 400 and "another kind" in error["message"]
    assert pelion_other.call("GET", CHANNEL)[1] == {"delivery_mechanism": "WEB_SOCKET"}


def test_what_is_not_taken_is_sent_again(berth, pelion, receiver):
    ready(pelion, receiver)
    after = berth.last_event()
    for answer in (500, None, (307, {"Location": "/else"}), 201, 404, 503):
        receiver.answers.put(answer)
    berth.register("a")
    tries = [receiver.document()]
    event = berth.await_event("oddity", after=after)
    assert "callback takes no message" in event["detail"] and "500" in event["detail"]
    for wait in (1, 2, 4, 8, 16, 32):
        if wait > 8:  # the next try is not there before
            berth.leap("1s")
            assert receiver.requests.empty()
        while receiver.requests.empty():
            berth.leap(f"{(wait + 1) // 2}s")
        tries.append(receiver.document())
    assert all(document == tries[0] for document in tries) and "registrations" in tries[0]
    berth.register("b")
    [entry] = receiver.document()["registrations"]
    assert entry["original-ep"] == "b"
    detail = [event for event in berth.events_after(after) if event["type"] == "oddity"]
    assert len(detail) == 1


def test_after_a_day_a_message_is_lost(berth, pelion, receive):
    receiver = receive()
    ready(pelion, receiver)
    receiver.close()
    after = berth.last_event()
    berth.register("a", lifetime=0)
    berth.await_event("oddity", after=after)
    berth.leap("1d")
    for _ in range(100):
        lost = [event for event in berth.events_after(after) if "is lost" in event.get("detail", "")]
        if lost:
            break
        berth.leap("2m")
    assert len(lost) == 1


def test_entries_that_came_meanwhile_go_together(berth, pelion, receiver):
    ready(pelion, receiver, serialization={"type": "v2", "max_chunk_size": "150"})
    may_go_on = threading.Event()
    receiver.answers.put(lambda: 200 if may_go_on.wait(60) else 500)
    first = berth.register("a", lifetime=0)
    assert "registrations" in receiver.document()
    for number in range(251):
        first.update(links=f"</1/0>,</3/{number}>")
    assert receiver.requests.empty()
    may_go_on.set()
    counts = [len(receiver.document()["reg-updates"]) for _ in range(2)]
    assert counts == [150, 101]


def test_serialization(berth, pelion, receiver):
    cfg = {"include_uid": "true", "include_timestamp": True, "deregistrations_as_object": "true"}
    ready(pelion, receiver, serialization={"type": "v2", "cfg": cfg})
    assert pelion.call("GET", CALLBACK)[1]["serialization"]["cfg"] == cfg
    berth.register("a").deregister()
    entry = receiver.message("registrations")
    assert len(entry["uid"]) == 32 and entry["timestamp"] > 10**12
    gone = receiver.message("de-registrations")
    assert gone["ep"] == entry["ep"] and gone["timestamp"] >= entry["timestamp"]
    assert gone["uid"] != entry["uid"]


def test_a_second_url_takes_the_place_of_the_first(berth, pelion, receive):
    first, second = receive(), receive()
    ready(pelion, first)
    ready(pelion, second)
    berth.register("a")
    assert second.message("registrations")["original-ep"] == "a"
    assert first.requests.empty()


def test_a_key_that_is_deleted_ends_its_callback(berth, pelion, receiver):
    made = pelion.call("POST", "/v3/api-keys", {"name": "k"})[1]
    other = PelionClient(berth.http_port, made["key"])
    ready(other, receiver)
    assert pelion.call("DELETE", f"/v3/api-keys/{made['id']}")[0] == 204
    berth.register("a")
    berth.leap("1h")
    assert receiver.requests.empty()


def test_channels_survive_a_restart(berth, pelion, receiver):
    other = PelionClient(berth.http_port, "ak_other")
    assert other.call("PUT", "/v2/notification/websocket", {"serialization": {"type": "v2"}})[0] == 201
    ready(pelion, receiver, headers={"authorization": "a secret word"})
    berth.restart()
    pelion.port = other.port = berth.http_port
    assert b"a secret word" not in b"".join(file.read_bytes() for file in berth.data.glob("*.db*"))
    status, channel = other.call("GET", "/v2/notification/websocket")
    assert (status, channel["serialization"]) == (200, {"type": "v2"})
    berth.register("a")
    _, _, sent, document = receiver.requests.get(timeout=30)
    assert sent["Authorization"] == "a secret word"
    assert document["registrations"][0]["original-ep"] == "a"
    assert pelion.call("DELETE", CALLBACK)[0] == 204
    assert other.call("DELETE", "/v2/notification/websocket")[0] == 204
    berth.kill()
    berth.start()
    pelion.port = other.port = berth.http_port
    for client in (pelion, other):
        assert client.call("GET", CHANNEL)[0] == 404


# ---- https ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificate")
    paths = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-days", "30", "-subj", "/CN=app", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
        + ["-out", paths[0], "-keyout", paths[1]],
        check=True,
        capture_output=True,
    )
    return paths


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_https(start_berth, receive, certificate, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.minimum_version = context.maximum_version = version
    receiver = receive(context)
    berth = start_berth("--callback-ca", str(certificate[0]))
    pelion = PelionClient(berth.http_port)
    for host in ("127.0.0.1", "localhost"):
        assert put(pelion, f"https://{host}:{receiver.port}/x") == (204, "")
        assert receiver.document() == {}
    berth.register("a")
    assert receiver.message("registrations")["original-ep"] == "a"


def test_who_is_not_trusted_gets_nothing(start_berth, receive, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    receiver = receive(context)
    url = f"https://127.0.0.1:{receiver.port}/x"
    for options, why in ((), "no authority that is trusted"), (("--callback-ca", "/dev/null"), "authorities"):
        berth = start_berth(*options)
        status, error = put(PelionClient(berth.http_port), url)
        assert status == 400 and why in error["message"], error
    berth = start_berth("--callback-ca", str(certificate[0]))
    status, error = put(PelionClient(berth.http_port), f"https://127.1:{receiver.port}/x")
    assert status == 400 and "names another host" in error["message"], error
    assert receiver.requests.empty()
