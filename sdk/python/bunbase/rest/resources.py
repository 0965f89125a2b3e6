"""The answers of the REST API as immutable values. Times are ISO 8601 in UTC, durations seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ConnectionInfo", "Room"]


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """A connected client.

    Attributes:
        id: unique.
        node_id: the server that holds it.
        user_id: its user; None if unknown.
        attributes: the server's attributes of the user.
        transport: ``websocket``, ``sse`` or ``poll``.
        ip: its address.
        connected_at: the start of the connection.
        present_in: the channels in which it is present.
    """

    id: str
    node_id: str
    user_id: str | None
    attributes: Mapping[str, Any]
    transport: str
    ip: str | None
    connected_at: str
    present_in: tuple[str, ...]

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> ConnectionInfo:
        """From the API's form."""
        return cls(
            raw["id"],
            raw["nodeId"],
            raw["userId"],
            raw["attributes"],
            raw["transport"],
            raw["ip"],
            raw["connectedAt"],
            tuple(raw["presentIn"]),
        )


@dataclass(frozen=True, slots=True)
class Room:
    """A channel with settings of its own; None for a limit: there is none, or the default's."""

    name: str
    metadata: Mapping[str, Any]
    capacity: int | None
    history: bool
    ttl: float | None
    max_messages: int | None
    presence_timeout: float
    typing_timeout: float
    created_by: str | None
    created_at: str
    closed_at: str | None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Room:
        """From the API's form."""
        return cls(
            raw["name"],
            raw["metadata"],
            raw["capacity"],
            raw["history"],
            raw["ttl"],
            raw["maxMessages"],
            raw["presenceTimeout"],
            raw["typingTimeout"],
            raw["createdBy"],
            raw["createdAt"],
            raw["closedAt"],
        )
