"""From the condition of a policy, as PostgreSQL prints it, to a predicate over the columns of the table.

What has no column of the table in it is a fact (:mod:`engine.query.policies.facts`). What remains must be comparisons of
columns with facts, tests for NULL, AND, OR and NOT; anything else raises :class:`NotIncrementalError`. A column that is
missed here does no harm: facts are evaluated without a FROM clause, where PostgreSQL knows no column of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.catalog.model import Table
from engine.query.ir.comparison import NotIncrementalError, indexed_column
from engine.query.ir.model import And, Compare, IsNull, Not, Or, Predicate
from engine.query.policies.facts import Answer, Answers, Facts, Made
from engine.query.policies.looked_for import search_in
from engine.query.policies.operands import Operand, unknown
from engine.query.policies.printed import Printed
from engine.query.sql.parsing.lexer import Token
from engine.values.pg_types import Column

__all__ = ["Conditions"]

_BOOL: Final = 16
# Of each operator the predicate's, and the one with the operands exchanged. The negated ones are the negation of the first.
_OPERATORS: Final = {
    "=": ("==", "=="),
    "<>": ("!=", "!="),
    "<": ("<", ">"),
    "<=": ("<=", ">="),
    ">": (">", "<"),
    ">=": (">=", "<="),
    "~~": ("like", ""),
    "~~*": ("ilike", ""),
    "!~~": ("like", ""),
    "!~~*": ("ilike", ""),
}


class Conditions:
    """Reads conditions over ``table``; what they are compared with goes into ``facts``."""

    def __init__(self, table: Table, facts: Facts) -> None:
        self._table = table
        self._facts = facts
        self._any = table.columns[table.identity[0]]  # a column, for conditions that are unknown for any row

    def read(self, text: str) -> Made:
        """The condition in ``text``. Raises ``NotIncrementalError``."""
        return self._condition(Printed.of(text))

    def _condition(self, printed: Printed) -> Made:
        piece = printed.bare()
        ands, ors = piece.places("and"), piece.places("or")
        if ands and not ors:
            return self._joined(And, piece.split(ands))
        if ors and not ands:
            return self._joined(Or, piece.split(ors))
        if piece.begins("not"):
            inner = self._condition(piece.part(1))
            return lambda answers: Not(inner(answers))
        if not self._has_column(piece):
            return self._constant(self._fact("value", piece))
        if piece.begins("exists", "("):
            return self._exists(piece.part(1).bare())
        for place in piece.places("is"):
            return self._is(piece.part(0, place), piece.part(place + 1))
        for place in piece.places("in"):
            return self._among(piece.part(0, place), piece.part(place + 1).bare())
        operators = piece.operators()
        if len(operators) == 1:
            start, end = operators[0]
            sign = "".join(token.text for token in piece.tokens[start:end])
            return self._comparison(piece.part(0, start), sign, piece.part(end))
        column = self._operand(piece)
        if operators or column.cast or column.column.type.underlying.oid != _BOOL:
            raise self._too_much(piece)
        return lambda _: Compare(column.column.name, "==", ("t",), column.column.type.compared.name)

    def _joined(self, kind: type[And] | type[Or], pieces: Sequence[Printed]) -> Made:
        items = [self._condition(piece) for piece in pieces]
        return lambda answers: kind(tuple(item(answers) for item in items))

    # -- facts -----------------------------------------------------------------------------------------------------

    def _fact(self, kind: str, piece: Printed) -> int:
        """Let PostgreSQL evaluate ``piece``."""
        if self._has_column(piece):
            raise self._too_much(piece)
        if any(token.is_word("collate") for token in piece.tokens):
            raise NotIncrementalError("a policy compares under a collation that it names")
        if any(token.is_word("from") for token in piece.tokens):
            self._facts.look_up(search_in(piece) if kind == "rows" else None)
        return self._facts.add(kind, piece.sql)

    def _constant(self, fact: int) -> Made:
        def made(answers: Answers) -> Predicate:
            answer = answers[fact]
            if answer.type != _BOOL:
                raise NotIncrementalError("a policy has a condition that is not boolean")
            if answer.value is None:
                return unknown(self._any)
            return And(()) if answer.value == "t" else Or(())

        return made

    # -- comparisons -----------------------------------------------------------------------------------------------

    def _comparison(self, left: Printed, sign: str, right: Printed) -> Made:
        if sign not in _OPERATORS:
            raise NotIncrementalError(f"a policy has the operator {sign}")
        for word, wanted, negated in (("any", "=", False), ("all", "<>", True)):
            if right.begins(word, "("):
                if sign != wanted:
                    raise NotIncrementalError(f"a policy has {sign} {word.upper()}")
                return _negated(self._among(left, right.part(1).bare()), wanted=negated)
        operator, flipped = _OPERATORS[sign]
        if not self._has_column(left):
            left, right, operator = right, left, flipped
        if not operator:
            raise NotIncrementalError("a policy has a pattern that is a column")
        operand, fact = self._operand(left), self._fact("value", right)
        return _negated(lambda answers: operand.compare(operator, answers[fact]), wanted=sign.startswith("!"))

    def _among(self, left: Printed, right: Printed) -> Made:
        """``left IN (SELECT …)``, or ``left = ANY (array)``."""
        operand, fact = self._operand(left), self._fact("rows" if right.begins("select") else "array", right)
        return lambda answers: operand.among(answers[fact])

    def _is(self, left: Printed, right: Printed) -> Made:
        operand = self._operand(left)
        column, negated = operand.column, right.begins("not")
        words = right.part(int(negated))
        if words.begins("distinct", "from"):
            fact = self._fact("value", words.part(2))
            return _negated(lambda answers: _distinct(operand, answers[fact]), wanted=negated)
        word = words.sql.lower()
        if operand.cast is None and word == "null" and column.type.underlying.kind != "composite":
            return _negated(lambda _: IsNull(column.name), wanted=negated)
        if operand.cast is None and column.type.underlying.oid == _BOOL and word in ("true", "false", "unknown"):
            return _negated(lambda _: _is_truth(column, word), wanted=negated)
        raise self._too_much(left)

    def _exists(self, select: Printed) -> Made:
        """``EXISTS (SELECT … FROM … WHERE other.column = column AND …)``: the column is among those of a set."""
        where, frm = select.places("where"), select.places("from")
        plain = select.begins("select") and len(where) == len(frm) == 1 and frm[0] < where[0]
        listed = select.part(1, frm[0]) if plain else select
        if not plain or any(token.text == "(" for token in listed.tokens) or self._has_column(listed):
            raise self._too_much(select)
        condition = select.part(where[0] + 1)
        inner = condition.bare()
        if len(inner) == len(condition) or inner.places("or"):
            raise self._too_much(select)
        parts = inner.split(inner.places("and"))
        own = [part for part in parts if self._has_column(part)]
        source = select.part(frm[0], where[0])
        if len(own) != 1 or self._has_column(source):
            raise self._too_much(select)
        column, value = self._link(own[0].bare())
        rest = " and ".join([f"({part.sql})" for part in parts if part is not own[0]] or ["true"])
        looked_up = f"select {value.sql} {source.sql} where ({rest})"
        self._facts.look_up(search_in(Printed.of(looked_up)))
        fact = self._facts.add("rows", looked_up)

        def made(answers: Answers) -> Predicate:
            found = answers[fact]
            values = tuple(each for each in found.values or () if each is not None)
            among = column.among(Answer(found.type, found.collation, values=values))
            return And((among, Not(IsNull(column.column.name))))

        return made

    def _link(self, piece: Printed) -> tuple[Operand, Printed]:
        """The column of the table, and what a sub-select compares it with."""
        operators = piece.operators()
        if len(operators) != 1 or piece.part(*operators[0]).sql != "=":
            raise self._too_much(piece)
        left, right = piece.part(0, operators[0][0]), piece.part(operators[0][1])
        if self._has_column(right):
            left, right = right, left
        if self._has_column(right) or any(token.is_word("select", "collate") for token in right.tokens):
            raise self._too_much(piece)
        return self._operand(left, qualified=True), right

    # -- columns ---------------------------------------------------------------------------------------------------

    def _operand(self, piece: Printed, *, qualified: bool = False) -> Operand:
        """A column, perhaps with a cast. ``qualified``: with the name of the table, as in sub-selects."""
        piece = piece.bare()
        cast: str | None = None
        for place, token in piece.outside():
            if token.text == ":" and piece.part(place).begins(":", ":"):
                piece, cast = piece.part(0, place).bare(), piece.part(place + 2).sql
                break
        if qualified:
            if len(piece) < 3 or piece.tokens[0].name != self._table.name or piece.tokens[1].text != ".":
                raise self._too_much(piece)
            piece = piece.part(2)
        if len(piece) != 1 or piece.tokens[0].kind not in ("word", "quoted"):
            raise self._too_much(piece)
        column, _ = indexed_column(piece.tokens[0].name, self._table)
        return Operand(column, cast)

    def _has_column(self, piece: Printed) -> bool:
        """Whether a column of the table, or a row of it, may be in ``piece``."""
        return any(self._is_own(piece.tokens, place) for place in range(len(piece)))

    def _is_own(self, tokens: Sequence[Token], place: int) -> bool:
        token = tokens[place]
        if token.kind not in ("word", "quoted"):
            return False
        before, after = (tokens[at] if 0 <= at < len(tokens) else None for at in (place - 1, place + 1))
        if token.name == self._table.name:  # also as that of another schema
            return True
        if token.name not in self._table.by_name:
            return False
        named = before is not None and (before.text in (".", ":") or before.is_word("as"))
        called = after is not None and after.text in ("(", ".")
        return not (named or called)

    def _too_much(self, piece: Printed) -> NotIncrementalError:
        text = " ".join(piece.sql.split())
        return NotIncrementalError(
            f"a policy of {self._table.name} has a condition that only PostgreSQL can check: {text[:60]}"
        )


def _negated(made: Made, *, wanted: bool) -> Made:
    return (lambda answers: Not(made(answers))) if wanted else made


def _distinct(operand: Operand, answer: Answer) -> Predicate:
    """``column IS DISTINCT FROM value``, which is never unknown."""
    null = IsNull(operand.column.name)
    if answer.value is None:
        operand.compare("!=", answer)  # whether it can be compared
        return Not(null)
    return Or((null, operand.compare("!=", answer)))


def _is_truth(column: Column, word: str) -> Predicate:
    """``column IS TRUE``, ``IS FALSE`` or ``IS UNKNOWN``."""
    if word == "unknown":
        return IsNull(column.name)
    equal = Compare(column.name, "==", (word[0],), column.type.compared.name)
    return And((equal, Not(IsNull(column.name))))
