"""Programs of the system that tests run."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["installed"]


def installed(name: str) -> str:
    """The path of the program. If it is missing the test fails under CI, and is skipped elsewhere."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        text = f"{name} is not installed"
        if os.environ.get("CI"):
            pytest.fail(f"{text}; `make test` does that")
        pytest.skip(text)
    return found
