"""An issuer of tokens: its keys in every kind, and tokens that are right but for what a test changes."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from server.auth.issuers import TokenIssuer

ISSUER = "https://auth.example"
AUDIENCE = "realtime"
SECRET = "a-secret-of-the-tests-that-is-48-characters-long"
LONG_SECRET = SECRET * 2  # HS384 and HS512 need as many bytes as their hash has
_CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def private_key(algorithm: str, number: int = 0) -> Any:
    """The key that signs for an algorithm; another one for each ``number``. All RS and PS algorithms share one."""
    if algorithm.startswith("HS"):
        return LONG_SECRET
    return _generated("RSA" if algorithm[0] in "RP" else algorithm, number)


@cache
def _generated(kind: str, number: int) -> Any:
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    return ed25519.Ed25519PrivateKey.generate() if kind == "EdDSA" else rsa.generate_private_key(65537, 2048)


def pem(algorithm: str, number: int = 0) -> str:
    """The public key as a PEM file."""
    public = private_key(algorithm, number).public_key()
    text: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def jwk(algorithm: str, number: int = 0, **fields: object) -> dict[str, Any]:
    """The public key as a JWK."""
    public = private_key(algorithm, number).public_key()
    make = RSAAlgorithm if algorithm[0] in "RP" else OKPAlgorithm if algorithm == "EdDSA" else ECAlgorithm
    return {**make.to_jwk(public, as_dict=True), **fields}


def claims(**changed: object) -> dict[str, Any]:
    """Claims that are accepted. None removes one."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 3600}
    return {name: value for name, value in (good | changed).items() if value is not None}


def token(algorithm: str = "HS256", key: Any = None, header: dict[str, Any] | None = None, **changed: object) -> str:
    """A token with ``claims(**changed)``; ``key`` signs it, by default the secret or the private key."""
    signing = key if key is not None else SECRET if algorithm == "HS256" else private_key(algorithm)
    return jwt.encode(claims(**changed), signing, algorithm, header)


def forged(header: str, payload: str, signature: bytes = b"x" * 32) -> str:
    """A token of any text."""
    return ".".join(
        urlsafe_b64encode(part).rstrip(b"=").decode() for part in (header.encode(), payload.encode(), signature)
    )


def signed(header: str, payload: str) -> str:
    """A token of any text, signed with ``SECRET``."""
    unsigned = forged(header, payload).rpartition(".")[0]
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = algorithm.sign(unsigned.encode(), algorithm.prepare_key(SECRET))
    return f"{unsigned}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def issuer(**changed: Any) -> TokenIssuer:
    """The settings of an issuer with a secret."""
    key = {} if {"public_key", "jwks_url"} & set(changed) else {"secret": SECRET}
    return TokenIssuer(**({"issuer": ISSUER, "audience": AUDIENCE} | key | changed))


def key_set_document(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()
