"""The processor time that reading one address may take, and floods of new connections."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import pytest

from engine.work_share import WorkShare
from engine.work_turns import WorkTurns
from server.limits.connection_limiter import ArrivalLimits, ConnectionLimiter
from server.limits.connection_limits import SessionLimits
from server.limits.reading_shares import ReadingShare, ReadingShares
from server.session.message_reader import MessageReader


def test_a_share_gains_its_part_of_each_second_and_keeps_no_more_than_one_seconds() -> None:
    now = 100.0
    share = ReadingShare(0.1, lambda: now)
    assert share.charge(0.1) == 0
    assert share.charge(0.05) == pytest.approx(0.5)  # at a tenth of a second per second
    now += 0.5
    assert share.charge(0.0) == 0
    now += 1000.0
    assert share.charge(0.2) == pytest.approx(1.0)


class _Waiting:
    """A connection that uses ``seconds`` each time it is read, and wants to be read again and again."""

    def __init__(self, name: str, share: ReadingShare, seconds: float, read: list[str]) -> None:
        self._name, self._share, self._seconds, self._read = name, share, seconds, read

    def read_on(self) -> None:
        self._read.append(self._name)
        self._share.charge(self._seconds)
        self._share.wait(self)


class _Timers:
    """Timers that a test lets run, one at a time; there is one at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self._due: list[tuple[float, Callable[[], None]]] = []
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self)

    def call_later(self, seconds: float, call: Callable[[], None]) -> object:
        assert not self._due, "one timer for all that wait"
        self._due.append((self.now + seconds, call))
        return self

    def run(self) -> float:
        """Run the next one; the seconds until then."""
        at, call = self._due.pop()
        passed, self.now = at - self.now, at
        call()
        return passed


def test_the_connections_of_an_address_are_read_one_after_the_other_each_within_the_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers, read = _Timers(monkeypatch), list[str]()
    share = ReadingShare(0.1, lambda: timers.now)
    share.charge(0.2)
    for name in "abc":
        share.wait(_Waiting(name, share, 0.05, read))
    assert read == []
    waits = [timers.run() for _ in range(4)]
    assert read == ["a", "b"], "each is read once between two waits, although all waited equally long"
    assert waits == pytest.approx([1.0, 0.002, 0.498, 0.002], abs=0.001)
    for _ in range(8):
        timers.run()
    assert read == ["a", "b", "c", "a", "b", "c"]


def test_a_connection_that_has_gone_is_not_read_and_does_not_take_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    timers, read = _Timers(monkeypatch), list[str]()
    share = ReadingShare(0.1, lambda: timers.now)
    share.charge(0.2)
    first, second = (_Waiting(name, share, 0.05, read) for name in "ab")
    share.wait(first)
    share.wait(second)
    share.leave(first)
    timers.run()
    assert read == ["b"]


def test_connections_of_an_address_have_one_share_and_come_back_to_it_until_it_is_full_again() -> None:
    now = 100.0
    shares = ReadingShares(0.1, lambda: now)
    share = shares.of("203.0.113.7")
    assert share is not None
    share.charge(1.1)
    now += 5.0
    assert shares.of("203.0.113.8") is not share
    assert shares.of("203.0.113.7") is share
    assert shares.of("127.0.0.1") is None
    now += 10.0
    for number in range(100):
        shares.of(f"198.51.100.{number}")
    assert shares.of("203.0.113.7") is not share
    assert len(shares) == 101


def test_an_address_that_goes_on_although_it_is_refused_is_a_flood_until_its_quota_is_whole_again() -> None:
    now = 100.0
    limiter = ConnectionLimiter(ArrivalLimits(per_minute=10), lambda: now)
    assert not limiter.floods("203.0.113.7")
    for _ in range(20):
        limiter.arrive("203.0.113.7")
    assert not limiter.floods("203.0.113.7"), "ten were let in, and ten refused with the reason"
    limiter.arrive("203.0.113.7")
    assert limiter.floods("203.0.113.7")
    assert not limiter.floods("203.0.113.8")
    assert not limiter.floods("127.0.0.1")
    now += 59.0
    assert limiter.floods("203.0.113.7")
    now += 2.0
    assert not limiter.floods("203.0.113.7")


async def test_what_is_refused_has_a_share_of_its_own_and_counts_for_the_whole_one() -> None:
    now = 100.0
    share = ReadingShare(0.1, lambda: now, refused=0.01)
    assert share.exhausted(0.05, 0.0) is None
    assert share.exhausted(0.012, 0.5) is None, "half of it"
    assert share.exhausted(0.012, 0.5) is share.refused
    assert share.exhausted(0.01, 0.0) is None, "what is carried out goes on"
    assert share.exhausted(0.05, 0.0) is share
    now += 100.0
    assert share.full
    assert share.exhausted(0.011, 1.0) is share.refused
    now += 0.2
    assert not share.full, "of the one for what is refused something is missing"


async def test_a_connection_that_has_ended_does_not_wait_for_what_is_refused() -> None:
    share = ReadingShare(0.1, lambda: 100.0, refused=0.01)
    refused = share.refused
    assert refused is not None
    assert share.exhausted(0.05, 1.0) is refused

    class Gone:
        def read_on(self) -> None:
            raise AssertionError

    gone = Gone()
    refused.wait(gone)
    share.leave(gone)
    assert not refused._waiting


def test_the_part_that_is_refused_is_known_by_bytes_and_messages() -> None:
    reader = MessageReader(SessionLimits(message_rate=7.0, message_size=1000))
    ping = b'{"type":"ping"}'
    assert reader.refused_part() == 0.0
    reader.text(ping, 0.0)
    assert reader.refused_part() == 0.0
    reader.text(ping, 0.0)
    reader.text(b"x" * len(ping), 0.0)
    assert reader.refused_part() == 0.5
    assert reader.refused_part() == 0.0, "since the last call"
    reader.text(ping, 0.0)
    reader.packed(b"x" * 900, 0.0)
    assert reader.refused_part() > 0.7
    reader.oversized(0.0, b"x" * 2000)
    assert reader.refused_part() == 1.0
    reader.binary(0.0)
    for refused in (lambda: reader.text(ping, 0.0), lambda: reader.admit(0.0), lambda: reader.packed(ping, 0.0)):
        refused()
        assert reader.refused_part() == 1.0, "beyond the rate"


def test_what_is_published_counts_with_what_it_takes_after_it_was_read() -> None:
    reader = MessageReader(SessionLimits())
    reader.text(b'{"type":"ping"}', 0.0)
    reader.text(b"no message", 0.0)
    assert reader.later() == 0.0
    small, large = (
        b'{"type":"message","channel":"c","event":"e","data":"' + b"x" * size + b'"}' for size in (1, 50_000)
    )
    reader.text(small, 0.0)
    short = reader.later()
    reader.text(large, 0.0)
    assert 0 < short < reader.later() / 5
    assert reader.later() == 0.0, "since the last call"


class _Played:
    """A processor that does nothing else, and the turns of busy users on it. Timers run one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.computed = 100.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self)
        share = WorkShare(computed=lambda: self.computed, clock=lambda: self.now)
        self.turns = WorkTurns(share, lambda: self.computed)

    def call_later(self, seconds: float, call: Callable[[], None]) -> object:
        heapq.heappush(self._timers, (self.now + seconds, len(self._timers), call))
        return self

    def compute(self, seconds: float) -> None:
        self.now += seconds
        self.computed += seconds

    def run_until(self, end: float) -> None:
        while self._timers and self._timers[0][0] <= end:
            at, _, call = heapq.heappop(self._timers)
            self.now = max(self.now, at)
            call()
        self.now = max(self.now, end)


class _Sending:
    """A connection that has always more to read, ``seconds`` at a time."""

    def __init__(self, played: _Played, share: ReadingShare, seconds: float) -> None:
        self._played, self._share, self._seconds = played, share, seconds
        self.read = 0.0

    def read_on(self) -> None:
        while True:
            self._played.compute(self._seconds)
            self.read += self._seconds
            if (without := self._share.exhausted(self._seconds, 0.0)) is not None:
                return without.wait(self)


def test_addresses_of_which_much_is_read_have_one_share_and_each_of_them_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = _Played(monkeypatch)
    shares = ReadingShares(0.1, lambda: played.now, turns=played.turns)
    addresses = [shares.of(f"198.51.100.{number}") for number in range(20)]
    sending = [_Sending(played, share, 0.001) for share in addresses if share is not None for _ in range(3)]
    for each in sending:
        each.read_on()
    bursts = sum(each.read for each in sending)
    assert bursts == pytest.approx(20 * 0.05, rel=0.1), "then each of them is a busy one"
    began = played.now
    played.run_until(began + 30)
    read = [each.read for each in sending]
    assert sum(read) - bursts == pytest.approx(30 * 0.5, rel=0.1), "of twenty times a tenth"
    one_each = [sum(read[number : number + 3]) for number in range(0, 60, 3)]
    assert min(one_each) > 0.9 * max(one_each)


def test_an_address_of_which_little_is_read_is_read_at_once_whatever_the_others_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = _Played(monkeypatch)
    shares = ReadingShares(1.0, lambda: played.now, turns=played.turns)
    busy, quiet = shares.of("198.51.100.1"), shares.of("198.51.100.2")
    assert busy is not None
    assert quiet is not None
    greedy = _Sending(played, busy, 0.001)
    greedy.read_on()
    for second in range(1, 10):
        assert quiet.exhausted(0.01, 0.0) is None
        played.run_until(100.0 + second)
    assert quiet.exhausted(0.001, 0.0, later=0.2) is not None, "it counts with what follows from it"
    without = busy.exhausted(0.0, 0.0)
    assert without is not None
    assert not without.limited, "a connection that ends is not dropped for it"
