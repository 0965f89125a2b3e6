"""Runs generators that do work in steps."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

R = TypeVar("R")


def finished(steps: Generator[None, None, R], between: Callable[[], object] = lambda: None) -> R:
    """What ``steps`` returns in the end; ``between`` is called between two of them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            value: R = end.value
            return value
        between()
