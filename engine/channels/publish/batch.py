"""One batch of published messages as the parameters of its statements."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson
import psycopg

from engine.channels.core.messages.model import Ack, MessageTooLargeError, Publication, UnavailableError
from engine.errors import InvalidQueryError, PermissionDeniedError, RealtimeError
from engine.postgres.errors import in_words, is_clients, is_raised, reason
from engine.postgres.statements.arrays import plain_array, text_array

__all__ = ["Key", "Waiting", "columns", "note", "refusal"]

Key = tuple[str, str, str]


@dataclass(slots=True, eq=False)
class Waiting:
    """A message that has been submitted.

    Attributes:
        key: its channel, its id, and among whose ids that counts.
        number: its place in the order of the calls.
        sent: its batch has been given to the database.
        written: when its commit returned; None: not yet.
        brought: the ack with the position that the stream has brought.
        lost: how often it was committed and then neither in the stream nor in the tables.
        cut: how often the connection ended while it was being written; ``alone``: how often when nothing else was.
        give_up_at: until when (the loop's time) to wait for another transaction that claims the same id.
        since: when it was submitted (the loop's time).
    """

    publication: Publication
    id: str
    key: Key
    history: bool
    done: asyncio.Future[Ack]
    number: int = 0
    sent: bool = False
    written: float | None = None
    brought: Ack | None = None
    lost: int = 0
    cut: int = 0
    alone: int = 0
    give_up_at: float | None = None
    since: float = 0.0


def columns(batch: list[Waiting]) -> dict[str, object]:
    """For messages that are stored."""
    publications = [waiting.publication for waiting in batch]
    return {
        "channels": text_array([each.channel for each in publications]),
        "events": text_array([each.event for each in publications]),
        "payloads": text_array([each.data.decode() for each in publications]),
        "senders": text_array([each.member.user_id for each in publications]),
        "connections": text_array([each.member.connection_id for each in publications]),
        "ids": text_array([waiting.id for waiting in batch]),
        "claims": plain_array([each.id is not None for each in publications]),
        "priorities": plain_array([each.priority for each in publications]),
        "traces": text_array(map(_trace, batch)) if any(each.trace for each in publications) else None,
    }


def _trace(waiting: Waiting) -> str | None:
    """What the stream is to carry of a stored message's trace."""
    if (trace := waiting.publication.trace) is None:
        return None
    channel, id, scope = waiting.key
    return orjson.dumps({**trace.fields, "channel": channel, "id": id, "scope": scope}).decode()


def note(waiting: Waiting) -> str:
    """For a message without history."""
    publication = waiting.publication
    trace = publication.trace
    return orjson.dumps(
        {
            "channel": publication.channel,
            "event": publication.event,
            "payload": orjson.Fragment(publication.data),
            "sender": publication.member.user_id,
            "connection_id": publication.member.connection_id,
            "id": waiting.id,
            "priority": publication.priority,
            **({} if trace is None else {"trace": trace.fields}),
        }
    ).decode()


# Classes of SQLSTATE with which a trigger refuses for now (connection, rollback, resources, state, intervention, system).
_NOT_NOW = frozenset(("08", "40", "53", "55", "57", "58"))


def refusal(error: psycopg.Error) -> RealtimeError:
    """What the database has against a message: something about the message, or that it takes none now.

    A trigger that refuses it is quoted, with the protocol's code that is nearest to its SQLSTATE.
    """
    if error.sqlstate == "RT005":
        return MessageTooLargeError(f"{error.diag.message_primary}. {error.diag.message_hint or ''}".strip())
    if error.sqlstate == "42501" and (is_raised(error) or error.diag.context):  # the context is a function's
        return PermissionDeniedError(f"the message cannot be stored: {reason(error)}")
    if is_raised(error) and (error.sqlstate or "")[:2] in _NOT_NOW:
        return UnavailableError(f"the message cannot be stored now: {reason(error)}")
    if not is_clients(error):
        return UnavailableError(f"the message cannot be stored now: {in_words(error)}")
    return InvalidQueryError(f"the message cannot be stored: {reason(error)}")
