"""An owner, a stranger and a superuser of one database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on

REFUSED = psycopg.errors.InsufficientPrivilege


@dataclass
class Roles:
    """A migrated database, an owner of tables in a schema of its own, and a stranger."""

    dsn: str
    owner: str
    stranger: str

    def run(self, role: str | None, *statements: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            if role is not None:
                connection.execute(sql.SQL("set session authorization {}").format(sql.Identifier(role)))
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def roles(pg: LocalPostgres) -> Iterator[Roles]:
    with database_on(pg) as dsn:
        tag = uuid.uuid4().hex[:8]
        roles = Roles(dsn, f"Owner {tag}", f"stranger_{tag}")
        roles.run(
            None,
            f'create role "{roles.owner}"; create role {roles.stranger}',
            f'create schema shop authorization "{roles.owner}"; grant usage, create on schema shop to {roles.stranger}',
        )
        roles.run(
            roles.owner,
            "create table shop.items (id int primary key, title text, secret text)",
            "insert into shop.items values (1, 'a', 's')",
            "create table shop.parts (id int primary key) partition by range (id)",
            "create table shop.parts_1 partition of shop.parts for values from (0) to (10)",
        )
        try:
            yield roles
        finally:
            roles.run(
                None,
                f'drop owned by "{roles.owner}", {roles.stranger} cascade',
                f'drop role "{roles.owner}"; drop role {roles.stranger}',
            )
