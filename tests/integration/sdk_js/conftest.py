"""The SDK as it is published, built once however many processes test it."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from tests.integration.sdk_js.scenario_server import SDK, npm
from tests.support.browsers import need


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """``sdk/js/dist``, made from the sources as they are now, and the documented examples with it."""
    need(shutil.which("npm") is not None, "Node is not installed")
    need((SDK / "node_modules" / "esbuild").exists(), "the packages of sdk/js are not installed")
    made = SDK / "build" / "snippets.mjs"
    made.parent.mkdir(exist_ok=True)
    with (made.parent / "lock").open("w") as lock:  # given back when it is closed
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists() or made.stat().st_mtime <= _latest():
            npm("build")
            npm("examples")


def _latest() -> float:
    """When something that is built from was changed last."""
    folders = (SDK / "src", SDK / "test", SDK / "scripts")
    files: list[Path] = [SDK / "package.json", SDK / "tsconfig.json"]
    return max(file.stat().st_mtime for file in [*files, *(file for folder in folders for file in folder.rglob("*"))])
