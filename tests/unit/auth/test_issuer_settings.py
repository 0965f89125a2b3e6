"""The setting ``auth_issuers``: short for one issuer, strict about keys, and silent about secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from server.app.loading import load_settings
from server.app.settings import SettingsError
from tests.support.values.tokens import LONG_SECRET, SECRET, jwk, pem


def refused(monkeypatch: pytest.MonkeyPatch, *issuers: object) -> str:
    monkeypatch.setenv("REALTIME_AUTH_ISSUERS", json.dumps(issuers))
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    return str(wrong.value)


def test_an_issuer_is_a_table_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "realtime.toml"
    file.write_text(f"""
        allow_anonymous = false
        [[auth_issuers]]
        issuer = "https://auth.example"
        audience = "realtime"
        secret = "{SECRET}"
        [[auth_issuers]]
        issuer = "https://login.example"
        jwks_url = "https://login.example/jwks.json"
        audience = ["a", "b"]
        attribute_claims = "team"
    """)
    settings = load_settings(file)
    first, second = settings.auth_issuers
    assert (first.audience, first.accepted, second.attribute_claims) == (("realtime",), ("HS256",), ("team",))
    assert not settings.allow_anonymous
    assert SECRET not in repr(settings)


def private_pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def dsa_pem() -> str:
    public = dsa.generate_private_key(1024).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def short_pem() -> str:
    public = rsa.generate_private_key(65537, 1024).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("issuer", "reason"),
    [
        ({}, "exactly one of secret, public_key and jwks_url must be given, not none"),
        ({"secret": SECRET, "public_key": pem("RS256")}, "not secret and public_key"),
        ({"secret": "too-short-to-be-a-secret"}, "24 bytes can be guessed from one token; at least 32"),
        ({"secret": pem("RS256")}, "a public key belongs in public_key"),
        ({"secret": SECRET, "algorithms": "RS256"}, "RS256 is not for a secret; those are HS256, HS384, HS512"),
        ({"secret": SECRET, "algorithms": ["HS512"]}, "a key of type oct is too short for HS512"),
        ({"public_key": pem("RS256"), "algorithms": ["HS256"]}, "HS256 is not for a public key"),
        ({"public_key": pem("RS256"), "algorithms": ["none"]}, "'none' is none of HS256"),
        ({"public_key": pem("RS256"), "algorithms": ["ES256"]}, "a key of type RSA cannot verify ES256"),
        ({"public_key": pem("ES256"), "algorithms": ["ES384"]}, "a key of type EC P-256 cannot verify ES384"),
        ({"public_key": private_pem()}, "this is a private key; the server needs the public key only"),
        ({"public_key": dsa_pem()}, "keys of the type DSAPublicKey are not supported"),
        ({"public_key": short_pem()}, "too short for RS256"),
        ({"public_key": json.dumps({**jwk("RS256"), "d": "AQAB"})}, "this is a private key or a secret"),
        ({"public_key": json.dumps({"kty": "oct", "k": "QUJD"})}, "this is a private key or a secret"),
        (
            {"public_key": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"},
            "no public key that can be read",
        ),
        ({"public_key": "RS256"}, "a PEM file, a JWK or a JWK set is needed"),
        ({"public_key": "[]"}, "a PEM file, a JWK or a JWK set is needed"),
        ({"jwks_url": "http://auth.example/jwks"}, "https is needed, or http to this machine"),
        ({"jwks_url": "file:///etc/passwd"}, "an address such as https://"),
        ({"jwks_url": "https://user:password@auth.example/"}, "an address such as https://"),
        ({"jwks_url": "https://[::1/"}, "not a URL"),
        ({"secret": SECRET, "secrets": "x"}, "secrets"),
        ({"secret": SECRET, "admin_role": "authenticated"}, "'authenticated' is the role of users without one"),
        (
            {"secret": SECRET, "admin_role": "staff", "default_role": "staff"},
            "'staff' is the role of users without one",
        ),
        ({"secret": SECRET, "admin_role": ""}, "admin_role"),
    ],
)
def test_a_wrong_issuer_is_refused_with_the_remedy(
    issuer: dict[str, object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = refused(monkeypatch, issuer)
    assert reason in text
    assert text.startswith("wrong settings: REALTIME_AUTH_ISSUERS: auth_issuers")
    for secret in (SECRET, "too-short-to-be-a-secret", "password", "QUJD"):
        assert secret not in text


def test_the_claim_iss_must_decide_between_several_issuers(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {"issuer": "a", "secret": SECRET}
    assert "each of several issuers needs its issuer" in refused(monkeypatch, one, {"secret": LONG_SECRET})
    assert "the issuer 'a' is given twice" in refused(monkeypatch, one, one)


def test_no_secret_is_shown_where_another_setting_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_AUTH_ISSUERS", f'[{{"secret": "{SECRET}"')
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    assert SECRET not in str(wrong.value)
