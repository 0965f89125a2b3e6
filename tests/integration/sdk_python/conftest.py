"""One server for the tests of a file, on a database of its own, and clients for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio
from bunbase import Realtime

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.clients.list_client import TABLE, slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

MakeClient = Callable[..., Realtime]


LASTING = "update realtime.channel_defaults set presence_timeout = '1 hour'"
"""A client that loses its connection is back within the presence timeout, however busy the machine is, and what is to happen
at once does not happen by that timeout.
"""


@pytest.fixture(scope="module")
def table(pg18: LocalPostgres) -> Iterator[str]:
    """A database with the table ``messages``."""
    with database_on(pg18, TABLE, LASTING) as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(table: str) -> AsyncIterator[ServerProcess]:
    """A server over it."""
    async with serving(table, free_port(), slot_name=slot_name(), trust_user_parameter="true") as process:
        yield process


@pytest.fixture(params=["websocket", "websocket-msgpack", "sse", "polling"])
def transport(request: pytest.FixtureRequest) -> str:
    """Every transport in turn."""
    name: str = request.param
    return name


@pytest_asyncio.fixture
async def client(server: ServerProcess, transport: str) -> AsyncIterator[MakeClient]:
    """Makes clients that use the transport of the test; they are disconnected at its end."""
    made: list[Realtime] = []

    def make(user: str | None = None, **options: Any) -> Realtime:
        name, _, format = transport.partition("-")
        parameters = {} if user is None else {"user": user}
        realtime = Realtime(
            options.pop("url", server.url),
            transports=options.pop("transports", (name,)),
            format="msgpack" if format == "msgpack" else "json",
            parameters=parameters,
            **options,
        )
        made.append(realtime)
        return realtime

    yield make
    for realtime in made:
        await realtime.disconnect()


@pytest.fixture
def channel_name(request: pytest.FixtureRequest) -> str:
    """A channel per test."""
    return f"chat:{request.node.name}"[:250]


async def written(realtime: Realtime, dsn: str, statements: str) -> None:
    """Run them and wait until the server has read their changes. A query that another client had asked for is kept for a
    while, with the rows that were read last: what begins with it earlier begins with those.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute(statements.encode())
        [(position,)] = connection.execute("select realtime.position()")
    await realtime.when_seen(position)


async def next_of(queue: asyncio.Queue[Any]) -> Any:
    """The next item that arrives in ``queue``."""
    return await asyncio.wait_for(queue.get(), GIVE_UP_AFTER)
