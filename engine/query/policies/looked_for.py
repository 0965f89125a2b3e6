"""What a sub-select of a policy looks for in another table: the rows with one value in one column.

``select m.team from membership m where m.person = (claims ->> 'sub')`` depends on the rows of one person. A change of any
other row cannot change what it returns, so it concerns no other subscriber.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.query.compile.rule import LookedFor
from engine.query.policies.facts import Answers, Search
from engine.query.policies.printed import Printed

__all__ = ["fact_of", "search_in", "searched"]

# Types whose values are equal exactly if their texts are: int2, int4, int8, text, varchar and uuid, on both sides; not under
# a collation for which different texts are equal (docs: Nondeterministic Collations). That of the value counts before that
# of the column (docs: Collation Support, Concepts), also behind a cast of a domain: it has to be the default or none.
_COMPARED: Final = """\
array[(select 't'::pg_catalog.text
from pg_catalog.pg_attribute a left join pg_catalog.pg_collation c on c.oid = a.attcollation
where a.attrelid = {table}::pg_catalog.oid and a.attname = {column} and c.collisdeterministic is not false
and a.atttypid = any ({types}) and pg_catalog.pg_typeof({value})::pg_catalog.oid = any ({types})
and case when pg_catalog.pg_typeof({value})::pg_catalog.oid = any ('{{25,1043}}'::pg_catalog.oid[])
    then coalesce(pg_catalog.pg_collation_for({value}), {default}) = {default} else true end), ({value})::pg_catalog.text]"""
_TYPES: Final = "'{21,23,20,25,1043,2950}'::pg_catalog.oid[]"
_DEFAULT: Final = "'\"default\"'"


def fact_of(search: Search, table: int) -> str:
    """SQL for an array: whether texts of the column can be compared ('t' or null), and the text of the value. ``table``: the
    oid of what is looked at.
    """
    column = "'" + search.column.replace("'", "''") + "'"
    return _COMPARED.format(table=int(table), column=column, value=search.value, types=_TYPES, default=_DEFAULT)


def searched(searches: Sequence[tuple[str, int]], answers: Answers) -> LookedFor | None:
    """The values of ``searches``, columns with the numbers of their facts; None: they may concern any row."""
    found: set[tuple[str, bytes]] = set()
    for column, fact in searches:
        comparable, value = answers[fact].values or (None, None)
        if comparable is None:
            return None
        if value is not None:  # a comparison with NULL is true for no row
            found.add((column, value.encode()))
    return frozenset(found)


def search_in(select: Printed) -> Search | None:
    """What ``select``, printed by PostgreSQL, looks for; None: its text does not show that."""
    piece = select.bare()
    frm, where = piece.places("from"), piece.places("where")
    once = all(sum(token.is_word(word) for token in piece.tokens) == 1 for word in ("select", "from", "where"))
    if not once or not piece.begins("select") or not frm or not where or where[0] < frm[0]:
        return None
    alias = _alias(piece.part(frm[0] + 1, where[0]))
    condition = piece.part(where[0] + 1)
    inner = condition.bare()
    if alias is None or len(inner) == len(condition) or inner.places("or"):
        return None
    for part in inner.split(inner.places("and")):
        found = _comparison(part.bare(), alias)
        if found is not None:
            return found
    return None


def _alias(source: Printed) -> str | None:
    """The name of the one table in a FROM clause."""
    tokens = source.tokens
    names = [token for token in tokens if token.kind in ("word", "quoted")]
    dots = [place for place, token in enumerate(tokens) if token.text == "." and token.kind not in ("word", "quoted")]
    if len(names) + len(dots) != len(tokens) or dots not in ([], [1]) or not 1 <= len(names) - len(dots) <= 2:
        return None
    return tokens[-1].name


def _comparison(piece: Printed, alias: str) -> Search | None:
    operators = piece.operators()
    if len(operators) != 1 or piece.part(*operators[0]).sql != "=":
        return None
    left, right = piece.part(0, operators[0][0]), piece.part(operators[0][1])
    for own, other in ((left, right), (right, left)):
        column = _column(own, alias)
        foreign = all(token.kind not in ("word", "quoted") or token.name != alias for token in other.tokens)
        if column is not None and foreign and not other.tokens[0].is_word("any", "all", "some", "row"):
            return Search(column, other.sql)
    return None


def _column(piece: Printed, alias: str) -> str | None:
    """The name of a column of ``alias``, if ``piece`` is one, perhaps as text."""
    piece = piece.bare()
    if len(piece) > 3 and piece.part(len(piece) - 3).sql == "::text":
        piece = piece.part(0, len(piece) - 3).bare()
    tokens = piece.tokens
    if len(tokens) != 3 or tokens[1].text != "." or tokens[0].name != alias:
        return None
    return tokens[2].name if tokens[2].kind in ("word", "quoted") else None
