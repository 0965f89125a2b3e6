"""Networks fail at random between SDKs and server, and still everything that was acknowledged arrives once, in order.

``--fault-minutes N`` goes on for N minutes instead of some seconds, ``--fault-seed S`` repeats a run's faults.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import subprocess
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.faultproxy.actors import CHANNEL, Actor, NodeActor, PythonActor
from tests.faultproxy.chaos import misbehave
from tests.faultproxy.proxy import FaultProxy
from tests.support.clients.list_client import TABLE, slot_name
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving

ALL = ("websocket", "sse", "polling")
BLOCKABLE = (b"Upgrade: websocket", b"GET /realtime/sse")
JS = Path(__file__).parents[2] / "sdk" / "js"
TRUTH = "select to_jsonb(m) from (select * from messages order by likes desc, id limit 10) m"
WAITING = 900
"""Messages without an answer after which an actor waits: the SDKs keep 1,000 while there is no connection."""


class FaultRun:
    """Server, database and actors, each actor behind a proxy of its own."""

    def __init__(self, dsn: str, server: ServerProcess, actors: list[Actor], proxies: list[FaultProxy]) -> None:
        self.dsn = dsn
        self.server = server
        self.actors = actors
        self.proxies = proxies
        self.sent: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    async def perform(self, seed: int, seconds: float) -> None:
        """Everybody talks, rows change, networks fail."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number, actor in enumerate(self.actors):
                group.create_task(self._talk(actor, random.Random(seed + number), over))
            group.create_task(self._write(random.Random(seed), over))
            failing = [
                group.create_task(
                    misbehave(proxy, seed * 1000 + number, seconds, BLOCKABLE if len(actor.transports) > 1 else ())
                )
                for number, (actor, proxy) in enumerate(zip(self.actors, self.proxies, strict=True))
            ]
            for one in failing:
                self.faults += await one
            over.set()

    async def _talk(self, actor: Actor, chance: random.Random, over: asyncio.Event) -> None:
        while not over.is_set():
            if self.sent[actor.name] - len(actor.acked) > WAITING:
                await asyncio.sleep(0.1)
                continue
            for _ in range(chance.choice((1, 1, 1, 5, 20))):
                await actor.send(self.sent[actor.name])
                self.sent[actor.name] += 1
            await asyncio.sleep(chance.uniform(0, 0.5))

    async def _write(self, chance: random.Random, over: asyncio.Event) -> None:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            while not over.is_set():
                id, likes = chance.randrange(30), chance.randrange(1000)
                if chance.random() < 0.2:
                    await connection.execute("delete from messages where id = %s", [id])
                else:
                    statement = (
                        "insert into messages (id, room, likes) values (%s, 'a', %s) "
                        "on conflict (id) do update set likes = excluded.likes"
                    )
                    await connection.execute(statement, [id, likes])
                await asyncio.sleep(chance.uniform(0, 0.1))

    async def until(self, actor: Actor, what: str, holds: Any) -> None:
        """Wait until the actor knows something."""
        try:
            async with asyncio.timeout(GIVE_UP_AFTER):
                while not holds():
                    actor.changed.clear()
                    await actor.changed.wait()
        except TimeoutError:
            pytest.fail(f"{actor.name}: {what}: {self._state(actor)}")

    def _state(self, actor: Actor) -> str:
        counts = Counter(sender for sender, _, _ in actor.received)
        sent = self.sent[actor.name]
        return (
            f"sent {sent}, acked {len(actor.acked)}, refused {actor.refused[:3]}, "
            f"received {dict(counts)} of {dict(self.sent)}, "
            f"users {sorted(actor.users)}, connections {actor.connections}, docs {actor.docs}"
        )

    async def check(self) -> None:
        """What must hold in the end."""
        for actor in self.actors:
            await self.until(actor, "all is acknowledged", lambda a=actor: len(a.acked) >= self.sent[a.name])
        total = sum(self.sent.values())
        for actor in self.actors:
            await self.until(actor, "all has arrived", lambda a=actor: len(a.received) >= total)
        truth = [
            (message["data"]["from"], message["data"]["n"], message["position"]) for message in await self.history()
        ]
        for actor in self.actors:
            assert not actor.refused
            assert not actor.gaps
            assert actor.received == truth, f"{actor.name} received everything once, in the order of the commits"
        for name, count in self.sent.items():
            assert [n for sender, n, _ in truth if sender == name] == list(range(count)), f"{name}'s order"
        await self._check_lists()
        everybody = {actor.name for actor in self.actors}
        for actor in self.actors:
            await self.until(actor, "everybody is present", lambda a=actor: a.users == everybody)
        assert await self._present() == everybody
        leaver = self.actors[-1]
        await leaver.stop()
        for actor in self.actors[:-1]:
            await self.until(actor, f"{leaver.name} has left", lambda a=actor: a.users == everybody - {leaver.name})

    async def _check_lists(self) -> None:
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as connection:
            rows = await (await connection.execute(TRUTH.encode())).fetchall()
        expected = [row[0] for row in rows]
        for actor in self.actors:
            await self.until(actor, f"the list is {expected}", lambda a=actor: a.docs == expected)

    async def history(self) -> list[dict[str, Any]]:
        """The channel's messages as REST lists them."""
        total = sum(self.sent.values())
        found: list[dict[str, Any]] = []
        before: str | None = None
        async with httpx.AsyncClient(base_url=f"{self.server.url}/realtime") as http, asyncio.timeout(GIVE_UP_AFTER):
            while len(found) < total:
                params = {"limit": "1000", **({} if before is None else {"before": before})}
                page = (await http.get(f"/channels/{CHANNEL}/messages", params=params)).json()
                found = page["messages"] + found
                before = page["before"]
                if before is None and len(found) < total:  # the last ones are written down a moment later
                    found = []
                    await asyncio.sleep(0.05)
        return found

    async def _present(self) -> set[str]:
        async with httpx.AsyncClient(base_url=f"{self.server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
            return {user["id"] for user in (await http.get(f"/channels/{CHANNEL}/presence")).json()["users"]}


def cast_of(kinds: str) -> list[tuple[type[Actor], str, tuple[str, ...], str]]:
    """Who plays."""
    python: list[tuple[type[Actor], str, tuple[str, ...], str]] = [
        (PythonActor, "py-ws", ("websocket",), "json"),
        (PythonActor, "py-pack", ("websocket",), "msgpack"),
        (PythonActor, "py-sse", ("sse",), "json"),
        (PythonActor, "py-poll", ("polling",), "json"),
        (PythonActor, "py-any", ALL, "json"),
    ]
    node: list[tuple[type[Actor], str, tuple[str, ...], str]] = [
        (NodeActor, "js-ws", ("websocket",), "json"),
        (NodeActor, "js-pack", ("websocket",), "msgpack"),
        (NodeActor, "js-sse", ("sse",), "json"),
        (NodeActor, "js-poll", ("polling",), "json"),
        (NodeActor, "js-any", ALL, "json"),
    ]
    return python if kinds == "python" else node


@pytest.fixture
def sdk(kinds: str, tmp_path: Path) -> Path | None:
    """The TypeScript SDK in one file, made from its sources as they are now."""
    if kinds != "node":
        return None
    esbuild = JS / "node_modules" / ".bin" / "esbuild"
    if shutil.which("node") is None or not esbuild.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Node, or the packages of sdk/js, are not installed")
    bundle = tmp_path / "sdk.mjs"
    command = [str(esbuild), "src/index.ts", "--bundle", "--format=esm", "--platform=neutral", f"--outfile={bundle}"]
    subprocess.run([*command, "--log-level=warning"], cwd=JS, check=True, timeout=GIVE_UP_AFTER)
    return bundle


@pytest.mark.long
@pytest.mark.parametrize("kinds", ["python", "node"])
async def test_acknowledged_messages_arrive_once_in_order_and_lists_and_presence_are_right(
    pg18: LocalPostgres, kinds: str, sdk: Path | None, fault_minutes: float, fault_seed: int | None
) -> None:
    seed = random.randrange(10**6) if fault_seed is None else fault_seed
    print(json.dumps({"seed": seed}))
    # Those who leave for good are gone after this time; a client that is only cut off comes back sooner.
    channel = f"select realtime.create_channel('{CHANNEL}', presence_timeout => '5 s')"
    async with AsyncExitStack() as stack:
        dsn = stack.enter_context(database_on(pg18, TABLE, channel))
        server = await stack.enter_async_context(
            serving(dsn, free_port(), slot_name=slot_name(), trust_user_parameter="true")
        )
        actors, proxies = [], []
        for number, (kind, name, transports, format) in enumerate(cast_of(kinds)):
            proxy = FaultProxy("127.0.0.1", server.port, seed + number)
            proxies.append(await stack.enter_async_context(proxy))
            actors.append(kind(name, proxy.url, transports, format))
            if isinstance(actors[-1], NodeActor):
                assert sdk is not None
                actors[-1].sdk = sdk
        for actor in actors:
            async with asyncio.timeout(GIVE_UP_AFTER):
                await actor.start()
            stack.push_async_callback(actor.stop)
        run = FaultRun(dsn, server, actors, proxies)
        began = time.monotonic()
        await run.perform(seed, fault_minutes * 60 or 9)
        await run.check()
        report = {
            "seconds": round(time.monotonic() - began, 1),
            "messages": sum(run.sent.values()),
            "faults": dict(run.faults),
            "connections": {actor.name: actor.connections for actor in actors},
        }
        print(json.dumps(report))
