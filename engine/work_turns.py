"""Long work for users, part by part, between which the event loop does everything else.

A list of ten thousand documents takes the processor tens of milliseconds: so it is compared and written in parts of half a
millisecond. Parts alone do not keep a turn of the event loop short: with a hundred lists at a time it would have a hundred
of them. So a turn has one part, of users one after the other.

Users who have had much done lately (:class:`engine.time_budget.TimeBudget`) wait behind the others, and all of them together
have a bounded share of the processor: what a few of them ask for cannot fill the event loop, and each goes on. Others' work
begins at once.

Work that waits for other things in between, as opening a live query does, is not cut into parts: it is measured, and busy
users wait for their turn before it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from time import thread_time
from types import coroutine
from typing import Any, Final, Generic, Protocol, TypeVar

from engine.time_budget import TimeBudget

__all__ = ["WORK_SHARE", "User", "WorkTurns", "work_budget"]

_Result = TypeVar("_Result")

WORK_SHARE: Final = 0.25
"""Of the processor, that users together may have who have had much done lately."""

_RATE: Final = 0.05  # of the processor: who has no more done does not wait behind others
_BURST: Final = 0.25  # seconds of it at once
_PART: Final = 0.001  # seconds that a user who has had much done has at once
_LEAST: Final = 0.001  # seconds: timers of uvloop count milliseconds


class User(Protocol):
    """For whom work is done. ``work``: what it may have done before it counts as one that has had much done."""

    @property
    def work(self) -> TimeBudget:
        """See the class."""
        ...


def work_budget() -> TimeBudget:
    """That of a new user."""
    return TimeBudget(_RATE, _BURST)


class _Job(Generic[_Result]):
    """``seconds``: of the processor, that it has had so far. ``done`` is set in its last part."""

    def __init__(self, steps: Generator[None, None, _Result], user: User | None, *, begins: bool = False) -> None:
        self._steps = steps
        self.begins = begins  # what is measured: the job itself is nothing
        self._context = copy_context()  # of the task that awaits it
        self.user = user
        self.seconds = 0.0
        self.done: asyncio.Future[tuple[_Result, float]] = asyncio.get_running_loop().create_future()

    @property
    def waits(self) -> bool:
        """Whether its user has had much done lately."""
        return self.user is not None and self.user.work.left < 0

    def step(self, clock: Callable[[], float]) -> float:
        """Do a part. Returns how many seconds that took."""
        if self.done.done():
            return 0.0
        began = clock()
        try:
            self._context.run(next, self._steps)
        except StopIteration as last:
            took = clock() - began
            self.done.set_result((last.value, self.seconds + took))
        except Exception as failure:  # noqa: BLE001 - it is raised where the work is awaited
            took = clock() - began
            self.done.set_exception(failure)
        else:
            took = clock() - began
        self.seconds += took
        if self.user is not None:
            self.user.work.charge(took)
        return took


class _Line:
    """Jobs by user: of each user the first one has its part, then it is the next user's turn."""

    def __init__(self) -> None:
        self._users: OrderedDict[User | None, deque[_Job[Any]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._users)

    def add(self, job: _Job[Any], *, first: bool = False) -> None:
        """``first``: before the others of its user."""
        jobs = self._users.setdefault(job.user, deque())
        (jobs.appendleft if first else jobs.append)(job)

    def next(self) -> _Job[Any]:
        """Take the one whose turn it is out; its user is the last one now."""
        user, jobs = next(iter(self._users.items()))
        job = jobs.popleft()
        if jobs:
            self._users.move_to_end(user)
        else:
            del self._users[user]
        return job


def _nothing() -> Generator[None, None, None]:
    return
    yield


class WorkTurns:
    """See the module.

    Args:
        share: the part of the processor that users together may have who have had much done lately.
        clock: seconds of the processor.
    """

    def __init__(self, share: float = WORK_SHARE, clock: Callable[[], float] = thread_time) -> None:
        self._clock = clock
        self._rests = 1 / share - 1  # seconds for each one of work
        self._line = _Line()
        self._behind = _Line()  # the jobs of those users
        self._worked = 0.0  # seconds of all parts
        self._owed = 0.0  # seconds that were measured of those users since the last rest began
        self._under_way = False  # the next part of ``_line`` is due in the next turn of the loop
        self._rest: asyncio.TimerHandle | None = None

    async def do(
        self, steps: Generator[None, None, _Result], user: User | None = None, *, at_once: bool = True
    ) -> tuple[_Result, float]:
        """What ``steps`` returns, whose yields end its parts; and how many seconds the processor worked at it. Raises what
        ``steps`` raises.

        ``user``: None for the service itself. ``at_once``: the first part need not wait for its turn, unless the user has
        had much done.
        """
        job = _Job(steps, user)
        if at_once and not job.waits:
            self._step(job)
        if not job.done.done():
            self._wait(job)
        try:
            return await job.done
        finally:
            steps.close()  # if this was cancelled

    async def in_turn(self, work: Coroutine[Any, None, _Result], user: User | None) -> _Result:
        """Await ``work`` as :meth:`measured`; of a user who has had much done lately it begins when it is its turn."""
        if user is not None and user.work.left < 0:
            turn: _Job[None] = _Job(_nothing(), user, begins=True)
            self._wait(turn)
            try:
                await turn.done
            except BaseException:
                work.close()
                raise
        return await self.measured(work, user)

    @coroutine
    def measured(self, work: Coroutine[Any, None, _Result], user: User | None) -> Generator[Any, None, _Result]:
        """Await ``work``, and count for ``user`` what the processor does at it, without what else goes on while it waits."""
        thrown: BaseException | None = None
        try:
            while True:
                parts, began = self._worked, self._clock()
                try:
                    awaited = work.send(None) if thrown is None else work.throw(thrown)
                except StopIteration as last:
                    result: _Result = last.value
                    return result
                finally:
                    thrown = None
                    if user is not None:
                        self._count(user, self._clock() - began - (self._worked - parts))
                try:
                    yield awaited
                except BaseException as error:  # noqa: BLE001 - raised in ``work``
                    thrown = error
        finally:
            work.close()

    def _count(self, user: User, seconds: float) -> None:
        user.work.charge(seconds)
        if user.work.left < 0:
            self._owed += seconds
            if self._rest is None:
                self._rest_for(0.0)

    def _step(self, job: _Job[Any]) -> float:
        took = job.step(self._clock)
        self._worked += took
        return took

    def _wait(self, job: _Job[Any], *, first: bool = False) -> None:
        loop = asyncio.get_running_loop()
        if job.waits:
            self._behind.add(job, first=first)
            if self._rest is None:
                self._rest = loop.call_later(_LEAST, self._do_behind)
        else:
            self._line.add(job, first=first)
            if not self._under_way:
                self._under_way = True
                loop.call_soon(self._do_next)

    def _do_next(self) -> None:
        """One part."""
        self._under_way = False
        while self._line:
            job = self._line.next()
            worked = not job.done.done()
            self._step(job)
            if not job.done.done():
                self._wait(job, first=True)
            if worked:
                break
        if self._line and not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_soon(self._do_next)

    def _do_behind(self) -> None:
        """Parts of one user's job, or one thing that is measured begins; then a rest. What was measured since the last
        rest comes first: nothing more is done then.
        """
        self._rest = None
        took, begun = 0.0, bool(self._owed)
        while self._behind and took < _PART and not begun:
            job = self._behind.next()
            while took < _PART and not job.done.done():
                begun = job.begins
                took += self._step(job)
            if not job.done.done():
                self._behind.add(job, first=True)
        if self._behind or took or self._owed:
            self._rest_for(took)

    def _rest_for(self, took: float) -> None:
        rest, self._owed = max((took + self._owed) * self._rests, _LEAST), 0.0
        self._rest = asyncio.get_running_loop().call_later(rest, self._do_behind)
