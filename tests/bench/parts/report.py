"""Prints a benchmark's rows as an aligned table and keeps them as JSON."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["report"]

_RESULTS = Path(__file__).parents[1] / "results"


def report(name: str, rows: list[dict[str, object]]) -> Path:
    """Print ``rows`` (all with the same keys) and write them to ``results/<name>.json``; returns that path."""
    heads = list(rows[0]) if rows else []
    table = [heads, *([_cell(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(heads))]
    print(f"\n{name}")
    for line in table:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    _RESULTS.mkdir(exist_ok=True)
    path = _RESULTS / f"{name}.json"
    path.write_text(json.dumps(rows, indent=2) + "\n")
    return path


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
