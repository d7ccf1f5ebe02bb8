"""The page in a real browser: a server with devices of every kind for it, and the program that drives it.

Node's packages are those of package.json, in the directory that $BERTH_NODE names or where script/test puts them; without
them, Node or Chromium these tests are left out.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from berth_process import ROOT  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "berth/page"
NODE_PACKAGES = Path(os.environ.get("BERTH_NODE") or CACHE)
CHROMIUM = os.environ.get("BERTH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = ROOT / "build/results/page"


def missing() -> str | None:
    if shutil.which("node") is None:
        return "there is no Node"
    if CHROMIUM is None:
        return "there is no Chromium"
    if not (NODE_PACKAGES / "node_modules/playwright-core").is_dir():
        return f"playwright-core is not in {NODE_PACKAGES}: script/test puts it there"
    return None


@pytest.fixture(scope="session")
def browser_env():
    """The environment of drive.mjs."""
    why = missing()
    if why is not None:
        pytest.skip(why)
    PICTURES.mkdir(parents=True, exist_ok=True)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("BERTH_")},
        "PAGE_NODE": str(NODE_PACKAGES),
        "PAGE_CHROMIUM": CHROMIUM,
        "PAGE_PICTURES": str(PICTURES),
    }
