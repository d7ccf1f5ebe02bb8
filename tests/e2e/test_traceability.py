"""Every row of the conformance list has a test or a reason."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "conformance_trace.py"


def test_every_row_has_a_test_or_a_reason():
    run = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.fixture
def trace(monkeypatch):
    """The script as a module, with two rows, one test and a document of the test's choice."""
    spec = importlib.util.spec_from_file_location("conformance_trace", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(names=(), rows=(), sections=()):
        monkeypatch.setattr(module, "read_rows", lambda: {"MSG-01": "1", "TLV-R01": "10.2"})
        monkeypatch.setattr(module, "test_names", lambda: [(name, "a.py") for name in names])
        monkeypatch.setattr(module, "read_not_done", lambda: (dict(rows), dict(sections)))
        return module.main([])

    return run


BOTH = ["test_MSG_01_x", "test_TLV_R01_x"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"names": BOTH}, 0),
        ({"names": ["test_MSG_01_TLV_R01_x"]}, 0),
        ({"names": ["test_MSG_01"], "rows": [("TLV-R01", "why")]}, 0),
        ({"names": ["test_MSG_01"], "sections": [("10.2", "why")]}, 0),
        ({"names": ["test_MSG_01"], "sections": [("10", "why")]}, 0),
        ({"names": BOTH, "sections": [("10", "why")]}, 0),
        ({"names": ["test_MSG_01"]}, 1),
        ({"names": ["test_MSG_011", "test_TLV_R01"]}, 1),
        ({"names": [*BOTH, "test_MSG_99_x"]}, 1),
        ({"names": BOTH, "rows": [("MSG-01", "why")]}, 1),
        ({"names": BOTH, "rows": [("MSG-02", "why")]}, 1),
        ({"names": BOTH, "sections": [("99", "why")]}, 1),
        ({"names": ["test_MSG_01"], "rows": [("TLV-R01", "")]}, 1),
    ],
)
def test_what_the_check_finds(trace, arguments, code):
    assert trace(**arguments) == code
