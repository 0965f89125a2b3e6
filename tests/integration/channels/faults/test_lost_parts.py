"""The database lacks something, or a trigger refuses, while a node runs: clients get words, ``problems`` names it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from structlog.typing import EventDict

from engine.channels.core.messages.model import UnavailableError
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run, until

Call = Callable[[ChannelNode, ChannelSubscriber], Coroutine[Any, Any, object]]

WORDS = "the database refuses it for a reason of its own, which the server's log names; try again later"


def connect(here: ChannelNode, _: ChannelSubscriber) -> Coroutine[Any, Any, object]:
    return here.listen("chat:2")


def prefer(here: ChannelNode, _: ChannelSubscriber) -> Coroutine[Any, Any, object]:
    return here.listen("chat:2", user="new")


def appear(here: ChannelNode, _: ChannelSubscriber) -> Coroutine[Any, Any, object]:
    return here.listen("chat:1", user="bob", presence={})


def fill(here: ChannelNode, _: ChannelSubscriber) -> Coroutine[Any, Any, object]:
    return here.listen("limited", user="bob")


def change(here: ChannelNode, ann: ChannelSubscriber) -> Coroutine[Any, Any, object]:
    return here.channels.set_presence("chat:1", ann.member, {"typing": True})


def read_back(here: ChannelNode, _: ChannelSubscriber) -> Coroutine[Any, Any, object]:
    return here.listen("chat:1", history=5)


def resume(here: ChannelNode, ann: ChannelSubscriber) -> Coroutine[Any, Any, object]:
    return here.listen("chat:1", since=ann.position)


TABLES: dict[str, tuple[Call, ...]] = {
    "connections": (connect,),
    "presence": (appear, change),
    "channels": (fill, read_back),
    "channel_defaults": (read_back,),
    "commits": (resume, read_back),
    "messages": (resume, read_back),
    "settings": (resume,),
    "expired": (resume,),
    "preferences": (prefer,),
}
FUNCTIONS: dict[str, tuple[str, tuple[Call, ...]]] = {
    "channel_rules": ("text[]", (appear, change, read_back)),
    "epoch": ("", (resume,)),
}


async def refused(call: Coroutine[Any, Any, object]) -> None:
    with pytest.raises(UnavailableError) as rejection:
        async with asyncio.timeout(GIVE_UP_AFTER):
            await call
    assert str(rejection.value) == WORDS


def named(here: ChannelNode, reported: str) -> bool:
    return any(reported in problem for problem in here.channels.problems)


@pytest.mark.long
async def test_requests_for_a_lost_table_or_function_are_refused_until_it_is_restored(
    database: str, logs: list[EventDict]
) -> None:
    run(database, "insert into realtime.channels (name, capacity) values ('limited', 100)")
    async with channel_node(database) as here:
        ann = await here.listen("chat:1", user="ann", presence={})

        async def lose(kind: str, name: str, calls: tuple[Call, ...], reported: str, arguments: str = "") -> None:
            run(database, f"alter {kind} realtime.{name} rename to gone")
            for call in calls:
                await refused(call(here, ann))
            await until(partial(named, here, reported))
            run(database, f"alter {kind} realtime.gone{arguments} rename to {name}")
            for call in calls:
                await call(here, ann)

        for table, calls in TABLES.items():
            await lose("table", table, calls, f"table realtime.{table} is missing")
        for function, (arguments, calls) in FUNCTIONS.items():
            await lose("function", function, calls, f"function realtime.{function}", f"({arguments})")
        await until(lambda: not here.channels.problems)
        await here.publish("chat:1", 1)
        await ann.until(lambda: ann.data == [1])
    assert any(entry["event"] == "database_refuses" for entry in logs)
    assert not any(entry.get("exc_info") for entry in logs)


REFUSES = (
    "create function refuse() returns trigger language plpgsql as $$ begin raise 'never by hand'; end $$",
    "create trigger refuses before delete on realtime.connections for each row execute function refuse()",
)


async def only_one_stays(database: str, here: ChannelNode, listener: ChannelSubscriber) -> None:
    """The trigger is dropped: all other connections are removed now, and nothing is a problem."""
    run(database, "drop trigger refuses on realtime.connections")
    await until(lambda: read(database, "select id from realtime.connections") == [(listener.member.connection_id,)])
    await until(lambda: not here.channels.problems)


async def test_a_trigger_that_refuses_the_end_of_a_connection_is_named_until_it_is_dropped(database: str) -> None:
    async with channel_node(database) as here:
        run(database, REFUSES[0])
        run(database, REFUSES[1])
        gone = [await here.member() for _ in range(3)]
        for listener in gone:
            await here.channels.disconnect(listener.member.connection_id)
        reported = "the database refuses the removal of a connection (3 times): never by hand"
        await until(partial(named, here, reported))
        await only_one_stays(database, here, await here.listen("chat:1"))


async def test_a_node_starts_although_a_trigger_keeps_the_connections_of_an_earlier_run(
    database: str, logs: list[EventDict]
) -> None:
    node_id = "n_earlier"
    run(database, "insert into realtime.nodes (id, lease_expires_at) values (%s, now())", node_id)
    run(database, "insert into realtime.connections (id, node_id, transport) values ('old', %s, 'websocket')", node_id)
    for statement in REFUSES:
        run(database, statement)
    async with channel_node(database, slot="earlier", feed={"node_id": node_id}) as here:
        assert any(entry["event"] == "earlier_connections_remain" for entry in logs)
        new = await here.listen("chat:1")
        await until(partial(named, here, "refuses the removal of connections of an earlier run: never by hand"))
        await only_one_stays(database, here, new)
        await here.publish("chat:1", 1)
        await new.until(lambda: new.data == [1])
