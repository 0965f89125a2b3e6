"""The scenarios in browsers."""

from __future__ import annotations

import pytest

from tests.integration.sdk_js.scenario_server import SCENARIOS, play, scenario_server
from tests.support.browsers import BROWSERS, need_browser


@pytest.mark.long
@pytest.mark.parametrize("browser", BROWSERS)
async def test_the_sdk_in_a_browser(database: str, browser: str) -> None:
    need_browser(browser)
    async with scenario_server(database) as one:
        await play(one, str(SCENARIOS / "browser.test.mjs"), BROWSER=browser)
