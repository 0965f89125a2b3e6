"""SQL that has been judged safe, and a cache of it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from sqlglot import exp

from engine.catalog.model import Table
from engine.fair_cache import FairCache
from engine.postgres.node_tree import Tree
from engine.postgres.statements.statement import NamesGuard
from engine.query.sql.parsing.lexer import Token
from engine.query.sql.parsing.parameters import ParameterType
from engine.query.sql.safety.functions import Function

__all__ = ["CheckedSql", "SqlCache"]


@dataclass(frozen=True, slots=True, eq=False)
class CheckedSql:
    """SQL that Postgres and we accept, whatever its parameters' values.

    Attributes:
        sql: the one statement, stars over exposed tables written out, hidden columns out of reach.
        tokens: its tokens.
        select: its syntax tree (of the text as it came), if sqlglot could read it.
        tables: what the relations in the tree are, by ``id()`` of their node.
        columns: output names.
        types: of the parameters.
        functions: everything it can call.
        tree: everything it refers to.
        dependencies: oids of the exposed tables it reads.
        reads_clock: its rows can change with the clock alone.
        timed: the types among those of the parameters, and perhaps others, whose values consist of times.
        callables: what there was to be called, as of :meth:`SqlSession.callables`, before the check began.
        names: the relations that it names, as they were then.
    """

    sql: str
    tokens: tuple[Token, ...]
    select: exp.Query | None
    tables: dict[int, Table]
    columns: tuple[str, ...]
    types: tuple[ParameterType, ...]
    functions: tuple[Function, ...]
    tree: Tree
    dependencies: frozenset[int]
    reads_clock: bool
    timed: frozenset[int]
    callables: str
    names: NamesGuard


class SqlCache:
    """The latest accepted SQL texts, so that a thousand subscribers with one text cost one check.

    Valid for one catalog and one way of connecting (role, search path): make a new one when the catalog is loaded again.
    ``room``: bytes at most, as estimated from the texts; see :class:`FairCache`.
    """

    def __init__(self, room: int = 32 << 20) -> None:
        self._checked: FairCache[bytes, CheckedSql] = FairCache(room)

    @property
    def weight(self) -> int:
        """Bytes that are kept, as estimated."""
        return self._checked.weight

    def get(self, sql: str) -> CheckedSql | None:
        """What the check of ``sql`` gave."""
        return self._checked.get(_digest(sql))

    def put(self, sql: str, checked: CheckedSql) -> None:
        """Keep a check's result, if it is not too large."""
        # measured: a token is 150 bytes and about 500 more in sqlglot's tree
        self._checked.put(_digest(sql), checked, 8_192 + 700 * len(checked.tokens) + 8 * len(sql))


def _digest(sql: str) -> bytes:
    return blake2b(sql.encode(errors="surrogatepass"), digest_size=16).digest()
