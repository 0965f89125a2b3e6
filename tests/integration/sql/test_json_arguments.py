"""Functions that take ``jsonb`` take ``json``, which drivers and ``json_build_object()`` make, and literals as before."""

from __future__ import annotations

import psycopg
import pytest

from engine.postgres.statements.schema_objects import lost_objects
from tests.integration.sql.conftest import Connection, Stream, named, run, value

FORMS = ["'{0}'", "'{0}'::text", "'{0}'::json", "'{0}'::jsonb"]


@pytest.mark.parametrize("form", FORMS)
def test_rooms_rules_and_alerts_take_each_type(db: Connection, form: str) -> None:
    topic, others = form.replace("{0}", '{"topic": "x"}'), ("{}", "{}::json", "{}::text", "{}::jsonb")
    run(db, f"select realtime.create_channel('a', {topic})")
    run(db, f"select realtime.create_channel('b', metadata => {topic}, capacity => 2)")
    for number, other in enumerate(others):
        permissions = other.replace("{}", "'{}'")
        run(db, f"select realtime.create_channel('c{number}', {topic}, permissions => {permissions})")
    rooms = run(db, "select name, metadata, permissions from realtime.channels order by name")
    assert [room["name"] for room in rooms] == ["a", "b", "c0", "c1", "c2", "c3"]
    assert all(room["metadata"] == {"topic": "x"} and room["permissions"] == {} for room in rooms)
    capacity, rules = form.replace("{0}", '{"capacity": 3}'), '{"channel": "a", "rules": {"subscribe": "true"}}'
    run(db, f"select realtime.update_channel('a', {capacity})")
    assert value(db, "select capacity from realtime.channels where name = 'a'") == 3
    run(db, f"select realtime.set_rules({form.replace('{0}', rules)})")
    assert value(db, "select rules from realtime.rules where channel = 'a'") == {"subscribe": "true"}
    name = value(db, "select name from realtime.alert_rules order by name limit 1")
    disabled = form.replace("{0}", '{"enabled": false}')
    changed = run(db, f"select * from realtime.update_alert_rule(%s, {disabled})", name)
    assert [row["enabled"] for row in changed] == [False]


@pytest.mark.parametrize("form", FORMS)
def test_annotations_of_each_type_are_in_the_stream(db: Connection, stream: Stream, form: str) -> None:
    meta = form.replace("{0}", '{"user": "ada"}')
    run(db, f"select realtime.annotate({meta})")
    assert [content["meta"] for content in stream.messages("realtime.annotation")] == [{"user": "ada"}]


def test_a_channel_needs_its_name_alone_and_text_has_to_be_json(db: Connection) -> None:
    run(db, "select realtime.create_channel('plain'), realtime.create_channel('limited', capacity => 1)")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        run(db, "select realtime.create_channel('x', 'topic'::text)")


def test_none_of_their_signatures_is_looked_for_in_vain(db: Connection) -> None:
    assert lost_objects(named(db, "schema_objects")) == ()
    run(
        db,
        "drop function realtime.create_channel(text, text, json, int, bool, interval, int, interval, interval, text)",
    )
    assert lost_objects(named(db, "schema_objects")) == ("function realtime.create_channel",)
