"""The TypeScript and JavaScript of pages compiles, and does what they state (:mod:`tests.support.doc_programs`)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.sdk_js.scenario_server import KEY, SDK, ScenarioServer, scenario_server
from tests.support.browsers import need
from tests.support.doc_blocks import blocks
from tests.support.doc_programs import PROGRAMS, Program, program_text
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

ROOT = Path(__file__).parents[3]
ORMS = ROOT / "tests" / "support" / "orms"
REACT, VUE = ROOT / "sdk" / "react", ROOT / "sdk" / "vue"
TABLES = """
create type priority as enum ('low', 'normal', 'high');
create table todos (id text primary key default gen_random_uuid(), list_id text not null, title text not null,
                    done boolean not null default false, created_at timestamptz not null default now());
select realtime.expose('todos', camel_case => true);
insert into todos (list_id, title) values ('home', 'Water the plants')
"""
MESSAGES = """
alter table messages add column priority priority not null default 'low';
insert into messages (room_id, body) values ('room-123', 'Hello')
"""
SURROUNDINGS = """
const Socket = createRequire(SDK)("ws");
const sockets = [];
globalThis.sockets = sockets;
globalThis.WebSocket = class extends Socket { constructor(...given) { super(...given); sockets.push(this); } };
globalThis.location = { origin: process.env.REALTIME_URL, protocol: "http:", host: new URL(process.env.REALTIME_URL).host };
const fetched = globalThis.fetch;
globalThis.fetch = async (address, options) => {
  if (!String(address).startsWith("/")) return fetched(address, options);
  console.log("token fetched", options?.method ?? "GET");
  return new Response(process.env.TOKEN);
};
"""
# Of a channel's options that come late, and of the pages' "your-api-key".
_WARNING = re.compile(r"(?m)^(.* holds from the next subscribe\(\)|.* only a publishable key \(pk_\) is sent)\n")
"""A page that shows a channel twice, with other options each time."""

DONE = "all blocks have run"


def ids(program: Program) -> str:
    return str(program)


def esbuild(source: Path, made: Path) -> None:
    aliases = {
        f"@bunbase/sdk{entry}": f"{SDK}/src/{file}.ts"
        for entry, file in (("/server", "server"), ("/crypto", "crypto"), ("", "index"))
    }
    command = [
        str(SDK / "node_modules/.bin/esbuild"),
        str(source),
        "--bundle",
        "--format=esm",
        "--platform=node",
        "--target=es2022",
        f"--outfile={made}",
        "--banner:js=import { createRequire as of } from 'node:module'; const require = of(import.meta.url);",
        "--log-level=warning",
        *(f"--alias:{name}={path}" for name, path in aliases.items()),
    ]
    environment = os.environ | {"NODE_PATH": str(ORMS / "node_modules")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=GIVE_UP_AFTER, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def make_prisma_client(folder: Path) -> None:
    """In ``folder/generated``, without the network: its command looks for an engine that it does not use here."""
    need((ORMS / "node_modules" / "prisma").exists(), "the packages of tests/support/orms are not installed")
    (folder / "todos.prisma").write_text(
        (ORMS / "todos.prisma").read_text().replace('"prisma-client"', '"prisma-client"\n  output = "./generated"')
    )
    command = [str(ORMS / "node_modules/.bin/prisma"), "generate", "--schema", str(folder / "todos.prisma")]
    unused = {"PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true", "PRISMA_HIDE_UPDATE_MESSAGE": "1", "CHECKPOINT_DISABLE": "1"}
    done = subprocess.run(
        command,
        cwd=ORMS,
        capture_output=True,
        text=True,
        timeout=GIVE_UP_AFTER,
        check=False,
        env=os.environ | unused,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def dsn(pg18: LocalPostgres) -> Iterator[str]:
    with database_on(pg18, TABLES) as dsn:
        yield dsn


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(dsn: str) -> AsyncIterator[ScenarioServer]:
    need((SDK / "node_modules" / "esbuild").exists(), "the packages of sdk/js are not installed")
    issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
    async with scenario_server(dsn, auth_issuers=issuers) as one:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(MESSAGES)
            for block in blocks("sql", page="docs/guides/recipes.md"):
                connection.execute(block.text.encode())
        yield one


@pytest.mark.parametrize("program", [each for each in PROGRAMS if each.runs], ids=ids)
async def test_the_program_does_what_the_page_states(program: Program, server: ScenarioServer, tmp_path: Path) -> None:
    source, made = tmp_path / "page.ts", tmp_path / "page.mjs"
    if "./generated/client" in program.before:
        make_prisma_client(tmp_path)
    source.write_text(f"{program_text(program)}console.log({json.dumps(DONE)});\n")
    esbuild(source, made)
    (tmp_path / "run.mjs").write_text(
        f'import {{ createRequire }} from "node:module";\n{SURROUNDINGS}await import("./page.mjs");\n'.replace(
            "SDK", json.dumps(str(SDK / "package.json"))
        )
    )
    given = {"REALTIME_URL": server.url, "CONTROL_URL": server.control, "REST_KEY": KEY, "TOKEN": token(sub="ada")}
    given["DATABASE_URL"] = server.dsn
    process = await asyncio.create_subprocess_exec(
        "node", str(tmp_path / "run.mjs"), stdout=PIPE, stderr=PIPE, env=os.environ | given
    )
    assert process.stdout is not None
    assert process.stderr is not None
    wanted, printed = {DONE, *program.prints}, ""
    try:
        async with asyncio.timeout(GIVE_UP_AFTER):
            async for line in process.stdout:
                printed += line.decode()
                wanted -= {each for each in wanted if re.search(each, line.decode().rstrip())}
                if not wanted:
                    break
    finally:
        if process.returncode is None:
            process.kill()
        complaints = _WARNING.sub("", (await process.stderr.read()).decode())
        await process.wait()
    assert (wanted, complaints) == (set(), ""), f"{printed}{complaints}"


@pytest.mark.long
def test_the_programs_compile(server: ScenarioServer, tmp_path: Path) -> None:
    need((REACT / "node_modules" / "react").exists(), "the packages of sdk/react are not installed")
    done = realtime("types", "--ts", "--out", str(tmp_path / "collections.ts"), "--dsn", server.dsn)
    assert done.returncode == 0, done.stderr
    make_prisma_client(tmp_path)
    files = []
    for number, program in enumerate(PROGRAMS):
        if program.language != "js" and ("vue" not in program.page or (VUE / "node_modules").exists()):
            files.append(tmp_path / f"{number}.{program.language}")
            files[-1].write_text(f"// {program}\n{program_text(program)}")
    types = REACT / "node_modules" / "@types"
    paths = {
        "@bunbase/sdk": [str(SDK / "src" / "index.ts")],
        "@bunbase/sdk/server": [str(SDK / "src" / "server.ts")],
        "@bunbase/sdk/crypto": [str(SDK / "src" / "crypto.ts")],
        "@bunbase/sdk/adapters": [str(SDK / "src" / "adapters.ts")],
        "@prisma/*": [str(ORMS / "node_modules" / "@prisma" / "*")],
        "drizzle-orm": [str(ORMS / "node_modules" / "drizzle-orm")],
        "drizzle-orm/*": [str(ORMS / "node_modules" / "drizzle-orm" / "*")],
        "pg": [str(ORMS / "node_modules" / "@types" / "pg")],
        "@bunbase/vue": [str(VUE / "src" / "index.ts")],
        "vue": [str(VUE / "node_modules" / "vue")],
        "@bunbase/react": [str(REACT / "src" / "index.ts")],
        "react": [str(types / "react")],
        "react/jsx-runtime": [str(types / "react" / "jsx-runtime.d.ts")],
    }
    options = {
        "paths": paths,
        "rootDir": "/",
        "typeRoots": [str(SDK / "node_modules" / "@types")],
        "types": ["node"],
        "noUncheckedIndexedAccess": False,
    }
    config = {
        "extends": str(REACT / "tsconfig.json"),
        "compilerOptions": options,
        "files": [str(each) for each in files],
        "include": [],
    }
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    command = ["node", str(SDK / "node_modules" / "typescript" / "bin" / "tsc"), "--noEmit", "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
