"""The queries whose policies look at other tables, by the rows that they look for. No I/O.

A policy that lets the members of a team see its rows looks for the memberships of one person. So a change of a membership
makes another condition for that person's queries, and for no others (:mod:`engine.query.policies.looked_for`).
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from engine.transaction import UNCHANGED, UNKNOWN, Change, Kind, Value

if TYPE_CHECKING:
    from engine.query.compile.plan import IncrementalPlan
    from engine.query.compile.rule import LookedFor

__all__ = ["WatchedTables", "Watchers"]

Query = TypeVar("Query", bound=Hashable)


class WatchedTables(Generic[Query]):
    """The watchers of each table."""

    def __init__(self) -> None:
        self._watchers: dict[int, Watchers[Query]] = {}

    def watchers(self, table: int) -> Watchers[Query]:
        """Those of ``table`` (oid), always the same object."""
        return self._watchers.setdefault(table, Watchers())

    def add(self, query: Query, plan: IncrementalPlan) -> None:
        """``query`` has a window of ``plan``, of which :meth:`IncrementalPlan.given` knows the facts; not of another one."""
        self.discard(query)
        for table in plan.rule.watched if plan.rule is not None else ():
            self.watchers(table).add(query, plan.looked_for)

    def discard(self, query: Query) -> None:
        """``query`` is not kept by policies any more."""
        for watchers in self._watchers.values():
            watchers.discard(query)


class Watchers(Generic[Query]):
    """The queries that a change of one table may concern."""

    __slots__ = ("_any", "_looked_for", "_values")

    def __init__(self) -> None:
        self._looked_for: dict[Query, LookedFor | None] = {}
        self._any: dict[Query, None] = {}  # for which any row may be of concern
        self._values: dict[str, dict[bytes, dict[Query, None]]] = {}  # by column

    def __bool__(self) -> bool:
        return bool(self._looked_for)

    def add(self, query: Query, looked_for: LookedFor | None) -> None:
        """``query`` depends on the rows that have one of these values, None: on all. Replaces what it depended on."""
        self.discard(query)
        self._looked_for[query] = looked_for
        if looked_for is None:
            self._any[query] = None
        for column, value in looked_for or ():
            self._values.setdefault(column, {}).setdefault(value, {})[query] = None

    def discard(self, query: Query) -> None:
        """``query`` does not depend on the table any more."""
        looked_for = self._looked_for.pop(query, None)
        self._any.pop(query, None)
        for column, value in looked_for or ():
            by_value = self._values[column]
            by_value[value].pop(query)
            if not by_value[value]:
                del by_value[value]
            if not by_value:
                del self._values[column]

    def concerned(self, change: Change) -> list[Query]:
        """The queries that ``change`` may give another condition."""
        if change.kind is Kind.TRUNCATE:
            return list(self._looked_for)
        found = dict(self._any)
        for column, by_value in self._values.items():
            values = _values_of(change, column)
            for queries in by_value.values() if values is None else (by_value[v] for v in values if v in by_value):
                found.update(queries)
        return list(found)


def _values_of(change: Change, column: str) -> set[bytes] | None:
    """What the row had and has in ``column``; None: that is not known. NULL is equal to nothing."""
    relation = change.relation
    places = [place for place, each in enumerate(relation.columns) if each.name == column]
    if len(places) != 1:
        return None
    [place] = places
    known: list[Value] = []
    if change.kind is not Kind.INSERT:
        if relation.replica_identity != "f" and not relation.columns[place].is_key:
            return None
        old = change.old()
        if old is not None:
            known.append(old[place])
        elif change.kind is Kind.DELETE:
            return None
    new = change.new()
    if new is not None and not (new[place] is UNCHANGED and known):
        known.append(new[place])
    if any(value is UNCHANGED or value is UNKNOWN for value in known):
        return None
    return {value for value in known if value is not None}
