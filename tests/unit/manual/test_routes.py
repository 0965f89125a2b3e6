"""What is served below ``/docs``: the pages, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from server.manual import FIRST, routes
from server.repository_address import public_address, repository_address


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=Starlette(routes=routes())), base_url="http://localhost:8000"
    )


async def test_the_documentation_begins_at_its_first_page_and_brings_its_images_and_styles() -> None:
    async with client() as http:
        first = await http.get("/docs", follow_redirects=True)
        assert (first.status_code, first.url.path) == (200, FIRST)
        assert "<title>Bunbase Realtime</title>" in first.text
        assert "script-src 'self'" in first.headers["content-security-policy"]
        for path in ("images/data-flow.svg", "static/styles/manual.css", "static/shared/styles/base.css"):
            assert (await http.get(f"/docs/{path}")).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["../pyproject.toml", "%2e%2e/pyproject.toml", "..%2fpyproject.toml", "none.md", "css", "images/../../README.md"],
)
async def test_nothing_but_the_pages_is_served(path: str) -> None:
    async with client() as http:
        assert (await http.get(f"/docs/{path}")).status_code == 404


@pytest.mark.parametrize(
    ("remote", "address"),
    [
        ("https://git.example.org/team/realtime.git", "https://git.example.org/team/realtime"),
        ("https://user:secret@git.example.org:8443/team/realtime", "https://git.example.org:8443/team/realtime"),
        ("ssh://git@git.example.org:2222/team/realtime.git", "https://git.example.org/team/realtime"),
        ("git@git.example.org:team/realtime.git", "https://git.example.org/team/realtime"),
        ("git://git.example.org/realtime.git/", "https://git.example.org/realtime"),
        ("/srv/git/realtime.git", None),
        ("../realtime", None),
        ("file:///srv/realtime.git", None),
        ("buildhost:realtime.git", None),
        ("C:\\code\\realtime", None),
        ("javascript:alert(1)", None),
        ("https://git.example.org/", None),
        ("", None),
    ],
)
def test_a_remote_has_a_page_if_its_host_is_public(remote: str, address: str | None) -> None:
    assert public_address(remote) == address


def test_the_package_names_its_repository_and_otherwise_the_clone_does(tmp_path: Path) -> None:
    named = ["Homepage, https://example.org", "Repository, https://git.example.org/team/realtime"]
    assert repository_address(named, tmp_path) == "https://git.example.org/team/realtime"
    assert repository_address([], tmp_path) is None
    (tmp_path / ".git").mkdir()
    assert repository_address([], tmp_path) is None, "this is no repository"
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    assert repository_address([], tmp_path) is None, "it has no remote"
    remote = ["git", "-C", str(tmp_path), "remote", "add", "origin", "git@git.example.org:team/fork.git"]
    subprocess.run(remote, check=True)
    assert repository_address(named[:1], tmp_path) == "https://git.example.org/team/fork"
