"""The types of what a window holds."""

from __future__ import annotations

from typing import Any, TypeAlias

from engine.transaction import Value

__all__ = ["Identity", "Row", "SortKey"]

Row: TypeAlias = tuple[Value, ...]
"""A row in the layout of its table."""

Identity: TypeAlias = bytes | tuple[bytes, ...]
"""The replica identity of a row: the bytes of one column, or those of several."""

SortKey: TypeAlias = tuple[Any, ...]
"""What orders the rows of a query; it ends with the primary key, so it is unique."""
