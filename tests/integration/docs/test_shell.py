"""The commands of pages, run one after another as their reader runs them, on a server or a PostgreSQL of their own."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.conftest import postgres_18, started
from tests.integration.docs.shell import Invocation, Shell, commands_of
from tests.support.clients.list_client import slot_name
from tests.support.doc_blocks import Block, blocks
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER, serving
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

START, AUTHENTICATION, TYPES = "docs/getting-started.md", "docs/guides/authentication.md", "docs/sdk/types.md"
OPERATIONS, BACKUP, UPGRADING = "docs/operations.md", "docs/operations/backup.md", "docs/guides/upgrading.md"
REST, TRANSPORTS, CLUSTER = "docs/reference/rest.md", "docs/reference/transports.md", "docs/operations/cluster.md"
SECURITY, DEPLOYMENT, PERFORMANCE = "docs/security.md", "docs/operations/deployment.md", "docs/performance.md"
NOT_HERE = {
    "CONTRIBUTING.md": "they are the tests",
    "docs/frameworks/django.md": "tests/newcomer; test_backends has the application",
    "docs/frameworks/fastapi.md": "tests/newcomer; test_backends has the application",
    "docs/frameworks/flask.md": "tests/newcomer; test_backends has the application",
    "docs/frameworks/nextjs.md": "tests/newcomer",
    "docs/frameworks/react-native.md": "they are Expo's, for a device",
    "docs/guides/chat-tutorial.md": "tests/browser/test_chat_tutorial.py and tests/newcomer",
    "docs/guides/quickstart.md": "tests/browser/test_quickstart.py and tests/newcomer",
    "docs/operations/tracing.md": "test_servers runs them, but for a container",
    "docs/sdk/tanstack-db.md": "tests/newcomer",
    "docs/operations/workers.md": "test_servers runs them",
}
"""Pages whose commands are not run here, and why; those of ``INSTALLERS`` are run in ``tests/newcomer``."""
INSTALLERS = {"make", "npm", "pip"}
RUN = {START, AUTHENTICATION, TYPES, OPERATIONS, BACKUP, UPGRADING, REST, TRANSPORTS, CLUSTER, DEPLOYMENT, PERFORMANCE}
FOR_GOOD = ("serve", "dev", "relay")


def sh(page: str) -> list[Block]:
    return blocks("sh", page=page)


def of_page(page: str) -> list[Invocation]:
    return [command for block in sh(page) for command in commands_of(block)]


def run_sql(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for each in statements:
            connection.execute(each.encode())


def test_every_page_with_commands_is_run_or_has_a_reason() -> None:
    pages = {
        page
        for page in sorted({block.page for block in blocks("sh")})
        if {each.words[0] for each in of_page(page) if each.words} - INSTALLERS
    }
    assert pages == RUN | NOT_HERE.keys()


def test_getting_started_and_upgrading(database: str, tmp_path: Path) -> None:
    run_sql(database, "create role app_owner", "create table of_others (id int)")
    shell = Shell(database, tmp_path, {"postgresql://app@localhost/app": database, "psql -U": f"psql -d {database} -U"})
    shell.environment["REALTIME_DSN"] = database
    wanted = [block for block in sh(START) if "make" not in block.text and "websocat" not in block.text]
    shell.run(*wanted, skip=FOR_GOOD)
    shell.run(*sh(UPGRADING))
    with psycopg.connect(database) as connection:
        assert connection.execute("select name from realtime.collections").fetchall() == [("messages",)]


def test_keys_and_tokens(database: str, tmp_path: Path) -> None:
    issuer = next(block.text for block in blocks("toml", page=AUTHENTICATION))
    (tmp_path / "realtime.toml").write_text(issuer.replace("…", SECRET))
    shell = Shell(database, tmp_path, environment={"REALTIME_DSN": database})
    for command in (command for block in sh(AUTHENTICATION) for command in commands_of(block) if command.words):
        if "revoke" in command.words:
            shell.replaced[command.words[-1]] = re.findall(r"\bsk_\w{12}", shell.output)[0]
        shell.one(command)


def test_types(database: str, tmp_path: Path) -> None:
    run_sql(database, "create table messages (id int primary key)", "select realtime.expose('messages')")
    for folder in ("src", "app"):
        (tmp_path / folder).mkdir()
    Shell(database, tmp_path, environment={"REALTIME_DSN": database}).run(*sh(TYPES))
    assert "class Messages" in (tmp_path / "app/collections.py").read_text()


def test_configurations_of_nats(tmp_path: Path) -> None:
    shell = Shell("", tmp_path)
    commands = [command for block in sh(CLUSTER) for command in commands_of(block)]
    first, region = [each for each in commands if each.words[:2] == ["realtime", "nats-config"]]
    first.words.extend(("--leaf-port", "7422"))  # as the chapter about regions has it
    for command in commands:
        if command.words[0] != "realtime" or command.words[1] not in FOR_GOOD:
            shell.one(command)
    assert len(list((tmp_path / "nats").glob("nats-*.conf"))) == 3
    assert (tmp_path / "nats-eu" / f"{region.words[region.words.index('--server') + 1]}.conf").exists()


def test_scenarios_of_the_benchmark_are_listed(tmp_path: Path) -> None:
    shell = Shell("", tmp_path)
    commands = [command for block in sh(PERFORMANCE) for command in commands_of(block)]
    shell.one(commands[0])
    scenarios = {command.words[2] for command in commands[1:] if command.words[0] == "realtime"}
    assert all(re.search(rf"\b{name}\b", shell.output) for name in scenarios)


async def test_requests_by_curl(database: str, tmp_path: Path) -> None:
    issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
    created = realtime("keys", "create", "page", "--dsn", database)
    published = re.findall(r"\bpk_\w+", created.stdout)[0]
    config = {"rest_key": "secret", "auth_issuers": issuers, "slot_name": slot_name(), "ephemeral": True}
    async with serving(database, free_port(), **config) as server:
        addresses = ("https://realtime.example.com", "http://localhost:8000", "http://127.0.0.1:8000")
        shell = Shell(database, tmp_path, dict.fromkeys(addresses, server.url))
        shell.environment |= {"KEY": "secret", "TOKEN": token(sub="ada"), "PUBLISHABLE_KEY": published}
        listed, note = sh(REST)
        shell.run(listed)
        assert json.loads(shell.output)["connections"] == []
        shell.run(note)
        assert json.loads(shell.output)["id"]
        shell.run(*(block for block in sh(DEPLOYMENT) if block.text.startswith("curl")))
        stream(shell, server.url)
        poll(shell)


def stream(shell: Shell, url: str) -> None:
    """The stream of the page, and a message that is sent with its session; the stream is then as the page shows it."""
    listen, send, *_ = sh(TRANSPORTS)
    text = listen.text.replace("http://localhost:8000", url)
    command = ["timeout", str(GIVE_UP_AFTER), "bash", "-c", f"exec {text}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as curl:
        assert curl.stdout is not None
        received = ""
        try:
            for line in curl.stdout:
                received += line
                if session := re.search(r'"session":"(\w+)"', line):
                    [written] = re.findall(r'"session": "(\w+)"', send.text)
                    shell.replaced[written] = session[1]
                if line.startswith('data: {"type":"subscribed","channel":"chat:2"'):
                    shell.run(send)
                if "new-message" in line:
                    break
        finally:
            curl.kill()
    [shown] = [block.text for block in blocks("text", page=TRANSPORTS)]
    assert fields(received) == fields(shown)[: len(fields(received))]


def fields(text: str) -> list[object]:
    """The events of a stream, and the fields of their data. An id follows where there is progress to be resumed from."""
    lines = [line.partition(": ") for line in text.splitlines()]
    return [
        sorted(json.loads(value)) if name == "data" else value for name, _, value in lines if name in ("event", "data")
    ]


def poll(shell: Shell) -> None:
    """The two requests of long polling."""
    first, later = [block for block in sh(TRANSPORTS) if "/poll" in block.text]
    shell.run(first)
    [written] = re.findall(r'"session": "([\w-]+)"', later.text)
    shell.replaced[written] = json.loads(shell.output)["session"]
    shell.run(later)
    assert [each["type"] for each in json.loads(shell.output)["messages"]] == ["subscribed"]


def test_the_trial_of_a_rule(database: str) -> None:
    [shown] = [block.text for block in blocks("text", page=SECURITY)]
    for block in blocks("sql", page=SECURITY):
        if "private:room-123" in block.text:
            run_sql(database, block.text)
    command, _, output = shown.partition("\n")
    block = Block(SECURITY, 1, "sh", "", command.removeprefix("$ "))
    [only] = commands_of(block)
    done = realtime(*only.words[1:], "--dsn", database)
    assert (done.returncode, done.stdout) == (1, output)


@pytest.mark.long
def test_operations_and_backup(scratch: Path, tmp_path: Path) -> None:
    with started(postgres_18(scratch / "pages")) as postgres:
        run_sql(postgres.dsn, "create role app_owner", "create database app")
        app = postgres.dsn_for("app")
        server = app.replace("postgres@", "realtime_server@")
        run_sql(app, "create table public.items (id int primary key)", "alter table public.items owner to app_owner")
        addresses = {
            "postgresql://realtime_server:PASSWORD@db.internal:5432/app": server,
            "postgresql://postgres@localhost/app": app,
            "postgresql://realtime_server@localhost/app": server,
        }
        shell = Shell(postgres.dsn, tmp_path, {**addresses, "TABLE": "items"})
        prepare, install, remove = sh(OPERATIONS)
        dump, restore, parts = sh(BACKUP)
        shell.run(prepare, install, skip=FOR_GOOD)
        shell.environment["REALTIME_DSN"] = app  # roles are dumped by a superuser
        shell.run(dump)
        run_sql(postgres.dsn, "alter database app rename to former")
        shell.run(restore)
        run_sql(postgres.dsn, "create database copy")
        shell.run(parts)
        shell.environment["REALTIME_DSN"] = server
        run_sql(postgres.dsn, "drop database former", "drop database copy")
        uninstall, removal = commands_of(remove)
        uninstall.words.append("--yes")
        shell.one(uninstall)
        shell.one(removal)
        with psycopg.connect(app) as connection:
            assert connection.execute("select to_regnamespace('realtime')").fetchall() == [(None,)]
