"""Plans, kept by the query and what may be seen: a thousand clients opening the same query plan it once.

So do a thousand with a claim each under row-level security: the plan that was made for the first is given the claims of the
others, unless it may depend on claims otherwise.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import blake2b

import psycopg

from engine.catalog.model import Catalog
from engine.catalog.rights import ADMINISTRATORS, asks_service, claims_read
from engine.errors import InvalidQueryError
from engine.fair_cache import FairCache
from engine.identity.visibility import Viewer, Visibility
from engine.live.query_accounts import ASKING, UserAccount
from engine.postgres.snapshot_reader import Reader
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.literals import literals
from engine.query.planner import SqlCache, plan_at_once, plan_query, with_cost
from engine.query.sql.parsing.off_loop import SHORT
from engine.query.subscribers_role import for_claims, is_for_any_claims
from engine.values.exact_json import write_exact

__all__ = ["Plan", "Planner"]


Plan = IncrementalPlan | ReReadPlan

_PLAN = (
    4_096  # bytes that any plan takes, and how many times its literals are held: as text, bytes, keys and index terms
)
_COPIES = 8
_COST = 256  # bytes that a known cost takes


class Planner:
    """Plans queries under the catalog it was given last; plans that are asked for again are kept.

    Args:
        reader: gives the connections that Postgres is asked over.
        room: bytes that plans may take, as estimated; checked SQL may take as much again. See :class:`FairCache`.
    """

    def __init__(self, reader: Reader, room: int = 32 << 20) -> None:
        self._reader = reader
        self._room = room
        self._catalog = Catalog({}, {})
        self._plans: FairCache[tuple[Visibility, bytes], Plan] = FairCache(room)
        self._checked: dict[str, SqlCache] = {}  # by role: the tables differ
        self._costs: FairCache[tuple[str, str], float] = FairCache(room // 8)  # by role and key

    @property
    def weight(self) -> int:
        """Bytes that plans and checked SQL take, as estimated."""
        return self._plans.weight + sum(cache.weight for cache in self._checked.values())

    def use(self, catalog: Catalog) -> None:
        """Plan under ``catalog`` from now on."""
        self._catalog = catalog
        self._plans.clear()
        self._checked.clear()
        self._costs.clear()

    async def plan(self, viewer: Viewer, collection: str, spec: Mapping[str, object]) -> Plan:
        """The plan for ``spec`` of ``viewer``, made now if need be.

        Raises ``QueryRejectedError`` as ``plan_query`` does, ``psycopg.Error`` or ``PoolTimeout`` if the database is away,
        ``TableLockedError`` if a table is locked.
        """
        catalog = self._catalog
        text = _text(collection, spec)
        shared, digest = self.shared_by(viewer, collection, spec), blake2b(text, digest_size=16).digest()
        plan = self._known(shared, digest)
        if plan is not None:
            return plan
        plan = await self._at_once(catalog, viewer, collection, spec)
        if plan is None:
            of_service = asks_service(catalog, viewer, collection)
            table = (catalog.built_in if of_service else catalog.by_collection).get(collection)
            tables = frozenset() if table is None else frozenset({table.oid})
            async with self._asking(tables, long=_is_long(spec)) as connection:
                if catalog is self._catalog and (plan := self._known(shared, digest)) is not None:
                    return plan  # made for another subscriber meanwhile
                plan = await plan_query(collection, spec, catalog, connection, self._checks(viewer), viewer)
        if catalog is self._catalog:
            key = _of_role(shared) if "sql" not in spec and is_for_any_claims(plan) else shared
            self._plans.put((key, digest), plan, _PLAN + _COPIES * (len(text) + _written_out(plan)))
        return plan

    async def _at_once(
        self, catalog: Catalog, viewer: Viewer, collection: str, spec: Mapping[str, object]
    ) -> Plan | None:
        """A plan for which PostgreSQL need not be asked; None: it needs to, or the user has used up its budget.

        A list of a thousand values takes milliseconds, and a client may send a hundred such queries a second. So of users
        that have planned much one query is planned in a turn of the event loop, of each user in turn.
        """
        user = ASKING.get()
        if user is None:
            return plan_at_once(collection, spec, catalog, viewer)
        if user.planning.light or "sql" in spec:  # of SQL PostgreSQL is asked
            with user.planning.charging():
                return plan_at_once(collection, spec, catalog, viewer)
        async with user.planning.at_once_lock:
            plan, _ = await self._reader.turns.do(
                _planned(user, collection, spec, catalog, viewer), user, at_once=False
            )
            return plan

    def _known(self, shared: Visibility, digest: bytes) -> Plan | None:
        plan = self._plans.get((shared, digest))
        if plan is None and shared.served and (made := self._plans.get((_of_role(shared), digest))) is not None:
            plan = for_claims(made, shared)
        return plan

    async def with_cost(self, viewer: Viewer, plan: Plan) -> Plan:
        """``plan``, if it is re-read with its cost: asked once for all subscribers with the role. Raises as :meth:`plan`."""
        if not isinstance(plan, ReReadPlan) or plan.cost is not None:
            return plan
        catalog, key = self._catalog, (viewer.role, plan.key)
        known = self._costs.get(key)
        if known is not None:
            return replace(plan, cost=known)
        async with self._asking(plan.dependencies) as connection:
            plan = await with_cost(plan, connection)
        if catalog is self._catalog and plan.cost is not None:
            self._costs.put(key, plan.cost, _COST)
        return plan

    @asynccontextmanager
    async def _asking(self, tables: Set[int], *, long: bool = False) -> AsyncIterator[psycopg.AsyncConnection]:
        """A connection for planning a query on ``tables``, within the share and the budget of the user who asks.

        ``long``: it has SQL that a thread reads. So many such queries wait for their turn here, and not where each has a
        connection already and none has been counted yet.
        """
        user = ASKING.get()
        if user is None:
            async with self._reader.planning(tables) as connection:
                yield connection
            return
        async with user.planning.lock(long=long):
            await self._reader.turns.turn_of(user)  # it is measured as part of opening the query
            async with self._reader.planning(tables, (user,)) as connection:
                with user.planning.charging():
                    yield connection

    def shared_by(self, viewer: Viewer, collection: str, spec: Mapping[str, object]) -> Visibility:
        """With whom a plan may be shared: SQL can name any table, and call functions that read any claim. Viewers with equal
        ones have one plan.
        """
        if asks_service(self._catalog, viewer, collection):
            return ADMINISTRATORS
        if viewer.role not in self._catalog.roles:
            return viewer.visibility
        table = self._catalog.by_collection.get(collection)
        return viewer.reads(None if "sql" in spec or table is None else claims_read([table]), "")

    def is_same(
        self, one: Viewer, other: Viewer, collection: str, spec: Mapping[str, object], plan: Plan | None
    ) -> bool:
        """Whether two viewers see the same of ``spec``, for the first of whom ``plan`` was made: no claim that it reads
        differs.
        """
        if asks_service(self._catalog, one, collection) != asks_service(self._catalog, other, collection):
            return False
        if plan is None or "sql" not in spec or one.role not in self._catalog.roles:
            return self.shared_by(one, collection, spec) == self.shared_by(other, collection, spec)
        read = plan.rule.otherwise if isinstance(plan, IncrementalPlan) and plan.rule is not None else plan
        own = isinstance(read, ReReadPlan) and read.calls_own
        tables = [self._catalog.by_oid[oid] for oid in read.dependencies if oid in self._catalog.by_oid]
        names = None if own else claims_read(tables)
        return one.reads(names, "") == other.reads(names, "")

    def _checks(self, viewer: Viewer) -> SqlCache:
        role = viewer.role if viewer.role in self._catalog.roles else ""
        found = self._checked.get(role)
        if found is None:
            found = self._checked[role] = SqlCache(self._room)
        return found


def _planned(
    user: UserAccount, collection: str, spec: Mapping[str, object], catalog: Catalog, viewer: Viewer
) -> Generator[None, None, Plan | None]:
    """The one part of planning without PostgreSQL. None: as of ``plan_at_once``, or the user has used up its budget."""
    if user.planning.wait:
        return None
    with user.planning.charging():
        return plan_at_once(collection, spec, catalog, viewer)
    yield


def _is_long(spec: Mapping[str, object]) -> bool:
    return isinstance(sql := spec.get("sql"), str) and len(sql) > SHORT


def _of_role(shared: Visibility) -> Visibility:
    """By which a plan is kept that serves all claims of a served role; no subscriber has this visibility."""
    return Visibility(shared.role)


def _written_out(plan: Plan) -> int:
    """Characters of the plan's values as PostgreSQL prints them: ``1e9999`` has ten thousand."""
    if isinstance(plan, IncrementalPlan):
        return sum(len(literal.text) for literal in literals(plan.query, plan.table))
    return sum(len(text) for text in plan.statement.params if text is not None)


def _text(collection: str, spec: Mapping[str, object]) -> bytes:
    """One text for specs that ask for the same in the same words: numbers keep their digits, and are no strings."""
    try:
        return write_exact((collection, spec), in_order=True)
    except UnicodeEncodeError as wrong:
        raise InvalidQueryError("the query has text with a lone surrogate, which is no Unicode text") from wrong
