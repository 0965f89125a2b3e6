"""An index of windows by the rows they hold, by which a change finds the windows that hold its old row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from engine.live.core.rows import Identity

__all__ = ["RowIndex"]

WindowT = TypeVar("WindowT")


class RowIndex(Generic[WindowT]):
    """Windows by the replica identity of the rows they hold. Most rows are in one window, which then stands for itself."""

    __slots__ = ("_windows",)

    def __init__(self) -> None:
        self._windows: dict[Identity, WindowT | set[WindowT]] = {}

    def add(self, identity: Identity, window: WindowT) -> None:
        """``window`` holds the row from now on."""
        found = self._windows.setdefault(identity, window)
        if found is not window:
            if isinstance(found, set):
                found.add(window)
            else:
                self._windows[identity] = {found, window}

    def remove(self, identity: Identity, window: WindowT) -> None:
        """``window`` no longer holds the row."""
        found = self._windows.get(identity)
        if found is window:
            del self._windows[identity]
        elif isinstance(found, set):
            found.discard(window)
            if not found:
                del self._windows[identity]

    def windows(self, identity: Identity) -> Iterable[WindowT]:
        """The windows that hold the row, as they are now."""
        found = self._windows.get(identity)
        if found is None:
            return ()
        return list(found) if isinstance(found, set) else (found,)
