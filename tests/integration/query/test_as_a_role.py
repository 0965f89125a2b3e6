"""Plans of subscribers whose rows the policies for their role decide."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

import psycopg
import pytest

from engine.catalog.load import load_catalog
from engine.catalog.model import Catalog
from engine.errors import InvalidQueryError, PermissionDeniedError, UnknownCollectionError
from engine.identity.visibility import Viewer, Visibility
from engine.postgres.connections.session_settings import connection_options
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.planner import plan_at_once, plan_query, reread_instead, with_cost
from engine.query.subscribers_role import for_claims, is_for_any_claims
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on

_CLAIMS = "current_setting('request.jwt.claims', true)::json"
ALL: Mapping[str, object] = {"orderBy": ["id"]}
COUNT = {"sql": "select count(*) as n from note"}


@dataclass
class Planned:
    """A database with policies for ``role``, and a connection that plans."""

    connection: psycopg.AsyncConnection
    catalog: Catalog
    role: str

    def viewer(self, **claims: object) -> Viewer:
        return Viewer(Visibility(self.role), claims)

    async def plan(self, spec: Mapping[str, object], viewer: Viewer, collection: str = "note") -> object:
        return await plan_query(collection, spec, self.catalog, self.connection, viewer=viewer)

    async def under(self, condition: str) -> None:
        """The policy of ``note`` is this one from now on."""
        await self.connection.execute(f"alter policy seen on note using ({condition})".encode())
        await self.connection.execute("select realtime.expose('note')")
        self.catalog = await load_catalog(self.connection)


@pytest.fixture
async def planned(pg18: LocalPostgres) -> AsyncIterator[Planned]:
    role = f"people_{uuid.uuid4().hex[:8]}"
    statements = (
        f"create role {role} nologin",
        "create table member (org int, person text, primary key (org, person))",
        "create table note (id int primary key, owner text, org int, made timestamptz default now())",
        "create table open_note (id int primary key, body text)",
        "create function twice(a int) returns int language plpgsql immutable as $$ begin return 2 * a; end $$",
        "grant execute on function twice(int) to realtime_reader",
        "alter table note enable row level security",
        f"create policy seen on note to {role} using (owner = {_CLAIMS} ->> 'sub')",
        f"grant select on note, member, open_note to {role}",
        f"select realtime.serve_role('{role}')",
        "select realtime.expose('note'), realtime.expose('member'), realtime.expose('open_note')",
    )
    with database_on(pg18, *statements) as dsn:
        async with await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, options=connection_options()
        ) as connection:
            yield Planned(connection, await load_catalog(connection), role)
            await connection.execute(f"drop owned by {role} cascade; drop role {role}".encode())


async def test_those_with_equal_values_of_the_claims_that_policies_read_share_a_plan(planned: Planned) -> None:
    ann, twin, bob = (planned.viewer(sub=name, device=device) for name, device in (("ann", 1), ("ann", 2), ("bob", 3)))
    for spec in (ALL, COUNT):
        first, second, other = [await planned.plan(spec, viewer) for viewer in (ann, twin, bob)]
        assert isinstance(first, IncrementalPlan | ReReadPlan)
        assert isinstance(second, IncrementalPlan | ReReadPlan)
        assert isinstance(other, IncrementalPlan | ReReadPlan)
        assert first.visibility == second.visibility != other.visibility
        assert json.loads(first.visibility.claims) == {"sub": "ann"}


async def test_a_plan_for_other_claims_is_the_one_that_is_planned_for_them(planned: Planned) -> None:
    for condition in (f"owner = {_CLAIMS} ->> 'sub'", f"made < now() and owner = {_CLAIMS} ->> 'sub'"):
        await planned.under(condition)
        ann, bob = [await planned.plan(ALL, planned.viewer(sub=name)) for name in ("ann", "bob")]
        assert isinstance(ann, IncrementalPlan | ReReadPlan)
        assert isinstance(bob, IncrementalPlan | ReReadPlan)
        assert is_for_any_claims(ann)
        made = for_claims(ann, bob.visibility)
        assert made.visibility == bob.visibility
        if isinstance(made, ReReadPlan) and isinstance(bob, ReReadPlan):
            assert made.time_dependent
            assert (made.statement, made.key) == (bob.statement, bob.key)
        else:
            assert isinstance(made, IncrementalPlan)
            assert isinstance(bob, IncrementalPlan)
            assert made.rule is not None
            assert bob.rule is not None
            assert made.rule.role.claims == bob.rule.role.claims
            assert made.rule.otherwise.statement == bob.rule.otherwise.statement


async def test_a_query_that_is_read_again_depends_on_what_the_policies_look_at(planned: Planned) -> None:
    await planned.under(f"org in (select m.org from member m where m.person = {_CLAIMS} ->> 'sub')")
    plan = await planned.plan(COUNT, planned.viewer(sub="ann"))
    assert isinstance(plan, ReReadPlan)
    assert {planned.catalog.by_oid[oid].name for oid in plan.dependencies} == {"note", "member"}
    role = plan.statement.role
    assert role is not None
    assert (role.role, json.loads(role.claims)) == (planned.role, {"sub": "ann"})
    [guard] = role.guards
    assert set(guard.tables) == set(plan.dependencies)
    assert (await with_cost(plan, planned.connection)).cost

    kept = await planned.plan(ALL, planned.viewer(sub="ann"))
    assert isinstance(kept, IncrementalPlan)
    assert kept.rule is not None
    again = reread_instead(kept, "its list is too long")
    assert (again.reason, again.statement.role, again.dependencies) == (
        "its list is too long",
        kept.rule.otherwise.statement.role,
        plan.dependencies,
    )


async def test_a_table_without_policies_is_one_list_for_all_with_the_role(planned: Planned) -> None:
    for spec in (ALL, {"sql": "select count(*) as n from open_note"}):
        plan = await planned.plan(spec, planned.viewer(sub="ann"), "open_note")
        assert isinstance(plan, IncrementalPlan | ReReadPlan)
        assert plan.visibility == Visibility(planned.role)
    at_once = plan_at_once("open_note", ALL, planned.catalog, planned.viewer(sub="ann"))
    assert at_once is not None
    again = reread_instead(at_once, "its list is too long")
    assert (again.visibility, again.statement.role) == (Visibility(planned.role), None)


async def test_functions_of_the_operator_may_read_any_claim(planned: Planned) -> None:
    plan = await planned.plan({"sql": "select twice(id) as n from open_note"}, planned.viewer(sub="ann"), "open_note")
    assert isinstance(plan, ReReadPlan)
    assert json.loads(plan.visibility.claims) == {"role": planned.role, "sub": "ann"}


async def test_what_needs_no_answer_of_postgres_is_planned_at_once(planned: Planned) -> None:
    ann = planned.viewer(sub="ann")
    asked = await planned.plan(ALL, ann)
    at_once = plan_at_once("note", ALL, planned.catalog, ann)
    assert at_once is not None
    assert isinstance(asked, IncrementalPlan)
    assert (at_once.key, at_once.visibility) == (asked.key, asked.visibility)
    for collection, spec in (
        ("note", COUNT),
        ("note", {"where": [["made", ">", "2026-1-1"]]}),
        ("note", {"where": [["nothing", "==", 1]]}),
        ("nothing", ALL),
    ):
        assert plan_at_once(collection, spec, planned.catalog, ann) is None


async def test_who_has_no_served_role_is_refused_what_policies_protect(planned: Planned) -> None:
    stranger = Viewer(Visibility("stranger"))
    with pytest.raises(PermissionDeniedError):
        await planned.plan(ALL, stranger)
    plan = await planned.plan(ALL, stranger, "open_note")
    assert isinstance(plan, IncrementalPlan)
    assert plan.visibility == Visibility("stranger")
    with pytest.raises(UnknownCollectionError, match=r"'notes'; expose"):  # no hint that there is "note"
        await planned.plan(ALL, stranger, "notes")
    with pytest.raises(UnknownCollectionError, match=r"'public.note'; expose the table: realtime expose public.note$"):
        await planned.plan(ALL, stranger, "public.note")


async def test_what_is_no_query_is_refused_in_words(planned: Planned) -> None:
    ann = planned.viewer(sub="ann")
    for collection, spec, words in (
        ("note", {"sql": 1}, '"sql" must be a string, not int'),
        ("note", {"sql": "select id from note", "limit": 1}, 'an SQL query has only "sql" and "params", not \'limit\''),
        ("note", {"sql": "select id from open_note"}, "does not read the collection of its channel"),
        ("realtime.channels", {"sql": "select 1"}, "and no SQL"),
    ):
        viewer = replace(ann, administrator=collection.startswith("realtime."))
        with pytest.raises(InvalidQueryError, match=words):
            await planned.plan(spec, viewer, collection)
    with pytest.raises(
        UnknownCollectionError, match=r"no collection is named 'nothing'; expose the table: realtime expose nothing$"
    ):
        await planned.plan(ALL, ann, "nothing")
    with pytest.raises(
        UnknownCollectionError, match=r"'notes'; did you mean 'note'\? If not, expose the table: realtime expose notes$"
    ):
        await planned.plan(ALL, ann, "notes")
    with pytest.raises(UnknownCollectionError, match=r"'public.note'; the collection of that table is 'note'$"):
        await planned.plan(ALL, ann, "public.note")
    with pytest.raises(UnknownCollectionError, match=r"; expose the table: realtime expose TABLE$"):
        await planned.plan(ALL, ann, "drop table x;\n")
    with pytest.raises(InvalidQueryError, match=r"has no field 'Id'; did you mean 'id'\?$"):
        await planned.plan({"where": [["Id", "==", 1]]}, ann, "note")
