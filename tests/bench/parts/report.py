"""Prints a benchmark's rows as an aligned table and keeps them as JSON."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["RESULTS", "report", "table"]

RESULTS = Path(__file__).parents[1] / "results"


def report(name: str, rows: list[dict[str, object]]) -> Path:
    """Print ``rows`` (all with the same keys) and write them to ``results/<name>.json``; returns that path."""
    table(name, rows)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(rows, indent=2) + "\n")
    return path


def table(name: str, rows: list[dict[str, object]]) -> None:
    """Print ``rows``, which have the same keys."""
    heads = list(rows[0]) if rows else []
    lines = [heads, *([_cell(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    print(f"\n{name}")
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
