"""Writers in SQL that hold transactions open while others commit: each does one thing after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from engine.postgres.connections.session_settings import connection_options

__all__ = ["Writer"]

Work = Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]


class Writer:
    """``failed`` receives errors that no writer should have. A deadlock or a refused message only rolls back."""

    def __init__(self, dsn: str, failed: Callable[[BaseException], None]) -> None:
        self.dsn = dsn
        self.committed: set[int] = set()
        self.rolled_back: set[int] = set()
        self._failed = failed
        self._numbers: set[int] = set()
        self._saved: list[set[int]] = []
        self._work: asyncio.Queue[Work | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    def begin(self) -> None:
        self._do(self._begin)

    def insert(self, channel: str, numbers: list[int]) -> None:
        """Rows of ``realtime.messages``."""
        rows = [(channel, *message(number)) for number in numbers]
        self._write(numbers, "insert into realtime.messages (channel, event, payload) values (%s, %s, %s)", *rows)

    def broadcast(self, channel: str, number: int, id: str | None, audience: dict[str, Any] | None = None) -> None:
        """One call of ``realtime.broadcast()``."""
        sql = "select realtime.broadcast(%s, %s, %s::jsonb, id => %s, audience => %s::jsonb)"
        self._write([number], sql, (channel, *message(number), id, None if audience is None else json.dumps(audience)))

    def change(self, number: int) -> None:
        """A row of a business table whose trigger broadcasts."""
        self._write([number], "insert into orders (n, channel) values (%s, 'chat:b')", (number,))

    def save(self) -> None:
        self._do(self._save)

    def rollback_to_savepoint(self) -> None:
        self._do(self._back)

    def commit(self) -> None:
        self._do(self._commit)

    def rollback(self) -> None:
        self._do(self._rollback)

    async def idle(self) -> None:
        """Commit what is open and wait until nothing is left to do."""
        self.commit()
        await self._work.join()

    async def close(self) -> None:
        self._work.put_nowait(None)
        await self._task

    def _do(self, work: Work) -> None:
        self._work.put_nowait(work)

    def _write(self, numbers: list[int], sql: str, *rows: tuple[Any, ...]) -> None:
        async def work(connection: psycopg.AsyncConnection[Any]) -> None:
            alone = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            self._numbers.update(numbers)
            if alone:
                await self._begin(connection)
            for row in rows:
                await connection.execute(sql.encode(), row)
            if alone:
                await self._commit(connection)

        self._do(work)

    async def _begin(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            await connection.execute(b"begin")

    async def _save(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            await connection.execute(b"savepoint here")
            self._saved.append(set(self._numbers))

    async def _back(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if self._saved:
            await connection.execute(b"rollback to savepoint here")
            self.rolled_back |= self._numbers - self._saved[-1]
            self._numbers = set(self._saved[-1])

    async def _commit(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.execute(b"commit")
        self.committed |= self._numbers
        self._forget()

    async def _rollback(self, connection: psycopg.AsyncConnection[Any]) -> None:
        await connection.execute(b"rollback")
        self.rolled_back |= self._numbers
        self._forget()

    def _forget(self) -> None:
        self._numbers, self._saved = set(), []

    async def _run(self) -> None:
        async with await psycopg.AsyncConnection.connect(
            self.dsn, autocommit=True, options=connection_options(), application_name="writer"
        ) as connection:
            while (work := await self._work.get()) is not None:
                try:
                    await work(connection)
                except psycopg.Error as error:
                    await self._rollback(connection)
                    if error.sqlstate not in ("RT004", "40P01"):
                        self._failed(error)
                except Exception as wrong:  # noqa: BLE001 - whatever it is, it fails the test
                    self._failed(wrong)
                finally:
                    self._work.task_done()
            self._work.task_done()


def message(number: int) -> tuple[str, str]:
    """Event and payload of the message with that number."""
    return ("even" if number % 2 == 0 else "odd"), json.dumps({"n": number, "k": number % 2})
