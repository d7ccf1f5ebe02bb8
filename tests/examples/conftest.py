"""Fixtures of tests/e2e: the examples are run against a server of ours, as their readers would against theirs."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from berth_process import Berth

collect_ignore = ["pytest"]  # an example itself: test_examples.py runs it


@pytest.fixture
def berth(tmp_path):
    server = Berth(tmp_path / "data")
    server.start()
    yield server
    server.close()
