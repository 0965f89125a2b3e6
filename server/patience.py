"""Work that needs locks on busy tables: short waits, pauses in between, and a word about whom it waits for.

A statement that waits for a lock holds back everybody who comes after it, so it gives up after ``lock_timeout``, lets
the others pass, and is tried again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.rows import DictRow, dict_row
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from engine.connecting import connect_now
from engine.errors import RealtimeError
from engine.session_settings import OWN_NAMES
from engine.sql import query

__all__ = ["ATTEMPTS", "LOCK_TIMEOUT", "LockedOut", "Standby", "patiently", "refuse_standby"]

LOCK_TIMEOUT = 3.0
"""Seconds after which a statement stops waiting for a lock."""

ATTEMPTS = 10
"""How often it is tried."""

_LOOK_EVERY = 1.0
_REPEAT_AFTER = 10  # looks: what has been said already is said again
_log = logging.getLogger("realtime.patience")

Connection = psycopg.Connection[tuple[Any, ...]]
_Result = TypeVar("_Result")


class LockedOut(RealtimeError):
    """A lock was not to be had; the message names what holds it."""


class Standby(RealtimeError):
    """The server cannot be written to: it follows another one."""


def refuse_standby(connection: Connection) -> None:
    """Raise ``Standby`` on a server that only follows another one."""
    if connection.execute(query("server_is_standby")).fetchone() == (True,):
        raise Standby(
            "this server is a standby, which cannot be written to: connect to the primary "
            "(target_session_attrs=read-write in the DSN finds it among several hosts)"
        )


def patiently(
    dsn: str,
    application_name: str,
    work: Callable[[Connection], _Result],
    *,
    lock_timeout: float = LOCK_TIMEOUT,
    attempts: int = ATTEMPTS,
    say: Callable[[str], None] = _log.warning,
) -> _Result:
    """Run ``work`` in one transaction, again if it meets a lock that is not free within ``lock_timeout`` seconds.

    ``work`` gets a connection with that ``lock_timeout``. ``say`` is told whom it waits for, and of each new attempt.
    Raises ``LockedOut`` after so many ``attempts``, ``Standby`` on a server that only follows another one, and what ``work``
    raises.
    """
    waited_for: list[str] = []

    def once() -> _Result:
        with connect_now(dsn, application_name, OWN_NAMES) as connection:
            refuse_standby(connection)
            connection.execute(query("migration_lock_timeout"), [f"{round(lock_timeout * 1000)}ms"])
            with _watched(dsn, connection, say, waited_for):
                return work(connection)

    def before_sleep(attempt: RetryCallState) -> None:
        say(
            f"the lock was not free within {lock_timeout:g} s; attempt {attempt.attempt_number} of {attempts}, trying again"
        )

    try:
        return Retrying(
            retry=retry_if_exception_type((psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            stop=stop_after_attempt(attempts),
            before_sleep=before_sleep,
            reraise=True,
        )(once)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        last = f": {waited_for[-1]}" if waited_for else ""
        raise LockedOut(
            f"gave up after {attempts} attempts of {lock_timeout:g} s each, nothing was changed{last}. "
            "End that transaction, or try again later"
        ) from error


@contextmanager
def _watched(dsn: str, connection: Connection, say: Callable[[str], None], said: list[str]) -> Iterator[None]:
    """While the block runs, another connection looks whom ``connection`` waits for."""
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(dsn, connection.info.backend_pid, say, said, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(dsn: str, pid: int, say: Callable[[str], None], said: list[str], done: threading.Event) -> None:
    if done.wait(_LOOK_EVERY):
        return  # mostly: nothing to wait for, and no second connection
    looks_with: list[int] = []
    looks = 0
    try:
        with connect_now(dsn, "realtime locks", OWN_NAMES, autocommit=True, row_factory=dict_row) as looker:
            while not done.is_set():
                blockers = looker.execute(query("lock_blockers"), [pid]).fetchall()
                pids = [row["pid"] for row in blockers]
                if pids and (pids != looks_with or looks % _REPEAT_AFTER == 0):
                    said.append(f"waiting for {', '.join(map(_in_words, blockers))}")
                    say(said[-1])
                looks_with, looks = pids, looks + 1
                done.wait(_LOOK_EVERY)
    except psycopg.Error as error:
        say(f"waiting for a lock; who holds it cannot be seen: {' '.join(str(error).split())}")


def _in_words(blocker: DictRow) -> str:
    if blocker["pid"] == 0:
        return "a prepared transaction (see pg_prepared_xacts)"
    for_how_long = "" if blocker["seconds"] is None else f", open for {blocker['seconds']:.0f} s"
    who = ", ".join(part for part in (blocker["role"], blocker["application"], blocker["state"]) if part)
    return f"process {blocker['pid']} ({who}{for_how_long})"
