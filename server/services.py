"""What all connections of a server share."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.authorizer import Authorizer, NameRules
from server.background import Background
from server.channels import ChannelsLike
from server.frames import ChannelFrames, EventFrames
from server.live import LiveQueriesLike

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """The engine's two services, who may use them, and frames that are built once for everybody."""

    live_queries: LiveQueriesLike
    channels: ChannelsLike
    authorizer: Authorizer = field(default_factory=NameRules)
    background: Background = field(default_factory=Background)
    event_frames: EventFrames = field(default_factory=EventFrames)
    channel_frames: ChannelFrames = field(default_factory=ChannelFrames)
