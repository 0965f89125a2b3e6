"""The Python of pages that no other test runs: against a server, a database or an application."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest
from bunbase import Realtime
from fastapi import Depends, FastAPI
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from server.auth.issuers import TokenIssuer
from server.auth.tokens import TokenVerifier
from server.content.hook import HookMessage
from tests.support.clients.list_client import slot_name
from tests.support.doc_blocks import blocks
from tests.support.importing import importable
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER, serving
from tests.support.values.tokens import SECRET

WRITING = "docs/guides/writing.md"
ADDRESS = "ws://localhost:8000/realtime"
MESSAGES = """
create table messages (id int primary key, body text);
select realtime.expose('messages');
insert into messages values (1, 'Hello')
"""
TYPED = """
create type priority as enum ('low', 'high');
create table messages (id int primary key, priority priority, created_at timestamptz not null default now());
select realtime.expose('messages', camel_case => true)
"""
SETTINGS = """
import os
import django
from django.conf import settings
import psycopg

parts = psycopg.conninfo.conninfo_to_dict(os.environ["DATABASE_URL"])
names = {"NAME": "dbname", "USER": "user", "HOST": "host", "PORT": "port"}
database = {"ENGINE": "django.db.backends.postgresql"} | {name: parts[part] for name, part in names.items()}
settings.configure(DATABASES={"default": database})
django.setup()
from django.db import models


class Todo(models.Model):
    id = models.UUIDField(primary_key=True)
    list_id = models.TextField()
    done = models.BooleanField()

    class Meta:
        app_label, db_table, managed = "todos", "todos", False

"""
TODO = "insert into todos (list_id, title) values ('home', 'Water the plants')"


def text_of(page: str, beginning: str) -> str:
    """The block of the page that has ``beginning`` in one of its first lines."""
    [found] = [block.text for block in blocks("python", page=page) if beginning in block.text]
    return found


async def run(text: str, names: dict[str, Any]) -> dict[str, Any]:
    """What the text defines, run with ``names``; it may await."""
    outcome = eval(compile(text, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(outcome):
        async with asyncio.timeout(GIVE_UP_AFTER):
            await outcome
    return names


def run_sql(dsn: str, *statements: str) -> list[Any]:
    """The rows of the last one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = [connection.execute(each.encode()) for each in statements][-1]
        return cursor.fetchall() if cursor.description else []


def with_todos(dsn: str) -> None:
    tables = [block.text for block in blocks("sql", page=WRITING) if block.text.startswith("create table todos")]
    run_sql(dsn, *tables, TODO)


def check_all_done(dsn: str, position: str) -> None:
    [(channel, event, transaction)] = run_sql(dsn, "select channel, event, xmin::text from realtime.messages")
    assert (channel, event, position) == ("list:home", "all-done", f"xid:{transaction}")
    assert run_sql(dsn, "select done from todos") == [(True,)]


async def test_a_program_without_an_sdk_follows_a_query(database: str, tmp_path: Path) -> None:
    run_sql(database, MESSAGES)
    program = text_of("docs/getting-started.md", "websockets.sync")
    assert ADDRESS in program
    async with serving(database, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        (tmp_path / "program.py").write_text(program.replace(ADDRESS, server.websocket))
        command = (sys.executable, "-u", str(tmp_path / "program.py"))
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(GIVE_UP_AFTER):
                assert b"[{'id': 1, 'body': 'Hello'}]" in await process.stdout.readline()
                await asyncio.to_thread(run_sql, database, "insert into messages values (2, 'Again')")
                assert b"[{'id': 2, 'body': 'Again'}, {'id': 1," in await process.stdout.readline()
        finally:
            process.kill()
            await process.wait()


async def test_the_token_of_the_page_is_accepted() -> None:
    names = await run(text_of("docs/guides/authentication.md", "jwt.encode"), {"secret": SECRET})
    issuer = TokenIssuer(issuer="https://app.example.com", audience="realtime", secret=SECRET)
    assert (await TokenVerifier([issuer]).verify(names["token"])).user_id == "user-456"


async def test_channels(database: str) -> None:
    async with (
        serving(database, free_port(), slot_name=slot_name(), ephemeral=True) as server,
        Realtime(server.url) as client,
    ):
        channel = client.channel("chat:1")
        await channel.subscribe()
        await channel.send("new-message", "Hello")
        names: dict[str, Any] = {"realtime": client, "channel": channel}
        for block in blocks("python", page="docs/guides/channels.md"):
            await run(block.text, names)
        assert [each.data for each in names["page"].messages] == ["Hello"]
        await names["board"].subscribe()


async def test_recipes(database: str) -> None:
    page, shown = "docs/guides/recipes.md", asyncio.Event()
    tables = [block.text for block in blocks("sql", page=page)]
    message = (
        "insert into chat_messages (id, room_id, author, body) values (gen_random_uuid(), 'lounge', 'ada', 'Hello')"
    )
    run_sql(database, *tables, message)

    def show(what: str, docs: list[Any]) -> None:
        if what == "messages" and [doc.data["body"] for doc in docs] == ["Hello"]:
            shown.set()

    names = await run(text_of(page, "follow"), {"show": show})
    async with serving(database, free_port(), slot_name=slot_name(), ephemeral=True) as server:
        following = asyncio.create_task(names["follow"](server.url))
        async with asyncio.timeout(GIVE_UP_AFTER):
            await shown.wait()
        following.cancel()
        await asyncio.wait([following])


async def test_an_endpoint_returns_the_position_of_its_transaction(database: str) -> None:
    class NewTodo(BaseModel):
        id: str
        list_id: str
        title: str

    with_todos(database)
    async with AsyncConnectionPool(database, open=False, min_size=1) as pool:
        app = FastAPI()
        given = {"app": app, "pool": pool, "NewTodo": NewTodo, "User": dict, "Depends": Depends}
        await run(text_of(WRITING, "@app.post"), given | {"current_user": lambda: {}})
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as http:
            todo = {"id": "6b8a7e6e-5b1c-4f0e-9c3e-2f1f0f6f6f01", "list_id": "work", "title": "Sweep"}
            position = (await http.post("/todos", json=todo)).json()["position"]
    [(transaction,)] = run_sql(database, "select xmin::text from todos where list_id = 'work'")
    assert position == f"xid:{transaction}"


def test_a_transaction_of_django(database: str, tmp_path: Path) -> None:
    with_todos(database)
    (tmp_path / "page.py").write_text(SETTINGS + text_of(WRITING, "django.db") + "\nprint(complete('home'))\n")
    environment = os.environ | {"DATABASE_URL": database}
    command = [sys.executable, str(tmp_path / "page.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    check_all_done(database, done.stdout.strip())


async def test_a_transaction_of_sqlalchemy(database: str) -> None:
    class Base(DeclarativeBase):
        pass

    class Todo(Base):
        __tablename__ = "todos"
        id: Mapped[str] = mapped_column(primary_key=True)
        list_id: Mapped[str]
        done: Mapped[bool]

    with_todos(database)
    engine = create_async_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    names = await run(text_of(WRITING, "sqlalchemy"), {"AsyncSession": AsyncSession, "Todo": Todo})
    async with async_sessionmaker(engine)() as session:
        position = await names["complete"](session, "home")
    await engine.dispose()
    check_all_done(database, position)


async def test_a_hook_refuses_the_messages_of_a_user() -> None:
    names = await run(text_of("docs/security.md", "HookMessage"), {"blocked": {"bob"}})
    asked = [HookMessage("chat:1", "e", None, user, "c1", None, "websocket") for user in ("ada", "bob")]
    assert [await names["check"](each) for each in asked] == [None, "you may not write here now"]


async def test_documents_have_the_types_that_are_written(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_sql(database, TYPED)
    (tmp_path / "app").mkdir()
    done = realtime("types", "--py", "--out", str(tmp_path / "app/collections.py"), "--dsn", database)
    assert done.returncode == 0, done.stderr
    importable(monkeypatch, tmp_path)
    doc = SimpleNamespace(data=json.loads('{"id": 1, "createdAt": "2026-01-25T09:00:00+00:00"}'))
    queries: list[Any] = []
    query = SimpleNamespace(where=lambda *condition: SimpleNamespace(on_snapshot=queries.append))
    known = SimpleNamespace(database=lambda typed: SimpleNamespace(collection={"messages": query}.get))
    names = await run(text_of("docs/sdk/types.md", "app.collections"), {"realtime": known})
    [show] = queries
    assert show is names["show"]
    show(SimpleNamespace(docs=[doc]))
    assert capsys.readouterr().out == "2026-01-25T09:00:00+00:00\n"
