"""What clients get where the database refuses a statement that is right in itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import psycopg
import structlog

from engine.channels.core.messages.model import UnavailableError
from engine.channels.db.schema_watch import SchemaWatch
from engine.errors import InvalidQueryError
from engine.postgres.errors import in_words, reason

__all__ = ["WAITS", "in_time", "refusals"]

WAITS: Final = 15.0
"""Seconds that a subscription waits for the stream, and for the recovery of channels."""

_STREAM_TIMEOUT: Final = 5.0  # seconds for which the stream is awaited

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def in_time(seconds: float | None = None) -> AsyncIterator[asyncio.Timeout]:
    """Raise ``UnavailableError`` if the stream does not get in time to where it is awaited. ``reschedule(None)`` ends the
    limit; None: the one of a single wait.
    """
    try:
        async with asyncio.timeout(_STREAM_TIMEOUT if seconds is None else seconds) as limit:
            yield limit
    except TimeoutError as error:
        raise UnavailableError("this server does not follow the database now; try again") from error


@contextmanager
def refusals(what: str, schema: SchemaWatch) -> Iterator[None]:
    """Raise ``UnavailableError`` for what the database refuses although nothing is wrong with ``what`` it is given: a table
    that is missing, a privilege, a trigger. The log has the reason, and the schema is looked at.

    Raise ``InvalidQueryError`` where text has a character that the encoding of the database lacks.
    """
    try:
        yield
    except psycopg.errors.UntranslatableCharacter as error:
        raise InvalidQueryError(f"{what} cannot be stored in this database: {reason(error)}") from error
    except psycopg.Error as error:
        _log.warning("database_refuses", what=what, error=reason(error))
        schema.look_at_all()
        raise UnavailableError(in_words(error)) from error
