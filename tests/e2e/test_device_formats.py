"""Every content format that the reference device speaks, at every level where it may stand, both ways."""

import json

import pytest
from coapraw import ACCEPT, CONTENT_FORMAT, GET, POST, PUT, uint
from device_process import format_of, meet, played_server, queries_of, start_device  # noqa: F401
from vectors import vector, vectors

TEXT, LINK, OPAQUE, CBOR, SENML_JSON, SENML_CBOR = 0, 40, 42, 60, 110, 112
ETCH_JSON, ETCH_CBOR, TLV, OMA_JSON, LWM2M_CBOR = 320, 322, 11542, 11543, 11544

SPOKEN = {
    "1.0": {TEXT, OPAQUE, TLV, OMA_JSON},
    "1.1": {TEXT, OPAQUE, CBOR, SENML_JSON, SENML_CBOR, TLV},
    "1.2": {TEXT, OPAQUE, CBOR, SENML_JSON, SENML_CBOR, TLV, LWM2M_CBOR},
}
EVERY = sorted(set.union(*SPOKEN.values()) | {LINK, ETCH_JSON, ETCH_CBOR, 99, 1542, 65000})
VALUES = [TEXT, CBOR, SENML_JSON, SENML_CBOR, TLV, OMA_JSON, LWM2M_CBOR]  # what tests/data has values in
SINGLE = {TEXT, OPAQUE, CBOR}


def accept(number: int) -> list[tuple[int, bytes]]:
    return [(ACCEPT, uint(number))]


def content(number: int) -> list[tuple[int, bytes]]:
    return [(CONTENT_FORMAT, uint(number))]


def release_of(number: int) -> str:
    """A release of LwM2M whose devices speak the format."""
    return {OMA_JSON: "1.0", LWM2M_CBOR: "1.2"}.get(number, "1.1")


# ---- what is spoken ----


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_FMT_01_read_in_every_format_at_every_level(meet, version):
    server, _ = meet("--lwm2m", version)
    for path in ["/3442", "/3442/0", "/3442/0/1150", "/3442/0/1150/0", "/3442/0/150"]:
        for number in set(EVERY) - {LINK}:  # that is Discover
            single = path in ("/3442/0/1150/0", "/3442/0/150")
            good = number in SPOKEN[version] and (single or number not in SINGLE)
            answer = server.request(GET, path, accept(number))
            if version == "1.0" and path.count("/") == 4:
                assert answer.code_text == "4.04"  # resource instances cannot be asked for
                continue
            assert (answer.code_text, format_of(answer)) == (("2.05", number) if good else ("4.06", None)), (path, number)


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_4_15_for_content_of_a_format_that_is_not_spoken(meet, version):
    server, _ = meet("--lwm2m", version)
    for path in ["/3442/0", "/3442/0/1110", "/3442/0/110"]:
        for number in set(EVERY) - SPOKEN[version]:
            assert server.request(PUT, path, content(number), b"").code_text == "4.15", (path, number)
    for number in SINGLE:
        assert server.request(PUT, "/3442/0", content(number), b"x").code_text == "4.15", number
        assert server.request(PUT, "/3442/0/1110", content(number), b"x").code_text == "4.15", number
    assert server.request(GET, "/3442/0/110").payload == b"initial value"


@pytest.mark.parametrize(
    ("version", "several"),
    [("1.0", TLV), ("1.1", TLV), ("1.2", LWM2M_CBOR)],
)
def test_DM_02_format_without_accept(meet, version, several):
    server, _ = meet("--lwm2m", version)
    for path, number in [
        ("/3442/0/120", TEXT),
        ("/3442/0/1120/0", None if version == "1.0" else TEXT),
        ("/3442/0/150", OPAQUE),
        ("/3442/0/1120", several),
        ("/3442/0", several),
        ("/3442", several),
    ]:
        assert format_of(server.request(GET, path)) == number, path


# ---- values, byte for byte ----


@pytest.mark.parametrize("number", VALUES)
def test_FMT_01_every_value_of_the_vectors_is_written_and_read(meet, number):
    server, _ = meet("--lwm2m", release_of(number))
    chosen = [entry for entry in vectors("V-") if entry["cf"] == number]
    assert len(chosen) > 20
    for entry in chosen:
        data = bytes.fromhex(entry["hex"])
        written = server.request(PUT, entry["path"], content(number), data)
        assert written.code_text == "2.04", (entry["id"], written.payload)
        answer = server.request(GET, entry["path"], accept(number))
        assert (answer.code_text, format_of(answer), answer.payload.hex()) == ("2.05", number, data.hex()), entry["id"]


def test_FMT_01_opaque_is_bytes(meet):
    server, _ = meet()
    for data in [b"", b"\x00", bytes(range(256))]:
        assert server.request(PUT, "/3442/0/150", content(OPAQUE), data).code_text == "2.04"
        assert server.request(GET, "/3442/0/150", accept(OPAQUE)).payload == data


@pytest.mark.parametrize("number", VALUES)
def test_TYP_01_what_does_not_decode_or_fit_is_4_00_and_changes_nothing(meet, number):
    server, _ = meet("--lwm2m", release_of(number))
    whole = server.request(GET, "/3442/0", accept(TLV)).payload
    chosen = [e for e in vectors("N") if e.get("cf") == number and e["path"].startswith("/3442/0") and e["hex"]]
    assert len(chosen) > 5 or number == OMA_JSON  # of which there are none
    for entry in chosen:
        wanted = entry["want"].split()[0]
        if wanted not in ("accept", "reject") or entry["id"] == "NB-15":  # which has a path the object does not have
            continue
        written = server.request(PUT, entry["path"], content(number), bytes.fromhex(entry["hex"]))
        assert written.code_text == {"accept": "2.04", "reject": "4.00"}[wanted], (entry["id"], entry["what"], written)
        if wanted == "accept":
            assert server.request(POST, "/3442/0/0").code_text == "2.04"  # the first values again
        assert server.request(GET, "/3442/0", accept(TLV)).payload == whole, entry["id"]


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2"])
def test_FMT_01_an_instance_is_written_as_it_was_read_in_every_format(meet, version):
    server, _ = meet("--lwm2m", version)
    first = server.request(GET, "/3442/0", accept(TLV)).payload
    for number in SPOKEN[version] - SINGLE:
        data = server.request(GET, "/3442/0", accept(number)).payload
        assert server.request(POST, "/3442/0/2").code_text == "2.04"  # no values any more
        assert server.request(GET, "/3442/0", accept(TLV)).payload == b""
        written = server.request(PUT, "/3442/0", content(number), data)
        assert written.code_text == "2.04", (number, written)
        assert server.request(GET, "/3442/0", accept(TLV)).payload == first, number


# ---- levels ----


def instances(number: int, values: dict[int, int]) -> bytes:
    """Content for /3442/0/1120, which has several integers."""
    if number == TLV:
        inner = b"".join(bytes([0x41, i, value]) for i, value in values.items())
        short = len(inner) < 8  # then the length is in the type byte
        return bytes([0xA0 + len(inner) if short else 0xA8, 0x04, 0x60]) + bytes([] if short else [len(inner)]) + inner
    if number == SENML_JSON:
        return json.dumps([{"n": f"/3442/0/1120/{i}", "v": value} for i, value in values.items()]).encode()
    if number == OMA_JSON:
        return json.dumps({"bn": "/3442/0/1120/", "e": [{"n": str(i), "v": v} for i, v in values.items()]}).encode()
    if number == SENML_CBOR:
        names = {i: f"/3442/0/1120/{i}".encode() for i in values}
        records = [b"\xa2\x00" + bytes([0x60 + len(names[i])]) + names[i] + bytes([2, v]) for i, v in values.items()]
        return bytes([0x80 + len(records)]) + b"".join(records)
    assert number == LWM2M_CBOR
    return bytes.fromhex("a183190d7200190460") + bytes([0xA0 + len(values)]) + bytes(b for kv in values.items() for b in kv)


@pytest.mark.parametrize("number", [TLV, SENML_JSON, SENML_CBOR, OMA_JSON, LWM2M_CBOR])
def test_DM_14_put_replaces_all_instances_and_post_adds_or_overwrites(meet, number):
    server, device = meet("--lwm2m", release_of(number))
    assert server.request(PUT, "/3442/0/1120", content(number), instances(number, {1: 5, 2: 6})).code_text == "2.04"
    assert server.request(GET, "/3442/0/1120", accept(TLV)).payload == instances(TLV, {1: 5, 2: 6})
    assert server.request(POST, "/3442/0/1120", content(number), instances(number, {2: 7, 3: 8})).code_text == "2.04"
    assert server.request(GET, "/3442/0/1120", accept(TLV)).payload == instances(TLV, {1: 5, 2: 7, 3: 8})
    device.command("read 3442/0/1120/3")
    device.line("3442/0/1120/3 = 8")


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (TEXT, "39"),
        (CBOR, "09"),
        (TLV, "410409"),
        (SENML_JSON, b'[{"n":"/3442/0/1120/4","v":9}]'.hex()),
        (SENML_CBOR, "81a2006e" + b"/3442/0/1120".hex() + "2f34" + "0209"),
        (LWM2M_CBOR, "a184190d720019046004" + "09"),
    ],
)
def test_DM_13_write_of_one_resource_instance(meet, number, data):
    server, _ = meet("--lwm2m", release_of(number))
    written = server.request(PUT, "/3442/0/1120/4", content(number), bytes.fromhex(data))
    assert written.code_text == "2.04", written
    assert server.request(GET, "/3442/0/1120/4").payload == b"9"
    assert server.request(GET, "/3442/0/1120/0").payload == b"1024"


@pytest.mark.parametrize("number", [TLV, SENML_JSON, SENML_CBOR, OMA_JSON, LWM2M_CBOR])
def test_DM_11_partial_update_keeps_and_replace_removes(meet, number):
    server, _ = meet("--lwm2m", release_of(number))
    chosen = next(e for e in vectors("V-") if e["cf"] == number and e["path"] == "/3442/0/120")
    data = bytes.fromhex(chosen["hex"])
    assert server.request(POST, "/3442/0", content(number), data).code_text == "2.04"
    assert server.request(GET, "/3442/0/110").payload == b"initial value"
    assert server.request(GET, "/3442/0/120").payload.decode() == str(chosen["value"])
    assert server.request(PUT, "/3442/0", content(number), data).code_text == "2.04"
    assert server.request(GET, "/3442/0/110").code_text == "4.04"
    assert server.request(GET, "/3442/0/120").payload.decode() == str(chosen["value"])


@pytest.mark.parametrize("how", [PUT, POST])
@pytest.mark.parametrize(
    ("what", "records", "code"),
    [
        ("an unknown resource", [("120", 1), ("99", 1)], "4.04"),
        ("a function", [("120", 1), ("0", 1)], "4.05"),
        ("a value of another type", [("120", 1), ("110", 1)], "4.00"),
        ("a single resource with instances", [("120", 1), ("125/0", 1)], "4.00"),
        ("a multiple one without", [("120", 1), ("1120", 1)], "4.00"),
        ("a path twice", [("120", 1), ("120", 2)], "4.00"),
        ("another instance", [("120", 1), ("../1/120", 2)], "4.00"),
    ],
)
def test_write_with_a_fault_writes_nothing(meet, how, what, records, code):
    server, _ = meet()
    before = server.request(GET, "/3442/0", accept(TLV)).payload
    data = json.dumps([{"n": f"/3442/0/{name}".replace("/0/../", "/"), "v": value} for name, value in records]).encode()
    assert server.request(how, "/3442/0", content(SENML_JSON), data).code_text == code, what
    assert server.request(GET, "/3442/0", accept(TLV)).payload == before


def test_text_that_is_not_UTF_8_is_refused(meet):
    server, _ = meet()
    for number, data in [(TEXT, b"\xff"), (TLV, b"\xc1\x6e\xff")]:
        assert server.request(PUT, "/3442/0/110", content(number), data).code_text == "4.00", number
    assert server.request(GET, "/3442/0/110").payload == b"initial value"


# ---- the device's own objects ----


def test_DM_01_read_of_single_and_multiple_resources_is_LC_01_and_LC_03(meet):
    server, device = meet("--lwm2m", "1.2")
    device.command("set 3/0/0 Open Mobile Alliance")
    device.command("set 3/0/6/1 5")
    device.settle()
    assert server.request(GET, "/3/0/0", accept(LWM2M_CBOR)).payload == vector("LC-01")
    assert server.request(GET, "/3/0/0", accept(SENML_JSON)).payload in (vector("SJ-02"), vector("SJ-03"))
    assert server.request(GET, "/3/0/6", accept(LWM2M_CBOR)).payload == vector("LC-03")


def test_DM_10_write_of_the_lifetime_in_every_format(meet):
    server, device = meet("--lwm2m", "1.2", "--lifetime", "500")
    lifetime = 500
    for number in sorted(SPOKEN["1.2"] - {OPAQUE}):
        lifetime += 1
        four = lifetime.to_bytes(2, "big")
        data = {
            TEXT: str(lifetime).encode(),
            CBOR: b"\x19" + four,
            SENML_JSON: b'[{"n":"/1/0/1","v":%d}]' % lifetime,
            SENML_CBOR: b"\x81\xa2\x00\x66/1/0/1\x02\x19" + four,
            TLV: b"\xc2\x01" + four,
            LWM2M_CBOR: b"\xa1\x83\x01\x00\x01\x19" + four,
        }[number]
        assert server.request(PUT, "/1/0/1", content(number), data).code_text == "2.04", number
        update = server.expect(POST, "/rd/4Kx9")
        assert queries_of(update) == [f"lt={lifetime}"]
        server.answer(update, "2.04")
        device.line("Registration updated")


def test_temperature_is_what_the_shell_sets_and_its_bounds_follow(meet):
    server, device = meet()
    for value in ["21.5", "-3.25"]:
        device.command(f"set 3303/0/5700 {value}")
    device.settle()
    texts = [server.request(GET, f"/3303/0/{r}").payload for r in (5700, 5601, 5602, 5701)]
    assert texts == [b"-3.25", b"-3.25", b"21.5", b"Cel"]
    assert server.request(PUT, "/3303/0/5700", content(TEXT), b"1").code_text == "4.05"
    assert server.request(POST, "/3303/0/5605").code_text == "2.04"
    assert [server.request(GET, f"/3303/0/{r}").payload for r in (5601, 5602)] == [b"-3.25", b"-3.25"]
