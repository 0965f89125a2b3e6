"""Reads one huge transaction in a process of its own and prints by how many bytes its memory grew, at most.

Arguments: DSN, decoder, slot name, number of rows. Prints ``streaming`` when the rows may be written.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from engine.feed.feed import Feed, FeedSettings
from engine.transaction import Kind, Message, Transaction


def memory(field: str) -> int:
    """This process' memory in bytes, by the name Linux gives it: VmRSS (now) or VmHWM (at most so far).

    Not ``ru_maxrss``: a new process inherits that from the one that started it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


async def main(dsn: str, decoder: str, slot: str, rows: int) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # our output is for the test
    settings = FeedSettings(slot_name=slot, decoder=decoder, ephemeral=True)  # type: ignore[arg-type]
    async with Feed(dsn, settings) as feed:
        await feed.streaming()
        before = memory("VmRSS")
        print("streaming", flush=True)
        async for event in feed:
            if isinstance(event, Transaction):
                for _ in range(2):
                    count = total = 0
                    for change in event.changes:
                        assert not isinstance(change, Message)
                        assert change.kind is Kind.INSERT
                        new = change.new()
                        assert new is not None
                        assert new[0] is not None
                        total += int(new[0])
                        count += 1
                    assert count == rows
                    assert total == rows * (rows + 1) // 2
                break
        print(memory("VmHWM") - before, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
