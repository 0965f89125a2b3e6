"""What became of messages that were sent and have no answer: looked up in the tables, answered, or written again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from psycopg.rows import DictRow

from engine.channels.core.messages.model import Ack, Position, UnavailableError, format_position
from engine.channels.publish.batch import Key, Waiting
from engine.channels.publish.publisher_session import Ask
from engine.channels.publish.queue import PublishQueue
from engine.errors import InvalidQueryError
from engine.lsn import Lsn, parse_lsn
from engine.postgres.statements.arrays import plain_array, text_array

__all__ = ["Resolver"]

_log = structlog.get_logger(__name__)

_CLOCK_TOLERANCE: Final = 60  # seconds: a message may be that much older than this process thinks
_MAX_ALONE: Final = 3  # connections that may end over one message
_MAX_LOST: Final = 3  # times that a committed message may vanish before it is refused


class Resolver:
    """``position_of``: the commit position of a transaction (64-bit id), if it was delivered and is not released yet."""

    def __init__(self, queue: PublishQueue, position_of: Callable[[int], Lsn | None]) -> None:
        self._queue = queue
        self._position_of = position_of

    async def resolve(self, sent: list[Waiting], ask: Ask) -> None:
        """Answer for ``sent``, or have it written again. The stream has passed every transaction that may have stored it."""
        for waiting in sent:
            if waiting.brought is not None:
                self._queue.resolve(waiting, waiting.brought)
        found = await self._outcomes([waiting for waiting in sent if self._queue.is_open(waiting)], ask)
        for waiting in sent:
            if not self._queue.is_open(waiting):
                continue
            if waiting.key in found:
                self._queue.resolve(waiting, found[waiting.key][1])
            else:
                self._write_again(waiting)

    def _write_again(self, waiting: Waiting) -> None:
        """The message is nowhere."""
        if waiting.written is not None:
            waiting.lost += 1
            _log.warning("message_lost_after_commit", channel=waiting.publication.channel, id=waiting.id)
        if waiting.alone >= _MAX_ALONE:
            self._queue.fail(
                waiting, UnavailableError("the connection to the database ended each time the message was written")
            )
        elif waiting.lost < _MAX_LOST:
            self._queue.put(waiting)
        else:
            self._queue.fail(
                waiting, UnavailableError("the message was written, but the server's stream does not bring it")
            )

    async def explain(self, missing: list[tuple[Waiting, DictRow]], ask: Ask) -> None:
        """Answer for messages that are not stored under their ids: they were before, or a trigger is the reason."""
        for waiting, row in missing:
            if row["fresh"] and row["elsewhere"]:
                self._queue.resolve(waiting, Ack(waiting.id, None))  # a trigger gave it another channel, id or sender
            elif row["fresh"]:
                self._queue.fail(
                    waiting, InvalidQueryError("the message is not stored: a trigger on realtime.messages left it out")
                )
        again = [waiting for waiting, row in missing if not row["fresh"]]
        found = await self._outcomes(again, ask)
        for waiting in again:
            stored, ack = found.get(waiting.key, (False, Ack(waiting.id, None)))
            # Stored, and its position is not known: the stream is about to bring it.
            if not stored or ack.position is not None:
                self._queue.resolve(waiting, ack)

    async def _outcomes(self, waiting: list[Waiting], ask: Ask) -> dict[Key, tuple[bool, Ack]]:
        """What the tables know of messages, by their keys: whether it is still stored, and its ack."""
        if not waiting:
            return {}
        now = asyncio.get_running_loop().time()
        rows = await ask(
            "engine_outcome",
            channels=text_array(w.publication.channel for w in waiting),
            ids=text_array(w.id for w in waiting),
            scopes=text_array(w.key[2] for w in waiting),
            ages=plain_array(int(now - w.since) + _CLOCK_TOLERANCE for w in waiting),
        )
        return {
            (row["channel"], row["id"], row["scope"]): (row["seq"] is not None, Ack(row["id"], self._place(row)))
            for row in rows
        }

    def _place(self, row: DictRow) -> str | None:
        if row["seq"] is None:
            return None
        lsn = parse_lsn(row["position"]) if row["position"] else self._position_of(int(row["xid"]))
        return None if lsn is None else format_position(*Position(lsn, row["seq"]))
