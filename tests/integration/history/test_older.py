"""``history``: a subscriber reads what is older than its subscription, page by page, as it would have received it."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from engine.channels.core.messages.model import parse_position
from tests.integration.conftest import Source
from tests.support.clients.list_client import write
from tests.support.clients.transports import TRANSPORTS, Message, TransportClient, transport_client
from tests.support.clients.users import UserClient, rest_client, running_server, user_client
from tests.support.nodes.channel_node import ChannelSubscriber, channel_node
from tests.support.postgres.sql import run

PUBLISH = "select realtime.broadcast('room', 'sent', to_jsonb(n)) from generate_series(%s::int, %s::int) n"


async def pages_of(listener: ChannelSubscriber, limit: int, before: str | None = None) -> list[list[Any]]:
    """The data of all pages, from the latest on."""
    assert listener.subscription is not None
    found = []
    while True:
        page = await listener.subscription.older(None if before is None else parse_position(before), limit)
        found.append([json.loads(event.json)["data"] for event in page.messages])
        before = page.before
        if before is None:
            return found


def together(pages: list[list[Any]]) -> list[Any]:
    return [data for page in pages[::-1] for data in page]


# Messages are in the table only, in the table and among the unrecorded, or the latter alone.
@pytest.mark.parametrize("intervals", [(0.01, 0.01), (0.01, 3600.0), (3600.0, 3600.0)])
async def test_pages_have_no_gap_and_no_duplicate_while_others_publish(
    source: Source, intervals: tuple[float, float]
) -> None:
    record, trim = intervals
    async with channel_node(source.dsn, decoder=source.decoder, record_interval=record, trim_interval=trim) as one:
        for first in range(0, 300, 50):
            run(source.dsn, PUBLISH, first, first + 49)
        await one.caught_up()
        listener = await one.listen("room")
        assert listener.subscription is not None
        found: list[list[Any]] = []
        before: str | None = None
        published = 300
        while before is not None or not found:
            page = await listener.subscription.older(None if before is None else parse_position(before), 7)
            found.append([json.loads(event.json)["data"] for event in page.messages])
            before = page.before
            ack = await one.publish("room", published)
            published += 1
            assert ack.position is not None
        assert together(found) == list(range(300))
        assert [len(page) for page in found] == [7] * 42 + [6]
        assert await pages_of(listener, 1000) == [list(range(published))]


async def test_what_another_node_has_acknowledged_is_in_the_latest_page(source: Source) -> None:
    async with (
        channel_node(source.dsn, decoder=source.decoder) as one,
        channel_node(source.dsn, decoder=source.decoder) as two,
    ):
        listener = await two.listen("room")
        assert listener.subscription is not None
        for number in range(10):
            ack = await one.publish("room", number)
            page = await listener.subscription.older(None, 1)
            assert [json.loads(event.json)["position"] for event in page.messages] == [ack.position]


async def test_filters_mutes_and_audiences_hold_as_for_live_messages(database: str) -> None:
    run(database, "insert into realtime.preferences (user_id, event) values ('ann', 'noise')")
    async with channel_node(database) as one:
        run(
            database,
            "select realtime.broadcast('room', case when n % 3 = 0 then 'noise' else 'sent' end,"
            " jsonb_build_object('n', n)) from generate_series(1, 20) n",
        )
        run(database, "select realtime.broadcast('room', 'sent', '{\"n\": 0}', audience => '{\"users\": [\"bob\"]}')")
        await one.caught_up()

        async def numbers(user: str, **options: Any) -> list[int]:
            listener = await one.listen("room", user=user, **options)
            return [data["n"] for data in together(await pages_of(listener, 4))]

        assert await numbers("ann") == [n for n in range(1, 21) if n % 3]
        assert await numbers("bob") == [*range(1, 21), 0]
        assert await numbers("bob", where=(("n", "<=", 5),), events=("sent",)) == [1, 2, 4, 5, 0]


async def test_what_has_expired_is_the_end(database: str) -> None:
    run(database, "select realtime.create_channel('room', max_messages => 5)")
    run(database, "insert into realtime.channel_defaults (pattern, history) values ('none:*', false)")
    async with channel_node(database) as one:
        run(database, PUBLISH, 1, 10)
        run(database, "select realtime.broadcast('none:1', 'sent', '1')")
        await one.caught_up()
        await one.channels.recorded()
        assert await pages_of(await one.listen("none:1"), 2) == [[]]
    run(database, "select realtime.expire_messages()")
    async with channel_node(database) as one:  # one that has nothing in memory
        assert await pages_of(await one.listen("room"), 2) == [[9, 10], [7, 8], [6]]
    run(database, "select realtime.update_channel('room', '{\"ttl\": \"1 millisecond\"}')")
    async with channel_node(database) as one:
        assert await pages_of(await one.listen("room"), 2) == [[]]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_pages_over_each_transport(table: str, transport: str) -> None:
    async with running_server(table) as server, transport_client(server.url, transport) as client:
        for number in range(5):
            await client.ask(type="message", channel="chat:1", event="e", data=number, ref=str(number))
        refused = await asked(client)
        assert (refused["type"], refused["code"]) == ("error", "RT_004")
        assert "subscribe first" in refused["message"]
        # With the subscription that it is about, in one go.
        await client.burst(
            {"type": "subscribe", "channel": "chat:1"}, {"type": "history", "channel": "chat:1", "limit": 2}
        )
        assert (await client.receive("subscribed"))["channel"] == "chat:1"
        page = await client.receive("history", "error")
        assert page.keys() == {"type", "channel", "messages", "before"}
        assert [message["data"] for message in page["messages"]] == [3, 4]
        page = await asked(client, before=page["before"], limit=2)
        assert (page["ref"], [message["data"] for message in page["messages"]]) == ("h", [1, 2])
        assert page["before"] == page["messages"][0]["position"]
        page = await asked(client, before=page["before"], limit=2)
        assert ([message["data"] for message in page["messages"]], page["before"]) == ([0], None)
        for wrong in ({"before": "0/x"}, {"limit": 0}, {"limit": 1001}):
            refused = await asked(client, **cast("dict[str, Any]", wrong))
            assert (refused["code"], refused["ref"]) == ("RT_007", "h"), refused


async def asked(client: TransportClient, channel: str = "chat:1", **more: object) -> Message:
    await client.send(type="history", channel=channel, ref="h", **more)
    return await client.receive("history", "error")


async def test_large_pages_do_not_end_a_connection_that_asks_for_many_at_once(table: str) -> None:
    write(
        table,
        "insert into realtime.messages (channel, event, payload) select 'chat:1', 'e', to_jsonb(repeat('x', 100000))"
        " from generate_series(1, 60)",
    )
    async with running_server(table) as server, user_client(server, "ada") as client:
        await client.join()
        await client.burst(*({"type": "history", "channel": "chat:1", "limit": 60, "ref": str(n)} for n in range(30)))
        sizes = []
        for _ in range(30):
            answer = await client.receive("history", "error")
            if answer["type"] == "history":
                sizes.append(len(answer["messages"]))
            else:
                assert answer["code"] == "RT_006", answer
        assert sizes[:10] == [10] * 10
        assert set(sizes) == {10}


async def test_rights_that_end_while_it_waits_end_the_request(table: str) -> None:
    async with running_server(table) as server, user_client(server, "ada") as client, rest_client(server) as http:
        await client.join()
        await http.post("/channels/chat:1/kick", json={"userId": "ada"})
        assert (await client.receive("error"))["code"] == "RT_003"
        assert (await asked(client))["code"] == "RT_004"
        assert (await client.join("private:x"))["code"] == "RT_003"
        assert (await asked(client, "private:x"))["code"] == "RT_004"


async def test_many_clients_that_ask_for_one_page_read_it_once(table: str) -> None:
    async with running_server(table) as server, asyncio.TaskGroup() as group:
        write(table, "select realtime.broadcast('chat:1', 'e', to_jsonb(n)) from generate_series(1, 100) n")

        async def one(user: str) -> None:
            async with user_client(server, user) as client:
                await ask_page(client)

        for number in range(20):
            group.create_task(one(f"user-{number}"))


async def ask_page(client: UserClient) -> None:
    await client.join(history=1)
    last = await client.receive("message")
    page = await asked(client, before=last["position"], limit=50)
    assert [message["data"] for message in page["messages"]] == list(range(50, 100))
