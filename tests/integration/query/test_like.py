"""LIKE against PostgreSQL's, and against patterns made to be slow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.query.ir.like import MAX_PATTERN, Like, Text, like_test, pattern_problem
from server.cli.local_postgres import LocalPostgres
from tests.support.examples import examples

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


@settings(max_examples=examples(150), deadline=None)
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
def test_a_pattern_that_ends_in_its_escape_is_recognised(pattern: str, bad: bool) -> None:
    assert (pattern_problem(pattern) is not None) is bad


@settings(max_examples=examples(150), deadline=None)
@given(
    pieces=st.lists(st.sampled_from(["a", "b", "é", "%", "_", "%_", "_a", "b_a", "😀"]), min_size=2, max_size=9),
    texts=st.lists(st.text("abé😀", min_size=1, max_size=5), min_size=1, max_size=4),
    end=st.text("abé", max_size=3),
)
@example(pieces=["%_", "b_a", "%"], texts=["a", "abba"], end="")
def test_long_text_is_like_a_pattern_exactly_as_in_postgres(
    connection: psycopg.Connection, pieces: list[str], texts: list[str], end: str
) -> None:
    # thousands of characters, so that segments with wildcards are found bit-parallel, over several windows
    pattern, value = "".join(pieces), "".join(text * 1500 for text in texts) + end
    row = connection.execute(
        'select %(v)s::text like %(p)s, %(v)s::text collate "C" ilike %(p)s', {"v": value, "p": pattern}
    ).fetchone()
    assert row == tuple(like_test(pattern, ignore_case=folded)(value.encode()) for folded in (False, True))


WORST = [
    "%_a" + "_a" * 490 + "b%",
    "%_a" * 330 + "b%",
    "%" + "_a%" * 320 + "b_b%",
    "%a" * 490 + "%b",
    "%" + "a" * 900 + "b_%",
    "%" + "_é" * 480 + "b%",
    "%" + "".join(f"{chr(0x4E00 + number)}_" for number in range(490)) + "%",
    "_" * 990 + "%_a%",
]


@pytest.mark.parametrize("pattern", WORST, ids=lambda pattern: pattern[:12])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_the_work_of_the_worst_patterns_grows_no_faster_than_the_text(pattern: str, letter: str) -> None:
    assert pattern_problem(pattern, MAX_PATTERN) is None
    steps = []
    for size in (30_000, 60_000, 120_000):
        test = Like(pattern, ignore_case=False)
        test((letter * size).encode())
        steps.append(test.steps)
        assert test.steps <= 20 * size + len(pattern) * (size / 16 + len(pattern) / 16 + 100)
    assert steps[2] <= 2.2 * steps[1] + 10_000


def test_a_pattern_beyond_the_bound_is_refused_with_the_bound_in_words() -> None:
    assert pattern_problem("%" * 1_001, MAX_PATTERN) == (
        "its 1001 characters are too many: the like patterns of a query or filter have at most 1000 together"
    )
    assert pattern_problem("%" * 1_001) is None


@pytest.mark.parametrize("letters", ["abcdé" * 10_000, "a" * 100_000])
def test_patterns_that_are_matched_against_one_text_share_its_rows(letters: str) -> None:
    patterns = [Like(f"%a_{'_' * number}aéb%", ignore_case=False) for number in range(60)]
    apart = sum((pattern(letters.encode()), pattern.steps)[1] for pattern in patterns)
    text = Text(letters, ignore_case=False)
    assert not any(pattern.matches(text) for pattern in patterns)
    first = Text(letters, ignore_case=False)
    patterns[0].matches(first)
    assert text.steps <= first.steps + len(letters) + len(patterns) * (100 + 8 * len(letters) // 64)
    assert text.steps <= apart


def test_the_rows_of_a_text_with_many_letters_take_bounded_memory() -> None:
    letters = "".join(chr(0x4E00 + number % 900) for number in range(300_000))
    text = Text(letters, ignore_case=False)
    pattern = Like(
        "%" + "".join(f"{chr(0x4E00 + (7 * number) % 900)}_" for number in range(400)) + "%", ignore_case=False
    )
    tracemalloc.start()
    try:
        assert not pattern.matches(text)
        for number in range(300):
            text.window(chr(0x4E00 + number), 0, 64)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept <= 6 << 20


def test_patterns_of_many_queries_about_one_value_share_what_is_known_of_it() -> None:
    value = b"abcd" * 30_000
    patterns = [Like(f"%a_{'_' * number}dcb%", ignore_case=number % 2 == 1) for number in range(60)]
    assert not any(pattern(value) for pattern in patterns)
    assert sum(pattern.steps for pattern in patterns[2:]) <= 58 * (100 + 8 * len(value) // 64)
