"""The TypeScript and JavaScript of pages as programs: what each takes for granted, its blocks, and what it must print.

A block is a scope within that of the block before it, so it sees the names of the former ones and may declare them anew.
Prisma and Drizzle are those of ``tests/support/orms``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.support.doc_blocks import Block, blocks

__all__ = ["PROGRAMS", "Program", "blocks_of", "program_text"]


@dataclass(frozen=True)
class Program:
    """Blocks of a page, all of ``language`` or those that match ``having``, between what comes ``before`` and ``after``.

    ``prints``: expressions, each of which a line that it prints matches. ``runs``: false if it is only compiled here, for it
    is a part of a component: ``tests/integration/sdk_js/framework_pages.mjs`` has the rest, and a browser runs it.
    """

    page: str
    language: str
    before: str = ""
    after: str = ""
    prints: tuple[str, ...] = ()
    having: str = ""
    runs: bool = True

    def __str__(self) -> str:
        return f"{self.page} {self.language} {self.having}".strip()


_SQL = """
async function run(text: string): Promise<any[][]> {
  const answer = await fetch(process.env.CONTROL_URL + "/sql", { method: "POST", body: text });
  return (await answer.json()) as any[][];
}
const quoted = (value: unknown) => `'${String(value)}'`;
const listId = "home";
"""
_WRITING = (
    _SQL
    + """
const realtime = new (await import("@bunbase/sdk")).Realtime({ url: process.env.REALTIME_URL! });
const pending = new Map<string, unknown>();
let rendered = 0;
const render = () => void rendered++;
const api = {
  async post(_: string, todo: { id: string; listId: string; title: string }): Promise<{ position: string }> {
    const values = [todo.id, todo.listId, todo.title].map(quoted).join();
    await run(`insert into todos (id, list_id, title) values (${values})`);
    const [[position]] = (await run("select realtime.position()")) as [[string]];
    return { position };
  },
};
const connectionString = process.env.DATABASE_URL!;
const { PrismaClient } = await import("./generated/client");
const { PrismaPg } = await import("@prisma/adapter-pg");
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString }) });
const { drizzle } = await import("drizzle-orm/node-postgres");
const { boolean, pgTable, text } = await import("drizzle-orm/pg-core");
const { eq, sql } = await import("drizzle-orm");
const todos = pgTable("todos", { listId: text("list_id").notNull(), done: boolean("done").notNull() });
const db = drizzle(connectionString);
await run(`create table updates (); create function note_update() returns trigger language plpgsql as
  $$begin insert into updates default values; return null; end$$;
  create trigger note_update after update on todos for each row execute function note_update()`);
"""
)
_WRITTEN = """
const [counts] = await run(`select (select count(*) from updates)::int,
  (select count(*) from realtime.messages where channel = 'list:home' and event = 'all-done')::int`);
console.log("written", counts!.join());
"""
"""One row is updated, and one message sent, by each of the two ORMs."""
_CHANNELS = """
const realtime = new (await import("@bunbase/sdk")).Realtime({ url: process.env.REALTIME_URL! });
const channel = realtime.channel("chat:1");
await channel.subscribe();
for (let n = 0; n < 60; n++) await channel.send("sent", n);
const show = (what: any) => console.log("shown", Array.isArray(what) ? what.length : what);
const showAbove = (what: unknown[]) => console.log("above", what.length);
const scrolledToTop = async () => true;
"""
_SDK = """
(await import("@bunbase/sdk")).configure({ url: process.env.REALTIME_URL!, apiKey: process.env.REST_KEY! });
const button: { onclick: () => void } = { onclick: () => undefined };
const render = (docs: readonly unknown[], hasMore?: boolean) => console.log("rendered", docs.length, hasMore);
const oldKey = new Uint8Array(32), newKey = new Uint8Array(32).fill(1);
"""
_SERVER = "getConnections|RealtimeServer"
_APPLY = """
for (const message of MESSAGES) {
  apply(list, message);
  console.log(JSON.stringify(list.map(({ id, data }) => [id, data.n])));
}
"""
_LIST = "const list = [];\n"
_ADDED = '{ reset: true, changes: [{ oldIndex: -1, newIndex: 0, doc: { id: "1", data: { n: 1 } } }] }'
_WHOLE = '{ reset: false, changes: [{ oldIndex: 0, newIndex: 0, doc: { id: "1", data: { n: 2 } } }] }'
_DELTA = '{ reset: false, changes: [{ oldIndex: 0, newIndex: 0, doc: { id: "1", changed: { n: 2 } } }] }'
_GONE = '{ reset: false, changes: [{ oldIndex: 0, newIndex: -1, doc: { id: "1" } }] }'
_APPLIED = (r'\[\["1",1\]\]', r'\[\["1",2\]\]', r"^\[\]$")

PROGRAMS = (
    Program("README.md", "ts", prints=("Water the plants",)),
    Program("README.md", "js", prints=("Water the plants",)),
    Program("docs/getting-started.md", "js", prints=("Hello",)),
    Program(
        "docs/guides/authentication.md",
        "js",
        before="const token = process.env.TOKEN;\n",
        after="sockets[0].onmessage = ({ data }) => console.log(JSON.parse(data).type);\n",
        prints=("connected",),
    ),
    Program(
        "docs/guides/backends.md",
        "js",
        before='const csrfToken = "1";\nconst { Realtime } = await import("@bunbase/sdk");\n',
        prints=("token fetched POST",),
    ),
    Program("docs/guides/channels.md", "ts", _CHANNELS, "show('end');\n", ("shown 50", "above 10", "shown end")),
    Program(
        "docs/guides/recipes.md",
        "ts",
        "const show = (what: string, docs: readonly unknown[]) => console.log(what, docs.length);\n",
        prints=("messages 0", "reactions 0", "cursors 0"),
    ),
    Program(
        "docs/guides/writing.md",
        "ts",
        _WRITING,
        f"{_WRITTEN}await addTodo('Sweep'); console.log(pending.size, rendered, typeof position);\n",
        ("^written 2,2$", "^0 2 string$"),
    ),
    Program(
        "docs/reference/protocol.md",
        "js",
        _LIST,
        _APPLY.replace("MESSAGES", f"[{_ADDED}, {_WHOLE}, {_GONE}]"),
        _APPLIED,
        having=r"newIndex, 0, doc\)",
    ),
    Program(
        "docs/reference/protocol.md",
        "js",
        _LIST,
        _APPLY.replace("MESSAGES", f"[{_ADDED}, {_DELTA}, {_GONE}]"),
        _APPLIED,
        having=r"doc\.changed",
    ),
    Program("docs/sdk/js.md", "ts", _SDK, prints=("Connected", "rendered 1 false"), having=rf"\A(?!.*({_SERVER}))"),
    Program("docs/sdk/js.md", "ts", _SDK, having=_SERVER),
    Program(
        "docs/sdk/js.md",
        "js",
        before='const { Realtime } = await import("@bunbase/sdk");\n',
        prints=("token fetched GET",),
    ),
    Program("docs/sdk/types.md", "ts"),
    Program("sdk/js/README.md", "ts", _SDK),
    Program(
        "sdk/react/README.md",
        "tsx",
        'import { useQuery } from "@bunbase/react";\nexport function Messages() {\n',
        "return [docs, status];\n}\n",
        runs=False,
    ),
    Program(
        "sdk/vue/README.md",
        "ts",
        'import { useQuery } from "@bunbase/vue";\nconst props = { room: "general" };\n',
        runs=False,
    ),
)
"""``sockets`` are those that the program has opened, and ``fetch`` of a path prints that a token was fetched, and how."""

_IMPORT = re.compile(r'(?m)^import (\{[^}]*\}) from ("[^"]+");\n')
_TYPES = re.compile(r"(?m)^import type .*\n")


def blocks_of(program: Program) -> list[Block]:
    """The blocks that it has."""
    return [each for each in blocks(program.language, page=program.page) if re.search(program.having, each.text, re.S)]


def program_text(program: Program) -> str:
    """The program in TypeScript, with the addresses and keys of the environment."""
    found = [each.text for each in blocks_of(program)]
    assert found, program
    hoisted = "".join(_TYPES.findall("".join(found)))
    scopes = program.language != "tsx"
    body = "".join(("{\n" if scopes else "") + _adapted(each) for each in found)
    return hoisted + program.before + body + program.after + ("}\n" * len(found) if scopes else "") + "export {};\n"


def _adapted(text: str) -> str:
    text = _IMPORT.sub(r"const \1 = await import(\2);\n", _TYPES.sub("", text))
    for address in ("https://realtime.example.com", "http://localhost:8000"):
        text = text.replace(f'"{address}"', "process.env.REALTIME_URL!")
    for address in ("wss://realtime.example.com", "ws://localhost:8000"):
        text = text.replace(f'"{address}/realtime"', '`${process.env.REALTIME_URL!.replace("http", "ws")}/realtime`')
    for key in ("your-api-key", "your-secret-key"):
        text = text.replace(f'"{key}"', "process.env.REST_KEY!")
    return re.sub(r"(?m)^(.*// error:)", r"// @ts-expect-error\n\1", text)
