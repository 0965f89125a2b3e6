"""Errors of rules are written soon, together, and again when that has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from engine.channels.core.access_rules import AccessRule
from server.rules.condition import ConditionError, Scope, compile_condition
from server.rules.failures import RuleFailures

ONE, OTHER = AccessRule("chat:*", "publish", "data.x"), AccessRule("chat:1", "subscribe", "auth.x")


class Book:
    """What is written; each ``error`` is raised once, in place of writing."""

    def __init__(self, *errors: Exception) -> None:
        self.rows: list[Sequence[tuple[str, str, str | None]]] = []
        self.written = asyncio.Event()
        self._errors = list(errors)

    async def write(self, name: str, **columns: Any) -> list[dict[str, Any]]:
        assert name == "rule_failures_note"
        if self._errors:
            raise self._errors.pop(0)
        self.rows.append(list(zip(columns["channels"], columns["errors"], columns["failed_in"], strict=True)))
        self.written.set()
        return []


async def test_the_first_error_is_written_at_once_and_later_ones_in_one_statement() -> None:
    book = Book()
    failures = RuleFailures(book.write, pause=60)
    failures.start()
    failures.note(ONE, "a", "chat:1")
    await book.written.wait()
    failures.note(ONE, "b", "chat:2")
    failures.note(ONE, "c", "chat:3")
    failures.note(OTHER, "it does not compile")
    for _ in range(5):
        await asyncio.sleep(0)
    assert book.rows == [[("chat:*", "a", "chat:1")]], "the others wait"
    await failures.write()
    assert book.rows[1:] == [[("chat:*", "c", "chat:3"), ("chat:1", "it does not compile", None)]]
    await failures.stop()


async def test_what_could_not_be_written_is_written_later() -> None:
    book = Book(psycopg.OperationalError("away"))
    failures = RuleFailures(book.write, pause=0)
    failures.note(ONE, "a", "chat:1")
    failures.start()
    await book.written.wait()
    assert book.rows == [[("chat:*", "a", "chat:1")]]
    await failures.stop()


async def test_characters_that_the_database_lacks_are_replaced() -> None:
    book = Book(psycopg.errors.UntranslatableCharacter())
    failures = RuleFailures(book.write)
    failures.note(ONE, "there is no field 'é\0'", "chat:é")
    await failures.write()
    assert book.rows == [[("chat:*", "there is no field '??'", "chat:?")]]


async def test_errors_that_cannot_be_written_do_not_pile_up() -> None:
    book = Book()
    failures = RuleFailures(book.write)
    for number in range(3_000):
        failures.note(AccessRule(f"chat:{number}", "publish", "data.x"), "x" * 5_000, "chat:1")
    for _ in range(30):
        await failures.write()
    assert sum(map(len, book.rows)) == 1_000
    assert max(map(len, book.rows)) == 100
    assert len(book.rows[0][0][1]) == 1_000


def test_a_client_cannot_fill_the_log_by_the_library_of_expressions(caplog: pytest.LogCaptureFixture) -> None:
    """It logs each call of a function that fails."""
    scope = Scope()
    scope.keep("data", {"members": 1})
    with pytest.raises(ConditionError):
        compile_condition("data.members.includes('ann')").evaluate(scope)
    assert caplog.records == []
