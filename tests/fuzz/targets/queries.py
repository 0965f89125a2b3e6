"""The query model: the builder's JSON over a table with columns of several types."""

from __future__ import annotations

import re
from typing import Final

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import compile_incremental
from engine.query.compile.to_sql import render_rows
from engine.query.literals import literals, with_literals
from engine.values.pg_types import Collation, Column, TypeInfo
from server.protocol.client_messages import InvalidMessageError, Subscribe, decode, spec_of

__all__ = ["OPERATORS", "TABLE", "TOKENS", "target"]

OPERATORS: Final = (
    b'"=="', b'"!="', b'"<"', b'"<="', b'">"', b'">="', b'"in"', b'"not-in"', b'"array-contains"',
    b'"array-contains-any"', b'"like"', b'"ilike"', b'"is-null"', b'"is-not-null"',
)  # fmt: skip
TOKENS: Final = (
    *OPERATORS, b'"where":[', b'"orderBy":[', b'"select":["id",', b'"limit":1', b'"startAt":[', b'"startAfter":[',
    b'"endAt":[', b'"endBefore":[', b'"id"', b'"body"', b'"num"', b'"doc"', b'"ints"', b'"at"', b'"flag"', b'"desc"',
    b'"nulls-first"', b'{"and":[', b'{"or":[', b'{"not":', b'["id","==",1]', b"null", b"true", b"1.5", b"1e400",
    b"9223372036854775808", b'"\\u0000"', b'"\\ud800"', b"[]", b"{}", b"]", b"}", b",", b'"__proto__":1', b"[" * 70,
)  # fmt: skip

_INT: Final = TypeInfo(23, "integer", "base", category="N")
_BYTEWISE: Final = Collation("C", deterministic=True, bytewise=True)
_COLUMNS: Final = (
    Column("id", 1, _INT, not_null=True, field="id"),
    Column("body", 2, TypeInfo(25, "text", "base", category="S"), _BYTEWISE, field="body"),
    Column("num", 3, TypeInfo(1700, "numeric", "base", category="N"), field="num"),
    Column("doc", 4, TypeInfo(3802, "jsonb", "base"), field="doc"),
    Column("ints", 5, TypeInfo(1007, "integer[]", "array", element=_INT, category="A"), field="ints"),
    Column("at", 6, TypeInfo(1184, "timestamp with time zone", "base", category="D"), field="at"),
    Column("flag", 7, TypeInfo(16, "boolean", "base", category="B"), field="flag"),
)
TABLE: Final = Table(1, "public", "items", "items", _COLUMNS, (0,), (0,))


def target(data: bytes) -> None:
    """A query is refused as a client's is, or has SQL whose values are parameters, and literals that can be replaced."""
    try:
        message = decode(b'{"type":"subscribe","channel":"db:collection:items","query":' + data + b"}")
        assert isinstance(message, Subscribe)
        query = parse_query(spec_of(message), TABLE)
    except (InvalidMessageError, InvalidQueryError):
        return
    found = literals(query, TABLE)
    assert with_literals(query, [literal.text for literal in found]) == query
    assert all(value is None or isinstance(value, str) for value in render_rows(query, TABLE, None).params)
    if all(_is_canonical(literal.type, literal.text) for literal in found):
        plan = compile_incremental(query, TABLE)
        again = compile_incremental(query, TABLE)
        assert getattr(plan, "key", plan) == getattr(again, "key", again)


def _is_canonical(type_name: str, text: str) -> bool:
    """Whether it is surely as PostgreSQL prints it, which it is asked for before a query is compiled."""
    return type_name == "text" or (type_name == "integer" and re.fullmatch("-?[1-9][0-9]{0,8}", text) is not None)
