"""``LIKE`` without backtracking: literal runs and ``_`` are found segment by segment, leftmost first.

Between two ``%`` the leftmost place of a segment is always a right choice, so the cost is bounded by pattern length times
value length, whatever a client writes. Rules of like_match.c: ``\\`` takes the next character literally; ``_`` is one
character, not one byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["like_test", "pattern_problem"]

Part = str | None  # a literal run, or None for one arbitrary character


def pattern_problem(pattern: str) -> str | None:
    """Why PostgreSQL refuses the pattern, or None."""
    trailing = len(pattern) - len(pattern.rstrip("\\"))
    return "a LIKE pattern must not end with its escape character \\" if trailing % 2 else None


def like_test(pattern: str, *, ignore_case: bool) -> Callable[[bytes], bool]:
    """A test for text (UTF-8) that is not null. ``ignore_case`` folds ASCII letters only (the C locale's ``lower``)."""
    segments = [_compile(segment, ignore_case=ignore_case) for segment in _segments(pattern)]
    if len(segments) == 1:
        only = segments[0]
        return lambda value: only.fullmatch(value.decode()) is not None
    first, last, middle = segments[0], segments[-1], segments[1:-1]
    last_length = _length(pattern)

    def test(value: bytes) -> bool:
        text = value.decode()
        found = first.match(text)
        end = len(text) - last_length
        if found is None or found.end() > end or last.match(text, end) is None:
            return False
        position = found.end()
        for segment in middle:
            found = segment.search(text, position, end)
            if found is None:
                return False
            position = found.end()
        return True

    return test


def _segments(pattern: str) -> list[list[Part]]:
    """The pattern cut at ``%``."""
    segments: list[list[Part]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            segments.append([])
        elif character == "_":
            segments[-1].append(None)
        else:
            segments[-1].append(next(characters, "\\") if character == "\\" else character)
    return segments


def _length(pattern: str) -> int:
    """Characters that the last segment takes."""
    return len(_segments(pattern)[-1])


def _compile(segment: list[Part], *, ignore_case: bool) -> re.Pattern[str]:
    source = "".join("." if part is None else _literal(part, ignore_case) for part in segment)
    return re.compile(source, re.DOTALL)


def _literal(character: str, ignore_case: bool) -> str:
    if ignore_case and character.isascii() and character.isalpha():
        return f"[{character.lower()}{character.upper()}]"
    return re.escape(character)
