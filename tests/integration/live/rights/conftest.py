"""A database with row-level security and two served roles, and followers of one query that are compared with PostgreSQL."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from tests.support.nodes.live_node import Follower, LiveNode
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import connect, run_each

__all__ = ["ALL", "SQL", "SUM", "Rows", "Watching", "rows", "served"]

ALL = {"orderBy": ["id"]}
SQL = {"sql": "select id, body from note order by id"}
SUM = {"sql": "select count(*) as n, sum(id) as total from note"}
SCHEMA = (
    "create table note (id int primary key, owner text not null, org int not null, body text, secret text)",
    "create table member (org int, person text, primary key (org, person))",
    "create function claim(name text) returns text language sql stable as "
    "$$ select nullif(current_setting('request.jwt.claims', true), '')::json ->> name $$",
    "create function me() returns text language sql stable as "
    "$$ select current_setting('request.jwt.claims', true)::json ->> 'sub' $$",
    "alter table note enable row level security",
    "insert into member values (1, 'ann'), (1, 'bob'), (2, 'bob')",
    "insert into note values (1, 'ann', 1, 'a'), (2, 'bob', 1, 'b'), (3, 'bob', 2, 'c'), (4, 'eve', 3, 'd')",
)


@dataclass
class Rows:
    """A database with two served roles: ``people`` and ``staff``."""

    dsn: str
    people: str
    staff: str

    def principal(self, user: str, role: str | None = None, **claims: Any) -> Principal:
        role = role or self.people
        claims = {"sub": user, **claims}
        return Principal(user, visibility=Visibility(role), claims=claims, authenticated=True)

    def truth(self, principal: Principal, sql: str) -> list[Any]:
        """The rows that PostgreSQL gives the principal."""
        with connect(self.dsn) as connection:
            return self.truth_over(connection, principal, sql)

    @staticmethod
    def truth_over(connection: psycopg.Connection[Any], principal: Principal, sql: str) -> list[Any]:
        """The same, over a connection of a superuser's. Settings that policies keep for the session are undone."""
        role = principal.visibility.role
        claims = json.dumps({"role": role, **principal.claims})
        with connection.transaction(force_rollback=True):
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            connection.execute(f'set local role "{role}"'.encode())
            found = [row for (row,) in connection.execute(f"select row_to_json(q) from ({sql}) q".encode())]
        connection.execute("reset all")  # what policies keep in their session is not there for the next user
        return found


@contextmanager
def served(database: str) -> Iterator[Rows]:
    """The tables, policies and roles in ``database``."""
    people, staff = (f"{name}_{uuid.uuid4().hex[:8]}" for name in ("people", "staff"))
    run_each(
        database,
        *(f"create role {role} nologin" for role in (people, staff)),
        *SCHEMA,
        f"grant select (id, owner, org, body) on note to {people}, {staff}",
        f"grant select on member to {people}",
        f"create policy own on note to {people} using (owner = me())",
        f"create policy every on note to {staff} using (true)",
        *(f"select realtime.serve_role('{role}')" for role in (people, staff)),
        "select realtime.expose('note')",
    )
    try:
        yield Rows(database, people, staff)
    finally:
        for role in (people, staff):
            run_each(database, f"drop owned by {role}", f"drop role {role}")


@pytest.fixture
def rows(database: str) -> Iterator[Rows]:
    with served(database) as rows:
        yield rows


class Watching:
    """Followers of one query, each with its principal."""

    def __init__(self, rows: Rows, node: LiveNode, spec: dict[str, Any], sql: str) -> None:
        self._rows, self._node, self._spec, self._sql = rows, node, spec, sql
        self.followers: list[tuple[Principal, Follower]] = []

    async def add(self, *principals: Principal) -> None:
        for principal in principals:
            follower = await self._node.follow(Query("note", self._spec, ""), principal=principal)
            self.followers.append((principal, follower))

    async def check(self) -> None:
        with connect(self._rows.dsn) as connection:
            await self._node.reached(connection)
            for principal, follower in self.followers:
                assert follower.error is None, follower.error
                found = [json.loads(doc) for _, doc in follower.list]
                truth = self._rows.truth_over(connection, principal, self._sql)
                assert found == truth, (principal.user_id, self._spec)
