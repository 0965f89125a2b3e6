"""Index terms: a predicate in a disjunctive form that an index can hold.

Invariant: a row that matches satisfies at least one :class:`IndexTerms`. The reverse need not hold: conditions that an index
cannot use (``!=``, ``like``, null tests, too many combinations) are skipped, which only makes the form wider.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.catalog.model import Table
from engine.query.ir.comparison import NEGATED, comparison_of
from engine.query.ir.model import And, Compare, Not, Or, Predicate

__all__ = ["IndexTerms", "RangeTerm", "index_terms"]

_MAX_TERMS = 256
_SINGLE = frozenset({"==", "!=", "<", "<=", ">", ">=", "like", "ilike"})


@dataclass(frozen=True, slots=True)
class RangeTerm:
    """``low <(=) column <(=) high``: sort values (``Table.sort_value``) of a layout column; None is open."""

    index: int
    low: Any
    low_inclusive: bool
    high: Any
    high_inclusive: bool


@dataclass(frozen=True, slots=True)
class IndexTerms:
    """Column values that must all hold. No terms: every row must be looked at.

    ``equalities``: (layout index, ``Table.equal_value``) by index; never NULL. ``ranges``: by index, at most one each.
    """

    equalities: tuple[tuple[int, Hashable], ...] = ()
    ranges: tuple[RangeTerm, ...] = ()


_EVERY_ROW = IndexTerms()


def index_terms(where: Predicate | None, table: Table, extra: RangeTerm | None = None) -> tuple[IndexTerms, ...]:
    """The disjuncts of ``where``, each narrowed by ``extra`` (from the cursors). None at all: no row can match."""
    found = [_EVERY_ROW] if where is None else _terms(where, table, wanted=True)
    if extra is not None:
        found = _product(found, [IndexTerms(ranges=(extra,))])
    return tuple(dict.fromkeys(found))


def _terms(predicate: Predicate, table: Table, *, wanted: bool) -> list[IndexTerms]:
    """Disjuncts for the predicate being true (``wanted``) or false."""
    match predicate:
        case Not(item):
            return _terms(item, table, wanted=not wanted)
        case And(items) | Or(items):
            parts = [_terms(item, table, wanted=wanted) for item in items]
            return _intersect(parts) if isinstance(predicate, And) is wanted else _unite(parts)
        case Compare():
            return _compare(predicate, table, wanted=wanted)
        case _:
            return [_EVERY_ROW]


def _unite(parts: Sequence[list[IndexTerms]]) -> list[IndexTerms]:
    united = list(dict.fromkeys(terms for part in parts for terms in part))
    return [_EVERY_ROW] if _EVERY_ROW in united or len(united) > _MAX_TERMS else united


def _intersect(parts: Sequence[list[IndexTerms]]) -> list[IndexTerms]:
    """The product of all parts, smallest first; a part that would make it too large is skipped."""
    result = [_EVERY_ROW]
    for part in sorted(parts, key=len):
        if len(part) * len(result) <= _MAX_TERMS:
            result = _product(result, part)
    return result


def _product(left: Sequence[IndexTerms], right: Sequence[IndexTerms]) -> list[IndexTerms]:
    both = (_both(a, b) for a in left for b in right)
    return list(dict.fromkeys(terms for terms in both if terms is not None))


def _both(a: IndexTerms, b: IndexTerms) -> IndexTerms | None:
    """Both hold; None if they contradict each other."""
    equalities = dict(a.equalities)
    for index, value in b.equalities:
        if equalities.setdefault(index, value) != value:
            return None
    ranges: dict[int, RangeTerm] = {}
    for term in (*a.ranges, *b.ranges):
        narrowed = _narrow(ranges[term.index], term) if term.index in ranges else term
        if _is_empty(narrowed):
            return None
        ranges[term.index] = narrowed
    kept = sorted((term for term in ranges.values() if term.index not in equalities), key=lambda term: term.index)
    return IndexTerms(tuple(sorted(equalities.items(), key=lambda pair: pair[0])), tuple(kept))


def _narrow(a: RangeTerm, b: RangeTerm) -> RangeTerm:
    low, low_inclusive = a.low, a.low_inclusive
    if b.low is not None and (low is None or b.low > low or (b.low == low and not b.low_inclusive)):
        low, low_inclusive = b.low, b.low_inclusive
    high, high_inclusive = a.high, a.high_inclusive
    if b.high is not None and (high is None or b.high < high or (b.high == high and not b.high_inclusive)):
        high, high_inclusive = b.high, b.high_inclusive
    return RangeTerm(a.index, low, low_inclusive, high, high_inclusive)


def _is_empty(term: RangeTerm) -> bool:
    if term.low is None or term.high is None:
        return False
    return bool(term.low > term.high) or (term.low == term.high and not (term.low_inclusive and term.high_inclusive))


def _compare(compare: Compare, table: Table, *, wanted: bool) -> list[IndexTerms]:
    operator = compare.operator if wanted else NEGATED.get(compare.operator)
    if operator == "not-in":
        return [] if None in compare.values else [_EVERY_ROW]
    if operator == "in":
        return _equal_to_any(compare, table)
    if compare.operator in _SINGLE and compare.values[0] is None:
        return []  # comparison with NULL is never true and never false
    if operator == "==":
        return _equal_to_any(compare, table)
    if operator not in ("<", "<=", ">", ">="):
        return [_EVERY_ROW]
    comparison = comparison_of(compare, table)
    value = comparison.literal_sort(compare.values[0] or "")
    inclusive = operator.endswith("=")
    if operator.startswith("<"):
        return [IndexTerms(ranges=(RangeTerm(comparison.index, None, True, value, inclusive),))]
    return [IndexTerms(ranges=(RangeTerm(comparison.index, value, inclusive, None, True),))]


def _equal_to_any(compare: Compare, table: Table) -> list[IndexTerms]:
    comparison = comparison_of(compare, table)
    values = [comparison.literal_equal(text) for text in compare.values if text is not None]
    keys = [_integer_text(value) for value in values] if comparison.mixed else values
    return _unite([[IndexTerms(equalities=((comparison.index, key),))] for key in keys if key is not None])


def _integer_text(value: Hashable) -> bytes | None:
    """A ``numeric`` as the integer column's own text, under which the index files it; None if no integer equals it."""
    if isinstance(value, Decimal) and abs(value) < 2**64 and value == value.to_integral_value():
        return str(int(value)).encode()
    return None
