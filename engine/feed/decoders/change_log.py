"""A transaction's changes: raw messages, kept in memory up to a limit and beyond it in an unnamed spill file.

Nothing is decoded here. Each entry is a pair: a maker (one object per table and kind, shared) and the raw message;
iterating calls the maker. A million rows are a million short byte strings at most, and past the limit not even that.
"""

from __future__ import annotations

import os
import struct
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, starmap
from operator import call, eq
from pathlib import Path
from typing import IO, Final

from engine.transaction import Change, Message

__all__ = ["ChangeLog", "Maker"]

Maker = Callable[[bytes], Change | Message]
"""Makes the change (or message) out of its raw form."""

Entry = tuple[Maker, bytes]

_HEADER: Final = struct.Struct("=II")
_ENTRY_OVERHEAD: Final = 64  # a bytes object's header and the two list slots, roughly
_BATCH: Final = 1 << 19  # bytes written to the file at once: a few milliseconds of work
_BLOCK: Final = 1 << 20  # bytes read back at once


class ChangeLog:
    """Append-only while the transaction arrives, then iterated any number of times, also by several at once.

    In order: the spill, if there is one, and the entries that wait to be written to it.

    Args:
        memory_limit: bytes of memory after which what follows goes to the spill file.
        spill_dir: where the spill file is made; the system's temporary folder if None.
    """

    __slots__ = ("_limit", "_makers", "_raws", "_size", "_spill", "_spill_dir")

    def __init__(self, memory_limit: int, spill_dir: Path | None = None) -> None:
        self._makers: list[Maker] = []
        self._raws: list[bytes] = []
        self._size = 0
        self._limit = memory_limit
        self._spill_dir = spill_dir
        self._spill: _Spill | None = None

    def append(self, make: Maker, raw: bytes) -> None:
        """Add one entry. ``make(raw)`` must give an equal change each time it is called."""
        self._makers.append(make)
        self._raws.append(raw)
        size = self._size = self._size + len(raw) + _ENTRY_OVERHEAD
        if size > self._limit:
            self._overflow()

    @property
    def memory(self) -> int:
        """Bytes of memory in use, roughly."""
        return self._size + (0 if self._spill is None else self._spill.head_size)

    @property
    def spilled(self) -> bool:
        """True if a spill file is in use."""
        return self._spill is not None

    def __len__(self) -> int:
        return len(self._makers) + (0 if self._spill is None else len(self._spill))

    def __iter__(self) -> Iterator[Change | Message]:
        if self._spill is None:
            return map(call, self._makers, self._raws)
        return starmap(call, self.entries())

    def __eq__(self, other: object) -> bool:
        """Equal to a log that gives equal changes."""
        if not isinstance(other, ChangeLog):
            return NotImplemented
        return len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def entries(self) -> Iterator[Entry]:
        """What was appended, in order."""
        return chain.from_iterable(self._parts())

    def makers(self) -> Iterator[Maker]:
        """The makers of all entries, each at least once."""
        known = iter(()) if self._spill is None else self._spill.makers()
        return chain({id(make): make for make in self._makers}.values(), known)

    def _parts(self) -> Sequence[Iterable[Entry]]:
        last = zip(self._makers, self._raws, strict=True)
        return (last,) if self._spill is None else (self._spill, last)

    def _overflow(self) -> None:
        if self._spill is None:
            file = tempfile.TemporaryFile(prefix="realtime-", dir=self._spill_dir, buffering=0)  # noqa: SIM115
            self._spill = _Spill(file, self._makers, self._raws, self._size)
            self._makers, self._raws = [], []
            self._limit = _BATCH
        else:
            self._spill.write(self._makers, self._raws)
            self._makers.clear()
            self._raws.clear()
        self._size = 0


class _Spill:
    """The entries that filled the memory of a transaction, and an unnamed file with those that follow.

    The space of the file is freed when this object is garbage, or the process ends.
    """

    def __init__(self, file: IO[bytes], makers: list[Maker], raws: list[bytes], head_size: int) -> None:
        self.head_size = head_size
        self._file = file
        self._head = makers, raws
        self._makers: list[Maker] = []  # of the entries in the file, by number
        self._numbers: dict[int, int] = {}
        self._count = 0  # entries in the file
        weakref.finalize(
            self, file.close
        )  # a file that is garbage together with this one would warn before it is closed

    def __len__(self) -> int:
        return len(self._head[0]) + self._count

    def __iter__(self) -> Iterator[Entry]:
        yield from zip(*self._head, strict=True)
        yield from self._read_back()

    def makers(self) -> Iterator[Maker]:
        """See :meth:`ChangeLog.makers`."""
        return chain({id(make): make for make in self._head[0]}.values(), self._makers)

    def write(self, makers: Sequence[Maker], raws: Sequence[bytes]) -> None:
        """Add entries to the file."""
        batch = bytearray()
        for make, raw in zip(makers, raws, strict=True):
            batch += _HEADER.pack(self._number(make), len(raw))
            batch += raw
        _write_all(self._file, batch)
        self._count += len(makers)

    def _number(self, make: Maker) -> int:
        number = self._numbers.get(id(make))
        if number is None:
            number = self._numbers[id(make)] = len(self._makers)
            self._makers.append(make)  # and so kept alive: the id stays its own
        return number

    def _read_back(self) -> Iterator[Entry]:
        descriptor, at, makers = self._file.fileno(), 0, self._makers
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
