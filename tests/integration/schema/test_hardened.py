"""The server as a role with nothing but what `realtime grant` gives, in a database that was closed to everybody."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import database_on
from tests.support.clients.users import two_users
from tests.support.postgres.sql import run_sql
from tests.support.servers.commands import realtime


@dataclass
class Hardened:
    """A migrated database in which PUBLIC may do nothing, and the role that is to serve it."""

    dsn: str
    role: str

    @property
    def name(self) -> str:
        return self.dsn.rsplit("/", 1)[1]

    def as_role(self, role: str) -> str:
        return self.dsn.replace("postgres@", f"{role}@")

    def problems(self) -> list[str]:
        found = diagnose(self.as_role(self.role), Settings())
        return [str(finding) for finding in found if finding.level == "problem"]


@pytest.fixture
def hardened(pg: LocalPostgres) -> Iterator[Hardened]:
    with database_on(pg) as dsn:
        place = Hardened(dsn, f"server_{uuid.uuid4().hex[:8]}")
        run_sql(dsn, f"create role {place.role} login replication")
        run_sql(
            dsn,
            "create schema shop; create table shop.items (id int primary key, title text, secret text);"
            "insert into shop.items values (1, 'a', 's'), (2, 'b', 's');"
            "select realtime.expose('shop.items', columns => '{id,title}')",
        )
        run_sql(dsn, f"revoke all on database {place.name} from public; revoke all on schema public from public")
        try:
            yield place
        finally:
            run_sql(dsn, f"drop owned by {place.role}; drop role {place.role}")


@pytest.mark.long
async def test_the_granted_role_serves_everything_where_public_may_not_even_connect(hardened: Hardened) -> None:
    with pytest.raises(psycopg.OperationalError, match="CONNECT"):
        diagnose(hardened.as_role(hardened.role), Settings())
    granted = realtime("grant", hardened.role, "--dsn", hardened.dsn)
    assert granted.returncode == 0, granted.stderr
    assert f"GRANT CONNECT, TEMPORARY ON DATABASE {hardened.name} TO {hardened.role};" in granted.stdout
    assert hardened.problems() == []
    async with two_users(hardened.as_role(hardened.role)) as (ada, bob, http):
        await ada.join(presence={"name": "Ada"})
        await bob.join(presence=True)
        assert (await ada.receive("presence:join"))["user"]["id"] == "bob"
        await bob.ask(type="message", channel="chat:1", event="sent", data={"n": 1})
        assert (await ada.receive("message"))["data"] == {"n": 1}
        made = await http.post("/channels", json={"name": "room", "capacity": 1})
        assert made.status_code == 201, made.text
        assert (await ada.join("room"))["type"] == "subscribed"
        assert (await bob.join("room"))["code"] == "RT_008"

        items = "db:collection:items"
        await ada.send(type="subscribe", channel=items, id="built", query={"orderBy": [["id", "desc"]], "limit": 1})
        assert (await ada.receive("subscribed", "error"))["type"] == "subscribed"
        assert (await ada.receive("snapshot"))["changes"][0]["doc"]["data"] == {"id": 2, "title": "b"}
        counted = {"sql": "select count(*) as n from shop.items where title > $1", "params": [""]}
        await bob.send(type="subscribe", channel=items, id="sql", query=counted)
        assert (await bob.receive("subscribed", "error"))["type"] == "subscribed"
        assert (await bob.receive("snapshot"))["changes"][0]["doc"]["data"] == {"n": 2}
        run_sql(hardened.dsn, "insert into shop.items values (3, 'c', 's')")
        assert (await bob.receive("snapshot"))["changes"][0]["doc"]["data"] == {"n": 3}
        added = [change for change in (await ada.receive("snapshot"))["changes"] if change["type"] == "added"]
        assert added[0]["doc"]["data"] == {"id": 3, "title": "c"}


def test_grants_that_the_schemas_owner_may_not_make_are_named_and_nothing_is_half_given(pg: LocalPostgres) -> None:
    tag = uuid.uuid4().hex[:8]
    migrator, server = f"migrator_{tag}", f"server_{tag}"
    with database_on(pg, migrated=False) as dsn:
        name = dsn.rsplit("/", 1)[1]
        place = Hardened(dsn, server)
        run_sql(dsn, f"create role {migrator} login; create role {server} login replication")
        migrate(dsn)  # makes the roles, which a migrator without CREATEROLE finds
        run_sql(dsn, "drop schema realtime cascade; drop publication bunbase_realtime")
        run_sql(
            dsn,
            f"revoke all on database {name} from public; grant connect, create, temporary on database {name} to {migrator};"
            f"grant realtime_reader to {migrator} with admin option",
        )
        try:
            assert realtime("migrate", "--dsn", place.as_role(migrator)).returncode == 0
            run_sql(dsn, f"grant connect on database {name} to {server}")
            refused = realtime("grant", server, "--dsn", place.as_role(server))
            assert (refused.returncode, "is for the owner of the schema realtime" in refused.stderr) == (3, True)
            run_sql(dsn, f"revoke connect on database {name} from {server}")
            refused = realtime("grant", server, "--dsn", place.as_role(migrator))
            assert refused.returncode == 3
            assert f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {server}; Then grant again" in refused.stderr
            run_sql(dsn, f"grant connect, temporary on database {name} to {server}")
            done = realtime("grant", server, "--dsn", place.as_role(migrator))
            assert (done.returncode, "GRANT realtime_reader TO" in done.stdout) == (0, True), done.stderr
            assert place.problems() == []
            run_sql(dsn, f"revoke temporary on database {name} from {server}")
            again = realtime("migrate", "--dsn", place.as_role(migrator))
            assert (again.returncode, again.stdout) == (0, "already up to date\n"), again.stderr
            assert f"may not give {server}, which it needs: GRANT TEMPORARY ON DATABASE" in again.stderr
        finally:
            run_sql(dsn, f"drop owned by {server}, {migrator} cascade; drop role {server}; drop role {migrator}")


def test_a_function_in_an_index_reads_no_table_that_the_granted_role_may_not_and_doctor_warns_superusers(
    hardened: Hardened,
) -> None:
    owner = f"owner_{uuid.uuid4().hex[:8]}"
    run_sql(hardened.dsn, f"create role {owner}; grant usage, create on schema shop to {owner}")
    run_sql(hardened.dsn, "create table shop.vault (what text); insert into shop.vault values ('gold')")
    try:
        run_sql(
            hardened.dsn,
            f"set role {owner}; create table shop.theirs (id int primary key);"
            "create function shop.leave(text) returns boolean language plpgsql immutable as "
            "$$ begin return true; end $$;"
            "create index on shop.theirs (id) where shop.leave('x');"
            "create or replace function shop.leave(text) returns boolean language plpgsql immutable as $$ begin "
            "perform set_config('role', 'none', true); perform what from shop.vault; raise exception 'read'; end $$;"
            "reset role; select realtime.expose('shop.theirs')",
        )
        assert realtime("grant", hardened.role, "--dsn", hardened.dsn).returncode == 0
        for role, error in ((hardened.role, "permission denied for table vault"), ("postgres", "read")):
            with psycopg.connect(hardened.as_role(role)) as connection:
                connection.execute("set local role realtime_reader")
                with pytest.raises(psycopg.Error, match=error):
                    connection.execute("explain select id from shop.theirs where id < 7")
        warned = f"shop.theirs of {owner}"
        assert any(warned in finding.text for finding in diagnose(hardened.dsn, Settings()) if finding.level == "warn")
        assert not any(warned in finding.text for finding in diagnose(hardened.as_role(hardened.role), Settings()))
    finally:
        run_sql(hardened.dsn, f"drop owned by {owner} cascade; drop role {owner}")


def test_doctor_names_the_schema_of_a_columns_type_that_the_reader_may_not_use(hardened: Hardened) -> None:
    run_sql(
        hardened.dsn,
        "create schema kinds; create type kinds.mood as enum ('low');"
        "create table shop.moods (id int primary key, mood kinds.mood[]);"
        "select realtime.expose('shop.moods'); revoke usage on schema kinds from realtime_reader",
    )
    realtime("grant", hardened.role, "--dsn", hardened.dsn)
    assert "GRANT USAGE ON SCHEMA kinds TO realtime_reader;" in "\n".join(hardened.problems())
