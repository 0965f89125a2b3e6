"""What reference counting does not free."""

from __future__ import annotations

import gc
from typing import Any

__all__ = ["found_by_the_collector"]


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
