"""Policies that are kept row by row: what makes their condition another one is noticed."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import pytest

from engine.live.core.shared_query import LiveQuery
from engine.live.core.window import Window
from engine.postgres.statements.named_queries import query
from tests.integration.live.rights.conftest import ALL, Rows, served
from tests.support.nodes.live_node import QUICK, Follower, LiveNode, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import connect, open_transaction, run_each, until

CLAIM = "current_setting('request.jwt.claims', true)::json"
MEMBERS = "org in (select m.org from member m where m.person = me())"


def under(rows: Rows, condition: str) -> None:
    """People read notes under this condition, and no others."""
    run_each(
        rows.dsn,
        f"drop policy own on note; create policy own on note to {rows.people} using ({condition})",
        "select realtime.expose('note')",
    )


async def watch(rows: Rows, node: LiveNode, user: str) -> Follower:
    follower = await node.follow(Query("note", ALL, ""), principal=rows.principal(user))
    assert follower.subscription is not None
    assert follower.subscription.strategy == "incremental", follower.subscription.reason
    return follower


@pytest.mark.parametrize(
    ("condition", "strategy"),
    [
        ("owner = me()", "incremental"),
        ("owner = (select me()) and org < 3", "incremental"),
        (f"org = ({CLAIM} -> 'app' ->> 'org')::int or owner = {CLAIM} ->> 'sub'", "incremental"),
        ("org in (select m.org from member m where m.person = me())", "incremental"),
        ("exists (select 1 from member m where m.org = note.org and m.person = me())", "incremental"),
        ("org % 2 = 1", "re-read"),
        ("exists (select 1 from member m where m.org > note.org)", "re-read"),
        ("owner = me() and now() > '2020-01-01'", "re-read"),
    ],
)
async def test_policies_of_columns_claims_and_memberships_are_kept_row_by_row(
    rows: Rows, condition: str, strategy: str
) -> None:
    run_each(
        rows.dsn,
        "delete from note",
        f"drop policy own on note; create policy own on note to {rows.people} using ({condition})",
        f"create policy few on note as restrictive to {rows.people} using (id < 100)",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn) as node:
        ann = rows.principal("ann", app={"org": 2}, org=1)
        follower = await node.follow(Query("note", ALL, ""), principal=ann)
        assert follower.subscription is not None
        assert follower.subscription.strategy == strategy, follower.subscription.reason
        if strategy == "re-read":
            assert follower.subscription.reason
            return
        reads = node.live.status()["reads"]
        for step in (
            "insert into note values (1, 'ann', 1, 'a'), (2, 'ann', 2, 'b'), (3, 'eve', 3, 'c'), (100, 'ann', 1, 'd')",
            "update note set owner = 'ann', org = 1 where id = 3",
            "update note set owner = 'eve', org = 3 where id < 3",
            "delete from note where id = 3",
        ):
            run_each(rows.dsn, step)
            await node.caught_up()
            assert [json.loads(doc) for _, doc in follower.list] == rows.truth(
                ann, "select id, owner, org, body from note order by id"
            )
        assert node.live.status()["reads"] == reads


async def test_a_function_that_is_replaced_without_announcement_is_noticed(rows: Rows) -> None:
    run_each(rows.dsn, "drop event trigger realtime_ddl_end", "drop event trigger realtime_ddl_drop")
    async with live_node(rows.dsn, live=replace(QUICK, watch_interval=0.1)) as node:
        follower = await watch(rows, node, "ann")
        assert follower.ids == ["1"]
        run_each(rows.dsn, "create or replace function me() returns text language sql stable as $$ select 'bob' $$")
        await until(lambda: follower.ids == ["2", "3"])


async def test_a_change_of_what_policies_look_up_reads_the_rows_again_and_other_changes_do_not(rows: Rows) -> None:
    under(rows, MEMBERS)
    async with live_node(rows.dsn) as node:
        ann, bob = await watch(rows, node, "ann"), await watch(rows, node, "bob")
        assert (ann.ids, bob.ids) == (["1", "2"], ["1", "2", "3"])
        before = node.live.status()["reads"]
        run_each(
            rows.dsn, "insert into note values (7, 'eve', 1, 'x'), (8, 'eve', 3, 'y')", "delete from note where id = 1"
        )
        await node.caught_up()
        assert (ann.ids, bob.ids) == (["2", "7"], ["2", "3", "7"])
        assert node.live.status()["reads"] == before
        run_each(rows.dsn, "insert into member values (3, 'ann'); update note set body = 'new' where id = 8")
        await node.caught_up()
        assert ann.ids == ["2", "4", "7", "8"]
        run_each(rows.dsn, "truncate member")
        await node.caught_up()
        assert (ann.ids, bob.ids) == ([], [])


async def test_a_membership_that_ended_hides_what_is_committed_after_it(rows: Rows) -> None:
    """Also where the row was written before, in a transaction that was open."""
    under(rows, MEMBERS)
    received: list[object] = []
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("note", ALL, ""), received.extend, principal=rows.principal("ann"))
        with open_transaction(rows.dsn, "update note set body = 'hidden' where id = 1") as writer:
            run_each(rows.dsn, "delete from member where person = 'ann'")
            writer.commit()
        await node.caught_up()
        assert follower.ids == []
        assert "hidden" not in repr(received)


async def test_a_value_that_policies_cannot_be_evaluated_with_has_postgresql_decide(rows: Rows) -> None:
    """A claim that is no number is an error where a row is looked at, so there is none while the table is empty."""
    under(rows, f"owner = 'eve' or (org > 5 and org = ({CLAIM} ->> 'org')::int)")
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("note", ALL, ""), principal=rows.principal("ann", org=7))
        assert follower.subscription is not None
        assert follower.subscription.strategy == "incremental"
        other = await node.follow(Query("note", ALL, ""), principal=rows.principal("ann", app=1))
        assert other.ids == ["4"]


async def test_a_column_that_the_role_may_not_read_can_decide(rows: Rows) -> None:
    """Its values come with the stream, and PostgreSQL applies the policy to the first rows."""
    under(rows, "secret = me()")
    run_each(rows.dsn, "update note set secret = 'ann' where id = 2")
    async with live_node(rows.dsn) as node:
        follower = await watch(rows, node, "ann")
        assert follower.ids == ["2"]
        for step, ids in (
            ("update note set secret = 'ann' where id in (1, 3)", ["1", "2", "3"]),
            ("update note set body = 'z' where id = 1", ["1", "2", "3"]),
            ("update note set secret = 'bob' where id = 2", ["1", "3"]),
            ("update note set secret = null where id = 1", ["3"]),
        ):
            run_each(rows.dsn, step)
            await node.caught_up()
            assert follower.ids == ids
            assert all("secret" not in json.loads(doc) for _, doc in follower.list)


@pytest.mark.parametrize("path", ["public, pg_catalog", "pg_catalog, public"])
async def test_names_are_those_of_postgresql_whatever_the_search_path(rows: Rows, path: str) -> None:
    """With pg_catalog behind public, a function of the operator would be found first: PostgreSQL decides then."""
    name = rows.dsn.rsplit("/", 1)[1].split("?")[0]
    run_each(
        rows.dsn,
        "create function public.lower(text) returns text language sql immutable as $$ select 'bob' $$",
        f'alter database "{name}" set search_path = {path}',
    )
    under(rows, f"owner = pg_catalog.lower({CLAIM} ->> 'sub')")
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("note", ALL, ""), principal=rows.principal("ann"))
        assert follower.ids == ["1"]
        assert follower.subscription is not None
        expected = "re-read" if path.startswith("public") else "incremental"
        assert follower.subscription.strategy == expected, follower.subscription.reason


async def test_a_role_that_is_given_to_another_brings_its_policies(rows: Rows) -> None:
    """GRANT of a role is announced by nothing; a query that begins then has the rows of both roles at once."""
    async with live_node(rows.dsn, live=replace(QUICK, watch_interval=0.1)) as node:
        before = await watch(rows, node, "ann")
        assert before.ids == ["1"]
        run_each(rows.dsn, f"grant {rows.staff} to {rows.people}")
        await until(lambda: before.ids == ["1", "2", "3", "4"])
        run_each(rows.dsn, f"revoke {rows.staff} from {rows.people}")
        later = await node.follow(Query("note", ALL, ""), principal=rows.principal("bob"))
        assert later.ids == ["2", "3"]
        await until(lambda: before.ids == ["1"])


async def test_changed_roles_are_followed_long_before_the_next_look_at_all_definitions(rows: Rows) -> None:
    async with live_node(rows.dsn, live=replace(QUICK, watch_interval=3_600)) as node:
        follower = await watch(rows, node, "ann")
        for statement, ids in (
            (f"grant {rows.staff} to {rows.people}", ["1", "2", "3", "4"]),
            (f"revoke {rows.staff} from {rows.people}", ["1"]),
            (f"alter role {rows.people} bypassrls", ["1", "2", "3", "4"]),
        ):
            run_each(rows.dsn, statement)
            await until(lambda: follower.ids == ids)


async def test_whatever_a_role_loses_hides_the_rows_that_it_was_shown_by_it(rows: Rows) -> None:
    """Inheritance of one membership (PostgreSQL 16 and later), and the power of the owner of a function."""
    owner = f"owner_{uuid.uuid4().hex[:8]}"
    run_each(
        rows.dsn,
        f"create role {owner} superuser",
        "create table exempt (org int primary key)",
        "insert into exempt values (3)",
        "alter table exempt enable row level security",
        f"grant select on exempt to {owner}",
        "create function shown() returns setof int language sql stable security definer as $$ select org from exempt $$",
        f"alter function shown() owner to {owner}",
        f"grant {rows.staff} to {rows.people}",
        f"create policy shown on note to {rows.people} using (org in (select shown()))",
        "select realtime.expose('note')",
    )
    try:
        async with live_node(rows.dsn) as node:
            follower = await watch(rows, node, "ann")
            for statement, ids in (
                (f"revoke inherit option for {rows.staff} from {rows.people}", ["1", "4"]),
                (f"grant {rows.staff} to {rows.people} with inherit true", ["1", "2", "3", "4"]),
                (f"grant {rows.staff} to {rows.people} with inherit false", ["1", "4"]),
                (f"alter role {owner} nosuperuser", ["1"]),
                (f"alter role {owner} superuser", ["1", "4"]),
            ):
                run_each(rows.dsn, statement)
                await until(lambda: follower.ids == ids)
    finally:
        run_each(rows.dsn, "drop policy shown on note", f"drop owned by {owner} cascade", f"drop role {owner}")


async def test_the_mark_of_a_catalog_changes_with_all_that_the_cheap_mark_changes_with(rows: Rows) -> None:
    """Else what the cheap one shows each second is looked for in vain."""
    marks, shared, none = query("catalog_marks"), query("catalog_shared_mark"), {"relations": "{}", "functions": "{}"}
    with connect(rows.dsn) as connection:
        before = (connection.execute(shared, none).fetchall(), set(connection.execute(marks).fetchall()))
        for statement in (
            f"grant {rows.staff} to {rows.people}",
            f"grant {rows.staff} to {rows.people} with inherit false",
            f"grant {rows.staff} to {rows.people} with admin option",
            f"alter role {rows.people} superuser",
            f"alter role {rows.people} nosuperuser",
            f"alter role {rows.people} bypassrls",
            f"alter role {rows.people} noinherit",
            f"alter role {rows.people} set timezone = 'UTC'",
            f"alter role {rows.people} reset all",
            f"revoke {rows.staff} from {rows.people}",
        ):
            connection.execute(statement.encode())
            now = (connection.execute(shared, none).fetchall(), set(connection.execute(marks).fetchall()))
            assert now[0] != before[0], statement
            assert now[1] != before[1], statement
            before = now


async def test_a_member_is_looked_for_as_the_comparison_finds_it(database15: str) -> None:
    """A collation of the value, also of a domain that it was cast to, decides about a column without one."""
    with served(database15) as rows:
        run_each(
            rows.dsn,
            "create collation anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
            "create domain email as text collate anycase",
            "create function mail() returns email language sql stable as $$ select me()::email $$",
        )
        async with live_node(rows.dsn) as node:
            for value in ("me()::email", "mail()", "me()::email::text"):
                under(rows, f"org in (select m.org from member m where m.person = {value})")
                follower = await watch(rows, node, "ann")
                for statement in (
                    "insert into member values (3, 'ANN')",
                    "delete from member where person = 'ANN'",
                    "update note set body = 'hidden' where org = 3",
                ):
                    run_each(rows.dsn, statement)
                    await node.caught_up()
                    truth = rows.truth(rows.principal("ann"), "select id from note order by id")
                    assert follower.ids == [str(row["id"]) for row in truth], (value, statement)
                follower.leave()


async def test_members_of_a_team_share_a_window_until_one_of_them_leaves(rows: Rows) -> None:
    under(rows, MEMBERS)
    run_each(rows.dsn, "delete from member where org = 2")
    async with live_node(rows.dsn) as node:
        ann, bob = await watch(rows, node, "ann"), await watch(rows, node, "bob")
        run_each(rows.dsn, "insert into note values (7, 'eve', 1, 'x')")  # later than both reads
        await node.caught_up()
        assert window_of(ann) is window_of(bob) is not None
        run_each(rows.dsn, "delete from member where person = 'bob'", "insert into note values (8, 'eve', 1, 'y')")
        await node.caught_up()
        assert (ann.ids, bob.ids) == (["1", "2", "7", "8"], [])
        assert window_of(ann) is not window_of(bob)


async def test_a_changed_membership_has_those_lists_read_again_that_look_for_it(rows: Rows) -> None:
    """Whether it is that of a subscriber: else, and where the policy looks for other rows, too, of all subscribers."""
    run_each(
        rows.dsn,
        "create table fan (org int, person char(5), primary key (org, person))",
        "create function orgs_of(who text) returns setof int language sql stable as "
        "$$ select org from member where person = who $$",
        f"grant select on fan to {rows.people}",
    )
    people, mine = ("ann", "bob", "cid"), "m.person = me()"
    one, all_of_them = [True, False, False], [True, True, True]
    async with live_node(rows.dsn) as node:
        for condition, read in (
            (MEMBERS, one),
            (f"exists (select from member m where m.org = note.org and {mine})", one),
            ("owner = me() or org in (select m.org from member m where me() = m.person and m.org < 9)", one),
            (f"org in (select max(m.org) from member m where {mine} group by m.person)", all_of_them),
            (f"org in (select m.org from member m where {mine} or m.person = 'all')", all_of_them),
            (f"org in (select n.org from member m join member n using (person) where {mine})", all_of_them),
            (f"{MEMBERS} and (select count(*) from member) > 0", all_of_them),
            ("org in (select orgs_of(me()))", all_of_them),
            ("org in (select f.org from fan f where f.person = me())", all_of_them),
        ):
            run_each(rows.dsn, "delete from member", "delete from fan", "insert into member values (1, 'bob')")
            under(rows, condition)
            followers = [await watch(rows, node, name) for name in people]
            await node.caught_up()
            reads = [query_of(follower).reads for follower in followers]
            run_each(rows.dsn, "insert into member values (3, 'ann')", "insert into fan values (3, 'ann')")
            await node.caught_up()
            found = [query_of(follower).reads > before for follower, before in zip(followers, reads, strict=True)]
            assert found == read, condition
            for statement in (
                "insert into note values (9, 'eve', 3, 'x')",
                "update member set person = 'bob' where person = 'ann'",
                "delete from note where id = 9",
                "truncate member",
            ):
                run_each(rows.dsn, statement)
                await node.caught_up()
                for follower, name in zip(followers, people, strict=True):
                    truth = rows.truth(rows.principal(name), "select id from note order by id")
                    assert follower.ids == [str(row["id"]) for row in truth], (condition, name, statement)
            for follower in followers:
                follower.leave()


def query_of(follower: Follower) -> LiveQuery:
    assert follower.subscription is not None
    return follower.subscription.query


def window_of(follower: Follower) -> Window | None:
    assert follower.subscription is not None
    return follower.subscription.query.window
