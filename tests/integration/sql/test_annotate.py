"""``realtime.annotate()``: what it refuses, and what it emits."""

from __future__ import annotations

import psycopg
import pytest

from tests.integration.sql.conftest import Connection, Stream, run


def refused(db: Connection, *statements: str) -> psycopg.Error:
    """What a transaction of these statements fails with."""
    with pytest.raises(psycopg.Error) as found:
        run(db, ";".join(("begin", *statements)))
    run(db, "rollback")
    return found.value


def test_an_annotation_is_a_json_object_of_bounded_size_and_depth(db: Connection, stream: Stream) -> None:
    for value in ("'[1]'", "'\"ada\"'", "'null'", "null"):
        assert refused(db, f"select realtime.annotate({value})").sqlstate == "RT007"
    deep = "select realtime.annotate(jsonb_build_object('a', (repeat('[', 600) || repeat(']', 600))::jsonb))"
    assert refused(db, deep).sqlstate == "RT007"
    half = "select realtime.annotate(jsonb_build_object('%s', repeat('x', 5000)))"
    error = refused(db, half % "a", half % "b")
    assert (error.sqlstate, error.diag.message_hint) == ("RT005", "At most 8192.")
    assert "10" in (error.diag.message_primary or "")  # thousand bytes: both count
    assert stream.messages("realtime.annotation") == []
    with db.transaction():
        run(db, half % "a")
        run(db, half % "a")  # instead of the first
        run(db, "savepoint s")
        run(db, "select realtime.annotate(jsonb_build_object('b', repeat('x', 3000)))")
        run(db, "rollback to s")
        run(db, "select realtime.annotate(jsonb_build_object('c', repeat('x', 3000)))")
    with db.transaction():  # another one begins with nothing
        run(db, half % "d")
    assert [list(each["meta"]) for each in stream.messages("realtime.annotation")] == [["a"], ["a"], ["c"], ["d"]]


def test_only_publishers_annotate(db: Connection, stream: Stream) -> None:
    annotate = """select realtime.annotate('{"user": "ada"}')"""
    run(db, "drop role if exists stranger")
    run(db, "create role stranger")
    run(db, "grant usage on schema realtime to stranger")
    try:
        run(db, "set role stranger")
        assert refused(db, annotate).sqlstate == "42501"
        run(db, "set role realtime_publisher")
        run(db, annotate)
    finally:
        run(db, "reset role")
        run(db, "revoke usage on schema realtime from stranger")
        run(db, "drop role stranger")
    [note] = stream.messages("realtime.annotation")
    assert note["meta"] == {"user": "ada"}
