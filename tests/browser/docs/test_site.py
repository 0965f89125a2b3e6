"""The built documentation, opened from disk in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.browsers import browser_environment, need_browser

HERE = Path(__file__).parent


@pytest.mark.own_database  # no database, but a browser, which `make check` does without
def test_the_search_of_the_documentation_works_from_disk_and_without_a_network(tmp_path: Path) -> None:
    need_browser("chromium")
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path)]
    subprocess.run(build, cwd=HERE.parents[2], check=True, capture_output=True)
    done = subprocess.run(
        ["node", str(HERE / "search.mjs"), str(tmp_path / "index.html")],
        capture_output=True,
        text=True,
        env=os.environ | browser_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
