"""Does a query change with the clock alone? It asks for the time, or a text in it or in its data is read as one.

``'now'`` and ``'today'`` are valid input of dates and times, alone or as a part of a composite, an array or a range (docs:
"Date/Time Types", special values). In a literal they are a constant in the tree, but another one tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from engine.postgres.node_tree import Tree
from engine.query.sql.parsing.lexer import Token
from engine.query.sql.safety.functions import Function, reads_clock
from engine.values.special_times import is_special_time

__all__ = ["ClockReads"]


@dataclass(slots=True)
class ClockReads:
    """What of a query, and of the functions and domains it uses, can depend on the clock.

    Attributes:
        now: ``current_timestamp`` or its like is in one of the trees.
        casts: the types as which text, JSON or XML is read when it runs.
        literals: those as which a literal with a word like ``now`` in it may have been read.
    """

    now: bool = False
    casts: set[int] = field(default_factory=set)
    literals: set[int] = field(default_factory=set)

    def add(self, trees: Iterable[Tree]) -> None:
        """Add what these trees do when they run."""
        for tree in trees:
            self.now = self.now or tree.reads_clock
            self.casts |= tree.casts

    def add_body(self, text: str, tree: Tree) -> None:
        """Add the literals of a function's body that is read anew at each call."""
        if "\\" in text or is_special_time(text):
            self.literals |= tree.types

    def add_statement(self, tokens: Sequence[Token], tree: Tree) -> None:
        """Add the literals of the query itself."""
        if _has_special(tokens):
            self.literals |= tree.types

    def depend(self, functions: Iterable[Function], timed: Set[int]) -> bool:
        """True if the rows can change with the clock alone. ``timed``: the types among ours that consist of times."""
        return self.now or any(map(reads_clock, functions)) or bool(timed & self.casts) or bool(timed & self.literals)


def _has_special(tokens: Sequence[Token]) -> bool:
    """Whether a string has ``now`` or the like in it, or may have it: by escapes, or where strings in a row are one."""
    inside = False
    for token in tokens:
        if token.kind != "string":
            inside = False
        elif inside or is_special_time(token.text) or (token.text[0] in "eE" and "\\" in token.text):
            return True
        else:
            inside = True
    return False
