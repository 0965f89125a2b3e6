"""``realtime types``: what it writes compiles and is what clients get; a stale file is reported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pydantic
import pytest

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.browsers import need
from tests.support.servers.commands import realtime

ROOT = Path(__file__).parents[3]
TSC = ROOT / "sdk/js/node_modules/typescript/bin/tsc"

TABLES = """
create type priority as enum ('low', 'high "!"');
create type point3 as (x integer, y numeric);
create type place as (name text, at point3);
create domain price as numeric(6, 2);
create table chat_messages (
  id bigint generated always as identity primary key,
  done boolean not null,
  room_id text not null,
  secret text,
  small smallint, real_one real, cost price not null default 1, priority priority not null default 'low', others priority[],
  tags text[] not null default '{}', details jsonb, plain json, at place,
  created_at timestamptz not null default now(), day date, span interval, uid uuid, bits bytea, address inet,
  numbers int4range,
  typed jsonb not null default '{"by": "ada"}', "from" text, "two words" integer, number oid, vector int2vector
);
comment on column chat_messages.typed is 'Who it is by. @ts { by: string } @py dict[str, str]';
comment on column chat_messages.secret is '@ts no type, and it is not exposed';
create table "ChatMessages" (id text primary key);
select realtime.expose('chat_messages', camel_case => true, columns => array(
  select attname::text from pg_attribute where attrelid = 'chat_messages'::regclass and attnum > 0 and attname <> 'secret'));
select realtime.expose('"ChatMessages"')
"""

INSERT = """
insert into chat_messages (done, room_id, small, real_one, others, tags, details, plain, at, day, span, uid, bits, address,
                           numbers, "from", "two words", number, vector)
values (true, 'r', 1, 1.5, '{low,"high \\"!\\""}', '{tea}', '[1, null]', '{"a": {}}', '(Delft,"(1,2.5)")', now(), '1 day',
        gen_random_uuid(), '\\x00', '10.0.0.1', '[1,2)', 'x', 3, 4, '1 2');
insert into chat_messages (done, room_id) values (false, 'r')
"""

TYPESCRIPT = """// The documents of the exposed collections. Written by `realtime types --ts`; not edited by hand.

export type Priority = "low" | "high \\"!\\"";

export interface Point3 {
  x: number | null;
  y: number | null;
}

export interface Place {
  name: string | null;
  at: Point3 | null;
}

/** A document of `ChatMessages`, a row of public.ChatMessages. */
export interface ChatMessages {
  id: string;
}

/** A document of `chat_messages`, a row of public.chat_messages. */
export interface ChatMessages2 {
  id: number;
  done: boolean;
  roomId: string;
  small: number | null;
  realOne: number | null;
  cost: number;
  priority: Priority;
  others: Priority[] | null;
  tags: string[];
  details: unknown;
  plain: unknown;
  at: Place | null;
  createdAt: string;
  day: string | null;
  span: string | null;
  uid: string | null;
  bits: string | null;
  address: string | null;
  numbers: string | null;
  typed: { by: string };
  from: string | null;
  "two words": number | null;
  number: string | null;
  vector: number[] | null;
}

/** The documents by the names of their collections, for `new Realtime<Collections>()`. */
export interface Collections {
  ChatMessages: ChatMessages;
  chat_messages: ChatMessages2;
}
"""

USED = """
import { db, type Database } from "@bunbase/sdk";
import type { Collections } from "./types.js";

const typed: Database<Collections> = db;
typed.collection("chat_messages").where("priority", "==", "low").where("details", "array-contains", 3).orderBy("createdAt");
// @ts-expect-error no label of the enum
typed.collection("chat_messages").where("priority", "==", "urgent");
// @ts-expect-error a hidden column
typed.collection("chat_messages").where("secret", "==", "x");
"""


@pytest.fixture
def exposed(pg: LocalPostgres) -> Iterator[str]:
    """A database with two exposed tables of many types, on each server in turn."""
    with database_on(pg, *TABLES.split(";\n")) as dsn:
        yield dsn


def test_what_is_written_is_what_clients_see_and_the_same_each_time(exposed: str, tmp_path: Path) -> None:
    done = realtime("types", "--ts", "--dsn", exposed)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == TYPESCRIPT
    file = tmp_path / "types.ts"
    assert realtime("types", "--ts", "--out", str(file), "--dsn", exposed).stdout == ""
    assert file.read_text() == TYPESCRIPT
    assert realtime("types", "--ts", "--check", "--out", str(file), "--dsn", exposed).returncode == 0


def test_documents_as_postgresql_writes_them_are_of_the_types_of_python(exposed: str, tmp_path: Path) -> None:
    """Strictly, as pydantic checks them; and mypy finds nothing to object to in the module."""
    file = tmp_path / "types_of_python.py"
    assert realtime("types", "--py", "--out", str(file), "--dsn", exposed).returncode == 0
    with psycopg.connect(exposed) as connection:
        for statement in INSERT.split(";\n"):
            connection.execute(statement.encode())
        rows = connection.execute("select row_to_json(m) from chat_messages m order by id").fetchall()
    module: dict[str, Any] = {}
    # pydantic refuses the one of `typing` before Python 3.12.
    text = file.read_text().replace(
        "import Any, Literal, TypedDict", "import Any, Literal\nfrom typing_extensions import TypedDict"
    )
    exec(compile(text, str(file), "exec", dont_inherit=True), module)
    check = pydantic.TypeAdapter(module["ChatMessages2"])
    names = {"room_id": "roomId", "real_one": "realOne", "created_at": "createdAt"}
    for (row,) in rows:
        del row["secret"]
        document = {names.get(name, name): value for name, value in row.items()}
        check.validate_json(json.dumps(document), strict=True, extra="forbid")
        assert document.keys() == module["ChatMessages2"].__annotations__.keys()
    lint = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(file)]
    done = subprocess.run(lint, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


def test_the_sdk_takes_the_types_of_typescript(exposed: str, tmp_path: Path) -> None:
    need(shutil.which("node") is not None and TSC.exists(), "the packages of sdk/js are not installed")
    realtime("types", "--ts", "--out", str(tmp_path / "types.ts"), "--dsn", exposed)
    (tmp_path / "used.ts").write_text(USED)
    options = {
        "strict": True, "noEmit": True, "module": "ES2022", "moduleResolution": "bundler", "target": "ES2022",
        "lib": ["ES2022", "DOM", "DOM.Iterable"], "types": ["node"], "typeRoots": [str(ROOT / "sdk/js/node_modules/@types")],
        "paths": {"@bunbase/sdk": [str(ROOT / "sdk/js/src/index.ts")]}, "skipLibCheck": True,
    }  # fmt: skip
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["used.ts"]}))
    command = ["node", str(TSC), "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout


def test_a_stale_file_is_reported_with_its_difference(database: str, tmp_path: Path) -> None:
    file = tmp_path / "types.ts"
    command = ["types", "--ts", "--out", str(file), "--dsn", database]
    missing = realtime(*command, "--check")
    assert (missing.returncode, "+export interface Collections {" in missing.stdout) == (1, True)
    assert realtime(*command).returncode == 0
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table rooms (id text primary key)")
        connection.execute("select realtime.expose('rooms')")
    stale = realtime(*command, "--check")
    assert stale.returncode == 1
    assert stale.stdout.splitlines()[:2] == [f"--- {file}", "+++ realtime types"]
    assert "+  rooms: Rooms;" in stale.stdout
    assert "rooms" not in file.read_text()


def test_a_comment_that_is_no_type_is_refused_and_nothing_is_written(database: str, tmp_path: Path) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("create table rooms (id text primary key)")
        connection.execute("select realtime.expose('rooms')")
        connection.execute("comment on column rooms.id is '@ts string } declare const x: 1; interface Y {'")
    done = realtime("types", "--ts", "--out", str(tmp_path / "types.ts"), "--dsn", database)
    assert done.returncode == 1
    assert done.stderr.startswith("realtime: the comment on public.rooms.id has no type of its language after @ts: ")
    assert not (tmp_path / "types.ts").exists()


@pytest.mark.parametrize("arguments", [[], ["--ts", "--py"], ["--ts", "--check"]], ids=["none", "both", "check"])
def test_a_wrong_combination_of_options_is_a_usage_error(arguments: list[str]) -> None:
    done = realtime("types", *arguments)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
