"""What ``history`` finds, and that it has everything that was acknowledged anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.channels.core.messages.model import Member, MessageTooLargeError, Publication
from engine.errors import InvalidQueryError
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import connect, read, run


async def test_history_with_a_filter_brings_so_many_that_match(source: Source) -> None:
    run(source.dsn, "insert into realtime.preferences (user_id, event) values ('ann', 'noise')")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        run(
            source.dsn,
            "select realtime.broadcast('room', case when n % 3 = 0 then 'noise' else 'sent' end,"
            " jsonb_build_object('n', n)) from generate_series(1, 600) n",
        )
        await one.caught_up()

        async def numbers(user: str | None = None, **options: Any) -> list[int]:
            return [data["n"] for data in (await one.listen("room", user=user, **options)).data]

        assert await numbers(history=3) == [598, 599, 600]
        assert await numbers(history=3, where=(("n", "<=", 100),)) == [98, 99, 100]
        assert await numbers(history=3, where=(("n", "<=", 2),)) == [1, 2]
        assert await numbers(history=3, events=("noise",)) == [594, 597, 600]
        assert await numbers(history=3, user="ann") == [596, 598, 599]
        run(source.dsn, "select realtime.broadcast('room', 'sent', '{\"n\": 0}', audience => '{\"users\": [\"bob\"]}')")
        assert await numbers(history=1, user="ann") == [599]
        assert await numbers(history=1, user="bob") == [0]


async def test_the_search_for_what_matches_ends_after_ten_thousand_messages(database: str) -> None:
    async with channel_node(database) as one:
        run(
            database,
            "insert into realtime.messages (channel, event) select 'room', case when n = 1 then 'rare'"
            " when n = 2 then 'seldom' else 'sent' end from generate_series(1, 10001) n",
        )
        await one.caught_up()
        assert (await one.listen("room", history=5, events=("rare",))).messages == []
        assert len((await one.listen("room", history=5, events=("seldom",))).messages) == 1


async def test_a_subscription_reports_the_position_after_which_all_that_it_gets_follows(database: str) -> None:
    async with channel_node(database) as one:

        async def listen(**options: Any) -> tuple[str | None, list[int]]:
            listener = await one.listen("room", **options)
            assert listener.subscription is not None
            return listener.subscription.since, listener.data

        assert await listen() == (None, [])
        empty, _ = await listen(history=2)
        for first in (0, 3):
            run(
                database,
                "select realtime.broadcast('room', 'sent', to_jsonb(n)) from generate_series(%s::int, %s::int) n",
                first,
                first + 2,
            )
        await one.caught_up()
        positions = (await one.listen("room", history=6)).positions
        for count in range(1, 7):
            since, data = await listen(history=count)
            assert data == list(range(6 - count, 6))
            assert await listen(since=since, epoch=one.channels.epoch) == (since, data)
        assert await listen(since=empty, history=1) == (empty, list(range(6)))
        assert await listen(since=positions[1]) == (positions[1], [2, 3, 4, 5])
        now, data = await listen(since=positions[1], epoch="another")
        assert data == []
        assert now is not None
        assert await listen(since=now) == (now, [])


async def test_messages_acknowledged_by_another_node_are_in_the_history_at_once(source: Source) -> None:
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        for number in range(20):
            ack = await one.publish("room", number)
            assert (await two.listen("room", history=1)).positions == [ack.position]


async def test_after_waiting_for_the_record_sql_reads_what_was_acknowledged(database: str) -> None:
    async with (
        channel_node(database, record_interval=3600.0) as one,
        channel_node(database, record_interval=3600.0) as two,
    ):
        for number in range(10):
            ack = await one.publish("room", number)
            await two.channels.recorded()
            assert read(database, "select position from realtime.history('room', null, 1)") == [(ack.position,)]


async def test_pages_meet_inside_a_transaction(database: str) -> None:
    async with channel_node(database) as one:
        for start in (0, 5, 10):
            run(
                database,
                "select realtime.broadcast('room', 'sent', to_jsonb(n)) from generate_series(%s::int, %s::int) n",
                start,
                start + 4,
            )
        await one.channels.recorded()
        for size in range(1, 7):
            found: list[int] = []
            before = None
            while rows := read(
                database, "select payload, position from realtime.history('room', %s::text, %s::int)", before, size
            ):
                found = [payload for payload, _ in rows] + found
                before = rows[0][1]
            assert found == list(range(15))


TOO_LARGE = json.dumps("x" * 2000)
# As PostgreSQL prints it it has a blank after each comma, and all digits of a number.
LARGE_AS_STORED = "[" + ",".join("1" * 700) + "]"
MANY_DIGITS = "1e3000"
SMALL_AS_STORED = " " * 3000 + '"x"'


@pytest.mark.parametrize("history", [True, False])
async def test_the_limit_is_the_same_for_every_publisher(database: str, history: bool) -> None:
    run(database, "update realtime.settings set max_payload = 2000")
    run(database, "select realtime.create_channel('room', history => %s)", history)
    async with channel_node(database) as one:
        listener = await one.listen("room")

        async def publish(text: str) -> None:
            await one.channels.publish(_publication(text))

        for text in (TOO_LARGE, LARGE_AS_STORED, MANY_DIGITS):
            with pytest.raises(MessageTooLargeError, match="At most 2000"):
                await publish(text)
            for statement in (
                "select realtime.broadcast('room', 'sent', %s::text::jsonb)",
                "select realtime.broadcast_all('sent', %s::text::jsonb)",
                "select realtime.broadcast_users('{ann}', 'sent', %s::text::jsonb)",
                "insert into realtime.messages (channel, event, payload) values ('room', 'sent', %s::text::jsonb)",
            ):
                with connect(database) as connection, pytest.raises(Exception, match="bytes") as refused:
                    connection.execute(statement.encode(), [text])
                assert getattr(refused.value, "sqlstate", None) == "RT005", statement
        await publish(SMALL_AS_STORED)
        run(database, "select realtime.broadcast('room', 'sent', %s::text::jsonb)", SMALL_AS_STORED)
        await listener.until(lambda: len(listener.messages) == 2)
        assert read(database, "select count(*) from realtime.messages") == [(2 if history else 0,)]
        with pytest.raises(InvalidQueryError):
            await publish("\x00")


def _publication(text: str) -> Publication:
    return Publication("room", "sent", text.encode(), Member("nobody"))


async def test_a_change_that_is_too_large_is_announced_without_its_values_and_the_write_succeeds(database: str) -> None:
    run(
        database,
        "update realtime.settings set max_payload = 2000; create table orders (id int primary key, note text);"
        "create trigger announce after insert or update or delete on orders"
        " for each row execute function realtime.broadcast_changes('orders')",
    )
    async with channel_node(database) as one:
        listener = await one.listen("orders")
        run(database, "insert into orders values (1, repeat('x', 3000)), (2, 'small')")
        await listener.until(lambda: len(listener.messages) == 2)
        assert [(data.get("tooLarge", False), data["record"]) for data in listener.data] == [
            (True, None),
            (False, {"id": 2, "note": "small"}),
        ]
        assert read(database, "select count(*) from orders") == [(2,)]


async def test_history_and_since_are_bounded_in_bytes_and_report_what_is_missing(
    database: str,
) -> None:
    async with channel_node(database, max_replay_bytes=5_000, max_history_bytes=5_000) as one:
        acks = [await one.publish("room", f"{number:02}" + "x" * 1_000) for number in range(20)]
        await one.channels.recorded()
        newcomer = await one.listen("room", history=20)
        assert [data[:2] for data in newcomer.data] == ["15", "16", "17", "18", "19"]
        near = await one.listen("room", since=f"{acks[16].position}")
        assert near.subscription is not None
        assert (near.subscription.recovered, [data[:2] for data in near.data]) == (True, ["17", "18", "19"])
        far = await one.listen("room", since=f"{acks[2].position}", history=20)
        assert far.subscription is not None
        assert (far.subscription.recovered, far.data) == (False, newcomer.data)
        await one.publish("room", "live")
        for listener in (newcomer, near, far):
            await listener.until(lambda: listener.data[-1] == "live")
