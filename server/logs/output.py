"""Where the lines of the log go: standard error, and while a server runs by a thread of its own.

Whatever reads standard error may stop reading: a pipe that is full, a terminal that was halted. A write then takes as long
as that lasts, and clients must not wait for it. So lines are queued, and a thread writes those of :data:`PAUSE` seconds at
once; beyond :data:`MAX_LINES` they are dropped and counted. Lines of the last ``PAUSE`` seconds are lost if the process is
killed.
"""

from __future__ import annotations

import contextvars
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

__all__ = ["MAX_LINES", "OUTPUT", "PAUSE", "Event", "Output"]

PAUSE: Final = 0.02  # seconds
MAX_LINES: Final = 20_000
"""Queued lines: some 10 MB, since an event takes about 500 bytes."""

_END: Final = 2.0  # seconds for what is queued at the end

_UNCHANGING: Final = frozenset((str, int, float, bool, type(None)))

_log = structlog.get_logger("realtime.logs")


class Event(NamedTuple):
    """What was logged: by structlog's logger, with which of its methods, and which fields; ``timestamp``: in seconds."""

    logger: WrappedLogger
    method: str
    fields: EventDict


class Output:
    """Writes lines to ``stream``; see the module. Any thread may call ``write``."""

    def __init__(self, stream: TextIO, render: Callable[[Event], str] = lambda event: str(event.fields)) -> None:
        self.stream = stream
        self.render = render
        self._lines: deque[str | Event] = deque()
        self._dropped = 0  # by those who write; the next two are the thread's
        self._unwritten = self._reported = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._queued, self._ending = threading.Event(), threading.Event()

    def write(self, line: str) -> None:
        """Write ``line``, which has no line break at its end. A stream that cannot be written to is no error here."""
        if self._thread is None:
            with self._lock, suppress(OSError, ValueError):  # ValueError: it was closed
                self.stream.write(f"{line}\n")
                self.stream.flush()
        else:
            self._queue(line)

    def write_event(self, event: Event) -> None:
        """Write what ``render`` makes of ``event``: at once, or where nothing in it can change, when the line is written."""
        fields = event.fields
        if self._thread is None or "exc_info" in fields or not _UNCHANGING.issuperset(map(type, fields.values())):
            self.write(self.render(event))
        else:
            self._queue(event)

    def _queue(self, line: str | Event) -> None:
        if len(self._lines) >= MAX_LINES and threading.current_thread() is not self._thread:
            self._dropped += 1
        else:
            self._lines.append(line)
            if not self._queued.is_set():
                self._queued.set()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Lines are written by a thread. At the end those that are queued are, for two seconds at most."""
        if self._thread is not None:
            yield
            return
        context = contextvars.copy_context()
        thread = self._thread = threading.Thread(
            target=context.run, args=(self._write_queued,), name="log", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self._ending.set()
            self._queued.set()
            thread.join(_END)
            if not thread.is_alive():
                rest = tuple(self._lines)  # of other threads, after it has ended
                self.forget_thread()
                for line in rest:
                    self.write(self._text(line))

    def forget_thread(self) -> None:
        """Write directly, as in the child of a fork, which has no other threads."""
        self._thread = None
        self._lock = threading.Lock()
        self._queued, self._ending = threading.Event(), threading.Event()
        self._lines.clear()

    def _write_queued(self) -> None:
        while not self._ending.is_set() or self._lines:
            self._queued.wait()
            self._ending.wait(PAUSE)
            self._queued.clear()
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            try:
                self._write_all("".join(f"{self._text(line)}\n" for line in lines))
            except (OSError, ValueError):
                self._unwritten += len(lines)
                continue
            lost = self._dropped + self._unwritten - self._reported
            if lost and not self._ending.is_set():
                self._reported += lost
                _log.warning("log_lines_dropped", lines=lost)

    def _text(self, line: str | Event) -> str:
        return line if isinstance(line, str) else self.render(line)

    def _write_all(self, text: str) -> None:
        """Without the stream's own lock, which a write that blocks would hold at the end of the process. Raises OSError."""
        try:
            target = self.stream.fileno()
        except OSError:  # a stream in memory
            self.stream.write(text)
            return
        rest = memoryview(text.encode(self.stream.encoding, "backslashreplace"))
        while rest:
            try:
                rest = rest[os.write(target, rest) :]
            except BlockingIOError:  # another process has made the same terminal or pipe non-blocking
                select.select([], [target], [])


OUTPUT: Final = Output(sys.stderr)
"""That of this process."""

os.register_at_fork(after_in_child=OUTPUT.forget_thread)
