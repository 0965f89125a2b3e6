"""What ``select`` of a builder query gives: the documents that PostgreSQL makes of these columns, in the table's order."""

from __future__ import annotations

import pytest

from engine.errors import InvalidQueryError
from engine.postgres.statements.statement import Statement
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.query.compile.to_sql import render_documents, render_reread
from tests.integration.query.conftest import Oracle

SELECTED: list[tuple[dict[str, object], str]] = [
    ({"select": ["num"]}, "select id, num from wide order by id"),
    ({"select": ["num", "bool", "id"]}, "select id, bool, num from wide order by id"),
    ({"select": ["id"]}, "select id from wide order by id"),
    ({"select": ["mood"], "where": [["int", "==", 1]]}, "select id, mood from wide where int = 1 order by id"),
    ({"select": ["texts"], "orderBy": [["num", "desc"]], "limit": 7},
     "select id, texts from wide order by num desc, id limit 7"),
    ({"select": ["doc"], "orderBy": ["int"], "startAfter": [1, 100]},
     "select id, doc from wide where (int, id) > (1, 100) order by int, id"),
    ({"select": ["doc"], "orderBy": ["int"], "startAfter": {"doc": "100", "values": [1]}},
     "select id, doc from wide where (int, id) > (1, 100) order by int, id"),
    ({"select": ["raw"], "doc": 7}, "select id, raw from wide where id = 7"),
    ({"select": ["place", "plain"], "limit": 3}, "select id, plain, place from wide order by id limit 3"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "sql"), SELECTED, ids=lambda value: str(value)[:60])
def test_documents_have_the_selected_fields_and_the_key(oracle: Oracle, spec: dict[str, object], sql: str) -> None:
    query = oracle.canonical(parse_query(spec, oracle.table))
    expected = [row[0] for row in oracle.run(Statement(f"select row_to_json(q)::text from ({sql}) q"))]
    assert expected
    assert [row[1] for row in oracle.run(render_documents(query, oracle.table))] == expected
    assert [row[1] for row in oracle.run(render_reread(query, oracle.table))] == expected
    plan = compile_incremental(query, oracle.table)
    assert isinstance(plan, IncrementalPlan)
    ours = sorted((row for row in oracle.rows if plan.matches(row)), key=plan.sort_key)[: plan.limit]
    assert [plan.encode(row) for row in ours] == expected


def test_a_count_does_not_depend_on_what_is_selected(oracle: Oracle) -> None:
    query = oracle.canonical(parse_query({"select": ["num"], "count": True, "where": [["int", "==", 1]]}, oracle.table))
    expected = oracle.run(Statement("select json_build_object('count', count(*))::text from wide where int = 1"))
    assert [row[1:] for row in oracle.run(render_reread(query, oracle.table))] == expected


@pytest.fixture(scope="module")
def others(oracle: Oracle) -> Oracle:
    oracle.execute("""
        create table seats (hall text, seat_number int, taken_by text, note text, primary key (seat_number, hall));
        insert into seats values ('a', 1, 'ann', 'x'), ('b', 1, null, 'y');
        select realtime.expose('seats', camel_case => true);
        create table hidden_key (id int primary key, a int, b int);
        insert into hidden_key values (1, 2, 3);
        select realtime.expose('hidden_key', columns => array['a', 'b']);
        create table nameless (a int, b int);
        alter table nameless replica identity full;
        insert into nameless values (1, 2), (1, 3);
        select realtime.expose('nameless')
    """)
    oracle.reload()
    return oracle


@pytest.mark.parametrize(
    ("collection", "fields", "documents"),
    [
        ("seats", ["takenBy"], [b'{"hall":"a","seatNumber":1,"takenBy":"ann"}',
                                b'{"hall":"b","seatNumber":1,"takenBy":null}']),
        ("seats", ["hall"], [b'{"hall":"a","seatNumber":1}', b'{"hall":"b","seatNumber":1}']),
        ("hidden_key", ["b"], [b'{"b":3}']),
        ("nameless", ["a"], [b'{"a":1}', b'{"a":1}']),
    ],
)  # fmt: skip
def test_the_key_is_in_the_documents_as_far_as_it_is_exposed(
    others: Oracle, collection: str, fields: list[str], documents: list[bytes]
) -> None:
    table = others.catalog.by_collection[collection]
    query = others.canonical(parse_query({"select": fields}, table), table)
    assert [row[1] for row in others.run(render_documents(query, table))] == documents


@pytest.mark.parametrize(
    ("collection", "field", "problem"),
    [
        ("seats", "taken_by", "has no field 'taken_by'; did you mean 'takenBy'"),
        ("hidden_key", "id", "has no field 'id'"),
        ("seats", "tekenBy", "has no field 'tekenBy'; did you mean 'takenBy'"),
        ("seats", "zzz", "has no field 'zzz'; it has 'hall', 'seatNumber', 'takenBy', 'note'$"),
        ("wide", "nope", "has no field 'nope'; it has ('\\w+', ){11}'\\w+' and [0-9]+ more$"),
    ],
)
def test_a_field_has_the_name_that_clients_see(others: Oracle, collection: str, field: str, problem: str) -> None:
    with pytest.raises(InvalidQueryError, match=problem):
        parse_query({"select": [field]}, others.catalog.by_collection[collection])


REFUSED: list[tuple[object, str]] = [
    ([], "'select' is a list of one or more fields like"),
    (None, "'select' is a list .*, not None"),
    ("num", "'select' is a list .*, not 'num'"),
    ({"num": True}, "'select' is a list"),
    (True, "'select' is a list"),
    ("*", "'select' is a list"),
    (["*"], "no field '\\*'"),
    ([1], "no field 1"),
    ([None], "no field None"),
    ([["num"]], "no field \\['num'\\]"),
    ([{}], "no field \\{\\}"),
    (["nope"], "collection 'wide' has no field 'nope'"),
    (["nums"], "no field 'nums'; did you mean 'num'"),
    (["num", "bool", "num"], "'select' names 'num' a second time"),
    (["id", "id"], "'select' names 'id' a second time"),
    (["num"] * 100_000, "'select' names 'num' a second time"),
]


@pytest.mark.parametrize(("select", "problem"), REFUSED, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("beside", [{}, {"count": True}, {"doc": 7}])
def test_a_malformed_selection_is_refused_in_plain_words(
    oracle: Oracle, select: object, problem: str, beside: dict[str, object]
) -> None:
    with pytest.raises(InvalidQueryError, match=problem):
        parse_query({"select": select, **beside}, oracle.table)
