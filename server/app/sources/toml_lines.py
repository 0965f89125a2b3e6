"""The lines of a TOML file in which settings, and what is inside them, are written.

``tomllib`` has read the file before, so it is valid; it keeps no lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["in_toml"]

Place = tuple[int | str, ...]

_PART: Final = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_KEY: Final = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEAD: Final = re.compile(rf"\s*(\[\[?)\s*({_KEY})\s*\]")
_ASSIGNED: Final = re.compile(rf"\s*({_KEY})\s*=")


def in_toml(file: Path, path: Sequence[int | str]) -> str:
    """``file:line`` of a setting, or of what is inside it by names, and by numbers in arrays; without a number where it is
    written in another way. What is in an inline table is looked for from where that begins.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return str(file)
    numbers = _numbers(lines)
    known = next((end for end in range(len(path), 0, -1) if tuple(path[:end]) in numbers), 0)
    if not known:
        return str(file)
    number = numbers[tuple(path[:known])]
    names = [each for each in path[known:] if isinstance(each, str)]
    if names:
        inline = re.compile(rf"""[{{,\s]["']?{re.escape(names[-1])}["']?\s*=""")
        within = enumerate(lines[number - 1 :], number)
        number = next((at for at, text in _before_head(within) if inline.search(text)), number)
    return f"{file}:{number}"


def _numbers(lines: Sequence[str]) -> Mapping[Place, int]:
    """The lines of heads and keys. A table in an array has its number in its path, which is that of the latest before it."""
    found: dict[Place, int] = {}
    latest: dict[Place, int] = {}
    table: Place = ()
    for number, line in enumerate(lines, 1):
        if head := _HEAD.match(line):
            table = ()
            *before, last = _parts(head[2])
            for each in before:
                table = _inside((*table, each), latest)
            table = (*table, last)
            if head[1] == "[[":
                found.setdefault(table, number)
                latest[table] = latest.get(table, -1) + 1
                table = _inside(table, latest)
            found.setdefault(table, number)
        elif key := _ASSIGNED.match(line):
            path = table
            for each in _parts(key[1]):
                path = (*path, each)
                found.setdefault(path, number)
    return found


def _inside(path: Place, latest: Mapping[Place, int]) -> Place:
    return (*path, latest[path]) if path in latest else path


def _parts(key: str) -> list[str]:
    return [each.strip("\"'") for each in re.findall(_PART, key)]


def _before_head(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The first line, and those after it up to the next head."""
    for count, (number, line) in enumerate(lines):
        if count and _HEAD.match(line):
            return
        yield number, line
