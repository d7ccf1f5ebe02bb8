"""The byte vectors of tests/data: messages and values whose bytes other implementations agree on."""

import json
from functools import cache
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"


@cache
def _all() -> dict[str, dict]:
    return {entry["id"]: entry for entry in json.loads((DATA / "vectors.json").read_text())}


def vector(name: str) -> bytes:
    """The bytes of a vector: vector("M-01") is a CoAP ping."""
    return bytes.fromhex(_all()[name]["hex"])


def vectors(prefix: str) -> list[dict]:
    """Every vector whose name begins so, with all that is said about it."""
    return [entry for name, entry in _all().items() if name.startswith(prefix)]


def with_mid(message: bytes, mid: int) -> bytes:
    """The same message under another Message ID."""
    return message[:2] + mid.to_bytes(2, "big") + message[4:]


def datagrams() -> dict[str, bytes]:
    """What clients in the field have sent, by the name of its file."""
    return {path.stem: path.read_bytes() for path in sorted((DATA / "datagrams").glob("*.bin"))}


def regressions() -> dict[str, bytes]:
    """Datagrams that have crashed or confused servers, by name."""
    return {entry["name"]: bytes.fromhex(entry["hex"]) for entry in json.loads((DATA / "regressions.json").read_text())}
