"""Histories of messages that clients have received, compared with what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from engine.channels.core.messages.model import Position, parse_position

__all__ = ["Sent", "difference", "place_of"]

Sent = tuple[str, int, str]
"""Sender, number and position of a message."""


def place_of(position: str) -> Position:
    """``position``, to be compared. One without a number is the end of its transaction."""
    return parse_position(position)


def difference(received: list[Sent], truth: list[Sent], gaps: Sequence[int] = ()) -> str:
    """How a client's messages differ from what is stored; "" if they do not.

    ``gaps``: how many messages had come when the client was informed of missing ones, as after the promotion of a standby.
    What had come just before that may have another position now, and be among the lacking ones in another order.
    """
    got = Counter(each[:2] for each in received)
    if doubled := [each for each, count in got.items() if count > 1]:
        return f"doubled: {doubled[:5]}"
    places = {each[:2]: place for place, each in enumerate(truth)}
    if unknown := [each for each in received if each[:2] not in places]:
        return f"not stored: {unknown[:5]}"
    expected, bounds = 0, [*gaps, len(received)]
    for number, (begin, end) in enumerate(pairwise([0, *bounds])):
        part = received[begin:end]
        if number and part:
            expected = max(expected, places[part[0][:2]])
        while part and end != len(received) and truth[places[part[-1][:2]]] != part[-1]:
            part.pop()
        if part != truth[expected : expected + len(part)]:
            at = next(n for n, each in enumerate(part) if truth[expected + n : expected + n + 1] != [each])
            return f"differs at {begin + at} of {len(received)}: {part[at : at + 3]}, {truth[expected + at :][:3]}"
        expected += len(part)
    lost = [each for each in truth[expected:] if each[:2] not in got]
    return f"lost {len(lost)}: {lost[:5]}" if lost else ""
