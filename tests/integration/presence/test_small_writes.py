"""Small writes that come together: one statement for those of one query, with the results that each would have alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest_asyncio

from engine.channels.core.messages.model import Member, UnavailableError
from engine.channels.db.bulk_statements import BULK
from engine.channels.db.store import Store
from engine.postgres.statements.named_queries import query as named
from tests.support.servers.processes import GIVE_UP_AFTER


@pytest_asyncio.fixture
async def store(database: str) -> AsyncIterator[Store]:
    query(database, "insert into realtime.nodes (id, lease_expires_at) values ('n', now() + interval '1 hour')")
    made = Store(database, "n", 1, GIVE_UP_AFTER)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


def query(dsn: str, text: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else []


def member(number: int) -> Member:
    name = f"c{number:02}"
    return Member(name, f"u{number}" if number % 2 else None, {"n": number}, f"10.0.0.{number}" if number % 3 else None)


async def test_connections_that_arrive_together_are_one_statement(store: Store, database: str) -> None:
    await asyncio.gather(*(store.connect(member(number)) for number in range(20)))
    rows = query(
        database,
        "select id, node_id, user_id, (attributes ->> 'n')::int, transport, host(ip) from realtime.connections order by id",
    )
    assert rows == [
        (each.connection_id, "n", each.user_id, number, "websocket", each.ip)
        for number, each in ((number, member(number)) for number in range(20))
    ]
    assert len(query(database, "select distinct xmin::text, cmin::text from realtime.connections")) == 1
    await asyncio.gather(*(store.connect(member(number)) for number in range(18, 22)))
    assert query(database, "select count(*) from realtime.connections") == [(22,)]


async def test_one_that_cannot_be_written_fails_alone(store: Store, database: str) -> None:
    bad = Member("bad", None, {}, "no address")
    *done, failure = await asyncio.gather(
        *(store.connect(member(number)) for number in range(3)), store.connect(bad), return_exceptions=True
    )
    assert done == [[]] * 3
    assert isinstance(failure, psycopg.DataError)
    assert query(database, "select id from realtime.connections order by id") == [("c00",), ("c01",), ("c02",)]


async def test_members_that_join_and_leave_together_are_one_statement_each(store: Store, database: str) -> None:
    members = [member(number) for number in range(6)]
    await asyncio.gather(*(store.connect(each) for each in members))
    data = {"name": "N", "status": "typing"}
    await asyncio.gather(*(store.join("r", each, data, limited=False) for each in members[:4]))
    rows = query(
        database,
        "select connection_id, user_id, metadata ->> 'name', state ->> 'status', typing_until > now(), left_at"
        " from realtime.presence order by connection_id",
    )
    assert rows == [(each.connection_id, each.presence_id, "N", "typing", True, None) for each in members[:4]]
    assert len(query(database, "select distinct xmin::text, cmin::text from realtime.presence")) == 1
    await asyncio.gather(*(store.join("r", each, {"status": "here"}, limited=False) for each in members[:4]))
    assert query(database, "select distinct state ->> 'status', typing_until from realtime.presence") == [
        ("here", None)
    ]

    absent = Member("absent", None, {}, None)
    joining = (store.join("r", each, {}, limited=False) for each in (members[4], absent))
    joined, refused = await asyncio.gather(*joining, return_exceptions=True)
    assert joined is None
    assert isinstance(refused, UnavailableError)

    broken = [each.connection_id for each in (members[0], members[1], members[5])]
    await asyncio.gather(*(store.drop(each, clean=False) for each in broken))
    rows = query(database, "select id, dropped_at is not null from realtime.connections order by id")
    assert rows == [("c00", True), ("c01", True), ("c02", False), ("c03", False), ("c04", False)]
    assert query(database, "select connection_id from realtime.presence where left_at is null order by 1") == [
        ("c02",),
        ("c03",),
        ("c04",),
    ]
    await asyncio.gather(*(store.drop(each.connection_id, clean=True) for each in members[:4]))
    assert query(database, "select connection_id from realtime.presence") == [("c04",)]


async def test_rooms_that_are_asked_about_together_get_their_own_answers(store: Store, database: str) -> None:
    query(database, "select realtime.create_channel('small', capacity => 2), realtime.create_channel('open')")
    names = ["small", "open", "none", "small"]
    assert await asyncio.gather(*map(store.is_limited, names)) == [True, False, False, True]


def test_each_bulk_form_stands_for_a_query_of_the_same_parameters() -> None:
    for name, bulk in BULK.items():
        given = {*bulk.arrays, *bulk.shared}
        wanted = {part.partition(")")[0] for part in named(name).split("%(")[1:]} - {"capacity"}
        assert given == wanted, name
        assert {part.partition(")")[0] for part in named(bulk.name).split("%(")[1:]} == {
            *bulk.arrays.values(),
            *bulk.shared,
        }
