"""A cluster under random faults: ``python -m tests.faults.cluster --minutes 10 --seed 1 --nats 3``.

Prints one JSON line. If something is wrong, the histories of all clients, the schedule and the logs of all servers are kept
in a folder, which is named, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.cluster.databases import Databases
from tests.cluster.namespaces.namespaces import own_network
from tests.cluster.namespaces.reachable import let_in_others, reachable_postgres
from tests.cluster.parts import Parts
from tests.conftest import fresh_database, postgres_18, started
from tests.faults.load import SETUP, Load
from tests.faults.network_faults import NETWORK_FAULTS
from tests.faults.postgres_faults import POSTGRES_FAULTS
from tests.faults.process_faults import PROCESS_FAULTS
from tests.faults.schedule import Schedule
from tests.support.postgres.sql import run_each

__all__ = ["FAULTS", "run_faults"]


QUIET_AFTER = 60.0
"""Seconds of faults until all is whole for a moment."""

FAULTS = {**PROCESS_FAULTS, **POSTGRES_FAULTS, **NETWORK_FAULTS}
"""All faults, by name."""


async def run_faults(  # noqa: PLR0913
    databases: Databases,
    database: str,
    folder: Path,
    seed: int,
    seconds: float,
    *,
    nats: int = 1,
    faults: tuple[str, ...] = (),
    other: Path | None = None,
    namespaces: bool = False,
) -> dict[str, Any]:
    """One run over a database on which :data:`tests.faults.load.SETUP` was run; its report, with ``problems``.

    ``folder``: for NATS, and for what is kept of a failure. ``faults``: only these; ``other``, ``namespaces``: see
    :class:`Parts`.
    """
    await databases.start()
    parts = Parts(databases, database, folder, nats=nats, other=other, namespaces=namespaces)
    load = Load(parts, seed)
    schedule = Schedule(parts, seed, {name: FAULTS[name] for name in faults or FAULTS})
    try:
        problems = await _perform(parts, load, schedule, seconds)
        if problems:
            _keep(folder, parts, load, schedule, problems)
    finally:
        await load.stop()
        await parts.close()
        await databases.close()
    return {
        "seed": seed,
        "seconds": seconds,
        "faults": dict(schedule.begun),
        "promotions": databases.promotions,
        "ended": sum(server.ended for server in parts.servers),
        "messages": len(load.clients[0].received),
        "connections": sum(client.connections for client in load.clients),
        "refused": sum(len(client.refused) for client in load.clients),
        "gaps": sum(client.gaps for client in load.clients),
        "visits": load.spanning.visits,
        "kicks": load.spanning.kicks,
        "kicks_excused": load.spanning.excused,
        "states": load.observed.states,
        "quiet_points": load.observed.quiet_points,
        "not_repeated": load.observed.lost,
        "problems": problems,
        "kept": str(folder) if problems else None,
    }


async def _perform(parts: Parts, load: Load, schedule: Schedule, seconds: float) -> list[str]:
    if parts.databases.standby is not None:
        await parts.sql("select pg_create_logical_replication_slot(%s, 'pgoutput', failover => true)", parts.slot)
    await parts.start()
    await load.start()
    loading = asyncio.create_task(load.run())
    try:
        while seconds > 0:
            await schedule.run(min(seconds, QUIET_AFTER))
            seconds -= QUIET_AFTER
            schedule.note("over for a moment")
            await parts.recovered()
            schedule.note("recovered")
            if problems := await load.quiet():
                return problems
        await asyncio.sleep(2)
        load.end()
        await loading
        return await load.check()
    except AssertionError as error:
        return [str(error)]
    finally:
        schedule.note("checked")
        load.end()
        loading.cancel()
        await asyncio.wait({loading})


def _keep(folder: Path, parts: Parts, load: Load, schedule: Schedule, problems: list[str]) -> None:
    """Write down what is needed to understand it."""
    for name, content in (("problems", problems), ("schedule", schedule.done)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))
    (folder / "spanning.json").write_text(json.dumps(load.spanning.facts(), indent=1))
    (folder / "observed.json").write_text(json.dumps(load.observed.facts()))
    for client in load.clients:
        facts = {
            "received": client.received,
            "acked": client.acked,
            "refused": client.refused,
            "docs": client.docs,
            "users": sorted(client.users),
        }
        (folder / f"{client.name}.json").write_text(json.dumps(facts))
    for server in parts.servers:
        (folder / f"{server.name}.log").write_text("".join(server.log))
    for postgres in parts.databases.servers:
        with contextlib.suppress(FileNotFoundError):
            shutil.copy(postgres.data_dir / "server.log", folder / f"{postgres.data_dir.name}.log")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.cluster", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--nats", type=int, default=3, help="NATS servers")
    parser.add_argument("--standby", action=argparse.BooleanOptionalAction, default=True, help="one that is promoted")
    parser.add_argument("--faults", nargs="*", default=(), choices=sorted(FAULTS), help="only these")
    parser.add_argument(
        "--other", type=Path, help="the tree of another version, which servers are started with in turn"
    )
    parser.add_argument(
        "--namespaces", action="store_true", help="each part in a network of its own: packets are lost (root on Linux)"
    )
    arguments = parser.parse_args()
    if arguments.namespaces:
        own_network()
    folder = Path(tempfile.mkdtemp(prefix="realtime-faults-"))
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="realtime-faults-postgres-")))
        scratch.chmod(0o755)
        make = reachable_postgres if arguments.namespaces else postgres_18
        postgres = stack.enter_context(started(make(scratch / "pg18", {})))
        if arguments.namespaces:
            let_in_others(postgres)
        dsn = fresh_database(postgres)
        run_each(dsn, *SETUP)
        databases = Databases(postgres, make if arguments.standby else None)
        seconds, faults = arguments.minutes * 60, tuple(arguments.faults)
        database = dsn.rpartition("/")[2]
        report = asyncio.run(
            run_faults(
                databases,
                database,
                folder,
                arguments.seed,
                seconds,
                nats=arguments.nats,
                faults=faults,
                other=arguments.other,
                namespaces=arguments.namespaces,
            )
        )
    print(json.dumps(report | {"took": round(time.monotonic() - began)}))
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
