"""The table of the documentation is the registry."""

from __future__ import annotations

import re
from pathlib import Path

from server.observe.node_metrics import NodeMetrics

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "metrics.md"
ROW = re.compile(r"\| `(realtime_\w+)` \| (\w+) \| ([^|]*) \| (\w*) ?\| (\S[^|]*) \|")


def test_each_metric_has_a_row_with_its_type_labels_and_unit_and_no_other_has_one() -> None:
    families = NodeMetrics().registry.families
    rows = [found for line in PAGE.read_text().splitlines() if (found := ROW.fullmatch(line)) is not None]
    assert sum(line.startswith("| `realtime_") for line in PAGE.read_text().splitlines()) == len(rows)
    documented = {row[1]: (row[2], tuple(re.findall(r"`(\w+)`", row[3])), row[4]) for row in rows}
    assert len(documented) == len(rows)
    made = {name: (family.kind, family.labels, _unit(name)) for name, family in families.items()}
    assert documented == made


def test_each_metric_has_a_help_text_that_is_a_sentence() -> None:
    for name, family in NodeMetrics().registry.families.items():
        assert re.fullmatch(r"[A-Z].*[^.]\.", family.text), name


def _unit(name: str) -> str:
    last = name.removesuffix("_total").rpartition("_")[2]
    return last if last in ("seconds", "bytes") else ""
