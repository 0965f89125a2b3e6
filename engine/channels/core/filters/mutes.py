"""What users do not want to get: muted channels and events. The most specific row counts. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["Mutes"]


class Mutes:
    """One user's preferences. Looked up by (channel, event), (channel), (event), (all), in this order.

    ``active``: there are any. The stream's changes are applied in place. Those that come while the rows are being read are
    applied to what was read, again if it had them: they are what a row is, not how it differs, so once the stream has
    passed all that was read, this is the state at the stream's position.
    """

    __slots__ = ("_changed", "_rows", "active")

    def __init__(self) -> None:
        self._rows: dict[tuple[object, object], bool] = {}
        self._changed: dict[tuple[object, object], bool | None] | None = {}  # while the rows are being read
        self.active = False

    def clear(self) -> None:
        """The table was emptied."""
        if self._changed is not None:
            self._changed = dict.fromkeys((*self._changed, *self._rows))
        self._rows = {}
        self.active = False

    def read_again(self) -> None:
        """The rows are about to be read again; until :meth:`load` those that were known count."""
        self._changed = {}

    def load(self, rows: Iterable[Mapping[str, object]]) -> None:
        """The rows that were read."""
        self._rows = {(row["channel"], row["event"]): bool(row["muted"]) for row in rows}
        changed, self._changed = self._changed or {}, None
        for key, muted in changed.items():
            self._put(key, muted)
        self.active = bool(self._rows)

    def apply(self, old: Mapping[str, str | None] | None, new: Mapping[str, str | None] | None) -> None:
        """A row changed: as it was, as it is."""
        if old is not None:
            self._put((old.get("channel"), old.get("event")), None)
        if new is not None:
            self._put((new.get("channel"), new.get("event")), new.get("muted") == "t")
        self.active = bool(self._rows)

    def _put(self, key: tuple[object, object], muted: bool | None) -> None:
        if self._changed is not None:
            self._changed[key] = muted
        if muted is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = muted

    def mutes(self, channel: str, event: str) -> bool:
        """Whether the user does not want this event of this channel."""
        for key in ((channel, event), (channel, None), (None, event), (None, None)):
            if key in self._rows:
                return self._rows[key]
        return False
