"""The setting ``auth_issuers``: whose tokens are accepted, and what they contain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from server.auth.jwk import ALGORITHMS, ASYMMETRIC, SYMMETRIC, Keys, public_keys, secret_keys

__all__ = ["TokenIssuer", "check_address", "check_admin_role", "check_distinct"]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_ROLES_OF_ALL: Final = ("anonymous", "authenticated")
_MAX_CANDIDATES: Final = 8
_DEFAULT_SECRET: Final = ("HS256",)


class TokenIssuer(BaseModel):
    """One issuer of tokens. It has exactly one of ``secret``, ``public_key`` and ``jwks_url``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: str | None = Field(None, min_length=1, description="the claim iss; may be missing for a single issuer")
    audience: tuple[str, ...] = Field(
        (), description="accepted values of the claim aud; the token must have one of them"
    )
    secret: tuple[SecretStr, ...] = Field((), description="shared secret of HS256; a list while it is being replaced")
    public_key: tuple[str, ...] = Field((), description="PEM, JWK or JWK set; a list while it is being replaced")
    jwks_url: str | None = Field(None, description="address of the issuer's JWK set")
    algorithms: tuple[str, ...] = Field((), description="accepted algorithms; by default those that the key is for")
    user_claim: str = Field("sub", min_length=1, description="the claim with the user's id")
    role_claim: str = Field("role", min_length=1, description="the claim with the role; a.b is a field of a claim")
    default_role: str = Field("authenticated", min_length=1, max_length=63, description="the role of tokens without it")
    admin_role: str | None = Field(
        None, min_length=1, max_length=63, description="the role, in that claim, of administrators; none by default"
    )
    session_claim: str = Field("sid", min_length=1, description="the claim with the id of the user's session")
    attribute_claims: tuple[str, ...] = Field((), description="claims that become attributes of the user")

    @field_validator("audience", "secret", "public_key", "algorithms", "attribute_claims", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        """One value may stand for a list of one."""
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ("secret", "public_key", "jwks_url") if getattr(self, name)]
        if len(given) != 1:
            named = " and ".join(given) or "none"
            raise ValueError(f"exactly one of secret, public_key and jwks_url must be given, not {named}")
        if len(self.secret) + len(self.public_key) > _MAX_CANDIDATES:
            raise ValueError(f"at most {_MAX_CANDIDATES} keys")
        self._check_algorithms()
        check_admin_role(self.admin_role, self.default_role)
        if self.jwks_url is not None:
            check_address("jwks_url", self.jwks_url)
        else:
            self.keys()
        return self

    def _check_algorithms(self) -> None:
        fitting = SYMMETRIC if self.secret else ASYMMETRIC
        for each in self.algorithms:
            if each not in ALGORITHMS:
                raise ValueError(f"algorithms: {each!r} is none of {', '.join(ALGORITHMS)}")
            if each not in fitting:
                kind = "a secret" if self.secret else "a public key"
                raise ValueError(f"algorithms: {each} is not for {kind}; those are {', '.join(fitting)}")

    @property
    def accepted(self) -> Sequence[str]:
        """The algorithms that a token of this issuer may name."""
        return self.algorithms or (_DEFAULT_SECRET if self.secret else ASYMMETRIC)

    def keys(self) -> Keys:
        """The configured keys; those of ``jwks_url`` are not among them. Raises ``InvalidKeyError``."""
        if self.secret:
            return secret_keys([each.get_secret_value() for each in self.secret], self.accepted)
        return public_keys(self.public_key, self.accepted)


def check_admin_role(role: str | None, default: str) -> None:
    """Raise ``ValueError`` if administrators have the role of all users. ``default``: that of tokens without one."""
    if role is not None and role in (default, *_ROLES_OF_ALL):
        raise ValueError(
            f"admin_role: {role!r} is the role of users without one; give administrators a role of their own"
        )


def check_distinct(issuers: Sequence[TokenIssuer]) -> None:
    """Raise ``ValueError`` if the claim ``iss`` does not decide which of ``issuers`` a token is from."""
    names = [each.issuer for each in issuers]
    if len(names) > 1 and None in names:
        raise ValueError("each of several issuers needs its issuer: the claim iss decides which keys a token needs")
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the issuer {name!r} is given twice; one entry may have several keys")


def check_address(setting: str, url: str) -> None:
    """Raise ``ValueError`` unless ``url`` is an address whose answers are protected on their way."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as wrong:
        raise ValueError(f"{setting}: not a URL") from wrong
    if host is None or parts.username is not None or parts.fragment:
        raise ValueError(f"{setting}: an address such as https://auth.example.com/path, without user and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise ValueError(
            f"{setting}: https is needed, or http to this machine: who can alter the answer can log in as any user"
        )
