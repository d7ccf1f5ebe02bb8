#!/usr/bin/env python3
"""Which row of the conformance list is proved by which test?

    tests/conformance_trace.py            print what is wrong, and exit with 1 if anything is
    tests/conformance_trace.py --rows     print every row with its tests, or with the reason why there is none

A row (MSG-22, TLV-R01 …) is one requirement; tests/data/conformance_rows.csv lists them all. A test proves a row by
bearing its id in its name: test_MSG_22_repeated_con_gets_the_same_bytes. Names of tests are looked for in the Python
and C files below tests/. What is deliberately not done stands in docs/conformance.md: tables of rows with a reason, and
of whole sections. Every row must be in one of the two places, and in one only; a row of a section that is not served
may have tests already.
"""

import csv
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROW_LINE = re.compile(r"^\| *([A-Z][A-Z0-9]*-[A-Z]?\d+) *\|(.*)\|")
SECTION_LINE = re.compile(r"^\| *section (\d+(?:\.\d+)?) *\|(.*)\|")


def read_rows():
    """{row: section} in the order of the list."""
    with open(ROOT / "tests/data/conformance_rows.csv", newline="") as file:
        return {line["row"]: line["section"] for line in csv.DictReader(file)}


def test_names():
    """(name, file) of every test; in C, of every function and every name that cmocka prints."""
    for path in sorted((ROOT / "tests").rglob("*")):
        if path.suffix == ".py":
            pattern = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
        elif path.suffix == ".c" and "unit" in path.parts:
            pattern = re.compile(r"\b(test_\w+)\(")
        else:
            continue
        for name in set(pattern.findall(path.read_text(errors="replace"))):
            yield name, path.relative_to(ROOT)


def row_pattern(rows):
    """Matches what looks like the id of a row inside a name, known or not."""
    prefixes = {re.sub(r"\d+$", "", row).replace("-", "_") for row in rows}
    return re.compile(rf"(?<![A-Z0-9])(?:{'|'.join(sorted(prefixes, key=len, reverse=True))})\d+(?![A-Za-z0-9])")


def collect(rows):
    """{row: [test, …]}, and the complaints about names."""
    pattern, ids = row_pattern(rows), {row.replace("-", "_"): row for row in rows}
    tests, problems = {}, []
    for name, path in test_names():
        for found in pattern.findall(name):
            if found in ids:
                tests.setdefault(ids[found], []).append(f"{path}: {name}")
            else:
                problems.append(f"{found.replace('_', '-')} does not exist, but {path} tests it in {name}")
    return tests, problems


def read_not_done():
    """{row: reason} and {section: reason} of docs/conformance.md."""
    rows, sections = {}, {}
    for line in (ROOT / "docs/conformance.md").read_text().splitlines():
        if match := ROW_LINE.match(line):
            rows[match[1]] = match[2].strip()
        elif match := SECTION_LINE.match(line):
            sections[match[1]] = match[2].strip()
    return rows, sections


def section_reason(section, sections):
    """Of the section itself or of the one it is a part of."""
    return sections.get(section) or sections.get(section.partition(".")[0])


def main(arguments):
    rows = read_rows()
    tests, problems = collect(rows)
    not_done, sections = read_not_done()
    known_sections = set(rows.values()) | {section.partition(".")[0] for section in rows.values()}
    problems += [f"{row} does not exist, but docs/conformance.md lists it" for row in not_done if row not in rows]
    problems += [
        f"section {section} does not exist, but docs/conformance.md lists it"
        for section in sections
        if section not in known_sections
    ]
    problems += [
        f"{name} has no reason in docs/conformance.md"
        for name, reason in [*not_done.items(), *sections.items()]
        if not reason
    ]
    for row, section in rows.items():
        if row in tests and row in not_done:
            problems.append(f"{row} is in docs/conformance.md as not done, but has a test: {tests[row][0]}")
        elif row not in tests and row not in not_done and not section_reason(section, sections):
            problems.append(f"{row} has no test")
    if "--rows" in arguments:
        for row, section in rows.items():
            reason = not_done.get(row) or section_reason(section, sections) or "no test"
            for what in tests.get(row) or [f"({reason})"]:
                print(f"{row}\t{what}")
    for problem in problems:
        print(problem, file=sys.stderr)
    with_tests = len(set(tests) & set(rows))
    print(f"{len(rows)} rows: {with_tests} with tests, {len(rows) - with_tests} without; {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
