"""The table of the documentation is the registry."""

from __future__ import annotations

import re
from pathlib import Path

from engine.metrics.registry import Registry
from tests.support.all_metrics import families_of_all

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "metrics.md"


def rows(*prefixes: str) -> list[list[str]]:
    """The cells of each row of a table whose metric begins with one of ``prefixes``."""
    lines = [
        line for line in PAGE.read_text().splitlines() if line.startswith(tuple(f"| `{each}_" for each in prefixes))
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_each_metric_has_a_row_with_its_type_labels_and_unit_and_no_other_has_one() -> None:
    families = families_of_all()
    documented = {
        name.strip("`"): (kind, tuple(re.findall(r"`(\w+)`", labels)), unit)
        for name, kind, labels, unit, _ in rows("realtime")
    }
    assert documented == {name: (family.kind, family.labels, _unit(name)) for name, family in families.items()}
    assert [name.strip("`") for name, *_ in rows("realtime")] == list(documented), "a metric has two rows"
    assert all(meaning for *_, meaning in rows("realtime"))


def test_the_metrics_of_the_process_and_of_python_have_rows_too() -> None:
    families = {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in Registry().exposed().collect()
    }
    documented = {
        name.strip("`"): (kind, set(re.findall(r"`(\w+)`", labels)), unit, bool(meaning))
        for name, kind, labels, unit, meaning in rows("process", "python")
    }
    assert documented == {
        name: (family.type, {label for each in family.samples for label in each.labels}, _unit(name), True)
        for name, family in families.items()
    }


def test_each_metric_has_a_help_text_that_is_a_sentence() -> None:
    for name, family in families_of_all().items():
        assert re.fullmatch(r"[A-Z].*[^.]\.", family.text), name


def _unit(name: str) -> str:
    last = name.removesuffix("_total").rpartition("_")[2]
    return last if last in ("seconds", "bytes") else ""
