"""Plain tables for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from server.logs.printable import printable

__all__ = ["print_json", "print_records", "print_table", "size_in_words", "toml_value"]


def print_json(document: object) -> None:
    """Print a JSON document, in ASCII: terminals and pipes have any encoding."""
    print(json.dumps(document, indent=2, default=_as_json))


def print_records(names: Sequence[str], records: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """Print the values called ``names`` of each record: a table, or a JSON array of objects."""
    if as_json:
        print_json([{name: record[name] for name in names} for record in records])
    else:
        heads = [name.upper().replace("_", " ") for name in names]
        print_table(heads, [[_cell(record[name]) for name in names] for record in records])


def _as_json(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _cell(value: object) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as their widest value."""
    widths = [max(len(line[i]) for line in (heads, *rows)) for i in range(len(heads))]
    for line in (heads, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def toml_value(value: object) -> str:
    """A setting's value as it is written in the configuration file; ``-`` for none."""
    return "-" if value is None else printable(json.dumps(value, default=_as_json, ensure_ascii=False))


def size_in_words(size: int | None) -> str:
    """A number of bytes for people, e.g. ``1.5 MiB``; ``-`` if it is unknown."""
    if size is None:
        return "-"
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
