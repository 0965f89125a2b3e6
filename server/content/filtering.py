"""Words and patterns that are searched in the texts of a message, in time linear in them.

Words by an Aho-Corasick automaton (ahocorasick_rs), however many there are: whole words, and phrases of several. Patterns by
RE2, which has no backtracking.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, Final

import re2
from ahocorasick_rs import AhoCorasick, MatchKind

from server.content.errors import PolicyError
from server.content.normalizing import NormalText, is_mark, normal_text

__all__ = ["TextSearch"]

_MAX_MATCHES: Final = 1_000  # of one pattern in one text, of which each is located; what comes behind counts as one
_MAX_KNOWN: Final = 10_000

Span = tuple[int, int]


class _Separators(dict[int, int]):
    """For ``str.translate``: what is in no word becomes a space."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        found = code if character.isalnum() or is_mark(character) else 0x20
        if len(self) < _MAX_KNOWN:
            self[code] = found
        return found


_separators: Final = _Separators()


class TextSearch:
    """Finds ``words`` and ``patterns``. Raises ``PolicyError`` for a word without a letter or digit, or a wrong pattern."""

    def __init__(self, words: Iterable[str], patterns: Iterable[str]) -> None:
        phrases = [_phrase(word) for word in words]
        self._words = AhoCorasick(phrases, matchkind=MatchKind.LeftmostLongest) if phrases else None
        self._patterns = [_pattern(text) for text in patterns]

    def spans(self, text: str) -> list[Span]:
        """Where in ``text`` something was found: sorted, and no two overlap."""
        normal = normal_text(text)
        found = sorted(normal.original(start, end) for start, end in self._found(normal))
        joined: list[Span] = []
        for start, end in found:
            if joined and start < joined[-1][1]:
                joined[-1] = joined[-1][0], max(end, joined[-1][1])
            else:
                joined.append((start, end))
        return joined

    def _found(self, normal: NormalText) -> Iterator[Span]:
        if self._words is not None:
            yield from _word_spans(self._words, normal.text)
        for pattern in self._patterns:
            for number, match in enumerate(pattern.finditer(normal.text), 1):
                start, end = match.span()
                if number == _MAX_MATCHES:
                    end = len(normal.text)
                if start < end:
                    yield start, end
                if number == _MAX_MATCHES:
                    break


def _word_spans(automaton: AhoCorasick, text: str) -> Iterator[Span]:
    """In the haystack every word has spaces of its own on both sides, so two words side by side share none."""
    places: list[Span] = []
    offsets: list[int] = []  # of the words in the haystack
    words: list[str] = []
    place = offset = 0
    for word in text.translate(_separators).split(" "):
        if word:
            places.append((place, place + len(word)))
            offsets.append(offset)
            words.append(f" {word} ")
            offset += len(word) + 2
        place += len(word) + 1
    for _, start, end in automaton.find_matches_as_indexes("".join(words)):
        yield places[bisect_left(offsets, start)][0], places[bisect_left(offsets, end) - 1][1]


def _phrase(word: str) -> str:
    parts = normal_text(word).text.translate(_separators).split()
    if not parts:
        raise PolicyError(f"filters: {word!r} has no letter and no digit; write it as a pattern")
    return "".join(f" {part} " for part in parts)


def _pattern(text: str) -> Any:
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(text, options)
    except re2.error as wrong:
        reason = wrong.args[0].decode() if wrong.args and isinstance(wrong.args[0], bytes) else str(wrong)
        raise PolicyError(f"filters: the pattern {text!r}: {reason}") from wrong
