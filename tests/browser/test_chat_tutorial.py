"""The chat tutorial: its SQL, its back end and its page, as they are written there, but for addresses and a secret."""

from __future__ import annotations

import asyncio
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.browser.test_quickstart import api, play
from tests.support.browsers import need, need_browser
from tests.support.clients.list_client import slot_name
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port
from tests.support.servers.commands import realtime
from tests.support.servers.processes import start
from tests.support.values.tokens import SECRET

HERE = Path(__file__).parent
SDK = HERE.parents[1] / "sdk"
PAGE = "docs/guides/chat-tutorial.md"
SERVED = """
from api import app
from fastapi.staticfiles import StaticFiles

app.mount("/", StaticFiles(directory="web/dist", html=True))
"""
"""In the place of Vite: one address for the page and ``/api``."""
INDEX = """<!doctype html>
<html lang="en">
<title>Chat</title>
<meta name="viewport" content="width=device-width, initial-scale=1.0">
<link rel="stylesheet" href="main.css">
<div id="root"></div>
<script type="module" src="main.js"></script>
</html>
"""


def write(folder: Path, server: str) -> None:
    """The files of the page, with the address of the server."""
    for block in blocks(page=PAGE):
        if block.title and block.language != "postgresql":
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text.replace("http://localhost:8000", server).replace('"…"', f'"{SECRET}"'))


def bundle(web: Path) -> None:
    """What ``vite build`` does, by the esbuild that the SDK has."""
    names = {"@bunbase/sdk": "js/src/index.ts", "@bunbase/sdk/adapters": "js/src/adapters.ts"}
    names["@bunbase/react"] = "react/src/index.ts"
    aliases = [f"--alias:{name}={SDK / path}" for name, path in names.items()]
    esbuild = str(SDK / "js" / "node_modules" / ".bin" / "esbuild")
    options = ["--bundle", "--format=esm", "--jsx=automatic", "--outdir=dist", "--log-level=warning"]
    environment = os.environ | {"NODE_PATH": str(SDK / "react" / "node_modules")}
    subprocess.run([esbuild, "src/main.tsx", *options, *aliases], cwd=web, env=environment, check=True, timeout=120)
    (web / "dist" / "index.html").write_text(INDEX)


@pytest.mark.long
@pytest.mark.own_database  # a browser, which `make check` does without
async def test_the_application_of_the_tutorial(database: str, tmp_path: Path) -> None:
    need_browser("chromium")
    need(find_spec("fastapi") is not None, "fastapi is not installed")
    for package in ("js", "react"):
        need((SDK / package / "node_modules").exists(), f"the packages of sdk/{package} are not installed")
    port = free_port()
    write(tmp_path, f"http://localhost:{port}")
    bundle(tmp_path / "web")
    (tmp_path / "served.py").write_text(SERVED)
    dev = ("dev", "--no-examples", "--dsn", database, "--config", str(tmp_path / "realtime.toml"))
    server = await start(*dev, port=port, config={"slot_name": slot_name()})
    try:
        done = realtime("psql", "--dsn", database, "-f", str(tmp_path / "chat.sql"))
        assert done.returncode == 0, done.stderr
        with api(tmp_path, database, "served:app") as url:
            await asyncio.to_thread(play, database, statements(), "chat_tutorial.mjs", url, str(tmp_path))
    finally:
        await server.end()


def statements() -> dict[str, str]:
    """Those of the page, and the last one without Eve, by the names that the scenario has for them."""
    broadcast, joined = [block.text for block in blocks("postgresql", page=PAGE)]
    return {"broadcast": broadcast, "joined": joined, "removed": joined.replace(', "eve"', "")}
