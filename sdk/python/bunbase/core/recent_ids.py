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
        self._ids: dict[tuple[str, str | None, bool], None] = {}

    def is_new(self, id: str | None, sender: str | None, *, server: bool = False) -> bool:
        """Whether no message of this sender with this id was given before; it is remembered. One without an id is new.

        ``server``: a server published it in the name of the sender, whose own ids are others.
        """
        if id is None:
            return True
        key = (id, sender, server)
        if key in self._ids:
            return False
        self._ids[key] = None
        if len(self._ids) > _REMEMBERED:
            del self._ids[next(iter(self._ids))]
        return True
