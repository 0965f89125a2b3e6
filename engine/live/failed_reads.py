"""What follows a failed read of a live query: another attempt, a pause or a new plan; or its error ends the query."""

from __future__ import annotations

import asyncio
import time

import psycopg
import structlog

from engine.catalog.watcher import CatalogWatcher
from engine.errors import (
    DatabaseUnavailableError,
    InvalidQueryError,
    PrivilegeLostError,
    QueryRejectedError,
    SubscriptionFailedError,
)
from engine.live.core.shared_query import LiveQuery
from engine.live.plan_cache import Plan
from engine.live.read_state import ReadState
from engine.live.settings import LiveSettings
from engine.postgres.errors import UNREADABLE, in_words, is_raised, is_statements, reason
from engine.postgres.retry import growing_pause
from engine.postgres.snapshot_reader import Reader
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.lost_privileges import grants_lacking, lacking
from engine.query.sql.safety.refusals import rejection
from engine.values.labels import UnknownLabelError

__all__ = ["ATTEMPTS", "FailedReads", "rejection_of"]

_log = structlog.get_logger(__name__)

ATTEMPTS = 3
"""Times that a query that Postgres rejects is planned again, in case its tables have just changed."""


class FailedReads:
    """See the module. Arguments as of :class:`engine.live.refresher.Refresher`."""

    def __init__(self, settings: LiveSettings, reader: Reader, catalog: CatalogWatcher) -> None:
        self._settings = settings
        self._reader = reader
        self._catalog = catalog

    def cannot_reach(self, query: LiveQuery, state: ReadState, error: Exception, rounds: int) -> None:
        """Handle an error that may pass; ``rounds`` attempts have failed before. Raises ``error`` if the time is up."""
        if is_statements(error):
            raise error
        since = state.failing[0] if state.failing else time.monotonic()
        state.failing = since, in_words(error)
        if not state.ready.done() and time.monotonic() > state.deadline:
            raise error
        level = _log.warning if rounds == 0 else _log.debug
        level("query_unreadable", key=query.key, error=str(error))

    def cannot_encode(self, query: LiveQuery, state: ReadState, problem: Exception) -> None:
        """A type differs from the catalog: have the query planned again, after some attempts as a re-read one."""
        level = _log.info if isinstance(problem, UnknownLabelError) else _log.warning
        level("query_replanned", key=query.key, error=str(problem))
        state.unlike += 1
        if state.unlike >= ATTEMPTS:
            state.instead = "a row is not as the catalog describes the table", None
        state.replan = True
        self._catalog.invalidate()

    async def look_again(self, query: LiveQuery, state: ReadState, error: psycopg.Error) -> None:
        """Handle an error that a change of the table ahead of the stream, or a lost privilege, may explain. Raises ``error``
        when it has come too often in a row; ``PermissionDeniedError`` where the role that reads lacks a privilege.

        The planner decides by the catalog whether a table is missing.
        """
        last = state.refusals >= ATTEMPTS
        if isinstance(error, psycopg.errors.InsufficientPrivilege) and not is_raised(error):
            async with self._reader.connection() as connection:
                grants = await grants_lacking(connection, query.tables)
            role = query.plan.statement.role if isinstance(query.plan, ReReadPlan) else None
            if grants or (last and role is None and "sql" not in query.spec):  # it reads only exposed columns
                self.go_without(query, state, PrivilegeLostError(grants))
                return
            if last and role is not None:
                _log.warning("role_lacks_privilege", key=query.key, role=role.role, error=reason(error))
                raise lacking(role) from error
        missing = isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName)
        if last and not (missing and state.ready.done()):
            raise error
        _log.info("query_replanned", key=query.key, error=str(error))
        self._catalog.invalidate()
        state.replan = True
        state.refusals += 1

    def go_without(self, query: LiveQuery, state: ReadState, lost: PrivilegeLostError) -> None:
        """Keep the subscribers' list until the privilege is restored, which each retry checks."""
        if not state.ready.done():
            raise lost
        words = " ".join(("a privilege was lost:", *lost.grants))
        if state.failing is None or state.failing[1] != words:
            _log.warning("query_privilege_lost", key=query.key, grants=lost.grants)
            state.failing = time.monotonic(), words
        if lost.outdated:
            self._catalog.invalidate()
        state.replan = True
        state.refusals = 0  # the next one may be from just before the privilege was restored

    async def rest(self, query: LiveQuery, state: ReadState) -> None:
        """Pause an accepted query that keeps timing out, longer with each timeout; its subscribers keep their list."""
        state.timeouts += 1
        pause = growing_pause(state.timeouts, 0.5, self._settings.slow_pause)
        _log.warning("query_times_out", key=query.key, attempts=state.timeouts, next_attempt_in=round(pause, 1))
        await asyncio.sleep(pause)


def rejection_of(error: Exception, plan: Plan | None = None) -> QueryRejectedError:
    """The error for subscribers of a query that ``error`` ended, whose ``plan`` was read.

    A policy is evaluated for rows that its subscribers may not see, so what PostgreSQL reports under policies may have
    values of these: it is logged, and subscribers get its SQLSTATE alone.
    """
    if isinstance(error, QueryRejectedError):
        return error
    if isinstance(error, psycopg.errors.QueryCanceled) and not is_raised(error):
        return InvalidQueryError("the query takes too long")
    if isinstance(error, UNREADABLE) and not is_statements(error):
        return DatabaseUnavailableError(in_words(error))
    if isinstance(error, psycopg.Error) and plan is not None and _is_policed(plan):
        _log.warning("policy_failed", key=plan.key, error=str(error).strip())
        if isinstance(plan, ReReadPlan) and plan.statement.as_reader:
            return InvalidQueryError(
                f"the query, or a policy of its tables, failed with {type(error).__name__} (SQLSTATE {error.sqlstate}); "
                "see the server's log"
            )
        return SubscriptionFailedError("a policy of its table failed; see the server's log")
    rejected = rejection(error) if isinstance(error, psycopg.Error) else None
    return rejected or SubscriptionFailedError("the database failed to answer this query; see the server's log")


def _is_policed(plan: Plan) -> bool:
    """Whether policies decide which rows the plan reads."""
    read_as = plan.rule.otherwise if isinstance(plan, IncrementalPlan) and plan.rule is not None else plan
    return (
        isinstance(read_as, ReReadPlan) and read_as.statement.role is not None and bool(read_as.statement.role.guards)
    )
