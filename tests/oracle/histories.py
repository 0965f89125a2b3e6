"""One random history: statements of concurrent transactions, steps of clients, redefinitions."""

from __future__ import annotations

import asyncio
import itertools
import random
from contextlib import suppress
from typing import Any

import psycopg
from hypothesis import note
from hypothesis import strategies as st
from psycopg.pq import TransactionStatus

from tests.support.nodes.arena import Arena, Client
from tests.support.nodes.live_node import drop_slot
from tests.support.oracle.queries import Query, queries, whole
from tests.support.oracle.schemas import Table, tables

numbers = itertools.count()
WRITERS = 3
DROP = "drop table if exists one, two;"
CUT = """select pg_terminate_backend(pid) from pg_stat_activity
         where backend_type = 'walsender' and datname = current_database()"""
# Each text is a transaction: a table leaves the publication and comes back, a type changes its attributes or gets a label, a
# column comes, goes, or is another one of the same name.
REDEFINITIONS = (
    "alter publication bunbase_realtime drop table one; alter publication bunbase_realtime add table one",
    """do $$ begin
         alter type oracle_pair rename attribute label to title;
       exception when undefined_column then
         alter type oracle_pair rename attribute title to label;
       end $$""",
    """do $$ begin
         alter type oracle_pair add attribute more oracle_mood;
       exception when duplicate_column then
         alter type oracle_pair drop attribute more;
       end $$""",
    """do $$ begin
         execute format('alter type oracle_mood add value %L before %L', clock_timestamp(), 'ok');
       end $$""",
    """do $$ begin
         alter table one add column more int default 7;
       exception when duplicate_column then
         alter table one drop column more;
       end $$""",
    "alter table one drop column if exists more; alter table one add column more int default 8",
    "alter table one drop column if exists more; alter table one add column more oracle_mood default 'ok'",
)
# What an earlier story may have left.
WHOLE = """
do $$ begin alter type oracle_pair rename attribute title to label; exception when undefined_column then null; end $$;
alter type oracle_pair drop attribute if exists more;
"""


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, WRITERS - 1), st.integers(0, 2**32)),
        st.tuples(st.just("write"), st.integers(0, WRITERS - 1), st.integers(0, 2**32)),
        st.tuples(st.just("write"), st.integers(0, WRITERS - 1), st.integers(0, 2**32)),
        st.tuples(st.just("commit"), st.integers(0, WRITERS - 1), st.just(0)),
        st.tuples(st.just("commit"), st.integers(0, WRITERS - 1), st.just(0)),
        st.tuples(st.just("rollback"), st.integers(0, WRITERS - 1), st.just(0)),
        st.tuples(st.just("burst"), st.just(0), st.integers(0, 2**32)),
        st.tuples(st.just("burst"), st.just(0), st.integers(0, 2**32)),
        st.tuples(st.just("savepoint"), st.integers(0, WRITERS - 1), st.just(0)),
        st.tuples(st.just("rollback to savepoint"), st.integers(0, WRITERS - 1), st.just(0)),
        st.tuples(st.just("subscribe"), st.integers(0, 5), st.integers(0, 1)),
        st.tuples(st.just("leave"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("pause"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("reconnect"), st.integers(0, 5), st.integers(0, 3)),
        st.tuples(st.just("redefine"), st.integers(0, len(REDEFINITIONS) - 1), st.just(0)),
        st.tuples(st.just("redefine while paused"), st.integers(0, 5), st.integers(0, len(REDEFINITIONS) - 1)),
        st.tuples(st.just("unpublish"), st.integers(0, WRITERS - 1), st.integers(0, 2**32)),
        st.tuples(st.just("cut the stream"), st.just(0), st.just(0)),
        st.tuples(st.just("lose the slot"), st.just(0), st.integers(0, 2**32)),
    ),
    min_size=10,
    max_size=60,
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[Table, Table, list[Query], list[tuple[str, int, int]], int]:
    """Two tables, some queries over them, and what happens."""
    one, two = draw(tables("one")), draw(tables("two"))
    asked = draw(st.lists(queries(one, two), min_size=3, max_size=6))
    return one, two, asked, draw(steps), draw(st.integers(0, 2**32))


class Writer:
    """A connection with, now and then, a transaction under way. Lock conflicts end in a rollback."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self.connection = connection
        self.savepoint = False

    async def write(self, statement: str) -> bool:
        try:
            await self.connection.execute(statement.encode())
        except psycopg.Error as error:
            note(f"  {type(error).__name__}: {error.diag.message_primary}")
            await self.end("rollback")
            return False
        return True

    @property
    def open(self) -> bool:
        """Whether a transaction is under way."""
        return self.connection.info.transaction_status != TransactionStatus.IDLE

    async def end(self, how: str) -> None:
        self.savepoint = False
        await self.connection.execute(how.encode())

    async def point(self, how: str) -> None:
        if how == "savepoint":
            await self.write("savepoint s")
            self.savepoint = True
        elif self.savepoint:
            await self.write("rollback to savepoint s")


def value(chance: random.Random, table: Table, name: str) -> str:
    column = table.column(name)
    if name == "ident":
        return str(chance.randrange(40))
    if not column.not_null and chance.random() < 0.2:
        return "null"
    if name == "grp":
        return str(chance.randrange(4))
    return "'" + chance.choice(column.of.pool).replace("'", "''") + "'"


def insertion(chance: random.Random, table: Table, count: int) -> str:
    names = [column.name for column in table.columns]
    rows = ", ".join(f"({', '.join(value(chance, table, name) for name in names)})" for _ in range(count))
    return f"insert into {table.name} ({', '.join(names)}) values {rows} on conflict do nothing"


def statement(chance: random.Random, one: Table, two: Table) -> str:
    """A random write."""
    table = chance.choice([one, one, two])
    names = [column.name for column in table.columns]
    keys = ", ".join(table.key)
    key = f"({keys}) in (select {keys} from {table.name} order by {keys} limit 2 offset {chance.randrange(6)})"
    if table.identity == "index" or chance.random() < 0.5:
        key = f"grp = {chance.randrange(4)}"
    kind = chance.random()
    if kind < 0.35:
        return insertion(chance, table, chance.choice([1, 1, 4, 12]))
    if kind < 0.75:
        some = chance.sample(names, min(len(names), chance.choice([1, 1, 2])))
        sets = ", ".join(f"{name} = {value(chance, table, name)}" for name in some if name not in table.key)
        return f"update {table.name} set {sets or 'grp = grp'} where {key}"
    if kind < 0.85:
        name = chance.choice(table.key)
        one_row = f"ctid = (select ctid from {table.name} limit 1)"
        if table.partitioned:
            one_row = f"grp = {chance.randrange(4)}"
        return f"update {table.name} set {name} = {value(chance, table, name)} where {one_row}"
    if kind < 0.97:
        return f"delete from {table.name} where {key}"
    if table.partitioned and kind < 0.985:
        return f"truncate {table.name}_p{chance.randrange(2)}"
    return f"truncate {table.name}"


async def play(arena: Arena, story: tuple[Table, Table, list[Query], list[tuple[str, int, int]], int]) -> None:
    one, two, asked, history, seed = story
    chance = random.Random(seed)
    await arena.truth.execute((DROP + WHOLE + one.ddl() + two.ddl()).encode())
    for table in (one, two):
        await arena.truth.execute(f"select realtime.expose('{table.name}')".encode())
        for text in (insertion(chance, table, 8), statement(chance, table, table), statement(chance, table, table)):
            with suppress(psycopg.Error):
                await arena.truth.execute(text.encode())
    writers = [Writer(await psycopg.AsyncConnection.connect(arena.dsn)) for _ in range(WRITERS)]
    clients: list[Client] = []
    arena.gap = False
    try:
        for writer in writers:
            await writer.connection.execute("set lock_timeout = '5ms'")
            await writer.connection.commit()
        some = whole(one, limit=chance.randrange(2, 6))
        for query, delta in ((asked[0], False), (asked[0], True), (some, True), (some, False), (whole(one), True)):
            clients.append(await arena.subscribe(query, delta=delta))
        for what, who, number in history:
            await step(arena, clients, writers, asked, (one, two), (what, who, number))
        for writer in writers:
            await writer.end("commit")
            await arena.check(clients)
    finally:
        for client in clients:
            assert client.subscription is not None
            client.subscription.cancel()
        for writer in writers:
            await writer.connection.close()
        await arena.truth.execute(DROP.encode())


async def step(
    arena: Arena,
    clients: list[Client],
    writers: list[Writer],
    asked: list[Query],
    pair: tuple[Table, Table],
    move: tuple[str, int, int],
) -> None:
    what, who, number = move
    if what == "write":
        await write(arena, clients, writers[who], statement(random.Random(number), *pair), number)
        return
    note(f"{who}: {what}")
    if what in ("leave", "pause", "reconnect"):
        await step_of_client(arena, clients, writers, move)
    elif what in ("commit", "rollback"):
        await writers[who].end(what)
        await arena.check(clients)
        arena.gap = arena.gap and any(writer.open for writer in writers)
    elif what == "subscribe":
        clients.append(await arena.subscribe(asked[who % len(asked)], delta=number == 1))
        await arena.check(clients)
    elif what.startswith("redefine"):
        if what == "redefine":
            await redefine(arena, REDEFINITIONS[who])
        else:
            await redefine_while_paused(arena, clients[who % len(clients)], REDEFINITIONS[number])
        await arena.check(clients)
    elif what == "unpublish":
        text = statement(random.Random(number), *pair)
        note(f"  {text[:300]}")
        await unpublish(arena, clients, writers[who], "select" if text.startswith("truncate") else text)
        arena.gap = arena.gap or any(writer.open for writer in writers)
        await arena.check(clients)
    elif what in ("burst", "cut the stream", "lose the slot"):
        await step_of_stream(arena, writers, pair, (what, random.Random(number)))
        await arena.check(clients)
    else:
        await writers[who].point(what)


async def step_of_stream(
    arena: Arena, writers: list[Writer], pair: tuple[Table, Table], move: tuple[str, random.Random]
) -> None:
    """Much comes at once, or something happens to the slot."""
    what, chance = move
    if what == "burst":
        await burst(arena, writers, pair, chance)
    elif what == "cut the stream":
        await arena.truth.execute(CUT)
    else:
        await lose_slot(arena, writers, statement(chance, *pair))


async def write(arena: Arena, clients: list[Client], writer: Writer, text: str, number: int) -> None:
    """One statement; what locks out every reader is ended at once."""
    note(text[:300])
    if await writer.write(text) and text.startswith("truncate"):
        await writer.end("rollback" if number % 4 == 0 else "commit")
        await arena.check(clients)


async def burst(arena: Arena, writers: list[Writer], pair: tuple[Table, Table], chance: random.Random) -> None:
    """Transactions that wait for their turn together: those under way, and some of one statement."""
    async with arena.stream.apply_lock:
        for writer in writers:
            await writer.end("commit")
        for _ in range(chance.randrange(3, 9)):
            text = statement(chance, *pair)
            note(f"  {text[:300]}")
            with suppress(psycopg.Error):
                await arena.truth.execute(text.encode())
        await asyncio.sleep(0.05)  # if less is here by then, less is applied together


async def step_of_client(
    arena: Arena, clients: list[Client], writers: list[Writer], move: tuple[str, int, int]
) -> None:
    """A client unsubscribes, does not keep up for a while, or comes back."""
    what, who, number = move
    client = clients[who % len(clients)]
    if what == "leave":
        if len(clients) > 1:
            clients.remove(client)
            assert client.subscription is not None
            client.subscription.cancel()
    elif what == "pause":
        await pause(arena, client, writers)
    else:
        await arena.reconnect(client, number)
        await arena.check([client])


async def redefine(arena: Arena, text: str) -> None:
    """A definition changes while transactions are under way; if one of them is in the way, it does not."""
    try:
        await arena.truth.execute(f"set lock_timeout = '5ms'; {text}".encode())
    except psycopg.errors.LockNotAvailable:
        return
    finally:
        await arena.truth.execute("reset lock_timeout")


async def redefine_while_paused(arena: Arena, client: Client, text: str) -> None:
    """A client that does not keep up misses a change of definition, and catches up."""
    assert client.subscription is not None
    client.subscription.pause()
    await redefine(arena, text)
    await arena.caught_up()
    client.subscription.resume()


async def unpublish(arena: Arena, clients: list[Client], writer: Writer, text: str) -> None:
    """The table ``one`` leaves the publication, is written to, and comes back; whose query it ended subscribes again."""
    await arena.truth.execute("alter publication bunbase_realtime drop table one")
    await arena.caught_up()
    await writer.write(text)
    await arena.truth.execute("alter publication bunbase_realtime add table one")
    await arena.caught_up()
    for number, client in enumerate(clients):
        if client.error is not None:
            assert "its table is not in the publication" in str(client.error)
            clients[number] = await arena.subscribe(client.query, delta=client.frames is not None)


async def lose_slot(arena: Arena, writers: list[Writer], text: str) -> None:
    """The slot is dropped, and a transaction may be missing from the next one, which waits for those under way."""
    for writer in writers:
        await writer.end("commit")
    await asyncio.to_thread(drop_slot, arena.dsn, arena.slot)
    note(f"  {text[:300]}")
    with suppress(psycopg.Error):
        await arena.truth.execute(text.encode())
    await arena.truth.execute("select pg_logical_emit_message(true, 'oracle', '')")  # only the next slot brings it
    await arena.caught_up()


async def pause(arena: Arena, client: Client, writers: list[Writer]) -> None:
    """A client that does not keep up misses a commit, and catches up with one event."""
    assert client.subscription is not None
    client.subscription.pause()
    events = client.events
    await writers[0].end("commit")
    await arena.caught_up()
    assert client.events == events, "nothing is delivered while paused"
    client.subscription.resume()
    await arena.check([client])
