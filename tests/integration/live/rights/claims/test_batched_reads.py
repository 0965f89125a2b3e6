"""Under row-level security the claim sets of a commit are read in one statement, and none of them has part in another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from engine.identity.principal import Principal, viewer_of
from engine.live.batched_windows import as_lines, from_lines
from engine.live.reads import fits
from engine.live.settings import LiveSettings
from engine.postgres.reading import ReadBounds
from engine.postgres.snapshot import ReadResult
from engine.postgres.snapshot_reader import Reader
from engine.postgres.statements.statement import Statement
from engine.query.compile.plan import IncrementalPlan
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.live.rights.conftest import ALL, SQL, Rows, Watching, served
from tests.support.nodes.live_node import QUICK, Follower, LiveNode, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import connect, run_each

ROWS = "select id, owner, org, body from note order by id"
USERS = [f"user-{number}" for number in range(20)]
_TIMES = {"sql": "select id, now()::text as at from note order by id"}


@contextmanager
def rows_on(server: LocalPostgres) -> Iterator[Rows]:
    with database_on(server) as database, served(database) as rows:
        yield rows


@asynccontextmanager
async def watched(
    rows: Rows, node: LiveNode, *principals: Principal, spec: dict[str, Any] = ALL
) -> AsyncIterator[Watching]:
    watching = Watching(rows, node, spec, SQL["sql"] if spec is SQL else ROWS)
    await watching.add(*principals)
    assert {follower.subscription and follower.subscription.strategy for _, follower in watching.followers} == {
        "re-read"
    }
    yield watching


def own_policy(rows: Rows, condition: str) -> tuple[str, ...]:
    """A policy that only PostgreSQL can judge, since it calls a function with a column."""
    return (
        "create function judged(note int) returns boolean language plpgsql stable as $$ begin return note > 0; end $$",
        "drop policy own on note",
        f"create policy own on note to {rows.people} using (({condition}) and judged(id))",
    )


def shows(follower: Follower, number: int) -> bool:
    return str(number) in follower.ids


async def test_the_claims_of_a_commit_are_read_in_few_transactions(rows: Rows) -> None:
    # On a busy machine, too: no statement is broken off, and the commit alone has the queries run again.
    settings = replace(QUICK, batch_timeout_ms=60_000, clock_interval=3_600.0)
    async with live_node(rows.dsn, live=settings) as node:
        followers = [await node.follow(Query("note", _TIMES, ""), principal=rows.principal(name)) for name in USERS]
        run_each(
            rows.dsn,
            "insert into note select 100 + n, 'user-' || n, 1, 'new' from generate_series(0, 19) n",
        )
        await node.caught_up()
        # All that one transaction reads has the same time.
        times = {json.loads(doc)["at"] for follower in followers for _, doc in follower.list}
        assert all(follower.ids for follower in followers)
        assert len(times) <= len(USERS) // 2, times
        metrics = node.live.metrics.registry
        assert metrics.value("realtime_read_batch_claims") == metrics.value("realtime_read_batch_seconds") > 0


@pytest.mark.parametrize("spec", [ALL, SQL], ids=["builder", "SQL"])
@pytest.mark.parametrize("version", ["pg18", "pg15"])
async def test_what_a_policy_keeps_for_one_user_is_not_there_for_the_next(
    request: pytest.FixtureRequest, spec: dict[str, Any], version: str
) -> None:
    """A setting that a function makes, a plan that PL/pgSQL keeps, and a function that is wrongly declared immutable."""
    with rows_on(request.getfixturevalue(version)) as rows:
        run_each(
            rows.dsn,
            "create function kept() returns text language plpgsql as $$ begin "
            "if coalesce(current_setting('app.me', true), '') = '' then perform set_config('app.me', me(), false); end if; "
            "return current_setting('app.me'); end $$",
            "create function fixed() returns text language sql immutable as "
            "$$ select current_setting('request.jwt.claims', true)::json ->> 'sub' $$",
            "alter table note disable row level security; alter table note enable row level security",
            *own_policy(rows, "owner = kept() and owner = fixed()"),
        )
        async with (
            live_node(rows.dsn) as node,
            watched(rows, node, *map(rows.principal, ("ann", "bob", "eve", *USERS[:5])), spec=spec) as watching,
        ):
            await watching.check()
            for number in range(3):
                run_each(
                    rows.dsn,
                    f"update note set body = 'b{number}', owner = case owner when 'ann' then 'bob' else 'ann' end",
                )
                await watching.check()


async def test_claims_for_which_a_policy_fails_leave_the_others_right(rows: Rows) -> None:
    run_each(
        rows.dsn,
        "create function checked(org int) returns boolean language plpgsql stable as $$ begin "
        "if org = 9 and me() = 'bob' then raise exception 'not for bob'; end if; return true; end $$",
        *own_policy(rows, "checked(org) and owner in (me(), 'all')"),
    )
    async with (
        live_node(rows.dsn) as node,
        watched(rows, node, *map(rows.principal, ("ann", "eve", *USERS[:5]))) as watching,
    ):
        bob = await node.follow(Query("note", ALL, ""), principal=rows.principal("bob"))
        run_each(rows.dsn, "insert into note values (10, 'all', 9, 'for all')")
        await bob.until(lambda: bob.error)
        await watching.check()
        assert all("10" in follower.ids for _, follower in watching.followers)
        assert bob.ids == ["2", "3"]


async def test_a_policy_that_waits_keeps_no_one_else_waiting(rows: Rows) -> None:
    run_each(
        rows.dsn,
        "create function gate() returns boolean language plpgsql stable as $$ begin "
        "if me() = 'bob' then perform pg_advisory_xact_lock_shared(1); end if; return true; end $$",
        *own_policy(rows, "gate() and owner in (me(), 'all')"),
    )
    waiting = replace(QUICK, lock_timeout_ms=60_000, quick_timeout_ms=60_000, read_timeout_ms=60_000)
    async with (
        live_node(rows.dsn, live=waiting) as node,
        watched(rows, node, *map(rows.principal, ("ann", "eve", *USERS[:5]))) as watching,
    ):
        bob = await node.follow(Query("note", ALL, ""), principal=rows.principal("bob"))
        with connect(rows.dsn) as holder:
            holder.execute("select pg_advisory_lock(1)")
            for number in (10, 11, 12):
                run_each(rows.dsn, f"insert into note values ({number}, 'all', 1, 'for all')")
                for _, follower in watching.followers:
                    await follower.until(partial(shows, follower, number))
            assert bob.ids == ["2", "3"]
        await bob.until(lambda: bob.ids == ["2", "3", "10", "11", "12"])
        await watching.check()


@pytest.mark.parametrize("bounds", [{"batch_claims": 3}, {"max_rows": 4}, {"batch_timeout_ms": 1}], ids=str)
async def test_batches_are_bounded_and_no_claims_are_forgotten(rows: Rows, bounds: dict[str, Any]) -> None:
    run_each(rows.dsn, *own_policy(rows, "owner = me()"))
    run_each(rows.dsn, "insert into note select 100 + n, 'user-' || n % 20, 1, 'n' from generate_series(0, 59) n")
    settings: LiveSettings = replace(QUICK, **bounds)
    async with (
        live_node(rows.dsn, live=settings) as node,
        watched(rows, node, *map(rows.principal, USERS), spec=SQL) as watching,
    ):
        for number in range(3):
            run_each(rows.dsn, f"update note set body = 'u{number}'")
            await watching.check()


async def test_a_batch_of_subscribers_that_leave_is_read_for_the_others(rows: Rows) -> None:
    run_each(rows.dsn, *own_policy(rows, "owner = me()"))
    async with live_node(rows.dsn) as node:
        stay = await node.follow(Query("note", ALL, ""), principal=rows.principal("ann"))
        leave: list[Follower] = [
            await node.follow(Query("note", ALL, ""), principal=rows.principal(name)) for name in USERS
        ]
        with connect(rows.dsn) as holder, holder.transaction():
            holder.execute("lock table note in access exclusive mode")
            holder.execute("insert into note values (10, 'ann', 1, 'x')")
            for follower in leave:
                follower.leave()
        await stay.until(lambda: stay.ids == ["1", "10"])


_ODD = r"""
    create type pair as (a int, b text);
    create domain positive as numeric check (value > 0);
    create table odd (id int primary key, owner text, flag boolean, code char(6), name varchar(9), amount positive,
        raw bytea, doc json, docs jsonb, words text[], pairs pair, at timestamptz, span interval,
        "Quoted ""x"" y" double precision, later int);
    alter table odd drop column later;
    insert into odd values
        (1, 'ann', true, 'ab', E'q"\'\\', 1.50, '\x0001ff', '{"a" : 1.0}', '{"a": 1.0}', '{a,NULL,"b c"}', row(1, null),
         now(), '1 day', 0.1),
        (2, 'ann', false, '', E'\t\n\u00e4\U0001F600', null, '', 'null', 'null', '{}', row(null, null),
         'infinity', '-1 s', 'NaN');
    insert into odd values (3, 'ann'), (4, 'bob');
    alter table odd enable row level security;
"""


async def test_a_window_that_is_read_in_a_batch_has_what_it_has_alone(rows: Rows) -> None:
    run_each(
        rows.dsn,
        _ODD,
        f"grant select on odd to {rows.people}",
        f"create policy own on odd to {rows.people} "
        "using (owner = me() or owner in (select m.person from member m where false))",
        "select realtime.expose('odd')",
    )
    async with live_node(rows.dsn) as node:
        planner, reader = node.live._planning._planner, node.live._reader
        for name, count in (("ann", 3), ("bob", 1), ("eve", 0)):
            plan = await planner.plan(viewer_of(rows.principal(name), "anonymous"), "odd", {"orderBy": ["id"]})
            assert isinstance(plan, IncrementalPlan)
            statement = plan.read(None)
            alone = await reader.read(statement)
            lines = as_lines(statement)
            claims = plan.visibility.claims.decode()
            [found] = await reader.read_for_each(lines, [claims], [lines.params], 100, ReadBounds(100, 1 << 20, 10_000))
            assert found is not None
            batched = from_lines(found, plan)
            assert len(alone.rows) == count
            assert (batched.rows, batched.types, batched.facts) == (alone.rows, alone.types, alone.facts)
            assert fits(plan, batched)
        assert isinstance(plan, IncrementalPlan)
        run_each(rows.dsn, "alter table odd alter name type text")
        ann = claims.replace("eve", "ann")
        [found] = await reader.read_for_each(lines, [ann], [lines.params], 100, ReadBounds(100, 1 << 20, 10_000))
        assert found is not None
        assert not fits(plan, from_lines(found, plan)), "a column has another type"


class Counted:
    """The statements that were read alone, and of those that were read for several sets how many sets there were."""

    def __init__(self) -> None:
        self.alone: list[Statement] = []
        self.together: list[int] = []


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted, read, read_for_each = Counted(), Reader.read, Reader.read_for_each

    async def alone(self: Reader, statement: Statement, *arguments: Any, **options: Any) -> ReadResult:
        counted.alone.append(statement)
        return await read(self, statement, *arguments, **options)

    async def together(self: Reader, statement: Statement, claims: Sequence[str], *arguments: Any) -> Any:
        counted.together.append(len(claims))
        return await read_for_each(self, statement, claims, *arguments)

    monkeypatch.setattr(Reader, "read", alone)
    monkeypatch.setattr(Reader, "read_for_each", together)
    return counted


async def test_members_are_read_in_few_statements_when_they_join_and_when_memberships_change(
    rows: Rows, counted: Counted
) -> None:
    run_each(
        rows.dsn,
        f"drop policy own on note; create policy own on note to {rows.people} "
        "using (org in (select m.org from member m where m.person = me())); select realtime.expose('note')",
        "insert into member select 3, 'user-' || n from generate_series(0, 19) n",
    )
    unhurried = replace(QUICK, batch_timeout_ms=60_000, quick_timeout_ms=60_000)
    alone, together = counted.alone, counted.together
    async with live_node(rows.dsn, live=unhurried) as node:
        watching = Watching(rows, node, ALL, ROWS)
        await node.follow(Query("note", ALL, ""), principal=rows.principal("ann"))  # who is planned for
        await asyncio.gather(*(watching.add(rows.principal(name)) for name in USERS))
        assert sum(together) > len(USERS)
        assert len(together) <= len(USERS) // 2, together
        together.clear()
        run_each(rows.dsn, "insert into member values (2, 'user-3'); delete from member where person = 'user-4'")
        await watching.check()
        assert sum(together) < len(USERS) // 2, "the others look for rows that have not changed"
        run_each(rows.dsn, "update member set org = 4 where org = 3")
        await watching.check()
        assert sum(together) >= len(USERS)
        assert len(together) <= len(USERS) // 2, together
        assert alone == []


async def test_windows_that_differ_in_claims_and_values_are_read_in_few_statements(
    rows: Rows, counted: Counted
) -> None:
    """Each with its own: one asks for the rows of another user, and gets those that its claims give it."""
    names = [*USERS, "user-1", 'it\'s "me"\\', "NULL", ""]
    run_each(
        rows.dsn,
        "insert into note select 100 + n, 'user-' || n % 20, n % 3, 'x' from generate_series(0, 99) n",
        "insert into note values (300, 'it''s \"me\"\\', 1, 'quoted'), (301, 'NULL', 2, 'null'), (302, '', 1, 'empty')",
    )
    unhurried = replace(QUICK, batch_timeout_ms=60_000, quick_timeout_ms=60_000)
    async with live_node(rows.dsn, live=unhurried) as node:
        asked = [(rows.principal(name), name) for name in names] + [(rows.principal("user-2"), "user-3")]
        followers = await asyncio.gather(*(node.follow(of_owner(name), principal=who) for who, name in asked))
        assert counted.alone == []
        assert len(counted.together) <= len(asked) // 2, counted.together
        run_each(rows.dsn, "update note set owner = 'user-5' where id % 4 = 0", "delete from note where id % 3 = 0")
        await node.caught_up()
        for (who, name), follower in zip(asked, followers, strict=True):
            owner = name.replace("'", "''")
            truth = rows.truth(
                who, f"select id, owner, org, body from note where owner = '{owner}' order by id limit 7"
            )
            assert [json.loads(doc) for _, doc in follower.list] == truth, name


def of_owner(name: str) -> Query:
    return Query("note", {"where": [["owner", "==", name]], "orderBy": ["id"], "limit": 7}, "")
