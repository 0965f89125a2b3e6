"""A hundred well-behaved clients beside hostile ones of all kinds at once, with the limits at their defaults.

The well-behaved ones (:mod:`tests.bench.parts.well_behaved`) hold a live query over a table that is written ten times a
second. The hostile ones (:mod:`tests.bench.parts.attacks`) come from addresses of their own: one directly, where the machine
has an address besides loopback, the others as through a proxy. The reference is the same hundred clients in the same run
before, with the server otherwise idle.

Attackers elsewhere take no processor of the server's machine. Here all share one: so the hostile processes run with the
lowest priority (nice 19), and nothing else has a higher one than usual. What they did each second is printed, since less of
it is an easier benchmark; and so is ``waited``: for how many processors' worth of time the server process was ready to run
while others ran. Where that grows as the times do, the kernel was measured, not the server.
Run with ``python -m tests.bench.bench_hostile_all``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from subprocess import PIPE

import psycopg

from tests.bench.parts.attacks import KINDS
from tests.bench.parts.processes import Cpu, local_postgres, waited_for_a_core
from tests.bench.parts.report import report
from tests.bench.parts.well_behaved import Measured, WellBehaved
from tests.conftest import fresh_database
from tests.support.clients.list_client import TABLE, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.preloaded import ROOT
from tests.support.servers.processes import ServerProcess, serving

_CLIENTS = 100
_WARM = 5.0
_ROWS = "insert into messages select g, 'r', repeat('x', 200), g from generate_series(1, 5000) g"
_WRITE = (
    "update messages set body = (extract(epoch from clock_timestamp()) * 1000)::text where id = (%s::int %% 20) + 1"
)


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


async def _attack(server: ServerProcess, seconds: float, kinds: list[str]) -> None:
    """Let the hostile processes run, and print how often they did what they do."""
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
    done = Counter[str]()
    for process in processes:
        done.update(json.loads((await process.communicate())[0]))
    print(json.dumps({kind: round(count / seconds, 1) for kind, count in done.items()}), "each second")


async def _measure(dsn: str, seconds: float, kinds: list[str]) -> list[dict[str, object]]:
    measured = Measured()
    settings = {"host": "0.0.0.0", "trusted_proxies": "127.0.0.1"}
    async with (
        AsyncExitStack() as stack,
        serving(dsn, free_port(), slot_name=slot_name(), ephemeral=True, **settings) as server,
    ):
        tasks = [asyncio.create_task(_write_ten_a_second(dsn))]
        tasks += [asyncio.create_task(WellBehaved(each, measured).run(server.websocket)) for each in range(_CLIENTS)]
        stack.callback(lambda: [task.cancel() for task in tasks])
        await asyncio.wait(tasks, timeout=_WARM, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()  # none ends by itself
        measured.row()
        before = await _row("before", server, measured, asyncio.sleep(seconds / 2))
        during = await _row("during", server, measured, _attack(server, seconds, kinds))
        print(json.dumps(measured.errors))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return [before, during, {"": "ratio", **Measured.ratio(before, during), "server cores": "", "waited": ""}]


async def _row(when: str, server: ServerProcess, measured: Measured, during: Awaitable[object]) -> dict[str, object]:
    """What was measured while something went on; and of the server process, in processors: how much it had, and for how
    much it waited because other processes had them.
    """
    began, cpu, waited = time.monotonic(), Cpu(server.process.pid), waited_for_a_core(server.process.pid)
    await during
    passed = time.monotonic() - began
    row: dict[str, object] = {"": when, **measured.row(), "server cores": cpu.seconds() / passed}
    return row | {"waited": (waited_for_a_core(server.process.pid) - waited) / passed}


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
