"""API keys as ``realtime.create_api_key`` makes them, and the ring that knows them, without a database."""

from __future__ import annotations

import hashlib

from engine.channels.core.watched_rows import WatchedRows
from server.auth.api_keys import KeyRing

__all__ = ["api_key", "key_row", "ring_of"]


def api_key(number: int = 0, start: str = "pk_", secret: str = "") -> str:
    """A key of the right form."""
    text = f"{start}{number:012x}_{hashlib.sha256(f'{number}{secret}'.encode()).hexdigest()}"
    return text + hashlib.sha256(text.encode()).hexdigest()[:8]


def key_row(key: str, **columns: str | None) -> dict[str, str | None]:
    """The row of a key, as the stream writes it."""
    row: dict[str, str | None] = {
        "id": key[:15],
        "name": "a key",
        "kind": "secret" if key.startswith("sk_") else "publishable",
        "prefix": key[:15],
        "hash": hashlib.sha256(key.encode()).hexdigest(),
        "scopes": None,
        "expires_at": None,
        "revoked_at": None,
        "allowed_ips": None,
        "denied_ips": None,
    }
    return row | columns


def ring_of(*rows: dict[str, str | None]) -> KeyRing:
    """A ring that knows these rows."""
    known = WatchedRows("id")
    known.load(rows)
    ring = KeyRing()
    ring.follow(known)
    return ring
