"""A network that a test has for itself: its own loopback, with addresses that are none of loopback's. Needs root."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)

# What the machine has in it: its own, and a net from which anybody may be forged.
HERE = "192.0.2.1"
ANYBODY = "10.0.0.0/8"


def may_have_one() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-n", "ip", "link"], capture_output=True).returncode == 0


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and the threads and processes that it starts, are in another network until the end."""
    with open("/proc/thread-self/ns/net") as outside:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            for command in ("link set lo up", f"address add {HERE}/24 dev lo", f"route add local {ANYBODY} dev lo"):
                subprocess.run(["ip", *command.split()], check=True, timeout=30)
            yield
        finally:
            libc.setns(outside.fileno(), CLONE_NEWNET)
