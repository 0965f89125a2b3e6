"""What is refused before anything is read: what is not one pure SELECT, and malformed requests."""

from __future__ import annotations

import psycopg
import pytest

from engine.errors import InvalidQueryError, PermissionDeniedError, UnknownCollectionError
from engine.query.planner import plan_query
from engine.query.sql.safety.refusals import rejection
from tests.integration.query_sql.conftest import Planner

NOT_A_SELECT = [
    ("", "empty"),
    (" ; ;", "empty"),
    ("-- nothing", "empty"),
    ("select 1; drop table messages", "only one statement"),
    ("select id from messages; select 1", "only one statement"),
    ("select id from messages;--x\n;update messages set n = 1", "only one statement"),
    ("drop table messages", "only a SELECT"),
    ("update messages set n = 1", "only a SELECT"),
    ("insert into messages (id) values (99)", "only a SELECT"),
    ("delete from messages", "only a SELECT"),
    ("truncate messages", "only a SELECT"),
    ("copy messages to stdout", "only a SELECT"),
    ("copy (select id from messages) to program 'sh'", "only a SELECT"),
    ("explain select id from messages", "only a SELECT"),
    ("explain analyze delete from messages", "only a SELECT"),
    ("set role postgres", "only a SELECT"),
    ("reset all", "only a SELECT"),
    ("show all", "only a SELECT"),
    ("begin", "only a SELECT"),
    ("commit", "only a SELECT"),
    ("do $$ begin end $$", "only a SELECT"),
    ("call something()", "only a SELECT"),
    ("listen x", "only a SELECT"),
    ("lock table messages", "only a SELECT"),
    ("prepare x as select 1", "only a SELECT"),
    ("execute x", "only a SELECT"),
    ("declare c cursor for select 1", "only a SELECT"),
    ("vacuum", "only a SELECT"),
    ("merge into messages using users on false when matched then delete", "only a SELECT"),
    ("create table x as select id from messages", "only a SELECT"),
    ("select id into stolen from messages", "INTO"),
    ("select id from messages for update", "FOR UPDATE"),
    ("select id from messages for no key update", "SELECT"),
    ("select id from messages for share of messages skip locked", "FOR SHARE"),
    ("select id from (select id from messages for update) x", "FOR UPDATE"),
    ("with d as (delete from messages returning id) select id from d", "DELETE"),
    ("with i as (insert into messages (id) values (99) returning id) select id from i", "INSERT"),
    ("with u as (update messages set n = 1 returning id) select id from u, messages", "UPDATE"),
    ("select id from messages tablesample system (50)", "TABLESAMPLE"),
    ("selct id from messages", "only a SELECT"),
    ("select id frm messages where", "syntax error"),
    ("select 'unterminated from messages", "cannot be read at line 1, column 8"),
    ("select $tag$ from messages", "cannot be read"),
    ("select /* from messages", "comment is not closed"),
    ("select U&'d\\0061t' from messages", "U&"),
    ("select id from messages where body = '\x00'", "NUL"),
    ("select id from messages where body = '\ud800'", "surrogate"),
    ("select id\nfrom messages\nwhere bogus(id)", "function bogus.bigint. does not exist .at line 3, column 7"),
    ("select id from messages where id = 'x'", "invalid input syntax for type bigint"),
    ("select id from messages where mood = 'furious'", "invalid input value for enum"),
    ("select id from messages where body = 5", r"fake_eq|field 'body' \(text\) has no operator '=' with integer"),
    ("select id + body from messages", r"has no operator '\+' with text \(at line 1, column 11\).*cast it"),
    ("select id from messages where 'x'::\"trigger\" is null", "cannot accept a value of type trigger"),
    ("select id from messages order by meta::json", "'meta' cannot be ordered.*cast it"),
    ("select id from messages where body", "must be type boolean"),
    ("select id from messages group by room_id", "must appear in the GROUP BY"),
    ("select m.id from messages x", "missing FROM-clause|invalid reference"),
    ("select 1, 2 from messages", 'two output columns are named "\\?column\\?"'),
    ("select id, n as id from messages", 'two output columns are named "id"'),
    ("select from messages", "no columns"),
    ("values (1)", "does not read the collection"),
    ("select 1 as one", "does not read the collection"),
    ("select id from users", 'does not read the collection of its channel, "messages"'),
    ("select id from messages limit 'x'", "invalid input syntax"),
    (
        "select to_tsvector('nosuch', body) as v from messages",
        'text search configuration "nosuch" does not exist .at line',
    ),
    ("select id from messages m where m = '(1)'", "a string is compared with a row: cast it to the row's type"),
]


@pytest.mark.parametrize(("sql", "message"), NOT_A_SELECT)
async def test_everything_but_one_pure_select_is_invalid(planner: Planner, sql: str, message: str) -> None:
    with pytest.raises(InvalidQueryError, match=message) as refused:
        await planner.plan(sql)
    assert refused.value.code == "RT_007"
    assert await planner.rows("select count(*)::int from app.messages where n is distinct from 99") == [(40,)]


@pytest.mark.parametrize(
    "sql",
    [
        "select " + "1 + " * 40_000 + "id from messages",
        "select id from messages where " + "(" * 100 + "true" + ")" * 100,
        "select id from messages where " + "not " * 4_000 + "ok",
        "select " + "- " * 8_000 + "id from messages",
        "select " + "case when ok then " * 700 + "1" + " end" * 700 + " from messages",
        "select id from messages where " + "exists (select " * 33 + "1" + ")" * 33,
        "select " + "(" * 20_000,
        "select /*" * 2_000,
    ],
    ids=lambda sql: sql[:40],
)
async def test_monsters_are_refused_and_break_nothing(planner: Planner, sql: str) -> None:
    with pytest.raises(InvalidQueryError):
        await planner.plan(sql)
    assert await planner.plan("select id from messages")


async def test_sql_of_a_hundred_kilobytes_is_refused_by_its_length(planner: Planner) -> None:
    with pytest.raises(InvalidQueryError, match="100029 characters long; at most 20000"):
        await planner.plan("select id from messages where" + " " * 100_000)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"sql": 5}, '"sql" must be a string, not int'),
        ({"sql": None}, '"sql" must be a string'),
        ({"sql": "select id from messages", "where": []}, "'where'"),
        ({"sql": "select id from messages", "limit": 5}, "'limit'"),
        ({"sql": "select id from messages", "params": {}}, '"params" must be a list, not dict'),
        ({"sql": "select id from messages", "params": "x"}, '"params" must be a list, not str'),
        ({"sql": "select id from messages", "params": [1]}, "0 parameter.s. .* but 1 value"),
        ({"sql": "select id from messages where id = $1"}, "1 parameter.s. .* but 0 value"),
        ({"sql": "select id from messages where id = $2", "params": [1, 2]}, "without gaps"),
        ({"sql": "select id from messages where id = $0", "params": [1]}, "without gaps"),
        ({"sql": "select id from messages where id = $99999999999", "params": [1]}, "without gaps"),
        ({"params": [1]}, "params"),
    ],
)
async def test_a_malformed_request_is_invalid(planner: Planner, spec: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidQueryError, match=message):
        await plan_query("messages", spec, planner.catalog, planner.connection)


async def test_a_collection_that_is_not_exposed_is_unknown(planner: Planner) -> None:
    for name in ("vault", "nowhere", "app.messages", ""):
        with pytest.raises(UnknownCollectionError) as refused:
            await plan_query(name, {}, planner.catalog, planner.connection)
        assert refused.value.code == "RT_004"


async def test_nothing_of_the_check_stays_behind(planner: Planner) -> None:
    before = await planner.rows(
        "select current_user, current_setting('search_path'), current_setting('statement_timeout')"
    )
    await planner.plan("select count(*) from messages where id > $1", 3)
    with pytest.raises(InvalidQueryError):
        await planner.plan("select random() from messages")
    after = await planner.rows(
        "select current_user, current_setting('search_path'), current_setting('statement_timeout')"
    )
    assert after == before
    assert await planner.rows("select count(*)::int from pg_class where relname = 'realtime_plan'") == [(0,)]


async def test_a_plan_can_be_made_inside_a_transaction_which_a_refusal_does_not_spoil(planner: Planner) -> None:
    async with planner.connection.transaction():
        with pytest.raises(PermissionDeniedError):
            await planner.plan("select bogus from messages")
        assert await planner.plan("select id from messages")


@pytest.mark.parametrize(
    "sql",
    [
        "select id from messages where n = " + "1 + " * 3_000 + "1",
        "select " + "1 + " * 3_000 + "n as x from messages group by " + "1 + " * 1_000 + "n, n",
        "select id from messages where " + " or ".join(f"n = {i}" for i in range(1_500)),
        "select id from messages where " + " and ".join("(n = 1 or n = 2)" for _ in range(900)),
        "select id from messages where n in (" + ", ".join(map(str, range(3_000))) + ")",
        "select " + ", ".join(f"n as c{i}" for i in range(1_000)) + " from messages",
    ],
    ids=lambda sql: sql[:40],
)
async def test_long_but_flat_sql_is_planned(planner: Planner, sql: str) -> None:
    plan = await planner.plan(sql)
    assert await planner.read(plan) is not None


def test_a_role_that_the_server_may_not_take_is_no_fault_of_the_client(database: str) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("create role lonely")
        connection.execute("set session authorization lonely")
        with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
            connection.execute("set local role realtime_reader")
        connection.rollback()
    found = rejection(refused.value)
    assert found is not None
    assert found.code == "RT_001"
