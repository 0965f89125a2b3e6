"""The shape of a client's SQL, as sqlglot understands it: enough to recognise simple queries and to name their parts.

Nothing here decides what is allowed: Postgres does (``safety.check``). A misunderstanding costs at most the incremental
strategy.
"""

from __future__ import annotations

import gc
import logging
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from engine.errors import InvalidQueryError
from engine.query.sql.parsing.lexer import MAX_DEPTH, Token, identifier

__all__ = ["Reference", "Syntax", "detach", "name_of", "only_args", "parse", "references"]

_STARTS = ("select", "with", "values", "table")
# sqlglot reports on its logger that it falls back to an opaque command; we refuse those anyway.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Syntax:
    """``tree``: None if sqlglot cannot read the statement, then ``error`` has where it stopped."""

    tree: exp.Query | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """A relation named in FROM, as written; ``node`` is its place in the tree, if there is one, ``start`` in the text."""

    schema: str | None
    name: str
    node: exp.Table | None
    start: int


def parse(sql: str, tokens: list[Token]) -> Syntax:
    """Read one statement.

    Raises ``InvalidQueryError`` if it is not a SELECT, locks or creates something, or is nested too deeply.
    """
    first = next((token for token in tokens if token.text != "("), tokens[-1])
    if not first.is_word(*_STARTS):
        raise InvalidQueryError(f"only a SELECT can be subscribed to, and the SQL begins with {first.text[:30]!r}")
    try:
        tree, failure = sqlglot.parse_one(sql, read="postgres"), ""
    except SqlglotError as error:
        tree, failure = None, _where(error)
    except RecursionError as error:
        raise InvalidQueryError(f"the SQL is nested too deeply (more than about {MAX_DEPTH} levels)") from error
    if tree is None:
        gc.collect(0)  # what was read of it cannot be reached, so it cannot be detached
        return Syntax(None, failure)
    if problem := _problem(tree):
        detach(tree)
        raise InvalidQueryError(f"only a pure SELECT can be subscribed to, and the SQL has {problem}")
    if not isinstance(tree, exp.Query | exp.Values):
        detach(tree)
        return Syntax(None, f"it is not a SELECT but {tree.key.upper()}")
    if not isinstance(tree, exp.Query):
        detach(tree)
        return Syntax(None, "")
    return Syntax(tree, "")


def detach(tree: exp.Expr) -> None:
    """Take the links to their parents from all nodes.

    With these a tree consists of cycles, which only the garbage collector can free, and it seldom looks at objects that have
    lived for a while (see :mod:`server.app.gc_tuning`). SQL of 20 kB makes 5 MB of them.
    """
    for node in list(tree.walk()):
        node.parent = None


def _problem(tree: exp.Expr) -> str | None:
    for node in tree.walk():
        if isinstance(node, exp.Lock):
            return "FOR UPDATE or FOR SHARE"
        if isinstance(node, exp.Into):
            return "INTO"
        if isinstance(node, exp.TableSample):
            return "TABLESAMPLE"
        if isinstance(node, exp.Insert | exp.Update | exp.Delete | exp.Merge):
            return node.key.upper()
        if isinstance(node, exp.Command | exp.DDL) and not isinstance(node, exp.Query):
            return node.key.upper()
    return None


def _where(error: SqlglotError) -> str:
    details = getattr(error, "errors", None) or []
    if not details:
        return str(error).splitlines()[0]
    first = details[0]
    return f"{first.get('description')} at line {first.get('line')}, column {first.get('col')}"


def name_of(node: exp.Expr | None) -> str:
    """The name an identifier stands for: quoted as it is, bare folded to lower case. Empty if there is none."""
    if isinstance(node, exp.Identifier):
        return str(node.this) if node.args.get("quoted") else identifier(str(node.this))
    return ""


def only_args(node: exp.Expr, *allowed: str) -> bool:
    """True if ``node`` has nothing but ``allowed``."""
    return all(not value or name in allowed for name, value in node.args.items())


def references(tree: exp.Query) -> list[Reference]:
    """The relations that the statement names, common table expressions aside."""
    found = []
    for node in tree.find_all(exp.Table):
        name, schema = name_of(node.this), name_of(node.args.get("db"))
        if name and (schema or not _is_cte(node, name)):
            found.append(Reference(schema or None, name, node, node.this.meta.get("start", -1)))
    return found


def _is_cte(node: exp.Expr, name: str) -> bool:
    """True if ``name`` at ``node`` means a common table expression.

    One is seen by its statement and by those after it in the same WITH; by itself and those before it if RECURSIVE.
    """
    path: list[exp.Expr] = [node]
    while (parent := path[-1].parent) is not None:
        clause = parent.args.get("with_")
        if isinstance(clause, exp.With):
            visible = clause.expressions
            if path[-1] is clause and not clause.args.get("recursive"):
                visible = visible[: next(i for i, cte in enumerate(visible) if cte is path[-2])]
            if any(name_of(cte.args["alias"].this) == name for cte in visible):
                return True
        path.append(parent)
    return False
