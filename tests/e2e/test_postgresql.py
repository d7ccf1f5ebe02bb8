"""With --database the server keeps its data in PostgreSQL: over its own crashes and the database's."""

import signal
import subprocess
import time

import pytest

from berth_process import program
from coapraw import CONTENT_FORMAT, LINK_FORMAT, MAX_AGE, POST, uint

KEY = {"mode": "psk", "identity": "kept", "key_hex": "00112233445566778899aabbccddeeff"}


@pytest.fixture
def start(postgresql, start_berth):
    """A server on a database of its own, for each name of a data directory."""

    def start(data, *options, **kwargs):
        uri = postgresql.database_for((start_berth, data))
        return start_berth("--database", uri, *options, data=data, **kwargs)

    return start


@pytest.fixture(scope="module")
def other_cluster(postgresql):
    cluster = type(postgresql)()
    yield cluster
    cluster.close()


@pytest.fixture
def own_cluster(other_cluster):
    """One that a test may stop."""
    yield other_cluster
    if other_cluster.process is None:
        other_cluster.start()


def register(peer, endpoint, timeout=15):
    options = [(CONTENT_FORMAT, uint(LINK_FORMAT))]
    return peer.request(POST, "/rd", [f"ep={endpoint}", "lt=300", "lwm2m=1.1", "b=U"], b"</3/0>", options,
                        timeout=timeout)


def endpoints(berth):
    return sorted(device["endpoint"] for device in berth.get("/v1/devices")["items"])


def until(done, timeout=40):
    """Try again and again until it is true."""
    deadline = time.monotonic() + timeout
    while not done():
        assert time.monotonic() < deadline, "it does not become true"


def test_REG_44_what_was_acknowledged_is_there_after_kill_9(start):
    berth = start("data", release=False)
    for number in range(20):
        berth.register(f"dev{number}")
    device = berth.register("gone")
    assert device.deregister().code_text == "2.02"
    assert berth.http("PUT", "/v1/credentials/kept", KEY).status in (200, 201)
    berth.kill()
    berth.start()
    assert endpoints(berth) == sorted(f"dev{number}" for number in range(20))
    assert [credential["identity"] for credential in berth.get("/v1/credentials")["items"]] == ["kept"]
    assert not (berth.data / "berth.db").exists()


def test_a_second_server_on_the_database_is_refused(start, tmp_path, postgresql, start_berth):
    start("data")
    uri = postgresql.database_for((start_berth, "data"))
    command = [program("berth-server"), "--listen", "coap://127.0.0.1:0", "--http", "off", "--data", tmp_path / "other"]
    run = subprocess.run([*command, "--database", uri], capture_output=True, text=True, timeout=40, check=False)
    assert run.returncode == 1 and run.stderr.count("\n") == 1, run
    assert "another server uses it" in run.stderr


def test_a_restart_of_the_database_is_not_noticed(own_cluster, start_berth):
    uri = own_cluster.database_for("restart")
    # The filter of system calls lets it connect anew; LeakSanitizer is not among what the filter is for.
    berth = start_berth("--database", uri, "--seccomp", "on", env={"ASAN_OPTIONS": "detect_leaks=0"})
    device = berth.register("one")
    own_cluster.stop()
    own_cluster.start()
    assert register(berth.peer(), "two").code_text == "2.01"
    assert device.deregister().code_text == "2.02"
    assert berth.http("GET", "/readyz").status == 200
    berth.restart()
    assert endpoints(berth) == ["two"]


def test_while_the_database_is_dead_devices_are_told_to_come_again(own_cluster, start_berth):
    berth = start_berth("--database", own_cluster.database_for("dead"))
    device = berth.register("there")
    own_cluster.stop(signal.SIGQUIT)
    answers = [register(berth.peer(), f"late{number}") for number in range(3)]
    assert [answer.code_text for answer in answers] == ["5.03"] * 3
    assert [answer.number(MAX_AGE) for answer in answers] == [30] * 3
    assert device.update().code_text == "2.04"  # what only refreshes a lifetime may be written later
    ready = berth.http("GET", "/readyz")
    assert ready.status == 503
    assert berth.http("PUT", "/v1/credentials/kept", KEY).status == 503
    assert endpoints(berth) == ["there"]

    own_cluster.start()
    until(lambda: register(berth.peer(), "late0").code_text == "2.01")
    until(lambda: berth.http("GET", "/readyz").status == 200)
    assert device.deregister().code_text == "2.02"
    berth.restart()
    assert endpoints(berth) == ["late0"]


def test_a_register_that_failed_leaves_the_older_registration_in_force_whatever_was_committed(own_cluster, start_berth):
    berth = start_berth("--database", own_cluster.database_for("doubt"))
    device = berth.register("dev")
    with own_cluster.no_commit("doubt"):
        assert register(berth.peer(), "dev", timeout=30).code_text == "5.03"
        assert device.update().code_text == "2.04"
    until(lambda: register(berth.peer(), "other").code_text == "2.01")
    berth.restart()
    assert endpoints(berth) == ["dev", "other"]
    assert device.update().code_text == "2.04"
    assert device.deregister().code_text == "2.02"


@pytest.mark.parametrize("options", [[], ["--cluster", "--key-file", "key"]], ids=["alone", "cluster"])
def test_a_build_without_it_says_so(tmp_path, options):
    server = program("berth-server-without-postgresql")
    if not server.exists():
        pytest.skip("it is built with the unit tests")
    command = [server, "--data", tmp_path / "data", "--database", "postgresql://db/berth", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2 and run.stderr.count("\n") == 1, run
    assert "was built without PostgreSQL" in run.stderr and not (tmp_path / "data").exists()
