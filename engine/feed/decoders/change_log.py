"""A transaction's changes: raw messages, kept in memory up to a limit and beyond it in an unnamed spill file.

Nothing is decoded here. Each entry is a pair: a maker (one object per table and kind, shared) and the raw message;
iterating calls the maker. A million rows are a million short byte strings at most, and past the limit not even that.
"""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import eq
from pathlib import Path
from typing import IO, Final

from engine.transaction import Change, Message

__all__ = ["ChangeLog", "Maker"]

Maker = Callable[[bytes], Change | Message]
"""Makes the change (or message) out of its raw form."""

_HEADER: Final = struct.Struct("=II")
_ENTRY_OVERHEAD: Final = 64  # a bytes object's header and the two list slots, roughly
_BATCH: Final = 1 << 19  # bytes written to the file at once: a few milliseconds of work
_BLOCK: Final = 1 << 20  # bytes read back at once


class ChangeLog:
    """Append-only while the transaction arrives, then iterated any number of times, also by several at once.

    In order: the head in memory, the spill file, and the tail that waits to be written to it.

    Args:
        memory_limit: bytes of memory after which what follows goes to the spill file.
        spill_dir: where the spill file is made; the system's temporary folder if None.
    """

    __slots__ = (
        "_count",
        "_file",
        "_head",
        "_head_size",
        "_limit",
        "_makers",
        "_numbers",
        "_raws",
        "_rows",
        "_size",
        "_spill_dir",
    )

    def __init__(self, memory_limit: int, spill_dir: Path | None = None) -> None:
        self._rows: list[Maker] = []
        self._raws: list[bytes] = []
        self._size = 0
        self._limit = memory_limit
        self._spill_dir = spill_dir
        self._head: tuple[list[Maker], list[bytes]] = ([], [])
        self._head_size = 0
        self._file: IO[bytes] | None = None
        self._makers: list[Maker] = []
        self._numbers: dict[int, int] = {}
        self._count = 0  # entries in the file

    def append(self, make: Maker, raw: bytes) -> None:
        """Add one entry. ``make(raw)`` must give an equal change each time it is called."""
        self._rows.append(make)
        self._raws.append(raw)
        size = self._size = self._size + len(raw) + _ENTRY_OVERHEAD
        if size > self._limit:
            self._overflow()

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    @property
    def memory(self) -> int:
        """Bytes of memory in use, roughly."""
        return self._head_size + self._size

    @property
    def spilled(self) -> bool:
        """True if a spill file is in use."""
        return self._file is not None

    def __len__(self) -> int:
        return len(self._head[0]) + self._count + len(self._rows)

    def __iter__(self) -> Iterator[Change | Message]:
        for part in self._parts():
            for make, raw in part:
                yield make(raw)

    def __eq__(self, other: object) -> bool:
        """Equal to a log that gives equal changes."""
        if not isinstance(other, ChangeLog):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def entries(self) -> Iterator[tuple[Maker, bytes]]:
        """What was appended, in order."""
        return chain.from_iterable(self._parts())

    def _parts(self) -> Sequence[Iterable[tuple[Maker, bytes]]]:
        last = zip(self._rows, self._raws, strict=True)
        if self._file is None:
            return (last,)
        return zip(*self._head, strict=True), self._read_back(self._file), last

    def _overflow(self) -> None:
        if self._file is None:
            # Unnamed: the space is freed when the transaction is garbage (see __del__), or this process ends.
            self._file = tempfile.TemporaryFile(prefix="realtime-", dir=self._spill_dir, buffering=0)  # noqa: SIM115
            self._head, self._head_size = (self._rows, self._raws), self._size
            self._rows, self._raws = [], []
            self._limit = _BATCH
        else:
            batch = bytearray()
            for make, raw in zip(self._rows, self._raws, strict=True):
                batch += _HEADER.pack(self._number(make), len(raw))
                batch += raw
            _write_all(self._file, batch)
            self._count += len(self._rows)
            self._rows.clear()
            self._raws.clear()
        self._size = 0

    def _number(self, make: Maker) -> int:
        number = self._numbers.get(id(make))
        if number is None:
            number = self._numbers[id(make)] = len(self._makers)
            self._makers.append(make)  # and so kept alive: the id stays its own
        return number

    def _read_back(self, file: IO[bytes]) -> Iterator[tuple[Maker, bytes]]:
        descriptor, at, makers = file.fileno(), 0, self._makers
        rest = b""
        while block := os.pread(descriptor, _BLOCK, at):
            at += len(block)
            data, start = rest + block, 0
            while start + _HEADER.size <= len(data):
                number, length = _HEADER.unpack_from(data, start)
                end = start + _HEADER.size + length
                if end > len(data):
                    break
                yield makers[number], data[start + _HEADER.size : end]
                start = end
            rest = data[start:]


def _write_all(file: IO[bytes], data: bytearray) -> None:
    written = 0
    while written < len(data):
        with memoryview(data)[written:] as rest:
            written += file.write(rest)
