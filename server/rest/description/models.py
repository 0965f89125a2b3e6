"""Bodies of requests and answers. Their descriptions are the API's documentation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic.alias_generators import to_camel

from engine.channels.core.filters.filter import compile_filter
from engine.errors import InvalidQueryError

__all__ = [
    "Announced",
    "Announcement",
    "Body",
    "Broadcast",
    "BroadcastDone",
    "Channel",
    "ChannelChanges",
    "ChannelList",
    "Connection",
    "ConnectionList",
    "Disconnected",
    "Kick",
    "Kicked",
    "MessageList",
    "NewChannel",
    "Presence",
    "RuleDecision",
    "RuleTest",
    "StoredMessage",
    "User",
]

Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\x00]*$")]
Seconds = Annotated[float, Field(ge=0.001, le=10 * 365 * 86400)]
Whole = Annotated[int, Field(gt=0, le=2**31 - 1)]


class Body(BaseModel):
    """Names in camelCase, nothing unknown."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid", strict=True
    )


class Exclusions(Body):
    """The subscribers that do not get the message."""

    users: list[Name] = Field([], max_length=10_000, description="Ids of users.")
    connections: list[Name] = Field([], max_length=10_000, description="Ids of connections.")
    sender: bool = Field(False, description="The sender itself.")


class Audience(Body):
    """The subscribers of the channel that get the message; all by default."""

    users: list[Name] | None = Field(None, max_length=10_000, description="Only these users.")
    connections: list[Name] | None = Field(None, max_length=10_000, description="Only these connections.")
    exclude: Exclusions | None = Field(None, description="But not these.")
    where: list[Any] | None = Field(
        None, description="Only subscribers whose attributes meet these conditions, written as a live query's `where`."
    )

    @field_validator("where")
    @classmethod
    def _conditions(cls, where: list[Any] | None) -> list[Any] | None:
        if where is not None:
            try:
                compile_filter(where)
            except InvalidQueryError as wrong:
                raise ValueError(str(wrong)) from wrong
        return where


class Broadcast(Body):
    """A message for a channel."""

    event: Name = Field(description="The event's name.", examples=["new-message"])
    data: Any = Field(None, description="Any JSON value, up to 128 KiB.", examples=[{"text": "Hello!"}])
    sender: Name | None = Field(None, description="The id of the user it is from.")
    id: Name | None = Field(
        None, description="An id of your choice: the same id in the same channel is stored and delivered once."
    )
    audience: Audience | None = Field(None, description="Who gets it; omitted: all subscribers.")
    priority: int = Field(0, ge=-100, le=100, description="Higher is not queued behind lower under load.")


class BroadcastDone(Body):
    """The message is committed."""

    channel: str
    id: str = Field(description="The message's id.")


class Announcement(Body):
    """A message for connections whatever they are subscribed to, or for several channels at once."""

    event: Name = Field(description="The event's name.", examples=["maintenance"])
    data: Any = Field(None, description="Any JSON value, up to 128 KiB.", examples=[{"at": "22:00"}])
    users: list[Name] | None = Field(None, max_length=10_000, description="To all connections of these users.")
    channels: list[Name] | None = Field(
        None,
        max_length=10_000,
        description="To these channels; a name that ends with `*` means the open rooms that match. Not with `users`.",
    )
    sender: Name | None = Field(None, description="The id of the user it is from.")
    audience: Audience | None = Field(None, description="Who of them gets it; omitted: all.")
    priority: int = Field(0, ge=-100, le=100, description="Higher is not queued behind lower under load.")

    @model_validator(mode="after")
    def _one_kind(self) -> Announcement:
        if self.users is not None and self.channels is not None:
            raise ValueError("users and channels: give one of them, or none for all connections")
        return self


class Announced(Body):
    """The message is committed."""

    id: str | None = Field(description="The message's id; null if it went to channels.")
    channels: int | None = Field(description="To how many channels it went; null if it went to connections.")


class User(Body):
    """A user in a channel."""

    id: str
    name: str | None = Field(description="From the metadata.")
    metadata: dict[str, Any] = Field(description="Name, avatar and the like.")
    state: dict[str, Any] = Field(description="Status, typing and what else the client has set.")
    connected: bool = Field(description="False: its connections have dropped, and it may still come back.")
    connections: int = Field(description="How many connections it has there.")
    joined_at: datetime
    last_seen: datetime | None = Field(description="When it was there the last time before.")


class Presence(Body):
    """Who is in a channel. Several connections of a user count once."""

    channel: str
    users: list[User]
    count: int = Field(description="How many users.")


class Kick(Body):
    """Whom to remove from a channel."""

    user_id: Name = Field(description="The user; all of its connections leave.", examples=["user-456"])
    reason: Text | None = Field(None, description="The reason that the client receives.")


class Kicked(Body):
    """The user is being removed, wherever it is connected."""

    channel: str
    user_id: str
    connections: int = Field(description="How many of its connections were present there.")


class Connection(Body):
    """A connected client."""

    id: str
    node_id: str = Field(description="The server that holds it.")
    user_id: str | None
    attributes: dict[str, Any]
    transport: str
    ip: str | None
    connected_at: datetime
    present_in: list[str] = Field(description="The channels in which others see it.")


class ConnectionList(Body):
    """A page of connections, in the order that was asked for."""

    connections: list[Connection]
    next: str | None = Field(description="Give it as `after` to get the next page; null: this was the last one.")
    count: int | None = Field(description="How many match on all pages together; null: that was not asked for.")


class Disconnected(Body):
    """How many connections are being ended."""

    count: int


class UserSession(Body):
    """A session of a user, as the application wrote it."""

    id: str = Field(description="The claim `sid` of its tokens.")
    user_id: str
    created_at: datetime
    expires_at: datetime | None = Field(description="null: it does not end by itself.")
    revoked_at: datetime | None
    revoked_reason: str | None
    metadata: dict[str, Any]


class SessionList(Body):
    """A page of sessions, in order of their ids."""

    sessions: list[UserSession]
    next: str | None = Field(description="Give it as `after` to get the next page; null: this was the last one.")


class RevokedSessions(Body):
    """How many sessions were ended."""

    count: int


class _Settings(Body):
    metadata: dict[str, Any] = Field({}, description="Whatever you want to know about it; subscribers see it.")
    permissions: dict[str, Any] = Field({}, description="Who may do what; kept for later versions.")
    capacity: Whole | None = Field(None, description="How many users may be in at once; null: no limit.")
    history: bool = Field(True, description="Whether messages are kept.")
    ttl: Seconds | None = Field(None, description="Seconds that messages are kept; null: the default.")
    max_messages: Whole | None = Field(None, description="How many messages are kept; null: the default.")
    presence_timeout: Annotated[float, Field(ge=0, le=86400)] = Field(
        10, description="Seconds in which a dropped connection may come back without having left."
    )
    typing_timeout: Annotated[float, Field(ge=0.001, le=86400)] = Field(
        5, description="Seconds after which typing is taken back."
    )


class NewChannel(_Settings):
    """A room to be made."""

    name: Name = Field(description="Its channel's name.", examples=["chat:room-123"])
    created_by: Name | None = Field(None, description="The user it is made for.")


class ChannelChanges(_Settings):
    """The fields to change; omitted fields stay."""


class Channel(Body):
    """A room: a channel with settings of its own."""

    name: str
    metadata: dict[str, Any] = Field(description="Whatever you want to know about it; subscribers see it.")
    permissions: dict[str, Any] = Field(description="Who may do what; kept for later versions.")
    capacity: int | None = Field(description="How many users may be in at once; null: no limit.")
    history: bool = Field(description="Whether messages are kept.")
    ttl: float | None = Field(description="Seconds that messages are kept; null: the default.")
    max_messages: int | None = Field(description="How many messages are kept; null: the default.")
    presence_timeout: float = Field(
        description="Seconds in which a dropped connection may come back without having left."
    )
    typing_timeout: float = Field(description="Seconds after which typing is taken back.")
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None = Field(description="The time since which subscriptions and publishes are rejected.")


class ChannelList(Body):
    """A page of rooms, in order of their names."""

    channels: list[Channel]
    next: str | None = Field(description="Give it as `after` to get the next page; null: this was the last one.")


class StoredMessage(Body):
    """A message of a channel."""

    type: Literal["message"]
    channel: str
    event: str
    data: Any
    timestamp: datetime
    sender: str | None
    id: str
    position: str = Field(examples=["0/16B3790/42"])


class MessageList(Body):
    """A page of a channel's messages, oldest first."""

    channel: str
    epoch: str = Field(description="What the positions belong to; give it with `since` when subscribing.")
    messages: list[StoredMessage]
    before: str | None = Field(
        description="Give it as `before` to get the messages before these; null: there are none."
    )


class RuleTest(Body):
    """A request that a client could make."""

    action: Literal["subscribe", "publish", "presence"] = Field(description="What is to be done.", examples=["publish"])
    channel: Name = Field(description="With which channel.", examples=["private:room-123"])
    user_id: Name | None = Field(None, description="The authenticated user; omitted: an anonymous client.")
    role: Name = Field("authenticated", description="The user's role.")
    claims: dict[str, Any] = Field({}, description="Claims of the user's token.")
    attributes: dict[str, Any] = Field({}, description="The user's attributes.")
    event: Name | None = Field(None, description="The event of the message to be published.")
    ip: Name | None = Field(None, description="The client's address.")
    transport: Literal["websocket", "sse", "poll", "rest"] = Field("websocket", description="The way it takes.")


class RulePart(Body):
    """One of the conditions that the rule joins with `&&` and `||`."""

    text: str
    value: str = Field(description="true, false, or why it cannot be evaluated.")


class RuleDecision(Body):
    """The decision, as a server takes it."""

    allowed: bool
    decided_by: str | None = Field(description="The channel or pattern of the rule; null: the kind of the channel.")
    condition: bool | str | None = Field(description="The rule's condition.")
    reason: str | None = Field(description="What else there is to know, such as why a condition cannot be evaluated.")
    parts: tuple[RulePart, ...]
