"""What is not exposed cannot be read, nor distinguished from what does not exist."""

from __future__ import annotations

import re

import psycopg
import pytest

from engine.errors import InvalidQueryError, PermissionDeniedError, QueryRejectedError
from engine.query.planner import plan_query
from engine.query.sql.safety.dry_run import sql_session
from tests.integration.query_sql.conftest import Planner

NOT_EXPOSED = [
    "select id from vault, messages",
    "select what from vault",
    "select id, bogus from vault",
    "select id from app.vault, messages",
    "select id from messages where id in (select id from vault)",
    "select id from messages where exists (select from vault)",
    "select (select max(what) from vault), id from messages",
    "select id from messages union select id from vault",
    "with v as (select * from vault) select m.id from messages m, v",
    "with vault as (select * from vault) select m.id from messages m, vault",
    "with a as (select bogus from vault), vault as (select 1) select m.id from messages m, a",
    "select m.id from messages m cross join lateral (select * from vault) v",
    "select m.id from messages m natural join vault",
    "table vault",
    "select m.id from messages m join (table vault) v on true",
    "select id from only vault, messages",
]


@pytest.mark.parametrize("sql", NOT_EXPOSED)
async def test_a_hidden_table_looks_exactly_like_one_that_does_not_exist(planner: Planner, sql: str) -> None:
    with pytest.raises(
        PermissionDeniedError, match=r'^"vault" cannot be read: it does not exist or is not exposed'
    ) as hidden:
        await planner.plan(sql)
    with pytest.raises(PermissionDeniedError) as missing:
        await planner.plan(sql.replace("vault", "nowhere"))
    assert str(missing.value) == str(hidden.value).replace("vault", "nowhere")
    assert hidden.value.code == "RT_003"


@pytest.mark.parametrize(
    ("sql", "meant"),
    [
        ("select id from message", 'did you mean "app"."messages"?'),
        ("select id from app.message", 'did you mean "app"."messages"?'),
        ("select 1 as one from mixed", 'did you mean "app"."Mixed Case"?'),  # the collection
        ("select m.creatd_at from messages m", 'did you mean "created_at"?'),
        ("select createdAt from messages", 'did you mean "created_at"?'),
        ("select id from todos where dueDate is null", "SQL has the column's own name, documents have 'dueDate'"),
        ('select "dueDate" from todos', 'did you mean "due_date"? SQL has the column\'s own name'),
        ("select id from vaults", None),
        ("select secrets from messages", None),
        ("select secretCode from todos", None),
    ],
)
async def test_only_what_is_exposed_is_suggested(planner: Planner, sql: str, meant: str | None) -> None:
    with pytest.raises(PermissionDeniedError) as refused:
        await planner.plan(sql)
    assert (meant if meant is not None else "is not exposed") in str(refused.value)
    assert ("did you mean" in str(refused.value)) is (meant is not None)


@pytest.mark.parametrize(
    "name",
    ["pg_class", "pg_catalog.pg_class", "pg_authid", "pg_stat_activity", "information_schema.tables", "pg_proc",
     "realtime.collections", "message_view", "app.message_view", "message_copy", "counter", "postgres.app.vault",
     "pg_temp.realtime_plan", "realtime_plan"],
)  # fmt: skip
async def test_system_catalogs_views_and_sequences_are_refused_by_name(planner: Planner, name: str) -> None:
    with pytest.raises(
        PermissionDeniedError, match=f'^"{name.rsplit(".", 1)[-1]}" cannot be read: .*of a view, expose the tables'
    ):
        await planner.plan(f"select m.id from messages m, {name} x")


async def test_a_relation_that_only_postgres_can_find_is_refused_too(planner: Planner) -> None:
    # sqlglot cannot read ORDER BY ... USING, so the names have not been looked at before.
    for name in ("vault", "nowhere", "pg_class"):
        with pytest.raises(QueryRejectedError) as refused:
            await planner.plan(f"select m.id from messages m, {name} x order by m.id using <")
        assert "gold" not in str(refused.value)


HIDDEN_COLUMN = [
    "select secret from messages",
    "select m.secret from messages m",
    'select "secret" as id from messages',
    "select id from messages where secret = 'top secret 1'",
    "select id from messages where secret like 'top%'",
    "select id from messages order by secret",
    "select (m).secret from messages m",
    "select count(secret) from messages",
    "select max(secret) from messages group by room_id",
    "select room_id from messages group by room_id, secret",
    "select room_id from messages group by room_id having max(secret) > 'a'",
    "select first_value(secret) over () from messages",
    "select id from messages m where (select secret) > ''",
    "select m.id from messages m join users u on u.password = m.body",
    "select m.id from messages m join users u using (id) where u.password > ''",
    "select distinct on (secret) id from messages",
    "select id from messages limit (select count(secret) from messages)",
    "select coalesce(secret, body) from messages",
    "select case when secret > 'm' then 1 end as x from messages",
    "select m.id from messages m cross join lateral (select m.secret) x",
    "select pg_typeof(m.secret) from messages m",
    "select xmlconcat(m.secret::xml) as x from messages m",
    "select grouping(secret) from messages group by secret",
    "select id from messages union select length(secret) from messages",
    "select string_agg(body, secret) from messages",
    "select count(*) filter (where secret > 'm') from messages",
    "select m.id from (messages m join users u on true) where secret > ''",
]


@pytest.mark.parametrize("sql", HIDDEN_COLUMN)
async def test_a_hidden_column_cannot_be_reached(planner: Planner, sql: str) -> None:
    with pytest.raises(QueryRejectedError) as refused:
        await planner.plan(sql)
    assert "top secret" not in str(refused.value)
    assert isinstance(refused.value, PermissionDeniedError), refused.value


WHOLE_ROWS = [
    "select messages from messages",
    "select m from messages m",
    "select (m).* from messages m",
    "select m.*::text from messages m",
    "select row_to_json(m) from messages m",
    "select to_jsonb(m) ->> 'secret' as x from messages m",
    "select json_agg(m) as x from messages m",
    "select m::text from messages m",
    "select row(m.*) from messages m",
    "select x from (select * from messages) x",
    "select id from (select * from messages) x",
    "select x.id from (select m from messages m) as x(id)",
    "with x as (select * from messages) select id from x",
    "select id from messages m where m is not null",
    "select id from messages m where m = m",
    "select m.id from messages m natural join users u",
    "select m.id from messages m cross join lateral (select m.*) x",
    "select format('%s', m) as x from messages m",
    "select concat(m) as x from messages m",
    "select array_agg(m) as x from messages m",
    "select * from messages except select * from messages",
    "select id from messages order by messages",
    "table messages",
]


@pytest.mark.parametrize("sql", WHOLE_ROWS)
async def test_a_whole_row_reference_has_the_exposed_columns_only(planner: Planner, sql: str) -> None:
    rows = await planner.read(await planner.plan(sql))
    assert rows or "except" in sql or "natural" in sql
    assert "secret" not in str(rows)
    assert "password" not in str(rows)


# (a query with the name of something hidden, that name): with a name that does not exist the answer is the same.
PROBES = [
    ("select (null::vault).*, id from messages", "vault"),
    ("select (null::vault).what as w, id from messages", "vault"),
    ("select (null::app.vault).what as w, id from messages", "vault"),
    ("select (cast(null as vault)).nothing as w, id from messages", "vault"),
    ("select row(1, 'x')::vault as w, id from messages", "vault"),
    ("select row(1)::vault as w, id from messages", "vault"),
    ("select vault '(1,2)' as w, id from messages", "vault"),
    ("select vault '(1)' as w, id from messages", "vault"),
    ("select '(1,2)'::vault as w, id from messages", "vault"),
    ("select null::vault[] as w, id from messages", "vault"),
    ("select null::_vault as w, id from messages", "_vault"),
    ("select vault(id) as w, id from messages", "vault"),
    ("select json_populate_record(null::vault, '{}') as w, id from messages", "vault"),
    ("select x.*, id from messages, jsonb_populate_record(null::vault, '{}') x", "vault"),
    ("select x.a, id from messages, jsonb_to_record('{}') as x(a vault)", "vault"),
    ("select id from messages where body = $1::vault::text", "vault"),
    ("select enum_range(null::cause) as w, id from messages", "cause"),
    ("select 'flood'::cause as w, id from messages", "cause"),
    ("select 'flod'::cause as w, id from messages", "cause"),
    ("select (null::crate).second as w, id from messages", "crate"),
    ("select (null::crate).third as w, id from messages", "crate"),
    ("select 5::narrow as w, id from messages", "narrow"),
    ("select 50::narrow as w, id from messages", "narrow"),
    ("select span(1, 2) as w, id from messages", "span"),
    ("select '[1,2)'::span as w, id from messages", "span"),
    ("select (null::message_view).secret as w, id from messages", "message_view"),
    ("select (null::pg_class).relname as w, id from messages", "pg_class"),
    ("select (null::users).password as w, id from messages", "password"),
    ("select (null::messages).secret as w, id from messages", "secret"),
    ("select json_populate_record(null::users, '{}').password as w, id from messages", "password"),
    ("select secret from messages", "secret"),
    ("select SECRET from messages", "secret"),
    ("select m.secret from messages m", "secret"),
    ("select messages.secret from messages", "secret"),
    ('select id from messages where "secret" > 5', "secret"),
    ("select id + secret as x from messages", "secret"),
    ("select upper(secret, 1) as x from messages", "secret"),
    ("select (m).secret from messages m", "secret"),
    ("select password(u) as x, m.id from messages m, users u", "password"),
    ("select m.id from messages m join users u using (secret)", "secret"),
    ("select m.id from messages m join users u on u.password = m.body", "password"),
    ("select id from messages order by secret", "secret"),
    ("select x.secret from (select * from messages) x", "secret"),
    ("with x as (select secret from messages) select 1 as one from x", "secret"),
    ("select document from comments", "document"),
    ("select c.document, id from comments c", "document"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "name"), PROBES)
async def test_a_hidden_name_gets_the_answer_that_a_missing_one_gets(planner: Planner, sql: str, name: str) -> None:
    params = ["x"] if "$1" in sql else []
    collection = "comments" if "comments" in sql else "messages"
    missing_name = "nowhere" + name[7:] if len(name) > 7 else "nowhere"[: len(name)]
    try:
        await planner.plan(re.sub(name, missing_name, sql, flags=re.I), *params, collection=collection)
    except QueryRejectedError as missing:
        expected: str | None = str(missing).replace(missing_name, name)
        code: str = missing.code
    else:
        expected, code = None, ""
    with pytest.raises(QueryRejectedError) as hidden:
        await planner.plan(sql, *params, collection=collection)
    if expected is not None:
        assert (str(hidden.value), hidden.value.code) == (expected, code)
    else:
        assert isinstance(hidden.value, PermissionDeniedError)
    for secret in ("gold", "top secret", "flood", "fire", "second", "record literal"):
        assert secret not in str(hidden.value)


USES_OF_A_HIDDEN_NAME = [
    "select id, body as secret from messages order by secret, id",
    "select id, x.vault from (select id, body as vault from messages) x order by id",
    "with cause as (select id, n as password from messages) select id, c.password from cause c order by id",
    "select m.id, u.name as secret from messages m join users u on u.id = m.n order by m.id",
    "select secret.id from messages secret order by secret.id",
    "select id, tags, messages.note, lower(body) as low from messages where code is not null order by id",
]


@pytest.mark.parametrize("sql", USES_OF_A_HIDDEN_NAME)
async def test_a_hidden_name_may_be_given_to_something_else(planner: Planner, sql: str) -> None:
    plan = await planner.plan(sql)
    assert [document for _, document in await planner.read(plan)] == await planner.documents(sql)


NAMEABLE = [
    "select id, mood::text::mood as mood, 'ok'::app.mood as ok from messages order by id",
    "select id, array[mood]::mood[] as moods, note::short as note from messages order by id",
    'select m.id, x.a, x.b from messages m, json_populate_record(null::granted, \'{"a": 1, "b": "y"}\') x order by 1',
    "select p.a, row_to_json(p) as p from pairs p, messages m where m.id = 1 order by p.b, p.a",
    "select (p).v, p.a from pairs p, messages m where m.id = 1 order by p.b, p.a",
    "select id, (null::pairs).b as none from messages order by id",
    "select c.id, c.text from comments c, messages m where m.id = c.id order by c.id",
]


@pytest.mark.parametrize("sql", NAMEABLE)
async def test_types_of_exposed_columns_and_rows_and_those_granted_by_name_may_be_named(
    planner: Planner, sql: str
) -> None:
    plan = await planner.plan(sql)
    assert [document for _, document in await planner.read(plan)] == await planner.documents(sql)


@pytest.mark.parametrize("column", ["xmin", "xmax", "cmin", "cmax", "ctid", "tableoid", "m.xmin", "m.ctid"])
async def test_system_columns_are_not_exposed(planner: Planner, column: str) -> None:
    for sql in (
        f"select id, {column}::text as c from messages m",
        f"select {column} from messages m",
        f"select id from messages m where {column}::text > '0'",
        f"select count(*) as c from messages m group by {column}",
        f"select id from (select id, {column} as c from messages m) x where c is not null",
    ):
        with pytest.raises(QueryRejectedError) as refused:
            await planner.plan(sql)
        assert str(refused.value) == "system columns (ctid, xmin, tableoid and the like) are not exposed"
        assert refused.value.code == "RT_003"


@pytest.mark.parametrize("field", ["xmin", "ctid", "tableoid", "secret", "secrets", "nowhere"])
async def test_a_builder_query_has_neither_system_columns_nor_hidden_ones(planner: Planner, field: str) -> None:
    for spec in ({"where": [[field, "is-null"]]}, {"orderBy": [[field]]}, {"where": [[field, "==", "1"]]}):
        with pytest.raises(InvalidQueryError, match=f"^collection 'messages' has no field '{field}'; it has ") as wrong:
            await plan_query("messages", spec, planner.catalog, planner.connection)
        _, _, listed = str(wrong.value).partition("; it has ")
        fields = set(re.findall(r"'(\w+)'", listed))
        assert len(fields) == 12
        assert fields < set(planner.catalog.by_collection["messages"].by_field)
        assert "secret" not in listed


PRIVILEGES = [
    *NOT_EXPOSED,
    *HIDDEN_COLUMN,
    *WHOLE_ROWS,
    "select id from messages",
    "select count(*) from messages",
    "select count(*) from vault",
    "select 1 as one from messages where exists (select from users)",
    "select m.id, u.name from messages m join users u using (id)",
    "select m.body from messages m left join users u on u.id = m.n and u.name is not null order by m.price",
    "select u.id from users u natural join pairs",
    "with x as (select body from messages), y as (select secret from messages) select x.body from x, y",
    "select id, body from messages group by id",
    "select id from messages union all select n from messages intersect select id from users",
    "select sum(n) over (partition by room_id order by score) from messages window w as (order by secret)",
    "select e.what from events e, events_1 f where e.id = f.id",
    "select (select max(v) from pairs p where p.a = m.n) from messages m",
    "select id from messages where id in (select id from users where password is not null)",
    "select pg_ls_dir('.') from messages",
    "select m.id from messages m join lateral (select u.name from users u where u.id = m.id) x on true",
]


async def test_privileges_by_the_tree_of_a_query_are_those_that_postgres_checks(planner: Planner) -> None:
    """Where policies for ``PUBLIC`` look at what is not exposed, PostgreSQL cannot be asked as the reader."""
    allowed = []
    for sql in PRIVILEGES:
        try:
            async with sql_session(planner.connection) as session:
                found = await session.may_read(await session.analyse(sql))
        except (psycopg.ProgrammingError, psycopg.DataError):
            continue  # an output name twice, a name that is nowhere
        async with sql_session(planner.connection) as session:
            try:
                await session.describe(sql)
                await session.explain(sql)
            except psycopg.errors.InsufficientPrivilege:
                assert not found, sql
            else:
                assert found, sql
        allowed.append(found)
    assert allowed.count(True) > 10
    assert allowed.count(False) > 30
