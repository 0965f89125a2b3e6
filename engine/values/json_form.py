"""JSON from the text of a value, as PostgreSQL's ``row_to_json`` writes it under ``TimeZone`` UTC.

``to_jsonb`` gives the same JSON value; it differs in spelling only (``1e+20`` is written out, the keys of a ``json``
value are reordered). Numbers stay verbatim: every digit of a ``numeric`` reaches the client.
"""

from __future__ import annotations

from collections.abc import Callable

from orjson import dumps

from engine.values.labels import Labels
from engine.values.nested import array_tokens, record_fields

__all__ = ["Encoder", "json_array", "json_record"]

Encoder = Callable[[bytes], bytes]


def json_text(value: bytes) -> bytes:
    """A string with whatever escapes it needs."""
    return dumps(value.decode())


def json_quoted(value: bytes) -> bytes:
    """A string of a type whose text never needs an escape."""
    return b'"' + value + b'"'


def json_bytea(value: bytes) -> bytes:
    """``\\x00ff``: the one backslash is doubled."""
    return b'"\\' + value + b'"'


def json_number(value: bytes) -> bytes:
    """A number verbatim; ``NaN`` and ``Infinity``, which JSON has no numbers for, as strings."""
    return value if value[-1] <= 57 else b'"' + value + b'"'


json_bool: Encoder = {b"t": b"true", b"f": b"false"}.__getitem__


def json_timestamp(value: bytes) -> bytes:
    """ISO 8601 with ``T`` (JsonEncodeDateTime); ``infinity`` and `` BC`` stay as they are."""
    if value[-1] == 121:  # infinity: no date to put a T behind
        return b'"' + value + b'"'
    return b'"' + value.replace(b" ", b"T", 1) + b'"'


def json_timestamptz(value: bytes) -> bytes:
    """As :func:`json_timestamp`, with the zone in full; it is always UTC under the session settings."""
    return b'"' + value.replace(b" ", b"T", 1).replace(b"+00", b"+00:00") + b'"'


def json_enum(labels: tuple[str, ...]) -> Encoder:
    """Labels encoded once. The encoder raises ``UnknownLabelError`` for any other."""
    return Labels({label.encode(): dumps(label) for label in labels}).__getitem__


def json_array(element: Encoder, delimiter: bytes, *, verbatim: bool) -> Encoder:
    """Arrays of any dimension. ``verbatim``: elements are numbers, which mostly need no look at each."""
    marks = {b"{": b"[", b"}": b"]", delimiter: b","}

    def encode(value: bytes) -> bytes:
        if verbatim and value.startswith(b"{") and b"N" not in value and b"I" not in value:
            return value.translate(_BRACES)
        return b"".join(
            [
                marks[mark] if mark else b"null" if item is None else element(item)
                for mark, item in array_tokens(value, delimiter)
            ]
        )

    return encode


_BRACES = bytes.maketrans(b"{}", b"[]")


def json_record(fields: tuple[tuple[str, Encoder], ...]) -> Encoder:
    """A composite as an object, its fields in declared order."""
    parts = [(dumps(name) + b":", encoder) for name, encoder in fields]

    def encode(value: bytes) -> bytes:
        if not parts:
            return b"{}"
        items = zip(parts, record_fields(value), strict=True)
        return b"{" + b",".join([k + (b"null" if v is None else f(v)) for (k, f), v in items]) + b"}"

    return encode
