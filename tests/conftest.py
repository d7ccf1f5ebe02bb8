"""For tests of every kind: `postgresql` is a cluster of PostgreSQL that lives as long as they run."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent / "tools"))
import postgresql as postgresql_cluster  # noqa: E402


@pytest.fixture(scope="session")
def postgresql():
    if postgresql_cluster.programs() is None:
        pytest.skip("no PostgreSQL here")
    cluster = postgresql_cluster.Cluster()
    yield cluster
    cluster.close()
