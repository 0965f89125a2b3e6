"""A column as one side of a comparison in a policy, and what comes of it when the other side is known.

PostgreSQL prints the casts that it made up its mind to, so the types on both sides decide which operator is meant
(ruleutils.c: ``get_oper_expr`` shows implicit casts of operands).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.query.ir.comparison import NotIncrementalError, describe
from engine.query.ir.model import And, Compare, IsNull, Not, Predicate
from engine.query.policies.facts import Answer
from engine.values.pg_types import Column

__all__ = ["Operand", "unknown"]

_TEXT, _VARCHAR, _NUMERIC, _UUID = 25, 1043, 1700, 2950
_INTEGERS: Final = {21: "smallint", 23: "integer", 20: "bigint"}
_CANONICAL: Final = {
    _UUID: re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    **dict.fromkeys(_INTEGERS, re.compile(r"0|-?[1-9][0-9]{0,18}")),
}


def unknown(column: Column) -> Compare:
    """A condition that is neither true nor false for any row: a comparison with NULL."""
    return Compare(column.name, "==", (None,), column.type.compared.name)


@dataclass(frozen=True, slots=True)
class Operand:
    """``column``, perhaps with a cast: the name of the type, None: none."""

    column: Column
    cast: str | None = None

    def compare(self, operator: str, answer: Answer) -> Predicate:
        """``column operator value``; ``operator`` is one of the predicate language's with one value."""
        type_ = self._read_as(answer, operator)
        if type_ is None:
            equal = self._among((answer.value,))
            return Not(equal) if operator == "!=" else equal
        return Compare(self.column.name, operator, (answer.value,), type_)

    def among(self, answer: Answer) -> Predicate:
        """``column = ANY (values)``."""
        if answer.values is None:
            return unknown(self.column)
        type_ = self._read_as(answer, "==")
        if type_ is None:
            return self._among(answer.values)
        return Compare(self.column.name, "in", answer.values, type_)

    def _read_as(self, answer: Answer, operator: str) -> str | None:
        """The type as which values are read; None: the texts of the column's values are compared. Raises
        ``NotIncrementalError`` for another comparison.
        """
        column, own = self.column, self.column.type.underlying
        if answer.collation not in (None, '"default"'):  # otherwise the column's own decides
            raise NotIncrementalError(f"{describe(column)} is compared under collation {answer.collation}")
        if operator in ("like", "ilike"):
            if own.oid in (_TEXT, _VARCHAR) and self.cast in (None, "text") and answer.type == _TEXT:
                return "text"
        elif self.cast in (None, column.type.compared.name):
            if answer.type == own.oid:
                return column.type.compared.name
            if {answer.type, own.oid} <= _INTEGERS.keys():
                return _INTEGERS[answer.type]
        elif (self.cast, answer.type) == ("text", _TEXT) and own.oid == _VARCHAR:
            return "text"
        elif (self.cast, answer.type) == ("numeric", _NUMERIC) and own.oid in _INTEGERS:
            return "numeric"
        elif (self.cast, answer.type) == ("text", _TEXT) and own.oid in _CANONICAL and operator in ("==", "!="):
            return None
        raise self._other_type()

    def _other_type(self) -> NotIncrementalError:
        cast = f" as {self.cast}" if self.cast else ""
        return NotIncrementalError(f"{describe(self.column)} is compared{cast} with a value of another type")

    def _among(self, texts: Sequence[str | None]) -> Predicate:
        """The text of the value is one of ``texts``."""
        column, own = self.column, self.column.type.underlying
        values = tuple(text for text in texts if text is None or _CANONICAL[own.oid].fullmatch(text))
        if values or not texts:
            return Compare(column.name, "in", values, own.name)
        return And((unknown(column), IsNull(column.name)))  # false, or unknown where the value is NULL
