"""LIKE against PostgreSQL's, and against patterns made to be slow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.query.like import like_test, pattern_problem
from server.local_postgres import LocalPostgres

# few letters make near misses (a%a against a); many make the odd characters
_PIECES = st.lists(st.sampled_from(["a", "b", "%", "_"]), max_size=5) | st.lists(
    st.sampled_from(["a", "b", "A", "é", "😀", "%", "_", "\\%", "\\_", "\\\\", "\\a", "\n"]), max_size=7
)
_VALUES = st.text("ab", max_size=4) | st.text("abAé😀%_\\\n", max_size=7)


@pytest.fixture(scope="module", params=["pg18", "pg15"])
def connection(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    with psycopg.connect(server.dsn, autocommit=True) as found:
        yield found


@settings(max_examples=400, deadline=None)
@given(pieces=_PIECES, values=st.lists(_VALUES, min_size=1, max_size=12))
@example(pieces=["a", "%", "a"], values=["a", "aa"])
@example(pieces=["%", "b", "%", "b"], values=["ab", "bb", "bab"])
def test_like_and_ilike_match_as_postgres_does(
    connection: psycopg.Connection, pieces: list[str], values: list[str]
) -> None:
    pattern = "".join(pieces)
    row = connection.execute(
        'select array_agg(v like %s order by n), array_agg(v collate "C" ilike %s order by n) '
        "from unnest(%s::text[]) with ordinality as u (v, n)",
        [pattern, pattern, values],
    ).fetchone()
    assert row is not None
    for ignore_case, expected in zip((False, True), row, strict=True):
        test = like_test(pattern, ignore_case=ignore_case)
        assert [test(value.encode()) for value in values] == expected


@pytest.mark.parametrize(
    ("pattern", "bad"), [("a\\", True), ("a\\\\", False), ("\\", True), ("", False), ("\\%", False)]
)
def test_a_pattern_that_ends_in_its_escape_is_told_apart(pattern: str, bad: bool) -> None:
    assert (pattern_problem(pattern) is not None) is bad


async def test_a_pattern_of_many_wildcards_is_not_exponential() -> None:
    test = like_test("%a" * 200 + "%b", ignore_case=True)
    assert await asyncio.wait_for(asyncio.to_thread(test, b"a" * 5_000), 30) is False
