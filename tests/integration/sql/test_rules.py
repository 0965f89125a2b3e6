"""Rules of channels in SQL: what is saved, what is refused, and which row decides."""

from __future__ import annotations

import json

import psycopg
import pytest

from engine.channels.core.access_rules import AccessRules
from engine.postgres.statements.named_queries import query
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
        (None, "subscribe", "public:x", True, "the kind of the channel"),
        ("ann", "subscribe", "presence:x", True, "the kind of the channel"),
        (None, "subscribe", "presence:x", None, "the kind of the channel"),  # anonymous_channels
        ("ann", "subscribe", "private:literal", True, "rule private:literal"),
        ("ann", "publish", "private:literal", None, "rule private:literal"),
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
        """insert into realtime.rules (channel, rules)
           values ('private:literal', '{"subscribe": " true\\n", "publish": "true || auth.x"}')"""
    )
    db.execute(
        """insert into realtime.rules (channel, rules) values ('admin:*', '{"subscribe": true, "publish": true}')"""
    )
    [row] = run(db, "select * from realtime.can(%s, %s, %s)", user, action, channel)
    assert (row["decided"], row["allowed"], row["decided_by"]) == (allowed is not None, allowed, decided_by)
    assert ("`realtime rules test`" in row["reason"]) is (allowed is None)


def test_can_refuses_what_is_no_action(db: Connection) -> None:
    with pytest.raises(psycopg.Error, match="'query' is no action"):
        db.execute("select * from realtime.can('ann', 'query', 'a')")


def fail(db: Connection, channel: str, action: str, condition: str, error: str, failed_in: str | None) -> None:
    """A server reports that a rule has failed."""
    columns: dict[str, list[str | None]] = {
        "channels": [channel],
        "actions": [action],
        "conditions": [condition],
        "errors": [error],
        "failed_in": [failed_in],
    }
    db.execute(query("rule_failures_note").encode(), columns)


ERRORS = "select channel, action, error, failed_in from realtime.rule_errors"


def test_the_error_of_a_rule_stands_beside_it_until_the_rule_is_changed(db: Connection) -> None:
    def save(**rules: object) -> None:
        db.execute("select realtime.set_rules(%s::jsonb)", [json.dumps({"channel": "chat:*", "rules": rules})])

    save(subscribe="data.x", publish="data.y", presence=True)
    fail(db, "chat:*", "subscribe", "data.x", "there is no field 'x'", "chat:1")
    fail(db, "chat:*", "publish", "data.y", "there is no field 'y'", "chat:2")
    subscribe = {"channel": "chat:*", "action": "subscribe", "error": "there is no field 'x'", "failed_in": "chat:1"}
    publish = {"channel": "chat:*", "action": "publish", "error": "there is no field 'y'", "failed_in": "chat:2"}
    assert run(db, f"{ERRORS} order by action desc") == [subscribe, publish]
    [row] = run(db, "select * from realtime.can('ann', 'subscribe', 'chat:1')")
    assert row["reason"].endswith("; its last error, which denied: there is no field 'x'")
    assert (row["decided"], row["allowed"]) == (False, None)

    save(subscribe="data.x", publish="data.z")
    assert run(db, ERRORS) == [subscribe], "saved again, unchanged"
    save(subscribe="data.z")
    save(subscribe="data.x")
    assert run(db, ERRORS) == [], "it was another rule meanwhile"
    fail(db, "chat:*", "subscribe", "data.x", "there is no field 'x'", "chat:1")
    db.execute("delete from realtime.rules")
    save(subscribe="data.x")
    assert run(db, ERRORS) == [], "there was none meanwhile"


def test_what_is_reported_of_a_rule_that_is_another_one_by_now_is_not_shown(db: Connection) -> None:
    db.execute("""insert into realtime.rules (channel, rules) values ('a', '{"publish": "data.x"}'), ('b', '{}')""")
    fail(db, "a", "publish", "data.old", "late", "a")
    fail(db, "b", "publish", "data.x", "late", "b")
    fail(db, "none", "publish", "data.x", "late", "none")
    assert run(db, "select channel from realtime.rule_failures") == []
    fail(db, "a", "publish", "data.x", "in time", "a")
    db.execute("set session_replication_role = replica")  # rows that a subscription brings: no trigger fires
    db.execute("""update realtime.rules set rules = '{"publish": "data.z"}' where channel = 'a'""")
    db.execute("reset session_replication_role")
    assert run(db, "select * from realtime.rule_errors") == []
    fail(db, "b", "publish", "data.x", "late", "b")
    assert run(db, "select channel from realtime.rule_failures") == [], "and it is removed in the end"


def test_a_row_is_written_only_where_another_node_did_not_write_the_same(db: Connection) -> None:
    db.execute("""insert into realtime.rules (channel, rules) values ('a', '{"publish": "data.x"}')""")
    written = []
    for error in ("one", "one", "other"):
        fail(db, "a", "publish", "data.x", error, "a")
        written += run(db, "select xmin::text, error from realtime.rule_failures")
    assert written[0] == written[1] != written[2]
    assert written[2]["error"] == "other"


def test_a_rule_that_does_not_compile_is_one_that_sql_can_decide(db: Connection) -> None:
    db.execute("""insert into realtime.rules (channel, rules) values ('private:*', '{"publish": "auth.uid =="}')""")
    fail(db, "private:*", "publish", "auth.uid ==", "a syntax error", None)
    [row] = run(db, "select * from realtime.can('ann', 'publish', 'private:1')")
    assert (row["decided"], row["allowed"], row["decided_by"]) == (True, False, "rule private:*")
    assert row["reason"] == "the expression does not compile, which denies: a syntax error"
