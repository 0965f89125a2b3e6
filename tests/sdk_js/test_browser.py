"""The scenarios in Chromium."""

from __future__ import annotations

from tests.sdk_js.stage import CHROMIUM, HERE, ROOT, need, play, stage


async def test_the_sdk_in_chromium(database: str) -> None:
    need(CHROMIUM.exists(), f"there is no Chromium at {CHROMIUM}")
    need((ROOT / "tests/browser/node_modules/playwright-core").exists(), "playwright-core is not installed")
    async with stage(database) as one:
        await play(one, str(HERE / "browser.test.mjs"))
