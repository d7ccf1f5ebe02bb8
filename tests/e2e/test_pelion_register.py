"""Register and Update as the vendor's device client sends them: blocks of 512 bytes that repeat every option, Max-Age
and an account in every request, links to resources with their values, updates that are deltas."""

import pytest

from coapraw import BLOCK1, CONTENT_FORMAT, DELETE, LINK_FORMAT, LOCATION_PATH, MAX_AGE, POST, SIZE1, block, uint

ACCOUNT = "015c3d2f8ad3000000000001001002bd"
LINKS = (CONTENT_FORMAT, uint(LINK_FORMAT))
NO_AGE = (MAX_AGE, b"")

RESOURCES = {
    1: ((0, "123"), (1, "3600"), (4, None), (6, None), (7, "U"), (8, None)),
    3: (
        (0, "ARM, Inc."),
        (1, "dev-device"),
        (2, "12345"),
        (4, None),
        (5, None),
        (11, "0"),
        (16, "U"),
        (18, "1.0"),
        (21, "0"),
    ),
    10252: ((1, None), (2, "0"), (3, "0"), (5, None), (6, "1")),
    10255: ((0, "vendor"), (1, "1"), (2, "0"), (3, "2"), (4, "hardware version 1")),
    33456: ((5503, "6"), (5504, None)),
    3200: ((5501, "7"),),
    3201: ((5850, "0"), (5853, "500:500:500")),
    5000: ((1, None), (2, None)),
}


def links_of_a_client():
    """As the client writes them: objects and instances without names, a value where it publishes one."""
    links, token = ["</1/0>", "</3/0>", "</14/0>"], 237
    for number, resources in RESOURCES.items():
        for resource, value in resources:
            link = (
                f'</{number}/0/{resource}>;rt="Component Version"'
                if resource == 5
                else f'</{number}/0/{resource}>;rt=""'
            )
            if value is not None:
                token += 1
                link += f';v="{value}";aobs="{token}"'
            links.append(link + ";obs")
    links.append('</14/1/2>;rt="Component Version";v="1.2.2";obs')
    return ",".join(links).encode()


def query(endpoint, version="4.13.2", account=ACCOUNT):
    return [
        f"ep={endpoint}",
        "et=default",
        "lt=7200",
        "lwm2m=1.0",
        f"d={account}",
        "b=U",
        f"aid={account}",
        f"mccv={version}",
    ]


def upload(peer, path, items, body, options):
    """Blocks of 512 bytes: the same token, new Message IDs, every option in every block, Size1 in the first."""
    token = peer.next_token()
    answers = []
    for number, at in enumerate(range(0, len(body), 512)):
        extra = [(BLOCK1, block(number, at + 512 < len(body), 5))]
        extra += [(SIZE1, uint(len(body)))] if number == 0 else []
        answers.append(peer.request(POST, path, items, body[at : at + 512], [*options, *extra], token=token))
    return answers


def register(peer, endpoint, **kwargs):
    return upload(peer, "/rd", query(endpoint, **kwargs), links_of_a_client(), [LINKS, NO_AGE])[-1]


@pytest.fixture
def berth(shared_berth):
    return shared_berth


@pytest.fixture
def peer(berth):
    return berth.peer()


def test_BLK_31_REG_40_register_in_blocks_of_512(berth, peer):
    body = links_of_a_client()
    assert len(body) > 1024
    answers = upload(peer, "/rd", query("p-blocks"), body, [LINKS, NO_AGE])
    assert [a.code_text for a in answers] == ["2.31"] * (len(answers) - 1) + ["2.01"]
    assert [a.one(BLOCK1) for a in answers[:2]] == [b"\x0d", b"\x1d"]
    assert answers[-1].one(BLOCK1) is not None
    assert all(a.all(LOCATION_PATH) == [] for a in answers[:-1])
    assert len(berth.device("p-blocks")["objects"]) == body.count(b"<")


def test_OPT_26_location_is_rd_account_and_device_id(berth, peer):
    answer = register(peer, "p-location")
    rd, account, device_id = answer.all(LOCATION_PATH)
    assert (rd, account.decode()) == (b"rd", ACCOUNT)
    assert device_id.decode() == berth.device("p-location")["id"]
    assert len(device_id) == 32 and device_id == device_id.lower() and int(device_id, 16) >= 0


def test_OPT_26_device_id_is_the_same_for_ever(start_berth):
    first = start_berth()
    created = register(first.peer(), "p-stable")
    again = register(first.peer(), "p-stable")
    elsewhere = register(start_berth().peer(), "p-stable")
    assert created.location == again.location == elsewhere.location


@pytest.mark.parametrize("account", ["", "a/b", "x" * 65, "a b", "ü"])
def test_OPT_26_account_that_is_no_path_segment_is_left_out(berth, peer, account):
    created = register(peer, "p-account", account=account)
    rd, name, device_id = created.all(LOCATION_PATH)
    assert name == b"default" and peer.request(POST, created.location).code_text == "2.04"


def test_OPT_25_standard_client_gets_a_short_location(berth):
    assert len(berth.register("p-standard").location) == len("/rd/") + 4


def test_OPT_19_OPT_20_max_age_in_the_request_is_ignored_and_the_answer_has_none(berth, peer):
    assert register(peer, "p-max-age").one(MAX_AGE) is None
    assert berth.device("p-max-age")["lifetime_s"] == 7200


def test_REG_24_query_items_of_the_client_are_kept(berth, peer):
    register(peer, "p-query")
    assert berth.device("p-query")["parameters"] == {
        "et": "default",
        "d": ACCOUNT,
        "aid": ACCOUNT,
        "mccv": "4.13.2",
    }


def test_LNK_12_resource_links_with_values_and_auto_observations(berth, peer):
    register(peer, "p-links")
    objects = {item["path"]: item["attributes"] for item in berth.device("p-links")["objects"]}
    assert (
        objects["/3200/0/5501"].items() >= {"v": "7", "obs": True}.items() and objects["/3200/0/5501"]["aobs"].isdigit()
    )
    assert objects["/3/0/0"]["v"] == "ARM, Inc."
    assert objects["/14/1/2"] == {"rt": "Component Version", "v": "1.2.2", "obs": True}
    assert "rt" not in objects["/1/0/0"]


def test_REG_01_no_oddity_in_what_the_client_does(berth, peer):
    mark = berth.last_event()
    created = register(peer, "p-plain")
    peer.request(POST, created.location, ["et=default"], options=[LINKS, NO_AGE])
    assert [e["type"] for e in berth.events_after(mark)] == ["registered", "updated"]


def test_UPD_01_update_without_payload_keeps_everything(berth, peer):
    created = register(peer, "p-update")
    before = berth.device("p-update")
    answer = peer.request(POST, created.location, ["et=default"], options=[LINKS, NO_AGE])
    after = berth.device("p-update")
    assert answer.code_text == "2.04"
    assert (after["objects"], after["parameters"], after["lifetime_s"]) == (
        before["objects"],
        before["parameters"],
        7200,
    )


def test_UPD_02_update_with_a_new_lifetime(berth, peer):
    created = register(peer, "p-lifetime")
    peer.request(POST, created.location, ["et=default", "lt=100"], options=[LINKS, NO_AGE])
    assert berth.device("p-lifetime")["lifetime_s"] == 100


def test_UPD_05_links_in_an_update_are_added(berth, peer):
    created = register(peer, "p-delta")
    before = len(berth.device("p-delta")["objects"])
    answer = peer.request(POST, created.location, ["et=default"], b'</3303/0/5700>;rt="";v="21.5";obs', [LINKS, NO_AGE])
    objects = {item["path"]: item["attributes"] for item in berth.device("p-delta")["objects"]}
    assert answer.code_text == "2.04" and len(objects) == before + 1
    assert objects["/3303/0/5700"] == {"v": "21.5", "obs": True}


def test_UPD_05_links_with_d_are_removed(berth, peer):
    created = register(peer, "p-remove")
    before = [item["path"] for item in berth.device("p-remove")["objects"]]
    answer = peer.request(POST, created.location, ["et=default"], b"</3200/0/5501>;d,</14/0>;d", [LINKS, NO_AGE])
    assert answer.code_text == "2.04"
    after = [item["path"] for item in berth.device("p-remove")["objects"]]
    assert after == [path for path in before if path not in ("/3200/0/5501", "/14/0")]


def test_UPD_05_new_value_of_a_known_link(berth, peer):
    created = register(peer, "p-value")
    peer.request(POST, created.location, ["et=default"], b'</3200/0/5501>;v="8"', [LINKS, NO_AGE])
    objects = {item["path"]: item["attributes"] for item in berth.device("p-value")["objects"]}
    assert objects["/3200/0/5501"]["v"] == "8"


def test_UPD_05_delta_in_blocks(berth, peer):
    created = register(peer, "p-delta-blocks")
    before = len(berth.device("p-delta-blocks")["objects"])
    body = ",".join(f'</5001/{n}/1>;v="value {n}"' for n in range(40)).encode()
    assert upload(peer, created.location, ["et=default"], body, [LINKS, NO_AGE])[-1].code_text == "2.04"
    assert len(berth.device("p-delta-blocks")["objects"]) == before + 40


def test_UPD_05_delta_survives_a_restart(start_berth):
    server = start_berth()
    peer = server.peer()
    created = register(peer, "p-kept")
    peer.request(POST, created.location, ["et=default"], b"</3303/0/5700>,</3200/0/5501>;d", [LINKS, NO_AGE])
    objects = server.device("p-kept")["objects"]
    server.restart()
    assert server.device("p-kept")["objects"] == objects
    peer.request(POST, created.location, ["et=default"], b"</3303/0/5701>", [LINKS, NO_AGE])
    assert len(server.device("p-kept")["objects"]) == len(objects) + 1


def test_REG_33_register_again_replaces_at_the_same_location(berth, peer):
    first = register(peer, "p-again")
    peer.request(POST, first.location, ["et=default"], b"</3303/0/5700>", [LINKS, NO_AGE])
    mark = berth.last_event()
    second = register(peer, "p-again")
    (event,) = berth.events_after(mark)
    assert first.location == second.location == event["location"] == event["previous"]
    assert event["type"] == "replaced"
    assert "/3303/0/5700" not in [item["path"] for item in berth.device("p-again")["objects"]]
    assert peer.request(POST, second.location).code_text == "2.04"


def test_UPD_07_DER_01_deregister_then_update_is_4_04(berth, peer):
    created = register(peer, "p-gone")
    assert peer.request(DELETE, created.location, options=[NO_AGE]).code_text == "2.02"
    assert peer.request(POST, created.location, ["et=default"], options=[LINKS, NO_AGE]).code_text == "4.04"


def test_REG_19_queue_mode_of_the_client(berth, peer):
    items = [item.replace("b=U", "b=UQ") for item in query("p-queue")]
    assert upload(peer, "/rd", items, links_of_a_client(), [LINKS, NO_AGE])[-1].code_text == "2.01"
    assert berth.device("p-queue")["queue_mode"]
