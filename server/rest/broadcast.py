"""The endpoint for messages to all connections, to users, or to several channels."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import Call, Endpoint
from server.rest.description.models import Announced, Announcement

__all__ = ["ENDPOINTS"]


async def _broadcast(call: Call) -> Announced:
    body = call.body_as(Announcement)
    parameters = {
        "event": body.event,
        "payload": call.raw.get("data", b"null").decode(),
        "sender": body.sender,
        "audience": None
        if body.audience is None
        else body.audience.model_dump_json(exclude_none=True, exclude_unset=True),
        "priority": body.priority,
    }
    if body.channels is not None:
        [row] = await call.rows("rest_broadcast_rooms", rooms=body.channels, **parameters)
        return Announced(id=None, channels=row["channels"])
    if body.users is not None:
        [row] = await call.rows("rest_broadcast_users", users=body.users, **parameters)
    else:
        [row] = await call.rows("rest_broadcast_all", **parameters)
    return Announced(id=row["id"], channels=None)


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "POST",
        "/broadcast",
        "broadcastWidely",
        "Send a message to all connections, to users, or to several channels",
        _broadcast,
        "With `channels` it is published to each of them, in one transaction. Otherwise it reaches connections, whatever "
        "they are subscribed to, in the channel `*`, and is not stored: those of `users`, or all.",
        body=Announcement,
        answer=Announced,
        status=HTTPStatus.CREATED,
        problems=(ErrorCode.NOT_FOUND,),
        scope="publish",
    ),
)
