"""Endpoints about the nodes: themselves, their slots, and how long their deliveries take."""

from __future__ import annotations

from collections.abc import Sequence

from server.auth.api_keys import READER
from server.rest.description.endpoint import Call, Endpoint, shown
from server.rest.description.figures import Latencies, Node, NodeList, Slot, SlotList, StageLatency
from server.statistics.latencies import WINDOW

__all__ = ["ENDPOINTS"]


async def _nodes(call: Call) -> dict[str, object]:
    return shown(NodeList, {"nodes": [shown(Node, row) for row in await call.rows("rest_nodes")]})


async def _slots(call: Call) -> dict[str, object]:
    return shown(SlotList, {"slots": [shown(Slot, row) for row in await call.rows("rest_slots")]})


async def _latency(call: Call) -> dict[str, object]:
    stages = [shown(StageLatency, row) for row in await call.rows("rest_latency")]
    return shown(Latencies, {"minutes": WINDOW / 60, "stages": stages})


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
        "The rows of `realtime.stat_latency`: from the commit until the transaction is here (`feed`), until it is encoded "
        "(`apply`), for the encoding, until the last byte is written (`write`), and altogether (`total`): over all running "
        "nodes and the last minutes.",
        answer=Latencies,
        scope=READER,
    ),
)
