"""Modules that a test has written."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

__all__ = ["importable"]


def importable(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The modules in ``folder`` can be imported until the test ends.

    ``monkeypatch.syspath_prepend`` demands that a ``pkg_resources`` that was imported is that of setuptools.
    """
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    importlib.invalidate_caches()
