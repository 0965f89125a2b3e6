"""Snapshots of the catalogs of a database, to compare what was there before and after."""

from __future__ import annotations

from typing import Any

import psycopg

__all__ = ["differences", "run", "snapshot"]

CATALOGS = (
    "pg_class", "pg_attribute", "pg_attrdef", "pg_proc", "pg_trigger", "pg_policy", "pg_event_trigger", "pg_publication",
    "pg_publication_rel", "pg_subscription", "pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_replication_slots",
    "pg_namespace", "pg_type", "pg_constraint", "pg_index", "pg_rewrite", "pg_default_acl", "pg_description", "pg_database",
    "pg_init_privs", "pg_extension", "pg_inherits", "pg_depend", "pg_shdepend", "pg_collation", "pg_cast", "pg_operator",
)  # fmt: skip

UNSTEADY = (
    "relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid", "relfilenode", "relhastriggers",
    "datfrozenxid", "datminmxid", "subskiplsn", "rolpassword",
)  # fmt: skip
"""Columns that VACUUM changes, or only VACUUM: it notices later that a table has no triggers any more."""

PRIVILEGES = {
    "pg_class": ("relacl", "r", "relowner"),
    "pg_proc": ("proacl", "f", "proowner"),
    "pg_namespace": ("nspacl", "n", "nspowner"),
    "pg_database": ("datacl", "d", "datdba"),
}


def run(dsn: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []


def snapshot(dsn: str) -> dict[str, set[str]]:
    """The rows of the catalogs, with privileges as they act: the owner's own are written down or not."""
    found: dict[str, set[str]] = {}
    for catalog in CATALOGS:
        column, kind, owner = PRIVILEGES.get(catalog, ("null::aclitem[]", "r", "10"))
        text = (
            "select (to_jsonb(c) - %s::text[])::text || coalesce((select string_agg(a::text, ' ' order by a::text) "
            f"from aclexplode(coalesce({column}, acldefault('{kind}', {owner}))) a), '') from {catalog} c"
        )
        with psycopg.connect(dsn, autocommit=True) as connection:
            rows = connection.execute(text.encode(), [[column, *UNSTEADY]]).fetchall()
        found[catalog] = {row[0] for row in rows}
    return found


def differences(before: dict[str, set[str]], after: dict[str, set[str]]) -> dict[str, set[str]]:
    return {name: before[name] ^ after[name] for name in before if before[name] != after[name]}
