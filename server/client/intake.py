"""The bytes of pending requests; above a bound, reading from clients is paused.

A pending request (it waits to be planned, or for the database) takes several times the memory of its text. So the text of
pending requests is bounded for each connection, and for all together. Beyond the latter bound reading is paused for each
connection that has a pending request, so a connection without one is never paused back by others.
"""

from __future__ import annotations

from typing import Final

from server.client.transport import Transport

__all__ = ["Intake", "SharedIntake"]

_MAX_PUBLISHING: Final = 256
_MAX_PENDING: Final = 512 * 1024  # bytes of one connection's requests; one more message may have been read already
_MAX_TOGETHER: Final = 16 << 20  # of all connections' requests


class SharedIntake:
    """The bytes of all connections' requests that are not done. ``most``: beyond them connections are paused."""

    __slots__ = ("_most", "_paused", "_pending", "full")

    def __init__(self, most: int = _MAX_TOGETHER) -> None:
        self._most = most
        self._pending = 0
        self._paused: dict[Intake, None] = {}
        self.full = False
        """Whether too much waits."""

    def count(self, size: int) -> None:
        """Add ``size`` bytes to the pending ones (negative: done). Below the bound reading is resumed."""
        was_full = self.full
        self._pending += size
        self.full = self._pending >= self._most
        if was_full and not self.full:
            for intake in list(self._paused):
                intake.look()

    def note(self, intake: Intake, paused: bool) -> None:
        """``intake`` is paused, or not any more."""
        if paused:
            self._paused[intake] = None
        else:
            self._paused.pop(intake, None)


class Intake:
    """One connection's requests that are not done. Each ``begun`` is followed by one ``done`` with the same arguments."""

    __slots__ = ("_paused", "_pending", "_publishing", "_shared", "_transport")

    def __init__(self, transport: Transport, shared: SharedIntake) -> None:
        self._transport = transport
        self._shared = shared
        self._pending = 0
        self._publishing = 0
        self._paused = False

    def begun(self, size: int, messages: int = 0) -> None:
        """A request of so many bytes waits to be done; ``messages`` are published by it."""
        self._pending += size
        self._publishing += messages
        self._shared.count(size)
        self.look()

    def done(self, size: int, messages: int = 0) -> None:
        """It is done, or given up."""
        self._pending -= size
        self._publishing -= messages
        self._shared.count(-size)
        self.look()

    def look(self) -> None:
        """Pause reading at its bounds, go on below half of them: to stop and go on reading costs system calls."""
        part = 2 if self._paused else 1
        paused = (
            self._publishing >= _MAX_PUBLISHING // part
            or self._pending >= _MAX_PENDING // part
            or (self._pending > 0 and self._shared.full)
        )
        if paused != self._paused:
            self._paused = paused
            self._shared.note(self, paused)
            self._transport.pause_reading(paused)
