"""A node's session with the topics that it needs: common events, and those of the tables and channels that it looks at.

Theory of operation
-------------------
Topics come and go with live queries and with subscriptions to channels (:mod:`engine.feed.table_interest`); what is written
here of tables holds for the topics of channels, too. NATS has no moment at which the subjects of a consumer change, so a new
consumer is made in the place of the former one, at a message that is known:

* A table more: the transactions that a snapshot might not show are those behind the slot's position, which signs of life
  have (the relay confirms nothing that not every snapshot shows). They are read by a consumer of their own, from a sign of
  life at or before that position up to the last one that was seen, whose index proves that all are there. The new main
  consumer begins behind that one. What it brings of the new tables up to the message ``until`` that the former consumer had
  reached is late, too; what it brings of others was taken already. With ``until``, which both bring, they are followed.
* A table that nothing looks at is dropped ``cool_down`` seconds later: the new consumer begins behind the last message.

So consumers end at messages that NATS has shown, never at what it reports about itself: a server of a cluster of NATS may be
behind the others. Beyond ``_MAX_TABLES`` tables and ``_MAX_CHANNELS`` topics of channels all of them are asked for, and the
node passes over those that it does not need.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Set
from contextlib import AsyncExitStack
from typing import Final

from engine.cluster.consumer import Consumer, Message
from engine.cluster.messages import Assembler, Sent
from engine.cluster.nats_stream import NatsStream
from engine.cluster.place import StreamPlace, find
from engine.cluster.settings import ClusterSettings
from engine.cluster.topics import COMMON, PulseHistory, StreamBrokenError, TopicChains, TopicHoleError
from engine.feed.decoders.base import UndecodableError
from engine.feed.decoders.frames import FramesError
from engine.feed.table_interest import CHANNEL_TOPICS, TableInterest
from engine.lsn import Lsn
from engine.relay.codec import PartDecoder
from engine.relay.messages import Part, RelayProtocolError
from engine.transaction import Transaction

__all__ = ["Selection"]

_MAX_TABLES: Final = 200
"""Tables that a consumer names. NATS compares each message with each name."""

_MAX_CHANNELS: Final = 96
"""Topics of channels that a consumer names, of 128."""

_CHANNELS: Final = frozenset(CHANNEL_TOPICS)


class Selection:
    """See the module.

    Args:
        place: where the session begins.
        chains: what the node has of each topic, from session to session.
        needed: a position such that every snapshot from now on shows what committed before it, or the node has no right to
            that: it began there.
        late: takes the late transactions of the tables that are added.
        followed: called with the number under which the tables that were added are followed from here on.
        decoder: of late transactions.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        stream: NatsStream,
        settings: ClusterSettings,
        interest: TableInterest,
        generation: int,
        place: StreamPlace,
        chains: TopicChains,
        needed: Callable[[], Lsn],
        late: Callable[[Transaction], None],
        followed: Callable[[int], None],
        decoder: PartDecoder,
    ) -> None:
        self._stream = stream
        self._settings = settings
        self._interest = interest
        self._generation = generation
        self._chains = chains
        self._needed = needed
        self._late = late
        self._followed = followed
        self._decoder = decoder
        self._assembler = Assembler()
        self._sequence = place.sequence - 1  # of the last message that was looked at
        self._history = PulseHistory(max(place.chain, chains.proven), self._sequence)
        self._whole = True  # the last message has ended an event
        self._adding: frozenset[int] = frozenset()
        self._until = 0
        self._idle: dict[int, float] = {}  # since when nothing looks at a table

    async def messages(self, silence: float) -> AsyncGenerator[Message]:
        """The messages that the node has to take, in order, without end.

        Raises ``NatsFailedError`` and ``StreamBrokenError``.
        """
        async with AsyncExitStack() as stack:
            consumer = await self._open(stack, self._sequence + 1)
            while True:
                message = await consumer.next(silence)
                if message is not None and message.sent is not None and self._sees(message, message.sent):
                    yield message
                if not self._whole or self._adding:
                    continue
                if adding := self._interest.lacking:
                    await self._add(frozenset(adding), silence)
                    await stack.aclose()
                    consumer = await self._open(stack, self._history.last + 1)
                    self._end_adding()
                elif message is not None and message.pulse and (dropped := self._cold()):
                    self._interest.drop(dropped)
                    await stack.aclose()
                    consumer = await self._open(stack, self._sequence + 1)

    def _wake(self, consumer: Consumer | None) -> None:
        self._interest.wake = (lambda: None) if consumer is None else consumer.wake

    async def _open(self, stack: AsyncExitStack, sequence: int) -> Consumer:
        subjects = self._subjects(self._interest.taken | self._adding)
        consumer = await stack.enter_async_context(
            self._stream.consumer(sequence, [self._settings.events, self._settings.pulses, *subjects])
        )
        stack.callback(self._wake, None)
        self._wake(consumer)
        if self._interest.lacking - self._adding:
            consumer.wake()  # they came while there was no consumer
        return consumer

    def _subjects(self, relations: Set[int]) -> list[str]:
        channels = relations & _CHANNELS
        tables = relations - channels
        return [
            *([self._settings.tables] if len(tables) > _MAX_TABLES else map(self._settings.subject, tables)),
            *([self._settings.channels] if len(channels) > _MAX_CHANNELS else map(self._settings.subject, channels)),
        ]

    def _takes(self, topic: int) -> bool:
        return topic == COMMON or topic in self._interest.taken or topic in self._adding

    def _sees(self, message: Message, sent: Sent) -> bool:
        """The next message; returns whether the node has to take it as what follows. Raises ``StreamBrokenError``."""
        if sent.generation != self._generation:
            raise StreamBrokenError("the stream was begun anew")
        sequence = message.sequence
        if message.pulse and not sent.last:  # within an event, where nothing can begin
            takes = self._chains.check(sent, self._takes)
            self._end_adding(sequence)
            return takes
        self._sequence, self._whole = max(self._sequence, sequence), sent.last
        if message.pulse:
            takes = self._chains.check(sent, self._takes)
            if takes:
                self._history.add(sent.position, sequence, self._needed())
        else:
            topic, again = self._settings.topic(message.subject), sequence <= self._until
            takes = topic in self._adding if again else self._takes(topic)
            takes = takes and self._chains.takes(topic, sent, self._takes, late=again)
            if takes and again:
                self._take_late(sent, topic)
                takes = False
        self._end_adding(sequence)
        return takes

    def _end_adding(self, sequence: int = 0) -> None:
        """The main consumer was made behind the last sign of life, or has brought the message ``sequence``."""
        if self._adding and max(sequence, self._history.last) >= self._until:
            added, self._adding = self._adding, frozenset()
            self._followed(self._interest.take(added))

    def _take_late(self, sent: Sent, topic: int) -> None:
        try:
            message = self._assembler.feed(sent)
            if message is None:
                return
            if not isinstance(message, Part):
                raise RelayProtocolError(f"NATS brought a {type(message).__name__} about a table")
            transaction = self._decoder.feed(message.frames)
        except (FramesError, UndecodableError, RelayProtocolError) as error:
            raise TopicHoleError(str(error), sent.position) from error  # it would come again
        if transaction is not None:
            table = self._interest.messages if topic in _CHANNELS else self._interest.tables[topic]
            transaction.late, transaction.tables = True, frozenset({table})
            self._late(transaction)

    async def _add(self, adding: frozenset[int], silence: float) -> None:
        """Read the late transactions up to the last sign of life that was seen."""
        self._adding, self._until = adding, self._sequence
        last = self._history.last
        needed = self._needed()
        start = self._history.before(needed)
        if start is None:
            place = await find(self._stream, needed, self._generation, by_index=True)
            if place is None:
                raise TopicHoleError("the stream in NATS does not have any more what a snapshot may lack")
            start = needed, place.sequence - 1
        position, sequence = start
        if sequence >= last:
            return
        chains, subjects = TopicChains(position), [self._settings.pulses, *self._subjects(adding)]
        async with self._stream.consumer(sequence + 1, subjects) as consumer:
            while sequence < last:
                message = await consumer.next(silence)
                if message is None or message.sent is None:
                    continue
                sequence, sent = message.sequence, message.sent
                if sequence > last or sent.generation != self._generation:
                    raise StreamBrokenError("the stream was changed while it was read")
                if message.pulse:
                    chains.check(sent, adding.__contains__)
                    continue
                topic = self._settings.topic(message.subject)
                if topic in adding and chains.takes(topic, sent, adding.__contains__):
                    self._take_late(sent, topic)

    def _cold(self) -> set[int]:
        """The tables that nothing has looked at for some time."""
        now = time.monotonic()
        idle = self._interest.taken - self._interest.held
        self._idle = {each: self._idle.get(each, now) for each in idle}
        return {each for each, since in self._idle.items() if now - since >= self._settings.cool_down}
