"""Which policies concern a message, and what follows from a change of their rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.channels.core.messages.decode import RowChange
from engine.channels.core.messages.model import Member, PresenceRefusedError
from engine.channels.core.watched_rows import WatchedRows
from engine.transaction import Kind
from server.content.errors import ContentRefusedError, PolicyUnusableError
from server.content.inspector import ContentInspector

Row = dict[str, str | None]
TEXT = {"type": "string"}
ADA = Member("connection-1", "ada")


def row(name: str, channel: str = "*", event: str = "*", schema: Any = TEXT, enabled: bool = True, **more: Any) -> Row:
    return {
        "name": name,
        "channel": channel,
        "event": event,
        "schema": json.dumps(schema),
        **{column: json.dumps(value) for column, value in more.items()},
        "enabled": "t" if enabled else "f",
    }


def inspector(*rows: Row) -> tuple[ContentInspector, WatchedRows]:
    held = WatchedRows()
    held.load(rows)
    return ContentInspector(held), held


def refused(checks: ContentInspector, channel: str = "c", event: str = "e", data: object = 1) -> str | None:
    """Code and text of the refusal; None: the message passes."""
    try:
        checks.message(ADA, channel, event, json.dumps(data).encode())
    except ContentRefusedError as problem:
        return f"{problem.code} {problem}"
    return None


def test_patterns_of_channel_and_event_choose_the_messages() -> None:
    checks, _ = inspector(row("p", "chat:*", "sent"), row("q", "exactly"), row("off", enabled=False))
    judged = {("chat:1", "sent"), ("chat:", "sent"), ("exactly", "any")}
    passed = {("chat", "sent"), ("chat:1", "sent!"), ("exactly:", "any"), ("other", "sent")}
    assert {each for each in judged | passed if refused(checks, *each) is not None} == judged
    assert refused(checks, "chat:1", "sent", "text") is None


def test_every_policy_that_matches_applies_in_the_order_of_names() -> None:
    checks, _ = inspector(row("b", schema={"maxLength": 2}), row("a", schema=TEXT), row("c", schema={"minLength": 1}))
    assert refused(checks, data=1) == "RT_007 data: the value is not of type \"string\" (content policy 'a')"
    assert refused(checks, data="abc") == "RT_007 data: the value is longer than 2 characters (content policy 'b')"
    assert "(content policy 'c')" in (refused(checks, data="") or "")
    assert refused(checks, data="ab") is None


def test_a_policy_that_cannot_be_used_refuses_what_it_concerns_and_nothing_else() -> None:
    checks, _ = inspector(row("broken", "chat:*", schema={"type": "nope"}), row("fine", "news"))
    with pytest.raises(
        PolicyUnusableError, match="the content policy 'broken' of this channel cannot be used"
    ) as problem:
        checks.message(ADA, "chat:1", "e", b"1")
    assert "nope" not in str(problem.value), "what is wrong with it is for the operator"
    assert refused(checks, "news", data="text") is None
    assert refused(checks, "other") is None
    status = checks.status()
    assert status["policies"] == 2
    assert [text.partition(": ")[0] for text in status["problems"]] == ["broken"]


def test_changes_of_rows_count_from_the_next_message_on() -> None:
    checks, rows = inspector()
    assert refused(checks) is None
    first = row("p", "c")
    rows.apply(RowChange(Kind.INSERT, "content_policies", None, dict(first)))
    assert refused(checks) is not None
    left_alone = {name: value for name, value in first.items() if name != "schema"}  # as the stream sends large values
    rows.apply(RowChange(Kind.UPDATE, "content_policies", dict(first), left_alone | {"channel": "d"}))
    assert (refused(checks, "c"), refused(checks, "d") is not None) == (None, True)
    rows.apply(RowChange(Kind.UPDATE, "content_policies", first | {"channel": "d"}, row("q", "d", schema={})))
    assert refused(checks, "d") is None
    assert checks.status()["policies"] == 1
    rows.apply(RowChange(Kind.DELETE, "content_policies", row("q", "d", schema={}), None))
    rows.apply(RowChange(Kind.INSERT, "content_policies", None, row("r")))
    assert refused(checks) is not None
    rows.apply(RowChange(Kind.TRUNCATE, "content_policies", None, None))
    assert refused(checks) is None


def test_presence_has_policies_of_its_own() -> None:
    person = {"properties": {"name": TEXT}}
    checks, _ = inspector(row("m", event="*", schema=False), row("p", "room:*", "presence:update", person))
    checks.presence(ADA, "room:1", {"name": "Ada"})
    checks.presence(ADA, "hall", {"name": 1})
    with pytest.raises(PresenceRefusedError, match=r"data\.name: .*\(content policy 'p'\)"):
        checks.presence(ADA, "room:1", {"name": 1})
    text = refused(checks, "room:1", "presence:update", {"name": "Ada"})
    assert text is not None, "a message may have that event: then it is a message"
    assert "(content policy 'm')" in text


def test_what_a_policy_leaves_of_the_data_is_what_the_next_one_sees_and_every_digit_of_numbers_stays() -> None:
    checks, _ = inspector(
        row("a", schema={"type": "object"}, sanitize={"data.text": "text"}),
        row("b", schema={"properties": {"text": {"maxLength": 5}}}),
        row("p", event="presence:update", schema={}, sanitize={"data.name": "text"}),
    )
    given = b'{"text": "<b>hello</b>", "n": 0.10, "big": 123456789012345678901234567890, "none": null}'
    clean = b'{"text":"hello","n":0.10,"big":123456789012345678901234567890,"none":null}'
    assert checks.message(ADA, "c", "e", given) == clean
    shown = {"name": "<i>Ada</i>", "n": 0.5}
    assert checks.presence(ADA, "c", shown) == {"name": "Ada", "n": 0.5}
    assert shown["name"] == "<i>Ada</i>", "what the client sent is left alone"


def test_a_row_that_no_trigger_has_checked_is_a_problem_and_no_crash() -> None:
    wrong: list[Row] = [row("a") | {"schema": "{"}, row("b", filters=[5]), row("c", sanitize=[]), row("d", spam={})]
    checks, _ = inspector(*wrong)
    assert [text.partition(": ")[0] for text in checks.status()["problems"]] == ["a", "b", "c", "d"]


def test_channels_that_clients_make_up_take_no_memory() -> None:
    checks, _ = inspector(row("p", "chat:*"))
    for number in range(30_000):
        assert refused(checks, f"made-up-{number}") is None
    assert len(checks._found) <= 10_000
    assert refused(checks, "chat:1") is not None
