"""Firmware images and manifests of the Device Management API."""

import hashlib

import pytest
from coapraw import BLOCK2, GET, PROXY_URI, block
from pelion_client import PelionClient
from test_pelion_api import DATE

BOUNDARY = "1f9a-boundary"


def form(**parts: str | bytes) -> tuple[bytes, dict]:
    """A body of multipart/form-data, and its header fields; what is bytes is a file."""
    body = b""
    for name, content in parts.items():
        body += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if isinstance(content, bytes):
            body += b'; filename="x.bin"\r\nContent-Type: application/octet-stream'
        body += b"\r\n\r\n" + (content if isinstance(content, bytes) else content.encode()) + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def put(pelion: PelionClient, kind: str, data: bytes, name: str = "one", **parts: str) -> dict:
    body, headers = form(name=name, **parts, datafile=data)
    status, made = pelion.call("POST", f"/v3/{kind}", body, headers)
    assert status == 201, made
    return made


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


@pytest.fixture
def pelion(berth):
    return PelionClient(berth.http_port)


def test_an_image_is_put_listed_served_and_deleted(start_berth):
    berth = start_berth("--api-key", "ak_x", data="images")
    pelion = PelionClient(berth.http_port, "ak_x")
    data = bytes(range(256)) * 700 + b"\r\n--" + BOUNDARY.encode()[:5] + b"\r\r\n"
    made = put(pelion, "firmware-images", data, description="the first")
    assert (made["object"], made["name"], made["description"]) == ("firmware-image", "one", "the first")
    assert made["datafile_size"] == len(data)
    assert made["datafile_checksum"] == hashlib.sha256(data).hexdigest()
    assert made["datafile"].startswith(f"http://127.0.0.1:{berth.http_port}/")
    for name in ("created_at", "updated_at", "etag"):
        assert DATE.fullmatch(made[name])
    berth.stop()
    berth = start_berth("--api-key", "ak_x", data="images")
    pelion = PelionClient(berth.http_port, "ak_x")
    path = f"/v3/firmware-images/{made['id']}"
    assert pelion.call("GET", path + "/") == (200, made)
    assert pelion.call("GET", "/v3/firmware-images/?name__eq=one")[1]["data"] == [made]
    without_key = PelionClient(berth.http_port)
    answer = berth.http("GET", path_of(made["datafile"]))
    assert (answer.status, answer.body) == (200, data)
    answer = berth.http("GET", path_of(made["datafile"]), headers={"Range": "bytes=100-199"})
    assert (answer.status, answer.body) == (206, data[100:200])
    assert without_key.call("GET", path)[0] == 401
    assert pelion.call("DELETE", path) == (204, "")
    assert pelion.call("GET", path)[0] == 404
    assert berth.http("GET", path_of(made["datafile"])).status == 404
    assert pelion.call("DELETE", path)[0] == 404


def test_an_image_is_fetched_over_coap_by_its_url(berth, pelion):
    data = bytes(range(250)) * 3
    made = put(pelion, "firmware-images", data)
    device = berth.register("dev1")
    got, number = b"", 0
    while len(got) < len(data):
        options = [(PROXY_URI, made["datafile"].encode()), (BLOCK2, block(number, False, 5))]
        answer = device.peer.request(GET, "/fw", options=options)
        assert answer.code_text == "2.05"
        got, number = got + answer.payload, number + 1
    assert got == data


def test_a_manifest_is_put_listed_served_and_deleted(start_berth):
    berth = start_berth(data="manifests")
    pelion, data = PelionClient(berth.http_port), b"0\x82\x01\r\n\0\xff"
    made = put(pelion, "firmware-manifests", data, key_table="")
    assert (made["object"], made["datafile_size"]) == ("firmware-manifest", len(data))
    assert DATE.fullmatch(made["timestamp"])
    berth.stop()
    pelion = PelionClient((berth := start_berth(data="manifests")).http_port)
    path = f"/v3/firmware-manifests/{made['id']}"
    assert pelion.call("GET", path) == (200, made)
    assert pelion.call("GET", "/v3/firmware-manifests")[1]["data"] == [made]
    assert berth.http("GET", path_of(made["datafile"])).body == data
    assert pelion.call("DELETE", path) == (204, "")
    assert pelion.call("GET", path)[0] == 404


@pytest.mark.parametrize("kind", ["firmware-images", "firmware-manifests"])
def test_forms_with_something_wrong(pelion, berth, kind):
    body, headers = form(name="x", datafile=b"data")
    several = form(datafile=b"1")[0][: -len(BOUNDARY) - 6] + body
    for content, fields in (
        (body, {"Content-Type": "application/json"}),
        (body, {"Content-Type": "multipart/form-data"}),
        (body, {"Content-Type": "multipart/form-data; boundary=other"}),
        (body[:-10], headers),
        (body.replace(b"datafile", b"datapile"), headers),
        (form(name="x", datafile=b"")[0], headers),
        (form(name="x" * 129, datafile=b"1")[0], headers),
        (form(description="x" * 9000, datafile=b"1")[0], headers),
        (several, headers),
        (b"", headers),
        (b"", {}),
        (b"--" + BOUNDARY.encode() + b"junk", headers),
        (form(**{f"part{i}": "" for i in range(40)}, datafile=b"1")[0], headers),
    ):
        status, error = pelion.call("POST", f"/v3/{kind}", content, fields)
        assert (status, error["object"]) == (400, "error"), content[:100]
    assert pelion.call("GET", f"/v3/{kind}")[1]["data"] == []
    assert berth.get("/v1/firmware")["items"] == []


def test_a_manifest_that_is_too_long(pelion):
    body, headers = form(datafile=bytes(20000))
    assert pelion.call("POST", "/v3/firmware-manifests", body, headers)[0] == 400


def test_an_image_needs_a_key(start_berth):
    berth = start_berth("--api-key", "ak_x")
    body, headers = form(datafile=b"data")
    assert PelionClient(berth.http_port).call("POST", "/v3/firmware-images", body, headers)[0] == 401
    assert berth.http("GET", "/v1/firmware", headers={"Authorization": "Bearer ak_x"}).json["items"] == []
