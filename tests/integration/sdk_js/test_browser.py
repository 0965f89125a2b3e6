"""The scenarios in browsers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.sdk_js.scenario_server import SCENARIOS, ScenarioServer, play, scenario_server
from tests.support.browsers import BROWSERS, need_browser


@pytest.mark.long
@pytest.mark.parametrize("browser", BROWSERS)
async def test_the_sdk_in_a_browser(database: str, browser: str) -> None:
    need_browser(browser)
    async with scenario_server(database) as one:
        await play(one, str(SCENARIOS / "browser.test.mjs"), BROWSER=browser)


@pytest.mark.long
@pytest.mark.parametrize("browser", BROWSERS)
async def test_a_scenario_that_is_given_up_leaves_no_process(
    database: str, browser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_browser(browser)
    mark = uuid4().hex
    launched, loop = asyncio.Event(), asyncio.get_running_loop()

    def launch(*_: object) -> None:
        loop.call_soon_threadsafe(launched.set)

    monkeypatch.setattr(ScenarioServer, "_sql", launch)
    async with scenario_server(database) as one:
        scenario = asyncio.create_task(play(one, str(SCENARIOS.parent / "hang.test.mjs"), BROWSER=browser, MARK=mark))
        await launched.wait()
        assert marked(mark)
        scenario.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scenario
        assert marked(mark) == []


def marked(mark: str) -> list[str]:
    """Processes that inherited the variable ``MARK``."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"MARK={mark}".encode() in environment.read_bytes():
                found.append((environment.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or is another user's
            continue
    return found
