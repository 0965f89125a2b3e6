"""What a node counts: sessions, users, messages and channels, by minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.channels.core.messages.decode import DecodedTransaction, MessageRow
from engine.identity.principal import Principal
from server.analytics.counter import MAX_MINUTES, UsageCounter, Visit
from server.analytics.users import CountedUsers, HashedUsers, Users
from server.auth.identity import HandshakeRequest

MINUTE = 29_000_000  # of a time in 2025
DAY = MINUTE // 1440
SALTS = {DAY: b"a" * 32, DAY + 1: b"b" * 32}
ANYONE = HandshakeRequest(ip="192.0.2.1")


class Clock:
    """Set ``minute``."""

    def __init__(self) -> None:
        self.minute: float = MINUTE

    def __call__(self) -> float:
        return self.minute * 60


class Node:
    """A counter with its clock."""

    def __init__(self, users: Users | None = None, country_of: Callable[[HandshakeRequest], str | None] | None = None):
        self.clock = Clock()
        self.counter = UsageCounter(self.clock, users or HashedUsers(), country_of or (lambda _: None))
        self.counter.users.learn(SALTS)
        self.counter.begin(None)

    def opened(self, user: str | None = None, handshake: HandshakeRequest = ANYONE, **claims: object) -> Visit:
        return self.counter.opened(Principal(user, claims=claims), handshake)

    def written(self, received: int = 0, sent: int = 0, **subscribers: int) -> list[dict[str, Any]]:
        """The minute has ended: what is written."""
        self.counter.sample(self.clock(), received, sent, subscribers.items())
        return self.counter.take(self.clock(), 2)


def published(lsn: int, minute: int, *channels: str) -> DecodedTransaction:
    rows = [
        MessageRow(lsn, place, channel, "sent", b"1", None, None, "id", None, 0, "")
        for place, channel in enumerate(channels)
    ]
    transaction = DecodedTransaction(lsn, lsn, minute * 60_000_000, 1)
    transaction.messages = rows
    return transaction


def test_sessions_count_where_they_begin_and_end_and_connections_at_their_most() -> None:
    node = Node()
    first, second = node.opened("ada"), node.opened("bob")
    node.counter.closed(first, 2.5)
    [row] = node.written(received=10, sent=30)
    assert (row["minute"], row["sessions"], row["sessions_ended"], row["session_seconds"]) == (MINUTE, 2, 1, 2.5)
    assert (row["connections"], row["messages_in"], row["messages_out"], len(row["hashes"])) == (2, 10, 30, 2)
    node.clock.minute += 1
    [row] = node.written(received=12, sent=30)
    assert (row["sessions"], row["connections"], row["messages_in"], row["messages_out"]) == (0, 1, 2, 0)
    assert len(row["hashes"]) == 1
    node.clock.minute += 1
    node.counter.closed(second, 60.0)
    [row] = node.written(received=12, sent=30)
    assert (row["sessions_ended"], row["connections"], len(row["hashes"])) == (1, 1, 1)
    node.clock.minute += 1
    assert node.written(received=12, sent=30) == []


def test_clients_that_opt_out_are_no_users_no_sessions_and_of_no_country_but_connections() -> None:
    node = Node(country_of=lambda _: "DE")
    visits = [
        node.opened("ada", HandshakeRequest(opts_out=True)),
        node.opened("eve", analytics=False),
    ]
    for visit in visits:
        node.counter.closed(visit, 1.0)
    [row] = node.written()
    assert (row["sessions"], row["sessions_ended"], row["hashes"], row["countries"]) == (0, 0, [], {})
    assert row["connections"] == 2
    node.opened("kim", analytics=True)
    [row] = node.written()
    assert (row["sessions"], row["countries"], len(row["hashes"])) == (1, {"DE": 1}, 1)


def test_messages_count_in_the_minute_of_their_commit_once_and_private_channels_without_their_names() -> None:
    node = Node()
    node.counter.messages(published(10, MINUTE - 1, "chat:1", "chat:1", "private:ada"))
    node.counter.messages(published(20, MINUTE, "private:bob", "chat:2", "chat:3", "chat:3"))
    node.counter.messages(published(20, MINUTE, "chat:2"))
    earlier, now = node.written(**{"chat:9": 7, "private:ada": 2, "private:bob": 3})
    assert (earlier["minute"], earlier["published"], earlier["active_channels"]) == (MINUTE - 1, 3, 2)
    assert earlier["channels"] == {"chat:1": [2, 0], "private:*": [1, 0]}
    assert (now["minute"], now["published"], now["active_channels"]) == (MINUTE, 4, 3)
    assert now["channels"] == {"chat:3": [2, 0], "chat:9": [0, 7], "private:*": [1, 5]}
    assert node.counter.position == 20


def test_messages_before_the_position_is_known_are_counted_from_there_on() -> None:
    counter = UsageCounter(Clock(), Users())
    for lsn in (10, 20, 30):
        counter.messages(published(lsn, MINUTE, f"chat:{lsn}"))
    assert counter.take(MINUTE * 60, 9) == []
    counter.begin(20)
    [row] = counter.take(MINUTE * 60, 9)
    assert row["channels"] == {"chat:30": [1, 0]}


def test_hashes_of_a_user_are_alike_on_all_nodes_and_different_on_each_day() -> None:
    first, second = Node(), Node()
    first.opened("ada")
    second.opened("ada")
    [here], [there] = first.written(), second.written()
    assert here["hashes"] == there["hashes"]
    first.clock.minute += 1440
    [later] = first.written()
    assert len(later["hashes"]) == 1
    assert later["hashes"] != here["hashes"]
    other = Node()
    other.counter.users.learn({DAY: b"c" * 32})
    other.opened("ada")
    assert other.written()[0]["hashes"] != here["hashes"]


def test_users_that_left_before_the_salt_was_known_are_counted_once_it_is() -> None:
    node = Node()
    node.counter.users.learn({})
    for user in ("ada", "ada", "bob"):
        node.counter.closed(node.opened(user), 1.0)
    node.counter.users.learn(SALTS)
    node.opened("ada")
    [row] = node.written()
    assert len(row["hashes"]) == 2


def test_a_node_that_only_counts_users_writes_numbers_and_no_hashes() -> None:
    node = Node(CountedUsers())
    node.opened("ada")
    node.counter.closed(node.opened("bob"), 1.0)
    [row] = node.written()
    assert (row["users"], row["users_of_hour"], row["users_of_day"], row["hashes"]) == (2, 2, 2, [])
    node.clock.minute += 1
    node.opened("bob")
    [row] = node.written()
    assert (row["users"], row["users_of_hour"], row["users_of_day"], row["hashes"]) == (2, 0, 0, [])
    node.clock.minute += 60
    [row] = node.written()
    assert (row["users"], row["users_of_hour"], row["users_of_day"], row["hashes"]) == (2, 2, 0, [])
    left = node.opened("eve")
    node.clock.minute += 1
    node.counter.closed(left, 1.0)
    assert all(row["hashes"] == [] for row in node.written())


def test_users_are_not_counted_where_that_is_off() -> None:
    node = Node(Users())
    node.counter.closed(node.opened("ada"), 1.0)
    [row] = node.written()
    assert (row["sessions"], row["users"], row["hashes"]) == (1, 0, [])


@pytest.mark.parametrize("wait", [False, True], ids=["at-once", "shrunk"])
def test_minutes_that_cannot_be_written_are_kept_up_to_a_bound(wait: bool) -> None:
    node = Node()
    for number in range(MAX_MINUTES + 5):
        node.clock.minute = MINUTE + number
        node.counter.messages(published(number + 1, MINUTE + number, "chat:1"))
        if wait:
            node.counter.wait(node.clock())
    rows = node.written()
    assert len(rows) == MAX_MINUTES
    assert node.counter.dropped == 5
    assert rows[0]["minute"] == MINUTE + 5
    assert all(row["published"] == 1 for row in rows)
