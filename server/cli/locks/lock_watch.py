"""A second connection that watches why a statement waits: for a lock and its holder, or for a lost answer.

A requested lock blocks all later requests for it, and a transaction may wait for one table after the other
while it holds the first. So the waits of a transaction together get a limit, which ``lock_timeout`` sets for each of them
only. The watched statement may run for as long as the server reports that it is working on it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

from engine.errors import BunbaseError
from engine.postgres.connections.conninfo import answer_timeout
from engine.postgres.connections.opening import CommandConnection, UnansweredError, connect_now
from engine.postgres.lock_holders import session_in_words
from engine.postgres.statements.named_queries import query

__all__ = ["DeadlineExceededError", "LockWatch"]

_LOOK_EVERY: Final = 1.0  # seconds
_LOOK_AT_LEAST: Final = 0.2
_REPEAT_AFTER: Final = 10  # number of looks after which an unchanged report is repeated
_ENDED_WITHIN: Final = 5.0
_OTHER_MIGRATOR: Final = "advisory"  # no lock is held while waiting for that one


class DeadlineExceededError(BunbaseError):
    """The locks that a transaction needs were not free within the limit."""


@dataclass(slots=True)
class LockWatch:
    """Watches ``connection``, whose database is at ``dsn``; ``report`` gets the blocking process.

    ``limit``: seconds from the first wait for a lock after which a wait is ended. ``reported``: the last report.
    """

    dsn: str
    connection: CommandConnection[Any]
    limit: float
    report: Callable[[str], None]
    reported: list[str]
    _done: threading.Event = field(init=False, default_factory=threading.Event)
    _too_long: bool = field(init=False, default=False)
    _known: bool = field(init=False, default=False)  # behind a pooler the process is not that of our statement
    _silent: str | None = field(init=False, default=None)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While the block runs, its statements may take as long as the server works on them.

        Raises ``DeadlineExceededError``, and ``UnansweredError`` if the server does not answer (or has no such
        statement).
        """
        watcher = threading.Thread(target=self._watch, daemon=True)
        answer_timeout, self.connection.answer_timeout = self.connection.answer_timeout, None
        watcher.start()
        try:
            yield
        except psycopg.errors.QueryCanceled as error:
            if not self._too_long:
                raise
            raise DeadlineExceededError from error
        except psycopg.OperationalError as error:
            if self._silent is None:
                raise
            raise UnansweredError(self._silent) from error
        finally:
            self.connection.answer_timeout = answer_timeout
            self._done.set()
            watcher.join(_ENDED_WITHIN)

    def _watch(self) -> None:
        every = min(_LOOK_EVERY, max(_LOOK_AT_LEAST, self.limit / 3))
        own = self.connection.info
        same_server = make_conninfo(self.dsn, host=own.host, hostaddr=own.hostaddr, port=own.port)
        while not self._done.wait(every):  # usually there is no wait, and no second connection
            try:
                with connect_now(same_server, "realtime locks", autocommit=True, row_factory=dict_row) as looker:
                    self._look_on(looker, every)
            except (UnansweredError, psycopg.errors.ConnectionTimeout) as error:
                self._hang_up(str(error))
                return
            except psycopg.Error as error:
                self._report(f"what it waits for cannot be seen: {' '.join(str(error).split())}")

    def _look_on(self, looker: CommandConnection[DictRow], every: float) -> None:
        pid = self.connection.info.backend_pid
        waits_since: float | None = None
        looks_with: list[int] = []
        looks = 0
        while not self._done.is_set():
            rows = looker.execute(query("lock_blockers"), {"pid": pid}).fetchall()
            pids = [row["pid"] for row in rows]
            if pids and (pids != looks_with or looks % _REPEAT_AFTER == 0):
                self._report(f"waiting for {', '.join(map(session_in_words, rows))}")
            looks_with, looks = pids, looks + 1
            if pids and rows[0]["waits_for"] != _OTHER_MIGRATOR:
                waits_since = waits_since or time.monotonic()
                if time.monotonic() - waits_since >= self.limit:
                    self._too_long = True
                    looker.execute(query("cancel_backend"), [pid])
            if not pids:
                self._expect_work(looker, pid)
            self._done.wait(every)

    def _expect_work(self, looker: CommandConnection[DictRow], pid: int) -> None:
        """Whether the server has finished the statement some time ago: its answer is lost."""
        row = looker.execute(query("backend_idle"), [pid]).fetchone()
        limit = answer_timeout(self.dsn)
        self._known = self._known or row is not None
        ended = row is None and self._known
        if (ended and not self._done.wait(limit)) or (row is not None and row["idle"] > limit):
            self._hang_up(f"the answer of the database did not arrive within {limit:g} s; the connection is closed")

    def _hang_up(self, why: str) -> None:
        self._silent = why
        if not self.connection.closed and not self._done.is_set():
            with suppress(OSError), socket.socket(fileno=os.dup(self.connection.pgconn.socket)) as own:
                own.shutdown(socket.SHUT_RDWR)

    def _report(self, text: str) -> None:
        self.reported.append(text)
        self.report(text)
