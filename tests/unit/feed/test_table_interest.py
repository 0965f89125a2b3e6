"""Which tables are looked at, and which of them a feed brings."""

from __future__ import annotations

from engine.feed.table_interest import CHANNEL_TOPICS, TableInterest


def selective() -> tuple[TableInterest, list[str]]:
    interest, woken = TableInterest(), []
    interest.selective = True
    interest.wake = lambda: woken.append("woken")
    return interest, woken


def test_with_a_feed_that_brings_everything_every_table_is_followed() -> None:
    assert TableInterest().follows({1, 2}, 0)


def test_table_is_held_until_the_last_holder_lets_it_go() -> None:
    interest, _ = selective()
    interest.hold("a", {1: 1})
    interest.hold("a", {2: 1})
    interest.hold("b", {2: 1})
    assert (interest.held, interest.tables) == ({1, 2}, {1: 1, 2: 1})
    interest.release("a")
    assert interest.held == {2}
    interest.release("b")
    interest.release("b")
    assert interest.held == set()


def test_table_is_followed_once_the_driver_has_processed_the_number_under_which_it_was_taken() -> None:
    interest, woken = selective()
    interest.hold("a", {1: 1})
    assert interest.lacking == {1}
    assert not interest.follows({1}, 0)
    assert woken == ["woken"]
    number = interest.take({1})
    assert interest.lacking == set()
    assert not interest.follows({1}, number - 1)
    assert interest.follows({1}, number)
    assert woken == ["woken"]


def test_table_that_was_let_go_and_taken_again_is_not_followed_under_its_former_number() -> None:
    interest, _ = selective()
    interest.hold("a", {1: 1})
    before = interest.take({1})
    interest.release("a")
    interest.drop({1})
    interest.hold("a", {1: 1})
    assert not interest.follows({1}, before)
    number = interest.take({1})
    assert not interest.follows({1}, before)
    assert interest.follows({1}, number)


def test_stream_that_brings_everything_begins_and_ends_with_a_number() -> None:
    interest, _ = selective()
    interest.hold("a", {1: 1})
    number = interest.take_all()
    assert interest.lacking == set()
    assert not interest.follows({1, 2}, number - 1)
    assert interest.follows({1, 2}, number)
    again = interest.begin()
    assert interest.taken == {1}
    assert not interest.follows({1}, number)
    assert interest.follows({1}, again)
    assert not interest.follows({2}, again)


def test_who_needs_the_table_of_messages_needs_every_channel() -> None:
    interest, _ = selective()
    interest.messages = 7
    interest.hold("list", {7: 7, 1: 1})
    assert interest.held == {1, 7, *CHANNEL_TOPICS}
    interest.take({1, 7})
    assert not interest.follows({7}, 99), "of its table nothing comes under its oid"
    number = interest.take(set(CHANNEL_TOPICS))
    assert interest.follows({7}, number)
    interest.release("list")
    assert interest.held == set()
