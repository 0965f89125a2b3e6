"""What is wrong with values that were given, in words: what a value has to be, and which name may be meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

__all__ = ["decoding_in_words", "is_wrong", "near", "near_field"]

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
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "datetime_type": "must be a time such as 2026-11-29T12:00:00Z",
    "datetime_parsing": "must be a time such as 2026-11-29T12:00:00Z",
    "datetime_from_date_parsing": "must be a time such as 2026-11-29T12:00:00Z",
    "timezone_aware": "must be a time with its time zone, such as 2026-11-29T12:00:00Z",
    "missing": "is missing",
}
"""By pydantic's type of error: https://docs.pydantic.dev/latest/errors/validation_errors/."""

_ONE: Final = re.compile(r"\b1 (character|item)s")
_OWN: Final = "Value error, "
"""Before the messages of our validators."""


def is_wrong(problem: ErrorDetails, *, hidden: bool = False) -> str:
    """What the value has to be, and what it is unless that is ``hidden``: follows its name in a sentence."""
    words = _WORDS.get(problem["type"])
    got = "" if hidden or problem["type"] == "missing" else f", not {problem['input']!r}"
    if words is None:
        return f"is wrong: {problem['msg'].removeprefix(_OWN)}{got}"
    wanted = words.format_map(problem.get("ctx", {}))
    return _ONE.sub(r"1 \1", wanted) + got


def near(name: str, names: Collection[str], prefix: str = "") -> str:
    """A question for the one of ``names`` that is like ``name``, with ``prefix`` in front; "" if none is."""
    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


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


_AT: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<place>[^`]*)`)?$", re.S)
_NAMED: Final = re.compile(r"^Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`$", re.S)
_NO_CHOICE: Final = re.compile(r"^Invalid value '(?P<given>.*)'$", re.S)
_EXPECTED: Final = re.compile(
    r"^Expected `(?P<types>[a-z |]+)`(?: of length)?(?: (?P<bound>[<>]=) (?P<limit>\d+))?(?:, got `(?P<got>\w+)`)?$"
)
_TYPES: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_UNITS: Final = {"str": " characters", "array": " items"}


def decoding_in_words(problem: str, names: Collection[str], choices: Collection[str] = ()) -> str:
    """msgspec's message about a document in our words; one that is not known stays as it is.

    ``names``: of the fields that documents of this kind may have; ``choices``: the values that one field may have.
    """
    found = _AT.match(problem)
    assert found is not None, "any text matches"
    words = _wanted(found["what"], names, choices)
    if words is None:
        return problem
    place = found["place"]
    if not place:
        return words if not words.startswith("must") else f"it {words}"
    return f"{place} {words}" if words.startswith("must") else f"{place}: {words}"


def _wanted(what: str, names: Collection[str], choices: Collection[str]) -> str | None:
    if named := _NAMED.match(what):
        name = named["name"]
        if named["what"] == "missing required":
            return f"{name} is missing"
        others = [each for each in names if each != name]  # a field of another message is none here
        return f"{name!r} is no field{near(name, others)}"
    if choice := _NO_CHOICE.match(what):
        return f"must be one of {', '.join(choices)}, not {choice['given']!r}{near(choice['given'], choices)}"
    if "matching regex" in what:  # each that this protocol has excludes control characters
        return "must be a text without control characters"
    if expected := _EXPECTED.match(what):
        types = expected["types"].split(" | ")
        wanted = " or ".join(_TYPES.get(each, each) for each in types)
        if expected["bound"]:
            least = "at least" if expected["bound"] == ">=" else "at most"
            unit = _UNITS.get(types[0], "")
            wanted = _ONE.sub(r"1 \1", f"{wanted} of {least} {expected['limit']}{unit}")
        return f"must be {wanted}" + (
            f", not {_TYPES.get(expected['got'], expected['got'])}" if expected["got"] else ""
        )
    return None
