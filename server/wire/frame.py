"""A message in a transport's own form, as connections queue and write it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

__all__ = ["Frame", "Opened", "write_frames"]

_COPIED: Final = 4096  # bytes of a frame: smaller ones are copied into one text, which takes less than a vector of them


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


def write_frames(transport: asyncio.WriteTransport, frames: Sequence[Frame]) -> int:
    """Write frames in one call, and large ones without copying them. Returns their size in bytes."""
    if len(frames) == 1:
        data = frames[0].data
        transport.write(data)
        return len(data)
    parts = [frame.data for frame in frames]
    size = sum(map(len, parts))
    if size >= _COPIED * len(parts):
        transport.writelines(parts)
    else:
        transport.write(b"".join(parts))
    return size
