"""One batch of published messages as the parameters of its statements."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson
import psycopg

from engine.channels.model import Ack, Publication
from engine.errors import InvalidQuery, RealtimeError

__all__ = ["Waiting", "columns", "note", "refusal"]


@dataclass(slots=True, eq=False)
class Waiting:
    """A message that has been handed in. ``ack`` is set once it has been sent to the database."""

    publication: Publication
    id: str
    history: bool
    done: asyncio.Future[Ack]
    ack: Ack | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Its channel and id."""
        return (self.publication.channel, self.id)


def columns(batch: list[Waiting]) -> dict[str, object]:
    """For messages that are stored."""
    return {
        "channels": [w.publication.channel for w in batch],
        "events": [w.publication.event for w in batch],
        "payloads": [w.publication.data.decode() for w in batch],
        "senders": [w.publication.member.user_id for w in batch],
        "connections": [w.publication.member.connection_id for w in batch],
        "ids": [w.id for w in batch],
        "claims": [w.publication.id is not None for w in batch],
        "priorities": [w.publication.priority for w in batch],
    }


def note(waiting: Waiting) -> str:
    """For a message without history."""
    publication = waiting.publication
    return orjson.dumps(
        {
            "channel": publication.channel,
            "event": publication.event,
            "payload": orjson.Fragment(publication.data),
            "sender": publication.member.user_id,
            "connection_id": publication.member.connection_id,
            "id": waiting.id,
            "priority": publication.priority,
        }
    ).decode()


def refusal(error: psycopg.Error) -> RealtimeError:
    """What the database has against a message, for whoever published it."""
    return InvalidQuery(f"the message cannot be stored: {error.diag.message_primary or error}")
