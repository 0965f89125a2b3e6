"""The proxy as a process: ``python -m tests.faultproxy HOST:PORT [--port N] [--control N]``.

Prints one JSON line, ``{"port": …, "control": …}``. On the control port every line is a JSON object, answered by one line:
``{"do": "cut"}`` (``end``, ``half_open``, ``truncate``, ``heal``, and ``linger`` with ``seconds``), or
``{"set": {"delay": 0.2, "bytes_per_second": 0, "refuse": false, "blocked": ["websocket"]}}``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from asyncio import StreamReader, StreamWriter
from typing import Any

from tests.faultproxy.proxy import FaultProxy

_DEEDS = frozenset(("cut", "end", "half_open", "truncate", "heal"))
_SETTINGS = frozenset(("delay", "bytes_per_second", "deaf", "refuse"))


def obey(proxy: FaultProxy, order: dict[str, Any]) -> None:
    """Carry out one order. Raises ``ValueError`` for one that is not known."""
    if (deed := order.get("do")) is not None:
        if deed == "linger":
            proxy.linger(float(order.get("seconds", 1)))
        elif deed in _DEEDS:
            getattr(proxy, deed)()
        else:
            raise ValueError(f"unknown: {deed!r}")
    for name, value in order.get("set", {}).items():
        if name == "blocked":
            proxy.blocked = tuple(word.encode() for word in value)
        elif name in _SETTINGS:
            setattr(proxy, name, value)
        else:
            raise ValueError(f"unknown: {name!r}")


async def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", type=int, default=0)
    arguments = parser.parse_args()
    host, _, port = arguments.target.rpartition(":")
    async with FaultProxy(host or "127.0.0.1", int(port), listen=arguments.port) as proxy:

        async def control(reader: StreamReader, writer: StreamWriter) -> None:
            async for line in reader:
                try:
                    obey(proxy, json.loads(line))
                    answer: dict[str, Any] = {"ok": True, "open": proxy.open, "accepted": proxy.accepted}
                except ValueError as error:
                    answer = {"ok": False, "error": str(error)}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()

        server = await asyncio.start_server(control, "127.0.0.1", arguments.control)
        print(json.dumps({"port": proxy.port, "control": server.sockets[0].getsockname()[1]}), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
