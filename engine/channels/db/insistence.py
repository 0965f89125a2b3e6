"""Work that is repeated with growing, random pauses until the database accepts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import psycopg
import structlog
from tenacity import RetryCallState, wait_random_exponential

from engine.channels.core.messages.model import UnavailableError
from engine.postgres.errors import AWAY, is_raised, is_table_locked, reason
from engine.postgres.retry import SOON, Pause, error_of, until_done

__all__ = ["REFUSED", "Insistence"]

T = TypeVar("T")

REFUSED: Final = (UnavailableError, psycopg.Error, OSError)
"""The database is away for a moment, or a trigger or a missing privilege refuses."""

_REFUSES: Final[Pause] = wait_random_exponential(multiplier=1, max=30)  # seconds, until the cause is removed by hand

_log = structlog.get_logger(__name__)


class Insistence:
    """What is tried again now. ``problem`` names what the database refuses."""

    def __init__(self) -> None:
        self._refused: dict[object, tuple[str, str]] = {}  # what, and why

    async def done(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work`` until the database accepts it. ``what`` it is, as a noun."""
        with self._noted(what) as failed:
            return await until_done(work, on=REFUSED, failed=failed, pause=_pause)

    async def unlocked(self, what: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work``, again while a table that it needs is locked. Raises what it raises otherwise."""
        with self._noted(what) as failed:
            return await until_done(work, on=lambda error: is_table_locked(error.__cause__), failed=failed)

    @property
    def problem(self) -> str | None:
        """What the database refuses, in words; None: nothing."""
        if not self._refused:
            return None
        count_of = Counter(what for what, _ in self._refused.values())
        found = ", ".join(what if count == 1 else f"{what} ({count} times)" for what, count in count_of.items())
        _, why = list(self._refused.values())[-1]
        return f"the database refuses {found}: {why}. It is tried again, at least twice a minute"

    @contextmanager
    def _noted(self, what: str) -> Iterator[Callable[[RetryCallState], None]]:
        """Keep the latest refusal until the work has ended."""
        key = object()

        def failed(attempt: RetryCallState) -> None:
            error = error_of(attempt)
            if (refusal := _refusal(error)) is not None:
                self._refused[key] = what, reason(refusal)
            else:
                self._refused.pop(key, None)
            if attempt.attempt_number == 1:
                _log.warning("not_done_yet", what=what, error=str(error).strip())

        try:
            yield failed
        finally:
            self._refused.pop(key, None)


def _pause(attempt: RetryCallState) -> float:
    return (SOON if _refusal(error_of(attempt)) is None else _REFUSES)(attempt)


def _refusal(error: BaseException | None) -> psycopg.Error | None:
    """The refusal that lasts until its cause is removed; None for an error that passes by itself."""
    cause = error.__cause__ if isinstance(error, UnavailableError) else None
    if isinstance(cause, psycopg.Error) and is_raised(cause):
        return cause
    return error if isinstance(error, psycopg.Error) and not isinstance(error, AWAY) else None
