"""What is fuzzed: functions that take any bytes, and raise if the project does anything with them but what it documents.

Each module has ``target`` and ``TOKENS``, pieces of its language that mutations insert. The inputs that are kept are in
``tests/fuzz/corpus``, a folder for each module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.fuzz.targets import (
    conditions,
    filters,
    frames,
    handshakes,
    messages,
    packed,
    pgoutput,
    queries,
    sql,
    wal2json,
)

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """``run`` raises for an input that shows a fault."""

    run: Callable[[bytes], None]
    tokens: Sequence[bytes]


TARGETS: Final[Mapping[str, Target]] = {
    module.__name__.rpartition(".")[2]: Target(module.target, module.TOKENS)
    for module in (conditions, filters, frames, handshakes, messages, packed, pgoutput, queries, sql, wal2json)
}
