"""What the doctor reports of the judgement of messages: policies and a hook that no server can use."""

from __future__ import annotations

import json

import psycopg

from server.app.loading import load_settings
from server.cli.doctor.diagnose import diagnose

UNUSABLE = {
    "an unknown type": ("schema", {"type": "no-type"}, "schema.type"),
    "an unknown format": ("schema", {"type": "string", "format": "e-mail"}, "schema"),
    "a pattern with lookahead": ("schema", {"pattern": "(?=a)b"}, "schema"),
    "a reference to nothing": ("schema", {"$ref": "#/nowhere"}, "schema"),
    "a wrong regular expression": ("filters", [{"patterns": ["(a"], "action": "flag"}], "filters: the pattern '(a'"),
    "a word of punctuation": ("filters", [{"words": ["?!"], "action": "flag"}], "filters: '?!' has no letter"),
}
"""Each passes the checks of the database: its column, the value, and how the reason begins."""


def test_the_doctor_names_every_content_policy_that_does_not_compile(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for name, (column, value, _) in UNUSABLE.items():
            for enabled in (True, False):
                connection.execute(
                    f"insert into realtime.content_policies (name, enabled, {column}) values (%s, %s, %s)",
                    (name if enabled else f"{name}, disabled", enabled, json.dumps(value)),
                )
        connection.execute(
            "insert into realtime.content_policies (name, schema) values ('good', '{\"type\": \"string\"}')"
        )
    found = [each for each in diagnose(database, load_settings()) if each.text.startswith("content policy")]
    assert {each.level for each in found} == {"warn"}
    assert sorted(each.text.split("'")[1] for each in found) == sorted(UNUSABLE)
    for name, (_, _, reason) in UNUSABLE.items():
        assert [each for each in found if each.text.startswith(f"content policy {name!r}: {reason}")], name


def test_the_doctor_reports_a_function_without_which_a_server_does_not_start(database: str) -> None:
    for hook, reason in {
        "no.such.module:function": "cannot be imported",
        "tests.support.programs.content_hook:missing": "cannot be imported",
        "tests.support.programs.content_hook:NO_FUNCTION": "is no function",
    }.items():
        settings = load_settings(None, content_hook=hook, auth_handler={"function": hook})
        findings = diagnose(database, settings)
        for setting in ("content_hook", "auth_handler"):
            [found] = [each for each in findings if each.text.startswith(f"{setting}: ")]
            assert (found.level, reason in found.text) == ("problem", True)
