"""The recovery under way: one at a time. A discontinuity cancels it and starts another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from engine.channels.history.recovery import Recovery
from engine.lsn import Lsn

__all__ = ["RecoveryRuns"]


class RecoveryRuns:
    """See the module. ``spawn`` runs a coroutine as a task of the service; ``then``: what follows a recovery from a
    discontinuity.
    """

    def __init__(
        self,
        recovery: Recovery,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        then: Callable[[], Awaitable[None]],
    ) -> None:
        self._recovery = recovery
        self._spawn = spawn
        self._then = then
        self._latest: asyncio.Task[None] | None = None

    async def first(self, began: Lsn) -> None:
        """Recover for the first time, from where the stream ``began``. A discontinuity cancels that, as any recovery, and
        the one that follows it is awaited in its place.
        """
        if self._latest is None:
            self._latest = self._spawn(self._recovery.recover(began, began - 1))
        while not (latest := self._latest).done():
            await asyncio.wait({latest})
        await latest

    def restart(self, position: Lsn, whole: Lsn | None = None) -> None:
        """The stream has reported a discontinuity, and goes on at ``position``; see :meth:`Recovery.interrupt`."""
        resume = self._recovery.interrupt(position, whole)
        if self._latest is not None:
            self._latest.cancel()
        self._latest = self._spawn(self._recover(position, resume))

    async def _recover(self, position: Lsn, resume: Lsn) -> None:
        await self._recovery.recover(position, resume)
        await self._then()
