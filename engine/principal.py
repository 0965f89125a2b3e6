"""Who acts: the identity that a connection was authenticated as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.visibility import ANONYMOUS, Visibility

__all__ = ["Principal"]


@dataclass(eq=False, slots=True)
class Principal:
    """An identity. A connection has one, which is referenced and never copied: replacing its fields changes it everywhere.

    ``user_id``: None if anonymous. ``attributes``: plain values by name, which audiences of messages can ask for.
    ``visibility``: what it may see of the rows of live queries.
    """

    user_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    visibility: Visibility = ANONYMOUS
