"""``/realtime/sdk.js`` and what it loads."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from server.app.http_app import make_app
from server.browser_sdk.modules import ENTRIES, SOURCES, load_modules
from server.browser_sdk.routes import sdk_routes
from server.observe.health import health_routes

FOR_EVER = "public, max-age=31536000, immutable"


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(health_routes(lambda: {"status": "ok"}), sdk_routes())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as http:
        yield http


def loaded_by(address: str, module: str) -> list[str]:
    found = re.findall(r'^(?:import|export\b[^;]*? from) "(\.[^"]+)";', module, re.MULTILINE)
    return [posixpath.normpath(posixpath.join(posixpath.dirname(address), each)) for each in found]


@pytest.mark.parametrize("entry", ENTRIES)
async def test_an_entry_loads_at_once_all_that_its_modules_import(client: httpx.AsyncClient, entry: str) -> None:
    address = f"/realtime/{entry}"
    answer = await client.get(address)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    loaded = loaded_by(address, answer.text)
    assert f"/realtime/sdk/{load_modules().digest}/{ENTRIES[entry]}" in loaded
    for module in loaded:
        got = await client.get(module)
        assert got.status_code == 200, module
        assert got.headers["cache-control"] == FOR_EVER
        assert set(loaded_by(module, got.text)) <= set(loaded), module


def test_the_entries_are_those_of_the_package() -> None:
    exports = json.loads((SOURCES.parent / "package.json").read_text())["exports"]
    assert {each["import"]["default"].removeprefix("./dist/") for each in exports.values()} == set(ENTRIES.values())


async def test_an_entry_is_asked_for_again_and_answered_without_a_body_while_it_is_the_same(
    client: httpx.AsyncClient,
) -> None:
    first = await client.get("/realtime/sdk.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/realtime/sdk.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await client.get("/realtime/sdk.js", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_modules_are_compressed_for_those_who_take_it(client: httpx.AsyncClient) -> None:
    address = f"/realtime/sdk/{load_modules().digest}/client/channel.js"
    plain = await client.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    packed = await client.get(address, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == plain.text


@pytest.mark.parametrize(
    "address",
    [
        "/realtime/sdk/nothing.js",
        "/realtime/sdk/0123456789abcdef/index.js",
        f"/realtime/sdk/{load_modules().digest}/nothing.js",
        f"/realtime/sdk/{load_modules().digest}/../index.js",
        f"/realtime/sdk/{load_modules().digest}/%2e%2e/index.js",
    ],
)
async def test_what_is_no_module_is_not_found(client: httpx.AsyncClient, address: str) -> None:
    answer = await client.get(address)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_misspelt_entry_is_answered_with_those_that_there_are(client: httpx.AsyncClient) -> None:
    detail = (await client.get("/realtime/sdk/nothing.js")).json()["detail"]
    assert all(entry in detail for entry in ENTRIES), detail
