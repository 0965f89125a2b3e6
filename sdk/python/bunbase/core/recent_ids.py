"""The ids of the last messages with their senders, by which repeated ones are recognised.

The server does not recognise a repeated message that it has not stored: a sender whose connection breaks sends it again,
and it gets another position.
"""

from __future__ import annotations

__all__ = ["RecentIds"]

_REMEMBERED = 1_000


class RecentIds:
    """The last 1,000 ids."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str | None], None] = {}

    def is_new(self, id: str | None, sender: str | None) -> bool:
        """Whether no message of this sender with this id was given before; it is remembered. One without an id is new."""
        if id is None:
            return True
        if (id, sender) in self._ids:
            return False
        self._ids[id, sender] = None
        if len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return True
