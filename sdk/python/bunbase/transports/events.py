"""The format of ``text/event-stream``: bytes in, events out."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EventParser", "ServerSentEvent"]


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One block of the stream that has data. ``event`` is ``message`` if the block names none."""

    event: str
    data: str


class EventParser:
    """Takes the stream in pieces of any size. Comments, ids and ``retry`` are skipped: positions are in the messages."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The events that are complete now. Raises ``UnicodeDecodeError``, a ``ValueError``."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        return [event for line in lines if (event := self._line(line.removesuffix(b"\r").decode()))]

    def _line(self, line: str) -> ServerSentEvent | None:
        if not line:
            event = ServerSentEvent(self._event or "message", "\n".join(self._data)) if self._data else None
            self._event, self._data = "", []
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        return None
