"""Reads the preferences of users: those who ask while a read is under way share the next one."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from engine.channels.db.refusals import WAITS, in_time
from engine.lsn import Lsn

__all__ = ["PreferenceReader"]

Rows = list[dict[str, Any]]


class _Reader(Protocol):
    """What is needed of :class:`engine.channels.db.store.Store`."""

    async def rows(self, name: str, **parameters: object) -> Rows:
        """Run one named query."""
        ...

    async def committed(self) -> Lsn:
        """A position behind everything that has committed."""
        ...


class PreferenceReader:
    """A login storm is one statement for many users. ``reached`` waits for the stream."""

    def __init__(self, store: _Reader, reached: Callable[[Lsn], Awaitable[None]]) -> None:
        self._store = store
        self._reached = reached
        self._asked: dict[str, asyncio.Future[Rows]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def rows_of(self, user: str) -> Rows:
        """The user's rows, when the stream has passed what they were read from. Raises what reading them raises, and
        ``UnavailableError`` if the stream does not get there in time.
        """
        answer = self._asked.get(user)
        if answer is None:
            answer = self._asked[user] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._run())
        return await asyncio.shield(answer)  # one who gives up must not end the read of the others

    async def _run(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                await self._read(asked)
        finally:
            self._reading = None

    async def _read(self, asked: dict[str, asyncio.Future[Rows]]) -> None:
        found: dict[str, Rows] = defaultdict(list)
        try:
            for row in await self._store.rows("engine_preferences", users=list(asked)):
                found[row["user_id"]].append(row)
            committed = await self._store.committed()
            async with in_time(WAITS):
                await self._reached(committed)  # so that no crash takes back what was read
        except Exception as error:  # noqa: BLE001 - the error of those who asked, whatever it is
            for answer in asked.values():
                answer.set_exception(error)
                answer.exception()  # they may have given up
        else:
            for user, answer in asked.items():
                answer.set_result(found[user])
