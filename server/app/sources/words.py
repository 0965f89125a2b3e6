"""What is wrong with settings, in words: the place, the setting, what it has to be, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from server.protocol.value_words import is_wrong, near_field

__all__ = ["in_words"]


def in_words(
    wrong: ValidationError,
    model: type[BaseModel],
    secret: Collection[str],
    place: Callable[[Sequence[int | str]], str | None],
) -> str:
    """All that is wrong, in one line.

    Args:
        wrong: pydantic's error.
        model: the class of the settings.
        secret: those whose values are not shown.
        place: where a setting, or what is inside one, is written.
    """
    problems = [_problem(each, model, secret, place) for each in wrong.errors(include_url=False)]
    return f"wrong settings: {'; '.join(problems)}"


def _problem(
    problem: ErrorDetails,
    model: type[BaseModel],
    secret: Collection[str],
    place: Callable[[Sequence[int | str]], str | None],
) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if not name:  # of several settings together, the first of which the message begins with
        words = problem["msg"].removeprefix("Value error, ")
        where = place([words.partition(" ")[0]])
        return f"{where}: {words}" if where else words
    setting = str(problem["loc"][0])
    where = place(problem["loc"])
    prefix = f"{where}: " if where else ""
    if problem["type"] == "extra_forbidden":
        return f"{prefix}{name} is no setting{near_field(model, problem['loc'])}"
    return f"{prefix}{name} {is_wrong(problem, hidden=setting in secret)}"
