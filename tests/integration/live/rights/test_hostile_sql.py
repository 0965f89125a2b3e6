"""SQL of a hostile subscriber with a served role: it has no effect, and its answer does not depend on what policies hide."""

from __future__ import annotations

import re

import pytest

from engine.catalog.load import load_catalog
from engine.errors import InvalidQueryError, PermissionDeniedError, QueryRejectedError
from engine.identity.principal import Principal
from engine.identity.visibility import Viewer
from engine.live.query_accounts import ConnectionAccount, QueryLimits, UserAccount
from engine.postgres.connections.opening import connect
from engine.query.planner import plan_query
from tests.integration.live.rights.conftest import Rows
from tests.support.nodes.live_node import LiveNode, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

# Each may fail by its values, as a list or in its text, if PostgreSQL evaluates it for a row that is hidden.
LEAKY = (
    "select id, body::int as n from note",
    "select id from note where body::int > 0",
    "select id from note where owner = 'eve' and body::int > 0",
    "select id from note where id = 9 and 1 / (id - 9) > 0",
    "select id from note where 1 / (id - 9) > 0",
    "select max(1 / (id - 9)) as most from note",
    "select n.id from note n join note m on n.id = m.id and 1 / (m.id - 9) > 0",
    "select id from note where case when owner = 'eve' then 1 / (org - 3) > 0 else true end",
    "select id from note order by body::int",
    "select id from note limit (select count(*) from note where body::int > 0)",
    "select id from note where body::json is not null",
    "select id from note where 'x' ~ body",
    "select id from note where to_date(body, 'YYYY') > '2000-01-01'",
    "select id from note where body like 'hidden%' and (body || 'x')::numeric > 0",
    "select id from note where halves(body)",
    "select id from note where body <<<~ '1'",
    "select id from note where owner > 'a' and body operator(public.<<<~) '1'",
    "select count(*) as n, string_agg(body, ',') as all_of_it from note",
    "select id, (select count(*) from note m where m.id >= n.id) as n from note n",
    "select id, row_number() over (order by body) as n, lag(body) over (order by body) as before from note",
    "select distinct org from note",
    "with recursive r (id) as (select min(id) from note union select n.id from note n, r where n.id > r.id) table r",
    "select coalesce(n.body, 'none') as body, g as id from generate_series(1, 12) g left join note n on n.id = g",
    "select id from note where exists (select from note m where m.body::int = note.id)",
    "select id from note where xmlparse(content body) is not null",
)

EFFECTS = (
    "pg_sleep(10)", "set_config('role', 'none', true)", "set_config('request.jwt.claims', '{\"sub\": \"eve\"}', true)",
    "current_setting('request.jwt.claims')", "current_setting('data_directory')", "current_setting('realtime.own_role')",
    "pg_read_file('/etc/passwd')", "pg_ls_dir('.')", "lo_import('/etc/passwd')", "lo_get(1)", "lo_from_bytea(0, '')",
    "dblink('', 'select 1')", "dblink_connect('x', '')", "query_to_xml('select 1', true, true, '')",
    "cursor_to_xml('c', 1, true, true, '')", "database_to_xml(true, true, '')", "ts_stat('select 1')",
    "ts_rewrite('a'::tsquery, 'select 1, 2')", "pg_advisory_lock(1)", "pg_notify('a', 'b')", "nextval('s')",
    "pg_logical_emit_message(false, 'a', 'b')", "pg_terminate_backend(1)", "pg_stat_get_live_tuples(1)",
    "pg_relation_size('note')", "pg_table_size(16384)", "has_table_privilege('member', 'select')", "to_regclass('member')",
    "16384::regclass", "10::regrole", "current_user", "session_user", "current_database()", "version()",
    "inet_server_addr()", "pg_backend_pid()", "pg_current_xact_id()", "pg_get_viewdef(1)", "pg_get_expr('', 1)",
    "obj_description(1)", "random()", "clock_timestamp()", "me()", "claim('sub')", "realtime.policies_mark('{}', '{}')",
)  # fmt: skip

STATEMENTS = (
    "select id from note, pg_stats", "select id from note, pg_statistic_ext_data", "select id from note, pg_policy",
    "select id from note, pg_stat_activity", "select id from note, pg_class", "select id from note, pg_settings",
    "select id from note, pg_user_mappings", "select id from note, information_schema.columns",
    "select n.id from note n, member m", "select id from note where id in (select org from member)",
    "with x as (delete from note returning id) select id from x", "select id from note for update",
    "with x as (insert into note values (50, 'ann', 1) returning id) select x.id from x, note",
    "select id into copied from note", "select id from note; drop table note", "explain select id from note",
    "explain analyze select id from note", "copy note to '/tmp/x'", "copy (select id from note) to program 'true'",
    "do $$ begin end $$", "call x()", "set role none", "show all", "prepare x as select id from note", "execute x",
    "declare c cursor for select id from note", "select id from note tablesample system (100)",
    "select ctid, id from note", "select xmin, id from note", "select tableoid, id from note",
)  # fmt: skip

# Of the row type of the table, which has a column that the role may not read.
ROW_TYPE = (
    "select id, json_populate_record(null::note, '{}') as all_of_it from note",
    "select id, null::note as all_of_it from note",
    "select id, null::public.note as all_of_it from note",
    "select id, (null::note).secret from note",
    "select id, '(1,ann,1,a,b)'::note as all_of_it from note",
    "select id, array[]::note[] as all_of_it from note",
    "select id from note, json_populate_recordset(null::note, '[]') x (a, b, c, d, e)",
)


async def answer(node: LiveNode, principal: Principal, sql: str) -> str:
    """The list, or the refusal."""
    try:
        follower = await node.follow(Query("note", {"sql": sql}, ""), principal=principal)
    except QueryRejectedError as refused:
        return f"{type(refused).__name__}: {refused}"
    follower.leave()
    return repr(follower.list)


# In place of names in a query of the builder.
NAMES = (
    "secret", "id; drop table note", "id) union select secret from note --", 'id" from note; --', "id desc", "note.id",
    "ctid", "(select secret from note limit 1)", "pg_sleep(1)", "id\u0000", "ID", "1", "", "id--", "'id'", "id/**/",
    "row_to_json(note)",
)  # fmt: skip


async def test_no_name_in_a_query_of_the_builder_becomes_sql(rows: Rows) -> None:
    ann = rows.principal("ann")
    viewer = Viewer(ann.visibility, ann.claims)
    async with await connect(rows.dsn, "planning", autocommit=True) as connection:
        catalog = await load_catalog(connection)
        for name in NAMES:
            specs: tuple[dict[str, object], ...] = (
                {"orderBy": [name]},
                {"orderBy": [["id", name]]},
                {"where": [[name, "==", 1]]},
                {"where": [["id", name, 1]]},
                {"select": [name]},
                {name: 1},
            )
            for spec in specs:
                with pytest.raises((InvalidQueryError, PermissionDeniedError)):
                    await plan_query("note", spec, catalog, connection, viewer=viewer)
            with pytest.raises(QueryRejectedError):
                await plan_query(name, {}, catalog, connection, viewer=viewer)
    async with live_node(rows.dsn) as node:
        for value in NAMES:
            where = [["body", "==", value.replace("\u0000", "")]]
            query = Query("note", {"where": where, "orderBy": ["id"], "startAt": [1]}, "")
            assert (await node.follow(query, principal=ann)).ids == []


async def test_an_answer_does_not_depend_on_rows_that_policies_hide(rows: Rows) -> None:
    run_each(
        rows.dsn,
        "create function halves(text) returns boolean language sql immutable cost 0.000001 "
        "begin atomic select length($1) / (length($1) - length($1)) > 0; end",
        "create function over(text, text) returns boolean language sql immutable cost 0.000001 "
        "begin atomic select $1::int > $2::int; end",
        "create operator public.<<<~ (leftarg = text, rightarg = text, function = over, restrict = scalargtsel)",
        "create statistics of_note (mcv) on owner, body from note",
        "update note set body = 7 where owner = 'ann'",
    )
    hidden = (
        "insert into note select n, 'eve', 3, 'hidden ' || n, 'x' from generate_series(5, 400) n",
        "update note set body = (id * 3)::text, org = id where owner <> 'ann'",
        "delete from note where owner <> 'ann' and id <> 9",
        "update note set owner = 'zoe', body = '(' where id = 9",
    )
    ann = rows.principal("ann")
    async with live_node(rows.dsn) as node:
        before = [await answer(node, ann, sql) for sql in LEAKY]
        assert sum("error" not in each for each in before) > len(LEAKY) / 2
        for statement in hidden:
            run_each(rows.dsn, statement, "analyze note")
            for sql, was in zip(LEAKY, before, strict=True):
                assert await answer(node, ann, sql) == was, (statement, sql)


async def test_what_has_effects_or_looks_elsewhere_is_refused(rows: Rows) -> None:
    run_each(rows.dsn, "create extension dblink", "create sequence s", "create view all_of_it as select * from note")
    ann = rows.principal("ann")
    viewer = Viewer(ann.visibility, ann.claims)
    refused = {}
    statements = [f"select id, {call}::text as x from note" for call in EFFECTS]
    async with await connect(rows.dsn, "planning", autocommit=True) as connection:
        catalog = await load_catalog(connection)
        for sql in (*statements, *STATEMENTS, *ROW_TYPE, "select id from note, all_of_it"):
            with pytest.raises((InvalidQueryError, PermissionDeniedError)) as refusal:
                await plan_query("note", {"sql": sql}, catalog, connection, viewer=viewer)
            refused[sql] = str(refusal.value)
            assert not re.search(r"^function .* does not exist|unrecognized", refused[sql]), (sql, refused[sql])
        assert await plan_query("note", {"sql": "select id from note"}, catalog, connection, viewer=viewer)
    for sql in ROW_TYPE:
        assert refused[sql].startswith('the type "note"'), (sql, refused[sql])
        assert "secret" not in refused[sql]


async def test_a_refusal_for_its_cost_does_not_name_an_estimate_over_hidden_rows(rows: Rows) -> None:
    """The planner counts all rows of a table, and by its samples those of one owner."""
    run_each(rows.dsn, "insert into note select n, 'eve', 3, 'x', 'x' from generate_series(5, 3000) n", "analyze note")
    account = ConnectionAccount(UserAccount(), QueryLimits(cost=10.0))
    async with live_node(rows.dsn) as node:
        for sql in (
            "select count(*) as n from note where owner = 'eve'",
            "select id, body || 'x' as b from note, generate_series(1, 9)",
        ):
            with pytest.raises(InvalidQueryError) as refused:
                await node.live.subscribe(rows.principal("ann"), "note", {"sql": sql}, lambda *_: None, account=account)
            assert set(re.findall(r"\d+", str(refused.value))) == {"10"}
