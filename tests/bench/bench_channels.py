"""Messages through PostgreSQL: publish-to-receive latency and rates, beside what pgbench gets for the same insert.

Ten publishers, one channel, twenty subscribers, a feed and channels in one process, as in a server without sockets. Run from
the checkout: ``python -m tests.bench.bench_channels``.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import tempfile
import time

import msgspec
import uvloop

from engine.channels.core.messages.model import ChannelEvent, ChannelOptions, Member, Publication
from engine.channels.service import Channels, ChannelSettings
from engine.feed.feed import Feed
from engine.feed.settings import FeedSettings
from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.processes import local_postgres
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.fakes.receivers import Calling
from tests.support.nodes.stream_and_live import StreamAndLive

CHANNEL = "bench"  # without a colon: pgbench would take it for a variable
PUBLISHERS = 10
SUBSCRIBERS = 20
WRITERS = 8
PADDING = "x" * 60
STATEMENT = (
    "insert into realtime.messages (channel, event, payload) values "
    f"('{CHANNEL}', 'sent', jsonb_build_object('at', extract(epoch from clock_timestamp()), 'text', '{PADDING}'));\n"
)


class _Data(msgspec.Struct):
    at: float


class _Message(msgspec.Struct):
    data: _Data


_decode = msgspec.json.Decoder(_Message).decode


class Subscriber:
    """Counts events; the first one also takes the time."""

    def __init__(self, timing: bool) -> None:
        self.count = 0
        self.taken: list[float] = []
        self._timing = timing

    def deliver(self, event: ChannelEvent) -> None:
        body = event.json
        self.count += 1
        if self._timing:
            self.taken.append(time.time() - _decode(body).data.at)


async def publish(channels: Channels, rate: float, seconds: float, number: int) -> list[float]:
    """One publisher at a steady pace; how long each ack took."""
    member = Member(f"c{number}", f"user{number}")
    loop = asyncio.get_running_loop()
    acks: list[float] = []
    under_way: set[asyncio.Task[None]] = set()

    async def one() -> None:
        began = time.time()
        await channels.publish(
            Publication(CHANNEL, "sent", b'{"at":%.6f,"text":"%b"}' % (began, PADDING.encode()), member)
        )
        acks.append(time.time() - began)

    start = loop.time()
    sent = 0
    while loop.time() - start < seconds:
        due = int((loop.time() - start) * rate) - sent
        for _ in range(due):
            task = asyncio.create_task(one())
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        sent += due
        await asyncio.sleep(0.005)
    await asyncio.gather(*under_way)
    return acks


def pgbench(postgres: LocalPostgres, dsn: str, seconds: float) -> float:
    """Transactions per second of the plain insert, one message each, by 8 clients."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(STATEMENT)
        script.flush()
        done = subprocess.run(
            [str(postgres.bin_dir / "pgbench"), "-n", "-M", "prepared", "-c", str(WRITERS), "-j", "1", "-T",
            str(int(seconds)),
             "-f", script.name, dsn],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    assert found is not None, done.stdout
    return float(found[1])


def line(what: str, rate: float, taken: list[float], expected: int, delivered: int) -> dict[str, object]:
    """One line of the table."""
    steps = statistics.quantiles(taken, n=1000) if len(taken) > 1 else [0.0] * 999
    return {
        "what": what,
        "messages/s": rate,
        "p50 ms": steps[499] * 1000,
        "p95 ms": steps[949] * 1000,
        "p99 ms": steps[989] * 1000,
        "deliveries": delivered,
        "missing": expected - delivered,
    }


async def measure(postgres: LocalPostgres, dsn: str, rate: int, seconds: float) -> list[dict[str, object]]:
    """All lines."""
    lines = []
    settings = FeedSettings(slot_name="bench", ephemeral=True)
    async with Feed(dsn, settings) as feed:
        await feed.streaming()
        following = StreamAndLive(dsn, feed, trim_interval=1.0)
        channels = Channels(dsn, following.stream, feed.lease, ChannelSettings(node_id=settings.node))
        await following.start()
        await channels.start()
        subscribers = [Subscriber(number == 0) for number in range(SUBSCRIBERS)]
        for number, subscriber in enumerate(subscribers):
            handle = await channels.subscribe(
                CHANNEL, ChannelOptions(), Member(f"s{number}"), Calling(subscriber.deliver)
            )
            handle.begin()
        for _ in range(2):  # the first round warms up
            for subscriber in subscribers:
                subscriber.count = 0
                subscriber.taken = []
            began = time.monotonic()
            acks = await asyncio.gather(
                *(publish(channels, rate / PUBLISHERS, seconds, number) for number in range(PUBLISHERS))
            )
            took = time.monotonic() - began
        sent = sum(map(len, acks))
        delivered = sum(subscriber.count for subscriber in subscribers)
        what = f"{PUBLISHERS} publishers, {SUBSCRIBERS} subscribers"
        lines.append(line(what, sent / took, subscribers[0].taken, sent * SUBSCRIBERS, delivered))
        lines.append(line("  their acks", sent / took, [a for one in acks for a in one], sent, sent))
        for subscriber in subscribers:
            subscriber.count = 0
            subscriber.taken = []
        tps = await asyncio.to_thread(pgbench, postgres, dsn, seconds)
        await following.stream.reached(await channels.store.flushed())
        count = subscribers[0].count
        lines.append(
            line(
                f"{WRITERS} SQL writers, 1 message/commit, followed",
                tps,
                subscribers[0].taken,
                count * SUBSCRIBERS,
                sum(subscriber.count for subscriber in subscribers),
            )
        )
        await channels.stop()
        await following.stop()
    tps = await asyncio.to_thread(pgbench, postgres, dsn, seconds)
    lines.append(line(f"{WRITERS} SQL writers, no reader (pgbench)", tps, [], 0, 0))
    return lines


def main() -> None:
    """Start Postgres, measure, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=8)
    arguments = parser.parse_args()
    with local_postgres() as postgres:
        dsn = fresh_database(postgres)
        report("channels", uvloop.run(measure(postgres, dsn, arguments.rate, arguments.seconds)))


if __name__ == "__main__":
    main()
