"""The verdicts on tokens are those of ``jwt.decode``, which is not called for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import jwt
import pytest

from server.auth.jwk import ASYMMETRIC
from server.auth.refusal import AuthenticationError
from server.auth.tokens import TokenVerifier
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, issuer, pem, private_key, signed, token

LEEWAY = 60
ABSENT: Any = object()
AGES = (-3600, -30, 30, 3600)  # seconds; none is near a bound
AUDIENCES: tuple[Any, ...] = (
    AUDIENCE,
    "mail",
    "",
    7,
    {},
    {AUDIENCE: 1},
    [],
    [AUDIENCE],
    ["mail"],
    ["mail", AUDIENCE],
    [AUDIENCE, 7],
)
CHANGES: tuple[tuple[str, Any], ...] = (
    *((name, age) for name in ("exp", "nbf", "iat") for age in (ABSENT, *AGES)),
    *((name, value) for name in ("sub", "jti") for value in (ABSENT, "ada", "", 7, None, ["ada"])),
    *(("aud", value) for value in (ABSENT, None, *AUDIENCES)),
    ("iss", ABSENT),
    ("iss", "https://evil.example"),
    ("alg", "none"),
    ("alg", "HS384"),
    ("alg", "RS256"),
    ("text", lambda text: text[:-1]),
    ("text", lambda text: text + "A"),
    ("text", lambda text: text.replace(".", ".e", 1)),
    ("text", lambda text: text.rpartition(".")[0] + "."),
    ("text", lambda text: text.rpartition(".")[0] + "." + text[-2:] + text.rpartition(".")[2][:-2]),
)


def text_of(changes: dict[str, Any]) -> str:
    """A token that is right but for ``changes``."""
    now = int(time.time())
    claims: dict[str, Any] = {"uid": "ada", "iss": ISSUER, "aud": AUDIENCE, "exp": 3600} | changes
    algorithm, alter = claims.pop("alg", "HS256"), claims.pop("text", str)
    named = {
        name: now + value if name in ("exp", "nbf", "iat") else value
        for name, value in claims.items()
        if value is not ABSENT
    }
    made: Callable[[str], str] = alter
    return made(signed(json.dumps({"alg": algorithm}), json.dumps(named)))


def is_accepted(verifier: TokenVerifier, text: str) -> bool:
    try:
        return verifier.verify_now(text) is not None
    except AuthenticationError:
        return False


def is_accepted_by_library(text: str, audience: tuple[str, ...]) -> bool:
    options: Any = {"require": ["exp"]}
    try:
        jwt.decode(text, SECRET, ["HS256"], options, audience=audience or None, issuer=ISSUER, leeway=LEEWAY)
    except jwt.PyJWTError:
        return False
    return True


@pytest.mark.parametrize("audience", [(), (AUDIENCE,), ("mail", AUDIENCE)], ids=str)
def test_tokens_are_judged_as_the_library_does(audience: tuple[str, ...]) -> None:
    verifier = TokenVerifier([issuer(audience=audience, user_claim="uid")], leeway=LEEWAY)
    verdicts = set()
    for first, second in combinations(CHANGES, 2):
        text = text_of(dict([first, second]))
        verdict = is_accepted_by_library(text, audience)
        assert is_accepted(verifier, text) is verdict, (first, second)
        verdicts.add(verdict)
    assert verdicts == {True, False}


def test_a_signature_has_one_text() -> None:
    text = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    same = text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]  # 43 characters for 32 bytes: two bits count for nothing
    verifier = TokenVerifier([issuer()], leeway=LEEWAY)
    assert is_accepted(verifier, text)
    assert not is_accepted_by_library(same, (AUDIENCE,))
    with pytest.raises(AuthenticationError, match="no base64url"):
        verifier.verify_now(same)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_signature_of_any_bytes_is_a_wrong_one(algorithm: str) -> None:
    verifier = TokenVerifier([issuer(public_key=pem(algorithm))])
    unsigned = token(algorithm, private_key(algorithm)).rpartition(".")[0]
    for signature in ("", "AA", "A" * 86, "A" * 342):
        with pytest.raises(AuthenticationError, match="wrong signature"):
            verifier.verify_now(f"{unsigned}.{signature}")
