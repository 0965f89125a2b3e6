"""The built documentation, opened from disk in a real browser."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.browsers import browser_environment, need_browser
from tests.support.built_site import built_site

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_browser("chromium")
    return built_site(tmp_path_factory)


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
    run("axe.mjs", str(site))
