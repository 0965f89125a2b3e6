"""How much of a pool is in use."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PoolUsage"]


class PoolUsage(NamedTuple):
    """Connections of a pool that are lent out and that are idle, and how many tasks wait for one."""

    used: int
    idle: int
    waiting: int
