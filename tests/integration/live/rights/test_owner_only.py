"""``expose(…, owner_only => column)``: each user sees its own rows, by one line."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.live.rights.conftest import Rows
from tests.support.nodes.live_node import live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each
from tests.support.servers.commands import realtime

POLICIES = "select polname::text from pg_policy where polrelid = 'task'::regclass order by 1"
SECURED = "select relrowsecurity from pg_class where oid = 'task'::regclass"


def prepare(rows: Rows, type_: str = "text") -> None:
    run_each(
        rows.dsn,
        f"create table task (id int primary key, user_id {type_}, title text)",
        f"grant select on task to {rows.people}, {rows.staff}",
    )


async def test_each_user_sees_its_own_rows_and_the_window_is_kept_row_by_row(rows: Rows) -> None:
    prepare(rows)
    run_each(
        rows.dsn,
        "insert into task values (1, 'ann', 'a'), (2, 'bob', 'b')",
        "select realtime.expose('task', owner_only => 'user_id')",
    )
    async with live_node(rows.dsn) as node:
        query = Query("task", {"orderBy": ["id"]}, "")
        ann = await node.follow(query, principal=rows.principal("ann"))
        bob = await node.follow(query, principal=rows.principal("bob", rows.staff))
        assert (ann.ids, bob.ids) == (["1"], ["2"])
        assert ann.subscription is not None
        assert ann.subscription.strategy == "incremental", ann.subscription.reason
        run_each(rows.dsn, "insert into task values (3, 'ann', 'c')", "update task set user_id = 'bob' where id = 1")
        await node.caught_up()
        assert (ann.ids, bob.ids) == (["3"], ["1", "2"])
        run_each(rows.dsn, "select realtime.expose('task', owner_only => null)")
        await node.caught_up()
        assert ann.ids == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("type_", "user"), [("uuid", "6f1c2f6e-9f0f-4a53-9f0c-1b2d3c4d5e6f"), ("bigint", "7"), ("varchar(40)", "x")]
)
async def test_an_owner_is_a_text_a_uuid_or_an_integer(rows: Rows, type_: str, user: str) -> None:
    prepare(rows, type_)
    run_each(
        rows.dsn,
        f"insert into task values (1, '{user}', 'a'), (2, null, 'b')",
        "select realtime.expose('task', owner_only => 'user_id')",
    )
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("task", {}, ""), principal=rows.principal(user))
        assert follower.ids == ["1"]
        assert follower.subscription is not None
        assert follower.subscription.strategy == "incremental", follower.subscription.reason


def test_it_is_done_once_and_undone_as_far_as_it_was_done(rows: Rows) -> None:
    prepare(rows)
    oid = "select oid from pg_policy where polname = 'realtime_owner_only'"
    run_each(rows.dsn, "select realtime.expose('task', owner_only => 'user_id')")
    first = read(rows.dsn, oid)
    assert (read(rows.dsn, POLICIES), read(rows.dsn, SECURED)) == ([("realtime_owner_only",)], [(True,)])
    run_each(rows.dsn, "select realtime.expose('task', owner_only => 'user_id')", "select realtime.expose('task')")
    assert read(rows.dsn, oid) == first, "nothing was to be done"
    run_each(rows.dsn, "select realtime.expose('task', owner_only => 'title')")
    [(condition,)] = read(
        rows.dsn, "select pg_get_expr(polqual, polrelid) from pg_policy where polname = 'realtime_owner_only'"
    )
    assert condition.startswith("(title = ")
    run_each(rows.dsn, "select realtime.unexpose('task')")
    assert (read(rows.dsn, POLICIES), read(rows.dsn, SECURED)) == ([], [(False,)])
    run_each(
        rows.dsn,
        "alter table task enable row level security",
        "select realtime.expose('task', owner_only => 'user_id')",
        "select realtime.expose('task', owner_only => null)",
    )
    assert (read(rows.dsn, POLICIES), read(rows.dsn, SECURED)) == ([], [(True,)]), "it was on before"


def test_what_it_cannot_do_is_refused_with_the_reason(rows: Rows) -> None:
    prepare(rows)
    cases = [
        ("task", "absent", psycopg.errors.UndefinedColumn, "task has no column absent"),
        ("task", "id; drop table task", psycopg.errors.UndefinedColumn, "has no column"),
        ("note", "owner", psycopg.errors.ObjectNotInPrerequisiteState, "did not make: every, own"),
    ]
    run_each(rows.dsn, "create table odd (id int primary key, at date)")
    cases.append(("odd", "at", psycopg.errors.DatatypeMismatch, "column at of .*odd has type date"))
    for table, column, error, message in cases:
        with pytest.raises(error, match=message):
            run_each(rows.dsn, f"select realtime.expose('{table}', owner_only => '{column}')")
    run_each(rows.dsn, *(f"select realtime.unserve_role('{role}')" for role in (rows.people, rows.staff)))
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="no role is served"):
        run_each(rows.dsn, "select realtime.expose('task', owner_only => 'user_id')")
    assert read(rows.dsn, SECURED) == [(False,)]


def test_the_command_line_and_an_owner_without_other_rights_do_it_too(rows: Rows) -> None:
    prepare(rows)
    owner = rows.staff  # any role without rights of its own
    name = rows.dsn.rsplit("/", 1)[1].split("?")[0]
    result = realtime("expose", "task", "--owner-only", "user_id", "--dsn", rows.dsn)
    assert result.returncode == 0, result.stderr
    assert read(rows.dsn, POLICIES) == [("realtime_owner_only",)]
    assert realtime("expose", "task", "--dsn", rows.dsn).returncode == 0
    assert read(rows.dsn, POLICIES) == [("realtime_owner_only",)]
    assert realtime("expose", "task", "--owner-only", "", "--dsn", rows.dsn).returncode == 0
    assert read(rows.dsn, POLICIES) == []
    run_each(rows.dsn, f"grant create on database {name} to {owner}", f"alter table task owner to {owner}")
    run_each(rows.dsn, f"set role {owner}; select realtime.expose('task', owner_only => 'user_id')")
    assert read(rows.dsn, POLICIES) == [("realtime_owner_only",)]
    run_each(
        rows.dsn, f"set role {owner}; select realtime.unexpose('task')", f"revoke all on database {name} from {owner}"
    )
    assert (read(rows.dsn, POLICIES), read(rows.dsn, SECURED)) == ([], [(False,)])
