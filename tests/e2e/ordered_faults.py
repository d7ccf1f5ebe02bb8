"""Faults as tests order them over HTTP."""

from __future__ import annotations

import pytest
from berth_process import Berth, segment


def faults_path(endpoint: str | None) -> str:
    return "/v1/faults" if endpoint is None else f"/v1/devices/{segment(endpoint)}/faults"


class Ordered:
    """One that was ordered."""

    def __init__(self, berth: Berth, endpoint: str | None, fault: dict):
        self.berth = berth
        self.mark = berth.last_event()
        answer = berth.http("PUT", faults_path(endpoint), fault)
        assert answer.status == 204, answer.body
        self.path = answer.headers["Location"]

    def shown(self) -> dict:
        return self.berth.get(self.path)

    def counts(self) -> tuple[int, int, bool]:
        """What it was for, what it acted on, and whether it goes on."""
        shown = self.shown()
        return shown["seen"], shown["fired"], shown["active"]

    def events(self) -> list[dict]:
        number = int(self.path.rpartition("/")[2])
        return [event for event in self.berth.events_after(self.mark, types="fault") if event["fault"] == number]

    def await_event(self) -> dict:
        return self.berth.await_event("fault", after=self.mark)

    def delete(self) -> None:
        assert self.berth.http("DELETE", self.path).status == 204


@pytest.fixture
def order(berth):
    """order({"drop": True, "on": "register"}, "dev1") -> Ordered; without an endpoint it is for all."""
    return lambda fault, endpoint=None: Ordered(berth, endpoint, fault)
