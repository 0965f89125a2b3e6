"""The table of the documentation is the registry."""

from __future__ import annotations

import re
from pathlib import Path

from server.observe.node_metrics import NodeMetrics

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "metrics.md"


def rows() -> list[list[str]]:
    """The cells of each row of the table."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `realtime_")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_metric_has_a_row_with_its_type_labels_and_unit_and_no_other_has_one() -> None:
    families = NodeMetrics().registry.families
    documented = {
        name.strip("`"): (kind, tuple(re.findall(r"`(\w+)`", labels)), unit) for name, kind, labels, unit, _ in rows()
    }
    assert documented == {name: (family.kind, family.labels, _unit(name)) for name, family in families.items()}
    assert [name.strip("`") for name, *_ in rows()] == list(documented), "a metric has two rows"
    assert all(meaning for *_, meaning in rows())


def test_each_metric_has_a_help_text_that_is_a_sentence() -> None:
    for name, family in NodeMetrics().registry.families.items():
        assert re.fullmatch(r"[A-Z].*[^.]\.", family.text), name


def _unit(name: str) -> str:
    last = name.removesuffix("_total").rpartition("_")[2]
    return last if last in ("seconds", "bytes") else ""
