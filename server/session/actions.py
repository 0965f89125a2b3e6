"""The actions of a session that the owner of its connection carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET, UnsetType

from server.ports.channels import Position
from server.protocol.client_messages import PresenceUpdate, Publish, RequestReference, Seen, Subscribe
from server.protocol.close_codes import CloseCode
from server.session.subscriptions import ChannelRequest, LiveRequest, Request

__all__ = [
    "Authenticate",
    "CancelSubscription",
    "Close",
    "Output",
    "ReadHistory",
    "SubscribeChannel",
    "SubscribeQuery",
    "UpdatePresence",
]


@dataclass(frozen=True, slots=True)
class SubscribeQuery:
    """Open this live query, then call ``accepted`` or ``rejected``."""

    request: LiveRequest


@dataclass(frozen=True, slots=True)
class SubscribeChannel:
    """Open this channel, then call ``joined`` or ``rejected``."""

    request: ChannelRequest


@dataclass(frozen=True, slots=True)
class CancelSubscription:
    """The client no longer wants this live query or channel."""

    request: Request


@dataclass(frozen=True, slots=True)
class UpdatePresence:
    """Change the client's presence to ``data`` where ``request`` has joined, then answer it. ``size`` in bytes."""

    request: ChannelRequest
    message: PresenceUpdate
    data: Mapping[str, Any]
    size: int = 0


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Answer with the last ``limit`` messages of the channel of ``request`` before a position; None: with the last ones."""

    request: ChannelRequest
    before: Position | None
    limit: int
    ref: str | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Renew the identity of the connection with ``token``, then answer ``about``, or carry out ``subscribe``.

    ``subscribe``: the message that brought the token, and its size; it goes back to the session.
    """

    token: str = field(repr=False)
    about: RequestReference
    subscribe: tuple[Subscribe, int] | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """End the connection with a WebSocket close code (RFC 6455, 7.4.1) and a reason of at most 123 bytes."""

    code: CloseCode
    reason: str


Output = (
    bytes
    | SubscribeQuery
    | SubscribeChannel
    | CancelSubscription
    | Publish
    | UpdatePresence
    | Seen
    | ReadHistory
    | Authenticate
    | Close
)
"""A ``Publish`` is to be published, then answered with an ack or an error; a ``Seen`` is answered when that is true."""
