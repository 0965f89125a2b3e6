"""The messages that one client publishes: submitted in the order of their arrival, several in flight at a time.

Theory of operation
-------------------

Almost every message is allowed at once, and the channel service has room for it. So ``add`` submits what arrived together
without a task: each channel is judged once, the service gets all in one call, and the answers that come in one turn of the
event loop are written together. A message for which something has to be awaited (a refusal has to be confirmed, a content
hook asks another process, the channel is not known here, the service has no room) waits in ``_waiting``, and a task takes
one after the other. While that task or one of a message that it has submitted is at work, later messages go the same way,
so messages keep their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial

from msgspec import UNSET

from engine.identity.principal import Principal
from engine.tracing.context import parse_context
from server.auth.authorizer import Action
from server.client.answers import Answers
from server.client.failures import client_error
from server.client.intake import Intake
from server.client.judgement import judge_at_once, judge_message
from server.client.shared import SharedServices
from server.ports.channels import Ack, Answer, Member, Publication
from server.protocol import server_messages
from server.protocol.client_messages import Publish, RequestReference

__all__ = ["PublishQueue"]


class PublishQueue:
    """See the module. They are carried out also if the connection closes meanwhile."""

    __slots__ = (
        "_answered",
        "_answers",
        "_behind",
        "_done",
        "_intake",
        "_member",
        "_principal",
        "_services",
        "_under_way",
        "_waiting",
    )

    def __init__(
        self, principal: Principal, member: Member, services: SharedServices, answers: Answers, intake: Intake
    ) -> None:
        self._principal = principal
        self._member = member
        self._services = services
        self._answers = answers
        self._intake = intake
        # Most clients have none of these most of the time.
        self._waiting: deque[Publish] | None = None
        self._behind = 0  # submitted by a task that may have to wait for a place
        self._under_way = 0  # messages without an answer
        self._done: asyncio.Future[None] | None = None  # that there are none; a server that stops waits for it
        self._answered: list[tuple[Publish, Ack | Exception]] | None = (
            None  # to be written in the next turn of the loop
        )

    def add(self, messages: Sequence[Publish]) -> None:
        """Publish what arrived together, after everything that came before."""
        self._intake.begun(sum([len(message.data) for message in messages]), messages=len(messages))
        if not self._under_way:
            self._done = asyncio.get_running_loop().create_future()
            self._services.background.keep(self._done)
        self._under_way += len(messages)
        submitted = 0 if self._waiting or self._behind else self._submit(messages)
        if submitted < len(messages):
            if self._waiting is None:
                self._waiting = deque(messages[submitted:])
                self._services.background.spawn(self._publish_waiting(self._waiting))
            else:
                self._waiting.extend(messages[submitted:])

    def _submit(self, messages: Sequence[Publish]) -> int:
        """Publish without waiting. Returns how many: for the next one something has to be awaited, nothing was done."""
        allowed: set[tuple[str, str]] = set()
        judged: list[tuple[Publication, Answer]] = []
        number = 0
        for message in messages:
            try:
                data = judge_at_once(self._services, self._principal, self._member, message, allowed)
                if data is None:
                    break
                judged.append((self._publication(message, data), partial(self._note, message)))
            except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
                self._note(message, error)
            number += 1
        if judged:
            taken = self._services.channels.submit(judged)
            for publication, answer in judged[taken:]:
                self._spawn(publication, answer)
        return number

    async def _publish_waiting(self, waiting: deque[Publish]) -> None:
        """One message after the other is allowed and submitted; their commits are awaited side by side."""
        while waiting:
            message = waiting[0]
            try:
                data = await judge_message(self._services, self._principal, self._member, message)
                publication = self._publication(message, data)
            except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
                self._note(message, error)
            else:
                self._spawn(publication, partial(self._note, message))
            waiting.popleft()
        self._waiting = None

    def _spawn(self, publication: Publication, answer: Answer) -> None:
        self._behind += 1
        self._services.background.spawn(self._publish(publication, answer))

    async def _publish(self, publication: Publication, answer: Answer) -> None:
        try:
            stored = await self._services.channels.publish(publication)
        except Exception as error:  # noqa: BLE001 - whatever happens, the request is answered
            answer(error)
        else:
            answer(stored)
        finally:
            self._behind -= 1

    def _publication(self, message: Publish, data: bytes) -> Publication:
        id = None if message.id is UNSET else message.id
        parent = None if message.traceparent is UNSET else parse_context(message.traceparent, message.tracestate)
        trace = self._services.trace(parent, self._member, message.channel, len(data))
        return Publication(message.channel, message.event, data, self._member, id, trace=trace)

    # Answers.

    def _note(self, message: Publish, answer: Ack | Exception) -> None:
        """What became of a message is known."""
        if self._answered is None:
            self._answered = []
            asyncio.get_running_loop().call_soon(self._answer, self._answered)
        self._answered.append((message, answer))

    def _answer(self, answered: list[tuple[Publish, Ack | Exception]]) -> None:
        self._answered = None
        acks: list[bytes] = []
        logged = self._services.log.messages
        for message, answer in answered:
            if isinstance(answer, Ack):
                if logged:
                    self._services.log.published(
                        self._member, message.channel, message.event, answer.id, answer.position
                    )
                acks.append(server_messages.ack(message.channel, message.ref, answer.id, answer.position))
            else:
                self._answers.send_all(acks)
                acks = []
                self.fail(message, answer)
        self._answers.send_all(acks)
        self._intake.done(sum([len(message.data) for message, _ in answered]), messages=len(answered))
        self._under_way -= len(answered)
        if not self._under_way and self._done is not None:
            if not self._done.done():
                self._done.set_result(None)
            self._done = None

    def fail(self, message: Publish, error: Exception) -> None:
        """Answer a message with an error: it was not published."""
        about = RequestReference(channel=message.channel, id=message.id, ref=message.ref)
        shown = client_error(error, "publish_failed", channel=message.channel)
        self._services.log.rejected_request(self._member, Action.PUBLISH.value, message.channel, shown)
        self._answers.error(about, shown)
