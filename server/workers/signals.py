"""The supervisor's signals: they arrive at a socket, by their numbers, and not in the middle of its work."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["default_signals", "followed_signals", "has_terminal"]


@contextmanager
def followed_signals() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Signals, a byte each, arrive at the first socket; the second one is where they come from."""
    ours, wake = socket.socketpair()
    for each in (ours, wake):
        each.setblocking(False)
    followed = [signal.SIGCHLD, signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup(1) has it ignored, and that stays
        followed.append(signal.SIGHUP)
    former = {number: signal.signal(number, lambda *_: None) for number in followed}
    former_wakeup = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    try:
        yield ours, wake
    finally:
        signal.set_wakeup_fd(former_wakeup)
        for number, handler in former.items():
            signal.signal(number, handler)
        ours.close()
        wake.close()


def default_signals() -> None:
    """This is a process that was forked: its signals are its own, and those of a terminal the supervisor's alone."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all processes
        signal.signal(number, signal.SIG_IGN)


def has_terminal() -> bool:
    """Whether there is a controlling terminal: opening it fails once it has been closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
