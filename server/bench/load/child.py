"""A process of the load: lines of JSON in both directions."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from typing import Any

__all__ = ["Child"]


class Child:
    """``python -m MODULE '{…}'``: lines of JSON out, lines of JSON in."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, **arguments: object) -> Child:
        """Start it with one JSON object as its argument."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, json.dumps(arguments), stdin=PIPE, stdout=PIPE, limit=1 << 24
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def receive(self) -> Any:
        """The next line it writes. Raises ``RuntimeError`` if it has ended instead."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child ended with exit code {await self._process.wait()}")
        return json.loads(line)

    def send(self, value: object) -> None:
        """Write it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value).encode() + b"\n")

    async def end(self) -> None:
        """Close its input, which ends it, and wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
