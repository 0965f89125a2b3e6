"""What follows the error of a batch: a table, asked from the top. No I/O."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final

import psycopg

from engine.channels.publish.publisher_session import AmbiguousError
from engine.postgres.errors import is_raised, is_table_locked

__all__ = ["Remedy", "remedy_for"]

_SKIPPED: Final = "RTX01"  # see the query engine_publish


class Remedy(enum.Enum):
    """See :func:`remedy_for`."""

    RECOVER = "whether it is stored is not known: connect again and look"
    REPEAT = "another transaction was in the way: write the same batch again"
    RELEASE = "a trigger skipped messages: write the batch as a transaction that can release their ids"
    SET_ASIDE = "a table is locked: what needs a row stands aside, the others are written"
    REFUSE_ROWS = "the database is read-only: what needs a row is refused, the others are written"
    HALVE = "a message of the batch is the reason: write its halves, down to that message, which is refused"


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure))


def _is_skipped(error: BaseException) -> bool:
    return isinstance(error, psycopg.Error) and error.sqlstate == _SKIPPED


def _is_read_only(error: BaseException) -> bool:
    return isinstance(error, psycopg.errors.ReadOnlySqlTransaction) and not is_raised(error)


_TABLE: Final[tuple[tuple[Callable[[BaseException], bool], Remedy], ...]] = (
    (_is_conflict, Remedy.REPEAT),
    (_is_skipped, Remedy.RELEASE),
    (is_table_locked, Remedy.SET_ASIDE),
    (_is_read_only, Remedy.REFUSE_ROWS),
)


def remedy_for(error: BaseException, *, rolled_back: bool, spent: frozenset[Remedy]) -> Remedy:
    """What to do about the error of a batch.

    Args:
        error: what writing it raised.
        rolled_back: the transaction is known to have stored nothing, and the session lives.
        spent: remedies that have not helped: the next one in the table is taken.
    """
    if isinstance(error, AmbiguousError):
        return Remedy.HALVE
    if not rolled_back:
        return Remedy.RECOVER
    for applies, remedy in _TABLE:
        if remedy not in spent and applies(error):
            return remedy
    return Remedy.HALVE
