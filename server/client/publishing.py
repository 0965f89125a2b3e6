"""The messages that one client publishes: submitted in the order of their arrival, several in flight at a time.

Theory of operation
-------------------

Almost every message is allowed at once, and the channel service has room for it: ``add`` submits it, and its future is
answered without a task. A message for which something has to be awaited (a refusal has to be confirmed, a content hook
asks another process, the channel is not known here, the service has no room) waits in ``_waiting``, and a task takes one
after the other. While that task or one of a message that it has submitted is at work, later messages go the same way, so
messages keep their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

from msgspec import UNSET

from engine.channels.core.messages.model import UnavailableError
from engine.identity.principal import Principal
from engine.tracing.context import parse_context
from server.auth.authorizer import Action
from server.client.answers import Answers
from server.client.failures import client_error
from server.client.intake import Intake
from server.client.judgement import judge_at_once, judge_message
from server.client.shared import SharedServices
from server.ports.channels import Ack, Member, Publication
from server.protocol import server_messages
from server.protocol.client_messages import Publish, RequestReference

__all__ = ["PublishQueue"]


class PublishQueue:
    """See the module. They are carried out also if the connection closes meanwhile."""

    __slots__ = ("_answers", "_behind", "_intake", "_member", "_principal", "_services", "_waiting")

    def __init__(
        self, principal: Principal, member: Member, services: SharedServices, answers: Answers, intake: Intake
    ) -> None:
        self._principal = principal
        self._member = member
        self._services = services
        self._answers = answers
        self._intake = intake
        self._waiting: deque[Publish] | None = None  # most clients have none most of the time
        self._behind = 0  # submitted by a task that may have to wait for a place

    def add(self, message: Publish) -> None:
        """Publish, after everything that came before."""
        self._intake.begun(len(message.data), messages=1)
        if not self._waiting and not self._behind and self._submit(message):
            return
        if self._waiting is None:
            self._waiting = deque((message,))
            self._services.background.spawn(self._publish_waiting(self._waiting))
        else:
            self._waiting.append(message)

    def _submit(self, message: Publish) -> bool:
        """Publish without waiting. False: nothing was done, since something has to be awaited."""
        try:
            data = judge_at_once(self._services, self._principal, self._member, message)
            if data is None:
                return False
            submitted = self._services.channels.submit(self._publication(message, data))
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self.fail(message, error)
            self._done(message)
            return True
        if submitted is None:
            self._spawn(message, data)
        else:
            self._services.background.keep(submitted)
            submitted.add_done_callback(partial(self._answer, message))
        return True

    async def _publish_waiting(self, waiting: deque[Publish]) -> None:
        """One message after the other is allowed and submitted; their commits are awaited side by side."""
        while waiting:
            message = waiting[0]
            try:
                data = await judge_message(self._services, self._principal, self._member, message)
            except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
                self.fail(message, error)
                self._done(message)
            else:
                self._spawn(message, data)
            waiting.popleft()
        self._waiting = None

    def _spawn(self, message: Publish, data: bytes) -> None:
        self._behind += 1
        self._services.background.spawn(self._publish(message, data))

    async def _publish(self, message: Publish, data: bytes) -> None:
        try:
            stored = await self._services.channels.publish(self._publication(message, data))
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            self.fail(message, error)
        else:
            self._acknowledge(message, stored)
        finally:
            self._behind -= 1
            self._done(message)

    def _answer(self, message: Publish, submitted: asyncio.Future[Ack]) -> None:
        if submitted.cancelled():
            self.fail(message, UnavailableError("the server is stopping; try again"))
        elif (error := submitted.exception()) is None:
            self._acknowledge(message, submitted.result())
        elif isinstance(error, Exception):
            self.fail(message, error)
        self._done(message)

    def _publication(self, message: Publish, data: bytes) -> Publication:
        id = None if message.id is UNSET else message.id
        parent = None if message.traceparent is UNSET else parse_context(message.traceparent, message.tracestate)
        trace = self._services.trace(parent, self._member, message.channel, len(data))
        return Publication(message.channel, message.event, data, self._member, id, trace=trace)

    def _acknowledge(self, message: Publish, stored: Ack) -> None:
        if self._services.log.messages:
            self._services.log.published(self._member, message.channel, message.event, stored.id, stored.position)
        self._answers.send(server_messages.ack(message.channel, message.ref, stored.id, stored.position))

    def fail(self, message: Publish, error: Exception) -> None:
        """Answer a message with an error: it was not published."""
        about = RequestReference(channel=message.channel, id=message.id, ref=message.ref)
        shown = client_error(error, "publish_failed", channel=message.channel)
        self._services.log.rejected_request(self._member, Action.PUBLISH.value, message.channel, shown)
        self._answers.error(about, shown)

    def _done(self, message: Publish) -> None:
        self._intake.done(len(message.data), messages=1)
