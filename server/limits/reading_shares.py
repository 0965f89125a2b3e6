"""How much of the server's processor reading the messages of one address may take.

A message costs what its client chose: 128 KiB of nested JSON take a thousand times as long as a small one. Counting messages
and bytes does not bound that, so the time is measured. An address that has used its share is not read from until it has
gained time again; what it sends waits with it, and the others' messages are read meanwhile. Nothing is refused. Its
connections are then read one after the other: all at once would take as many turns as there are.

What is refused (no message of the protocol, too large, beyond the rate, sent after the close) has its own share, a tenth
of that by default, as well-behaved clients send next to nothing of the kind. When it is used up, the connections that go on
sending such things wait in the same way, and not those of others behind the same address.

What several addresses send within their shares would add up, and to what else is done for them. So an address for which much
was done lately is read in turn with all other work of busy users, within the share of these (:mod:`engine.work_turns`). Its
new connections wait for such a turn, too: a hundred of them at once take as long as many queries.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakValueDictionary

from engine.identity.networks import network_of
from engine.time_budget import TimeBudget
from engine.work_turns import WorkTurns, work_budget

__all__ = ["REFUSED_SHARE", "Arrivals", "Reader", "ReadingShare", "ReadingShares", "Wait"]

REFUSED_SHARE: Final = 0.01
"""Of the processor, for reading what is refused."""

_BURST: Final = 1.0  # seconds' worth of the rate that may be used at once: a longer one would delay the others as long
_LEAST: Final = 0.02  # seconds: waits that are shorter cost more than they save
_ARRIVAL: Final = 0.001  # seconds of the processor that a new connection is expected to take
_BETWEEN: Final = 0.002  # seconds in which a connection is read before the next one may be


class Reader(Protocol):
    """A connection of the address."""

    def read_on(self) -> None:
        """It may be read again."""


class Wait(Protocol):
    """What a connection waits for until it is read again."""

    @property
    def limited(self) -> bool:
        """Whether its address has used all that it may."""

    def wait(self, reader: Reader) -> None:
        """Call ``reader.read_on()`` when it may be read again."""


class Arrivals(Protocol):
    """New connections of a busy address, which wait until they are accepted, one after the other."""

    def enter(self, arrival: Reader) -> None:
        """Call ``arrival.read_on()`` when it is its turn, also if it has left meanwhile and was the only one."""

    def leave(self, arrival: Reader) -> None:
        """It waits no more. May be called again."""


class _BusyAddress:
    """A user for whom work is done: an address of which is read. ``work``: beyond it the address is a busy one; what queries
    take of its clients who are no proven users counts there, too.
    """

    __slots__ = ("_arrivals", "_seconds", "_turns", "work")

    limited = False

    def __init__(self, turns: WorkTurns, work: TimeBudget) -> None:
        self.work = work
        self._turns = turns
        self._seconds = 0.0
        self._arrivals: dict[Reader, None] = {}  # in their order; one of them is in the line of turns

    @property
    def arrivals(self) -> Arrivals | None:
        """Where a new connection waits; None: the address is no busy one."""
        return self if self._arrivals or self.work.left < 0 else None

    def enter(self, arrival: Reader) -> None:
        """See :class:`Arrivals`."""
        self._arrivals[arrival] = None
        if len(self._arrivals) == 1:
            self._turns.begin_in_turn(self, _ARRIVAL, self._next)

    def leave(self, arrival: Reader) -> None:
        """See :class:`Arrivals`."""
        if arrival in self._arrivals and len(self._arrivals) > 1:
            del self._arrivals[arrival]

    def _next(self) -> None:
        arrival = next(iter(self._arrivals))
        del self._arrivals[arrival]
        if self._arrivals:
            self._turns.begin_in_turn(self, _ARRIVAL, self._next)
        arrival.read_on()

    def read(self, seconds: float) -> bool:
        """Reading, and what follows from it, takes ``seconds``. Returns whether it is a busy address now."""
        if self.work.charge(seconds) >= 0:
            return False
        self._seconds = seconds
        return self._turns.worked(seconds)

    def wait(self, reader: Reader) -> None:
        """Call ``reader.read_on()`` when it is the turn of this address."""
        self._turns.begin_in_turn(self, self._seconds, reader.read_on)


class ReadingShare:
    """Processor time of one address, in seconds: ``rate`` of it per second; of that ``refused`` for what is refused.

    ``turns``: those of busy users; None: it has no turns with them. ``work``: the budget of the address.
    """

    __slots__ = ("_at", "_busy", "_clock", "_left", "_rate", "_timer", "_waiting", "refused")

    limited = True

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float],
        refused: float | None = None,
        turns: WorkTurns | None = None,
        work: TimeBudget | None = None,
    ) -> None:
        self.refused = None if refused is None else ReadingShare(refused, clock)
        self._busy = None if turns is None else _BusyAddress(turns, work or work_budget(clock))
        self._rate = rate
        self._clock = clock
        self._left = _BURST * rate
        self._at = clock()
        self._waiting: dict[Reader, None] = {}  # in their order
        self._timer: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether nothing of it has been used lately."""
        self.charge(0.0)
        full = self._left >= _BURST * self._rate and (self._busy is None or self._busy.work.full)
        return full and (self.refused is None or self.refused.full)

    @property
    def arrivals(self) -> Arrivals | None:
        """Where new connections wait; None: they need not."""
        return None if self._busy is None else self._busy.arrivals

    def charge(self, seconds: float) -> float:
        """Reading has taken ``seconds`` (0: look only). Returns for how many seconds nothing more is to be read."""
        now = self._clock()
        self._left = min(_BURST * self._rate, self._left + (now - self._at) * self._rate) - seconds
        self._at = now
        return 0.0 if self._left >= 0 else max(_LEAST, -self._left / self._rate)

    def wait(self, reader: Reader) -> None:
        """Call ``reader.read_on()`` when there is time for it, after those that have been waiting."""
        self._waiting[reader] = None
        if self._timer is None:
            self._later(self.charge(0.0))

    def leave(self, reader: Reader) -> None:
        """It does not wait any more."""
        self._waiting.pop(reader, None)
        if self.refused is not None:
            self.refused.leave(reader)

    def exhausted(self, seconds: float, refused: float, later: float = 0.0) -> Wait | None:
        """Reading has taken ``seconds``, the part ``refused`` of them (0 to 1) for what is refused. Returns the share that
        has nothing left, or the turn of a busy address, to wait for; None: there is time.

        ``later``: what is still to be done for what was read takes the processor as many seconds more.
        """
        busy = self._busy is not None and self._busy.read(seconds + later)
        without: Wait | None = self if self.charge(seconds) else self._busy if busy else None
        if refused and self.refused is not None and self.refused.charge(seconds * refused):
            without = self.refused
        return without

    def _later(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._next)

    def _next(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        if wait := self.charge(0.0):
            self._later(wait)
            return
        reader = next(iter(self._waiting))
        del self._waiting[reader]
        if self._waiting:
            self._later(_BETWEEN)
        reader.read_on()


class ReadingShares:
    """Shares by network (:func:`engine.identity.networks.network_of`); the server's own machine has none.

    One that has not been asked for and not been used for a while is full, so it is dropped.
    """

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        refused: float = REFUSED_SHARE,
        turns: WorkTurns | None = None,
    ) -> None:
        self._turns = turns
        self._rate = rate
        self._refused = refused
        self._clock = clock
        self._shares: OrderedDict[str, tuple[ReadingShare, float]] = OrderedDict()
        self._works: WeakValueDictionary[str, TimeBudget] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._shares)

    def of(self, ip: str | None) -> ReadingShare | None:
        """The share of a new connection."""
        network = network_of(ip)
        if network is None:
            return None
        now = self._clock()
        self._forget(now)
        share, _ = self._shares.pop(network, (None, 0.0))
        if share is None:
            share = ReadingShare(self._rate, self._clock, self._refused, self._turns, self._work_of(network))
        self._shares[network] = share, now
        return share

    def arrivals(self, ip: str | None) -> Arrivals | None:
        """Where new connections of this address wait until they are accepted; None: they need not."""
        network = network_of(ip)
        share, _ = (None, 0.0) if network is None else self._shares.get(network, (None, 0.0))
        return None if share is None else share.arrivals

    def work(self, ip: str | None) -> TimeBudget | None:
        """The budget of all that is done for the clients of this address: reading, and what is counted as theirs."""
        network = network_of(ip)
        return None if network is None else self._work_of(network)

    def _work_of(self, network: str) -> TimeBudget:
        work = self._works.get(network)
        if work is None:
            work = self._works[network] = work_budget(self._clock)
        return work

    def _forget(self, now: float) -> None:
        while self._shares:
            network, (share, asked) = next(iter(self._shares.items()))
            if asked + _BURST > now:
                return
            if share.full:
                del self._shares[network]
            else:
                self._shares[network] = share, now
                self._shares.move_to_end(network)
