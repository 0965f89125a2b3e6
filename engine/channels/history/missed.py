"""Messages that committed while no node followed the WAL: they get a position, and their copies along routes.

The stream never brings them, so all that follows from a message of the stream is done for them here: where they committed is
recorded, with the copies in the same transaction, as :mod:`engine.channels.history.recorder` does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import structlog

from engine.channels.core.messages.model import UnavailableError
from engine.channels.core.routing import Routes
from engine.channels.core.settings import ChannelSettings
from engine.channels.core.state_machine import ChannelCore
from engine.channels.core.unrecorded import Entry
from engine.channels.db.refusals import WAITS, in_time
from engine.channels.db.store import Store
from engine.channels.history.epochs import OTHER_HISTORY, Epochs
from engine.channels.history.reader import HistoryReader
from engine.channels.history.recorder import CommitRecorder
from engine.feed.table_interest import channel_topic
from engine.lsn import Lsn, format_lsn
from engine.stream.driver import StreamDriver

__all__ = ["MissedMessages"]

_log = structlog.get_logger(__name__)

_OTHERS: Final = 30.0  # seconds to wait for other nodes before a position is made up
_LOOK: Final = 0.2


class MissedMessages:
    """See the module."""

    def __init__(
        self,
        core: ChannelCore,
        stream: StreamDriver,
        store: Store,
        history: HistoryReader,
        epochs: Epochs,
        recorder: CommitRecorder,
        settings: ChannelSettings,
    ) -> None:
        self._core = core
        self._stream = stream
        self._store = store
        self._history = history
        self._epochs = epochs
        self._recorder = recorder
        self._settings = settings

    async def record(self, position: Lsn) -> None:
        """Messages that committed while no node followed the WAL get the position just before ``position``.

        What is recorded already is earlier, what the stream brings is later; among themselves they are ordered by their
        numbers, the best order that is known. What others have delivered meanwhile keeps the position that they gave it.
        """
        rows = await self._store.rows("engine_unrecorded")
        if not rows:
            return
        async with in_time(WAITS):  # then the recovery is tried again
            await self._stream.reached(await self._store.committed())
        missing = [row for row in rows if self._core.unrecorded.position_of(int(row["xid"])) is None]
        if not missing or not (missing := await self._left_by_others(missing, position)):
            return
        known = [self._stream.commit_of(int(row["xid"])) for row in missing]
        if assigned := known.count(None):
            _log.warning("commit_positions_assigned", transactions=assigned)
            await self._epochs.guess()
        positions = [position - 1 if at is None else at for at in known]
        routes = Routes()
        routes.load(await self._store.rows("engine_routes"))
        routed = [routes.begin_at(row["channel"]) for row in missing]
        await self._keep(row for row in zip(missing, positions, routed, strict=True) if not row[2])
        for row, at, begins in sorted(zip(missing, positions, routed, strict=True), key=lambda each: each[1]):
            if begins:
                await self._keep_with_copies(row, at, routes)

    async def _keep(self, rows: Iterable[tuple[dict[str, Any], Lsn, bool]]) -> None:
        kept = list(rows)
        if not kept:
            return
        [written] = await self._store.keep(
            "engine_record_commits",
            epoch=self._epochs.current,
            channels=[row["channel"] for row, *_ in kept],
            xids=[row["xid"] for row, *_ in kept],
            positions=[format_lsn(at) for _, at, _ in kept],
            first=[row["first_at"] for row, *_ in kept],
            last=[row["last_at"] for row, *_ in kept],
        )
        if not written["ours"]:
            raise UnavailableError(OTHER_HISTORY)

    async def _keep_with_copies(self, row: dict[str, Any], at: Lsn, routes: Routes) -> None:
        """One transaction's messages of one channel."""
        xid = int(row["xid"])
        messages = await self._history.transaction(row["channel"], xid, row["first_at"], row["last_at"])
        entry = Entry(at, xid & 0xFFFFFFFF, xid, at, messages, routes.copies(messages))
        await self._recorder.write([entry], careful=True)

    async def _left_by_others(self, missing: list[dict[str, Any]], position: Lsn) -> list[dict[str, Any]]:
        """Another node may have followed the WAL all the time and is about to write the true positions: let it. Returns the
        rows of ``missing`` that it has not recorded. Nodes behind NATS leave them to the relay.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _OTHERS
        while loop.time() < deadline and await self._store.rows(  # noqa: ASYNC110 - another node is waited for
            "engine_others_behind", node=self._settings.node_id, position=format_lsn(position)
        ):
            await asyncio.sleep(_LOOK)
        deadline = loop.time() + (_OTHERS if self._stream.reports_recorded else self._settings.others_wait)
        while True:
            unknown = {(row["channel"], row["xid"]) for row in await self._store.rows("engine_unrecorded")}
            missing = [row for row in missing if (row["channel"], row["xid"]) in unknown]
            if not missing or loop.time() >= deadline:  # of channels that are not followed here, only the relay knows
                return [row for row in missing if self._stream.follows({channel_topic(row["channel"])})]
            await asyncio.sleep(_LOOK)
