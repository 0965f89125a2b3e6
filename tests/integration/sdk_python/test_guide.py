"""The examples of the guide and of the README run as they are written, but for the server's address."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

ROOT = Path(__file__).parents[3]
TABLES = """
create table messages (
    id bigint generated always as identity primary key, room_id text not null, body text,
    created_at timestamptz not null default now()
);
select realtime.expose('messages', camel_case => true);
insert into messages (room_id, body) values ('room-123', 'Hello')
"""


@pytest.fixture(scope="module")
def table(pg18: LocalPostgres) -> Iterator[str]:
    with database_on(pg18, TABLES) as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(table: str) -> AsyncIterator[ServerProcess]:
    async with serving(table, free_port(), slot_name=slot_name(), rest_key="the rest_key") as process:
        yield process


@pytest.mark.parametrize("page", ["docs/sdk/python.md", "sdk/python/README.md"])
async def test_the_examples_run(page: str, server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / page).read_text()
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 2
    async with asyncio.timeout(GIVE_UP_AFTER):
        for block in blocks:
            source = block.replace("http://localhost:8000", server.url)
            code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            outcome = eval(code, names)
            if inspect.isawaitable(outcome):
                await outcome
    printed = capsys.readouterr().out
    assert "Hello" in printed
