"""The supervisor: starts the workers and their relay, replaces those that end, and ends with all of them.

Theory of operation
-------------------

Each worker has a :class:`WorkerRecord`, and goes through these states::

    due → starting → ready → retiring → due, and over from any of them

due
    No process; one is forked when that has come.
starting
    The process begins to follow the database. It accepts connections only while no worker is ready: then the port answers,
    and no client comes to a worker that cannot serve it.
ready
    It serves. What ends unasked is replaced after a pause, which grows until a process has been ready for a while. One that
    shows no sign of life for a minute is killed, also while it starts.
retiring
    A rolling restart has come to it: it drains, and is replaced at once. One worker at a time, when all others are ready.
over
    The supervisor stops: all workers drain at the same time, and the relay ends after them.

Invariant: every process that it has started has ended when it returns. One whose supervisor has died stops by itself (see
:mod:`server.workers.worker`).

It has no threads and no event loop, so that a fork has nothing of the kind.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import structlog

from engine.errors import RealtimeError
from engine.postgres.retry import growing_pause
from server.workers.record import WorkerRecord, how_it_ended
from server.workers.signals import default_signals, followed_signals, has_terminal
from server.workers.silence import LOOK, SilenceWatch
from server.workers.worker import READY, RELAY, Order, Worker

__all__ = ["Supervisor", "WorkersFailedError"]

_MAX_FAILURES: Final = (
    6  # in a row, of one process while no worker serves: with the pauses between them 10 to 20 seconds
)
_MARGIN: Final = 60.0  # seconds that a process may take to end, beyond those for its clients

_log = structlog.get_logger("realtime.workers")


class WorkersFailedError(RealtimeError):
    """The workers cannot go on; ``exit_code``: with which the supervisor ends."""

    def __init__(self, text: str, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Supervisor:
    """See the module.

    Args:
        count: how many workers there are.
        run: runs a worker, in a process of its own, until it ends; returns its exit code.
        listener: makes the socket on which a worker accepts connections.
        directory: of the sockets by which workers reach each other.
        ready: called once, when the first worker is ready.
        reload: called before a rolling restart; raises ``RealtimeError`` if there is to be none.
        conclude: called after it, with whether all workers have been restarted; else ``run`` is to be as before ``reload``.
        drain_time: seconds that a worker gives its clients when it ends.
        pause: seconds before a process is started after one that ended, by how many have ended in a row.
    """

    def __init__(  # noqa: PLR0913 - a setting each
        self,
        count: int,
        run: Callable[[Worker], int],
        listener: Callable[[], socket.socket],
        directory: Path,
        *,
        ready: Callable[[], None] = lambda: None,
        reload: Callable[[], None] = lambda: None,
        conclude: Callable[[bool], None] = lambda restarted: None,
        drain_time: float = 0.0,
        pause: Callable[[int], float] = lambda failures: growing_pause(failures - 1, 0.5, 10.0),
    ) -> None:
        self._run, self._listener, self._directory = run, listener, directory
        self._ready, self._reload, self._conclude = ready, reload, conclude
        self._end_timeout = drain_time + _MARGIN
        self._pause = pause
        self._relay = WorkerRecord(RELAY)
        self._workers = [WorkerRecord(number) for number in range(1, count + 1)]
        self._records = [self._relay, *self._workers]
        self._silence = SilenceWatch()
        self._selector = selectors.DefaultSelector()
        self._to_restart: deque[WorkerRecord] = deque()
        self._restarting = False  # a rolling restart is under way
        self._restart_began = 0.0
        self._served = False  # a worker has been ready
        self._stops = 0  # how often it was asked to stop
        self._failure: WorkersFailedError | None = None
        self._terminal = has_terminal()

    def run(self) -> None:
        """Supervise until SIGINT or SIGTERM. Raises ``WorkersFailedError``."""
        gc.collect()
        gc.freeze()  # what is loaded stays in pages that the workers share
        with followed_signals() as self._own_sockets:
            self._selector.register(self._own_sockets[0], selectors.EVENT_READ)
            try:
                while any(record.runs or record.due is not None for record in self._records):
                    self._start_due()
                    self._kill_overdue()
                    self._wait()
                    self._kill_silent()
                    self._restart_next()
                    self._stop_relay()
            finally:
                self._kill_all()
                self._selector.close()
        if self._failure is not None:
            raise self._failure

    # -- signals -------------------------------------------------------------------------------------------------------

    def _signalled(self, number: int) -> None:
        if number in (signal.SIGINT, signal.SIGTERM):
            self._stop()
        elif number == signal.SIGHUP and self._terminal and not has_terminal():
            self._stop()  # the terminal was closed
        elif number == signal.SIGHUP and not self._stops:
            self._restart_all()

    # -- the life of a process -----------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        for record in self._records:
            if record.due is not None and record.due <= time.monotonic():
                self._start(record)

    def _start(self, record: WorkerRecord) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(Worker(record.number, len(self._workers), theirs, self._listener, self._directory))
        theirs.close()
        record.pid, record.control = pid, ours
        record.began, record.due = time.monotonic(), None
        self._selector.register(ours, selectors.EVENT_READ, record)
        if not any(each.ready for each in self._workers):
            record.ask(Order.OPEN)

    def _become(self, worker: Worker) -> NoReturn:
        """This is the forked process: run the worker with nothing of the supervisor's, and end."""
        code = 1
        try:
            default_signals()
            self._selector.close()
            for each in (
                *self._own_sockets,
                *(record.control for record in self._records if record.control is not None),
            ):
                each.close()
            structlog.contextvars.bind_contextvars(worker="relay" if worker.number == RELAY else worker.number)
            code = self._run(worker)
        except BaseException:
            _log.error("worker_crashed", exc_info=True)
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)  # nothing of what the supervisor has begun is ended here

    def _wait(self) -> None:
        """Until something happens, or is due."""
        moments = [moment for record in self._records for moment in (record.due, record.overdue) if moment is not None]
        looks = [LOOK] if any(record.runs for record in self._records) else []
        timeout = min([*looks, *(max(0.0, moment - time.monotonic()) for moment in moments)], default=None)
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, WorkerRecord):
                self._read(key.data)
            else:
                for number in self._own_sockets[0].recv(4096):
                    self._signalled(number)
        for record in self._records:
            if record.runs:
                self._reap(record)

    def _read(self, record: WorkerRecord) -> None:
        assert record.control is not None
        try:
            written = record.control.recv(64)
        except (BlockingIOError, ConnectionError):
            written = b""
        record.silent = 0.0
        if not written:
            self._selector.unregister(record.control)  # it ends
        elif READY in written:
            record.ready = True
            if record is self._relay:
                _log.info("relay_ready", pid=record.pid)
            else:
                _log.info("worker_ready", number=record.number, pid=record.pid)
                self._one_is_ready()

    def _one_is_ready(self) -> None:
        for other in self._workers:
            if not other.ready:
                other.ask(Order.SHUT)
        if not self._served:
            self._served = True
            self._ready()

    def _reap(self, record: WorkerRecord) -> None:
        pid, status = os.waitpid(record.pid, os.WNOHANG)
        if pid == 0:
            return
        code = os.waitstatus_to_exitcode(status)
        while record.control is not None and record.control in self._selector.get_map():
            self._read(record)  # what it sent before it ended, to the end of it
        lasted, retiring = record.lasted, record.retiring
        if self._is_successor(record) and not self._stops and not (record.ready or retiring):
            self._give_up_restart(record, code)
        record.vacate()
        if self._stops:
            if code != 0:
                self._fail(f"{record.name} did not end in order ({how_it_ended(code)})", max(code, 1))
            return
        if not any(each.ready for each in self._workers):
            for each in self._workers:
                each.ask(Order.OPEN)
        if retiring:
            record.due, record.failures, record.unserved = time.monotonic(), 0, 0
        elif not self._served and code != 0:
            self._fail(f"{record.name} could not start ({how_it_ended(code)}); the reason is above", max(code, 1))
        else:
            self._replace(record, code, lasted=lasted, pid=pid)

    def _replace(self, record: WorkerRecord, code: int, *, lasted: bool, pid: int) -> None:
        """A process has ended unasked. ``lasted``: it had worked."""
        others = [] if record is self._relay else [other for other in self._workers if other.ready]
        if lasted:
            record.failures = record.unserved = 0
        record.failures += 1
        record.unserved = 0 if any(other.reliable for other in others) else record.unserved + 1
        ended = how_it_ended(code)
        if record.unserved >= _MAX_FAILURES and not others:
            self._fail(
                f"{record.name} has ended {record.failures} times in a row, the last time with {ended}: see the log"
            )
            return
        pause = self._pause(record.failures)
        _log.warning("worker_ended", number=record.number, pid=pid, how=ended, seconds=round(pause, 1))
        record.due = time.monotonic() + pause

    # -- restarts, and the end -----------------------------------------------------------------------------------------

    def _restart_all(self) -> None:
        try:
            self._reload()
        except RealtimeError as wrong:
            _log.error("restart_refused", reason=str(wrong))
            return
        _log.info("restarting_workers", workers=len(self._workers))
        self._to_restart, self._restarting = deque(self._workers), True
        self._restart_began = time.monotonic()

    def _restart_next(self) -> None:
        if self._to_restart and all(record.ready for record in self._records):
            record = self._to_restart.popleft()
            record.retiring, record.ready = True, False
            self._end(record, Order.RETIRE)
        elif self._restarting and all(record.ready for record in self._records):
            self._restarting = False
            self._conclude(True)
            _log.info("workers_restarted", workers=len(self._workers))

    def _is_successor(self, record: WorkerRecord) -> bool:
        """Whether its process was started by the rolling restart that is under way, or during it."""
        return self._restarting and record is not self._relay and record.began >= self._restart_began

    def _give_up_restart(self, record: WorkerRecord, code: int) -> None:
        """A successor has ended before it was ready: those that wait for their restart go on, and it is tried as before."""
        self._to_restart.clear()
        self._restarting = False
        self._conclude(False)
        _log.error("restart_given_up", number=record.number, pid=record.pid, how=how_it_ended(code))

    def _stop(self) -> None:
        self._stops += 1
        self._to_restart.clear()
        for record in self._records:
            record.due = None
        for record in self._workers:
            if record.runs:
                self._end(record, Order.STOP if self._stops == 1 else Order.FORCE)

    def _stop_relay(self) -> None:
        """After the workers: while they drain they still bring their clients what is committed."""
        relay = self._relay
        if self._stops and relay.runs and relay.overdue is None and not any(record.runs for record in self._workers):
            self._end(relay, Order.STOP)

    def _end(self, record: WorkerRecord, order: Order) -> None:
        record.ask(order)
        if record.overdue is None:
            record.overdue = time.monotonic() + self._end_timeout

    def _fail(self, text: str, code: int = 1) -> None:
        if self._failure is None:
            self._failure = WorkersFailedError(text, code)
        if not self._stops:
            self._stop()

    def _kill_overdue(self) -> None:
        for record in self._records:
            if record.runs and record.overdue is not None and record.overdue <= time.monotonic():
                _log.error("worker_killed", number=record.number, pid=record.pid, seconds=self._end_timeout)
                os.kill(record.pid, signal.SIGKILL)
                record.overdue = None

    def _kill_silent(self) -> None:
        for record in self._silence.look(self._records):
            _log.error("worker_silent", number=record.number, pid=record.pid, seconds=round(record.silent))
            os.kill(record.pid, signal.SIGKILL)
            record.silent = 0.0

    def _kill_all(self) -> None:
        """Leave no process behind, whatever has happened."""
        for record in self._records:
            if record.runs:
                os.kill(record.pid, signal.SIGKILL)
                os.waitpid(record.pid, 0)
                record.vacate()
