"""A message in a transport's own form: what connections queue and write."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Frame", "Opened"]


class Opened(NamedTuple):
    """What a client is sent when a channel is open. ``recovered``: whether everything after its place follows."""

    channel: str
    position: str
    recovered: bool | None = None


class Frame:
    """One or several encoded messages. Built once, and shared by all connections that get them in the same form.

    Args:
        data: the bytes.
        channel: the channel they are about, which keeps its order; None: nothing overtakes the frame, in either direction.
        priority: of the highest of them; higher is not queued behind lower of other channels.
        key: a channel message's position as numbers.
        committed_at: when they were committed, in microseconds since 1970; None: they are no commit's effect.
        count: how many messages ``data`` holds.
        opened: the channel whose opening this announces.
    """

    __slots__ = ("channel", "committed_at", "count", "data", "key", "opened", "priority", "size")

    def __init__(
        self,
        data: bytes,
        channel: str | None = None,
        priority: int = 0,
        key: tuple[int, int] | None = None,
        committed_at: int | None = None,
        count: int = 1,
        opened: Opened | None = None,
    ) -> None:
        self.data = data
        self.size = len(data)
        self.channel = channel
        self.priority = priority
        self.key = key
        self.committed_at = committed_at
        self.count = count
        self.opened = opened
