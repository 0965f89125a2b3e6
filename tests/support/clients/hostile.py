"""A client that tries what costs a server the most, within the rate it is allowed. It counts what it is answered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from websockets.asyncio.client import ClientConnection

from tests.support.servers.processes import GIVE_UP_AFTER

__all__ = ["TABLES", "HostileClient"]

TABLES = """
create table vault (id int primary key, gold text);
create function secret() returns text language sql volatile security definer as 'select gold from vault limit 1';
create function innocent(a text default secret()) returns text language sql immutable as 'select a'
"""
WORST = "%_a" + "_a" * 490 + "b%"
NUMBERS = list(range(18_000))
HUNDREDS: dict[str, tuple[object, list[tuple[str, object]]]] = {
    "numbers": (NUMBERS, [("array-contains", number + 0.5) for number in range(100)]),
    "compounds": ([NUMBERS, {"n": NUMBERS[:200]}], [("==", [[], {"n": number}]) for number in range(100)]),
    "objects": ([{"n": number} for number in range(9_000)], [("array-contains", {"n": -1 - n}) for n in range(100)]),
    "patterns": ("abcdefg" * 17_000, [("like", f"%abc_d{number:03}%") for number in range(100)]),
    "more patterns": ("abc_defa" * 15_000, [("like", f"%d{'_' * (number % 4)}ab_b%") for number in range(100)]),
}
"""Large values, each with a hundred conditions about it that do not hold."""


def _requests(value: object, conditions: list[tuple[str, object]]) -> tuple[str, str]:
    where = [{"or": [["a", word, literal] for word, literal in conditions]}]
    return (
        json.dumps({"type": "subscribe", "channel": "hundred", "filter": {"where": where}}),
        json.dumps({"type": "message", "channel": "hundred", "event": "e", "data": {"a": value}, "ref": "x"}),
    )


_REQUESTS = [_requests(value, conditions) for value, conditions in HUNDREDS.values()]


class HostileClient:
    """Speaks over an open connection, one request at a time. ``answers`` counts them by type or error code."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.answers: Counter[str] = Counter()

    async def _ask(self, message: dict[str, Any] | str) -> None:
        await self.client.send(message if isinstance(message, str) else json.dumps(message))
        async with asyncio.timeout(GIVE_UP_AFTER):
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

    async def ask_a_hundred_times(self, times: int) -> None:
        """Many conditions about one large value."""
        for subscribe, message in _REQUESTS:
            await self._ask(subscribe)
            for _ in range(times):
                await self._ask(message)
            await self._ask({"type": "unsubscribe", "channel": "hundred"})

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
