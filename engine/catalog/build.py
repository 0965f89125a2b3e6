"""From the catalog query's JSON document to ``Catalog``; what cannot be followed: :mod:`engine.catalog.problems`.

A table with a problem still has an entry, with ``Table.problem`` naming what is wrong, so that a subscriber gets that
sentence and other tables are not disturbed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from engine.catalog.model import Catalog, Table
from engine.catalog.policies import UNKNOWN, Policies
from engine.catalog.problems import (
    Published,
    field_problem,
    not_granted,
    publication_problem,
    table_problem,
    unidentified,
    unpublished,
)
from engine.errors import CatalogError
from engine.values.pg_types import Collation, Column, TypeInfo

__all__ = ["build_catalog", "camel_case"]

Json = Mapping[str, Any]

_KINDS = {"b": "base", "e": "enum", "d": "domain", "c": "composite", "r": "range", "m": "multirange"}
_C_LOCALES = {"c", "posix"}
# ucs_basic and pg_c_utf8 carry these too; in all of them order is by code point, which is the order of UTF-8 bytes
_BYTEWISE_LOCALES = _C_LOCALES | {"c.utf-8", "c.utf8"}
# The names of the encodings with one byte per character (docs: "Character Set Support"). Of those with more, EUC_JP among
# them, two characters may be the same one in Unicode.
_ONE_BYTE = ("LATIN", "ISO_8859_", "WIN", "KOI8")


def build_catalog(
    document: Json, *, stream_generated: bool = True, policies: Mapping[int, Policies] | None = None
) -> Catalog:
    """Turn the document of the named query ``catalog`` into a :class:`Catalog`.

    ``policies``: of the tables with row-level security, by oid; None where no role is served.

    Raises ``CatalogError`` if a type refers to one that is not described.
    """
    types = _Types(document["types"])
    encoding = document["encoding"]
    described = [document["default_collation"], *document["collations"]]
    collations = {entry["oid"]: _collation(entry, encoding) for entry in described}
    # Before 18 pgoutput never sends generated columns, although pg_publication_tables of 15 lists them.
    generated = "s" if stream_generated and document["version"] >= 180000 else ""
    publication = document["publication"] or {}
    published = Published(
        problem=publication_problem(publication),
        all_tables=publication.get("all_tables", False),
        schemas=frozenset(document.get("published_schemas", ())),
        generated=generated if publication.get("generated") == "s" else "",
        listed=generated,
    )
    by_collection: dict[str, Table] = {}
    built_in: dict[str, Table] = {}
    by_oid: dict[int, Table] = {}
    for entry in document["tables"]:
        table = _table(entry, types, collations, published, policies)
        (built_in if table.built_in else by_collection)[table.collection] = table
        members = dict.fromkeys(table.members, table)
        by_oid = (
            members | by_oid if table.timed else by_oid | members
        )  # where it is exposed, the stream brings its rows
    by_type, by_relation = _uses(by_collection.values())
    return Catalog(
        by_collection,
        by_oid,
        by_type,
        by_relation,
        published.problem,
        roles=frozenset(document["roles"]),
        by_source=_sources(by_collection.values()),
        built_in=built_in,
    )


def camel_case(name: str) -> str:
    """``created_at`` as ``createdAt``; leading, trailing and doubled underscores stay."""
    return re.sub(r"(?<=[^_])_([a-z0-9])", lambda match: match[1].upper(), name)


# int2vector and oidvector print and are read without braces, and have comparisons of their own
_VECTORS = frozenset({22, 30})


def _uses(tables: Iterable[Table]) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """The tables by the types their columns are made of, and by those types' ``pg_class`` entries."""
    by_type: dict[int, set[int]] = {}
    by_relation: dict[int, set[int]] = {}
    for table in tables:
        for column in (*table.columns, *table.unstreamed):
            for part in column.type.parts():
                by_type.setdefault(part.oid, set()).add(table.oid)
                if part.relation:
                    by_relation.setdefault(part.relation, set()).add(table.oid)
    return by_type, by_relation


def _sources(tables: Iterable[Table]) -> dict[int, set[int]]:
    """The tables by what their policies read."""
    by_source: dict[int, set[int]] = {}
    for table in tables:
        for oid in table.policies.tables if table.policies is not None else ():
            by_source.setdefault(oid, set()).add(table.oid)
    return by_source


class _Types:
    """Type descriptions resolved on demand (they refer to each other, never in a circle by value)."""

    def __init__(self, entries: list[Json]) -> None:
        self._entries = {entry["oid"]: entry for entry in entries}
        self._built: dict[int, TypeInfo] = {}

    def __getitem__(self, oid: int) -> TypeInfo:
        if oid not in self._built:
            if oid not in self._entries:
                raise CatalogError(f"the type with oid {oid} is missing from the catalog")
            self._built[oid] = self._build(self._entries[oid])
        return self._built[oid]

    def _build(self, entry: Json) -> TypeInfo:
        element = self[entry["element"]] if entry["element"] and entry["oid"] not in _VECTORS else None
        return TypeInfo(
            oid=entry["oid"],
            name=entry["name"],
            kind="array" if element else _KINDS.get(entry["typtype"], "base"),
            base=self[entry["base"]] if entry["base"] else None,
            element=element,
            labels=tuple(entry["labels"] or ()),
            fields=tuple((name, self[oid]) for name, oid in entry["fields"] or ()),
            delimiter=entry["delimiter"],
            json_cast=entry["json_cast"],
            category=entry["category"],
            relation=entry["relation"],
            spans=self[entry["spans"]] if entry["spans"] else None,
        )


def is_bytewise(provider: str, collate: str | None, *, utf8: bool) -> bool:
    """Whether text is ordered by its UTF-8 bytes.

    Args:
        provider: ``collprovider`` or ``datlocprovider``: ``c`` (libc), ``i`` (ICU) or ``b`` (builtin, since 17, all of whose
            locales compare code points).
        collate: the locale's name, of importance for libc.
        utf8: whether that is the database's encoding.
    """
    return utf8 and (provider == "b" or (provider == "c" and (collate or "").lower() in _BYTEWISE_LOCALES))


def _collation(entry: Json, encoding: str) -> Collation:
    """What is known about an order, in a database of this encoding."""
    utf8, bytes_only = encoding == "UTF8", encoding == "SQL_ASCII"
    one_byte = encoding.startswith(_ONE_BYTE)
    provider = entry["provider"]
    ctype = entry["ctype"] if provider == "c" else entry["locale"] if provider == "b" else None
    return Collation(
        name=entry["name"],
        deterministic=entry["deterministic"],
        bytewise=is_bytewise(provider, entry["collate"], utf8=utf8),
        ascii_case=utf8 and (ctype or "").lower() in _C_LOCALES,
        injective=utf8 or bytes_only or one_byte,
        c_is_utf8=utf8 or bytes_only or encoding == "LATIN1",
        characters=utf8 or one_byte,
    )


def _table(
    entry: Json,
    types: _Types,
    collations: Mapping[int, Collation],
    published: Published,
    policies: Mapping[int, Policies] | None,
) -> Table:
    every = _columns(entry, types, collations, published)
    collision = field_problem(every)
    if collision:
        every = tuple(replace(column, field=column.name) for column in every)
    key = entry["primary_key"] or {"immediate": False, "columns": []}
    identity = _identity(entry, key)
    wanted = {*key["columns"], *identity}
    found, passing, withheld = None, False, False
    if not entry["timed"]:
        found = unpublished(entry, published)
        passing = found is not None
        found = found or table_problem(entry, served=policies is not None) or collision
        withheld = found is None and not any(column["exposed"] for column in entry["columns"])
        if withheld:
            found = not_granted(entry)
        elif found is None:
            found = unidentified(entry)
            passing = found is not None
    rows = tuple(c for c in every if c.streamed and (c.exposed or c.name in wanted))
    position = {column.name: index for index, column in enumerate(rows)}
    return Table(
        oid=entry["oid"],
        schema=entry["schema"],
        name=entry["name"],
        collection=entry["collection"],
        columns=rows,
        primary_key=_positions(key["columns"], position),
        identity=_positions(identity, position),
        replica_identity=entry["replica_identity"],
        stream_columns=tuple((c.name, c.type.oid) for c in every if c.streamed),
        members=frozenset({entry["oid"], *(member["oid"] for member in entry["members"] or ())}),
        camel_case=entry["camel_case"],
        unstreamed=tuple(c for c in every if c.exposed and not c.streamed),
        generated=frozenset(c.name for c in every if c.generated),
        problem=None if found is None else found.text,
        refusal=None if found is None else found.refusal,
        remediable=passing,
        withheld=withheld,
        access={role: frozenset(attnums) for role, attnums in (entry["access"] or {}).items()},
        policies=policies.get(entry["oid"], UNKNOWN) if policies is not None and entry["row_security"] else None,
        built_in=entry["built_in"],
        timed=entry["timed"],
    )


def _columns(
    entry: Json, types: _Types, collations: Mapping[int, Collation], published: Published
) -> tuple[Column, ...]:
    listed = entry["published_columns"]
    streamed_names = {column["name"] for column in entry["columns"]} if listed is None else set(listed)
    sent_kinds = ("", published.generated if listed is None else published.listed)
    return tuple(
        Column(
            name=column["name"],
            attnum=column["attnum"],
            type=types[column["type"]],
            collation=collations.get(column["collation"]),
            not_null=column["not_null"],
            generated=column["generated"],
            field=camel_case(column["name"]) if entry["camel_case"] else column["name"],
            exposed=column["exposed"],
            streamed=column["name"] in streamed_names and column["generated"] in sent_kinds,
        )
        for column in entry["columns"]
    )


def _positions(names: list[str], position: Mapping[str, int]) -> tuple[int, ...]:
    """Layout indexes of a key; none if part of it is not streamed (a generated column before 18)."""
    return tuple(position[name] for name in names) if position.keys() >= set(names) else ()


def _identity(entry: Json, key: Json) -> list[str]:
    """The columns by which an old row is found; the leaves' replica identity decides, not a partitioned root's.

    A deferrable primary key is no identity: within a transaction two rows may have the same.
    """
    leaves = [member for member in entry["members"] or () if member["leaf"]]
    kinds = {leaf["replica_identity"] for leaf in leaves}
    if kinds <= {"d", "f"}:
        return list(key["columns"]) if key["immediate"] else []
    indexes = {tuple(leaf["identity_index"] or ()) for leaf in leaves}
    if kinds == {"i"} and len(indexes) == 1:
        return list(indexes.pop())
    return []
