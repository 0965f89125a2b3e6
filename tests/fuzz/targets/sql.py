"""The gate for clients' SQL, as far as it reads the text; what it lets through PostgreSQL judges."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import sqlglot
from sqlglot import exp

from engine.errors import InvalidQueryError
from engine.query.ir.comparison import NotIncrementalError
from engine.query.sql.parsing.from_clause import named_in_from
from engine.query.sql.parsing.lexer import Token, identifier, normalise, place, statement, tokenize
from engine.query.sql.parsing.parameters import ParameterType
from engine.query.sql.parsing.rewrite import star_edits, with_nulls
from engine.query.sql.parsing.syntax import detach, parse, references
from engine.query.sql.safety.check import placeholders
from engine.query.sql.safety.hidden_names import candidates
from engine.query.sql.to_query import query_of
from tests.fuzz.targets.queries import TABLE

__all__ = ["TOKENS", "target"]

TOKENS: Final = (
    b"select ", b" from items", b" where ", b" order by ", b" limit 5", b"id", b"body", b"*", b"$1", b"$2", b"$$",
    b"$a$", b"'", b"''", b"E'\\''", b'"', b"U&'", b"--", b"/*", b"*/", b"\n", b";", b"::int", b"(", b")", b",", b".",
    b" = ", b" any(", b" in (", b" is null", b" like ", b" and ", b" or ", b"not ", b" between 1 and 2",
    b"with x as (", b" union all ", b" for update", b" into t", b"delete from items", b"insert into items values (1)",
    b"pg_sleep(1)", b"values (1)", b"table items", b" join items using (id)", b" lateral ",
    b" tablesample system (1)", b"case when ", b" end", b"array[", b"]", b"\xe2\x80\xa8", b"\xc2\xa0", b"0x1F",
    b"1_000", b"1e5", b"interval '1 day'", b"explain ", b"copy items to '/x'", b"\\", b"((((((((((((((((",
)  # fmt: skip

_WRITES: Final = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Lock, exp.Command)


def target(data: bytes) -> None:
    """SQL is refused with ``InvalidQueryError``, or is one statement that only reads, as another reading of it finds."""
    given = data.decode(errors="surrogateescape")
    try:
        text, tokens = statement(given, tokenize(given))
        syntax = parse(text, tokens)
        wanted = placeholders(tokens)
    except InvalidQueryError:
        return
    assert all(one.end <= other.start for one, other in pairwise(tokens))
    assert all(text[token.start : token.end] == token.text for token in tokens)
    assert not any(token.text == ";" for token in tokens)
    assert place(text, tokens[-1].start)
    assert list(map(_folded, tokenize(normalise(text, tokens), bounded=False))) == list(map(_folded, tokens))
    candidates(tokens, syntax)
    if syntax.tree is None:
        named_in_from(tokens)
        return
    found = references(syntax.tree)
    detach(syntax.tree)
    [again] = sqlglot.parse(text, read="postgres")
    assert again is not None
    assert not any(isinstance(node, _WRITES) for node in again.walk())
    tables = {id(reference.node): TABLE for reference in found if reference.node is not None}
    types = [ParameterType(23, "integer", 0, ",")] * min(wanted, 8)
    star_edits(tokens, syntax.tree, tables)
    if wanted > len(types):
        return
    tokenize(with_nulls(text, tokens, types), bounded=False)
    try:
        query_of(syntax.tree, tables, types, [1] * wanted, ["1"] * wanted)
    except NotIncrementalError:
        return


def _folded(token: Token) -> str:
    return identifier(token.text) if token.kind in ("word", "number") else token.text
