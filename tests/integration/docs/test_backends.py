"""The pages about FastAPI, Django and Flask: tokens that a server accepts, rows and messages in one commit, their tests."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from server.auth.issuers import TokenIssuer
from server.auth.tokens import TokenVerifier
from tests.support.back_ends import make_django, needed, python, write
from tests.support.doc_blocks import blocks
from tests.support.importing import importable
from tests.support.servers.commands import realtime
from tests.support.values.tokens import SECRET

FASTAPI, DJANGO, FLASK = "docs/frameworks/fastapi.md", "docs/frameworks/django.md", "docs/frameworks/flask.md"
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


def environment(dsn: str, folder: Path) -> dict[str, str]:
    """What the reader exports; nothing of what this run of pytest was given."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    given = {"DATABASE_URL": dsn, "TOKEN_SECRET": SECRET, "FLASK_SECRET_KEY": "of the tests"}
    return outside | given | {"DJANGO_SETTINGS_MODULE": "mysite.settings", "PYTHONPATH": str(folder)}


def run_sql(dsn: str, sql: str) -> list[Any]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def site(
    request: pytest.FixtureRequest, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The modules of the page that the test names can be imported, and its table is there; the DSN."""
    needed(request.param)
    write(request.param, tmp_path)
    importable(monkeypatch, tmp_path)
    for name in ("DATABASE_URL", "TOKEN_SECRET", "FLASK_SECRET_KEY"):
        monkeypatch.setenv(name, environment(database, tmp_path)[name])
    monkeypatch.chdir(tmp_path)
    run_sql(database, (tmp_path / "todos.sql").read_text())
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


@pytest.mark.parametrize("site", [FASTAPI], indirect=True)
async def test_fastapi(site: str) -> None:
    app = module("fastapi_app").app
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as http:
        assert (await http.post("/realtime-token")).status_code == 401
        ada = {"X-User": "ada"}
        assert await accepted((await http.post("/realtime-token", headers=ada)).text) == "ada"
        answer = await http.post("/lists/home/complete", headers=ada)
        assert "whenSeen" in (await http.get("/")).text
    await module("fastapi_app").Session.kw["bind"].dispose()
    check_complete(site, answer.json()["position"], "ada")


@pytest.mark.parametrize("site", [FLASK], indirect=True)
async def test_flask(site: str) -> None:
    client = module("flask_app").app.test_client()
    assert client.post("/realtime-token").status_code == 401
    assert client.post("/sign-in", data={"user": "ada"}).location == "/"
    assert await accepted(client.post("/realtime-token").text) == "ada"
    check_complete(site, client.post("/lists/home/complete").json["position"], "ada")
    with client.get("/") as page:
        assert "whenSeen" in page.text
    module("flask_app").Database.kw["bind"].dispose()


@pytest.mark.long
@pytest.mark.parametrize("site", [FASTAPI, FLASK], indirect=True)
def test_the_tests_of_the_pages_pass(site: str, tmp_path: Path) -> None:
    given = environment(site, tmp_path)
    python(tmp_path, given, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_complete.py")


async def test_the_api_of_the_page_about_tanstack_db(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed(FASTAPI)
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
    needed(DJANGO)
    given = environment(database, tmp_path)
    make_django(tmp_path, given)
    [policy] = [block.text for block in blocks("python", "csp.py", page="docs/guides/backends.md")]
    (tmp_path / "csp.py").write_text(policy)
    with (tmp_path / "mysite" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    assert run_sql(database, "select name from realtime.collections") == [("todos",)]
    unknown, token, position = json.loads(python(tmp_path, given, "-c", DRIVE))
    assert unknown == 401
    assert await accepted(token) == "7"
    check_complete(database, position, "ada", "todos_todo")
    check_tests_of_django(database, tmp_path, given)
    python(tmp_path, given, "manage.py", "migrate", "todos", "0001")
    assert run_sql(database, "select name from realtime.collections") == []


def check_tests_of_django(dsn: str, folder: Path, given: dict[str, str]) -> None:
    """They run in a database that Django copies from the template of the page."""
    name = f"template_{conninfo_to_dict(dsn)['dbname']}"
    settings = folder / "mysite" / "settings.py"
    settings.write_text(settings.read_text().replace('"realtime_template"', f'"{name}"'))
    run_sql(dsn, f"create database {name}")
    try:
        done = realtime("migrate", "--dsn", f"{dsn.rpartition('/')[0]}/{name}")
        assert done.returncode == 0, done.stderr
        python(folder, given, "manage.py", "test")
    finally:
        run_sql(dsn, f"drop database {name}")
