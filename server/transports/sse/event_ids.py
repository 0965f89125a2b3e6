"""Encodes the resume position of every channel in a stream's address as the text of the SSE ``id:`` field.

Where every channel is at the same position, an id is that position with its epoch: ``POSITION;EPOCH``. Else the
channels at other positions are named behind it: ``([POSITION;EPOCH]|EPOCH;NAME:POSITION,NAME.NAME:POSITION|…)``. The first
part holds for every channel that is not named; where it is empty, or no position follows a name, the channel begins as its
address requests. A name is a hash, so an id stays valid for an address with other channels or in another order.
No I/O.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple

from engine.channels.core.messages.model import parse_position

__all__ = ["LONGEST", "StreamId", "StreamPosition", "read_id", "write_id"]

LONGEST: Final = 6000
"""Characters of an id. The client returns it in a header, and servers and proxies commonly accept 8 KiB of one."""

_NAMES = r"[\w-]{8}(?:\.[\w-]{8})*"
_LIST = re.compile(rf"(?P<epoch>[^;|]*);{_NAMES}:[^,:]*(?:,{_NAMES}:[^,:]*)*", re.ASCII)


class StreamPosition(NamedTuple):
    """Everything of a channel up to ``position`` has been put into a stream. ``epoch``: empty if it is not known."""

    position: str
    epoch: str = ""

    def __str__(self) -> str:
        return f"{self.position};{self.epoch}" if self.epoch else self.position


@dataclass(frozen=True, slots=True)
class StreamId:
    """A parsed id: ``named`` for some channels, by the hashes of their names, ``rest`` for all others."""

    rest: StreamPosition | None = None
    named: Mapping[str, StreamPosition | None] = field(default_factory=dict)

    def of(self, channel: str) -> StreamPosition | None:
        """The position after which ``channel`` resumes; None: the client has no message of it yet."""
        return self.named.get(_name(channel), self.rest)


def read_id(text: str) -> StreamId:
    """Parse an id of :func:`write_id`. Raises ``ValueError`` for other texts."""
    if not text.startswith("("):
        return StreamId(_plain(text))
    first, *lists = text[1:-1].split("|")
    if not text.endswith(")") or not lists:
        raise ValueError("a part of it is missing")
    named: dict[str, StreamPosition | None] = {}
    for each in lists:
        found = _LIST.fullmatch(each)
        if found is None:
            raise ValueError(f"not a list of positions: {each!r}")
        for entry in each[found.end("epoch") + 1 :].split(","):
            names, _, position = entry.partition(":")
            place = StreamPosition(_checked(position), found["epoch"]) if position else None
            named |= dict.fromkeys(names.split("."), place)
    return StreamId(_plain(first), named)


def write_id(places: Mapping[str, StreamPosition | None]) -> str | None:
    """The id with the place of each channel; None: no channel has one, or they cannot be written.

    They cannot if two channels have the same hash, or if the id would be longer than ``LONGEST``.
    """
    channels: dict[StreamPosition | None, list[str]] = {}
    for channel, place in places.items():
        channels.setdefault(place, []).append(channel)
    if not channels:
        return None
    rest = max(channels, key=lambda place: len(channels[place]))
    text = "" if rest is None else str(rest)
    del channels[rest]
    if not channels:
        return text or None
    if len(set(map(_name, places))) < len(places):
        return None
    lists: dict[str, list[str]] = {}
    for place, names in channels.items():
        position, epoch = place or ("", "")
        lists.setdefault(epoch, []).append(f"{'.'.join(map(_name, names))}:{position}")
    text = "|".join([text, *(f"{epoch};{','.join(entries)}" for epoch, entries in lists.items())])
    text = f"({text})"
    return text if len(text) <= LONGEST else None


def _plain(text: str) -> StreamPosition | None:
    position, _, epoch = text.partition(";")
    return StreamPosition(_checked(position), epoch) if text else None


def _checked(position: str) -> str:
    parse_position(position)
    return position


@lru_cache(maxsize=4096)
def _name(channel: str) -> str:
    """Eight characters, 48 bits: names in one address must differ, a client that makes two alike harms itself only."""
    return urlsafe_b64encode(blake2b(channel.encode(errors="surrogatepass"), digest_size=6).digest()).decode()
