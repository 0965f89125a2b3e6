"""Endpoints about connected clients."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field

from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import Call, Endpoint, shown
from server.rest.description.models import Connection, ConnectionList, Disconnected, Name
from server.rest.pages import UserPageQuery, read_page

__all__ = ["ENDPOINTS"]


class UserQuery(BaseModel):
    """Whose connections."""

    model_config = ConfigDict(extra="forbid")

    userId: Name = Field(description="The user.")


async def _list(call: Call) -> dict[str, object]:
    page, following = await read_page(call, "rest_connections")
    return shown(ConnectionList, {"connections": [shown(Connection, row) for row in page], "next": following})


async def _disconnect(call: Call) -> None:
    [row] = await call.rows("rest_disconnect", connection_id=call.path["connectionId"])
    if not row["count"]:
        raise ProblemError(ErrorCode.NOT_FOUND, f"there is no connection {call.path['connectionId']!r}")


async def _disconnect_user(call: Call) -> Disconnected:
    [row] = await call.rows("rest_disconnect_user", user_id=call.query_as(UserQuery).userId)
    return Disconnected(count=row["count"])


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "GET",
        "/connections",
        "listConnections",
        "List connected clients",
        _list,
        "Of all servers, in order of their ids.",
        query=UserPageQuery,
        answer=ConnectionList,
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
