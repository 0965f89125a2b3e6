"""Endpoints about channels: publish, look, remove a user, and rooms."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from server.http.problems import ProblemError
from server.protocol.error_codes import ErrorCode
from server.rest.clients import publish
from server.rest.description.endpoint import Call, Endpoint, shown
from server.rest.description.models import (
    Broadcast,
    BroadcastDone,
    Channel,
    ChannelChanges,
    ChannelList,
    Kick,
    Kicked,
    MessageList,
    Name,
    NewChannel,
    Presence,
    StoredMessage,
    User,
)

__all__ = ["ENDPOINTS"]

_PAGE_BYTES: Final = 16 << 20
"""Bytes of data that a page of messages has at most, unless a single one has more: as in a channel's ``history``."""


class ChannelQuery(BaseModel):
    """Which rooms."""

    model_config = ConfigDict(extra="forbid")

    after: Name | None = Field(None, description="Only those after this name, to get the next page.")
    limit: int = Field(100, ge=1, le=1000, description="How many at most.")
    closed: bool = Field(False, description="Also those that are closed.")


class MessageQuery(BaseModel):
    """Which messages."""

    model_config = ConfigDict(extra="forbid")

    before: str | None = Field(
        None, pattern=r"^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}/[0-9]{1,18}$", description="Only those before this position."
    )
    limit: int = Field(50, ge=1, le=1000, description="How many at most.")


async def _broadcast(call: Call) -> BroadcastDone:
    body, channel = call.body_as(Broadcast), call.path["id"]
    audience = None if body.audience is None else body.audience.model_dump_json(exclude_none=True, exclude_unset=True)
    [row] = await call.rows(
        "rest_broadcast",
        channel=channel,
        event=body.event,
        payload=call.raw.get("data", b"null").decode(),
        sender=body.sender,
        id=body.id,
        audience=audience,
        priority=body.priority,
    )
    return BroadcastDone(channel=channel, id=row["id"])


async def _presence(call: Call) -> dict[str, object]:
    users = [shown(User, row) for row in await call.rows("rest_presence", channel=call.path["id"])]
    return shown(Presence, {"channel": call.path["id"], "users": users, "count": len(users)})


async def _kick(call: Call) -> Kicked:
    body = call.body_as(Kick)
    [row] = await call.rows("rest_kick", channel=call.path["id"], user_id=body.user_id, reason=body.reason)
    return Kicked(channel=call.path["id"], user_id=body.user_id, connections=row["connections"])


async def _messages(call: Call) -> dict[str, object]:
    query, channel = call.query_as(MessageQuery), call.path["id"]
    await call.recorded()
    rows = await call.rows(
        "rest_messages", channel=channel, before=query.before, limit=query.limit + 1, bytes=_PAGE_BYTES
    )
    page = rows[-query.limit :]  # the query reads one row more than the limit: if it is there, earlier messages exist
    messages = [shown(StoredMessage, {"type": "message", "channel": channel, **row}) for row in page]
    before = page[0]["position"] if page and page[0]["found"] > len(page) else None
    [now] = await call.rows("rest_epoch")
    return shown(MessageList, {"channel": channel, "epoch": now["epoch"], "messages": messages, "before": before})


async def _list(call: Call) -> dict[str, object]:
    query = call.query_as(ChannelQuery)
    rows = await call.rows("rest_channels", after=query.after, limit=query.limit + 1, closed=query.closed)
    page = rows[: query.limit]
    following = page[-1]["name"] if len(rows) > query.limit else None
    return shown(ChannelList, {"channels": [shown(Channel, row) for row in page], "next": following})


async def _create(call: Call) -> dict[str, object]:
    body = call.body_as(NewChannel)
    [row] = await call.rows("rest_channel_create", room=body.name, settings=_settings(body), created_by=body.created_by)
    return shown(Channel, row)


async def _get(call: Call) -> dict[str, object]:
    return _one(call, await call.rows("rest_channel", room=call.path["id"]))


async def _change(call: Call) -> dict[str, object]:
    body = call.body_as(ChannelChanges)
    rows = await call.rows("rest_channel_update", room=call.path["id"], settings=_settings(body))
    return _one(call, rows)


async def _close(call: Call) -> None:
    [row] = await call.rows("rest_channel_close", room=call.path["id"])
    if not row["closed"]:
        raise _unknown(call)


def _settings(body: BaseModel) -> str:
    """The given fields under the columns' names; seconds as PostgreSQL reads intervals."""
    given: dict[str, Any] = body.model_dump(exclude_unset=True, exclude={"name", "created_by"})
    for name in ("ttl", "presence_timeout", "typing_timeout"):
        if given.get(name) is not None:
            given[name] = f"{given[name]:f} s"
    return msgspec.json.encode(given).decode()  # integers of any size


def _one(call: Call, rows: list[dict[str, Any]]) -> dict[str, object]:
    if not rows:
        raise _unknown(call)
    return shown(Channel, rows[0])


def _unknown(call: Call) -> ProblemError:
    return ProblemError(ErrorCode.NOT_FOUND, f"there is no such room: {call.path['id']!r}")


_ROOM = (ErrorCode.NOT_FOUND,)
ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "POST",
        "/channels/{id}/broadcast",
        "broadcast",
        "Publish a message to a channel",
        _broadcast,
        "Answered when the message is committed. With an `id` the request can be repeated without harm. Clients may "
        "publish, too, with a user's token or a publishable key: as on a connection, so rules, content policies and "
        "limits apply, and without `sender`, `audience` and `priority`.",
        body=Broadcast,
        answer=BroadcastDone,
        status=HTTPStatus.CREATED,
        problems=(*_ROOM, ErrorCode.RATE_LIMITED),
        scope="publish",
        clients=publish,
    ),
    Endpoint(
        "GET",
        "/channels/{id}/messages",
        "listMessages",
        "Read a channel's history",
        _messages,
        "The latest messages, or those before a position, oldest first: at most `limit`, and at most 16 MiB of data "
        "together. `before`, not the number of messages on the page, shows whether there are earlier ones.",
        query=MessageQuery,
        answer=MessageList,
        scope="history",
    ),
    Endpoint(
        "GET",
        "/channels/{id}/presence",
        "getPresence",
        "See who is in a channel",
        _presence,
        answer=Presence,
        scope="presence",
    ),
    Endpoint(
        "POST",
        "/channels/{id}/kick",
        "kick",
        "Remove a user from a channel",
        _kick,
        "Its subscriptions to the channel end with an error, on whichever server they are. It may subscribe again.",
        body=Kick,
        answer=Kicked,
        scope="connections",
    ),
    Endpoint(
        "GET",
        "/channels",
        "listChannels",
        "List rooms",
        _list,
        "Rooms are channels with settings of their own; other channels exist while they are in use.",
        query=ChannelQuery,
        answer=ChannelList,
        scope="channels",
    ),
    Endpoint(
        "POST",
        "/channels",
        "createChannel",
        "Make a room",
        _create,
        "Subscribers of the channel receive `room:created`.",
        body=NewChannel,
        answer=Channel,
        status=HTTPStatus.CREATED,
        conflict="there is an open room of this name",
        scope="channels",
    ),
    Endpoint(
        "GET",
        "/channels/{id}",
        "getChannel",
        "Read a room's settings",
        _get,
        answer=Channel,
        problems=_ROOM,
        scope="channels",
    ),
    Endpoint(
        "PATCH",
        "/channels/{id}",
        "changeChannel",
        "Change a room's settings",
        _change,
        "Omitted fields stay. Subscribers receive `room:updated`.",
        body=ChannelChanges,
        answer=Channel,
        problems=_ROOM,
        scope="channels",
    ),
    Endpoint(
        "DELETE",
        "/channels/{id}",
        "closeChannel",
        "Close a room",
        _close,
        "Subscribers receive `room:closed`; later subscriptions and publishes are rejected. Its messages stay until "
        "they expire.",
        status=HTTPStatus.NO_CONTENT,
        problems=_ROOM,
        scope="channels",
    ),
)
