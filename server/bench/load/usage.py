"""What the processes of a server and of its PostgreSQL use, if they run on this machine (Linux): processor, memory.

The server is found by its port: the process that listens there, and those above it that were started in the same way.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["Cpu", "Interval", "Meter", "listening_on", "machine_memory", "ran", "waited_for_a_core"]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LISTENING: Final = "0A"  # the state in /proc/net/tcp
_PROC: Final = Path("/proc")
_KINDS: Final = frozenset({"walsender", "checkpointer", "walwriter", "background", "autovacuum", "io", "logical"})


class Meter:
    """The use of a process and all below it. ``root``: its id; ``port``: where a server listens."""

    def __init__(self, root: int, port: int | None = None) -> None:
        self.root = root
        self._listening = set() if port is None else set(_listening(port))
        self._names: dict[int, str] = {}

    def cpu(self) -> dict[str, float]:
        """Seconds of the processor by process; the time of one that has ended is its parent's, which has waited for it."""
        processes: dict[str, float] = {}
        tree = _tree(self.root)
        for pid in tree:
            if fields := _fields(pid):
                name = self._name(pid, alone=len(tree) == 1)
                processes[name] = processes.get(name, 0.0) + sum(map(int, fields[11:15])) / _TICKS
        return processes

    def _name(self, pid: int, *, alone: bool) -> str:
        """Its part, which it keeps: workers listen, and what they are relayed is read by a process that does not."""
        if pid not in self._names:
            if not self._listening:
                name = _name(pid)
            elif pid == self.root:
                name = "server" if alone else "supervisor"
            elif self._listening & set(_sockets(pid)):
                name = f"worker {sum(each.startswith('worker') for each in self._names.values()) + 1}"
            else:
                name = "relay"
            self._names[pid] = name
        return self._names[pid]

    def memory(self) -> int:
        """Bytes: what is their own, and their parts of what they share."""
        return sum(_memory(pid) for pid in _tree(self.root))


class Cpu:
    """Processor seconds of a process and all below it since this was made."""

    def __init__(self, pid: int) -> None:
        self._meter = Meter(pid)
        self._before = sum(self._meter.cpu().values())

    def seconds(self) -> float:
        """So much since then; time of processes that have ended meanwhile is included."""
        return sum(self._meter.cpu().values()) - self._before


class Interval:
    """What the server, PostgreSQL and the whole machine use from now on."""

    def __init__(self, meters: Mapping[str, Meter]) -> None:
        self._meters = meters
        self._before = {name: meter.cpu() for name, meter in meters.items()}
        self._began = time.monotonic()
        self._busy = _busy()

    def end(self) -> dict[str, Any]:
        """``seconds``, ``machine`` (processor seconds of all processes), and those of each meter, in all and by process."""
        found: dict[str, Any] = {"seconds": time.monotonic() - self._began, "machine": round(_busy() - self._busy, 3)}
        for name, meter in self._meters.items():
            before = self._before[name]
            parts = {process: round(spent - before.get(process, 0.0), 3) for process, spent in meter.cpu().items()}
            found[name] = round(sum(parts.values()), 3)
            found[f"{name} processes"] = {process: spent for process, spent in parts.items() if spent > 0}
        return found


def listening_on(port: int) -> int | None:
    """The process that listens on a port of this machine; None if that cannot be seen.

    Of several that share the port, and of one that was started by another with the same command, the uppermost.
    """
    inodes = set(_listening(port))
    holders = {pid for pid in _pids() if inodes & set(_sockets(pid))} if inodes else set()
    if not holders:
        return None
    top = min(holders)
    while (above := _parent(top)) > 1 and (above in holders or _serves(above)):
        top = above
    return top


def ran(pid: int) -> int:
    """Nanoseconds for which the threads of a process have run (``schedstat``)."""
    return _scheduled(pid, 0)


def waited_for_a_core(pid: int) -> float:
    """Seconds for which the threads of a process were ready to run while others ran (``schedstat``)."""
    return _scheduled(pid, 1) / 1e9


def _scheduled(pid: int, field: int) -> int:
    tasks = (_PROC / str(pid) / "task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[field]) for task in tasks)


def machine_memory() -> int:
    """Bytes that the kernel has for sockets and its own objects, of the whole machine."""
    slab = re.search(r"^Slab:\s+(\d+) kB", _text(_PROC / "meminfo"), re.MULTILINE)
    tcp = re.search(r"^TCP: .* mem (\d+)", _text(_PROC / "net/sockstat"), re.MULTILINE)
    return (int(slab[1]) * 1024 if slab else 0) + (int(tcp[1]) * _PAGE if tcp else 0)


def _busy() -> float:
    """Seconds for which processors of this machine have worked, for any process."""
    fields = [int(each) for each in _text(_PROC / "stat").partition("\n")[0].split()[1:]]
    user, nice, system, _, _, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / _TICKS


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has just ended, or belongs to another user
        return ""


def _pids() -> Iterator[int]:
    yield from (int(entry) for entry in os.listdir(_PROC) if entry.isdigit())


def _fields(pid: int) -> list[str]:
    """Of ``/proc/PID/stat``, from the state on; empty if the process has ended."""
    return _text(_PROC / str(pid) / "stat").rpartition(")")[2].split()


def _parent(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid in _pids():
        children.setdefault(_parent(pid), []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _memory(pid: int) -> int:
    """Its proportional part of shared pages, and what is its own; the resident set where that cannot be seen."""
    found = re.search(r"^Pss:\s+(\d+) kB", _text(_PROC / str(pid) / "smaps_rollup"), re.MULTILINE)
    if found:
        return int(found[1]) * 1024
    statm = _text(_PROC / str(pid) / "statm").split()
    return int(statm[1]) * _PAGE if statm else 0


def _words(pid: int) -> list[str]:
    return _text(_PROC / str(pid) / "cmdline").rstrip("\0").split("\0")


def _serves(pid: int) -> bool:
    """Whether it was started as the supervisor of a server is: ``realtime serve``, ``python -m server serve``."""
    words = _words(pid)[:4]
    return any(word in ("serve", "dev") for word in words[1:]) and any(
        word.rpartition("/")[2] in ("realtime", "server") for word in words
    )


def _name(pid: int) -> str:
    """What a process of PostgreSQL does, by its title; the name of another program."""
    words = _words(pid)
    if not words[0].startswith("postgres:"):
        return _text(_PROC / str(pid) / "comm").strip() or str(pid)
    kind = words[0].split()[1]
    return kind if kind in _KINDS else "backends"


def _listening(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _text(_PROC / "net" / table).splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _sockets(pid: int) -> Iterator[str]:
    folder = _PROC / str(pid) / "fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(folder / name)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]
