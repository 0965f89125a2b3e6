"""Messages that the database does not take: refused with its reason, or tried again while another transaction blocks."""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg
import structlog

from engine.channels.core.messages.model import MessageTooLargeError, UnavailableError
from engine.channels.publish.batch import Waiting
from engine.channels.publish.queue import PublishQueue
from engine.channels.publish.trouble import Trouble
from engine.errors import InvalidQueryError, PermissionDeniedError, RealtimeError
from engine.postgres.errors import in_words, is_clients, is_raised, reason

__all__ = ["Refusals", "refusal"]

_log = structlog.get_logger(__name__)

_CLAIM_TIMEOUT: Final = 5.0  # seconds that a message waits for a transaction that claims the same id

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


class Refusals:
    """Answers messages of ``queue`` that the database refused by themselves. ``retry``: seconds between two tries."""

    def __init__(self, queue: PublishQueue, trouble: Trouble, retry: float) -> None:
        self._queue = queue
        self._trouble = trouble
        self._retry = retry

    def refuse(self, waiting: Waiting, error: BaseException) -> None:
        """The database does not take this message."""
        assert isinstance(error, psycopg.Error), error
        if isinstance(error, psycopg.errors.LockNotAvailable) and not is_raised(error):
            return self._set_aside(waiting)
        if not is_clients(error):
            _log.warning(
                "publish_refused", channel=waiting.publication.channel, id=waiting.id, error=str(error).strip()
            )
            self._trouble.failed(str(error))
        self._queue.fail(waiting, refusal(error))

    def _set_aside(self, waiting: Waiting) -> None:
        """A transaction that has not ended claims this id: the others do not wait for it."""
        loop = asyncio.get_running_loop()
        if waiting.give_up_at is None:
            waiting.give_up_at = loop.time() + _CLAIM_TIMEOUT
        if loop.time() > waiting.give_up_at:
            self._queue.fail(
                waiting, UnavailableError("another transaction is publishing a message with this id; try again")
            )
        elif waiting.brought is not None:
            self._queue.resolve(waiting, waiting.brought)
        else:
            waiting.sent = False
            loop.call_later(self._retry, self._queue.put, waiting)
