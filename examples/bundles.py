"""The pages that are written with a framework, or that use packages of npm: made by ``build.mjs`` with each start.

What is made is no part of the source: it is in a folder of the command's data. Examples without such a page need no Node.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from examples.realtime_server import PAGES

__all__ = ["build_pages"]

_SCRIPT = re.compile(r'<script type="module" src="/build/')
TIMEOUT = 120
"""Seconds. It takes one."""


def build_pages(examples: Iterable[Path], folder: Path) -> Mapping[str, str]:
    """Make the pages of ``examples`` in ``folder``. Returns what each lacks, by its name, where that is not possible."""
    bundled = [each.name for each in examples if _SCRIPT.search((each / "index.html").read_text())]
    if not bundled:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    lacking = _build(bundled, folder)
    return dict.fromkeys(bundled, lacking) if lacking else {}


def _build(names: list[str], folder: Path) -> str:
    """Empty, or why they are not made."""
    node = shutil.which("node")
    if node is None:
        return "Node.js is not installed: its pages are made with packages of npm"
    if not (PAGES / "node_modules" / ".package-lock.json").exists():
        return "the packages of npm are not installed: run `npm ci` in examples, as `make examples` does"
    made = subprocess.run(
        [node, "build.mjs", str(folder.resolve()), *names],
        cwd=PAGES,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return f"its pages could not be made: {made.stderr.strip()}" if made.returncode else ""
