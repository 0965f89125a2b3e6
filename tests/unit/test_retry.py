"""Repeated attempts: which errors are repeated, and how long the pauses are."""

from __future__ import annotations

import pytest
from tenacity import RetryCallState

from engine.postgres.retry import SOON, error_of, until_done


class Work:
    """Fails with each of ``errors`` in turn, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def no_pause(_: RetryCallState) -> float:
    return 0.0


async def test_work_is_repeated_until_it_succeeds_and_each_failure_is_reported() -> None:
    seen: list[str] = []
    errors = [OSError("first"), ValueError("second")]
    work = Work(*errors)
    done = await until_done(
        work, on=(OSError, ValueError), failed=lambda attempt: seen.append(str(error_of(attempt))), pause=no_pause
    )
    assert (done, seen) == ("done", ["first", "second"])


async def test_an_error_that_is_not_to_be_repeated_is_raised() -> None:
    with pytest.raises(ValueError, match=r"^wrong$"):
        await until_done(
            Work(OSError("passes"), ValueError("wrong")),
            on=lambda error: isinstance(error, OSError),
            failed=lambda _: None,
            pause=no_pause,
        )


def test_pauses_are_random_and_never_longer_than_two_seconds() -> None:
    attempt = RetryCallState(None, None, (), {})  # type: ignore[arg-type]
    attempt.attempt_number = 5_000
    pauses = {SOON(attempt) for _ in range(50)}
    assert len(pauses) > 40
    assert all(0 <= pause <= 2 for pause in pauses)
