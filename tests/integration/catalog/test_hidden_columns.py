"""What clients may see belongs to a column, not to its name: subscriptions and SQL agree whatever is renamed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from engine.errors import PrivilegeLostError, QueryRejectedError
from engine.feed.settings import DecoderName
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import database_on
from tests.support.nodes.live_node import QUICK, Follower, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import connect, run_each, until

# Nothing is noticed by looking now and then: what is announced is, or what a row or a read itself gives away.
BLIND = replace(QUICK, watch_interval=3600.0)
HIDDEN = "hidden from clients"
TABLES = (
    "create table t (id int primary key, body text, hidden text, name text, j jsonb)",
    "create table u (id int primary key)",
    f"insert into t values (1, 'a', '{HIDDEN}', 'z', '[1]'), (2, 'b', '{HIDDEN}', 'Y', '[]')",
    "insert into u select generate_series(1, 3)",
    "select realtime.expose('u')",
    "select realtime.expose('t', columns => '{id,body,name,j}')",
)
SPECS: dict[str, dict[str, object]] = {
    "incremental": {"orderBy": [["id", "asc"]]},
    "incremental SQL": {"sql": "select * from t where id > 0 order by id"},
    "re-read": {"orderBy": [["j", "asc"]]},
    "re-read with a condition": {"where": [["name", ">=", "A"]], "orderBy": [["j", "desc"]]},
    "re-read SQL": {"sql": "select * from t order by j"},
    "SQL of two tables": {"sql": "select t.* from t join t u on u.id = t.id order by t.id"},
}
ORDERS = {"re-read": "j, id", "re-read with a condition": "j desc, id", "re-read SQL": "j, id"}
# What is done, each text a transaction, and what clients see of the table then.
CHANGES = {
    "rename": (("alter table t rename body to content", "alter table t rename hidden to body"), "id,content,name,j"),
    "swap of names": (
        (
            "begin; alter table t rename body to other; alter table t rename hidden to body; "
            "alter table t rename other to hidden; commit",
        ),
        "id,hidden,name,j",
    ),
    "drop and add": ((f"alter table t drop body; alter table t add body text default '{HIDDEN}'",), "id,name,j"),
    "revoke": (("revoke select (body) on t from realtime_reader",), "id,name,j"),
    "swap of tables": (
        (
            "create table o (like t including all); insert into o values (1, '" + HIDDEN + "')",
            "begin; alter table t rename to x; alter table o rename to t; commit; begin; alter table t rename to o; "
            "alter table x rename to t; commit",
        ),
        "id,body,name,j",
    ),
}
# What is written then. Without an announcement a privilege that was taken away is noticed by the next read.
LATER = {"revoke": (f"update t set body = '{HIDDEN}'",)}


def see(name: str, columns: str, limit: int | None = None) -> Query:
    """The query ``name`` of ``SPECS``, and what it is to give if clients see ``columns``."""
    spec = dict(SPECS[name])
    if limit is not None and "sql" in spec:
        spec["sql"] = f"{spec['sql']} limit {limit}"
    elif limit is not None:
        spec["limit"] = limit
    fields = ", ".join(f"'{column}', {column}" for column in columns.split(","))
    return Query("t", spec, f"select jsonb_build_object({fields}) from t order by {ORDERS.get(name, 'id')}")


def nothing_hidden(documents: list[Any]) -> None:
    assert HIDDEN not in repr(documents)


@pytest.fixture(params=["own18", "own15"])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    with database_on(server, *TABLES) as dsn:
        yield dsn


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
async def test_no_query_shows_a_hidden_column_whatever_is_done_to_names_and_privileges(
    base: str, announced: bool, change: str
) -> None:
    if not announced:
        run_each(base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    statements, columns = CHANGES[change]
    async with live_node(base, live=BLIND) as play:
        followers = {name: await play.follow(see(name, columns), nothing_hidden) for name in SPECS}
        run_each(base, *statements)
        if announced:
            run_each(base, *LATER.get(change, ()))
        newcomers: list[Follower] = []
        for name in SPECS:
            with contextlib.suppress(QueryRejectedError):
                newcomers.append(await play.follow(see(name, columns, limit=50), nothing_hidden))
        assert newcomers
        await play.caught_up()
        run_each(base, *LATER.get(change, ()))
        run_each(base, "insert into t (id, name, j) values (3, 'x', '[2]')")
        await play.check(*followers.values(), *newcomers)
        for name in SPECS:  # also what SQL was refused while it was looked at
            newcomers.append(await play.follow(see(name, columns, limit=60), nothing_hidden))
        migrate(base)
        run_each(base, "update t set name = 'w' where id = 3")
        await play.check(*followers.values(), *newcomers)


async def test_a_read_that_names_another_column_by_now_is_not_shown(base: str) -> None:
    """Neither an announcement nor a newcomer: a query that is re-read finds out by itself."""
    run_each(base, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    names = [name for name in SPECS if name.startswith("re-read")]
    async with live_node(base, live=BLIND) as play:
        followers = [await play.follow(see(name, "id,content,name,j"), nothing_hidden) for name in names]
        with connect(base) as connection, connection.transaction():
            connection.execute("alter table t rename body to content")
            connection.execute("alter table t rename hidden to body")
            connection.execute("update t set j = '[3]' where id = 2")
        await play.check(*followers)


async def test_a_table_whose_privileges_were_taken_away_is_not_shown_until_they_are_back(base: str) -> None:
    run_each(
        base,
        "create table w (id int primary key, v text)",
        "select realtime.expose('w')",
        "insert into w values (1, '')",
    )
    query = Query("w", {}, "select to_jsonb(w) from w order by id")
    async with live_node(base, live=BLIND) as play:
        follower = await play.follow(query, nothing_hidden)
        run_each(base, "revoke select on w from realtime_reader", f"update w set v = '{HIDDEN}'")
        await until(lambda: "GRANT SELECT ON w TO realtime_reader" in (play.live.problem or "").replace("public.", ""))
        with pytest.raises(PrivilegeLostError):
            await play.follow(query)
        assert (follower.error, follower.list) == (None, [("1", b'{"id":1,"v":""}')])
        migrate(base)
        run_each(base, "update w set v = 'seen'")
        await follower.until(lambda: follower.list == [("1", b'{"id":1,"v":"seen"}')])
        await play.check(follower, await play.follow(query))


async def test_privileges_on_what_is_not_exposed_cost_nothing(base: str) -> None:
    async with live_node(base, live=BLIND) as play:
        follower = await play.follow(see("re-read", "id,body,name,j"))
        reads = play.live.status()["reads"]
        run_each(
            base,
            "create table e (id int)",
            "grant select on e to public",
            "revoke select on e from public",
            "grant insert on t to public",
        )
        await play.check(follower)
        assert play.live.status()["reads"] == reads


@pytest.mark.parametrize("exposed", ["id,body,j", "id,body,j,d,t,o,o0,q,r,doc"], ids=["hidden", "exposed"])
async def test_columns_may_have_the_names_that_our_own_sql_uses(base: str, exposed: str) -> None:
    names = ("d", "t", "o", "o0", "q", "r", "doc")
    columns = ", ".join(
        f"{name} odd default row('{HIDDEN if exposed == 'id,body,j' else name}')::odd" for name in names
    )
    run_each(
        base,
        "create type odd as (card text)",
        f"create table v (id int primary key, body text, j jsonb, {columns})",
        f"create table w (body text, j jsonb, {columns})",  # without a key the id is a hash of the document
        "insert into v values (1, 'a', '[1]'), (2, 'b', '[]')",
        "insert into w values ('a', '[1]'), ('b', '[]')",
        f"select realtime.expose('v', columns => '{{{exposed}}}')",
        f"select realtime.expose('w', columns => '{{{exposed.removeprefix('id,')}}}', replica_identity => 'full')",
    )
    async with live_node(base, live=BLIND) as play:
        followers = []
        for table, fields in (("v", exposed.split(",")), ("w", exposed.split(",")[1:])):
            document = ", ".join(f"'{field}', {table}.{field}" for field in fields)
            answer = f"select jsonb_build_object({document}) from {table} order by j"
            for spec in ({"orderBy": [["j", "asc"]]}, {"sql": f"select {', '.join(fields)} from {table} order by j"}):
                followers.append(await play.follow(Query(table, spec, answer), nothing_hidden))
        run_each(base, "insert into v values (3, 'c', '[2]')", "insert into w values ('c', '[2]')")
        await play.check(*followers)


@pytest.mark.parametrize("columns", ["{id,n,note}", None], ids=["hidden", "exposed"])
@pytest.mark.parametrize(
    ("server", "decoder"), [("own18", "pgoutput"), ("own15", "pgoutput"), ("own15", "wal2json")], ids=str
)
async def test_a_column_made_again_is_noticed_by_the_first_row_that_nothing_announced(
    request: pytest.FixtureRequest, server: str, decoder: DecoderName, columns: str | None
) -> None:
    """Its name, type and place are those of the column that was dropped; it is not exposed, unless the whole table is."""
    default = "new" if columns is None else HIDDEN
    with database_on(
        request.getfixturevalue(server),
        "create table w (id int primary key, n int, note text)",
        "insert into w select g, g, 'old' from generate_series(1, 3) g",
        "select realtime.expose('w'{})".format(f", columns => '{columns}'" if columns else ""),
        "drop event trigger realtime_ddl_end",
        "drop event trigger realtime_ddl_drop",
    ) as dsn:
        shown = "id, n, note" if columns is None else "id, n"
        query = Query("w", {"orderBy": [["id", "asc"]]}, json_rows(f"select {shown} from w order by id"))
        async with live_node(dsn, decoder=decoder, live=BLIND) as play:
            follower = await play.follow(query, nothing_hidden)
            run_each(dsn, "update w set n = 5 where id = 1")
            await play.caught_up()
            run_each(
                dsn, f"alter table w drop note, add note text default '{default}'", "update w set n = 7 where id = 1"
            )
            await play.check(follower, await play.follow(query, nothing_hidden))
            run_each(dsn, "insert into w values (4, 4)")
            await play.check(follower)
