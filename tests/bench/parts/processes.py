"""The parts of a benchmark that runs in several processes: load and relay as children, and the processor time of each."""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.cli.local_postgres import LocalPostgres

__all__ = ["Child", "Cpu", "local_postgres", "percentile", "pgbench", "postmaster", "waited_for_a_core"]

_TICKS = os.sysconf("SC_CLK_TCK")


class Child:
    """``python -m MODULE '{…}'``: lines of JSON out, lines of JSON in."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, **arguments: object) -> Child:
        """Start it with one JSON object as its argument."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, json.dumps(arguments), stdin=PIPE, stdout=PIPE, limit=1 << 24
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def receive(self) -> Any:
        """The next line it writes. Raises ``RuntimeError`` if it has ended instead."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child ended with exit code {await self._process.wait()}")
        return json.loads(line)

    def send(self, value: object) -> None:
        """Write it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")

    async def end(self) -> None:
        """Close its input, which ends it, and wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


class Cpu:
    """Processor seconds of a process and its children since this was made (Linux)."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._now()

    def seconds(self) -> float:
        """So much since then; time of children that have ended meanwhile is included."""
        return self._now() - self._before

    def _now(self) -> float:
        total = 0
        for pid in (self._pid, *_children(self._pid)):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            total += sum(map(int, fields[11:15] if pid == self._pid else fields[11:13]))
        return total / _TICKS


def waited_for_a_core(pid: int) -> float:
    """Seconds for which the threads of a process were ready to run while others ran (Linux, ``schedstat``)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks) / 1e9


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def local_postgres() -> Iterator[LocalPostgres]:
    """A server with the defaults: ``fsync`` and ``synchronous_commit`` are on."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        postgres = LocalPostgres(Path(folder) / "data")
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.delete()


def postmaster(postgres: LocalPostgres) -> int:
    """The server's process id."""
    return int((postgres.data_dir / "postmaster.pid").read_text().split()[0])


def pgbench(
    postgres: LocalPostgres, dsn: str, script: str, *, clients: int, seconds: float, rate: float | None = None
) -> tuple[float, int]:
    """Run ``script`` over and over; transactions per second, and how many there were. ``rate``: not more per second."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        command = [str(postgres.bin_dir / "pgbench"), "-n", "-M", "prepared", "-c", str(clients), "-j", "1"]
        command += ["-T", str(max(1, round(seconds))), "-f", file.name, dsn]
        if rate is not None:
            command += ["-R", f"{rate:g}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    speed = re.search(r"tps = ([0-9.]+)", done.stdout)
    count = re.search(r"actually processed: (\d+)", done.stdout)
    assert speed is not None, done.stdout
    assert count is not None, done.stdout
    return float(speed[1]), int(count[1])


def percentile(seconds: list[float], percent: int) -> float:
    """In milliseconds; 0 if there is nothing."""
    return statistics.quantiles(seconds, n=100)[percent - 1] * 1000 if len(seconds) > 1 else 0.0
