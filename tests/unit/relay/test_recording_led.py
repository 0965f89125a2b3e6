"""One worker leads the recording of commits: another one once it has left."""

from __future__ import annotations

import asyncio
from typing import cast

from engine.feed.feed import Feed
from engine.relay.messages import Appointed, Hello, RecordingWanted, Welcome
from engine.relay.relay import Relay
from engine.tasks import end
from tests.unit.relay.test_slow_worker import FeedOfTransactions, Worker


def appointed(*workers: Worker) -> list[str]:
    """The names of the workers that were appointed, however often."""
    return [worker.node for worker in workers for message in worker.posted if isinstance(message, Appointed)]


async def test_one_worker_leads_the_recording_and_another_one_once_it_has_left() -> None:
    relay = Relay(cast(Feed, FeedOfTransactions()))
    task = asyncio.create_task(relay.run())
    await relay.ready.wait()
    one, two, three = (Worker(name, stuck=False) for name in ("1", "2", "3"))
    with relay.connected(three):
        with relay.connected(two):
            with relay.connected(one):
                for worker in (two, one, three):
                    relay.welcome(Hello(2, "test", worker.node), worker)
                assert appointed(one, two, three) == ["2"]
            assert appointed(one, two, three) == ["2"]
        assert appointed(one, two, three) == ["2", "3"]
        again = Worker("3", stuck=False)
        with relay.connected(again):
            relay.welcome(Hello(2, "test", "3"), again)
            assert appointed(again) == ["3"]
    back = Worker("2", stuck=False)
    with relay.connected(back):
        relay.welcome(Hello(2, "test", "2"), back)
        assert appointed(back) == ["2"]
    await end([task])


class ClusterFeed(FeedOfTransactions):
    """A feed that reports what the relay of a cluster has recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.reports_recorded = True
        self.requests = 0

    def request_recording(self) -> None:
        self.requests += 1


async def test_no_worker_leads_the_recording_where_the_relay_of_a_cluster_does() -> None:
    feed = ClusterFeed()
    relay = Relay(cast(Feed, feed))
    task = asyncio.create_task(relay.run())
    await relay.ready.wait()
    worker = Worker("1", stuck=False)
    with relay.connected(worker):
        relay.welcome(Hello(3, "test", "1"), worker)
        assert appointed(worker) == []
        [welcome] = [message for message in worker.posted if isinstance(message, Welcome)]
        assert welcome.reports_recorded
        relay.take(worker, RecordingWanted())
        assert feed.requests == 1
    await end([task])
