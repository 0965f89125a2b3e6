"""How PostgreSQL reads the rows of a query, for the people who look after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg

from engine.postgres.reading import explain_as_server
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.sql.safety.dry_run import sql_session

__all__ = ["Explanation", "explain_plan"]

_BY_VIEW: Final = "it reads a key that is not exposed, through a view that is made for each read"


@dataclass(frozen=True, slots=True)
class Explanation:
    """``sql``, the values of its parameters, and the lines of PostgreSQL's plan for it; ``note``: why there are none."""

    sql: str
    parameters: tuple[str | None, ...]
    lines: tuple[str, ...] = ()
    note: str | None = None


async def explain_plan(plan: IncrementalPlan | ReReadPlan, connection: psycopg.AsyncConnection[Any]) -> Explanation:
    """Explain what reads ``plan``, as the role that reads it. Nothing is run.

    ``connection``: as of :func:`engine.query.planner.plan_query`. Raises ``psycopg.Error`` if it is away.
    """
    statement = plan.statement if isinstance(plan, ReReadPlan) else plan.read(plan.limit)
    found = Explanation(statement.sql, statement.params)
    if statement.origin is not None and statement.origin.view:
        return Explanation(statement.sql, statement.params, note=_BY_VIEW)
    try:
        if statement.as_server:
            return replace(found, lines=tuple(await explain_as_server(statement, connection)))
        async with sql_session(connection) as session:
            if statement.role is None:
                lines = await session.explain(statement.sql, statement.params)
            else:
                lines = await session.explain_as(statement.role, statement.sql, statement.params)
    except (psycopg.DataError, psycopg.ProgrammingError) as refused:
        return Explanation(statement.sql, statement.params, note=refused.diag.message_primary or str(refused))
    return Explanation(found.sql, found.parameters, tuple(lines))
