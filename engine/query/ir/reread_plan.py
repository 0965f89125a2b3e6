"""The re-read strategy: a query that the engine cannot reproduce exactly is run again by PostgreSQL.

A :class:`ReReadPlan` is only a description. Its caller reads ``statement`` when one of ``dependencies`` has changed and
delivers the keyed difference. The statement returns two text columns per row, in the query's order: the document's id and
the document, a JSON object made by Postgres under TimeZone UTC. Columns that only show an origin may follow (see
:class:`engine.postgres.statements.statement.Origin`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.identity.visibility import ANONYMOUS, Visibility
from engine.postgres.statements.statement import Statement

__all__ = ["ReReadPlan", "unique_ids"]


@dataclass(frozen=True, slots=True)
class ReReadPlan:
    """A query that is answered by running it again.

    Attributes:
        key: canonical; equal for equal queries, which may share one result where ``visibility`` is equal, too.
        statement: returns ``(id text, document text)`` rows in order. Ids may repeat (see :func:`unique_ids`).
        dependencies: oids of the exposed tables it reads; of a partitioned table the root's.
        reason: why it is re-read, in words for the user. ``detail``: the same for operators, where it names what clients
            may not know of, such as what policies look at.
        time_dependent: its answer also changes with the clock (``now()``), not only with its tables.
        columns: names of the document's fields, in output order.
        visibility: what its subscribers may see.
        cost: of its statement, as PostgreSQL estimates it (docs: "Planner Cost Constants"); None: it has not been asked.
        calls_own: it calls functions that did not come with PostgreSQL, or reads settings: they may read claims.
    """

    key: str
    statement: Statement
    dependencies: frozenset[int]
    reason: str
    time_dependent: bool
    columns: tuple[str, ...]
    visibility: Visibility = ANONYMOUS
    calls_own: bool = False
    cost: float | None = None
    detail: str | None = None


def unique_ids(ids: Iterable[str]) -> list[str]:
    """``ids`` in order, made unique: later ones of the same name get ``#2``, ``#3`` and so on.

    A row that has its id for itself keeps it, even if it looks like a numbered one: ``a, a, a#2`` becomes
    ``a, a#3, a#2``.
    """
    found = list(ids)
    taken = set(found)
    if len(taken) == len(found):
        return found
    last: dict[str, int] = {}
    unique: list[str] = []
    for name in found:
        if name not in last:
            last[name] = 1
            unique.append(name)
            continue
        number = last[name] + 1
        while f"{name}#{number}" in taken:
            number += 1
        last[name] = number
        taken.add(f"{name}#{number}")
        unique.append(f"{name}#{number}")
    return unique
