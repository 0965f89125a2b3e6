"""The relations that a statement names in FROM, found by its tokens alone: for what sqlglot cannot read.

The rules are those of ``from_clause`` in PostgreSQL's ``gram.y``: an item begins after FROM, JOIN, a comma of the list, or
a parenthesis that opens there; TABLE names one, too. A name with a parenthesis after it is a function.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import InvalidQueryError
from engine.query.sql.parsing.lexer import Token
from engine.query.sql.parsing.syntax import Reference

__all__ = ["named_in_from"]

_ENDS = (
    "where",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "union",
    "intersect",
    "except",
)
_QUERIES = ("select", "with", "values", "table")
_FROM_INSIDE = ("extract", "substring", "trim", "overlay")  # functions with a FROM of their own between the parentheses


def named_in_from(tokens: Sequence[Token]) -> list[Reference]:
    """The relations, common table expressions aside.

    Raises ``InvalidQueryError`` if a name can mean either: which of them depends on the place.
    """
    expressions = _common_table_expressions(tokens)
    found = []
    for first, last in _items(tokens):
        name, schema = tokens[last], tokens[last - 2].name if last > first else None
        if schema is None and name.name in expressions:
            continue
        found.append(Reference(schema, name.name, None, name.start))
    both = expressions & {reference.name for reference in found if reference.schema is None}
    if both:
        raise InvalidQueryError(
            f'the SQL cannot be read: "{min(both)}" is a common table expression too; give it another name'
        )
    return found


def _items(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """First and last token of each name of a relation."""
    place, found = _Place(), []
    for index, token in enumerate(tokens):
        before = tokens[index - 1] if index else None
        if place.brackets(token, before) or place.words(token, before) or not place.start:
            continue
        if token.is_word("only", "lateral"):
            continue
        if token.is_word(*_QUERIES):
            place.list_ends()
        elif token.kind in ("word", "quoted"):
            place.start = False
            last = _last_of_name(tokens, index)
            if last is not None:
                found.append((index, last))
    return found


class _Place:
    """Where a walk over the tokens is. ``start``: an item of FROM begins with the next token."""

    def __init__(self) -> None:
        self.start = False
        self._lists = [False]  # for each open parenthesis: whether a list of FROM is going on in it
        self._own = [False]  # whether it is that of a function with a FROM of its own

    def list_ends(self) -> None:
        """The list of FROM in this parenthesis is complete."""
        self.start = self._lists[-1] = False

    def brackets(self, token: Token, before: Token | None) -> bool:
        """Whether ``token`` is a parenthesis, a bracket or a comma."""
        if token.text in ("(", "["):
            self._lists.append(self.start)
            self._own.append(before is not None and before.is_word(*_FROM_INSIDE))
        elif token.text in (")", "]"):
            self.start = False
            self._lists[1:], self._own[1:] = self._lists[1:-1], self._own[1:-1]
        elif token.text == ",":
            self.start = self._lists[-1]
        else:
            return False
        return True

    def words(self, token: Token, before: Token | None) -> bool:
        """Whether ``token`` is a word that begins or ends a list, and no label or column of that name."""
        if before is not None and (before.text == "." or before.is_word("as")):
            return False
        if token.is_word("from"):
            if not self._own[-1] and not (before is not None and before.is_word("distinct")):
                self.start = self._lists[-1] = True
        elif token.is_word("join", "table"):
            self.start = True
        elif token.is_word(*_ENDS):
            self.list_ends()
        else:
            return False
        return True


def _last_of_name(tokens: Sequence[Token], first: int) -> int | None:
    """The last token of the relation's name that begins at ``first``; None if it is a function's."""
    last = first
    while last + 2 < len(tokens) and tokens[last + 1].text == ".":
        last += 2
    after = tokens[last + 1] if last + 1 < len(tokens) else None
    if after is None or not (after.text == "(" or (tokens[first].is_word("rows") and after.is_word("from"))):
        return last
    return None


def _common_table_expressions(tokens: Sequence[Token]) -> set[str]:
    """Names before ``as (`` or ``as materialized (``, with or without a list of columns."""
    found = set()
    for index, token in enumerate(tokens):
        ahead = [t.name for t in tokens[index + 1 : index + 4]]
        if not token.is_word("as") or not (ahead[:1] == ["("] or "materialized" in ahead[:2]):
            continue
        i = index - 1
        if tokens[i].text == ")":
            while i > 0 and tokens[i].text != "(":
                i -= 1
            i -= 1
        found.add(tokens[i].name)
    return found
