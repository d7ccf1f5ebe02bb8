"""The simulation of tests/bench/takeover.py keeps what it must, and docs/scaling.md shows what it says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/bench"))
import takeover  # noqa: E402

MILLION = 1_000_000


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(takeover, "FOLLOWED", 1000)


def both_layouts(**what):
    return [takeover.simulate(takeover.Storm(by_node=by_node, **what)) for by_node in (False, True)]


@pytest.mark.parametrize("kept", [True, False])
def test_no_device_is_lost_or_counted_twice(kept):
    for seen in both_layouts(devices=2 * MILLION, kept=kept):
        assert seen.served == 2 * MILLION
        assert 0 <= seen.waiting <= seen.backlog <= 2 * MILLION
        assert seen.shook_hands <= 2 * MILLION


@pytest.mark.parametrize("kept", [True, False])
def test_there_is_no_storm_when_nobody_dies(kept):
    for seen in both_layouts(devices=2 * MILLION, kept=kept, dies=False):
        assert seen.repeated == seen.shook_hands == seen.told_to_wait == 0
        assert seen.served_99_s == 0
        assert seen.peak_per_s < 2 * 2 * MILLION / 900


def test_more_devices_make_a_larger_storm():
    for kept in (True, False):
        for few, many in zip(both_layouts(devices=MILLION, kept=kept), both_layouts(devices=4 * MILLION, kept=kept)):
            assert many.peak_per_s > few.peak_per_s
            assert many.backlog > few.backlog
            assert many.served_99_s >= few.served_99_s


def test_who_has_its_session_needs_no_handshake_if_the_other_node_is_soon_there():
    for seen in both_layouts(devices=MILLION):
        assert seen.repeated > 0 and seen.shook_hands == 0


def test_whose_session_is_lost_makes_a_handshake():
    for seen in both_layouts(devices=MILLION, kept=False):
        assert seen.shook_hands == MILLION


def test_a_database_that_is_slow_tells_devices_to_come_again(monkeypatch):
    monkeypatch.setattr(takeover, "COMMITS_PER_S", 500)
    monkeypatch.setattr(takeover, "COMMITS_WAITING", 5000)
    seen = takeover.simulate(takeover.Storm(devices=MILLION, kept=False))
    assert seen.told_to_wait > 0 and seen.served == MILLION


def test_the_same_seed_gives_the_same():
    one, same, other = (takeover.simulate(takeover.Storm(devices=MILLION, seed=seed)) for seed in (1, 1, 2))
    assert one == same != other


def test_the_document_shows_what_the_simulation_says():
    done = subprocess.run([sys.executable, ROOT / "tests/bench/takeover.py"], capture_output=True, text=True, check=True)
    assert done.stdout in (ROOT / "docs/scaling.md").read_text()
