"""The comparison with other systems: each "yes" of ours leads to the page that shows it."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "comparison.md"


def ours() -> list[tuple[str, str]]:
    """The feature and what the column ``This`` has of it, for each row of the tables that have that column."""
    rows = [
        [cell.strip() for cell in line.strip("|").split(" |")] for line in PAGE.read_text().splitlines() if "|" in line
    ]
    return [(row[0], row[1]) for row in rows if len(row) == 6 and row[1] not in ("This", "---")]


def test_each_yes_has_a_link() -> None:
    features = ours()
    assert len(features) > 25
    assert [feature for feature, cell in features if not re.match(r"no\b", cell) and "](" not in cell] == []


def test_it_has_a_date_and_names_what_is_missing() -> None:
    text = PAGE.read_text()
    assert re.search(r"As of \w+ 20\d\d", text)
    missing = [feature for feature, cell in ours() if re.match(r"no\b", cell)]
    assert {"Writes from the client", "Works offline, local store", "Push notifications", "Hosted for you"} <= set(
        missing
    )
