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
AUTH = """
from typing import Annotated

from fastapi import Header, HTTPException
from pydantic import BaseModel


class User(BaseModel):
    id: str


def current_user(x_user: Annotated[str | None, Header()] = None) -> User:
    if x_user is None:
        raise HTTPException(401)
    return User(id=x_user)
"""
SETTINGS = """
import os
import psycopg

ROOT_URLCONF, SECRET_KEY, ALLOWED_HOSTS = "urls", "of the tests", ["testserver"]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "todos"]
MIDDLEWARE = [
    "csp.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
_parts = psycopg.conninfo.conninfo_to_dict(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _parts["dbname"],
        "USER": _parts["user"],
        "HOST": _parts["host"],
        "PORT": _parts["port"],
    }
}
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
            path.write_text(block.text)


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
    (tmp_path / "auth.py").write_text(AUTH)
    importable(monkeypatch, tmp_path)
    monkeypatch.setenv("DATABASE_URL", database.replace("postgresql://", "postgresql+psycopg://"))
    monkeypatch.setenv("TOKEN_SECRET", SECRET)
    monkeypatch.setenv("FLASK_SECRET_KEY", "of the tests")
    [tables] = [block.text for block in blocks("sql", "tables") if block.page == PAGE]
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
    with client.session_transaction() as session:
        session["user_id"] = "ada"
    assert await accepted(client.post("/realtime-token").text) == "ada"
    check_complete(site, client.post("/lists/home/complete").json["position"], "ada")


@pytest.mark.long
async def test_django(database: str, tmp_path: Path) -> None:
    installed("django")
    write(tmp_path)
    (tmp_path / "settings.py").write_text(SETTINGS)
    exposing = tmp_path / "todos" / "migrations" / "0002_realtime.py"
    text = exposing.read_text()
    exposing.unlink()  # Django makes the first migration
    for folder in ("todos", "todos/migrations"):
        (tmp_path / folder / "__init__.py").touch()
    environment = os.environ | {
        "DATABASE_URL": database,
        "TOKEN_SECRET": SECRET,
        "DJANGO_SETTINGS_MODULE": "settings",
        "PYTHONPATH": str(tmp_path),
    }

    def python(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    python("-m", "django", "makemigrations", "todos")
    exposing.write_text(text)
    python("-m", "django", "migrate")
    assert run_sql(database, "select name from realtime.collections") == [("todos",)]
    unknown, token, position = json.loads(python("-c", DRIVE))
    assert unknown == 401
    assert await accepted(token) == "7"
    check_complete(database, position, "7", "todos_todo")
    python("-m", "django", "migrate", "todos", "0001")
    assert run_sql(database, "select name from realtime.collections") == []
