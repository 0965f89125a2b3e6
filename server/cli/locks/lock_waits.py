"""Work that needs locks on busy tables: short waits, pauses in between, and the blocking process in the output.

A statement that waits for a lock blocks all sessions that request the lock after it. So a transaction is rolled back when
its waits together take ``lock_timeout``, and is tried again after the blocked sessions have run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg.rows import dict_row
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from engine.errors import RealtimeError
from engine.postgres.connections.opening import connect_now
from engine.postgres.read_only import WRITES_ANYWAY, ReadOnly, read_only_reason
from engine.postgres.statements.named_queries import query
from server.cli.locks.lock_watch import DeadlineExceededError, LockWatch

__all__ = [
    "ATTEMPTS",
    "LOCK_TIMEOUT",
    "LockTimeoutError",
    "ReadOnlyDatabaseError",
    "log_wait",
    "refuse_standby",
    "retry_on_locks",
]

LOCK_TIMEOUT = 3.0
"""Seconds after which a transaction stops waiting for locks."""

ATTEMPTS = 10
"""How often it is tried."""

_NOT_FREE: Final = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, DeadlineExceededError)
_log = structlog.get_logger("realtime.locks")

Connection = psycopg.Connection[tuple[Any, ...]]
_Result = TypeVar("_Result")


class LockTimeoutError(RealtimeError):
    """A lock was not granted in time; the message names its holder."""


class ReadOnlyDatabaseError(RealtimeError):
    """The database is read-only; the message gives the cause and the remedy."""


def refuse_standby(connection: psycopg.Connection[Any]) -> None:
    """Raise ``ReadOnlyDatabaseError`` on a standby. Where only transactions are read-only by default, work without
    writes continues.
    """
    found = _read_only(connection)
    if found is not None and found.standby:
        raise ReadOnlyDatabaseError(str(found))


def _read_only(connection: psycopg.Connection[Any]) -> ReadOnly | None:
    row = connection.cursor(row_factory=dict_row).execute(query("read_only_source")).fetchone()
    assert row is not None
    return read_only_reason(row)


def log_wait(reason: str) -> None:
    """Log what a transaction waits for, where no command prints it."""
    _log.warning("waiting_for_locks", reason=reason)


def retry_on_locks(
    dsn: str,
    application_name: str,
    work: Callable[[Connection], _Result],
    *,
    lock_timeout: float = LOCK_TIMEOUT,
    attempts: int = ATTEMPTS,
    report: Callable[[str], None] = log_wait,
) -> _Result:
    """Run ``work`` in one transaction; retry if the locks that it needs are not free within ``lock_timeout`` seconds.

    ``work`` gets a connection with that ``lock_timeout``. ``report`` gets the blocking process and each new attempt.
    Raises ``LockTimeoutError`` after ``attempts`` attempts, ``ReadOnlyDatabaseError`` for a read-only database,
    ``psycopg.OperationalError`` if the server does not answer, and the errors of ``work``.
    """
    waited_for: list[str] = []

    def once() -> _Result:
        with connect_now(dsn, application_name) as connection:
            refuse_standby(connection)
            connection.execute(query("migration_lock_timeout"), [f"{round(lock_timeout * 1000)}ms"])
            with LockWatch(dsn, connection, lock_timeout, report, waited_for).watching():
                try:
                    result = work(connection)
                    connection.commit()
                except psycopg.errors.ReadOnlySqlTransaction as error:
                    connection.rollback()
                    if (found := _read_only(connection)) is None:
                        raise  # a function or trigger of the database made the transaction read-only
                    alone = f"Or, for this command alone, add {WRITES_ANYWAY} to the DSN"
                    raise ReadOnlyDatabaseError(f"{found} {alone}") from error
                return result

    def before_sleep(attempt: RetryCallState) -> None:
        number = attempt.attempt_number
        report(f"the locks were not free within {lock_timeout:g} s; attempt {number} of {attempts}, trying again")

    try:
        return Retrying(
            retry=retry_if_exception_type(_NOT_FREE),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            stop=stop_after_attempt(attempts),
            before_sleep=before_sleep,
            reraise=True,
        )(once)
    except _NOT_FREE as error:
        last = f": {waited_for[-1]}" if waited_for else ""
        raise LockTimeoutError(
            f"gave up after {attempts} attempts of {lock_timeout:g} s each, nothing was changed{last}. "
            "End that transaction, or try again later"
        ) from error
