"""Filters over JSON mean the same as in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.channels.core.filters.document import Document
from engine.channels.core.filters.filter import compile_filter, read_json
from engine.errors import InvalidQueryError
from tests.support.examples import examples

WORDS = st.sampled_from(["", "a", "b", "ab", "Ab", "ä", "a%", "a_b", "é", "z"])
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.1, 1.0, -0.5, 1e20, 12345678901234567890, 2**70, 1e-7]),
)
SCALARS = st.one_of(st.booleans(), NUMBERS, WORDS)
VALUES = st.recursive(
    st.one_of(st.none(), SCALARS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=6,
)
FIELDS = st.sampled_from(["a", "b", "a.b", "a.0", "b.a", "c"])
LITERALS = VALUES.filter(lambda value: value is not None)
CONDITIONS = st.one_of(
    st.tuples(FIELDS, st.sampled_from(["==", "!=", "array-contains"]), LITERALS).map(list),
    st.tuples(FIELDS, st.sampled_from(["<", "<=", ">", ">="]), SCALARS).map(list),
    st.tuples(FIELDS, st.sampled_from(["in", "not-in", "array-contains-any"]), st.lists(LITERALS, max_size=3)).map(
        list
    ),
    st.tuples(FIELDS, st.sampled_from(["like", "ilike"]), st.sampled_from(["a%", "%b", "_", "A_", "%", "\\%"])).map(
        list
    ),
    st.tuples(FIELDS, st.sampled_from(["is-null", "is-not-null"])).map(list),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"and": items}),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: {"or": items}),
        inner.map(lambda item: {"not": item}),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def sql(pg18: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(pg18.dsn, autocommit=True) as connection:
        yield connection


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def jsonb(value: object) -> str:
    return quoted(json.dumps(value)) + "::jsonb"


def as_sql(spec: Any) -> str:
    """The same filter as an SQL expression over ``data``."""
    if isinstance(spec, dict):
        ((word, inner),) = spec.items()
        if word == "not":
            return f"(not {as_sql(inner)})"
        return "(" + f" {word} ".join(map(as_sql, inner)) + ")"
    path = quoted("{" + ",".join(spec[0].split(".")) + "}")
    value = f"nullif(data #> {path}, 'null')"
    word = spec[1]
    if word in ("is-null", "is-not-null"):
        return f"({value} {word.replace('-', ' ')})"
    literal = spec[2]
    if word in ("==", "!="):
        return f"({value} {'=' if word == '==' else '<>'} {jsonb(literal)})"
    if word in ("in", "not-in"):
        items = " or ".join(f"{value} = {jsonb(item)}" for item in literal) or f"({value} is null and null)"
        return f"({'not ' if word == 'not-in' else ''}({items}))"
    if word in ("array-contains", "array-contains-any"):
        wanted = [literal] if word == "array-contains" else literal
        any_of = "array[" + ",".join(map(jsonb, wanted)) + "]::jsonb[]"
        is_array = f"jsonb_typeof({value}) = 'array'"
        elements = f"jsonb_array_elements(case when {is_array} then {value} end) e"
        return f"(case when {is_array} then exists (select from {elements} where e = any ({any_of})) end)"
    text = f"({value} #>> '{{}}')"
    if word in ("like", "ilike"):
        return f"""(case when jsonb_typeof({value}) = 'string' then {text} collate "C" {word} {quoted(literal)} end)"""
    kind = {"bool": "boolean", "str": "string"}.get(type(literal).__name__, "number")
    cast = {"boolean": "::boolean", "string": ' collate "C"', "number": "::numeric"}[kind]
    right = f"({jsonb(literal)} #>> '{{}}')"
    return f"(case when jsonb_typeof({value}) = {quoted(kind)} then {text}{cast} {word} {right}{cast} end)"


@settings(max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=FILTERS, data=st.lists(st.dictionaries(st.sampled_from("ab"), VALUES, max_size=2), min_size=1, max_size=8))
def test_a_filter_accepts_what_postgres_accepts(sql: psycopg.Connection[Any], spec: Any, data: list[Any]) -> None:
    rows = ",".join(f"({number}, {jsonb(item)})" for number, item in enumerate(data))
    statement = f"select data::text, {as_sql(spec)} from (values {rows}) v (n, data) order by n"
    test = compile_filter([spec])
    for text, truth in sql.execute(statement.encode()).fetchall():
        assert test(Document(read_json(text.encode()))) is truth, (spec, text)


@pytest.mark.parametrize(
    "where",
    [
        "x",
        [["a"]],
        [["a", "==", None]],
        [["a", "~", 1]],
        [["", "==", 1]],
        [["a..b", "==", 1]],
        [["a", "<", [1]]],
        [["a", "in", 1]],
        [["a", "like", 1]],
        [["a", "like", "x\\"]],
        [["a", "like", "%_a_a" * 5_000]],
        [["a", "like", "x" * 600], ["b", "ilike", "x" * 600]],
        [["a", "is-null", 1]],
        [{"and": []}],
        [{"xor": [["a", "==", 1]]}],
        [["a", "==", 1]] * 101,
        [["a", "in", list(range(1001))]],
    ],
)
def test_an_invalid_filter_is_refused_with_a_reason(where: Any) -> None:
    with pytest.raises(InvalidQueryError) as refused:
        compile_filter(where)
    assert len(str(refused.value)) > 10


def test_a_value_nested_deeper_than_any_literal_equals_none() -> None:
    deep: object = 1
    for _ in range(600):
        deep = [deep]
    for operator, literal in (("==", [1]), ("in", [[1]]), ("array-contains", [[1]]), ("array-contains-any", [[1]])):
        assert compile_filter([["a", operator, literal]])(Document({"a": deep})) is False


def asked(where: list[Any], data: object) -> tuple[bool | None, int]:
    """What a filter returns for data, and the steps it takes."""
    document = Document(read_json(json.dumps(data).encode()))
    return compile_filter(where)(document), document.steps


LARGE_OBJECT = {f"key {number}": number for number in range(5_000)}
LARGE = [
    pytest.param("array-contains", list(range(18_000)), lambda: [number + 0.5 for number in range(100)], id="numbers"),
    pytest.param(
        "array-contains", [{"n": n} for n in range(9_000)], lambda: [{"n": -n} for n in range(1, 101)], id="objects"
    ),
    pytest.param("==", list(range(18_000)), lambda: [[*range(17_999), -n] for n in range(1, 101)], id="equal arrays"),
    pytest.param(
        "==", LARGE_OBJECT, lambda: [{**LARGE_OBJECT, "key 0": -n} for n in range(1, 101)], id="equal objects"
    ),
    pytest.param("!=", list(range(6_000)), lambda: [[*range(5_999), -n] for n in range(1, 101)], id="unequal arrays"),
    pytest.param(
        "in", list(range(6_000)), lambda: [[[*range(5_999), -n]] for n in range(1, 101)], id="arrays of a list"
    ),
    pytest.param(
        "array-contains-any", list(range(18_000)), lambda: [[-n, "x"] for n in range(1, 101)], id="any of numbers"
    ),
    pytest.param(
        "like", "b_d" * 40_000, lambda: [f"%abc_{n:03}%" for n in range(100)], id="patterns without their letters"
    ),
    pytest.param("like", "abc_d" * 24_000, lambda: [f"%d{'_' * (n % 4)}ab_b%" for n in range(100)], id="patterns"),
    pytest.param(
        "ilike", "ABC_D" * 24_000, lambda: [f"%D{'_' * (n % 4)}ab_b%" for n in range(100)], id="folded patterns"
    ),
    pytest.param(
        "like", "日本_" * 14_000, lambda: [f"%{chr(0x4E00 + n)}_日_日日%" for n in range(100)], id="rare letters"
    ),
]


@pytest.mark.long
@pytest.mark.parametrize(("word", "value", "literals"), LARGE)
def test_a_hundred_conditions_about_one_large_value_look_at_it_once(
    word: str, value: object, literals: Callable[[], list[object]]
) -> None:
    conditions: list[Any] = [["a", word, literal] for literal in literals()]
    one, steps_of_one = asked(conditions[:1], {"a": value})
    every, steps = asked([{"or": conditions}], {"a": value})
    assert (one, every) == ((True, True) if word == "!=" else (False, False))
    all_of_them, steps_of_and = asked([{"not": {"or": [{"not": item} for item in conditions]}}], {"a": value})
    assert all_of_them is one
    size = len(json.dumps(value, ensure_ascii=False))
    words = 12 * size // 64 if word.endswith("like") else 1  # a few letters of each pattern, 64 places at once
    assert max(steps, steps_of_and) <= steps_of_one + 12 * size + len(conditions) * (100 + words)


def test_many_paths_to_one_value_and_values_within_values_share_what_is_known_of_it() -> None:
    value: object = [{"n": number} for number in range(9_000)]
    names = ["0", "00", "000", "0000"]
    paths = [f"a.{first}.{second}" for first in names for second in names]
    one, steps_of_one = asked([[paths[0], "array-contains", {"n": -1}]], {"a": [[value]]})
    every, steps = asked([{"or": [[path, "array-contains", {"n": -1}] for path in paths]}], {"a": [[value]]})
    assert (one, every) == (False, False)
    assert steps <= steps_of_one + 100 * len(paths)


def test_numbers_whose_hashes_are_equal_do_not_meet_in_one_place() -> None:
    prime = 2**61 - 1  # hash(n) is n modulo this
    values = [number * prime for number in range(3_000)]
    document = Document(read_json(json.dumps({"a": values}).encode()))
    assert (
        compile_filter([["a", "array-contains-any", [number * prime + 1 for number in range(999)]]])(document) is False
    )
    found = document.at(("a",))
    assert found is not None
    assert len({hash(key) for key in found.elements}) == len(values)


@settings(max_examples=examples(150), deadline=None)
@given(
    specs=st.lists(FILTERS, min_size=1, max_size=8), data=st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
)
def test_filters_that_share_a_document_judge_as_each_does_alone(specs: list[Any], data: Any) -> None:
    tests = [compile_filter([spec]) for spec in specs]
    text = json.dumps(data).encode()
    shared = Document(read_json(text))
    assert [test(shared) for test in tests] == [test(Document(read_json(text))) for test in tests]


@pytest.mark.parametrize(
    ("left", "right"),
    [("1", "1.0"), ("10", "1e1"), ("0", "-0.0"), ("1.50", "1.5"), ("1e5000", "1" + "0" * 5000), ("1e-7", "0.00000010")],
    ids=["fraction", "exponent", "zero", "digits", "long", "small"],
)
def test_a_number_is_equal_however_it_is_written(left: str, right: str) -> None:
    for one, other in ((left, right), (right, left)):
        for shape in ("%s", "[%s]", '{"b":[%s]}'):
            literal, document = (
                read_json((shape % one).encode()),
                Document(read_json(b'{"a":%b}' % (shape % other).encode())),
            )
            assert compile_filter([["a", "==", literal]])(document) is True
            assert compile_filter([["a", "in", [literal]]])(document) is True
            listed = Document({"a": [document.data["a"]]})
            assert compile_filter([["a", "array-contains", literal]])(listed) is True
