"""An event that is the effect of a commit carries its time; what was read, or is delivered again, carries none."""

from __future__ import annotations

from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import Subscription
from tests.integration.conftest import Source
from tests.support.nodes.live_node import Follower, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import read, run_each

WINDOW = Query(
    "item", {"orderBy": [["id", "asc"]]}, "select to_jsonb(r) from (select id, name from item order by id) r"
)
REREAD = Query(
    "item",
    {"sql": "select count(*) as count from item", "params": []},
    "select to_jsonb(r) from (select count(*) as count from item) r",
)
NOW = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint"


class Watcher(Follower):
    """A follower that keeps the commit times."""

    def __init__(self, query: Query) -> None:
        super().__init__(query)
        self.times: list[int | None] = []
        self.positions: list[int] = []

    def deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        self.times.append(event.committed_at)
        self.positions.append(event.position)
        super().deliver(subscription, event)


async def test_changes_of_windows_and_of_reread_queries_carry_the_time_of_their_commit(source: Source) -> None:
    dsn = source.dsn
    run_each(dsn, "create table item (id int primary key, name text)", "select realtime.expose('item')")
    async with live_node(dsn, decoder=source.decoder) as playing:
        watchers = [Watcher(WINDOW), Watcher(REREAD)]
        for watcher in watchers:
            query = watcher.query
            watcher.subscription = await playing.live.subscribe(
                Principal(), query.collection, query.spec, watcher.deliver
            )
            watcher.subscription.begin()
        before = read(dsn, NOW)[0][0]
        run_each(dsn, "insert into item values (1, 'a')")
        after = read(dsn, NOW)[0][0]
        for watcher in watchers:
            await watcher.until(lambda watcher=watcher: len(watcher.times) == 2)  # type: ignore[misc]
            assert watcher.times[0] is None
            assert before <= (watcher.times[1] or 0) <= after
        first, _ = watchers
        assert first.subscription is not None
        first.subscription.pause()
        run_each(dsn, "insert into item values (2, 'b')")
        between = read(dsn, NOW)[0][0]
        run_each(dsn, "insert into item values (3, 'c')")
        await playing.caught_up()
        first.subscription.resume()
        assert between <= (first.times[-1] or 0) <= read(dsn, NOW)[0][0]
        returning = Watcher(WINDOW)
        resume = Resume(first.positions[1], first.subscription.epoch)
        returning.subscription = await playing.live.subscribe(
            Principal(), "item", WINDOW.spec, returning.deliver, resume
        )
        returning.subscription.begin()
        assert returning.subscription.recovered
        assert returning.times == [None, None]
