"""The plugin of pytest. It is there as soon as the package is installed.

`berth` is a server with a clean slate for each test; what the test has started and configured is gone afterwards. All
tests share one process, which is quick. `start_berth("--nosec", "off")` gives one of its own, with other options.
When a test fails, its report says what the server has seen and logged, and what the devices have told.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from .berth import Berth, attach
from .errors import BerthError
from .server import start
from .telling import compact, tell_event, tell_message

_LINES = 100


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("berth", "Berth, the LwM2M test server")
    group.addoption("--berth-server", metavar="PROGRAM", help="start this berth-server [$BERTH_SERVER, or as found]")
    group.addoption("--berth-image", metavar="IMAGE", help="start a container of this image [$BERTH_IMAGE]")
    group.addoption("--berth-url", metavar="URL", help="use the Berth that runs there [$BERTH_URL]")
    group.addoption("--berth-api-key", metavar="KEY", help="the key it demands [$BERTH_API_KEY]")
    group.addoption("--berth-captures", metavar="DIR", help="write a pcapng file there for every test that fails")
    parser.addini("berth_options", "options of the servers that are started", type="args", default=[])
    parser.addini("berth_reset", "a clean slate before each test, also of a Berth that is not ours", type="bool")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_IN_USE] = []


_IN_USE = pytest.StashKey[list[Berth]]()


def _given(config: pytest.Config, name: str) -> Optional[str]:
    value = config.getoption("--berth-" + name) or os.environ.get("BERTH_" + name.upper().replace("-", "_"))
    return str(value) if value else None


def _url(config: pytest.Config) -> Optional[str]:
    """Of a Berth that runs. What is told on the command line goes before the environment."""
    if config.getoption("--berth-server") or config.getoption("--berth-image"):
        return None
    return _given(config, "url")


def _start(config: pytest.Config, *options: Any, **kwargs: Any) -> Berth:
    server, image = config.getoption("--berth-server"), config.getoption("--berth-image")
    kwargs = {"program": server, "image": None if server else image, **kwargs}
    return start(*config.getini("berth_options"), *options, **kwargs)


@pytest.fixture(scope="session")
def berth_server(request: pytest.FixtureRequest) -> Iterator[Berth]:
    """The server that all tests share. Tests take `berth`."""
    url = _url(request.config)
    if url is not None:
        server = attach(url, api_key=_given(request.config, "api-key"))
    else:
        server = _start(request.config)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def berth(berth_server: Berth, request: pytest.FixtureRequest) -> Iterator[Berth]:
    """A Berth with a clean slate. One that runs elsewhere (`--berth-url`) keeps its devices and events, unless
    `berth_reset` says otherwise."""
    if _url(request.config) is None or request.config.getini("berth_reset"):
        berth_server.reset()
    else:
        berth_server.mark()
    in_use = request.config.stash[_IN_USE]
    in_use.append(berth_server)
    try:
        yield berth_server
    finally:
        in_use.remove(berth_server)
        berth_server.tidy()
        if not berth_server.is_running:
            try:
                berth_server.stop()  # says so when it has ended by itself
            finally:
                berth_server.restart()


@pytest.fixture
def start_berth(request: pytest.FixtureRequest) -> Iterator[Callable[..., Berth]]:
    """`start_berth("--nosec", "off")`: a server for this test alone, as `berth_testing.start` starts it."""
    in_use = request.config.stash[_IN_USE]
    started: list[Berth] = []

    def another(*options: Any, **kwargs: Any) -> Berth:
        server = _start(request.config, *options, **kwargs)
        started.append(server)
        in_use.append(server)
        return server

    errors = []
    try:
        yield another
    finally:
        for server in started:
            in_use.remove(server)
            try:
                server.close()
            except BerthError as error:
                errors.append(error)
    if errors:
        raise errors[0]


# ---- the report of a test that fails ----


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for server in item.config.stash[_IN_USE]:
        report.sections += _sections(server)
        directory = item.config.getoption("--berth-captures")
        if directory:
            report.sections.append(("Berth: capture", _capture(server, Path(directory), item.nodeid)))


def _sections(server: Berth) -> list[tuple[str, str]]:
    """What is known of the test: parts that cannot be had say why, since the server may be what has failed."""
    sections = [
        ("Berth: events", _or_why(lambda: "\n".join(map(tell_event, server.events()[-_LINES:])))),
        ("Berth: messages", _or_why(lambda: "\n".join(map(tell_message, server.messages()[-_LINES:])))),
        ("Berth: log", _or_why(lambda: "\n".join(server.log().splitlines()[-_LINES:]))),
    ]
    for device in server.started_devices:
        told = [compact(event) for event in device.events[-_LINES:]]
        sections.append((f"Berth: device {device.endpoint}", "\n".join([*told, *device.log().splitlines()[-_LINES:]])))
    return [(name, text) for name, text in sections if text]


def _capture(server: Berth, directory: Path, test: str) -> str:
    def write() -> str:
        directory.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", test) + ".pcapng"
        return str(server.capture(directory / name))

    return _or_why(write)


def _or_why(what: Callable[[], str]) -> str:
    try:
        return what()
    except (BerthError, OSError) as error:
        return f"({error})"
