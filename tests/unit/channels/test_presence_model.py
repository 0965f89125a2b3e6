"""The presence state against a simple model, and the promise of the unrecorded messages; no database."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.channels.core.messages.decode import DecodedTransaction, MessageRow, RowChange
from engine.channels.core.presence_lists import PresenceState
from engine.channels.core.state_machine import ChannelCore
from engine.channels.core.unrecorded import UnrecordedMessages
from engine.postgres.snapshot import Snapshot
from engine.transaction import Kind
from tests.support.steps import finished

USERS = ["ann", "bob"]
STEPS = st.tuples(
    st.sampled_from(["c", "d"]), st.integers(0, 3), st.sampled_from(["put", "drop", "delete"]), st.integers(0, 2)
)


def row(channel: str, connection: int, state: int, left: bool = False) -> dict[str, str | None]:
    return {
        "channel": channel,
        "connection_id": str(connection),
        "user_id": USERS[connection % 2],
        "metadata": "{}",
        "state": json.dumps({"n": state}),
        "joined_at": "2026-01-01 00:00:00+00",
        "left_at": "2026-01-01 00:00:01+00" if left else None,
    }


def change(rows: dict[tuple[str, int], dict[str, str | None]], step: tuple[str, int, str, int]) -> RowChange | None:
    """Apply a step to the table and return what the stream would."""
    channel, connection, what, state = step
    old = rows.get((channel, connection))
    if what == "put":
        new = rows[channel, connection] = row(channel, connection, state)
        return RowChange(Kind.UPDATE if old else Kind.INSERT, "presence", old, new)
    if old is None:
        return None
    if what == "delete":
        del rows[channel, connection]
        return RowChange(Kind.DELETE, "presence", old, None)
    new = rows[channel, connection] = {**old, "left_at": "2026-01-01 00:00:01+00"}
    return RowChange(Kind.UPDATE, "presence", old, new)


@given(st.lists(st.lists(STEPS, max_size=4), max_size=12))
@example([[("c", 0, "put", 0), ("c", 1, "put", 0), ("c", 1, "delete", 0)]])  # one who is not there in the end
def test_the_events_turn_the_list_of_users_into_the_list_after(
    transactions: list[list[tuple[str, int, str, int]]],
) -> None:
    presence = PresenceState()
    presence.load([])
    rows: dict[tuple[str, int], dict[str, str | None]] = {}
    members: dict[tuple[str, str], Any] = {}
    for number, steps in enumerate(transactions):
        changes = [found for step in steps if (found := change(rows, step)) is not None]
        for event in presence.apply(changes, number * 1_000_000):
            body = json.loads(event.json)
            key = (body["channel"], body["user"]["id"])
            assert (body["type"] == "presence:join") == (key not in members)
            among = sum(channel == key[0] for channel, _ in members)
            assert body["count"] == among + {"presence:join": 1, "presence:leave": -1}.get(body["type"], 0)
            if body["type"] == "presence:leave":
                del members[key]
            else:
                members[key] = body["user"]["state"]
        assert members.keys() == {(channel, USERS[connection % 2]) for channel, connection in rows}
        for channel in "cd":
            shown = {user["id"]: user["state"] for user in json.loads(presence.json(channel))["users"]}
            assert shown == {user: state for (where, user), state in members.items() if where == channel}
            assert presence.count(channel) == len(shown)


def delivered(unrecorded: UnrecordedMessages, xid: int) -> None:
    message = MessageRow(xid * 8, xid, "a", "e", b"1", None, None, str(xid), None, 0, "")
    unrecorded.append(DecodedTransaction(xid * 8, xid * 8 + 4, 0, xid, [message], full_xid=xid))


def test_messages_that_a_read_under_way_might_miss_are_kept() -> None:
    unrecorded = UnrecordedMessages()
    delivered(unrecorded, 10)
    delivered(unrecorded, 11)
    everything = Snapshot(100, 100, frozenset())
    assert unrecorded.confirmable == 0
    old = unrecorded.begin_read()
    unrecorded.record(unrecorded.pending)
    assert unrecorded.confirmable is None
    new = unrecorded.begin_read()
    unrecorded.end_read(new, everything)
    assert len(unrecorded) == 2  # the older read may still miss the position
    unrecorded.end_read(old, None)
    assert len(unrecorded) == 0


def test_messages_that_are_not_recorded_or_that_no_snapshot_shows_are_kept() -> None:
    unrecorded = UnrecordedMessages()
    delivered(unrecorded, 10)
    delivered(unrecorded, 11)
    unrecorded.record(unrecorded.pending[:1])
    delivered(unrecorded, 12)
    unrecorded.record(unrecorded.pending[1:])
    unrecorded.end_read(unrecorded.begin_read(), Snapshot(10, 100, frozenset({10})))
    assert [entry.xid for entry in unrecorded] == [10, 11]
    assert unrecorded.confirmable == 10 * 8 + 4


def test_a_snapshot_of_a_history_that_a_crash_took_back_releases_no_message() -> None:
    unrecorded = UnrecordedMessages()
    everything = Snapshot(100, 100, frozenset())
    waiting, reading = unrecorded.begin_read(), unrecorded.begin_read()
    unrecorded.end_read(reading, everything)  # not used before the older read has ended
    reading = unrecorded.begin_read()
    unrecorded.distrust()
    delivered(unrecorded, 10)  # an id that the lost history had given to another transaction
    unrecorded.record(unrecorded.pending)
    unrecorded.end_read(waiting, everything)
    unrecorded.end_read(reading, everything)
    assert [entry.xid for entry in unrecorded] == [10]
    unrecorded.end_read(unrecorded.begin_read(), everything)
    assert len(unrecorded) == 0


def test_presence_does_not_go_by_snapshots_of_a_history_that_a_crash_took_back() -> None:
    core = ChannelCore(500)
    lost = Snapshot(100, 100, frozenset(), position=1000)
    core.load(lost, [[row("c", 0, 1)], [], [], [], []], [])  # the row was never on the disk
    core.load(Snapshot(50, 50, frozenset(), position=400), [[], [], [], [], []], [])
    assert core.presence.count("c") == 0
    records = DecodedTransaction(600, 604, 0, 50, changes=[RowChange(Kind.INSERT, "presence", None, row("c", 1, 1))])
    finished(core._apply(records, []))
    assert core.presence.count("c") == 1
