"""``realtime rules``: which rule decides and why, and which do not compile."""

from __future__ import annotations

import json

import psycopg
import pytest

from engine.postgres.statements.named_queries import query
from server.app.loading import load_settings
from server.cli.doctor.diagnose import diagnose
from tests.support.servers.commands import realtime

MEMBERS = "auth.uid != null && data.members.includes(auth.uid)"


def rules(dsn: str, *arguments: str) -> tuple[int, list[str]]:
    done = realtime("rules", *arguments, "--dsn", dsn, REALTIME_OPEN_CHANNELS='["chat:*"]')
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def saved(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as sql:
        for pattern, conditions in {
            "private:room-*": {"subscribe": MEMBERS, "publish": "auth.claims.level > 2", "presence": True},
            "events:*": {"publish": "request.event == 'note' && request.ip == '10.0.0.1' && auth.role == 'editor'"},
        }.items():
            definition = json.dumps({"channel": pattern, "rules": conditions})
            sql.execute("select realtime.set_rules(%s::jsonb)", [definition])
        sql.execute("""select realtime.create_channel('private:room-1', '{"members": ["ann"]}')""")
    return database


def test_a_test_names_the_rule_that_decides_and_the_value_of_each_part(saved: str) -> None:
    decided = ["decided by  rule private:room-*", f"condition   {MEMBERS}"]
    assert rules(saved, "test", "subscribe", "private:room-1", "--user", "ann") == (
        0,
        [
            "allowed",
            *decided,
            "part        auth.uid != null  ->  true",
            "part        data.members.includes(auth.uid)  ->  true",
        ],
    )
    code, lines = rules(saved, "test", "subscribe", "private:room-1")
    assert (code, lines[0], lines[3]) == (1, "denied", "part        auth.uid != null  ->  false")
    code, lines = rules(saved, "test", "subscribe", "private:room-2", "--user", "ann")
    assert (code, lines[3]) == (1, "error       there is no field 'members'")
    publish = ("test", "publish", "private:room-1", "--user", "ann", "--claims")
    assert rules(saved, *publish, '{"level": 3}')[1][0] == "allowed"
    assert rules(saved, *publish, '{"level": 2}')[1][0] == "denied"
    event = ("test", "publish", "events:1", "--user", "ann", "--event", "note", "--ip", "10.0.0.1")
    assert rules(saved, *event, "--role", "editor")[0] == 0
    assert rules(saved, *event)[0] == 1


def test_the_kind_of_a_channel_decides_without_a_rule(saved: str) -> None:
    assert rules(saved, "test", "subscribe", "chat:1") == (
        0,
        [
            "allowed",
            "decided by  the kind of the channel",
            "reason      no rule decides; the kind of the channel is open",
        ],
    )
    for channel in ("talk:1", "private:user-bob", "db:x", "*"):
        code, lines = rules(saved, "test", "subscribe", channel, "--user", "ann")
        assert (code, lines[:2]) == (1, ["denied", "decided by  the kind of the channel"]), channel


def test_rules_that_do_not_compile_are_found(saved: str) -> None:
    assert rules(saved, "check") == (0, ["2 rows, all of them compile"])
    with psycopg.connect(saved, autocommit=True) as sql:
        sql.execute("""insert into realtime.rules (channel, rules) values ('a', '{"publish": "user.id"}')""")
    problem = "there is no variable 'user': auth, channel, data, request"
    assert rules(saved, "check") == (1, [f"rule of 'a', publish: {problem}"])
    findings = [str(finding) for finding in diagnose(saved, load_settings())]
    assert next(line for line in findings if "rule of" in line).startswith(
        f"warn     rule of 'a', publish: {problem}. It denies"
    )
    code, lines = rules(saved, "list")
    assert code == 0
    assert lines[1].split(maxsplit=3) == ["a", "publish", "user.id", problem]
    assert len(lines) == 6


def test_rules_with_which_a_server_failed_are_found(saved: str) -> None:
    reported = {
        "channels": ["private:room-*"],
        "actions": ["publish"],
        "conditions": ["auth.claims.level > 2"],
        "errors": ["there is no field 'level'"],
        "failed_in": ["private:room-1"],
    }
    with psycopg.connect(saved, autocommit=True) as sql:
        sql.execute(query("rule_failures_note").encode(), reported)
    _, lines = rules(saved, "list")
    [line] = [line for line in lines if "level" in line]
    assert line.endswith("failed in private:room-1: there is no field 'level'")
    [finding] = [str(each) for each in diagnose(saved, load_settings()) if "rule of" in str(each)]
    assert "it failed in 'private:room-1' and denied: there is no field 'level'" in finding


def test_claims_that_are_no_object_are_refused(saved: str) -> None:
    done = realtime("rules", "test", "subscribe", "a", "--user", "ann", "--claims", "[]", "--dsn", saved)
    assert done.returncode == 2
    assert "a JSON object is expected" in done.stderr
