"""The statements of a read inside its transaction: as whom it runs, and whether it read what was meant."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from hashlib import md5
from typing import Final

import psycopg
from psycopg import pq

from engine.postgres.apart import then_ours
from engine.postgres.statements.arrays import plain_array, text_array
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.statement import Guard, NamesGuard, Origin, RoleReading, Statement
from engine.transaction import Value

__all__ = [
    "Marks",
    "ReadBounds",
    "explain_as_server",
    "is_of",
    "is_other_table",
    "rows_for_each",
    "rows_of",
    "run_for_each",
    "run_statement",
]

_BATCH: Final = 500  # rows of a part: about half a millisecond


@dataclass(frozen=True, slots=True)
class ReadBounds:
    """Of what one statement reads for many sets of claims. ``rows``, ``bytes``: after so many no further set is begun; of
    ``bytes`` there are not more, except in the first set. ``timeout_ms``: the statement is cut off; half of it: no further
    set is begun.
    """

    rows: int
    bytes: int
    timeout_ms: int


async def run_statement(
    connection: psycopg.AsyncConnection,
    cursor: psycopg.AsyncRawCursor,
    statement: Statement,
    facts: psycopg.AsyncRawCursor,
) -> None:
    """Run ``statement`` over ``cursor`` as whom it has to, and then the role's facts over ``facts``, in a pipeline."""
    role = statement.role
    if role is not None:
        await _become(connection, statement, role)
        await cursor.execute(*_by_function(statement, role.function, by_path=False), prepare=False)
        if role.facts and role.settings:  # after which they are ours
            await _set_each(connection, role)
        if role.facts:  # after the rows: tables are locked in the order in which any reader locks them
            asked = Statement(role.facts, types=("text",))
            await facts.execute(*_by_function(asked, role.function, by_path=False), prepare=False)
    elif statement.as_server:
        await cursor.execute(statement.sql.encode(), list(statement.params) or None, prepare=False)
    else:
        await connection.execute(query("become_reader"))
        await cursor.execute(*_by_function(statement), prepare=False)


async def explain_as_server(statement: Statement, connection: psycopg.AsyncConnection) -> list[str]:
    """The lines of PostgreSQL's plan for a statement that the server runs with its own rights. Raises ``psycopg.Error``."""
    async with connection.transaction(), psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute(f"explain {statement.sql}".encode(), list(statement.params) or None, prepare=False)
        return [line for (line,) in await cursor.fetchall()]


async def run_for_each(
    connection: psycopg.AsyncConnection,
    cursor: psycopg.AsyncCursor,
    statement: Statement,
    claims: Sequence[str],
    params: Sequence[tuple[str | None, ...]],
    bounds: ReadBounds,
) -> None:
    """Run ``statement`` over ``cursor`` as its served role with each of ``claims`` and of ``params``, in a pipeline."""
    role = statement.role
    assert role is not None
    await _become(connection, statement, role)
    relation, name, columns, attnums = _origin(statement)
    values = {
        "role": role.role,
        "statement": statement.sql,
        "params": plain_array(map(text_array, params)) if params[0] else "{}",
        "relation": relation,
        "name": name,
        "columns": columns,
        "attnums": attnums,
        "setting": role.setting,
        "claims": text_array(claims),
        "rows": bounds.rows,
        "bytes": bounds.bytes,
        "milliseconds": bounds.timeout_ms // 2,
    }
    await cursor.execute(query("read_for_each"), values, prepare=False)


def rows_for_each(result: pq.abc.PGresult) -> list[list[tuple[Value, ...]] | None]:
    """The rows of :func:`run_for_each` for each of the claims that were read; None where they are not complete."""
    found: list[list[tuple[Value, ...]] | None] = []
    rows: list[tuple[Value, ...]] = []
    value = result.get_value
    for number in range(result.ntuples):
        complete = value(number, 1)
        if complete is None:
            rows.append((value(number, 2), value(number, 3)))
            continue
        found.append(rows if complete == b"t" else None)
        rows = []
    return found


class Marks:
    """The marks of the policies that ``statement`` runs under and of the names in it, looked at after its read."""

    def __init__(self, statement: Statement, connection: psycopg.AsyncConnection) -> None:
        role = statement.role
        self._connection, self._role = connection, role
        self._guards: list[tuple[Guard | NamesGuard, psycopg.AsyncCursor]] = []
        if role is not None:
            guards: list[Guard | NamesGuard] = [*role.guards]
            if statement.names is not None:
                guards.append(statement.names)
            self._guards = [(guard, connection.cursor()) for guard in guards]

    async def ask(self) -> None:
        """Ask for them, in a pipeline: behind the end of the transaction, so that no change is missed."""
        if self._role is not None:  # once more, as the end of the transaction has undone that the session notes it
            await _have_fresh_plans(self._connection, self._role)
        for guard, cursor in self._guards:
            if isinstance(guard, NamesGuard):
                await cursor.execute(query("names_mark"), {"names": list(guard.names)})
            else:
                values = {"tables": list(guard.tables), "code": list(guard.functions), "names": list(guard.names)}
                await cursor.execute(query("policies_mark"), values)

    async def are_equal(self) -> bool:
        """Whether they are those of the plan."""
        return [await cursor.fetchone() for _, cursor in self._guards] == [(guard.mark,) for guard, _ in self._guards]


async def _become(connection: psycopg.AsyncConnection, statement: Statement, role: RoleReading) -> None:
    """Prepare the transaction for reading as ``role``, in a pipeline: claims, and names found by the operator's search path,
    which functions in policies rely on.
    """
    await _have_fresh_plans(connection, role)
    await connection.execute(query("begin_claims"), {"setting": role.setting, "claims": role.claims})
    await connection.execute(query("become_reader"))
    await connection.execute(query("path_of_role_here"))
    await connection.execute(query("leave_reader"))
    if role.settings:
        await _set_each(connection, role)


async def _have_fresh_plans(connection: psycopg.AsyncConnection, role: RoleReading) -> None:
    marks = {str(guard.table): md5(guard.mark.encode()).hexdigest() for guard in role.guards if guard.names}
    if marks:
        await connection.execute(query("fresh_plans"), {"meanings": json.dumps(marks)})


async def _set_each(connection: psycopg.AsyncConnection, role: RoleReading) -> None:
    """The settings that sessions of the role have, in a pipeline."""
    names, values = zip(*role.settings, strict=True)
    await connection.execute(query("set_each"), {"names": list(names), "values": list(values)}, prepare=False)


def _by_function(
    statement: Statement, function: str = "realtime.read_as_reader", *, by_path: bool | None = None
) -> tuple[bytes, list[object]]:
    """The statement that runs ``statement`` in ``function``, out of whose role nothing that it calls gets. ``by_path``:
    the search path is to be set; None: as the statement has it.
    """
    columns = ", ".join(f"c{number} {name}" for number, name in enumerate(statement.types))
    sql = f"select * from {function}($1, $2, $3, $4, $5, $6, $7) as r ({columns})"
    if statement.role is not None and statement.role.settings:
        sql += f" where {then_ours(statement.role.settings)}"
    if by_path is None:
        by_path = statement.as_reader or statement.by_path
    path = "true" if by_path else "false"
    return sql.encode(), [statement.sql, text_array(statement.params), path, *_origin(statement)]


def _origin(statement: Statement) -> list[str | None]:
    """The table that ``statement`` itself names, and its columns, which the function compares; nulls if it names none."""
    origin = statement.origin
    if origin is None or origin.view:
        return [None, None, None, None]
    return [str(origin.table), text_array(origin.name), text_array(origin.columns), plain_array(origin.attnums)]


def is_of(origin: Origin, granted: Sequence[tuple[int]], viewed: Sequence[tuple[int, int]] | None) -> bool:
    """Whether the columns of ``origin`` may be shown, and are those ``viewed``, where a view shows them."""
    return (viewed is None or viewed == [(origin.table, attnum) for attnum in origin.attnums]) and {
        attnum for (attnum,) in granted
    }.issuperset(origin.exposed)


def is_other_table(error: psycopg.Error) -> bool:
    """Whether a read was refused because names mean other columns by now, or columns have other types."""
    return error.sqlstate == "RT011" or (
        error.sqlstate == "42804"
        and error.diag.source_function in ("build_attrmap_by_position", "convert_tuples_by_position")
    )


def rows_of(result: pq.abc.PGresult) -> Generator[None, None, list[tuple[Value, ...]]]:
    """The rows, a part at a time: there may be ten thousand."""
    columns = range(result.nfields)
    value = result.get_value
    rows: list[tuple[Value, ...]] = []
    for start in range(0, result.ntuples, _BATCH):
        if start:
            yield
        part = range(start, min(start + _BATCH, result.ntuples))
        rows += [tuple([value(row, column) for column in columns]) for row in part]
    return rows
