"""A document as a place in a query's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.model import Doc

__all__ = ["cursor"]


def cursor(at: Sequence[object], order_by: Sequence[Sequence[str]]) -> list[object] | dict[str, Any]:
    """The cursor in the protocol's form: values of the sort keys as they are, or those of a document with its id.

    Raises ``RealtimeError`` (``RT_007``) if the document has no such field.
    """
    if not at or not isinstance(at[0], Doc):
        return list(at)
    doc = at[0]
    for field, *_ in order_by:
        if field not in doc.data:
            raise RealtimeError(ErrorCode.INVALID_MESSAGE, f"no field {field} in document {doc.id}: select it")
    return {"doc": doc.id, "values": [doc.data[field] for field, *_ in order_by]}
