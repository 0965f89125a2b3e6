"""A predicate as a function from row to bool, with SQL's three-valued logic.

Each node compiles to one of two questions, "is it true?" or "is it false?"; NOT swaps them, and NULL answers no to both.
So unknown never needs a value of its own, and the functions stay two-valued and short.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from engine.catalog.model import Table
from engine.postgres.oids import TEXT_OIDS
from engine.query.ir.comparison import (
    NEGATED,
    Comparison,
    NotIncrementalError,
    comparison_of,
    describe,
    indexed_column,
)
from engine.query.ir.latest import LONG, latest
from engine.query.ir.like import MAX_PATTERN, like_test, pattern_problem
from engine.query.ir.model import And, Compare, IsNull, Not, NotNull, Or, Predicate
from engine.transaction import Row
from engine.values import codec_for, same
from engine.values.exact_json import canonical_number
from engine.values.nested import array_elements, record_fields
from engine.values.pg_types import Column

__all__ = ["Test", "compile_predicate", "predicate_columns"]

Test = Callable[[Row], bool]

_ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compile_predicate(predicate: Predicate, table: Table, *, wanted: bool = True) -> Test:
    """A test whether the predicate is true (``wanted``) or false for a row in the table's layout.

    Raises ``NotIncrementalError``. No value of the row in ``predicate_columns`` may be ``UNCHANGED``.
    """
    match predicate:
        case Not(item):
            return compile_predicate(item, table, wanted=not wanted)
        case And(items) | Or(items):
            tests = [compile_predicate(item, table, wanted=wanted) for item in items]
            return _all(tests) if isinstance(predicate, And) is wanted else _any(tests)
        case IsNull(name) | NotNull(name):
            return _null_test(*indexed_column(name, table), null=isinstance(predicate, IsNull), wanted=wanted)
        case Compare():
            return _compare(predicate, table, wanted=wanted)


def predicate_columns(predicate: Predicate) -> frozenset[str]:
    """The names of the columns the predicate reads."""
    match predicate:
        case Not(item):
            return predicate_columns(item)
        case And(items) | Or(items):
            return frozenset().union(*(predicate_columns(item) for item in items))
        case IsNull(name) | NotNull(name) | Compare(name):
            return frozenset({name})


def _all(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda row: first(row) and second(row)
    every = tuple(tests)

    def test(row: Row) -> bool:
        for part in every:  # noqa: SIM110 - a loop is faster than all() over a generator
            if not part(row):
                return False
        return True

    return test


def _any(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda row: first(row) or second(row)
    every = tuple(tests)

    def test(row: Row) -> bool:
        for part in every:  # noqa: SIM110 - a loop is faster than any() over a generator
            if part(row):
                return True
        return False

    return test


def _never(row: Row) -> bool:
    return False


def _always(row: Row) -> bool:
    return True


def _null_test(column: Column, index: int, *, null: bool, wanted: bool) -> Test:
    """Of a composite the fields count too, but not the fields of its fields (ExecEvalRowNullInt in execExprInterp.c)."""
    type_ = column.type.underlying
    if type_.kind != "composite":
        return (lambda row: row[index] is None) if null is wanted else (lambda row: row[index] is not None)

    def holds(row: Row) -> bool:
        value = row[index]
        if value is None or not type_.fields:
            return null if value is None else True
        return all((field is None) is null for field in record_fields(value))

    return holds if wanted else (lambda row: not holds(row))


def _compare(compare: Compare, table: Table, *, wanted: bool) -> Test:
    if compare.operator in ("array-contains", "array-contains-any"):
        return _array(compare, table, wanted=wanted)
    if compare.operator in ("like", "ilike"):
        return _like(compare, table, wanted=wanted)
    effective = compare.operator if wanted else NEGATED[compare.operator]
    comparison = comparison_of(compare, table)
    if effective in ("in", "not-in"):
        return _in(comparison, compare.values, negated=effective == "not-in")
    literal = compare.values[0]
    if effective in ("==", "!="):
        row_equal = comparison.row_equal()
        if literal is None:
            return _never
        return _equal(comparison.index, row_equal, comparison.literal_equal(literal), negated=effective == "!=")
    row_sort = comparison.row_sort()
    if literal is None:
        return _never
    return _ordered(comparison.index, row_sort, _ORDERED[effective], comparison.literal_sort(literal))


def _equal(index: int, key: Callable[[bytes], Hashable], wanted: Hashable, *, negated: bool) -> Test:
    if key is same:
        if negated:
            return lambda row: (value := row[index]) is not None and value != wanted
        return lambda row: row[index] == wanted  # None is equal to no bytes
    if negated:
        return lambda row: (value := row[index]) is not None and key(value) != wanted
    return lambda row: (value := row[index]) is not None and key(value) == wanted


def _ordered(index: int, key: Callable[[bytes], Any], holds: Callable[[Any, Any], bool], limit: Any) -> Test:
    return lambda row: (value := row[index]) is not None and holds(key(value), limit)


def _in(comparison: Comparison, texts: Sequence[str | None], *, negated: bool) -> Test:
    """``= any(...)``: an empty list is false even for NULL; a NULL in the list is unknown where nothing else matches."""
    index, key = comparison.index, comparison.row_equal()
    if not texts:
        return _always if negated else _never
    if negated and None in texts:
        return _never
    members = frozenset(comparison.literal_equal(text) for text in texts if text is not None)
    if negated:
        return lambda row: (value := row[index]) is not None and key(value) not in members
    return lambda row: (value := row[index]) is not None and key(value) in members


def _like(compare: Compare, table: Table, *, wanted: bool) -> Test:
    column, index = indexed_column(compare.column, table)
    collation = column.collation
    if column.type.underlying.oid not in TEXT_OIDS or compare.type != "text" or collation is None:
        raise NotIncrementalError(f"{compare.operator} on {describe(column)} cannot be reproduced")
    ignore_case = compare.operator == "ilike"
    if not (collation.deterministic and collation.characters and collation.injective) or (
        ignore_case and not collation.ascii_case
    ):
        raise NotIncrementalError(f"{compare.operator} on {describe(column)} cannot be reproduced")
    pattern = compare.values[0]
    if pattern is None:
        return _never
    if problem := pattern_problem(pattern, MAX_PATTERN):
        raise NotIncrementalError(problem)
    matches = like_test(pattern, ignore_case=ignore_case)
    if wanted:
        return lambda row: (value := row[index]) is not None and matches(value)
    return lambda row: (value := row[index]) is not None and not matches(value)


def _array(compare: Compare, table: Table, *, wanted: bool) -> Test:
    """``column @> array[value]`` and ``column && array[values]``: a NULL element is equal to nothing."""
    column, index = indexed_column(compare.column, table)
    element = column.type.underlying.element
    key = codec_for(element, column.collation).equal if element else None
    if element is None or key is None or compare.type not in (element.name, element.underlying.name):
        raise NotIncrementalError(f"{compare.operator} on {describe(column)} cannot be reproduced")
    elements = _elements(key, element.delimiter.encode())
    members = frozenset(_seeded(key(text.encode())) for text in compare.values if text is not None)

    def contains(value: bytes) -> bool:
        return not members.isdisjoint(elements(value) if len(value) < LONG else latest.of(value, elements))

    if wanted:
        return lambda row: (value := row[index]) is not None and contains(value)
    return lambda row: (value := row[index]) is not None and not contains(value)


@lru_cache(maxsize=64)
def _elements(equal: Callable[[bytes], Hashable], delimiter: bytes) -> Callable[[bytes], frozenset[Hashable]]:
    """The same function for the same arguments, so that what it derives is shared."""
    return lambda value: frozenset(_seeded(equal(item)) for item in array_elements(value, delimiter))


def _seeded(key: Hashable) -> Hashable:
    """The same key as text if it is a number: hashes of numbers can be chosen, so that many fall together in a set."""
    if isinstance(key, Decimal):
        return str(canonical_number(str(key)))
    return repr(key + 0) if isinstance(key, int | float) else key  # -0.0 + 0 is 0.0
