"""Firmware images over HTTP: putting, listing, fetching and deleting them, and what survives."""

import hashlib
import http.client
import json
import os
import signal
import threading

import pytest

MIB = 1024 * 1024
IMAGE = b"sensor 2.1\n" + bytes(range(256)) * 20


def put(berth, name, body=IMAGE, **query):
    return berth.http("PUT", f"/v1/firmware/{name}", body, {"Content-Type": "application/octet-stream"}, **query)


def names(berth):
    return [image["name"] for image in berth.get("/v1/firmware")["items"]]


def files(berth):
    directory = berth.data / "firmware"
    return sorted(os.listdir(directory)) if directory.exists() else []


def test_image_is_put_listed_fetched_and_deleted(berth):
    answer = put(berth, "sensor-2.1.bin")
    assert answer.status == 201, answer.body
    image = answer.json
    assert (image["name"], image["size"]) == ("sensor-2.1.bin", len(IMAGE))
    assert image["sha256"] == hashlib.sha256(IMAGE).hexdigest()
    assert (image["coap_path"], image["url"], image["updates"]) == ("/fw/sensor-2.1.bin", None, 0)
    assert berth.get("/v1/firmware")["items"] == [image]
    fetched = berth.http("GET", "/v1/firmware/sensor-2.1.bin")
    assert (fetched.status, fetched.body) == (200, IMAGE)
    assert fetched.headers["ETag"] == f'"{image["sha256"]}"'
    assert berth.http("DELETE", "/v1/firmware/sensor-2.1.bin").status == 204
    assert (names(berth), files(berth)) == ([], [])
    assert berth.http("GET", "/v1/firmware/sensor-2.1.bin").problem == "not-found"
    assert berth.http("DELETE", "/v1/firmware/sensor-2.1.bin").problem == "not-found"


def test_image_takes_the_place_of_another(berth):
    assert put(berth, "a", b"one").status == 201
    assert put(berth, "a", b"two").status == 200
    assert berth.http("GET", "/v1/firmware/a").body == b"two"
    assert files(berth) == [hashlib.sha256(b"two").hexdigest()]


def test_two_images_of_the_same_bytes_share_a_file(berth):
    put(berth, "a", b"same")
    put(berth, "b", b"same")
    assert berth.http("DELETE", "/v1/firmware/a").status == 204
    assert berth.http("GET", "/v1/firmware/b").body == b"same"
    assert put(berth, "b", b"same").status == 200
    assert berth.http("GET", "/v1/firmware/b").body == b"same"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_images_survive(berth, end):
    put(berth, "a", IMAGE, url="https://example.com/fw?x=1")
    before = berth.get("/v1/firmware")
    getattr(berth, end)()
    (berth.data / "firmware" / "upload-7").write_bytes(b"left over")
    (berth.data / "firmware" / ("0" * 64)).write_bytes(b"nobody's")
    berth.start()
    assert berth.get("/v1/firmware") == before
    assert berth.http("GET", "/v1/firmware/a").body == IMAGE
    assert len(files(berth)) == 1


@pytest.mark.parametrize("name", [".a", "a%2Fb", "..%2Fberth.db", "a b", "x" * 65, "%C3%BC"])
def test_name_that_could_be_anything_is_refused(berth, name):
    answer = put(berth, name.replace(" ", "%20"))
    assert (answer.status, answer.problem) == (400, "bad-request")
    assert files(berth) == []


def test_image_comes_in_chunks(berth):
    connection = http.client.HTTPConnection("127.0.0.1", berth.http_port, timeout=20)
    connection.request("PUT", "/v1/firmware/a", iter([b"one", b"two", b"three" * 1000]), encode_chunked=True)
    assert connection.getresponse().status == 201
    assert berth.http("GET", "/v1/firmware/a").body == b"onetwo" + b"three" * 1000


def test_connection_goes_on_after_an_image(berth):
    connection = http.client.HTTPConnection("127.0.0.1", berth.http_port, timeout=20)
    for number in range(3):
        connection.request("PUT", f"/v1/firmware/n{number}", IMAGE)
        answer = connection.getresponse()
        assert (answer.status, answer.read() != b"") == (201, True)
        connection.request("GET", "/v1/firmware")
        assert len(json.loads(connection.getresponse().read())["items"]) == number + 1


def test_empty_image_is_refused(berth):
    assert put(berth, "a", b"").problem == "bad-request"


def test_bad_url_is_refused_and_nothing_is_left(berth):
    assert put(berth, "a", IMAGE, url="has space").problem == "bad-parameter"
    assert put(berth, "a", IMAGE, url="x" * 256).problem == "bad-parameter"
    assert put(berth, "a", IMAGE, other="1").problem == "bad-parameter"
    assert (names(berth), files(berth)) == ([], [])


def send_head(berth, length, name="a"):
    connection = http.client.HTTPConnection("127.0.0.1", berth.http_port, timeout=20)
    connection.putrequest("PUT", f"/v1/firmware/{name}")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    return connection


def test_image_of_64_MiB_is_taken_as_it_comes_and_one_byte_more_is_not(start_berth):
    berth = start_berth(release=True)
    image = os.urandom(MIB) * 64
    before = resident(berth)
    assert put(berth, "big", image).json["size"] == 64 * MIB
    assert hashlib.sha256(berth.http("GET", "/v1/firmware/big").body).digest() == hashlib.sha256(image).digest()
    assert resident(berth) - before < 16 * MIB
    connection = send_head(berth, 64 * MIB + 1, "bigger")
    connection.send(b"x")
    answer = connection.getresponse()
    assert answer.status == 413
    assert names(berth) == ["big"]


def resident(berth):
    """Bytes of memory that the server has now."""
    with open(f"/proc/{berth.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_upload_that_breaks_off_leaves_nothing(berth):
    connection = send_head(berth, 1000)
    connection.send(b"x" * 500)
    while files(berth) == []:
        pass
    connection.close()
    while files(berth) != []:
        pass
    assert names(berth) == []
    assert put(berth, "a").status == 201


def test_upload_under_way_when_the_server_ends_leaves_nothing(berth):
    connection = send_head(berth, 1000)
    connection.send(b"x" * 500)
    while files(berth) == []:
        pass
    berth.restart()
    connection.close()
    assert (names(berth), files(berth)) == ([], [])


def test_second_upload_of_a_name_at_once_is_a_conflict(berth):
    connection = send_head(berth, 10)
    connection.send(b"x")
    while files(berth) == []:
        pass
    assert put(berth, "a").problem == "conflict"
    connection.send(b"x" * 9)
    assert connection.getresponse().status == 201


def test_uploads_at_once_are_bounded(berth):
    connections = []
    for number in range(8):
        connections.append(send_head(berth, 10, f"n{number}"))
        connections[-1].send(b"x")
    while len(files(berth)) < 8:
        pass
    assert put(berth, "more").problem == "overloaded"
    for connection in connections:
        connection.close()


def test_server_ends_while_an_upload_waits_for_its_commit(berth):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(try_put(berth)))
    with berth.no_commit():
        thread.start()
        while files(berth) != [hashlib.sha256(IMAGE).hexdigest()]:
            pass
        berth.process.send_signal(signal.SIGTERM)
    thread.join(20)
    berth._ended(20, 0)
    berth.start()
    acknowledged = answers[0] is not None and answers[0].status == 201
    assert names(berth) == ["a"] or not acknowledged
    assert len(files(berth)) == len(names(berth))


def try_put(berth):
    try:
        return put(berth, "a")
    except (OSError, http.client.HTTPException):
        return None


def test_upload_waits_for_its_commit(berth):
    answers = []
    with berth.no_commit():
        thread = threading.Thread(target=lambda: answers.append(put(berth, "a")))
        thread.start()
        while files(berth) != [hashlib.sha256(IMAGE).hexdigest()]:
            pass
        assert (answers, names(berth)) == ([], [])
    thread.join(20)
    assert answers[0].status == 201


@pytest.mark.parametrize(
    ("range", "part", "told"),
    [
        ("bytes=0-9", IMAGE[:10], "0-9"),
        ("bytes=10-", IMAGE[10:], f"10-{len(IMAGE) - 1}"),
        ("bytes=-5", IMAGE[-5:], f"{len(IMAGE) - 5}-{len(IMAGE) - 1}"),
        ("bytes=5-999999", IMAGE[5:], f"5-{len(IMAGE) - 1}"),
        ("bytes=-999999", IMAGE, f"0-{len(IMAGE) - 1}"),
    ],
)
def test_a_range_of_an_image(berth, range, part, told):
    put(berth, "a")
    answer = berth.http("GET", "/v1/firmware/a", headers={"Range": range})
    assert (answer.status, answer.body) == (206, part)
    assert answer.headers["Content-Range"] == f"bytes {told}/{len(IMAGE)}"


@pytest.mark.parametrize("range", ["bytes=9-5", "bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=x-1"])
def test_a_range_that_means_nothing_is_passed_over(berth, range):
    put(berth, "a")
    answer = berth.http("GET", "/v1/firmware/a", headers={"Range": range})
    assert (answer.status, answer.body) == (200, IMAGE)


@pytest.mark.parametrize("range", [f"bytes={len(IMAGE)}-", "bytes=-0"])
def test_a_range_past_the_end_is_416(berth, range):
    put(berth, "a")
    answer = berth.http("GET", "/v1/firmware/a", headers={"Range": range})
    assert (answer.status, answer.problem) == (416, "range")
    assert answer.headers["Content-Range"] == f"bytes */{len(IMAGE)}"


def test_a_range_of_another_image_is_not_mixed_in(berth):
    etag = put(berth, "a").json["sha256"]
    ranged = {"Range": "bytes=0-1", "If-Range": f'"{etag}"'}
    assert berth.http("GET", "/v1/firmware/a", headers=ranged).status == 206
    put(berth, "a", b"other")
    assert berth.http("GET", "/v1/firmware/a", headers=ranged).body == b"other"


def test_head_of_an_image(berth):
    put(berth, "a")
    answer = berth.http("HEAD", "/v1/firmware/a")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", str(len(IMAGE)))


def test_devices_fetch_without_the_api_key_and_nobody_puts_without(start_berth):
    berth = start_berth("--api-key", "secret")
    key = {"Authorization": "Bearer secret"}
    assert berth.http("PUT", "/v1/firmware/a", IMAGE).problem == "unauthorized"
    assert berth.http("PUT", "/v1/firmware/a", IMAGE, key).status == 201
    assert berth.http("GET", "/v1/firmware/a").body == IMAGE
    assert berth.http("GET", "/v1/firmware").problem == "unauthorized"
    assert berth.http("DELETE", "/v1/firmware/a").problem == "unauthorized"


def test_page_of_another_origin_does_not_put(berth):
    assert berth.http("PUT", "/v1/firmware/a", IMAGE, {"Origin": "http://evil.example"}).problem == "cross-origin"
    assert files(berth) == []


def test_faults_are_read_with_their_rules(berth):
    put(berth, "a")
    faults = {"unavailable": 2, "retry_after_s": 3, "truncate_to": 10, "silent_after": None, "changing_etag": True}
    answer = berth.http("PUT", "/v1/firmware/a/faults", faults)
    assert answer.json["faults"] == faults
    assert berth.http("PUT", "/v1/firmware/a/faults", {}).json["faults"]["unavailable"] == 0
    for wrong in [{"unavailable": -1}, {"unavailable": 1001}, {"changing_etag": 1}, {"truncate_to": "x"}, {"x": 1}]:
        assert berth.http("PUT", "/v1/firmware/a/faults", wrong).problem == "bad-body"
    assert berth.http("PUT", "/v1/firmware/b/faults", {}).problem == "not-found"
