"""Verdicts of filters on messages, and what messages are conflated by, found ahead of their delivery and in batches, so that
the event loop is not held meanwhile.

A message as large as may be, and the filters of many subscribers about it, are much work together, and a delivery is one
step. A verdict depends on nothing but the message and the filter, so it may be found before and kept until then; so may the
lane of a message.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.delivery.subscription import Subscription

__all__ = ["AT_ONCE", "judge_ahead"]

AT_ONCE: Final = 1_000_000
"""Steps of :class:`~engine.channels.core.filters.document.Document` between two yields, about 10 ms."""

_LARGE: Final = 4_096  # bytes of payload; what is smaller costs little, and is judged when it is delivered,
_MANY: Final = 65_536  # unless the messages of a transaction have more bytes together
_MAX_KEPT: Final = 200_000  # verdicts, about 20 MiB; beyond that messages are judged when they are delivered


def judge_ahead(
    events: Sequence[MessageEvent],
    subscribers: Callable[[str], Sequence[Subscription]],
    *,
    smallest: int | None = None,
    lanes: bool = False,
) -> Iterator[None]:
    """Judge messages of at least ``smallest`` bytes by the filters of their channel's ``subscribers``; None: as large ones
    as are worth it. ``lanes``: find those for subscribers that conflate, too.

    Yields after every ``AT_ONCE`` steps.
    """
    if smallest is None:
        smallest = _LARGE if sum([len(event.row.payload) for event in events]) < _MANY else 0
    steps = kept = 0
    for event in events:
        if len(event.row.payload) < smallest:
            continue
        for find in _questions(event, subscribers(event.channel), lanes=lanes):
            before = event.steps
            with contextlib.suppress(Exception):  # raised again when it is delivered, and ends that subscription alone
                find()
            steps, kept = steps + event.steps - before, kept + 1
            if kept > _MAX_KEPT:
                return
            if steps > AT_ONCE:
                steps = 0
                yield
        event.let_go()


def _questions(event: MessageEvent, subscribers: Sequence[Subscription], *, lanes: bool) -> list[Callable[[], object]]:
    tests = [test for subscription in subscribers for test in subscription.tests(event)]
    paths = {path for subscription in subscribers for path in subscription.lanes(event)} if lanes else ()
    return [*(partial(event.meets, test) for test in tests), *(partial(event.lane, path) for path in paths)]
