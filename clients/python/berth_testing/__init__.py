"""Test LwM2M devices against Berth.

    import berth_testing

    with berth_testing.start() as berth:
        with berth.device("dev1"):
            berth.wait_registered("dev1")
            assert berth.read("dev1", "/3/0/0") == "Berth"

`start` runs a server of its own, from a program or a container image; `attach` takes one that runs already. In pytest
the fixture `berth` is there without any import.
"""

from .berth import Berth, attach
from .container import ContainerBerth
from .control import Fault, Psk
from .device import Device
from .errors import (
    BerthError,
    DeviceAsleep,
    DeviceError,
    ExpectationFailed,
    NoAnswer,
    NotReachable,
    NotRegistered,
    NotSent,
    Problem,
    ProgramEnded,
    ProgramNotFound,
    TimedOut,
    UnexpectedEvent,
)
from .events import Expected
from .http_api import Answer
from .operations import Observation, QueuedRequest
from .server import ProcessBerth, start

__all__ = [
    "Answer",
    "Berth",
    "BerthError",
    "ContainerBerth",
    "Device",
    "DeviceAsleep",
    "DeviceError",
    "Expected",
    "ExpectationFailed",
    "Fault",
    "NoAnswer",
    "NotReachable",
    "NotRegistered",
    "NotSent",
    "Observation",
    "Problem",
    "ProcessBerth",
    "ProgramEnded",
    "ProgramNotFound",
    "Psk",
    "QueuedRequest",
    "TimedOut",
    "UnexpectedEvent",
    "attach",
    "start",
]
