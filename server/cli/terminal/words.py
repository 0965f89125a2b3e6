"""Wrong values of options, in the words in which wrong settings of files and of the environment are reported."""

from __future__ import annotations

import re
from typing import Any, Final

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from typer.core import TyperGroup

from server.protocol.value_words import is_wrong, near

__all__ = ["Commands"]

_CHOICES: Final = re.compile(r"is not one of (?P<choices>.+)\.$")
"""How typer ends its message about a value that is none of those to choose from."""


class Commands(TyperGroup):
    """The commands of a program. typer has pydantic check the values of their options, and shows its messages."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command of the line. Raises ``typer.BadParameter`` in our words."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as wrong:
            if isinstance(wrong.__cause__, ValidationError):
                wrong.message = "; ".join(map(_in_words, wrong.__cause__.errors(include_url=False)))
            raise


def _in_words(problem: ErrorDetails) -> str:
    found = _CHOICES.search(problem["msg"])
    if found is None:
        return is_wrong(problem)
    choices, given = found["choices"], problem["input"]
    names = [each.strip("'") for each in choices.split(", ")]
    return f"must be one of {choices}, not {given!r}{near(str(given), names)}"
