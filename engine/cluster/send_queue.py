"""What a leading relay has to publish and NATS has not acknowledged, in order. No I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from engine.cluster.messages import Sent, pack
from engine.cluster.topics import COMMON, TopicIndex
from engine.lsn import Lsn

__all__ = ["Queued", "SendQueue"]


@dataclass(slots=True, eq=False)
class Queued:
    """A message that NATS has not acknowledged.

    Attributes:
        subject: of NATS.
        data: the packed :class:`Sent`.
        before: the position that the stream has before its event.
        reached: the position up to which the stream has everything with it.
        topic: of its event.
        ends: its event is complete with it.
        pulse: it is a sign of life, and not within an event.
        sequence: under which it was sent; 0: it was not.
    """

    subject: str
    data: bytes
    before: Lsn
    reached: Lsn
    topic: int
    ends: bool
    pulse: bool
    sequence: int = 0


class SendQueue:
    """Messages in order; the ones that were sent are in front.

    Attributes:
        size: bytes of all messages.
        acknowledged: messages that have left it; ``acknowledged_bytes``: of their contents.
        begun: set once NATS has a message of this queue. No relay before this one publishes then, so what it has seen of
            the stream when it began is all that they did.
        stored: the topics since the last sign of life that NATS has.
    """

    def __init__(self) -> None:
        self.size = 0
        self.acknowledged = self.acknowledged_bytes = 0
        self.begun = asyncio.Event()
        self.stored = TopicIndex()
        self._all: deque[Queued] = deque()
        self._unsent: deque[Queued] = deque()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def unsent(self) -> bool:
        """Whether a message was not sent yet."""
        return bool(self._unsent)

    @property
    def last_subject(self) -> str | None:
        """The subject of the last message; None if there is none."""
        return self._all[-1].subject if self._all else None

    @property
    def before(self) -> Lsn | None:
        """The position that the stream has before the first message; None if there is none."""
        return self._all[0].before if self._all else None

    def add(self, subject: str, sent: Sent, topic: int = COMMON) -> None:
        """A message more, behind all others."""
        queued = _queued(subject, sent, topic)
        self._all.append(queued)
        self._unsent.append(queued)
        self.size += len(queued.data)

    def put_first(self, subject: str, sent: Sent) -> None:
        """A message more, before all others, of which none may count as sent (:meth:`resend`)."""
        queued = _queued(subject, sent)
        self._all.appendleft(queued)
        self._unsent.appendleft(queued)
        self.size += len(queued.data)

    def next(self, sequence: int) -> Queued:
        """The next message to send, under this sequence number."""
        queued = self._unsent.popleft()
        queued.sequence = sequence
        return queued

    def store(self, sequence: int) -> Lsn:
        """NATS has everything up to this number. Returns the position that is reached with what has left; 0: none."""
        reached = 0
        while self._all and 0 < self._all[0].sequence <= sequence:
            stored = self._all.popleft()
            self.size -= len(stored.data)
            self.acknowledged += 1
            self.begun.set()
            self.acknowledged_bytes += len(stored.data)
            reached = max(reached, stored.reached)
            if stored.pulse:
                self.stored.begin(stored.reached)
            elif stored.ends:
                self.stored.note(stored.topic, stored.reached)
        return reached

    def resend(self) -> None:
        """Nothing counts as sent any more."""
        for each in self._all:
            each.sequence = 0
        self._unsent = deque(self._all)

    def clear(self) -> None:
        """Remove all."""
        self._all.clear()
        self._unsent.clear()
        self.size = 0


def _queued(subject: str, sent: Sent, topic: int = COMMON) -> Queued:
    ends = sent.last and not sent.more
    return Queued(subject, pack(sent), sent.previous, sent.reached, topic, ends, ends and sent.index is not None)
