"""The page ``/dashboard``: there where the setting is on, and complete in what it loads."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from server import dashboard
from server.app.loading import load_settings
from server.cli.dev import with_dashboard
from server.dashboard import dashboard_routes

STATIC = Path(dashboard.__file__).parent / "static"


def test_the_dashboard_is_off_unless_it_is_asked_for_and_on_in_dev_unless_it_is_refused() -> None:
    assert not load_settings(None).dashboard
    assert load_settings(None, dashboard=True).dashboard
    assert with_dashboard(load_settings(None)).dashboard
    assert not with_dashboard(load_settings(None, dashboard=False)).dashboard


@pytest.fixture
async def client() -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Starlette(routes=list(dashboard_routes())))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_everything_that_the_page_and_its_modules_load_is_served(client: httpx.AsyncClient) -> None:
    page = (await client.get("/dashboard")).text
    loaded = set(re.findall(r'(?:href|src)="(/[^"]+)"', page))
    asked: set[str] = set()
    while new := loaded - asked:
        for path in sorted(new):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert answer.headers["cache-control"] == "no-cache"
            for imported in re.findall(r'^(?:import|\} from) .*?"(\.[^"]+)";$', answer.text, re.MULTILINE):
                loaded.add(httpx.URL("http://localhost" + path).join(imported).path)
        asked |= new
    own = {f"/dashboard/static/{path.relative_to(STATIC)}" for path in STATIC.rglob("*") if path.is_file()}
    assert own - asked == {"/dashboard/static/index.html"}, "these files are loaded by nothing"


async def test_the_page_has_no_script_and_no_style_in_its_text(client: httpx.AsyncClient) -> None:
    page = (await client.get("/dashboard")).text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page)


async def test_the_page_asks_its_own_server_alone(client: httpx.AsyncClient) -> None:
    policy = (await client.get("/dashboard")).headers["content-security-policy"]
    assert "connect-src 'self';" in policy
    assert "script-src 'self';" in policy
