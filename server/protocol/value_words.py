"""What is wrong with values that were given, in words: what a value has to be, and which name may be meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

__all__ = ["is_wrong", "near", "near_field"]

_WORDS: Final = {
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "datetime_type": "must be a time such as 2026-11-29T12:00:00Z",
    "datetime_parsing": "must be a time such as 2026-11-29T12:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-11-29T12:00:00Z",
    "timezone_aware": "must be a time with its time zone, such as 2026-11-29T12:00:00Z",
    "missing": "is missing",
}
"""By pydantic's type of error: https://docs.pydantic.dev/latest/errors/validation_errors/."""

_OWN: Final = "Value error, "
"""Before the messages of our validators."""


def is_wrong(problem: ErrorDetails, *, hidden: bool = False) -> str:
    """What the value has to be, and what it is unless that is ``hidden``: follows its name in a sentence."""
    words = _WORDS.get(problem["type"])
    got = "" if hidden or problem["type"] == "missing" else f", not {problem['input']!r}"
    if words is None:
        return f"is wrong: {problem['msg'].removeprefix(_OWN)}{got}"
    return f"{words.format_map(problem.get('ctx', {}))}{got}"


def near(name: str, names: Collection[str]) -> str:
    """A question for the one of ``names`` that is like ``name``; "" if none is."""
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]}?" if close else ""


def near_field(model: type[BaseModel], place: Sequence[int | str]) -> str:
    """The same for the last of ``place``, a field that ``model`` does not have where the ones before it lead to."""
    *way, name = place
    for step in way:
        if isinstance(step, int):
            continue  # of a list, whose type is that of the field before
        field = next((field for key, field in model.model_fields.items() if step in (key, field.alias)), None)
        inner = None if field is None else _model_in(field.annotation)
        if inner is None:
            return ""
        model = inner
    return near(str(name), [field.alias or key for key, field in model.model_fields.items()])


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that an annotation such as ``tuple[Model, ...] | None`` has."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
