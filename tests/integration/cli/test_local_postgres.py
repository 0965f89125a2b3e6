"""A server of this machine is started again whatever has become of the one before."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from server.cli.local_postgres import LocalPostgres, LocalPostgresError
from tests.conftest import postgres_18, started
from tests.support.postgres.sql import GIVE_UP_AFTER


@contextmanager
def ended_process(user: str | None) -> Iterator[int]:
    """One whose parent has not noticed its end, until the block is left."""
    with subprocess.Popen(["sleep", "infinity"], user=user) as process:
        process.kill()
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        yield process.pid
        process.wait(GIVE_UP_AFTER)


@pytest.mark.own_database
def test_a_postmaster_that_was_killed_does_not_run_although_its_parent_has_not_noticed(scratch: Path) -> None:
    with started(postgres_18(scratch / "killed")) as server:
        assert server.running
        file = server.data_dir / "postmaster.pid"
        lines = file.read_text().split("\n", 1)[1]
        server.stop()
        assert not server.running
        with ended_process(server._user) as pid:
            file.write_text(f"{pid}\n{lines}")
            assert not server.running
            with pytest.raises(LocalPostgresError, match="Is another postmaster"):
                server.start()  # PostgreSQL is as careful
        server.start()
        assert answers(server)


def answers(server: LocalPostgres) -> bool:
    with psycopg.connect(server.dsn) as connection:
        return connection.execute("select 1").fetchone() == (1,)
