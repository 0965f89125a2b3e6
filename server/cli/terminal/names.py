"""Names of tables, columns and collections as a user types them on the command line.

Accepted are the spelling of SQL (``"My Table"``, ``public."My Table"``; without quotes, letters are folded to lower case)
and the bare name (``My Table``, ``public.My Table``), because a shell removes quotes. A name that fits several objects is
refused with the spellings to choose from. Rule: PostgreSQL docs, "Identifiers and Key Words".
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import class_row

from engine.errors import RealtimeError
from engine.postgres.identifiers import quoted_name
from engine.postgres.statements.named_queries import query

__all__ = ["NameRefusedError", "Table", "find_collection", "find_columns", "find_role", "find_table", "identifier"]

_PART: Final = r'"(?:[^"]|"")+"|[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*'
_IDENTIFIER: Final = re.compile(rf"\s*(?:{_PART})\s*(?:\.\s*(?:{_PART})\s*)*")
_LIST_ITEM: Final = re.compile(r'((?:"(?:[^"]|"")*"|[^",])*)(?:,|\Z)|(.+)')
_LOWER: Final = str.maketrans({chr(code): chr(code).lower() for code in range(ord("A"), ord("Z") + 1)})
_SUGGESTIONS: Final = 3
_NOT_SUGGESTED: Final = ("information_schema", "pg_catalog", "realtime")

_Connection = psycopg.Connection[Any]


class NameRefusedError(RealtimeError):
    """A name fits no object, or several; the message has the spelling of those that there are."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, view or other relation. ``spelling``: its name in SQL, with its schema."""

    oid: int
    schema: str
    name: str
    spelling: str


def identifier(text: str) -> list[str] | None:
    """The parts of ``text`` as SQL reads a qualified name; None if it is not one."""
    if not _IDENTIFIER.fullmatch(text):
        return None
    return [
        part[1:-1].replace('""', '"') if part.startswith('"') else part.translate(_LOWER)
        for part in re.findall(_PART, text)
    ]


def find_table(connection: _Connection, text: str) -> Table:
    """The table that ``text`` names, in the ``search_path`` of the role where it names no schema.

    ``connection`` is in autocommit mode. Raises ``NameRefusedError``.
    """
    tables = connection.cursor(row_factory=class_row(Table)).execute(query("named_tables")).fetchall()
    schemas = _search_path(connection)
    found = _fitting(tables, schemas, text)
    if not found:
        parts = identifier(text) or [text]
        names = {table.name for table in tables if table.schema not in _NOT_SUGGESTED}
        close = _close(parts[-1], names)
        spellings = sorted(
            table.spelling for table in tables if table.name in close and table.schema not in _NOT_SUGGESTED
        )
        path = [schema for schema in schemas if schema != "pg_catalog"]
        where = f" in the search_path ({', '.join(path)})" if len(parts) == 1 else ""
        raise NameRefusedError(f"there is no table {text}{where}{_did_you_mean(spellings)}")
    return _only(text, found)


def find_columns(connection: _Connection, table: Table, text: str) -> list[str]:
    """The columns of ``table`` that ``text`` lists, separated by commas. Raises ``NameRefusedError``."""
    names = [str(row[0]) for row in connection.execute(query("columns_of"), [table.oid]).fetchall()]
    return [_one_of(item, names, "column", f" in {table.spelling}") for item in _items(text)]


def find_role(connection: _Connection, text: str) -> str:
    """The name of the role that ``text`` names. Raises ``NameRefusedError``."""
    names = [str(row[0]) for row in connection.execute(query("role_names")).fetchall()]
    return _one_of(text, names, "role")


def find_collection(connection: _Connection, text: str) -> str:
    """The name of the collection that ``text`` names, itself or by its table.

    A role that may not read the list of collections has to give the collection's name. Raises ``NameRefusedError``.
    """
    try:
        collections = {
            int(oid): str(name) for oid, name in connection.execute(query("collections_by_table")).fetchall()
        }
    except psycopg.errors.InsufficientPrivilege:
        return text
    if text in collections.values():
        return text
    tables = connection.cursor(row_factory=class_row(Table)).execute(query("named_tables")).fetchall()
    exposed = [table for table in tables if table.oid in collections]
    if found := _fitting(exposed, _search_path(connection), text):
        return collections[_only(text, found).oid]
    close = _close(text, sorted(collections.values()))
    raise NameRefusedError(f"no collection, and no exposed table, is named {text!r}{_did_you_mean(close)}")


def _search_path(connection: _Connection) -> list[str]:
    """The schemas in which the role finds names. No other statement runs under that path: see ``OWN_NAMES``."""
    with connection.transaction(force_rollback=True):
        connection.execute(query("path_of_role"))
        row = connection.execute(query("schemas_in_path")).fetchone()
    assert row is not None
    return [str(schema) for schema in row[0]]


def _fitting(tables: Iterable[Table], schemas: Sequence[str], text: str) -> set[Table]:
    parts = identifier(text) or []
    found = {
        table
        for table in tables
        if [table.schema, table.name] == parts or f"{table.schema}.{table.name}" == text
    }  # fmt: skip
    for name in {text, *parts[:1]} if len(parts) <= 1 else {text}:
        in_path = [table for table in tables if table.name == name and table.schema in schemas]
        if in_path:
            found.add(min(in_path, key=lambda table: schemas.index(table.schema)))
    return found


def _only(text: str, found: set[Table]) -> Table:
    if len(found) > 1:
        spellings = sorted(f"{quoted_name(table.schema)}.{quoted_name(table.name)}" for table in found)
        raise NameRefusedError(f"{text} fits several tables: write {_either(spellings)}")
    return next(iter(found))


def _items(text: str) -> list[str]:
    items = [str(item or rest).strip() for item, rest in _LIST_ITEM.findall(text)]
    if items and not items[-1]:
        items.pop()  # the empty match at the end
    if not items or not all(items):
        raise NameRefusedError(f"--columns {shlex.quote(text)} lists no column, or an empty one")
    return items


def _one_of(text: str, names: Sequence[str], what: str, where: str = "") -> str:
    """The one of ``names`` that ``text`` spells; ``what`` and ``where`` describe them in errors."""
    parts = identifier(text) or []
    found = [name for name in names if name == text or [name] == parts]
    if len(found) > 1:
        raise NameRefusedError(f"{text} fits several {what}s{where}: write {_either(sorted(map(_quoted, found)))}")
    if not found:
        close = _close(parts[-1] if parts else text, names)
        raise NameRefusedError(f"there is no {what} {text}{where}{_did_you_mean(map(_quoted, close))}")
    return found[0]


def _close(name: str, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that are like ``name``; if there are some that differ in the case of letters only, those."""
    by_lower: dict[str, list[str]] = {}
    for each in names:
        by_lower.setdefault(each.lower(), []).append(each)
    if name.lower() in by_lower:
        return by_lower[name.lower()]
    return [
        each for lower in difflib.get_close_matches(name.lower(), by_lower, _SUGGESTIONS) for each in by_lower[lower]
    ]


def _did_you_mean(spellings: Iterable[str]) -> str:
    words = _either(list(spellings)[:_SUGGESTIONS])
    return f"; did you mean {words}?" if words else ""


def _quoted(name: str) -> str:
    return name if identifier(name) == [name] else quoted_name(name)


def _either(spellings: Iterable[str]) -> str:
    """Spellings as they are typed in a shell."""
    return " or ".join(map(shlex.quote, spellings))
