"""Fixtures: `berth` is a running server with empty data; `start_berth` starts more, or others.

With BERTH_TEST_DATABASE=postgresql every server keeps its data in a database of its own in a cluster that lives as long as
the tests run. The programs are those in $BERTH_BUILD (build/dev). Every server must end with exit code 0 and without a sanitizer's
report, else its test fails.
"""

import itertools
import os

import pytest

import berth_process
from berth_process import RUNNING, Berth
from coapstream import OVER


def pytest_configure(config):
    config.addinivalue_line("markers", "transports(*names): run it over UDP and these, or over all; of a test or a module")
    config.addinivalue_line("markers", "not_with_postgresql(why): skipped with BERTH_TEST_DATABASE=postgresql")
    config.addinivalue_line("markers", "not_with_live_dtls(why): skipped in a build with BERTH_LIVE_DTLS")


def pytest_generate_tests(metafunc):
    mark = metafunc.definition.get_closest_marker("transports")
    if mark is not None and "transport" in metafunc.fixturenames:
        over = [name for name in mark.args or OVER if name != "udp"]
        metafunc.parametrize("transport", ["udp", *over], indirect=True, scope="module")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that failed shows what the programs it had started last saw and said."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        report.sections += [(f"{program.log_path}", program.last_words()) for program in RUNNING]


def skip_with_live_dtls(items):
    """In a build with BERTH_LIVE_DTLS (`script/test --only live`) no session survives a restart, by intent."""
    for item in items:
        mark = item.get_closest_marker("not_with_live_dtls")
        if mark is not None or "test_CID_15_" in item.name:
            why = mark.args[0] if mark is not None else "live contexts are not kept over a restart"
            item.add_marker(pytest.mark.skip(reason=why))


def skip_with_postgresql(items):
    """What looks into the database's file."""
    for item in items:
        mark = item.get_closest_marker("not_with_postgresql")
        if mark is not None:
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))


def pytest_collection_modifyitems(config, items):
    """Over TCP one set of parameters of each test is enough, unless $BERTH_ALL_TRANSPORTS is set."""
    if os.environ.get("BERTH_LIVE_DTLS"):
        skip_with_live_dtls(items)
    if os.environ.get("BERTH_TEST_DATABASE") == "postgresql":
        skip_with_postgresql(items)
    if os.environ.get("BERTH_ALL_TRANSPORTS"):
        return
    seen, kept, left_out = set(), [], []
    for item in items:
        over = getattr(item, "callspec", None) and item.callspec.params.get("transport")
        key = (item.path, item.originalname, over)
        (left_out if over in OVER and key in seen else kept).append(item)
        seen.add(key)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", autouse=True)
def database_of_every_server(request):
    if os.environ.get("BERTH_TEST_DATABASE") == "postgresql":
        berth_process.cluster = request.getfixturevalue("postgresql")
    yield
    berth_process.cluster = None


@pytest.fixture(scope="module")
def transport(request):
    """What the peers of Berth.peer() and Berth.register() speak: udp, or a framing over TCP."""
    return getattr(request, "param", "udp")


@pytest.fixture
def start_berth(tmp_path, transport):
    """start_berth(*options, data=name, ...) -> a running Berth. The same name gives the same data directory."""
    started = []
    numbers = itertools.count(1)

    def start(*options, data=None, **kwargs):
        server = Berth(tmp_path / (data or f"data{next(numbers)}"), *options, **{"transport": transport, **kwargs})
        started.append(server)
        return server.start()

    yield start
    close_all(started)


def close_all(servers):
    errors = []
    for server in servers:
        try:
            server.close()
        except AssertionError as error:
            errors.append(str(error))
        if berth_process.cluster is not None:
            berth_process.cluster.drop_for(server.data)
    assert not errors, "\n".join(errors)


@pytest.fixture
def berth(start_berth):
    return start_berth()


@pytest.fixture(scope="module")
def module_berth(tmp_path_factory, request, transport):
    """A server for all tests of a module, started with the module's OPTIONS if it has any. Use shared_berth."""
    options = getattr(request.module, "OPTIONS", ())
    server = Berth(tmp_path_factory.mktemp("berth") / "data", *options, transport=transport)
    server.start()
    yield server
    close_all([server])


@pytest.fixture
def shared_berth(module_berth):
    """The module's server. A module that does not need a fresh one for each test calls this its `berth`; its tests
    then use endpoint names of their own."""
    assert module_berth.is_running, f"it ended in an earlier test\n{module_berth.log()}"
    yield module_berth
    module_berth.close_peers()
    assert module_berth.is_running, f"it ended\n{module_berth.log()}"
