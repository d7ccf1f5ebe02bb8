"""Machines in a network of a test's own: each has a network of its own, and a cable to the switch that they share, which can be
pulled out. Needs root."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from own_network import CLONE_NEWNET, libc, own_network

SWITCH = "switch0"
NET = "172.31.0"  # the test itself is .254


def ip(*commands: str) -> None:
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True, timeout=30)


def may_have_machines() -> bool:
    tried = "ip link add name switch0 type bridge && ip link add name a type veth peer name b"
    command = ["unshare", "-n", "sh", "-c", tried]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


def _enter(namespace) -> None:
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Machine:
    def __init__(self, name: str, number: int):
        self.name, self.address = name, f"{NET}.{number}"
        with open("/proc/thread-self/ns/net") as outside:
            if libc.unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            self.namespace = open("/proc/thread-self/ns/net")  # noqa: SIM115, as long as it lives
            try:
                ip("link set lo up", f"link add name eth0 type veth peer name {name} netns /proc/{os.getpid()}/fd/{outside.fileno()}")
                ip(f"address add {self.address}/24 dev eth0", "link set eth0 up", f"route add default via {NET}.254")
            finally:
                _enter(outside)
        ip(f"link set dev {name} master {SWITCH}", f"link set dev {name} up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is there; what it starts and every socket that it makes stays there."""
        with open("/proc/thread-self/ns/net") as outside:
            _enter(self.namespace)
            try:
                yield
            finally:
                _enter(outside)

    def cut(self) -> None:
        """Not a word to anybody: what is sent is lost, connections do not end."""
        ip(f"link set dev {self.name} down")

    def mend(self) -> None:
        ip(f"link set dev {self.name} up")


@contextmanager
def machines(*names: str) -> Iterator[list[Machine]]:
    """This thread is at the switch until the end, and reaches all of them."""
    with own_network():
        ip(f"link add name {SWITCH} type bridge", f"address add {NET}.254/24 dev {SWITCH}", f"link set dev {SWITCH} up")
        made = [Machine(name, number) for number, name in enumerate(names, 1)]
        try:
            yield made
        finally:
            for machine in made:
                machine.namespace.close()
