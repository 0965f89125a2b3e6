"""Rules of channels in SQL: what is saved, what is refused, and which row decides."""

from __future__ import annotations

import json

import psycopg
import pytest

from engine.channels.core.access_rules import AccessRules
from tests.integration.sql.conftest import Connection, run

ROOM = {
    "channel": "private:room-123",
    "rules": {
        "subscribe": "auth.uid != null && data.members.includes(auth.uid)",
        "publish": "auth.uid != null && data.members.includes(auth.uid)",
        "presence": True,
    },
}


def test_rules_are_saved_as_they_are_written(db: Connection) -> None:
    db.execute("select realtime.set_rules(%s::jsonb)", [json.dumps(ROOM)])
    db.execute("select realtime.set_rules(%s::jsonb)", [json.dumps(ROOM)])
    assert run(db, "select channel, rules from realtime.rules") == [ROOM]
    db.execute("""update realtime.rules set rules = '{"publish": false}'""")
    db.execute("""insert into realtime.rules (channel, rules) values ('private:*', '{}')""")
    db.execute("delete from realtime.rules where channel = 'private:room-123'")
    assert run(db, "select channel, rules from realtime.rules") == [{"channel": "private:*", "rules": {}}]


@pytest.mark.parametrize(
    ("channel", "rules", "reason"),
    [
        ("", {}, "1 to 255"),
        ("a" * 256, {}, "1 to 255"),
        ("a\n", {}, "control characters"),
        ("db:collection:a", {}, "live queries"),
        ("*" * 9, {}, "8 wildcards"),
        ("a", [], "JSON object"),
        ("a", {"join": True}, "'join' is no action"),
        ("a", {"subscribe": 1}, "subscribe: a condition is true, false or an expression, not 1"),
        ("a", {"publish": None}, "not null"),
        ("a", {"publish": " \n"}, "not empty"),
        ("a", {"publish": "x" * 4097}, "at most 4096"),
        ("a", {"presence": "auth.uid === 'ann'"}, "not with === and !=="),
    ],
)
def test_a_rule_that_no_server_could_evaluate_is_refused(
    db: Connection, channel: str, rules: object, reason: str
) -> None:
    with pytest.raises(psycopg.Error, match=reason) as refused:
        db.execute("insert into realtime.rules (channel, rules) values (%s, %s::jsonb)", [channel, json.dumps(rules)])
    assert refused.value.sqlstate == "RT007"


@pytest.mark.parametrize(
    "definition", ["null", "[]", '{"channel": 1, "rules": {}}', '{"channel": "a", "rules": {}, "x": 1}']
)
def test_a_definition_of_another_form_is_refused(db: Connection, definition: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        db.execute("select realtime.set_rules(%s::jsonb)", [definition])
    assert refused.value.sqlstate == "RT007"


def test_sql_and_servers_agree_which_row_decides(db: Connection) -> None:
    patterns = [
        "*",
        "p*",
        "private:*",
        "private:r*",
        "private:*1",
        "private:room-1",
        "*-1",
        "*room*",
        "private:room_1",
        "a%*",
    ]
    patterns += [
        "private:*-1",
        "private:*om1",
        "admin:alerts",
        "private:*o*",
        "private:*-*",
        "a\\*",
        "*:*-*",
        "p*:*o*-1",
    ]
    actions = ("subscribe", "publish", "presence")
    rules = AccessRules()
    rows = []
    for number, pattern in enumerate(patterns):
        text = json.dumps({action: True for place, action in enumerate(actions) if number % (place + 1) == 0})
        rows.append({"channel": pattern, "rules": text})
        db.execute("insert into realtime.rules (channel, rules) values (%s, %s::jsonb)", [pattern, text])
    rules.load(rows)
    channels = [
        "private:room-1",
        "private:room-2",
        "private:room_1",
        "public:x",
        "a%b",
        "axb",
        "a\\b",
        "private:",
        "p",
        "zoom-1",
        "admin:alerts",
    ]
    for channel in channels:
        for action in actions:
            row = run(db, "select pattern from realtime.rule_for(%s, %s)", channel, action)
            found = rules.find(channel, action)
            assert [each["pattern"] for each in row] == ([] if found is None else [found.pattern]), (channel, action)


@pytest.mark.parametrize(
    ("user", "action", "channel", "allowed", "decided_by"),
    [
        ("ann", "subscribe", "public:x", True, "the kind of the channel"),
        ("ann", "subscribe", "private:user-ann", True, "the kind of the channel"),
        ("bob", "subscribe", "private:user-ann", False, "the kind of the channel"),
        (None, "subscribe", "private:user-ann", False, "the kind of the channel"),
        ("ann", "publish", "chat:1", None, "the kind of the channel"),
        ("ann", "publish", "db:collection:x", False, "the kind of the channel"),
        ("ann", "publish", "private:room-123", None, "rule private:room-123"),
        ("ann", "presence", "private:room-123", True, "rule private:room-123"),
        ("ann", "subscribe", "private:room-closed", False, "rule private:room-c*"),
        ("ann", "subscribe", "admin:alerts", False, "the kind of the channel"),
        ("ann", "publish", "admin:alerts", False, "the kind of the channel"),
        ("ann", "publish", "admin:other", True, "rule admin:*"),
    ],
)
def test_can_answers_what_sql_knows(
    db: Connection, user: str | None, action: str, channel: str, allowed: bool | None, decided_by: str
) -> None:
    db.execute("select realtime.set_rules(%s::jsonb)", [json.dumps(ROOM)])
    db.execute("""insert into realtime.rules (channel, rules) values ('private:room-c*', '{"subscribe": false}')""")
    db.execute(
        """insert into realtime.rules (channel, rules) values ('admin:*', '{"subscribe": true, "publish": true}')"""
    )
    rows = run(db, "select allowed, decided_by from realtime.can(%s, %s, %s)", user, action, channel)
    assert rows == [{"allowed": allowed, "decided_by": decided_by}]


def test_can_refuses_what_is_no_action(db: Connection) -> None:
    with pytest.raises(psycopg.Error, match="'query' is no action"):
        db.execute("select * from realtime.can('ann', 'query', 'a')")
