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
    return _cut(line)


def tell_message(message: Mapping[str, Any]) -> str:
    """`#11 17:44:05.574 in read dev1 dtls ACK 2.05 Content /3/0/9  {"path": "/3/0/9", …}`"""
    coap = message.get("coap") or {}
    payload = message.get("payload") or {}
    parts = [
        f"#{message.get('id', '?')}",
        str(message.get("ts", "")).partition("T")[2].rstrip("Z"),
        message.get("direction"),
        message.get("kind"),
        message.get("endpoint") or message.get("peer"),
        message.get("transport"),
        coap.get("type"),
        coap.get("code"),
        coap.get("name"),
        message.get("path"),
    ]
    said = next((payload[name] for name in ("data", "text", "hex") if payload.get(name)), message.get("error"))
    line = " ".join(str(part) for part in parts if part)
    return _cut(line if said is None else f"{line}  {said if isinstance(said, str) else compact(said)}")


def _cut(line: str) -> str:
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
