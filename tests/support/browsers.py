"""The browsers that tests drive, and what becomes of a test where one is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["BROWSERS", "browser_environment", "need", "need_browser"]

_PLAYWRIGHT = Path(__file__).parents[1] / "browser" / "node_modules" / "playwright-core"

# Chromium without its windows: the same pages and network for half of the processor time, a third of it for each context.
_SHELL = Path("/usr/bin/chromium-headless-shell")

BROWSERS = {
    "chromium": Path(os.environ.get("CHROMIUM", _SHELL if _SHELL.exists() else "/usr/bin/chromium")),
    "firefox": Path(os.environ.get("FIREFOX", "/usr/bin/firefox-esr")),
}


def need(found: bool, what: str) -> None:
    """Fail under CI, skip elsewhere, if something is missing."""
    if not found and os.environ.get("CI"):
        pytest.fail(f"{what}; `make test` installs it")
    if not found:
        pytest.skip(what)


def browser_environment() -> dict[str, str]:
    """Where the browsers are, for ``tests/browser/launch.mjs``."""
    return {name.upper(): str(path) for name, path in BROWSERS.items()}


def need_browser(browser: str) -> None:
    """A browser and what drives it."""
    need(BROWSERS[browser].exists(), f"there is no {browser} at {BROWSERS[browser]}")
    need(shutil.which("node") is not None, "Node is not installed")
    need(_PLAYWRIGHT.exists(), "playwright-core is not installed in tests/browser")
