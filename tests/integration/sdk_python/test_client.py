"""The client against a real server: everything that is promised, over every transport."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal

import psycopg
import pytest
from bunbase import Encryption, Message, Realtime, RealtimeError, Snapshot, User

from tests.integration.sdk_python.conftest import MakeClient, next_of, written
from tests.support.clients.list_client import read, write
from tests.support.servers.processes import GIVE_UP_AFTER


async def test_messages_reach_callbacks_coroutines_and_iterators_in_the_order_of_sending(
    client: MakeClient, channel_name: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, client("bob") as bob:
        called: list[int] = []
        awaited: list[int] = []
        all_awaited = asyncio.Event()
        theirs = await bob.channel(channel_name).subscribe()

        @theirs.on("sent")
        def _(message: Message) -> None:
            called.append(message.data["n"])

        @theirs.on("sent")
        async def _(message: Message) -> None:
            await asyncio.sleep(0)
            awaited.append(message.data["n"])
            if len(awaited) == 30:
                all_awaited.set()

        messages = theirs.messages("sent")
        mine = ada.channel(channel_name)
        acks = await asyncio.gather(*(mine.send("sent", {"n": n}) for n in range(30)), mine.send("other", None))
        got = [await anext(messages) for _ in range(30)]
        await all_awaited.wait()
        assert [message.data["n"] for message in got] == called == awaited == list(range(30))
        assert [(ack.id, ack.position) for ack in acks[:30]] == [(message.id, message.position) for message in got]
        assert {message.sender for message in got} == {"ada"}


async def test_sending_from_a_listener_does_not_hold_up_the_connection(client: MakeClient, channel_name: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, ada.channel(channel_name) as channel:
        answers = channel.messages("answer")

        @channel.on("question")
        async def _(message: Message) -> None:
            await channel.send("answer", message.data)

        await channel.send("question", 1)
        assert (await anext(answers)).data == 1


async def test_an_id_of_ones_own_makes_sending_twice_harmless(client: MakeClient, channel_name: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, ada.channel(channel_name) as channel:
        messages = channel.messages()
        first = await channel.send("sent", 1, id="mine")
        second = await channel.send("sent", 1, id="mine")
        await channel.send("sent", 2)
        assert first == second
        assert [(await anext(messages)).data for _ in range(2)] == [1, 2]


async def test_history_comes_first_and_a_filter_leaves_out_what_is_not_wanted(
    client: MakeClient, channel_name: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, client("bob") as bob:
        for n in range(5):
            await ada.channel(channel_name).send("sent", {"n": n})
        await ada.channel(channel_name).send("whispered", {"n": 5})
        last = bob.channel(channel_name, history=4, filter={"events": ["sent"], "where": [["n", ">", 2]]})
        messages = last.messages()
        await last.subscribe()
        await ada.channel(channel_name).send("sent", {"n": 1})
        await ada.channel(channel_name).send("sent", {"n": 6})
        assert [(await anext(messages)).data["n"] for _ in range(3)] == [3, 4, 6]


async def test_presence_is_delivered_and_kept_and_leaving_is_seen_at_once(
    client: MakeClient, channel_name: str
) -> None:
    events: asyncio.Queue[tuple[str, User]] = asyncio.Queue()
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        channel = ada.channel(channel_name, presence={"name": "Ada"})
        for kind in ("join", "update", "leave"):
            channel.on(f"presence:{kind}", lambda user, kind=kind: events.put_nowait((kind, user)))
        await channel.subscribe()
        async with client("bob") as bob:
            theirs = await bob.channel(channel_name, presence=True).subscribe()
            assert {user.id for user in theirs.presence.users} == {"ada", "bob"}
            assert (await next_of(events))[1].id == "bob"
            await theirs.update_presence({"status": "away"}, name="Bob")
            kind, user = await next_of(events)
            assert (kind, user.name, user.state["status"]) == ("update", "Bob", "away")
            assert (await channel.get_presence()).count == 2
        kind, user = await next_of(events)
        assert (kind, user.id, channel.presence.count) == ("leave", "bob", 1)


async def test_a_refusal_has_a_reason(client: MakeClient, channel_name: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        with pytest.raises(RealtimeError) as refused:
            await ada.channel("private:x").subscribe()
        assert (refused.value.code, refused.value.channel) == ("RT_003", "private:x")
        with pytest.raises(RealtimeError) as refused:
            await ada.channel("private:x").send("sent", 1)
        assert refused.value.code == "RT_003"
        with pytest.raises(RealtimeError) as refused:
            await ada.channel(channel_name).send("sent", "x" * 200_000)
        assert refused.value.code == "RT_005"
        with pytest.raises(RealtimeError) as refused:
            await ada.channel(channel_name).update_presence(status="here")
        assert refused.value.code == "RT_009"
        with pytest.raises((TypeError, ValueError)):
            await ada.channel(channel_name).send("sent", object())
        errors: asyncio.Queue[RealtimeError] = asyncio.Queue()
        ada.database().collection("nowhere").on_snapshot(lambda _: None).on("error", errors.put_nowait)
        assert (await next_of(errors)).code in ("RT_004", "RT_007")
        await ada.channel(channel_name).send("sent", "and the connection goes on")


@pytest.mark.parametrize("size", [200_000, 3_000_000])
async def test_a_request_larger_than_the_server_takes_is_refused_and_disturbs_nothing_else(
    client: MakeClient, table: str, size: int
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        lost: list[object] = []
        ada.on("disconnected", lost.append)
        errors: asyncio.Queue[RealtimeError] = asyncio.Queue()
        query = ada.database().collection("messages")
        query.where("body", "in", ["x" * size]).on_snapshot(lambda _: None).on("error", errors.put_nowait)
        assert (await next_of(errors)).code == "RT_005"
        async with query.limit(1).snapshots() as snapshots:
            await anext(snapshots)
        assert lost == []


async def test_a_live_query_is_the_list_and_each_change_of_it(
    client: MakeClient, table: str, request: pytest.FixtureRequest
) -> None:
    room = request.node.name
    values = ", ".join(f"({abs(hash((room, n))) % 10**9}, '{room}', 'b{n}', {n})" for n in range(4))
    write(table, f"insert into messages (id, room, body, likes) values {values}")
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        query = ada.database().collection("messages").where("room", "==", room).order_by("likes", "desc").limit(3)
        async with query.snapshots() as snapshots:
            first = await anext(snapshots)
            assert [doc.data["body"] for doc in first.docs] == ["b3", "b2", "b1"]
            assert [(change.type, change.new_index) for change in first.changes] == [("added", n) for n in range(3)]
            write(table, f"update messages set likes = 9 where room = '{room}' and body = 'b2'")
            second = await anext(snapshots)
            assert [(change.type, change.old_index, change.new_index) for change in second.changes] == [
                ("modified", 1, 0)
            ]
            assert [doc.data["body"] for doc in second.docs] == ["b2", "b3", "b1"]
        sql = ada.database().collection("messages").sql("select count(*) as n from messages where room = $1", [room])
        async with sql.snapshots() as counts:
            assert (await anext(counts)).docs[0].data == {"n": 4}


async def test_the_annotation_of_a_transaction_comes_with_its_message_and_its_change(
    client: MakeClient, table: str, channel_name: str, request: pytest.FixtureRequest
) -> None:
    room = request.node.name
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        channel = await ada.channel(channel_name, meta=True).subscribe()
        messages = channel.messages()
        query = ada.database().collection("messages").where("room", "==", room)
        async with query.snapshots(meta=True) as snapshots:
            assert (await anext(snapshots)).meta is None
            write(
                table,
                f"insert into messages (id, room) values ({abs(hash(room)) % 10**9}, '{room}')",
                f"select realtime.broadcast('{channel_name}', 'e')",
                """select realtime.annotate('{"user": "ada", "reason": "import"}')""",
            )
            assert (await anext(snapshots)).meta == {"user": "ada", "reason": "import"}
            assert (await anext(messages)).meta == {"user": "ada", "reason": "import"}
        trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=1"}
        await channel.send("e", **trace)
        await channel.send("e")
        assert [(await anext(messages)).meta for _ in range(2)] == [trace, None]


async def test_numbers_are_compared_with_all_their_digits_and_may_have_thousands_of_them(
    client: MakeClient, table: str, channel_name: str
) -> None:
    write(
        table,
        "create table if not exists exact (id int primary key, v numeric, j jsonb)",
        "insert into exact values (1, 0.12345678901234567890123, '1.5'), (2, 1e5000, '99999999999999999999.5') "
        "on conflict do nothing",
        "select realtime.expose('exact')",
    )
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        exact = ada.database().collection("exact")
        for value in (Decimal("0.12345678901234567890123"), "0.12345678901234567890123"):
            async with exact.where("v", "==", value).snapshots() as found:
                assert [doc.id for doc in (await anext(found)).docs] == ["1"]
        async with exact.where("j", "==", Decimal("99999999999999999999.5")).snapshots() as found:
            assert [doc.id for doc in (await anext(found)).docs] == ["2"]
        async with exact.where("v", "<", 10**30).order_by("id").snapshots() as found:
            assert [doc.id for doc in (await anext(found)).docs] == ["1"]
        async with exact.order_by("id").snapshots() as found:
            assert [doc.data["v"] > 0 for doc in (await anext(found)).docs] == [True, True]
        messages = (await ada.channel(channel_name).subscribe()).messages("e")
        write(table, f"select realtime.broadcast('{channel_name}', 'e', jsonb_build_object('n', 1e5000))")
        assert (await anext(messages)).data["n"] > 10**300


async def test_callbacks_get_snapshots_until_they_are_unsubscribed(
    client: MakeClient, table: str, request: pytest.FixtureRequest
) -> None:
    room = request.node.name
    seen: asyncio.Queue[Snapshot] = asyncio.Queue()
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        live = ada.database().collection("messages").where("room", "==", room).on_snapshot(seen.put_nowait)
        assert (await next_of(seen)).docs == ()
        assert live.strategy == "incremental"
        await live.unsubscribe()
        write(table, f"insert into messages (id, room) values ({abs(hash(room)) % 10**9}, '{room}')")
        other = ada.database().collection("messages").where("room", "==", room).on_snapshot(seen.put_nowait)
        while len((await next_of(seen)).docs) != 1:
            pass  # the shared list may be a moment behind the commit; then the row follows
        assert live.docs == ()
        await other.unsubscribe()


async def test_a_hundred_subscriptions_and_a_burst_of_sends_stay_below_the_rate_limit(
    client: MakeClient, channel_name: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        failures: list[RealtimeError] = []
        ada.on("error", failures.append)
        await asyncio.gather(*(ada.channel(f"{channel_name}:{n}").subscribe() for n in range(90)))
        await asyncio.gather(*(ada.channel(channel_name).send("sent", n) for n in range(100)))
        assert failures == []


async def test_too_many_subscriptions_are_refused_and_the_others_stay(client: MakeClient, channel_name: str) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada:
        channels = [ada.channel(f"{channel_name}:{n}") for n in range(100)]
        await asyncio.gather(*(channel.subscribe() for channel in channels))
        with pytest.raises(RealtimeError) as refused:
            await ada.channel(f"{channel_name}:100").subscribe()
        assert refused.value.code == "RT_006"
        assert all(channel.is_subscribed for channel in channels)
        await channels[0].unsubscribe()
        await ada.channel(f"{channel_name}:100").subscribe()


async def test_encrypted_messages_are_ciphertext_without_the_key(
    client: MakeClient, channel_name: str, table: str
) -> None:
    keys = {"k1": b"1" * 32, "k2": b"2" * 32}
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, client("bob") as bob, client("eve") as eve:
        theirs = bob.channel(channel_name, encryption=Encryption("k1", keys))
        errors: asyncio.Queue[RealtimeError] = asyncio.Queue()
        theirs.on("error", errors.put_nowait)
        messages, wire = theirs.messages(), eve.channel(channel_name).messages()
        await theirs.subscribe()
        await eve.channel(channel_name).subscribe()
        await ada.channel(channel_name, encryption=Encryption("k2", keys)).send("sent", {"text": "secret"})
        await eve.channel(channel_name).send("sent", {"text": "plain"})
        await eve.channel(channel_name).send("sent", {"e2ee": 1, "kid": "k3", "iv": "AAAAAAAAAAAAAAAA", "ct": "AAAA"})
        await ada.channel(channel_name).send("sent", "the last")
        assert [(await anext(messages)).data for _ in range(2)] == [{"text": "secret"}, "the last"]
        assert [(await next_of(errors)).code for _ in range(2)] == ["RT_007", "RT_007"]
        envelope = (await anext(wire)).data
        assert (envelope["e2ee"], envelope["kid"]) == (1, "k2")
        stored = read(table, f"select payload::text from realtime.messages where channel = '{channel_name}'")
        assert "secret" not in json.dumps(stored)


async def test_keys_do_not_get_into_the_logs(client: MakeClient, table: str, caplog: pytest.LogCaptureFixture) -> None:
    [(key,)] = read(table, "select realtime.create_api_key('sdk', 'publishable')")
    with caplog.at_level("INFO"):
        async with asyncio.timeout(GIVE_UP_AFTER), client("bob") as bob:
            await bob.channel("logs:1").send("sent", 1)  # behind the key in the stream
        async with asyncio.timeout(GIVE_UP_AFTER), client("ada", api_key=key) as ada:
            await ada.channel("logs:1").send("sent", 1)
    assert ada._address.parameters["apikey"] == key
    assert key not in caplog.text
    assert ada._address.parameters["client"] not in caplog.text


async def test_a_key_that_is_not_publishable_is_not_sent_in_an_address() -> None:
    for key in ("sk_000000000000_1", "the rest_key", ""):
        assert "apikey" not in Realtime("http://localhost", api_key=key)._address.parameters


async def test_options_that_cannot_be_are_refused() -> None:
    for wrong in ({"transports": ("smoke",)}, {"transports": ()}, {"connect_timeout": 0}, {"queue_limit": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Realtime("http://localhost", **wrong)
    with pytest.raises(ValueError, match="url"):
        Realtime("localhost:8000")


async def test_what_a_write_has_caused_is_there_when_it_was_seen(
    client: MakeClient, table: str, channel_name: str
) -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), client("ada") as ada, ada.channel(channel_name) as channel:
        await written(ada, table, "truncate messages")
        got: list[Message] = []
        channel.on("*", got.append)
        rows = ada.database().collection("messages").order_by("id")
        number = ada.database().collection("messages").sql("select count(*) as n from messages")
        lists = [query.on_snapshot(lambda _: None) for query in (rows, number)]
        with psycopg.connect(table) as sql:
            sql.execute("insert into messages values (1, 'a', 'b', 0)")
            sql.execute("select realtime.broadcast(%s, 'made', '1')", [channel_name])
            [(position,)] = sql.execute("select realtime.position()")
        await ada.when_seen(position)
        assert [[doc.data for doc in live.docs] for live in lists] == [
            [{"id": 1, "room": "a", "body": "b", "likes": 0}],
            [{"n": 1}],
        ]
        assert [message.event for message in got] == ["made"]
        with psycopg.connect(table) as sql:
            [(position,)] = sql.execute("select realtime.position()")
            sql.rollback()
        with pytest.raises(RealtimeError, match="rolled back") as found:
            await ada.when_seen(position)
        assert found.value.code == "RT_004"
        with psycopg.connect(table) as sql:
            [(position,)] = sql.execute("select realtime.position()")
            with pytest.raises(RealtimeError, match=r"not seen within 0\.2 s"):
                await ada.when_seen(position, timeout=0.2)
