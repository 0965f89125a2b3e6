"""A condition as PostgreSQL prints it (``pg_get_expr``), in pieces: every operation there has parentheses around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.query.sql.parsing.lexer import Token, tokenize

__all__ = ["Printed"]

_OPEN, _CLOSE = "([", ")]"


@dataclass(frozen=True, slots=True)
class Printed:
    """Some tokens of ``text`` that belong together."""

    text: str
    tokens: Sequence[Token]

    @classmethod
    def of(cls, text: str) -> Printed:
        """All of ``text``. Raises ``InvalidQueryError`` for what the lexer does not read."""
        return cls(text, tokenize(text, bounded=False))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def sql(self) -> str:
        """The piece as it was printed."""
        return self.text[self.tokens[0].start : self.tokens[-1].end] if self.tokens else ""

    def part(self, start: int, end: int | None = None) -> Printed:
        """The tokens from ``start`` to ``end``."""
        return Printed(self.text, self.tokens[start:end])

    def bare(self) -> Printed:
        """Without the parentheses around all of it."""
        found = self
        while len(found) > 1 and found.tokens[0].text == "(" and found._closing(0) == len(found) - 1:
            found = found.part(1, -1)
        return found

    def begins(self, *words: str) -> bool:
        """Whether it begins with these bare words or signs."""
        if len(self) < len(words):
            return False
        return all(t.is_word(w) or (t.text == w and not t.is_word(w)) for t, w in zip(self.tokens, words, strict=False))

    def outside(self) -> Iterator[tuple[int, Token]]:
        """The tokens that are in no parentheses or brackets, and their places."""
        depth = 0
        for place, token in enumerate(self.tokens):
            depth -= token.kind == "punctuation" and token.text in _CLOSE
            if depth == 0:
                yield place, token
            depth += token.kind == "punctuation" and token.text in _OPEN

    def places(self, *words: str) -> list[int]:
        """Where these bare words are, outside parentheses."""
        return [place for place, token in self.outside() if token.is_word(*words)]

    def split(self, places: Sequence[int]) -> list[Printed]:
        """What is between the tokens at ``places``."""
        starts, ends = [0, *(place + 1 for place in places)], [*places, len(self)]
        return [self.part(start, end) for start, end in zip(starts, ends, strict=True)]

    def operators(self) -> list[tuple[int, int]]:
        """The operators outside parentheses: from which to which token each."""
        runs: list[tuple[int, int]] = []
        for place, token in self.outside():
            if token.kind != "operator":
                continue
            if runs and runs[-1][1] == place and self.tokens[place - 1].end == token.start:
                runs[-1] = (runs[-1][0], place + 1)
            else:
                runs.append((place, place + 1))
        return runs

    def _closing(self, opening: int) -> int:
        depth = 0
        for place in range(opening, len(self)):
            token = self.tokens[place]
            if token.kind == "punctuation":
                depth += (token.text in _OPEN) - (token.text in _CLOSE)
            if depth == 0:
                return place
        return -1
