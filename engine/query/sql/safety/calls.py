"""Everything that a query can call, however indirectly: the call tree below the functions that its own tree names.

Defaults of arguments are put into a call when it is planned, so the tree of the query does not show them: they are read
from ``pg_proc``. The body of a function in SQL is read as Postgres keeps it, as a node tree (docs: CREATE FUNCTION,
``sql_body``). A body that is kept as text is read anew at each call, under the caller's settings, so it can come to mean
something else: it counts as opaque, unless its owner is trusted. Then Postgres analyses it, as the body of a temporary
function of the same arguments in the standard's form; nothing is run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.errors import InvalidQueryError
from engine.postgres.node_tree import Tree, read_tree
from engine.query.sql.safety.clock import ClockReads
from engine.query.sql.safety.functions import Function, Opaque, names_objects, problem_of

__all__ = ["CallTree", "CatalogQuery"]

_MAX_OWN = 200
_SEEN_THROUGH = frozenset({"c", "internal"})  # written by who administers the server; they call nothing by name

CatalogQuery = tuple[str, Mapping[str, object]]
"""A named query and its values."""
Rows = Callable[..., Awaitable[list[list[Any]]]]
Analyse = Callable[[str], Awaitable["str | None"]]


@dataclass(slots=True)
class CallTree:
    """Collects the functions. ``rows`` runs named queries together; ``analyse`` gives the node tree of a function's body.
    ``clock``: what of all that was looked at can depend on the clock.

    ``analyse`` takes the statement that makes a function with this body; it gives None if Postgres does not accept it.
    """

    rows: Rows
    analyse: Analyse
    clock: ClockReads = field(default_factory=ClockReads)
    _found: dict[int, Function] = field(default_factory=dict)
    _types: set[int] = field(default_factory=set)
    _made: set[int] = field(default_factory=set)
    _operators: set[int] = field(default_factory=set)

    async def collect(self, found: Sequence[list[Any]]) -> list[Function]:
        """The functions below a tree, given what its :meth:`queries` have ``found``.

        What a function calls that is refused itself is not looked for.
        """
        await self._take(found, "")
        return list(self._found.values())

    async def collect_checks(self, types: Iterable[int]) -> list[Function]:
        """The functions that reading values of these types from text calls."""
        await self._take(await self.rows(("plan_parts", {"types": list(types)})), "")
        return list(self._found.values())

    async def _visit(
        self, trees: Sequence[Tree], types: Iterable[int], through: str, cast: frozenset[int] = frozenset()
    ) -> None:
        """Collect what ``trees`` and values of ``types`` call. ``cast``: types among which values are cast in planning."""
        if queries := self.queries(trees, types, cast):
            await self._take(await self.rows(*queries), through)

    def queries(
        self, trees: Sequence[Tree], types: Iterable[int] = (), cast: frozenset[int] = frozenset()
    ) -> list[CatalogQuery]:
        """The queries that find what ``trees`` and values of ``types`` call, as far as not known yet; parts first."""
        self.clock.add(trees)
        made = (
            set(types).union(*(tree.types for tree in trees)) - self._made
        )  # casting to a domain calls its constraints
        every = made.union(*(tree.every_type for tree in trees)) - self._types
        cast = cast.union(*(tree.every_type | tree.types for tree in trees if tree.set_operations))
        functions = set[int]().union(*(tree.functions for tree in trees)) - self._found.keys()
        operators = set[int]().union(*(tree.operators for tree in trees)) - self._operators
        self._made |= made
        self._types |= every
        self._operators |= operators
        parts: CatalogQuery = ("plan_parts", {"types": list(made)})
        if not (every or functions or operators or cast):
            return [parts] if made else []
        wanted = {"functions": functions, "operators": operators, "types": every, "cast": cast}
        return [parts, ("plan_functions", {name: list(oids) for name, oids in wanted.items()})]

    async def _take(self, found: Sequence[list[Any]], through: str) -> None:
        parts, functions = [*found, [], []][:2]
        if checks := [read_tree(check, 0) for _, check in parts if check]:
            await self._visit(checks, (), through)
        for row in functions:
            await self._add(row, through)

    async def _add(self, row: Any, through: str) -> None:
        function = replace(Function(*row[:7]), vouched=row[8], through=through)
        language, (defaults, body, statement, settings, types) = row[7], row[9:]
        if function.oid in self._found:
            return
        self._found[function.oid] = function
        if sum(not found.built_in for found in self._found.values()) > _MAX_OWN:
            raise InvalidQueryError(f"the query can call more than {_MAX_OWN} functions that are not built in")
        if problem_of(function) or (function.built_in and not defaults):
            return
        trees = [read_tree(defaults, 0)] if defaults else []
        if statement is not None:
            body = await self.analyse(statement)
        if not function.built_in and not function.aggregate and language not in _SEEN_THROUGH:
            if body:
                trees.append(read_tree(body, 0))
                if statement is not None:
                    self.clock.add_body(statement, trees[-1])
            opaque = Opaque.SETTINGS if settings else _unread(language, statement) if not body else None
            function = self._found[function.oid] = replace(function, opaque=opaque, fault=_fault(trees))
        if function.built_in:
            await self._visit(trees, (), function.name)
        else:  # the result of a body is cast to the type that the function returns
            cast = frozenset(types).union(*(tree.every_type for tree in trees)) if language == "sql" else frozenset()
            await self._visit(trees, types, function.name, cast)


def _unread(language: str, statement: str | None) -> Opaque:
    """Why there is no tree of a body; there is a ``statement`` if it was tried."""
    return Opaque.TEXT if language == "sql" and statement is None else Opaque.BODY


def _fault(trees: list[Tree]) -> str:
    """What defaults or body do that does not follow from arguments and clock; empty if nothing."""
    if any(tree.relations for tree in trees):
        return "reads tables"
    if any(tree.reads_session for tree in trees):
        return "reads the session (current_user, current_schema and the like)"
    if any(names_objects(tree.types) for tree in trees):
        return "names objects of the database (as regclass, regtype or the like)"
    return ""
