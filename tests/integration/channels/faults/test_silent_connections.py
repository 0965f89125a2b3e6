"""Connections of the channels that die without a word while new ones work: what was sent arrives nowhere."""

from __future__ import annotations

import asyncio

from psycopg.conninfo import conninfo_to_dict

from tests.faultproxy.proxy import FaultProxy
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import until


async def test_channels_continue_after_every_connection_became_silent(database: str) -> None:
    address = conninfo_to_dict(database)
    async with FaultProxy(str(address["host"]), int(str(address["port"]))) as proxy:
        through = database.replace(f":{address['port']}/", f":{proxy.port}/")
        async with channel_node(database, through=through, timeout=3.0, publish_timeout=60.0) as server:
            listener = await server.listen("chat:1", user="ada")
            first = await server.publish("chat:1", 1)
            await listener.until(lambda: listener.data == [1])
            proxy.half_open()
            async with asyncio.TaskGroup() as group:
                group.create_task(server.publish("chat:1", 2))
                joining = group.create_task(server.listen("chat:1", user="bob", presence={"name": "Bob"}))
            presence = joining.result().presence
            assert presence is not None
            assert [user["name"] for user in presence["users"]] == ["Bob"]
            await listener.until(lambda: listener.data == [1, 2])
            resumed = await server.listen("chat:1", user="eve", since=first.position)
            await resumed.until(lambda: resumed.data == [2])
            await until(
                lambda: server.channels.problems == []
            )  # the last silent connection is ended by its answer_timeout
