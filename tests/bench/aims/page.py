"""Writes the results of the aims and of the peers into docs/performance.md: ``python -m tests.bench.aims.page``.

What stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` is replaced, for ``aims`` and ``peers``, if there are results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.parts.report import RESULTS
from tests.bench.peers.run import PARTS, summary

__all__ = ["between"]

_PAGE: Final = Path(__file__).parents[3] / "docs/performance.md"
_WORDS: Final = {True: "met", False: "not met", None: ""}
_HEADS: Final = {
    "latency_p50_ms": "p50 ms",
    "latency_p99_ms": "p99 ms",
    "complete_p50_ms": "p50 ms",
    "complete_p95_ms": "p95 ms",
    "server_us_per_delivery": "processor, µs per delivery",
    "server_ms_per_client": "processor, ms per client",
    "server_ms_per_connect": "processor, ms per connect",
    "server_bytes_per_connection": "bytes per connection",
    "server_bytes_per_subscription": "bytes per subscription",
    "deliveries_per_s": "deliveries/s",
}


def between(page: str, name: str, text: str) -> str:
    """``page`` with ``text`` between the two marks of ``name``. Raises ``ValueError`` without them."""
    marks = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not marks.search(page):
        raise ValueError(f"the page has no marks of {name}")
    return marks.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page)


def aims(document: dict[str, Any]) -> str:
    """A table of all figures, with when each was found and how busy the machine was."""
    about = document["about"]
    rows = [
        (
            line["figure"],
            line["found"],
            line["aim"],
            _WORDS[line["met"]],
            line.get("at", ""),
            _load(line.get("load")),
            _cores(line["others"]),
        )
        for line in document["lines"]
    ]
    heads = ("Figure", "Found", "Aim", "", "At (UTC)", "Load average at its end", "Cores of other processes")
    return f"{about['cores']} cores, Python {about['python']}.\n\n{_table(heads, rows)}"


def _load(load: float | None) -> str:
    return "" if load is None else f"{load:.1f}"


def _cores(others: float | None) -> str:
    return "" if others is None else f"{others:.1f}"


def peers(found: Sequence[dict[str, Any]]) -> str:
    """A table for each part."""
    texts = []
    for part, (_, _, shown) in PARTS.items():
        if rows := summary(found, part):
            heads = ["System", *(_HEADS[key] for key in shown), "Missing", *(f"ours / {_HEADS[key]}" for key in shown)]
            times = sorted(row["at"] for row in found if row["part"] == part and "at" in row)
            rounds = 1 + max(row["round"] for row in found if row["part"] == part)
            about = f", {times[0]}, median of {rounds}" if times else ""
            texts.append(
                f"**{part}**{about}\n\n{_table(heads, [[_cell(value) for value in row.values()] for row in rows])}"
            )
    return "\n\n".join(texts)


def _cell(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main() -> None:
    """Write what there is."""
    page = _PAGE.read_text()
    for name, text in (("aims", aims), ("peers", peers)):
        file = RESULTS / f"{name}.json"
        if file.exists():
            page = between(page, name, text(json.loads(file.read_text())))
    _PAGE.write_text(page)


if __name__ == "__main__":
    main()
