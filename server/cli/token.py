"""``realtime token``: a token for trying, signed with the secret of a configured issuer."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import jwt
import typer

from engine.errors import RealtimeError
from server.app.settings import Settings
from server.auth.issuers import TokenIssuer
from server.auth.tokens import TokenVerifier
from server.cli.prelude import read_settings
from server.cli.terminal import options
from server.cli.terminal.durations import seconds_of

__all__ = ["NoSecretError", "token"]


class NoSecretError(RealtimeError):
    """There is no configured secret to sign with."""


def token(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    claim: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A further claim; the value is JSON, or else a text.")
    ] = None,
    expires: Annotated[str, typer.Option(metavar="TIME", help="How long it lasts, such as 30s, 10m, 8h or 1d.")] = "1h",
    issuer: Annotated[str | None, typer.Option(help="Which of several issuers. [default: the first]")] = None,
    config: options.ConfigFile = None,
) -> None:
    """Print a token for trying. It is signed with the secret of an issuer in auth_issuers."""
    signer = _signer(read_settings(config), issuer)
    now = int(time.time())
    claims = {_name(each): _value(each) for each in claim or ()}
    made = jwt.encode(
        {
            **({} if signer.issuer is None else {"iss": signer.issuer}),
            **({"aud": signer.audience[0]} if signer.audience else {}),
            "iat": now,
            "exp": now + seconds_of(expires, "--expires"),
            **claims,
            signer.user_claim: user,
        },
        signer.secret[0].get_secret_value(),
        signer.accepted[0],
    )
    TokenVerifier([signer]).verify_now(made)  # raises AuthenticationError: claims that a server would refuse
    print(made)


def _signer(settings: Settings, name: str | None) -> TokenIssuer:
    known = [each for each in settings.auth_issuers if each.secret]
    found = [each for each in known if name is None or each.issuer == name]
    if found:
        return found[0]
    if known:
        raise NoSecretError(f"auth_issuers has no issuer {name!r} with a secret")
    raise NoSecretError(
        "auth_issuers has no issuer with a secret to sign with; tokens of an issuer with public keys come from that issuer"
    )


def _name(claim: str) -> str:
    name, equals, _ = claim.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{claim!r} is not NAME=VALUE", param_hint="--claim")
    return name


def _value(claim: str) -> Any:
    text = claim.partition("=")[2]
    try:
        return json.loads(text)
    except ValueError:
        return text
