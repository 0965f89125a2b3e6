"""The threat model names tests that exist: one at least for each threat."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/threat-model.md").read_text()
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| Threat", "| ---"))
]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_each_threat_names_what_stops_it_and_a_test() -> None:
    assert len(ROWS) > 40
    for row in ROWS:
        assert len(row) == 3, row
        assert row[1], row[0]
        assert NAMED.search(row[2]), row[0]
        assert NAMED.sub("", row[2]).strip(" ,") == "", row[0]


def test_each_row_stands_in_a_table_with_a_head() -> None:
    for table in re.split(r"\n{2,}", PAGE):
        if table.startswith("|"):
            assert table.split("\n")[1].startswith("| ---"), table[:80]


def test_each_test_that_the_page_names_exists() -> None:
    named = NAMED.findall(PAGE)
    missing = [path for path, _ in named if not (ROOT / path).is_file()]
    assert missing == []
    unknown = [f"{path}::{name}" for path, name in named if name and f"def {name}(" not in (ROOT / path).read_text()]
    assert unknown == []
