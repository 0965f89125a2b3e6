"""The identity that a connection was authenticated as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.identity.visibility import ANONYMOUS, Visibility

__all__ = ["Principal"]


@dataclass(eq=False, slots=True)
class Principal:
    """An identity. It is referenced and never copied: replacing its fields changes it for the whole connection.

    ``user_id``: None if anonymous. ``attributes``: plain values by name, which audiences of messages are matched against.
    ``visibility``: which rows of live queries it may see.
    """

    user_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    visibility: Visibility = ANONYMOUS
