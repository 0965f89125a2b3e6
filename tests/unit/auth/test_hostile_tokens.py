"""Whatever a token holds, it is accepted or refused: no other error, and nothing of an unsigned one counts."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.auth.refusal import AuthenticationError
from server.auth.tokens import TokenVerifier
from tests.support.values.tokens import claims, forged, issuer, signed

VERIFIER = TokenVerifier([issuer(attribute_claims=("team", "a.b"), role_claim="a.role")])
NUMBERS = st.one_of(st.integers(), st.floats(), st.just(10**400), st.booleans())
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), NUMBERS, st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256", "none", "RS256", "hs256", None])},
    optional={"typ": JSON, "kid": JSON, "crit": JSON, "b64": JSON, "jwk": JSON},
)
CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "team", "a", "role"]), JSON, max_size=6
)


@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1"))))
def test_any_text_is_refused_and_raises_nothing_else(text: str) -> None:
    with suppress(AuthenticationError):
        raise AssertionError(f"accepted: {VERIFIER.verify_now(text)}")


@given(st.text(), st.text(), st.binary())
def test_any_parts_are_refused_and_raise_nothing_else(header: str, payload: str, signature: bytes) -> None:
    text = forged(header.encode(errors="replace").decode(), payload.encode(errors="replace").decode(), signature)
    with suppress(AuthenticationError):
        raise AssertionError(f"accepted: {VERIFIER.verify_now(text)}")


@given(HEADERS, CLAIMS)
def test_a_signed_token_with_any_fields_is_accepted_or_refused(header: dict[str, Any], changed: dict[str, Any]) -> None:
    text = signed(json.dumps(header), json.dumps({**claims(), **changed}))
    with suppress(AuthenticationError):
        principal = VERIFIER.verify_now(text)
        assert header["alg"] == "HS256"
        assert "crit" not in header
        assert principal is not None
        assert principal.user_id
        json.dumps(principal.claims, default=str, ensure_ascii=False).encode()


@given(HEADERS, CLAIMS, st.binary(max_size=64))
def test_no_token_without_a_right_signature_is_accepted(
    header: dict[str, Any], changed: dict[str, Any], signature: bytes
) -> None:
    text = forged(json.dumps(header), json.dumps({**claims(), **changed}), signature)
    with suppress(AuthenticationError):
        raise AssertionError(f"accepted: {VERIFIER.verify_now(text)}")
