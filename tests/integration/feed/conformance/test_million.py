"""A transaction of a million rows, in bounded memory."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.integration.feed.conftest import FeedSource

ROWS = 1_000_000
LIMIT = 300 << 20


@pytest.mark.long
@pytest.mark.parametrize("source", ["pg18-pgoutput", "pg15-wal2json"], indirect=True)  # each decoder, each server
async def test_a_million_rows_in_one_transaction_take_little_memory(source: FeedSource) -> None:
    with source.connect() as sql:
        sql.execute("create table t (id bigint primary key, room int, body text)")
        sql.execute("select realtime.expose('t')")
        arguments = ["-m", "tests.support.programs.million", source.dsn, source.decoder, "million", str(ROWS)]
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"streaming\n"
        sql.execute(
            "insert into t select i, i %% 100, 'the body of message number ' || i from generate_series(1, %s) i", [ROWS]
        )
        grown = await process.stdout.readline()
        assert await process.wait() == 0
        assert int(grown) < LIMIT
        print(f"grew by {int(grown) >> 20} MiB")
