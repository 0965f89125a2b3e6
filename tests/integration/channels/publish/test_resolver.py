"""Every publish is answered, whatever becomes of its transaction, and gives its place in the queue back."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import RealtimeError
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import GIVE_UP_AFTER, read, run, until

TRIGGER = (
    "create function {name}() returns trigger language plpgsql as $$ begin {body} end $$;"
    "create trigger {name} before insert on realtime.messages for each row execute function {name}()"
)


def trigger(dsn: str, name: str, body: str) -> None:
    run(dsn, TRIGGER.format(name=name, body=body))


async def test_a_message_that_a_trigger_leaves_out_is_refused_and_its_id_can_be_used_again(database: str) -> None:
    trigger(database, "leave_out", "if new.event = 'skipped' then return null; end if; return new;")
    async with channel_node(database) as one:
        for identifier in (None, "i"):
            with pytest.raises(RealtimeError, match="trigger") as refused:
                await one.publish("room", 1, "skipped", id=identifier)
            assert refused.value.code == "RT_007"
        live = await one.listen("room")
        acks = await asyncio.gather(one.publish("room", 2, id="i"), one.publish("room", 3, id="j"))
        await live.until(lambda: len(live.messages) == 2)
        assert [ack.position for ack in acks] == live.positions
        assert one.channels.status()["publishing"] == 0


async def test_a_message_whose_id_a_trigger_changes_is_stored_once_and_acknowledged(database: str) -> None:
    trigger(database, "rename", "new.id := 'renamed ' || new.id; return new;")
    async with channel_node(database) as one:
        live = await one.listen("room")
        assert (await one.publish("room", 1, id="i")).position is None
        await one.publish("room", 2)
        await live.until(lambda: len(live.messages) == 2)
        assert live.messages[0]["id"] == "renamed i"
        assert one.channels.status()["publishing"] == 0


async def test_a_message_that_the_stream_does_not_bring_is_acknowledged_from_its_table(database: str) -> None:
    async with channel_node(database) as one:
        run(database, "alter publication bunbase_realtime drop table realtime.messages")
        acks = await asyncio.gather(one.publish("room", 1, id="i"), one.publish("room", 2))
        assert [ack.position for ack in acks] == [None, None]
        assert read(database, "select payload from realtime.messages order by seq") == [(1,), (2,)]
        assert one.channels.status()["publishing"] == 0


async def test_a_message_that_makes_no_sense_in_the_stream_is_answered(database: str) -> None:
    run(database, "select realtime.create_channel('passing', history => false)")
    async with channel_node(database) as one:
        one.channels.core.reader.key = "another"  # so the node does not believe what it emits itself
        with pytest.raises(RealtimeError, match="stream") as lost:
            await one.publish("passing", 1)
        assert lost.value.code == "RT_001"
        assert one.channels.status()["publishing"] == 0


async def test_a_message_that_ends_the_connection_each_time_is_refused_and_the_others_are_stored(database: str) -> None:
    ends = "perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(5);"
    trigger(database, "crash", f"if new.event = 'crash' then {ends} end if; return new;")
    async with channel_node(database) as one:
        live = await one.listen("room")
        crashing = asyncio.create_task(one.publish("room", 0, "crash"))
        await asyncio.gather(*(one.publish("room", number) for number in range(1, 7)))
        with pytest.raises(RealtimeError, match="each time the message was written") as refused:
            await crashing
        assert refused.value.code == "RT_001"
        await live.until(lambda: len(live.messages) == 6)
        assert (await one.publish("room", 7)).position is not None
        assert one.channels.status()["publishing"] == 0
        assert read(database, "select count(*) from realtime.messages") == [(7,)]


async def test_messages_that_are_deleted_before_the_stream_brings_them_are_answered(database: str) -> None:
    async with channel_node(database) as one:
        live = await one.listen("room")
        publishing = [asyncio.create_task(one.publish("room", number)) for number in range(20)]
        run(database, "truncate realtime.messages")
        await asyncio.gather(*publishing)
        await live.until(lambda: len(live.messages) == 20)
        await until(lambda: one.channels.status()["publishing"] == 0)


RAISES = "if new.event = '{state}' then raise exception 'quota of {state}' using errcode = '{state}'; end if;"
CODES = {
    "53100": "RT_001",
    "57014": "RT_001",
    "08001": "RT_001",
    "40001": "RT_001",
    "55P03": "RT_001",
    "42501": "RT_003",
    "P0001": "RT_007",
}


async def test_a_message_that_a_trigger_refuses_holds_up_no_other_whatever_the_sqlstate(database: str) -> None:
    trigger(database, "poison", " ".join(RAISES.format(state=state) for state in CODES) + " return new;")
    async with channel_node(database, linger=0.05) as one:
        live = await one.listen("room")
        good = [asyncio.create_task(one.publish("room", number)) for number in range(4)]
        bad = {state: asyncio.create_task(one.publish("room", 0, state)) for state in CODES}
        good += [asyncio.create_task(one.publish("room", number)) for number in range(4, 8)]
        for task in good:
            assert (await task).position is not None
        for state, code in CODES.items():
            with pytest.raises(RealtimeError, match=f"quota of {state}") as refused:
                await bad[state]
            assert (state, refused.value.code) == (state, code)
        await live.until(lambda: len(live.messages) == 8)
        assert one.channels.status()["publishing"] == 0
        await until(lambda: one.channels.problems == [])


async def test_publishing_that_is_refused_again_and_again_is_a_problem_until_a_message_is_stored(database: str) -> None:
    trigger(database, "broken", "if new.event = 'bad' then perform 1 from missing; end if; return new;")
    async with channel_node(database) as one:
        for number in range(4):
            assert one.channels.problems == []
            with pytest.raises(RealtimeError) as refused:
                await one.publish("room", number, "bad")
            assert refused.value.code == "RT_001"
        [problem] = one.channels.problems
        assert '"missing" does not exist' in problem
        await one.publish("room", 0)
        await until(lambda: one.channels.problems == [])


async def test_of_a_batch_in_which_triggers_leave_out_and_rename_each_message_gets_its_own_answer(
    database: str,
) -> None:
    leaves_out, renames = (
        "if new.event = 'skipped' then return null;",
        "elsif new.event = 'renamed' then new.id := 'r';",
    )
    trigger(database, "filter", f"{leaves_out} {renames} end if; return new;")
    async with channel_node(database, linger=0.05) as one:
        events = ["skipped", "renamed", "sent", "skipped", "sent"]
        sent = [one.publish("room", number, event, id=f"i{number}") for number, event in enumerate(events)]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        for event, answer in zip(events, answers, strict=True):
            assert isinstance(answer, RealtimeError) == (event == "skipped"), (event, answer)
        assert read(database, "select payload from realtime.messages order by seq") == [(1,), (2,), (4,)]
        assert read(database, "select id from realtime.message_ids order by id") == [("i1",), ("i2",), ("i4",)]


@pytest.mark.parametrize("state", ["53100", "42883"])
async def test_an_id_that_cannot_be_released_is_not_claimed_and_takes_no_other_message_with_it(
    database: str, state: str
) -> None:
    trigger(database, "leave_out", "if new.event = 'skipped' then return null; end if; return new;")
    run(database, TRIGGER_ON_RELEASE.format(state=state))
    async with channel_node(database, linger=0.05) as one:
        live = await one.listen("room")
        skipped = asyncio.create_task(one.publish("room", 1, "skipped", id="i"))
        stored = [*await asyncio.gather(one.publish("room", 2, id="j"), one.publish("room", 3))]
        with pytest.raises(RealtimeError, match="ids stay"):
            await skipped
        with pytest.raises(RealtimeError, match="ids stay"):  # not taken for a message that is stored
            await one.publish("room", 1, "skipped", id="i")
        stored.append(await one.publish("room", 4, id="i"))
        await live.until(lambda: len(live.messages) == 3)
        assert [ack.position for ack in stored] == live.positions
        assert read(database, "select payload from realtime.messages order by seq") == [(2,), (3,), (4,)]
        assert one.channels.status()["publishing"] == 0


TRIGGER_ON_RELEASE = (
    "create function keep_ids() returns trigger language plpgsql as "
    "$$ begin raise exception 'ids stay' using errcode = '{state}'; end $$;"
    "create trigger keep_ids before delete on realtime.message_ids for each row execute function keep_ids()"
)


async def test_a_trigger_that_changes_the_transaction_of_a_message_leaves_it_in_history(database: str) -> None:
    trigger(database, "other_xid", "new.xid := '3'; return new;")
    async with channel_node(database) as one:
        live = await one.listen("room")
        ack = await one.publish("room", 1)
        await live.until(lambda: live.positions == [ack.position])
        await one.channels.recorded()
        assert read(database, "select position, payload from realtime.history('room')") == [(ack.position, 1)]


async def test_a_privilege_that_a_trigger_lacks_has_the_code_of_a_missing_permission(database: str) -> None:
    run(database, "create table audit (event text)")
    trigger(
        database, "note", "if new.event = 'bad' then insert into public.audit values (new.event); end if; return new;"
    )
    run(database, "alter function note() owner to realtime_reader")
    run(database, "alter function note() security definer")
    async with channel_node(database) as one:
        with pytest.raises(RealtimeError, match="permission denied for table audit") as refused:
            await one.publish("room", 1, "bad")
        assert refused.value.code == "RT_003"
        assert (await one.publish("room", 2)).position is not None


def test_the_id_of_a_broadcast_that_a_trigger_leaves_out_can_be_used_again(database: str) -> None:
    trigger(database, "leave_out", "if new.event = 'skipped' then return null; end if; return new;")
    run(
        database,
        "select realtime.broadcast('room', 'skipped', '1', id => 'i'), realtime.broadcast('room', 'e', '2', id => 'i')",
    )
    assert read(database, "select payload from realtime.messages") == [(2,)]


@pytest.mark.parametrize(
    ("change", "channel", "acknowledged"),
    [
        ("new.event := 'other'", "room", True),
        ("new.payload := '2'", "room", True),
        ("new.seq := 7", "room", True),
        ("new.inserted_at := new.inserted_at + interval '1 microsecond'", "room", True),
        ("new.id := 'other'", "room", False),
        ("new.channel := 'other'", "other", False),
    ],
)
async def test_a_message_changed_by_a_trigger_is_delivered_and_in_history(
    database: str, change: str, channel: str, acknowledged: bool
) -> None:
    trigger(database, "alters", f"{change}; return new;")
    async with channel_node(database) as one:
        live = await one.listen(channel)
        ack = await one.publish("room", 1, id="i")
        await live.until(lambda: live.messages)
        assert ack.position == (live.positions[0] if acknowledged else None)
        await one.channels.recorded()
        [past] = read(database, f"select position, event, payload, id from realtime.history('{channel}')")
        message = live.messages[0]
        assert past == (message["position"], message["event"], message["data"], message["id"])


async def test_a_trigger_that_moves_a_message_to_another_day_is_refused(database: str) -> None:
    trigger(database, "yesterday", "new.inserted_at := new.inserted_at - interval '30 days'; return new;")
    async with channel_node(database) as one:
        with pytest.raises(RealtimeError):
            await one.publish("room", 1)
        assert one.channels.status()["publishing"] == 0


async def test_a_trigger_whose_own_connection_to_another_server_fails_is_no_outage(database: str) -> None:
    body = "if new.event = 'bad' then perform 1 from public.gone; end if; return new;"
    trigger(database, "remote", body)
    run(
        database,
        "create extension dblink; create view gone as select * from dblink('host=127.0.0.1 port=1', '') as t (a int)",
    )
    async with channel_node(database) as one:
        with pytest.raises(
            RealtimeError, match="a connection that the database itself needs to another server"
        ) as refused:
            await one.publish("room", 1, "bad")
        assert refused.value.code == "RT_001"
        assert (await one.publish("room", 2)).position is not None


async def test_a_message_is_answered_when_its_time_is_up_also_one_that_is_being_written(database: str) -> None:
    trigger(database, "slow", "if new.event = 'slow' then perform pg_sleep(600); end if; return new;")
    async with channel_node(database, publish_timeout=3.0) as one:
        slow = asyncio.create_task(one.publish("room", 1, "slow"))
        await until(lambda: read(database, "select from pg_stat_activity where wait_event = 'PgSleep'"))
        with pytest.raises(RealtimeError, match="takes no messages now"):
            await one.publish("room", 2)
        with pytest.raises(RealtimeError, match="whether the message was stored is not known"):
            await slow
        assert one.channels.status()["publishing"] == 0
        run(database, "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:  # one that is submitted before the connection is back may wait too long as well
                try:
                    ack = await one.publish("room", 3)
                except RealtimeError:
                    continue
                break
        assert ack.position is not None
        assert read(database, "select payload from realtime.messages order by seq") == [(3,)]
