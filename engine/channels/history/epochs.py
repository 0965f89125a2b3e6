"""Which history positions belong to. A position is a place in the WAL, without the WAL's identity.

The epoch is an opaque text: another one in another cluster, and after a restore to an earlier
moment or the promotion of a standby (then the WAL goes on along another timeline). ``realtime.adopt_cluster()`` changes it.
"""

from __future__ import annotations

from engine.channels.db.store import Store
from engine.lsn import Lsn, parse_lsn

__all__ = ["OTHER_HISTORY", "Epochs"]

OTHER_HISTORY = "the database was restored or another one took over, and this server has not noticed yet"
"""Why nothing is written that is known from the stream: it may never have been in this history."""


class Epochs:
    """``current`` is the epoch of the positions that this node gives out; empty until :meth:`refresh`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.current = ""

    async def refresh(self) -> bool:
        """Learn the epoch; if the database was restored, a new one begins. True: it is not what this node knew."""
        await self._store.keep("engine_adopt_cluster")
        before, self.current = self.current, (await self._store.rows("engine_settings"))[0]["epoch"]
        return before not in ("", self.current)

    async def covers(self, epoch: str | None, position: Lsn) -> bool:
        """Whether ``position`` of ``epoch`` means the same today; None: the client named none, so the position is accepted.

        An earlier epoch of this cluster is good up to where it was recorded when the histories parted.
        """
        if epoch is not None and not epoch.isascii():  # ours are; the database may not even have such a character
            return False
        if epoch is None or epoch == self.current:
            return True
        rows = await self._store.rows("engine_epoch_ended", epoch=epoch)
        return bool(rows) and position <= parse_lsn(rows[0]["ended"])
