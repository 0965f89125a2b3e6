"""JSON Schema for the data of messages, compiled once, by the library jsonschema-rs.

Bounds: no reference leads to another resource (nothing is fetched), and patterns are run by an engine without backtracking,
in linear time (the crate ``regex``): lookaround and back-references are refused when the schema is compiled. The judgement
itself remembers what it has judged; the search for the path of a problem does not, so its time could double with each level
of the data where a schema refers to itself. For such schemas the path is not searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jsonschema_rs import ReferencingError, RegexOptions, ValidationError, validator_for

from server.content.errors import PolicyError
from server.content.recursion import may_recurse

__all__ = ["DataSchema"]

_LONGEST_MESSAGE: Final = 300  # characters: names of properties in it are the client's


class DataSchema:
    """A compiled schema. Raises ``PolicyError`` if ``schema`` is none, or refers to something outside itself."""

    def __init__(self, schema: Any) -> None:
        try:
            self._validator = validator_for(
                schema,
                offline=True,
                pattern_options=RegexOptions(),
                validate_formats=True,
                ignore_unknown_formats=False,
                mask="the value",
            )
        except (ValidationError, ReferencingError, ValueError) as wrong:
            where = _path("schema", getattr(wrong, "instance_path", ()))
            text = wrong.message if isinstance(wrong, ValidationError | ReferencingError) else str(wrong)
            raise PolicyError(f"{where}: {text[:_LONGEST_MESSAGE]}") from wrong
        self._recursive = may_recurse(schema)

    def problem(self, value: Any) -> str | None:
        """The first thing in ``value``, decoded JSON, that the schema does not allow, with its path; None: it fits."""
        if self._validator.is_valid(value):
            return None
        if self._recursive:
            return "data: it does not fit the schema"
        try:
            self._validator.validate(value)
        except ValidationError as wrong:
            return f"{_path('data', wrong.instance_path)}: {wrong.message[:_LONGEST_MESSAGE]}"
        return "data: it does not fit the schema"


def _path(root: str, steps: Sequence[str | int]) -> str:
    """For instance ``data.items[3].price``."""
    return root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
