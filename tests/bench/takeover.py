#!/usr/bin/env python3
"""What happens when one of twenty serving nodes dies: devices that get no answer send again (RFC 7252 §4.2), give up, make a
new handshake, and are told to come again later. A discrete-event simulation; nothing is measured here, but what it reckons
with is what docs/performance.md and tests/e2e/test_cluster.py have measured. The same seed gives the same table.

Two layouts are compared:

- regional: twenty clusters, each with a database of its own. One node of each serves; when it dies, the one that stands by
  reads everything, and then serves.
- by node: twenty nodes on one database, each the owner of a twentieth of the devices. When one dies the other nineteen read
  its share, a part each, beside what they do anyway. Berth does not do that; this says what it would bring.

A run follows some thousand devices, each of which stands for as many as there are for it. It ends when every one of them was
served once after the death.

usage: takeover.py [--devices N...] [--interval SECONDS...] [--seed N]      prints the table of docs/scaling.md
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

NODES = 20
FOLLOWED = 6000

# Measured (docs/performance.md, docs/scaling.md).
TAKEOVER_S = 6.5  # from the death until another node begins to read what there is
RESTORED_PER_S = 100_000  # devices' sessions that one node reads
UPDATE_S = 13.24e-6  # an Update over DTLS with a connection ID
REGISTER_S = 31.27e-6
HANDSHAKE_S = 143.8e-6  # with a key, and the Register after it
COMMITS_PER_S = 5000  # Registers that one PostgreSQL commits, whichever node they came from (nodes.py)

# The server's limits (docs/limits.md).
HANDSHAKES_PER_S = 4000
COMMITS_WAITING = 32 * 1024 * 1024 // 700  # Registers of some 700 bytes; more are answered 5.03
MAX_AGE_S = 30

# Reckoned.
DATABASE_RESTORES_PER_S = 3 * RESTORED_PER_S  # what one PostgreSQL reads out to many nodes at a time
DROP_S = 4e-6  # a datagram that is looked at and dropped
SOCKET_HOLDS = 5000  # small datagrams in 4 MiB, as the kernel counts them

# Devices: RFC 7252 §4.8 and RFC 6347 §4.2.4.1.
ACK_TIMEOUT_S = 2.0
ACK_RANDOM_FACTOR = 1.5
MAX_RETRANSMIT = 4
HELLO_TIMEOUT_S, HELLOS = 1.0, 6
RETRY_S, RETRY_MOST_S = 60.0, 960.0  # after hellos in vain (Communication Retry Timer, /1/0/18): twice as long each time

HANDSHAKE_DATAGRAMS = 4  # two hellos, the keys, the Register

UPDATE, HELLO, REGISTER, ANSWER = range(4)
BUSY_S = 5  # peaks are those of so many seconds


class Event(NamedTuple):
    device: int
    kind: int
    round: int
    attempt: int  # of the same message
    timeout: float  # until the next one


@dataclass(frozen=True)
class Storm:
    devices: int  # that the dead node had
    interval_s: float = 900
    by_node: bool = False
    kept: bool = True  # sessions are in the database
    dies: bool = True
    seed: int = 1


@dataclass
class Outcome:
    served: int  # of the dead node's devices, once at least
    waiting: int  # for an answer, at the end
    peak_per_s: float  # datagrams in the busiest five seconds, to the node that takes over, or one of those that do
    backlog: int  # of the dead node's devices wait for an answer, at most
    served_99_s: float  # since the death, until 99 % of those were served that had to send again
    wait_99_s: float  # that 99 % of those waited at most
    shook_hands: int
    told_to_wait: int
    repeated: int  # datagrams


class Node:
    """One core, which takes in turn what its socket holds."""

    def __init__(self, weight: float, registers_per_s: float):
        self.weight, self.registers_per_s = weight, registers_per_s
        self.free_s = self.hello_s = self.committed_s = 0.0

    def work(self, now: float, cost: float) -> float | None:
        """When it is done; None: the socket was full."""
        if self.free_s - now > SOCKET_HOLDS * UPDATE_S + self.weight * HANDSHAKE_S:
            return None
        self.free_s = max(self.free_s, now) + cost * self.weight
        return self.free_s

    def admits_hello(self, now: float) -> bool:
        """Those of one second may all come at its beginning."""
        if self.hello_s - now > 1:
            return False
        self.hello_s = max(self.hello_s, now) + self.weight / HANDSHAKES_PER_S
        return True

    def commit(self, now: float) -> float | None:
        """When it is written; None: too much waits."""
        if (self.committed_s - now) * self.registers_per_s > COMMITS_WAITING:
            return None
        self.committed_s = max(self.committed_s, now) + self.weight / self.registers_per_s
        return self.committed_s


class Run:
    def __init__(self, storm: Storm):
        self.storm, self.random = storm, random.Random(storm.seed)
        # One node is looked at: the one that takes over, or one of those that share what the dead one had, which has as many
        # devices of its own as that.
        survivors = NODES - 1 if storm.by_node else 1
        self.orphans = FOLLOWED // NODES if storm.by_node else FOLLOWED
        self.own = self.orphans * survivors if storm.by_node else 0
        adopted = storm.devices / survivors
        self.weight = adopted / self.orphans
        self.node = Node(self.weight, COMMITS_PER_S / survivors)
        self.up_s = 0.0
        if storm.dies:
            self.up_s = TAKEOVER_S + adopted / min(RESTORED_PER_S, DATABASE_RESTORES_PER_S / survivors)
        count = self.own + self.orphans
        self.events: list[tuple[float, int, Event]] = []
        self.since = [0.0] * count  # when each began to ask
        self.round = [0] * count  # how often each was answered: events of an earlier round are void
        self.asking = [False] * count
        self.has_session = [storm.kept or not storm.dies or device >= self.orphans for device in range(count)]
        self.failures = [0] * count
        self.served: set[int] = set()
        self.shook: set[int] = set()
        self.late: list[tuple[float, float]] = []  # when, and after how long, those were served that had to send again
        self.arrived: Counter[int] = Counter()
        self.begun = self.answered = self.backlog = self.told = self.repeated = 0

    def at(self, when: float, device: int, kind: int, attempt: int = 0, timeout: float = 0.0) -> None:
        self.begun += 1
        heapq.heappush(self.events, (when, self.begun, Event(device, kind, self.round[device], attempt, timeout)))

    def sent(self, now: float, attempt: int, datagrams: int = 1) -> None:
        self.arrived[int(now / BUSY_S)] += datagrams
        self.repeated += attempt > 0

    def is_heard(self, now: float, device: int) -> bool:
        return device >= self.orphans or now >= self.up_s

    def drop(self, now: float, device: int) -> None:
        """Nobody answers; where someone listens it takes its time all the same."""
        if self.is_heard(now, device):
            self.node.work(now, DROP_S)

    def first_timeout(self) -> float:
        return ACK_TIMEOUT_S * self.random.uniform(1, ACK_RANDOM_FACTOR)

    def update(self, now: float, device: int, attempt: int, timeout: float) -> None:
        if attempt > MAX_RETRANSMIT:
            self.hello(now, device, 0)
            return
        if attempt == 0:
            self.since[device], self.asking[device] = now, True
            timeout = self.first_timeout()
        self.sent(now, attempt)
        is_known = self.is_heard(now, device) and self.has_session[device]
        done = self.node.work(now, UPDATE_S) if is_known else self.drop(now, device)
        self.await_answer(now, done, device, UPDATE, attempt, timeout)

    def await_answer(self, now: float, done: float | None, device: int, kind: int, attempt: int, timeout: float) -> None:
        if done is not None:
            self.at(done, device, ANSWER)
        if done is None or done > now + timeout:
            self.at(now + timeout, device, kind, attempt + 1, 2 * timeout)

    def hello(self, now: float, device: int, attempt: int, _timeout: float = 0.0) -> None:
        if attempt == HELLOS:
            wait = min(RETRY_S * 2 ** self.failures[device], RETRY_MOST_S)
            self.failures[device] += 1
            self.at(now + wait * self.random.uniform(1, ACK_RANDOM_FACTOR), device, HELLO)
            return
        is_begun = self.is_heard(now, device) and self.node.admits_hello(now)
        done = self.node.work(now, HANDSHAKE_S) if is_begun else self.drop(now, device)
        self.sent(now, attempt, 1 if done is None else HANDSHAKE_DATAGRAMS)
        if done is None:
            self.at(now + HELLO_TIMEOUT_S * 2**attempt, device, HELLO, attempt + 1)
            return
        self.has_session[device] = True
        self.shook.add(device)
        self.write(now, done, device, 0, self.first_timeout())

    def register(self, now: float, device: int, attempt: int, timeout: float) -> None:
        if attempt > MAX_RETRANSMIT:
            self.hello(now, device, 0)
            return
        self.sent(now, attempt)
        done = self.node.work(now, REGISTER_S)
        if done is None or attempt > 0:  # a repeated one is answered with the first one's answer
            self.await_answer(now, None, device, REGISTER, attempt, timeout)
        else:
            self.write(now, done, device, attempt, timeout)

    def write(self, now: float, done: float, device: int, attempt: int, timeout: float) -> None:
        written = self.node.commit(done)
        if written is None:
            self.told += 1
            wait = MAX_AGE_S * self.random.uniform(1, ACK_RANDOM_FACTOR)
            self.at(done + wait, device, REGISTER, 0, self.first_timeout())
        else:
            self.await_answer(now, written, device, REGISTER, attempt, timeout)

    def answer(self, now: float, device: int) -> None:
        self.round[device] += 1
        self.asking[device] = False
        self.failures[device] = 0
        if device < self.orphans:
            self.served.add(device)
            if now - self.since[device] >= ACK_TIMEOUT_S:
                self.late.append((now, now - self.since[device]))
        self.at(max(now, self.since[device] + self.storm.interval_s), device, UPDATE)

    def run(self) -> Outcome:
        # Spread evenly, so that what stands out is the storm and not a dice's whim.
        for group, first in ((self.orphans, 0), (self.own, self.orphans)):
            for number in range(group):
                phase = (number + self.random.random()) / group
                self.at(phase * self.storm.interval_s, first + number, UPDATE)
        waiting = 0
        while len(self.served) < self.orphans:
            now, _, event = heapq.heappop(self.events)
            device = event.device
            if event.round != self.round[device]:
                continue
            asked_before = self.asking[device]
            if event.kind == ANSWER:
                self.answer(now, device)
            else:
                (self.update, self.hello, self.register)[event.kind](now, device, event.attempt, event.timeout)
            if device < self.orphans:
                waiting += self.asking[device] - asked_before
                self.backlog = max(self.backlog, waiting)
        return self.outcome(waiting)

    def outcome(self, waiting: int) -> Outcome:
        stands_for = self.storm.devices / self.orphans
        times, waits = sorted(when for when, _ in self.late), sorted(wait for _, wait in self.late)
        return Outcome(
            served=round(len(self.served) * stands_for),
            waiting=round(waiting * stands_for),
            peak_per_s=max(self.arrived.values()) * self.weight / BUSY_S,
            backlog=round(self.backlog * stands_for),
            served_99_s=times[round(0.99 * (len(times) - 1))] if times else 0.0,
            wait_99_s=waits[round(0.99 * (len(waits) - 1))] if waits else 0.0,
            shook_hands=round(len(self.shook) * stands_for),
            told_to_wait=round(self.told * stands_for),
            repeated=round(self.repeated * self.weight),
        )


def simulate(storm: Storm) -> Outcome:
    return Run(storm).run()


def rows(devices: list[int], intervals: list[float], seed: int) -> list[list[str]]:
    found = []
    for by_node in (False, True):
        for interval_s in intervals:
            for count in devices:
                for kept in (True, False):
                    storm = Storm(count, interval_s, by_node, kept, seed=seed)
                    if count / interval_s * UPDATE_S > 0.5:
                        continue  # more than half a core, with nothing having happened
                    seen = simulate(storm)
                    found.append([
                        "by node" if by_node else "regional", f"{count:,}", f"{interval_s:,.0f}",
                        "yes" if kept else "no", f"{count / interval_s:,.0f}", f"{seen.peak_per_s:,.0f}", f"{seen.backlog:,}",
                        f"{seen.served_99_s:,.0f}", f"{seen.wait_99_s:,.0f}", f"{100 * seen.shook_hands / count:.0f} %",
                    ])  # fmt: skip
    return found


HEAD = ["layout", "devices of the node", "interval s", "sessions kept", "datagrams/s before", "at most", "waiting at most",
        "99 % served after s", "99 % waited s", "new handshakes"]  # fmt: skip


def table(devices: list[int], intervals: list[float], seed: int) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *rows(devices, intervals, seed)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="A simulation of what happens when one of twenty nodes dies.")
    parser.add_argument("--devices", type=int, nargs="+", default=[500_000, 1_000_000, 2_000_000, 5_000_000], help="of the node that dies")
    parser.add_argument("--interval", type=float, nargs="+", default=[900], help="seconds between two Updates of a device")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(table(options.devices, options.interval, options.seed))


if __name__ == "__main__":
    main()
