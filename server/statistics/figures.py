"""The figures of a node, its channels and its live queries, as they are now. No I/O."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.live.core.shared_query import LiveQuery
from engine.query.ir.reread_plan import ReReadPlan

__all__ = ["MAX_LISTED", "NodeFigures", "QueryFigures", "busiest_channels", "busiest_queries", "query_id"]

MAX_LISTED: Final = 2_000
"""How many channels, and how many live queries, a node lists: those with the most subscribers or the longest reads."""

_QUERY_LENGTH: Final = 1_000  # characters
_BATCH: Final = 10  # queries


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFigures:
    """A row of ``realtime.node_stats``; see the comments of ``realtime.stat_nodes``. ``stages``: see
    :mod:`server.statistics.latencies`.
    """

    version: str
    state: str
    reason: str | None
    channels: int
    subscriptions: int
    queries: int
    query_subscriptions: int
    messages: int
    reads: int
    stages: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryFigures:
    """A row of ``realtime.node_queries``; see the comments of ``realtime.stat_queries``."""

    query_id: str
    collection: str
    role: str
    strategy: str
    reason: str | None
    query: str
    subscribers: int
    result_rows: int
    reads: int
    read_ms: float
    cost: float | None


def busiest_channels(subscribers: Iterable[tuple[str, int]], most: int = MAX_LISTED) -> dict[str, int]:
    """The channels with the most subscribers."""
    return dict(heapq.nlargest(most, subscribers, key=lambda each: (each[1], each[0])))


def busiest_queries(
    queries: Iterable[LiveQuery], known: Mapping[str, QueryFigures], most: int = MAX_LISTED
) -> Generator[None, None, dict[str, QueryFigures]]:
    """The queries that took the most time to read, then those with the most subscribers; by id. ``known``: those of before.

    Yields now and then: a query may have 128 KiB.
    """
    found = heapq.nlargest(most, queries, key=lambda each: (each.read_seconds, len(each.subscriptions)))
    figures: dict[str, QueryFigures] = {}
    for number, query in enumerate(found, 1):
        id = query_id(query)
        before = known.get(id)
        figures[id] = _figures_of(query, id, _text_of(query.spec) if before is None else before.query)
        if number % _BATCH == 0:
            yield
    return figures


def _figures_of(query: LiveQuery, id: str, text: str) -> QueryFigures:
    plan = query.plan
    return QueryFigures(
        query_id=id,
        collection=query.collection,
        role=query.visibility.role or query.visibility.rights,  # of administrators, on tables of the service
        strategy=query.strategy,
        reason=(plan.detail or plan.reason) if isinstance(plan, ReReadPlan) else None,
        query=text,
        subscribers=len(query.subscriptions),
        result_rows=query.current().count,
        reads=query.reads,
        read_ms=round(query.read_seconds * 1000, 1),
        cost=plan.cost if isinstance(plan, ReReadPlan) else None,
    )


def query_id(query: LiveQuery) -> str:
    """By which a live query is known on all nodes."""
    who = query.visibility
    parts = (
        query.key.encode(errors="surrogatepass"),
        who.role.encode(),
        who.claims,
        who.rights.encode(),
        b"%d" % who.served,
    )
    return hashlib.blake2b(b"\0".join(parts), digest_size=8).hexdigest()


def _text_of(spec: Mapping[str, object]) -> str:
    """ASCII, so that databases of every encoding can store it."""
    return json.dumps(spec, separators=(",", ":"), default=str)[:_QUERY_LENGTH]
