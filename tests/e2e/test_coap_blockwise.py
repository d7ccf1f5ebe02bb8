"""Block-wise transfers (RFC 7959) with Berth as the server: bodies that devices upload, answers that are cut."""

import pytest

from coapraw import (
    ACK,
    BLOCK1,
    BLOCK2,
    CONTENT_FORMAT,
    DELETE,
    ETAG,
    GET,
    LINK_FORMAT,
    LOCATION_PATH,
    MAX_AGE,
    POST,
    REQUEST_TAG,
    SIZE1,
    SIZE2,
    Coap,
    block,
    uint,
)
from vectors import vector, with_mid

Q_BLOCK1, Q_BLOCK2 = 19, 31
CORE = "/.well-known/core"
LINKS = (CONTENT_FORMAT, uint(LINK_FORMAT))


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def peer(berth):
    return berth.peer()


def query(endpoint):
    return [f"ep={endpoint}", "lt=300", "lwm2m=1.1", "b=U"]


def put_block(peer, endpoint, number, more, payload, szx=0, options=(), path="/rd", content_format=True, **kwargs):
    """Send one block of a Register (or of an Update, when a path is given) and return the answer."""
    items = query(endpoint) if path == "/rd" else []
    links = [LINKS] if content_format else []
    every = [*links, (BLOCK1, block(number, more, szx)), *options]
    return peer.request(POST, path, items, payload, every, **kwargs)


def cut(body, size):
    return [body[at : at + size] for at in range(0, len(body), size)]


def upload(peer, endpoint, body, szx=0, **kwargs):
    """The whole body; returns every answer."""
    parts = cut(body, 16 << szx)
    return [
        put_block(peer, endpoint, number, number + 1 < len(parts), part, szx, **kwargs)
        for number, part in enumerate(parts)
    ]


def paths(device):
    return [item["path"] for item in device["objects"]]


OBJECTS = b"</1/0>,</3/0>,</4/0>,</5/0>,</3303/0>,</3303/1>"
PATHS = ["/1/0", "/3/0", "/4/0", "/5/0", "/3303/0", "/3303/1"]


# ---- uploads ----


def test_BLK_01_first_block_is_2_31_with_its_block1(peer):
    peer.send_raw(vector("M-52"))
    assert peer.receive_raw() == vector("M-53")


def test_BLK_02_last_block_gives_the_answer_with_its_block1(peer, berth):
    answers = upload(peer, "blk-02", OBJECTS)
    assert [a.code_text for a in answers] == ["2.31", "2.31", "2.01"]
    assert [a.one(BLOCK1) for a in answers] == [b"\x08", b"\x18", b"\x20"]
    assert paths(berth.device("blk-02")) == PATHS


def test_BLK_02_body_is_processed_once(peer, berth):
    mark = berth.last_event()
    upload(peer, "blk-02-once", OBJECTS)
    assert [e["type"] for e in berth.events_after(mark)] == ["registered"]


def test_BLK_02_single_block_without_more_is_a_whole_body(peer):
    answer = put_block(peer, "blk-02-single", 0, False, b"</3/0>")
    assert (answer.code_text, answer.one(BLOCK1)) == ("2.01", b"")


def test_BLK_02_an_error_answer_to_the_last_block_has_its_block1_too(peer):
    answers = upload(peer, "blk-02-error", b"this is not link format at all")
    assert (answers[-1].code_text, answers[-1].one(BLOCK1)) == ("4.00", b"\x10")


@pytest.mark.parametrize("number", [1, 5, 1 << 19])
@pytest.mark.parametrize("more", [False, True])
def test_BLK_03_block_of_no_transfer_is_4_08(peer, number, more):
    assert put_block(peer, "blk-03", number, more, b"x" * 16).code_text == "4.08"


def test_BLK_04_gap_is_4_08_and_ends_the_transfer(peer):
    assert put_block(peer, "blk-04", 0, True, OBJECTS[:16]).code_text == "2.31"
    assert put_block(peer, "blk-04", 2, True, OBJECTS[32:48].ljust(16)).code_text == "4.08"
    assert put_block(peer, "blk-04", 1, True, OBJECTS[16:32]).code_text == "4.08"


def test_BLK_05_block_0_starts_over(peer, berth):
    put_block(peer, "blk-05", 0, True, b"</2048/0>,</9/0>")
    answers = upload(peer, "blk-05", OBJECTS)
    assert answers[-1].code_text == "2.01"
    assert paths(berth.device("blk-05")) == PATHS


def test_BLK_06_last_block_again_under_a_new_message_id_is_no_duplication(peer, berth):
    parts = cut(OBJECTS, 16)
    for number in (0, 0, 1, 1, 1):
        answer = put_block(peer, "blk-06", number, True, parts[number])
        assert (answer.code_text, answer.one(BLOCK1)) == ("2.31", bytes([number << 4 | 8]))
    assert put_block(peer, "blk-06", 2, False, parts[2]).code_text == "2.01"
    assert paths(berth.device("blk-06")) == PATHS


@pytest.mark.parametrize("size", [0, 1, 15, 17, 32])
def test_BLK_07_block_that_is_not_the_last_must_be_full(peer, size):
    assert put_block(peer, "blk-07", 0, True, b"x" * size).code_text == "4.00"


def test_BLK_07_last_block_must_not_be_larger_than_its_size(peer):
    assert put_block(peer, "blk-07-last", 0, False, b"</1/0>,</3/0>,</5/0>").code_text == "4.00"


@pytest.mark.parametrize("number", [BLOCK1, BLOCK2])
def test_BLK_08_size_exponent_7_is_4_00(peer, number):
    assert peer.request(POST, "/rd", query("blk-08"), b"</3/0>", [LINKS, (number, b"\x07")]).code_text == "4.00"


@pytest.mark.parametrize("last", [True, False])
def test_BLK_09_content_format_that_changes_is_4_08(peer, berth, last):
    put_block(peer, "blk-09", 0, True, OBJECTS[:16])
    answer = put_block(peer, "blk-09", 1, not last, OBJECTS[16:32], content_format=False)
    assert answer.code_text == "4.08"
    assert berth.http("GET", "/v1/devices/blk-09").status == 404


def interleave(*uploads):
    """Each upload is a function that takes a block number; returns their answers to the last block."""
    return [[upload(number) for upload in uploads] for number in range(3)][-1]


def test_BLK_10_uploads_of_two_peers_do_not_mix(berth):
    one, two = berth.peer(), berth.peer()
    bodies = (OBJECTS, OBJECTS.replace(b"33", b"34"))
    answers = interleave(
        *(
            lambda number, who=who, body=body: put_block(who, "blk-10", number, number < 2, cut(body, 16)[number])
            for who, body in zip((one, two), bodies, strict=True)
        )
    )
    assert [a.code_text for a in answers] == ["2.01", "2.01"]
    assert paths(berth.device("blk-10"))[-1] == "/3403/1"


def test_BLK_10_uploads_to_two_uris_do_not_mix(berth, peer):
    answers = interleave(
        *(
            lambda number, name=name: put_block(peer, name, number, number < 2, cut(OBJECTS, 16)[number])
            for name in ("blk-10-a", "blk-10-b")
        )
    )
    assert [a.code_text for a in answers] == ["2.01", "2.01"]
    assert paths(berth.device("blk-10-a")) == paths(berth.device("blk-10-b")) == PATHS


def test_EXT_09_BLK_10_uploads_with_different_request_tags_do_not_mix(berth, peer):
    bodies = {b"\x01": OBJECTS, b"\x02": OBJECTS.replace(b"33", b"34")}
    answers = interleave(
        *(
            lambda number, tag=tag, body=body: put_block(
                peer, "ext-09", number, number < 2, cut(body, 16)[number], options=[(REQUEST_TAG, tag)]
            )
            for tag, body in bodies.items()
        )
    )
    assert [a.code_text for a in answers] == ["2.01", "2.01"]
    assert all(a.all(REQUEST_TAG) == [] for a in answers)
    assert paths(berth.device("ext-09"))[-1] == "/3403/1"


def test_EXT_09_request_tag_that_changes_midway_is_another_transfer(peer):
    put_block(peer, "ext-09-change", 0, True, OBJECTS[:16], options=[(REQUEST_TAG, b"a")])
    answer = put_block(peer, "ext-09-change", 1, True, OBJECTS[16:32], options=[(REQUEST_TAG, b"b")])
    assert answer.code_text == "4.08"


def test_EXT_09_request_tag_without_block_options_is_ignored(peer):
    answer = peer.request(POST, "/rd", query("ext-09-none"), b"</3/0>", [LINKS, (REQUEST_TAG, b"a")])
    assert answer.code_text == "2.01" and answer.all(REQUEST_TAG) == []


@pytest.mark.parametrize(("after", "code"), [("240s", "2.31"), ("250s", "4.08")])
def test_BLK_11_idle_upload_is_dropped_after_247_seconds(berth, peer, after, code):
    put_block(peer, f"blk-11-{after}", 0, True, OBJECTS[:16])
    berth.leap(after)
    assert put_block(peer, f"blk-11-{after}", 1, True, OBJECTS[16:32]).code_text == code


def test_BLK_11_each_block_keeps_the_upload_alive(berth, peer):
    for number in range(2):
        put_block(peer, "blk-11", number, True, cut(OBJECTS, 16)[number])
        berth.leap("200s")
    assert put_block(peer, "blk-11", 2, False, cut(OBJECTS, 16)[2]).code_text == "2.01"


@pytest.fixture
def narrow(start_berth):
    """A server that takes bodies of at most 2048 bytes."""
    return start_berth("--max-body", "2048")


def assert_too_large(answer):
    assert (answer.code_text, answer.number(SIZE1)) == ("4.13", 2048)


def test_BLK_12_announced_size_above_the_limit_is_4_13_at_once(narrow):
    answer = put_block(narrow.peer(), "big", 0, True, b"x" * 64, 2, options=[(SIZE1, uint(2049))])
    assert_too_large(answer)


def test_BLK_12_body_that_grows_above_the_limit_is_4_13(narrow):
    peer = narrow.peer()
    for number in range(2):
        assert put_block(peer, "big", number, True, b"x" * 1024, 6).code_text == "2.31"
    assert_too_large(put_block(peer, "big", 2, False, b"x", 6))


def test_BLK_12_after_4_13_the_transfer_is_gone(narrow):
    peer = narrow.peer()
    for number in range(3):
        answer = put_block(peer, "big", number, True, b"x" * 1024, 6)
    assert answer.code_text == "4.13"
    assert put_block(peer, "big", 1, True, b"x" * 1024, 6).code_text == "4.08"


def test_BLK_12_body_of_exactly_the_limit_is_taken(narrow):
    body = b"</3/0>," + b"</4/0>;x=" + b"y" * (2048 - 16)
    answers = upload(narrow.peer(), "fits", body, 6, options=[(SIZE1, uint(2048))])
    assert len(body) == 2048 and answers[-1].code_text == "2.01"


def test_BLK_13_too_many_uploads_of_a_peer_are_refused(berth, peer):
    answers = [put_block(peer, f"blk-13-{i}", 0, True, OBJECTS[:16]) for i in range(9)]
    assert [a.code_text for a in answers] == ["2.31"] * 8 + ["5.03"]
    assert answers[-1].number(MAX_AGE) > 0
    assert upload(berth.peer(), "blk-13-other", OBJECTS)[-1].code_text == "2.01"


def test_BLK_13_memory_of_all_uploads_is_bounded(start_berth):
    server = start_berth("--max-transfer-memory", "4096")
    answers = []
    for i in range(6):
        answers.append(put_block(server.peer(), f"device{i}", 0, True, b"x" * 1024, 6))
    assert [a.code_text for a in answers] == ["2.31"] * 4 + ["5.03"] * 2
    assert answers[-1].number(MAX_AGE) > 0
    server.register("short")


def test_BLK_14_preferred_smaller_size_is_said_in_2_31_and_both_are_taken(start_berth):
    server = start_berth("--block-size", "64")
    body = OBJECTS + b"," + b",".join(b"</%d/0>" % n for n in range(4000, 4400))
    for endpoint, follow in (("rescaled", True), ("stubborn", False)):
        peer = server.peer()
        answer = put_block(peer, endpoint, 0, True, body[:1024], 6)
        assert (answer.code_text, answer.one(BLOCK1)) == ("2.31", b"\x0a")
        szx = 2 if follow else 6
        size = 16 << szx
        for at in range(1024, len(body), size):
            part = body[at : at + size]
            answer = put_block(peer, endpoint, at // size, at + size < len(body), part, szx)
        assert answer.code_text == "2.01"
        assert len(server.device(endpoint)["objects"]) == 406


# ---- answers in blocks ----


@pytest.fixture
def core(peer):
    """What /.well-known/core says."""
    return peer.request(GET, CORE).payload


def get_block(peer, number, more=False, szx=0, **kwargs):
    return peer.request(GET, CORE, options=[(BLOCK2, block(number, more, szx)), *kwargs.pop("options", [])], **kwargs)


def test_BLK_20_BLK_21_answer_is_cut_into_blocks_of_the_size_configured(start_berth):
    peer = start_berth("--block-size", "16").peer()
    answer = peer.request(GET, CORE)
    assert answer.one(BLOCK2) == b"\x08" and len(answer.payload) == 16
    rest = get_block(peer, 1)
    assert answer.number(SIZE2) == len(answer.payload + rest.payload)


def test_BLK_21_first_block_has_more_etag_and_size2(peer, core):
    answer = get_block(peer, 0)
    assert (answer.code_text, answer.one(BLOCK2), answer.payload) == ("2.05", b"\x08", core[:16])
    assert answer.number(SIZE2) == len(core) and 1 <= len(answer.one(ETAG)) <= 8
    assert answer.number(CONTENT_FORMAT) == LINK_FORMAT


def test_BLK_21_last_block_has_no_more(peer, core):
    last = (len(core) - 1) // 16
    answer = get_block(peer, last)
    assert (answer.number(BLOCK2), answer.payload) == (last << 4, core[last * 16 :])


def test_BLK_22_requested_size_is_used_from_the_first_block_on(peer, core):
    answer = get_block(peer, 0, szx=0)
    assert answer.payload == core[:16]


@pytest.mark.parametrize("szx", [2, 6])
def test_BLK_22_answer_smaller_than_the_requested_size_is_one_block(peer, core, szx):
    answer = get_block(peer, 0, szx=szx)
    assert (answer.number(BLOCK2), answer.payload) == (szx, core)


def test_BLK_23_more_in_a_request_for_a_block_is_ignored(peer, core):
    answer = get_block(peer, 0, more=True)
    assert (answer.code_text, answer.payload) == ("2.05", core[:16])
    assert get_block(peer, 1, more=True).payload == core[16:32]


def test_BLK_24_blocks_can_be_read_in_any_order(berth, core):
    peer = berth.peer()
    last = (len(core) - 1) // 16
    parts = {number: get_block(peer, number).payload for number in reversed(range(last + 1))}
    assert b"".join(parts[number] for number in sorted(parts)) == core


@pytest.mark.parametrize("number", [64, 1 << 19, (1 << 20) - 1])
def test_BLK_24_block_past_the_end_is_4_00(peer, number):
    assert get_block(peer, number).code_text == "4.00"


def test_BLK_30_size2_of_0_asks_for_the_size(peer, core):
    answer = peer.request(GET, CORE, options=[(SIZE2, b"")])
    assert (answer.code_text, answer.number(SIZE2)) == ("2.05", len(core))


# ---- the registration interface in blocks ----


@pytest.mark.parametrize("szx", range(7))
def test_BLK_31_REG_40_register_in_blocks_of_every_size(berth, peer, szx):
    body = OBJECTS + b"," + b",".join(b"</%d/0>" % n for n in range(4000, 4300))
    answers = upload(peer, f"blk-31-{szx}", body, szx, options=[(SIZE1, uint(len(body)))])
    assert {a.code_text for a in answers[:-1]} == {"2.31"}
    assert all(a.all(LOCATION_PATH) == [] for a in answers[:-1]), "Location comes with the 2.01 only"
    assert answers[-1].code_text == "2.01" and answers[-1].location.startswith("/rd/")
    assert len(berth.device(f"blk-31-{szx}")["objects"]) == 306


def test_BLK_31_update_in_blocks(berth):
    device = berth.register("blk-31-update")
    answers = upload(device.peer, "", OBJECTS, path=device.location)
    assert [a.code_text for a in answers] == ["2.31", "2.31", "2.04"]
    assert paths(berth.device("blk-31-update")) == PATHS


def test_BLK_31_update_in_blocks_of_a_registration_that_is_gone_is_4_04(berth):
    device = berth.register("blk-31-gone")
    device.deregister()
    assert upload(device.peer, "", OBJECTS, path=device.location)[-1].code_text == "4.04"


def test_BLK_32_retransmitted_block_gets_the_same_answer(berth, peer):
    parts = cut(OBJECTS, 16)
    for number, part in enumerate(parts):
        options = [LINKS, (BLOCK1, block(number, number < 2, 0))]
        message = peer.message(POST, "/rd", query("blk-32"), part, options)
        peer.send(message)
        first = peer.receive_raw()
        peer.send(message)
        assert peer.receive_raw() == first
    assert Coap.decode(first).code_text == "2.01"
    assert paths(berth.device("blk-32")) == PATHS


def test_BLK_32_retransmitted_vector_gets_the_same_2_31(peer):
    block_0 = with_mid(vector("M-52"), 0x0B32)
    peer.send_raw(block_0)
    first = peer.receive_raw()
    peer.send_raw(block_0)
    assert peer.receive_raw() == first == with_mid(vector("M-53"), 0x0B32)


@pytest.mark.parametrize("number", [Q_BLOCK1, Q_BLOCK2])
def test_BLK_34_q_block_is_4_02(peer, number):
    assert peer.request(GET, CORE, options=[(number, b"\x06")]).code_text == "4.02"


def test_BLK_35_REG_40_register_of_64_kib_fits_the_default_limits(berth, peer):
    body = b"</1/0>,</3/0>"
    body += b"".join(b",</5000/%d>" % n for n in range(6000))
    assert len(body) > 65536
    assert upload(peer, "blk-35", body, 6, options=[(SIZE1, uint(len(body)))])[-1].code_text == "2.01"
    assert len(berth.device("blk-35")["objects"]) == body.count(b"<")


def test_BLK_35_default_limit_is_16_mib(peer):
    limit = 16 << 20
    under = put_block(peer, "blk-35-under", 0, True, b"x" * 64, 2, options=[(SIZE1, uint(limit))])
    over = put_block(peer, "blk-35-over", 0, True, b"x" * 64, 2, options=[(SIZE1, uint(limit + 1))])
    assert (under.code_text, over.code_text, over.number(SIZE1)) == ("2.31", "4.13", limit)


def test_deregister_with_a_block1_option_is_executed(berth):
    device = berth.register("deregister-block1")
    answer = device.peer.request(DELETE, device.location, options=[(BLOCK1, b"")])
    assert (answer.type, answer.code_text) == (ACK, "2.02")
