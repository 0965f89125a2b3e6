"""A channel of synchronous code."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, overload

from bunbase.client.realtime import Realtime
from bunbase.client.typed_channel import Channel
from bunbase.core.use_count import BLOCK
from bunbase.protocol.expected import expect_optional_timeout, expect_type
from bunbase.protocol.model import Ack, HistoryPage, Message, Presence
from bunbase.protocol.type_variables import T
from bunbase.sync.iterator import SyncIterator
from bunbase.sync.loop_thread import LoopThread

__all__ = ["SyncChannelBase"]


class SyncChannelBase:
    """What a ``SyncChannel`` does; ``typed_channel`` has its types."""

    def __init__(self, thread: LoopThread, realtime: Realtime, channel: Channel) -> None:
        self._thread = thread
        self._realtime = realtime
        self._channel = channel

    def __repr__(self) -> str:
        return repr(self._channel).replace("<", "<Sync", 1)

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._channel.name

    @property
    def is_subscribed(self) -> bool:
        """Whether it is subscribed to; a connection that is just being re-established does not matter."""
        return self._channel.is_subscribed

    def subscribe(self, use: object = None) -> Self:
        """Subscribe, and wait until no later message can be missed. Calls are counted, see ``Channel.subscribe``."""
        self._thread.run(self._channel.subscribe(use))
        return self

    def unsubscribe(self, use: object = None) -> None:
        """Leave the channel once it was called as often as ``subscribe``, see ``Channel.unsubscribe``. Iterators end."""
        self._thread.run(self._channel.unsubscribe(use))

    def send(self, event: str, data: object = None, **options: Any) -> Ack:
        """Publish, and wait until it is committed. ``options``: ``id``, ``traceparent`` … as in ``Channel.send``."""
        return self._thread.run(self._channel.send(event, data, **options))

    def update_presence(self, data: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Change the presence of this client; other fields stay."""
        self._thread.run(self._channel.update_presence(data, **fields))

    def history(self, *, before: str | None = None, limit: int = 50) -> HistoryPage:
        """Messages from before the subscription, a page at a time. See ``bunbase.Channel.history``."""
        return self._thread.run(self._channel.history(before=before, limit=limit))

    def get_presence(self) -> Presence:
        """The present users of a channel that is subscribed to with presence, see ``Channel.get_presence``."""
        return self._thread.run(self._channel.get_presence())

    @overload
    def messages(
        self,
        event: str | None = None,
        *,
        timeout: float | None = None,
        buffer: int = 1000,
        overflow: Literal["error", "drop-oldest"] = "error",
    ) -> SyncIterator[Message]: ...

    @overload
    def messages(
        self,
        event: str | None,
        data: type[T],
        *,
        timeout: float | None = None,
        buffer: int = 1000,
        overflow: Literal["error", "drop-oldest"] = "error",
    ) -> SyncIterator[Message[T]]: ...

    def messages(
        self,
        event: str | None = None,
        data: type[object] | None = None,
        *,
        timeout: float | None = None,
        buffer: int = 1000,
        overflow: Literal["error", "drop-oldest"] = "error",
    ) -> SyncIterator[Message[Any]]:
        """An iterator over the messages from now on, and those that have waited for it; it ends when the channel is
        unsubscribed. A loop over it while the channel is not subscribed to raises ``RT_004``.

        Args:
            event: only messages with this event; all by default.
            data: the type of their data, see ``Channel.messages``.
            timeout: seconds without a message after which the iteration ends; without it, it goes on.
            buffer: how many messages may wait for the loop's body.
            overflow: the reaction to a full buffer, see ``Channel.messages``.
        """
        expect_optional_timeout(timeout)
        expect_type("data", data)
        return self._thread.run(self._messages(event, timeout, buffer, overflow))

    def __enter__(self) -> Self:
        return self.subscribe(BLOCK)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unsubscribe(BLOCK)

    async def _messages(
        self, event: str | None, timeout: float | None, buffer: int, overflow: Literal["error", "drop-oldest"]
    ) -> SyncIterator[Message]:
        messages = self._channel.messages(event, buffer=buffer, overflow=overflow)

        async def close() -> None:
            messages.close()

        return SyncIterator(self._thread, self._realtime, messages, close, timeout)
