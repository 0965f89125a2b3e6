"""asyncpg against psycopg where the server asks the database most: reads of a window and the publishing of a batch.

Both run the same statements on the same server, in turn, and give what the server needs: a window's rows as PostgreSQL's
text, under their snapshot, in one transaction; a batch inserted in one commit. psycopg sends a read as one pipeline.
asyncpg has no pipeline, so its statements wait for one another, and its columns are cast to text, because it returns typed
values. *cpu* is this process's time per operation, *8 at once* runs on eight connections.
Run with ``python -m tests.bench.bench_driver``. The server itself does not use asyncpg.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import asyncpg
import psycopg

from engine.postgres.statements.arrays import plain_array, text_array
from engine.postgres.statements.named_queries import query
from server.cli.migration.migrate import migrate
from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report

_TABLE = """
create table items (id int primary key, room text collate "C" not null, body text not null, price numeric, at timestamptz);
insert into items select n, 'room-' || n % 100, repeat('x', 60), n * 1.25, now() from generate_series(1, 20000) n;
create index on items (room, id); analyze items
"""
_WINDOW = "select id, room, body, price, at from items where room = $1 order by id limit 75"
_AS_TEXT = "select id::text, room, body, price::text, at::text from items where room = $1 order by id limit 75"

Operation = Callable[[int], Awaitable[object]]


async def read_psycopg(connection: psycopg.AsyncConnection[Any], number: int) -> object:
    """A window as the server reads it."""
    async with connection.cursor() as head, psycopg.AsyncRawCursor(connection) as rows:
        async with connection.pipeline():
            await connection.execute(query("begin_read").encode())
            await head.execute(query("current_snapshot").encode())
            await rows.execute(_WINDOW.encode(), [f"room-{number % 100}"], prepare=False)
            await connection.execute(query("end_read").encode())
        await head.fetchone()
        result = rows.pgresult
        assert result is not None
        width = range(result.nfields)
        return [tuple([result.get_value(row, column) for column in width]) for row in range(result.ntuples)]


async def read_asyncpg(connection: asyncpg.Connection[Any], number: int) -> object:
    """The same rows, as bytes of the same text."""
    await connection.execute(query("begin_read"))
    await connection.fetchrow(query("current_snapshot"))
    rows = await connection.fetch(_AS_TEXT, f"room-{number % 100}")
    await connection.execute(query("end_read"))
    return [tuple([None if value is None else value.encode() for value in row]) for row in rows]


def batch(size: int, number: int) -> dict[str, str | None]:
    """The parameters of ``engine_publish`` for ``size`` messages, as the publisher writes them."""
    many = range(size)
    return {
        "channels": text_array(f"chat:{n % 10}" for n in many),
        "events": text_array("sent" for _ in many),
        "payloads": text_array('{"text": "' + "x" * 100 + '"}' for _ in many),
        "senders": text_array(f"user-{n}" for n in many),
        "connections": text_array(f"connection-{n}" for n in many),
        "ids": text_array(f"{number}-{size}-{n}-{time.perf_counter_ns()}" for n in many),
        "claims": plain_array(False for _ in many),
        "priorities": plain_array(1 for _ in many),
        "traces": None,
        "whole": "t",
    }


def numbered(sql: str, names: Sequence[str]) -> str:
    """``sql`` with ``$1`` for the first of ``names``, and its parameters taken as text: asyncpg would ask for lists."""
    order = {name: place for place, name in enumerate(names, 1)}
    return re.sub(r"%\((\w+)\)s", lambda match: f"${order[match[1]]}::text", sql)


async def per_second(operations: Sequence[Operation], seconds: float) -> tuple[float, float]:
    """How many operations per second, one after the other on each connection, and processor seconds of this process each."""
    done = 0
    end = time.perf_counter() + seconds

    async def work(operation: Operation) -> None:
        nonlocal done
        while time.perf_counter() < end:
            await operation(done)
            done += 1

    began, spent = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for operation in operations:
            group.create_task(work(operation))
    return done / (time.perf_counter() - began), (time.process_time() - spent) / done


async def measure(dsn: str, seconds: float, rounds: int) -> list[dict[str, object]]:
    """A row for each kind of work."""
    ours = [await psycopg.AsyncConnection.connect(dsn, autocommit=True) for _ in range(8)]
    theirs = [await asyncpg.connect(dsn) for _ in range(8)]
    names = list(batch(1, 0))
    publish = numbered(query("engine_publish"), names)

    def reads(count: int) -> tuple[list[Operation], list[Operation]]:
        return (
            [partial(read_psycopg, c) for c in ours[:count]],
            [partial(read_asyncpg, c) for c in theirs[:count]],
        )

    def publishes(size: int) -> tuple[list[Operation], list[Operation]]:
        def psycopg_publish(number: int) -> Awaitable[object]:
            return ours[0].execute(query("engine_publish").encode(), batch(size, number))

        def asyncpg_publish(number: int) -> Awaitable[object]:
            published: Awaitable[object] = theirs[0].fetch(publish, *batch(size, number).values())
            return published

        return [psycopg_publish], [asyncpg_publish]

    work = {
        "read 75 rows": reads(1),
        "read 75 rows, 8 at once": reads(8),
        "publish 1": publishes(1),
        "publish 20": publishes(20),
        "publish 200": publishes(200),
    }
    rows: list[dict[str, object]] = []
    for name, pair in work.items():
        best: list[list[tuple[float, float]]] = [[], []]
        for _ in range(rounds):
            for side, operations in enumerate(pair):
                best[side].append(await per_second(operations, seconds))
        (rate, cpu), (other, other_cpu) = (max(side) for side in best)
        rows.append(
            {
                "work": name,
                "psycopg/s": round(rate),
                "asyncpg/s": round(other),
                "asyncpg to psycopg": other / rate,
                "psycopg cpu µs": round(cpu * 1e6),
                "asyncpg cpu µs": round(other_cpu * 1e6),
            }
        )
    for connection in ours:
        await connection.close()
    for other_connection in theirs:
        await other_connection.close()
    return rows


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="per kind of work, driver and round")
    parser.add_argument("--rounds", type=int, default=3, help="the best counts")
    arguments = parser.parse_args()
    with local_postgres() as postgres:
        dsn = postgres.dsn
        migrate(dsn)
        with psycopg.connect(dsn) as connection:
            connection.execute(_TABLE)
        report("driver", asyncio.run(measure(dsn, arguments.seconds, arguments.rounds)))


if __name__ == "__main__":
    main()
