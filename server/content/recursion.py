"""Whether a JSON Schema may refer to itself. Applied to data of a client, such a schema is as deep as the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

__all__ = ["may_recurse"]

_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")


def may_recurse(schema: Any) -> bool:
    """True also where that is not known: references to anchors and dynamic ones, and identifiers inside the schema."""
    references: dict[str, set[str]] = {}
    waiting = [_references(schema)]
    while waiting:
        found = waiting.pop()
        if found is None:
            return True
        for pointer in found - references.keys():
            references[pointer] = set()
            target = _references(_target(schema, pointer))
            references[pointer] = target or set()
            waiting.append(target)
    return _has_circle(references)


def _references(schema: Any) -> set[str] | None:
    """The pointers that are referred to; None: not all of them are known."""
    found = set()
    for part in _objects(schema):
        if any(key in part for key in _DYNAMIC) or ("$id" in part and part is not schema):
            return None
        reference = part.get("$ref")
        if isinstance(reference, str):
            if reference != "#" and not reference.startswith("#/"):
                return None
            found.add(reference)
    return found


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)


def _target(schema: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) of the fragment form leads to; the compiler has refused those that lead nowhere."""
    for step in unquote(pointer).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        schema = schema[int(name)] if isinstance(schema, list) else schema[name]
    return schema


def _has_circle(references: dict[str, set[str]]) -> bool:
    ready = [pointer for pointer, targets in references.items() if not targets]
    open_ = {pointer: set(targets) for pointer, targets in references.items() if targets}
    while ready:
        done = ready.pop()
        for pointer in [pointer for pointer, targets in open_.items() if done in targets]:
            open_[pointer].discard(done)
            if not open_[pointer]:
                del open_[pointer]
                ready.append(pointer)
    return bool(open_)
