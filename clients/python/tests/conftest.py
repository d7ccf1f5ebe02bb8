"""Tests of berth-testing, from its sources, against the programs in $BERTH_BUILD (build/dev)."""

import os
import sys

import pytest
from package_paths import PACKAGE, ROOT
from stub_server import StubServer

sys.path.insert(0, str(PACKAGE))

import berth_testing


@pytest.fixture(scope="session")
def programs():
    """The directory of berth-server and berth-device."""
    return ROOT / os.environ.get("BERTH_BUILD", "build/dev")


@pytest.fixture(scope="session")
def shared_berth(programs):
    with berth_testing.start(program=programs / "berth-server") as berth:
        yield berth


@pytest.fixture
def berth(shared_berth):
    shared_berth.reset()
    yield shared_berth
    shared_berth.tidy()


@pytest.fixture
def stub():
    """A server of which the test says every answer, and berth_testing attached to it."""
    with StubServer() as server:
        yield server
