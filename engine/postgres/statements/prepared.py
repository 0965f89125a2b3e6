"""A statement that is executed again and again over one connection, by psycopg's ``pq`` layer.

psycopg's cursors convert the statement, adapt each parameter, choose whether to prepare, describe the columns and make a row
maker in each execution, which takes longer than sending it and reading its answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg import errors, generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import Transformer

__all__ = ["PreparedStatement"]

_OUTDATED: Final = (errors.InvalidSqlStatementName, errors.FeatureNotSupported)

_PARAMETER: Final = re.compile(r"%\((\w+)\)s")


class PreparedStatement:
    """``text`` with parameters ``%(name)s``, whose values are texts as PostgreSQL reads them, or None; it casts them.
    ``name``: how its names in the session of ``connection`` begin, in which nothing else is prepared under such a name.

    It is prepared once, and again under another name if the session has lost it (a trigger that runs ``deallocate all``, a
    pooler) or what it refers to has been made anew.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any], name: str, text: str) -> None:
        self._connection = connection
        self._begins = name
        self._name = b""
        self._times = 0  # that it was prepared
        self._names = list(dict.fromkeys(_PARAMETER.findall(text)))
        self._text = _PARAMETER.sub(lambda found: f"${self._names.index(found[1]) + 1}", text).encode()
        self._prepared = False

    async def rows(self, parameters: Mapping[str, str | None]) -> list[dict[str, Any]]:
        """Execute it; returns its rows by the names of their columns. Raises ``psycopg.Error``; ``DataError`` for a value
        with NUL, of which nothing was sent.
        """
        values = [_encoded(parameters[name]) for name in self._names]
        connection = self._connection
        async with connection.lock:
            result: pq.abc.PGresult = await connection.wait(self._execute(connection.pgconn, values))
        count = result.ntuples
        if not count:
            return []
        loaded = Transformer(connection)
        loaded.set_pgresult(result)
        names = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
        return loaded.load_rows(0, count, lambda values: dict(zip(names, values, strict=True)))

    def _execute(self, pgconn: pq.abc.PGconn, values: list[bytes | None]) -> PQGen[pq.abc.PGresult]:
        was_prepared = self._prepared
        if not was_prepared:
            yield from self._prepare(pgconn)
        try:
            pgconn.send_query_prepared(self._name, values)
            return (yield from self._result(pgconn))
        except _OUTDATED as error:
            self._prepared = False
            if not was_prepared or not _is_outdated(error) or pgconn.transaction_status != pq.TransactionStatus.IDLE:
                raise
        yield from self._prepare(pgconn)
        pgconn.send_query_prepared(self._name, values)
        return (yield from self._result(pgconn))

    def _prepare(self, pgconn: pq.abc.PGconn) -> PQGen[None]:
        self._times += 1
        self._name = f"{self._begins}_{self._times}".encode()
        pgconn.send_prepare(self._name, self._text)
        yield from self._result(pgconn)
        self._prepared = True

    def _result(self, pgconn: pq.abc.PGconn) -> PQGen[pq.abc.PGresult]:
        results: list[pq.abc.PGresult] = yield from generators.execute(pgconn)
        if not results:
            raise psycopg.OperationalError("the server closed the connection")
        if results[-1].status == pq.ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(results[-1], encoding="utf-8")
        return results[-1]


def _is_outdated(error: psycopg.Error) -> bool:
    """Whether the statement cannot be executed as it was prepared; the function is named as in plancache.c."""
    return isinstance(error, errors.InvalidSqlStatementName) or error.diag.source_function == "RevalidateCachedQuery"


def _encoded(value: str | None) -> bytes | None:
    if value is None:
        return None
    if "\0" in value:  # it would end there
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return value.encode()
