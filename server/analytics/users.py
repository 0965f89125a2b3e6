"""Users as analytics know them: by hashes, with a salt that is new each day and then dropped.

With the salt of the database all nodes hash alike, so that a user on two of them counts once. A node that only counts has
salts of its own, which never leave it, and the database gets numbers: a user on two nodes counts twice there.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from server.analytics.distinct import DistinctUsers
from server.analytics.minute import Minute

__all__ = ["CountedUsers", "HashedUsers", "Users"]

_HOUR: Final = 60  # minutes
_DAY: Final = 24 * 60
_MAX_WAITING: Final = 10_000  # users that came and went before the salt was known
_SALT_SIZE: Final = 32


class Users:
    """Users are not counted."""

    needs_salts = False

    def learn(self, salts: Mapping[int, bytes]) -> None:
        """These are the salts of the present days, by day since 1970. Others are forgotten."""

    def came(self, user: str) -> None:
        """A connection of a user was opened."""

    def left(self, user: str, minute: Minute) -> None:
        """A connection of a user was closed in this minute."""

    def note(self, minute: Minute) -> None:
        """Those that are connected now were it in this minute."""

    def resolve(self, minute: Minute) -> None:
        """The minute is about to be written."""


class HashedUsers(Users):
    """Users by their hashes."""

    needs_salts = True

    def __init__(self) -> None:
        self._connected: Counter[str] = Counter()
        self._salts: dict[int, bytes] = {}
        self._day = -1
        self._hashes: dict[str, int] = {}  # of those that are connected, on that day
        self._waiting: dict[tuple[int, str], None] = {}

    def learn(self, salts: Mapping[int, bytes]) -> None:
        """See ``Users``."""
        if salts != self._salts:
            self._salts, self._day = dict(salts), -1

    def came(self, user: str) -> None:
        """See ``Users``."""
        self._connected[user] += 1

    def left(self, user: str, minute: Minute) -> None:
        """See ``Users``."""
        hash = self._hash(user, minute.number // _DAY)
        if hash is not None:
            minute.users.add((hash,))
        elif len(self._waiting) < _MAX_WAITING:
            self._waiting[minute.number, user] = None
        self._connected[user] -= 1
        if not self._connected[user]:
            del self._connected[user]
            self._hashes.pop(user, None)

    def note(self, minute: Minute) -> None:
        """See ``Users``."""
        day = minute.number // _DAY
        minute.users.add(hash for user in self._connected if (hash := self._hash(user, day)) is not None)

    def resolve(self, minute: Minute) -> None:
        """See ``Users``."""
        if self._waiting and minute.number // _DAY in self._salts:
            for number, user in [each for each in self._waiting if each[0] == minute.number]:
                del self._waiting[number, user]
                minute.users.add((self._computed(user, number // _DAY),))

    def _hash(self, user: str, day: int) -> int | None:
        """None: the salt of the day is not known."""
        if day not in self._salts:
            return None
        if day != self._day:
            self._day, self._hashes = day, {}
        found = self._hashes.get(user)
        if found is None:
            found = self._hashes[user] = self._computed(user, day)
        return found

    def _computed(self, user: str, day: int) -> int:
        text = user.encode(errors="surrogatepass")
        return int.from_bytes(blake2b(text, key=self._salts[day], digest_size=8).digest()) >> 1


class CountedUsers(HashedUsers):
    """Users by number: their hashes stay in memory, for the minute, the hour and the day."""

    needs_salts = False

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[
            int, tuple[int, DistinctUsers, int]
        ] = {}  # by length: which period, its users, what was reported

    def left(self, user: str, minute: Minute) -> None:
        """See ``Users``."""
        self._renew(minute)
        super().left(user, minute)

    def note(self, minute: Minute) -> None:
        """See ``Users``."""
        self._renew(minute)
        super().note(minute)

    def resolve(self, minute: Minute) -> None:
        """See ``Users``."""
        hashes, minute.users = minute.users.sample, DistinctUsers()
        if hashes:
            self._increase(1, minute.number, hashes)
            minute.users_of_minute = self._seen[1][2]
            minute.users_of_hour += self._increase(_HOUR, minute.number, hashes)
            minute.users_of_day += self._increase(_DAY, minute.number, hashes)

    def _renew(self, minute: Minute) -> None:
        day = minute.number // _DAY
        if day not in self._salts:
            self.learn({day: secrets.token_bytes(_SALT_SIZE)})

    def _increase(self, length: int, minute: int, hashes: list[int]) -> int:
        """How many more users there are in the period of so many minutes."""
        period = minute // length
        which, users, reported = self._seen.get(length, (period, DistinctUsers(), 0))
        if which != period:
            users, reported = DistinctUsers(), 0
        users.add(hashes)
        count = max(users.count, reported)
        self._seen[length] = period, users, count
        return count - reported
