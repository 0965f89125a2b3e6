"""The annotations of a transaction (``realtime.annotate()``) come with its changes and messages, for those who ask."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from engine.channels.core.messages.model import ChannelOptions, EventBatch
from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import Subscription
from engine.tracing.context import TraceContext
from engine.tracing.messages import MessageTrace
from tests.integration.conftest import Source
from tests.support.nodes.channel_node import ChannelNode, channel_node
from tests.support.postgres.sql import open_transaction, run_each

WINDOW = {"orderBy": [["id", "asc"]]}
REREAD = {"sql": "select count(*) as count from item", "params": []}
EXPOSED = "create table item (id int primary key)", "select realtime.expose('item')"


class Reader:
    """A subscriber of a live query, which keeps the ids and the annotation of each event."""

    def __init__(self) -> None:
        self.events: list[tuple[list[str], Any]] = []
        self.positions: list[int] = []
        self.subscription: Subscription | None = None

    def deliver(self, _: Subscription, event: WindowEvent) -> None:
        self.events.append(([change.id for change in event.changes], event.meta and json.loads(event.meta)))
        self.positions.append(event.position)

    async def follow(self, node: ChannelNode, query: dict[str, Any], resume: Resume | None = None) -> Subscription:
        self.subscription = await node.live.subscribe(Principal(), "item", query, self.deliver, resume)
        self.subscription.begin()
        return self.subscription


def commit(dsn: str, *statements: str) -> None:
    with open_transaction(dsn, *statements) as transaction:
        transaction.commit()


async def caught_up(node: ChannelNode) -> None:
    await node.caught_up()
    await node.live.caught_up(node.stream.passed)


async def test_every_change_and_message_of_a_transaction_carries_its_merged_annotations(source: Source) -> None:
    run_each(source.dsn, *EXPOSED, "select realtime.create_channel('quiet', history => false)")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        window = Reader()
        await window.follow(one, WINDOW)
        asking = [await one.listen(channel, user="ann", meta=True) for channel in ("c", "quiet")]
        others = [await one.listen(channel, user="bob") for channel in ("c", "quiet")]
        batches: list[EventBatch] = []
        member = await one.member("eve")
        member.deliver_batch = batches.append  # type: ignore[method-assign, assignment]
        whole = await one.channels.subscribe("c", ChannelOptions(meta=True), member.member, member)
        whole.begin()
        commit(
            source.dsn,
            "insert into item values (1)",
            "select realtime.broadcast('c', 'e', '1')",
            """select realtime.annotate('{"user": "ada", "why": {"id": 12345678901234567890.10}}')""",
            "savepoint a",
            """select realtime.annotate('{"user": "eve", "undone": true}')""",
            "rollback to a",
            "select realtime.broadcast('c', 'e', '2'), realtime.broadcast('quiet', 'e', '3')",
            "insert into item values (2)",
            """select realtime.annotate('{"user": "bob"}')""",
        )
        commit(source.dsn, "insert into item values (3)", "select realtime.broadcast('c', 'e', '4')")
        for listener in (*asking, *others):
            await listener.until(lambda listener=listener: len(listener.messages) == len(expected(listener)))  # type: ignore[misc]
        await caught_up(one)
        merged = {"why": {"id": 12345678901234567890.1}, "user": "bob"}
        assert window.events == [([], None), (["1", "2"], merged), (["3"], None)]
        assert [message.get("meta") for message in asking[0].messages] == [merged, merged, None]
        assert [message.get("meta") for message in asking[1].messages] == [merged]
        assert b'"id": 12345678901234567890.10' in batches[0].events[0].json
        assert [json.loads(event.json)["meta"] for event in batches[0].events] == [merged, merged]
        assert all("meta" not in message for listener in others for message in listener.messages)
        past = await one.listen("c", user="cat", meta=True, history=9)
        await past.until(lambda: len(past.messages) == 3)
        assert all("meta" not in message for message in past.messages)


def expected(listener: Any) -> list[int]:
    return [3] if listener.subscription.channel == "quiet" else [1, 2, 4]


async def test_differences_that_may_be_of_several_transactions_carry_no_annotation(source: Source) -> None:
    run_each(source.dsn, *EXPOSED)
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        window, reread, returning = Reader(), Reader(), Reader()
        followed = await window.follow(one, WINDOW)
        await reread.follow(one, REREAD)
        annotated = """select realtime.annotate('{"user": "ada"}')"""
        commit(source.dsn, annotated, "insert into item values (1)")
        await caught_up(one)
        followed.pause()
        commit(source.dsn, annotated, "insert into item values (2)")
        commit(source.dsn, annotated, "insert into item values (3)")
        await caught_up(one)
        followed.resume()
        assert window.events == [([], None), (["1"], {"user": "ada"}), (["2", "3"], None)]
        assert {meta for _, meta in reread.events} == {None}
        await returning.follow(one, WINDOW, Resume(window.positions[1], followed.epoch))
        assert returning.events == [(["2"], {"user": "ada"}), (["3"], {"user": "ada"})]


async def test_a_message_carries_the_trace_context_of_its_publisher(source: Source) -> None:
    run_each(source.dsn, *EXPOSED, "select realtime.create_channel('quiet', history => false)")
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        asking = [await one.listen(channel, user="ann", meta=True) for channel in ("c", "quiet")]
        contexts = [TraceContext(n, 2, 1, "a=1") for n in (1, 2)]
        sender = await one.member("eve")
        for ear in asking:
            channel = ear.subscription.channel if ear.subscription is not None else ""
            await asyncio.gather(  # one batch
                one.publish(channel, 0, member=sender.member, id="x", trace=MessageTrace(contexts[0])),
                one.publish(channel, 1, member=sender.member),
                one.publish(channel, 2, member=sender.member, trace=MessageTrace(contexts[1], sampled=True)),
            )
            await ear.until(lambda ear=ear: len(ear.messages) == 3)  # type: ignore[misc]
            expected = {0: contexts[0].fields, 1: None, 2: contexts[1].fields}
            assert {message["data"]: message.get("meta") for message in ear.messages} == expected
        forged = {"channel": "c", "id": "y", "scope": "=eve", "key": "guess", **contexts[0].fields}
        commit(
            source.dsn,
            f"select pg_logical_emit_message(true, 'realtime.trace', '{json.dumps(forged)}'::bytea)",
            "select realtime.broadcast('c', 'e', '3', id => 'y', sender => 'eve')",
        )
        await asking[0].until(lambda: len(asking[0].messages) == 4)
        assert "meta" not in asking[0].messages[-1]


async def test_an_annotation_that_does_not_come_from_the_function_is_not_delivered(source: Source) -> None:
    run_each(source.dsn, *EXPOSED)
    async with channel_node(source.dsn, decoder=source.decoder) as one:
        window = Reader()
        await window.follow(one, WINDOW)
        ear = await one.listen("c", user="ann", meta=True)
        forged = ('{"meta": {"user": "ada"}, "key": "guess"}', '{"meta": {"user": "ada"}}', "{", "[]", "\\xff")
        commit(
            source.dsn,
            *[f"select pg_logical_emit_message(true, 'realtime.annotation', '{content}'::bytea)" for content in forged],
            "insert into item values (1)",
            "select realtime.broadcast('c', 'e')",
        )
        await ear.until(lambda: ear.messages)
        await caught_up(one)
        assert window.events == [([], None), (["1"], None)]
        assert "meta" not in ear.messages[0]
