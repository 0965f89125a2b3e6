"""Endpoints about connected clients."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import Call, Endpoint, shown
from server.rest.description.figures import ConnectionDetails
from server.rest.description.models import Connection, ConnectionList, Disconnected, Name
from server.rest.pages import SortedPageQuery, read_sorted

__all__ = ["ENDPOINTS"]


class UserQuery(BaseModel):
    """Whose connections."""

    model_config = ConfigDict(extra="forbid")

    userId: Name = Field(description="The user.")


class ConnectionQuery(SortedPageQuery):
    """Which connections."""

    userId: Name | None = Field(None, description="Only those of this user.")
    channel: Name | None = Field(None, description="Only those that are present in this channel.")
    node: Name | None = Field(None, description="Only those of this node.")
    search: Name | None = Field(None, description="Only those whose id, user or address begins with this.")
    sort: Literal["connectedAt", "-connectedAt", "user"] | None = Field(
        None, description="The order; by id if omitted."
    )


async def _list(call: Call) -> dict[str, object]:
    query = call.query_as(ConnectionQuery)
    rows, following, count = await read_sorted(
        call,
        "rest_connections",
        "id",
        query,
        by_key=query.sort is None,
        user_id=query.userId,
        channel=query.channel,
        node=query.node,
        search=query.search,
        sort=query.sort,
    )
    page = [shown(Connection, row) for row in rows]
    return shown(ConnectionList, {"connections": page, "next": following, "count": count})


async def _get(call: Call) -> dict[str, object]:
    rows = await call.rows("rest_connection", connection_id=call.path["connectionId"])
    if not rows:
        raise _unknown(call)
    return shown(ConnectionDetails, rows[0])


async def _disconnect(call: Call) -> None:
    [row] = await call.rows("rest_disconnect", connection_id=call.path["connectionId"])
    if not row["count"]:
        raise _unknown(call)


async def _disconnect_user(call: Call) -> Disconnected:
    [row] = await call.rows("rest_disconnect_user", user_id=call.query_as(UserQuery).userId)
    return Disconnected(count=row["count"])


def _unknown(call: Call) -> ProblemError:
    return ProblemError(ErrorCode.NOT_FOUND, f"there is no connection {call.path['connectionId']!r}")


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "GET",
        "/connections",
        "listConnections",
        "List connected clients",
        _list,
        "Of all servers, in order of their ids or in another one.",
        query=ConnectionQuery,
        answer=ConnectionList,
        scope="connections",
    ),
    Endpoint(
        "GET",
        "/connections/{connectionId}",
        "getConnection",
        "See a connected client",
        _get,
        answer=ConnectionDetails,
        problems=(ErrorCode.NOT_FOUND,),
        scope="connections",
    ),
    Endpoint(
        "DELETE",
        "/connections",
        "disconnectUser",
        "Disconnect a user",
        _disconnect_user,
        "All connections of the user are closed, on whichever server they are.",
        query=UserQuery,
        answer=Disconnected,
        scope="connections",
    ),
    Endpoint(
        "DELETE",
        "/connections/{connectionId}",
        "disconnect",
        "Disconnect a client",
        _disconnect,
        "The connection is closed with code 4001, on whichever server it is.",
        status=HTTPStatus.NO_CONTENT,
        problems=(ErrorCode.NOT_FOUND,),
        scope="connections",
    ),
)
