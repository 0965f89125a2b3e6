"""The indexes find exactly what trying everything finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.live.core.index.intervals import IntervalIndex, high_end, low_end
from engine.live.core.index.matcher import Matcher
from engine.transaction import UNCHANGED

ends = st.one_of(st.none(), st.integers(0, 12))


@given(st.lists(st.tuples(ends, st.booleans(), ends, st.booleans()), max_size=80), st.data())
def test_a_value_finds_the_ranges_that_contain_it(
    ranges: list[tuple[Any, bool, Any, bool]], data: st.DataObject
) -> None:
    index: IntervalIndex[int] = IntervalIndex()
    handles = [
        index.add(low_end(low, inclusive=li), high_end(high, inclusive=hi), number)
        for number, (low, li, high, hi) in enumerate(ranges)
    ]
    removed = data.draw(st.sets(st.sampled_from(range(len(ranges))))) if ranges else set()
    for number in removed:
        index.remove(handles[number])
    for value in range(-1, 14):
        expected = {
            number
            for number, (low, li, high, hi) in enumerate(ranges)
            if number not in removed
            and (low is None or low < value or (li and low == value))
            and (high is None or value < high or (hi and high == value))
        }
        found = list(index.stab(value))
        assert set(found) == expected
        assert len(found) == len(expected)


@dataclass(frozen=True)
class Range:
    index: int
    low: Any
    low_inclusive: bool
    high: Any
    high_inclusive: bool


@dataclass(frozen=True)
class Terms:
    equalities: tuple[tuple[int, Any], ...] = ()
    ranges: tuple[Range, ...] = ()


values = st.integers(0, 3)
terms = st.one_of(
    st.dictionaries(st.integers(0, 2), values, min_size=1).map(lambda d: Terms(tuple(sorted(d.items())))),
    st.builds(
        lambda i, a, b, c, d: Terms(ranges=(Range(i, a, b, c, d),)),
        st.integers(0, 2),
        ends,
        st.booleans(),
        ends,
        st.booleans(),
    ),
    st.just(Terms()),
)
rows = st.tuples(*[st.one_of(st.none(), st.just(UNCHANGED), values.map(lambda v: str(v).encode()))] * 3)


def may_match(one: Terms, row: tuple[bytes | None, ...]) -> bool:
    for index, value in one.equalities:
        if row[index] is not UNCHANGED and (row[index] is None or int(row[index] or 0) != value):
            return False
    for term in one.ranges:
        text = row[term.index]
        if text is UNCHANGED:
            continue
        if text is None:
            return False
        value = int(text)
        if term.low is not None and not (term.low < value or (term.low_inclusive and term.low == value)):
            return False
        if term.high is not None and not (value < term.high or (term.high_inclusive and term.high == value)):
            return False
    return True


@given(st.lists(st.lists(terms, min_size=1, max_size=3), max_size=20), rows, st.data())
def test_no_query_that_could_match_is_missed(
    queries: list[list[Terms]], row: tuple[bytes | None, ...], data: st.DataObject
) -> None:
    matcher: Matcher[int] = Matcher([int] * 3, [int] * 3)
    for number, query in enumerate(queries):
        matcher.add(number, query)  # type: ignore[arg-type]
    removed = data.draw(st.sets(st.sampled_from(range(len(queries))))) if queries else set()
    for number in removed:
        matcher.remove(number, queries[number])  # type: ignore[arg-type]
    found = matcher.candidates(row, whole=UNCHANGED not in row)
    assert len(set(found)) == len(found)
    expected = {
        number
        for number, query in enumerate(queries)
        if number not in removed and any(may_match(a, row) for a in query)
    }
    assert expected <= set(found)
    if UNCHANGED not in row:
        assert set(found) == expected
