"""Annotations of transactions, by ``realtime.annotate()`` (``sql/schema/2_channels/35_annotate.sql``).

Each call emits one logical message of the transaction. All of them together, merged in their order, are the ``meta`` of
everything that the transaction changes, wherever in it they stand. The stream has no messages of subtransactions that were
rolled back.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.transaction import Message

__all__ = ["ANNOTATION_PREFIX", "Annotations"]

ANNOTATION_PREFIX: Final = "realtime.annotation"
_LARGEST: Final = 8192
"""Bytes of JSON that the annotations of one transaction may have. ``realtime.annotate()`` refuses more with RT005."""


class _Annotation(msgspec.Struct):
    key: str
    meta: dict[str, msgspec.Raw]


_decode: Final = msgspec.json.Decoder(_Annotation).decode
_encode: Final = msgspec.json.Encoder().encode


class Annotations:
    """Those of one transaction.

    ``key`` must be in them (``realtime.settings.stream_key``): every role may emit a logical message. None: not known yet,
    so none is taken.
    """

    __slots__ = ("_key", "_merged", "_meta", "_too_large")

    def __init__(self, key: str | None) -> None:
        self._key = key
        self._merged: dict[str, msgspec.Raw] = {}
        self._meta: bytes | None = None
        self._too_large = False

    def add(self, message: Message) -> None:
        """Merge one in: its keys replace earlier ones of that name.

        Raises ``msgspec.DecodeError`` or ``UnicodeDecodeError`` for one that ``realtime.annotate()`` did not emit.
        """
        note = _decode(message.content)
        if not self._key or note.key != self._key or self._too_large:
            return
        self._merged |= note.meta
        self._meta = _encode(self._merged) if self._merged else None
        if self._meta is not None and len(self._meta) > _LARGEST:  # its caller has evaded the check of the function
            self._too_large, self._meta = True, None
            self._merged.clear()

    @property
    def meta(self) -> bytes | None:
        """The merged JSON object; None if it is empty, or larger than is allowed."""
        return self._meta
