"""Events and conditions as lines for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_FIRST = ("id", "ts", "type", "endpoint")
_WIDTH = 400


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def tell_event(event: Mapping[str, Any]) -> str:
    """`#12 08:37:36.830 registered dev1  lifetime_s=300 address=127.0.0.1:52342`"""
    clock = str(event.get("ts", "")).partition("T")[2].rstrip("Z")
    head = [f"#{event.get('id', '?')}", clock, str(event.get("type", "")), str(event.get("endpoint") or "-")]
    rest = [
        f"{name}={value if isinstance(value, str) else compact(value)}"
        for name, value in event.items()
        if name not in _FIRST and value is not None
    ]
    line = " ".join(part for part in head if part) + ("  " + " ".join(rest) if rest else "")
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def tell_condition(condition: Mapping[str, Any]) -> str:
    return compact({name: value for name, value in condition.items() if name not in ("after", "timeout")})


def tell_near_miss(miss: Mapping[str, Any]) -> str:
    """An event, and where the server tells it, in what it differs from what was expected."""
    event = miss.get("event", miss)
    if not isinstance(event, Mapping):
        return compact(miss)
    lines = [tell_event(event)]
    for one in miss.get("differs", ()):
        lines.append(f"    {one.get('member')} is {compact(one.get('actual'))}, not {compact(one.get('expected'))}")
    if miss.get("note"):
        lines.append(f"    {miss['note']}")
    return "\n".join(lines)
