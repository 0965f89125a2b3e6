"""Repeated attempts: which errors are repeated, and how long the pauses are."""

from __future__ import annotations

import asyncio

import pytest
from tenacity import RetryCallState

from engine.live.read_state import Wait
from engine.postgres.retry import SOON, error_of, growing_pause, until_done


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


@pytest.mark.parametrize("failures", [0, 1, 3, 5_000])
def test_growing_pauses_are_random_and_bounded_however_long_an_outage_lasts(failures: int) -> None:
    pauses = [growing_pause(failures, 0.5, 10.0) for _ in range(50)]
    longest = min(0.5 * 2.0 ** min(failures, 10), 10.0)
    assert len(set(pauses)) > 1
    assert all(longest / 2 <= pause <= longest for pause in pauses)


async def test_a_query_is_still_tried_again_after_thousands_of_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    wait = Wait()
    for _ in range(5_000):
        await wait.longer()
    assert pauses[0] <= 0.01
    assert all(0.5 <= pause <= 1.0 for pause in pauses[10:])
