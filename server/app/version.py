"""Which version this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["package_version"]


def package_version() -> str:
    """The version of this installation; ``0+checkout`` where the package is not installed."""
    try:
        return version("bunbase-realtime")
    except PackageNotFoundError:
        return "0+checkout"
