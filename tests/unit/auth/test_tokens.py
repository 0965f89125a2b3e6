"""Which tokens are accepted, and for what reason each of the others is refused."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.auth.jwk import ASYMMETRIC, SYMMETRIC
from server.auth.refusal import AuthenticationError
from server.auth.token_form import MAX_TOKEN
from server.auth.tokens import TokenVerifier
from tests.support.values.tokens import (
    AUDIENCE,
    ISSUER,
    LONG_SECRET,
    SECRET,
    claims,
    forged,
    issuer,
    jwk,
    pem,
    private_key,
    signed,
    token,
)

HEADER = '{"alg":"HS256","typ":"JWT"}'
NOW = int(time.time())


def refusal(verifier: TokenVerifier, text: str) -> str:
    with pytest.raises(AuthenticationError) as refused:
        verifier.verify_now(text)
    assert refused.value.code == "RT_002"
    return str(refused.value)


@pytest.mark.parametrize("algorithm", SYMMETRIC)
def test_a_token_signed_with_the_shared_secret_names_its_user(algorithm: str) -> None:
    verifier = TokenVerifier([issuer(secret=LONG_SECRET, algorithms=algorithm)])
    principal = verifier.verify_now(token(algorithm, LONG_SECRET))
    assert principal is not None
    assert (principal.user_id, principal.authenticated) == ("ada", True)


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
@pytest.mark.parametrize("form", ["PEM", "JWK", "JWK set"])
def test_a_token_signed_with_the_private_key_names_its_user(algorithm: str, form: str) -> None:
    key = {
        "PEM": lambda: pem(algorithm),
        "JWK": lambda: json.dumps(jwk(algorithm)),
        "JWK set": lambda: json.dumps({"keys": [jwk(algorithm, kid="1")]}),
    }[form]()
    principal = TokenVerifier([issuer(public_key=key)]).verify_now(token(algorithm))
    assert principal is not None
    assert principal.user_id == "ada"


def test_the_principal_has_what_the_settings_take_from_the_claims() -> None:
    settings = issuer(
        user_claim="uid", role_claim="app.role", attribute_claims=("team", "https://x.example/level", "gone")
    )
    given: dict[str, Any] = {"uid": 42, "app": {"role": "editor"}, "team": "red", "https://x.example/level": 1.5}
    end = int(time.time()) + 3000
    principal = TokenVerifier([settings], leeway=7).verify_now(token(exp=end, **given))
    assert principal is not None
    assert (principal.user_id, principal.visibility.role) == ("42", "editor")
    assert principal.attributes == {"team": "red", "https://x.example/level": Decimal("1.5")}
    assert principal.claims["app"] == {"role": "editor"}
    assert principal.expires_at == end + 7, "it may stay as long as its token is accepted"
    assert "editor" not in repr(principal).replace(repr(principal.visibility), ""), "claims are not shown"


def test_a_token_without_a_role_has_the_default_role() -> None:
    for settings, role in ((issuer(), "authenticated"), (issuer(default_role="member"), "member")):
        principal = TokenVerifier([settings]).verify_now(token())
        assert principal is not None
        assert principal.visibility.role == role


@pytest.mark.parametrize(
    ("settings", "given", "administrator"),
    [
        ({"admin_role": "boss"}, {"role": "boss"}, True),
        ({"admin_role": "boss"}, {"role": "Boss"}, False),
        ({"admin_role": "boss"}, {"role": "bos"}, False),
        ({"admin_role": "boss"}, {}, False),
        ({"admin_role": "boss"}, {"roles": "boss", "admin_role": "boss"}, False),
        ({}, {"role": "admin"}, False),
        ({"admin_role": "boss", "role_claim": "app.role"}, {"app": {"role": "boss"}}, True),
        ({"admin_role": "boss", "role_claim": "app.role"}, {"role": "boss"}, False),
    ],
)
def test_a_token_is_an_administrators_if_its_issuer_has_that_role_for_them(
    settings: dict[str, Any], given: dict[str, Any], administrator: bool
) -> None:
    principal = TokenVerifier([issuer(**settings)]).verify_now(token(**given))
    assert principal is not None
    assert principal.administrator is administrator


@pytest.mark.parametrize("role", [["boss"], {"boss": True}, None, True, ""], ids=repr)
def test_a_role_that_is_no_text_makes_no_administrator_and_no_user(role: object) -> None:
    verifier = TokenVerifier([issuer(admin_role="boss")])
    assert "is no role" in refusal(verifier, signed(HEADER, json.dumps({**claims(), "role": role})))


def test_another_issuers_administrators_have_no_rights_here() -> None:
    open_one = issuer(issuer="https://open.example", public_key=pem("RS256"))
    verifier = TokenVerifier([issuer(admin_role="boss"), open_one])
    principal = verifier.verify_now(token("RS256", iss="https://open.example", role="boss"))
    assert principal is not None
    assert not principal.administrator


REFUSED: dict[str, tuple[str, str]] = {
    "expired": (token(exp=NOW - 60), "token expired"),
    "not valid yet": (token(nbf=NOW + 3600), "token not valid yet"),
    "issued in the future": (token(iat=NOW + 3600), "token not valid yet"),
    "without exp": (token(exp=None), "the token lacks the claim exp"),
    "exp in words": (signed(HEADER, json.dumps(claims(exp="tomorrow"))), "the claim exp is not a number of seconds"),
    "exp as text": (signed(HEADER, json.dumps(claims(exp=str(NOW + 60)))), "the claim exp is not a number of seconds"),
    "exp true": (signed(HEADER, json.dumps(claims(exp=True))), "the claim exp is not a number of seconds"),
    "exp without end": (
        signed(HEADER, json.dumps(claims(exp=1)).replace('"exp": 1', '"exp": 1e999')),
        "the claims of the token cannot be read: a number is too large",
    ),
    "exp infinite": (
        signed(HEADER, json.dumps(claims(exp=float("inf")))),
        "the claims of the token cannot be read: NaN and infinity are no JSON numbers",
    ),
    "nbf as a list": (signed(HEADER, json.dumps(claims(nbf=[1]))), "the claim nbf is not a number of seconds"),
    "iat beyond all time": (signed(HEADER, json.dumps(claims(iat=1e300))), "the claim iat is not a number of seconds"),
    "wrong issuer": (token(iss="https://evil.example"), "wrong issuer"),
    "without issuer": (token(iss=None), "wrong issuer"),
    "issuer in a list": (signed(HEADER, json.dumps(claims(iss=[ISSUER]))), "wrong issuer"),
    "wrong audience": (token(aud="billing"), "wrong audience"),
    "without audience": (token(aud=None), "the token lacks the claim aud"),
    "other audiences": (token(aud=["billing", "mail"]), "wrong audience"),
    "numbers as audiences": (signed(HEADER, json.dumps(claims(aud=[AUDIENCE, 1]))), "wrong audience"),
    "wrong signature": (token(key="another-secret-that-is-long-enough-for-HS256"), "wrong signature"),
    "without signature": (token().rpartition(".")[0] + ".", "wrong signature"),
    "alg none": (
        forged('{"alg":"none"}', json.dumps(claims()), b""),
        "wrong algorithm: a signed token is needed",
    ),
    "alg None": (forged('{"alg":"NonE"}', json.dumps(claims())), "wrong algorithm: a signed token is needed"),
    "without alg": (forged('{"typ":"JWT"}', json.dumps(claims())), "wrong algorithm: a signed token is needed"),
    "alg as a list": (forged('{"alg":["HS256"]}', json.dumps(claims())), "wrong algorithm: a signed token is needed"),
    "another algorithm": (
        token("HS512", LONG_SECRET),
        "wrong algorithm: the issuer's tokens are signed with another",
    ),
    "crit": (
        signed('{"alg":"HS256","crit":["exp"],"exp":1}', json.dumps(claims())),
        "the token has critical extensions (crit), of which none is supported",
    ),
    "crit b64": (
        signed('{"alg":"HS256","crit":["b64"],"b64":false}', json.dumps(claims())),
        "the token has critical extensions (crit), of which none is supported",
    ),
    "kid of a number": (
        signed('{"alg":"HS256","kid":1}', json.dumps(claims())),
        "kid in the header of the token is no short text",
    ),
    "kid without end": (
        signed(json.dumps({"alg": "HS256", "kid": "../" * 200}), json.dumps(claims())),
        "kid in the header of the token is no short text",
    ),
    "a logout token": (
        signed('{"alg":"HS256","typ":"logout+jwt"}', json.dumps(claims())),
        "wrong type: typ in the header of the token is not that of an access token",
    ),
    "a claim twice": (
        signed(HEADER, json.dumps(claims())[:-1] + ', "sub": "eve"}'),
        "the claims of the token cannot be read: a name occurs twice",
    ),
    "a header field twice": (
        signed('{"alg":"HS256","alg":"none"}', json.dumps(claims())),
        "the header of the token cannot be read: a name occurs twice",
    ),
    "a claim twice, deeper": (
        signed(HEADER, json.dumps(claims())[:-1] + ', "a": [{"b": 1, "b": 2}]}'),
        "the claims of the token cannot be read: a name occurs twice",
    ),
    "nested": (
        signed(HEADER, json.dumps(claims())[:-1] + ', "a": ' + "[" * 17 + "]" * 17 + "}"),
        "the claims of the token cannot be read: nested more than 16 levels deep",
    ),
    "nested without end": (
        signed(HEADER, "[" * 5000),
        "the claims of the token cannot be read: no JSON in base64url",
    ),
    "half of a surrogate pair": (
        signed(HEADER, json.dumps(claims())[:-1] + ', "a": "\\ud800"}'),
        "the claims of the token cannot be read: no JSON in base64url",
    ),
    "a number of many digits": (
        signed(HEADER, json.dumps(claims())[:-1] + f', "a": {"9" * 5000}}}'),
        "the claims of the token cannot be read: no JSON in base64url",
    ),
    "a list": (signed(HEADER, "[]"), "the claims of the token cannot be read: no JSON object"),
    "no JSON": (signed(HEADER, "{"), "the claims of the token cannot be read: no JSON in base64url"),
    "no UTF-8": (
        ".".join([token().split(".")[0], "_____w", "xx"]),
        "the claims of the token cannot be read: no JSON in base64url",
    ),
    "no base64url": (
        ".".join([token().split(".")[0], "A", "xx"]),
        "the claims of the token cannot be read: no JSON in base64url",
    ),
    "too long": ("a" * (MAX_TOKEN + 1), f"the token is longer than {MAX_TOKEN} characters"),
    "a megabyte": (token(a="b" * 1_000_000), f"the token is longer than {MAX_TOKEN} characters"),
    "empty": ("", "not a JSON web token: three parts of base64url with dots between them"),
    "four parts": ("a.b.c.d", "not a JSON web token: three parts of base64url with dots between them"),
    "padding": (token() + "=", "not a JSON web token: three parts of base64url with dots between them"),
    "a line break": (token() + "\n", "not a JSON web token: three parts of base64url with dots between them"),
    "other digits": (token() + "١", "not a JSON web token: three parts of base64url with dots between them"),
    "without user": (token(sub=None), "the token lacks the claim sub, which names the user"),
    "an empty user": (token(sub=""), "the claim sub is no id of a user: 1 to 256 printable characters"),
    "a user of control characters": (
        token(sub="a\nb"),
        "the claim sub is no id of a user: 1 to 256 printable characters",
    ),
    "a user of a number": (signed(HEADER, json.dumps(claims(sub=7))), "the claim sub is no text"),
    "a role of a list": (token(role=["admin"]), "the claim role is no role: 1 to 63 printable bytes"),
    "a long role": (token(role="ü" * 32), "the claim role is no role: 1 to 63 printable bytes"),
    "an attribute of a list": (token(team=["red"]), "the claim team is no attribute: attributes are plain values"),
    "an attribute with NUL": (
        token(team="\0"),
        "attributes: text in PostgreSQL cannot contain the character NUL, nor half of a surrogate pair",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_token_is_refused_with_the_reason(case: str) -> None:
    text, reason = REFUSED[case]
    verifier = TokenVerifier([issuer(attribute_claims="team")])
    assert refusal(verifier, text) == reason


def test_one_of_several_audiences_is_enough() -> None:
    verifier = TokenVerifier([issuer(audience=("realtime", "web"))])
    assert verifier.verify_now(token(aud=["mail", "web"])) is not None
    assert verifier.verify_now(token(aud="realtime")) is not None


def test_a_token_for_an_audience_is_refused_where_none_is_expected() -> None:
    assert refusal(TokenVerifier([issuer(audience=())]), token()) == "wrong audience"


def test_clocks_may_differ_by_the_leeway() -> None:
    verifier, now = TokenVerifier([issuer()], leeway=300), int(time.time())
    changes: list[dict[str, Any]] = [{"exp": now - 100}, {"nbf": now + 200}, {"iat": now + 200}]
    for changed in changes:
        assert verifier.verify_now(token(**changed)) is not None
    assert refusal(verifier, token(exp=now - 400)) == "token expired"


@pytest.mark.parametrize("key", [pem("RS256"), json.dumps(jwk("RS256")), "der"], ids=["PEM", "JWK", "DER"])
def test_a_public_key_is_no_secret(key: str) -> None:
    """The token names HS256 and is signed with the public key as everyone can read it (CVE-2022-29217)."""
    der = private_key("RS256").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    secret = der if key == "der" else key.encode()
    unsigned = forged(HEADER, json.dumps(claims())).rpartition(".")[0]
    signature = urlsafe_b64encode(hmac.digest(secret, unsigned.encode(), "sha256")).rstrip(b"=").decode()
    for algorithms in ((), "RS256"):
        verifier = TokenVerifier([issuer(public_key=pem("RS256"), algorithms=algorithms)])
        assert refusal(verifier, f"{unsigned}.{signature}").startswith("wrong algorithm")


@pytest.mark.parametrize("algorithm", ["RS512", "PS256", "ES256", "EdDSA", "HS256"])
def test_a_key_that_names_its_algorithm_verifies_no_other(algorithm: str) -> None:
    verifier = TokenVerifier([issuer(public_key=json.dumps(jwk("RS256", alg="RS256")))])
    signing = SECRET if algorithm == "HS256" else private_key(algorithm)
    assert refusal(verifier, token(algorithm, signing)).startswith("wrong algorithm")
    assert verifier.verify_now(token("RS256")) is not None


def test_two_issuers_with_one_key_id_are_two_issuers() -> None:
    """A key cached for one issuer must not verify tokens of the other (CVE-2026-49998)."""
    issuers = [
        issuer(issuer=f"https://{name}.example", public_key=json.dumps(jwk("RS256", number, kid="1")))
        for number, name in enumerate(("a", "b"))
    ]
    for order in (issuers, issuers[::-1]):
        verifier = TokenVerifier(order)
        for number, name in enumerate(("a", "b")):
            own, other = private_key("RS256", number), private_key("RS256", 1 - number)
            header = {"kid": "1"}
            assert verifier.verify_now(token("RS256", own, header, iss=f"https://{name}.example")) is not None
            assert refusal(verifier, token("RS256", other, header, iss=f"https://{name}.example")) == "wrong signature"


def test_a_secret_can_be_replaced_while_both_are_in_use() -> None:
    verifier = TokenVerifier([issuer(secret=("the-new-secret-has-at-least-32-characters", SECRET))])
    assert verifier.verify_now(token()) is not None
    assert verifier.verify_now(token(key="the-new-secret-has-at-least-32-characters")) is not None
    assert refusal(verifier, token(key="the-third-secret-has-at-least-32-characters")) == "wrong signature"
    assert refusal(verifier, token(aud="billing")) == "wrong audience"


def test_a_single_issuer_needs_no_name() -> None:
    verifier = TokenVerifier([issuer(issuer=None)])
    assert verifier.verify_now(token(iss=None)) is not None
    assert verifier.verify_now(token(iss="https://anything.example")) is not None


def test_a_server_without_issuers_reports_it() -> None:
    assert refusal(TokenVerifier([]), token()) == (
        "this server accepts no tokens: it has no issuer (setting auth_issuers)"
    )


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_contains_nothing_of_the_token(case: str) -> None:
    text, reason = REFUSED[case]
    assert not any(part and len(part) > 8 and part in reason for part in text.split("."))
    assert SECRET not in reason


def test_a_key_id_that_the_issuer_does_not_have_is_unknown() -> None:
    verifier = TokenVerifier([issuer(public_key=json.dumps({"keys": [jwk("RS256", kid="1"), jwk("ES256", kid="2")]}))])
    assert verifier.verify_now(token("RS256", header={"kid": "1"})) is not None
    for key_id in ("2", "../../etc/passwd", ""):
        assert refusal(verifier, token("RS256", header={"kid": key_id})) == (
            "unknown key: the issuer has none with this kid"
        )
