"""Notifying one subscriber can pause, resume, begin or end any other, also in the middle of a transaction's events.

Whatever happens in between, a subscriber's list is the one it had with the events it was given.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.identity.visibility import ANONYMOUS
from engine.live.core.document_changes import WindowEvent, apply_changes, list_changes
from engine.live.core.result_set import ResultSet
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import LiveQuery, Subscription
from tests.support.examples import examples
from tests.support.nodes.live_node import Follower, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

Documents = list[tuple[str, bytes]]


class Theatre:
    """A few queries with re-read rows, their subscribers, and a chance of anything whenever one of those is notified."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.position = 1
        self.queries = [LiveQuery(ANONYMOUS, str(number), "t", {}) for number in range(3)]
        self.watchers: list[Watcher] = []
        self.failures: list[str] = []

    def transaction(self) -> None:
        """Some lists change, all at once; then each query notifies its subscribers."""
        self.position += self.chance.randint(0, 1)
        changed = []
        for query in self.chance.sample(self.queries, self.chance.randint(1, 3)):
            before = query.current()
            query.rows = ResultSet(self.new_rows(before.documents))
            if changes := list_changes(before.documents, query.rows.documents):
                query.stage(before)
                changed.append((query, changes))
        for query, changes in changed:
            query.deliver(WindowEvent(self.position, False, changes), None)

    def new_rows(self, before: object) -> Documents:
        identifiers = self.chance.sample("abcdef", self.chance.randint(0, 6))
        return [(identifier, b"%d" % self.chance.randint(0, 2)) for identifier in identifiers]

    def stir(self, depth: int) -> None:
        """Do something to some subscriber, as a connection that fills up or drains does."""
        for _ in range(self.chance.randint(0, 3)):
            action = self.chance.choice(["pause", "pause", "resume", "begin", "cancel", "join", "come back"])
            watcher = self.chance.choice(self.watchers) if self.watchers else None
            if action == "join" or watcher is None:
                self.watchers.append(Watcher(self, self.chance.choice(self.queries), depth))
            elif action == "come back":
                self.watchers.append(Watcher(self, watcher.query, depth, came_from=watcher))
            elif action == "pause":
                watcher.subscription.pause()
            elif action == "resume":
                watcher.subscription.resume()
            elif action == "begin":
                watcher.begin()
            else:
                watcher.subscription.cancel()
                self.watchers.remove(watcher)


class Watcher:
    def __init__(self, theatre: Theatre, query: LiveQuery, depth: int, came_from: Watcher | None = None) -> None:
        self.theatre, self.query, self.depth = theatre, query, depth
        self.list: Documents = []
        self.position = 0
        self.begun = False
        resume = None
        if came_from is not None and came_from.position:
            self.list, resume = list(came_from.list), Resume(came_from.position, query.log.epoch)
        self.subscription = Subscription(
            query, self.deliver, theatre, lambda each: query.subscriptions.pop(each, None), resume
        )
        query.subscriptions[self.subscription] = None

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            self.subscription.begin()

    def deliver(self, _: Subscription, event: WindowEvent) -> None:
        if event.error is not None:
            self.theatre.failures.append(str(event.error))
            return
        if event.reset:
            self.list = []
        try:
            apply_changes(self.list, event.changes)
        except AssertionError as failure:
            self.theatre.failures.append(str(failure))
        self.position = event.position
        if self.depth < 3:
            self.theatre.stir(self.depth + 1)


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(0, 2**32))
def test_a_list_is_the_one_held_with_the_events_since_whatever_interrupts_them(seed: int) -> None:
    theatre = Theatre(random.Random(seed))
    for _ in range(12):
        theatre.stir(0)
        theatre.transaction()
    everybody, theatre.watchers = theatre.watchers, []
    theatre.chance.shuffle(everybody)
    for watcher in everybody:
        watcher.depth = 3
        watcher.begin()
        watcher.subscription.resume()
        assert watcher.list == watcher.query.rows.documents
    assert not theatre.failures


COUNT = 12


async def test_a_pause_while_a_transaction_is_delivered_loses_nothing_of_it(database: str) -> None:
    run_each(
        database,
        "create table t (id int primary key, n int default 0)",
        "insert into t select g from generate_series(1, 40) g",
        "select realtime.expose('t')",
    )
    lists = [
        Query(
            "t",
            {"where": [["id", ">", n]], "limit": 20},
            json_rows(f"select * from t where id > {n} order by id limit 20"),
        )
        for n in range(COUNT)
    ]
    lists.append(Query("t", {"sql": "select sum(n) as s from t"}, json_rows("select sum(n) as s from t")))
    chance = random.Random(7)
    async with live_node(database) as play:
        followers: list[Follower] = []

        def stir(_: object) -> None:
            for follower in chance.sample(followers, len(followers) // 2):
                assert follower.subscription is not None
                chance.choice(
                    [follower.subscription.pause, follower.subscription.pause, follower.subscription.resume]
                )()

        for query in lists:
            followers.append(await play.follow(query, stir))
        for place in range(1, 31):
            statement = f"update t set n = n + {place} where id in ({place}, {place + 7})"
            if place % 10 == 0:
                statement = f"delete from t where id = {place}"
            run_each(database, statement)
            await play.caught_up()
        everybody, followers[:] = list(followers), []  # none is paused any more
        for follower in everybody:
            assert follower.subscription is not None
            follower.subscription.resume()
        await play.check(*everybody)
