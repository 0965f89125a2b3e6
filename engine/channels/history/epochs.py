"""Which history positions belong to. A position is a place in the WAL, without the WAL's identity.

The epoch is an opaque text: another one in another cluster, and after a restore to an earlier
moment or the promotion of a standby (then the WAL goes on along another timeline). ``realtime.adopt_cluster()`` changes it.

Positions of an earlier epoch of this cluster are good up to its last recorded one. The histories parted later, at a position
that the server knows (``ReplicationStream.ended_timelines``). All that committed before is in both, at the same positions.
So once every message from before has its true position in ``realtime.commits``, positions are good up to there.
"""

from __future__ import annotations

import asyncio
from typing import Final

from engine.channels.db.store import Store
from engine.lsn import Lsn, parse_lsn
from engine.shared_look import SharedLook

__all__ = ["OTHER_HISTORY", "Epochs"]

OTHER_HISTORY = "the database was restored or another one took over, and this server has not noticed yet"
"""Why nothing is written that is known from the stream: it may never have been in this history."""

_RECORDED: Final = 5.0  # seconds that a position waits for messages from before the histories parted to be recorded
_LOOK: Final = 0.1


class Epochs:
    """``current`` is the epoch of the positions that this node gives out; empty until :meth:`refresh`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.current = ""
        self._ends = SharedLook(self._look)  # after a promotion all clients ask at once

    async def refresh(self) -> Lsn | None:
        """Learn the epoch; if the database was restored, a new one begins. If it is not what this node knew: the last
        position that both histories have, 0 if that is not known. Else None.
        """
        await self._store.keep("engine_adopt_cluster")
        before, self.current = self.current, (await self._store.rows("engine_settings"))[0]["epoch"]
        if before in ("", self.current):
            return None
        return (await self._read()).get(before, (0, 0))[1]

    async def covers(self, epoch: str | None, position: Lsn) -> bool:
        """Whether ``position`` of ``epoch`` means the same today; None: the client named none, so it is accepted."""
        if epoch is not None and not epoch.isascii():  # ours are; the database may not even have such a character
            return False
        if epoch is None or epoch == self.current:
            return True
        deadline = asyncio.get_running_loop().time() + _RECORDED
        while (bounds := (await self._ends()).get(epoch)) is not None:
            ended, parted = bounds
            if position <= ended:
                return True
            if position > parted or asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_LOOK)
        return False

    async def guess(self) -> None:
        """Messages are about to get positions that are not the true ones."""
        await self._store.keep("engine_extend_epochs", exact=False)

    async def close(self) -> None:
        """End the looks that are under way."""
        await self._ends.close()

    async def _look(self) -> dict[str, tuple[Lsn, Lsn]]:
        ends = await self._read()
        if any(ended < parted for ended, parted in ends.values()):
            await self._store.keep("engine_extend_epochs", exact=True)
            ends = await self._read()
        return ends

    async def _read(self) -> dict[str, tuple[Lsn, Lsn]]:
        """Up to where positions of earlier epochs are good, and up to where they may become good."""
        rows = await self._store.rows("engine_epochs_ended")
        return {row["epoch"]: (parse_lsn(row["ended"]), parse_lsn(row["parted"])) for row in rows}
