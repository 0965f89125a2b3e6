"""Verdicts of filters on messages, found ahead of their delivery and in batches, so that the event loop is not held
meanwhile.

A message as large as may be, and the filters of many subscribers about it, are much work together, and a delivery is one
step. A verdict depends on nothing but the message and the filter, so it may be found before and kept until then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.delivery.subscription import Subscription

__all__ = ["AT_ONCE", "judge_ahead"]

AT_ONCE: Final = 1_000_000
"""Steps of :class:`~engine.channels.core.filters.document.Document` between two yields, about 10 ms."""

_LARGE: Final = 4_096  # bytes of payload; what is smaller costs little, and is judged when it is delivered
_MAX_KEPT: Final = 200_000  # verdicts, about 20 MiB; beyond that messages are judged when they are delivered


def judge_ahead(
    events: Iterable[MessageEvent], subscribers: Callable[[str], Sequence[Subscription]], *, smallest: int = _LARGE
) -> Iterator[None]:
    """Judge messages of at least ``smallest`` bytes by the filters of their channel's ``subscribers``.

    Yields after every ``AT_ONCE`` steps.
    """
    steps = kept = 0
    for event in events:
        if len(event.row.payload) < smallest:
            continue
        for test in [test for subscription in subscribers(event.channel) for test in subscription.tests(event)]:
            before = event.steps
            with contextlib.suppress(Exception):  # raised again when it is delivered, and ends that subscription alone
                event.meets(test)
            steps, kept = steps + event.steps - before, kept + 1
            if kept > _MAX_KEPT:
                return
            if steps > AT_ONCE:
                steps = 0
                yield
        event.let_go()
