"""JSON Web Keys (RFC 7517) that tokens are verified with: each is bound to the algorithms that it may verify.

The binding is what keeps a public key from being taken for the secret of an HMAC, whatever the header of a token names
(RFC 8725, 2.1 and 3.1).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError
from jwt.utils import base64url_encode

from engine.errors import BunbaseError

__all__ = [
    "ALGORITHMS",
    "ASYMMETRIC",
    "MAX_KEY_ID",
    "SYMMETRIC",
    "InvalidKeyError",
    "Keys",
    "VerifyingKey",
    "key_set",
    "public_keys",
    "secret_keys",
]

SYMMETRIC: Final = ("HS256", "HS384", "HS512")
ASYMMETRIC: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
ALGORITHMS: Final = (*SYMMETRIC, *ASYMMETRIC)

_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_RSA: Final = ASYMMETRIC[:6]
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_MAX_KEYS: Final = 64
MAX_KEY_ID: Final = 256
_MIN_SECRET: Final = 32


class InvalidKeyError(BunbaseError, ValueError):
    """A key cannot be used. The text never contains the key."""


class VerifyingKey:
    """A key bound to one algorithm, which is long enough for it. It is prepared once: ``jwt.decode`` would look at the form
    of a secret for each token. Raises ``InvalidKeyError``.
    """

    __slots__ = ("_digest", "_prepared", "_verify", "algorithm", "jwk")

    def __init__(self, fields: dict[str, Any], algorithm: str) -> None:
        try:
            self.jwk = PyJWK(fields, algorithm)
            self._prepared = self.jwk.Algorithm.prepare_key(self.jwk.key)
            weakness = self.jwk.Algorithm.check_key_length(self._prepared)
        except (PyJWTError, ValueError, TypeError) as wrong:
            raise InvalidKeyError(f"a key of type {_kind(fields)} cannot be used for {algorithm}") from wrong
        if weakness:
            raise InvalidKeyError(f"a key of type {_kind(fields)} is too short for {algorithm}: {weakness}")
        self.algorithm = algorithm
        self._verify = self.jwk.Algorithm.verify
        self._digest = _DIGESTS.get(algorithm)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether this key has signed ``message`` with its algorithm."""
        if self._digest is not None:  # as PyJWT does it, in one call of OpenSSL in place of an object of HMAC
            return hmac.compare_digest(hmac.digest(self._prepared, message, self._digest), signature)
        return self._verify(message, self._prepared, signature)


class Keys:
    """The keys of one issuer, by algorithm and key id. Immutable."""

    __slots__ = ("_by_algorithm",)

    def __init__(self, keys: Iterable[tuple[str | None, VerifyingKey]]) -> None:
        self._by_algorithm: dict[str, list[tuple[str | None, VerifyingKey]]] = {}
        for id, key in keys:
            self._by_algorithm.setdefault(key.algorithm, []).append((id, key))

    def __bool__(self) -> bool:
        return bool(self._by_algorithm)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms for which there is a key."""
        return tuple(self._by_algorithm)

    def find(self, algorithm: str, key_id: str | None) -> list[VerifyingKey]:
        """The keys that can have signed a token with this header: those with its ``kid``, and those without any.

        A token without ``kid`` can be from any of them.
        """
        fitting = self._by_algorithm.get(algorithm, [])
        return [key for id, key in fitting if id is None or key_id is None or id == key_id]


def secret_keys(secrets: Sequence[str], algorithms: Sequence[str]) -> Keys:
    """The keys of shared secrets. Raises ``InvalidKeyError`` for one that can be guessed."""
    for secret in secrets:
        if len(secret.encode()) < _MIN_SECRET:
            raise InvalidKeyError(
                f"secret: {len(secret.encode())} bytes can be guessed from one token; at least {_MIN_SECRET} random bytes "
                "are needed (RFC 7518, 3.2), for instance from: openssl rand -base64 48"
            )
        if "-----BEGIN" in secret:
            raise InvalidKeyError("secret: this is a PEM file; a public key belongs in public_key")
    fields = [{"kty": "oct", "k": base64url_encode(secret.encode()).decode()} for secret in secrets]
    return Keys((None, VerifyingKey(each, algorithm)) for each in fields for algorithm in algorithms)


def public_keys(texts: Sequence[str], algorithms: Sequence[str]) -> Keys:
    """The keys of PEM files, JWKs and JWK sets. Raises ``InvalidKeyError``."""
    found: list[tuple[str | None, VerifyingKey]] = []
    for text in texts:
        for fields in _fields_of(text):
            usable = _usable(fields, algorithms)
            if not usable:
                wanted = ", ".join(algorithms)
                raise InvalidKeyError(f"public_key: a key of type {_kind(fields)} cannot verify {wanted}")
            found += usable
    return Keys(found)


def key_set(document: object, algorithms: Sequence[str]) -> Keys:
    """The usable keys of a JWK set (RFC 7517, 5). Other members are ignored, as the RFC demands.

    Raises ``InvalidKeyError`` if it is no JWK set or has no usable key.
    """
    members = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(members, list):
        raise InvalidKeyError("not a JWK set: there is no list of keys")
    if len(members) > _MAX_KEYS:
        raise InvalidKeyError(f"a JWK set with {len(members)} keys; at most {_MAX_KEYS} are read")
    found: list[tuple[str | None, VerifyingKey]] = []
    for fields in members:
        if isinstance(fields, dict) and "d" not in fields and fields.get("kty") != "oct":
            try:
                found += _usable(fields, algorithms)
            except InvalidKeyError:
                continue  # of a kind or a strength that is not accepted here; others may be
    if not found:
        raise InvalidKeyError(f"the JWK set has no key for {', '.join(algorithms)}")
    return Keys(found)


def _fields_of(text: str) -> list[dict[str, Any]]:
    """The JWKs of one configured key."""
    if text.lstrip().startswith("-----BEGIN"):
        return [_of_pem(text)]
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as wrong:
        raise InvalidKeyError("public_key: a PEM file, a JWK or a JWK set is needed") from wrong
    members = document.get("keys", [document]) if isinstance(document, dict) else None
    if not isinstance(members, list) or not members or not all(isinstance(each, dict) for each in members):
        raise InvalidKeyError("public_key: a PEM file, a JWK or a JWK set is needed")
    if any("d" in each or each.get("kty") == "oct" for each in members):
        raise InvalidKeyError("public_key: this is a private key or a secret; the server needs the public key only")
    return members


def _of_pem(text: str) -> dict[str, Any]:
    if "PRIVATE KEY" in text:
        raise InvalidKeyError("public_key: this is a private key; the server needs the public key only")
    try:
        key = load_pem_public_key(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as wrong:
        raise InvalidKeyError("public_key: the PEM file is no public key that can be read") from wrong
    if isinstance(key, RSAPublicKey):
        return RSAAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, EllipticCurvePublicKey):
        return ECAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, Ed25519PublicKey):
        return OKPAlgorithm.to_jwk(key, as_dict=True)
    raise InvalidKeyError(f"public_key: keys of the type {type(key).__name__} are not supported")


def _usable(fields: dict[str, Any], algorithms: Sequence[str]) -> list[tuple[str | None, VerifyingKey]]:
    """The key once for each algorithm that it, its own restrictions and the settings allow."""
    operations = fields.get("key_ops")
    if fields.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        return []
    id = fields.get("kid")
    if id is not None and (not isinstance(id, str) or len(id) > MAX_KEY_ID):
        raise InvalidKeyError(f"kid: a text of at most {MAX_KEY_ID} characters")
    fitting = _RSA if fields.get("kty") == "RSA" else (_CURVES.get(str(fields.get("crv")), ""),)
    named = fields.get("alg")
    return [
        (id, VerifyingKey(fields, algorithm))
        for algorithm in fitting
        if algorithm in algorithms and (named is None or named == algorithm)
    ]


def _kind(fields: Mapping[str, Any]) -> str:
    return " ".join(str(fields[name])[:32] for name in ("kty", "crv") if name in fields) or "unknown"
