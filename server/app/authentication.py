"""How this server authenticates its clients: the gates that the settings ask for, one within the other, and what ends
connections whose credential has ended.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from engine.channels.service import Channels
from server.app.settings import Settings
from server.auth.api_keys import KeyRing
from server.auth.authenticator import AddressAuthenticator, Authenticator, TokenAuthenticator
from server.auth.key_gate import KeyGate, OperatorGate
from server.auth.sessions import SessionGate
from server.auth.tokens import TokenVerifier
from server.auth_handler.verifier import Handler, HandlerVerifier
from server.client.credential_watch import CredentialWatch, Judge

__all__ = ["Authentication", "authentication_of"]


@dataclass(frozen=True, slots=True)
class Authentication:
    """``authenticator`` finds the principals of clients; the others end connections. ``session_watch``: None if sessions
    are not validated.
    """

    authenticator: Authenticator
    key_watch: CredentialWatch
    session_watch: CredentialWatch | None = None


def authentication_of(
    settings: Settings, handler: Handler | None, keys: KeyRing, channels: Channels, stack: AsyncExitStack
) -> Authentication:
    """The authentication that ``settings`` describe; ``handler``: that of the setting ``auth_handler``. ``keys`` knows the
    rows of ``channels`` from now on; ``stack`` closes what was opened.
    """
    within = _tokens(settings, handler, stack)
    sessions = None
    if settings.session_validation != "off":
        required = settings.session_validation == "required"
        within = gate = SessionGate(channels.sessions, channels.caught_up, within, required=required)
        sessions = _watch(lambda session: gate.judge(session.name, session.user_id), stack)
        channels.sessions.changed = sessions.changed
    key_gate = KeyGate(keys, within, required=settings.require_api_key)
    keys.follow(channels.api_keys)
    rest_key = None if settings.rest_key is None else settings.rest_key.get_secret_value()
    operators = OperatorGate(keys, key_gate, rest_key, local=not settings.require_api_key)
    key_watch = _watch(lambda key: (operators if key.operator else key_gate).judge(key.name, key.address), stack)
    channels.api_keys.changed = lambda _: key_watch.changed(None)  # the keys of few applications, by the hash of each
    return Authentication(operators, key_watch, sessions)


def _tokens(settings: Settings, handler: Handler | None, stack: AsyncExitStack) -> Authenticator:
    tokens = TokenVerifier(settings.auth_issuers, settings.auth_leeway)
    verifier: TokenVerifier | HandlerVerifier = tokens
    if handler is not None and settings.auth_handler is not None:
        own = settings.auth_handler
        limits = {"timeout": own.timeout, "cache": own.cache}
        verifier = HandlerVerifier(handler, tokens, **limits, admin_role=own.admin_role)
    stack.push_async_callback(verifier.close)
    verifier.start()
    without = AddressAuthenticator(trust_user_parameter=settings.trust_user_parameter)
    return TokenAuthenticator(verifier, without, allow_anonymous=settings.allow_anonymous)


def _watch(judge: Judge, stack: AsyncExitStack) -> CredentialWatch:
    watch = CredentialWatch(judge)
    stack.callback(watch.stop)
    return watch
