"""Fields of decoded JSON by path: ``data.items.*.title``; a ``*`` is every item of a list and every field of an object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["EVERYWHERE", "rewrite_texts", "steps_of", "texts_at"]


EVERYWHERE: Final = ("**",)
"""The steps to every text, at any depth. Names of fields are none."""


def steps_of(path: str) -> tuple[str, ...]:
    """The steps of a path, without the ``data`` that it begins with."""
    return tuple(path.split(".")[1:])


def texts_at(data: Any, steps: tuple[str, ...]) -> Iterator[str]:
    """The texts that the path leads to; what is no text, and what is not there, is skipped."""
    if not steps:
        if isinstance(data, str):
            yield data
        return
    if steps == EVERYWHERE and isinstance(data, str):
        yield data
    for _, value in _children(data, steps[0]):
        yield from texts_at(value, steps if steps == EVERYWHERE else steps[1:])


def rewrite_texts(data: Any, steps: tuple[str, ...], change: Callable[[str], str]) -> Any:
    """``data`` with the texts that the path leads to changed, in place where ``data`` is not the text itself."""
    if not steps:
        return change(data) if isinstance(data, str) else data
    if steps == EVERYWHERE and isinstance(data, str):
        return change(data)
    for key, value in _children(data, steps[0]):
        data[key] = rewrite_texts(value, steps if steps == EVERYWHERE else steps[1:], change)
    return data


def _children(data: Any, step: str) -> list[tuple[Any, Any]]:
    if isinstance(data, dict):
        return list(data.items()) if step in ("*", "**") else [(step, data[step])] if step in data else []
    if isinstance(data, list):
        if step in ("*", "**"):
            return list(enumerate(data))
        return [(int(step), data[int(step)])] if step.isascii() and step.isdigit() and int(step) < len(data) else []
    return []
