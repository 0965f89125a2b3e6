"""A message in a transport's own form, as connections queue and write it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

__all__ = ["Frame", "Opened"]


class Opened(NamedTuple):
    """The message to a client when a channel is open. ``recovered``: whether everything after its place follows."""

    channel: str
    position: str
    recovered: bool | None = None


class Frame(msgspec.Struct, eq=False, gc=False):
    """One or several encoded messages. Built once, and shared by all connections that get them in the same form.

    Args:
        data: the bytes.
        channel: the channel they belong to, which keeps its order; None: no frame overtakes this one, nor this one another.
        priority: of the highest of them; higher is not queued behind lower of other channels.
        key: a channel message's position as numbers.
        committed_at: when they were committed, in microseconds since 1970; None: they are no commit's effect.
        count: how many messages ``data`` holds.
        opened: the channel whose opening this announces.
        encoded_at: when it was made, as ``committed_at``; 0: that is not observed.
    """

    data: bytes
    channel: str | None = None
    priority: int = 0
    key: tuple[int, int] | None = None
    committed_at: int | None = None
    count: int = 1
    opened: Opened | None = None
    encoded_at: int = 0
