"""Lines of libraries that clients can cause as often as they like."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from server.limits.token_bucket import TokenBucket
from server.logs.clients import REFUSALS_PER_SECOND

__all__ = ["Seldom"]


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
