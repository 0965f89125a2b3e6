"""The presence timeout: members of broken connections are removed once it has passed, and typing indicators once theirs has.

Theory of operation. A connection that breaks keeps its rows of ``realtime.presence``, with ``left_at``, for the presence
timeout of each channel, so that its client may resume. The deadlines are in the database, which removes what has expired
(query ``engine_sweep``); the stream shows the removal like any other change. This module decides when to ask for that. A key
(channel and connection) that will have to be swept is *open*:

- ``_own``: a typing indicator or a broken connection of this node. A row that the connection had under way may be written
  behind its end. It is open as well until it is deleted, because the connection's row has to stay until then;
- ``_others``: a broken connection of another node, which may be stopped before the timeout has passed. That node has
  ``_GRACE`` to remove it first.

:meth:`PresenceSweeper.run` is the only clock: it waits until a key is open, asks the database, and waits for as long as the
database returns.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from engine.channels.core.messages.decode import RowChange
from engine.channels.core.presence_lists import PresenceState
from engine.channels.db.store import Store
from engine.channels.presence.connection_registry import ConnectionRegistry

__all__ = ["PresenceSweeper"]

# Seconds.
_GRACE: Final = 2.0
_PAUSE: Final = 0.05  # between two sweeps at least
_LOOK_AGAIN: Final = 0.1
_MAX_LOOK_AGAIN: Final = 1.0
_LOOK_AT_OTHERS: Final = 5.0

Key = tuple[str, str]  # channel and connection


class PresenceSweeper:
    """See the module. ``connections``: those of this node, ``node_id``."""

    def __init__(self, presence: PresenceState, connections: ConnectionRegistry, store: Store, node_id: str) -> None:
        self._presence = presence
        self._connections = connections
        self._store = store
        self._node = node_id
        self._own: set[Key] = set()
        self._others: set[Key] = set()
        self._due = asyncio.Event()

    def apply(self, key: Key, change: RowChange) -> None:
        """The stream shows a change of a presence row."""
        row = change.row
        broken = change.new is not None and row.get("left_at") is not None
        if key[1] not in self._connections:
            self._note_other(key, broken=broken)
        elif broken or (change.new is not None and (row.get("typing_until") is not None or self._ended(key))):
            self._own.add(key)
            self._due.set()
        else:
            self._own.discard(key)

    def _note_other(self, key: Key, *, broken: bool) -> None:
        if not broken:
            self._others.discard(key)
        elif key not in self._others:
            if not self._others:
                self._due.set()
            self._others.add(key)

    def _ended(self, key: Key) -> bool:
        """Whether the connection, of this node, has ended."""
        return self._connections.find(key[1]) is None

    def rescan(self) -> None:
        """All presence was read: find the keys that are open."""
        rows = {(row.channel, row.connection_id): row for row in self._presence.rows()}
        self._own &= rows.keys()
        self._own |= {key for key in rows if key[1] in self._connections and self._ended(key)}
        self._others = {key for key, row in rows.items() if row.left_at is not None and key[1] not in self._connections}
        self._due.set()

    async def run(self) -> None:
        """Sweep when something is due, for ever."""
        wait: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._due.wait()
            self._due.clear()
            wait = await self._store.insistence.done("the removal of members after their timeout", self._sweep)
            if self._own:
                # The stream may show a row before a statement does, so look again soon.
                wait = _LOOK_AGAIN if wait is None else min(wait, _MAX_LOOK_AGAIN)
            elif self._others:
                wait = _LOOK_AT_OTHERS if wait is None else min(wait, _LOOK_AT_OTHERS)
            await asyncio.sleep(_PAUSE)

    async def _sweep(self) -> float | None:
        """Remove what has expired. Returns in how many seconds to look again; None: nothing is open."""
        rows = await self._store.rows("engine_sweep", node=self._node, grace=_GRACE)
        await self._store.rows("engine_sweep_connections", node=self._node, grace=_GRACE)
        wait: float | None = rows[0]["wait"]
        return wait
