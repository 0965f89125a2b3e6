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
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on, postgres_18, started
from tests.faults.load import SETUP, Load
from tests.faults.parts import Parts
from tests.faults.schedule import FAULTS, Schedule

__all__ = ["run_faults"]


async def run_faults(
    postgres: LocalPostgres,
    folder: Path,
    seed: int,
    seconds: float,
    *,
    nats: int = 1,
    faults: tuple[str, ...] = (),
) -> dict[str, Any]:
    """One run; its report, with ``problems``. ``folder``: for NATS, and for what is kept of a failure."""
    with database_on(postgres, *SETUP) as dsn:
        parts = Parts(postgres, dsn, folder, nats=nats)
        load = Load(parts, seed)
        schedule = Schedule(parts, seed, faults)
        try:
            problems = await _perform(parts, load, schedule, seconds)
            if problems:
                _keep(folder, parts, load, schedule, problems)
        finally:
            await load.stop()
            await parts.close()
    return {
        "seed": seed,
        "seconds": seconds,
        "faults": len(schedule.done),
        "messages": len(load.clients[0].received),
        "connections": sum(client.connections for client in load.clients),
        "refused": sum(len(client.refused) for client in load.clients),
        "problems": problems,
        "kept": str(folder) if problems else None,
    }


async def _perform(parts: Parts, load: Load, schedule: Schedule, seconds: float) -> list[str]:
    await parts.start()
    await load.start()
    loading = asyncio.create_task(load.run())
    try:
        await schedule.run(seconds)
        schedule.note("over")
        await parts.recovered()
        schedule.note("recovered")
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


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.cluster", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--nats", type=int, default=3, help="NATS servers")
    parser.add_argument("--faults", nargs="*", default=(), choices=sorted(FAULTS), help="only these")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="realtime-faults-"))
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="realtime-faults-postgres-")))
        scratch.chmod(0o755)
        postgres = stack.enter_context(started(postgres_18(scratch / "pg18")))
        seconds, faults = arguments.minutes * 60, tuple(arguments.faults)
        report = asyncio.run(run_faults(postgres, folder, arguments.seed, seconds, nats=arguments.nats, faults=faults))
    print(json.dumps(report | {"took": round(time.monotonic() - began)}))
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
