"""By which kind channels are counted, where clients choose more names than there are places."""

from __future__ import annotations

import random

from engine.channels.core.delivery.kinds import MAX_KINDS, OTHER, ChannelKinds


def test_kinds_that_are_left_give_their_places_to_new_ones() -> None:
    kinds = ChannelKinds()
    hostile = [f"kind{number}:x" for number in range(MAX_KINDS + 5)]
    for number, channel in enumerate(hostile):
        kinds.count(channel, hostile[:number], 1)
    assert len(kinds.subscriptions) == MAX_KINDS + 1
    for number, channel in enumerate(hostile):
        kinds.count(channel, hostile[number + 1 :], -1)
    assert not any(kinds.subscriptions.values())
    kinds.count("orders:1", (), 1)
    assert kinds.subscriptions["orders"] == kinds.connections["orders"] == 1
    assert kinds.subscriptions[OTHER] == kinds.connections[OTHER] == 0
    assert len(kinds.subscriptions) == MAX_KINDS + 1
    assert {"public", "presence", "private"} <= set(kinds.subscriptions)


def test_a_kind_in_use_keeps_its_place_and_figures_add_up_whatever_comes_and_goes() -> None:
    kinds, chance = ChannelKinds(), random.Random(5)
    names = ["plain", "other:1", *(f"kind{number}:{part}" for number in range(40) for part in "ab")]
    held: dict[int, list[str]] = {number: [] for number in range(8)}
    kinds.count("orders:1", (), 1)
    for _ in range(5000):
        mine = held[chance.randrange(len(held))]
        channel = chance.choice(names)
        if channel in mine:
            mine.remove(channel)
            kinds.count(channel, mine, -1)
        elif len(mine) < 6:
            kinds.count(channel, mine, 1)
            mine.append(channel)
        assert kinds.subscriptions["orders"] == 1
        assert sum(kinds.subscriptions.values()) == 1 + sum(map(len, held.values()))
        assert len(kinds.subscriptions) <= MAX_KINDS + 1
    for kind, count in kinds.connections.items():
        expected = sum(any(kinds.kind(channel) == kind for channel in mine) for mine in held.values())
        assert count == expected + (kind == "orders"), kind
