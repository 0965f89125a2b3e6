"""Hostile clients of all kinds at once, in a process of their own.

``python -m tests.bench.parts.attacks URL SECONDS KIND,… SOURCE…``: each kind runs from each ``SOURCE`` address, which
``X-Forwarded-For`` names; one that is ``-`` names none. Prints ``ready``, begins when a line comes in, and at the end prints
as JSON how often each kind did what it does.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from websockets.frames import Opcode

from tests.support.clients.raw_socket import masked

__all__ = ["KINDS", "Target"]

_BROKEN = (OSError, EOFError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
_PAUSE = 0.2  # seconds after a refused connection: longer than a flood would wait, and the floods do not


@dataclass(frozen=True)
class Target:
    """Where to, from where, and until when."""

    host: str
    port: int
    source: str
    until: float
    done: Counter[str]

    @property
    def goes_on(self) -> bool:
        """Whether the minute is not over."""
        return time.monotonic() < self.until

    @property
    def headers(self) -> str:
        """The headers of any request."""
        forwarded = "" if self.source == "-" else f"X-Forwarded-For: {self.source}\r\n"
        return f"Host: {self.host}\r\n{forwarded}"

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection."""
        async with asyncio.timeout(10):
            return await asyncio.open_connection(self.host, self.port)

    async def websocket(self, query: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A WebSocket that has been greeted. Raises ``ConnectionRefusedError`` after a pause, if it was refused."""
        reader, writer = await self.open()
        writer.write(
            f"GET /realtime{query} HTTP/1.1\r\n{self.headers}Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head:
            writer.close()
            await asyncio.sleep(_PAUSE)
            raise ConnectionRefusedError
        return reader, writer


async def _slow_heads(target: Target) -> None:
    reader, writer = await target.open()
    writer.write(b"GET /realtime HTTP/1.1\r\n")
    with suppress(*_BROKEN):
        while target.goes_on and not reader.at_eof():
            writer.write(b"X: y\r\n")
            await writer.drain()
            target.done["slow heads"] += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await reader.read(1000)
    writer.close()


async def _handshakes(target: Target) -> None:
    reader, writer = await target.open()
    writer.write(
        f"GET /realtime HTTP/1.1\r\n{target.headers}Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        await reader.read(100)
    target.done["handshakes"] += 1
    writer.transport.abort()


async def _never_read(target: Target) -> None:
    _, writer = await target.websocket()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(masked(Opcode.TEXT, b'{"type":"subscribe","channel":"load","history":1000}'))
    data = json.dumps({"type": "message", "channel": "load", "event": "e", "data": "x" * 50_000}).encode()
    while target.goes_on and not writer.is_closing():
        writer.write(masked(Opcode.TEXT, data))
        target.done["never read"] += 1
        await asyncio.sleep(0.1)
    writer.transport.abort()


async def _fragments(target: Target) -> None:
    _, writer = await target.websocket()
    writer.write(masked(Opcode.TEXT, b"x", fin=False))
    while target.goes_on and not writer.is_closing():
        writer.write(masked(Opcode.CONT, b"x", fin=False) * 1000)
        target.done["fragments"] += 1000
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.transport.abort()


_PARSED = [
    b"[" * 60_000 + b"]" * 60_000,
    b'{"type":"message","channel":"c","event":"e","data":' + b"9" * 120_000 + b"}",
    b'{"type":"message","channel":"c","event":"e","data":1e' + b"9" * 1000 + b"}",
    b'{"type":"message","channel":"c","event":"e","data":"' + b"\\ud800" * 20_000 + b'"}',
    b'{"type":"message","channel":"c","event":"\\u0000","data":"' + b"\\u0000" * 20_000 + b'"}',
    b'{"type":"message","channel":"c","event":"e","data":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    b'{"type":"message","channel":"c","event":"e","data":[' + b"1.5e3," * 20_000 + b"1]}",
    b'{"type":"subscribe","channel":"' + b"c" * 120_000 + b'"}',
]
_NO_TEXT = b"\xff\xfe" * 5_000
_PACKED = [
    b"\xdd\xff\xff\xff\xff" * 1000,
    b"\xdf\xff\xff\xff\xff" * 1000,
    b"\x91" * 100_000,
    b"\xc9\xff\xff\xff\xff\x01",
    b"\x85\xa4type\xa7message\xa7channel\xa1c\xa5event\xa1e\xa4data\xdc\x75\x30" + b"\xcb\x7f\xf8\0\0\0\0\0\0" * 10_000,
]


async def _answered(target: Target, name: str, query: str, frames: list[bytes]) -> None:
    """Send frames at about the rate that is allowed, and take what comes."""
    reader, writer = await target.websocket(query)

    async def take() -> None:
        with suppress(*_BROKEN):
            while await reader.read(1 << 16):
                pass

    taking = asyncio.create_task(take())
    try:
        while target.goes_on and not taking.done():
            writer.write(random.choice(frames))
            target.done[name] += 1
            await writer.drain()
            await asyncio.sleep(0.008)
    finally:
        writer.transport.abort()
        await taking


async def _json(target: Target) -> None:
    await _answered(target, "json", "", [masked(Opcode.TEXT, text) for text in _PARSED])


async def _no_text(target: Target) -> None:
    await _answered(target, "invalid UTF-8", "", [masked(Opcode.TEXT, _NO_TEXT)])


async def _packed(target: Target) -> None:
    await _answered(target, "MessagePack", "?format=msgpack", [masked(Opcode.BINARY, data) for data in _PACKED])


def _subscribe(query: object, id: str = "x") -> bytes:
    return json.dumps({"type": "subscribe", "channel": "db:collection:messages", "id": id, "query": query}).encode()


async def _lists(target: Target) -> None:
    number = random.randrange(10**6)
    queries = [
        {"where": [["likes", "in", list(range(number, number + 10_000))]]},
        {"where": [["likes", "in", list(range(number, number + 1_000))]]},
        {"sql": f"select id from messages where likes in ({', '.join(map(str, range(number, number + 2_400)))})"},
        {"sql": "select id from messages where likes = any($1::int[])", "params": [list(range(10_000))]},
        {"sql": f"select count(*) from messages a, messages b where a.likes + b.likes = {number}"},
        {"sql": f"select likes, count(*) from messages group by likes having count(*) > {number % 7}"},
    ]
    leave = masked(Opcode.TEXT, b'{"type":"unsubscribe","channel":"db:collection:messages","id":"x"}')
    frames = [masked(Opcode.TEXT, _subscribe(query)) + leave for query in queries]
    await _answered(target, "lists and SQL", "", [*frames, masked(Opcode.TEXT, _subscribe(queries[5], f"{number}"))])


async def _too_fast(target: Target) -> None:
    reader, writer = await target.websocket()
    while target.goes_on and not reader.at_eof():
        writer.write(masked(Opcode.TEXT, b'{"type":"ping"}') * 200)
        target.done["too fast"] += 200
        await writer.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await reader.read(1 << 16)
    writer.transport.abort()


_TARGETS = (
    "http://elsewhere/realtime/health",
    "//realtime/health",
    "/realtime%2fhealth",
    "/realtime//connections",
    "/realtime/./health",
    "/health%0d%0aX-Injected:%201",
    "/realtime/poll?channel=%0d%0a",
    "/realtime/sse?channel=" + "c" * 2000,
)


async def _requests(target: Target) -> None:
    reader, writer = await target.open()
    for number in range(100):
        path = _TARGETS[number % len(_TARGETS)]
        host = "x" * 100 if number % 3 else "a b\x01"
        headers = target.headers if number % 2 else f"Host: {host}\r\n"
        writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
        target.done["requests"] += 1
        async with asyncio.timeout(10):
            if not await reader.read(1 << 16):
                break
    writer.transport.abort()


async def _sessions(target: Target) -> None:
    """Sessions of long polling, created and left."""
    reader, writer = await target.open()
    writer.write(f"POST /realtime/poll?channel=left HTTP/1.1\r\n{target.headers}Content-Length: 2\r\n\r\n{{}}".encode())
    target.done["sessions"] += 1
    async with asyncio.timeout(10):
        await reader.read(1 << 16)
    writer.transport.abort()


KINDS: dict[str, tuple[Callable[[Target], Awaitable[None]], int]] = {
    "slow heads": (_slow_heads, 50),
    "handshakes": (_handshakes, 2),
    "never read": (_never_read, 2),
    "fragments": (_fragments, 1),
    "json": (_json, 2),
    "invalid UTF-8": (_no_text, 1),
    "MessagePack": (_packed, 2),
    "lists and SQL": (_lists, 2),
    "too fast": (_too_fast, 1),
    "requests": (_requests, 2),
    "sessions": (_sessions, 1),
}
"""What each kind does once, and how many of it do so again and again at the same time, from each source."""


async def _again(kind: Callable[[Target], Awaitable[None]], target: Target) -> None:
    while target.goes_on:
        try:
            await kind(target)
        except _BROKEN as broken:
            target.done[f"{kind.__name__.strip('_')}: {type(broken).__name__}"] += 1
            await asyncio.sleep(0.01)


async def _attack(url: str, seconds: float, kinds: list[str], sources: list[str]) -> Counter[str]:
    address, done = urlsplit(url), Counter[str]()
    until = time.monotonic() + seconds
    targets = [Target(address.hostname or "", address.port or 80, source, until, done) for source in sources]
    chosen = [KINDS[kind] for kind in kinds]
    attackers = [_again(kind, target) for target in targets for kind, count in chosen for _ in range(count)]
    await asyncio.gather(*attackers)
    return done


def main() -> None:
    """Attack."""
    url, seconds, kinds, *sources = sys.argv[1:]
    # Attackers have processors of their own. The benchmark may run before everything else, by chrt(1).
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 19)
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(asyncio.run(_attack(url, float(seconds), kinds.split(","), sources))))


if __name__ == "__main__":
    main()
