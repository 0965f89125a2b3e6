"""Endpoints about the nodes: themselves, their slots, and how long their deliveries take."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from pydantic import Field

from server.auth.api_keys import READER
from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import Call, Endpoint, shown
from server.rest.description.figures import Latencies, Move, Node, NodeList, Slot, SlotList, StageLatency
from server.rest.description.models import Body
from server.statistics.latencies import WINDOW

__all__ = ["ENDPOINTS"]


async def _nodes(call: Call) -> dict[str, object]:
    return shown(NodeList, {"nodes": [shown(Node, row) for row in await call.rows("rest_nodes")]})


class MoveOrder(Body):
    """How many clients, and within which time."""

    share: float = Field(gt=0, le=1, description="Of the node's clients.", examples=[0.5])
    seconds: float = Field(10, ge=0, le=3600, description="Over which they connect again, each at a moment of its own.")


async def _move(call: Call) -> Move:
    node, order = call.path["nodeId"], call.body_as(MoveOrder)
    rows = await call.rows("rest_move", node=node, share=order.share, seconds=order.seconds)
    if not rows:
        raise ProblemError(ErrorCode.NOT_FOUND, f"there is no running node {node!r}")
    return Move(id=rows[0]["id"])


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
        "POST",
        "/nodes/{nodeId}/move",
        "moveClients",
        "Move clients to other nodes",
        _move,
        "A share of the node's clients is asked to connect again. They come to the nodes that the load balancer "
        "chooses, and miss nothing. "
        "The order is a row of `realtime.moves`.",
        body=MoveOrder,
        answer=Move,
        status=HTTPStatus.ACCEPTED,
        problems=(ErrorCode.NOT_FOUND,),
        scope="connections",
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
