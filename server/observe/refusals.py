"""Refusals, counted where they are decided: of credentials by reason, of actions by action."""

from __future__ import annotations

from engine.identity.principal import Principal
from engine.metrics.registry import Registry
from server.auth.authenticator import Authenticator
from server.auth.authorizer import UNKNOWN, Action, Authorizer, Circumstances, NotAllowedError
from server.auth.identity import HandshakeRequest
from server.auth.refusal import REASONS, AuthenticationError, Reason

__all__ = ["CountedAuthenticator", "CountedAuthorizer", "Refusals"]


class Refusals:
    """Made once per registry."""

    def __init__(self, registry: Registry) -> None:
        self._failures = registry.counters(
            "realtime_authentication_failures_total",
            "Credentials of clients that were refused, when they connected or renewed a token.",
            "reason",
        )
        self._denials = registry.counters(
            "realtime_denied_total",
            "Requests of clients that rules, or the kind of the channel, did not allow.",
            "action",
        )
        for reason in REASONS:
            self._failures.of(reason)
        for action in Action:
            self._denials.of(action.name.lower())

    def failed(self, reason: Reason) -> None:
        """A credential was refused."""
        self._failures.of(reason).value += 1

    def denied(self, action: Action) -> None:
        """A request was not allowed."""
        self._denials.of(action.name.lower()).value += 1


class CountedAuthenticator:
    """``within``, whose refusals are counted."""

    def __init__(self, within: Authenticator, refusals: Refusals) -> None:
        self._within = within
        self._refusals = refusals

    def identify(self, handshake: HandshakeRequest) -> Principal | None:
        """See ``Authenticator``: what is refused here is refused by ``authenticate``, too."""
        return self._within.identify(handshake)

    async def authenticate(self, handshake: HandshakeRequest) -> Principal:
        """See ``Authenticator``."""
        try:
            return await self._within.authenticate(handshake)
        except AuthenticationError as refusal:
            self._refusals.failed(refusal.reason)
            raise

    async def renew(self, token: str) -> Principal:
        """See ``Authenticator``."""
        try:
            return await self._within.renew(token)
        except AuthenticationError as refusal:
            self._refusals.failed(refusal.reason)
            raise


class CountedAuthorizer:
    """``within``, whose final refusals are counted: those of ``judge`` are asked again by ``authorize``."""

    def __init__(self, within: Authorizer, refusals: Refusals) -> None:
        self.judge = within.judge
        self.basis = within.basis
        self._within = within
        self._refusals = refusals

    async def authorize(
        self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN
    ) -> None:
        """See ``Authorizer``."""
        try:
            await self._within.authorize(principal, action, resource, about)
        except NotAllowedError:
            self._refusals.denied(action)
            raise
