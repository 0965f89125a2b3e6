"""The tokens of SQL are PostgreSQL's: where strings, names, comments and placeholders begin and end."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InvalidQueryError
from engine.query.sql.parsing.lexer import Edit, apply, normalise, place, statement, tokenize
from tests.support.examples import examples


@pytest.mark.parametrize(
    ("sql", "texts"),
    [
        ("select $1::text", ["select", "$1", ":", ":", "text"]),
        ("a$1 $2", ["a$1", "$2"]),
        ("'it''s' \"a\"\"b\"", ["'it''s'", '"a""b"']),
        ("'a\\' 'b'", ["'a\\'", "'b'"]),
        ("E'a\\' -- b' c", ["E'a\\' -- b'", "c"]),
        ("e'\\\\' d", ["e'\\\\'", "d"]),
        ("$$it's $1$$ $a$ $$ $b$ $a$", ["$$it's $1$$", "$a$ $$ $b$ $a$"]),
        ("1 /* a /* $1 */ ; */ 2 -- $1\n3", ["1", "2", "3"]),
        ("1.5e-3 .5 1_000 0x1F 1e5", ["1.5e-3", ".5", "1_000", "0x1F", "1e5"]),
        ("a--b", ["a"]),
        ("caf\u00e9 \u00fcber$x", ["caf\u00e9", "\u00fcber$x"]),
        ("B'101' n'x'", ["B", "'101'", "n", "'x'"]),
    ],
)
def test_tokens_are_those_of_postgres(sql: str, texts: list[str]) -> None:
    assert [token.text for token in tokenize(sql)] == texts


@pytest.mark.parametrize("sql", ["'", '"', '""', "$a$ $b$", "/*", "/* /* */", "\\", "\x01", "U&'x'", 'u&"x"', "e'\\'"])
def test_unterminated_text_and_text_that_is_no_sql_is_invalid(sql: str) -> None:
    with pytest.raises(InvalidQueryError):
        tokenize(sql)


def test_the_statement_ends_before_trailing_semicolons_and_comments() -> None:
    sql = "select 1 /* a */ ; ; -- end"
    assert statement(sql, tokenize(sql))[0] == "select 1"


def test_edits_are_made_at_their_places_and_in_their_order() -> None:
    assert (
        apply("abcdef", [Edit(4, 5, "E"), Edit(0, 0, "<"), Edit(1, 3, "-"), Edit(6, 6, ">"), Edit(6, 6, "!")])
        == "<a-dEf>!"
    )


def test_a_place_is_given_in_lines_and_columns() -> None:
    assert place("ab\ncd", 0) == "at line 1, column 1"
    assert place("ab\ncd", 4) == "at line 2, column 2"


WORDS = st.sampled_from(["select", "Id", "FROM", "x", '"Quoted"', '"quoted"', "'a  B'", "$1", "$$ X $$", "1.5",
                         "(", ")", ",", "<", "=", "-", "::", ".", "E'\\''", "@>", "*"])  # fmt: skip
BLANKS = st.sampled_from([" ", "\n", " /* a; 'b */ ", "\t", " -- c'\n"])


@given(st.lists(st.tuples(WORDS, BLANKS, BLANKS), max_size=12))
def test_spaces_comments_and_case_of_words_do_not_matter_to_the_key_but_everything_else_does(
    parts: list[tuple[str, str, str]],
) -> None:
    one = "".join(word + blank for word, blank, _ in parts)
    other = "".join((word.upper() if word.isidentifier() else word) + blank for word, _, blank in parts)
    normal = normalise(one, tokenize(one))
    assert normalise(other, tokenize(other)) == normal
    assert normalise(normal, tokenize(normal)) == normal
    assert [t.text.lower() for t in tokenize(normal)] == [t.text.lower() for t in tokenize(one)]


@settings(max_examples=examples(200))
@given(st.text(alphabet="aE'\"$\\-/*; \n1", max_size=12))
def test_a_text_is_one_statement_for_us_only_if_it_is_for_postgres(pg18_dsn: str, text: str) -> None:
    sql = f"select {text}"
    try:
        statement(sql, tokenize(sql))
    except InvalidQueryError:
        return
    with psycopg.connect(pg18_dsn) as connection:
        result = connection.pgconn.prepare(b"", sql.encode())
        message = (result.error_message or b"").decode()
    assert "multiple commands" not in message
    assert "unterminated" not in message


@pytest.fixture(scope="session")
def pg18_dsn(pg18: object) -> str:
    return str(pg18.dsn)  # type: ignore[attr-defined]
