"""The formats of LwM2M written for these tests alone, so that a fault in Berth's own codecs cannot hide itself.

Data is {path: Value}; a path of four ids is an instance of a multiple resource. encode() writes what a client would
send, decode() reads what Berth sent, strictly: what is not understood fails the test.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass

TEXT, OPAQUE, CBOR, SENML_JSON, SENML_CBOR, TLV, OMA_JSON, LWM2M_CBOR = 0, 42, 60, 110, 112, 11542, 11543, 11544
ONE_VALUE = {TEXT, OPAQUE, CBOR}


@dataclass(frozen=True)
class Value:
    """`raw` is str (string, corelnk, objlnk), int (integer, unsigned, time), float, bool or bytes (opaque)."""

    type: str
    raw: object

    @property
    def api(self) -> object:
        """As the HTTP API has it."""
        return base64.b64encode(self.raw).decode() if isinstance(self.raw, bytes) else self.raw


def ids(path: str) -> list[int]:
    return [int(part) for part in path.split("/") if part]


def below(base: str, path: str) -> str:
    """What comes behind the base: "0/1"."""
    assert ids(path)[: len(ids(base))] == ids(base), f"{path} is not below {base}"
    return "/".join(map(str, ids(path)[len(ids(base)) :]))


def encode(format: int, base: str, values: dict[str, Value]) -> bytes:
    if format in ONE_VALUE:
        ((path, value),) = values.items()
        assert path == base
        return {TEXT: to_text, OPAQUE: lambda v: v.raw, CBOR: cbor_value}[format](value)
    return {TLV: to_tlv, SENML_JSON: to_senml_json, SENML_CBOR: to_senml_cbor, OMA_JSON: to_oma_json, LWM2M_CBOR: to_lwm2m_cbor}[format](base, values)


def decode(format: int, base: str, payload: bytes, types: dict[str, str]) -> dict[str, object]:
    """{path: raw}. `types` says what type a resource has, by its path without an instance."""
    if format in ONE_VALUE:
        return {base: {TEXT: from_text, OPAQUE: lambda data, _: data, CBOR: from_cbor}[format](payload, types[base_of(base)])}
    return {TLV: from_tlv, SENML_JSON: from_senml_json, SENML_CBOR: from_senml_cbor, OMA_JSON: from_oma_json, LWM2M_CBOR: from_lwm2m_cbor}[format](base, payload, types)


def base_of(path: str) -> str:
    return "/" + "/".join(map(str, ids(path)[:3]))


# ---- text ----


def to_text(value: Value) -> bytes:
    if value.type == "opaque":
        return base64.b64encode(value.raw)
    if value.type == "boolean":
        return b"1" if value.raw else b"0"
    return str(value.raw).encode()


def from_text(data: bytes, type: str) -> object:
    text = data.decode()
    if type == "opaque":
        return base64.b64decode(text, validate=True)
    if type == "boolean":
        return {"0": False, "1": True}[text]
    return {"float": float, "integer": int, "unsigned": int, "time": int}.get(type, str)(text)


# ---- TLV ----


def tlv_bytes(value: Value) -> bytes:
    if value.type in ("integer", "time"):
        return next(struct.pack(form, value.raw) for form, bits in ((">b", 7), (">h", 15), (">i", 31), (">q", 63)) if -(1 << bits) <= value.raw < 1 << bits)
    if value.type == "unsigned":
        return next(struct.pack(form, value.raw) for form, bits in ((">B", 7), (">H", 15), (">I", 31), (">Q", 64)) if value.raw < 1 << bits)
    if value.type == "float":
        short = struct.pack(">f", value.raw)
        return short if struct.unpack(">f", short)[0] == value.raw else struct.pack(">d", value.raw)
    if value.type == "boolean":
        return bytes([value.raw])
    if value.type == "objlnk":
        return struct.pack(">HH", *map(int, value.raw.split(":")))
    return value.raw if isinstance(value.raw, bytes) else value.raw.encode()


def tlv(kind: int, id: int, content: bytes) -> bytes:
    size = 0 if len(content) < 8 else 1 if len(content) < 256 else 2 if len(content) < 65536 else 3
    head = kind << 6 | (id > 255) << 5 | size << 3 | (len(content) if size == 0 else 0)
    return bytes([head]) + id.to_bytes(2 if id > 255 else 1, "big") + (len(content).to_bytes(size, "big") if size else b"") + content


def to_tlv(base: str, values: dict[str, Value]) -> bytes:
    level = len(ids(base))
    tree: dict = {}
    for path, value in values.items():
        node = tree
        for id in ids(path)[:-1]:
            node = node.setdefault(id, {})
        node[ids(path)[-1]] = value

    def put(node: dict, depth: int) -> bytes:
        out = b""
        for id, inner in node.items():
            if isinstance(inner, Value):
                out += tlv(3 if depth == 2 else 1, id, tlv_bytes(inner))
            else:
                content = put(inner, depth + 1)
                wrapped = tlv(2 if depth == 2 else 0, id, content)
                out += wrapped if depth >= min(level, 2) and depth > 0 else content
        return out

    return put(tree, 0) if level < 4 else tlv(1, ids(base)[3], tlv_bytes(values[base]))


def tlv_value(data: bytes, type: str) -> object:
    if type in ("integer", "time"):
        assert len(data) in (1, 2, 4, 8)
        return int.from_bytes(data, "big", signed=True)
    if type == "unsigned":
        assert len(data) in (1, 2, 4, 8)
        return int.from_bytes(data, "big")
    if type == "float":
        return struct.unpack({4: ">f", 8: ">d"}[len(data)], data)[0]
    if type == "boolean":
        return {b"\0": False, b"\1": True}[data]
    if type == "objlnk":
        return "{}:{}".format(*struct.unpack(">HH", data))
    return data if type == "opaque" else data.decode()


def from_tlv(base: str, payload: bytes, types: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}

    def take(data: bytes, path: list[int]) -> None:
        while data:
            head, at = data[0], 1
            id_size, size = 1 + (head >> 5 & 1), head >> 3 & 3
            id = int.from_bytes(data[at : at + id_size], "big")
            at += id_size
            length = int.from_bytes(data[at : at + size], "big") if size else head & 7
            at += size
            content, data = data[at : at + length], data[at + length :]
            assert len(content) == length
            inner = (path if head >> 6 != 1 else path[:3]) + [id]
            inner = inner if head >> 6 not in (2, 3) else path[:2] + [id]
            if head >> 6 in (0, 2):
                take(content, inner)
            else:
                assert len(inner) == (3 if head >> 6 == 3 else 4), inner
                name = "/" + "/".join(map(str, inner))
                assert name not in found
                found[name] = tlv_value(content, types[base_of(name)])

    take(payload, ids(base))
    return found


# ---- CBOR ----


def cbor_head(major: int, number: int) -> bytes:
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << 8 * size:
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError(number)


def cbor(item: object) -> bytes:
    if item is None or isinstance(item, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[item]
    if isinstance(item, int):
        return cbor_head(0, item) if item >= 0 else cbor_head(1, -1 - item)
    if isinstance(item, float):
        short = struct.pack(">f", item)
        return b"\xfa" + short if struct.unpack(">f", short)[0] == item else b"\xfb" + struct.pack(">d", item)
    if isinstance(item, bytes):
        return cbor_head(2, len(item)) + item
    if isinstance(item, str):
        return cbor_head(3, len(item.encode())) + item.encode()
    if isinstance(item, (list, tuple)):
        return cbor_head(4, len(item)) + b"".join(map(cbor, item))
    return cbor_head(5, len(item)) + b"".join(cbor(key) + cbor(value) for key, value in item.items())


def cbor_value(value: Value) -> bytes:
    return (b"\xc1" if value.type == "time" else b"") + cbor(value.raw)


def read_cbor(data: bytes) -> object:
    """One item of definite length and shortest form, and nothing after it. Tag 1 is passed over."""
    item, at = _read_cbor(data, 0)
    assert at == len(data), "something comes after the item"
    return item


def _read_cbor(data: bytes, at: int) -> tuple[object, int]:
    major, info, at = data[at] >> 5, data[at] & 31, at + 1
    if major == 7:
        if info in (20, 21, 22):
            return {20: False, 21: True, 22: None}[info], at
        form = {25: ">e", 26: ">f", 27: ">d"}[info]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    number = info
    if info >= 24:
        size = {24: 1, 25: 2, 26: 4, 27: 8}[info]
        number, at = int.from_bytes(data[at : at + size], "big"), at + size
        assert number >= 24 and (size == 1 or number >= 1 << 8 * (size // 2)), "a longer form than needed"
    if major in (0, 1):
        return number if major == 0 else -1 - number, at
    if major in (2, 3):
        chunk = data[at : at + number]
        assert len(chunk) == number
        return chunk if major == 2 else chunk.decode(), at + number
    if major == 4:
        items = []
        for _ in range(number):
            item, at = _read_cbor(data, at)
            items.append(item)
        return items, at
    if major == 6:
        assert number == 1, f"tag {number}"
        return _read_cbor(data, at)
    found = {}
    for _ in range(number):
        key, at = _read_cbor(data, at)
        value, at = _read_cbor(data, at)
        found[tuple(key) if isinstance(key, list) else key] = value
    assert len(found) == number, "a key comes twice"
    return found, at


def of_type(item: object, type: str) -> object:
    kinds = {"integer": int, "unsigned": int, "time": int, "float": (int, float), "boolean": bool, "opaque": bytes}
    assert isinstance(item, kinds.get(type, str)) and isinstance(item, bool) == (type == "boolean"), f"{item!r} is no {type}"
    return item


def from_cbor(data: bytes, type: str) -> object:
    return of_type(read_cbor(data), type)


def to_lwm2m_cbor(base: str, values: dict[str, Value]) -> bytes:
    """A key of all ids for each value."""
    return cbor_head(5, len(values)) + b"".join(cbor(ids(path)) + cbor_value(value) for path, value in values.items())


def from_lwm2m_cbor(base: str, payload: bytes, types: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}

    def take(node: dict, path: list[int]) -> None:
        for key, inner in node.items():
            at = path + (list(key) if isinstance(key, tuple) else [key])
            if isinstance(inner, dict):
                take(inner, at)
            else:
                name = "/" + "/".join(map(str, at))
                below(base, name)
                found[name] = of_type(inner, types[base_of(name)])

    take(read_cbor(payload), [])
    return found


# ---- SenML ----

LABELS = {"bn": -2, "bt": -3, "n": 0, "v": 2, "vs": 3, "vb": 4, "t": 6, "vd": 8, "vlo": "vlo"}
KEYS = {"string": "vs", "corelnk": "vs", "boolean": "vb", "opaque": "vd", "objlnk": "vlo"}


def records(base: str, values: dict[str, Value]) -> list[dict]:
    """With `bn` in the first; values of opaque are bytes still."""
    out = []
    for path, value in values.items():
        rest = below(base, path)
        record: dict = {}
        if base == "/":
            record["n"] = path
        elif not out:
            record["bn"] = base + "/" * bool(rest)
        if base != "/" and rest:
            record["n"] = rest
        record[KEYS.get(value.type, "v")] = value.raw
        out.append(record)
    return out


def to_senml_json(base: str, values: dict[str, Value]) -> bytes:
    plain = [{key: base64.urlsafe_b64encode(item).decode().rstrip("=") if isinstance(item, bytes) else item for key, item in record.items()} for record in records(base, values)]
    return json.dumps(plain).encode()


def to_senml_cbor(base: str, values: dict[str, Value]) -> bytes:
    return cbor([{LABELS[key]: item for key, item in record.items()} for record in records(base, values)])


def from_records(base: str, pack: list[dict], types: dict[str, str], opaque_is_text: bool) -> dict[str, object]:
    found: dict[str, object] = {}
    base_name = ""
    for record in pack:
        base_name = record.pop("bn", base_name)
        name = base_name + record.pop("n", "")
        below(base, name)
        type = types[base_of(name)]
        ((key, item),) = record.items()
        assert key == KEYS.get(type, "v"), f"{key} for a {type}"
        if type == "opaque" and opaque_is_text:
            item = base64.urlsafe_b64decode(item + "=" * (-len(item) % 4))
        assert name not in found
        found[name] = of_type(item, type)
    return found


def from_senml_json(base: str, payload: bytes, types: dict[str, str]) -> dict[str, object]:
    return from_records(base, json.loads(payload), types, True)


def from_senml_cbor(base: str, payload: bytes, types: dict[str, str]) -> dict[str, object]:
    names = {number: name for name, number in LABELS.items()}
    pack = [{names[key]: item for key, item in record.items()} for record in read_cbor(payload)]
    return from_records(base, pack, types, False)


# ---- the JSON of LwM2M 1.0 ----

OMA_KEYS = {"string": "sv", "corelnk": "sv", "boolean": "bv", "opaque": "sv", "objlnk": "ov"}


def to_oma_json(base: str, values: dict[str, Value]) -> bytes:
    entries = [{"n": below(base, path), OMA_KEYS.get(value.type, "v"): value.api} for path, value in values.items()]
    return json.dumps({"bn": base + "/" * any(entry["n"] for entry in entries), "e": entries}).encode()


def from_oma_json(base: str, payload: bytes, types: dict[str, str]) -> dict[str, object]:
    document = json.loads(payload)
    found = {}
    for entry in document["e"]:
        name = (document["bn"] + entry.pop("n")).rstrip("/")
        below(base, name)
        type = types[base_of(name)]
        ((key, item),) = entry.items()
        assert key == OMA_KEYS.get(type, "v")
        found[name] = of_type(base64.b64decode(item) if type == "opaque" else item, type)
    return found
