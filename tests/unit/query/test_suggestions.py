"""Which name a misspelt one may have meant."""

from __future__ import annotations

import pytest

from engine.query.ir.suggestions import did_you_mean

NAMES = ["todos", "messages", "createdAt", "room_id", "id", "pin", "body", "text"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("todo", "todos"),
        ("Todos", "todos"),
        ("messagess", "messages"),
        ("created_at", "createdAt"),
        ("createdat", "createdAt"),
        ("roomId", "room_id"),
        ("bodi", "body"),
        ("bdoy", "body"),
        ("bady", "body"),
        ("pins", "pin"),
        ("pon", "pin"),
        ("tex", "text"),
        ("TEXTS", "text"),
    ],
)
def test_a_name_that_is_nearly_one(name: str, meant: str) -> None:
    assert did_you_mean(name, NAMES) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize(
    "name", ["", "orders", "x", "m" * 64, None, 3, ["todos"], "todos" * 5, "bo", "is", "bade", "pxq"]
)
def test_what_is_none_of_them(name: object) -> None:
    assert did_you_mean(name, NAMES) == ""


def test_not_more_than_a_hundred_are_compared() -> None:
    def names() -> object:
        for number in range(10_000):
            assert number <= 100
            yield f"todo{number:04}"

    assert did_you_mean("todo0007", names()) == "; did you mean 'todo0007'?"  # type: ignore[arg-type]
