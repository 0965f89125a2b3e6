"""What goes wrong with one subscriber or one query is that one's affair: the others and the stream go on."""

from __future__ import annotations

from typing import Any

import pytest

from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent
from engine.live.core.shared_query import Subscription
from engine.live.core.window import Window
from tests.support.nodes.live_node import Follower, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

ALL = Query("item", {"orderBy": [["id", "asc"]]}, "select to_jsonb(r) from (select id, name from item order by id) r")
FIRST = Query(
    "item",
    {"orderBy": [["id", "asc"]], "limit": 1},
    "select to_jsonb(r) from (select id, name from item order by id limit 1) r",
)
MAKE = ("create table item (id int primary key, name text)", "select realtime.expose('item')")


class Faulty(Follower):
    """A subscriber that fails at a list of two."""

    def deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        if len(self.list) == 1 and event.changes:
            raise RuntimeError("an unforeseen fault")
        super().deliver(subscription, event)


async def test_a_subscriber_that_fails_to_receive_is_ended_and_the_others_receive(dsn: str) -> None:
    run_each(dsn, *MAKE, "insert into item values (1, 'a')")
    async with live_node(dsn) as here:
        faulty = Faulty(ALL)
        faulty.subscription = await here.live.subscribe(Principal(), "item", ALL.spec, faulty.deliver)
        faulty.subscription.begin()
        well = await here.follow(ALL)
        run_each(dsn, "insert into item values (2, 'b')", "insert into item values (3, 'c')")
        await here.check(well)
        assert faulty.ids == ["1"]
        assert getattr(faulty.error, "code", None) == "RT_001"
        run_each(dsn, "insert into item values (4, 'd')")
        await here.check(well, await here.follow(ALL))


@pytest.mark.parametrize("place", [(Window, "commit"), (Window, "insert")])
async def test_a_window_that_fails_is_read_again(
    dsn: str, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str]
) -> None:
    run_each(dsn, *MAKE, "insert into item values (2, 'b')")
    async with live_node(dsn) as here:
        everything, first = await here.follow(ALL), await here.follow(FIRST)
        owner, name = place
        method, broken = getattr(owner, name), [True]

        def fail_once(self: Window, *given: Any, **more: Any) -> Any:
            if broken and self.plan.limit is None:
                broken.clear()
                raise AttributeError("an unforeseen fault")
            return method(self, *given, **more)

        monkeypatch.setattr(owner, name, fail_once)
        run_each(dsn, "insert into item values (1, 'a')")
        await here.check(everything, first)
        run_each(dsn, "insert into item values (3, 'c')", "delete from item where id = 1")
        await here.check(everything, first)
        assert not broken


async def test_a_query_that_cannot_be_read_is_refused_and_the_others_go_on(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_each(dsn, *MAKE, "insert into item values (1, 'a')")
    async with live_node(dsn) as here:
        well = await here.follow(ALL)

        def broken(self: Window, rows: object) -> None:
            raise AttributeError("an unforeseen fault")

        with monkeypatch.context() as during:
            during.setattr(Window, "load", broken)
            with pytest.raises(Exception, match="the server failed to read this query") as refused:
                await here.follow(FIRST)
        assert getattr(refused.value, "code", None) == "RT_001"
        run_each(dsn, "insert into item values (2, 'b')")
        await here.check(well, await here.follow(FIRST))
