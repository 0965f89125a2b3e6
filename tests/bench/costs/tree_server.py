"""A server of some tree of the project, a former version for instance, beside that of this one."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path

from tests.support.ports import free_port
from tests.support.servers.processes import ServerProcess

__all__ = ["serve_tree"]


async def serve_tree(dsn: str, tree: Path, number: int, settings: Mapping[str, str]) -> ServerProcess:
    """Serve the empty database ``dsn`` by the code of ``tree``, in one worker, with ``settings`` and none of the
    environment's. ``number``: of the server, in the name of its slot.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REALTIME_")}
    given = {"ephemeral": "true", "drain_time": "0", "workers": "1", "slot_name": f"bench_{number}", **settings}
    environment |= {f"REALTIME_{name.upper()}": value for name, value in given.items()}
    environment |= {"PYTHONPATH": f"{tree}:{tree}/sdk/python"}
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server", "serve", "--migrate", "--dsn", dsn, "--port", str(port)),
        cwd=tree,
        env=environment,
        stdout=DEVNULL,
        stderr=PIPE,
    )
    return ServerProcess(process, port)
