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
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from subprocess import PIPE

import psycopg

from server.bench.load.usage import Cpu, waited_for_a_core
from tests.bench.parts.attacks import KINDS
from tests.bench.parts.processes import local_postgres, postmaster
from tests.bench.parts.report import report
from tests.bench.parts.steps import PREFIX
from tests.bench.parts.well_behaved import Measured, WellBehaved
from tests.conftest import fresh_database
from tests.support.clients.list_client import TABLE, slot_name, write
from tests.support.ports import free_port
from tests.support.servers.preloaded import ROOT
from tests.support.servers.processes import ServerProcess, start

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


@asynccontextmanager
async def _attackers(
    server: ServerProcess, seconds: float, kinds: list[str]
) -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """The hostile processes, started and waiting: a start takes the processor that the attack would, and more of it."""
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
            stdin=PIPE,
            stdout=PIPE,
        )
        for url, sources in attacks
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            await process.stdout.readline()  # it is ready
        yield processes
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def _attack(processes: list[asyncio.subprocess.Process], seconds: float) -> None:
    """Let the hostile processes begin, and print how often they did what they do."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
    done = Counter[str]()
    for process in processes:
        done.update(json.loads((await process.communicate())[0]))
    print(json.dumps({kind: round(count / seconds, 1) for kind, count in done.items()}), "each second")


@asynccontextmanager
async def _serving(dsn: str, *, look: bool) -> AsyncIterator[ServerProcess]:
    """A server with the limits at their defaults; ``look``: as :mod:`tests.bench.parts.steps` runs it."""
    config = {"slot_name": slot_name(), "ephemeral": True, "host": "0.0.0.0", "trusted_proxies": "127.0.0.1"}
    module = "tests.bench.parts.steps" if look else "server"
    server = await start("serve", "--dsn", dsn, port=free_port(), config=config, module=module, preloaded=False)
    try:
        await server.healthy()
        yield server
    finally:
        await server.end()


async def _measure(
    dsns: tuple[str, str], postgres: int, seconds: float, kinds: list[str], *, look: bool
) -> list[dict[str, object]]:
    """``dsns``: the database of the server, and that of the other one. ``postgres``: the process id of their server."""
    measured = Measured()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(_serving(dsns[0], look=look))
        other = await stack.enter_async_context(_serving(dsns[1], look=False))
        tasks = [asyncio.create_task(_write_ten_a_second(dsns[0]))]
        tasks += [asyncio.create_task(WellBehaved(each, measured).run(server.websocket)) for each in range(_CLIENTS)]
        stack.callback(lambda: [task.cancel() for task in tasks])
        await asyncio.wait(tasks, timeout=_WARM, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()  # none ends by itself
        measured.row()
        processes = server.process.pid, postgres
        before = await _row("before", processes, measured, asyncio.sleep(seconds / 2))
        async with _attackers(other, seconds, kinds) as hostile:
            await asyncio.sleep(_WARM)
            measured.row()
            elsewhere = await _row("other server attacked", processes, measured, _attack(hostile, seconds))
        await other.end()
        async with _attackers(server, seconds, kinds) as hostile:
            await asyncio.sleep(_WARM)
            measured.row()
            if look:
                await _turns(server)
            here = await _row("attacked", processes, measured, _attack(hostile, seconds))
        if look:
            print(json.dumps(await _turns(server), indent=1))
        print(json.dumps(measured.errors))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    rows = [before, elsewhere, here]
    for name, reference in (("attacked / other", elsewhere), ("attacked / before", before)):
        rows.append(dict.fromkeys(before, "") | {"": name} | Measured.ratio(reference, here))
    return rows


async def _turns(server: ServerProcess) -> object:
    """The turns of the server's event loop since the last call."""
    server.process.send_signal(signal.SIGUSR1)
    known = len(server.lines)
    while True:
        for line in server.lines[known:]:
            if line.startswith(PREFIX):
                return json.loads(line.removeprefix(PREFIX))
        await asyncio.sleep(0.05)


async def _row(
    when: str, processes: tuple[int, int], measured: Measured, during: Awaitable[object]
) -> dict[str, object]:
    """What was measured while something went on; and in processors: how much the server process and PostgreSQL had, and
    for how much the server waited because other processes had them.
    """
    server, postgres = processes
    began, cpus, waited = time.monotonic(), (Cpu(server), Cpu(postgres)), waited_for_a_core(server)
    await during
    passed = time.monotonic() - began
    row: dict[str, object] = {"": when, **measured.row(), "server cores": cpus[0].seconds() / passed}
    row["postgres cores"] = cpus[1].seconds() / passed
    return row | {"waited": (waited_for_a_core(server) - waited) / passed}


def main() -> None:
    """Run with the numbers from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--without", nargs="+", choices=KINDS, default=[])
    parser.add_argument("--turns", action="store_true", help="print what the longest turns of the event loop do")
    chosen = parser.parse_args()
    with local_postgres() as server:
        dsns = fresh_database(server), fresh_database(server)
        for dsn in dsns:
            write(dsn, TABLE, _ROWS)
        kinds = [kind for kind in chosen.kinds if kind not in chosen.without]
        measuring = _measure(dsns, postmaster(server), chosen.seconds, kinds, look=chosen.turns)
        report("hostile_all", asyncio.run(measuring))


if __name__ == "__main__":
    main()
