"""Reading the text of arrays and composites: ``{1,NULL,"a b"}``, ``[0:1]={1,2}``, ``(1,"a b",)``.

The rules are those of array_out and record_out: what needs quoting is quoted, so an unquoted ``NULL`` is null and a
quoted one is the word; in a composite an empty unquoted field is null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["array_elements", "array_tokens", "record_fields"]

_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_DOUBLED = re.compile(rb'\\(\\)|"(")')
_FIELD = re.compile(rb'"((?:[^"\\]|""|\\\\)*)"|([^,")]*)')


def _token_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    mark = re.escape(delimiter)
    return re.compile(rb"([{}" + mark + rb'])|"((?:[^"\\]|\\.)*)"|([^{}"' + mark + rb"]+)", re.DOTALL)


_PATTERNS = {b",": _token_pattern(b","), b";": _token_pattern(b";")}


def array_tokens(text: bytes, delimiter: bytes = b",") -> Iterator[tuple[bytes, bytes | None]]:
    """The tokens of an array: ``(mark, None)`` for a brace or delimiter, ``(b"", element)`` for an element.

    An element is None if it is null. Explicit bounds are skipped, as in JSON.
    """
    start = text.index(b"=") + 1 if text.startswith(b"[") else 0
    pattern = _PATTERNS.get(delimiter) or _token_pattern(delimiter)
    for mark, quoted, plain in pattern.findall(text, start):
        if mark:
            yield mark, None
        elif plain:
            yield b"", None if plain == b"NULL" else plain
        else:
            yield b"", _ESCAPED.sub(rb"\1", quoted) if b"\\" in quoted else quoted


def array_elements(text: bytes, delimiter: bytes = b",") -> Iterator[bytes]:
    """The elements that are not null, whatever the dimensions."""
    for mark, element in array_tokens(text, delimiter):
        if not mark and element is not None:
            yield element


def record_fields(text: bytes) -> list[bytes | None]:
    """The fields of a composite. A composite without fields looks like one with a single null: ``()``."""
    fields: list[bytes | None] = []
    position = 1
    while True:
        match = _FIELD.match(text, position)
        if match is None:
            raise ValueError(f"not a composite value: {text!r}")
        quoted, plain = match.groups()
        fields.append((plain or None) if quoted is None else _DOUBLED.sub(rb"\1\2", quoted))
        position = match.end() + 1
        if text[match.end() : position] != b",":
            return fields
