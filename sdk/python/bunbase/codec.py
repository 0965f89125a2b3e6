"""Messages as bytes: JSON, or MessagePack (``bunbase[msgpack]``) where it was asked for."""

from __future__ import annotations

import json
from typing import Any, Literal

__all__ = ["Format", "decode_binary", "decode_text", "encode_binary", "encode_text"]

Format = Literal["json", "msgpack"]


def encode_text(message: object) -> str:
    """As JSON. Raises ``TypeError`` or ``ValueError`` if it has none (NaN has none)."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def decode_text(text: str | bytes) -> Any:
    """From JSON. Raises ``ValueError``."""
    return json.loads(text)


def encode_binary(message: object) -> bytes:
    """As MessagePack."""
    import msgspec

    return msgspec.msgpack.encode(message)


def decode_binary(data: bytes) -> Any:
    """From MessagePack. Raises ``ValueError``."""
    import msgspec

    try:
        return msgspec.msgpack.decode(data)
    except msgspec.DecodeError as wrong:
        raise ValueError(f"not MessagePack: {wrong}") from wrong
