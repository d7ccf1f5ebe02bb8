"""Durations as tests write them: seconds as a number, `timedelta`, or text as the API takes it: "30s", "500ms",
"1d"."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Union

Duration = Union[int, float, str, timedelta]

_TEXT = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: Duration) -> float:
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        match = _TEXT.fullmatch(duration.strip().lstrip("+"))
        if match is None:
            raise ValueError(f"{duration!r} is no duration: write 30, '30s', '500ms', '2m', '1h' or '1d'")
        value = float(match[1]) * _SECONDS[match[2]]
    else:
        value = float(duration)
    if not 0 <= value < float("inf"):
        raise ValueError(f"{duration!r} is no duration: it must not be negative, nor without end")
    return value


def text(duration: Duration) -> str:
    """As the API takes it, in whole milliseconds."""
    milliseconds = round(seconds(duration) * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
