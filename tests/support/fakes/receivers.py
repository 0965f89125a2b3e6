"""What subscriptions to channels have to do with, for tests: receivers of events, and channels."""

from __future__ import annotations

from engine.channels.core.delivery.subscription import Subscription
from engine.errors import RealtimeError
from server.ports.channels import ChannelEvent, Deliver, EventBatch, OlderMessages, Position


class OneByOne:
    """Takes the events of a batch one by one, and may have its channel for ever."""

    def deliver(self, event: ChannelEvent) -> None:
        raise NotImplementedError

    def deliver_batch(self, batch: EventBatch) -> None:
        for event in batch.events:
            self.deliver(event)

    def access(self) -> RealtimeError | None:
        return None


class Calling(OneByOne):
    """Calls ``call`` with each event."""

    def __init__(self, call: Deliver) -> None:
        self._call = call

    def deliver(self, event: ChannelEvent) -> None:
        self._call(event)


class NoChannels:
    """What a subscription asks of its channels: there are none."""

    position = ""

    def presence(self, channel: str) -> bytes:
        return b""

    async def older(self, subscription: Subscription, before: Position | None, limit: int) -> OlderMessages:
        return OlderMessages([], None)

    def release(self, subscription: Subscription) -> None:
        """There is nothing to release."""
