"""Write-Attributes of the reference device, and what Discover tells of them."""

import pytest
from coapraw import ACCEPT, CONTENT_FORMAT, GET, POST, PUT, URI_QUERY, uint
from device_process import meet, played_server, start_device  # noqa: F401
from vectors import vector, with_mid

LINK = 40


def discover(server, path: str, query: str | None = None) -> str:
    answer = server.request(GET, path, [(ACCEPT, uint(LINK))], query=query)
    assert answer.code_text == "2.05"
    return answer.payload.decode()


def write(server, path: str, *items: str, payload: bytes = b"") -> str:
    """Write-Attributes with these query items; gives the code of the answer."""
    return server.request(PUT, path, [(URI_QUERY, item.encode()) for item in items], payload).code_text


def test_DM_17_attributes_are_written_and_discovered(meet):
    server, device = meet()
    assert server.exchange_raw(vector("M-35")) == vector("M-08")
    device.line("Request: PUT /3/0/9 -> 2.04")
    assert discover(server, "/3/0/9") == "</3/0/9>;pmin=10;pmax=60;gt=50.5;lt=20;st=1"


def test_DM_18_bare_name_removes_an_attribute(meet):
    server, _ = meet()
    server.exchange_raw(vector("M-35"))
    assert server.exchange_raw(with_mid(vector("M-36"), 0x7C00)) == with_mid(vector("M-08"), 0x7C00)
    assert discover(server, "/3/0/9") == "</3/0/9>;pmax=60;gt=50.5;lt=20;st=1"


def test_DM_18_what_is_not_named_stays(meet):
    server, _ = meet()
    assert write(server, "/3/0/9", "pmin=10", "pmax=60") == "2.04"
    assert write(server, "/3/0/9", "pmin") == "2.04"
    assert discover(server, "/3/0/9") == "</3/0/9>;pmax=60"
    assert write(server, "/3/0/9", "pmax", "gt=1") == "2.04"
    assert discover(server, "/3/0/9") == "</3/0/9>;gt=1"


@pytest.mark.parametrize("path", ["/3", "/3/0", "/3/0/7", "/3/0/7/0"])
def test_ATT_02_levels_of_those_that_everything_has(meet, path):
    server, _ = meet("--lwm2m", "1.2")
    items = ["pmin=1", "pmax=2", "epmin=3", "epmax=4", "con=1", "hqmax=5"]
    assert write(server, path, *items) == "2.04"
    links = discover(server, "/3", "depth=3").split(",")
    assert [link.partition(";")[0] for link in links if link.endswith(";" + ";".join(items))] == [f"<{path}>"]


@pytest.mark.parametrize(
    ("item", "good", "bad"),
    [
        ("gt=1", ["/3/0/9", "/3/0/7", "/3/0/7/0", "/3303/0/5700", "/3442/0/125"], ["/3", "/3/0", "/3/0/0", "/1/0/6", "/3442/0/150"]),
        ("lt=1", ["/3/0/9"], ["/3", "/3/0", "/3/0/0"]),
        ("st=1", ["/3/0/9"], ["/3", "/3/0", "/3/0/0"]),
        ("edge=1", ["/1/0/6", "/3442/0/1140", "/3442/0/1140/0"], ["/1", "/1/0", "/1/0/1", "/3/0/0"]),
    ],
)
def test_ATT_02_levels_of_those_that_need_a_type(meet, item, good, bad):
    server, _ = meet("--lwm2m", "1.2")
    assert {path: write(server, path, item) for path in good} == dict.fromkeys(good, "2.04")
    assert {path: write(server, path, item) for path in bad} == dict.fromkeys(bad, "4.00")


@pytest.mark.parametrize(
    ("version", "item", "code"),
    [
        ("1.0", "pmin=1", "2.04"),
        ("1.0", "epmin=1", "4.00"),
        ("1.1", "epmin=1", "2.04"),
        ("1.1", "con=1", "4.00"),
        ("1.1", "hqmax=1", "4.00"),
        ("1.2", "con=1", "2.04"),
        ("1.2", "hqmax=1", "2.04"),
    ],
)
def test_ATT_06_attributes_came_with_releases(meet, version, item, code):
    server, _ = meet("--lwm2m", version)
    assert write(server, "/3/0/9", item) == code


@pytest.mark.parametrize(
    "items",
    [
        ["lt=10", "gt=10"],
        ["lt=11", "gt=10"],
        ["lt=5", "gt=10", "st=2.5"],
        ["epmin=5", "epmax=5"],
        ["epmin=6", "epmax=5"],
        ["pmin=1", "pmin=2"],
        ["pmin=-1"],
        ["pmin=1.5"],
        ["pmin="],
        ["pmin=x"],
        ["gt=x"],
        ["gt=nan"],
        ["st=0"],
        ["st=-1"],
        ["con=2"],
        ["dim=1"],
        ["PMIN=1"],
        [""],
        ["=1"],
        ["pmax=5", "nonsense=1"],
    ],
)
def test_ATT_03_bad_attributes_are_4_00_and_nothing_is_kept(meet, items):
    server, _ = meet("--lwm2m", "1.2")
    assert write(server, "/3/0/9", *items) == "4.00"
    assert discover(server, "/3/0/9") == "</3/0/9>"


def test_ATT_03_those_of_two_requests_agree_too(meet):
    server, _ = meet()
    assert write(server, "/3/0/9", "gt=10") == "2.04"
    assert write(server, "/3/0/9", "lt=10") == "4.00"
    assert write(server, "/3/0/9", "lt=10", "gt=20") == "2.04"
    assert discover(server, "/3/0/9") == "</3/0/9>;gt=20;lt=10"


def test_ATT_04_pmax_below_pmin_is_legal(meet):
    server, _ = meet()
    assert write(server, "/3/0/9", "pmin=60", "pmax=10") == "2.04"


def test_ATT_05_thresholds_may_have_a_sign(meet):
    server, _ = meet()
    assert write(server, "/3303/0/5700", "gt=-1.5", "lt=-40") == "2.04"
    assert discover(server, "/3303/0/5700") == "</3303/0/5700>;gt=-1.5;lt=-40"


def test_ATT_07_discover_of_a_resource_shows_what_it_inherits(meet):
    server, _ = meet()
    assert write(server, "/3", "pmin=10") == "2.04"
    assert write(server, "/3/0", "pmax=60", "pmin=20") == "2.04"
    assert write(server, "/3/0/7", "gt=50", "lt=42.2") == "2.04"
    assert discover(server, "/3/0/7") == "</3/0/7>;dim=1;pmin=20;pmax=60;gt=50;lt=42.2"
    links = discover(server, "/3")
    assert links.startswith("</3>;ver=1.1;pmin=10,</3/0>;pmin=20;pmax=60,</3/0/0>,")
    assert "</3/0/7>;dim=1;gt=50;lt=42.2," in links


@pytest.mark.parametrize(
    ("query", "links"),
    [
        ("depth=0", "</1>;ver=1.2;pmin=1"),
        ("depth=1", "</1>;ver=1.2;pmin=1,</1/0>;pmin=2"),
        ("depth=2", "</1>;ver=1.2;pmin=1,</1/0>;pmin=2,</1/0/0>,</1/0/1>;pmin=3,</1/0/4>,</1/0/6>,</1/0/7>,</1/0/8>,</1/0/23>"),
    ],
)
def test_DM_30_discover_with_attributes_by_depth(meet, query, links):
    server, _ = meet("--lwm2m", "1.2")
    for path, item in [("/1", "pmin=1"), ("/1/0", "pmin=2"), ("/1/0/1", "pmin=3")]:
        assert write(server, path, item) == "2.04"
    assert discover(server, "/1", query) == links


def test_attributes_with_content_are_4_00(meet):
    server, _ = meet()
    assert write(server, "/3/0/9", "pmin=10", payload=b"5") == "4.00"
    options = [(URI_QUERY, b"pmin=10"), (CONTENT_FORMAT, b"")]
    assert server.request(PUT, "/3/0/14", options, b"+01:00").code_text == "4.00"
    assert server.request(GET, "/3/0/14").payload == b"+00:00"


@pytest.mark.parametrize(
    ("path", "code"),
    [("/", "4.05"), ("/3/0/4", "4.05"), ("/8", "4.04"), ("/3/1", "4.04"), ("/3/0/99", "4.04"), ("/3/0/7/5", "4.04"), ("/1/0/2", "4.04")],
)
def test_attributes_of_what_has_none(meet, path, code):
    server, _ = meet()
    assert write(server, path, "pmin=10") == code


def test_attributes_end_with_a_reboot(meet):
    server, device = meet()
    assert write(server, "/3/0/9", "pmin=10") == "2.04"
    assert server.request(POST, "/3/0/4").code_text == "2.04"
    device.line("Rebooting")
    server.accept("/rd/after")
    assert discover(server, "/3/0/9") == "</3/0/9>"
