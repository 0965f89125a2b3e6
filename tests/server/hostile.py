"""A client that tries what costs a server the most, within the rate it is allowed. It counts what it is answered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from websockets.asyncio.client import ClientConnection

from tests.server.processes import PATIENCE

__all__ = ["TABLES", "Hostile"]

TABLES = """
create table vault (id int primary key, gold text);
create function secret() returns text language sql volatile security definer as 'select gold from vault limit 1';
create function innocent(a text default secret()) returns text language sql immutable as 'select a'
"""
WORST = "%_a" + "_a" * 490 + "b%"


class Hostile:
    """Speaks over an open connection, one request at a time. ``answers`` counts them by type or error code."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.answers: Counter[str] = Counter()

    async def _ask(self, message: dict[str, Any]) -> None:
        await self.client.send(json.dumps(message))
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = json.loads(await self.client.recv())
                if answer["type"] in ("subscribed", "unsubscribed", "ack", "error"):
                    self.answers[answer.get("code", answer["type"])] += 1
                    return

    async def query(self, query: dict[str, Any]) -> None:
        """Subscribe and leave at once."""
        before = self.answers["subscribed"]
        await self._ask({"type": "subscribe", "channel": "db:collection:messages", "id": "x", "query": query})
        if self.answers["subscribed"] > before:
            await self._ask({"type": "unsubscribe", "channel": "db:collection:messages", "id": "x"})

    async def flood_plans(self, times: int) -> None:
        """Large literals and long SQL, each another."""
        for number in range(times):
            await self.query({"where": [["body", "==", f"{number:06}" + "x" * 90_000]]})
            await self.query(
                {"sql": "select id from messages where body = $1", "params": [f"{number:06}" + "y" * 90_000]}
            )
            values = ", ".join(map(str, range(number, 3_000)))
            await self.query({"sql": f"select id from messages where id in ({values})"})

    async def stall_filters(self, times: int) -> None:
        """Patterns made to be slow, against messages as large as they may be."""
        await self._ask({"type": "subscribe", "channel": "h", "filter": {"where": [["a", "like", "%_a" * 25_000]]}})
        await self._ask({"type": "subscribe", "channel": "h", "filter": {"where": [["a", "like", WORST]]}})
        for number in range(times):
            data = {"a": "a" * 110_000}
            await self._ask({"type": "message", "channel": "h", "event": "e", "data": data, "ref": str(number)})

    async def look_behind(self) -> None:
        """What is hidden, by way of types, columns, defaults and the catalogs."""
        for sql in (
            "select (null::vault).gold as g, id from messages",
            "select json_populate_record(null::vault, '{}') as g, id from messages",
            "select innocent() as g, id from messages",
            "select xmin::text as x, id from messages",
            "select id from messages, pg_class",
            "select 'vault'::regclass::text as g, id from messages",
        ):
            await self.query({"sql": sql})
