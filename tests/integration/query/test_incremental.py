"""Which queries are kept up to date incrementally, which are re-read and why; keys, ids and identities."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from engine.errors import InvalidQueryError
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, IndexTerms, NotIncremental, RangeTerm, compile_incremental
from engine.query.compile.to_sql import render_documents
from engine.query.ir.model import And, Bound, Compare, Not, Or, OrderBy, Predicate, Query
from engine.transaction import Row
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.query.conftest import Oracle, connected


def plan_of(oracle: Oracle, spec: dict[str, object], collection: str = "wide") -> IncrementalPlan | NotIncremental:
    table = oracle.catalog.by_collection[collection]
    return compile_incremental(oracle.canonical(parse_query(spec, table), table), table)


def incremental(oracle: Oracle, spec: dict[str, object], collection: str = "wide") -> IncrementalPlan:
    plan = plan_of(oracle, spec, collection)
    assert isinstance(plan, IncrementalPlan), plan
    return plan


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"orderBy": ["doc"]}, "the order of column 'doc' \\(jsonb\\)"),
        ({"orderBy": ["ints"]}, "the order of column 'ints'"),
        ({"where": [["doc", "==", {}]]}, "equality of column 'doc'"),
        ({"where": [["doc", "array-contains", {}]]}, "array-contains on column 'doc'"),
        ({"where": [["texts", "<", ["a"]]]}, "the order of column 'texts'"),
        ({"where": [["text_d", "ilike", "a%"]]}, "ilike on column 'text_d'"),
    ],
)
def test_a_query_that_cannot_be_reproduced_is_re_read_with_a_reason(
    oracle: Oracle, spec: dict[str, object], reason: str
) -> None:
    plan = plan_of(oracle, spec)
    assert isinstance(plan, NotIncremental)
    assert re.search(reason, plan.reason), plan.reason


@pytest.mark.parametrize(
    ("compare", "reason"),
    [
        (Compare("int", "==", ("1",), "double precision"), "compared with a value of type double precision"),
        (Compare("padded", "==", ("a",), "text"), "compared with a value of type text"),
        (Compare("padded", "like", ("a",), "bpchar"), "like on column 'padded'"),
        (Compare("text_c", "like", ("a\\",), "text"), "must not end with its escape"),
        (Compare("ints", "array-contains", ("1",), "bigint"), "array-contains on column 'ints'"),
    ],
)
def test_an_operator_between_other_types_is_not_guessed(oracle: Oracle, compare: Compare, reason: str) -> None:
    plan = compile_incremental(Query("wide", compare), oracle.table)
    assert isinstance(plan, NotIncremental)
    assert reason in plan.reason


def test_a_column_that_does_not_exist_is_an_error_in_the_order(oracle: Oracle) -> None:
    with pytest.raises(InvalidQueryError, match="no column 'nope'"):
        compile_incremental(Query("wide", order_by=(OrderBy("nope", False, False),)), oracle.table)


def test_queries_that_mean_the_same_share_a_key(oracle: Oracle) -> None:
    a, b = Compare("int", "==", ("1",), "integer"), Compare("bool", "==", ("t",), "boolean")
    same: list[Predicate] = [
        And((a, b)),
        And((b, a, a)),
        And((And((b,)), a)),
        Not(Not(And((a, b)))),
        Or((And((b, a)),)),
    ]
    keys = set()
    for where in same:
        plan = compile_incremental(Query("wide", where, limit=5), oracle.table)
        assert isinstance(plan, IncrementalPlan)
        keys.add(plan.key)
    assert len(keys) == 1
    other = compile_incremental(Query("wide", And((a, b)), limit=6), oracle.table)
    assert isinstance(other, IncrementalPlan)
    assert other.key not in keys


def test_the_key_changes_with_the_table(oracle: Oracle) -> None:
    before = incremental(oracle, {"limit": 3})
    oracle.execute("alter table wide add column added int")
    oracle.reload()
    assert incremental(oracle, {"limit": 3}).key != before.key
    oracle.execute("alter table wide drop column added")
    oracle.reload()
    assert incremental(oracle, {"limit": 3}).key == before.key


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"where": [["int", "==", 1]]}, [({"int": b"1"}, [])]),
        ({"where": [["int", "in", [1, 2]]]}, [({"int": b"1"}, []), ({"int": b"2"}, [])]),
        ({"where": [["int", "in", []]]}, []),
        ({"where": [["int", "==", 1], ["int", "==", 2]]}, []),
        ({"where": [["int", "==", 1.5]]}, []),
        ({"where": [["int", ">", 1], ["int", "<", 0]]}, []),
        ({"where": [["int", "==", 1], ["text_c", "==", "a"]]}, [({"int": b"1", "text_c": b"a"}, [])]),
        ({"where": [["int", ">", 1], ["int", "<=", 5]]}, [({}, [("int", 1, False, 5, True)])]),
        ({"where": [{"not": ["int", "<", 2]}]}, [({}, [("int", 2, True, None, True)])]),
        ({"where": [["int", "!=", 1]]}, [({}, [])]),
        ({"where": [{"or": [["int", "==", 1], ["bool", "is-null"]]}]}, [({}, [])]),
        ({"where": [["int", "in", list(range(300))]]}, [({}, [])]),
        ({"orderBy": ["int"], "startAfter": [4]}, [({}, [("int", 4, False, None, True)])]),
        ({"orderBy": ["int"], "startAfter": [4, 7]}, [({}, [("int", 4, True, None, True)])]),
        ({"orderBy": [["int", "desc"]], "startAt": [4], "endBefore": [1]}, [({}, [("int", 1, False, 4, True)])]),
        ({"orderBy": ["small"], "startAt": [4]}, [({}, [])]),
        ({"orderBy": ["small"], "endAt": [4]}, [({}, [("small", None, True, 4, True)])]),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_matcher_indexes_what_a_row_must_have(
    oracle: Oracle, spec: dict[str, object], expected: list[tuple[dict[str, object], list[tuple[object, ...]]]]
) -> None:
    index = oracle.table.index
    wanted = {
        IndexTerms(
            tuple(sorted((index[name], value) for name, value in equalities.items())),
            tuple(RangeTerm(index[str(name)], *rest) for name, *rest in ranges),  # type: ignore[arg-type]
        )
        for equalities, ranges in expected
    }
    assert set(incremental(oracle, spec).index_terms) == wanted


def test_a_product_too_large_keeps_the_part_that_fits(oracle: Oracle) -> None:
    where = [["int", "in", [1, 2]], ["big", "in", list(range(200))]]
    plan = incremental(oracle, {"where": where})
    assert {index for c in plan.index_terms for index, _ in c.equalities} == {oracle.table.index["int"]}


MORE = """
create table pairs (b text, a int not null, note text, primary key (a, b));
insert into pairs values ('x"y', 1, null), ('', 1, 'n'), ('Z', 2, null);
create table flags (flag bool primary key, code char(3)); insert into flags values (true, 'a'), (false, 'b');
create table codes (code char(3) primary key); insert into codes values ('a'), ('b');
create table keyless (n int, t text); alter table keyless replica identity full;
insert into keyless values (1, 'a'), (1, 'a'), (2, null);
create table late (id int primary key deferrable initially deferred); alter table late replica identity full;
create table netted (host inet primary key);
create type point3 as (x int, y int);
create table shapes (id int primary key, at point3, camel_x int, secret text,
  made int generated always as (id * 2) stored);
insert into shapes values (1, '(,)'), (2, null), (3, '(1,2)');
create table places (id int primary key, at point3);
insert into places values (1, '(,)'), (2, null), (3, '(1,2)'), (4, '(1,)');
create table "Odd ""name" ("per%cent" int primary key, "q""uote" text);
insert into "Odd ""name" values (1, 'x');
create table coded (id int primary key, code int not null unique, t text);
alter table coded replica identity using index coded_code_key;
select realtime.expose(t::regclass) from unnest('{pairs,flags,codes,keyless,late,netted,coded,places}'::text[]) t;
select realtime.expose('"Odd ""name"', name => 'odd');
select realtime.expose('shapes', columns => '{at,camel_x,made}', camel_case => true);
"""


@pytest.fixture(scope="module")
def more(oracle: Oracle) -> Oracle:
    oracle.execute(MORE)
    oracle.reload()
    return oracle


def rows_of(oracle: Oracle, plan: IncrementalPlan) -> list[Row]:
    return list(oracle.run(plan.read(None)))


def test_a_composite_key_gives_a_json_array_as_id(more: Oracle) -> None:
    plan = incremental(more, {}, "pairs")
    rows = rows_of(more, plan)
    assert [plan.doc_id(row) for row in rows] == ['["1",""]', '["1","x\\"y"]', '["2","Z"]']
    assert plan.identity(rows[0]) == (b"1", b"")
    assert [row[0].decode() for row in more.run(render_documents(plan.query, plan.table)) if row[0]] == [
        plan.doc_id(row) for row in rows
    ]


def test_odd_names_survive(more: Oracle) -> None:
    plan = incremental(more, {"where": [['q"uote', "==", "x"]], "orderBy": [["per%cent", "desc"]]}, "odd")
    (row,) = rows_of(more, plan)
    assert plan.encode(row) == b'{"per%cent":1,"q\\"uote":"x"}'
    assert more.run(render_documents(plan.query, plan.table)) == [(b"1", plan.encode(row))]


def test_a_cursor_longer_than_the_order_is_an_error(oracle: Oracle) -> None:
    with pytest.raises(InvalidQueryError, match="2 values, but the order has 1"):
        compile_incremental(Query("wide", start=Bound(("1", "2"), inclusive=True)), oracle.table)


@pytest.mark.parametrize(("collection", "ids"), [("flags", ["f", "t"]), ("codes", ["a  ", "b  "])])
def test_an_id_is_the_keys_own_output_text(more: Oracle, collection: str, ids: list[str]) -> None:
    plan = incremental(more, {}, collection)
    rows = sorted(rows_of(more, plan), key=plan.sort_key)
    assert [plan.doc_id(row) for row in rows] == ids
    assert [row[0] for row in more.run(render_documents(plan.query, plan.table))] == [text.encode() for text in ids]


@pytest.mark.parametrize(
    ("collection", "reason"),
    [
        ("keyless", "cannot be followed"),
        ("late", "cannot be followed"),
        ("netted", "the order of column 'host' \\(inet\\)"),
    ],
)
def test_rows_that_cannot_be_followed_or_sorted_are_re_read(more: Oracle, collection: str, reason: str) -> None:
    plan = plan_of(more, {}, collection)
    assert isinstance(plan, NotIncremental)
    assert re.search(reason, plan.reason), plan.reason


def test_without_a_key_equal_rows_have_equal_ids(more: Oracle) -> None:
    table = more.catalog.by_collection["keyless"]
    ids = [row[0] for row in more.run(render_documents(Query("keyless", order_by=()), table))]
    assert len(ids) == 3
    assert len(set(ids)) == 2


def test_an_identity_index_names_the_old_row_and_the_key_the_document(more: Oracle) -> None:
    plan = incremental(more, {}, "coded")
    row = (b"7", b"70", None)
    assert (plan.identity(row), plan.doc_id(row)) == (b"70", "7")


def test_only_exposed_fields_are_encoded_and_can_be_asked_for(more: Oracle) -> None:
    table = more.catalog.by_collection["shapes"]
    assert [column.name for column in table.columns if not column.exposed] == ["id"]
    assert "secret" not in table.by_name
    with pytest.raises(InvalidQueryError, match="no field 'id'"):
        parse_query({"orderBy": ["id"]}, table)
    with pytest.raises(InvalidQueryError, match="no field 'camel_x'"):
        parse_query({"orderBy": ["camel_x"]}, table)
    documents = more.run(render_documents(parse_query({"orderBy": ["camelX"]}, table), table))
    assert documents[2] == (b"3", b'{"at":{"x":1,"y":2},"camelX":null,"made":6}')


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        (["at", "is-null"], [b"1", b"2"]),
        (["at", "is-not-null"], [b"3"]),
        ({"not": ["at", "is-null"]}, [b"3", b"4"]),
        ({"not": ["at", "is-not-null"]}, [b"1", b"2", b"4"]),
    ],
)
def test_a_composite_is_null_if_all_its_fields_are_and_not_null_if_none_is(
    more: Oracle, condition: object, ids: list[bytes]
) -> None:
    table = more.catalog.by_collection["places"]
    query = parse_query({"where": [condition]}, table)
    plan = compile_incremental(query, table)
    assert isinstance(plan, IncrementalPlan)
    assert [row[0] for row in more.run(render_documents(query, table))] == ids
    every = rows_of(more, incremental(more, {}, "places"))
    assert [plan.doc_id(row).encode() for row in every if plan.matches(row)] == ids


def test_generated_columns_are_incremental_only_where_the_stream_has_them(more: Oracle) -> None:
    plan = plan_of(more, {"where": [["made", "==", 4]]}, "shapes")
    streamed = "made" in more.catalog.by_collection["shapes"].index
    assert streamed is (more.connection.info.server_version >= 180000)
    assert isinstance(plan, IncrementalPlan if streamed else NotIncremental)


ICU = """
create collation english (provider = icu, locale = 'en');
create collation anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create table words (word text collate english primary key, other text collate english, loose text collate anycase);
insert into words values ('b', 'b', 'b'), ('A', 'A', 'A'), ('a', 'a', 'a'), ('B', 'B', 'B'), ('é', 'é', 'é');
create table loosely (word text collate anycase primary key); insert into loosely values ('b'), ('A'), ('é');
select realtime.expose('words'), realtime.expose('loosely');
"""


@pytest.fixture(scope="module")
def icu(pg15: LocalPostgres) -> Iterator[Oracle]:
    # Not on pg18: the embedded server is built without ICU.
    with database_on(pg15, ICU) as dsn, asyncio.Runner() as runner, connected(dsn, runner) as oracle:
        yield oracle


def test_text_under_icu_is_equal_by_bytes_but_not_ordered(icu: Oracle) -> None:
    plan = incremental(icu, {"where": [["other", "==", "a"]]}, "words")
    assert [row[0] for row in rows_of(icu, plan) if plan.matches(row)] == [b"a"]
    specs: list[dict[str, object]] = [
        {"orderBy": ["other"]},
        {"orderBy": ["word"]},
        {"where": [["other", "<", "b"]]},
    ]
    for spec in specs:
        refused = plan_of(icu, spec, "words")
        assert isinstance(refused, NotIncremental)
        assert "english" in refused.reason
        table = icu.catalog.by_collection["words"]
        assert len(icu.run(render_documents(icu.canonical(parse_query(spec, table), table), table))) > 0


def test_like_does_not_depend_on_a_deterministic_collation(icu: Oracle) -> None:
    plan = incremental(icu, {"where": [["other", "like", "_"]]}, "words")
    assert all(plan.matches(row) for row in rows_of(icu, plan))
    assert isinstance(plan_of(icu, {"where": [["other", "ilike", "a"]]}, "words"), NotIncremental)


@pytest.mark.parametrize("collection", ["words", "loosely"])
def test_a_text_key_breaks_ties_bytewise_whatever_its_collation(icu: Oracle, collection: str) -> None:
    plan = incremental(icu, {}, collection)
    rows = rows_of(icu, plan)
    assert rows == sorted(rows, key=plan.sort_key)
    assert [row[0] for row in rows] == sorted(row[0] or b"" for row in rows)
    after = incremental(icu, {"startAfter": ["b"]}, collection)
    assert rows_of(icu, after) == [row for row in rows if after.matches(row)]


def test_text_without_bytewise_equality_is_re_read(icu: Oracle) -> None:
    assert isinstance(plan_of(icu, {"where": [["loose", "==", "a"]]}, "words"), NotIncremental)
    table = icu.catalog.by_collection["words"]
    query = icu.canonical(parse_query({"where": [["loose", "==", "a"]]}, table), table)
    assert len(icu.run(render_documents(query, table))) == 2
