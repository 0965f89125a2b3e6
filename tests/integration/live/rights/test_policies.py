"""Tables with row-level security: every subscriber has the rows that PostgreSQL gives its role and claims."""

from __future__ import annotations

import json
import uuid
from typing import Any

import psycopg
import pytest

from engine.errors import PermissionDeniedError, QueryRejectedError
from engine.identity.principal import Principal
from tests.integration.live.rights.conftest import ALL, SQL, SUM, Rows, Watching
from tests.support.nodes.live_node import live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import connect, read, run_each


@pytest.mark.parametrize(
    ("spec", "sql"),
    [
        (ALL, "select id, owner, org, body from note order by id"),
        (SQL, SQL["sql"]),
        (SUM, SUM["sql"]),
    ],
    ids=["builder", "rows by SQL", "aggregate by SQL"],
)
async def test_each_subscriber_has_what_its_role_and_claims_show_after_every_change(
    rows: Rows, spec: dict[str, Any], sql: str
) -> None:
    own = f"drop policy own on note; create policy own on note to {rows.people} "
    steps = [
        # a row appears, moves out of sight, and is deleted where it is not seen
        "insert into note values (5, 'ann', 1, 'e', 'x')",
        "update note set owner = 'eve' where id = 5",
        "delete from note where id = 5",
        "update note set owner = 'ann' where id = 3",
        # another policy, over another table, and changes there
        own + "using (org in (select m.org from member m where m.person = me())); select realtime.expose('note')",
        "insert into member values (3, 'ann')",
        "delete from member where person = 'bob'",
        "update member set person = 'eve' where person = 'ann' and org = 3",
        # other claims are read
        own + "using (org = (claim('org'))::int)",
        own + "using ((current_setting('request.jwt.claims', true)::json ->> 'banned') is null)",
        f"create policy few on note as restrictive to {rows.people} using (id < 4)",
        "alter policy few on note using (id in (1, 4))",
        own + "using (org = (claim('org'))::int)",
        "drop policy few on note",
        "create or replace function claim(name text) returns text language sql stable as $$ select '2' $$",
        # a function with the rights of its owner, a view, and TRUNCATE of what they read
        "create function knows(who text, what int) returns boolean language plpgsql stable security definer as "
        "$$ begin return exists (select from circle where person = who and org = what); end $$",
        "create view circle as select * from member; " + own + "using (knows(me(), org))",
        "insert into member values (2, 'ann'), (1, 'eve')",
        "truncate member",
        # who the policies are for
        "alter table note disable row level security",
        "insert into note values (6, 'bob', 2, 'f', 'x')",
        "alter table note enable row level security",
        f"grant {rows.staff} to {rows.people}; alter table note force row level security",
    ]
    async with live_node(rows.dsn) as node:
        watching = Watching(rows, node, spec, sql)
        await watching.add(
            rows.principal("ann", org=1),
            rows.principal("bob", org=2, banned=True),
            rows.principal("eve", org=1),
            rows.principal("ann", org=2),
            rows.principal("ann", rows.staff),
        )
        await watching.check()
        for step in steps:
            run_each(rows.dsn, step)
            await watching.check()


async def test_columns_that_the_role_may_not_read_are_not_there(rows: Rows) -> None:
    run_each(rows.dsn, f"grant select on note to {rows.staff}")
    async with live_node(rows.dsn) as node:
        ann, boss = rows.principal("ann"), rows.principal("boss", rows.staff)
        mine = await node.follow(Query("note", ALL, ""), principal=ann)
        theirs = await node.follow(Query("note", ALL, ""), principal=boss)
        assert [json.loads(doc) for _, doc in mine.list] == [{"id": 1, "owner": "ann", "org": 1, "body": "a"}]
        assert all("secret" in json.loads(doc) for _, doc in theirs.list)
        for spec in ({"where": [["secret", "==", "x"]]}, {"sql": "select secret from note"}):
            with pytest.raises(QueryRejectedError):
                await node.follow(Query("note", spec, ""), principal=ann)
        star = await node.follow(Query("note", {"sql": "select * from note order by id"}, ""), principal=ann)
        assert [json.loads(doc) for _, doc in star.list] == [json.loads(doc) for _, doc in mine.list]
        run_each(rows.dsn, f"revoke select (body) on note from {rows.people}")
        await node.caught_up()
        assert [json.loads(doc) for _, doc in mine.list] == [{"id": 1, "owner": "ann", "org": 1}]
        run_each(rows.dsn, f"revoke select (id, owner, org) on note from {rows.people}")
        await node.caught_up()
        assert mine.error is not None
        assert theirs.error is None


async def test_subscribers_without_a_served_role_see_nothing_of_the_table(rows: Rows) -> None:
    run_each(
        rows.dsn,
        "create table open (id int primary key)",
        "insert into open values (1)",
        "select realtime.expose('open')",
    )
    async with live_node(rows.dsn) as node:
        for principal in (Principal(), rows.principal("ann", "another"), Principal("ann", authenticated=True)):
            for spec in (ALL, SQL, SUM):
                with pytest.raises(QueryRejectedError, match="row-level security is enabled"):
                    await node.follow(Query("note", spec, ""), principal=principal)
            follower = await node.follow(Query("open", ALL, ""), principal=principal)
            assert follower.ids == ["1"]


async def test_one_window_serves_all_whose_claims_are_equal_as_far_as_policies_read_them(rows: Rows) -> None:
    async with live_node(rows.dsn) as node:
        followers = [
            await node.follow(Query("note", ALL, ""), principal=principal)
            for principal in (rows.principal("ann", exp=1), rows.principal("ann", exp=2), rows.principal("bob"))
        ]
        first, second, other = (follower.subscription.query for follower in followers if follower.subscription)
        assert first is second
        assert first is not other
        assert first.strategy == "incremental"


async def test_what_is_hidden_when_it_is_written_and_removed_is_never_sent(rows: Rows) -> None:
    received: list[Any] = []
    async with live_node(rows.dsn) as node:
        spec = {"where": [["id", ">", 9]], **ALL}
        follower = await node.follow(Query("note", spec, ""), received.extend, principal=rows.principal("ann"))
        run_each(
            rows.dsn,
            "insert into note values (10, 'eve', 1, 'hidden'); update note set owner = 'ann', body = 'open' where id = 10",
            "insert into note values (11, 'eve', 1, 'hidden')",
            "update note set owner = 'ann', body = 'open' where id = 11",
        )
        await node.caught_up()
        assert not follower.failures
        assert follower.ids == ["10", "11"]
        assert all(row["body"] == "open" for row in received)
        events = follower.events
        run_each(rows.dsn, "insert into note values (12, 'eve', 1, 'hidden')", "delete from note where id in (4, 12)")
        await node.caught_up()
        assert follower.events == events, "no event, not even an empty one"


async def test_a_right_that_is_taken_away_covers_what_is_written_behind_its_lock(rows: Rows) -> None:
    """Alice and Mallory of the PostgreSQL docs ("Row Security Policies")."""
    run_each(
        rows.dsn,
        f"drop policy own on note; create policy own on note to {rows.people} "
        "using (org in (select m.org from member m where m.person = me())); select realtime.expose('note')",
        "insert into note values (20, 'alice', 2, 'secret of 1')",
        "insert into member values (2, 'mallory')",
    )
    received: list[Any] = []
    async with live_node(rows.dsn) as node:
        follower = await node.follow(Query("note", ALL, ""), received.extend, principal=rows.principal("mallory"))
        assert follower.subscription is not None
        assert "20" in follower.ids
        with connect(rows.dsn) as alice, alice.transaction():
            alice.execute("delete from member where person = 'mallory'")
            alice.execute("update note set body = 'secret from mallory' where org = 2")
            await node.live._reopen(follower.subscription, follower.subscription.viewer)  # a read in between
            assert all(row["body"] != "secret from mallory" for row in received)
        await node.caught_up()
        assert follower.ids == []
        assert all(row["body"] != "secret from mallory" for row in received)


async def test_policies_for_public_that_need_claims_do_not_refuse_sql(rows: Rows) -> None:
    """PostgreSQL calls STABLE functions also to plan a query; without claims ``me()`` fails in a session that had some."""
    run_each(rows.dsn, "create policy all_people on note using (owner = me())")
    async with live_node(rows.dsn) as node:
        for spec, sql in ((SQL, SQL["sql"]), (SUM, SUM["sql"])):
            watching = Watching(rows, node, spec, sql)
            await watching.add(rows.principal("ann"), rows.principal("bob"), rows.principal("ann", rows.staff))
            await watching.check()


async def test_sql_is_read_under_policies_for_public_that_look_at_what_is_not_exposed(rows: Rows) -> None:
    run_each(
        rows.dsn,
        "create policy mine on note using (org in (select m.org from member m where m.person = me()))",
        "select realtime.expose('note')",
    )
    async with live_node(rows.dsn) as node:
        for spec, sql in (
            (ALL, "select id, owner, org, body from note order by id"),
            (SQL, SQL["sql"]),
            (SUM, SUM["sql"]),
        ):
            watching = Watching(rows, node, spec, sql)
            await watching.add(rows.principal("ann"), rows.principal("bob"), rows.principal("ann", rows.staff))
            await watching.check()
            run_each(rows.dsn, "delete from member where person = 'ann'")
            await watching.check()
            run_each(rows.dsn, "insert into member values (1, 'ann')")
            await watching.check()
        with pytest.raises(QueryRejectedError, match="is not exposed"):
            await node.follow(
                Query("note", {"sql": "select n.id from note n, member m"}, ""), principal=rows.principal("ann")
            )


async def test_no_claim_stays_in_a_pooled_connection(rows: Rows) -> None:
    async with live_node(rows.dsn) as node:
        await node.follow(Query("note", ALL, ""), principal=rows.principal("ann"))
        run_each(rows.dsn, "create table plain (id int primary key, c text)", "select realtime.expose('plain')")
        await node.caught_up()
        for _ in range(12):  # more than there are connections
            async with node.live._reader.connection() as connection:
                cursor = await connection.execute(
                    "select current_setting('request.jwt.claims', true), current_setting('role'), "
                    "current_setting('row_security')"
                )
                claims, role, policies = await cursor.fetchone() or ()
                assert not claims
                assert (role, policies) == ("none", "off")


def test_exposing_needs_a_served_role_and_policies_that_can_be_followed(database: str) -> None:
    run_each(
        database,
        "create table guarded (id int primary key, body text)",
        "create table elsewhere (id int primary key)",
        "alter table guarded enable row level security",
        "create function hidden() returns boolean language plpgsql stable as "
        "$$ begin execute 'select 1 from elsewhere'; return true; end $$",
        "create policy p on guarded using (id in (select id from elsewhere))",
    )
    with pytest.raises(psycopg.errors.FeatureNotSupported, match="no role is served"):
        run_each(database, "select realtime.expose('guarded')")
    role = f"reader_{uuid.uuid4().hex[:8]}"
    run_each(database, f"create role {role}", f"select realtime.serve_role('{role}')")
    try:
        run_each(database, "select realtime.expose('guarded')")
        assert read(database, "select realtime.is_published('elsewhere')") == [(True,)]
        run_each(database, "create policy q on guarded using (hidden())")
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="runs SQL that it makes itself"):
            run_each(database, "select realtime.expose('guarded')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run_each(database, "select realtime.serve_role('realtime_reader')")
        with pytest.raises(psycopg.errors.UndefinedObject):
            run_each(database, "select realtime.serve_role('nowhere')")
        run_each(database, f"select realtime.unserve_role('{role}')")
        assert read(database, "select count(*) from realtime.served_roles()") == [(0,)]
    finally:
        run_each(database, f"drop owned by {role}", f"drop role {role}")


async def test_a_role_that_may_not_read_what_a_policy_looks_at_is_refused_and_no_hidden_table_is_named(
    rows: Rows,
) -> None:
    run_each(
        rows.dsn,
        f"drop policy own on note; create policy own on note to {rows.people} "
        "using (org in (select m.org from member m where m.person = me())); select realtime.expose('note')",
    )
    async with live_node(rows.dsn) as node:
        ann = rows.principal("ann")
        followers = [await node.follow(Query("note", spec, ""), principal=ann) for spec in (ALL, SQL)]
        run_each(rows.dsn, f"revoke select on member from {rows.people}")
        await node.caught_up()
        refused = [follower.error for follower in followers]
        for spec in (ALL, SQL):
            with pytest.raises(QueryRejectedError) as refusal:
                await node.follow(Query("note", spec, ""), principal=ann)
            refused.append(refusal.value)
        for error in refused:
            assert isinstance(error, PermissionDeniedError), error
            assert "member" not in str(error)
            assert f"the role {rows.people} lacks a privilege" in str(error)
        assert node.live.problem is None, "it concerns the role alone"


@pytest.mark.parametrize("spec", [{}, {"orderBy": [["body", "asc"]]}], ids=["plain", "ordered"])
async def test_a_refusal_of_a_role_names_the_collection_but_neither_its_schema_nor_hidden_columns(
    rows: Rows, spec: dict[str, Any]
) -> None:
    ann = rows.principal("ann")
    async with live_node(rows.dsn) as node:
        for right in ("", "(body)"):  # none, and none to the key
            run_each(rows.dsn, f"revoke all on note from {rows.people}")
            if right:
                run_each(rows.dsn, f"grant select {right} on note to {rows.people}")
            await node.caught_up()
            with pytest.raises(PermissionDeniedError) as refusal:
                await node.follow(Query("note", spec, ""), principal=ann)
            assert '"note"' in str(refusal.value)
            assert f"the role {rows.people} may not read" in str(refusal.value)
            assert "public" not in str(refusal.value)
            assert "'id'" not in str(refusal.value)
