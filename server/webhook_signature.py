"""Signatures of requests to webhooks, after Standard Webhooks (standardwebhooks.com), "Symmetric": HMAC-SHA256."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode, b64encode
from typing import Final

__all__ = ["signature_headers", "signing_key"]

_PREFIX: Final = "whsec_"
_KEY: Final = range(24, 65)  # bytes: between 24 and 64


def signature_headers(key: bytes, id: str, at: int, body: bytes) -> dict[str, str]:
    """The headers of a request with ``body``. ``id``: the same for each attempt; ``at``: seconds since 1970."""
    signature = hmac.digest(key, b".".join((id.encode(), str(at).encode(), body)), "sha256")
    return {
        "webhook-id": id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{b64encode(signature).decode()}",
    }


def signing_key(secret: str) -> bytes:
    """The key that a secret in base64 stands for, with ``whsec_`` in front or without. Raises ``ValueError``."""
    try:
        key = b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as wrong:
        raise ValueError("secret: not base64; openssl rand -base64 32 makes one") from wrong
    if len(key) not in _KEY:
        raise ValueError(
            f"secret: {_KEY.start} to {_KEY.stop - 1} bytes in base64 are needed, by which the webhook knows this "
            "server; openssl rand -base64 32 makes one"
        )
    return key
