"""What tests/e2e has is at hand here, too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

collect_ignore = ["pytest"]  # an example itself: test_examples.py runs it
