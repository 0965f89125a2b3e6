"""Schemas are compiled once, fetch nothing, and judge any data in bounded time."""

from __future__ import annotations

import socket
from decimal import Decimal
from typing import Any

import pytest

from server.content.errors import PolicyError
from server.content.recursion import may_recurse
from server.content.schema import DataSchema

ITEMS = {
    "type": "object",
    "required": ["items"],
    "properties": {"items": {"type": "array", "items": {"properties": {"price": {"type": "number", "minimum": 0}}}}},
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({"items": [{"price": 1}]}, None),
        ({"items": []}, None),
        ({}, 'data: "items" is a required property'),
        ({"items": [{"price": 1}, {"price": "1"}]}, 'data.items[1].price: the value is not of type "number"'),
        ({"items": [{"price": -1}]}, "data.items[0].price: the value is less than the minimum of 0"),
        ({"items": [], "more": 1}, "data: Additional properties are not allowed ('more' was unexpected)"),
        ([], 'data: the value is not of type "object"'),
        (None, 'data: the value is not of type "object"'),
    ],
)
def test_the_first_thing_that_does_not_fit_is_named_with_its_path(data: Any, problem: str | None) -> None:
    assert DataSchema(ITEMS).problem(data) == problem


def test_what_a_client_sent_is_not_in_the_message_and_names_of_its_properties_are_cut() -> None:
    assert "secret" not in str(DataSchema({"enum": [1]}).problem("secret"))
    assert len(str(DataSchema(ITEMS).problem({"items": [], "x" * 100_000: 1}))) < 400


@pytest.mark.parametrize("schema", [False, {"not": {}}])
def test_a_schema_may_refuse_everything(schema: Any) -> None:
    assert DataSchema(schema).problem({}) is not None
    assert DataSchema(True).problem({}) is None


@pytest.mark.parametrize(
    ("schema", "part"),
    [
        ({"type": "nope"}, "schema.type: "),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"$schema": "https://elsewhere.example/schema"}, "Unknown meta-schema"),
        ({"pattern": "(?=a)b"}, 'schema.pattern: the value is not a "regex"'),
        ({"pattern": r"(a)\1"}, "is not a"),
        ({"pattern": "(a{1000}){1000}"}, "is not a"),
        ({"format": "a-format-of-mine"}, "a-format-of-mine"),
        (5, ""),
    ],
)
def test_what_is_no_usable_schema_is_refused_when_it_is_compiled(schema: Any, part: str) -> None:
    with pytest.raises(PolicyError) as refused:
        DataSchema(schema)
    assert part in str(refused.value)


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}/schema", "file:///etc/hostname", "schema.json"])
def test_no_reference_to_another_resource_is_fetched(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        for schema in ({"$ref": address.format(port=listener.getsockname()[1])}, {"$schema": address}):
            with pytest.raises(PolicyError):
                DataSchema(schema)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_pattern_that_would_backtrack_for_ever_is_judged_in_linear_time() -> None:
    """With backtracking this would outlast the universe."""
    assert DataSchema({"pattern": "^(a|a)*(a+)+$"}).problem("a" * 100_000 + "b") is not None
    assert DataSchema({"patternProperties": {"^(a+)+$": False}}).problem({"a" * 50_000 + "b": 1}) is None


BRANCHES = [
    {"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"minimum": 0}}},
    {"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"maximum": 9}}, "required": ["b"]},
]


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_a_schema_that_refers_to_itself_twice_is_judged_in_linear_time(keyword: str) -> None:
    """The work would double with each of 60 levels."""
    schema = DataSchema({"$defs": {"n": {keyword: BRANCHES}}, "$ref": "#/$defs/n"})
    problems = set()
    for leaf in (1, -1, "text"):
        data: dict[str, Any] = {"b": leaf}
        for _ in range(60):
            data = {"a": data, "b": 1}
        problems.add(schema.problem(data))
    assert problems <= {None, "data: it does not fit the schema"}


@pytest.mark.parametrize(
    ("schema", "recursive"),
    [
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, False),
        ({"properties": {"x": {"$ref": "#/$defs/a"}, "y": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}}, False),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/c~1d"}, "c/d": {}}, "$ref": "#/$defs/a"}, False),
        ({"$id": "https://mine.example/s", "type": "string"}, False),
        ({"items": {"$ref": "#"}}, True),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"not": {"$ref": "#/$defs/a"}}}}, True),
        ({"$defs": {"a": {"$anchor": "x"}}, "$ref": "#x"}, True),
        ({"$dynamicRef": "#x", "$dynamicAnchor": "x"}, True),
        ({"$defs": {"a": {"$id": "https://mine.example/a"}}}, True),
        (True, False),
    ],
)
def test_a_schema_that_may_refer_to_itself_is_known(schema: Any, recursive: bool) -> None:
    assert may_recurse(schema) == recursive


def test_numbers_are_judged_with_every_digit() -> None:
    most = DataSchema({"maximum": 9007199254740993, "multipleOf": 1})
    assert most.problem(9007199254740993) is None
    assert most.problem(9007199254740994) is not None
    assert most.problem(Decimal("0.5")) is not None
    assert DataSchema({"type": "integer"}).problem(Decimal("1E+5000")) is None
    assert DataSchema({"maximum": 10}).problem(10**4_200) is not None, "longer ones are no data: Python's own limit"
