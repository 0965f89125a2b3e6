"""Long work for users, part by part, between which the event loop does everything else.

A list of ten thousand documents takes the processor tens of milliseconds: so it is compared and written in parts of half a
millisecond. Parts alone do not keep a turn of the event loop short: with a hundred lists at a time it would have a hundred
of them. So a turn has one part, of users one after the other.

Users who have had much done lately (*busy* users, :class:`engine.time_budget.TimeBudget`) wait behind the others, and all of
them together have a bounded share of the processor (:mod:`engine.work_share`): what a few of them ask for cannot fill the
event loop, and each goes on. Others' work begins at once.

Work that waits for other things in between, as opening a live query does, or that cannot be cut, as reading a message, is
measured, and busy users wait for their turn before it. All their work has the same share, so its kinds do not add up. What a
thread does for them counts as well (:func:`counting_aside`): it takes the interpreter from the event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from functools import partial
from time import monotonic, thread_time
from types import coroutine
from typing import Any, Final, Generic, Protocol, TypeVar

from engine.time_budget import TimeBudget
from engine.work_share import WorkShare

__all__ = ["User", "WorkTurns", "counting_aside", "work_budget"]

_Result = TypeVar("_Result")

_RATE: Final = 0.01  # of the processor: who has no more done does not wait behind others
_BURST: Final = 0.05  # seconds of it at once
_DEBT: Final = 0.1  # seconds beyond it that are remembered
_PART: Final = 0.001  # seconds that busy users have at once
_LEAST: Final = 0.001  # seconds: timers of uvloop count milliseconds
_ASIDE: Final = ContextVar[Callable[[float], None]]("_ASIDE", default=lambda _: None)  # of the work that is measured


def counting_aside() -> Callable[[float], None]:
    """What is to be called, in the event loop, with the seconds of the processor that a thread has worked for the caller.

    They count as if the event loop had worked, if the caller is measured (:meth:`WorkTurns.measured`); also if it has been
    cancelled since.
    """
    return _ASIDE.get()


class User(Protocol):
    """For whom work is done. ``work``: what it may have done before it counts as one that has had much done."""

    @property
    def work(self) -> TimeBudget:
        """See the class."""
        ...


def work_budget(clock: Callable[[], float] = monotonic) -> TimeBudget:
    """That of a new user. ``clock``: seconds, monotonic."""
    return TimeBudget(_RATE, _BURST, clock, debt=_DEBT)


class _Job(Generic[_Result]):
    """``seconds``: of the processor, that it has had so far. ``done`` is set in its last part."""

    def __init__(self, steps: Generator[None, None, _Result], user: User | None) -> None:
        self._steps = steps
        self._context = copy_context()  # of the task that awaits it
        self.user = user
        self.seconds = 0.0
        self.done: asyncio.Future[tuple[_Result, float]] = asyncio.get_running_loop().create_future()

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


class _Beginning:
    """Something of a busy user that is measured, and begins with ``begin()``. It is expected to take ``seconds``."""

    __slots__ = ("begin", "seconds", "user")

    def __init__(self, user: User, seconds: float, begin: Callable[[], None]) -> None:
        self.user = user
        self.seconds = seconds
        self.begin = begin


def _busy(user: User | None) -> bool:
    """Whether it has had much done lately."""
    return user is not None and user.work.left < 0


_Waiting = TypeVar("_Waiting", bound="_Job[Any] | _Beginning")


class _Line(Generic[_Waiting]):
    """Jobs by user: of each user the first one has its part, then it is the next user's turn."""

    def __init__(self) -> None:
        self._users: OrderedDict[User | None, deque[_Waiting]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._users)

    def add(self, job: _Waiting, *, first: bool = False) -> None:
        """``first``: before the others of its user."""
        jobs = self._users.setdefault(job.user, deque())
        (jobs.appendleft if first else jobs.append)(job)

    def next(self) -> _Waiting:
        """Take the one whose turn it is out; its user is the last one now."""
        user, jobs = next(iter(self._users.items()))
        job = jobs.popleft()
        if jobs:
            self._users.move_to_end(user)
        else:
            del self._users[user]
        return job


class WorkTurns:
    """See the module.

    Args:
        share: the part of the processor that busy users may have together.
        clock: seconds of the processor.
    """

    def __init__(self, share: WorkShare | None = None, clock: Callable[[], float] = thread_time) -> None:
        self._clock = clock
        self._share = share or WorkShare()
        self._line = _Line[_Job[Any]]()
        self._behind = _Line[_Job[Any] | _Beginning]()  # the work of busy users
        self._worked = 0.0  # seconds of all parts
        self._owed = 0.0  # seconds that were measured of those users since the last rest began
        self._under_way = False  # the next part of ``_line`` is due in the next turn of the loop
        self._rest: asyncio.TimerHandle | None = None

    async def do(
        self, steps: Generator[None, None, _Result], user: User | None = None, *, at_once: bool = True
    ) -> tuple[_Result, float]:
        """What ``steps`` returns, whose yields end its parts; and how many seconds the processor worked at it. Raises what
        ``steps`` raises.

        ``user``: None for the service itself. ``at_once``: the first part need not wait for its turn, unless the user is a
        busy one.
        """
        job = _Job(steps, user)
        if at_once and not _busy(user):
            self._step(job)
        if not job.done.done():
            self._wait(job)
        try:
            return await job.done
        finally:
            steps.close()  # if this was cancelled

    async def in_turn(self, work: Coroutine[Any, None, _Result], user: User | None) -> _Result:
        """Await ``work`` as :meth:`measured`; of a user who has had much done lately it begins when it is its turn."""
        try:
            await self.turn_of(user)
        except BaseException:
            work.close()
            raise
        return await self.measured(work, user)

    async def turn_of(self, user: User | None) -> None:
        """Wait until something may begin that is measured and takes long; a busy user waits while others of them rest."""
        if user is None or not (_busy(user) and self._occupied):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.begin_in_turn(user, _PART, lambda: None if turn.done() else turn.set_result(None))
        await turn

    def begin_in_turn(self, user: User, seconds: float, begin: Callable[[], None]) -> None:
        """Call ``begin`` when it is the turn of ``user``, a busy one, to have something done that is counted and is expected
        to take ``seconds`` of the processor.
        """
        self._behind.add(_Beginning(user, seconds, begin))
        self._rest_for(0.0)

    @coroutine
    def measured(self, work: Coroutine[Any, None, _Result], user: User | None) -> Generator[Any, None, _Result]:
        """Await ``work``, and count for ``user`` what the processor does at it, without what else goes on while it waits."""
        thrown: BaseException | None = None
        count = partial(self._count, user)
        try:
            while True:
                around = _ASIDE.set(count)
                parts, began = self._worked, self._clock()
                try:
                    awaited = work.send(None) if thrown is None else work.throw(thrown)
                except StopIteration as last:
                    result: _Result = last.value
                    return result
                finally:
                    thrown = None
                    _ASIDE.reset(around)
                    count(self._clock() - began - (self._worked - parts))
                try:
                    yield awaited
                except BaseException as error:  # noqa: BLE001 - raised in ``work``
                    thrown = error
        finally:
            work.close()

    def _count(self, user: User | None, seconds: float) -> None:
        if user is not None and user.work.charge(seconds) < 0:
            self.worked(seconds)

    def worked(self, seconds: float) -> bool:
        """The processor has worked for ``seconds`` for a busy user. Returns whether it has to wait for its turn now."""
        self._owed += seconds
        self._rest_for(0.0)
        return self._occupied

    @property
    def _occupied(self) -> bool:
        """Whether busy users rest, or wait for their turn."""
        return self._rest is not None or bool(self._behind)

    def _step(self, job: _Job[Any]) -> float:
        took = job.step(self._clock)
        self._worked += took
        return took

    def _wait(self, job: _Job[Any], *, first: bool = False) -> None:
        loop = asyncio.get_running_loop()
        if _busy(job.user):
            self._behind.add(job, first=first)
            self._rest_for(0.0)
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
        """Parts of one user's job, or something that is measured begins; then a rest. What was measured since the last
        rest comes first: nothing more is done then.
        """
        took, begun = 0.0, 0.0
        try:
            while self._behind and took + begun < _PART and not self._owed:
                job = self._behind.next()
                if isinstance(job, _Beginning):
                    begun += job.seconds
                    job.begin()
                    continue
                while took + begun < _PART and not job.done.done():
                    took += self._step(job)
                if not job.done.done():
                    self._behind.add(job, first=True)
        finally:
            self._rest = None
            if self._behind or took or self._owed:
                self._rest_for(took)

    def _rest_for(self, took: float) -> None:
        """Have those who wait go on after a rest, unless that is due already."""
        if self._rest is not None:
            return
        took, self._owed = took + self._owed, 0.0
        rest = self._share.rest(took)
        if rest or self._behind:
            self._rest = asyncio.get_running_loop().call_later(max(rest, _LEAST), self._do_behind)
