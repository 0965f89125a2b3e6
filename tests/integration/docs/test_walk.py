"""The walk of a row change in ``docs/architecture.md`` is the one that a row takes, step by step."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.server import ServerState
from websockets.asyncio.client import connect

from server.app.loading import load_settings
from server.app.node import Node
from server.app.uvicorn_http import arrivals
from tests.conftest import database_on
from tests.support.clients.list_client import TABLE, TOP, ListClient, slot_name, write

PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"
PLACE = re.compile(r"`((?:engine|server)/[\w/]+)\.py:([\w.]+)`")

DECODER, CHANGE = "PgOutputDecoder.feed", "Window.insert"
NOT_BY_AN_INSERT = {"Wal2JsonDecoder.feed", "Window.update", "Window.delete"}
AT_ANY_TIME = {"StreamDriver.confirm"}
"""The slot is confirmed by the stream, which does not wait for sockets."""


def walk() -> dict[CodeType, str]:
    """The functions that the walk names, in its order; classes and what an insert has no part in are no steps."""
    section = PAGE.read_text().split("## The walk of a row change")[1].split("\n## ")[0]
    steps: dict[CodeType, str] = {}
    for path, name in PLACE.findall(section):
        found: Any = importlib.import_module(path.replace("/", "."))
        for part in name.split("."):
            found = getattr(found, part)
        if inspect.isfunction(found) and name not in NOT_BY_AN_INSERT:
            steps.setdefault(found.__code__, name)
    return steps


@contextmanager
def traced(steps: dict[CodeType, str]) -> Iterator[list[str]]:
    """Which of ``steps`` this thread enters or goes on with, each at its first time.

    What comes before the last message of the transaction, such as a keepalive's progress, is forgotten.
    """
    taken: list[str] = []
    names = list(steps.values())
    reading = names[: names.index(DECODER)]

    def look(frame: FrameType, event: str, _: object) -> None:
        name = steps.get(frame.f_code) if event == "call" else None
        if name == DECODER and CHANGE not in taken:
            taken[:] = [each for each in taken if each in reading]
        if name is not None and name not in taken:
            taken.append(name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield taken
    finally:
        sys.setprofile(before)


@asynccontextmanager
async def node_here(dsn: str) -> AsyncIterator[str]:
    """The URL of a node in this process and on this event loop."""
    node = Node(load_settings(slot_name=slot_name(), ephemeral=True, decoder="pgoutput"), dsn)
    config = uvicorn.Config(app=Starlette(), ws="none", lifespan="off", log_config=None)
    listener = socket.create_server(("127.0.0.1", 0))
    make = partial(arrivals(node), config=config, server_state=ServerState(), app_state={})
    await node.start()
    server = await asyncio.get_running_loop().create_server(make, sock=listener)
    try:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/realtime"
    finally:
        server.close()
        node.disconnect_all()
        await node.stop()
        await server.wait_closed()


async def test_an_inserted_row_takes_the_steps_of_the_walk_in_their_order(pg18: Any) -> None:
    steps = walk()
    with database_on(pg18, TABLE) as dsn:
        async with node_here(dsn) as url, connect(url) as client:
            reader = ListClient(client)
            assert (await reader.receive())["type"] == "connected"
            await reader.subscribe(TOP)
            await asyncio.to_thread(write, dsn, "insert into messages values (1, 'a', 'before', 1)")
            await reader.event()  # so the stream is past what the connection wrote
            with traced(steps) as taken:
                await asyncio.to_thread(write, dsn, "insert into messages values (2, 'a', 'new', 2)")
                await reader.event()
            assert [id for id, _ in reader.list] == ["2", "1"]
    assert [name for name in taken if name not in AT_ANY_TIME] == [
        name for name in steps.values() if name not in AT_ANY_TIME
    ]
