"""Lines of psycopg's pool of connections. It logs each attempt to connect, and in an outage there are several a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import structlog

from server.limits.token_bucket import TokenBucket

__all__ = ["DISCARDED", "FAILED", "GIVEN_UP", "PoolLines"]

FAILED: Final = "error connecting in %r: %s"
"""The pool's line of an attempt that has failed: its name, and the error."""
GIVEN_UP: Final = "reconnection attempt in pool %r failed after %s sec"
"""Its line when it pauses between attempts: nothing that the others do not have."""

DISCARDED: Final = "discarding closed connection: %s"
"""Its line when a connection comes back closed. We close those whose use was cancelled, as at each stop, where a warning
would look like a fault; where the database has closed it, the error of its use is reported.
"""

_EVERY: Final = 60.0  # seconds between two events of one pool

_log = structlog.get_logger(__name__)


class PoolLines(logging.Filter):
    """One event in place of the lines of failed attempts: the first of a pool, then one a minute with the number of others.

    ``clock``: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See :class:`logging.Filter`. All other lines of the pool pass."""
        if record.msg in (GIVEN_UP, DISCARDED):
            return False
        if record.msg != FAILED or not isinstance(record.args, tuple):
            return True
        name, error = (str(value) for value in record.args)
        bucket = self._buckets.setdefault(name, TokenBucket(1 / _EVERY, burst=1))
        suppressed = bucket.refused
        if bucket.take(self._clock()):
            bucket.refused = 0
            _log.warning("pool_not_connected", pool=name, error=error.strip(), suppressed=suppressed)
        return False
