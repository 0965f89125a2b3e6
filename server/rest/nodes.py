"""Endpoints about the nodes: themselves, their slots, and how long their deliveries take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engine.metrics.instruments import Histogram
from server.rest.description.endpoint import READER, Call, Endpoint, shown
from server.rest.description.figures import Latencies, Node, NodeList, Slot, SlotList
from server.statistics.latencies import WINDOW, together

__all__ = ["ENDPOINTS"]

_SHARES: Final = {"p50Ms": 0.5, "p95Ms": 0.95, "p99Ms": 0.99}


async def _nodes(call: Call) -> dict[str, object]:
    return shown(NodeList, {"nodes": [shown(Node, row) for row in await call.rows("rest_nodes")]})


async def _slots(call: Call) -> dict[str, object]:
    return shown(SlotList, {"slots": [shown(Slot, row) for row in await call.rows("rest_slots")]})


async def _latency(call: Call) -> dict[str, object]:
    rows = await call.rows("rest_stages")
    found = together(msgspec.json.decode(row["stages"]) for row in rows)
    stages = [_stage(name, histogram) for name, histogram in found.items()]
    return shown(Latencies, {"minutes": WINDOW / 60, "stages": stages})


def _stage(name: str, histogram: Histogram) -> dict[str, object]:
    at = {label: histogram.quantile(share) for label, share in _SHARES.items()}
    in_ms = {label: None if value is None else round(value * 1000, 3) for label, value in at.items()}
    return {"stage": name, **in_ms, "count": histogram.count}


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "GET",
        "/nodes",
        "listNodes",
        "List nodes",
        _nodes,
        "The rows of `realtime.stat_nodes`.",
        answer=NodeList,
        scope=READER,
    ),
    Endpoint(
        "GET",
        "/slots",
        "listSlots",
        "List replication slots",
        _slots,
        "The rows of `realtime.stat_slots`: all slots of the cluster that can hold WAL, and those that are missing.",
        answer=SlotList,
        scope=READER,
    ),
    Endpoint(
        "GET",
        "/latency",
        "getLatency",
        "See how long deliveries take",
        _latency,
        "From the commit until the transaction is here (`feed`), until it is encoded (`apply`), for the encoding, until the "
        "last byte is written (`write`), and altogether (`total`): over all running nodes and the last minutes.",
        answer=Latencies,
        scope=READER,
    ),
)
