"""Values of resources: those of Python, and those of the API's JSON.

A resource is a str, int, float, bool or bytes (Opaque); a Time is seconds since 1970, an object link text like "3:0".
A resource with instances is a dict of them, an instance a dict of resources, an object one of instances, by their
numbers.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any


def decode(document: Mapping[str, Any]) -> Any:
    """What an answer to a Read says, or a part of it."""
    if "instances" in document:
        return {int(number): decode(instance) for number, instance in document["instances"].items()}
    if "resources" in document:
        return {int(number): decode(resource) for number, resource in document["resources"].items()}
    if "values" in document:
        kind = document.get("type")
        return {int(number): _decode_value(kind, value) for number, value in document["values"].items()}
    if "value_b64" in document:
        return base64.b64decode(document["value_b64"])
    return _decode_value(document.get("type"), document.get("value"))


def _decode_value(kind: Any, value: Any) -> Any:
    if isinstance(value, dict):
        return decode({"type": kind, **value})
    return base64.b64decode(value) if kind == "opaque" and isinstance(value, str) else value


def encode(value: Any, depth: int) -> Any:
    """A body that writes `value` to a path of so many numbers: 1 an object, 2 an instance, 3 a resource."""
    if isinstance(value, Mapping):
        below = {str(number): encode(inner, depth + 1) for number, inner in value.items()}
        return {("", "instances", "resources", "values")[depth]: below} if depth < 4 else below
    if isinstance(value, (bytes, bytearray)):
        return {"type": "opaque", "value": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"type": "time", "value": int(value.timestamp())}
    return value
