"""The judgement of a message that a client publishes: the same for every way on which it comes."""

from __future__ import annotations

from engine.identity.principal import Principal
from server.auth.authorizer import Action, Circumstances, NotAllowedError
from server.client.shared import SharedServices
from server.ports.channels import Member
from server.protocol.client_messages import Publish

__all__ = ["judge_at_once", "judge_message"]


async def judge_message(services: SharedServices, principal: Principal, member: Member, message: Publish) -> bytes:
    """The data of ``message`` as it may be published: allowed by the rules, within the bytes that its user may publish, and
    as the content policies leave it.

    Raises ``RealtimeError`` if it may not be published.
    """
    about = _about(member, message)
    await services.authorizer.authorize(principal, Action.PUBLISH, message.channel, about)
    data = _inspected(services, member, message)
    if services.content_hook is not None:
        await services.content_hook.check(member, message.channel, message.event, data)
        services.authorizer.judge(principal, Action.PUBLISH, message.channel, about)  # that took time
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
            services.authorizer.judge(principal, Action.PUBLISH, message.channel, _about(member, message))
        except NotAllowedError:
            return None  # a refusal has to be confirmed
        allowed.add(what)
    return _inspected(services, member, message)


def _about(member: Member, message: Publish) -> Circumstances:
    return Circumstances(member.ip, member.transport, message.event)


def _inspected(services: SharedServices, member: Member, message: Publish) -> bytes:
    services.published.count(member, len(message.data))
    return services.content.message(member, message.channel, message.event, bytes(message.data))
