"""Shared live queries and the subscriptions to them.

Subscribers with the same visibility and canonical query share one :class:`LiveQuery`: one window (or one list of re-read
rows), one difference, one encoding. Theory of operation: a subscription waits to begin, delivers, is
paused (its client cannot keep up) or detached (it moves to another query), or has ended. ``begin`` delivers the whole list,
``resume`` and ``attach`` one difference between the list that it has and the current one. An end is the last event; before
``begin`` and while paused it is kept until then. What was delivered, applied in order, is the list that the client has.

A transaction changes the windows of many queries at once, and their events are delivered to one subscriber after the other.
A delivery can pause, resume, begin or cancel any other subscription. So a query keeps the list from before its change
(:meth:`LiveQuery.stage`) until the last delivery, and each subscription records which of the query's events its list
includes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import structlog

from engine.errors import QueryRejectedError, SubscriptionFailedError
from engine.identity.visibility import Viewer, Visibility
from engine.live.core.document_changes import WindowEvent, list_changes
from engine.live.core.result_set import DocumentTooDeepError, ListSource, ResultSet
from engine.live.core.resume_log import Resume, ResumeLog
from engine.lsn import Lsn
from engine.query.ir.reread_plan import ReReadPlan

if TYPE_CHECKING:
    from engine.live.core.window import Window
    from engine.query.compile.plan import IncrementalPlan

__all__ = ["Deliver", "LiveQuery", "Subscription"]

Deliver = Callable[["Subscription", WindowEvent], None]

_log = structlog.get_logger(__name__)
_QUERY = 8 * 1024  # bytes that any query takes: plan, window, tasks
_COPIES = 8  # times that the literals of a query are kept, in its plan and the matcher
_EMPTY = ResultSet(())


class LiveQuery:
    """One canonical query with its subscribers, who all may see the same: ``visibility``.

    Its rows are in ``window`` (incremental) or in ``rows`` (read last, re-read). A change of the table's definition can
    turn one into the other; subscribers only ever see the difference. ``viewer``: one of its subscribers, for whom it is
    planned again. ``holders``: the users for whom it is read. ``reads``, ``read_seconds``: how often and how long. ``due``:
    the first transaction (32-bit id) on the tables of a re-read query that the rows read last do not show yet; None: none.
    ``opening``: the whole list for subscribers that begin.
    """

    __slots__ = (
        "_before",
        "_size",
        "_staged",
        "collection",
        "committed_at",
        "due",
        "emissions",
        "ended",
        "holders",
        "key",
        "log",
        "opening",
        "plan",
        "read_seconds",
        "reads",
        "rows",
        "spec",
        "stale_since",
        "subscriptions",
        "viewer",
        "visibility",
        "window",
    )

    def __init__(self, visibility: Visibility, key: str, collection: str, spec: Mapping[str, object]) -> None:
        self.visibility = visibility
        self.viewer = Viewer(visibility)
        self.key, self.collection, self.spec = key, collection, spec
        self.plan: IncrementalPlan | ReReadPlan | None = None
        self.window: Window | None = None
        self.rows = _EMPTY
        self.due: int | None = None
        self.subscriptions: dict[Subscription, None] = {}
        self.holders: dict[Hashable, None] = {}
        self.emissions = 0
        self.committed_at: int | None = None  # of the last event
        self.stale_since: int | None = None  # commit time of the first change that only a read can bring
        self.ended = False
        self.reads, self.read_seconds = 0, 0.0
        self.log = ResumeLog(policed=visibility.served)
        self.opening: WindowEvent | None = None
        self._before: ResultSet | None = None
        self._staged = False
        self._size = 0  # characters of ``spec``, once they are known

    @property
    def strategy(self) -> str:
        """``incremental`` or ``re-read``."""
        return "re-read" if isinstance(self.plan, ReReadPlan) else "incremental"

    @property
    def reason(self) -> str | None:
        """Why the query is re-read; None if it is incremental."""
        return self.plan.reason if isinstance(self.plan, ReReadPlan) else None

    @property
    def tables(self) -> frozenset[int]:
        """The oids of the tables the query reads."""
        if self.plan is None:
            return frozenset()
        return self.plan.dependencies

    def current(self) -> ResultSet:
        """The list as of the last commit, which subscribers may not know yet."""
        if self.window is not None:
            return ResultSet(None, self.window.plan, self.window.shown)
        return self.rows

    def delivered(self) -> ResultSet:
        """The list as of the last event: what a subscriber that is up to date has."""
        return self._before if self._staged and self._before is not None else self.current()

    def delivered_after(self, emission: int) -> ResultSet:
        """The list that a subscriber has whose last event was number ``emission``: the last one, or the one before it
        while that is being delivered.
        """
        if emission == self.emissions:
            return self.delivered()
        assert emission == self.emissions - 1
        assert self._before is not None
        assert not self._staged
        return self._before

    def stage(self, before: ResultSet) -> None:
        """The list has changed from ``before``; until :meth:`deliver` subscribers have ``before``."""
        self._before, self._staged = before, True

    def weight(self) -> int:
        """About how many bytes the query holds."""
        self._size = self._size or len(repr(self.spec))
        return _QUERY + _COPIES * self._size + self.log.weight + self.delivered().weight()

    def deliver(self, event: WindowEvent, too_deep: DocumentTooDeepError | None) -> None:
        """Deliver ``event``, the changes since the staged list, to every subscriber that is not paused.

        ``too_deep``: of :func:`too_deep_in`; the query ends instead (``ended``). So every list has only documents that may
        be delivered, if the first one had (:meth:`ResultSet.check_nesting`).
        """
        position = event.position
        if too_deep is not None:
            _log.warning("query_ended", key=self.key, error=str(too_deep))
            self.end(position, too_deep)
            return
        self.opening, self._staged = None, False
        self.committed_at = event.committed_at
        self.emissions = number = self.emissions + 1
        self.log.add(event)
        for subscription in tuple(self.subscriptions):
            try:
                subscription.deliver(event, number)
            except Exception as problem:  # noqa: BLE001 - whatever one subscriber's connection does
                subscription.give_up(position, problem)
        self._before = None

    def end(self, position: Lsn, error: QueryRejectedError) -> None:
        """Deliver ``error`` to every subscriber as the last event, and release the subscriptions."""
        self.ended = True
        event = WindowEvent(position, False, (), error)
        for subscription in list(self.subscriptions):
            subscription.fail(event)

    def reset_event(self, position: Lsn) -> WindowEvent:
        """The whole list as an event; several subscribers share it, and its encoding, until the list changes."""
        self.log.delivered(position)
        event = self.opening or WindowEvent(position, True, list_changes((), self.delivered().documents))
        if event.position != position:
            event = event.at(position)
        self.opening = event if len(self.subscriptions) > 1 else None
        return event


class Subscription:
    """One subscriber's view of a live query, whose list ``source`` keeps current. ``deliver`` is called in the event loop
    and must not block. ``detached``: see :meth:`detach`.
    """

    __slots__ = (
        "_begun",
        "_deliver",
        "_ended",
        "_has",
        "_kept",
        "_paused",
        "_release",
        "_resume",
        "_source",
        "detached",
        "query",
        "viewer",
    )

    def __init__(
        self,
        query: LiveQuery,
        deliver: Deliver,
        source: ListSource,
        release: Callable[[Any], None],
        resume: Resume | None = None,
    ) -> None:
        self.query = query
        self.viewer = query.viewer
        self._resume = resume
        self._deliver = deliver
        self._source = source
        self._release = release
        self._begun = False
        self._ended: WindowEvent | None = None
        self._kept: ResultSet | None = None
        self._paused = self.detached = False
        self._has = 0  # the number of the last of the query's events that its list includes; -1: none yet

    @property
    def strategy(self) -> str:
        """``incremental`` or ``re-read``."""
        return self.query.strategy

    @property
    def reason(self) -> str | None:
        """Why the query is re-read; None if it is incremental."""
        return self.query.reason

    @property
    def position(self) -> Lsn:
        """The commit LSN up to which the list is current."""
        return self._source.position

    @property
    def epoch(self) -> str:
        """What the positions of the events count within."""
        return self.query.log.epoch

    @property
    def recovered(self) -> bool | None:
        """Whether the changes since the resume state are known; None if the subscriber did not resume."""
        return None if self._resume is None else self.query.log.since(self._resume) is not None

    def begin(self) -> None:
        """Deliver the list as it is (an event with ``reset``), and from then on every change of it.

        If the subscriber resumes and the changes since its state are known, they are delivered instead.
        """
        if self._ended is not None:
            self._deliver(self, self._ended)
            return
        self._begun, self._has = True, -1 if self.detached else self.query.emissions
        if self.detached:
            return
        try:
            missed = None if self._resume is None else self.query.log.since(self._resume)
            if missed is None:
                missed = [self.query.reset_event(self._source.position)]
            for event in missed:
                self._deliver(self, event)
        except Exception as problem:  # noqa: BLE001 - as in LiveQuery.deliver
            self.give_up(self._source.position, problem)

    def cancel(self) -> None:
        """Stop delivering and release the query."""
        self._begun = False
        self._release(self)

    def pause(self) -> None:
        """Stop delivering, including an event in delivery; the subscriber's current list is kept."""
        self._paused = self._begun
        self._keep()

    def resume(self) -> None:
        """Deliver what has changed since :meth:`pause` as one event (none if nothing has), and continue."""
        self._paused = False
        if not self.detached:
            self._go_on()

    def detach(self) -> None:
        """The subscriber may see other rows from now on: deliver nothing of the present query any more."""
        self.detached = True
        self._keep()

    def attach(self, query: LiveQuery) -> None:
        """After :meth:`detach`: deliver the difference to ``query``. A state of before is not resumed from: see the log."""
        former, self.detached = self.query, False
        if query is not former:
            former.log = ResumeLog(policed=former.visibility.served)
            former.subscriptions.pop(self, None)
            self.query, self._resume = query, None
            query.subscriptions[self] = None
        if not self._paused:
            self._go_on()

    def _keep(self) -> None:
        if self._kept is None and self._begun and self._has >= 0:
            self._kept = self.query.delivered_after(self._has)

    def _go_on(self) -> None:
        if self._begun and self._has < 0:
            self.begin()
            return
        kept, self._kept = self._kept, None
        if kept is None or not self._begun:
            return
        if self._ended is not None:
            self._begun = False
            self._deliver(self, self._ended)
            return
        position, self._has = self._source.position, self.query.emissions
        try:
            changes = list_changes(kept.documents, self.query.delivered().documents)
            if changes:
                self.query.log.delivered(position)
                self._deliver(self, WindowEvent(position, False, changes, None, self.query.committed_at))
        except Exception as problem:  # noqa: BLE001 - as in LiveQuery.deliver
            self.give_up(position, problem)

    def deliver(self, event: WindowEvent, emission: int) -> None:
        """Deliver the query's event number ``emission``, unless paused, or the list already includes it."""
        if self._begun and self._kept is None and 0 <= self._has < emission:
            self._has = emission
            self._deliver(self, event)

    def fail(self, event: WindowEvent) -> None:
        """The query or this subscription has ended: deliver ``event`` and release the query. Does not raise."""
        self._ended = event
        self._release(self)
        if self._begun and not self._paused:
            self._begun = False
            try:
                self._deliver(self, event)
            except Exception as problem:  # noqa: BLE001 - logged
                _log.error("subscription_end_not_delivered", key=self.query.key, exc_info=problem)

    def give_up(self, position: Lsn, problem: Exception) -> None:
        """A delivery failed, so the subscriber's list is wrong: end the subscription; the client may subscribe again."""
        _log.error("subscription_failed", key=self.query.key, exc_info=problem)
        error = SubscriptionFailedError("the server failed to go on with this subscription; try again")
        self.fail(WindowEvent(position, False, (), error))
