"""The built documentation, opened from disk in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.browsers import browser_environment, need_browser

HERE = Path(__file__).parent
OF_EACH_KIND = (
    "index.html",
    "getting-started.html",
    "guides/quickstart.html",
    "guides/sql.html",
    "performance.html",
    "sdk/python-reference.html",
)
"""A page of each kind: prose, tabs, code, tables that scroll and others, and what is generated from docstrings. All pages
have one style sheet, header and navigation: those are looked at here, and in both colour schemes.
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_browser("chromium")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    subprocess.run(build, cwd=HERE.parents[2], check=True, capture_output=True)
    return folder


def run(scenario: str, *arguments: str) -> None:
    done = subprocess.run(
        ["node", str(HERE / scenario), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | browser_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.own_database  # no database, but a browser, which `make check` does without
def test_the_search_of_the_documentation_works_from_disk_and_without_a_network(site: Path) -> None:
    run("search.mjs", str(site / "index.html"))


@pytest.mark.own_database
@pytest.mark.long
def test_axe_finds_nothing_on_any_page(site: Path) -> None:
    run("axe.mjs", str(site), *OF_EACH_KIND)
