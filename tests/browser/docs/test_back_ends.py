"""The applications of the pages about FastAPI, Django and Flask: in Chromium, run by the commands of the pages."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.browser.test_quickstart import play
from tests.support.back_ends import make_django, needed, python, write
from tests.support.browsers import need_browser
from tests.support.clients.list_client import slot_name
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port
from tests.support.servers.processes import start
from tests.support.values.tokens import SECRET

FASTAPI, DJANGO, FLASK = "docs/frameworks/fastapi.md", "docs/frameworks/django.md", "docs/frameworks/flask.md"
FOR_GOOD = {FASTAPI: "uvicorn", FLASK: "flask", DJANGO: "python manage.py runserver"}
"""How the command begins by which a page starts its application."""


def commands(page: str) -> list[str]:
    """All commands of the page, one a line."""
    return [line for block in blocks("sh", page=page) for line in block.text.splitlines()]


@contextmanager
def application(page: str, folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """It runs as the page starts it, on a port of its own; its address."""
    port = free_port()
    [line] = [each for each in commands(page) if each.startswith(FOR_GOOD[page])]
    words = shlex.split(line.replace("3000", str(port)))
    words = words[1:] if words[0] == "python" else ["-m", *words]
    words += ["--noreload"] if page == DJANGO else []
    with subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"http://localhost:{port}"
        finally:
            process.terminate()


@pytest.mark.long
@pytest.mark.own_database  # a browser, which `make check` does without
@pytest.mark.parametrize("page", FOR_GOOD)
async def test_the_application_of_the_page(page: str, database: str, tmp_path: Path) -> None:
    need_browser("chromium")
    needed(page)
    port = free_port()
    environment = os.environ | {
        "DATABASE_URL": database,
        "TOKEN_SECRET": SECRET,
        "FLASK_SECRET_KEY": "of the tests",
        "DJANGO_SUPERUSER_PASSWORD": "tea",
    }
    if page == DJANGO:
        make_django(tmp_path, environment, f"http://localhost:{port}")
        [user] = [each for each in commands(page) if "createsuperuser" in each]
        python(tmp_path, environment, *shlex.split(user)[1:], "--noinput")
    else:
        write(page, tmp_path, f"http://localhost:{port}")
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute((tmp_path / "todos.sql").read_text().encode())
    dev = ("dev", "--no-examples", "--dsn", database, "--config", str(tmp_path / "realtime.toml"))
    server = await start(*dev, port=port, config={"slot_name": slot_name()})
    try:
        [row] = [shlex.split(each)[-1] for each in commands(page) if each.startswith('realtime psql -c "insert')]
        with application(page, tmp_path, environment) as url:
            await asyncio.to_thread(play, database, {"row": row}, "docs/back_end.mjs", Path(page).stem, url)
    finally:
        await server.end()
