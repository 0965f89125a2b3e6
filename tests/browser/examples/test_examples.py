"""The example applications, started by their one command, as two users see them in two tabs.

The scenario of an example is the module with its name; this starts the command, and does what scenarios ask for: runs
SQL, and kills the server.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from examples.realtime_server import BACK_END_ROLE, EXAMPLES, PAGES
from server.cli.local_postgres import LocalPostgres
from tests.support.browsers import browser_environment, need, need_browser
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PROGRAM = [sys.executable, "-m", "examples"]
PUSH_SERVICE = "http://127.0.0.1:9"
"""That of the browser's subscription in ``feed.mjs``; it does not answer (discard, RFC 863)."""


@dataclass(frozen=True)
class Served:
    """``url``: of the pages. ``dsn``: of the database. ``pid``: of the command, and ``log`` what it has complained of."""

    url: str
    dsn: str
    pid: int
    log: Path

    def kill_server(self) -> None:
        """Kill the realtime server, the command's only child."""
        [child] = subprocess.run(
            ["pgrep", "-P", str(self.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(child), signal.SIGKILL)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    need_browser("chromium")
    folder, port = tmp_path_factory.mktemp("examples"), free_port()
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*PROGRAM, "--data-dir", str(folder), "--port", str(port), "--push-service", PUSH_SERVICE],
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=ROOT,
            text=True,
        ) as process,
    ):
        late = Timer(5 * GIVE_UP_AFTER, process.kill)
        late.start()
        assert process.stdout is not None
        try:
            ready = any("Ctrl+C stops" in line for line in process.stdout)
            late.cancel()
            assert ready, log.read_text()
            yield Served(f"http://localhost:{port}", LocalPostgres(folder / "postgres").dsn, process.pid, log)
        finally:
            late.cancel()
            process.terminate()
            process.wait(GIVE_UP_AFTER)
            postgres = LocalPostgres(folder / "postgres")
            stopped = not postgres.running
            postgres.delete()
    assert stopped, log.read_text()


def test_every_example_has_a_scenario() -> None:
    assert {each.name for each in EXAMPLES} <= {path.stem for path in HERE.glob("*.mjs")}


@pytest.mark.long
@pytest.mark.own_database
def test_the_back_end_has_a_role_of_its_own_that_makes_nothing(served: Served) -> None:
    with psycopg.connect(served.dsn, autocommit=True) as connection:
        used = connection.execute("select from pg_stat_activity where usename = %s", [BACK_END_ROLE])
        assert used.fetchone() is not None
    with psycopg.connect(make_conninfo(served.dsn, user=BACK_END_ROLE), autocommit=True) as connection:
        for refused in (
            "create table notes.mine ()",
            "select from pg_authid",
            "update realtime.settings set max_payload = 1",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused)


@pytest.mark.long
@pytest.mark.own_database
@pytest.mark.parametrize("example", [each.name for each in EXAMPLES])
def test_two_users_in_two_tabs(served: Served, tmp_path: Path, example: str) -> None:
    if "/build/" in (PAGES / example / "index.html").read_text():
        need((PAGES / "node_modules").exists(), "the packages of npm in examples are not installed")
    with subprocess.Popen(
        ["node", str(HERE / f"{example}.mjs"), served.url, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | browser_environment(),
    ) as scenario:
        assert scenario.stdin is not None
        assert scenario.stdout is not None
        late = Timer(5 * GIVE_UP_AFTER, scenario.kill)
        late.start()
        try:
            lines = list(report(scenario.stdout, scenario.stdin, served))
        finally:
            late.cancel()
    assert scenario.returncode == 0, f"{''.join(lines)}\nscreenshots: {tmp_path}\n{served.log.read_text()}"


def report(output: IO[str], answers: IO[str], served: Served) -> Iterator[str]:
    """The lines of a scenario. One that begins with ``SQL`` is run and answered by the rows; ``KILL`` ends the server."""
    with psycopg.connect(served.dsn, autocommit=True) as connection:
        for line in output:
            if line == "KILL\n":
                served.kill_server()
            if line.startswith("SQL "):
                cursor = connection.execute(line.removeprefix("SQL ").encode())
                answers.write(json.dumps(cursor.fetchall() if cursor.description else [], default=str) + "\n")
                answers.flush()
            yield line
