"""Values read under one role's session settings and written as text under ours, in one statement.

Policies are evaluated with the settings that the role's own sessions would have (``TimeZone``, ``DateStyle``); clients get
one form of a value, whatever these are. So all rows are read first, then the settings change, then texts are made. The
order is PostgreSQL's: a filter over a materialized CTE, or over a function, is evaluated before the output of its rows, and
``count(*)`` of a CTE, or a function in PL/pgSQL that returns a set, ends before the first row (docs: "Common
Table Expression Materialization"; ``ExecMakeTableFunctionResult`` in execSRF.c).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.postgres.connections.session_settings import SESSION_SETTINGS

__all__ = ["apart", "then_ours", "written_apart"]

_ROWS: Final = "realtime_rows_read"


def then_ours(settings: Iterable[tuple[str, str]]) -> str:
    """A condition that is true, and evaluating it brings back ours of ``settings`` until the transaction ends."""
    calls = [f"pg_catalog.set_config('{name}', '{SESSION_SETTINGS[name]}', true)" for name in _ours(settings)]
    return f"pg_catalog.concat({', '.join(calls)}) is not null" if calls else "true"


def apart(source: str, settings: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """A WITH clause that reads ``source``, and the sub-select that has its rows for the rest of the statement."""
    with_clause = f"with {_ROWS} as materialized (\n{source}\n)"
    condition = f"case when (select pg_catalog.count(*) from {_ROWS}) is not null then {then_ours(settings)} end"
    return with_clause, f"(select * from {_ROWS} where (select {condition}))"


def written_apart(sql: str, source: str, settings: Iterable[tuple[str, str]], limit: int) -> str:
    """``sql``, which makes texts of the rows of ``source``, with the first ``limit`` of these read before."""
    piece = f"(\n{source}\n)"
    before, _, behind = sql.partition(piece)
    with_clause, rows = apart(f"select * from {piece} as s limit {limit}", settings)
    return f"{with_clause} {before}{rows}{behind}"


def _ours(settings: Iterable[tuple[str, str]]) -> list[str]:
    return [name for name, _ in settings if name in SESSION_SETTINGS]
