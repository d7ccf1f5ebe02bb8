"""Data directories that cannot be used, and disks that are full."""

import os
import resource
import signal
import sqlite3
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from berth_process import program
from coapraw import CONTENT_FORMAT, DELETE, LINK_FORMAT, MAX_AGE, POST, uint

pytestmark = pytest.mark.not_with_postgresql("about the file of SQLite")


def run_server(data, *options, release=False):
    """Start it on a data directory that it must refuse."""
    command = [program("berth-server", release), "--listen", "coap://127.0.0.1:0", "--http", "off", "--data", str(data)]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


def assert_refused(run, *words):
    """Exit code 1 and one line that says what is wrong."""
    assert run.returncode == 1, run
    assert run.stderr.count("\n") == 1 and run.stderr.endswith("\n"), run.stderr
    assert all(word in run.stderr for word in words), run.stderr
    assert "ready" not in run.stdout


@pytest.fixture
def data(start_berth):
    """A data directory with one registration, of a server that has ended."""
    server = start_berth()
    server.register("kept", lifetime=3600)
    server.stop()
    return server.data


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "berth.lock"}


def garbage(path):
    path.write_bytes(b"This is a shopping list, and no database." * 100)


def short(path):
    path.write_bytes(b"SQLite format 3")


def foreign(path):
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photo (id INTEGER PRIMARY KEY, title TEXT)")
    connection.commit()
    connection.close()


def newer(path):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.commit()
    connection.close()


def damaged_pages(path):
    size = path.stat().st_size
    with open(path, "r+b") as file:
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 200)


def truncated(path):
    os.truncate(path, path.stat().st_size // 2)


def header_only(path):
    os.truncate(path, 512)


@pytest.mark.parametrize("harm", [garbage, short, foreign, newer, damaged_pages, truncated, header_only])
def test_file_that_is_no_sound_database_of_ours_is_refused_and_untouched(data, harm):
    harm(data / "berth.db")
    before = contents(data)
    for _ in range(2):
        assert_refused(run_server(data), "berth.db")
        assert contents(data) == before


def test_a_database_damaged_while_the_server_runs_promises_nothing_more(start_berth):
    """What is in memory goes on; the next start says no."""
    berth = start_berth()
    device = berth.register("dev1", lifetime=3600)
    damaged_pages(berth.data / "berth.db")
    key = {"mode": "psk", "identity": "me", "key_hex": "0b" * 16}
    for _ in range(2):
        answer = berth.http("PUT", "/v1/credentials/dev3", key)
        assert (answer.status, answer.problem) == (503, "store-failed") and "restore a copy" in answer.json["detail"]
    answer = register(berth, "dev2")
    assert answer.code_text == "5.03" and answer.number(MAX_AGE) > 0
    assert berth.events_after(0, types="rejected")[-1]["coap_code"] == "5.03"
    assert berth.http("GET", "/v1/devices/dev2").status == 404
    assert berth.http("GET", "/v1/credentials/dev3").status == 404
    ready = berth.http("GET", "/readyz")
    assert ready.status == 503 and "damaged" in ready.json["detail"]
    assert berth.http("GET", "/healthz").status == 200
    assert device.update().code_text == "2.04"
    assert berth.device("dev1")["location"] == device.location
    berth.kill()
    assert_refused(run_server(berth.data), "restore a copy")


def test_file_of_a_database_that_is_not_there_is_refused(data):
    (data / "berth.db").rename(data / "elsewhere")
    (data / "berth.db-wal").write_bytes(b"x" * 5000)
    before = contents(data)
    assert_refused(run_server(data), "berth.db-wal")
    assert contents(data) == before


def test_second_server_on_the_same_data_is_refused(start_berth):
    server = start_berth()
    assert_refused(run_server(server.data), "another server", str(server.data))
    server.register("unharmed")


def test_data_directory_is_free_again_after_a_kill(start_berth):
    server = start_berth()
    server.kill()
    server.start()


@pytest.mark.parametrize("where", ["/proc/berth", "/dev/null", "/dev/null/data", "missing/deeper"])
def test_data_directory_that_cannot_be_made_is_refused(tmp_path, where):
    assert_refused(run_server(tmp_path / where))


def test_data_directory_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert_refused(run_server(tmp_path / "file"), "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_data_is_for_its_user_only(start_berth):
    server = start_berth()
    server.register("private")
    assert server.data.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in server.data.iterdir()} == {
        path.name: 0o600 for path in server.data.iterdir()
    }


def test_data_can_be_looked_at_while_the_server_runs(start_berth):
    server = start_berth()
    server.register("seen")
    connection = sqlite3.connect(f"file:{server.data / 'berth.db'}?mode=ro", uri=True)
    assert connection.execute("SELECT count(*) FROM registration").fetchone() == (1,)
    connection.close()
    server.register("more")


# ---- a full disk ----


@dataclass
class Disk:
    """Where a server's data lies, how to fill it up, and how to make room again."""

    server: object
    fill: object
    free: object


def small_filesystem(start_berth, tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs", tmp_path], check=True)
    filler = tmp_path / "filler"

    def fill():
        with open(filler, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass

    yield Disk(start_berth(data="disk/data", release=True), fill, filler.unlink)


def small_files(start_berth, tmp_path):
    server = start_berth(
        data="disk/data", release=True, preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    )

    def limit(size):
        if server.is_running:
            resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    yield Disk(server, lambda: limit(0), lambda: limit(resource.RLIM_INFINITY))


def may_mount():
    if os.geteuid() != 0:
        return False
    there = Path("/mnt")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", there], capture_output=True).returncode == 0
    if mounted:
        subprocess.run(["umount", there], check=True)
    return mounted


KINDS = [small_files, small_filesystem] if may_mount() else [small_files]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def disk(request, start_berth, tmp_path):
    (tmp_path / "disk").mkdir()
    made = request.param(start_berth, tmp_path / "disk")
    disk = next(made)
    yield disk
    if disk.server.is_running:
        disk.server.close()
    subprocess.run(["umount", tmp_path / "disk"], capture_output=True)


def register(server, endpoint):
    """The answer to a Register large enough to need room."""
    links = ",".join(f"</{number}/0>" for number in (1, 3, *range(5000, 5100))).encode()
    query = [f"ep={endpoint}", "lwm2m=1.1"]
    return server.peer().request(POST, "/rd", query, links, [(CONTENT_FORMAT, uint(LINK_FORMAT))], timeout=20)


def fill_until_refused(disk):
    """The answer to the first Register that finds the disk full. SQLite reuses the room it has, so some may fit."""
    disk.fill()
    for number in range(3000):
        answer = register(disk.server, f"squeezed-{number}")
        if answer.code_text != "2.01":
            return answer
    raise AssertionError("the disk does not get full")


def test_OPT_21_full_disk_is_5_03_with_max_age_and_an_event(disk):
    disk.server.register("before")
    answer = fill_until_refused(disk)
    assert answer.code_text == "5.03" and answer.number(MAX_AGE) > 0
    assert disk.server.events_after(0, types="rejected")[-1]["coap_code"] == "5.03"


def test_full_disk_is_told_by_readyz_until_there_is_room(disk):
    assert disk.server.http("GET", "/readyz").status == 200
    fill_until_refused(disk)
    answer = disk.server.http("GET", "/readyz")
    assert (answer.status, answer.problem) == (503, "not-ready") and answer.json["detail"]
    assert disk.server.http("GET", "/healthz").status == 200
    disk.free()
    assert register(disk.server, "after").code_text == "2.01"
    assert disk.server.http("GET", "/readyz").status == 200


def test_full_disk_leaves_what_is_there(disk):
    kept = disk.server.register("kept", lifetime=3600)
    fill_until_refused(disk)
    assert disk.server.device("kept")["location"] == kept.location
    refused = [e["endpoint"] for e in disk.server.events_after(0, types="rejected")]
    assert disk.server.http("GET", f"/v1/devices/{refused[-1]}").status == 404
    assert kept.update().code_text == "2.04"


def test_REG_33_register_again_on_a_full_disk_leaves_the_older_registration(disk):
    older = disk.server.register("again")
    fill_until_refused(disk)
    answer = register(disk.server, "again")
    assert answer.code_text in ("2.01", "5.03")
    stays = answer.code_text == "5.03"
    assert disk.server.device("again")["location"] == (older.location if stays else answer.location)
    assert older.update().code_text == ("2.04" if stays else "4.04")


def test_update_on_a_full_disk_holds_at_once_and_is_written_when_there_is_room(disk):
    """Its answer promises nothing before the commit, so the device sends it again; it is none the worse for that."""
    device = disk.server.register("changing", lifetime=60)
    fill_until_refused(disk)
    many = ",".join(f"</{number}/0>" for number in (1, 3, *range(6000, 6500)))
    answer = device.update(["lt=3600"], links=many, timeout=20)
    assert answer.code_text == "5.03" and answer.number(MAX_AGE) > 0

    def check():
        shown = disk.server.device("changing")
        assert (shown["lifetime_s"], len(shown["objects"])) == (3600, 502)

    check()
    disk.free()
    assert register(disk.server, "after").code_text == "2.01"
    check()
    disk.server.restart()
    check()


def test_UPD_01_plain_update_on_a_full_disk_is_answered_and_kept(disk):
    """It costs no room at once; the database hears of it when there is some."""
    device = disk.server.register("refreshed", lifetime=60)
    fill_until_refused(disk)
    disk.server.leap("50s")
    assert device.update().code_text == "2.04"
    expires = disk.server.device("refreshed")["expires_at"]
    disk.free()
    assert register(disk.server, "after").code_text == "2.01"
    disk.server.restart()
    assert disk.server.device("refreshed")["expires_at"] == expires


def test_deregister_on_a_full_disk_is_done_or_refused(disk):
    """Deleting may need room too. Either answer is true afterwards, also after a restart."""
    device = disk.server.register("leaving")
    fill_until_refused(disk)
    answer = device.peer.request(DELETE, device.location, timeout=20)
    assert answer.code_text in ("2.02", "5.03")
    disk.free()
    register(disk.server, "after")
    disk.server.restart()
    assert disk.server.http("GET", "/v1/devices/leaving").status == (404 if answer.code_text == "2.02" else 200)


def test_full_disk_at_the_end_loses_nothing_that_was_acknowledged(disk):
    disk.server.register("kept", lifetime=3600)
    fill_until_refused(disk)
    there = {item["endpoint"] for item in disk.server.get("/v1/devices", limit=1000)["items"]}
    disk.server.kill()
    disk.free()
    disk.server.start()
    assert {item["endpoint"] for item in disk.server.get("/v1/devices", limit=1000)["items"]} == there
