"""A subscriber that was here before gets the changes it has missed, or, if they are not sure, the whole list."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engine.identity.principal import Principal
from engine.live.core.document_changes import WindowEvent, apply_changes, list_changes
from engine.live.core.resume_log import Resume, ResumeLog
from tests.support.nodes.live_node import QUICK, Follower, LiveNode, json_rows, live_node
from tests.support.oracle.queries import Query
from tests.support.postgres.sql import run_each

Listed = list[tuple[str, bytes]]

ITEMS = Query("item", {"orderBy": [["id", "asc"]]}, "select to_jsonb(r) from (select id, name from item order by id) r")
MAKE = ("create table item (id int primary key, name text)", "select realtime.expose('item')")

moves = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.binary(min_size=1, max_size=3)),
        st.tuples(st.just("large change"), st.binary(min_size=1, max_size=3)),
        st.tuples(st.just("deliver"), st.just(b"")),
        st.tuples(st.just("stream moves"), st.just(b"")),
    ),
    max_size=120,
)


@given(moves, st.randoms(use_true_random=False))
def test_changes_after_a_delivered_state_lead_to_the_current_list(
    history: list[tuple[str, bytes]], chance: object
) -> None:
    log, rows, position = ResumeLog(), list[tuple[str, bytes]](), 10
    delivered_states: list[tuple[int, Listed]] = []
    for what, number in history:
        if what == "stream moves":
            position += 1
        elif what == "deliver":
            log.delivered(position)
            delivered_states.append((position, list(rows)))
        else:
            doc = number * (9_000 if what == "large change" else 1)
            after = [row for row in rows if row[0] != number.hex()]
            if len(after) == len(rows) or number[0] % 2:
                after.insert(number[0] % (len(after) + 1), (number.hex(), doc))
            event = WindowEvent(position, False, list_changes(rows, after))
            log.add(event)
            rows = after
            delivered_states.append((position, list(rows)))
    for place, state in delivered_states:
        events = log.since(Resume(place, log.epoch))
        if events is not None:
            for event in events:
                apply_changes(state, event.changes)
            assert state == rows
    assert log.since(Resume(position, "another")) is None


def test_the_last_state_can_be_resumed_from_unless_its_position_is_also_anothers() -> None:
    log = ResumeLog()
    log.delivered(10)
    assert log.since(Resume(10, log.epoch)) == []
    assert log.since(Resume(9, log.epoch)) is None, "what was delivered then was another list"
    log.add(WindowEvent(20, False, (), committed_at=1))
    again = log.since(Resume(10, log.epoch))
    assert again is not None
    assert [(event.position, event.changes, event.committed_at) for event in again] == [(20, (), None)]
    assert log.since(Resume(20, log.epoch)) == []
    log.add(WindowEvent(20, False, ()))
    assert log.since(Resume(20, log.epoch)) is None
    assert len(log.since(Resume(10, log.epoch)) or ()) == 2
    assert log.since(Resume(21, log.epoch)) is None, "no subscriber has received that"


async def back(play: LiveNode, gone: Follower) -> Follower:
    """A follower that has what ``gone`` had, and resumes."""
    assert gone.subscription is not None
    again = Follower(gone.query)
    again.list, again.position = list(gone.list), gone.position
    resume = Resume(gone.position, gone.subscription.epoch)
    again.subscription = await play.live.subscribe(
        Principal(), gone.query.collection, gone.query.spec, again.deliver, resume
    )
    return again


async def test_one_that_comes_back_gets_the_difference_only(database: str) -> None:
    run_each(database, *MAKE, "insert into item values (1, 'one'), (2, 'two')")
    async with live_node(database, live=replace(QUICK, idle_ttl=60.0)) as play:
        first = await play.follow(ITEMS)
        first.leave()
        run_each(database, "update item set name = 'deux' where id = 2", "insert into item values (3, 'three')")
        await play.caught_up()
        again = await back(play, first)
        assert again.subscription is not None
        assert again.subscription.recovered
        again.subscription.begin()
        assert (again.events, again.resets) == (2, 0), "one for each commit"
        run_each(database, "delete from item where id = 1")
        await play.check(again)
        assert again.resets == 0


async def test_a_client_that_missed_nothing_receives_nothing(database: str) -> None:
    run_each(database, *MAKE, "insert into item values (1, 'one')")
    async with live_node(database, live=replace(QUICK, idle_ttl=60.0)) as play:
        first = await play.follow(ITEMS)
        first.leave()
        again = await back(play, first)
        assert again.subscription is not None
        again.subscription.begin()
        assert again.events == 0
        await play.check(again)


async def test_a_list_from_before_a_redefinition_is_not_taken_for_one_of_the_epoch_after_it(database: str) -> None:
    run_each(database, *MAKE, "insert into item values (1, 'one')")
    query = Query("item", {}, json_rows("select * from item order by id"))
    async with live_node(database, live=replace(QUICK, idle_ttl=60.0)) as play:
        first = await play.follow(query)
        position, rows = first.position, list(first.list)
        run_each(database, "alter table item add column more int default 7")
        await play.caught_up()
        second = await play.follow(query)
        assert first.subscription is not None
        assert second.subscription is not None
        assert second.subscription.epoch != first.subscription.epoch
        second.position, second.list = position, rows  # it knows the new epoch, and lost the list that came with it
        again = await back(play, second)
        assert again.subscription is not None
        assert again.subscription.recovered is False
        again.subscription.begin()
        assert again.resets == 1
        await play.check(again)


async def test_a_query_that_was_let_go_of_begins_anew(database: str) -> None:
    run_each(database, *MAKE, "insert into item values (1, 'one')")
    async with live_node(database) as play:
        first = await play.follow(ITEMS)
        async with live_node(database) as other:  # another server over the same database
            again = await back(other, first)
            assert again.subscription is not None
            assert again.subscription.recovered is False
            again.subscription.begin()
            assert again.resets == 1
            await other.check(again)


async def test_a_list_without_subscribers_is_read_again_for_the_next_one_only(database: str) -> None:
    run_each(database, *MAKE, "insert into item values (1, 'one')")
    query = Query("item", {"sql": "select count(*) from item"}, json_rows("select count(*) from item"))
    async with live_node(database, live=replace(QUICK, idle_ttl=600.0)) as play:
        first = await play.follow(query)
        await play.check(first)
        first.leave()
        before = play.live.status()["reads"]
        for number in range(2, 7):
            run_each(database, f"insert into item values ({number}, 'more')")
            await play.caught_up()
        assert play.live.status()["reads"] == before
        again = await back(play, first)
        assert again.subscription is not None
        assert again.subscription.recovered
        again.subscription.begin()
        assert json.loads(again.list[0][1])["count"] == 6, "at once"
        assert play.live.status()["reads"] == before + 1
        run_each(database, "insert into item values (7, 'more')")
        await play.check(again)
