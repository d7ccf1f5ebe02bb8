"""Fixtures of tests/e2e, for tests with clients that nobody here wrote: `berth` is a running server with empty data."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from berth_process import Berth
from java_device import class_path


@pytest.fixture
def start_berth(tmp_path):
    """start_berth(*options, ...) -> a running Berth."""
    started = []

    def start(*options, **kwargs):
        started.append(Berth(tmp_path / f"data{len(started)}", *options, **kwargs))
        return started[-1].start()

    yield start
    for server in started:
        server.close()


@pytest.fixture
def berth(start_berth):
    return start_berth()


@pytest.fixture(scope="session")
def leshan(tmp_path_factory):
    """The class path of LeshanDevice."""
    return class_path("leshan", tmp_path_factory.mktemp("leshan"))


@pytest.fixture(scope="session")
def java_coap(tmp_path_factory):
    """The class path of JavaCoapDevice."""
    return class_path("java-coap", tmp_path_factory.mktemp("java-coap"))
