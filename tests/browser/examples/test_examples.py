"""The example applications, started by their one command, as two users see them in two tabs.

The scenario of an example is the module with its name; this starts the command, and runs the SQL that scenarios
ask for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import IO

import psycopg
import pytest

from examples.realtime_server import EXAMPLES
from server.cli.local_postgres import LocalPostgres
from tests.support.browsers import browser_environment, need_browser
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER

HERE = Path(__file__).parent
PROGRAM = [sys.executable, "-m", "examples"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of the pages, and that of the database."""
    need_browser("chromium")
    folder, port = tmp_path_factory.mktemp("examples"), free_port()
    log = folder / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*PROGRAM, "--data-dir", str(folder), "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=HERE.parents[2],
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
            yield f"http://localhost:{port}", LocalPostgres(folder / "postgres").dsn
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
@pytest.mark.parametrize("example", [each.name for each in EXAMPLES])
def test_two_users_in_two_tabs(served: tuple[str, str], tmp_path: Path, example: str) -> None:
    url, dsn = served
    with subprocess.Popen(
        ["node", str(HERE / f"{example}.mjs"), url, str(tmp_path)],
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
            lines = list(report(scenario.stdout, scenario.stdin, dsn))
        finally:
            late.cancel()
    assert scenario.returncode == 0, f"{''.join(lines)}\nscreenshots: {tmp_path}"


def report(output: IO[str], answers: IO[str], dsn: str) -> Iterator[str]:
    """The lines of a scenario. One that begins with ``SQL`` is run, and answered by the rows."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for line in output:
            if line.startswith("SQL "):
                cursor = connection.execute(line.removeprefix("SQL ").encode())
                answers.write(json.dumps(cursor.fetchall() if cursor.description else [], default=str) + "\n")
                answers.flush()
            yield line
