"""The judgement of a message that a client publishes: the same for every way on which it comes."""

from __future__ import annotations

from engine.identity.principal import Principal
from server.auth.authorizer import Action, Circumstances
from server.client.shared import SharedServices
from server.ports.channels import Member
from server.protocol.client_messages import Publish

__all__ = ["judge_message"]


async def judge_message(services: SharedServices, principal: Principal, member: Member, message: Publish) -> bytes:
    """The data of ``message`` as it may be published: allowed by the rules, and as the content policies leave it.

    Raises ``RealtimeError`` if it may not be published.
    """
    about = Circumstances(member.ip, member.transport, message.event)
    await services.authorizer.authorize(principal, Action.PUBLISH, message.channel, about)
    data = services.content.message(member, message.channel, message.event, bytes(message.data))
    if services.content_hook is not None:
        await services.content_hook.check(member, message.channel, message.event, data)
    return data
