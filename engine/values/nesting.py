"""How deep the values of a document are nested, from its JSON text: one linear pass, without recursion.

PostgreSQL keeps JSON of any nesting. Many programs cannot read it: Python's ``json`` stops at about a thousand levels,
``msgspec`` earlier. ``realtime.is_too_deep()`` has the same bound, for payloads of channels.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Final

import orjson

__all__ = ["MAX_LEVELS", "SHALLOW", "may_be_too_deep", "too_deep_field"]

MAX_LEVELS: Final = 512
"""Levels of lists and objects that a value of a document may have."""

SHALLOW: Final = 2 * MAX_LEVELS
"""Bytes of a text that is too short for more levels, each of which has two brackets."""

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_STRINGS = re.compile(_STRING, re.DOTALL)
_PARTS = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one level down, one level up
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def may_be_too_deep(text: bytes) -> bool:
    """Whether ``text``, a document or a value as PostgreSQL prints it, has enough brackets; parentheses become objects."""
    if len(text) <= SHALLOW:
        return False
    return text.count(b"[") + text.count(b"{") + text.count(b"(") > MAX_LEVELS


def too_deep_field(document: bytes) -> str | None:
    """The first field of the JSON object ``document`` whose value is nested more than ``MAX_LEVELS`` deep."""
    if not may_be_too_deep(document) or _depth(document) <= 1 + MAX_LEVELS:
        return None
    field, depth = b'""', 0
    for match in _PARTS.finditer(document):
        part = match.group()
        if part in (b"[", b"{"):
            depth += 1
            if depth > 1 + MAX_LEVELS:
                break
        elif part in (b"]", b"}"):
            depth -= 1
        elif depth == 1:  # the last string before a nested value is its key
            field = part
    name: str = orjson.loads(field)
    return name


def _depth(text: bytes) -> int:
    brackets = _STRINGS.sub(b"", text).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")), default=0)
