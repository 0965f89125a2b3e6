"""The messages that one client publishes: submitted in the order of their arrival, several in flight at a time."""

from __future__ import annotations

from collections import deque

from msgspec import UNSET

from engine.identity.principal import Principal
from server.client.answers import Answers
from server.client.failures import client_error
from server.client.intake import Intake
from server.client.judgement import judge_message
from server.client.shared import SharedServices
from server.ports.channels import Member, Publication
from server.protocol import server_messages
from server.protocol.client_messages import Publish, RequestReference

__all__ = ["PublishQueue"]


class PublishQueue:
    """See the module. They are carried out also if the connection closes meanwhile."""

    __slots__ = ("_answers", "_in_flight", "_intake", "_member", "_principal", "_services", "_waiting")

    def __init__(
        self, principal: Principal, member: Member, services: SharedServices, answers: Answers, intake: Intake
    ) -> None:
        self._principal = principal
        self._member = member
        self._services = services
        self._answers = answers
        self._intake = intake
        self._waiting: deque[Publish] = deque()
        self._in_flight = 0

    def add(self, message: Publish) -> None:
        """Publish, after everything that came before."""
        self._intake.begun(len(message.data))
        self._waiting.append(message)
        if len(self._waiting) == 1:
            self._services.background.spawn(self._publish_waiting())
        self._hold()

    async def _publish_waiting(self) -> None:
        """One message after the other is allowed and submitted; their commits are awaited side by side."""
        alone = True
        while self._waiting:
            message = self._waiting[0]
            try:
                data = await judge_message(self._services, self._principal, self._member, message)
            except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
                self._fail(message, error)
                self._intake.done(len(message.data))
            else:
                self._in_flight += 1
                if alone and len(self._waiting) == 1:  # the usual case: one task does for both
                    self._waiting.popleft()
                    await self._publish(message, data)
                    return
                alone = False
                self._services.background.spawn(self._publish(message, data))
            self._waiting.popleft()
        self._hold()

    async def _publish(self, message: Publish, data: bytes) -> None:
        id = None if message.id is UNSET else message.id
        publication = Publication(message.channel, message.event, data, self._member, id)
        try:
            stored = await self._services.channels.publish(publication)
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self._fail(message, error)
        else:
            self._answers.send(server_messages.ack(message.channel, message.ref, stored.id, stored.position))
        finally:
            self._in_flight -= 1
            self._intake.done(len(message.data))
            self._hold()

    def _fail(self, message: Publish, error: Exception) -> None:
        about = RequestReference(channel=message.channel, id=message.id, ref=message.ref)
        self._answers.error(about, client_error(error, "publish_failed", channel=message.channel))

    def _hold(self) -> None:
        self._intake.publishing(len(self._waiting) + self._in_flight)
