"""Types and functions that are not for clients are described as if they did not exist.

Postgres resolves names before privileges count, and its messages reveal whether a type is there, and the fields of a
row type. So a statement that has the name of such a thing in it is first described with that name replaced by
one that does not exist: the answer then is the one for something that does not exist, whatever it is. If Postgres accepts
the statement, or makes nothing of the thing in the statement as it came, the name means something else there (an alias, a
column, a keyword). Hidden columns need none of this: ``hidden_columns`` takes them out of the tables.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import psycopg
from sqlglot import exp

from engine.errors import InvalidQueryError, PermissionDeniedError, QueryRejectedError
from engine.query.sql.parsing.lexer import Rewritten, Token
from engine.query.sql.parsing.syntax import Syntax
from engine.query.sql.safety.dry_run import SqlSession
from engine.query.sql.safety.near_names import UnknownColumnError
from engine.query.sql.safety.reader_transaction import Described
from engine.query.sql.safety.refusals import is_of_literal, rejection, system_columns
from engine.query.sql.safety.renamed import Renamed, is_of_grammar, operators_in

__all__ = ["Verdict", "candidates", "describe", "find_hidden", "hidden_type", "unreadable"]

# PostgreSQL's messages have many languages; where they come from (its source files) has not.
_TYPES, _FUNCTIONS = "parse_type.c", "parse_func.c"
_MISSING_COLUMN = "42703"
_MISSING_FUNCTION = "42883"
_MISSING_OBJECT = "42704"
_SCHEMA = ("3F000", "42501")  # while names are looked up no other privilege counts
_NOT_A_TYPE = ("R", "C")  # categories of keywords that are no type's name unless quoted (docs: "SQL Key Words")
_SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
_MAX_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Postgres answers to the statement in the form ``sql``.

    ``doubt``: the refusal that it gets if it uses a hidden thing after all. ``otherwise``: the refusal of its first form,
    which it gets if it may not read what it does in this one.
    """

    sql: Rewritten
    described: Described
    doubt: QueryRejectedError | None
    otherwise: QueryRejectedError | None = None


def candidates(tokens: Sequence[Token], syntax: Syntax) -> list[int]:
    """The tokens that can name a type or function, by index: not those of tables, columns and aliases."""
    plain = (exp.Table, exp.Column, exp.Alias, exp.TableAlias, exp.Window, exp.Join)
    nodes = syntax.tree.find_all(exp.Identifier) if syntax.tree is not None else ()
    others = {node.meta["start"] for node in nodes if node.meta and isinstance(node.parent, plain)}
    return [
        index
        for index, token in enumerate(tokens)
        if token.kind in ("word", "quoted")
        # type 'text' looks like a column with an alias to sqlglot
        and (token.start not in others or [after.kind for after in tokens[index + 1 : index + 2]] == ["string"])
    ]


async def find_hidden(
    session: SqlSession,
    tokens: Sequence[Token],
    named: Sequence[int],
    exposed: Collection[int],
    shown: Collection[str],
) -> list[int]:
    """The tokens that name, or may name, a type, function or operator that is not for clients, by index.

    Types and functions are looked for among ``named``. Of an operator it is the first token.
    ``exposed`` are the oids of the exposed tables, ``shown`` the names of the columns that the statement can read.
    """
    names: dict[tuple[str | None, str], list[int]] = {}
    for index in named:
        token = tokens[index]
        if token.name in shown and not _in_place_of_type(tokens, index):
            continue
        qualified = index > 1 and tokens[index - 1].text == "." and tokens[index - 2].kind in ("word", "quoted")
        schema = tokens[index - 2].name if qualified else None
        names.setdefault((schema, token.name), []).append(index)
    calls = {
        key: [index for index in indexes if _is_call(tokens, index) or tokens[index - 1].text == "."]
        for key, indexes in names.items()
    }
    operators = operators_in(tokens)
    called = [key for key, indexes in calls.items() if indexes]
    hidden = await session.hidden_names(list(names), called, set(operators.values()), exposed)
    found: set[int] = set()
    for schema, name, keyword, function, is_row in hidden.types:
        for index in names[schema, name]:
            bare_keyword = keyword in _NOT_A_TYPE and tokens[index].kind == "word"
            is_call = function and _is_call(tokens, index) and (is_row or not _is_of_literal(tokens, index))
            if not bare_keyword and not is_call:
                found.add(index)
    for key in hidden.functions:
        found |= set(calls[key])
    return sorted(found.union(index for index, name in operators.items() if name in hidden.operators))


def _is_call(tokens: Sequence[Token], index: int) -> bool:
    return index + 1 < len(tokens) and tokens[index + 1].text == "("


def _is_of_literal(tokens: Sequence[Token], index: int) -> bool:
    """Whether it is ``name('text')``: a cast, if there is such a type, that is no row type (``FuncNameAsType``)."""
    return [token.kind for token in tokens[index + 1 : index + 4]] == ["punctuation", "string", "punctuation"]


def _in_place_of_type(tokens: Sequence[Token], index: int) -> bool:
    """Whether a name that is also a column's may stand for a type there: a cast, a literal, a list of columns with types."""
    after = tokens[index + 1] if index + 1 < len(tokens) else None
    if after is not None and (after.kind == "string" or after.text == "("):
        return True
    while index > 1 and tokens[index - 1].text == ".":
        index -= 2
    before = tokens[index - 1]
    if before.text == ":" or before.is_word("as", "returning"):
        return True
    return before.kind in ("word", "quoted") and index > 1 and tokens[index - 2].text in ("(", ",")


async def describe(
    session: SqlSession, forms: Sequence[Rewritten], tokens: Sequence[Token], syntax: Syntax, occurrences: Sequence[int]
) -> Verdict:
    """Postgres's verdict on the first of ``forms`` in which it does not miss a column in GROUP BY.

    As :func:`_describe`; the refusal is that of the first form.
    """
    if len(forms) == 1:
        return await _describe(session, forms[0], tokens, syntax, occurrences)
    first: QueryRejectedError | None = None
    for form in forms:
        try:
            async with session.undone():
                return replace(await _describe(session, form, tokens, syntax, occurrences), otherwise=first)
        except QueryRejectedError as refused:
            first = first or refused
            if not isinstance(refused.__cause__, psycopg.errors.GroupingError):
                break
    assert first is not None
    raise first


async def _describe(
    session: SqlSession, sql: Rewritten, tokens: Sequence[Token], syntax: Syntax, occurrences: Sequence[int]
) -> Verdict:
    """Postgres's verdict on ``sql``; ``tokens`` are those of its original.

    Raises the refusal, which is the same whether a hidden thing exists or not. If hidden things are named where they may
    mean something else, the verdict has a doubt.
    """
    left = list(occurrences)
    doubt: QueryRejectedError | None = None
    for _ in range(_MAX_ATTEMPTS if left else 0):
        renamed = Renamed(sql, tokens, left)
        try:
            await session.describe_only(renamed.sql.text)
        except psycopg.Error as error:
            refused = _refused(error, renamed, syntax)
            if not isinstance(refused, QueryRejectedError):
                raise
            doubt = refused
            alike = renamed.keywords_at(error)
            if not alike:
                break
            left = [index for index in left if index not in alike]  # they stand for themselves there, not for a name
        else:
            doubt = None
            break
    try:
        return Verdict(sql, await session.describe(sql.text), doubt)
    except psycopg.Error as error:
        if doubt is None and left and rejection(error) is not None and not is_of_grammar(error):
            doubt = PermissionDeniedError(
                f"{_unknown_words(left, tokens)} cannot be named: it does not exist or is not exposed"
            )
        raise doubt or _refused(error, Renamed(sql, tokens, ()), syntax) from error


def _unknown_words(occurrences: Sequence[int], tokens: Sequence[Token]) -> str:
    return ", ".join(sorted({f'"{tokens[index].name}"' for index in occurrences}))


def unreadable(syntax: Syntax) -> InvalidQueryError:
    """The refusal of a statement whose parts are not known, because sqlglot cannot read it."""
    return InvalidQueryError(f"the SQL cannot be read: {syntax.error}")


def _refused(error: psycopg.Error, renamed: Renamed, syntax: Syntax) -> Exception:
    """The error for the client when Postgres does not accept the SQL; ``error`` itself if that is not the SQL's fault.

    What sqlglot cannot read has not had its relations checked, so of Postgres's messages only those about the
    syntax are passed on.
    """
    found: QueryRejectedError | None = rejection(error, renamed.sql.text)
    if found is None:
        return error
    if is_of_literal(error, renamed.sql.text):
        return type(found)(renamed.restored(str(found), error))
    if syntax.error and not is_of_grammar(error):
        return unreadable(syntax)
    if error.sqlstate == _MISSING_OBJECT and error.diag.source_file == _TYPES:
        return hidden_type(*renamed.name_at(error))
    if error.sqlstate in _SCHEMA:
        return PermissionDeniedError(
            "a schema that the query names cannot be used: it does not exist or is not exposed"
        )
    message = renamed.restored(error.diag.message_primary or str(error), error)
    if error.sqlstate == _MISSING_COLUMN:
        name, _ = renamed.name_at(error)
        if name in _SYSTEM_COLUMNS:
            return system_columns()
        return UnknownColumnError(f"{message}, or it is not exposed{renamed.where(error)}", name)
    if error.sqlstate == _MISSING_FUNCTION and error.diag.source_file == _FUNCTIONS:
        return InvalidQueryError(f"{message}{renamed.where(error)}, or one of its types is not exposed")
    if isinstance(found, PermissionDeniedError) and error.sqlstate == "42P01" and syntax.tree is not None:
        # The relations in FROM have been found, so this is about an alias, as in "missing FROM-clause entry".
        return InvalidQueryError(message)
    return type(found)(renamed.restored(str(found), error))


def hidden_type(name: str, where: str = "") -> PermissionDeniedError:
    """The refusal of a type; the same whether it does not exist or is not for clients."""
    return PermissionDeniedError(f'the type "{name}" cannot be named: it does not exist or is not exposed{where}')
