"""Counts what happens on a node, by minute. No I/O: called by connections, by the stream, and by the writer.

A minute is one of the database's clock: ``clock`` is this machine's, corrected. Messages of channels count in the minute of
their commit, and every node counts all of them; all else is what this node alone sees. Memory is bounded: so many minutes,
counters of channels and hashes of users. Users that are connected are kept by their ids, as connections keep them anyway.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.channels.core.messages.decode import DecodedTransaction
from engine.identity.principal import Principal
from engine.lsn import Lsn
from server.analytics.minute import Minute
from server.analytics.users import Users
from server.auth.identity import HandshakeRequest

__all__ = ["MAX_MINUTES", "UNKNOWN_COUNTRY", "UsageCounter", "Visit"]

MAX_MINUTES: Final = 180
"""Minutes that are kept while they cannot be written. ``realtime.add_usage`` takes none that are older than twice that."""

UNKNOWN_COUNTRY: Final = "ZZ"

_EARLY: Final = 10_000  # transactions before the position is known from which on they are to be counted
_LISTED: Final = 1_000  # channels whose subscribers are noted
_MICROSECONDS: Final = 60_000_000
_PRIVATE: Final = "private:"


@dataclass(frozen=True, slots=True)
class Visit:
    """An open connection as it is counted. ``counted``: not for clients that opted out."""

    user_id: str | None
    counted: bool


class UsageCounter:
    """See the module.

    Args:
        clock: seconds since 1970, as the database has them.
        users: how users are counted.
        country_of: the country of a connection, ``UNKNOWN_COUNTRY``, or None where countries are not counted.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        users: Users,
        country_of: Callable[[HandshakeRequest], str | None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._country_of = country_of
        self.users = users
        self.position: Lsn | None = None
        """The last commit whose messages are counted; None: that is not known yet."""
        self.dropped = 0
        """Minutes that were given up, since there were more than ``MAX_MINUTES``."""
        self._minutes: dict[int, Minute] = {}
        self._open = 0
        self._received = self._sent = 0
        self._early: deque[tuple[Lsn, int, Counter[str]]] = deque(maxlen=_EARLY)

    # -- connections -----------------------------------------------------------------------------------------------

    def opened(self, principal: Principal, handshake: HandshakeRequest) -> Visit:
        """A client was authenticated and greeted. The result is for ``closed``."""
        minute = self._minute(int(self._clock() // 60))
        self._open += 1
        if minute.connections < self._open:
            minute.connections = self._open
        if handshake.opts_out or principal.claims.get("analytics") is False:
            return Visit(None, counted=False)
        minute.sessions += 1
        country = self._country_of(handshake)
        if country is not None:
            minute.countries[country] = minute.countries.get(country, 0) + 1
        if principal.user_id is not None:
            self.users.came(principal.user_id)
        return Visit(principal.user_id, counted=True)

    def closed(self, visit: Visit, seconds: float) -> None:
        """Its connection has ended after ``seconds``."""
        minute = self._now()
        self._open -= 1
        if not visit.counted:
            return
        minute.sessions_ended += 1
        minute.session_seconds += seconds
        if visit.user_id is not None:
            self.users.left(visit.user_id, minute)

    def _now(self) -> Minute:
        """The present minute. All connections that are open now are in it."""
        minute = self._minute(int(self._clock() // 60))
        minute.connections = max(minute.connections, self._open)
        return minute

    def _minute(self, number: int) -> Minute:
        found = self._minutes.get(number)
        if found is None:
            found = self._minutes[number] = Minute(number)
            if len(self._minutes) > MAX_MINUTES:
                del self._minutes[min(self._minutes)]
                self.dropped += 1
        return found

    # -- messages --------------------------------------------------------------------------------------------------

    def begin(self, position: Lsn | None) -> None:
        """Messages up to this commit are counted already, by an earlier process of this node; None: there is none."""
        self.position = position or 0
        while self._early:
            lsn, number, channels = self._early.popleft()
            self._count(lsn, number, channels)

    def messages(self, transaction: DecodedTransaction) -> None:
        """The stream brought messages, which are delivered now."""
        channels = Counter(_shown(row.channel) for row in transaction.messages)
        number = transaction.commit_time // _MICROSECONDS
        if self.position is None:
            self._early.append((transaction.lsn, number, channels))
        else:
            self._count(transaction.lsn, number, channels)

    def count_from(self, position: Lsn) -> None:
        """The server has another history, in which messages behind this commit are not counted yet."""
        if self.position is not None:
            self.position = min(self.position, position)

    def _count(self, lsn: Lsn, number: int, channels: Mapping[str, int]) -> None:
        assert self.position is not None
        if lsn > self.position:
            self.position = lsn
            published = self._minute(number).published
            for channel, count in channels.items():
                published.add(channel, count)

    # -- writing ---------------------------------------------------------------------------------------------------

    def sample(self, at: float, received: int, sent: int, subscribers: Iterable[tuple[str, int]]) -> None:
        """Note what is now as what was in the minute of ``at``: who is connected, and what was received and sent since the
        last time. ``received``, ``sent``: messages since the start; ``subscribers``: of each channel.
        """
        minute = self._minute(int(at // 60))
        minute.connections = max(minute.connections, self._open)
        minute.messages_in += received - self._received
        minute.messages_out += sent - self._sent
        self._received, self._sent = received, sent
        self.users.note(minute)
        now: Counter[str] = Counter()
        for channel, count in subscribers:
            now[_shown(channel)] += count
        for channel, count in now.most_common(_LISTED):
            minute.subscribers[channel] = max(minute.subscribers.get(channel, 0), count)

    def take(self, at: float, channels: int) -> list[dict[str, Any]]:
        """Remove the minutes up to that of ``at``, oldest first, as they are written; empty: nothing has happened.

        ``channels``: how many channels of each are listed.
        """
        numbers = sorted(number for number in self._minutes if number <= at // 60)
        taken = [self._minutes.pop(number) for number in numbers]
        for minute in taken:
            self.users.resolve(minute)
        return [row for minute in taken if (row := minute.row(channels)) is not None]

    def wait(self, at: float) -> None:
        """The minutes up to that of ``at`` cannot be written now."""
        for number, minute in self._minutes.items():
            if number <= at // 60:
                minute.past()


def _shown(channel: str) -> str:
    """The channel as it is listed: names of private ones can have ids of users."""
    return f"{_PRIVATE}*" if channel.startswith(_PRIVATE) else channel
