"""One batch of published messages as the parameters of its statements."""

from __future__ import annotations

import asyncio

import msgspec
import orjson

from engine.channels.core.messages.model import Ack, Answer, Publication
from engine.postgres.statements.arrays import plain_array, repeated_array, text_array

__all__ = ["Key", "Waiting", "columns", "note", "wake_caller"]

Key = tuple[str, str, str]


class Waiting(msgspec.Struct, eq=False):
    """A message that has been submitted.

    Attributes:
        key: its channel, its id, and among whose ids that counts.
        answer: called with the ack or the error.
        number: its place in the order of the calls; ``turn``: that among the messages of all publishers, which comes first.
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
    answer: Answer
    number: int = 0
    turn: int = 0
    sent: bool = False
    written: float | None = None
    brought: Ack | None = None
    lost: int = 0
    cut: int = 0
    alone: int = 0
    give_up_at: float | None = None
    since: float = 0.0


def columns(batch: list[Waiting]) -> dict[str, str | None]:
    """For messages that are stored."""
    publications = [waiting.publication for waiting in batch]
    return {
        "channels": repeated_array([each.channel for each in publications]),
        "events": repeated_array([each.event for each in publications]),
        "payloads": text_array([each.data.decode() for each in publications]),
        "senders": repeated_array([each.member.user_id for each in publications]),
        "connections": repeated_array([each.member.connection_id for each in publications]),
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


def wake_caller(answered: asyncio.Future[Ack], answer: Ack | Exception) -> None:
    """An answer that wakes the caller who awaits it, unless it has given up."""
    if answered.done():
        return
    if isinstance(answer, Ack):
        answered.set_result(answer)
    else:
        answered.set_exception(answer)
