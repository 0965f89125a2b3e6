"""Statements in SQL at a steady rate, one a transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from server.bench.load.clients.stamp import now, stamp
from server.bench.load.clients.tally import Tally
from server.bench.load.orders import Counts, Write
from server.bench.load.pacing import paced

__all__ = ["write"]


async def write(order: Write, tally: Tally) -> Counts:
    """Execute; ``acked`` has the time of each from its start to its commit, the wait for a free connection excepted."""
    waiting: asyncio.Queue[int | None] = asyncio.Queue()
    done = 0

    async def one(connection: psycopg.AsyncConnection[Any]) -> None:
        nonlocal done
        while (number := await waiting.get()) is not None:
            began = now()
            try:
                await connection.execute(
                    order.statement.encode(), {"number": number % order.numbers, "stamp": stamp(order.size).decode()}
                )
            except psycopg.Error as wrong:
                tally.errors[f"SQL: {wrong.diag.message_primary or wrong}"] += 1
                if connection.closed:
                    return
            else:
                tally.acked.record(now() - began)
                done += 1

    def begin(number: int, lateness: float) -> None:
        tally.late.record(int(lateness * 1e9))
        waiting.put_nowait(number)

    total = max(1, round(order.rate * order.seconds))
    opened = [
        await psycopg.AsyncConnection.connect(order.dsn, autocommit=True, prepare_threshold=1)
        for _ in range(order.connections)
    ]
    try:
        workers = [asyncio.create_task(one(connection)) for connection in opened]
        await paced(total, order.rate, begin)
        for _ in workers:
            waiting.put_nowait(None)
        await asyncio.gather(*workers)
    finally:
        for connection in opened:
            await connection.close()
    return Counts(done=done, failed=total - done)
