"""From the WHERE of a simple SELECT to a predicate, where the operators are certainly those of the column's own type."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlglot import exp

from engine.catalog.model import Table
from engine.postgres.oids import DATE_TIME_OIDS
from engine.query.ir.comparison import NotIncrementalError
from engine.query.ir.model import And, Compare, IsNull, Not, Or, Predicate
from engine.query.sql.parsing.parameters import ParameterType, element_texts
from engine.query.sql.parsing.syntax import name_of, only_args
from engine.values.pg_types import Column, TypeInfo
from engine.values.special_times import is_special_time

__all__ = ["Columns", "is_number", "where_of"]

_OPERATORS: dict[type[exp.Expr], str] = {
    exp.EQ: "==",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_FLIPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_INTEGERS = {21: 15, 23: 31, 20: 63}  # int2, int4, int8: their bits
_NUMERIC, _FLOAT8, _BOOL, _TEXT, _VARCHAR = 1700, 701, 16, 25, 1043
_NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Columns:
    """What names and placeholders of one SELECT mean. ``params`` are the parameters' canonical texts."""

    alias: str
    table: Table
    types: Sequence[ParameterType]
    values: Sequence[object]
    params: Sequence[str | None]

    def find(self, node: exp.Expr) -> Column:
        """The exposed column that ``node`` is. Raises ``NotIncrementalError`` if it is anything else."""
        if not isinstance(node, exp.Column) or not only_args(node, "this", "table"):
            raise NotIncrementalError(f"the query computes {node.sql('postgres')[:60]}")
        if name_of(node.args.get("table")) not in ("", self.alias):
            raise NotIncrementalError("the query names a column of another table")
        column = self.table.by_name.get(name_of(node.this))
        if column is None or not column.exposed:
            raise NotIncrementalError(f"{name_of(node.this)!r} is not a column of the collection")
        return column

    def parameter(self, node: exp.Expr) -> tuple[ParameterType, object, str | None]:
        """Type, JSON value and canonical text of a placeholder."""
        if not isinstance(node, exp.Parameter) or not isinstance(node.this, exp.Literal) or not only_args(node, "this"):
            raise NotIncrementalError("the query has an unusual placeholder")
        number = int(node.this.this) - 1
        return self.types[number], self.values[number], self.params[number]


def where_of(node: exp.Expr, columns: Columns) -> Predicate:
    """The predicate that ``node`` is. Raises ``NotIncrementalError``."""
    if isinstance(node, exp.Paren) and only_args(node, "this"):
        return where_of(node.this, columns)
    if isinstance(node, exp.And | exp.Or) and only_args(node, "this", "expression"):
        kind: type[And] | type[Or] = And if isinstance(node, exp.And) else Or
        return kind(tuple(where_of(item, columns) for item in _flat(node, type(node))))
    if isinstance(node, exp.Not) and only_args(node, "this"):
        return Not(where_of(node.this, columns))
    if type(node) in _OPERATORS and only_args(node, "this", "expression"):
        return _comparison(node, columns)
    if isinstance(node, exp.Between) and only_args(node, "this", "low", "high"):
        low = _compare(columns.find(node.this), ">=", [node.args["low"]], columns)
        return And((low, _compare(columns.find(node.this), "<=", [node.args["high"]], columns)))
    if isinstance(node, exp.In) and only_args(node, "this", "expressions"):
        return _compare(columns.find(node.this), "in", node.expressions, columns)
    if isinstance(node, exp.Like | exp.ILike) and only_args(node, "this", "expression", "negate"):
        return _negated(node, _like(node, columns))
    if isinstance(node, exp.Is) and only_args(node, "this", "expression", "negate"):
        return _negated(node, _is(node, columns))
    column = columns.find(node)
    if column.type.underlying.oid != _BOOL:
        raise NotIncrementalError(f"{column.name!r} is not boolean")
    return Compare(column.name, "==", ("true",), column.type.underlying.name)


def _flat(node: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
    """The operands of a chain of ANDs or ORs, without recursion: chains can be long."""
    items: list[exp.Expr] = []
    while type(node) is kind and only_args(node, "this", "expression"):
        items.append(node.args["expression"])
        node = node.this
    return [node, *reversed(items)]


def _negated(node: exp.Expr, predicate: Predicate) -> Predicate:
    return Not(predicate) if node.args.get("negate") else predicate


def _is(node: exp.Expr, columns: Columns) -> Predicate:
    column, wanted = columns.find(node.this), node.args["expression"]
    if isinstance(wanted, exp.Null):
        if column.type.underlying.kind == "composite":  # IS NULL looks into the row there
            raise NotIncrementalError(f"{column.name!r} is composite")
        return IsNull(column.name)
    if isinstance(wanted, exp.Boolean) and column.type.underlying.oid == _BOOL:
        text = "true" if wanted.this else "false"
        equal = Compare(column.name, "==", (text,), column.type.underlying.name)
        return And((equal, Not(IsNull(column.name))))
    raise NotIncrementalError("the query has an IS that only Postgres understands")


def _like(node: exp.Expr, columns: Columns) -> Predicate:
    column = columns.find(node.this)
    if column.type.underlying.oid not in (_TEXT, _VARCHAR):
        raise NotIncrementalError(f"{column.name!r} is not text")
    operator = "ilike" if isinstance(node, exp.ILike) else "like"
    found = _compare(column, operator, [node.args["expression"]], columns)
    return Compare(column.name, operator, found.values, "text")


def _comparison(node: exp.Expr, columns: Columns) -> Predicate:
    left, right, operator = node.this, node.args["expression"], _OPERATORS[type(node)]
    if isinstance(right, exp.Column) and not isinstance(left, exp.Column):
        left, right, operator = right, left, _FLIPPED[operator]
    column = columns.find(left)
    if isinstance(right, exp.Any) and operator == "==" and left is node.this:
        return _any(column, right.this, columns)
    return _compare(column, operator, [right], columns)


def _any(column: Column, node: exp.Expr, columns: Columns) -> Predicate:
    if isinstance(node, exp.Paren):
        node = node.this
    kind, value, text = columns.parameter(node)
    texts = element_texts(value)
    own = column.type.underlying
    if texts is None or text is None or not _same(own, kind.element_oid):
        raise NotIncrementalError("= ANY is not over a plain list")
    if own.oid in DATE_TIME_OIDS and any(map(is_special_time, texts)):
        raise NotIncrementalError("the query depends on the clock")
    return Compare(column.name, "in", texts, own.name)


def _compare(column: Column, operator: str, nodes: Sequence[exp.Expr], columns: Columns) -> Compare:
    found = [_literal(column, node, columns) for node in nodes]
    kinds = {kind for kind, _, _ in found}
    # Postgres reads all members of an IN list as one common type; a parameter's type has been compared already.
    if len({type_ for _, type_, _ in found}) != 1 or (len(kinds) > 1 and kinds != {"?", "0"}):
        raise NotIncrementalError("an IN list mixes types")
    return Compare(column.name, operator, tuple(text for _, _, text in found), found[0][1])


def _literal(column: Column, node: exp.Expr, columns: Columns) -> tuple[str, str, str]:
    """How a value is written ("'" string, "?" parameter, "0" number, "b" boolean), the type to read it as, and its text."""
    own = column.type.underlying
    if (
        own.name != column.type.compared.name
    ):  # an array of a domain: Postgres reads a literal as the domain, and rounds it
        raise NotIncrementalError(f"{column.name!r} ({own.name}) is an array of a domain")
    if isinstance(node, exp.Parameter):
        kind, _, text = columns.parameter(node)
        if text is None:
            raise NotIncrementalError("the query compares with null")
        if not _same(own, kind.oid):
            raise NotIncrementalError(f"{column.name!r} ({own.name}) is compared with a {kind.name}")
        return "?", own.name, _timeless(own, text)
    if isinstance(node, exp.Literal) and node.is_string and own.kind != "composite":
        return "'", own.name, _timeless(own, str(node.this))
    if isinstance(node, exp.Boolean) and own.oid == _BOOL:
        return "b", own.name, "true" if node.this else "false"
    return "0", *_number(column, own, node)


def _timeless(own: TypeInfo, text: str) -> str:
    if own.oid in DATE_TIME_OIDS and is_special_time(text):
        raise NotIncrementalError("the query depends on the clock")
    return text


def _number(column: Column, own: TypeInfo, node: exp.Expr) -> tuple[str, str]:
    sign, literal = "", node
    if isinstance(node, exp.Neg) and only_args(node, "this"):
        sign, literal = "-", node.this
    text = str(literal.this) if isinstance(literal, exp.Literal) and not literal.is_string else ""
    if not is_number(text):
        raise NotIncrementalError(f"{column.name!r} is compared with {node.sql('postgres')[:60]}")
    if own.oid in (_NUMERIC, _FLOAT8):
        return own.name, sign + text
    if own.oid in _INTEGERS and not text.isdigit():
        return "numeric", sign + text
    bits = _INTEGERS.get(own.oid, 0)
    if bits and len(text) < 20 and -(2**bits) <= int(sign + text) < 2**bits:
        return own.name, sign + text
    raise NotIncrementalError(f"{column.name!r} ({own.name}) is compared with the number {sign}{text}")


def is_number(text: str) -> bool:
    """True for a decimal number in the plain notation."""
    return _NUMBER.fullmatch(text) is not None


def _same(own: TypeInfo, oid: int) -> bool:
    return own.oid == oid or {own.oid, oid} <= {_TEXT, _VARCHAR}
