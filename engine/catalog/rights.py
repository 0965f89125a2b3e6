"""The exposed tables as one role sees them.

For a served role (``realtime.serve_role``) a table with row-level security, or with columns that the role may not read, is
read as that role: PostgreSQL applies policies and privileges. Every other table is the same one for all, and so are its
windows. For other roles a table with row-level security cannot be read.

Administrators also see collections of the service's own tables. Whatever another subscriber asks is planned with a catalog
without them, in which their names mean nothing, or what the operator has exposed under them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from engine.catalog.model import Catalog, Table
from engine.identity.visibility import Viewer, Visibility

__all__ = ["ADMINISTRATORS", "SERVICE_PREFIX", "asks_service", "claims_read", "rights_on", "seen_by", "service_tables"]

ADMINISTRATORS: Final = Visibility("", rights="administrators")
"""Of what administrators see of the service's tables. No claims come to it: their visibilities have a digest as ``rights``,
or nothing.
"""

_NOT_SERVED: Final = (
    "row-level security is enabled on its table, and the role of this subscriber is not served: "
    + "realtime.serve_role() serves it"
)

SERVICE_PREFIX: Final = "realtime."
"""How the names of the service's collections begin."""


def asks_service(catalog: Catalog, viewer: Viewer, collection: str) -> bool:
    """Whether ``collection`` is a table of the service for ``viewer``: only for an administrator it can be."""
    return viewer.administrator and collection in catalog.built_in


def service_tables(catalog: Catalog) -> Catalog:
    """The service's tables alone, the same ones for all administrators."""
    by_oid = {table.oid: table for table in catalog.built_in.values()}
    return replace(catalog, by_collection=catalog.built_in, by_oid=by_oid, roles=frozenset())


def seen_by(catalog: Catalog, role: str) -> Catalog:
    """``catalog`` for subscribers with ``role``, made once. A table that differs for them is another object."""
    role = role if role in catalog.roles else ""  # there are as many others as tokens may name
    seen = catalog.by_role.get(role)
    if seen is None:
        tables = {name: _table(table, role, catalog) for name, table in catalog.by_collection.items()}
        by_oid = {oid: tables[table.collection] for oid, table in catalog.by_oid.items() if not table.built_in}
        readers = (*catalog.readers, role) if role else catalog.readers
        seen = replace(catalog, by_collection=tables, by_oid=by_oid, built_in={}, readers=readers)
        catalog.by_role[role] = seen
    return seen


def _table(table: Table, role: str, catalog: Catalog) -> Table:
    if table.problem is not None:
        return table
    if role not in catalog.roles:
        if table.policies is None:
            return table
        return replace(
            table,
            problem=_NOT_SERVED,
            refusal=_NOT_SERVED,
        )
    readable = table.access.get(role, frozenset())
    hidden = any(column.attnum not in readable for column in table.exposed_columns)
    if table.policies is None and not hidden:
        return table
    problem = table.policies.problem if table.policies is not None else None
    refusal = table.policies.refusal if table.policies is not None else None
    if not any(column.attnum in readable for column in table.exposed_columns):
        problem = refusal = f"the role {role} may not read it"
    return replace(
        table,
        columns=tuple(replace(c, exposed=c.exposed and c.attnum in readable) for c in table.columns),
        unstreamed=tuple(replace(c, exposed=c.exposed and c.attnum in readable) for c in table.unstreamed),
        problem=problem,
        refusal=refusal,
        remediable=table.policies is not None and problem == table.policies.problem,
        policed="row-level security is enabled on its table"
        if table.policies is not None
        else f"the role {role} may not read all columns of its table",
        readable=readable,
        role=role,
        settings=catalog.settings.get(role, ()),
        base=table,
    )


def claims_read(tables: Collection[Table]) -> frozenset[str] | None:
    """The claims that the policies of ``tables`` read; None: perhaps all."""
    names: frozenset[str] = frozenset()
    for table in tables:
        if table.policies is not None:
            if table.policies.claims is None:
                return None
            names |= table.policies.claims
    return names


def rights_on(tables: Collection[Table], settings: Sequence[tuple[str, str]] = ()) -> str:
    """A digest of what decides which rows and columns of ``tables``, as a role with ``settings`` sees them, are shown. Empty
    if that is the same for all.
    """
    parts: list[object] = [
        (table.oid, sorted(table.readable), table.policies and table.policies.sources)
        for table in sorted(tables, key=lambda table: table.oid)
        if table.policed is not None
    ]
    parts += settings
    return blake2b(repr(parts).encode(), digest_size=8).hexdigest() if parts else ""
