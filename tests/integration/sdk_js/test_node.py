"""The scenarios in Node, over each transport."""

from __future__ import annotations

import pytest

from tests.integration.sdk_js.scenario_server import SCENARIOS, npm, play, scenario_server
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

WAYS = [("websocket", "json"), ("websocket", "msgpack"), ("sse", "json"), ("polling", "json")]


@pytest.mark.parametrize(("transport", "format"), WAYS, ids=["-".join(way) for way in WAYS])
@pytest.mark.parametrize("scenario", ["channels", "queries", "drain"])
async def test_the_sdk_in_node(database: str, scenario: str, transport: str, format: str) -> None:
    async with scenario_server(database) as one:
        await play(one, str(SCENARIOS / f"{scenario}.test.mjs"), TRANSPORT=transport, FORMAT=format)


async def test_the_sdk_finds_a_way_through_networks_that_block(database: str) -> None:
    async with scenario_server(database) as one:
        await play(one, str(SCENARIOS / "fallback.test.mjs"))


async def test_the_documented_examples_in_node(database: str) -> None:
    async with scenario_server(database) as one:
        await play(one, str(SCENARIOS / "snippets.test.mjs"))


@pytest.mark.long
def test_the_parts_of_the_sdk_each_by_itself() -> None:
    npm("test")


@pytest.mark.long
async def test_the_package_as_npm_installs_it(database: str) -> None:
    async with scenario_server(database) as one:
        await play(one, str(SCENARIOS / "entries.test.mjs"))


async def test_the_server_entry_does_all_that_the_rest_api_offers(database: str) -> None:
    async with scenario_server(database) as one:
        await play(one, str(SCENARIOS / "server.test.mjs"))


@pytest.mark.long
def test_the_types_are_right_and_the_package_is_as_small_as_promised() -> None:
    for script in ("typecheck", "size"):
        npm(script)


def test_the_reference_in_the_documentation_is_as_generated_now() -> None:
    npm("docs:check")


async def test_the_sdk_is_let_in_by_its_token(database: str) -> None:
    issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
    async with scenario_server(database, auth_issuers=issuers, allow_anonymous=False) as one:
        scenario = str(SCENARIOS / "tokens.test.mjs")
        await play(one, scenario, TOKEN=token(sub="ada"), WRONG_TOKEN=token(aud="billing"))
