"""The code keeps to docs/architecture.md: includes point one way, and headers look like headers."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("web", "server", "db", "client", "common")
MAY_INCLUDE = {
    "web": {"web", "server", "db", "common"},
    "server": {"server", "db", "common"},
    "db": {"db", "common"},
    "client": {"client", "common"},
    "common": {"common"},
}
# Within common: what a part may use besides itself.
COMMON_MAY_INCLUDE = {
    "base": set(),
    "net": {"base"},
    "coap": {"base", "net"},
    "oscore": {"base", "net", "coap"},
    "lwm2m": {"base"},
}
GENERATED = {"db/schema_steps.h", "web/page_files.h"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)
GUARD = re.compile(r"\A/\*(?:.|\n)*?\*/\n#ifndef (BERTH_\w+_H)\n#define \1\n(?:.|\n)*\n#endif\n\Z")


def sources(*suffixes):
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*")) if path.suffix in suffixes]
    assert paths
    return [path.relative_to(ROOT) for path in paths]


def includes(path):
    return INCLUDE.findall((ROOT / path).read_text())


def room(path):
    return Path(path).parts[0]


def every_include():
    """(file, what it includes)."""
    return [(str(path), included) for path in sources(".c", ".h") for included in includes(path)]


def test_includes_point_one_way():
    wrong = [(path, included) for path, included in every_include() if room(included) not in MAY_INCLUDE[room(path)]]
    # The one arrow against the stream: main.c wires the program together.
    assert {(path, room(included)) for path, included in wrong} == {("server/main.c", "web")}


def test_parts_of_common_keep_to_themselves():
    def part(path):
        return Path(path).parts[1]

    inside = [(path, included) for path, included in every_include() if room(path) == "common"]
    allowed = {name: {name} | others for name, others in COMMON_MAY_INCLUDE.items()}
    assert [pair for pair in inside if part(pair[1]) not in allowed[part(pair[0])]] == []


def test_includes_name_files_from_the_root():
    named = {included for _, included in every_include()} - GENERATED
    assert [included for included in named if not (ROOT / included).is_file()] == []


def test_header_begins_with_a_comment_and_has_a_guard_of_its_name():
    def guard_of(path):
        match = GUARD.match((ROOT / path).read_text())
        return match and match[1]

    def expected(path):
        return "BERTH_" + re.sub(r"[/.]", "_", str(path).removeprefix("common/")).upper()

    assert [(str(path), guard_of(path)) for path in sources(".h") if guard_of(path) != expected(path)] == []


def test_source_includes_its_own_header_first():
    own = {path: str(path.with_suffix(".h")) for path in sources(".c") if (ROOT / path.with_suffix(".h")).exists()}
    assert [str(path) for path, header in own.items() if includes(path)[:1] != [header]] == []


def test_architecture_document_names_every_room():
    text = (ROOT / "docs/architecture.md").read_text()
    parts = {str(path.parent) for path in sources(".c") if room(path) == "common"}
    assert [name for name in sorted(parts | set(ROOMS)) if f"`{name}/`" not in text and name != "common"] == []
