"""What the clients must have received: the tables show it, and a slot of test_decoding shows the order."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import psycopg

from engine.channels.core.access_rules import ALERTS_CHANNEL
from engine.channels.core.messages.model import Position, parse_position
from engine.postgres.connections.session_settings import connection_options
from tests.model.client import Client
from tests.model.tracked_subscription import TrackedSubscription
from tests.support.clients.list_client import slot_name
from tests.support.postgres.wal import control

__all__ = ["MUTED", "ROOM", "ROUTED", "Truth", "Wal", "check_acks", "check_subscription", "wanted"]

ROOM = "room:life"
"""A room that is made and closed again and again."""

ROUTED = "public:routed"
"""No client publishes here; what is odd in ``chat:b`` comes by a route."""

MUTED: dict[tuple[str | None, str], str] = {("cat", "chat:b"): "odd", ("bob", "presence:p"): "even"}
"""The event that a user has muted in a channel."""


@dataclass
class Wal:
    """Messages by channel in the order of the WAL: their numbers, with the transaction that published them."""

    slot: str = field(default_factory=slot_name)
    stored: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    passing: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    def read(self, dsn: str) -> None:
        """Take what the control slot has, but alerts: a slow machine raises some."""
        for message in control(dsn, self.slot):
            if message.channel == ALERTS_CHANNEL:
                continue
            if message.stored:
                self.stored[message.channel].append((message.xid, number_in(message.payload)))
            else:
                self.passing[message.channel].append(number_in(message.payload))


def number_in(payload: dict[str, Any]) -> int:
    """A message's number; changes of the business table carry it in the row."""
    number: int = payload["n"] if "n" in payload else payload["record"]["n"]
    return number


class Truth:
    """The tables at a moment when nothing is going on."""

    def __init__(self, dsn: str, wal: Wal) -> None:
        wal.read(dsn)
        self.wal = wal
        with psycopg.connect(dsn, autocommit=True, options=connection_options()) as connection:
            self.channels: dict[str, list[dict[str, Any]]] = defaultdict(list)
            self.xids: dict[Position, int] = {}
            cursor = connection.execute(
                "select m.channel, c.position::text || '/' || m.seq, m.event, m.payload, m.sender, m.id, m.audience,"
                " m.xid::text::bigint"
                " from realtime.messages m join realtime.commits c on c.channel = m.channel and c.xid = m.xid"
                " order by m.channel, c.position, m.seq"
            )
            for channel, position, event, payload, sender, id, audience, xid in cursor.fetchall():
                row = {"event": event, "data": payload, "sender": sender, "id": id, "position": position}
                row["audience"] = audience
                self.channels[channel].append(row)
                self.xids[parse_position(position)] = xid
            (count,) = connection.execute("select count(*) from realtime.messages").fetchone() or (None,)
            assert count == sum(map(len, self.channels.values())), "messages without a commit position"
            self.presence = connection.execute(
                "select channel, user_id, metadata, state from realtime.presence_now order by 1, 2"
            ).fetchall()

    def check_order(self) -> None:
        """The tables hold what the WAL had, in its order; but for those that no node followed and that share a position."""
        for channel in {*self.channels, *self.wal.stored} - {ALERTS_CHANNEL}:
            rows = self.channels.get(channel, [])
            streamed = self.wal.stored.get(channel, [])
            found = [number_in(row["data"]) for row in rows]
            if channel == ROOM:  # what committed after it was closed has been removed again
                assert set(found) <= {number for _, number in streamed}
            else:
                assert sorted(found) == sorted(number for _, number in streamed), channel
            place = {number: index for index, (_, number) in enumerate(streamed)}
            lsns = [parse_position(row["position"]).lsn for row in rows]
            for index in range(1, len(rows)):
                if lsns[index] > lsns[index - 1]:
                    assert place[found[index]] > place[found[index - 1]], (channel, rows[index - 1 : index + 1])

    def check_route(self) -> None:
        """What is in the other channel matches, was there before with the same content, and came once."""
        sources = {row["data"]["n"]: row for row in self.channels.get("chat:b", []) if row["data"].get("k") == 1}
        copies = self.channels.get(ROUTED, [])
        numbers = [row["data"]["n"] for row in copies]
        assert len(numbers) == len(set(numbers)), numbers
        for copy in copies:
            source = sources[copy["data"]["n"]]
            assert {**copy, "position": None} == {**source, "position": None}, (copy, source)
            assert parse_position(copy["position"]) > parse_position(source["position"]), (copy, source)

    def expected(self, subscription: TrackedSubscription) -> list[dict[str, Any]]:
        """What a client that subscribed then, with those options, should have received by now."""
        assert subscription.begins is not None
        rows = [row for row in self.channels.get(subscription.channel, []) if wanted(row, subscription)]
        before = [row for row in rows if parse_position(row["position"]) <= subscription.begins]
        history = subscription.options.get("history", 0)
        return (before[-history:] if history else []) + rows[len(before) :]


def wanted(row: dict[str, Any], subscription: TrackedSubscription) -> bool:
    """Whether the filter of ``subscription`` lets a message through."""
    audience = row["audience"] or {}
    if subscription.user not in audience.get("users", [subscription.user]) or subscription.user in audience.get(
        "exclude", {}
    ).get("users", []):
        return False
    if MUTED.get((subscription.user, subscription.channel)) == row["event"]:
        return False
    wishes = subscription.options.get("filter", {})
    if "events" in wishes and row["event"] not in wishes["events"]:
        return False
    return "where" not in wishes or row["data"].get("k") == 1


def check_subscription(truth: Truth, subscription: TrackedSubscription, *, whole: bool) -> None:
    """A record is what was committed since it began, each once, in order; ``whole``: up to now."""
    context = (subscription.client, subscription.channel, subscription.options, subscription.begins, subscription.state)
    if subscription.channel.startswith("cursors:"):
        _check_passing(truth, subscription, whole=whole)
        return
    assert not subscription.unrecovered, context
    expected = truth.expected(subscription)
    if not whole:
        expected = expected[: len(subscription.record)]
    received, expected = _shown(subscription.record), _shown(expected)
    assert received == expected, (context, difference(received, expected))


def _shown(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: message[key] for key in ("event", "data", "sender", "id", "position")} for message in messages]


def _check_passing(truth: Truth, subscription: TrackedSubscription, *, whole: bool) -> None:
    received = [number_in(message["data"]) for message in subscription.record]
    wal = truth.wal.passing.get(subscription.channel, [])
    places = [wal.index(number) for number in received]
    assert places == sorted(set(places)), (subscription.client, received, wal)
    if subscription.lossless and places and "filter" not in subscription.options:
        assert places == list(range(places[0], places[0] + len(places))), (subscription.client, received, wal)
        assert not whole or places[-1] == len(wal) - 1, (subscription.client, received, wal)


def difference(received: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str:
    """The first place where two lists part, in words."""
    for place, (one, other) in enumerate(zip(received, expected, strict=False)):
        if one != other:
            return f"at {place}: received {received[place : place + 3]}, expected {expected[place : place + 3]}"
    beyond = (received + expected)[min(len(received), len(expected)) :][:3]
    return f"received {len(received)}, expected {len(expected)}: {beyond}"


def check_acks(truth: Truth, client: Client) -> None:
    """What was acknowledged is stored exactly once, where the ack places it; what was refused is not."""
    for sent in client.sent:
        if sent.channel.startswith("cursors:"):
            count = truth.wal.passing.get(sent.channel, []).count(sent.number)
            assert count <= 1, sent
            failed = sent.outcome is None or sent.outcome["type"] == "error"
            assert count == 1 or failed or (sent.id or "").startswith("shared"), sent
            continue
        rows = truth.channels.get(sent.channel, [])
        mine = [row for row in rows if number_in(row["data"]) == sent.number]
        assert len(mine) <= 1, (sent, mine)
        if sent.outcome is not None and sent.outcome["type"] == "ack":
            stored = [row for row in rows if row["id"] == sent.outcome["id"] and row["sender"] == sent.user]
            # Without a sender the ids of clients are apart from those of servers and SQL, and neither is in the row.
            assert len(stored) == 1 or (sent.user is None and len(stored) == 2), (sent, stored)
            positions = [row["position"] for row in stored]
            assert sent.outcome.get("position", positions[0]) in positions, (sent, stored)
            assert sent.id is not None or mine == stored, (sent, stored)
        elif sent.outcome is not None:
            assert not mine, (sent, mine)
