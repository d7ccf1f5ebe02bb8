#!/usr/bin/env python3
"""A PostgreSQL cluster that lives as long as a test needs it: made in a directory of its own, reached over a Unix socket
there, run by an ordinary user (it refuses root).

    tests/tools/postgresql.py COMMAND...    run COMMAND with $BERTH_TEST_DATABASE set to the URI of such a cluster
"""

import ctypes
import glob
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

# Nothing here outlives the test: what makes a database safe only costs time. Room for the servers of parallel tests.
OPTIONS = {
    "fsync": "off",
    "max_connections": "200",
    "shared_buffers": "16MB",
    "logging_collector": "off",
}


def programs():
    """The directory of initdb and postgres, or None."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda path: int(path.split("/")[4]))
    return Path(found[-1]).parent if found else None


def die_with_parent():
    """Whatever ends the tests ends the database (prctl PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


class Cluster:
    def __init__(self, address=None):
        """With an IPv4 address also there, for whoever comes from the 65,536 around it."""
        self.address = address
        self.directory = Path(tempfile.mkdtemp(prefix="berth-pg.", dir="/tmp"))
        self.data = self.directory / "data"
        self.user = None
        if os.geteuid() == 0:
            self.user = "postgres"
            owner = pwd.getpwnam(self.user)
            os.chown(self.directory, owner.pw_uid, owner.pw_gid)
        self.process = None
        self.databases = set()
        self._run("initdb", "-D", self.data, "-U", "berth", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync",
                  "--no-instructions")
        if address is not None:
            with open(self.data / "pg_hba.conf", "a") as rules:
                rules.write(f"host all all {address}/16 trust\n")
        self.start()

    def _run(self, program, *arguments, **kwargs):
        done = subprocess.run([programs() / program, *arguments], user=self.user, cwd=self.directory, text=True,
                              capture_output=True, extra_groups=[] if self.user else None, check=False, **kwargs)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self):
        options = {**OPTIONS, "listen_addresses": self.address or ""}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen([programs() / "postgres", "-D", self.data, "-k", self.directory, *settings],
                                        user=self.user, extra_groups=[] if self.user else None, cwd=self.directory,
                                        stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent)
        log.close()
        self._wait_until_it_answers()

    def _wait_until_it_answers(self):
        for _ in range(600):
            if subprocess.run([programs() / "pg_isready", "-q", "-h", self.directory], check=False).returncode == 0:
                return
            assert self.process.poll() is None, (self.directory / "log").read_text(errors="replace")
            time.sleep(0.05)
        raise AssertionError("PostgreSQL does not start")

    def stop(self, how=signal.SIGINT):
        """SIGINT ends its connections first; SIGQUIT is as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(60)
            self.process = None

    def sql(self, text, database="postgres"):
        """What psql prints, a line for each row."""
        return self._run("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-U", "berth",
                         "-d", database, "-c", text)

    @contextmanager
    def no_commit(self, name):
        """While this lasts no server commits in the database made for `name`."""
        command = [programs() / "psql", "-X", "-q", "-A", "-t", "-d", self.database_for(name)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
            psql.stdin.write("BEGIN; LOCK TABLE writer IN EXCLUSIVE MODE; SELECT 'locked';\n")
            psql.stdin.flush()
            assert psql.stdout.readline() == "locked\n"
            yield
            psql.stdin.close()

    def uri(self, database="postgres"):
        return f"postgresql:///{database}?host={self.address or self.directory}&user=berth"

    def _database(self, name):
        return "berth_" + hashlib.sha256(str(name).encode()).hexdigest()[:16]

    def database_for(self, name):
        """The URI of a database that is made the first time someone asks for `name`."""
        database = self._database(name)
        if database not in self.databases:
            self.sql(f"CREATE DATABASE {database} STRATEGY wal_log")
            self.databases.add(database)
        return self.uri(database)

    def drop_for(self, name):
        """Each takes 7 MB and 300 files."""
        database = self._database(name)
        if database in self.databases:
            self.sql(f"DROP DATABASE {database} WITH (FORCE)")
            self.databases.remove(database)

    def close(self):
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)


def main():
    cluster = Cluster()
    try:
        path = f"{programs()}:{os.environ['PATH']}"
        return subprocess.call(sys.argv[1:], env={**os.environ, "BERTH_TEST_DATABASE": cluster.uri(), "PATH": path})
    finally:
        cluster.close()


if __name__ == "__main__":
    sys.exit(main())
