"""A relay in a process of its own, which a test can kill: its arguments are DSN, slot, decoder and socket.

With a name as fifth argument it is a worker of that name instead, which writes each transaction (as
:mod:`tests.support.programs.frames_reader` describes it) to standard output until the logical message ``LAST`` comes.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final, cast

import structlog

from engine.feed.feed import Feed, FeedSettings
from engine.feed.settings import DecoderName
from engine.relay.feed import RelayFeed
from engine.relay.listener import Listener
from engine.relay.relay import Relay
from engine.transaction import Message, Progress, Transaction
from tests.support.programs.frames_reader import described, write_block

__all__ = ["LAST", "READY", "VERSION", "relay"]

VERSION: Final = "a test"
LAST: Final = b"the end of the recording"
READY: Final = b"streaming"


async def relay(dsn: str, settings: FeedSettings, path: Path, version: str) -> None:
    """Relay the slot of ``settings`` until the task is cancelled."""
    relay = Relay(Feed(dsn, replace(settings, shared=True)))
    async with Listener(relay, path, version).open():
        await relay.run()


async def _work(feed: RelayFeed) -> None:
    async with feed:
        await feed.streaming()
        write_block(sys.stdout.buffer, READY)
        sys.stdout.buffer.flush()
        async for event in feed:
            assert isinstance(event, Transaction | Progress), event
            if isinstance(event, Transaction):
                write_block(sys.stdout.buffer, described(event))
                feed.confirm(event.end)
                if any(isinstance(change, Message) and change.content == LAST for change in event.changes):
                    return


def main() -> None:
    """See the module."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    dsn, slot, decoder, socket, *worker = sys.argv[1:]
    settings = FeedSettings(slot_name=slot, decoder=cast("DecoderName", decoder), node_id=worker[0] if worker else None)
    if worker:
        asyncio.run(_work(RelayFeed(dsn, settings, Path(socket), VERSION)))
    else:
        asyncio.run(relay(dsn, settings, Path(socket), VERSION))


if __name__ == "__main__":
    main()
