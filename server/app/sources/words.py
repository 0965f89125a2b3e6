"""What is wrong with settings, in words: the place, the setting, what it has to be, and what it is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["in_words", "near"]

_WORDS: Final = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "tuple_type": "must be a list",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "missing": "is missing",
}
"""By pydantic's type of error: https://docs.pydantic.dev/latest/errors/validation_errors/."""

_WITHOUT_VALUE: Final = ("missing",)


def near(name: str, names: Collection[str]) -> str:
    """A question for the one of ``names`` that is like ``name``; "" if none is."""
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?" if close else ""


def in_words(
    wrong: ValidationError, known: Collection[str], secret: Collection[str], place: Callable[[str], str | None]
) -> str:
    """All that is wrong, in one line.

    Args:
        wrong: pydantic's error.
        known: the names of all settings.
        secret: those whose values are not shown.
        place: where a setting is written.
    """
    problems = [_problem(each, known, secret, place) for each in wrong.errors(include_url=False)]
    return f"wrong settings: {'; '.join(problems)}"


def _problem(
    problem: ErrorDetails, known: Collection[str], secret: Collection[str], place: Callable[[str], str | None]
) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if not name:  # of several settings together; the input is all settings
        return problem["msg"].removeprefix("Value error, ")
    setting = str(problem["loc"][0])
    where = place(setting)
    prefix = f"{where}: " if where else ""
    if problem["type"] == "extra_forbidden":
        return f"{prefix}{name} is no setting{near(name, known) if len(problem['loc']) == 1 else ''}"
    hidden = setting in secret or problem["type"] in _WITHOUT_VALUE
    got = "" if hidden else f", not {problem['input']!r}"
    return f"{prefix}{name} {_words(problem['type'], problem['msg'], problem.get('ctx', {}))}{got}"


def _words(kind: str, message: str, context: Mapping[str, Any]) -> str:
    words = _WORDS.get(kind)
    if words is None:
        return f"is wrong: {message.removeprefix('Value error, ')}"
    return words.format_map(context)
