"""The judgement of a message that a client publishes, the same for every way on which it comes, and of a subscription to a
channel.
"""

from __future__ import annotations

from typing import Final

from engine.errors import RealtimeError
from engine.identity.principal import Principal
from server.auth.authorizer import Action, Authorizer, Basis, Circumstances, NotAllowedError
from server.client.shared import SharedServices
from server.ports.channels import Member
from server.protocol.client_messages import Publish
from server.session.subscriptions import ChannelRequest

__all__ = ["SubscriptionRights", "judge_at_once", "judge_message"]

_PUBLISH: Final = Action.PUBLISH  # an attribute of an enumeration is slow to find


class SubscriptionRights:
    """Whether a client may have channels: as of now when a subscription is asked for and when it is open, and whenever what
    decides may have changed. It is evaluated a second time only if that has changed.
    """

    __slots__ = ("_about", "_authorizer", "_principal")

    def __init__(self, authorizer: Authorizer, principal: Principal, member: Member) -> None:
        self._authorizer = authorizer
        self._principal = principal
        self._about = Circumstances(member.ip, member.transport)

    async def authorize(self, request: ChannelRequest) -> list[Basis]:
        """Raises ``RealtimeError`` if the client may not have it. Returns what the decision rests on."""
        basis = self._basis(request)
        for action in _actions(request):
            await self._authorizer.authorize(self._principal, action, request.channel, self._about)
        return basis

    async def authorize_presence(self, channel: str) -> None:
        """Raises ``RealtimeError`` if the client may not change its presence there."""
        await self._authorizer.authorize(self._principal, Action.PRESENCE, channel, self._about)

    def lost(self, request: ChannelRequest, basis: list[Basis] | None = None) -> RealtimeError | None:
        """Why the client may not have it any more; None: it may. ``basis``: what a decision that allowed it rested on."""
        if basis is not None and basis == self._basis(request):
            return None
        try:
            for action in _actions(request):
                self._authorizer.judge(self._principal, action, request.channel, self._about)
        except RealtimeError as refused:
            return refused
        return None

    def _basis(self, request: ChannelRequest) -> list[Basis]:
        return [self._authorizer.basis(self._principal, action, request.channel) for action in _actions(request)]


def _actions(request: ChannelRequest) -> tuple[Action, ...]:
    """What a subscriber has to be allowed to do."""
    return (Action.SUBSCRIBE,) if request.options.presence is None else (Action.SUBSCRIBE, Action.PRESENCE)


async def judge_message(services: SharedServices, principal: Principal, member: Member, message: Publish) -> bytes:
    """The data of ``message`` as it may be published: allowed by the rules, within the bytes that its user may publish, and
    as the content policies leave it.

    Raises ``RealtimeError`` if it may not be published.
    """
    about = _about(member, message)
    await services.authorizer.authorize(principal, _PUBLISH, message.channel, about)
    data = _inspected(services, member, message)
    if services.content_hook is not None:
        await services.content_hook.check(member, message.channel, message.event, data)
        services.authorizer.judge(principal, _PUBLISH, message.channel, about)  # that took time
    return data


def judge_at_once(
    services: SharedServices, principal: Principal, member: Member, message: Publish, allowed: set[tuple[str, str]]
) -> bytes | None:
    """As ``judge_message``, where nothing has to be awaited. None: something has to, and nothing was done.

    ``allowed``: channels and events that the rules have allowed in this turn of the event loop.
    """
    if services.content_hook is not None:
        return None
    what = message.channel, message.event
    if what not in allowed:
        try:
            services.authorizer.judge(principal, _PUBLISH, message.channel, _about(member, message))
        except NotAllowedError:
            return None  # a refusal has to be confirmed
        allowed.add(what)
    return _inspected(services, member, message)


def _about(member: Member, message: Publish) -> Circumstances:
    return Circumstances(member.ip, member.transport, message.event)


def _inspected(services: SharedServices, member: Member, message: Publish) -> bytes:
    services.published.count(member, len(message.data))
    return services.content.message(member, message.channel, message.event, bytes(message.data))
