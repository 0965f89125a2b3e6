"""The inputs that are kept for each target, and others that Hypothesis makes of them.

A kept input is one that once showed a fault, or leads deep into a target. Mutations are drawn by Hypothesis, so that it can
make the input small that shows a fault.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.targets import Target

__all__ = ["CORPUS", "SlowInputError", "fuzz", "kept", "mutated"]

CORPUS: Final = Path(__file__).with_name("corpus")

_MAX_SIZE: Final = 64 * 1024  # bytes of an input
_MAX_SECONDS: Final = 10.0  # of processor time for an input
_ROUND: Final = 300  # inputs between two looks at the clock


class SlowInputError(AssertionError):
    """An input takes more processor time than any should."""


def kept(name: str) -> list[bytes]:
    """The inputs of a target that are kept, the smallest first."""
    return sorted((file.read_bytes() for file in (CORPUS / name).iterdir()), key=lambda data: (len(data), data))


@st.composite
def mutated(draw: st.DrawFn, inputs: list[bytes], target: Target) -> bytes:
    """One of ``inputs``, with some pieces of it omitted, repeated, changed, or replaced by tokens or by another's."""
    data = draw(st.sampled_from(inputs))
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.sampled_from((0, 0, 1, 2, 4, 16, 256))))
        match draw(st.integers(0, 5)):
            case 0:
                piece = draw(st.binary(max_size=4))
            case 1 | 2:
                piece = draw(st.sampled_from(target.tokens))
            case 3:
                piece = data[begin:end] * draw(st.sampled_from((2, 3, 64)))
            case 4:
                other = draw(st.sampled_from(inputs))
                start = draw(st.integers(0, len(other)))
                piece = other[start : start + draw(st.sampled_from((1, 8, 64)))]
            case _:
                piece = b""
        data = (data[:begin] + piece + data[end:])[:_MAX_SIZE]
    return data


def fuzz(name: str, target: Target, seconds: float) -> int:
    """Try inputs for ``seconds``; returns how many. One that shows a fault is kept, made small, and its error is raised."""
    inputs, tried, end = kept(name), 0, time.monotonic() + seconds
    failed: list[bytes] = []

    def attempt(data: bytes) -> None:
        nonlocal tried
        tried += 1
        try:
            with _limited():
                target.run(data)
        except BaseException:
            failed.append(data)
            raise

    usual = settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    while time.monotonic() < end:
        try:
            seed(random.randrange(10**9))(usual(given(mutated(inputs, target))(attempt)))()
        except BaseException:
            if failed:  # the last attempt is the one that Hypothesis reports
                _keep(name, failed[-1])
            raise
    return tried


def _keep(name: str, data: bytes) -> None:
    (CORPUS / name / f"found-{sha256(data).hexdigest()[:12]}").write_bytes(data)


@contextmanager
def _limited() -> Iterator[None]:
    """Ends what takes too much time of the processor, however busy the machine is."""

    def too_slow(number: int, frame: FrameType | None) -> None:
        raise SlowInputError(f"more than {_MAX_SECONDS:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, _MAX_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
