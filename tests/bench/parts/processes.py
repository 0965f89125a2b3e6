"""The parts of a benchmark that runs in several processes: a PostgreSQL, its postmaster, pgbench."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.cli.local_postgres import LocalPostgres

__all__ = ["local_postgres", "percentile", "pgbench", "postmaster"]


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
