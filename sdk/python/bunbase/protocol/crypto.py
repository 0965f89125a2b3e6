"""End-to-end encryption of ``data``: AES-256-GCM, so that servers and tables see only ciphertext.

The envelope names its key, so keys can be changed: send with the newest, keep the old ones for reading. Channel and event
are authenticated with it, so a ciphertext cannot be moved to another place. Needs ``bunbase[e2ee]``.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Any

from bunbase.protocol.codec import decode_text, encode_bytes
from bunbase.protocol.errors import BunbaseError

__all__ = ["DecryptionError", "Encryption", "expect_encryption"]

_KEY_SIZE = 32
_NONCE_SIZE = 12


class DecryptionError(BunbaseError):
    """A message is not encrypted, was encrypted with an unknown key, or was changed in transit."""


class Encryption:
    """Keys of a channel.

    Args:
        key_id: which of ``keys`` to send with.
        keys: AES-256 keys by their id, each as 32 bytes or as their base64 or base64url text.
        allow_plaintext: also deliver messages that are not encrypted.

    Raises:
        ValueError: a key is not 32 bytes, or there is none named ``key_id``.
        ImportError: the extra ``bunbase[e2ee]`` is not installed.
    """

    def __init__(self, key_id: str, keys: Mapping[str, bytes | str], *, allow_plaintext: bool = False) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # an extra, see the module

        if key_id not in keys:
            raise ValueError(f"key_id: there is no key {key_id!r} among {sorted(keys)}")
        self.key_id = key_id
        self.allow_plaintext = allow_plaintext
        self._ciphers = {id: AESGCM(_key(id, key)) for id, key in keys.items()}

    def __repr__(self) -> str:
        keys = ", ".join(sorted(self._ciphers))
        return f"<Encryption with {self.key_id!r} of {len(self._ciphers)} keys: {keys}>"

    def encrypt(self, channel: str, event: str, data: object, *, nonce: bytes | None = None) -> dict[str, Any]:
        """The envelope for ``data``, any JSON value. ``nonce``: for test vectors only; never use one twice."""
        iv = os.urandom(_NONCE_SIZE) if nonce is None else nonce
        text = encode_bytes(data)
        sealed = self._ciphers[self.key_id].encrypt(iv, text, _bound(channel, event, self.key_id))
        return {"e2ee": 1, "kid": self.key_id, "iv": _to_text(iv), "ct": _to_text(sealed)}

    def decrypt(self, channel: str, event: str, envelope: object) -> Any:
        """The data in ``envelope``. Raises ``DecryptionError``; plain data passes if that is allowed."""
        if not (isinstance(envelope, Mapping) and "e2ee" in envelope):
            if self.allow_plaintext:
                return envelope
            raise DecryptionError("it is not encrypted, and allow_plaintext is off")
        kid, iv, sealed = (envelope.get(name) for name in ("kid", "iv", "ct"))
        if envelope["e2ee"] != 1 or not (isinstance(kid, str) and isinstance(iv, str) and isinstance(sealed, str)):
            raise DecryptionError("its envelope is not one of version 1")
        cipher = self._ciphers.get(kid)
        if cipher is None:
            raise DecryptionError(f"there is no key {kid!r}")
        from cryptography.exceptions import InvalidTag

        try:
            return decode_text(cipher.decrypt(_from_text(iv), _from_text(sealed), _bound(channel, event, kid)))
        except (InvalidTag, ValueError):
            raise DecryptionError(f"it was not made with key {kid!r} for this channel and event") from None


def _bound(channel: str, event: str, kid: str) -> bytes:
    return f"{channel}\n{event}\n{kid}".encode()


def expect_encryption(value: object) -> None:
    """Raises ``TypeError`` if it is neither an ``Encryption`` nor None."""
    if not isinstance(value, Encryption | None):
        raise TypeError(f"encryption: Encryption is expected, not {type(value).__name__}")


def _key(id: str, key: bytes | str) -> bytes:
    raw = _from_text(key) if isinstance(key, str) else bytes(key)
    if len(raw) != _KEY_SIZE:
        raise ValueError(f"key {id!r} has {len(raw)} bytes; AES-256 needs {_KEY_SIZE}")
    return raw


def _to_text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _from_text(text: str) -> bytes:
    plain = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error as wrong:
        raise ValueError(f"not base64: {wrong}") from None
