"""Which row of ``realtime.rules`` decides about a channel, and who is judged again when one changes."""

from __future__ import annotations

import json
from functools import partial

import pytest

from engine.channels.core.access_rules import AccessRules, matches_wildcards
from engine.postgres.snapshot import Snapshot
from server.auth.authorizer import NotAllowedError
from tests.support.nodes.core_node import CoreNode, delete, insert, message, truncate, update
from tests.support.steps import finished
from tests.support.values.changes import transaction_of


def rules_of(*patterns: str, action: str = "subscribe") -> AccessRules:
    rules = AccessRules()
    rules.load([{"channel": pattern, "rules": json.dumps({action: True})} for pattern in patterns])
    return rules


@pytest.mark.parametrize(
    ("pattern", "channel", "matches"),
    [
        ("a:b", "a:b", True),
        ("a:b", "a:bc", False),
        ("a:*", "a:", True),
        ("a:*", "a:b:c", True),
        ("*", "anything", True),
        ("a:*:c", "a:b:c", True),
        ("a:*:c", "a::c", True),
        ("a:*:c", "a:c", False),
        ("*:c", "a:c", True),
        ("a*a", "a", False),
        ("a*b*c", "abbc", True),
        ("a*b*b", "ab", False),
        ("*ab*ab*", "xabab", True),
        ("a_%*", "axyz", False),
        ("a\\*", "a\\b", True),
        ("a*b", "a*b", True),
        ("a*" * 8 + "c", "a" * 255, False),
    ],
)
def test_a_star_stands_for_any_text_and_all_else_for_itself(pattern: str, channel: str, matches: bool) -> None:
    assert matches_wildcards(pattern, channel) is matches


@pytest.mark.parametrize(
    ("patterns", "decides"),
    [
        (("*", "private:*", "private:room-1"), "private:room-1"),
        (("*", "private:*", "private:r*"), "private:r*"),
        (("private:*", "private:*1"), "private:*1"),
        (("*room-1", "p*"), "p*"),
        (("private:*-1", "private:*om1"), "private:*-1"),
        (("private:*room*1", "private:*r*m-*"), "private:*room*1"),
        (("private:*-*", "private:*o*"), "private:*-*"),
        (("other:*",), None),
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_the_most_specific_row_decides(patterns: tuple[str, ...], decides: str | None, order: int) -> None:
    rule = rules_of(*patterns[::order]).find("private:room-1", "subscribe")
    assert (rule and rule.pattern) == decides


def test_a_row_that_does_not_mention_an_action_leaves_it_to_the_next() -> None:
    rules = AccessRules()
    rules.load(
        [
            {"channel": "a:b", "rules": '{"subscribe": true, "publish": null}'},
            {"channel": "a:*", "rules": '{"subscribe": false, "publish": "auth.uid != null"}'},
        ]
    )
    found = {action: rules.find("a:b", action) for action in ("subscribe", "publish", "presence")}
    assert {action: rule and (rule.pattern, rule.condition) for action, rule in found.items()} == {
        "subscribe": ("a:b", True),
        "publish": ("a:*", "auth.uid != null"),
        "presence": None,
    }


def test_subscribers_that_lost_their_right_get_their_end_before_what_the_transaction_brings() -> None:
    node = CoreNode([[], [], [], [], []])
    kept, lost, other = node.subscriber("private:a"), node.subscriber("private:a"), node.subscriber("private:b")
    lost.lost = other.lost = NotAllowedError("no more")
    node.process(1, insert("rules", channel="private:a", rules="{}"), message(1, "private:a"))
    node.process(2, message(2, "private:a"), message(3, "private:b"))
    assert [body["type"] for body in kept.bodies] == ["message", "message"]
    assert [body["type"] for body in lost.bodies] == ["error"]
    assert lost.events[-1].error is lost.lost
    assert [body["type"] for body in other.bodies] == ["message"], "the rule does not concern it"


@pytest.mark.parametrize("change", ["pattern", "former pattern", "delete", "truncate", "room", "no room", "rooms"])
def test_each_change_of_rules_or_metadata_judges_those_it_concerns(change: str) -> None:
    row = {"channel": "private:*", "rules": '{"subscribe": true}'}
    room = {"name": "private:a", "metadata": "{}"}
    node = CoreNode([[], [room], [], [], [row]])
    subscriber, other = node.subscriber("private:a"), node.subscriber("public:a")
    subscriber.lost = other.lost = NotAllowedError("no more")
    node.process(
        1,
        {
            "pattern": update("rules", row, {**row, "rules": "{}"}),
            "former pattern": update("rules", row, {**row, "channel": "x"}),
            "delete": delete("rules", **row),
            "truncate": truncate("rules"),
            "room": update("channels", room, {**room, "metadata": '{"members": []}'}),
            "no room": delete("channels", **room),
            "rooms": truncate("channels"),
        }[change],
    )
    closes = change in ("no room", "rooms")
    assert subscriber.types[-1] == ("room:closed" if closes else "error")
    assert (other.types == []) is (change != "rooms")


def test_a_review_of_many_subscriptions_takes_several_turns() -> None:
    node = CoreNode([[], [], [], [], []])
    for _ in range(250):
        node.subscriber("private:a")
    assert len(list(node.core.hub.review(["private:a"]))) == 2


def test_a_subscription_that_has_not_begun_ends_without_its_history() -> None:
    node = CoreNode([[], [], [], [], []])
    subscriber = node.subscriber("private:a", begun=False)
    subscriber.lost = NotAllowedError("no more")
    node.process(1, message(1, "private:a"))
    node.process(2, insert("rules", channel="private:a", rules="{}"))
    subscriber.subscription.begin()
    assert subscriber.types == ["error"]


def test_a_transaction_that_takes_a_right_away_delivers_nothing_to_those_who_lose_it() -> None:
    rule = {"channel": "private:*", "rules": '{"subscribe": true}'}
    room = {"name": "private:a", "metadata": "{}", "history": "t"}
    for change, shown in (
        (update("channels", room, {**room, "metadata": '{"secret": "of those who stay"}'}), ["room:updated"]),
        (update("rules", rule, {**rule, "rules": "{}"}), []),
        (delete("rules", **rule), []),
    ):
        node = CoreNode([[], [room], [], [], [rule]])
        stays, goes = (node.subscriber("private:a", name, presence={}, batches=True) for name in ("ann", "bob"))
        goes.lost = NotAllowedError("no more")
        present = {
            "channel": "private:a",
            "user_id": "eve",
            "connection_id": "E",
            "joined_at": "2026-01-01 00:00:00+00",
        }
        node.process(1, message(1, "private:a"), change, insert("presence", **present), message(2, "private:a"))
        assert goes.types == ["error"]
        assert stays.data == [1, 2]
        assert [each for each in stays.types if each != "message"] == [*shown, "presence:join"]


def test_the_members_of_a_room_that_is_deleted_get_its_last_messages_and_its_end() -> None:
    room = {"name": "private:a", "metadata": '{"members": ["ann"]}', "history": "t"}
    node = CoreNode([[], [room], [], [], []])
    ann = node.subscriber("private:a")
    ann.lost = NotAllowedError("without its row no rule allows it")
    node.process(1, message(1, "private:a"), delete("channels", **room))
    assert ann.types == ["message", "room:closed"]


def test_rooms_that_are_loaded_during_a_review_are_not_followed_by_what_was_before() -> None:
    first, second, third = ({"name": "c", "metadata": f'{{"n": {n}}}', "history": "t"} for n in (1, 2, 3))
    for loaded, shown in ((second, [2]), (third, [3])):
        node = CoreNode([[], [first], [], [], []])
        subscribers = [node.subscriber("c") for _ in range(101)]  # more than are judged in one turn
        steps = node.core.process(transaction_of(1, update("channels", first, second)))
        finished(steps, partial(node.load, Snapshot(9, 9, frozenset(), 9), [[], [loaded], [], [], []]))
        assert [body["room"]["metadata"]["n"] for body in subscribers[0].bodies] == shown
