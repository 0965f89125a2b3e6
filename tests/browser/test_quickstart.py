"""The quickstart, step by step: its table, its API and its page, as they are written there, but for addresses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from tests.browser.test_demo_page import killed_late
from tests.support.browsers import browser_environment, need, need_browser
from tests.support.clients.list_client import slot_name
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import start

HERE = Path(__file__).parent
PAGE = "docs/guides/quickstart.md"


def block(language: str, title: str) -> str:
    [found] = [each for each in blocks(language, title) if each.page == PAGE]
    return found.text


@contextmanager
def api(folder: Path, dsn: str, app: str = "api:app") -> Iterator[str]:
    """The API of the page, started as the page starts it, on a port of its own; its address."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(command, cwd=folder, env=os.environ | {"DATABASE_URL": dsn}) as process:
        try:
            yield f"http://localhost:{port}"
        finally:
            process.terminate()


@pytest.mark.long
@pytest.mark.own_database  # a browser, which `make check` does without
async def test_the_application_of_the_quickstart(database: str, tmp_path: Path) -> None:
    need_browser("chromium")
    need(find_spec("fastapi") is not None, "fastapi is not installed")
    port = free_port()
    (tmp_path / "todos.sql").write_text(block("sql", "todos.sql"))
    (tmp_path / "api.py").write_text(block("python", "api.py"))
    page = block("html", "index.html")
    assert page.count("http://localhost:8000") == 2
    (tmp_path / "index.html").write_text(page.replace("http://localhost:8000", f"http://localhost:{port}"))

    server = await start("dev", "--no-examples", "--dsn", database, port=port, config={"slot_name": slot_name()})
    try:
        done = realtime("psql", "--dsn", database, "-f", str(tmp_path / "todos.sql"))
        assert done.returncode == 0, done.stderr
        with api(tmp_path, database) as url:
            sql = block("postgresql", "realtime psql")
            await asyncio.to_thread(play, database, {"SQL": sql}, "quickstart.mjs", url)
    finally:
        await server.end()


def play(dsn: str, statements: Mapping[str, str], scenario_file: str, *arguments: str) -> None:
    """Run a scenario, and a page's statements when it asks for them by ``RUN NAME``."""
    command = ["node", str(HERE / scenario_file), *arguments]
    environment = os.environ | browser_environment()
    reported: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as scenario:
        assert scenario.stdout is not None
        with killed_late(scenario):
            for line in scenario.stdout:
                reported.append(line)
                if line.startswith("RUN "):
                    with psycopg.connect(dsn, autocommit=True) as connection:
                        connection.execute(statements[line.split()[1]].encode())
    assert scenario.returncode == 0, "".join(reported)
