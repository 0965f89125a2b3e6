"""What DDL of applications costs more where roles are served: little, whatever the number of tables and functions is."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.live.rights.conftest import Rows
from tests.support.postgres.sql import connect, run_each

FUNCTIONS = 200


@pytest.fixture
def texts(rows: Rows) -> Rows:
    """A database with functions whose texts name a table, and a policy that calls one of them."""
    run_each(
        rows.dsn,
        "create table entry (id int primary key, who text)",
        f"do $$ begin for i in 1..{FUNCTIONS} loop execute format('create function put_%s() returns void language plpgsql "
        "as %L', i, 'begin update entry set who = null where id = ' || i || '; end'); end loop; end $$",
        "create function orgs() returns setof int language plpgsql stable as "
        "$$ begin return query select m.org from member m where m.person = me(); end $$",
        f"alter policy own on note to {rows.people} using (org in (select orgs()))",
        "select realtime.expose('note')",
    )
    return rows


def calls(rows: Rows, *statements: str) -> Counter[str]:
    """How often the statements, in one transaction, have called each function of the schema ``realtime``."""
    with connect(rows.dsn) as connection:
        connection.execute("set track_functions = 'all'")
        with connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())
            found = connection.execute(
                "select funcname, calls from pg_stat_xact_user_functions where schemaname = 'realtime'"
            )
            return Counter(dict(found.fetchall()))


def test_temporary_tables_cost_nothing(texts: Rows) -> None:
    made = calls(
        texts,
        "create temp table aside (id int primary key, body text default 'a')",
        "create index on aside (body)",
        "create temp view ahead as select * from aside",
        "alter table aside add column more int",
        "drop table aside cascade",
        "create temp table member as select 1 as org",
    )
    assert made["note_ddl"] >= 6
    assert set(made) == {"note_ddl"}


def test_texts_are_looked_at_once_for_a_name_that_is_in_none(texts: Rows) -> None:
    made = calls(texts, "create table other (id int primary key)", "alter table other add n int", "drop table other")
    assert made["texts_name"] >= 3
    assert made["mentions"] == 0


def test_a_name_that_is_in_many_texts_is_looked_for_until_one_is_found(texts: Rows) -> None:
    assert 0 < calls(texts, "alter table entry add n int")["mentions"] <= 2


def test_the_texts_are_not_looked_at_for_each_of_many_names(texts: Rows) -> None:
    tables = " ".join(f"create table t{number} (id int primary key)" for number in range(100))
    made = calls(texts, f"create schema many {tables}", "drop schema many cascade")
    assert made["texts_name"] > 0
    assert made["mentions"] == 0


def test_a_comment_gives_no_name(texts: Rows) -> None:
    made = calls(texts, "comment on table entry is 'a'")
    assert made["note_ddl"] > 0
    assert made["texts_name"] == made["follow_named"] == 0
