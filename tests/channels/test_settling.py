"""Every publish is answered, whatever becomes of its transaction, and gives its place in the queue back."""

from __future__ import annotations

import asyncio

import pytest

from engine.channels.model import RealtimeError
from tests.channels.stage import node, read, run, until

TRIGGER = (
    "create function {name}() returns trigger language plpgsql as $$ begin {body} end $$;"
    "create trigger {name} before insert on realtime.messages for each row execute function {name}()"
)


def trigger(dsn: str, name: str, body: str) -> None:
    run(dsn, TRIGGER.format(name=name, body=body))


async def test_a_message_that_a_trigger_leaves_out_is_refused_and_its_id_can_be_used_again(database: str) -> None:
    trigger(database, "leave_out", "if new.event = 'left-out' then return null; end if; return new;")
    async with node(database) as one:
        for identifier in (None, "i"):
            with pytest.raises(RealtimeError, match="trigger") as refused:
                await one.publish("room", 1, "left-out", id=identifier)
            assert refused.value.code == "RT_007"
        live = await one.listen("room")
        acks = await asyncio.gather(one.publish("room", 2, id="i"), one.publish("room", 3, id="j"))
        await live.until(lambda: len(live.messages) == 2)
        assert [ack.position for ack in acks] == live.positions
        assert one.channels.status()["publishing"] == 0


async def test_a_message_whose_id_a_trigger_changes_is_stored_once_and_acknowledged(database: str) -> None:
    trigger(database, "rename", "new.id := 'renamed ' || new.id; return new;")
    async with node(database) as one:
        live = await one.listen("room")
        assert (await one.publish("room", 1, id="i")).position is None
        await one.publish("room", 2)
        await live.until(lambda: len(live.messages) == 2)
        assert live.messages[0]["id"] == "renamed i"
        assert one.channels.status()["publishing"] == 0


async def test_a_message_that_the_stream_does_not_bring_is_acknowledged_from_its_table(database: str) -> None:
    async with node(database) as one:
        run(database, "alter publication bunbase_realtime drop table realtime.messages")
        acks = await asyncio.gather(one.publish("room", 1, id="i"), one.publish("room", 2))
        assert [ack.position for ack in acks] == [None, None]
        assert read(database, "select payload from realtime.messages order by seq") == [(1,), (2,)]
        assert one.channels.status()["publishing"] == 0


async def test_a_message_that_makes_no_sense_in_the_stream_is_answered(database: str) -> None:
    run(database, "select realtime.create_channel('passing', history => false)")
    async with node(database) as one:
        one.channels.core.reader.key = "another"  # so the node does not believe what it emits itself
        with pytest.raises(RealtimeError, match="stream") as lost:
            await one.publish("passing", 1)
        assert lost.value.code == "RT_001"
        assert one.channels.status()["publishing"] == 0


async def test_messages_that_are_deleted_before_the_stream_brings_them_are_answered(database: str) -> None:
    async with node(database) as one:
        live = await one.listen("room")
        publishing = [asyncio.create_task(one.publish("room", number)) for number in range(20)]
        run(database, "truncate realtime.messages")
        await asyncio.gather(*publishing)
        await live.until(lambda: len(live.messages) == 20)
        await until(lambda: one.channels.status()["publishing"] == 0)
