"""Subscribers that may see different rows share no plan, no window and no read, although they ask the same."""

from __future__ import annotations

from typing import Any

import pytest

from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from engine.live.core.resume_log import Resume
from tests.integration.live.rights.conftest import ALL, SQL, Rows
from tests.support.nodes.live_node import Follower, LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each, until

RED, BLUE = Visibility.of("member", {"org": "red"}, ["org"]), Visibility.of("member", {"org": "blue"}, ["org"])
INCREMENTAL = Query("t", {"where": [["n", ">", 0]]}, json_rows("select * from t where n > 0 order by id"))
REREAD = Query(
    "t", {"sql": "select count(*) as n from t where n > 0"}, json_rows("select count(*) as n from t where n > 0")
)


@pytest.fixture
def table(database: str) -> str:
    run_each(
        database,
        "create table t (id int primary key, n int)",
        "select realtime.expose('t')",
        "insert into t values (1, 1), (2, 2)",
    )
    return database


def sharing(followers: list[Follower]) -> list[tuple[Any, Any]]:
    """Query and plan that each follower has."""
    found = []
    for follower in followers:
        assert follower.subscription is not None
        query = follower.subscription.query
        found.append((query, query.plan))
    return found


@pytest.mark.parametrize("query", [INCREMENTAL, REREAD], ids=["incremental", "re-read"])
async def test_two_visibilities_never_share_a_plan_a_window_or_a_read(table: str, query: Query) -> None:
    async with live_node(table) as play:
        ann, bea, rob = (
            Principal("ann", visibility=RED),
            Principal("bea", visibility=BLUE),
            Principal("rob", visibility=RED),
        )
        red, blue = await play.follow(query, principal=ann), await play.follow(query, principal=bea)
        reads = play.live.status()["reads"]
        assert reads == 2, "one for each"
        alike = await play.follow(query, principal=rob)
        assert play.live.status()["reads"] == reads, "what is equal is shared"
        await apart(play, red, blue, alike)
        # A principal is referenced: what it may see now counts for its next subscription.
        ann.visibility = BLUE
        renewed = await play.follow(query, principal=ann)
        assert sharing([renewed]) == sharing([blue])
        run_each(table, "update t set n = 5 where id = 1", "insert into t values (3, 3)")
        await play.check(red, blue, alike, renewed)
        # All plans are made again, each for its own visibility.
        run_each(table, "alter table t add column later int default 7", "insert into t values (4, 4)")
        await play.check(red, blue, alike, renewed)
        await apart(play, red, blue, alike)


async def apart(play: LiveNode, red: Follower, blue: Follower, alike: Follower) -> None:
    (of_red, red_plan), (of_blue, blue_plan), shared = sharing([red, blue, alike])
    assert shared == (of_red, red_plan)
    assert of_red is not of_blue
    assert red_plan is not blue_plan
    assert (of_red.visibility, red_plan.visibility) == (RED, RED)
    assert (of_blue.visibility, blue_plan.visibility) == (BLUE, BLUE)
    assert red_plan.key == blue_plan.key
    assert (of_red.window is None) == (of_blue.window is None)
    assert of_red.window is None or of_red.window is not of_blue.window
    await until(lambda: play.live.status()["queries"] == 2)


@pytest.mark.parametrize("spec", [ALL, SQL], ids=["incremental", "re-read"])
async def test_who_resumes_is_not_sent_what_it_may_not_see_any_more(rows: Rows, spec: dict[str, Any]) -> None:
    run_each(
        rows.dsn,
        "alter policy own on note using (org in (select m.org from member m where m.person = claim('sub')))",
        "select realtime.expose('note')",
    )
    query = Query("note", spec, "")
    async with live_node(rows.dsn) as node:
        ann, staying = rows.principal("ann"), Follower(query)
        held = await node.live.subscribe(ann, "note", spec, staying.deliver)
        held.begin()  # the query goes on while the other one is away
        for changes, recovered in (
            (("insert into note values (5, 'bob', 1, 'e')",), True),
            (("insert into note values (6, 'bob', 1, 'f')", "delete from member where person = 'ann'"), False),
            (("insert into member values (1, 'ann')", "update note set body = 'g' where id = 1"), True),
            (("update note set body = 'h' where id = 1", "update note set org = 3 where id = 1"), False),
        ):
            gone = await node.follow(query, principal=ann)
            assert gone.subscription is not None
            resume = Resume(gone.position, gone.subscription.epoch)
            gone.subscription.cancel()
            for change in changes:
                run_each(rows.dsn, change)
                await node.caught_up()
            again = Follower(query)
            again.list = list(gone.list)
            subscription = await node.live.subscribe(ann, "note", spec, again.deliver, resume)
            assert subscription.recovered is recovered, changes
            subscription.begin()
            assert again.list == staying.list
            subscription.cancel()
