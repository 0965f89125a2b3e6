"""Settings that let in more than a server on the open internet should: named at the start, by doctor and in ``/health``.

One list for all three. A setting that can be insecure is judged by a function here, and a test names all others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from engine.identity.addresses import Network, parse_networks
from server.app.settings import Settings
from server.http.loopback import is_loopback

__all__ = ["insecure_settings"]

_WIDEST: Final = {4: 8, 6: 7}  # as 10.0.0.0/8 and fc00::/7: a network of addresses that are no one's on the internet
_MIN_KEY: Final = 32  # characters
_SHARES: Final = {
    "max_reading_share": "one address",
    "max_refused_share": "what is refused of one address",
    "max_work_share": "users who have had much done lately",
}
_CHOSEN: Final = re.compile(r"(\w+\.)*(raw_)?user_?meta_?data\b")  # of Supabase and Auth0: what users write themselves


def insecure_settings(settings: Settings) -> Mapping[str, str]:
    """Why each of them is insecure, and the remedy behind the last semicolon, by the name of the setting.

    No text has the value of a setting that is secret.
    """
    return dict(finding for check in _CHECKS for finding in check(settings))


_Findings = Iterator[tuple[str, str]]


def _local(settings: Settings) -> bool:
    return settings.host == "localhost" or is_loopback(settings.host)


def _trusted_user(settings: Settings) -> _Findings:
    if settings.trust_user_parameter:
        yield (
            "trust_user_parameter",
            "any client can be any user, by ?user= in its address; for development only: remove it, and accept tokens",
        )


def _anonymous(settings: Settings) -> _Findings:
    if settings.allow_anonymous and (not _local(settings) or settings.trusted_proxies):
        yield (
            "allow_anonymous",
            f"any program that reaches {settings.host}, or a proxy of it, can read what is exposed and use open channels; "
            "set it to false, and accept tokens (auth_issuers), if that is not meant",
        )


def _origins(settings: Settings) -> _Findings:
    if "*" in settings.allowed_origins and settings.allow_anonymous:
        yield (
            "allowed_origins",
            "any web page can connect through the browser of a user who reaches this server, also on its own machine; "
            "name the origins of your pages",
        )
    elif "null" in settings.allowed_origins and settings.allow_anonymous:
        yield (
            "allowed_origins",
            "null is the origin of any page in a sandboxed frame or of a file; name the origins of your pages",
        )


def _issuers(settings: Settings) -> _Findings:
    unbound = [each for each in settings.auth_issuers if not each.audience]
    unnamed = [each for each in settings.auth_issuers if each.issuer is None and not each.secret]
    chosen = [each.role_claim for each in settings.auth_issuers if each.admin_role and _CHOSEN.match(each.role_claim)]
    if unnamed:
        yield (
            "auth_issuers",
            "an issuer without its name: a token of any other issuer that has the same keys is accepted; give issuer",
        )
    elif chosen:
        yield (
            "auth_issuers",
            f"role_claim {', '.join(chosen)} is a claim that users can change themselves, and admin_role makes "
            "administrators of it; let the issuer write the role where users cannot, such as app_metadata",
        )
    elif unbound:
        names = ", ".join(str(each.issuer) for each in unbound if each.issuer is not None) or "the only one"
        yield (
            "auth_issuers",
            f"without an audience ({names}) a token is accepted that was made for another server and has no aud; "
            "give audience",
        )


def _anonymous_role(settings: Settings) -> _Findings:
    roles = {each.admin_role for each in settings.auth_issuers}
    if settings.auth_handler is not None:
        roles.add(settings.auth_handler.admin_role)
    if settings.anonymous_role in roles:
        yield (
            "anonymous_role",
            f"{settings.anonymous_role} is the role that clients without a token read as, and the admin_role of tokens; "
            "give administrators a role of their own",
        )


def _proxies(settings: Settings) -> _Findings:
    wide = [str(each) for each in parse_networks(settings.trusted_proxies) if _too_wide(each)]
    if wide:
        yield (
            "trusted_proxies",
            f"{', '.join(wide)}: clients are among the trusted proxies, so they can name any address as theirs, for address "
            "lists and limits; name the proxies' own addresses",
        )


def _too_wide(network: Network) -> bool:
    return network.prefixlen < _WIDEST[network.version]


def _transport(settings: Settings) -> _Findings:
    if not _local(settings) and not settings.trusted_proxies and settings.tls_certificate is None:
        yield (
            "host",
            f"{settings.host} is reached without TLS, so tokens, keys and messages can be read and altered on their way; "
            "set tls_certificate, or listen on 127.0.0.1 behind a proxy that has TLS, or name that proxy in trusted_proxies",
        )


def _rest(settings: Settings) -> _Findings:
    key = settings.rest_key
    if key is not None and len(key.get_secret_value()) < _MIN_KEY:
        yield (
            "rest_key",
            f"a key of fewer than {_MIN_KEY} characters can be guessed, and it may do everything; "
            "take 32 random bytes, for instance from: openssl rand -base64 32",
        )
    local_alone = settings.trust_user_parameter and _local(settings) and not settings.trusted_proxies  # as in ``dev``
    if key is None and not settings.require_api_key and not local_alone:
        yield (
            "require_api_key",
            "REST answers programs of this machine without a key, and a proxy on it that adds no X-Forwarded-For passes "
            "everyone's requests off as its own; set it to true, or set rest_key",
        )


def _nats(settings: Settings) -> _Findings:
    servers = [urlsplit(each) for each in settings.nats_url]
    away = [each for each in servers if not (each.hostname == "localhost" or is_loopback(each.hostname or ""))]
    if any(each.scheme != "tls" for each in away):
        yield (
            "nats_url",
            "all changes of the database go to NATS and back without TLS, where they can be read and altered; "
            "use tls:// (realtime nats-config writes the servers' side)",
        )
    elif any(each.username is None for each in away):
        yield (
            "nats_url",
            "without a user any program that reaches NATS can read and alter the changes of the database; "
            "give user and password (realtime nats-config makes them)",
        )


def _databases(settings: Settings) -> _Findings:
    for name in ("dsn", "pooled_dsn"):
        given = getattr(settings, name)
        if given is None:
            continue
        with suppress(psycopg.ProgrammingError):  # the connection is refused with that
            parts = conninfo_to_dict(given)
            host = str(parts.get("host") or parts.get("hostaddr") or "")
            local = host in ("", "localhost") or host.startswith(("/", "@")) or is_loopback(host)
            if parts.get("sslmode") == "disable" and not local:
                yield (
                    name,
                    "sslmode=disable: rows and the password can be read and altered on their way to the database; "
                    "set sslmode=verify-full",
                )


def _limits_off(settings: Settings) -> _Findings:
    if settings.max_query_cost == 0:
        yield (
            "max_query_cost",
            "0 lets a client subscribe to a query of any cost, which is read again after each change of its tables; "
            "set a bound, 100000 unless measured otherwise",
        )
    if settings.query_temporary_size == 0:
        yield (
            "query_temporary_size",
            "0 lets a client's query fill the disk of the database with temporary files; set a bound in megabytes",
        )
    for name, whose in _SHARES.items():
        if getattr(settings, name) == 1:
            yield (name, f"1 lets {whose} take all of the processor, so that others wait; take a smaller part of it")
    if settings.tracing and settings.trace_trusted_parents == "all":
        yield (
            "trace_trusted_parents",
            "all lets each client decide that its messages are recorded, whatever trace_sample_ratio is; set it to servers",
        )


def _hook(settings: Settings) -> _Findings:
    if settings.content_hook is not None and settings.content_hook_errors == "allow":
        yield (
            "content_hook_errors",
            "messages are published unjudged while the content hook fails or is slow; set it to deny",
        )


_CHECKS: Final[tuple[Callable[[Settings], _Findings], ...]] = (
    _trusted_user,
    _anonymous,
    _origins,
    _issuers,
    _anonymous_role,
    _proxies,
    _transport,
    _rest,
    _nats,
    _databases,
    _limits_off,
    _hook,
)
