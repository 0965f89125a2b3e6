"""Three workers as one server: sessions without a socket, metrics and health, whichever worker answers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack, suppress
from typing import Any

import httpx
import pytest
from bunbase import Realtime
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.workers.conftest import WORKERS, Workers, workers_over
from tests.support.postgres.sql import read, until
from tests.support.servers.processes import GIVE_UP_AFTER

Session = dict[str, Any]
ALL = {"1", "2", "3"}


def worker_of(session: Session) -> str:
    return str(session["session"]).partition(".")[0]


async def one_of_each_worker(server: Workers) -> dict[str, Session]:
    """A polled session of each worker: the kernel chooses who gets a connection, so some are opened twice."""
    found: dict[str, Session] = {}
    while found.keys() != ALL:
        async with httpx.AsyncClient(base_url=server.server.url, timeout=GIVE_UP_AFTER) as http:
            session = (await http.post("/realtime/poll", json={})).json()
            if found.setdefault(worker_of(session), session) is not session:
                await http.request("DELETE", "/realtime/session", json={"session": session["session"]})
    return found


async def next_event(http: httpx.AsyncClient, session: Session, event: str) -> Any:
    """Poll until it comes; its data."""
    while True:
        asked = {"session": session["session"], "cursor": session["cursor"], "timeout": 20_000}
        answer = (await http.post("/realtime/poll", json=asked)).raise_for_status().json()
        session["cursor"] = answer["cursor"]
        for message in answer["messages"]:
            if message.get("event") == event:
                return message["data"]


async def figures(server: Workers) -> Counter[str]:
    """Sums over the workers of some metrics, as a new connection reads them: any worker answers."""
    async with httpx.AsyncClient(base_url=server.server.url, timeout=GIVE_UP_AFTER) as http:
        text = (await http.get("/metrics")).raise_for_status().text
    sums: Counter[str] = Counter()
    seen: set[str] = set()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            seen.add(sample.labels["worker"])
            assert sample.labels["worker"] in ALL or sample.name.startswith(("process_", "python_")), sample
            sums[sample.name] += int(sample.value) if abs(sample.value) != float("inf") else 0
    assert seen == ALL | {"relay"}
    return sums


@pytest.mark.long
async def test_whichever_worker_answers_sessions_go_on_and_figures_are_those_of_all(database: str) -> None:
    async with workers_over(database, max_connections_per_user=2) as server, AsyncExitStack() as stack:
        async with asyncio.timeout(3 * GIVE_UP_AFTER):
            # A client that keeps its connection, to one worker, and so one for all sessions.
            kept = await stack.enter_async_context(httpx.AsyncClient(base_url=server.server.url, timeout=GIVE_UP_AFTER))
            sessions = await one_of_each_worker(server)
            for session in sessions.values():
                sent = {"session": session["session"], "messages": [{"type": "subscribe", "channel": "room"}], "seq": 1}
                assert (await kept.post("/realtime/send", json=sent)).json() == {"seq": 1}
            for number, session in sessions.items():
                message = {"type": "message", "channel": "room", "event": f"from {number}", "data": number}
                sent = {"session": session["session"], "messages": [message], "seq": 2}
                assert (await kept.post("/realtime/send", json=sent)).status_code == 202
                for other in sessions.values():
                    assert await next_event(kept, other, f"from {number}") == number

            await the_sdk_over(server, "sse")
            await the_sdk_over(server, "polling")

            first, again = await figures(server), await figures(server)
            counted = {name: first[name] for name in ("realtime_messages_received_total", "realtime_connections")}
            assert counted == {name: again[name] for name in counted}
            assert counted["realtime_connections"] == WORKERS
            received = 2 * WORKERS + 2 * (2 * CLIENTS)  # subscriptions and messages
            assert counted["realtime_messages_received_total"] >= received

            health = await server.server.healthy()
            assert [each["worker"] for each in health["workers"]] == [1, 2, 3]
            assert health["connections"] == WORKERS
            for name in ("residentBytes", "cpuSeconds", "connections"):
                assert health[name] == pytest.approx(sum(each[name] for each in health["workers"])), name

            await as_many_as_one_user_may_have(server, database)

            os.kill(server.pids[2], signal.SIGKILL)
            await server.event("worker_ended")
            for number, session in sessions.items():
                answer = await ended(server, session)
                assert answer == (404 if number == "2" else 204), number
            await server.event("worker_ready", WORKERS + 1)
        assert await server.server.end() == 0


async def as_many_as_one_user_may_have(server: Workers, dsn: str) -> None:
    """Connect again and again as one user: whichever workers accept the connections, two of them stay."""
    async with AsyncExitStack() as stack:
        for _ in range(3 * WORKERS):
            with suppress(InvalidStatus):
                await stack.enter_async_context(connect(f"{server.server.websocket}?user=ada"))
        rows = "select from realtime.connections where user_id = 'ada'"
        await until(lambda: len(read(dsn, rows)) == 2)


async def ended(server: Workers, session: Session) -> int:
    """End a session over a connection of its own; the status of the answer."""
    async with httpx.AsyncClient(base_url=server.server.url, timeout=GIVE_UP_AFTER) as http:
        answer = await http.request("DELETE", "/realtime/session", json={"session": session["session"]})
    return answer.status_code


CLIENTS = 4


async def the_sdk_over(server: Workers, transport: str) -> None:
    """Clients that send each other messages: what each of them sends is received by all."""
    async with AsyncExitStack() as stack:
        channels = []
        for _ in range(CLIENTS):
            client = await stack.enter_async_context(Realtime(server.server.url, transports=(transport,)))
            channels.append(await client.channel(f"by-{transport}").subscribe())
        streams = [channel.messages() for channel in channels]
        for number, channel in enumerate(channels):
            await channel.send("number", number)
        for stream in streams:
            assert [(await anext(stream)).data for _ in channels] == list(range(CLIENTS))
