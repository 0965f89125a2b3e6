"""The channels that one client is about to have open: what it publishes there meanwhile is held.

So requests of a connection about one channel are carried out in their order. A message right behind a ``subscribe`` to its
channel could otherwise commit before the subscription is open, and its sender would not receive it. A held message is
published as soon as the subscription is open, was refused, or is cancelled by the client, and when the connection closes.
It is refused if none of this comes within ``_TIMEOUT``.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from engine.channels.core.messages.model import UnavailableError
from server.client.intake import Intake
from server.client.publishing import PublishQueue
from server.protocol.client_messages import Publish

__all__ = ["OpeningChannels"]

_TIMEOUT: Final = 30.0  # seconds, as for a message that the database does not take


class _Held:
    """The messages to one channel, in order, and the end of their time."""

    __slots__ = ("messages", "timer")

    def __init__(self, timer: asyncio.TimerHandle) -> None:
        self.messages: list[Publish] = []
        self.timer = timer


class OpeningChannels:
    """See the module. ``tasks``: what opens a channel, by its name; most clients have none most of the time."""

    __slots__ = ("_held", "_intake", "_publishing", "tasks")

    def __init__(self, publishing: PublishQueue, intake: Intake) -> None:
        self._publishing = publishing
        self._intake = intake
        self._held: dict[str, _Held] = {}
        self.tasks: dict[str, asyncio.Future[None]] = {}

    def begin(self, channel: str, task: asyncio.Future[None]) -> None:
        """``task`` opens the channel, or begins another task that does."""
        self.tasks[channel] = task
        task.add_done_callback(partial(self._done, channel))

    def hold(self, message: Publish) -> None:
        """Publish the message later: its channel is in ``tasks``."""
        channel = message.channel
        held = self._held.get(channel)
        if held is None:
            timer = asyncio.get_running_loop().call_later(_TIMEOUT, self._give_up, channel)
            held = self._held[channel] = _Held(timer)
        held.messages.append(message)
        self._intake.begun(len(message.data), messages=1)

    def cancel(self, channel: str) -> None:
        """The client does not want the channel any more."""
        if self.tasks.pop(channel, None) is not None:
            self._publish(channel)

    def closed(self) -> None:
        """The connection is closed."""
        self.tasks.clear()
        for channel in list(self._held):
            self._publish(channel)

    def _done(self, channel: str, task: asyncio.Future[None]) -> None:
        if self.tasks.get(channel) is task:
            del self.tasks[channel]
            if not self.tasks:
                self.tasks = {}  # which takes less memory than one that was emptied
            self._publish(channel)

    def _publish(self, channel: str) -> None:
        if held := self._take(channel):
            self._publishing.add(held)
            self._intake.done(sum([len(message.data) for message in held]), messages=len(held))

    def _give_up(self, channel: str) -> None:
        text = f"the subscription to {channel!r} that was asked for before is not open yet; publish again later"
        for message in self._take(channel):
            self._publishing.fail(message, UnavailableError(text))
            self._intake.done(len(message.data), messages=1)

    def _take(self, channel: str) -> list[Publish]:
        held = self._held.pop(channel, None)
        if held is None:
            return []
        held.timer.cancel()
        return held.messages
