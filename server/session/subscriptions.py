"""The subscriptions of a connection: live queries and channels, each from ``subscribe`` to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, UnsetType

from engine.live.core.resume_log import Resume
from server.ports.channels import ChannelOptions
from server.protocol import server_messages
from server.protocol.client_messages import COLLECTION_PREFIX, RequestReference

__all__ = ["ChannelRequest", "LiveRequest", "Request"]


_NOTHING: Final[Mapping[str, object]] = {}


class LiveRequest:
    """One live query of a client; compared by identity.

    ``query``: what is asked for, until the live query is open. ``head`` is the common start of its snapshot messages;
    ``begun``: the first of them was requested; ``resume``: the client's position before; ``meta``: it wants the annotations
    of changes; ``delta``: changes come without what it has; ``fresh``: it wants rows with all that is committed by now;
    ``size``: the bytes of the subscribe message.
    """

    __slots__ = ("begun", "channel", "delta", "ended", "fresh", "head", "id", "meta", "query", "resume", "size")

    def __init__(
        self,
        channel: str,
        id: str,
        query: Mapping[str, object],
        resume: Resume | None = None,
        *,
        meta: bool = False,
        delta: bool = False,
        fresh: bool = False,
    ) -> None:
        self.channel = channel
        self.id = id
        self.query = query
        self.resume = resume
        self.meta = meta
        self.delta = delta
        self.fresh = fresh
        self.head = server_messages.snapshot_head(channel, id)
        self.begun = False
        self.ended = False
        self.size = 0

    def opened(self) -> None:
        """The live query is open, and has what was asked for, once for all who ask for it."""
        self.query = _NOTHING

    @property
    def collection(self) -> str:
        """The name of what is queried."""
        return self.channel.removeprefix(COLLECTION_PREFIX)

    @property
    def named(self) -> RequestReference:
        """How an error about it names it."""
        return RequestReference(channel=self.channel, id=self.id)


class ChannelRequest:
    """One channel of a client; compared by identity.

    A connection has a channel at most once, because its messages name the channel only. ``client_id`` is the id that
    the client gave, which its answers repeat; ``size``: the bytes of the subscribe message.
    """

    __slots__ = ("channel", "client_id", "ended", "id", "options", "size")

    def __init__(self, channel: str, client_id: str | UnsetType, options: ChannelOptions) -> None:
        self.channel = channel
        self.client_id = client_id
        self.id = channel if client_id is UNSET else client_id
        self.options = options
        self.ended = False
        self.size = 0

    @property
    def named(self) -> RequestReference:
        """How an error about it names it."""
        return RequestReference(channel=self.channel, id=self.client_id)


Request = LiveRequest | ChannelRequest
