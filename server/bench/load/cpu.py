"""Processor time of processes, from ``/proc`` (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["Cpu", "ran", "waited_for_a_core"]

_TICKS = os.sysconf("SC_CLK_TCK")


class Cpu:
    """Processor seconds of a process and its children since this was made (Linux)."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._now()

    def seconds(self) -> float:
        """So much since then; time of children that have ended meanwhile is included."""
        return self._now() - self._before

    def _now(self) -> float:
        total = 0
        for pid in (self._pid, *_children(self._pid)):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            total += sum(map(int, fields[11:15] if pid == self._pid else fields[11:13]))
        return total / _TICKS


def ran(pid: int) -> int:
    """Nanoseconds for which the threads of a process have run (Linux, ``schedstat``)."""
    return _scheduled(pid, 0)


def waited_for_a_core(pid: int) -> float:
    """Seconds for which the threads of a process were ready to run while others ran (Linux, ``schedstat``)."""
    return _scheduled(pid, 1) / 1e9


def _scheduled(pid: int, field: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[field]) for task in tasks)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
