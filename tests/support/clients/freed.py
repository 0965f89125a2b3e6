"""What reference counting does not free."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["found_by_the_collector", "only_new_objects"]


@contextmanager
def only_new_objects() -> Iterator[None]:
    """The collector does not run by itself, and knows nothing of the objects that there are at the beginning. That stays
    so: it would take half a second each time to go through all that the tests have loaded.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def found_by_the_collector() -> list[str]:
    """The types of this project that only the cyclic collector could free."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        found: list[Any] = [type(each) for each in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    return sorted(
        {each.__qualname__ for each in found if each.__module__.startswith(("server.", "engine.", "picows."))}
    )
