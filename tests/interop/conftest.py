"""Fixtures of tests/e2e, for tests with clients that nobody here wrote: `berth` is a running server with empty data."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from berth_process import Berth
from leshan_device import compile_device


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
def leshan_classes(tmp_path_factory):
    """LeshanDevice, compiled."""
    return compile_device(tmp_path_factory.mktemp("classes"))
