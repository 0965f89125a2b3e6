"""What conditions of policies are compared with: expressions without columns of the table, which PostgreSQL evaluates.

They are evaluated as the role with its claims, in the snapshot in which the rows of a window are read. So functions like
``auth.uid()``, settings and look-ups in other tables mean what they mean for the policy itself, and nothing is inlined.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from engine.postgres.apart import apart
from engine.query.ir.comparison import NotIncrementalError
from engine.query.ir.model import Predicate

__all__ = ["Answer", "Answers", "Facts", "Made", "PoliciesChangedError", "Search", "answers_in"]

_TEXT: Final = "case when {v} is not null then pg_catalog.format('%s', {v}) end"
# Of types that have none pg_collation_for() raises an error.
_KIND: Final = (
    "pg_catalog.pg_typeof({v})::oid::bigint, case when (select t.typcollation <> 0 from pg_catalog.pg_type t "
    "where t.oid = pg_catalog.pg_typeof({v})) then pg_catalog.pg_collation_for({v}) end"
)
_LIST: Final = "(select coalesce(pg_catalog.json_agg({text}), '[]') from {source})"
_VALUE: Final = (
    f"(select pg_catalog.json_build_array({_KIND.format(v='f.v')}, {_TEXT.format(v='f.v')}) "
    "from (select {sql} as v offset 0) f)"
)
_ARRAY: Final = (
    f"(select pg_catalog.json_build_array({_KIND.format(v='(f.v)[1]')}, case when f.v is not null then "
    f"{_LIST.format(text=_TEXT.format(v='u.e'), source='pg_catalog.unnest(f.v) u (e)')} end) "
    "from (select {sql} as v offset 0) f)"
)
_ROWS: Final = (
    f"(select pg_catalog.json_build_array({_KIND.format(v='f.v')}, "
    f"{_LIST.format(text=_TEXT.format(v='q.v'), source='({sql}) q (v)')}) "
    "from (select (select q.v from ({sql}) q (v) limit 1) as v offset 0) f)"
)
_FORMS: Final = {"value": _VALUE, "array": _ARRAY, "rows": _ROWS}
_EVALUATED: Final = {"value": "({sql})", "array": "({sql})", "rows": "array(select q.v from ({sql}) q (v))"}


class PoliciesChangedError(NotIncrementalError):
    """Other policies apply to the role than those that the condition was made of: the catalog is out of date."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What PostgreSQL made of an expression: the oid of the type (of the elements), its collation (None: not of text), and
    the value, or the values, as PostgreSQL prints them.
    """

    type: int
    collation: str | None
    value: str | None = None
    values: tuple[str | None, ...] | None = None


class Search(NamedTuple):
    """``column`` of a table that is looked at, and the ``value`` (SQL) that a row must have there to be of concern."""

    column: str
    value: str


Answers = Sequence[Answer]
Made = Callable[[Answers], Predicate]
"""A condition, once the answers are known. Raises ``NotIncrementalError`` if Python cannot decide it then."""


@dataclass(slots=True)
class Facts:
    """Expressions to be evaluated, in order. ``looks_up``: one of them may read tables; ``searches``: what those that do
    look for; None: any row may be of concern.
    """

    expressions: list[tuple[str, str]] = field(default_factory=list)
    looks_up: bool = False
    searches: list[Search] | None = field(default_factory=list)

    def look_up(self, search: Search | None) -> None:
        """An expression reads a table, of which it looks for ``search``; None: for any row."""
        self.looks_up = True
        if search is None:
            self.searches = None
        elif self.searches is not None:
            self.searches.append(search)

    def add(self, kind: str, sql: str) -> int:
        """Take an expression; returns its number. ``kind``: ``value``, ``array``, or ``rows``: a SELECT of one column."""
        entry = (kind, sql)
        if entry not in self.expressions:
            self.expressions.append(entry)
        return self.expressions.index(entry)

    def statement(self, table: int, settings: Sequence[tuple[str, str]] = ()) -> str:
        """SQL with one row of one column, for :func:`answers_in`: first what was applied to the table (oid). With
        ``settings`` the expressions are evaluated under these, and their values written under ours.
        """
        expressions, before, behind = self.expressions, "", ""
        if settings and expressions:
            values = [_EVALUATED[kind].replace("{sql}", sql) for kind, sql in expressions]
            source = "select " + ", ".join(f"{value} as v{number}" for number, value in enumerate(values))
            expressions = [
                ("value" if kind == "value" else "array", f"g.v{number}")
                for number, (kind, _) in enumerate(expressions)
            ]
            before, rows = apart(source, settings)
            behind = f" from {rows} as g"
        parts = [
            _APPLIED.format(table=int(table)),
            *(_FORMS[kind].replace("{sql}", sql) for kind, sql in expressions),
        ]
        return f"{before} select pg_catalog.json_build_array({', '.join(parts)})::text{behind}".lstrip()


# As realtime.policies_for() has it for the role that runs this. The schemas show that names without schema are those of
# pg_catalog, as in the texts of policies.
_APPLIED: Final = (
    "pg_catalog.json_build_array(pg_catalog.array_to_string(pg_catalog.current_schemas(true), ','), "
    "case when pg_catalog.row_security_active({table}::oid) then (select coalesce(pg_catalog.json_agg(p.oid::bigint "
    "order by p.oid), '[]') from pg_catalog.pg_policy p where p.polrelid = {table} and p.polcmd in ('r', '*') "
    "and p.polqual is not null and (0 = any (p.polroles) or exists (select from pg_catalog.unnest(p.polroles) r (oid) "
    "where pg_catalog.pg_has_role(r.oid, 'usage')))) end)"
)


def answers_in(text: str, applied: Sequence[int] | None) -> list[Answer]:
    """The answers in what the statement of :class:`Facts` returned.

    ``applied``: the oids of the policies that the role reads the table under; None: it is under none. Raises
    ``PoliciesChangedError`` if others were applied.
    """
    document: list[Any] = json.loads(text)
    (schemas, found), *rest = document
    first = next((name for name in schemas.split(",") if not name.startswith("pg_temp")), "")
    if first != "pg_catalog":
        raise NotIncrementalError(f"the search_path finds names in schema {first} before those of PostgreSQL")
    if found != (None if applied is None else list(applied)):
        raise PoliciesChangedError("which policies apply to the role has just changed")
    return [_answer(*each) for each in rest]


def _answer(type_: int, collation: str | None, value: Any) -> Answer:
    if isinstance(value, list):
        return Answer(type_, collation, values=tuple(value))
    return Answer(type_, collation, value)
