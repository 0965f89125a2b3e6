"""The interface between nodes and the schema ``realtime``, and which versions of it this version's SQL serves.

Nodes of two versions run on one database during a rolling upgrade, so ``sql/schema`` must serve both. The *interface* of a
version is what its nodes, and applications, use by name: tables and views, and the functions that named queries call or
that applications may call. Functions that only other functions call are replaced together with these, and are no part of it.

``sql/interface/N.json`` is the interface of the ``sql/schema`` whose ``VERSION`` is N. A file that is there is a promise:
this version's SQL serves nodes of version N. :func:`incompatibilities` is the rule,
``docs/operations/replication-slots.md`` the steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from engine.postgres.statements.named_queries import folder

__all__ = [
    "Function",
    "Interface",
    "Relation",
    "called_functions",
    "incompatibilities",
    "interface_of",
    "oldest_served",
    "present_interface",
    "schema_version",
    "served_versions",
    "too_old",
]

_CALL: Final = re.compile(r"\brealtime\.(\w+)\(")
_COMMENT: Final = re.compile("--.*")
_BY_PYTHON: Final = frozenset({"read_as_reader"})  # in statements that engine/postgres/snapshot_reader.py makes
_STRICTNESS: Final = "vsi"  # pg_proc.provolatile, in the order in which a function may replace the one before


class Relation(msgspec.Struct, frozen=True):
    """A table or view. A column is its type, with ``not null`` and ``default`` where a row may come without it."""

    kind: str
    columns: dict[str, str]
    key: list[str]


class Function(msgspec.Struct, frozen=True):
    """A function. An argument is its name and type, with ``default`` where a call may omit it."""

    name: str
    arguments: list[str]
    returns: str
    columns: list[str]
    volatility: str

    def __str__(self) -> str:
        return f"realtime.{self.name}({', '.join(self.arguments)})"


class Interface(msgspec.Struct, frozen=True):
    """The interface of one version of ``sql/schema``; ``release`` names the first release that has it, None before."""

    schema_version: int
    release: str | None
    relations: dict[str, Relation]
    functions: list[Function]


@cache
def schema_version() -> int:
    """The number of this version's ``sql/schema``."""
    return int((folder("sql") / "schema" / "VERSION").read_text())


@cache
def served_versions() -> tuple[int, ...]:
    """The versions of ``sql/schema`` whose nodes this version's SQL serves, in order."""
    return tuple(sorted(int(path.stem) for path in (folder("sql") / "interface").glob("*.json")))


def oldest_served() -> int:
    """The oldest version of ``sql/schema`` whose nodes this version's SQL serves."""
    return served_versions()[0]


def too_old(oldest: int | None) -> bool:
    """Whether a database whose SQL serves versions from ``oldest`` on (None: not recorded) does not serve this one."""
    return oldest is None or schema_version() < oldest


@cache
def interface_of(version: int) -> Interface:
    """The recorded interface of a version. Raises ``FileNotFoundError`` for one that is not served."""
    return msgspec.json.decode((folder("sql") / "interface" / f"{version}.json").read_bytes(), type=Interface)


@cache
def called_functions() -> frozenset[str]:
    """The names of the functions that nodes call."""
    texts = (path.read_text() for path in (folder("sql") / "queries").glob("*.sql"))
    return _BY_PYTHON.union(*(_CALL.findall(_COMMENT.sub("", text)) for text in texts))


def present_interface(
    relations: Iterable[Mapping[str, Any]],
    functions: Iterable[Mapping[str, Any]],
    offered: frozenset[str] | None = None,
) -> Interface:
    """What a database has, from rows of the queries ``interface_relations`` and ``interface_functions``.

    ``offered``: names of functions; the others only if nodes call them. None: with every function, as a comparison needs it.
    """
    wanted = None if offered is None else called_functions() | offered
    return Interface(
        schema_version(),
        None,
        {row["name"]: Relation(row["kind"], dict(sorted(row["columns"].items())), row["key"]) for row in relations},
        [
            Function(row["name"], row["arguments"], row["returns"], row["columns"], row["volatility"])
            for row in functions
            if wanted is None or row["name"] in wanted
        ],
    )


def incompatibilities(former: Interface, present: Interface) -> list[str]:
    """What a node of the version ``former`` misses in ``present`` (with all its functions), as texts; empty: it can run.

    New tables, views and functions, and new columns that a row may come without are compatible, and so is an argument that
    a call may omit from now on. Everything else that differs is not. A function with one more argument is another one: it
    would have to be dropped first, and a statement that is about to call it would fail. What a function does is not
    compared: one that means something else has another name.
    """
    found = [
        problem
        for name, relation in former.relations.items()
        for problem in _relation_problems(name, relation, present.relations.get(name))
    ]
    by_name: dict[str, list[Function]] = {}
    for function in present.functions:
        by_name.setdefault(function.name, []).append(function)
    for function in former.functions:
        if not any(_serves(function, candidate) for candidate in by_name.get(function.name, ())):
            others = ", ".join(map(str, by_name.get(function.name, ())))
            found.append(f"{function} was changed: there is {others}" if others else f"{function} is missing")
    return found


def _relation_problems(name: str, former: Relation, present: Relation | None) -> Iterator[str]:
    if present is None:
        yield f"{former.kind} realtime.{name} is missing"
        return
    if present.kind != former.kind:
        yield f"realtime.{name} is a {present.kind}, it was a {former.kind}"
    if present.key != former.key:
        yield f"the key of realtime.{name} is ({', '.join(present.key)}), it was ({', '.join(former.key)})"
    for column, definition in former.columns.items():
        now = present.columns.get(column)
        if now is None:
            yield f"column realtime.{name}.{column} is missing"
        elif now not in (definition, f"{definition} default"):
            yield f"column realtime.{name}.{column} is {now}, it was {definition}"
    for column in present.columns.keys() - former.columns.keys():
        if present.columns[column].endswith(" not null"):
            yield f"column realtime.{name}.{column} is new and must be given: make it nullable, or give it a default"


def _serves(former: Function, present: Function) -> bool:
    """Whether every call of ``former`` is one of ``present``, with the same result."""
    return (
        len(present.arguments) == len(former.arguments)
        and all(now in (then, f"{then} default") for then, now in zip(former.arguments, present.arguments, strict=True))
        and (present.returns, present.columns) == (former.returns, former.columns)
        and _STRICTNESS.index(present.volatility) >= _STRICTNESS.index(former.volatility)
    )
