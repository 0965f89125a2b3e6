"""Endpoints about what is in use now: channels and live queries, on all nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from engine.channels.core.messages.model import UnavailableError
from server.auth.api_keys import READER
from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import Call, Endpoint, shown
from server.rest.description.figures import ActiveChannel, ActiveChannelList, Explained, LiveQuery, LiveQueryList
from server.rest.description.models import Name
from server.rest.pages import SortedPageQuery, read_sorted
from server.statistics.figures import query_id

__all__ = ["ENDPOINTS"]


class ActiveChannelQuery(SortedPageQuery):
    """Which channels."""

    channel: Name | None = Field(None, description="Only the one of this name.")
    search: Name | None = Field(None, description="Only those whose name has this in it.")
    sort: Literal["-subscribers", "-members", "-lastMessageAt", "name"] = Field(
        "-subscribers", description="The order."
    )
    history: bool = Field(False, description="Also count stored messages and their size, which reads them.")


class LiveQueryQuery(SortedPageQuery):
    """Which live queries."""

    queryId: Name | None = Field(None, description="Only the one of this id.")
    search: Name | None = Field(None, description="Only those with this in the collection or the query, or of this id.")
    sort: Literal["-readMs", "-subscribers", "queryId"] = Field("-readMs", description="The order.")


async def _channels(call: Call) -> dict[str, object]:
    query = call.query_as(ActiveChannelQuery)
    which: dict[str, Any] = {"channel": query.channel, "search": query.search}
    rows, following, _ = await read_sorted(
        call, "rest_active_channels", "channel", query, **which, sort=query.sort, history=query.history
    )
    count = None
    if query.count:
        [found] = await call.rows("rest_active_channel_count", **which)
        count = found["count"]
    page = [shown(ActiveChannel, row) for row in rows]
    return shown(ActiveChannelList, {"channels": page, "next": following, "count": count})


async def _queries(call: Call) -> dict[str, object]:
    query = call.query_as(LiveQueryQuery)
    rows, following, count = await read_sorted(
        call, "rest_live_queries", "query_id", query, query_id=query.queryId, search=query.search, sort=query.sort
    )
    page = [shown(LiveQuery, row) for row in rows]
    return shown(LiveQueryList, {"queries": page, "next": following, "count": count})


async def _explain(call: Call) -> dict[str, object]:
    wanted = call.path["queryId"]
    rows = await call.rows("rest_live_query", query_id=wanted)
    if not rows:
        raise ProblemError(ErrorCode.NOT_FOUND, f"there is no live query {wanted!r}, or not any more")
    [row] = rows
    explained = await _explained_here(call, wanted)
    if explained is None:
        note = f"this server does not keep the query: ask {' or '.join(row['nodes'])}"
        explained = {"sql": None, "parameters": None, "plan": None, "note": note}
    return shown(Explained, {"query_id": wanted, **row, **explained})


async def _explained_here(call: Call, wanted: str) -> dict[str, object] | None:
    """What this node can add, if it keeps the query."""
    if call.node is None:
        raise UnavailableError("the server is starting or stopping; try again")
    live = call.node.services.live_queries
    query = next((each for each in live.queries if query_id(each) == wanted), None)
    if query is None:
        return None
    found = await live.explain(query)
    plan = "\n".join(found.lines) or None
    return {"sql": found.sql, "parameters": found.parameters, "plan": plan, "note": found.note}


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "GET",
        "/active-channels",
        "listActiveChannels",
        "List channels that are in use",
        _channels,
        "The rows of `realtime.stat_channels`: channels with subscribers, members or stored messages, and the rooms.",
        query=ActiveChannelQuery,
        answer=ActiveChannelList,
        scope=READER,
    ),
    Endpoint(
        "GET",
        "/live-queries",
        "listLiveQueries",
        "List live queries",
        _queries,
        "The rows of `realtime.stat_queries`, those of all nodes for one query together. A node lists the 2,000 that took "
        "the most time to read, then those with the most subscribers.",
        query=LiveQueryQuery,
        answer=LiveQueryList,
        scope=READER,
    ),
    Endpoint(
        "GET",
        "/live-queries/{queryId}/explain",
        "explainLiveQuery",
        "See how a live query is read",
        _explain,
        "Its strategy, the SQL that reads its rows, and PostgreSQL's plan for that (EXPLAIN) as the role of the query. "
        "Nothing is run. A server knows that of the queries that it keeps itself.",
        answer=Explained,
        problems=(ErrorCode.NOT_FOUND,),
        scope=READER,
    ),
)
