"""The hooks for React: their own tests, their types, the package, and the application of their page in Chromium."""

from __future__ import annotations

import json

import pytest

from tests.integration.sdk_js.scenario_server import ROOT, SCENARIOS, npm, play, scenario_server
from tests.support.browsers import need, need_browser

REACT = ROOT / "sdk" / "react"


@pytest.fixture(autouse=True)
def installed() -> None:
    need((REACT / "node_modules" / "react").exists(), "the packages of sdk/react are not installed")


@pytest.mark.long
def test_the_hooks_each_by_itself() -> None:
    npm("test", REACT)


@pytest.mark.long
def test_the_types_of_the_hooks_are_right() -> None:
    npm("typecheck", REACT)


@pytest.mark.long
def test_the_package_has_modules_types_and_nothing_of_react_or_the_sdk() -> None:
    npm("build", REACT)
    package = json.loads((REACT / "package.json").read_text())
    for kind in package["exports"]["."].values():
        assert all((REACT / path).is_file() for path in kind.values())
    text = (REACT / "dist" / "index.js").read_text()
    assert 'from "react"' in text
    assert len(text) < 12_000
    assert "@bunbase/sdk" not in text.replace("hooks of @bunbase/react", "")
    assert "@bunbase/sdk" in (REACT / "dist" / "query.d.ts").read_text()


@pytest.mark.long
async def test_the_documented_application_in_chromium(database: str) -> None:
    need_browser("chromium")
    async with scenario_server(database) as one:
        await play(one, str(SCENARIOS / "react.test.mjs"))
