"""A statement with names replaced by ones that do not exist, and PostgreSQL's errors about it in terms of the original."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import psycopg

from engine.postgres.identifiers import quoted_name
from engine.query.sql.parsing.lexer import Edit, Rewritten, Token, place

__all__ = ["Renamed", "is_of_grammar", "operators_in"]

_GRAMMAR = frozenset({"scan.l", "gram.y", "parser.c"})  # where Postgres finds errors before it looks names up
_NO_OPERATOR = ("#~", "@~")  # pairs of characters that an operator may have anywhere; no comment begins with them


class Renamed:
    """The statement with some of its tokens replaced by names that do not exist."""

    def __init__(self, sql: Rewritten, tokens: Sequence[Token], occurrences: Sequence[int]) -> None:
        self._tokens = tokens
        self._occurrences = occurrences
        self._names: dict[str, str] = {}
        suffix = secrets.token_hex(8)
        operators = operators_in(tokens)
        edits = list(sql.edits)
        for index in occurrences:
            token = tokens[index]
            if any(edit.start < token.end and token.start < edit.end for edit in sql.edits):
                continue  # a table's or column's name that was written out
            if token.kind == "operator":
                name = operators[index]
                other = name + "".join(_NO_OPERATOR[int(digit, 16) % 2] for digit in suffix)
                edits.append(Edit(token.start, token.start + len(name), f" {other} "))
            else:
                name = token.name
                other = f"{name.encode()[:40].decode(errors='ignore')}_{suffix}"
                edits.append(Edit(token.start, token.end, f" {quoted_name(other)} "))
            self._names[other] = name
        self.sql = Rewritten(sql.original, edits)

    def original(self, error: psycopg.Error) -> int | None:
        """Where in the original the error is; None if Postgres does not report it."""
        position = int(error.diag.statement_position or 0) - 1
        return self.sql.offset(position) if position >= 0 else None

    def token_at(self, error: psycopg.Error) -> int | None:
        """The token that the error is about."""
        at = self.original(error)
        if at is None:
            return None
        return next((index for index, token in enumerate(self._tokens) if token.end > at), None)

    def keywords_at(self, error: psycopg.Error) -> set[int]:
        """If replacing a token has made the syntax wrong, that token and those in the same surroundings."""
        at = self.token_at(error) if is_of_grammar(error) else None
        last = max((index for index in self._occurrences if at is not None and index <= at), default=None)
        return set() if last is None else {i for i in self._occurrences if self._around(i) == self._around(last)}

    def _around(self, index: int) -> list[str]:
        return [token.name for token in self._tokens[max(0, index - 1) : index + 2]]

    def restored(self, text: str, error: psycopg.Error) -> str:
        """A message about the error, with names and places of the original."""
        for other, name in self._names.items():
            text = text.replace(other, name)
        at = self.original(error)
        if at is not None:
            wrong = place(self.sql.text, int(error.diag.statement_position or 0) - 1)
            text = text.replace(wrong, place(self.sql.original, at))
        return text

    def where(self, error: psycopg.Error) -> str:
        """`` (at line 1, column 2)`` of the original, or nothing."""
        at = self.original(error)
        return "" if at is None else f" ({place(self.sql.original, at)})"

    def name_at(self, error: psycopg.Error) -> tuple[str, str]:
        """Name and place of the type or column that the error is about, without its schema or table."""
        index = self.token_at(error)
        if index is None:
            return "", ""
        while index + 2 < len(self._tokens) and self._tokens[index + 1].text == ".":
            index += 2
        return self._tokens[index].name, f" ({place(self.sql.original, self._tokens[index].start)})"


def is_of_grammar(error: BaseException | None) -> bool:
    """True for an error that Postgres finds in the text before it looks any name up."""
    return isinstance(error, psycopg.Error) and error.sqlstate == "42601" and error.diag.source_file in _GRAMMAR


def operators_in(tokens: Sequence[Token]) -> dict[int, str]:
    """The operators, by their first token; tokens are single characters."""
    found: dict[int, str] = {}
    first = 0
    for index, token in enumerate(tokens):
        if token.kind == "operator":
            adjacent = index > 0 and tokens[index - 1].kind == "operator" and tokens[index - 1].end == token.start
            first = first if adjacent else index
            found[first] = found.get(first, "") + token.text
    return found
