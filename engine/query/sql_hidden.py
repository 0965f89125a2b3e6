"""What is not exposed is described as if it did not exist: columns and types that clients may not name.

Postgres resolves names before privileges count, and its messages tell a column that is there from one that is not, its type,
and the fields of a table's row type. So a statement that has the name of something hidden in it is first described with
that name replaced by one that does not exist: the answer then is the one for something that does not exist, whatever it is.
If Postgres accepts the statement so, the name means something else there (an alias, a common table expression).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from sqlglot import exp

from engine.catalog import Table
from engine.errors import InvalidQuery, PermissionDenied, QueryRejected
from engine.query.sql_ast import Reference, Syntax, name_of
from engine.query.sql_edit import quoted
from engine.query.sql_lex import Edit, Token, apply, place
from engine.query.sql_session import Described, SqlSession, rejection

__all__ = ["Hidden", "describe", "find_hidden", "hidden_type"]

_GRAMMAR = frozenset({"scan.l", "gram.y", "parser.c"})  # where Postgres finds errors before it looks names up
_MISSING_COLUMN = "42703"
_MISSING_TYPE = re.compile(r'type "(.*)" does not exist', re.DOTALL)
_ONLY_EXPOSED = "only exposed columns can be read (in a subquery, name them instead of *)"
_MOST_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Hidden:
    """Tokens of the statement that name, or may name, something hidden (by index), and whether whole rows can show it."""

    occurrences: tuple[int, ...]
    whole_rows: bool


async def find_hidden(
    session: SqlSession,
    tokens: Sequence[Token],
    syntax: Syntax,
    found: Sequence[Reference],
    tables: Mapping[int, Table],
    exposed: Collection[int],
) -> Hidden:
    """Look for names of hidden columns of the tables ``found`` in FROM, and of types that are not exposed.

    ``tables`` are the tables behind ``found``, ``exposed`` the oids of all that are.
    Raises ``PermissionDenied`` if a table with hidden columns is given names for its columns: those count the hidden ones.
    """
    kinds = await _hidden_types(session, tokens, exposed)
    rows = kinds.rows
    columns = await session.hidden_columns({table.oid for table in tables.values()} | rows.keys())
    concealing = {oid for oid, _ in columns}
    aliases: dict[str, set[int]] = {}
    for reference in found:
        alias, table = reference.node.args.get("alias"), tables.get(id(reference.node))
        if table is None:
            continue
        if table.oid in concealing and isinstance(alias, exp.TableAlias) and alias.args.get("columns"):
            raise PermissionDenied(f'the columns of "{reference.name}" cannot be renamed in FROM: some are not exposed')
        aliases.setdefault(name_of(alias.this) if alias is not None else reference.name, set()).add(table.oid)
    shown = {column.name for table in tables.values() for column in table.exposed_columns}
    hidden = {name for _, name in columns}
    occurrences = {
        index
        for index, token in enumerate(tokens)
        if token.kind in ("word", "quoted")
        and token.name in hidden
        and _is_hidden_column(tokens, index, aliases, columns, shown)
    }
    occurrences |= {
        index
        for index, token in enumerate(tokens)
        if token.kind in ("word", "quoted")
        and token.name in kinds.types
        and (token.name not in shown or _in_place_of_type(tokens, index))
        and not (token.name in kinds.functions and tokens[index + 1 : index + 2] and tokens[index + 1].text == "(")
    }
    whole_rows = any(_is_type(tokens, index) for indexes in rows.values() for index in indexes)
    whole_rows = whole_rows or (bool(concealing) and _has_whole_rows(syntax.tree, aliases))
    return Hidden(tuple(sorted(occurrences)), whole_rows)


def _in_place_of_type(tokens: Sequence[Token], index: int) -> bool:
    """Whether a name that is also a column's may stand for a type there: a cast, a literal, a list of columns with types."""
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    if after is not None and (after.kind == "string" or after.text == "("):
        return True
    while index > 1 and tokens[index - 1].text == ".":
        index -= 2
    before = tokens[index - 1]
    if before.text == ":" or before.is_word("as"):
        return True
    return before.kind in ("word", "quoted") and index > 1 and tokens[index - 2].text in ("(", ",")


def _is_hidden_column(
    tokens: Sequence[Token],
    index: int,
    aliases: Mapping[str, set[int]],
    columns: set[tuple[int, str]],
    shown: set[str],
) -> bool:
    name = tokens[index].name
    if index > 1 and tokens[index - 1].text == ".":
        qualifier = aliases.get(tokens[index - 2].name)
        if qualifier is not None:
            return any((oid, name) in columns for oid in qualifier)
    return name not in shown


@dataclass(frozen=True, slots=True)
class _HiddenTypes:
    """Names of hidden types, those of them that are functions' names too, and where rows of exposed tables are named.

    The latter by table: that it exists is known, and its name is used in FROM.
    """

    types: frozenset[str]
    functions: frozenset[str]
    rows: dict[int, list[int]]


async def _hidden_types(session: SqlSession, tokens: Sequence[Token], exposed: Collection[int]) -> _HiddenTypes:
    names: dict[tuple[str | None, str], list[int]] = {}
    for index, token in enumerate(tokens):
        if token.kind in ("word", "quoted"):
            schema = tokens[index - 2].name if index > 1 and tokens[index - 1].text == "." else None
            names.setdefault((schema, token.name), []).append(index)
    types: set[str] = set()
    functions: set[str] = set()
    rows: dict[int, list[int]] = {}
    for schema, name, relation, is_function in await session.hidden_type_names(list(names), exposed):
        if relation in exposed:
            rows.setdefault(relation, []).extend(names.get((schema, name), ()))
        else:
            types.add(name)
            functions |= {name} if is_function else set()
    return _HiddenTypes(frozenset(types), frozenset(functions), rows)


def _is_type(tokens: Sequence[Token], index: int) -> bool:
    """Whether the name of an exposed table may stand for its row type there, rather than for the table."""
    while index > 1 and tokens[index - 1].text == ".":
        index -= 2
    before = tokens[index - 1]
    return not (before.is_word("from", "join", "only", "table") or before.text == ",")


def _has_whole_rows(tree: exp.Query | None, aliases: Mapping[str, set[int]]) -> bool:
    """Whether something stands for all columns of a table, other than in the list of the outermost SELECT."""
    if tree is None:
        return True
    outermost = {id(star) for item in tree.expressions for star in (item, item.this)} if tree.expressions else set()
    counted = {id(star) for count in tree.find_all(exp.Count) for star in count.iter_expressions()}
    for node in tree.find_all(exp.Star, exp.Column):
        if isinstance(node, exp.Star):
            if id(node) not in outermost and id(node) not in counted:
                return True
        elif not node.args.get("table") and name_of(node.this) in aliases:
            return True
    return False


async def describe(session: SqlSession, sql: str, tokens: Sequence[Token], syntax: Syntax, hidden: Hidden) -> Described:
    """Postgres's verdict on ``sql``. Raises the refusal, which is the same whether a hidden thing exists or not."""
    occurrences = list(hidden.occurrences)
    for _ in range(_MOST_ATTEMPTS if occurrences else 0):
        renamed = _Renamed(sql, tokens, occurrences)
        try:
            await session.describe_only(renamed.sql)
        except psycopg.Error as error:
            keyword = renamed.keyword_at(error)
            if keyword is None:
                raise _refused(error, renamed, syntax, hidden) from error
            occurrences.remove(keyword)  # it stands for itself there, not for a name
        else:
            break
    try:
        return await session.describe(sql)
    except psycopg.Error as error:
        if occurrences and rejection(error) is not None and not _is_of_grammar(error):
            raise PermissionDenied(_ONLY_EXPOSED) from error
        raise _refused(error, _Renamed(sql, tokens, ()), syntax, hidden) from error


class _Renamed:
    """The statement with some of its tokens replaced by names that do not exist."""

    def __init__(self, sql: str, tokens: Sequence[Token], occurrences: Sequence[int]) -> None:
        self._tokens = tokens
        self._original = sql
        self._occurrences = occurrences
        self._names: dict[str, str] = {}
        suffix = secrets.token_hex(8)
        edits: list[Edit] = []
        for index in occurrences:
            name = tokens[index].name
            other = f"{name.encode()[:40].decode(errors='ignore')}_{suffix}"
            self._names[other] = name
            edits.append(Edit(tokens[index].start, tokens[index].end, f" {quoted(other)} "))
        self.sql = apply(sql, edits)
        self._edits = edits

    def original(self, error: psycopg.Error) -> int | None:
        """Where in the original the error is; None if Postgres does not say."""
        position = int(error.diag.statement_position or 0) - 1
        if position < 0:
            return None
        shift = 0
        for edit in self._edits:
            if position < edit.start + shift:
                break
            if position < edit.start + shift + len(edit.text):
                return edit.start
            shift += len(edit.text) - (edit.end - edit.start)
        return position - shift

    def token_at(self, error: psycopg.Error) -> int | None:
        """The token that the error is about."""
        place_ = self.original(error)
        if place_ is None:
            return None
        return next((index for index, token in enumerate(self._tokens) if token.end > place_), None)

    def keyword_at(self, error: psycopg.Error) -> int | None:
        """If replacing a token has made the syntax wrong, that token."""
        at = self.token_at(error) if _is_of_grammar(error) else None
        return max((index for index in self._occurrences if at is not None and index <= at), default=None)

    def restored(self, text: str, error: psycopg.Error) -> str:
        """A message about the error, with names and places of the original."""
        for other, name in self._names.items():
            text = text.replace(other, name)
        at = self.original(error)
        if at is not None:
            text = text.replace(place(self.sql, int(error.diag.statement_position or 0) - 1), place(self._original, at))
        return text

    def where(self, error: psycopg.Error) -> str:
        """`` (at line 1, column 2)`` of the original, or nothing."""
        at = self.original(error)
        return "" if at is None else f" ({place(self._original, at)})"

    def type_at(self, error: psycopg.Error) -> tuple[str, str]:
        """Name and place of the type that the error is about, without its schema."""
        index = self.token_at(error)
        if index is None:
            return "", ""
        while index + 2 < len(self._tokens) and self._tokens[index + 1].text == ".":
            index += 2
        return self._tokens[index].name, f" ({place(self._original, self._tokens[index].start)})"


def _is_of_grammar(error: psycopg.Error) -> bool:
    return error.sqlstate == "42601" and error.diag.source_file in _GRAMMAR


def _refused(error: psycopg.Error, renamed: _Renamed, syntax: Syntax, hidden: Hidden) -> Exception:
    """What to say when Postgres does not accept the SQL; ``error`` itself if that is not the SQL's fault.

    What sqlglot cannot read has not had its relations checked, so of Postgres's messages only those about the
    syntax are passed on.
    """
    found: QueryRejected | None = rejection(error, renamed.sql)
    if found is None:
        return error
    if syntax.error and not _is_of_grammar(error):
        return InvalidQuery(f"the SQL cannot be read: {syntax.error}")
    if _MISSING_TYPE.fullmatch(error.diag.message_primary or ""):
        return hidden_type(*renamed.type_at(error))
    message = renamed.restored(error.diag.message_primary or str(error), error)
    if error.sqlstate == _MISSING_COLUMN:
        return PermissionDenied(f"{message}, or it is not exposed{renamed.where(error)}")
    if hidden.whole_rows and not _is_of_grammar(error):
        return PermissionDenied(_ONLY_EXPOSED)
    if isinstance(found, PermissionDenied) and error.sqlstate == "42P01" and syntax.tree is not None:
        # The relations in FROM have been found, so this is about an alias, as in "missing FROM-clause entry".
        return InvalidQuery(message)
    return type(found)(renamed.restored(str(found), error))


def hidden_type(name: str, where: str = "") -> PermissionDenied:
    """The refusal of a type; the same whether it does not exist or is not for clients."""
    return PermissionDenied(f'the type "{name}" cannot be named: it does not exist or is not exposed{where}')
