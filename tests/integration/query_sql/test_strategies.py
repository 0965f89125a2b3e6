"""Which SQL is kept up to date incrementally and which is re-read; either way the documents are Postgres's own."""

from __future__ import annotations

import pytest

from engine.errors import PermissionDeniedError
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from tests.integration.query_sql.conftest import Planner

MESSAGES = "id, room_id, body, created_at, n, price, score, ok, mood, tags, note, meta, code"

# SQL, parameters; ordered totally so that there is one right answer
INCREMENTAL: list[tuple[str, list[object]]] = [
    (f"select {MESSAGES} from messages order by id", []),
    ("select id from messages where room_id = 'room-1' order by id limit 5", []),
    ("select id, body as text from messages where room_id = $1 order by created_at desc, id limit $2", ["room-2", 7]),
    ("SELECT ID, BODY FROM MESSAGES WHERE ROOM_ID = 'room-1' ORDER BY ID", []),
    ("select m.id from app.messages as m where m.n in (1, 2) and not m.ok order by m.id", []),
    ("select messages.id from messages where n not in (0, 3) order by id", []),
    ("select id from messages where n = any($1) order by id desc", [[1, 3]]),
    ("select id from messages where n = any($1) order by id desc", [[]]),
    ("select id from messages where body is null or n is not null order by id", []),
    ("select id from messages where body like 'body 1%' order by id", []),
    ("select id from messages where body not like 'body 1%' order by id", []),
    ("select id from messages where id between 3 and $1 order by id", [9]),
    ("select id from messages where id not between 3 and 9 order by id", []),
    ("select id from messages where ok order by id", []),
    ("select id from messages where ok is true order by id", []),
    ("select id from messages where ok is not false order by id", []),
    ("select id from messages where 5 > n order by id", []),
    ("select id from messages where n = -1 or n >= 3 or n <> 2 order by id", []),
    ("select id from messages where n < 2.5 order by id", []),
    ("select id from messages where price <= 3.25 order by price, id", []),
    ("select id from messages where price = 1 order by id", []),
    ("select id from messages where score > 7.5 order by score desc, id", []),
    ("select id from messages where mood = 'happy' order by mood, id", []),
    ("select id from messages where mood in ('ok', 'sad') order by mood desc, id", []),
    ("select id from messages where created_at >= '2024-01-05' order by created_at", []),
    ("select id from messages where created_at < $1 order by created_at desc limit 4", ["2024-01-05T00:00:00+02:00"]),
    ("select id from messages where note = 'note 1' order by id", []),
    ("select id, n from messages order by n nulls first, id desc", []),
    ("select id, n from messages order by n desc nulls last, 1", []),
    ("select id as k, n from messages order by 2 desc, k", []),
    ("select n as id, id as n from messages order by n", []),
    ("select id from messages order by id limit all", []),
    ("select id from messages order by id limit null", []),
    ("select id from messages order by id limit $1", [None]),
    ("select /* a ' comment */ id -- another\n from messages -- ;\n order by id ;", []),
    ("select id from messages where body = 'it''s' or body = 'a\\b' order by id", []),
    ('select "id", "body" from "app"."messages" where "room_id" = \'room-1\' order by "id"', []),
]

REREAD: list[tuple[str, list[object], str]] = [
    ("select id from messages order by id offset 3", [], "OFFSET"),
    ("select count(*) from messages", [], "COUNT"),
    ("select room_id, count(*) as total from messages group by room_id order by room_id", [], "GROUP BY"),
    ("select room_id, count(*) from messages group by 1 having count(*) > 13 order by 1", [], "GROUP BY"),
    ("select distinct room_id from messages order by room_id", [], "DISTINCT"),
    ("select distinct on (room_id) room_id, id from messages order by room_id, id", [], "DISTINCT"),
    ("select m.id, u.name from messages m join users u on u.id = m.n order by m.id", [], "join"),
    ("select m.id, u.name from messages m, users u where u.id = m.n order by m.id", [], "join"),
    ("select m.id from messages m where exists (select from users u where u.id = m.n) order by id", [], ""),
    ("select id, lower(body) as b from messages order by id", [], "computes"),
    ("select id from messages where lower(room_id) = 'room-1' order by id", [], "computes"),
    ("select id from messages where n + 1 = 2 order by id", [], "computes"),
    ("select id from messages where n = null order by id", [], ""),
    ("select id from messages where room_id = body order by id", [], ""),
    ("select id from messages where n in (1, 2.0) order by id", [], "mixes"),
    ("select id from messages where n in (1, '2') order by id", [], "mixes"),
    ("select id from messages where n = 3000000000 order by id", [], "number"),
    ("select id from messages where n = $1::bigint order by id", [3], ""),
    ("select id from messages where n::text = '1' order by id", [], ""),
    ("select id from messages where room_id = E'room-1' order by id", [], ""),
    ("select id from messages where room_id = $$room-1$$ order by id", [], ""),
    ('select id from messages where room_id = \'room-1\' collate "C" order by id', [], ""),
    ("select id from messages where body like 'b%' escape 'b' order by id", [], ""),
    ("select id from messages where id between symmetric 9 and 3 order by id", [], ""),
    ("select id from messages where n is distinct from 1 order by id", [], ""),
    ("select id from messages where (n, id) > (1, 2) order by id", [], ""),
    ("select id from messages where room_id = any(array['room-1']) order by id", [], ""),
    ("select id from messages where n <> all($1) order by id", [[1, 2]], ""),
    ("select id from messages where n = any($1) order by id", [[1, None]], ""),
    ("select id from messages where tags @> array['b1'] order by id", [], ""),
    ("select id from messages where meta ->> 'g' = '7' order by id", [], ""),
    ("select id from messages order by lower(body), id", [], "computes"),
    ("select id from messages order by body using >, id", [], ""),
    ("select id from messages order by id fetch first 3 rows with ties", [], ""),
    ("select id, row_number() over (partition by room_id order by id) as rn from messages order by id", [], ""),
    ("select sum(n) over w as s, id from messages window w as (partition by room_id) order by id", [], "WINDOW"),
    ("with u as (select id from users) select id from u where id in (select n from messages) order by 1", [], ""),
    ("with recursive t(i) as (select 1 union all select i + 1 from t where i < 4) "
     "select t.i, m.id from t join messages m on m.id = t.i order by 1", [], ""),
    ("select id from messages where id < 3 union all select id from users order by 1", [], ""),
    ("(select id from messages where id < 3 order by id)", [], ""),
    ("select m.id, x.tag from messages m cross join lateral unnest(m.tags) as x(tag) order by 1, 2", [], ""),
    ("select id, generate_series(1, 2) as s from messages order by id, s", [], ""),
    ("select g, id from generate_series(1, 2) g, messages where id < 3 order by g, id", [], ""),
    ("select id, unnest(tags) as tag from messages order by 1, 2", [], ""),
    ("select grouping(room_id, ok) as g, room_id, ok, count(*) as c from messages "
     "group by rollup (room_id, ok) order by 1, 2, 3", [], ""),
    ("select x.id, x.room_id from messages x natural join (select 1::bigint as id) y order by 1", [], ""),
    ("select (select max(name) from users) as top, id from messages order by id", [], ""),
    ("select string_agg(body, ',' order by id) as bodies from messages", [], ""),
    ("select jsonb_agg(id order by id) filter (where ok) as ids, room_id from messages group by room_id order by 2", [], ""),
    ("select percentile_cont(0.5) within group (order by n) as p from messages", [], ""),
    ("select coalesce($1, body) as b, id from messages order by id", ["x"], ""),
    ("select id from messages where created_at > $1::date + $2::interval order by id", ["2024-01-03", "1 day"], ""),
    ("select id, score as q, n as d from messages where n + 0 = 1 order by id", [], ""),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "params"), INCREMENTAL)
async def test_a_plain_select_over_one_table_is_incremental_and_equals_postgres(
    planner: Planner, sql: str, params: list[object]
) -> None:
    plan = await planner.plan(sql, *params)
    assert isinstance(plan, IncrementalPlan), plan.reason
    assert [document for _, document in await planner.read(plan)] == await oracle(planner, sql, params)


@pytest.mark.parametrize(("sql", "params", "reason"), REREAD)
async def test_anything_more_is_reread_and_equals_postgres(
    planner: Planner, sql: str, params: list[object], reason: str
) -> None:
    plan = await planner.plan(sql, *params)
    assert isinstance(plan, ReReadPlan)
    assert reason in plan.reason
    assert not plan.time_dependent
    found = [document for _, document in await planner.read(plan)]
    assert found == await oracle(planner, sql, params)
    assert all(tuple(document) == plan.columns for document in found)


async def oracle(planner: Planner, sql: str, params: list[object]) -> list[object]:
    """The documents, by running the client's text itself."""
    texts = [None if p is None else "{" + ",".join("null" if i is None else str(i) for i in p) + "}" if isinstance(p, list)
             else str(p) for p in params]  # fmt: skip
    return await planner.documents(sql.rstrip("; "), *texts)


@pytest.mark.parametrize(
    ("sql", "incremental"),
    [
        ("select * from messages order by id", True),
        ("select m.* from messages m order by m.id", True),
        ("select *, id as again from messages order by id", True),
        ("select m.*, lower(body) as low from messages m order by m.id", False),
        ("select u.*, m.id as message from messages m join users u on u.id = m.n order by m.id", False),
    ],
)
async def test_a_star_means_the_exposed_columns(planner: Planner, sql: str, incremental: bool) -> None:
    plan = await planner.plan(sql)
    assert isinstance(plan, IncrementalPlan) is incremental
    documents = [document for _, document in await planner.read(plan)]
    written_out = sql.replace("m.*", MESSAGES).replace("u.*", "u.id, name").replace("*", MESSAGES)
    assert documents
    assert documents == await planner.documents(written_out)
    assert not any("secret" in document or "password" in document for document in documents)


async def test_rows_without_an_order_of_their_own_come_in_primary_key_order(planner: Planner) -> None:
    plan = await planner.plan("select v, a, b from pairs", collection="pairs")
    assert isinstance(plan, IncrementalPlan)
    expected = await planner.documents('select v, a, b from pairs order by b collate "C", a')
    assert [document for _, document in await planner.read(plan)] == expected


async def test_ties_of_a_reread_single_table_are_broken_by_the_primary_key(planner: Planner) -> None:
    plan = await planner.plan("select id, n + 0 as m from messages order by room_id limit 20")
    assert isinstance(plan, ReReadPlan)
    expected = await planner.documents("select id, n + 0 as m from messages order by room_id, id limit 20")
    assert [document for _, document in await planner.read(plan)] == expected


async def test_partitions_are_read_through_their_root(planner: Planner) -> None:
    sql = "select id, what from events where day >= '2024-01-20' order by id limit 20"
    plan = await planner.plan(sql, collection="events")
    assert isinstance(plan, IncrementalPlan)
    assert [document for _, document in await planner.read(plan)] == await planner.documents(sql)
    count = await planner.plan("select count(*) from events", collection="events")
    assert isinstance(count, ReReadPlan)
    assert count.dependencies == {planner.catalog.by_collection["events"].oid}


async def test_a_table_without_primary_key_is_reread(planner: Planner) -> None:
    plan = await planner.plan("select a, b from keyless", collection="keyless")
    assert isinstance(plan, ReReadPlan)
    found = [document for _, document in await planner.read(plan)]
    assert sorted(map(str, found)) == sorted(map(str, await planner.documents("select a, b from keyless")))


async def test_quoted_and_mixed_case_names_are_postgres_names(planner: Planner) -> None:
    sql = 'select "Id", "from", LOWER_CASE as "Lower" from "Mixed Case" where "from" <> \'q\' order by "Id" desc'
    plan = await planner.plan(sql, collection="mixed")
    assert isinstance(plan, IncrementalPlan)
    assert [document for _, document in await planner.read(plan)] == await planner.documents(sql)
    with pytest.raises(PermissionDeniedError, match='column "id" does not exist, or it is not exposed'):
        await planner.plan('select Id from "Mixed Case"', collection="mixed")


async def test_dependencies_are_exactly_the_tables_that_are_read(planner: Planner) -> None:
    plan = await planner.plan(
        "with u as (select * from (select id, name from users) x) select m.id, (select count(*) from pairs) as c "
        "from messages m left join u on u.id = m.n"
    )
    assert isinstance(plan, ReReadPlan)
    tables = planner.catalog.by_collection
    assert plan.dependencies == {tables["messages"].oid, tables["users"].oid, tables["pairs"].oid}


async def test_the_same_query_has_the_same_key_however_it_is_written(planner: Planner) -> None:
    keys = {
        (await planner.plan(sql, *params)).key
        for sql, params in [
            ("select count(*) from messages where room_id = $1", ["room-1"]),
            ("SELECT   count( * ) FROM Messages -- all\nWHERE room_id=$1;", ["room-1"]),
        ]
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("select count(*) from messages where body = 'a'", []), ("select count(*) from messages where body = 'A'", [])),
        (("select count(*) from messages where n = $1", [1]), ("select count(*) from messages where n = $1", [2])),
        (("select max(n) - -1 as m from messages", []), ("select max(n) + 1 as m from messages", [])),
        (('select n as "A" from messages order by 1 limit 1 offset 0', []),
         ("select n as A from messages order by 1 limit 1 offset 0", [])),
        (("select $1 || $2 as x from messages", ["1", "2"]), ("select $2 || $1 as x from messages", ["1", "2"])),
    ],
)  # fmt: skip
async def test_different_queries_have_different_keys(
    planner: Planner, one: tuple[str, list[object]], other: tuple[str, list[object]]
) -> None:
    assert (await planner.plan(one[0], *one[1])).key != (await planner.plan(other[0], *other[1])).key


async def test_builder_and_sql_share_a_window_when_they_mean_the_same(planner: Planner) -> None:
    from engine.query.planner import plan_query

    spec = {"where": [["n", "==", 1]], "orderBy": [["id", "desc"]], "limit": 3}
    built = await plan_query("pairs", {"where": [["v", "==", 1]], "limit": 3}, planner.catalog, planner.connection)
    written = await planner.plan("select * from pairs where v = 1 limit 3", collection="pairs")
    assert isinstance(built, IncrementalPlan)
    assert isinstance(written, IncrementalPlan)
    assert await planner.read(built) == await planner.read(written)
    assert (await plan_query("messages", spec, planner.catalog, planner.connection)).key


async def test_constants_and_names_that_look_like_parts_of_a_tree(planner: Planner) -> None:
    """``conftest.py`` compares what is read of each tree with and without its constants."""
    name = '"{CONST :consttype 26 :consttypmod 1}"'
    texts = ", ".join(f"'{{CONST :relid {n}}}'" for n in range(300))
    plan = await planner.plan(
        f"select id, coalesce(n, 7) as {name} from messages where body in ({texts}) and n in (1, 2, 2, 3) "
        "and tags && array['{CONST ', '}'] and price < cast('1e3'::text as numeric) "
        "and created_at > date '2024-01-02' limit 3"
    )
    assert isinstance(plan, ReReadPlan)
    assert len(plan.dependencies) == 1
