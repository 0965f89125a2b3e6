"""What one slot for N workers costs beside N slots: processor seconds of walsenders, relay and workers per 100,000 rows.

The processes follow the stream while the rows are written (the transactions of ``bench_feed``) and look at the kind and
relation of each change, as a node without subscribers does. ``--transport`` compares what N receivers of the same bytes cost
over Unix sockets and over a ring in shared memory. Run with ``python -m tests.bench.costs.bench_relay``.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import structlog
import uvloop

from engine.feed.feed import Feed, FeedSettings
from engine.relay.feed import RelayFeed
from engine.transaction import Message, Transaction
from server.cli.local_postgres import LocalPostgres
from tests.bench.bench_feed import fill
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.programs.relay import relay

ROWS = 100_000
WORKERS = (1, 2, 3)
TICKS = os.sysconf("SC_CLK_TCK")
BLOCK = 64 << 10  # bytes that a link writes at once
RING = 64 * BLOCK
VERSION = "bench"


async def follow(feed: Feed | RelayFeed, rows: int) -> None:
    """Processor seconds of this process until it has seen all rows."""
    seen = 0
    async with feed:
        await feed.streaming()
        print("streaming", flush=True)
        began = time.process_time()
        async for event in feed:
            if not isinstance(event, Transaction):
                continue
            for change in event.changes:
                if not isinstance(change, Message) and change.kind and change.relation:
                    seen += 1
            feed.confirm(event.end)
            if seen >= rows:
                break
        print(time.process_time() - began, flush=True)
        await asyncio.to_thread(sys.stdin.read)  # the walsender lives until it was looked at


def child(kind: str, dsn: str, name: str, path: str) -> None:
    """One of the processes that are measured; it logs to standard error."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = FeedSettings(
        slot_name=Path(path).name if kind != "own" else name, node_id=name, ephemeral=kind != "worker"
    )
    if kind == "own":
        uvloop.run(follow(Feed(dsn, settings), ROWS))
    elif kind == "worker":
        uvloop.run(follow(RelayFeed(dsn, settings, Path(path), VERSION), ROWS))
    else:
        uvloop.run(relay(dsn, settings, Path(path), VERSION))


def seconds_of(pid: int) -> float:
    """Processor seconds of another process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(dsn: str, kind: str, count: int, path: Path) -> dict[str, float]:
    """One round: seconds of the walsenders, of the relay and of the workers together."""

    def start(kind: str, name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.bench.costs.bench_relay", "child", kind, dsn, name, str(path)]
        return subprocess.Popen(
            command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    reader = start("relay", "bench") if kind == "worker" else None
    workers = [start(kind, f"w{number}") for number in range(count)]
    try:
        for worker in workers:
            while worker.stdout is not None and worker.stdout.readline() != "streaming\n":
                assert worker.poll() is None
        before = 0.0 if reader is None else seconds_of(reader.pid)
        with psycopg.connect(dsn, autocommit=True) as sql:
            query = "select pid from pg_stat_replication"
            senders = [pid for (pid,) in sql.execute(query)]
            sent = sum(map(seconds_of, senders))
            fill(dsn, ROWS)
            taken = [float(worker.stdout.readline()) for worker in workers if worker.stdout is not None]
            return {
                "by walsenders": sum(map(seconds_of, senders)) - sent,
                "by the relay": 0.0 if reader is None else seconds_of(reader.pid) - before,
                "by workers": sum(taken),
            }
    finally:
        for worker in workers:
            worker.communicate("", timeout=60)
        if reader is not None:
            reader.kill()
            reader.communicate()


def slots() -> list[dict[str, object]]:
    """A line for each number of workers, with slots of their own and with one."""
    lines: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        server = LocalPostgres(Path(folder) / "pg", settings={"fsync": "off", "max_wal_size": "4GB"})
        server.start()
        try:
            for count in WORKERS:
                for kind in ("own", "worker"):
                    dsn = fresh_database(server)
                    with psycopg.connect(dsn, autocommit=True) as sql:
                        sql.execute("create table bench (id bigint primary key, n int, body text)")
                        sql.execute("select realtime.expose('bench')")
                    parts = measured(dsn, kind, count, Path(folder) / f"relay{count}")
                    slots_ = "one each" if kind == "own" else "one"
                    lines.append({"workers": count, "slots": slots_, **parts, "all": sum(parts.values())})
        finally:
            server.delete()
    return lines


def forked(work: Callable[[], None]) -> tuple[int, int]:
    """Run ``work`` in a process of its own: its id, and the end of a pipe from which its processor seconds come."""
    out, into = os.pipe()
    pid = os.fork()
    if pid:
        os.close(into)
        return pid, out
    work()
    os.write(into, str(time.process_time()).encode())
    os._exit(0)


def over_sockets(count: int, blocks: int) -> float:
    """Processor seconds of sender and receivers together for so many blocks over Unix sockets."""
    pairs = [socket.socketpair() for _ in range(count)]

    def receive(own: socket.socket) -> None:
        left = blocks * BLOCK
        while left:
            left -= len(own.recv(4 * BLOCK))

    receivers = [forked(lambda own=theirs: receive(own)) for _, theirs in pairs]  # type: ignore[misc]
    began, block = time.process_time(), bytes(BLOCK)
    for _ in range(blocks):
        for ours, _ in pairs:
            ours.sendall(block)
    return time.process_time() - began + finished(receivers)


def over_memory(count: int, blocks: int) -> float:
    """The same over a ring in shared memory: one copy into it for all, a wake-up and an answer a block for each."""
    ring = mmap.mmap(-1, RING)
    wakes = [socket.socketpair() for _ in range(count)]

    def receive(own: socket.socket) -> None:
        at = 0
        while at < blocks:
            for _ in own.recv(4096):
                bytes(ring[at * BLOCK % RING : at * BLOCK % RING + BLOCK])
                at += 1
            own.send(at.to_bytes(4, "big"))

    receivers = [forked(lambda own=theirs: receive(own)) for _, theirs in wakes]  # type: ignore[misc]
    began, block, taken = time.process_time(), bytes(BLOCK), [0] * count
    for number in range(blocks):
        for each, (ours, _) in enumerate(wakes):
            while number - taken[each] >= RING // BLOCK:
                taken[each] = int.from_bytes(ours.recv(4096)[-4:], "big")
        ring[number * BLOCK % RING : number * BLOCK % RING + BLOCK] = block
        for ours, _ in wakes:
            ours.send(b".")
    return time.process_time() - began + finished(receivers)


def finished(receivers: list[tuple[int, int]]) -> float:
    """The processor seconds of all receivers, which have ended then."""
    seconds = 0.0
    for pid, out in receivers:
        seconds += float(os.read(out, 64))
        os.waitpid(pid, 0)
        os.close(out)
    return seconds


def transports() -> list[dict[str, object]]:
    """Processor seconds per gigabyte that every receiver gets."""
    blocks = (1 << 29) // BLOCK
    lines: list[dict[str, object]] = []
    for count in WORKERS:
        once = over_sockets(count, blocks), over_memory(count, blocks)
        again = over_sockets(count, blocks), over_memory(count, blocks)
        by_socket, by_memory = (2 * min(pair) for pair in zip(once, again, strict=True))
        lines.append({"receivers": count, "Unix sockets": by_socket, "shared memory": by_memory})
    return lines


def main() -> None:
    """See the module."""
    if sys.argv[1:2] == ["child"]:
        _, _, kind, dsn, name, path = sys.argv
        return child(kind, dsn, name, path)
    parser = argparse.ArgumentParser()
    parser.add_argument("--transport", action="store_true")
    if parser.parse_args().transport:
        print(report("relay_transport", transports()))
    else:
        print(report("relay", slots()))
    return None


if __name__ == "__main__":
    main()
