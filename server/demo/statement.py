"""``POST /demo/sql``: run the typed statements in one transaction, and return the position and time of its commit.

The position and the moment of the commit let the page measure how long a change takes from COMMIT to its own paint.
Each request has a connection of its own, so ``SET``, temporary tables and locks never leak into the next one, and
results are read row by row, so ``select * from huge`` costs no memory: the first rows are kept, the rest only counted.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec
import psycopg
from psycopg import generators
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from starlette.requests import Request
from starlette.responses import Response

from engine.postgres.connections.opening import connect
from engine.postgres.statements.named_queries import query
from server.demo.guard import Endpoint
from server.http.problems import problem_response

__all__ = ["Outcome", "Result", "Statement", "endpoint", "run"]

MAX_BODY: Final = 256 * 1024
"""Bytes of a request."""
KEPT_ROWS: Final = 100
"""Rows of one result that are sent to the page."""
KEPT_CHARACTERS: Final = 2_000
"""Of one value."""
_TIMEOUT: Final = "10s"
_ROWS: Final = (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_OK)
_COPY: Final = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


class Statement(msgspec.Struct, forbid_unknown_fields=True):
    """The request of the page. With ``params`` (``$1`` and so on) it must be one statement, else it may be several."""

    sql: str
    params: list[str | int | float | bool | None] = []


class Result(msgspec.Struct):
    """The result of one command: its tag without the count, rows returned or changed, and the first rows as text."""

    command: str = ""
    rows: int | None = None
    columns: list[str] = []
    values: list[list[str | None]] = []


class Outcome(msgspec.Struct, rename="camel"):
    """The result of the statements.

    ``outcome`` is ``committed``, ``nothing to commit`` (they wrote nothing) or ``own transaction`` (they ended the
    transaction themselves, so the moment of the commit is not known and ``commit_ms`` is None). The commit record lies
    in [``position``, ``position_end``). ``commit_ms`` and ``total_ms`` count from the arrival of the request to the
    moment COMMIT was sent and to the moment the answer was ready; ``run_ms`` is how long the statements took.
    ``committed_at`` is the database's clock when COMMIT had returned.
    """

    command: str
    rows: int | None
    results: list[Result]
    outcome: str
    position: str
    position_end: str
    committed_at: str
    run_ms: float
    commit_ms: float | None
    total_ms: float = 0.0


def endpoint(dsn: str) -> Endpoint:
    """The handler: 200 with an :class:`Outcome`, or with ``error`` when Postgres refused the statement."""

    async def run_sql(request: Request) -> Response:
        arrived = time.perf_counter()
        body = await request.body()
        if len(body) > MAX_BODY:
            return problem_response(400, f"the statement is longer than {MAX_BODY // 1024} KB")
        try:
            statement = msgspec.json.decode(body, type=Statement)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return problem_response(400, str(error))
        if "\0" in statement.sql or any(isinstance(p, str) and "\0" in p for p in statement.params):
            return problem_response(400, "text in Postgres cannot contain the character NUL")
        finished: list[Result] = []
        try:
            outcome = await run(dsn, statement, arrived, finished)
        except psycopg.Error as error:
            return _no_store({"error": _describe(error, finished)})
        outcome.total_ms = _ms_since(arrived)
        return _no_store(outcome)

    return run_sql


async def run(dsn: str, statement: Statement, arrived: float, results: list[Result]) -> Outcome:
    """Run ``statement`` in a transaction and commit it; ``results`` is filled as its parts finish.

    Raises ``psycopg.Error`` if Postgres refuses any part of it; then it had no effect, except for the parts that it
    committed itself.
    """
    connection = await connect(dsn, "realtime demo", {"statement_timeout": _TIMEOUT}, autocommit=True)
    async with connection:
        await connection.execute(query("path_of_role"))
        (position,) = await _one_row(connection, "demo_before")
        await connection.execute("begin")
        started = time.perf_counter()
        await connection.wait(_read_results(connection.pgconn, statement, results))
        run_ms = _ms_since(started)
        outcome, commit_ms = "own transaction", None
        if connection.info.transaction_status == TransactionStatus.INTRANS:
            position, wrote = await _one_row(connection, "demo_before_commit")
            commit_ms = _ms_since(arrived)
            await connection.execute("commit")
            outcome = "committed" if wrote else "nothing to commit"
        end, now = await _one_row(connection, "demo_after_commit")
    last = results[-1] if results else Result()
    return Outcome(last.command, last.rows, results, outcome, str(position), str(end), str(now), run_ms, commit_ms)


def _read_results(pgconn: PGconn, statement: Statement, results: list[Result]) -> PQGen[None]:
    """Send the statement and read its results one row at a time. Raises the first error."""
    if statement.params:
        values = [None if p is None else _text(p).encode() for p in statement.params]
        pgconn.send_query_params(statement.sql.encode(), values)
    else:
        pgconn.send_query(statement.sql.encode())
    pgconn.set_single_row_mode()
    yield from generators.send(pgconn)
    failure: psycopg.Error | None = None
    current = Result()
    while (piece := (yield from generators.fetch(pgconn))) is not None:
        if piece.status == ExecStatus.FATAL_ERROR:
            failure = failure or error_from_result(piece)
        elif piece.status in _COPY:
            # Only a client with files can copy; there is no way back to the results, so the connection is given up.
            pgconn.finish()
            raise psycopg.NotSupportedError("COPY to or from the client does not work here; use psql")
        else:
            _keep(current, piece)
            if piece.status != ExecStatus.SINGLE_TUPLE:
                results.append(current)
                current = Result()
    if failure is not None:
        raise failure


def _keep(result: Result, piece: PGresult) -> None:
    """Add a piece of a result: one row, or its end with the command tag."""
    if piece.status in _ROWS and not result.columns:
        result.columns = [(piece.fname(i) or b"").decode() for i in range(piece.nfields)]
    if len(result.values) < KEPT_ROWS:
        for row in range(piece.ntuples):
            result.values.append([_shown(piece.get_value(row, i)) for i in range(piece.nfields)])
    if piece.status != ExecStatus.SINGLE_TUPLE:
        words = (piece.command_status or b"").decode().split()
        result.command = " ".join(word for word in words if not word.isdigit())
        result.rows = piece.command_tuples


def _shown(value: bytes | None) -> str | None:
    if value is None:
        return None
    text = value.decode()
    return text if len(text) <= KEPT_CHARACTERS else text[:KEPT_CHARACTERS] + "…"


def _text(value: str | int | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _one_row(connection: psycopg.AsyncConnection, name: str) -> tuple[object, ...]:
    row = await (await connection.execute(query(name))).fetchone()
    assert row is not None  # each of these queries has exactly one row
    return row


def _describe(error: psycopg.Error, finished: list[Result]) -> dict[str, object]:
    """The parts of Postgres's own message that help. ``at`` counts characters from 1; ``undone``: all was rolled back."""
    diag = error.diag
    return {
        "message": diag.message_primary or str(error).strip() or type(error).__name__,
        "detail": diag.message_detail,
        "hint": diag.message_hint,
        "sqlstate": diag.sqlstate,
        "at": int(diag.statement_position) if diag.statement_position else None,
        "undone": diag.sqlstate is not None and all(result.command != "COMMIT" for result in finished),
    }


def _ms_since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def _no_store(content: object) -> Response:
    body = msgspec.json.encode(content)
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
