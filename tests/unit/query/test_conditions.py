"""The grammar of conditions: builder queries and channel filters accept and refuse the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.catalog.model import Table
from engine.channels.core.filters.filter import compile_filter
from engine.errors import InvalidQueryError
from engine.query.builder.where import WhereParser
from engine.query.ir.conditions import MAX_CONDITIONS, MAX_DEPTH, MAX_VALUES
from engine.query.ir.like import MAX_PATTERN
from engine.values.pg_types import Column, TypeInfo
from tests.support import VECTORS

CONDITIONS: dict[str, list[Any]] = json.loads((VECTORS / "conditions.json").read_text())
COLUMNS = (
    Column("name", 1, TypeInfo(25, "text", "base", category="S"), field="name"),
    Column("n", 2, TypeInfo(1700, "numeric", "base", category="N"), field="n"),
    Column("tags", 3, TypeInfo(3802, "jsonb", "base"), field="tags"),
)
Read = Callable[[object], object]
TABLE = Table(1, "public", "items", "items", COLUMNS, (0,), (0,))


def build(where: object) -> object:
    return WhereParser(TABLE).conditions(where)


def is_refused(read: Read, where: object) -> bool:
    try:
        read(where)
    except InvalidQueryError:
        return True
    return False


READERS = pytest.mark.parametrize("read", [build, compile_filter])


@READERS
def test_every_valid_condition_is_read(read: Read) -> None:
    for condition in CONDITIONS["valid"]:
        read([condition])


@READERS
def test_every_invalid_condition_is_refused(read: Read) -> None:
    for condition in CONDITIONS["invalid"]:
        assert is_refused(read, [condition]), condition


@READERS
def test_the_largest_conditions_are_read_and_the_next_size_is_refused(read: Read) -> None:
    def nested(depth: int) -> object:
        return ["n", "is-null"] if depth == 1 else {"not": nested(depth - 1)}

    for sized, largest in (
        (lambda size: [nested(size)], MAX_DEPTH),
        (lambda size: [["n", "==", 1]] * size, MAX_CONDITIONS),
        (lambda size: [["n", "in", [1] * size]], MAX_VALUES),
        (lambda size: [["n", "in", [1] * (size - 1)], ["n", "==", 1]], MAX_VALUES),
        (lambda size: [["name", "like", "a" * size]], MAX_PATTERN),
        (lambda size: [["name", "like", "a"], ["name", "ilike", "a" * (size - 1)]], MAX_PATTERN),
    ):
        read(sized(largest))
        with pytest.raises(InvalidQueryError):
            read(sized(largest + 1))


@READERS
def test_one_condition_in_place_of_a_list_is_refused_with_the_list_to_write(read: Read) -> None:
    with pytest.raises(InvalidQueryError, match=r"write \[\['n', '==', 1\]\]"):
        read(["n", "==", 1])
