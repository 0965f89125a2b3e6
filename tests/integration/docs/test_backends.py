"""The examples for FastAPI, Django and Flask: tokens that a server accepts, rows and messages in one commit."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import psycopg
import pytest

from server.auth.issuers import TokenIssuer
from server.auth.tokens import TokenVerifier
from tests.support.browsers import need
from tests.support.doc_blocks import blocks
from tests.support.importing import importable
from tests.support.values.tokens import SECRET

PAGE = "docs/guides/backends.md"
ISSUER = TokenIssuer(issuer="https://app.example.com", audience="realtime", secret=SECRET)
SETTINGS = """
ALLOWED_HOSTS = ["testserver"]
MIDDLEWARE = ["csp.content_security_policy", *MIDDLEWARE]
"""
DRIVE = """
import json
import django

django.setup()
from django.contrib.auth.models import User
from django.test import Client
from todos.models import Todo

Todo.objects.create(list_id="home", title="Water the plants")
client = Client()
unknown = client.post("/realtime-token").status_code
client.force_login(User.objects.create(pk=7, username="ada"))
token = client.post("/realtime-token")
answer = client.post("/lists/home/complete")
print(json.dumps([unknown, token.text if hasattr(token, "text") else token.content.decode(), answer.json()["position"]]))
assert "connect-src" in answer.headers["Content-Security-Policy"]
"""


def write(folder: Path) -> None:
    """The modules of the page, by their titles."""
    for block in blocks("python"):
        if block.page == PAGE and block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            begun = path.read_text() if block.title == "mysite/settings.py" and path.exists() else ""
            path.write_text(begun + block.text)


def installed(name: str) -> None:
    need(importlib.util.find_spec(name) is not None, f"{name} is not installed")


def run_sql(dsn: str, sql: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def site(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The modules can be imported, and the tables are there; the DSN."""
    write(tmp_path)
    importable(monkeypatch, tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("TOKEN_SECRET", SECRET)
    monkeypatch.setenv("FLASK_SECRET_KEY", "of the tests")
    [tables] = [block.text for block in blocks("sql", "todos.sql", page=PAGE)]
    run_sql(database, tables)
    run_sql(database, "insert into todos (list_id, title) values ('home', 'Water the plants')")
    before = set(sys.modules)
    yield database
    for name in ("auth", "models", "realtime_token", "fastapi_app", "flask_app"):
        if name not in before:
            sys.modules.pop(name, None)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


async def accepted(token: str) -> str | None:
    """The user that a server takes this token for."""
    principal = await TokenVerifier([ISSUER]).verify(token)
    return principal.user_id


def check_complete(dsn: str, position: str, user: str, table: str = "todos") -> None:
    """The rows are changed, and the message was written by the same transaction."""
    assert position.startswith("xid:")
    assert run_sql(dsn, f"select bool_and(done) from {table}") == [(True,)]
    written = run_sql(dsn, "select channel, event, payload, xmin::text from realtime.messages")
    assert [row[:3] for row in written] == [("list:home", "all-done", {"by": user})]
    rows = run_sql(dsn, f"select distinct xmin::text from {table}")
    assert rows == [(written[0][3],)]
    assert position == f"xid:{written[0][3]}"


async def test_fastapi(site: str) -> None:
    installed("fastapi")
    installed("sqlalchemy")
    app = module("fastapi_app").app
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as http:
        assert (await http.post("/realtime-token")).status_code == 401
        ada = {"X-User": "ada"}
        assert await accepted((await http.post("/realtime-token", headers=ada)).text) == "ada"
        answer = await http.post("/lists/home/complete", headers=ada)
    check_complete(site, answer.json()["position"], "ada")


async def test_flask(site: str) -> None:
    installed("flask")
    installed("sqlalchemy")
    client = module("flask_app").app.test_client()
    assert client.post("/realtime-token").status_code == 401
    assert client.post("/sign-in", data={"user": "ada"}).status_code == 204
    assert await accepted(client.post("/realtime-token").text) == "ada"
    check_complete(site, client.post("/lists/home/complete").json["position"], "ada")
    module("flask_app").Database.kw["bind"].dispose()


async def test_the_api_of_the_page_about_tanstack_db(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed("fastapi")
    [tables] = [block.text for block in blocks("sql", "todos.sql", page="docs/guides/quickstart.md")]
    [program] = [block.text for block in blocks("python", "api.py", page="docs/sdk/tanstack-db.md")]
    run_sql(database, tables)
    (tmp_path / "api_of_tanstack.py").write_text(program)
    importable(monkeypatch, tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    api = module("api_of_tanstack")
    todo = {"id": "8e2fd1a4-53f5-45c5-a6c5-0d3ff3d4b6a8", "title": "Tea", "done": False}
    address = f"/todos/{todo['id']}"
    transport = httpx.ASGITransport(app=api.app)
    async with api.lifespan(api.app), httpx.AsyncClient(transport=transport, base_url="http://app") as http:
        answers = [await http.post("/todos", json=todo), await http.patch(address, json={"done": True})]
        assert run_sql(database, "select title, done from todos") == [("Tea", True)]
        answers.append(await http.delete(address))
    assert all(answer.json()["position"].startswith("xid:") for answer in answers)
    assert run_sql(database, "select from todos") == []


@pytest.mark.long
async def test_django(database: str, tmp_path: Path) -> None:
    installed("django")
    environment = os.environ | {
        "DATABASE_URL": database,
        "TOKEN_SECRET": SECRET,
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PYTHONPATH": str(tmp_path),
    }

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    python("-m", "django", "startproject", "mysite", ".")
    python("manage.py", "startapp", "todos")
    write(tmp_path)
    with (tmp_path / "mysite" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    exposing = tmp_path / "todos" / "migrations" / "0002_realtime.py"
    text = exposing.read_text()
    exposing.unlink()  # Django makes the first migration
    python("manage.py", "makemigrations", "todos")
    exposing.write_text(text)
    python("manage.py", "migrate")
    assert run_sql(database, "select name from realtime.collections") == [("todos",)]
    unknown, token, position = json.loads(python("-c", DRIVE))
    assert unknown == 401
    assert await accepted(token) == "7"
    check_complete(database, position, "7", "todos_todo")
    python("manage.py", "migrate", "todos", "0001")
    assert run_sql(database, "select name from realtime.collections") == []
