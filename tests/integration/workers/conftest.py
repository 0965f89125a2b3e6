"""Servers of several workers, and what their log shows of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.clients.list_client import slot_name
from tests.support.ports import free_port
from tests.support.postgres.sql import until
from tests.support.servers.processes import ServerProcess, serving

WORKERS = 3


class Workers:
    """A server of several workers. ``slot``: of its first worker; the others' have their number behind it."""

    def __init__(self, server: ServerProcess, slot: str) -> None:
        self.server = server
        self.slot = slot

    def events(self, name: str) -> list[dict[str, Any]]:
        """Those that were logged so far."""
        found = (json.loads(line) for line in self.server.lines if f'"{name}"' in line)
        return [event for event in found if event["event"] == name]

    async def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """Wait for it to be logged for the ``count``-th time."""
        await until(lambda: len(self.events(name)) >= count)
        return self.events(name)[count - 1]

    @property
    def pids(self) -> dict[int, int]:
        """The processes, by the numbers of the workers."""
        return {event["number"]: event["pid"] for event in self.events("worker_ready")}


@asynccontextmanager
async def workers_over(dsn: str, **config: object) -> AsyncIterator[Workers]:
    """A server of three workers over ``dsn``, all of them ready."""
    slot = slot_name()
    given = {"workers": WORKERS, "slot_name": slot, "log_format": "json", "trust_user_parameter": "true"} | config
    async with serving(dsn, free_port(), **given) as server:
        workers = Workers(server, slot)
        await workers.event("worker_ready", int(str(given["workers"])))
        yield workers
