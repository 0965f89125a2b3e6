"""A served database in which every right is there to be had or refused, and every credential that may be tried on it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.clients.list_client import read, write
from tests.support.values.api_keys import api_key
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, claims, forged, jwk, pem, private_key, token

__all__ = [
    "ADMIN",
    "ALL_SCOPES",
    "NEEDED",
    "REST_KEY",
    "ROLE",
    "Credential",
    "credentials",
    "prepare",
    "remove",
    "settings",
]

REST_KEY = "rest-key-of-the-tests-that-is-long-enough"
ROLE = "judged_user"
ADMIN = "judged_admin"
ALL_SCOPES = frozenset(
    ("publish", "history", "presence", "channels", "connections", "sessions", "alerts", "metrics", "dashboard")
)
NEEDED = "this needs the header Authorization"
RSA, ONE, TWO = "https://rsa.example", "https://one.example", "https://two.example"
_SHARED_ID = "the-key-id-of-two-issuers"

_ROOMS = {
    "private:room-*": {
        "subscribe": "auth.uid in data.members",
        "publish": "auth.uid in data.members",
        "presence": True,
    },
    "private:board": {"subscribe": True, "publish": "auth.claims.editor == true", "presence": "!auth.anonymous"},
}
_SCHEMA = f"""
create table news (id int primary key, text text);
create table note (id int primary key, owner text);
create table secret (id int primary key);
insert into news values (1, 'for all');
insert into note values (1, 'ada'), (2, 'bob');
alter table note enable row level security;
create role {ROLE} nologin;
grant select on note, news to {ROLE};
create policy own on note for select to {ROLE} using (owner = current_setting('request.jwt.claims', true)::json ->> 'sub');
select realtime.serve_role('{ROLE}');
select realtime.expose('news');
select realtime.expose('note');
select realtime.create_channel('private:room-1', '{{"members": ["ada"]}}');
insert into realtime.sessions (id, user_id) values ('lasting', 'ada'), ('revoked', 'ada'), ('of ops', 'ops');
select realtime.revoke_session('revoked')
"""


def prepare(dsn: str) -> None:
    """Tables, policies, rules, rooms and sessions."""
    rules = (json.dumps({"channel": channel, "rules": rules}) for channel, rules in _ROOMS.items())
    write(dsn, *_SCHEMA.split(";\n"), *(f"select realtime.set_rules('{each}')" for each in rules))
    for channel in ("chat:past", "private:room-1"):
        write(dsn, f"select realtime.broadcast('{channel}', 'e', '1')")


def remove(dsn: str) -> None:
    """The role, which is one of the whole cluster."""
    write(dsn, f"select realtime.unserve_role('{ROLE}')", f"drop owned by {ROLE}", f"drop role {ROLE}")


def settings() -> dict[str, object]:
    """Of the server: four issuers, of which two name their keys alike and one has administrators. REST needs a key;
    anonymous clients may connect.
    """
    named = {"audience": AUDIENCE, "default_role": ROLE}
    return {
        "auth_issuers": [
            {"issuer": ISSUER, "secret": SECRET, "admin_role": ADMIN, **named},
            {"issuer": RSA, "public_key": pem("RS256"), **named},
            {"issuer": ONE, "public_key": json.dumps(jwk("RS256", 1, kid=_SHARED_ID)), **named},
            {"issuer": TWO, "public_key": json.dumps(jwk("RS256", 2, kid=_SHARED_ID)), **named},
        ],
        "auth_leeway": 0,
        "rest_key": REST_KEY,
        "session_validation": "optional",
        "max_connections_per_user": 1000,
    }


@dataclass(frozen=True)
class Credential:
    """What a client brings. ``who``: the user that it proves, or ``anonymous``; None: it is refused, for ``reason``.
    ``scopes``: of a server's key, by which REST lets it in; None: it is a client's, or none.
    """

    token: str | None = None
    key: str | None = None
    who: str | None = "anonymous"
    reason: str = ""
    scopes: frozenset[str] | None = None
    on_rest: str = ""
    """The reason on REST, if it is another one."""
    administrator: bool = False


def credentials(dsn: str) -> Mapping[str, Credential]:
    """Each by its name. Makes API keys in the database."""
    now = int(time.time())
    keys = _keys(dsn)
    other_key = {"key": private_key("RS256", 2), "header": {"kid": _SHARED_ID}}
    refused = {
        "expired": (token(exp=now - 60), "token expired"),
        "not yet valid": (token(nbf=now + 3600), "token not valid yet"),
        "of a revoked session": (token(sid="revoked"), "session revoked"),
        "of an unknown session": (token(sid="other"), "unknown session"),
        "of another user's session": (token(sub="bob", sid="lasting"), "the session is another user's"),
        "wrong issuer": (token(iss="https://evil.example"), "wrong issuer"),
        "wrong audience": (token(aud="billing"), "wrong audience"),
        "without end": (token(exp=None), "the token lacks the claim exp"),
        "alg none": (forged('{"alg":"none"}', json.dumps(claims()), b""), "wrong algorithm"),
        "HS256 with the RSA public key": (token("HS256", "x" * 40, iss=RSA), "wrong algorithm"),
        "HS256 with the PEM itself": (_hmac_of_pem(), "wrong algorithm"),
        "the key id of one issuer, signed by the other": (token("RS256", iss=ONE, **other_key), "wrong signature"),
        "an expired administrator": (token(role=ADMIN, exp=now - 60), "token expired"),
        "an administrator of a revoked session": (token(role=ADMIN, sid="revoked"), "session revoked"),
        "an administrator, signed by another": (
            token("RS256", role=ADMIN, **other_key),
            "wrong algorithm",
        ),
        "a list of roles": (token(role=[ADMIN]), "the claim role is no role"),
        "three parts of something": ("not.a.token", "the header of the token cannot be read"),
    }
    return {
        "anonymous": Credential(on_rest=NEEDED),
        "publishable key": Credential(key=keys["publishable"]),
        "ada": Credential(token(sub="ada"), who="ada"),
        "ada, with a session": Credential(token(sub="ada", sid="lasting"), who="ada"),
        "ada, with a publishable key": Credential(token(sub="ada"), keys["publishable"], who="ada"),
        "bob, of another issuer": Credential(token("RS256", sub="bob", iss=RSA), who="bob"),
        "bob, of an issuer with the same key id": Credential(
            token("RS256", iss=TWO, sub="bob", **other_key), who="bob"
        ),
        "an administrator": Credential(token(sub="ops", role=ADMIN), who="ops", administrator=True),
        "an administrator, with a session": Credential(
            token(sub="ops", role=ADMIN, sid="of ops"), who="ops", administrator=True
        ),
        "an administrator, with a publishable key": Credential(
            token(sub="ops", role=ADMIN), keys["publishable"], who="ops", administrator=True
        ),
        "the same role, of an issuer without administrators": Credential(
            token("RS256", sub="ops", iss=RSA, role=ADMIN), who="ops"
        ),
        "the role in another claim": Credential(token(sub="ada", admin_role=ADMIN, roles=[ADMIN]), who="ada"),
        **{name: Credential(text, who=None, reason=reason) for name, (text, reason) in refused.items()},
        "no token": Credential("nonsense", who=None, reason="not a JSON web token", on_rest=NEEDED),
        "ada, with a revoked key": Credential(token(sub="ada"), keys["revoked"], who=None, reason="API key revoked"),
        "an administrator, with a revoked key": Credential(
            token(role=ADMIN), keys["revoked"], who=None, reason="API key revoked"
        ),
        "revoked key": Credential(key=keys["revoked"], who=None, reason="API key revoked"),
        "expired key": Credential(key=keys["expired"], who=None, reason="API key expired"),
        "ada, with an expired key": Credential(token(sub="ada"), keys["expired"], who=None, reason="API key expired"),
        "an administrator, with an expired key": Credential(
            token(role=ADMIN), keys["expired"], who=None, reason="API key expired"
        ),
        "expired secret key": Credential(key=keys["expired secret"], who=None, reason="API key expired"),
        "unknown key": Credential(key=api_key(9), who=None, reason="unknown API key"),
        "secret key": _server_key(keys["secret"], ALL_SCOPES),
        **{f"secret key for {scope}": _server_key(keys[scope], {scope}) for scope in sorted(ALL_SCOPES)},
        "rest_key": _server_key(REST_KEY, ALL_SCOPES, "not an API key"),
    }


def _server_key(
    key: str, scopes: set[str] | frozenset[str], reason: str = "a secret API key is for the REST"
) -> Credential:
    return Credential(key=key, who=None, reason=reason, scopes=frozenset(scopes))


def _keys(dsn: str) -> dict[str, str]:
    wanted = {"publishable": "'publishable'", "revoked": "'publishable'", "secret": "'secret'"}
    wanted |= {"expired": "'publishable'", "expired secret": "'secret'"}
    wanted |= {scope: f"'secret', '{{{scope}}}'" for scope in ALL_SCOPES}
    keys = {name: read(dsn, f"select realtime.create_api_key('{name}', {made})")[0][0] for name, made in wanted.items()}
    write(dsn, f"select realtime.revoke_api_key('{keys['revoked'][:15]}')")
    write(dsn, "update realtime.api_keys set expires_at = now() - interval '1 minute' where name like 'expired%'")
    return keys


def _hmac_of_pem() -> str:
    """The classic confusion (CVE-2022-29217): the public key, as the file it is, taken for the secret of an HMAC."""
    unsigned = forged('{"alg":"HS256","typ":"JWT"}', json.dumps(claims(iss=RSA))).rpartition(".")[0]
    signature = hmac.new(pem("RS256").encode(), unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{forged('', '', signature).rpartition('.')[2]}"
