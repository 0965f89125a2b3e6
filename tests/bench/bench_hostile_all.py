"""A hundred well-behaved clients beside hostile ones of all kinds at once, with the limits at their defaults.

Each well-behaved client pings, publishes into a channel of its own and receives the changes of a live query over a table
that is written ten times a second; every fifth time it opens and leaves another live query. The hostile ones
(:mod:`tests.bench.parts.attacks`) come from addresses of their own: one directly, where the machine has an address besides
loopback, the others as through a proxy. The reference is the same hundred clients in the same run before, with the server
otherwise idle. Run with ``python -m tests.bench.bench_hostile_all``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from subprocess import PIPE

import psycopg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.bench.parts.attacks import KINDS
from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.clients.list_client import TABLE, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.preloaded import ROOT
from tests.support.servers.processes import ServerProcess, serving

_CLIENTS = 100
_INTERVAL = 1.0  # seconds between two rounds of a client
_WARM = 5.0
_ROWS = "insert into messages select g, 'r', repeat('x', 200), g from generate_series(1, 5000) g"
_WRITE = (
    "update messages set body = (extract(epoch from clock_timestamp()) * 1000)::text where id = (%s::int %% 20) + 1"
)
_QUERY = {"orderBy": [["id", "asc"]], "limit": 20}


class Well:
    """A well-behaved client: milliseconds that things took, and what went wrong."""

    def __init__(self, number: int, times: dict[str, list[float]], errors: Counter[str]) -> None:
        self._number = number
        self._times = times
        self._errors = errors
        self._sent: dict[str, tuple[str, float]] = {}

    async def run(self, url: str) -> None:
        """Go on until it is cancelled, or the server ends the connection."""
        address = f"203.0.113.{self._number + 1}"
        try:
            async with connect(url, additional_headers={"X-Forwarded-For": address}, max_size=None) as client:
                await asyncio.gather(self._receive(client), self._ask(client))
        except (ConnectionClosed, OSError) as ended:
            self._errors[f"connection: {ended}"] += 1

    async def _ask(self, client: ClientConnection) -> None:
        await self._send(client, "", {"type": "subscribe", "channel": f"own:{self._number}"})
        await self._send(
            client, "", {"type": "subscribe", "channel": "db:collection:messages", "id": "l", "query": _QUERY}
        )
        await asyncio.sleep(random.random() * _INTERVAL)
        for number in range(10**9):
            await self._send(client, "pong", {"type": "ping"})
            message = {"type": "message", "channel": f"own:{self._number}", "event": "e", "data": number, "ref": "r"}
            await self._send(client, "ack", message)
            about = {"channel": "db:collection:messages", "id": "other"}
            if number % 5 == 0:
                query = {"where": [["likes", "==", random.randrange(5000)]]}
                await self._send(client, "other", {"type": "subscribe", **about, "query": query})
            if number % 5 == 2:
                await self._send(client, "", {"type": "unsubscribe", **about})
            await asyncio.sleep(_INTERVAL)

    async def _send(self, client: ClientConnection, answer: str, message: dict[str, object]) -> None:
        if answer:
            self._sent[answer] = str(message["type"]), time.perf_counter()
        await client.send(json.dumps(message))

    async def _receive(self, client: ClientConnection) -> None:
        async for text in client:
            message = json.loads(text)
            kind = message["type"]
            if kind == "error":
                self._errors[f"{message['code']} {message['message']}"] += 1
            elif kind == "snapshot" and message["id"] == "l" and not message["reset"]:
                for change in message["changes"]:
                    self._times["change"].append(time.time() * 1000 - float(change["doc"]["data"]["body"]))
            asked = self._sent.pop("other" if kind == "subscribed" and message.get("id") == "other" else kind, None)
            if asked is not None:
                self._times[asked[0]].append((time.perf_counter() - asked[1]) * 1000)


async def _write_ten_a_second(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for number in range(10**9):
            await connection.execute(_WRITE, [number])
            await asyncio.sleep(0.1)


def _own_address() -> str | None:
    """This machine's address in its network, if it has one; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("198.51.100.1", 9))
        except OSError:
            return None
        address = str(asking.getsockname()[0])
    return None if address.startswith("127.") else address


async def _attack(server: ServerProcess, seconds: float, kinds: list[str]) -> list[dict[str, int]]:
    """Let the hostile processes run; what they did."""
    attacks = [(f"http://127.0.0.1:{server.port}", [f"198.51.100.{number}" for number in range(1, 4)])]
    direct = _own_address()
    if direct is not None:
        attacks.append((f"http://{direct}:{server.port}", ["-"]))
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.parts.attacks",
            url,
            str(seconds),
            ",".join(kinds),
            *sources,
            cwd=ROOT,
            stdout=PIPE,
        )
        for url, sources in attacks
    ]
    return [json.loads((await process.communicate())[0]) for process in processes]


def _row(when: str, times: dict[str, list[float]], errors: Counter[str]) -> dict[str, object]:
    row: dict[str, object] = {"": when}
    for name, taken in times.items():
        row |= {f"{name} p50 ms": statistics.median(taken), f"{name} p99 ms": statistics.quantiles(taken, n=100)[98]}
        taken.clear()
    return row | {"errors": errors.total()}


async def _measure(dsn: str, seconds: float, kinds: list[str]) -> list[dict[str, object]]:
    times: dict[str, list[float]] = {"ping": [], "message": [], "subscribe": [], "change": []}
    errors = Counter[str]()
    settings = {"host": "0.0.0.0", "trusted_proxies": "127.0.0.1"}
    async with (
        AsyncExitStack() as stack,
        serving(dsn, free_port(), slot_name=slot_name(), ephemeral=True, **settings) as server,
    ):
        tasks = [asyncio.create_task(_write_ten_a_second(dsn))]
        tasks += [asyncio.create_task(Well(number, times, errors).run(server.websocket)) for number in range(_CLIENTS)]
        stack.callback(lambda: [task.cancel() for task in tasks])
        await asyncio.wait(tasks, timeout=_WARM, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()  # none ends by itself
        for taken in times.values():
            taken.clear()
        await asyncio.sleep(seconds / 2)
        before = _row("before", times, errors)
        done = await _attack(server, seconds, kinds)
        during = _row("during", times, errors)
        print(json.dumps(done), json.dumps(errors))
        ratios = {name: during[name] / before[name] for name in before if "p" in name}  # type: ignore[operator]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return [before, during, {"": "ratio", **ratios, "errors": during["errors"]}]


def main() -> None:
    """Run with the numbers from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--without", nargs="+", choices=KINDS, default=[])
    chosen = parser.parse_args()
    with local_postgres() as server:
        dsn = fresh_database(server)
        write(dsn, TABLE, _ROWS)
        report(
            "hostile_all",
            asyncio.run(_measure(dsn, chosen.seconds, [kind for kind in chosen.kinds if kind not in chosen.without])),
        )


if __name__ == "__main__":
    main()
