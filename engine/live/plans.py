"""Plans, kept by what was asked: a thousand clients opening the same query plan it once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import orjson

from engine.catalog import Catalog
from engine.live.reader import Reader
from engine.query.incremental import IncrementalPlan
from engine.query.planner import SqlCache, plan_query
from engine.query.reread import ReReadPlan

__all__ = ["Plan", "Planner"]


Plan = IncrementalPlan | ReReadPlan


class Planner:
    """Plans queries under the catalog it was given last; the most recently used plans are kept.

    Args:
        reader: gives the connections that Postgres is asked over.
        size: how many plans to keep.
    """

    def __init__(self, reader: Reader, size: int = 10_000) -> None:
        self._reader = reader
        self._size = size
        self._catalog = Catalog({}, {})
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()
        self._checked = SqlCache()

    def use(self, catalog: Catalog) -> None:
        """Plan under ``catalog`` from now on."""
        self._catalog = catalog
        self._plans.clear()
        self._checked = SqlCache()

    async def plan(self, collection: str, spec: Mapping[str, object]) -> Plan:
        """The plan for ``spec``, made now if need be.

        Raises ``QueryRejected`` as ``plan_query`` does, ``psycopg.Error`` or ``PoolTimeout`` if the database is away.
        """
        catalog = self._catalog
        key = orjson.dumps((collection, spec), option=orjson.OPT_SORT_KEYS, default=str)
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
            return plan
        async with self._reader.connection() as connection:
            plan = await plan_query(collection, spec, catalog, connection, self._checked)
        if catalog is self._catalog:
            self._plans[key] = plan
            if len(self._plans) > self._size:
                self._plans.popitem(last=False)
        return plan
