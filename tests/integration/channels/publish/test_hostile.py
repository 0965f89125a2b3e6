"""What PostgreSQL can keep and Python cannot read: numbers of thousands of digits, JSON nested thousands deep.

It may come from anybody who may write to a table; the stream goes on.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine.channels.core.filters.filter import UnreadableFilterError, compile_filter, read_json
from engine.channels.core.messages.model import ChannelEvent
from engine.errors import InvalidQueryError
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelNode, ChannelSubscriber, channel_node
from tests.support.postgres.sql import read, run

HUGE = """'{"x": 1e5000}'::jsonb"""
DEEP = """('{"x": ' || repeat('[', 3000) || repeat(']', 3000) || '}')::jsonb"""
DEEP_LIST = "(repeat('[', 3000) || repeat(']', 3000))::jsonb"


class Ear(ChannelSubscriber):
    """Writes down names of events, or kinds where there are none: the rest may be more than Python reads."""

    received: list[str]

    def deliver(self, event: ChannelEvent) -> None:
        found = re.search(rb'"event":"([^"]*)"|"type":"([^"]*)"', event.json.replace(b'"type":"message",', b"", 1))
        assert found is not None
        self.received.append((found[1] or found[2]).decode())
        self._received.set()


async def listen(one: ChannelNode, channel: str, user: str, **options: Any) -> Ear:
    ear = await one.member(user)
    ear.__class__ = Ear
    assert isinstance(ear, Ear)
    ear.received = []
    await one.listen(channel, ear, **options)
    return ear


async def test_messages_that_cannot_be_read_are_delivered_and_meet_no_filter(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        everything = await listen(one, "c", "all")
        above = await listen(one, "c", "above", where=[["x", ">", 10**300]])
        missing = await listen(one, "c", "missing", where=[["y", "is-null"]])
        run(
            source.dsn,
            f"insert into realtime.messages (channel, event, payload) values ('c', 'huge', {HUGE}), ('c', 'deep', {DEEP})",
        )
        run(
            source.dsn,
            """insert into realtime.messages (channel, event, payload) values ('c', 'end', '{"x": 1e301}')""",
        )
        for ear in (everything, above, missing):
            await ear.until(lambda: "end" in ear.received)
        assert everything.received == ["huge", "deep", "end"]
        assert above.received == ["huge", "end"]
        assert missing.received == ["huge", "end"]
        again = await listen(one, "c", "again", history=3, where=[["x", ">", 0]])
        await again.until(lambda: "end" in again.received)
        assert again.received == ["huge", "end"]


async def test_unreadable_audiences_and_routes_match_no_subscriber(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ear, routed = await listen(one, "c", "ann"), await listen(one, "d", "bob")
        for match in (DEEP_LIST, f"jsonb_build_array({DEEP_LIST})", """'[["data.x", "==", [[1e5000]]]]'""", "'[1]'"):
            run(  # the trigger would refuse most of them
                source.dsn,
                "set session_replication_role = replica;"
                f"insert into realtime.routes (from_channel, to_channel, match) values ('c', 'd', {match})",
            )
        for audience in (
            f"jsonb_build_object('where', {DEEP_LIST})",
            f"jsonb_build_object('where', jsonb_build_array(jsonb_build_array('x', '==', {DEEP_LIST})))",
            f"jsonb_build_object('users', {DEEP_LIST})",
            """'{"users": [1]}'""",
        ):
            run(
                source.dsn,
                f"insert into realtime.messages (channel, event, audience) values ('c', 'secret', {audience})",
            )
        run(source.dsn, "insert into realtime.messages (channel, event) values ('c', 'end'), ('d', 'end')")
        await ear.until(lambda: "end" in ear.received)
        await routed.until(lambda: "end" in routed.received)
        assert ear.received == routed.received == ["end"]


async def test_presence_and_rooms_that_cannot_be_read_are_shown_as_they_are(source: Source) -> None:
    run(source.dsn, "select realtime.create_channel('p')")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ann = await listen(one, "p", "ann", presence={})
        for number, value in enumerate((HUGE, DEEP, "'{\"name\": 5}'"), 1):
            run(source.dsn, f"update realtime.presence set metadata = {value}, state = {value}")
            await ann.until(lambda: ann.received.count("presence:update") == number)
            run(source.dsn, f"update realtime.channels set metadata = {value}")
            await ann.until(lambda: ann.received.count("room:updated") == number)
        await one.channels.set_presence("p", ann.member, {"x": 10**1000})
        await ann.until(lambda: ann.received.count("presence:update") == 4)
        assert read(source.dsn, "select (state ->> 'x')::numeric = 10::numeric ^ 1000 from realtime.presence") == [
            (True,)
        ]


async def test_unreadable_logical_messages_of_other_programs_are_ignored(source: Source) -> None:
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        ear = await listen(one, "c", "ann")
        for prefix in ("realtime.message", "realtime.command"):
            content = f"""'{{"x": ' || {DEEP_LIST}::text || '}}'"""
            run(source.dsn, f"select pg_logical_emit_message(true, '{prefix}', {content})")
            run(source.dsn, f"select pg_logical_emit_message(true, '{prefix}', '\\xff'::bytea)")
            run(
                source.dsn,
                f"""select pg_logical_emit_message(true, '{prefix}', '{{"channel":"'::bytea || '\\xff' || '"}}'::bytea)""",
            )
        await one.publish("c", 1, "end")
        await ear.until(lambda: "end" in ear.received)
        assert ear.received == ["end"]


def test_conditions_nested_too_deeply_are_refused_in_words() -> None:
    where: object = 1
    for _ in range(5000):
        where = [where]
    with pytest.raises(InvalidQueryError, match="nested"):
        compile_filter(where)
    with pytest.raises(UnreadableFilterError):
        read_json(b"[" * 5000 + b"]" * 5000)
