"""What all connections of a server share."""

from __future__ import annotations

from dataclasses import dataclass, field

from server.authorizer import Authorizer, NameRules
from server.background import Background
from server.blocks import block_wire, plain_wire
from server.channels import ChannelsLike
from server.frames import Wire, packed_wire, text_wire
from server.live import LiveQueriesLike

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """The engine's two services, who may use them, and what is built once for everybody who speaks the same form.

    ``text`` and ``packed`` are WebSocket frames, ``blocks`` those of an event stream, ``plain`` the JSON of poll answers.
    """

    live_queries: LiveQueriesLike
    channels: ChannelsLike
    authorizer: Authorizer = field(default_factory=NameRules)
    background: Background = field(default_factory=Background)
    text: Wire = field(default_factory=text_wire)
    packed: Wire = field(default_factory=packed_wire)
    blocks: Wire = field(default_factory=block_wire)
    plain: Wire = field(default_factory=plain_wire)
