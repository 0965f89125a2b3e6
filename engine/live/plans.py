"""Plans already made, by what was asked: a thousand clients opening the same query plan it once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson
import psycopg

from engine.catalog import Catalog
from engine.query.incremental import IncrementalPlan
from engine.query.planner import plan_query
from engine.query.reread import ReReadPlan

__all__ = ["PlanCache"]

Plan = IncrementalPlan | ReReadPlan


class PlanCache:
    """The most recently used plans under one catalog; cleared when the catalog changes."""

    def __init__(self, size: int = 10_000) -> None:
        self._size = size
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()

    def clear(self) -> None:
        """The catalog has changed: forget everything."""
        self._plans.clear()

    async def plan(
        self, collection: str, spec: Mapping[str, object], catalog: Catalog, connection: psycopg.AsyncConnection[Any]
    ) -> Plan:
        """The plan for ``spec``, made now if need be. Raises ``QueryRejected`` as ``plan_query`` does."""
        key = orjson.dumps((collection, spec), option=orjson.OPT_SORT_KEYS, default=str)
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
            return plan
        plan = await plan_query(collection, spec, catalog, connection)
        self._plans[key] = plan
        if len(self._plans) > self._size:
            self._plans.popitem(last=False)
        return plan
