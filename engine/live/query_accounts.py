"""Which live queries each connection and each user holds, and how many they may hold.

An account is of one user, over all of its connections of this node. Its queries are counted once, however many of its
connections hold them. A query that several users hold counts for each of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from engine.errors import ErrorCode, InvalidQueryError, QueryRejectedError
from engine.live.core.shared_query import LiveQuery
from engine.live.planning_budget import PlanningBudget
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan
from engine.time_budget import TimeBudget
from engine.work_turns import work_budget

__all__ = [
    "ASKING",
    "ConnectionAccount",
    "QueryLimits",
    "TooManyQueriesError",
    "UserAccount",
    "reread_wait",
    "spared",
    "until_within_budget",
]

_RETRY_AFTER: Final = 10.0  # seconds; when another connection of the same user closes a query is not known
_LOOK: Final = 0.5  # seconds between two looks whether a query that waits for a budget may be read
_REREAD_RATE: Final = 0.1  # of the processor
_REREAD_BURST: Final = 1.0  # seconds of it


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """How many distinct queries may be held: incremental ones (``windows``) and re-read ones. ``cost``: of the plan of a
    re-read one, as PostgreSQL estimates it, when it is subscribed to; None for any.
    """

    windows: int = 100
    windows_per_user: int = 500
    rereads: int = 50
    rereads_per_user: int = 200
    cost: float | None = 100_000.0


class TooManyQueriesError(QueryRejectedError):
    """A connection or a user holds as many queries as it may. ``retry_after`` where other connections may close some."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, text: str, limit: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.limit = limit
        self.retry_after = retry_after


class TooCostlyError(InvalidQueryError):
    """PostgreSQL estimates too high a cost for a query that would be read again and again."""

    limit = "max_query_cost"


class UserAccount:
    """What the connections of one user have together: ``queries`` with the number of subscriptions, and the budgets for
    planning and for what the processor does with lists that are read again (``rereads``). Reads are shared out by it, too
    (:mod:`engine.postgres.fair_lane`), and work in parts (``work``: :mod:`engine.work_turns`; it may count other work for
    the user, too).
    """

    __slots__ = ("planning", "queries", "rereads", "work")

    def __init__(
        self,
        planning: PlanningBudget | None = None,
        rereads: TimeBudget | None = None,
        work: TimeBudget | None = None,
    ) -> None:
        self.planning = planning or PlanningBudget()
        self.rereads = rereads or TimeBudget(_REREAD_RATE, _REREAD_BURST)
        self.work = work or work_budget()
        self.queries: Counter[LiveQuery] = Counter()

    @property
    def full(self) -> bool:
        """Whether none of its budgets has been used lately."""
        return self.planning.full and self.rereads.full and self.work.full


class ConnectionAccount:
    """What one connection holds, beside what its user has. ``limits``: None for none."""

    __slots__ = ("_limits", "queries", "user")

    def __init__(self, user: UserAccount, limits: QueryLimits | None = None) -> None:
        self.user = user
        self.queries: Counter[LiveQuery] = Counter()
        self._limits = limits

    def check(self, plan: IncrementalPlan | ReReadPlan, query: LiveQuery | None) -> None:
        """Whether a subscription to ``query`` (None: a new one) of ``plan`` is within the limits.

        Raises ``TooManyQueriesError``, and ``TooCostlyError`` for a plan that costs too much.
        """
        if self._limits is None or (query is not None and query in self.queries):
            return
        limits, reread = self._limits, isinstance(plan, ReReadPlan)
        if isinstance(plan, ReReadPlan) and limits.cost is not None and (plan.cost or 0.0) > limits.cost:
            # The planner counts rows that policies hide, too.
            cost = f"the cost of the query at {plan.cost:.2g}" if plan.statement.role is None else "a higher cost"
            raise TooCostlyError(
                f"PostgreSQL estimates {cost}, and at most {limits.cost:g} is allowed "
                "(max_query_cost): it would be run again after each change of its tables. Let it read fewer rows, or find "
                "them by an index"
            )
        what = "re-read queries" if reread else "live queries that are followed incrementally"
        setting = "max_reread_queries" if reread else "max_windows"
        most = limits.rereads if reread else limits.windows
        if _count(self.queries, reread=reread) >= most:
            raise TooManyQueriesError(
                f"this connection has {most} {what}, and may have no more ({setting}); close one first",
                setting,
            )
        most = limits.rereads_per_user if reread else limits.windows_per_user
        if (query is None or query not in self.user.queries) and _count(self.user.queries, reread=reread) >= most:
            raise TooManyQueriesError(
                f"the connections of this user have {most} different {what}, and may have no more ({setting}_per_user); "
                "close one first",
                f"{setting}_per_user",
                _RETRY_AFTER,
            )

    def hold(self, query: LiveQuery) -> None:
        """A subscription of the connection has begun."""
        self.queries[query] += 1
        self.user.queries[query] += 1
        query.holders[self.user] = None

    def release(self, query: LiveQuery) -> None:
        """A subscription of the connection has ended. The last holder of a query stays its holder while it is kept."""
        for queries in (self.queries, self.user.queries):
            queries[query] -= 1
            if not queries[query]:
                del queries[query]
        if query not in self.user.queries and len(query.holders) > 1:
            query.holders.pop(self.user, None)


def reread_wait(holders: Iterable[Hashable], seconds: float) -> float:
    """For how long a list waits until it is read again for ``holders``; 0: it is read now, and ``seconds`` are charged.

    ``seconds``: what the processor did with it the last time. It is charged in advance, so that the lists of one user are
    read one after the other. It counts for the holder with the most left: a user whom another joins waits no longer.
    """
    accounts = [holder for holder in holders if isinstance(holder, UserAccount)]
    if not accounts:
        return 0.0
    budget = max((account.rereads for account in accounts), key=lambda budget: budget.left)
    if not (wait := budget.wait):
        budget.charge(seconds)
    return wait


async def until_within_budget(
    holders: Iterable[Hashable], seconds: float, waits: Callable[[], bool], longest: float
) -> None:
    """Wait, while ``waits()``, until :func:`reread_wait` lets a list be read again for ``holders``.

    A holder with time left who joins ends the wait at the next look. Raises ``TooManyQueriesError`` after ``longest``
    seconds: what the subscribers have is older than a live query may be.
    """
    began = time.monotonic()
    while waits() and (wait := reread_wait(holders, seconds)):
        if time.monotonic() - began >= longest:
            raise TooManyQueriesError(
                "the re-read queries of this user take more of the server's processor than one user may have, so this one "
                f"could not be read for {longest:g} seconds and has ended; close some of them or let them read fewer rows, "
                "and subscribe again",
                "reread_wait",
                _RETRY_AFTER,
            )
        await asyncio.sleep(min(wait, _LOOK))


def spared(holders: Iterable[Hashable]) -> UserAccount | None:
    """Of the users for whom a list is read the one who has had the least work done lately; None: there is none."""
    accounts = [holder for holder in holders if isinstance(holder, UserAccount)]
    return max(accounts, key=lambda account: account.work.left, default=None)


def _count(queries: Iterable[LiveQuery], *, reread: bool) -> int:
    return sum(isinstance(query.plan, ReReadPlan) is reread for query in queries)


ASKING: ContextVar[UserAccount | None] = ContextVar("ASKING", default=None)
"""The account of the user for whom the current task works; None where the server works for itself."""
