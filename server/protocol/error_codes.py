"""The protocol's error codes. The engine's errors carry them too, so the enum itself is in :mod:`engine.errors`."""

from __future__ import annotations

from engine.errors import ErrorCode

__all__ = ["ErrorCode"]
