"""What a builder query means, and what is refused: each meaning against SQL written by hand."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from decimal import Decimal

import pytest

from engine.errors import InvalidQueryError
from engine.postgres.statements.statement import Statement
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, NotIncremental, compile_incremental
from engine.query.compile.to_sql import render_documents, render_reread
from tests.integration.query.conftest import Oracle

MEANINGS: list[tuple[list[object], str]] = [
    (["int", "==", 1], "int = 1"),
    (["int", "==", 1.0], "int = 1"),
    (["int", "!=", 1], "int <> 1"),
    (["int", "<", 1.5], "int < 1.5"),
    (["small", "<=", 100000], "small <= 100000"),
    (["big", ">", 1e30], "big > 1e30::numeric"),
    (["int", "in", [1, 2.5]], "int in (1, 2.5)"),
    (["int", "in", []], "int = any('{}'::int[])"),
    (["small", "in", []], "small = any('{}'::int2[])"),
    (["small", "not-in", []], "small <> all('{}'::int2[])"),
    (["small", "not-in", [7]], "small not in (7)"),
    (["num", "==", 1], "num = 1"),
    (["num", ">", "NaN"], "num > 'NaN'"),
    (["num", "<", "Infinity"], "num < 'Infinity'"),
    (["float", "==", 0], "\"float\" = 0"),
    (["float", "==", "NaN"], "\"float\" = 'NaN'"),
    (["real", "==", 0.1], "\"real\" = '0.1'::real"),
    (["priced", ">=", 1.5], "priced >= 1.5"),
    (["bool", "==", True], "bool"),
    (["bool", "!=", True], "not bool"),
    (["bool", "is-null"], "bool is null"),
    (["bool", "is-not-null"], "bool is not null"),
    (["vc", "==", "abcdef"], "vc = 'abcdef'"),
    (["vc", "<", "abcdef"], "vc < 'abcdef'"),
    (["padded", "==", "a"], "padded = 'a'"),
    (["padded", "==", "abcdef"], "padded = 'abcdef'"),
    (["padded", "like", "a%"], "padded like 'a%'"),
    (["padded", "like", "a"], "padded like 'a'"),
    (["text_c", "like", "a\\%b"], "text_c like 'a\\%b'"),
    (["text_c", "ilike", "A%"], "text_c ilike 'A%'"),
    (["text_d", "ilike", "A%"], "text_d ilike 'A%'"),
    (["text_c", "==", "null"], "text_c = 'null'"),
    (["uid", "==", "A0EEBC999C0B4EF8BB6D6BB9BD380A11"], "uid = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    (["at", ">", "2024-01-01T02:00:00.25+02:00"], "at > '2024-01-01 00:00:00.25+00'"),
    (["day", "<", "2024-03-01"], "day < '2024-03-01'"),
    (["span", "==", "30 days"], "span = '1 mon'"),
    (["clock", "<", "10:00:00+00"], "clock < '10:00:00+00'"),
    (["mood", ">", "sad"], "mood > 'sad'"),
    (["raw", ">", "\\x00"], "raw > '\\x00'"),
    (["ints", "==", [1, 2]], "ints = '{1,2}'"),
    (["ints", "==", [[1, 2], [3, 4]]], "ints = '{{1,2},{3,4}}'"),
    (["ints", "array-contains", 2], "ints @> array[2]"),
    (["texts", "array-contains", "b c"], "texts @> array['b c']"),
    (["texts", "array-contains-any", ["a", "NULL"]], "texts && array['a', 'NULL']"),
    (["texts", "array-contains-any", []], "texts && '{}'"),
    (["moods", "array-contains", "ok"], "moods @> array['ok'::mood]"),
    (["doc", "array-contains", {"a": [{"b": 1}]}], "doc @> '{\"a\": [{\"b\": 1}]}'"),
    (["doc", "array-contains-any", [{"x": 1}, {"a": [1]}]], "doc @> '{\"x\": 1}' or doc @> '{\"a\": [1]}'"),
    (["doc", "==", {"a": [1, {"b": 1}]}], "doc = '{\"a\": [1, {\"b\": 1.00}]}'"),
    (["texts", "<", ["b"]], "texts < '{b}'"),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "sql"), MEANINGS, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("negated", [False, True])
def test_a_condition_means_this_sql(oracle: Oracle, condition: list[object], sql: str, negated: bool) -> None:
    spec = {"where": [{"not": condition} if negated else condition]}
    query = oracle.canonical(parse_query(spec, oracle.table))
    where = f"not ({sql})" if negated else f"({sql})"
    expected = [row[0] for row in oracle.run(Statement(f"select format('%s', id) from wide where {where} order by id"))]
    assert [row[0] for row in oracle.run(render_documents(query, oracle.table))] == expected
    plan = compile_incremental(query, oracle.table)
    if isinstance(plan, IncrementalPlan):
        assert [plan.doc_id(row).encode() for row in oracle.rows if plan.matches(row)] == expected


WHOLE: list[tuple[dict[str, object], str]] = [
    ({}, "order by id"),
    ({"where": []}, "order by id"),
    ({"where": [["int", "==", 1], ["bool", "==", True]]}, "where int = 1 and bool order by id"),
    ({"where": [{"or": [["int", "==", 1], {"and": [["bool", "==", True], ["int", "==", 2]]}]}]},
     "where int = 1 or bool and int = 2 order by id"),
    ({"orderBy": ["num"]}, "order by num, id"),
    ({"orderBy": [["num", "desc"]], "limit": 7}, "order by num desc, id limit 7"),
    ({"orderBy": [["num", "desc", "nulls-last"], ["day"]]}, "order by num desc nulls last, day, id"),
    ({"orderBy": [["mood", "asc", "nulls-first"]]}, "order by mood nulls first, id"),
    ({"orderBy": [["id", "desc"]], "limit": 3}, "order by id desc limit 3"),
    ({"orderBy": ["int"], "startAt": [1]}, "where int >= 1 order by int, id"),
    ({"orderBy": ["int"], "startAfter": [1, 100]}, "where (int, id) > (1, 100) order by int, id"),
    ({"orderBy": [["int", "desc"]], "startAfter": [1, 100]},
     "where int < 1 or int = 1 and id > 100 order by int desc, id"),
    ({"orderBy": ["small"], "startAfter": [7]}, "where small > 7 or small is null order by small, id"),
    ({"orderBy": ["small"], "startAt": [None]}, "where small is null order by small, id"),
    ({"orderBy": ["small"], "endBefore": [None]}, "where small is not null order by small, id"),
    ({"orderBy": ["small"], "endAt": [7]}, "where small <= 7 order by small, id"),
    ({"startAt": [10], "endBefore": [20]}, "where id >= 10 and id < 20 order by id"),
    ({"doc": 7}, "where id = 7"),
    ({"doc": "7"}, "where id = 7"),
    ({"doc": ["7"], "where": [["id", ">", 7]]}, "where false"),
    ({"orderBy": ["small"], "startAfter": {"doc": "100", "values": [7]}},
     "where small > 7 or small = 7 and id > 100 or small is null order by small, id"),
    ({"orderBy": ["small"], "endAt": {"doc": "100", "values": [None]}},
     "where small is not null or id <= 100 order by small, id"),
    ({"orderBy": [["id", "desc"], "small"], "startAt": {"doc": "100", "values": [99, 7]}},
     "where id < 100 or id = 100 and (small >= 7 or small is null) order by id desc"),
    ({"endBefore": {"doc": "20", "values": []}}, "where id < 20 order by id"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "sql"), WHOLE, ids=lambda value: str(value)[:60])
def test_a_query_means_this_sql(oracle: Oracle, spec: dict[str, object], sql: str) -> None:
    query = oracle.canonical(parse_query(spec, oracle.table))
    expected = [row[0] for row in oracle.run(Statement(f"select format('%s', id) from wide {sql}"))]
    assert [row[0] for row in oracle.run(render_documents(query, oracle.table))] == expected
    plan = compile_incremental(query, oracle.table)
    assert isinstance(plan, IncrementalPlan)
    ours = sorted((row for row in oracle.rows if plan.matches(row)), key=plan.sort_key)[: plan.limit]
    assert [plan.doc_id(row).encode() for row in ours] == expected


COUNTS = [
    ({}, "select count(*) from wide"),
    ({"where": [["int", "==", 1]]}, "select count(*) from wide where int = 1"),
    ({"orderBy": [["num", "desc"]], "limit": 7}, "select 7"),
    ({"where": [["int", "==", 1]], "limit": 10000}, "select count(*) from wide where int = 1"),
    ({"orderBy": ["int"], "startAfter": [1, 100]}, "select count(*) from wide where (int, id) > (1, 100)"),
    ({"doc": 7}, "select 1"),
    ({"doc": 7_000}, "select 0"),
]


@pytest.mark.parametrize(("spec", "sql"), COUNTS, ids=lambda value: str(value)[:60])
def test_a_count_is_the_number_of_these_rows(oracle: Oracle, spec: dict[str, object], sql: str) -> None:
    query = oracle.canonical(parse_query({**spec, "count": True}, oracle.table))
    assert isinstance(compile_incremental(query, oracle.table), NotIncremental)
    [[expected]] = oracle.run(Statement(f"select format('%s', n) from ({sql}) as t(n)"))
    [[id, document]] = oracle.run(render_reread(query, oracle.table))
    assert (id, json.loads(document or b"")) == (b"0", {"count": int(expected or b"")})


def nested(depth: int) -> object:
    condition: object = ["int", "==", 1]
    for _ in range(depth - 1):
        condition = {"not": condition}
    return condition


REFUSED: list[tuple[Mapping[str, object], str]] = [
    ({"count": False}, "'count' is true"),
    ({"count": 1}, "'count' is true"),
    ({"doc": []}, "'doc' is the id of a document, or the values of its key \\(id\\)"),
    ({"doc": [1, 2]}, "'doc' is the id of a document, or the values of its key \\(id\\)"),
    ({"doc": None}, "'id' cannot be compared with null"),
    ({"doc": {"id": 7}}, "is compared with a number"),
    ({"doc": "seven"}, "is compared with a number"),
    ({"orderBy": ["int"], "startAfter": {"doc": "7"}}, "is a list of values, or {'doc': id"),
    ({"orderBy": ["int"], "startAfter": {"doc": "7", "values": 1}}, "is a list of values, or {'doc': id"),
    ({"orderBy": ["int"], "startAfter": {"doc": "7", "values": []}}, "0 values of a document, and 'orderBy' 1 sort keys"),
    ({"orderBy": ["int"], "endAt": {"doc": "x", "values": [1]}}, "is compared with a number"),
    ({"filter": []}, "no 'filter'"),
    ({"where": {"int": 1}}, "'where' is a list of conditions"),
    ({"where": ["int", "==", 1]}, "is a list of conditions; write"),
    ({"where": [["nope", "==", 1]]}, "no field 'nope'"),
    ({"where": [[["int"], "==", 1]]}, "no field"),
    ({"where": [["int", "~", 1]]}, "no operator '~'"),
    ({"where": [["int", {}, 1]]}, "no operator"),
    ({"where": [["int", "=="]]}, "needs a value"),
    ({"where": [["int", "is-null", 1]]}, "takes no value"),
    ({"where": [["int", "==", 1, 2]]}, "a condition is"),
    ({"where": [["int", "==", None]]}, "use \\['int', 'is-null'\\]"),
    ({"where": [["doc", "==", None]]}, "is-null"),
    ({"where": [["int", "in", [None]]]}, "is-null"),
    ({"where": [["int", "==", "one"]]}, "field 'int'.*number, not with 'one'"),
    ({"where": [["int", "==", True]]}, "number, not with True"),
    ({"where": [["float", "==", float("nan")]]}, "number, .* not with nan"),
    ({"where": [["float", "==", "nan"]]}, "number, 'NaN'"),
    ({"where": [["bool", "==", 1]]}, "true or false"),
    ({"where": [["text_c", "==", 1]]}, "string, not with 1"),
    ({"where": [["text_c", "==", "a\0b"]]}, "U\\+0000"),
    ({"where": [["text_c", "==", "\ud800"]]}, "not Unicode"),
    ({"where": [["at", ">", "now"]]}, "depends on when it is read"),
    ({"where": [["at", ">", "today10:00"]]}, "depends on when it is read"),
    ({"where": [["int", "in", 1]]}, "takes a list"),
    ({"where": [["int", "in", list(range(1001))]]}, "at most 1000 values"),
    ({"where": [["int", "==", 1]] * 101}, "at most 100 conditions"),
    ({"where": [nested(33)]}, "more than 32 deep"),
    ({"where": [{"xor": []}]}, "a group of conditions"),
    ({"where": [{"and": [], "or": []}]}, "a group of conditions"),
    ({"where": [{"and": []}]}, "'and' is a list of one or more"),
    ({"where": [{"or": ["int", "==", 1]}]}, "'or' is a list"),
    ({"where": [["int", "like", "a"]]}, "not text"),
    ({"where": [["text_c", "like", "a\\"]]}, "must not end with"),
    ({"where": [["int", "array-contains", 1]]}, "not an array"),
    ({"where": [["plain", "array-contains", 1]]}, "not an array"),
    ({"where": [["ints", "array-contains", 1.5]]}, "element type integer"),
    ({"where": [["ints", "array-contains", None]]}, "null"),
    ({"where": [["ints", "==", 1]]}, "an array, not with 1"),
    ({"orderBy": "int"}, "'orderBy' is a list"),
    ({"orderBy": [["int", "down"]]}, "'asc' or 'desc', not 'down'"),
    ({"orderBy": [["int", "asc", "first"]]}, "'nulls-first' or 'nulls-last'"),
    ({"orderBy": ["int", "int"]}, "a second time"),
    ({"orderBy": [[]]}, "an 'orderBy' entry"),
    ({"limit": 0}, "1 to 10000, not 0"),
    ({"limit": 10001}, "10001"),
    ({"limit": True}, "True"),
    ({"limit": 1.5}, "1.5"),
    ({"startAt": [1], "startAfter": [1]}, "either"),
    ({"startAt": []}, "one for each sort key"),
    ({"orderBy": ["int"], "startAt": [1, 2, 3]}, "3 values, but the sort keys are: int, id"),
    ({"orderBy": ["int"], "endAt": [None]}, "never null"),
    ({"orderBy": ["small"], "endAt": ["1,5"]}, "field 'small'.*number, not with '1,5'"),
    ({"where": [["small", "==", "0x1F"]]}, "number, not with '0x1F'"),
    ({"where": [["num", "==", " 1"]]}, "number, 'NaN', 'Infinity' or '-Infinity', not with ' 1'"),
    ({"where": [["num", "==", "1e999999999999999999999"]]}, "field 'num': 1e999999999999999999999 is not a number"),
    ({"where": [["num", "==", "1" * 20_001]]}, "number"),
    ({"where": [["num", "==", Decimal("1e20000")]]}, "a number of 20001 digits"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "message"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_malformed_query_is_refused_in_plain_words(oracle: Oracle, spec: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidQueryError, match=message):
        parse_query(spec, oracle.table)


def test_nesting_of_32_is_accepted(oracle: Oracle) -> None:
    assert parse_query({"where": [nested(32)]}, oracle.table).where is not None


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (["uid", "==", "nonsense"], "field 'uid': 'nonsense' is not a value of type uuid"),
        (["at", ">", "2024-13-01"], "2024-13-01.*timestamp with time zone"),
        (["mood", "in", ["ok", "grumpy"]], "'grumpy' is not a value of type public.mood"),
        (["float", "==", Decimal("1e400")], "field 'float': '1E\\+400' is not a value of type double precision"),
        (["plain", "==", {"a": 1}], "field 'plain' \\(json\\) has no operator '=='"),
        (["place", "==", "(1,2)"], "field 'place' \\(point\\) has no operator '=='"),
        (["doc", "==", "\u0000"], "not a value of type jsonb"),
    ],
)
def test_a_query_that_postgres_does_not_accept_is_refused_at_once(
    oracle: Oracle, condition: list[object], message: str
) -> None:
    query = parse_query({"where": [["int", "==", 1], condition]}, oracle.table)
    with pytest.raises(InvalidQueryError, match=message):
        oracle.canonical(query)
    assert oracle.run(Statement("select 1")) == [(b"1",)]


def test_an_order_that_postgres_does_not_have_is_refused(oracle: Oracle) -> None:
    with pytest.raises(InvalidQueryError, match="'orderBy': field 'place' \\(point\\)"):
        oracle.canonical(parse_query({"orderBy": ["place"]}, oracle.table))


def test_a_moment_is_the_same_query_however_it_is_written(oracle: Oracle) -> None:
    texts = ["2024-01-01T00:00:00Z", "2024-01-01 02:00+02", "January 1, 2024 00:00 UTC"]
    queries = {oracle.canonical(parse_query({"where": [["at", "==", text]]}, oracle.table)) for text in texts}
    assert len(queries) == 1


def test_a_refused_value_leaves_the_callers_transaction_alone(oracle: Oracle) -> None:
    query = parse_query({"where": [["uid", "==", "nonsense"]]}, oracle.table)
    oracle.execute("begin")
    oracle.execute(f"create temp table kept_{datetime.datetime.now().microsecond} ()")
    with pytest.raises(InvalidQueryError):
        oracle.canonical(query)
    assert oracle.run(Statement("select 1")) == [(b"1",)]
    oracle.execute("rollback")
