"""An index of windows by the rows they hold, by which a change finds the windows that hold its old row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.live.core.window import Window

__all__ = ["Identity", "RowIndex"]

Identity = bytes | tuple[bytes, ...]


class RowIndex:
    """Windows by the replica identity of the rows they hold. Most rows are in one window, which then stands for itself."""

    __slots__ = ("_windows",)

    def __init__(self) -> None:
        self._windows: dict[Identity, Window | set[Window]] = {}

    def add(self, identity: Identity, window: Window) -> None:
        """``window`` holds the row from now on."""
        found = self._windows.setdefault(identity, window)
        if found is not window:
            if isinstance(found, set):
                found.add(window)
            else:
                self._windows[identity] = {found, window}

    def remove(self, identity: Identity, window: Window) -> None:
        """``window`` no longer holds the row."""
        found = self._windows.get(identity)
        if found is window:
            del self._windows[identity]
        elif isinstance(found, set):
            found.discard(window)
            if not found:
                del self._windows[identity]

    def windows(self, identity: Identity) -> Iterable[Window]:
        """The windows that hold the row, as they are now."""
        found = self._windows.get(identity)
        if found is None:
            return ()
        return list(found) if isinstance(found, set) else (found,)
