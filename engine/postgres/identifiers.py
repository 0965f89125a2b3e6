"""Names in SQL text."""

from __future__ import annotations

__all__ = ["quoted_name"]


def quoted_name(name: str) -> str:
    """``name`` in double quotes (PostgreSQL docs, "Identifiers and Key Words")."""
    return '"' + name.replace('"', '""') + '"'
