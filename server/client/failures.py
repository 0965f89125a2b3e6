"""Errors as a client sees them, and the details that only the log gets."""

from __future__ import annotations

import structlog

from engine.channels.core.messages.model import UnavailableError
from engine.errors import RealtimeError
from engine.postgres.errors import AWAY, in_words

__all__ = ["client_error"]

_log = structlog.get_logger("realtime.client")


def client_error(error: Exception, event: str, **context: object) -> RealtimeError:
    """``error`` as a client may see it. An internal error is logged as ``event`` with ``context``."""
    if isinstance(error, RealtimeError):
        return error
    if isinstance(error, AWAY):
        _log.warning(event, **context, error=str(error))
        return UnavailableError(in_words(error))
    _log.error(event, **context, exc_info=error)
    return UnavailableError("the server failed to do this")
