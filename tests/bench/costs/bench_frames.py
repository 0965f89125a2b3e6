"""What fewer bytes cost: deltas of live queries, and permessage-deflate (RFC 7692), which the server does not have.

Bytes and time of the processor, once per event (*encode*) or per compressed message. *shared*: compressed once for all
receivers, without context takeover; *own*: a compressor per connection that keeps its window. Each row is of one run, so
compare within it. Run with ``python -m tests.bench.costs.bench_frames``.
"""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable
from typing import Any

import orjson

from engine.live.core.document_changes import MODIFIED, REMOVED, DocChange, WindowEvent
from server.wire.encoder import EventFrames

HEAD = b'{"type":"snapshot","channel":"db:collection:messages","id":"q1",'
ROUNDS = 5_000
TAIL = 4  # bytes of a flushed block that are not sent (RFC 7692, 7.2.1)


def document(number: int) -> dict[str, Any]:
    chance = random.Random(number)
    words = [" ".join(chance.choices(("live", "query", "window", "slot", "lease", "row"), k=30)) for _ in range(2)]
    return {"id": number, "room": "general", "body": words[0], "note": words[1], "likes": number % 7, "done": False}


def event(kind: str, number: int) -> WindowEvent:
    before = orjson.dumps(document(number))
    after = before if kind == REMOVED else orjson.dumps({**document(number), "likes": 9, "done": True})
    index = -1 if kind == REMOVED else 0
    return WindowEvent(number, False, [DocChange(kind, 0, index, str(number), after, before)])


def each(work: Callable[[int], int]) -> tuple[float, float]:
    """Bytes, and microseconds of the processor, of one of ``ROUNDS``."""
    began = time.process_time()
    size = sum(map(work, range(ROUNDS)))
    return size / ROUNDS, (time.process_time() - began) / ROUNDS * 1e6


def deltas(kind: str) -> dict[str, Any]:
    frames = EventFrames()
    events = [[event(kind, number) for number in range(ROUNDS)] for _ in range(2)]
    whole, encode = each(lambda number: len(frames.frame(HEAD, events[0][number]).data))
    small, encode_delta = each(lambda number: len(frames.frame(HEAD, events[1][number], delta=True).data))
    return {"what": kind, "bytes": whole, "smaller": small, "us": encode, "us_smaller": encode_delta}


def compressed(what: str, payloads: list[bytes], wbits: int, level: int, *, own: bool) -> dict[str, Any]:
    kept = zlib.compressobj(1, zlib.DEFLATED, -wbits, level)

    def once(number: int) -> int:
        packer = kept if own else zlib.compressobj(1, zlib.DEFLATED, -wbits, level)
        payload = payloads[number % len(payloads)]
        return len(packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)) - TAIL

    small, spent = each(once)
    whole = sum(map(len, payloads)) / len(payloads)
    return {"what": what, "bytes": whole, "smaller": small, "us": 0.0, "us_smaller": spent}


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


def memory(wbits: int, level: int) -> float:
    """KiB of a connection's compressor that has compressed a message."""
    before = resident()
    made = [zlib.compressobj(1, zlib.DEFLATED, -wbits, level) for _ in range(1_000)]
    for packer in made:
        packer.compress(b"message" * 25)
        packer.flush(zlib.Z_SYNC_FLUSH)
    return (resident() - before) / len(made)


def main() -> None:
    messages = [
        orjson.dumps(
            {"type": "message", "channel": "chat:1", "data": {"text": document(n)["body"][:60]}, "id": f"{n:x}"}
        )
        for n in range(ROUNDS)
    ]
    snapshots = [orjson.dumps([document(n * 50 + row) for row in range(50)]) for n in range(20)]
    rows = [deltas(MODIFIED), deltas(REMOVED)]
    for name, payloads in (("message", messages), ("snapshot", snapshots)):
        rows.append(compressed(f"{name}, deflate, shared", payloads, 15, 8, own=False))
        rows.append(compressed(f"{name}, deflate, own", payloads, 15, 8, own=True))
        rows.append(compressed(f"{name}, deflate, own, 2 KiB window", payloads, 11, 4, own=True))
    for row in rows:
        print(
            f"{row['what']:38} {row['bytes']:8.0f} -> {row['smaller']:6.0f} bytes  {row['us']:6.1f} -> "
            f"{row['us_smaller']:6.1f} us"
        )
    for wbits, level in ((15, 8), (11, 4)):
        print(f"a compressor with a window of {1 << wbits} bytes: {memory(wbits, level):.0f} KiB")


if __name__ == "__main__":
    main()
