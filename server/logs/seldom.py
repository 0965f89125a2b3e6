"""Lines that clients, or an outage, can cause as often as they like."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from server.limits.token_bucket import TokenBucket
from server.logs.clients import REFUSALS_PER_SECOND

__all__ = ["Seldom", "SeldomEvents"]

_EVERY: Final = 60.0  # seconds
_KINDS: Final = 1_000  # of an event that are known at a time


class Seldom(logging.Filter):
    """Lets ``REFUSALS_PER_SECOND`` lines of each of ``texts`` pass; the next one has the number of the others.

    ``clock``: seconds, monotonic.
    """

    def __init__(self, *texts: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._buckets = {text: TokenBucket(REFUSALS_PER_SECOND) for text in texts}

    def filter(self, record: logging.LogRecord) -> bool:
        """See :class:`logging.Filter`. A text without a bucket passes."""
        bucket = self._buckets.get(str(record.msg))
        if bucket is None:
            return True
        suppressed = bucket.refused
        if not bucket.take(self._clock()):
            return False
        bucket.refused = 0
        if suppressed:
            record.msg = f"{record.msg} ({suppressed} more such lines were suppressed)"
        return True


class SeldomEvents:
    """Lets one line a minute of each of ``events`` pass, of each kind apart; the next one has the number of the others.

    Lines that differ in the field ``kind`` are of different kinds. A processor of structlog. ``clock``: seconds, monotonic.
    """

    def __init__(self, *events: str, kind: str = "what", clock: Callable[[], float] = time.monotonic) -> None:
        self._events = frozenset(events)
        self._kind = kind
        self._clock = clock
        self._buckets: dict[tuple[object, object], TokenBucket] = {}

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """The event, perhaps with ``suppressed``. Raises ``structlog.DropEvent`` for one too many."""
        if event["event"] not in self._events:
            return event
        if len(self._buckets) > _KINDS:
            self._buckets.clear()
        bucket = self._buckets.setdefault((event["event"], event.get(self._kind)), TokenBucket(1 / _EVERY, burst=1))
        suppressed = bucket.refused
        if not bucket.take(self._clock()):
            raise structlog.DropEvent
        bucket.refused = 0
        if suppressed:
            event["suppressed"] = suppressed
        return event
