"""``realtime`` with a look at its event loop: how long its turns are, and what the longest of them do.

``python -m tests.bench.parts.steps serve …`` is ``realtime serve …``. A tick every millisecond observes how much the
event loop's thread has computed since the tick before, so a turn is what a message that arrives meanwhile waits for. Times
are of the processor: what other processes had does not count. A second thread looks at the stack of the first one, and
names the longest turns by what was seen in them. SIGUSR1 writes a line of JSON to standard error, and begins again.
"""

from __future__ import annotations

import asyncio
import gc
import json
import runpy
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Final

from server.app import server

__all__ = ["PREFIX"]

PREFIX: Final = "turns: "
_TICK: Final = 0.001
_LOOK: Final = 0.003
_LONG: Final = 0.004  # seconds: turns that are named
_NAMED: Final = 12


class Turns:
    """The turns of one event loop since the last line."""

    def __init__(self) -> None:
        self._main = threading.main_thread().ident
        self._began = time.thread_time()
        self._number = 0
        self._lengths: list[float] = []
        self._seen: Counter[str] = Counter()  # in the present turn
        self._named: Counter[str] = Counter()  # milliseconds of long turns
        self._all: Counter[str] = Counter()  # looks
        self._longest: list[tuple[float, str]] = []
        self._collected = 0.0
        self._collections: list[float] = []

    def begin(self) -> None:
        """In the event loop, when it runs."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, self._write)
        gc.callbacks.append(self._collecting)
        self._began = time.thread_time()
        loop.call_later(_TICK, self._tick, loop)
        threading.Thread(target=self._look, daemon=True).start()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.thread_time()
        took, self._began = now - self._began, now
        self._number += 1
        self._lengths.append(took)
        seen, self._seen = self._seen, Counter()
        if took > _LONG:
            name = seen.most_common(1)[0][0] if seen else "?"
            for each, looks in seen.items():
                self._named[each] += round(took * 1000 * looks / seen.total())
            self._longest = sorted([*self._longest, (took * 1000, name)], reverse=True)[:_NAMED]
        loop.call_later(_TICK, self._tick, loop)

    def _look(self) -> None:
        assert self._main is not None
        clock = time.pthread_getcpuclockid(self._main)
        before = time.clock_gettime(clock)
        while True:
            time.sleep(_LOOK)
            now = time.clock_gettime(clock)
            name = _name(sys._current_frames()[self._main])
            if name and now - before > _LOOK / 10:
                self._seen[name] += 1
                self._all[name] += 1
            before = now

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._main:
            return
        if phase == "start":
            self._collected = time.thread_time()
        else:
            self._collections.append(time.thread_time() - self._collected)

    def _write(self) -> None:
        lengths, self._lengths = sorted(self._lengths), []
        collections, self._collections = self._collections, []
        line = {
            "turns": len(lengths),
            "longest ms": [round(each * 1000, 1) for each in lengths[-10:]],
            "turns over ms": {ms: sum(each > ms / 1000 for each in lengths) for ms in (5, 10, 20, 40, 80)},
            "computed in long turns, s": round(sum(each for each in lengths if each > _LONG), 2),
            "computed s": round(sum(lengths), 2),
            "collections": len(collections),
            "longest collection ms": round(max(collections, default=0.0) * 1000, 1),
            "all collections ms": round(sum(collections) * 1000),
            "long turns, ms by name": dict(self._named.most_common(_NAMED)),
            "all turns, % by task": _percent(self._all, lambda name: name.partition(" … ")[0]),
            "all turns, % by name": _percent(self._all, str),
            "longest by name": [f"{took:.1f} {name}" for took, name in self._longest],
        }
        self._named.clear()
        self._all.clear()
        self._longest = []
        sys.stderr.write(PREFIX + json.dumps(line) + "\n")
        sys.stderr.flush()


def _percent(looks: Counter[str], key: Callable[[str], str]) -> dict[str, float]:
    """``looks`` by the key of their names, the most frequent ones, in percent."""
    keyed, total = Counter[str](), looks.total() or 1
    for name, count in looks.items():
        keyed[key(name)] += count
    return {name: round(100 * count / total, 1) for name, count in keyed.most_common(2 * _NAMED)}


def _name(frame: FrameType | None) -> str:
    """What is being done: the outermost function of this project below the loop, and the innermost one."""
    names: list[str] = []
    while frame is not None and "runners.py" not in frame.f_code.co_filename:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(("engine.", "server.")):
            names.append(f"{module.rpartition('.')[2]}.{frame.f_code.co_qualname}")
        elif not names:
            names.append(f"{module}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    if not names or frame is None:
        return ""
    return names[-1] if len(names) == 1 else f"{names[-1]} … {names[0]}"


def main() -> None:
    """Run the command with the look."""
    turns, serving = Turns(), server._serve

    async def begin(*arguments: object) -> None:
        turns.begin()
        await serving(*arguments)  # type: ignore[arg-type]

    server._serve = begin  # type: ignore[assignment]
    runpy.run_module("server", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
