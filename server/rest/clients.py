"""Requests of clients: with a publishable key or a user's token they may do over REST what a message on a connection does.

A client is admitted as a connection is: the same origins, authenticator, rights, content policies and limits. So nothing is
open here that is closed there.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from engine.channels.core.messages.model import MessageTooLargeError
from engine.identity.principal import Principal
from engine.tracing.context import TraceContext
from server.auth.authorizer import NotAllowedError
from server.auth.identity import HandshakeRequest
from server.auth.origins import check_origin
from server.client.admission import authenticated
from server.client.judgement import judge_message
from server.client.shared import SharedServices
from server.http.problems import ProblemError
from server.limits.connection_limits import SessionLimits
from server.limits.network_rates import NetworkRates, Quota
from server.ports.channels import Member, Publication
from server.protocol.client_messages import Publish, decode
from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import ClientCall, ServedNode
from server.rest.description.models import BroadcastDone

__all__ = ["TRANSPORT", "AdmittedClient", "Clients", "publish"]

TRANSPORT: Final = "rest"
"""What rules find as ``request.transport``."""

_OF_SERVERS: Final = ("sender", "audience", "priority")


@dataclass(frozen=True, slots=True)
class AdmittedClient:
    """A client that was authenticated. ``member``: as the channels see it, although it has no connection."""

    services: SharedServices
    principal: Principal
    member: Member


class Clients:
    """Admits requests of clients, and carries them out.

    Args:
        node: which serves them.
        limits: what one client may ask for: here per user, or per address of clients without one.
        origins: from which pages may send requests; ``*`` is any.
        timeout: seconds within which a client must be authenticated.
    """

    def __init__(self, node: ServedNode, limits: SessionLimits, origins: Collection[str], timeout: float) -> None:
        self._node = node
        self._limits = limits
        self._origins = origins
        self._timeout = timeout
        self._rates = NetworkRates(Quota("messages", limits.message_rate, 1.0))

    async def admit(self, handshake: HandshakeRequest) -> AdmittedClient:
        """The client, authenticated. Raises what ``problem_of`` knows."""
        check_origin(handshake.origin, self._origins)
        services = self._node.services
        principal = await self._principal(services, handshake)
        id = f"{TRANSPORT}-{uuid.uuid4().hex}"
        user, proven = principal.user_id, principal.proven_user_id
        member = Member(id, user, principal.attributes, handshake.ip, TRANSPORT, proven)
        return AdmittedClient(services, principal, member)

    def call(
        self,
        client: AdmittedClient,
        path: Mapping[str, str],
        raw: Mapping[str, bytes],
        context: TraceContext | None = None,
    ) -> ClientCall:
        """Its request, within its limits. ``raw``: the fields of the body. Raises what ``problem_of`` knows."""
        self._count(client.member)
        if sum(map(len, raw.values())) > self._limits.message_size:
            raise MessageTooLargeError(f"the message is larger than {self._limits.message_size} bytes")
        return ClientCall(client.services, client.principal, client.member, path, raw, context)

    async def _principal(self, services: SharedServices, handshake: HandshakeRequest) -> Principal:
        principal = services.authenticator.identify(handshake)
        return principal or await authenticated(services, handshake, self._timeout, TRANSPORT)

    def _count(self, member: Member) -> None:
        usage = self._rates.count(member.counted_as or "this machine", time.monotonic())
        if not usage.allowed:
            text = f"more than {usage.quota.amount:g} messages per second; this one was not carried out"
            raise ProblemError(ErrorCode.RATE_LIMITED, text, retry_after=usage.wait, limit="max_message_rate")


async def publish(call: ClientCall) -> BroadcastDone:
    """Publish a message as its sender would on a connection of its own."""
    for name in _OF_SERVERS:
        if name in call.raw:
            raise NotAllowedError(f"{name}: only servers may set it; a client's message is from itself, and for all")
    fields = {
        **{name: msgspec.Raw(value) for name, value in call.raw.items()},
        "type": "message",
        "channel": call.path["id"],
    }
    message = decode(msgspec.json.encode(fields))
    assert isinstance(message, Publish)
    data = await judge_message(call.services, call.principal, call.member, message)
    id = None if message.id is msgspec.UNSET else message.id
    trace = call.services.trace(call.context, call.member, message.channel, len(data))
    publication = Publication(message.channel, message.event, data, call.member, id, trace=trace)
    stored = await call.services.channels.publish(publication)
    return BroadcastDone(channel=message.channel, id=stored.id)
