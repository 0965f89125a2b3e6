"""What is held of channels without history while their past is read, and what is not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.delivery.held_messages import HeldMessages
from engine.channels.core.messages.decode import MessageRow

CHANNELS = ("a", "b", "c")


def event(channel: str, lsn: int, size: int = 1, *, stored: bool = False) -> MessageEvent:
    row = MessageRow(lsn, 1, channel, "e", b"x" * size, None, None, str(lsn), None, 0, "", None, stored)
    return MessageEvent(row)


def test_messages_without_history_of_channels_that_wait_are_held_in_order() -> None:
    held = HeldMessages()
    held.hold([event("a", 1)])
    assert not held
    held.begin(["a"])
    held.hold([event("a", 3), event("a", 4, stored=True), event("b", 5)])
    held.begin(["a", "b"])
    held.hold([event("a", 2), event("b", 6)])
    assert [each.key for each in held.take("a")[0]] == [(2, 1), (3, 1)]
    held.hold([event("a", 7)])
    assert held.take("a") == ([], False)
    assert held
    held.clear()
    assert not held


@given(st.lists(st.tuples(st.sampled_from(CHANNELS), st.integers(0, 2_000)), max_size=60), st.data())
def test_what_is_held_has_bounds_and_a_channel_that_lost_something_shows_it(
    sent: list[tuple[str, int]], data: st.DataObject
) -> None:
    messages, size = data.draw(st.integers(1, 20)), data.draw(st.integers(600, 20_000))
    held = HeldMessages(messages, size)
    held.begin(CHANNELS)
    kept: dict[str, list[int]] = {channel: [] for channel in CHANNELS}
    for number, (channel, length) in enumerate(sent, 1):
        held.hold([event(channel, number, length)])
        kept[channel].append(number)
        if data.draw(st.booleans()):
            assert sum(len(each.events) for each in held._channels.values()) <= messages
            assert sum(each.size for each in held._channels.values()) <= size
    for channel in CHANNELS:
        events, lost = held.take(channel)
        found = [each.key[0] for each in events]
        assert found == kept[channel][len(kept[channel]) - len(found) :], "the latest, without a hole between"
        assert lost == (found != kept[channel])
    assert held._room == [messages, size]
