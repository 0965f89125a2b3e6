"""Pages of synchronous code."""

from __future__ import annotations

from bunbase.client.live_query import Snapshots
from bunbase.client.pages import Pages
from bunbase.client.realtime import Realtime
from bunbase.protocol.model import Doc, Snapshot
from bunbase.protocol.type_variables import D_co
from bunbase.sync.iterator import SyncIterator
from bunbase.sync.loop_thread import LoopThread

__all__ = ["SyncPages"]


class SyncPages(SyncIterator[Snapshot[D_co]]):
    """Made by ``SyncQuery.pages``: an iterator (and context manager) of ``Snapshot``, each of all that is loaded.

    Raises:
        RealtimeError: the query was rejected or has ended, or the next page was rejected; or the connection has failed for
            good.
    """

    def __init__(self, thread: LoopThread, realtime: Realtime, pages: Pages[D_co], timeout: float | None) -> None:
        self._pages = pages
        snapshots: Snapshots[D_co] = Snapshots(pages)
        super().__init__(thread, realtime, snapshots, snapshots.close, timeout)

    def __repr__(self) -> str:
        return repr(self._pages).replace("<", "<Sync", 1)

    @property
    def docs(self) -> tuple[Doc[D_co], ...]:
        """All that is loaded, as it is now."""
        return self._pages.docs

    @property
    def has_more(self) -> bool:
        """There are documents after these."""
        return self._pages.has_more

    def load_more(self) -> None:
        """Load the next page, which comes as a snapshot. Without effect while one is loaded, and where there is none.

        Raises:
            RealtimeError: ``RT_004``: they were closed.
        """
        self._thread.run(self._load_more())

    async def _load_more(self) -> None:
        self._pages.load_more()
