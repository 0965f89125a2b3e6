"""Bodies of functions that are texts: which may read text as a time."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from engine.catalog.times_read import Body, Code, TypeName

DATE, INT, ANY, BOOLEAN, TEXT = 1082, 23, 2283, 16, 25
MOMENT, PERIOD, LABEL, MEMBER, ODD = 20001, 20002, 20003, 20004, 20005
TIMED = frozenset({DATE, MOMENT, PERIOD, MEMBER, ODD})
NAMED = (
    TypeName(MOMENT, "moment", table=False),
    TypeName(PERIOD, "Period", table=False),
    TypeName(LABEL, "label", table=False),
    TypeName(MEMBER, "member", table=True),
    TypeName(ODD, "odd name", table=False),
)


def reads(
    text: str,
    language: str = "sql",
    gives: Collection[int] = (BOOLEAN,),
    takes: Collection[int] = (TEXT,),
    columns: Collection[int] = (),
    *,
    cast: bool = False,
) -> bool:
    body = Body(text, language, frozenset(gives), frozenset(takes), NAMED, frozenset(columns))
    return Code("function", 1, "", body).reads_times(TIMED, cast)


@pytest.mark.parametrize(
    "text",
    [
        "select $1::date < other",
        "select cast($1 as timestamptz) < other",
        "select $1 :: pg_catalog.date < other",
        'select $1::"date" < other',
        "select date($1) < other",
        "select $1::TIMESTAMP WITH TIME ZONE < other",
        "select $1::_date is null",
        "select (string_to_array($1, ',')::timetz[])[1] is null",
        "select $1::tstzrange @> other",
        "select '2026-01-01'::text::date < other",
        "select ('2026-01-01')::date < other",  # it is a constant, but not seen as one
        "select d < other from xmltable('/a' passing $1 columns d date path '.')",
        "select '12:00 Europe/Paris'::timetz < other",  # whether summer time is in force today
        "select time with time zone '12:00 Europe/Paris' < other",
        # types of one's own
        "select $1::moment < other",
        "select moment($1) < other",
        'select $1::"Period" is null',
        'select $1::"odd name" is null',
        "select $1::member is null",
        "select $1::public.member is null",
        "select cast($1 as member) is null",
        "select cast($1 as public . member) is null",
        "select json_value($1, '$' returning member) is null",
        # literals, which are read anew at each call
        "select created_at > 'now'",
        "select created_at > 'today10:00'",
        "select during @> '[_now_,)'",
        "select created_at > E'n\\x6fw'",
        "select created_at > 'no'\n'w'",
        "select created_at > 'no' -- more\n'w'",
        "select created_at > U&'\\006eow'",
        "select created_at > $$now$$",
        "select created_at > $_a$now$_a$",
        # comments hide nothing
        "select $1::/* a */date < other",
        "select $1/*::*/::date /*/**/ < other */",
        "select $1 -- it's\n::date < other",
        "select '--' = $1::date::text",
        "select \"it's\" = $1::date::text -- it's",
        "select $_$it's$_$ = $1::date::text -- it's",
        "select E'it\\'s' = $1::date::text -- it's",
    ],
)
def test_a_text_that_may_read_times(text: str) -> None:
    assert reads(text)


@pytest.mark.parametrize(
    "text",
    [
        "select current_setting('request.jwt.claims', true)::json ->> 'sub'",
        "select (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid",
        "select exists (select from member where person = $1)",
        "select exists (select from public.member where member.created_at > '2026-01-01')",
        "select exists (select from orgs o join only public.member on member.org = o.id)",
        "select exists (select from orgs, member as m where m.org = $1::int)",
        "select exists (select from people as member where member.org = $1)",
        "select $1 in (select member.org from member)",
        "select created_at > '2026-01-01'",
        "select created_at > '2026-01-01'::timestamptz",
        "select created_at > timestamp with time zone '2026-01-01'",
        "select created_at > date '2026-01-01'",
        "select created_at at time zone 'Europe/Paris' > '2026-01-01'::timestamp(3) without time zone",
        "select date_trunc('day', created_at) is null",
        "select m.date > m.time from member m",
        "select $1 ->> 'date' = 'time'",
        "select $1 = 'nowhere' -- ::date\n /* today's ::date */",
        "select $1::label = 'x'",
        "select updated is null and my_date is null and date$ is null",
    ],
)
def test_a_text_that_reads_none(text: str) -> None:
    assert not reads(text)
    assert reads(text, cast=True), "text may become a time without the name of a type"


def test_variables_of_plpgsql_take_text_as_times() -> None:
    def returning(
        text: str,
        gives: Collection[int] = (BOOLEAN,),
        takes: Collection[int] = (TEXT,),
        columns: Collection[int] = (),
    ) -> bool:
        return reads(text, "plpgsql", gives, takes, columns)

    plain = "begin return $1; end"
    assert returning(plain, gives={DATE})
    assert returning(plain, gives={MOMENT, INT})
    assert returning(plain, gives={ANY})
    assert not returning(plain, gives={LABEL})
    assert not returning("begin return $1 > '2026-01-01'; end", takes={DATE})
    for assigned in ("a := b;", "if true then a = b; end if;", "select b into a;", "for a in select b loop end loop;"):
        assert returning(f"begin {assigned} return a > c; end", takes={DATE, TEXT})
        assert returning(f"begin {assigned} return a > c; end", takes={ANY, TEXT})
        assert not returning(f"begin {assigned} return a > c; end", takes={TEXT})
    assert returning("declare a date; begin a := b; return a > c; end")
    assert returning("declare a member; begin a := b; return a > c; end")
    assert returning("declare a constant public.member%rowtype := b; begin return a > c; end")
    assert not returning("declare a text; begin select m.person into a from member m; return a > c; end")
    assert returning("declare a member.at%type; begin a := b; return a > c; end", columns={DATE})
    assert not returning("declare a member.org%type; begin a := b; return a > c; end", columns={INT})
    assert returning("declare a member.at%/* */type; begin a := b; return a > c; end", columns={INT})


def test_a_field_of_a_record_has_the_type_of_what_was_read_into_it() -> None:
    for assigned in ("r.at := $1;", "r.at = $1;", "if true then r . at := $1; end if;", "select $1 into r.at;"):
        assert reads(
            f"declare r record; begin select since as at into r from part; {assigned} return r.at > b; end", "plpgsql"
        )
    plain = (
        "declare r record; begin select m.since as at into r from part m where m.a = $1; return r.at > b and r.c; end"
    )
    assert not reads(plain, "plpgsql")


def test_a_function_in_c_may_give_text_as_a_time() -> None:
    """As ``populate_record()`` of hstore, which is IMMUTABLE."""
    hstore = 20010
    assert reads("hstore_populate_record", "c", gives={ANY}, takes={ANY, hstore})
    assert reads("parse_day", "c", gives={DATE}, takes={TEXT})
    assert not reads("time_bucket", "c", gives={DATE}, takes={DATE, INT})
    assert not reads("digest", "c", gives={TEXT}, takes={TEXT})


def test_a_time_with_a_zone_is_another_in_summer() -> None:
    text = "select opens at time zone 'Europe/Paris' < other"
    body = Body(text, "sql", frozenset({BOOLEAN}), frozenset({INT}), (), frozenset())
    assert not Code("function", 1, "", body).reads_times(TIMED, cast=False)
    assert Code("function", 1, "", body).reads_times(TIMED, cast=False, zoned=True)


def test_a_function_in_sql_takes_no_text_as_its_result() -> None:
    assert not reads("select created_at from member", gives={DATE}, takes={DATE})
