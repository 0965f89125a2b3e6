"""A transaction of a million rows, in bounded memory."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.integration.feed.conftest import FeedSource

ROWS = {"pgoutput": 1_000_000, "wal2json": 250_000}
"""A row of wal2json takes twice as long; either decoder lets memory grow by 20 MiB, however many there are."""
LIMIT = 75 << 20
"""Bytes: what a quarter of a million rows would take, at 300 bytes each, were they kept in memory."""


@pytest.mark.long
@pytest.mark.parametrize("source", ["pg18-pgoutput", "pg15-wal2json"], indirect=True)  # each decoder, each server
async def test_a_million_rows_in_one_transaction_take_little_memory(source: FeedSource) -> None:
    rows = ROWS[source.decoder]
    with source.connect() as sql:
        sql.execute("create table t (id bigint primary key, room int, body text)")
        sql.execute("select realtime.expose('t')")
        arguments = ["-m", "tests.support.programs.million", source.dsn, source.decoder, "million", str(rows)]
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"streaming\n"
        sql.execute(
            "insert into t select i, i %% 100, 'the body of message number ' || i from generate_series(1, %s) i", [rows]
        )
        grown = await process.stdout.readline()
        assert await process.wait() == 0
        assert int(grown) < LIMIT
        print(f"grew by {int(grown) >> 20} MiB")
