"""API keys: which application a client belongs to (publishable), and what a server may do over REST (secret).

A key is ``pk_`` or ``sk_``, 12 hex digits by which it is found (with those before: its prefix), ``_``, 64 hex digits of
secret, and 8 of a checksum: ``sql/schema/4_access/40_api_keys.sql`` makes them. Only their hashes are stored and known here.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from engine.channels.core.messages.model import UnavailableError
from engine.channels.core.watched_rows import WatchedRows
from engine.identity.address_lists import AddressLists
from server.auth.refusal import AuthenticationError

__all__ = ["PREFIX_LENGTH", "READER", "ApiKey", "KeyRing", "looks_like_key"]

PREFIX_LENGTH: Final = 15
"""Characters by which a key is found; they are no secret."""

READER: Final = "dashboard"
"""The scope of secret keys that reads everything and changes nothing."""


_FORM: Final = re.compile(r"([ps]k_[0-9a-f]{12})_[0-9a-f]{64}([0-9a-f]{8})")
_START: Final = re.compile(r"[ps]k_")
_CHECKSUM: Final = 8  # hex digits


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A row of ``realtime.api_keys``. ``scopes``: what a secret key may do; None: everything. ``expires_at``: in seconds
    since the Unix epoch; None: never. ``addresses``: from where it may be used.
    """

    name: str
    prefix: str
    hash: str
    secret: bool
    scopes: frozenset[str] | None
    expires_at: float | None
    revoked: bool
    addresses: AddressLists

    @property
    def expired(self) -> bool:
        """Whether ``expires_at`` has passed."""
        return self.expires_at is not None and self.expires_at <= time.time()


def looks_like_key(text: str) -> bool:
    """Whether a text is meant to be an API key, right or not."""
    return _START.match(text) is not None


class KeyRing:
    """The keys, as of the stream."""

    def __init__(self) -> None:
        self._rows: WatchedRows | None = None
        self._version: int | None = None
        self._keys: dict[str, ApiKey] = {}

    def follow(self, rows: WatchedRows) -> None:
        """The rows are known from now on; before, no key can be judged."""
        self._rows, self._version = rows, None

    def check(self, text: str, address: str | None) -> ApiKey:
        """The key. ``address``: of the client. Raises ``AuthenticationError`` with the reason if it is not valid, or not
        from there, and ``UnavailableError`` if that is not known yet.
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise AuthenticationError(
                "not an API key: one is pk_ or sk_ and 85 characters, as realtime keys create prints it"
            )
        if not hmac.compare_digest(_hash(text[:-_CHECKSUM])[:_CHECKSUM], form[2]):
            raise AuthenticationError("the API key is mistyped: its checksum is wrong")
        key = self._current().get(form[1])
        if key is None or not hmac.compare_digest(_hash(text), key.hash):
            raise AuthenticationError("unknown API key", "unknown")
        if key.revoked:
            raise AuthenticationError("API key revoked", "revoked")
        if key.expired:
            raise AuthenticationError("API key expired", "expired")
        if not key.addresses.admit(address):
            raise AuthenticationError(
                "the API key may not be used from your address (its allowed_ips and denied_ips)", "address"
            )
        return key

    def _current(self) -> Mapping[str, ApiKey]:
        if self._rows is None:
            raise UnavailableError("the server is starting; try again")
        if self._version != self._rows.version:
            keys = (_read(row) for row in self._rows.in_order())
            self._keys, self._version = {key.prefix: key for key in keys}, self._rows.version
        return self._keys


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(row: Mapping[str, str | None]) -> ApiKey:
    scopes, expires_at = row["scopes"], row["expires_at"]
    return ApiKey(
        name=row["name"] or "",
        prefix=row["prefix"] or "",
        hash=row["hash"] or "",
        secret=row["kind"] == "secret",
        scopes=None if scopes is None else frozenset(_elements(scopes)),
        expires_at=None if expires_at is None else datetime.fromisoformat(expires_at).timestamp(),
        revoked=row["revoked_at"] is not None,
        addresses=AddressLists(_elements(row["allowed_ips"]), _elements(row["denied_ips"])),
    )


def _elements(array: str | None) -> list[str]:
    """The elements of an array whose texts need no quotes; none for null."""
    return [] if array is None else [each for each in array.strip("{}").split(",") if each]
